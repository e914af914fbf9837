//! What a program is given: its standard streams and its capabilities.
use super::{peers, with_range};
use crate::support::{Call, Stage, gid, uid, wait_for};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

#[test]
fn row_r1_the_programs_user_can_open_its_standard_streams() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let Some(()) = with_range(&bundle, 1000) else { return };
    let script = "read line < /dev/stdin; echo $line > /dev/stdout; echo 2 > /dev/stderr; echo 3 >> /proc/self/fd/1";
    let through_pipes = "set -o pipefail; echo 1 | { \"$0\" \"$@\" 2>&1; } | cat";
    let through = |path: &str, args: &[&str]| {
        let args = [&["-c", through_pipes, path], args].concat();
        stage.call_program("/bin/bash".as_ref(), &args).cwd(bundle.path()).run()
    };
    let rrunc = crate::support::runtime();
    let rrunc = rrunc.to_str().expect("a plain path");
    bundle.script(script);
    through(rrunc, &["run", "c"]).success().prints("1\n2\n3\n");
    for peer in peers(&stage) {
        let root = peer.root.to_str().expect("a plain path");
        let out = through(&peer.name(), &["--root", root, "run", "c"]);
        // runc's own relay mixes the two streams.
        let mut lines: Vec<_> = out.stdout.lines().collect();
        lines.sort_unstable();
        assert_eq!((out.code, &lines[..]), (0, &["1", "2", "3"][..]), "{}: {}", peer.name(), out.stderr);
    }
    stage.running(&bundle, "c");
    through(rrunc, &["exec", "c", "sh", "-c", script]).success().prints("1\n2\n3\n");
    through(rrunc, &["exec", "--user", "7", "c", "sh", "-c", script]).success().prints("1\n2\n3\n");
    stage.remove("c");
}

#[test]
fn row_r1_what_has_a_name_stays_the_callers() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let Some(()) = with_range(&bundle, 1000) else { return };
    let file = stage.dir().join("file");
    let fifo = stage.dir().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("a fifo");
    bundle.script("echo kept; echo x > /dev/stdout; echo 2>/dev/null y > /dev/stderr; true");
    let prelude = format!("exec <> {} > {} 2>&1", fifo.display(), file.display());
    stage.call_after(&prelude, &["run", "c"]).cwd(bundle.path()).run().success();
    assert!(fs::read_to_string(&file).expect("the file").starts_with("kept\n"));
    for path in [file, fifo] {
        let meta = fs::metadata(&path).expect("it is there");
        assert_eq!((meta.uid(), meta.gid()), (uid(), gid()), "{}", path.display());
    }
}

/// The sets of a program that `exec --cap` has added to a running container, from `call`.
fn sets(call: Call) -> String {
    let out = call.args(&["grep", "^Cap", "/proc/self/status"]).run().success();
    out.stdout.lines().filter(|line| !line.starts_with("CapBnd")).collect::<Vec<_>>().join(" ")
}

#[test]
fn row_r4_exec_raises_the_capabilities_that_it_is_given_and_no_more() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let Some(()) = with_range(&bundle, 0) else { return };
    let peers = peers(&stage);
    let base = json!(["CAP_KILL", "CAP_AUDIT_WRITE"]);
    let both = |inheritable: Value, ambient: Value| json!({"bounding": base, "effective": base, "permitted": base, "inheritable": inheritable, "ambient": ambient});
    let none = json!({"bounding": base, "effective": base, "permitted": base});
    for capabilities in
        [none, both(json!([]), json!([])), both(base.clone(), json!([])), both(base.clone(), base.clone())]
    {
        bundle.set("/process/capabilities", capabilities.clone());
        stage.running(&bundle, "c");
        for (user, cap) in [("0", "CAP_CHOWN"), ("1000", "CAP_CHOWN"), ("1000", "CAP_KILL")] {
            let args = ["exec", "--cap", cap, "--user", user, "c"];
            let ours = sets(stage.call(&args));
            if user != "0" && cap == "CAP_CHOWN" {
                assert!(!ours.contains('1'), "{capabilities}: {ours}");
            }
            // crun gives such a process the named capabilities alone, in place of the container's.
            for peer in peers.iter().filter(|peer| peer.name().ends_with("runc")) {
                let start = peer.call(&stage, &bundle, &["run", "-d", "c"]).stdin("").run();
                assert_eq!(start.code, 0, "{}: {}", peer.name(), start.stderr);
                let theirs = sets(peer.call(&stage, &bundle, &args));
                peer.call(&stage, &bundle, &["delete", "--force", "c"]).run().success();
                assert_eq!(ours, theirs, "{capabilities}, --cap {cap} --user {user}, beside {}", peer.name());
            }
        }
        stage.remove("c");
    }
}

#[test]
fn row_r13_each_ambient_capability_that_cannot_be_raised_is_named() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let all = json!(["CAP_KILL", "CAP_CHOWN", "CAP_FOWNER"]);
    let sets = |inheritable: Value| json!({"bounding": all, "effective": all, "permitted": all, "inheritable": inheritable, "ambient": all});
    bundle.set("/process/capabilities", sets(json!(["CAP_KILL"]))).args(&["grep", "CapAmb", "/proc/self/status"]);
    let out = stage.run(&bundle).success().prints("CapAmb:\t0000000000000020\n");
    for name in ["CAP_CHOWN", "CAP_FOWNER"] {
        assert!(out.stderr.contains(&format!("can't raise ambient capability {name}: ")), "{}", out.stderr);
    }
    assert!(!out.stderr.contains("CAP_KILL"), "{}", out.stderr);
    // As the templates of runc and crun have it.
    bundle.set("/process/capabilities", sets(json!([])));
    let out = stage.run(&bundle).success().prints("CapAmb:\t0000000000000000\n");
    assert_eq!(out.stderr, "");
}

#[test]
fn row_r13_a_started_program_that_cannot_be_executed_says_so_where_it_would_write() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let peers = peers(&stage);
    let script = bundle.rootfs().join("run.sh");
    fs::write(&script, "#!/a/b/c\n").expect("write");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("chmod");
    let line = "exec /run.sh: no such file or directory";
    bundle.args(&["/run.sh"]);
    // What `create` was given is the container's own output.
    let said = |create: Call, start: Call| {
        let mut create = create.spawn();
        wait_for("create to end", || create.ended().then_some(()));
        let start = start.run();
        wait_for("the line", || (create.stderr() == format!("{line}\n")).then_some(()));
        create.wait().success();
        start.code
    };
    let code = said(stage.call(&["create", "c"]).cwd(bundle.path()), stage.call(&["start", "c"]));
    assert_eq!(code, 1, "and rrunc says it, too");
    stage.wait_status("c", "stopped");
    stage.remove("c");
    for peer in peers.iter().filter(|peer| peer.name().ends_with("runc")) {
        said(peer.call(&stage, &bundle, &["create", "c"]), peer.call(&stage, &bundle, &["start", "c"]));
        peer.call(&stage, &bundle, &["delete", "--force", "c"]).run().success();
    }
    // In the foreground rrunc's is the one line there is. What is not found at all is told by `create`.
    let out = stage.run(&bundle).fails(1, &[line]);
    assert_eq!(out.stderr.lines().count(), 1, "{}", out.stderr);
}

#[test]
fn row_r13_the_domain_name_may_be_set_as_a_kernel_parameter() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle
        .set("/linux/sysctl", json!({"kernel.domainname": "example.org"}))
        .args(&["cat", "/proc/sys/kernel/domainname"]);
    stage.run(&bundle).success().prints("example.org\n");
    bundle.without_namespace("uts").unset("/hostname");
    stage.run(&bundle).fails(1, &["linux.sysctl.kernel.domainname", "is not in a separate kernel namespace"]);
}

#[test]
fn row_r13_without_pivot_root_nobody_inside_mounts_a_proc_without_masks() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let peers = peers(&stage);
    let try_it = "unshare -mrpf sh -c 'mount -t proc none /proc && echo bare'; unshare -mrnf sh -c 'mount -t sysfs none /sys && echo bare'";
    bundle.script(&format!("{try_it}; ls /proc/self/status"));
    // To map root of the new namespace to its own.
    let able = json!(["CAP_SETFCAP"]);
    bundle.set("/process/capabilities", json!({"bounding": able, "effective": able, "permitted": able}));
    let refused = "mount: permission denied";
    for options in [&[][..], &["--no-pivot"]] {
        let args = [&["run"], options, &["c"]].concat();
        let out = stage.in_bundle(&bundle, &args).success();
        assert_eq!(out.stdout, "/proc/self/status\n", "{options:?}: {}", out.stderr);
        assert_eq!(out.stderr.matches(refused).count(), 2, "{options:?}: {}", out.stderr);
        for peer in peers.iter().filter(|peer| peer.name().ends_with("runc")) {
            let out = peer.call(&stage, &bundle, &args).run();
            assert!(out.stdout == "/proc/self/status\n" && out.stderr.contains(refused), "{out:?}");
        }
    }
    // The control: with nothing masked in the container's own /proc and /sys new ones may be had, without pivot_root or with.
    bundle.set("/linux/maskedPaths", json!([])).set("/linux/readonlyPaths", json!([]));
    let proc = "unshare -mrpf sh -c 'mount -t proc none /proc && echo bare'";
    bundle.script(proc);
    stage.run(&bundle).success().prints("bare\n");
}

/// A sandbox by its name: what can be done with it from outside, and what cannot, with the way that works.
#[test]
fn row_r14_a_sandbox_can_be_looked_at_and_stopped_and_exec_says_why_it_does_not_enter() {
    let stage = Stage::new();
    let args = ["sandbox", "--no-project", "--name", "s1", "--", "sh", "-c", "echo begun; sleep 3600"];
    let mut sandbox = stage.call(&args).cwd("/".as_ref()).spawn();
    sandbox.wait_stdout("begun");
    let hints = ["into which nobody may look", "start from its program", "rrunc sandbox -- CMD"];
    stage.rrunc(&["exec", "s1", "id"]).fails(255, &hints);
    assert!(stage.rrunc(&["ps", "s1"]).success().stdout.contains("sleep 3600"));
    assert!(stage.rrunc(&["list", "-q"]).success().stdout.contains("s1"));
    let state = |pid: i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it is there");
        stat.rsplit_once(") ").expect("a name").1.chars().next().expect("a state")
    };
    let pids: Vec<i32> =
        serde_json::from_str(&stage.rrunc(&["ps", "-f", "json", "s1"]).success().stdout).expect("pids");
    assert!(pids.len() >= 2, "{pids:?}");
    let out = stage.rrunc(&["pause", "s1"]);
    if out.code == 0 {
        stage.rrunc(&["resume", "s1"]).success();
    } else {
        // Without a cgroup of its own: as the hint says.
        out.fails(1, &["cgroups not configured for container", "rrunc kill --all ID STOP"]);
    }
    stage.rrunc(&["kill", "--all", "s1", "STOP"]).success();
    wait_for("all to stop", || pids.iter().all(|pid| state(*pid) == 'T').then_some(()));
    stage.rrunc(&["kill", "--all", "s1", "CONT"]).success();
    wait_for("all to go on", || pids.iter().all(|pid| state(*pid) != 'T').then_some(()));
    stage.rrunc(&["kill", "s1", "KILL"]).success();
    sandbox.wait();
}
