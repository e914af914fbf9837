//! `delete`: stopped ones, and with `--force` any.
use crate::support::Stage;
use std::fs;

#[test]
fn a_running_container_is_refused() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    stage.running(&bundle, "c");
    stage.rrunc(&["delete", "c"]).fails(1, &["cannot delete container c that is not stopped: running"]);
    assert_eq!(stage.status("c"), "running");
    stage.rrunc(&["delete", "-f", "c"]).success().prints("");
    assert_eq!(stage.wait_no_processes(), Vec::<String>::new());
}

#[test]
fn a_created_container_is_killed_and_removed() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    stage.in_bundle(&bundle, &["create", "c"]).success();
    stage.rrunc(&["delete", "c"]).success().prints("");
    assert_eq!(stage.containers(), Vec::<String>::new());
    assert_eq!(stage.wait_no_processes(), Vec::<String>::new());
}

#[test]
fn a_missing_container() {
    let stage = Stage::new();
    stage.rrunc(&["delete", "c"]).fails(1, &["container does not exist"]);
    stage.rrunc(&["delete", "--force", "c"]).success().prints("");
}

#[test]
fn a_half_made_state_directory_goes_away() {
    let stage = Stage::new();
    stage.rrunc(&["list"]).success();
    for force in [false, true] {
        let half = stage.root().join("half");
        fs::create_dir_all(&half).expect("mkdir");
        if force {
            stage.rrunc(&["delete", "--force", "half"]).success();
        } else {
            stage.rrunc(&["delete", "half"]).fails(1, &["container does not exist"]);
        }
        assert!(!half.exists(), "force: {force}");
    }
}

#[test]
fn force_ends_a_program_that_ignores_signals_and_its_children() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle
        .script("trap '' TERM INT HUP; setsid sh -c 'trap \"\" TERM; sleep 3601' & echo up; while :; do sleep 1; done");
    let mut run = stage.call(&["run", "-d", "c"]).cwd(bundle.path()).spawn();
    run.wait_stdout("up");
    run.wait().success();
    stage.remove("c");
    assert_eq!(stage.wait_no_processes(), Vec::<String>::new());
}

#[test]
fn the_bundle_is_untouched() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    stage.running(&bundle, "c");
    let before = bundle.config();
    stage.remove("c");
    assert_eq!(bundle.config(), before);
    assert!(bundle.rootfs().join("bin/busybox").is_file());
}

#[test]
fn the_id_is_free_again() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    for _ in 0..3 {
        stage.in_bundle(&bundle, &["create", "c"]).success();
        stage.remove("c");
    }
}
