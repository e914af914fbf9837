//! Rows 10, 13, 27: setuid programs, the caller's keyring, and groups dropped to pass a check.
use super::payloads;
use crate::support::{Bundle, Lacks, Stage, find_program, gid, skip, uid};
use serde_json::json;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Our first subordinate uid and gid, where the tools to use them are there.
pub fn subordinate() -> Option<(u32, u32)> {
    let user = nix::unistd::User::from_uid(nix::unistd::getuid()).ok().flatten()?.name;
    let first = |file: &str| -> Option<u32> {
        let text = fs::read_to_string(file).ok()?;
        text.lines().find(|line| line.split(':').next() == Some(&user))?.split(':').nth(1)?.parse().ok()
    };
    let found = first("/etc/subuid").zip(first("/etc/subgid"));
    if found.is_none() || find_program("newuidmap").is_none() {
        skip(Lacks::Package("newuidmap with a range in /etc/subuid and /etc/subgid"));
        return None;
    }
    found
}

pub fn map_range(bundle: &Bundle, first: (u32, u32)) {
    let map = |own: u32, first: u32| json!([{"containerID": 0, "hostID": own, "size": 1}, {"containerID": 1, "hostID": first, "size": 1000}]);
    bundle.set("/linux/uidMappings", map(uid(), first.0)).set("/linux/gidMappings", map(gid(), first.1));
}

/// Puts this program at `file`, setuid to the container's uid 1.
fn make_setuid(file: &Path) {
    fs::copy(std::env::current_exe().expect("our own path"), file).expect("copy");
    let script = "chown 1:1 \"$0\" && chmod 4755 \"$0\"";
    let status = Command::new("unshare").args(["--map-root-user", "--map-auto", "sh", "-c", script]).arg(file).status();
    assert!(status.expect("unshare").success());
}

#[test]
fn row_10_setuid_programs_give_nothing_under_no_new_privs() {
    let Some(first) = subordinate() else { return };
    let stage = Stage::new();
    let bundle = stage.bundle();
    let setuid = bundle.rootfs().join("bin/setuid");
    make_setuid(&setuid);
    map_range(&bundle, first);
    let arguments = payloads::arguments("print_ids");
    let all: Vec<&str> = std::iter::once("/bin/setuid").chain(arguments.iter().map(String::as_str)).collect();
    bundle.args(&all).set("/process/user", json!({"uid": 2, "gid": 2}));
    // The control: without the flag the program does get its owner's id.
    bundle.set("/process/noNewPrivileges", json!(false));
    assert_eq!(payloads::lines(&stage.run(&bundle).success().stdout), ["euid 1 uid 2"]);
    bundle.set("/process/noNewPrivileges", json!(true));
    assert_eq!(payloads::lines(&stage.run(&bundle).success().stdout), ["euid 2 uid 2"]);
    // And what comes in by a nosuid bind gives nothing even without the flag.
    let outside = stage.dir().join("outside");
    make_setuid(&outside);
    bundle.set("/process/noNewPrivileges", json!(false));
    bundle.mount("/bin/setuid", "bind", outside.to_str().expect("plain"), &["bind", "ro", "nosuid"]);
    assert_eq!(payloads::lines(&stage.run(&bundle).success().stdout), ["euid 2 uid 2"]);
}

#[test]
fn row_10_exec_keeps_no_new_privs() {
    let Some(first) = subordinate() else { return };
    let stage = Stage::new();
    let bundle = stage.bundle();
    let setuid = bundle.rootfs().join("bin/setuid");
    make_setuid(&setuid);
    map_range(&bundle, first);
    let arguments = payloads::arguments("print_ids");
    let exec: Vec<&str> =
        ["exec", "--user", "2:2", "c", "/bin/setuid"].into_iter().chain(arguments.iter().map(String::as_str)).collect();
    for (flag, expected) in [(false, "euid 1 uid 2"), (true, "euid 2 uid 2")] {
        bundle.set("/process/noNewPrivileges", json!(flag));
        stage.running(&bundle, "c");
        assert_eq!(payloads::lines(&stage.rrunc(&exec).success().stdout), [expected]);
        stage.remove("c");
    }
}

#[test]
fn row_13_the_callers_session_keyring_is_not_the_containers() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    payloads::run(&bundle, "print_keyring");
    let outside = format!("keyring {}", payloads::session_keyring());
    let keyring = |args: &[&str]| payloads::lines(&stage.in_bundle(&bundle, args).success().stdout);
    // The control: asked not to make one, the container has the caller's.
    assert_eq!(keyring(&["run", "--no-new-keyring", "c"]), std::slice::from_ref(&outside));
    let first = keyring(&["run", "c"]);
    let second = keyring(&["run", "c"]);
    assert_ne!(first, [outside]);
    assert_ne!(first, second, "one per container");
}

#[test]
fn row_27_groups_cannot_be_dropped_to_pass_a_check() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    payloads::run(&bundle, "drop_groups");
    for set in ["bounding", "effective", "permitted"] {
        bundle.set(&format!("/process/capabilities/{set}"), json!(["CAP_SETGID"]));
    }
    assert_eq!(payloads::lines(&stage.run(&bundle).success().stdout), ["setgroups: Err(EPERM)"]);
    // The control: with a range that the administrator granted, the same call works.
    let Some(first) = subordinate() else { return };
    map_range(&bundle, first);
    assert_eq!(payloads::lines(&stage.run(&bundle).success().stdout), ["setgroups: Ok(())"]);
}
