//! `state`: the OCI state, as runc prints it.
use crate::support::Stage;
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;

#[test]
fn prints_the_documented_keys_in_order() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.set("/annotations", json!({"org.example.key": "value"}));
    stage.in_bundle(&bundle, &["create", "c"]).success();
    let out = stage.rrunc(&["state", "c"]).success();
    let keys = ["ociVersion", "id", "pid", "status", "bundle", "rootfs", "created", "annotations", "owner"];
    let found: Vec<_> = keys.iter().map(|key| out.stdout.find(&format!("\n  \"{key}\": ")).expect(key)).collect();
    assert!(found.is_sorted(), "{}", out.stdout);
    assert!(out.stdout.ends_with('}'), "no newline at the end");
    let state = stage.state("c");
    assert_eq!(state["id"], "c");
    assert_eq!(state["status"], "created");
    assert_eq!(state["bundle"], bundle.str());
    assert_eq!(state["rootfs"], bundle.rootfs().to_str().expect("plain"));
    assert_eq!(state["annotations"]["org.example.key"], "value");
    assert_eq!(state["owner"], "");
    let created = state["created"].as_str().expect("a time");
    assert!(created.ends_with('Z') && created.contains('T'), "{created}");
    stage.remove("c");
}

#[test]
fn follows_the_life_of_the_container() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.args(&["sleep", "3600"]);
    stage.in_bundle(&bundle, &["create", "c"]).success();
    let pid = stage.pid("c");
    assert!(pid > 0);
    assert_eq!(stage.status("c"), "created");
    stage.rrunc(&["start", "c"]).success();
    assert_eq!((stage.status("c").as_str(), stage.pid("c")), ("running", pid));
    stage.rrunc(&["kill", "c", "KILL"]).success();
    stage.wait_status("c", "stopped");
    assert_eq!(stage.pid("c"), 0);
    stage.rrunc(&["delete", "c"]).success();
    stage.rrunc(&["state", "c"]).fails(1, &["container does not exist"]);
}

#[test]
fn no_annotations_no_key() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    stage.in_bundle(&bundle, &["create", "c"]).success();
    assert!(stage.state("c").get("annotations").is_none());
    stage.remove("c");
}

#[test]
fn a_program_with_our_name_is_running() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.script("echo -n 'rrunc:[init]' >/proc/self/comm; echo named; read line");
    let mut run = stage.call(&["run", "c"]).cwd(bundle.path()).stdin_pipe().spawn();
    run.wait_stdout("named\n");
    assert_eq!(stage.status("c"), "running");
    stage.remove("c");
    run.wait();
}

#[test]
fn a_root_of_the_private_groups_is_taken_and_one_of_a_shared_group_is_not() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let root = stage.dir().join("root");
    let run = || stage.call(&["--root"]).arg(&root).args(&["run", "--bundle", bundle.str(), "c"]).run();
    let with_mode = |mode: u32| fs::set_permissions(&root, fs::Permissions::from_mode(mode)).expect("chmod");
    fs::create_dir(&root).expect("mkdir");
    // What no mask of 002 makes was opened on purpose.
    for mode in [0o777, 0o770] {
        with_mode(mode);
        run().fails(1, &["writable by others"]);
    }
    with_mode(0o775);
    let user = nix::unistd::User::from_uid(nix::unistd::getuid()).ok().flatten().expect("a user");
    let group = nix::unistd::Group::from_gid(nix::unistd::getgid()).ok().flatten();
    if group.is_some_and(|group| group.name == user.name && group.mem.iter().all(|member| *member == user.name)) {
        run().success();
    } else {
        run().fails(1, &["writable by others"]);
    }
}
