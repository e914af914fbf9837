//! `kill`: signals by name and number.
use crate::support::Stage;

#[test]
fn names_and_numbers() {
    for signal in ["9", "KILL", "SIGKILL", "kill", "sigkill"] {
        let stage = Stage::new();
        let bundle = stage.bundle();
        stage.running(&bundle, "c");
        stage.rrunc(&["kill", "c", signal]).success().prints("");
        stage.wait_status("c", "stopped");
        stage.rrunc(&["delete", "c"]).success();
    }
}

#[test]
fn the_default_is_term_and_it_arrives() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.script("trap 'echo term; exit 0' TERM; trap 'echo hup' HUP; echo ready; while :; do sleep 0.05; done");
    let mut run = stage.call(&["run", "c"]).cwd(bundle.path()).spawn();
    run.wait_stdout("ready");
    stage.rrunc(&["kill", "c", "HUP"]).success();
    run.wait_stdout("hup");
    stage.rrunc(&["kill", "c"]).success();
    run.wait().success().prints("ready\nhup\nterm\n");
}

#[test]
fn bad_signals_and_wrong_states() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    stage.rrunc(&["kill", "c", "KILL"]).fails(1, &["container does not exist"]);
    stage.running(&bundle, "c");
    for bad in ["NOSUCH", "SIGNOSUCH"] {
        stage.rrunc(&["kill", "c", bad]).fails(1, &[&format!("unknown signal \"{bad}\"")]);
    }
    stage.rrunc(&["kill", "c", "KILL"]).success();
    stage.wait_status("c", "stopped");
    stage.rrunc(&["kill", "c", "KILL"]).fails(1, &["container not running"]);
    stage.rrunc(&["kill", "--all", "c", "KILL"]).success();
    stage.rrunc(&["delete", "c"]).success();
}

#[test]
fn a_created_container_can_be_killed() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    stage.in_bundle(&bundle, &["create", "c"]).success();
    stage.rrunc(&["kill", "c", "KILL"]).success();
    stage.wait_status("c", "stopped");
    stage.rrunc(&["delete", "c"]).success();
}

#[test]
fn a_name_may_be_typed_with_options_before_it() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.script("sleep 3601 & exec sleep 3600");
    stage.in_bundle(&bundle, &["run", "-d", "c"]).success();
    stage.rrunc(&["kill", "-a", "c", "KILL"]).success();
    stage.wait_status("c", "stopped");
    stage.rrunc(&["delete", "c"]).success();
}
