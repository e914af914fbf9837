//! `start`: lets a created container go, once.
use crate::support::Stage;
use serde_json::json;

#[test]
fn only_a_created_container_can_be_started() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    stage.rrunc(&["start", "c"]).fails(1, &["container does not exist"]);
    stage.running(&bundle, "c");
    stage.rrunc(&["start", "c"]).fails(1, &["cannot start an already running container"]);
    stage.rrunc(&["kill", "c", "KILL"]).success();
    stage.wait_status("c", "stopped");
    stage.rrunc(&["start", "c"]).fails(1, &["cannot start a container that has stopped"]);
    stage.rrunc(&["delete", "c"]).success();
}

#[test]
fn output_goes_where_create_pointed_it() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.script("cat; echo done");
    let create = stage.call(&["create", "c"]).cwd(bundle.path()).stdin("given\n").spawn();
    stage.wait_status("c", "created");
    stage.rrunc(&["start", "c"]).success().prints("");
    stage.wait_status("c", "stopped");
    assert_eq!(create.stdout(), "given\ndone\n");
    create.wait().success();
    stage.rrunc(&["delete", "c"]).success();
}

#[test]
fn one_of_many_starts_wins() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.set("/root/readonly", json!(false)).script("echo x >>/runs; exec sleep 3600");
    stage.in_bundle(&bundle, &["create", "c"]).success();
    let starts: Vec<_> = (0..8).map(|_| stage.call(&["start", "c"]).spawn()).collect();
    let codes: Vec<_> = starts.into_iter().map(|start| start.wait().code).collect();
    assert_eq!(codes.iter().filter(|code| **code == 0).count(), 1, "{codes:?}");
    assert!(codes.iter().all(|code| [0, 1].contains(code)), "{codes:?}");
    crate::support::wait_for("the program's mark", || std::fs::read_to_string(bundle.rootfs().join("runs")).ok());
    assert_eq!(stage.status("c"), "running");
    stage.remove("c");
    assert_eq!(std::fs::read_to_string(bundle.rootfs().join("runs")).expect("the mark"), "x\n");
}

#[test]
fn a_container_killed_before_start_cannot_be_started() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    stage.in_bundle(&bundle, &["create", "c"]).success();
    stage.rrunc(&["kill", "c", "KILL"]).success();
    stage.wait_status("c", "stopped");
    stage.rrunc(&["start", "c"]).fails(1, &["cannot start a container that has stopped"]);
    stage.rrunc(&["delete", "c"]).success();
}
