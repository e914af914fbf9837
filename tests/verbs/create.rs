//! `create`: everything is built, nothing runs.
use crate::support::{Stage, namespace, program, uid};
use serde_json::json;
use std::fs;
use std::os::unix::fs::MetadataExt;

#[test]
fn the_program_waits_for_start() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.set("/root/readonly", json!(false)).script("touch /ran");
    stage.in_bundle(&bundle, &["create", "c"]).success().prints("");
    assert_eq!(stage.status("c"), "created");
    assert!(!bundle.rootfs().join("ran").exists());
    stage.rrunc(&["start", "c"]).success().prints("");
    stage.wait_status("c", "stopped");
    assert!(bundle.rootfs().join("ran").exists());
    stage.rrunc(&["delete", "c"]).success().prints("");
}

#[test]
fn a_quiet_create_writes_nothing_to_stderr() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let out = stage.in_bundle(&bundle, &["create", "c"]).success();
    assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("", ""), "clients fail on unexpected stderr");
    stage.remove("c");
}

#[test]
fn an_id_in_use_is_an_error_and_changes_nothing() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    stage.in_bundle(&bundle, &["create", "c"]).success();
    let pid = stage.pid("c");
    stage.in_bundle(&bundle, &["create", "c"]).fails(1, &["container with given ID already exists"]);
    stage.in_bundle(&bundle, &["run", "c"]).fails(1, &["container with given ID already exists"]);
    assert_eq!((stage.pid("c"), stage.status("c").as_str()), (pid, "created"));
    stage.remove("c");
}

#[test]
fn bad_ids_are_refused_and_make_nothing() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    for id in [".", "..", "a/b", "/a", "a b", "a\u{1}", "é", "../../escape"] {
        stage.in_bundle(&bundle, &["create", "--", id]).fails(1, &["invalid container ID format"]);
    }
    stage.in_bundle(&bundle, &["create", ""]).fails(1, &["container id cannot be empty"]);
    assert_eq!(stage.containers(), Vec::<String>::new());
    for id in ["A-z_0+9.x", "...", "-x"] {
        stage.in_bundle(&bundle, &["create", "--", id]).success();
        stage.rrunc(&["delete", "--force", "--", id]).success();
    }
}

#[test]
fn pid_file_holds_the_bare_pid_when_create_returns() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    // Relative to the caller's directory, not to the bundle.
    stage.call(&["create", "--bundle", bundle.str(), "--pid-file", "init.pid", "c"]).cwd(stage.dir()).run().success();
    let pid = fs::read_to_string(stage.dir().join("init.pid")).expect("the pid file");
    assert_eq!(pid, stage.pid("c").to_string());
    assert!(fs::metadata(format!("/proc/{pid}")).is_ok());
    stage.remove("c");
}

#[test]
fn a_pid_file_that_cannot_be_written_fails_and_leaves_nothing() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let create = stage.in_bundle(&bundle, &["create", "--pid-file", "/no/such/dir/pid", "c"]);
    create.fails(1, &["no such file or directory"]);
    assert_eq!(stage.wait_no_processes(), Vec::<String>::new());
    stage.rrunc(&["delete", "--force", "c"]).success();
}

#[test]
fn later_edits_of_the_config_change_nothing() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.script("echo first");
    let create = stage.in_bundle(&bundle, &["create", "c"]).success();
    assert_eq!(create.stdout, "");
    bundle.set("/root/readonly", json!(false)).script("touch /second");
    stage.rrunc(&["start", "c"]).success();
    stage.wait_status("c", "stopped");
    assert!(!bundle.rootfs().join("second").exists());
    stage.rrunc(&["delete", "c"]).success();
}

#[test]
fn the_namespaces_of_a_created_container_are_readable_and_new() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    stage.in_bundle(&bundle, &["create", "c"]).success();
    let pid = stage.pid("c").to_string();
    for name in ["user", "pid", "mnt", "ipc", "uts", "net"] {
        assert_ne!(namespace(&pid, name), namespace("self", name), "{name} is the host's");
    }
    assert_eq!(namespace(&pid, "time"), namespace("self", "time"), "time was not asked for");
    stage.remove("c");
}

#[test]
fn a_terminal_needs_a_console_socket() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.set("/process/terminal", json!(true));
    let text = format!("cannot allocate tty if {} will detach without setting console socket", program());
    stage.in_bundle(&bundle, &["create", "c"]).fails(1, &[&text]);
    stage.in_bundle(&bundle, &["run", "-d", "c"]).fails(1, &[&text]);
    assert_eq!(stage.containers(), Vec::<String>::new());
}

#[test]
fn a_console_socket_without_a_terminal_is_refused() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let text = format!("cannot use console socket if {} will not detach or allocate tty", program());
    stage.in_bundle(&bundle, &["create", "--console-socket", "/x", "c"]).fails(1, &[&text]);
    assert_eq!(stage.containers(), Vec::<String>::new());
}

#[test]
fn a_missing_program_is_known_at_create() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.args(&["no-such-program"]);
    stage.in_bundle(&bundle, &["create", "c"]).fails(
        1,
        &[&format!("{} create failed: ", program()), "exec: \"no-such-program\": executable file not found in $PATH"],
    );
    bundle.args(&["/no/program"]);
    stage
        .in_bundle(&bundle, &["create", "c"])
        .fails(1, &["exec: \"/no/program\": stat /no/program: no such file or directory"]);
    bundle.args(&["/etc/passwd"]);
    stage.in_bundle(&bundle, &["create", "c"]).fails(1, &["exec: \"/etc/passwd\": permission denied"]);
    assert_eq!(stage.containers(), Vec::<String>::new());
}

#[test]
fn programs_are_looked_up_in_the_containers_path() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let tool = bundle.rootfs().join("opt");
    fs::create_dir_all(&tool).expect("mkdir");
    std::os::unix::fs::symlink("/bin/echo", tool.join("mytool")).expect("symlink");
    fs::copy(bundle.rootfs().join("bin/busybox"), tool.join("echo")).expect("copy");
    bundle.set("/process/env", json!(["PATH=/opt"])).args(&["echo", "found"]);
    stage.run(&bundle).success().prints("found\n");
    bundle.args(&["cat"]);
    stage.run(&bundle).fails(1, &["executable file not found in $PATH"]);
}

#[test]
fn state_is_private_to_the_user() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    stage.in_bundle(&bundle, &["create", "c"]).success();
    let root = fs::metadata(stage.root()).expect("the root");
    assert_eq!((root.mode() & 0o777, root.uid()), (0o700, uid()));
    stage.remove("c");
}

#[test]
fn root_option_moves_the_state() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let root = stage.dir().join("elsewhere");
    let root = root.to_str().expect("plain");
    stage.in_bundle(&bundle, &["--root", root, "create", "c"]).success();
    stage.rrunc(&["state", "c"]).fails(1, &["container does not exist"]);
    stage.rrunc(&["--root", root, "state", "c"]).success();
    stage.rrunc(&["--root", root, "delete", "--force", "c"]).success();
    assert_eq!(fs::read_dir(root).expect("the root").count(), 0);
}
