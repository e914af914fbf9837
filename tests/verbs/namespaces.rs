//! Namespaces: new ones, those of the caller, given ones, and the clocks of a time namespace.
use crate::support::{Bundle, Stage, gid, namespace, uid};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::MetadataExt;

/// Types, each with its name in /proc/PID/ns.
const TYPES: [(&str, &str); 8] = [
    ("user", "user"),
    ("pid", "pid"),
    ("network", "net"),
    ("mount", "mnt"),
    ("ipc", "ipc"),
    ("uts", "uts"),
    ("cgroup", "cgroup"),
    ("time", "time"),
];

/// Prints the inode of each namespace, in the order of TYPES.
const INODES: &str = "for n in user pid net mnt ipc uts cgroup time; do stat -L -c %i /proc/self/ns/$n; done";

fn all_types(stage: &Stage, name: &str) -> Bundle {
    let bundle = stage.bundle_named(name);
    bundle.set("/linux/namespaces", json!(TYPES.map(|(kind, _)| json!({"type": kind}))));
    bundle
}

#[test]
fn each_type_without_a_path_is_new() {
    let stage = Stage::new();
    let bundle = all_types(&stage, "bundle");
    stage.running(&bundle, "c");
    let pid = stage.pid("c").to_string();
    for (kind, name) in TYPES {
        assert_ne!(namespace(&pid, name), namespace("self", name), "{kind}");
    }
    let inside = stage.rrunc(&["exec", "c", "sh", "-c", INODES]).success();
    let own: Vec<_> = TYPES.iter().map(|(_, name)| namespace(&pid, name).to_string()).collect();
    assert_eq!(inside.stdout.lines().collect::<Vec<_>>(), own, "exec is in all of them");
    stage.remove("c");
}

#[test]
fn a_type_that_is_not_listed_is_the_callers() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.set("/linux/namespaces", json!([{"type": "user"}, {"type": "mount"}])).unset("/hostname").script(INODES);
    let out = stage.run(&bundle).success();
    for ((kind, name), line) in TYPES.iter().zip(out.stdout.lines()) {
        let same = namespace("self", name).to_string() == line;
        assert_eq!(same, !["user", "mount"].contains(kind), "{kind}");
    }
    assert_eq!(out.stdout.lines().count(), TYPES.len());
}

#[test]
fn each_type_but_mount_can_be_joined() {
    let stage = Stage::new();
    let first = all_types(&stage, "first");
    stage.running(&first, "first");
    let pid = stage.pid("first").to_string();
    let second = stage.bundle_named("second");
    let given = TYPES.map(|(kind, name)| match kind {
        "mount" => json!({"type": kind}),
        _ => json!({"type": kind, "path": format!("/proc/{pid}/ns/{name}")}),
    });
    second.set("/linux/namespaces", json!(given)).unset("/linux/uidMappings").unset("/linux/gidMappings");
    second.unset("/hostname").script(INODES);
    let out = stage.in_bundle(&second, &["run", "second"]).success();
    for ((kind, name), line) in TYPES.iter().zip(out.stdout.lines()) {
        assert_eq!(namespace(&pid, name).to_string() == line, *kind != "mount", "{kind}");
    }
    assert_eq!(out.stdout.lines().count(), TYPES.len());
    stage.remove("first");
}

#[test]
fn a_path_to_a_namespace_of_another_type_or_to_none_is_an_error() {
    let stage = Stage::new();
    let bundle = all_types(&stage, "bundle");
    bundle.unset("/linux/uidMappings").unset("/linux/gidMappings").unset("/hostname");
    let file = stage.dir().join("file").display().to_string();
    fs::write(&file, "no namespace").expect("write");
    for (index, (kind, _)) in TYPES.iter().enumerate().filter(|(_, (kind, _))| *kind != "mount") {
        let (_, other) = TYPES[(index + 1) % TYPES.len()];
        for path in [format!("/proc/self/ns/{other}"), file.clone()] {
            let listed = TYPES.map(|(listed, _)| match listed == *kind {
                true => json!({"type": kind, "path": path}),
                false => json!({"type": listed}),
            });
            bundle.set("/linux/namespaces", json!(listed));
            let texts = [format!("join the {kind} namespace {path}"), format!("the file is not a {kind} namespace")];
            stage.run(&bundle).fails(1, &texts.each_ref().map(String::as_str));
            assert!(stage.containers().is_empty(), "{kind} {path}");
        }
    }
}

#[test]
fn the_hosts_namespaces_cannot_be_joined_and_the_reason_is_said() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.unset("/hostname");
    for (kind, name) in [("network", "net"), ("ipc", "ipc"), ("uts", "uts"), ("pid", "pid")] {
        let path = format!("/proc/self/ns/{name}");
        bundle.without_namespace(kind).set("/linux/namespaces/-", json!({"type": kind, "path": path}));
        let reason = "can join only namespaces that belong to a user namespace of its own";
        stage.run(&bundle).fails(1, &[&format!("join the {kind} namespace {path}"), "not permitted", reason]);
        bundle.without_namespace(kind).set("/linux/namespaces/-", json!({"type": kind}));
    }
}

fn offsets(text: &str) -> Vec<String> {
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn clocks_are_set_off_for_the_program_and_for_exec() {
    let stage = Stage::new();
    let bundle = all_types(&stage, "bundle");
    let script = "cat /proc/self/timens_offsets";
    let days = 864_000;
    let uptime = |text: &str| text.split(['.', ' ']).next().and_then(|n| n.parse::<i64>().ok()).expect("an uptime");
    let cases: [(Value, [&str; 2]); 3] = [
        (
            json!({"monotonic": {"secs": 5, "nanosecs": 6}, "boottime": {"secs": days}}),
            ["monotonic 5 6", "boottime 864000 0"],
        ),
        (json!({"boottime": {"secs": -1, "nanosecs": 9}}), ["monotonic 0 0", "boottime -1 9"]),
        (json!({}), ["monotonic 0 0", "boottime 0 0"]),
    ];
    for (given, expected) in cases {
        bundle.set("/linux/timeOffsets", given.clone()).script(script);
        let out = stage.run(&bundle).success();
        assert_eq!(offsets(&out.stdout), expected, "{given}");
    }
    bundle.set("/linux/timeOffsets", json!({"boottime": {"secs": days}}));
    let before = uptime(&fs::read_to_string("/proc/uptime").expect("the uptime"));
    stage.running(&bundle, "c");
    let inside = stage.rrunc(&["exec", "c", "cat", "/proc/uptime"]).success();
    assert!(uptime(&inside.stdout) >= before + days, "{} after {before}", inside.stdout);
    stage.remove("c");
    // The kernel lets no clock start before zero.
    bundle.set("/linux/timeOffsets", json!({"monotonic": {"secs": -1_000_000_000}})).script("true");
    stage.run(&bundle).fails(1, &["timens_offsets", "monotonic -1000000000 0"]);
}

#[test]
fn a_mapping_changes_no_owner_of_a_file() {
    let Some(((first, _), (first_gid, _))) = super::ids::ranges() else { return };
    let stage = Stage::new();
    let bundle = stage.bundle();
    let map = |own: u32, first: u32| json!([{"containerID": 0, "hostID": first, "size": 1}, {"containerID": 1, "hostID": own, "size": 1}]);
    bundle.set("/linux/uidMappings", map(uid(), first)).set("/linux/gidMappings", map(gid(), first_gid));
    let listed = |bundle: &Bundle| {
        let entries = fs::read_dir(bundle.rootfs()).expect("read the rootfs");
        let mut all: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
        all.sort();
        let owner = |path: &std::path::PathBuf| {
            let meta = fs::symlink_metadata(path).expect("lstat");
            (path.clone(), meta.uid(), meta.gid(), meta.mode())
        };
        all.iter().map(owner).collect::<Vec<_>>()
    };
    // Root of the container is not the owner of its root file system, and stays a stranger to it.
    let before = listed(&bundle);
    bundle.script("id -u; stat -c %u /bin/busybox");
    let open = |path: &std::path::Path| {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o711)).expect("chmod");
    };
    open(stage.dir());
    stage.run(&bundle).success().prints("0\n1\n");
    assert_eq!(listed(&bundle), before);
}
