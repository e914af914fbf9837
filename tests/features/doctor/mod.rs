//! `rrunc doctor`: names, reports, exit codes, and hosts that lack something, each made by taking it away for real.
mod attack;

use crate::support::{Lacks, Output, Place, Stage, find_program, runtime, skip};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// In order. Other programs depend on these names: one may be added, none be changed.
const NAMES: [&str; 19] = [
    "kernel-version",
    "user-namespaces",
    "other-namespaces",
    "time-namespaces",
    "subordinate-ids",
    "proc-mount",
    "overlayfs",
    "idmapped-tmpfs",
    "binary-protection",
    "seccomp-filter",
    "seccomp-notify",
    "landlock",
    "security-modules",
    "session-keyring",
    "resource-limits",
    "cgroup-delegation",
    "systemd-user-bus",
    "runtime-directory",
    "pasta",
];

fn json(out: &Output) -> Value {
    serde_json::from_str(&out.stdout).unwrap_or_else(|e| panic!("{e}: {}{}", out.stdout, out.stderr))
}

/// The check called `name` in the document.
fn check<'a>(document: &'a Value, name: &str) -> &'a Value {
    let checks = document["checks"].as_array().expect("checks");
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no {name} in {document}"))
}

/// `doctor --json` in a sandbox, whose filter forbids namespaces and keys.
fn in_a_sandbox(place: &Place) -> Value {
    let bind = format!("{}:/mnt/rrunc", runtime().display());
    json(&place.sandbox(&["--ro-bind", &bind, "--", "/mnt/rrunc", "doctor", "--json"]).run().success())
}

/// A call behind `unshare`, so that a script may change the surroundings first.
fn after_unshare(stage: &Stage, script: &str, args: &[&str]) -> Option<Output> {
    let Some(unshare) = find_program("unshare") else {
        skip(Lacks::Package("unshare"));
        return None;
    };
    let script = format!("set -e; {script}; exec \"$0\" \"$@\"");
    let runtime = runtime();
    let before = ["-r", "-m", "-p", "-f", "--mount-proc", "sh", "-c", &script, runtime.to_str().expect("a plain path")];
    Some(stage.call_program(&unshare, &[&before, args].concat()).run())
}

/// `doctor --json` behind it.
fn after(stage: &Stage, script: &str) -> Option<Value> {
    after_unshare(stage, script, &["doctor", "--json"]).map(|out| json(&out.success()))
}

#[test]
fn the_document_has_every_check_in_order_and_nothing_else() {
    let stage = Stage::new();
    let document = json(&stage.rrunc(&["doctor", "--json"]).success());
    assert_eq!(document.as_object().expect("an object").len(), 2);
    assert_eq!(document["version"], 1);
    let checks = document["checks"].as_array().expect("checks");
    let names: Vec<_> = checks.iter().map(|check| check["name"].as_str().expect("a name")).collect();
    assert_eq!(names, NAMES);
    for check in checks {
        let keys: Vec<_> = check.as_object().expect("an object").keys().map(String::as_str).collect();
        let mut expected = ["name", "status", "detail", "effect", "fix"];
        expected.sort_unstable();
        let mut keys = keys;
        keys.sort_unstable();
        assert_eq!(keys, expected);
        let ok = check["status"] == "ok";
        assert!(ok || check["status"] == "weaker" || check["status"] == "missing", "{check}");
        assert!(!check["detail"].as_str().expect("a detail").is_empty(), "{check}");
        assert_eq!(ok, check["effect"].is_null(), "{check}");
        assert!(!ok || check["fix"].is_null(), "{check}");
    }
}

#[test]
fn the_table_has_a_line_for_every_check_and_one_that_sums_up() {
    let stage = Stage::new();
    let out = stage.rrunc(&["doctor"]).success();
    let names: Vec<_> = out.stdout.lines().filter(|line| !line.starts_with(' ')).collect();
    assert_eq!(names.len(), NAMES.len() + 2, "{}", out.stdout);
    for (line, name) in names.iter().zip(NAMES) {
        assert_eq!(line.split_whitespace().next(), Some(name), "{line}");
    }
    let last = out.stdout.lines().last().expect("a line");
    assert!(last.starts_with("19 checks: ") && last.ends_with("containers and sandboxes run here."), "{last}");
    assert!(!out.stdout.contains('\x1b'), "colours without a terminal: {}", out.stdout);
}

#[test]
fn what_this_host_must_have_for_the_tests_is_found() {
    let stage = Stage::new();
    let names = "user-namespaces,other-namespaces,proc-mount,seccomp-filter,runtime-directory";
    let out = stage.rrunc(&["doctor", "--require", names]);
    assert_eq!(out.code, 0, "{}", out.stdout);
}

#[test]
fn a_required_check_that_is_not_ok_is_exit_status_1() {
    let stage = Stage::new();
    let call =
        |require: &str| stage.call(&["doctor", "--require", require]).env("XDG_RUNTIME_DIR", stage.dir().join("none"));
    assert_eq!(call("user-namespaces,systemd-user-bus").run().code, 1);
    assert_eq!(call("user-namespaces").run().code, 0);
}

#[test]
fn an_unknown_name_is_a_mistake_that_lists_the_names() {
    let stage = Stage::new();
    let out = stage.rrunc(&["doctor", "--require", "user-namespaces,warp-drive"]);
    assert_eq!(out.code, 2);
    assert_eq!(out.stdout, "");
    for name in NAMES {
        assert!(out.stderr.contains(name), "{name}: {}", out.stderr);
        assert!(stage.rrunc(&["doctor", "--help"]).stdout.contains(name), "{name} is not in the help");
    }
}

#[test]
fn nothing_is_written_and_nothing_left_behind() {
    let place = Place::new();
    let before = place.tree();
    place.call(&["doctor"]).cwd(&place.project()).run().success();
    assert_eq!(place.tree(), before);
    assert_eq!(fs::read_dir(place.xdg()).expect("the runtime directory").count(), 0);
}

#[test]
fn under_a_filter_without_namespaces_the_filter_is_named() {
    let place = Place::new();
    let document = in_a_sandbox(&place);
    let user = check(&document, "user-namespaces");
    assert_eq!(user["status"], "missing");
    assert!(user["detail"].as_str().expect("text").contains("seccomp filter of a container around"), "{user}");
    assert!(user["fix"].as_str().expect("text").contains("seccomp=unconfined"), "{user}");
    for name in ["other-namespaces", "proc-mount", "overlayfs"] {
        assert_eq!(check(&document, name)["effect"], "see user-namespaces");
    }
    assert_eq!(check(&document, "session-keyring")["status"], "missing");
    assert_eq!(check(&document, "cgroup-delegation")["status"], "missing");
}

#[test]
fn a_masked_proc_is_told_from_a_whole_one() {
    let stage = Stage::new();
    let Some(whole) = after(&stage, "true") else { return };
    assert_eq!(check(&whole, "proc-mount")["status"], "ok", "{whole}");
    let Some(masked) = after(&stage, "mount -t tmpfs none /proc/tty") else { return };
    let proc = check(&masked, "proc-mount");
    assert_eq!(proc["status"], "missing");
    assert!(proc["detail"].as_str().expect("text").contains("/proc/tty"), "{proc}");
    assert!(proc["fix"].as_str().expect("text").contains("systempaths=unconfined"), "{proc}");
    assert_eq!(check(&masked, "user-namespaces")["status"], "ok", "{masked}");
}

#[test]
fn a_limit_of_no_user_namespaces_is_named_with_its_setting() {
    let stage = Stage::new();
    let Some(none) = after(&stage, "echo 0 > /proc/sys/user/max_user_namespaces") else { return };
    let user = check(&none, "user-namespaces");
    assert_eq!(user["status"], "missing");
    assert!(user["detail"].as_str().expect("text").contains("user.max_user_namespaces is 0"), "{user}");
    assert!(user["fix"].as_str().expect("text").contains("sysctl -p"), "{user}");
}

#[test]
fn a_limit_of_no_network_namespaces_is_not_one_of_all() {
    let stage = Stage::new();
    let Some(none) = after(&stage, "echo 0 > /proc/sys/user/max_net_namespaces") else { return };
    assert_eq!(check(&none, "user-namespaces")["status"], "ok");
    let others = check(&none, "other-namespaces");
    assert_eq!(others["status"], "missing");
    assert!(others["detail"].as_str().expect("text").starts_with("network: "), "{others}");
    assert!(others["fix"].as_str().expect("text").contains("user.max_net_namespaces"), "{others}");
}

#[test]
fn without_a_range_or_the_programs_for_it_that_is_said() {
    let stage = Stage::new();
    let Some(_) = find_program("newuidmap") else { return skip(Lacks::Package("newuidmap")) };
    // no_new_privs takes the setuid bit's effect away.
    let Some(setpriv) = find_program("setpriv") else { return skip(Lacks::Package("setpriv")) };
    let runtime = runtime();
    let args = ["--no-new-privs", runtime.to_str().expect("plain"), "doctor", "--json"];
    let document = json(&stage.call_program(&setpriv, &args).run().success());
    let ids = check(&document, "subordinate-ids");
    if ids["detail"].as_str().is_some_and(|detail| detail.starts_with("ranges")) {
        return skip(Lacks::Machine("a range in /etc/subuid"));
    }
    assert_eq!(ids["status"], "missing", "{ids}");
    assert!(ids["fix"].as_str().expect("text").contains("no_new_privs"), "{ids}");
}

#[test]
fn a_runtime_directory_that_others_may_read_is_weaker() {
    let stage = Stage::new();
    let directory = |mode: u32| {
        fs::set_permissions(stage.xdg(), fs::Permissions::from_mode(mode)).expect("chmod");
        let document = json(&stage.rrunc(&["doctor", "--json"]).success());
        check(&document, "runtime-directory").clone()
    };
    assert_eq!(directory(0o700)["status"], "ok");
    let shared = directory(0o755);
    assert_eq!(shared["status"], "weaker");
    assert_eq!(shared["fix"], format!("chmod 700 '{}'", stage.xdg().display()));
}

#[test]
fn a_low_limit_of_descriptors_is_weaker() {
    let stage = Stage::new();
    let document = json(&stage.call_after("ulimit -n 256", &["doctor", "--json"]).run().success());
    let limits = check(&document, "resource-limits");
    assert_eq!(limits["status"], "weaker", "{limits}");
    assert!(limits["detail"].as_str().expect("text").contains("open files 256"), "{limits}");
}

#[test]
fn a_program_that_hangs_does_not_stop_the_doctor() {
    let stage = Stage::new();
    let bin = stage.dir().join("bin");
    crate::support::place::script(&bin.join("pasta"), "#!/bin/sh\nexec sleep 3600\n");
    let Some(own) = find_program("pasta") else { return skip(Lacks::Package("passt")) };
    // No other is taken than the system's: this one is put over it, in a mount namespace of the test's own.
    let script = "mount --bind \"$0\" \"$1\" && shift && exec \"$@\"";
    let call = stage.call_program(Path::new("/usr/bin/unshare"), &["--map-root-user", "--mount", "sh", "-c", script]);
    let call = call.arg(bin.join("pasta")).arg(own).arg(runtime()).args(&["doctor", "--json"]);
    let document = json(&call.run().success());
    let pasta = check(&document, "pasta");
    assert_eq!(pasta["status"], "missing");
    assert!(pasta["detail"].as_str().expect("text").contains("no answer within"), "{pasta}");
}
