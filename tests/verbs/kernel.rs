//! What `linux` says of the kernel's view: parameters, propagation, covered paths, personality.
use crate::support::{Stage, namespace};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

#[test]
fn kernel_parameters_are_set_in_the_containers_namespaces_alone() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let files = ["net/ipv4/ip_forward", "kernel/shmmax", "kernel/sem", "fs/mqueue/msg_max", "user/max_mnt_namespaces"];
    let host = |file: &str| fs::read_to_string(format!("/proc/sys/{file}")).ok();
    let before = files.map(host);
    let values = json!({"net.ipv4.ip_forward": "1", "kernel/shmmax": "123456", "kernel.sem": "32000\t1024000000\t500\t31",
        "fs.mqueue.msg_max": "7", "user.max_mnt_namespaces": "17"});
    bundle.set("/linux/sysctl", values).script(
        "cd /proc/sys && cat net/ipv4/ip_forward kernel/shmmax kernel/sem fs/mqueue/msg_max user/max_mnt_namespaces",
    );
    stage.run(&bundle).success().prints("1\n123456\n32000\t1024000000\t500\t31\n7\n17\n");
    assert_eq!(files.map(host), before);
}

#[test]
fn a_value_that_the_kernel_refuses_and_a_parameter_that_is_not_there_are_errors() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    for (name, value, texts) in [
        ("net.ipv4.ip_forward", "yes", ["write \"yes\" to /proc/sys/net/ipv4/ip_forward", "invalid argument"]),
        ("net.ipv4.no_such", "1", ["to /proc/sys/net/ipv4/no_such", "no such file"]),
        ("kernel.hostname", "x", ["linux.sysctl.kernel.hostname", "conflicts with the OCI \"hostname\" field"]),
        ("kernel.panic", "1", ["linux.sysctl.kernel.panic", "not in a separate kernel namespace"]),
    ] {
        bundle.set("/linux/sysctl", json!({name: value}));
        stage.run(&bundle).fails(1, &texts);
        assert!(stage.containers().is_empty(), "{name}");
    }
}

/// The optional fields of the root mount in mountinfo.
const ROOT: &str = "while read -r id parent dev root at options rest; do [ \"$at\" = / ] && echo \"${rest%% - *}\"; done </proc/self/mountinfo; true";

#[test]
fn the_root_has_the_propagation_of_the_config() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.script(ROOT);
    // A slave follows the host's mount only where that one is shared, else there is nobody to follow.
    let table = fs::read_to_string("/proc/self/mountinfo").expect("our mounts");
    let host_is_shared = table.lines().any(|line| line.contains(" / / ") && line.contains("shared:"));
    for (word, expected) in [
        ("shared", "shared:"),
        ("rshared", "shared:"),
        ("slave", if host_is_shared { "master:" } else { "-" }),
        ("rslave", if host_is_shared { "master:" } else { "-" }),
        ("private", "-"),
        ("rprivate", "-"),
        ("unbindable", "unbindable"),
        ("runbindable", "unbindable"),
    ] {
        bundle.set("/linux/rootfsPropagation", json!(word));
        let out = stage.run(&bundle).success();
        assert!(out.stdout.starts_with(expected), "{word}: {}", out.stdout);
        let submounts = "grep -c unbindable /proc/self/mountinfo";
        if word.ends_with("unbindable") {
            bundle.script(submounts);
            let count: usize = stage.run(&bundle).stdout.trim().parse().expect("a count");
            assert_eq!(count > 1, word.starts_with('r'), "{word}: {count} mounts");
            bundle.script(ROOT);
        }
    }
}

#[test]
fn what_a_shared_root_gets_mounted_does_not_reach_the_host() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    for set in ["bounding", "effective", "permitted"] {
        bundle.set(&format!("/process/capabilities/{set}"), json!(["CAP_SYS_ADMIN"]));
    }
    bundle.set("/linux/rootfsPropagation", json!("rshared"));
    bundle.script("mount -t tmpfs inner /tmp && echo mounted && exec sleep 3600");
    let mut run = stage.call(&["run", "c"]).cwd(bundle.path()).spawn();
    run.wait_stdout("mounted");
    let inside = fs::read_to_string(format!("/proc/{}/mountinfo", stage.pid("c"))).expect("its mounts");
    assert!(inside.contains(" - tmpfs inner "), "{inside}");
    assert!(!fs::read_to_string("/proc/self/mountinfo").expect("our mounts").contains(" - tmpfs inner "));
    assert_ne!(namespace(&stage.pid("c").to_string(), "mnt"), namespace("self", "mnt"));
    stage.remove("c");
    run.wait();
}

#[test]
fn read_only_paths_are_so_with_what_is_mounted_below_and_masks_follow_links_inside() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let root = bundle.rootfs();
    fs::create_dir_all(root.join("fixed/below")).expect("mkdir");
    fs::create_dir(root.join("hidden")).expect("mkdir");
    fs::write(root.join("hidden/key"), "key").expect("write");
    symlink("/hidden", root.join("link")).expect("symlink");
    bundle.mount("/fixed/below", "tmpfs", "tmpfs", &["mode=777"]).set("/root/readonly", json!(false));
    let script = "touch /fixed/x /fixed/below/x 2>&1; ls /hidden | wc -l; touch /hidden/x 2>&1; touch /y && echo y";
    bundle.script(script);
    // The control: without the lists all of it can be written and read.
    stage.run(&bundle).success().prints("1\ny\n");
    fs::remove_file(root.join("fixed/x")).expect("the file of the control");
    fs::remove_file(root.join("hidden/x")).expect("the file of the control");
    bundle.set("/linux/readonlyPaths", json!(["/fixed"])).set("/linux/maskedPaths", json!(["/link"]));
    let denied = |path: &str| format!("touch: {path}: Read-only file system\n");
    let expected = [&denied("/fixed/x"), &denied("/fixed/below/x"), "0\n", &denied("/hidden/x"), "y\n"].concat();
    stage.run(&bundle).success().prints(&expected);
}

#[test]
fn a_covered_path_that_cannot_be_reached_is_told() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let closed = bundle.rootfs().join("closed");
    fs::create_dir(&closed).expect("mkdir");
    fs::write(closed.join("key"), "key").expect("write");
    for list in ["/linux/maskedPaths", "/linux/readonlyPaths"] {
        bundle.set(list, json!(["/closed/key", "/not/there"]));
    }
    // Closed to root of the container is only what belongs to an id that it has not got.
    if super::ids::ranges().is_none() {
        return;
    }
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).expect("chmod");
    let mut chown = std::process::Command::new("unshare");
    chown.args(["--map-root-user", "--map-auto", "chown", "5:5"]).arg(&closed);
    assert!(chown.status().expect("unshare").success());
    bundle.args(&["cat", "/closed/key"]);
    let out = stage.run(&bundle).exits(1);
    for text in
        ["/closed/key cannot be reached and is not masked", "/closed/key cannot be reached and is not made read-only"]
    {
        assert!(out.stderr.contains(text), "{}", out.stderr);
    }
    assert!(!out.stderr.contains("/not/there") && out.stdout.is_empty(), "{out:?}");
}

#[test]
fn the_personality_is_that_of_the_program_and_of_exec() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let number = |domain: Value| {
        match domain {
            Value::Null => bundle.unset("/linux/personality"),
            domain => bundle.set("/linux/personality", json!({"domain": domain})),
        };
        stage.running(&bundle, "c");
        let outside = fs::read_to_string(format!("/proc/{}/personality", stage.pid("c"))).expect("its personality");
        let machine = stage.rrunc(&["exec", "c", "uname", "-m"]).success().stdout;
        stage.remove("c");
        (outside.trim().to_owned(), machine)
    };
    let plain = number(json!("LINUX"));
    assert_eq!(plain.0, "00000000");
    let narrow = number(json!("LINUX32"));
    assert_eq!(narrow.0, "00000008");
    assert_ne!(narrow.1, plain.1, "exec is shown a machine of 32 bits too");
    bundle.set("/linux/personality", json!({"domain": "LINUX", "flags": ["X"]}));
    stage.run(&bundle).fails(1, &["linux.personality.flags"]);
}
