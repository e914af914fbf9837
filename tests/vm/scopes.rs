//! Where the cgroup comes from: a scope of the user's systemd, or a tree that was delegated.
use crate::limits::{call, directory, systemd};
use crate::machine::{in_scope, stage};
use crate::support::{runtime, wait_for};
use serde_json::{Value, json};
use std::fs;
use std::time::Duration;

#[test]
fn systemd_makes_the_scope_that_cgroups_path_names_and_shows_it() {
    let Some(stage) = stage() else { return };
    let bundle = stage.bundle();
    bundle.args(&["sleep", "3600"]).set("/linux/cgroupsPath", json!("user.slice:trial:c-1"));
    let create = |id: &str| call(&stage, &["--systemd-cgroup", "create", id]).cwd(bundle.path()).run();
    create("c").success();
    assert!(directory(&stage, "c").ends_with("user.slice/trial-c-1.scope"), "{:?}", directory(&stage, "c"));
    let shown = systemd(&stage, "systemd-cgls", &["--user", "--no-pager"]).success().stdout;
    assert!(shown.contains("trial-c-1.scope"), "{shown}");
    // There can be but one of the name.
    create("d").fails(1, &["trial-c-1.scope"]);
    call(&stage, &["start", "c"]).run().success();
    call(&stage, &["delete", "--force", "c"]).run().success();
    wait_for("the scope to go", || {
        let shown = systemd(&stage, "systemd-cgls", &["--user", "--no-pager"]).success().stdout;
        (!shown.contains("trial-c-1.scope")).then_some(())
    });
    for (path, text) in [("nosuch:x:y", "nosuch"), ("user.slice:a/b:y", "a/b"), ("/plain/path", "SLICE:PREFIX:NAME")] {
        bundle.set("/linux/cgroupsPath", json!(path));
        create("c").fails(1, &[text]);
    }
    assert!(stage.containers().is_empty());
}

#[test]
fn a_scope_is_stopped_continued_and_joined_from_outside() {
    let Some(stage) = stage() else { return };
    let bundle = stage.bundle();
    bundle.mount("/tmp", "tmpfs", "tmpfs", &[]).set("/linux/resources", json!({"pids": {"limit": 50}}));
    bundle.set("/linux/namespaces/-", json!({"type": "cgroup"}));
    bundle.script("i=0; while :; do i=$((i+1)); echo $i >/tmp/n; sleep 0.05; done");
    call(&stage, &["run", "--detach", "c"]).cwd(bundle.path()).run().success();
    let count = || {
        let out = call(&stage, &["exec", "c", "cat", "/tmp/n"]).run().success().stdout;
        out.trim().parse::<u64>().unwrap_or_default()
    };
    wait_for("it to count", || (count() > 0).then_some(()));
    call(&stage, &["exec", "c", "cat", "/proc/self/cgroup"]).run().success().prints("0::/\n");
    call(&stage, &["pause", "c"]).run().success();
    assert_eq!(stage.status("c"), "paused");
    let used = || fs::read_to_string(directory(&stage, "c").join("cpu.stat")).expect("its use");
    let before = used();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(used().lines().next(), before.lines().next());
    call(&stage, &["resume", "c"]).run().success();
    let then = count();
    wait_for("it to go on", || (count() > then).then_some(()));
    let listed = call(&stage, &["ps", "--format", "json", "c"]).run().success().stdout;
    assert!(listed.contains(&stage.pid("c").to_string()), "{listed}");
    call(&stage, &["kill", "--all", "c", "KILL"]).run().success();
    stage.wait_status("c", "stopped");
    call(&stage, &["delete", "c"]).run().success();
}

#[test]
fn in_a_delegated_scope_rrunc_steps_aside_and_gives_the_container_its_limits() {
    let Some(stage) = stage() else { return };
    let bundle = stage.bundle();
    bundle.set("/linux/resources", json!({"memory": {"limit": 64 << 20}}));
    bundle.set("/linux/namespaces/-", json!({"type": "cgroup"}));
    bundle.mount("/sys/fs/cgroup", "cgroup", "cgroup", &["ro"]);
    bundle.script("cat /sys/fs/cgroup/memory.max /proc/self/cgroup");
    in_scope(&stage, &["run", "c"]).cwd(bundle.path()).run().success().prints("67108864\n0::/\n");
    // Where others are, and no bus, it is refused; nobody is moved.
    let shell = format!("cd {}; {} run c; echo $?", bundle.str(), runtime().display());
    let own = format!("XDG_RUNTIME_DIR={}", stage.xdg().display());
    let scope = ["--user", "--scope", "--quiet", "--collect", "--property=Delegate=yes", "--", "env", "-u"];
    let args = [&scope[..], &["DBUS_SESSION_BUS_ADDRESS", &own, "sh", "-c", &shell]].concat();
    let out = systemd(&stage, "systemd-run", &args).success().prints("1\n");
    for text in ["has other processes beside rrunc", "loginctl enable-linger"] {
        assert!(out.stderr.contains(text), "{}", out.stderr);
    }
    assert!(stage.containers().is_empty());
}

#[test]
fn a_sandbox_has_its_limits_from_a_scope_and_says_so() {
    let Some(stage) = stage() else { return };
    let project = stage.dir().join("project");
    fs::create_dir(&project).expect("mkdir");
    let report = |args: &[&str], code: i32| -> Value {
        let all = [&["sandbox", "--report", "fd:1", "-m", "64m", "--cpus", "0.5", "--pids-limit", "40"], args].concat();
        let out = call(&stage, &all).cwd(&project).run().exits(code);
        serde_json::from_str(&out.stdout).unwrap_or_else(|e| panic!("{e}: {}", out.stdout))
    };
    let told = report(&["--", "true"], 0);
    let tier = |name: &str| {
        let limits = told["limits"].as_array().expect("a list");
        limits.iter().find(|limit| limit["name"] == name).map(|limit| limit["tier"].clone())
    };
    for name in ["memory", "cpus", "processes"] {
        assert_eq!(tier(name), Some(json!("cgroup of a systemd scope")), "{told}");
    }
    let limits = told["promises"].as_array().expect("a list").iter().find(|promise| promise["name"] == "limits");
    assert_eq!(limits.expect("the promise")["kept"], true, "{told}");
    // What no watchdog could see: memory that nobody maps. And all ends with the one that takes it.
    let hog = report(&["--", "sh", "-c", "tail /dev/zero; echo not reached >&2"], 137);
    assert_eq!(hog["endedBy"], "memory", "{hog}");
    let units =
        systemd(&stage, "systemctl", &["--user", "--no-legend", "list-units", "--all", "rrunc-sandbox-*"]).success();
    assert_eq!(units.stdout.trim(), "");
}
