//! The program and the state it starts in, as config.md has it: limits, capabilities, masks, terminal, search.
use super::mount_options::shown;
use crate::support::{Stage, Terminal};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// Each limit with the row of /proc/self/limits that shows it.
const LIMITS: [(&str, &str, u64, u64); 16] = [
    ("RLIMIT_CPU", "Max cpu time", 1000, 2000),
    ("RLIMIT_FSIZE", "Max file size", 1_000_000, 2_000_000),
    ("RLIMIT_DATA", "Max data size", 1_000_000_000, 2_000_000_000),
    ("RLIMIT_STACK", "Max stack size", 4_000_000, 5_000_000),
    ("RLIMIT_CORE", "Max core file size", 0, 0),
    ("RLIMIT_RSS", "Max resident set", 3_000_000, 4_000_000),
    ("RLIMIT_NPROC", "Max processes", 40, 50),
    ("RLIMIT_NOFILE", "Max open files", 60, 70),
    ("RLIMIT_MEMLOCK", "Max locked memory", 4096, 8192),
    ("RLIMIT_AS", "Max address space", 3_000_000_000, 4_000_000_000),
    ("RLIMIT_LOCKS", "Max file locks", 10, 20),
    ("RLIMIT_SIGPENDING", "Max pending signals", 30, 31),
    ("RLIMIT_MSGQUEUE", "Max msgqueue size", 5000, 6000),
    ("RLIMIT_NICE", "Max nice priority", 0, 0),
    ("RLIMIT_RTPRIO", "Max realtime priority", 0, 0),
    ("RLIMIT_RTTIME", "Max realtime timeout", 7000, 8000),
];

fn limit(kind: &str, soft: u64, hard: u64) -> Value {
    json!({"type": kind, "soft": soft, "hard": hard})
}

#[test]
fn every_limit_is_exactly_the_listed_one() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let all: Vec<_> = LIMITS.iter().map(|(kind, _, soft, hard)| limit(kind, *soft, *hard)).collect();
    bundle.set("/process/rlimits", json!(all)).args(&["cat", "/proc/self/limits"]);
    let out = stage.run(&bundle).success();
    for (kind, row, soft, hard) in LIMITS {
        let line = out.stdout.lines().find_map(|line| line.strip_prefix(row)).unwrap_or_else(|| panic!("no {row}"));
        let seen: Vec<_> = line.split_whitespace().take(2).collect();
        assert_eq!(seen, [soft.to_string(), hard.to_string()], "{kind}");
    }
}

#[test]
fn a_limit_that_cannot_be_had_is_refused() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let nofile = "RLIMIT_NOFILE";
    for (limits, texts) in [
        (
            json!([limit(nofile, 10, 20), limit("RLIMIT_CPU", 9, 9), limit(nofile, 10, 20)]),
            ["rlimits[2]", "RLIMIT_NOFILE is listed twice"],
        ),
        (json!([limit(nofile, 30, 20)]), ["rlimits[0]", "soft is above hard"]),
        (json!([limit("RLIMIT_SPEED", 1, 1)]), ["process", "wrong rlimit value: RLIMIT_SPEED"]),
        (
            json!([limit(nofile, 300, 301)]),
            ["error setting rlimit type RLIMIT_NOFILE to 300:301", "only lower a hard limit"],
        ),
    ] {
        bundle.set("/process/rlimits", limits);
        stage.call_after("ulimit -n 300", &["run", "c"]).cwd(bundle.path()).run().fails(1, &texts);
        assert_eq!(stage.containers(), Vec::<String>::new());
    }
}

/// CapInh, CapPrm, CapEff, CapBnd and CapAmb of a program that prints /proc/self/status.
fn sets(text: &str) -> [u64; 5] {
    ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map(|name| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
        u64::from_str_radix(line.unwrap_or_else(|| panic!("no {name}: {text}")), 16).expect("a mask")
    })
}

#[test]
fn each_capability_set_is_the_listed_one() {
    let (kill, bind, audit) = (1 << 5, 1 << 10, 1 << 29);
    let stage = Stage::new();
    let bundle = stage.bundle();
    let all = json!(["CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_AUDIT_WRITE"]);
    bundle.set(
        "/process/capabilities",
        json!({"bounding": all, "permitted": all, "effective": all,
        "inheritable": ["CAP_KILL", "CAP_AUDIT_WRITE"], "ambient": ["CAP_KILL"]}),
    );
    bundle.args(&["cat", "/proc/self/status"]);
    let every = kill | bind | audit;
    assert_eq!(sets(&stage.run(&bundle).success().stdout), [kill | audit, every, every, every, kill]);
    // For root, execve makes permitted and effective of what is bounding or inheritable (capabilities(7)); whoever is
    // not root keeps what is ambient.
    let Some(((first, _), (first_gid, _))) = super::ids::ranges() else { return };
    for (map, own, first) in
        [("uidMappings", crate::support::uid(), first), ("gidMappings", crate::support::gid(), first_gid)]
    {
        let map_to =
            json!([{"containerID": 0, "hostID": own, "size": 1}, {"containerID": 1, "hostID": first, "size": 2000}]);
        bundle.set(&format!("/linux/{map}"), map_to);
    }
    bundle.set("/process/user", json!({"uid": 1000, "gid": 1000}));
    assert_eq!(sets(&stage.run(&bundle).success().stdout), [kill | audit, kill, kill, every, kill]);
}

#[test]
fn capabilities_that_cannot_be_had_are_warned_of() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let base = json!({"bounding": ["CAP_KILL"], "permitted": ["CAP_KILL"], "effective": ["CAP_KILL"],
        "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"]});
    bundle.script("echo ran").set("/process/capabilities", base.clone());
    assert_eq!(stage.run(&bundle).success().prints("ran\n").stderr, "", "the control");
    for (set, other) in
        [("effective", "CAP_CHOWN"), ("inheritable", "CAP_CHOWN"), ("ambient", "CAP_CHOWN"), ("permitted", "CAP_X")]
    {
        bundle.set("/process/capabilities", base.clone()).set(&format!("/process/capabilities/{set}/-"), json!(other));
        let out = stage.run(&bundle).success().prints("ran\n");
        assert!(out.stderr.contains("level=warning") && out.stderr.contains(other), "{set}: {}", out.stderr);
    }
}

#[test]
fn ambient_capabilities_of_a_caller_who_is_root_of_a_namespace_are_not_the_programs() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    // No user namespace is added: uid 0 stays uid 0, which alone would clear the ambient set.
    let both = json!(["CAP_CHOWN", "CAP_NET_RAW"]);
    bundle.without_user_namespace().set(
        "/process/capabilities",
        json!({"bounding": both, "permitted": both,
        "effective": both, "inheritable": both, "ambient": ["CAP_CHOWN"]}),
    );
    bundle.args(&["grep", "CapAmb", "/proc/self/status"]);
    let caller = ["--map-root-user", "setpriv", "--inh-caps", "+net_raw", "--ambient-caps", "+net_raw"];
    let unshare = std::path::Path::new("/usr/bin/unshare");
    let control = stage.call_program(unshare, &caller).args(&["grep", "CapAmb", "/proc/self/status"]).run().success();
    assert_eq!(control.stdout, "CapAmb:\t0000000000002000\n");
    let run = stage.call_program(unshare, &caller).arg(crate::support::runtime()).args(&["run", "c"]);
    run.cwd(bundle.path()).run().success().prints("CapAmb:\t0000000000000001\n");
}

#[test]
fn the_umask_is_the_listed_one_or_the_callers() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    // Whatever the mask, mount points and the working directory are there for everybody.
    bundle.set("/root/readonly", json!(false)).set("/process/cwd", json!("/made/here")).mount(
        "/point/of",
        "tmpfs",
        "tmpfs",
        &[],
    );
    bundle.script("umask; stat -c %a /made /made/here /point");
    let run = |mask: &str| stage.call_after(&format!("umask {mask}"), &["run", "c"]).cwd(bundle.path()).run().success();
    run("0077").prints("0077\n755\n755\n755\n");
    run("0002").prints("0002\n755\n755\n755\n");
    bundle.set("/process/user/umask", json!(0o027));
    run("0002").prints("0027\n755\n755\n755\n");
    stage.running(&bundle, "c");
    let exec = |mask: &str, expected: &str| {
        let call = stage.call_after(&format!("umask {mask}"), &["exec", "c", "sh", "-c", "umask"]);
        call.run().success().prints(expected);
    };
    exec("0070", "0027\n");
    stage.remove("c");
    bundle.unset("/process/user/umask");
    stage.running(&bundle, "c");
    exec("0070", "0070\n");
    stage.remove("c");
    bundle.set("/process/user/umask", json!(0o1777));
    stage.run(&bundle).fails(1, &["process.user.umask", "0o1777"]);
}

#[test]
fn the_oom_score_is_raised_left_alone_or_refused() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.args(&["cat", "/proc/self/oom_score_adj"]);
    let run = || stage.call_after("echo 300 >/proc/self/oom_score_adj", &["run", "c"]).cwd(bundle.path()).run();
    run().success().prints("300\n");
    bundle.set("/process/oomScoreAdj", json!(700));
    run().success().prints("700\n");
    for (score, text) in [(-1000, "only root of the host"), (1001, "1001 is not from -1000 to 1000")] {
        bundle.set("/process/oomScoreAdj", json!(score));
        run().fails(1, &["oomScoreAdj", text]);
        assert_eq!(stage.containers(), Vec::<String>::new());
    }
    // The process that joins namespaces is another than the one that sets this.
    stage.running(&stage.bundle_named("other"), "other");
    super::lifecycle::join(&bundle, stage.pid("other"));
    bundle.set("/process/oomScoreAdj", json!(800));
    run().success().prints("800\n");
    bundle.set("/process/oomScoreAdj", json!(-1000));
    run().fails(1, &["oom_score_adj", "permission denied"]);
    stage.remove("other");
}

#[test]
fn a_terminal_is_all_three_streams_and_the_console() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let script = "for f in 0 1 2; do readlink /proc/self/fd/$f; done; stat -c %t:%T /dev/console /dev/pts/0 /dev/tty | sort | uniq -c | tr -s ' '; grep -c ' /dev/console ' /proc/self/mountinfo; echo to-console >/dev/console; echo done-''here";
    bundle.set("/process/terminal", json!(true)).script(script);
    let mut terminal = Terminal::start(stage.call(&["run", "c"]).cwd(bundle.path()), 24, 80);
    let text = terminal.expect("done-here");
    assert_eq!(terminal.wait().0, 0);
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    assert_eq!(lines[..3], ["/dev/pts/0"; 3], "{text}");
    assert!(
        lines.contains(&"2 88:0") && lines.contains(&"1 5:0"),
        "console and pts are one device, tty is not: {text}"
    );
    assert!(lines.contains(&"1") && lines.contains(&"to-console"), "{text}");
}

#[test]
fn the_size_of_a_console_counts_only_with_a_terminal() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.set("/process/consoleSize", json!({"height": 70_000, "width": 80})).script("test -t 0 || echo none");
    stage.run(&bundle).success().prints("none\n");
    bundle.unset("/process/terminal");
    stage.run(&bundle).success().prints("none\n");
    bundle.set("/process/terminal", json!(true));
    stage.run(&bundle).fails(1, &["process.consoleSize.height", "70000"]);
}

#[test]
fn a_program_is_searched_for_as_execvp_does() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let place = |dir: &str, mode: u32| {
        let file = bundle.rootfs().join(dir).join("tool");
        fs::create_dir_all(file.parent().expect("a parent")).expect("mkdir");
        fs::write(&file, format!("#!/bin/sh\necho {dir} $0\n")).expect("write");
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("chmod");
    };
    place("a", 0o644);
    place("b", 0o755);
    place("bin", 0o755);
    fs::create_dir_all(bundle.rootfs().join("d/tool")).expect("mkdir");
    let run = |env: Value, arg: &str, cwd: &str| {
        bundle.set("/process/env", env).args(&[arg]).set("/process/cwd", json!(cwd));
        stage.run(&bundle)
    };
    // What may not be executed, and a directory, are passed over.
    run(json!(["PATH=/none:/a:/d:/b:/bin"]), "tool", "/").success().prints("b /b/tool\n");
    run(json!(["PATH=/a:/none"]), "tool", "/").fails(1, &["exec: \"tool\": permission denied"]);
    run(json!(["PATH=/none"]), "tool", "/").fails(1, &["executable file not found in $PATH"]);
    // An empty element is the working directory; without PATH it is the system's own, and not that one.
    run(json!(["PATH="]), "tool", "/b").success().prints("b ./tool\n");
    run(json!([]), "tool", "/b").success().prints("bin /bin/tool\n");
    // With a slash nothing is searched.
    run(json!(["PATH=/bin"]), "./tool", "/b").success().prints("b ./tool\n");
    run(json!(["PATH=/bin"]), "b/tool", "/").success().prints("b b/tool\n");
}

#[test]
fn values_that_cannot_be_are_refused() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let good = bundle.config();
    for (pointer, value, text) in [
        ("/process/cwd", json!("tmp"), "Cwd must be an absolute path"),
        ("/process/args", json!([]), "args must not be empty"),
        ("/process/args", json!(null), "args must not be empty"),
        ("/process/user/gid", json!(7), "cannot setgid to unmapped gid 7"),
        ("/process/user/uid", json!(7), "cannot setuid to unmapped uid 7"),
        ("/process/user/additionalGids", json!([7]), "cannot set any additional groups"),
        ("/process/env", json!(["A"]), "missing '='"),
        ("/annotations", json!({"a": 1}), "annotations"),
        ("/annotations", json!({"": "a"}), "a key must not be empty"),
        ("/ociVersion", json!(null), "ociVersion"),
        ("/ociVersion", json!("1.0"), "not a semantic version"),
        ("/ociVersion", json!("2.0.0"), "2.0.0 is not supported"),
    ] {
        bundle.write(&good).set(pointer, value);
        stage.run(&bundle).fails(1, &[text]);
        assert_eq!(stage.containers(), Vec::<String>::new(), "{pointer}");
    }
}

#[test]
fn file_systems_of_the_default_list_and_their_stand_ins() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.args(&["cat", "/proc/self/mountinfo"]);
    let out = stage.run(&bundle).success();
    for (point, fstype) in
        [("/proc", "proc"), ("/sys", "sysfs"), ("/dev/pts", "devpts"), ("/dev/shm", "tmpfs"), ("/dev/mqueue", "mqueue")]
    {
        assert_eq!(shown(&out.stdout, point).fstype, fstype);
    }
    // A new sysfs takes a network namespace of one's own: the host's is bound, and not to be written to.
    bundle.without_namespace("network");
    let out = stage.run(&bundle).success();
    let sys = shown(&out.stdout, "/sys");
    assert_eq!(sys.fstype, "sysfs");
    assert!(sys.options.starts_with("ro,"), "{}", sys.options);
    // So is /proc without a pid namespace, of which nothing can be asked.
    bundle.without_namespace("pid").set("/mounts/0/options", json!(["hidepid=2", "nosuid"]));
    let out = stage.run(&bundle).success();
    assert_eq!(shown(&out.stdout, "/proc").fstype, "proc");
    assert!(out.stderr.contains("/proc: the host's /proc is bound, hidepid=2 has no effect"), "{}", out.stderr);
    // A group that is not mapped is left out of devpts, and the debug log says so.
    let bundle = stage.bundle_named("group");
    bundle.edit(|config| config["mounts"][2]["options"].as_array_mut().expect("options").push(json!("gid=5")));
    let out = stage.call(&["--debug", "run", "c"]).cwd(bundle.path()).run().success();
    assert!(out.stderr.contains("/dev/pts: gid=5 dropped"), "{}", out.stderr);
}
