//! What suites and clients of other runtimes rely on, each beside crun and runc where those run.
use crate::cgroups::delegated;
use crate::ids::ranges;
use crate::support::{Bundle, Call, Lacks, Output, Stage, Terminal, find_program, gid, program, skip, uid, wait_for};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Another runtime, with a state directory of its own.
pub struct Peer {
    path: PathBuf,
    root: PathBuf,
}

impl Peer {
    /// A call of it.
    pub fn call(&self, stage: &Stage, bundle: &Bundle, args: &[&str]) -> Call {
        let root = self.root.to_str().expect("a plain path");
        stage.call_program(&self.path, &[&["--root", root], args].concat()).cwd(bundle.path())
    }

    pub fn name(&self) -> String {
        self.path.display().to_string()
    }
}

/// crun and runc, as far as they are here and run a plain container as we are called.
pub fn peers(stage: &Stage) -> Vec<Peer> {
    let mut found = Vec::new();
    for (name, lacks) in [("crun", "a crun that runs here"), ("runc", "a runc that runs here")] {
        let Some(path) = find_program(name).filter(|_| program() == "rrunc") else { continue };
        let peer = Peer { path, root: stage.dir().join(name) };
        let bundle = stage.bundle_named(&format!("{name}-smoke"));
        let out = peer.call(stage, &bundle, &["run", "smoke"]).run();
        if out.code == 0 { found.push(peer) } else { skip(Lacks::Machine(lacks)) }
    }
    found
}

/// A map of the caller's ids and 2000 of each range, and the program run by `user`.
fn with_range(bundle: &Bundle, user: u32) -> Option<()> {
    let ((first_uid, _), (first_gid, _)) = ranges()?;
    let map = |own: u32, first: u32| json!([{"containerID": 0, "hostID": own, "size": 1}, {"containerID": 1, "hostID": first, "size": 2000}]);
    bundle
        .set("/linux/uidMappings", map(uid(), first_uid))
        .set("/linux/gidMappings", map(gid(), first_gid))
        .set("/process/user", json!({"uid": user, "gid": user}));
    Some(())
}

/// What a program gets of a list from before 2020: the calls that busybox's shell and echo make, and those of runtimes of then.
const OLD_LIST: &str = "accept4 access arch_prctl brk capget capset chdir chown clock_gettime clock_nanosleep clone close connect dup dup2 \
    dup3 epoll_create1 epoll_ctl epoll_pwait eventfd2 execve exit exit_group faccessat fchdir fchown fcntl fork fstat fstatfs \
    futex getcwd getdents64 getegid geteuid getgid getpgrp getpid getppid getrlimit gettid getuid ioctl kill lseek lstat \
    madvise mmap mprotect mremap munmap nanosleep newfstatat open openat pipe pipe2 poll ppoll prctl pread64 prlimit64 read readlink \
    readlinkat recvfrom recvmsg rt_sigaction rt_sigprocmask rt_sigreturn sched_getaffinity sched_yield sendmsg sendto setgid \
    setgroups set_robust_list setresgid setresuid setsid set_tid_address setuid sigaltstack socket stat statfs tgkill tkill \
    umask uname wait4 write writev";

fn list(names: &str) -> Value {
    let names: Vec<&str> = names.split_whitespace().collect();
    json!({"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"}]})
}

#[test]
fn row_r3_a_filter_need_not_allow_what_finding_the_program_takes() {
    if !cfg!(target_arch = "x86_64") {
        return skip(Lacks::Machine("the list of calls is that of x86_64"));
    }
    let stage = Stage::new();
    let bundle = stage.bundle();
    let peers = peers(&stage);
    let no_getcwd = json!({"defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["getcwd"], "action": "SCMP_ACT_ERRNO"}]});
    // Not even what every older runtime asks for in there.
    let ours = OLD_LIST
        .split(' ')
        .filter(|name| !["access", "chdir", "faccessat", "getcwd", "setresuid", "setgroups"].contains(name))
        .collect::<Vec<_>>()
        .join(" ");
    for no_new_privs in [true, false] {
        bundle.set("/process/noNewPrivileges", json!(no_new_privs)).set("/process/cwd", json!("/usr"));
        bundle.args(&["echo", "ran"]);
        for (profile, asks) in [(list(OLD_LIST), ""), (no_getcwd.clone(), "runc")] {
            bundle.set("/linux/seccomp", profile);
            stage.run(&bundle).success().prints("ran\n");
            // runc asks for the working directory under the filter.
            for peer in peers.iter().filter(|peer| asks.is_empty() || !peer.name().ends_with(asks)) {
                let out = peer.call(&stage, &bundle, &["run", "c"]).run();
                assert_eq!((out.code, out.stdout.as_str()), (0, "ran\n"), "{}: {}", peer.name(), out.stderr);
            }
        }
        bundle.set("/linux/seccomp", list(&ours));
        stage.run(&bundle).success().prints("ran\n");
        // And so do the other ways in: at the gate, and beside.
        stage.in_bundle(&bundle, &["create", "c"]).success();
        stage.rrunc(&["exec", "c", "echo", "too"]).success().prints("too\n");
        stage.rrunc(&["start", "c"]).success();
        stage.remove("c");
        // What is missing is missing as ever, and the program has no more rights for it.
        bundle.args(&["/no/such"]);
        stage.run(&bundle).fails(1, &["stat /no/such: no such file or directory"]);
        bundle.args(&["grep", "Cap\\|NoNewPrivs\\|Seccomp:", "/proc/self/status"]);
        let filtered = stage.run(&bundle).success().stdout;
        assert!(filtered.contains("Seccomp:\t2"), "{filtered}");
        bundle.unset("/linux/seccomp");
        assert_eq!(stage.run(&bundle).success().stdout.replace("Seccomp:\t0", "Seccomp:\t2"), filtered);
    }
}

/// A filter that is loaded early is loaded under the user's ids: with what root keeps for that, and no more of it stays.
#[test]
fn row_r3_another_user_keeps_no_right_of_the_loading() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let Some(()) = with_range(&bundle, 1000) else { return };
    bundle.set("/process/noNewPrivileges", json!(false)).set("/linux/seccomp", list(OLD_LIST));
    let status = "grep 'Cap[IPEA]\\|Seccomp:\\|^Uid' /proc/self/status";
    let expected = "Uid:\t1000\t1000\t1000\t1000\nCapInh:\t0000000000000000\nCapPrm:\t0000000000000000\n\
                    CapEff:\t0000000000000000\nCapAmb:\t0000000000000000\nSeccomp:\t2\n";
    bundle.args(&["sh", "-c", status]);
    stage.run(&bundle).success().prints(expected);
    stage.running(&bundle, "c");
    stage.rrunc(&["exec", "c", "sh", "-c", status]).success().prints(expected);
    stage.remove("c");
}

#[test]
fn row_r11_a_filter_that_refuses_all_is_told_at_once() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let soon = |args: &[&str]| -> Output {
        let begin = Instant::now();
        let out = stage.call(args).cwd(bundle.path()).within(Duration::from_secs(10)).run();
        assert!(begin.elapsed() < Duration::from_secs(2), "{args:?} took {:?}", begin.elapsed());
        out
    };
    let told = ["seccomp filter refuses", "linux.seccomp"];
    for allowed in ["read", "read execve", "read rt_sigaction rt_sigprocmask", "read exit_group capset"] {
        bundle.set("/linux/seccomp", list(allowed)).args(&["true"]);
        for no_new_privs in [true, false] {
            bundle.set("/process/noNewPrivileges", json!(no_new_privs));
            soon(&["run", "c"]).fails(1, &told);
            soon(&["run", "-d", "c"]).fails(1, &told);
            assert!(stage.containers().is_empty());
            if no_new_privs {
                // Until `start` there is no filter.
                soon(&["create", "c"]).success();
                soon(&["start", "c"]).fails(1, &told);
                stage.wait_status("c", "stopped");
                stage.remove("c");
            } else {
                soon(&["create", "c"]).fails(1, &told);
            }
            assert!(stage.containers().is_empty());
        }
    }
    // A process that joins has the container's filter, too; and one of its own is told as ever.
    bundle.set("/linux/seccomp", json!(null));
    stage.running(&bundle, "c");
    let saved = stage.root().join("c/config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&saved).expect("the copy")).expect("JSON");
    config["linux"]["seccomp"] = list("read");
    for no_new_privs in [true, false] {
        config["process"]["noNewPrivileges"] = json!(no_new_privs);
        fs::write(&saved, serde_json::to_vec(&config).expect("JSON")).expect("write");
        soon(&["exec", "c", "true"]).fails(255, &told);
    }
    stage.remove("c");
    // Who can say what was refused says that; and a program that ends at once under a list without sending is no failure.
    let names = OLD_LIST.replace(" execve ", " ");
    bundle.set("/process/noNewPrivileges", json!(true)).args(&["true"]).set("/linux/seccomp", list(&names));
    soon(&["run", "c"]).fails(1, &["exec /bin/true: operation not permitted"]);
    let names = OLD_LIST.replace(" sendmsg ", " ").replace(" sendto ", " ");
    bundle.set("/linux/seccomp", list(&names));
    soon(&["run", "c"]).success();
    soon(&["create", "c"]).success();
    soon(&["start", "c"]).success();
    stage.remove("c");
}

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

/// A cgroup that is frozen as long as this lives, removed with those below.
struct Frozen(PathBuf);

impl Frozen {
    fn below(own: &Path) -> Frozen {
        let dir = own.join(format!("frozen-{}", std::process::id()));
        fs::create_dir(&dir).expect("make a cgroup");
        fs::write(dir.join("cgroup.freeze"), "1").expect("freeze it");
        Frozen(dir)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        fs::write(self.0.join("cgroup.freeze"), "0").ok();
        fs::remove_dir(self.0.join("below")).ok();
        fs::remove_dir(&self.0).ok();
    }
}

#[test]
fn row_r6_a_frozen_cgroup_is_refused_at_once() {
    let Some(own) = delegated() else { return };
    let stage = Stage::new();
    let bundle = stage.bundle();
    let frozen = Frozen::below(&own);
    let name = frozen.0.file_name().expect("a name").to_str().expect("plain");
    let peers = peers(&stage);
    for path in [name.to_owned(), format!("{name}/below")] {
        bundle.set("/linux/cgroupsPath", json!(path)).args(&["true"]);
        let begin = Instant::now();
        for verb in [&["run", "c"][..], &["run", "-d", "c"], &["create", "c"]] {
            let out = stage.call(verb).cwd(bundle.path()).within(Duration::from_secs(5)).run();
            out.fails(1, &["container's cgroup unexpectedly frozen", "cgroup.freeze"]);
        }
        assert!(begin.elapsed() < Duration::from_secs(5));
        assert!(stage.containers().is_empty());
        // What was there is there, and nothing was made in it.
        assert!(frozen.0.is_dir() && !frozen.0.join("below").exists());
    }
    let member = fs::read_to_string("/proc/self/cgroup").expect("our cgroups");
    let own = member.lines().find_map(|line| line.strip_prefix("0::")).expect("of version 2");
    bundle.set("/linux/cgroupsPath", json!(format!("{own}/{name}")));
    for peer in peers.iter().filter(|peer| peer.name().ends_with("runc")) {
        let out = peer.call(&stage, &bundle, &["run", "c"]).within(Duration::from_secs(5)).run();
        assert!(out.code == 1 && out.stderr.contains("frozen"), "{}: {out:?}", peer.name());
    }
    fs::write(frozen.0.join("cgroup.freeze"), "0").expect("let it go on");
    bundle.set("/linux/cgroupsPath", json!(name));
    stage.run(&bundle).success();
}

/// Somebody freezes it once `create` has looked.
#[test]
fn row_r6_who_waits_for_a_frozen_container_can_be_ended() {
    let Some(own) = delegated() else { return };
    let stage = Stage::new();
    let bundle = stage.bundle();
    let dir = own.join(format!("late-{}", std::process::id()));
    let freeze = format!("echo 1 > {}/cgroup.freeze", dir.display());
    let hook = json!([{"path": "/bin/sh", "args": ["sh", "-c", freeze]}]);
    bundle.set("/linux/cgroupsPath", json!(dir.file_name().expect("a name").to_str().expect("plain")));
    bundle.set("/hooks/createRuntime", hook).args(&["true"]);
    for verb in [&["run", "c"][..], &["create", "c"]] {
        let mut waiting = stage.call(verb).cwd(bundle.path()).spawn();
        wait_for("the cgroup to be frozen", || {
            let events = fs::read_to_string(dir.join("cgroup.events")).ok()?;
            events.contains("frozen 1").then_some(())
        });
        waiting.signal(Signal::SIGTERM);
        wait_for("rrunc to end", || waiting.ended().then_some(()));
        waiting.wait();
        stage.remove("c");
        assert!(stage.wait_no_processes().is_empty());
        fs::remove_dir(&dir).ok();
    }
}

#[test]
fn row_r7_a_list_of_all_devices_of_the_host_may_have_the_terminals_in_it() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let peers = peers(&stage);
    let node = |path: &str, major: u32, minor: u32| json!({"path": path, "type": "c", "major": major, "minor": minor, "fileMode": 0o666, "uid": 0, "gid": 0});
    let list = |ptmx: &str| {
        json!([node("/dev/console", 5, 1), node("/dev/full", 1, 7), node(ptmx, 5, 2), node("/dev/tty", 5, 0)])
    };
    for ptmx in ["/dev/ptmx", "/dev//ptmx"] {
        bundle.set("/linux/devices", list(ptmx)).script("readlink /dev/ptmx; exec 3<>/dev/ptmx && ls /dev/pts");
        stage.run(&bundle).success().prints("pts/ptmx\n0\nptmx\n");
    }
    // crun 1.8 does not start with a list of devices here.
    for peer in peers.iter().filter(|peer| peer.name().ends_with("runc")) {
        bundle.set("/linux/devices", json!([node("/dev/ptmx", 5, 2)]));
        let out = peer.call(&stage, &bundle, &["run", "c"]).run();
        assert_eq!((out.code, out.stdout.as_str()), (0, "pts/ptmx\n0\nptmx\n"), "{}: {}", peer.name(), out.stderr);
    }
    bundle.set("/linux/devices", list("/dev/ptmx")).set("/process/terminal", json!(true));
    bundle.script("test -c /dev/console && tty && echo x > /dev/console");
    let (code, shown) = Terminal::start(stage.call(&["run", "c"]).cwd(bundle.path()), 24, 80).wait();
    assert!(code == 0 && shown.ends_with("/dev/pts/0\r\nx\r\n"), "{code}: {shown}");
    // Another node in its place is none that would be lost in silence.
    bundle.set("/process/terminal", json!(false)).set("/linux/devices", json!([node("/dev/ptmx", 1, 3)]));
    stage.run(&bundle).fails(1, &["linux.devices[0]", "/dev/ptmx is the container's own", "leave it out"]);
}
