//! Control groups as far as there is no support for them: none is joined, made or given away, and limits are refused.
use crate::support::{Lacks, Stage, skip};
use serde_json::json;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

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

#[test]
fn a_container_is_in_the_callers_cgroup_and_gives_none_away() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let own = fs::read_to_string("/proc/self/cgroup").expect("our cgroups");
    bundle.args(&["cat", "/proc/self/cgroup"]);
    stage.run(&bundle).success().prints(&own);

    let Some(directory) = own_cgroup() else { return skip(Lacks::Machine("there is no cgroup v2 tree")) };
    let before = owners(&directory);
    // What would ask for the ownership: a cgroup namespace and a writable mount.
    bundle.set("/linux/namespaces/-", json!({"type": "cgroup"}));
    bundle.mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev"]);
    stage.running(&bundle, "c");
    let pid = stage.pid("c");
    assert_eq!(fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("its cgroups"), own);
    assert_eq!(owners(&directory), before);
    stage.remove("c");
    assert_eq!(owners(&directory), before);
}

#[test]
fn limits_and_a_cgroup_are_refused_and_nothing_is_left() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.set("/linux/cgroupsPath", json!("/user.slice/c")).set("/linux/resources", json!({"pids": {"limit": 9}}));
    let texts = ["linux.cgroupsPath: unable to apply cgroup configuration", "linux.resources.pids: rootless needs"];
    for verb in ["run", "create"] {
        stage.in_bundle(&bundle, &[verb, "c"]).fails(1, &[texts[0], texts[1], "Delegate=yes"]);
        assert!(stage.containers().is_empty());
    }
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
