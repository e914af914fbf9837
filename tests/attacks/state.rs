//! Row 23: a planted state directory, and ids that are paths.
use super::identity;
use crate::support::{Bundle, Output, Stage, program, uid};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::Command;

#[test]
fn row_23_a_root_that_is_a_link_is_refused_and_nothing_written() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let elsewhere = stage.dir().join("elsewhere");
    fs::create_dir(&elsewhere).expect("mkdir");
    symlink(&elsewhere, stage.root()).expect("symlink");
    // The control: a write by name goes through the link.
    fs::write(stage.root().join("control"), "").expect("write");
    assert!(elsewhere.join("control").exists());
    let out = stage.in_bundle(&bundle, &["create", "c"]);
    let names: Vec<_> = fs::read_dir(&elsewhere).expect("read").map(|e| e.expect("an entry").file_name()).collect();
    fs::remove_file(stage.root()).expect("remove the link");
    assert_ne!(out.code, 0, "{out:?}");
    assert_eq!(names, ["control"]);
    assert_eq!(stage.wait_no_processes(), Vec::<String>::new());
}

/// Refused, or made safe first; in either case nothing may be left that others can write to.
fn refused_or_closed(stage: &Stage, out: &Output) {
    if out.code == 0 {
        assert_eq!(fs::metadata(stage.root()).expect("the root").mode() & 0o077, 0, "left open to others");
        stage.remove("c");
    } else {
        assert!(!out.stderr.is_empty());
        assert_eq!(stage.containers(), Vec::<String>::new());
    }
}

#[test]
fn row_23_a_root_that_others_may_write_is_refused_or_closed() {
    for mode in [0o777, 0o770, 0o702, 0o1777, 0o2770] {
        let stage = Stage::new();
        let bundle = stage.bundle();
        fs::create_dir(stage.root()).expect("mkdir");
        // The control: the same directory, closed.
        fs::set_permissions(stage.root(), fs::Permissions::from_mode(0o700)).expect("chmod");
        stage.in_bundle(&bundle, &["run", "c"]).success();
        fs::set_permissions(stage.root(), fs::Permissions::from_mode(mode)).expect("chmod");
        refused_or_closed(&stage, &stage.in_bundle(&bundle, &["create", "c"]));
        // Named by the user it is no other.
        let root = stage.root().display().to_string();
        refused_or_closed(&stage, &stage.in_bundle(&bundle, &["--root", &root, "create", "c"]));
    }
}

/// Gives a directory to one of our subordinate ids, which is somebody else as far as files go.
fn give_away(dir: &std::path::Path) {
    let status = Command::new("unshare").args(["--map-root-user", "--map-auto", "chown", "1:1"]).arg(dir).status();
    assert!(status.expect("unshare").success());
}

#[test]
fn row_23_a_root_of_another_user_is_refused() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    // /proc/sys belongs to root and is no place of ours; so does a directory under /tmp that root made first.
    for root in ["/", "/usr/lib", "/proc/sys"] {
        let out = stage.in_bundle(&bundle, &["--root", root, "create", "c"]);
        assert_eq!(out.code, 1, "{root}: {out:?}");
    }
    if identity::subordinate().is_none() {
        return;
    }
    // One that we may write to in every way, and that its owner may replace at any time.
    let planted = stage.dir().join("planted");
    fs::create_dir(&planted).expect("mkdir");
    fs::set_permissions(&planted, fs::Permissions::from_mode(0o777)).expect("chmod");
    let named = planted.display().to_string();
    give_away(&planted);
    fs::write(planted.join("control"), "").expect("the control: it can be written to");
    for verb in ["create", "run", "list", "state"] {
        let args = if verb == "list" { vec!["--root", &named, verb] } else { vec!["--root", &named, verb, "c"] };
        stage.in_bundle(&bundle, &args).fails(1, &["belongs to uid"]);
    }
    assert_eq!(fs::read_dir(&planted).expect("read").count(), 1);
}

#[test]
fn row_23_a_container_directory_that_is_a_link_is_never_followed() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    stage.rrunc(&["list"]).success();
    fs::create_dir_all(stage.root()).expect("mkdir");
    fs::set_permissions(stage.root(), fs::Permissions::from_mode(0o700)).expect("chmod");
    let precious = stage.dir().join("precious");
    fs::create_dir(&precious).expect("mkdir");
    fs::write(precious.join("file"), "").expect("write");
    fs::write(precious.join("state.json"), "{}").expect("write");
    symlink(&precious, stage.root().join("c")).expect("symlink");
    // The control: the name does lead there.
    assert!(stage.root().join("c/file").exists());
    assert_ne!(stage.in_bundle(&bundle, &["create", "c"]).code, 0);
    for args in [&["state", "c"][..], &["start", "c"], &["kill", "c", "KILL"], &["exec", "c", "true"], &["delete", "c"]]
    {
        assert_ne!(stage.rrunc(args).code, 0, "{args:?}");
    }
    let forced = stage.rrunc(&["delete", "--force", "c"]);
    assert!(precious.join("file").exists() && precious.join("state.json").exists(), "{forced:?}");
    let _gone = fs::remove_file(stage.root().join("c"));
}

#[test]
fn row_23_links_inside_a_state_directory_are_not_followed_when_it_is_removed() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let precious = stage.dir().join("precious");
    fs::create_dir(&precious).expect("mkdir");
    fs::write(precious.join("file"), "").expect("write");
    stage.in_bundle(&bundle, &["create", "c"]).success();
    symlink(&precious, stage.root().join("c/planted")).expect("symlink");
    stage.remove("c");
    assert!(precious.join("file").exists());
}

#[test]
fn row_23_ids_cannot_be_paths() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let victim = stage.xdg().join("victim");
    fs::create_dir(&victim).expect("mkdir");
    for id in ["..", ".", "../victim", "/etc", "a/../../victim", "a\nb", "a\u{1b}[31m", "a\u{7f}", " ", "\u{202e}x"] {
        for verb in ["create", "run", "state", "start", "kill", "delete"] {
            let out = stage.in_bundle(&bundle, &[verb, "--", id]);
            assert_eq!(out.code, 1, "{verb} {id:?}: {out:?}");
            assert!(!out.stderr.contains('\u{1b}'), "{verb} {id:?} is echoed raw: {out:?}");
        }
        stage.in_bundle(&bundle, &["delete", "--force", "--", id]);
        assert!(victim.is_dir(), "{id:?} removed a directory outside the root");
    }
    assert_eq!(stage.containers(), Vec::<String>::new());
    // The control: a plain id works in the same place.
    stage.in_bundle(&bundle, &["run", "plain"]).success();
}

#[test]
fn row_23_a_runtime_directory_that_is_no_place_of_ours_is_not_written_to() {
    if program() != "rrunc" {
        return;
    }
    let stage = Stage::new();
    let bundle = stage.bundle();
    let tmp = stage.dir().join("tmp");
    fs::create_dir(&tmp).expect("mkdir");
    for place in ["/usr", "/proc/self/fd", "relative/path", "/no/such/dir"] {
        let call = stage.call(&["run", "c"]).cwd(bundle.path());
        let out = call.env("XDG_RUNTIME_DIR", place).env("TMPDIR", &tmp).run();
        assert!(out.code == 1 || out.code == 0, "{place}: {out:?}");
        assert!(!std::path::Path::new(place).join("rrunc").exists(), "{place} was written to");
    }
}

/// A run without any runtime directory, whose temporary directory is `stage/tmp`.
fn fall_back(stage: &Stage, bundle: &Bundle) -> Output {
    let call = stage.call(&["run", "c"]).cwd(bundle.path());
    call.no_env("XDG_RUNTIME_DIR").env("TMPDIR", stage.dir().join("tmp")).run()
}

#[test]
fn row_23_the_fallback_under_tmp_is_checked() {
    if program() != "rrunc" || fs::exists(format!("/run/user/{}", uid())).expect("stat") {
        return;
    }
    let stage = Stage::new();
    let bundle = stage.bundle();
    let tmp = stage.dir().join("tmp");
    fs::create_dir(&tmp).expect("mkdir");
    let root = tmp.join(format!("rrunc-{}", uid()));
    // The control: nothing is there, and a private directory is made.
    fall_back(&stage, &bundle).success();
    let meta = fs::symlink_metadata(&root).expect("the fallback");
    assert_eq!((meta.is_dir(), meta.mode() & 0o077, meta.uid()), (true, 0, uid()));
    assert_eq!(fs::read_dir(&root).expect("read").count(), 0);
    fs::remove_dir(&root).expect("rmdir");

    let elsewhere = stage.dir().join("elsewhere");
    fs::create_dir(&elsewhere).expect("mkdir");
    symlink(&elsewhere, &root).expect("symlink");
    fall_back(&stage, &bundle).fails(1, &["a link"]);
    fs::remove_file(&root).expect("remove");
    assert_eq!(fs::read_dir(&elsewhere).expect("read").count(), 0);

    fs::write(&root, "a file").expect("write");
    fall_back(&stage, &bundle).exits(1);
    assert_eq!(fs::read_to_string(&root).expect("read"), "a file");
    fs::remove_file(&root).expect("remove");

    for mode in [0o777, 0o770] {
        fs::create_dir(&root).expect("mkdir");
        fs::set_permissions(&root, fs::Permissions::from_mode(mode)).expect("chmod");
        fall_back(&stage, &bundle).fails(1, &["writable by others"]);
        assert_eq!(fs::read_dir(&root).expect("read").count(), 0);
        fs::remove_dir(&root).expect("rmdir");
    }
    if identity::subordinate().is_some() {
        fs::create_dir(&root).expect("mkdir");
        fs::set_permissions(&root, fs::Permissions::from_mode(0o777)).expect("chmod");
        give_away(&root);
        fall_back(&stage, &bundle).fails(1, &["belongs to uid"]);
        assert_eq!(fs::read_dir(&root).expect("read").count(), 0);
        fs::remove_dir(&root).expect("rmdir");
    }
}

/// The record of container c, with what `change` makes of it.
fn forge(stage: &Stage, change: impl FnOnce(&mut Value)) {
    let path = stage.root().join("c/state.json");
    let mut record = serde_json::from_slice(&fs::read(&path).expect("read")).expect("JSON");
    change(&mut record);
    fs::write(path, record.to_string()).expect("write");
}

#[test]
fn row_23_a_damaged_or_forged_record_is_an_error_that_names_it_and_is_cleared_away() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.args(&["sleep", "3600"]);
    type Forger = fn(&Stage);
    let forgers: [(&str, Forger); 7] = [
        ("no JSON", |stage| fs::write(stage.root().join("c/state.json"), "{\"version\": 1, ").expect("write")),
        ("huge", |stage| {
            let file = fs::File::options().write(true).open(stage.root().join("c/state.json")).expect("open");
            file.set_len(1 << 40).expect("grow");
        }),
        ("a fifo", |stage| {
            let path = stage.root().join("c/state.json");
            fs::remove_file(&path).expect("remove");
            nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("mkfifo");
        }),
        ("a link", |stage| {
            let path = stage.root().join("c/state.json");
            fs::rename(&path, stage.dir().join("moved")).expect("rename");
            symlink(stage.dir().join("moved"), path).expect("symlink");
        }),
        ("another's", |stage| forge(stage, |record| record["id"] = "other".into())),
        ("a cgroup", |stage| forge(stage, |record| record["cgroup"] = "/sys/fs/cgroup/../cgroup".into())),
        ("a pid", |stage| forge(stage, |record| record["pid"] = (-1).into())),
    ];
    for (what, forge) in forgers {
        stage.in_bundle(&bundle, &["create", "c"]).success();
        let pid = stage.pid("c");
        forge(&stage);
        for args in [
            &["state", "c"][..],
            &["start", "c"],
            &["kill", "c", "KILL"],
            &["exec", "c", "true"],
            &["ps", "c"],
            &["delete", "c"],
        ] {
            let out = stage.rrunc(args);
            assert!(out.code != 0 && out.stderr.contains("c/state.json"), "{what}: {args:?}: {out:?}");
        }
        // Nothing in it was believed.
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None).expect("the control: its process is there still");
        stage.rrunc(&["delete", "--force", "c"]).success();
        assert_eq!(stage.containers(), Vec::<String>::new(), "{what}");
        assert!(what != "a link" || stage.dir().join("moved").exists(), "the link was followed");
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).expect("kill");
    }
}

#[test]
fn row_23_a_record_with_other_namespaces_than_those_of_the_container_is_an_error() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.args(&["sleep", "3600"]);
    // In a cgroup of its own that is what tells its processes.
    stage.in_bundle(&bundle, &["--cgroup-manager", "disabled", "create", "c"]).success();
    stage.rrunc(&["start", "c"]).success();
    stage.rrunc(&["exec", "c", "true"]).success();
    stage.rrunc(&["ps", "c"]).success();
    let own = |kind: &str| fs::metadata(format!("/proc/self/ns/{kind}")).expect("our namespace").ino();
    let moved = "has entered another user namespace";
    for (user, pid, why) in [(1, 1, "state.json"), (0, 0, "state.json"), (own("user"), own("pid"), moved)] {
        forge(&stage, |record| {
            let text = record["decided"].as_str().expect("a text");
            let words = text.split(' ').map(|word| match word.split_once('=') {
                Some(("user", _)) => format!("user={user}"),
                Some(("pid", _)) => format!("pid={pid}"),
                _ => word.to_owned(),
            });
            record["decided"] = words.collect::<Vec<_>>().join(" ").into();
        });
        stage.rrunc(&["exec", "c", "true"]).fails(255, &[why]);
        stage.rrunc(&["ps", "c"]).fails(1, &["state.json"]);
    }
    stage.remove("c");
}

/// A container of an rrunc that has kept no record of its namespaces.
#[test]
fn row_23_a_record_of_an_older_rrunc_does_for_all_verbs() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.args(&["sleep", "3600"]);
    stage.in_bundle(&bundle, &["create", "c"]).success();
    forge(&stage, |record| drop(record.as_object_mut().expect("an object").remove("decided")));
    stage.rrunc(&["exec", "c", "true"]).success();
    stage.rrunc(&["start", "c"]).success();
    assert_eq!(stage.rrunc(&["exec", "c", "id", "-u"]).success().stdout, "0\n");
    assert!(stage.rrunc(&["ps", "c"]).success().stdout.contains("sleep"));
    stage.rrunc(&["list"]).success();
    stage.rrunc(&["kill", "--all", "c", "KILL"]).success();
    stage.wait_status("c", "stopped");
    stage.rrunc(&["delete", "c"]).success();
}
