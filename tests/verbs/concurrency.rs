//! Many calls at once on one machine.
use crate::support::{PATIENCE, Stage};

#[test]
fn of_fifty_creates_with_one_id_one_wins_and_the_others_say_so() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let creates: Vec<_> =
        (0..50).map(|_| stage.call(&["create", "c"]).cwd(bundle.path()).within(4 * PATIENCE).spawn()).collect();
    let outs: Vec<_> = creates.into_iter().map(|create| create.wait()).collect();
    let (won, lost): (Vec<_>, Vec<_>) = outs.into_iter().partition(|out| out.code == 0);
    assert_eq!(won.len(), 1, "{lost:?}");
    for out in lost {
        out.fails(1, &["container with given ID already exists"]);
    }
    assert_eq!(stage.status("c"), "created");
    stage.rrunc(&["delete", "--force", "c"]).success();
    assert_eq!(stage.wait_no_processes(), Vec::<String>::new());
}

#[test]
fn twenty_runs_of_one_bundle_do_not_disturb_each_other() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.script("cat /proc/sys/kernel/hostname");
    let ids: Vec<_> = (0..20).map(|n| format!("c{n}")).collect();
    let runs: Vec<_> =
        ids.iter().map(|id| stage.call(&["run", id]).cwd(bundle.path()).within(4 * PATIENCE).spawn()).collect();
    for run in runs {
        run.wait().success().prints("stage\n");
    }
}

#[test]
fn list_and_state_while_containers_come_and_go() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let runs: Vec<_> = (0..10).map(|n| stage.call(&["run", &format!("c{n}")]).cwd(bundle.path()).spawn()).collect();
    for _ in 0..20 {
        let out = stage.rrunc(&["list", "-f", "json"]).success();
        let list: serde_json::Value = serde_json::from_str(&out.stdout).expect("JSON");
        for entry in list.as_array().into_iter().flatten() {
            let known = ["creating", "created", "running", "stopped"];
            assert!(known.contains(&entry["status"].as_str().expect("a status")), "{entry}");
        }
    }
    for run in runs {
        run.wait().success();
    }
}
