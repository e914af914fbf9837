//! Members of config.json that few configurations have, each as its program finds it.
use crate::support::{Lacks, Stage, gid, kernel_is, skip, uid};
use serde_json::json;

#[test]
fn an_unknown_limit_is_refused() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.set("/process/rlimits", json!([{"type": "RLIMIT_SPEED", "soft": 1, "hard": 1}]));
    stage.run(&bundle).fails(1, &["wrong rlimit value: RLIMIT_SPEED"]);
}

#[test]
fn ids_that_are_not_ours_come_with_those_that_are_and_with_no_advice_to_take_over_an_account() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    for (first, free) in [(4_000_000_000, true), (uid() + 1, false), (0, false)] {
        bundle.set("/linux/uidMappings", json!([{"containerID": 0, "hostID": first, "size": 1}]));
        let out = stage.call(&["--log-format", "json", "run", "c"]).cwd(bundle.path()).run().exits(1);
        let line = out.stderr.lines().last().expect("a message");
        let said: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let (message, hint) = (said["msg"].as_str().expect("a message"), said["hint"].as_str().expect("a hint"));
        assert!(message.contains("are not yours to map") && !message.contains("usermod"), "{message}");
        assert!(hint.contains(&format!("you may name {}", uid())), "{hint}");
        assert_eq!(hint.contains("usermod --add-subuids"), free, "{hint}");
    }
}

/// Nice value and scheduling policy of the process that reads them.
const SCHEDULING: &str = "cut -d' ' -f19,41 /proc/self/stat";

/// The nice value of the tests, which nobody may lower.
fn own_nice() -> i32 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("our own stat");
    let (_, fields) = stat.rsplit_once(") ").expect("a name in parentheses");
    fields.split(' ').nth(16).and_then(|nice| nice.parse().ok()).expect("a nice value")
}

#[test]
fn the_scheduler_is_set_for_the_program_and_for_exec() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.script(SCHEDULING);
    let own = own_nice();
    stage.run(&bundle).success().prints(&format!("{own} 0\n"));
    bundle
        .set("/process/scheduler", json!({"policy": "SCHED_BATCH", "nice": 18, "flags": ["SCHED_FLAG_RESET_ON_FORK"]}));
    bundle.args(&["cut", "-d", " ", "-f19,41", "/proc/self/stat"]);
    stage.run(&bundle).success().prints("18 3\n");

    bundle.set("/process/scheduler", json!({"policy": "SCHED_IDLE"}));
    stage.running(&bundle, "c");
    stage.rrunc(&["exec", "c", "sh", "-c", SCHEDULING]).success().prints(&format!("{own} 5\n"));
    let mut process = json!({"args": ["sh", "-c", SCHEDULING], "cwd": "/", "env": ["PATH=/bin"]});
    let file = stage.dir().join("process.json");
    let mut with = |scheduler| {
        process["scheduler"] = scheduler;
        std::fs::write(&file, process.to_string()).expect("write");
        stage.call(&["exec", "--process"]).arg(&file).args(&["c"]).run()
    };
    with(json!(null)).success().prints(&format!("{own} 5\n"));
    with(json!({"policy": "SCHED_BATCH", "nice": 19})).success().prints("19 3\n");
    with(json!({"policy": "SCHED_BATCH", "nice": 30})).fails(255, &["invalid scheduler.nice: 30"]);
    stage.remove("c");
}

#[test]
fn a_scheduler_beyond_the_callers_limits_is_an_error_with_a_hint() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.set("/process/scheduler", json!({"policy": "SCHED_FIFO", "priority": 10}));
    let out = stage.call_after("ulimit -r 0", &["run", "c"]).cwd(bundle.path()).run();
    out.fails(1, &["error setting scheduler", "not permitted", "ulimit -r"]);
}

#[test]
fn the_io_priority_is_that_of_the_program_and_of_exec() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.set("/process/ioPriority", json!({"class": "IOPRIO_CLASS_BE", "priority": 6})).script("ionice -p $$");
    stage.run(&bundle).success().prints("best-effort: prio 6\n");
    bundle.set("/process/ioPriority", json!({"class": "IOPRIO_CLASS_IDLE"}));
    stage.running(&bundle, "c");
    let script = "ionice -p $$";
    stage.rrunc(&["exec", "c", "sh", "-c", script]).success().prints("idle\n");
    let process = json!({"args": ["sh", "-c", script], "cwd": "/", "env": ["PATH=/bin"],
        "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 2}});
    let file = stage.dir().join("process.json");
    std::fs::write(&file, process.to_string()).expect("write");
    let call = stage.call(&["exec", "--process"]).arg(&file).args(&["c"]);
    call.run().success().prints("best-effort: prio 2\n");
    stage.remove("c");
    bundle.set("/process/ioPriority", json!({"class": "IOPRIO_CLASS_RT", "priority": 0}));
    stage.run(&bundle).fails(1, &["failed to set io priority", "not permitted"]);
    bundle.set("/process/ioPriority", json!({"class": "IOPRIO_CLASS_BE", "priority": 8}));
    stage.run(&bundle).fails(1, &["invalid ioPriority.Priority: 8"]);
}

#[test]
fn exec_runs_on_its_processors_before_and_after_it_joins() {
    let all = std::fs::read_to_string("/sys/devices/system/cpu/online").expect("the processors");
    let all = all.trim();
    let stage = Stage::new();
    let bundle = stage.bundle();
    let script = "grep Cpus_allowed_list /proc/self/status | cut -f2";
    bundle.set("/process/execCPUAffinity", json!({"initial": "0", "final": " 0,,"}));
    bundle.script(script);
    // It is of exec only, and where the caller was told to run does not count.
    let out = stage.call_after("taskset -p 1 $$ >/dev/null", &["run", "c"]).cwd(bundle.path()).run();
    out.success().prints(&format!("{all}\n"));
    stage.running(&bundle, "c");
    let out = stage.rrunc(&["--debug", "exec", "c", "sh", "-c", script]).success();
    assert_eq!(out.stdout, "0\n");
    assert!(out.stderr.contains("affinity: 0x1"), "{}", out.stderr);

    let file = stage.dir().join("process.json");
    let exec = |affinity| {
        let process =
            json!({"args": ["sh", "-c", script], "cwd": "/", "env": ["PATH=/bin"], "execCPUAffinity": affinity});
        std::fs::write(&file, process.to_string()).expect("write");
        stage.call(&["--debug", "exec", "--process"]).arg(&file).args(&["c"]).run()
    };
    exec(json!(null)).success().prints("0\n");
    exec(json!({})).success().prints(&format!("{all}\n"));
    exec(json!({"initial": "0"})).success().prints("0\n");
    exec(json!({"final": all})).success().prints(&format!("{all}\n"));
    exec(json!({"initial": "1000"})).fails(255, &["error setting initial CPU affinity"]);
    exec(json!({"final": "1-0"})).fails(255, &["bad CPUAffinity.Final: invalid range: 1-0"]);
    stage.remove("c");
}

#[test]
fn the_memory_policy_is_that_of_the_program_and_of_exec() {
    if !std::path::Path::new("/proc/self/numa_maps").exists() {
        return skip(Lacks::Machine("the kernel has no NUMA policies"));
    }
    let stage = Stage::new();
    let bundle = stage.bundle();
    let script = "head -n 1 /proc/self/numa_maps | cut -d' ' -f2";
    let policy = json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]});
    bundle.set("/linux/memoryPolicy", policy).script(script);
    stage.run(&bundle).success().prints("bind=static:0\n");
    bundle.set("/linux/memoryPolicy", json!({"mode": "MPOL_LOCAL"}));
    stage.running(&bundle, "c");
    stage.rrunc(&["exec", "c", "sh", "-c", script]).success().prints("local\n");
    stage.remove("c");
    for (policy, text) in [
        (json!({"mode": "MPOL_BIND", "nodes": "1023"}), "set the memory policy: Invalid argument"),
        (json!({"mode": "MPOL_BIND"}), "memory policy mode requires at least one node but got 0"),
        (json!({"mode": "MPOL_X"}), "invalid memory policy mode \"MPOL_X\""),
    ] {
        bundle.set("/linux/memoryPolicy", policy);
        stage.run(&bundle).fails(1, &[text]);
    }
}

#[test]
fn labels_of_a_module_that_is_off_are_refused() {
    let exists = |path| std::path::Path::new(path).exists();
    if exists("/sys/module/apparmor") || exists("/sys/fs/selinux/enforce") {
        return skip(Lacks::Machine("the kernel has a module that labels processes"));
    }
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.set("/process/apparmorProfile", json!("")).set("/process/selinuxLabel", json!(""));
    stage.run(&bundle).success();
    bundle.set("/process/apparmorProfile", json!("web")).set("/process/selinuxLabel", json!("u:r:t:s0"));
    let selinux = "selinux label is specified in config, but selinux is disabled or not supported";
    stage.run(&bundle).fails(1, &["apparmor failed to apply profile: web", selinux]);
    let bundle = stage.bundle_named("mounts");
    bundle.set("/linux/mountLabel", json!("u:r:t:s0"));
    stage.run(&bundle).fails(1, &["linux.mountLabel", selinux]);
    bundle.unset("/linux/mountLabel");
    stage.running(&bundle, "c");
    let exec = |option, label| stage.rrunc(&["exec", option, label, "c", "true"]);
    exec("--apparmor", "web").fails(255, &["apparmor failed to apply profile: web"]);
    exec("--process-label", "u:r:t:s0").fails(255, &[selinux]);
    stage.remove("c");
}

fn tmpfs(options: &[&str], ids: serde_json::Value) -> serde_json::Value {
    let mut mount = json!({"destination": "/m", "type": "tmpfs", "source": "tmpfs", "options": options});
    if !ids.is_null() {
        mount["uidMappings"] = ids.clone();
        mount["gidMappings"] = ids;
    }
    mount
}

#[test]
fn a_new_tmpfs_can_be_id_mapped() {
    if !kernel_is((6, 3)) {
        return skip(Lacks::Machine("a tmpfs that can be id-mapped, Linux 6.3"));
    }
    let stage = Stage::new();
    let bundle = stage.bundle();
    let script = "stat -c %u:%g /m; touch /m/f && stat -c %u:%g /m/f; grep -c ' / /m .*idmapped' /proc/self/mountinfo";
    bundle.set("/mounts/-", tmpfs(&["idmap", "mode=755"], json!(null))).script(script);
    stage.run(&bundle).success().prints("0:0\n0:0\n1\n");
    let Some(((first, _), (first_gid, _))) = super::ids::ranges() else { return };
    let map = |own: u32, first: u32| json!([{"containerID": 0, "hostID": own, "size": 1}, {"containerID": 1, "hostID": first, "size": 2000}]);
    bundle.set("/linux/uidMappings", map(uid(), first)).set("/linux/gidMappings", map(gid(), first_gid));
    let last = bundle.config()["mounts"].as_array().expect("mounts").len() - 1;
    let options = ["mode=755", "uid=1000", "gid=1000"];
    bundle.set(&format!("/mounts/{last}"), tmpfs(&options, json!(null)));
    bundle.script("stat -c %u:%g /m");
    stage.run(&bundle).success().prints("1000:1000\n");
    // Id 1000 of the file system is seen as what the host calls us, root of the container.
    let mut mount = tmpfs(&options, json!([{"containerID": 1000, "hostID": uid(), "size": 1}]));
    mount["gidMappings"][0]["hostID"] = json!(gid());
    bundle.set(&format!("/mounts/{last}"), mount).script(script);
    stage.run(&bundle).success().prints("0:0\n0:0\n1\n");
}

#[test]
fn id_mappings_that_cannot_be_are_refused() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let ids = json!([{"containerID": 0, "hostID": uid(), "size": 1}]);
    let mut mount = tmpfs(&[], ids.clone());
    mount.as_object_mut().expect("an object").remove("gidMappings");
    bundle.set("/mounts/-", mount);
    stage.run(&bundle).fails(1, &["id-mapped mounts must have both uid and gid mappings specified"]);
    let last = bundle.config()["mounts"].as_array().expect("mounts").len() - 1;
    let refused = |mount, text| {
        bundle.set(&format!("/mounts/{last}"), mount);
        stage.run(&bundle).fails(1, &[text]);
    };
    refused(
        tmpfs(&[], json!([{"containerID": 0, "hostID": 0, "size": 1}])),
        "id-mapped mounts can only show ids that are mapped",
    );
    let mut bind = tmpfs(&["rbind", "ridmap"], ids);
    bind["source"] = json!("/usr");
    refused(bind, "id-mapped mounts are not supported for rootless containers");
}

#[test]
fn without_a_mount_namespace_a_container_is_a_chroot_and_says_so() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.without_namespace("mount").set("/mounts", json!([]));
    bundle.set("/linux/devices", json!([{"path": "/dev/null", "type": "c", "major": 1, "minor": 3}]));
    bundle.set("/linux/rootfsPropagation", json!("private"));
    let why = "without a private mount namespace";
    let texts = ["root.readonly", "linux.devices", "linux.rootfsPropagation", "restrict sys entries", why];
    stage.run(&bundle).fails(1, &texts);
    for path in ["/linux/devices", "/linux/rootfsPropagation", "/linux/maskedPaths", "/linux/readonlyPaths"] {
        bundle.unset(path);
    }
    std::fs::write(bundle.rootfs().join("mark"), "inside\n").expect("write");
    bundle.set("/root/readonly", json!(false)).script("cat /mark; cat /../mark; ls /home 2>/dev/null; pwd");
    let out = stage.run(&bundle).success();
    assert_eq!(out.stdout, "inside\ninside\n/\n");
    assert!(out.stderr.contains("chroot alone"), "{}", out.stderr);
}

#[test]
fn a_given_mount_namespace_is_refused_with_a_hint() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.without_namespace("mount");
    bundle.set("/linux/namespaces/-", json!({"type": "mount", "path": "/proc/self/ns/mnt"}));
    stage.run(&bundle).fails(1, &["joining a given mount namespace is not supported", "rrunc exec"]);
}

#[test]
fn the_flags_of_the_filter_are_in_the_debug_log() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let flags = [(json!(null), 4), (json!([]), 0), (json!(["SECCOMP_FILTER_FLAG_LOG"]), 2)];
    for (flags, number) in flags {
        let mut profile = json!({"defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["mkdirat"], "action": "SCMP_ACT_ERRNO"}]});
        if !flags.is_null() {
            profile["flags"] = flags;
        }
        bundle.set("/linux/seccomp", profile);
        let out = stage.call(&["--debug", "run", "c"]).cwd(bundle.path()).run().success();
        assert!(out.stderr.contains(&format!("seccomp filter flags: {number}")), "{}", out.stderr);
    }
}

#[test]
fn row_f11_null_says_no_more_than_a_member_that_is_missing() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.args(&["id", "-u"]);
    for user in [json!(null), json!({}), json!({"uid": null, "gid": null, "additionalGids": null, "umask": null})] {
        bundle.set("/process/user", user);
        stage.run(&bundle).success().prints("0\n");
    }
    for member in ["env", "rlimits", "capabilities", "apparmorProfile", "oomScoreAdj", "terminal", "noNewPrivileges"] {
        bundle.set(&format!("/process/{member}"), json!(null));
    }
    bundle.set("/process/args", json!(["/bin/id", "-u"]));
    stage.run(&bundle).success().prints("0\n");
    for user in [json!([]), json!("root"), json!({"uid": "0"}), json!({"uid": -1})] {
        bundle.set("/process/user", user);
        stage.run(&bundle).fails(1, &["process", "user"]);
    }
}

/// As libseccomp, which stops one below the highest: the kernel takes that.
#[test]
fn row_d_an_errno_that_is_none_is_refused() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let rule = |errno: u32| json!({"names": ["getpriority"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno});
    bundle.set("/linux/seccomp", json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule(4095)]}));
    stage.run(&bundle).success();
    for errno in [4096, 65535] {
        bundle.set("/linux/seccomp/syscalls", json!([rule(errno)]));
        stage.run(&bundle).fails(1, &["linux.seccomp", &format!("errnoRet {errno} is no error number")]);
    }
    bundle.set("/linux/seccomp", json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 4096}));
    stage.run(&bundle).fails(1, &["defaultErrnoRet", "errnoRet 4096 is no error number"]);
    // The same number is data for a tracer.
    let traced = json!([{"names": ["getpriority"], "action": "SCMP_ACT_TRACE", "errnoRet": 65535}]);
    bundle.set("/linux/seccomp", json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": traced}));
    stage.run(&bundle).success();
}

#[test]
fn row_d_more_ranges_of_ids_than_the_kernel_takes_are_told_as_that() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let map = |own: u32, ranges: u32| -> serde_json::Value {
        let host = |id: u32| if id == 0 { own } else { 100_000 + 2 * id };
        (0..ranges).map(|id| json!({"containerID": id, "hostID": host(id), "size": 1})).collect()
    };
    bundle.set("/linux/uidMappings", map(uid(), 341));
    stage.run(&bundle).fails(1, &["linux.uidMappings: 341 ranges", "more than the kernel takes", "as one"]);
    bundle.set("/linux/uidMappings", map(uid(), 339));
    stage.run(&bundle).fails(1, &["339 ranges", "4096 bytes"]);
}
