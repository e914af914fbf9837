//! Control groups: a container's own where the tree is delegated, the freezer, and what is refused.
use crate::support::{Lacks, Stage, skip, wait_for};
use serde_json::json;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The directory of our own cgroup in the v2 tree.
fn own_cgroup() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").expect("the mounts");
    let root = mounts.lines().find_map(|line| {
        let fields: Vec<_> = line.split(' ').collect();
        (fields[2] == "cgroup2").then(|| fields[1].to_owned())
    })?;
    let member = fs::read_to_string("/proc/self/cgroup").expect("our cgroups");
    let path = member.lines().find_map(|line| line.strip_prefix("0::"))?;
    let directory = Path::new(&root).join(path.trim_start_matches('/'));
    directory.is_dir().then_some(directory)
}

/// Owner and mode of the directory and of every file in it.
fn owners(directory: &Path) -> Vec<(PathBuf, u32, u32, u32)> {
    let files = fs::read_dir(directory).expect("read a cgroup").map(|entry| entry.expect("an entry").path());
    let mut all: Vec<_> = files.filter(|path| path.is_file()).chain([directory.to_owned()]).collect();
    all.sort();
    let owner = |path: PathBuf| {
        let meta = fs::metadata(&path).expect("stat");
        (path, meta.uid(), meta.gid(), meta.mode())
    };
    all.into_iter().map(owner).collect()
}

/// Our own cgroup, if it is delegated to us; else the test is skipped.
pub fn delegated() -> Option<PathBuf> {
    let own = own_cgroup().filter(|dir| nix::unistd::access(dir, nix::unistd::AccessFlags::W_OK).is_ok());
    if own.is_none() {
        skip(Lacks::Machine("a cgroup v2 tree that is delegated to the account"));
    }
    own
}

/// The cgroup of a process in the v2 tree, as the host sees it.
pub fn cgroup_of(pid: i32) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("its cgroups");
    text.lines().find_map(|line| line.strip_prefix("0::")).expect("v2").to_owned()
}

/// The directory of the cgroup of the container `id`, which is made in `parent`.
pub fn directory(stage: &Stage, parent: &Path, id: &str) -> PathBuf {
    parent.join(cgroup_of(stage.pid(id)).rsplit('/').next().expect("a name"))
}

/// The names of the cgroups below `directory`.
pub fn below(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("read a cgroup").map(|entry| entry.expect("an entry").path());
    entries
        .filter(|path| path.is_dir())
        .map(|path| path.file_name().expect("a name").to_string_lossy().into())
        .collect()
}

#[test]
fn without_a_cgroup_of_its_own_a_container_is_in_the_callers_and_gives_none_away() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let own = fs::read_to_string("/proc/self/cgroup").expect("our cgroups");
    let disabled = ["--cgroup-manager", "disabled"];
    bundle.args(&["cat", "/proc/self/cgroup"]);
    stage.in_bundle(&bundle, &[&disabled[..], &["run", "c"]].concat()).success().prints(&own);

    let Some(directory) = own_cgroup() else { return skip(Lacks::Machine("there is no cgroup v2 tree")) };
    let before = owners(&directory);
    // What would ask for the ownership: a cgroup namespace and a writable mount.
    bundle.with_cgroups().args(&["sleep", "3600"]);
    stage.in_bundle(&bundle, &[&disabled[..], &["create", "c"]].concat()).success();
    stage.rrunc(&["start", "c"]).success();
    let pid = stage.pid("c");
    assert_eq!(fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("its cgroups"), own);
    assert_eq!(owners(&directory), before);
    for verb in ["pause", "resume"] {
        let text = if verb == "pause" { "cgroups not configured for container" } else { "container not paused" };
        stage.rrunc(&[verb, "c"]).fails(1, &[text]);
    }
    stage.remove("c");
    assert_eq!(owners(&directory), before);
}

#[test]
fn a_container_is_born_in_a_cgroup_of_its_own_and_takes_it_along() {
    let Some(directory) = delegated() else { return };
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.set("/linux/namespaces/-", json!({"type": "cgroup"}));
    bundle.script("grep ^0:: /proc/self/cgroup; sleep 3600 & sleep 3600");
    stage.in_bundle(&bundle, &["create", "own"]).success();
    let pid = stage.pid("own");
    let name = cgroup_of(pid).rsplit('/').next().expect("a name").to_owned();
    assert!(name.starts_with("rrunc-own-") && below(&directory).contains(&name), "{name}");
    stage.rrunc(&["start", "own"]).success();
    // The root of its cgroup namespace is that cgroup, and what comes later is in it too.
    stage.rrunc(&["exec", "own", "grep", "^0::", "/proc/self/cgroup"]).success().prints("0::/\n");
    let listed = stage.rrunc(&["ps", "--format", "json", "own"]).success().stdout;
    assert!(listed.contains(&pid.to_string()), "{listed}");
    stage.rrunc(&["delete", "--force", "own"]).success();
    assert!(!below(&directory).contains(&name));
    assert_eq!(stage.wait_no_processes(), Vec::<String>::new());
    // Neither a run nor a create that fails leaves one.
    bundle.args(&["true"]);
    stage.in_bundle(&bundle, &["run", "own"]).success();
    bundle.args(&["/no/such"]);
    stage.in_bundle(&bundle, &["create", "own"]).exits(1);
    bundle.set("/hostname", json!("x".repeat(99)));
    stage.in_bundle(&bundle, &["run", "own"]).exits(1);
    assert!(!below(&directory).iter().any(|name| name.starts_with("rrunc-own-")), "{:?}", below(&directory));
}

#[test]
fn exec_joins_the_containers_cgroup_or_one_below_it() {
    if delegated().is_none() {
        return;
    }
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.with_cgroups();
    // A container that arranges its own cgroups, and is in one of them itself.
    bundle.script(
        "mkdir -p /sys/fs/cgroup/a/b /sys/fs/cgroup/init && echo 0 >/sys/fs/cgroup/init/cgroup.procs && echo there; sleep 3600",
    );
    let mut container = stage.call(&["run", "c"]).cwd(bundle.path()).spawn();
    container.wait_stdout("there");
    let of = |args: &[&str]| stage.rrunc(&[&["exec"], args, &["c", "grep", "^0::", "/proc/self/cgroup"]].concat());
    of(&[]).success().prints("0::/\n");
    of(&["--cgroup", "a/b"]).success().prints("0::/a/b\n");
    of(&["--cgroup", "/a"]).success().prints("0::/a\n");
    of(&["--cgroup", "/"]).success().prints("0::/\n");
    of(&["--cgroup", "none"]).fails(255, &["invalid --cgroup argument: there is no none in ", "below its own"]);
    of(&["--cgroup", "../a"]).fails(255, &["bad sub cgroup path: ../a"]);
    of(&["--cgroup", "memory:a"]).fails(255, &["invalid --cgroup argument: memory:a"]);
    of(&["--cgroup", "a", "--cgroup", "b"]).fails(255, &["invalid --cgroup argument"]);
    // Controllers for those below: now no process may be in the container's own.
    let given = stage.rrunc(&["exec", "c", "sh", "-c", "echo +hugetlb >/sys/fs/cgroup/cgroup.subtree_control"]);
    if given.code == 0 {
        of(&[]).success().prints("0::/init\n");
    }
    stage.rrunc(&["delete", "--force", "c"]).success();
    container.wait();
    stage.in_bundle(&bundle, &["--cgroup-manager", "disabled", "create", "c"]).success();
    of(&["--cgroup", "a"]).fails(255, &["the container has no cgroup of its own"]);
    stage.remove("c");
}

#[test]
fn exec_from_where_the_cgroup_cannot_be_entered_says_so_and_a_named_one_is_an_error() {
    let Some(own) = delegated() else { return };
    let stage = Stage::new();
    let bundle = stage.bundle();
    let apart = own.join(format!("apart-{}", std::process::id()));
    fs::create_dir_all(apart.join("from")).expect("a cgroup");
    bundle.set("/linux/cgroupsPath", json!(format!("{}/c", apart.file_name().expect("a name").display())));
    stage.running(&bundle, "c");
    fs::create_dir(apart.join("c/below")).expect("a cgroup");
    // One who may not write here may move no process between those below.
    let leave = format!("cd {0} && echo $$ >from/cgroup.procs && chmod 444 cgroup.procs", apart.display());
    let exec = |args: &[&str]| stage.call_after(&leave, &[&["exec"], args, &["c", "true"]].concat()).run();
    let writable = || fs::set_permissions(apart.join("cgroup.procs"), fs::Permissions::from_mode(0o644));
    let said = exec(&[]).success().stderr;
    assert!(said.contains("stays in the caller's cgroup"), "{said}");
    writable().expect("chmod");
    exec(&["--cgroup", "below"])
        .fails(255, &["enter the cgroup that --cgroup names", "Permission denied", "systemd-run"]);
    writable().expect("chmod");
    stage.remove("c");
    fs::remove_dir(apart.join("from")).expect("empty");
    fs::remove_dir(&apart).expect("empty");
}

#[test]
fn what_exec_has_begun_in_a_paused_container_ends_with_it() {
    let Some(parent) = delegated() else { return };
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.with_cgroups();
    for force in [true, false] {
        stage.running(&bundle, "c");
        let dir = directory(&stage, &parent, "c");
        stage.rrunc(&["pause", "c"]).success();
        let exec = stage.call(&["exec", "--ignore-paused", "c", "true"]).spawn();
        let members = || fs::read_to_string(dir.join("cgroup.procs")).expect("the members").lines().count();
        wait_for("the process of exec to be there", || (members() == 2).then_some(()));
        stage.rrunc(&["kill", "c", "KILL"]).success();
        stage.wait_status("c", "stopped");
        stage.rrunc(&[&["delete"][..], if force { &["--force"] } else { &[] }, &["c"]].concat()).success();
        exec.wait().fails(255, &["the container has stopped"]);
        assert!(!dir.exists(), "{} is left", dir.display());
    }
}

#[test]
fn a_paused_container_stands_still_until_it_is_resumed() {
    if delegated().is_none() {
        return;
    }
    let stage = Stage::new();
    let bundle = stage.bundle();
    let counter = stage.dir().join("count");
    fs::create_dir(&counter).expect("mkdir");
    bundle.mount("/count", "bind", counter.to_str().expect("plain"), &["bind", "rw"]);
    bundle.script("i=0; while :; do i=$((i+1)); echo $i > /count/new; mv /count/new /count/n; sleep 0.01; done");
    stage.in_bundle(&bundle, &["run", "--detach", "c"]).success();
    let count = || fs::read_to_string(counter.join("n")).ok().and_then(|text| text.trim().parse::<u64>().ok());
    let first = wait_for("the first count", count);
    stage.rrunc(&["resume", "c"]).fails(1, &["container not paused"]);
    stage.rrunc(&["pause", "c"]).success();
    assert_eq!(stage.status("c"), "paused");
    stage.rrunc(&["pause", "c"]).fails(1, &["container not running"]);
    stage.rrunc(&["exec", "c", "true"]).fails(255, &["cannot exec in a paused container"]);
    let still = count();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(count(), still);
    stage.rrunc(&["resume", "c"]).success();
    assert_eq!(stage.status("c"), "running");
    wait_for("it to go on", || count().filter(|now| Some(*now) > still && *now > first));
    // What is paused can be ended all the same.
    stage.rrunc(&["pause", "c"]).success();
    stage.rrunc(&["delete", "--force", "c"]).success();
    assert_eq!(stage.wait_no_processes(), Vec::<String>::new());
    stage.rrunc(&["pause", "c"]).fails(1, &["does not exist"]);
}

#[test]
fn a_paused_container_refuses_every_start_until_it_is_resumed() {
    if delegated().is_none() {
        return;
    }
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.args(&["sleep", "3600"]);
    stage.in_bundle(&bundle, &["create", "c"]).success();
    stage.rrunc(&["pause", "c"]).success();
    // More than the gate has room for.
    for _ in 0..70 {
        stage.rrunc(&["start", "c"]).fails(1, &["cannot start a container in the paused state"]);
    }
    stage.rrunc(&["resume", "c"]).success();
    stage.rrunc(&["start", "c"]).success();
    assert_eq!(stage.status("c"), "running");
    stage.remove("c");
}

#[test]
fn a_named_cgroup_is_used_where_it_is_delegated_and_empty() {
    let Some(directory) = delegated() else { return };
    let stage = Stage::new();
    let bundle = stage.bundle();
    let name = format!("named-{}", std::process::id());
    let within = cgroup_of(std::process::id().cast_signed());
    for path in [name.clone(), format!("{within}/{name}/deep")] {
        bundle.set("/linux/cgroupsPath", json!(path)).args(&["sleep", "3600"]);
        stage.running(&bundle, "c");
        let expected = if path.starts_with('/') { path.clone() } else { format!("{within}/{path}") };
        assert_eq!(cgroup_of(stage.pid("c")), expected);
        // A second one does not get in there.
        stage.in_bundle(&bundle, &["create", "d"]).fails(1, &["container's cgroup is not empty"]);
        stage.remove("c");
        assert!(!directory.join(&path).exists());
    }
    fs::remove_dir(directory.join(&name)).expect("the way to it was made");
    for path in ["/rrunc-not-ours/c", "../up", "user.slice:rrunc:c"] {
        bundle.set("/linux/cgroupsPath", json!(path));
        stage.in_bundle(&bundle, &["create", "c"]).fails(1, &["cgroup"]);
    }
    assert!(stage.containers().is_empty());
}

#[test]
fn all_that_shares_the_callers_pid_namespace_ends_with_the_container() {
    if delegated().is_none() {
        return;
    }
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.edit(|config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().expect("a list");
        namespaces.retain(|space| space["type"] != "pid");
    });
    // A daemon that has left its parents, its session and its first process.
    bundle.script("(setsid sleep 3601 &) ; (setsid sh -c 'sleep 3601; :' &); exec sleep 3601");
    stage.in_bundle(&bundle, &["run", "--detach", "c"]).success();
    wait_for("the daemons", || (stage.processes().iter().filter(|p| p.contains("3601")).count() >= 3).then_some(()));
    stage.rrunc(&["kill", "--all", "c", "KILL"]).success();
    stage.wait_status("c", "stopped");
    assert_eq!(stage.wait_no_processes(), Vec::<String>::new());
    stage.remove("c");
}

#[test]
fn limits_and_a_cgroup_of_others_are_refused_and_nothing_is_left() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.set("/linux/resources", json!({"pids": {"limit": 9}}));
    for verb in ["run", "create"] {
        let out = stage.in_bundle(&bundle, &["--cgroup-manager", "disabled", verb, "c"]);
        out.fails(1, &["linux.resources.pids: rootless needs", "--cgroup-manager disabled"]);
        assert!(stage.containers().is_empty());
    }
    bundle.unset("/linux/resources").set("/linux/cgroupsPath", json!("/rrunc-not-ours/c"));
    let texts = ["unable to apply cgroup configuration: /rrunc-not-ours/c", "remove linux.cgroupsPath, or "];
    stage.in_bundle(&bundle, &["run", "c"]).fails(1, &texts);
    assert!(stage.containers().is_empty());
}

#[test]
fn device_rules_are_moot_and_the_debug_log_says_so() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.set("/linux/resources", json!({"devices": [{"allow": false, "access": "rwm"}]}));
    bundle.script("echo x >/dev/null && head -c 3 /dev/zero | wc -c");
    let out = stage.run(&bundle).success().prints("3\n");
    assert_eq!(out.stderr, "");
    let out = stage.call(&["--debug", "run", "c"]).cwd(bundle.path()).run().success();
    assert!(out.stderr.contains("linux.resources.devices: not applied"), "{}", out.stderr);
}

#[test]
fn network_devices_and_cache_allocation_are_refused_and_untouched_when_not_asked_for() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.set("/linux/netDevices", json!({"eth0": {"name": "eth9"}})).set("/linux/intelRdt", json!({"closID": "c"}));
    let texts = ["linux.netDevices: network devices are not supported", "linux.intelRdt: intelRdt is specified"];
    stage.run(&bundle).fails(1, &texts);
    assert!(stage.containers().is_empty());
    let interfaces = || fs::read_to_string("/proc/net/dev").expect("the interfaces").lines().count();
    let before = interfaces();
    bundle.set("/linux/netDevices", json!({})).unset("/linux/intelRdt");
    bundle.script("cut -d: -f1 /proc/net/dev; test -e /sys/fs/resctrl/schemata || echo none");
    let out = stage.run(&bundle).success();
    assert!(!out.stdout.contains("eth") && out.stdout.ends_with("none\n"), "{}", out.stdout);
    assert_eq!(interfaces(), before);
}

#[test]
fn row_f6_kill_all_reaches_who_has_outlived_the_first_process() {
    let Some(own) = delegated() else { return };
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.in_callers_pid_namespace();
    for id in ["c", "d"] {
        stage.running(&bundle, id);
    }
    let dir = directory(&stage, &own, "c");
    stage.rrunc(&["exec", "-d", "c", "sleep", "3777"]).success();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(stage.pid("c")), nix::sys::signal::Signal::SIGKILL)
        .expect("kill");
    stage.wait_status("c", "stopped");
    let lives = || stage.processes().iter().any(|process| process.contains("sleep 3777"));
    assert!(lives(), "the control");
    stage.rrunc(&["kill", "--all", "c", "0"]).success();
    stage.rrunc(&["kill", "--all", "c", "KILL"]).success();
    wait_for("its end", || (!lives()).then_some(()));
    assert!(dir.is_dir());
    assert_eq!(stage.status("d"), "running", "another container");
    stage.rrunc(&["kill", "--all", "c", "KILL"]).success();
    stage.rrunc(&["kill", "c", "KILL"]).fails(1, &["container not running"]);
    stage.remove("c");
    stage.remove("d");
}
