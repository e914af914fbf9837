//! Control groups that make trouble: nested beyond measure, of threads, frozen, left by a killed rrunc, used by others.
//! Every container can be listed, ended and removed all the same.
use crate::cgroups::{below, delegated, directory};
use crate::support::{Stage, wait_for};
use nix::fcntl::{OFlag, openat};
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, mkdirat};
use serde_json::json;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

/// Nests cgroups in `top`, more than a path can lead to.
fn nest(top: &Path) {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut at = OwnedFd::from(File::open(top).expect("the cgroup"));
    for _ in 0..1000 {
        mkdirat(&at, "deeper", Mode::S_IRWXU).expect("another cgroup");
        at = openat(&at, "deeper", flags, Mode::empty()).expect("the new one");
    }
}

#[test]
fn a_container_that_nests_cgroups_beyond_all_paths_is_listed_killed_and_removed() {
    let Some(own) = delegated() else { return };
    let stage = Stage::new();
    let bundle = stage.bundle();
    stage.running(&bundle, "c");
    let dir = directory(&stage, &own, "c");
    nest(&dir);
    let pid = stage.pid("c").to_string();
    let listed = stage.rrunc(&["ps", "--format", "json", "c"]).success().stdout;
    assert!(listed.contains(&pid), "{listed}");
    stage.rrunc(&["kill", "c", "KILL"]).success();
    stage.wait_status("c", "stopped");
    stage.rrunc(&["delete", "c"]).success();
    assert!(!dir.exists());
}

#[test]
fn threads_in_a_cgroup_of_their_own_hide_no_process() {
    if delegated().is_none() {
        return;
    }
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.with_cgroups().script(
        "cd /sys/fs/cgroup && mkdir t && echo threaded >t/cgroup.type && { sleep 3600 & } && echo $! >t/cgroup.threads && \
         echo there; exec sleep 3600",
    );
    let mut container = stage.call(&["run", "c"]).cwd(bundle.path()).spawn();
    container.wait_stdout("there");
    let listed = stage.rrunc(&["ps", "--format", "json", "c"]).success().stdout;
    assert_eq!(listed.split(',').count(), 2, "{listed}");
    stage.rrunc(&["kill", "--all", "c", "KILL"]).success();
    container.wait();
    assert_eq!(stage.wait_no_processes(), Vec::<String>::new());
}

#[test]
fn an_exec_that_is_stopped_as_it_enters_does_not_hold_up_resume() {
    if delegated().is_none() {
        return;
    }
    let stage = Stage::new();
    stage.running(&stage.bundle(), "c");
    stage.rrunc(&["pause", "c"]).success();
    let exec = stage.call(&["exec", "--ignore-paused", "c", "true"]).spawn();
    // The lock is taken before the process is made.
    wait_for("exec's process in the cgroup", || {
        let listed = stage.rrunc(&["ps", "--format", "json", "c"]).success().stdout;
        (listed.split(',').count() == 2).then_some(())
    });
    stage.rrunc(&["resume", "c"]).success();
    exec.wait().success();
    stage.remove("c");
}

#[test]
fn what_outlives_the_first_process_ends_when_the_container_is_deleted() {
    let Some(own) = delegated() else { return };
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.edit(|config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().expect("a list");
        namespaces.retain(|space| space["type"] != "pid");
    });
    // It ends by itself, when it is told.
    let script = "(setsid sleep 3602 &); while [ ! -e /end ]; do sleep 0.01; done";
    for force in [&[][..], &["--force"]] {
        bundle.script(script);
        let end = bundle.rootfs().join("end");
        stage.in_bundle(&bundle, &["run", "--detach", "c"]).success();
        let dir = directory(&stage, &own, "c");
        wait_for("the daemon", || stage.processes().iter().any(|p| p.contains("3602")).then_some(()));
        fs::write(&end, "").expect("end it");
        stage.wait_status("c", "stopped");
        assert!(stage.processes().iter().any(|p| p.contains("3602")), "nothing is left to end");
        stage.rrunc(&[&["delete"], force, &["c"]].concat()).success();
        assert_eq!(stage.wait_no_processes(), Vec::<String>::new());
        assert!(!dir.exists());
        fs::remove_file(end).expect("remove it");
    }
}

#[test]
fn a_named_cgroup_that_another_container_uses_meanwhile_is_left_to_it() {
    let Some(own) = delegated() else { return };
    let stage = Stage::new();
    let bundle = stage.bundle();
    let name = format!("shared-{}", std::process::id());
    bundle.set("/linux/cgroupsPath", json!(name));
    stage.running(&bundle, "first");
    stage.rrunc(&["kill", "first", "KILL"]).success();
    stage.wait_status("first", "stopped");
    stage.running(&bundle, "second");
    fs::create_dir(own.join(&name).join("its-own")).expect("a cgroup of the second");
    let out = stage.rrunc(&["delete", "first"]).success();
    assert!(out.stderr.contains("it has processes of others"), "{}", out.stderr);
    assert_eq!(stage.status("second"), "running");
    assert!(own.join(&name).join("its-own").is_dir());
    stage.remove("second");
    assert!(!own.join(&name).exists());
}

#[test]
fn of_two_that_want_one_named_cgroup_at_once_only_one_gets_it() {
    let Some(own) = delegated() else { return };
    let stage = Stage::new();
    let bundle = stage.bundle();
    let name = format!("wanted-{}", std::process::id());
    bundle.set("/linux/cgroupsPath", json!(name));
    for _ in 0..10 {
        let both = ["a", "b"].map(|id| (id, stage.call(&["create", id]).cwd(bundle.path()).spawn()));
        let made: Vec<_> =
            both.into_iter().map(|(id, call)| (id, call.wait())).filter(|(_, out)| out.code == 0).collect();
        assert_eq!(made.len(), 1, "{made:?}");
        stage.in_bundle(&bundle, &["create", "c"]).fails(1, &["container's cgroup is not empty"]);
        assert_eq!(stage.status(made[0].0), "created");
        stage.remove(made[0].0);
        assert!(!own.join(&name).exists());
    }
}

#[test]
fn a_first_process_that_ends_at_once_is_an_error_and_not_waited_for() {
    let Some(own) = delegated() else { return };
    let stage = Stage::new();
    let bundle = stage.bundle();
    let name = format!("killed-{}", std::process::id());
    let dir = own.join(&name);
    // While it waits for the hook.
    let kill = format!("echo 1 > {}/cgroup.kill", dir.display());
    let hook = json!([{"path": "/bin/sh", "args": ["sh", "-c", kill]}]);
    bundle.set("/linux/cgroupsPath", json!(name)).set("/hooks/createRuntime", hook);
    stage.call(&["create", "c"]).cwd(bundle.path()).within(Duration::from_secs(20)).run().exits(1);
    assert!(stage.containers().is_empty() && !dir.exists());
}

#[test]
fn a_create_that_is_killed_half_way_leaves_no_cgroup_behind() {
    let Some(own) = delegated() else { return };
    let stage = Stage::new();
    let bundle = stage.bundle();
    let mine = || below(&own).into_iter().filter(|name| name.starts_with("rrunc-half-made-")).collect::<Vec<_>>();
    let mut seen = 0;
    for _ in 0..20 {
        let call = stage.call(&["create", "half-made"]).cwd(bundle.path()).spawn();
        // As soon as the cgroup is there, which is long before the first process is known.
        let begin = Instant::now();
        while mine().is_empty() && begin.elapsed().as_secs() < 60 {
            std::hint::spin_loop();
        }
        call.signal(Signal::SIGKILL);
        call.wait();
        seen += mine().len();
        stage.rrunc(&["delete", "--force", "half-made"]).success();
        assert_eq!(mine(), Vec::<String>::new());
        assert!(stage.containers().is_empty());
    }
    assert!(seen > 0, "no call was ever interrupted with a cgroup: the test shows nothing");
}
