//! containerd through containerd-shim-runc-v2 under rootlesskit, with `ctr` as the one who asks.
use crate::daemon::Daemon;
use crate::lab::Lab;
use crate::support::{Output, PATIENCE};
use crate::{Case, Tier::Whole};
use std::fs;
use std::time::Instant;

const CASES: &[Case] = &[
    Case { name: "containerd: config.toml with BinaryName", tier: Whole, act: config },
    Case { name: "containerd run: output, exit codes", tier: Whole, act: run },
    Case { name: "containerd run, a terminal", tier: Whole, act: terminal },
    Case { name: "containerd run -d, exec, ps, pause, resume, kill, delete", tier: Whole, act: life },
    Case { name: "containerd run, in the cgroup that ctr names", tier: Whole, act: cgroup },
    Case { name: "containerd run, with the cpu shares that ctr names", tier: Whole, act: shares },
];

/// All of them.
pub fn cases() -> Vec<Case> {
    CASES.to_vec()
}

fn start(lab: &Lab) -> Daemon {
    let dir = lab.dir().join("containerd");
    fs::create_dir_all(&dir).expect("mkdir");
    let at = dir.display();
    let (version, runtimes) =
        lab.snippet("config.toml").split_once('\n').map(|(a, b)| (a.to_owned(), b.to_owned())).expect("lines");
    let own = format!("root = \"{at}/root\"\nstate = \"{at}/state\"\n[grpc]\naddress = \"{at}/sock\"\n");
    fs::write(dir.join("config.toml"), format!("{version}\n{own}{runtimes}")).expect("write");
    if let Some(own) = &lab.cgroup {
        // Of containerd's namespace; its containers are below, and no runtime takes it away.
        fs::create_dir_all(own.join("containerd/default")).expect("make a cgroup");
    }
    let options = "--pidns --cgroupns --evacuate-cgroup2=daemon";
    let command = format!("exec containerd --config {at}/config.toml");
    let daemon = Daemon::start(lab, "containerd", options, &command, dir.join("sock"), "/run/containerd/runc/default");
    lab.podman(&format!("save -q -o {at}/bb.tar bb")).success();
    ctr_call(lab, &daemon, &format!("images import {at}/bb.tar")).success();
    daemon
}

fn ctr_line(daemon: &Daemon, args: &str) -> String {
    let enter = format!("nsenter -U --preserve-credentials -m -C -p -t {}", daemon.child);
    format!("{enter} ctr -a {} {args}", daemon.socket.display())
}

fn ctr_call(lab: &Lab, daemon: &Daemon, args: &str) -> Output {
    lab.call(&ctr_line(daemon, args)).run()
}

fn ctr(lab: &Lab, args: &str) -> Output {
    ctr_call(lab, &lab.daemon("containerd", start), args)
}

/// `run OPTIONS localhost/bb:latest ID COMMAND`, with no cgroup and no limit but what the options say.
fn line(lab: &Lab, options: &str, id: &str, command: &str) -> String {
    let runtime = lab.program.display();
    format!("run --snapshotter native --runc-binary {runtime} {options} localhost/bb:latest {id} {command}")
}

const PLAIN: &str = "--cgroup \"\" --cpu-shares 0";

fn config(lab: &Lab) {
    let daemon = lab.daemon("containerd", start);
    let file = lab.dir().join("containerd/config.toml");
    let dump = lab.call(&format!("containerd --config {} config dump", file.display())).run().success().stdout;
    assert!(dump.contains(&format!("BinaryName = \"{}\"", lab.program.display())), "{dump}");
    assert!(daemon.socket.exists());
    assert!(ctr(lab, "plugins ls").success().stdout.contains("io.containerd.grpc.v1"));
}

fn run(lab: &Lab) {
    ctr(lab, &line(lab, &format!("--rm {PLAIN}"), &lab.fresh("c"), "echo hello")).success().prints("hello\n");
    ctr(lab, &line(lab, &format!("--rm {PLAIN}"), &lab.fresh("c"), "sh -c \"exit 7\"")).exits(7);
    ctr(lab, &line(lab, &format!("--rm {PLAIN}"), &lab.fresh("c"), "nosuch")).fails(1, &["nosuch", "not found"]);
}

fn terminal(lab: &Lab) {
    let daemon = lab.daemon("containerd", start);
    let line = ctr_line(&daemon, &line(lab, &format!("--rm -t {PLAIN}"), &lab.fresh("c"), "sh"));
    let mut terminal = crate::support::Terminal::start(lab.call(&line), 24, 80);
    terminal.expect("# ");
    terminal.send("tty\r");
    terminal.expect("/dev/pts/");
    terminal.send("exit 3\r");
    assert_eq!(terminal.wait().0, 3);
}

fn until_status(lab: &Lab, id: &str, status: &str) {
    let end = Instant::now() + PATIENCE;
    let shows = |text: String| text.lines().any(|line| line.contains(id) && line.contains(status));
    while !shows(ctr(lab, "task ls").stdout) {
        assert!(Instant::now() < end, "the task is never {status}");
    }
}

fn life(lab: &Lab) {
    let id = lab.fresh("c");
    ctr(lab, &line(lab, &format!("-d {PLAIN}"), &id, "sleep 3600")).success();
    until_status(lab, &id, "RUNNING");
    ctr(lab, &format!("task exec --exec-id x {id} echo inside")).success().prints("inside\n");
    ctr(lab, &format!("task exec --exec-id x {id} sh -c \"exit 5\"")).exits(5);
    ctr(lab, &format!("task exec --exec-id x {id} nosuch")).fails(1, &["nosuch", "not found"]);
    assert_eq!(ctr(lab, &format!("task ps {id}")).success().stdout.lines().count(), 2);
    if lab.cgroup.is_some() {
        ctr(lab, &format!("task pause {id}")).success();
        until_status(lab, &id, "PAUSED");
        ctr(lab, &format!("task resume {id}")).success();
        until_status(lab, &id, "RUNNING");
    }
    ctr(lab, &format!("task kill -s KILL {id}")).success();
    until_status(lab, &id, "STOPPED");
    ctr(lab, &format!("task delete {id}")).fails(0, &["exit code 137"]);
    ctr(lab, &format!("containers rm {id}")).success();
}

fn cgroup(lab: &Lab) {
    let id = lab.fresh("c");
    let shown = ctr(lab, &line(lab, "--rm --cpu-shares 0", &id, "grep ^0: /proc/self/cgroup"));
    shown.success().prints(&format!("0::/default/{id}\n"));
}

fn shares(lab: &Lab) {
    ctr(lab, &line(lab, "--rm", &lab.fresh("c"), "true")).success();
}
