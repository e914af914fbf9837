//! `list` and `ps`.
use crate::support::{Lacks, Stage, find_program, skip};
use serde_json::{Value, json};

#[test]
fn an_empty_list_is_a_header_null_or_nothing() {
    let stage = Stage::new();
    let table = stage.rrunc(&["list"]).success();
    let columns: Vec<_> = table.stdout.split_whitespace().collect();
    assert_eq!(columns, ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]);
    assert_eq!(table.stdout.lines().count(), 1);
    assert_eq!(stage.rrunc(&["list", "--format", "json"]).success().line(), "null");
    stage.rrunc(&["list", "-q"]).success().prints("");
}

#[test]
fn a_missing_root_is_an_error_only_when_it_was_named() {
    let stage = Stage::new();
    let root = stage.dir().join("none");
    stage.rrunc(&["--root", root.to_str().expect("plain"), "list"]).exits(1);
    stage.rrunc(&["list"]).success();
}

#[test]
fn table_json_and_ids() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    stage.in_bundle(&bundle, &["create", "beta"]).success();
    stage.running(&bundle, "alpha");
    let table = stage.rrunc(&["list"]).success();
    let row: Vec<_> =
        table.stdout.lines().find(|l| l.starts_with("beta ")).expect("a row").split_whitespace().collect();
    assert_eq!(row[1..4], [stage.pid("beta").to_string().as_str(), "created", bundle.str()]);
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten().expect("our own name");
    assert_eq!(row[5], user.name);
    // Cells are padded to at least 12, with three spaces between.
    assert!(table.stdout.starts_with("ID          PID         STATUS "), "{}", table.stdout);
    stage.rrunc(&["list", "--quiet"]).success().prints("alpha\nbeta\n");
    let json = stage.rrunc(&["list", "-f", "json"]).success();
    assert_eq!(json.stdout.trim_end().lines().count(), 1);
    let list: Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!(list[0]["id"], "alpha");
    assert_eq!(list[0]["status"], "running");
    assert_eq!(list[1]["id"], "beta");
    assert_eq!(list[1]["owner"], json!(user.name));
    stage.rrunc(&["list", "-f", "xml"]).fails(1, &["invalid format option"]);
    stage.remove("alpha");
    stage.remove("beta");
}

#[test]
fn an_unreadable_container_does_not_hide_the_others() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    stage.in_bundle(&bundle, &["create", "good"]).success();
    let bad = stage.root().join("bad");
    std::fs::create_dir(&bad).expect("mkdir");
    std::fs::write(bad.join("state.json"), "{ not json").expect("write");
    let out = stage.rrunc(&["list", "-q"]).success();
    assert!(out.stdout.contains("good"), "{out:?}");
    assert!(out.stderr.contains("bad"), "the broken one is named: {out:?}");
    stage.rrunc(&["delete", "--force", "bad"]).success();
    stage.remove("good");
    assert!(!bad.exists());
}

#[test]
fn ps_shows_the_containers_processes_by_host_pid() {
    if find_program("ps").is_none() {
        return skip(Lacks::Package("procps"));
    }
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.script("sleep 3601 & exec sleep 3600");
    stage.in_bundle(&bundle, &["run", "-d", "c"]).success();
    let pid = stage.pid("c");
    let pids: Vec<i32> = crate::support::wait_for("two processes", || {
        let out = stage.rrunc(&["ps", "-f", "json", "c"]).success();
        let pids: Vec<i32> = serde_json::from_str(&out.stdout).expect("an array");
        (pids.len() == 2).then_some(pids)
    });
    assert!(pids.contains(&pid), "{pids:?} without {pid}");
    let table = stage.rrunc(&["ps", "c"]).success();
    let lines: Vec<_> = table.stdout.lines().collect();
    assert!(lines[0].contains("PID") && lines[0].contains("CMD"), "{}", table.stdout);
    assert_eq!(lines.len(), 3, "{}", table.stdout);
    let own = stage.rrunc(&["ps", "c", "-o", "pid,comm"]).success();
    assert_eq!(own.stdout.lines().filter(|line| line.contains("sleep")).count(), 2, "{}", own.stdout);
    stage.rrunc(&["ps", "c", "-o", "comm"]).fails(1, &["couldn't find PID field in ps output", "-o pid,args"]);
    stage.remove("c");
}

#[test]
fn ps_of_a_stopped_container_is_empty() {
    if find_program("ps").is_none() {
        return skip(Lacks::Package("procps"));
    }
    let stage = Stage::new();
    let bundle = stage.bundle();
    stage.in_bundle(&bundle, &["create", "c"]).success();
    stage.rrunc(&["kill", "c", "KILL"]).success();
    stage.wait_status("c", "stopped");
    let out = stage.rrunc(&["ps", "c"]).success();
    assert!(out.stdout.lines().count() <= 1, "{}", out.stdout);
    stage.rrunc(&["delete", "c"]).success();
}
