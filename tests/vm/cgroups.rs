//! Control groups where systemd has delegated them.
use crate::limits::directory;
use crate::machine::{in_scope, stage};
use crate::support::wait_for;
use std::fs;

#[test]
fn a_container_in_a_scope_is_paused_resumed_listed_and_killed() {
    let Some(stage) = stage() else { return };
    let bundle = stage.bundle();
    bundle.script("sleep 3601 & sleep 3602 & exec sleep 3603");
    in_scope(&stage, &["run", "--detach", "c"]).cwd(bundle.path()).run().success();
    let cgroup = directory(&stage, "c");
    let path = cgroup.to_string_lossy().into_owned();
    assert!(path.contains("/user@1000.service/") && path.contains("/rrunc-c-"), "{path}");

    let listed = wait_for("the three processes", || {
        let listed = stage.rrunc(&["ps", "c"]).success().stdout;
        ["3601", "3602", "3603"].iter().all(|word| listed.contains(word)).then_some(listed)
    });
    assert_eq!(listed.lines().count(), 4, "{listed}");

    stage.rrunc(&["pause", "c"]).success();
    assert_eq!(stage.status("c"), "paused");
    let events = fs::read_to_string(cgroup.join("cgroup.events")).expect("read");
    assert!(events.contains("frozen 1"), "{events}");
    stage.rrunc(&["resume", "c"]).success();
    assert_eq!(stage.status("c"), "running");
    let events = fs::read_to_string(cgroup.join("cgroup.events")).expect("read");
    assert!(events.contains("frozen 0"), "{events}");

    stage.rrunc(&["kill", "--all", "c", "KILL"]).success();
    stage.wait_status("c", "stopped");
    assert_eq!(stage.wait_no_processes(), Vec::<String>::new());
    stage.remove("c");
    assert!(!cgroup.exists(), "{path} is left");
}
