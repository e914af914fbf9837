//! Configurations that cannot be: the message names the member, and the hint, which is rrunc's own, what to do.
use crate::support::{Bundle, Stage, gid, program, uid};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// Runs `bundle`, which has to be refused; the message and the hint.
fn refused(stage: &Stage, bundle: &Bundle) -> (String, String) {
    let out = stage.call(&["--log-format", "json", "run", "c"]).cwd(bundle.path()).run().exits(1);
    let said: Value = serde_json::from_str(out.stderr.lines().last().expect("a message")).expect("JSON");
    let text = |key: &str| said[key].as_str().unwrap_or_default().to_owned();
    (text("msg"), text("hint"))
}

/// One member of the configuration that is wrong, what is said of it, and what is to be done.
type Case = (&'static str, Value, &'static str, &'static str);

fn check(cases: Vec<Case>) {
    if program() != "rrunc" {
        return;
    }
    let stage = Stage::new();
    let bundle = stage.bundle();
    let plain = bundle.config();
    for (pointer, value, text, hint) in cases {
        bundle.write(&plain).set(pointer, value.clone());
        let (message, told) = refused(&stage, &bundle);
        assert!(message.contains(text), "{pointer} = {value}: {message}");
        assert!(told.contains(hint), "{pointer} = {value}: {message}\nhint: {told}");
    }
}

#[test]
fn what_the_plan_refuses_names_the_member_and_the_remedy() {
    let one = |host: u32| json!([{"containerID": 0, "hostID": host, "size": 1}]);
    check(vec![
        ("/ociVersion", json!("1.0"), "ociVersion: \"1.0\" is not a semantic version", "\"1.0.2\""),
        ("/root", Value::Null, "root must be specified", "{\"path\": \"rootfs\"}"),
        ("/linux/uidMappings", json!([]), "linux.uidMappings: rootless containers requires at least one UID", "hostID"),
        ("/linux/gidMappings", json!([]), "linux.gidMappings: rootless containers requires at least one GID", "hostID"),
        ("/linux/uidMappings", json!([one(uid())[0], one(uid() + 1)[0]]), "uidMappings[1]: has ids that [0] has", ""),
        ("/process/user/uid", json!(7), "cannot setuid to unmapped uid 7", "the uids of the container are 0: name one"),
        ("/process/user/gid", json!(7), "cannot setgid to unmapped gid 7", "map more in linux.gidMappings"),
        ("/process/user/additionalGids", json!([gid()]), "cannot set any additional groups", "/etc/subgid"),
        ("/process/args", json!([]), "process.args: args must not be empty", "name the program"),
        ("/process/env/-", json!("X"), "missing '=' in \"X\"", "NAME=value"),
        (
            "/linux/timeOffsets",
            json!({"boottime": {"secs": 1}}),
            "time namespace isn't enabled",
            "{\"type\": \"time\"}",
        ),
        ("/linux/sysctl", json!({"vm.swappiness": "1"}), "not in a separate kernel namespace", "by root"),
        ("/linux/rootfsPropagation", json!("both"), "\"both\" is no propagation type", "shared, slave"),
        ("/linux/netDevices", json!({"eth0": {}}), "network devices are not supported for rootless", "leave it out"),
        ("/linux/memoryPolicy", json!({"mode": "MPOL_BIND"}), "requires at least one node", "linux.memoryPolicy.nodes"),
        ("/mounts/-", json!({"destination": "", "type": "tmpfs"}), "].destination: must not be empty", ""),
        ("/mounts/-", json!({"destination": "/m", "source": "/usr"}), "]: /m: has neither a type nor bind", ""),
        (
            "/mounts/-",
            json!({"destination": "/m", "source": "/usr", "options": ["bind", "nodevv"]}),
            "/m: bind mounts cannot have any filesystem-specific options applied: nodevv (did you mean nodev?)",
            "",
        ),
    ]);
}

#[test]
fn what_the_kernel_refuses_inside_names_the_member_and_the_remedy() {
    let tmpfs = |options: Value| json!({"destination": "/tmp", "type": "tmpfs", "source": "x", "options": options});
    let bind = |source: &str| json!({"destination": "/tmp", "source": source, "options": ["bind"]});
    let network = |path: &str| json!({"type": "network", "path": path});
    check(vec![
        ("/linux/namespaces/1", network("/no/ns"), "network namespace /no/ns does not exist", "the last process"),
        ("/linux/namespaces/1", network("/etc/passwd"), "join the network namespace /etc/passwd", "is not a network"),
        ("/mounts/-", bind("/no/such"), "(bind /no/such, rw): the source does not exist on the host", "make it, or"),
        ("/mounts/-", bind("/etc/passwd"), "the source is a file and the destination", "that is a file too"),
        ("/mounts/-", tmpfs(json!(["size=lots"])), "mount /tmp (tmpfs, rw): option size=lots: ", ""),
        ("/mounts/-", tmpfs(json!(["noexecc"])), "option noexecc: ", "did you mean noexec?"),
        ("/mounts/-", tmpfs(json!(["remount", "ro"])), "remount /tmp (ro): ", "an entry before it"),
        (
            "/mounts/-",
            json!({"destination": "/tmp", "type": "ext4", "source": "/dev/loop0"}),
            "mount /tmp (ext4, rw): ",
            "only root of the host may mount ext4",
        ),
        ("/linux/sysctl", json!({"net.no_such": "1"}), "linux.sysctl: write \"1\" to /proc/sys/net/no_such", "no such"),
        ("/linux/sysctl", json!({"kernel.msgmax": "x"}), "linux.sysctl: write \"x\"", "does not take this value"),
        (
            "/hooks",
            json!({"createRuntime": [{"path": "/no/hook"}]}),
            "error running createRuntime hook #0: fork/exec /no/hook: ",
            "hooks.createRuntime[0] of config.json names the program, /no/hook on the host",
        ),
        (
            "/linux/devices",
            json!([{"path": "/bin/sh", "type": "c", "major": 1, "minor": 3}]),
            "device /bin/sh: another file is in its place",
            "from linux.devices of config.json",
        ),
    ]);
}

#[test]
fn what_is_missing_of_a_program_or_of_the_root_is_said() {
    if program() != "rrunc" {
        return;
    }
    let stage = Stage::new();
    let bundle = stage.bundle();
    let write = |name: &str, text: &[u8], mode: u32| {
        let file = bundle.rootfs().join("bin").join(name);
        fs::write(&file, text).expect("write");
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("chmod");
    };
    write("orphan", b"#!/no/such/interpreter\n", 0o755);
    write("nothing", b"echo\n", 0o755);
    write("data", b"#!/bin/sh\n", 0o644);
    for (name, text, hint) in [
        ("orphan", "exec /bin/orphan: no such file or directory", "what runs it: the interpreter"),
        ("nothing", "exec /bin/nothing: exec format error", "without an interpreter in its first line"),
        ("data", "exec: \"data\": permission denied", "chmod +x"),
    ] {
        bundle.args(&[name]);
        let (message, told) = refused(&stage, &bundle);
        assert!(message.ends_with(text) && told.contains(hint), "{name}: {message}\nhint: {told}");
    }
    bundle.args(&["true"]).set("/process/cwd", json!("/bin/true"));
    let (message, told) = refused(&stage, &bundle);
    assert!(message.contains("chdir to cwd") && told.contains("process.cwd"), "{message}\nhint: {told}");
    let without_pts: Vec<Value> = Bundle::plain_config()["mounts"].as_array().expect("mounts").clone();
    let without_pts: Vec<Value> = without_pts.into_iter().filter(|mount| mount["type"] != "devpts").collect();
    bundle.set("/process/cwd", json!("/")).set("/process/terminal", json!(true)).set("/mounts", json!(without_pts));
    let (message, told) = refused(&stage, &bundle);
    assert!(message.contains("open /dev/pts/ptmx") && told.contains("type devpts"), "{message}\nhint: {told}");
    bundle.write(&Bundle::plain_config()).set("/root/path", json!("/usr"));
    let (message, told) = refused(&stage, &bundle);
    assert!(message.contains("in the rootfs") && told.contains("belongs to another user"), "{message}\nhint: {told}");
}
