//! What the program is: ids, capabilities, filter, limits, pid 1.
use crate::lab::Lab;
use crate::{Case, Tier::Quick, Tier::Whole};
use std::fs;

pub const CASES: &[Case] = &[
    Case { name: "podman --user", tier: Quick, act: user },
    Case { name: "podman --group-add", tier: Whole, act: groups },
    Case { name: "podman --userns=keep-id", tier: Quick, act: keep_id },
    Case { name: "podman --userns=auto", tier: Quick, act: auto },
    Case { name: "podman --userns=nomap", tier: Quick, act: nomap },
    Case { name: "podman --uidmap, --gidmap", tier: Whole, act: map },
    Case { name: "podman --cap-drop, --cap-add", tier: Quick, act: capabilities },
    Case { name: "podman --privileged", tier: Quick, act: privileged },
    Case { name: "podman: seccomp, its own profile", tier: Quick, act: own_filter },
    Case { name: "podman: seccomp, a file", tier: Quick, act: filter_file },
    Case { name: "podman: seccomp=unconfined", tier: Quick, act: unconfined },
    Case { name: "podman: no-new-privileges", tier: Whole, act: no_new_privileges },
    Case { name: "podman --ulimit", tier: Quick, act: ulimit },
    Case { name: "podman --hostname", tier: Quick, act: hostname },
    Case { name: "podman --init", tier: Quick, act: init },
    Case { name: "podman --pid=host", tier: Quick, act: host_pids },
    Case { name: "podman --uts=host", tier: Whole, act: |lab| host_namespace(lab, "uts") },
    Case { name: "podman --ipc=host", tier: Whole, act: |lab| host_namespace(lab, "ipc") },
    Case { name: "podman --sysctl", tier: Quick, act: sysctl },
    Case { name: "podman --env, --workdir, --entrypoint", tier: Quick, act: environment },
    Case { name: "podman --oom-score-adj", tier: Whole, act: oom_score },
    Case { name: "podman --preserve-fds", tier: Whole, act: preserve_fds },
    Case { name: "podman --personality", tier: Whole, act: personality },
];

/// `run --rm --network none OPTIONS bb COMMAND`, which must succeed; its output.
fn run(lab: &Lab, options: &str, command: &str) -> String {
    lab.podman(&format!("run --rm --network none {options} bb {command}")).success().stdout
}

fn user(lab: &Lab) {
    assert_eq!(run(lab, "--user 1000:1000", "sh -c 'id -u; id -g'"), "1000\n1000\n");
    assert_eq!(run(lab, "--user user", "id -u"), "1000\n");
}

fn groups(lab: &Lab) {
    assert_eq!(run(lab, "--user 1000 --group-add 4242", "id -G"), "1000 4242\n");
}

fn keep_id(lab: &Lab) {
    let (uid, gid) = (crate::support::uid(), crate::support::gid());
    assert_eq!(run(lab, "--userns=keep-id", "sh -c 'id -u; id -g'"), format!("{uid}\n{gid}\n"));
}

fn auto(lab: &Lab) {
    let map = run(lab, "--userns=auto:size=1024", "cat /proc/self/uid_map");
    assert_eq!(map.split_whitespace().last(), Some("1024"), "{map}");
}

fn nomap(lab: &Lab) {
    // The user's own id is not there, so that nothing inside is the user.
    let map = run(lab, "--userns=nomap", "cat /proc/self/uid_map");
    assert_eq!(map.split_whitespace().take(2).collect::<Vec<_>>(), ["0", "1"], "{map}");
}

fn map(lab: &Lab) {
    let map = run(lab, "--uidmap 0:1:10 --gidmap 0:1:10", "cat /proc/self/uid_map");
    assert_eq!(map.split_whitespace().collect::<Vec<_>>(), ["0", "1", "10"]);
}

fn capabilities(lab: &Lab) {
    let status = run(lab, "--cap-drop all --cap-add chown", "grep Cap /proc/self/status");
    assert!(status.contains("CapEff:\t0000000000000001"), "{status}");
    assert!(status.contains("CapBnd:\t0000000000000001"), "{status}");
}

fn privileged(lab: &Lab) {
    assert!(
        run(lab, "--privileged", "sh -c 'mount -t tmpfs x /data && grep Seccomp: /proc/self/status'").contains('0')
    );
}

fn own_filter(lab: &Lab) {
    assert!(run(lab, "", "grep Seccomp: /proc/self/status").contains('2'));
}

fn filter_file(lab: &Lab) {
    let profile = lab.dir().join("no-mkdir.json");
    let names = r#"["mkdir", "mkdirat"]"#;
    let rule = format!(r#"{{"names": {names}, "action": "SCMP_ACT_ERRNO", "errnoRet": 95}}"#);
    fs::write(&profile, format!(r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{rule}]}}"#)).expect("write");
    let option = format!("--security-opt seccomp={}", profile.display());
    let out = lab.podman(&format!("run --rm --network none {option} bb mkdir /tmp/x")).exits(1);
    assert!(out.stderr.contains("not supported"), "{out:?}");
}

fn unconfined(lab: &Lab) {
    assert!(run(lab, "--security-opt seccomp=unconfined", "grep Seccomp: /proc/self/status").contains('0'));
}

fn no_new_privileges(lab: &Lab) {
    assert!(run(lab, "--security-opt no-new-privileges", "grep NoNewPrivs: /proc/self/status").contains('1'));
}

fn ulimit(lab: &Lab) {
    assert_eq!(run(lab, "--ulimit nofile=100:200", "sh -c 'ulimit -Sn; ulimit -Hn'"), "100\n200\n");
}

fn hostname(lab: &Lab) {
    assert_eq!(run(lab, "--hostname box", "sh -c 'hostname; grep -c box /etc/hosts'"), "box\n1\n");
}

fn init(lab: &Lab) {
    assert!(run(lab, "--init", "cat /proc/1/cmdline").contains("init"));
}

fn host_pids(lab: &Lab) {
    let here = fs::read_link("/proc/self/ns/pid").expect("a link").display().to_string();
    assert_eq!(run(lab, "--pid=host", "readlink /proc/self/ns/pid").trim(), here);
}

fn host_namespace(lab: &Lab, kind: &str) {
    let here = fs::read_link(format!("/proc/self/ns/{kind}")).expect("a link").display().to_string();
    assert_eq!(run(lab, &format!("--{kind}=host"), &format!("readlink /proc/self/ns/{kind}")).trim(), here);
}

fn sysctl(lab: &Lab) {
    let shown = run(
        lab,
        "--sysctl net.ipv4.ip_forward=1 --sysctl kernel.shmmax=65536",
        "sysctl -n net.ipv4.ip_forward kernel.shmmax",
    );
    assert_eq!(shown, "1\n65536\n");
}

fn environment(lab: &Lab) {
    let shown = run(lab, "--env A=b --workdir /tmp --entrypoint sh", "-c 'echo $A; pwd'");
    assert_eq!(shown, "b\n/tmp\n");
}

fn oom_score(lab: &Lab) {
    assert_eq!(run(lab, "--oom-score-adj 500", "cat /proc/self/oom_score_adj"), "500\n");
}

fn preserve_fds(lab: &Lab) {
    let file = lab.dir().join("passed");
    fs::write(&file, "through\n").expect("write");
    let line = format!("run --rm --network none --preserve-fds 1 bb cat /proc/self/fd/3 3<{}", file.display());
    lab.podman(&line).success().prints("through\n");
}

fn personality(lab: &Lab) {
    assert_eq!(run(lab, "--personality=LINUX32", "uname -m"), "i686\n");
}
