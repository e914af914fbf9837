//! Docker's daemon under rootlesskit, as dockerd-rootless.sh starts it, but on the network of this machine.
use crate::daemon::Daemon;
use crate::lab::Lab;
use crate::support::{Output, Terminal};
use crate::{Case, Tier::Whole};
use std::fs;

const CASES: &[Case] = &[
    Case { name: "docker: daemon.json, the default runtime", tier: Whole, act: default_runtime },
    Case { name: "docker run: output, exit codes 0, 7, 126, 127", tier: Whole, act: run },
    Case { name: "docker run -it, a terminal", tier: Whole, act: terminal },
    Case { name: "docker run -d, exec, top, logs, kill, rm", tier: Whole, act: life },
    Case { name: "docker run: init, read-only, tmpfs, user, volumes", tier: Whole, act: options },
    Case { name: "docker run --network host", tier: Whole, act: host },
];

/// All of them.
pub fn cases() -> Vec<Case> {
    CASES.to_vec()
}

fn start(lab: &Lab) -> Daemon {
    let dir = lab.dir().join("docker");
    fs::create_dir_all(&dir).expect("mkdir");
    let at = dir.display();
    fs::write(dir.join("daemon.json"), lab.snippet("daemon.json")).expect("write");
    let exec_root = lab.xdg.join("docker");
    // Nobody here may set up bridges and firewalls; a container has no network or this one.
    let network = "--bridge none --iptables=false --ip6tables=false --ip-forward=false";
    let places = format!("--data-root {at}/root --exec-root {} -p {at}/pid -H unix://{at}/sock", exec_root.display());
    let runtimes =
        if lab.runtime == "crun" { format!("--add-runtime crun={}", lab.program.display()) } else { String::new() };
    let command = format!(
        "rm -f /run/docker /run/containerd; exec dockerd --rootless --config-file {at}/daemon.json {places} \
         --storage-driver vfs {network} {runtimes}"
    );
    let state = exec_root.join(format!("runtime-{}/moby", lab.runtime));
    let daemon = Daemon::start(lab, "docker", "", &command, dir.join("sock"), state.to_str().expect("a path"));
    lab.podman(&format!("save -q -o {at}/bb.tar bb")).success();
    docker_call(lab, &daemon, &format!("load -q -i {at}/bb.tar")).success();
    daemon
}

fn docker_line(daemon: &Daemon, args: &str) -> String {
    // The distribution's, if another is installed beside it.
    format!("/usr/bin/docker -H unix://{} {args}", daemon.socket.display())
}

fn docker_call(lab: &Lab, daemon: &Daemon, args: &str) -> Output {
    lab.call(&docker_line(daemon, args)).run()
}

fn docker(lab: &Lab, args: &str) -> Output {
    docker_call(lab, &lab.daemon("docker", start), args)
}

fn run_line(lab: &Lab, options: &str, command: &str) -> String {
    format!("run --network none --runtime {} {options} localhost/bb {command}", lab.runtime)
}

fn default_runtime(lab: &Lab) {
    // The snippet says rrunc, so with the others there is nothing to see.
    if lab.runtime == "rrunc" {
        docker(lab, "info --format {{.DefaultRuntime}}").success().prints("rrunc\n");
        docker(lab, "run --rm --network none localhost/bb echo hello").success().prints("hello\n");
    }
}

fn run(lab: &Lab) {
    docker(lab, &run_line(lab, "--rm", "echo hello")).success().prints("hello\n");
    docker(lab, &run_line(lab, "--rm", "sh -c \"exit 7\"")).exits(7);
    docker(lab, &run_line(lab, "--rm", "/etc")).exits(126);
    docker(lab, &run_line(lab, "--rm", "nosuch")).exits(127);
}

fn terminal(lab: &Lab) {
    let daemon = lab.daemon("docker", start);
    let mut terminal = Terminal::start(lab.call(&docker_line(&daemon, &run_line(lab, "--rm -it", "sh"))), 24, 80);
    terminal.expect("# ");
    terminal.send("tty\r");
    terminal.expect("/dev/pts/");
    terminal.send("exit 3\r");
    assert_eq!(terminal.wait().0, 3);
}

fn life(lab: &Lab) {
    let id = lab.fresh("one");
    let script = "sh -c \"echo begun; exec sleep 3600\"";
    docker(lab, &run_line(lab, &format!("-d --name {id}"), script)).success();
    docker(lab, &format!("exec {id} echo inside")).success().prints("inside\n");
    docker(lab, &format!("exec {id} sh -c \"exit 5\"")).exits(5);
    // Docker 20.10 says 126 here whatever the reason.
    let missing = docker(lab, &format!("exec {id} nosuch")).exits(126);
    assert!(missing.stdout.contains("nosuch"), "{missing:?}");
    assert!(docker(lab, &format!("top {id}")).success().stdout.contains("sleep"));
    docker(lab, &format!("logs {id}")).success().prints("begun\n");
    docker(lab, &format!("kill {id}")).success();
    docker(lab, &format!("wait {id}")).success().prints("137\n");
    docker(lab, &format!("start {id}")).success();
    docker(lab, &format!("rm -f {id}")).success();
}

fn options(lab: &Lab) {
    let dir = lab.dir().join("docker-data");
    fs::create_dir_all(&dir).expect("mkdir");
    fs::write(dir.join("file"), "shown\n").expect("write");
    let options =
        format!("--rm --init --read-only --tmpfs /x --user 1000 --hostname box -v {}:/data:ro", dir.display());
    let script = "cat /data/file /proc/1/comm; touch /x/a; ! touch /b; hostname; id -u";
    docker(lab, &run_line(lab, &options, &format!("sh -c \"{script}\"")))
        .success()
        .prints("shown\ndocker-init\nbox\n1000\n");
}

fn host(lab: &Lab) {
    // The daemon's, which all such containers share.
    let line = format!("run --rm --runtime {} --network host localhost/bb readlink /proc/self/ns/net", lab.runtime);
    let first = docker(lab, &line).success().stdout;
    assert!(first.starts_with("net:"), "{first}");
    docker(lab, &line).success().prints(&first);
}
