//! Rows 3, 5, 6, 8, 14, 15, 16, 20b, 25b and 27 against `rrunc sandbox` with no flags.
use super::{identity, payloads};
use crate::support::place::{SECRET, git, write};
use crate::support::{Lacks, Place, Terminal, find_program, kernel_is, runtime, skip, wait_for};
use nix::sys::signal::Signal;
use rrunc::sys::landlock;
use serde_json::{Value, json};
use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// `name: how it ended`, taken apart.
pub fn results(stdout: &str) -> Vec<(String, String)> {
    let lines = payloads::lines(stdout);
    let split = |line: &String| line.rsplit_once(": ").map(|(name, end)| (name.to_owned(), end.to_owned()));
    lines.iter().map(|line| split(line).unwrap_or_else(|| panic!("{line}"))).collect()
}

pub fn assert_all(results: &[(String, String)], count: usize, expected: &str) {
    assert_eq!(results.len(), count, "{results:?}");
    for (name, end) in results {
        assert_eq!(end, expected, "{name}: {results:?}");
    }
}

/// The same sandbox as a bundle with `change` made to its config, run by `rrunc run`.
pub fn changed(
    place: &Place,
    options: &[&str],
    payload: &str,
    change: impl FnOnce(&mut Value),
) -> Vec<(String, String)> {
    let dir = place.dir().join(format!("written-{}", payload.replace(':', "")));
    let named = ["--write-bundle", dir.to_str().expect("plain")];
    payloads::in_sandbox(place, &[&named[..], options].concat(), payload).success();
    edit(&dir, change);
    let out = place.call(&["run", "-b", named[1], "written"]).cwd(&place.project()).run().success();
    fs::remove_dir_all(&dir).expect("remove");
    results(&out.stdout)
}

pub fn edit(bundle: &Path, change: impl FnOnce(&mut Value)) {
    let file = bundle.join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&file).expect("read")).expect("JSON");
    change(&mut config);
    fs::write(&file, config.to_string()).expect("write");
}

pub fn without_filter(config: &mut Value) {
    config["linux"].as_object_mut().expect("linux").remove("seccomp").expect("a filter");
}

pub fn without_landlock(config: &mut Value) {
    config["annotations"].as_object_mut().expect("annotations").remove("org.rrunc.landlock").expect("Landlock");
}

#[test]
fn row_8_abstract_sockets_outside_are_out_of_reach() {
    let place = Place::new();
    let name = place.dir().display().to_string();
    let at = |name: &str| SocketAddr::from_abstract_name(name).expect("a name");
    let _listener = UnixListener::bind_addr(&at(&name)).expect("bind");
    let datagrams = UnixDatagram::bind_addr(&at(&format!("{name}-datagram"))).expect("bind");
    datagrams.set_nonblocking(true).expect("nonblocking");
    let arrived = || datagrams.recv(&mut [0]).is_ok();
    let (variable, payload) = (format!("PAYLOAD_SOCKET={name}"), "calls::abstract_sockets");
    let ends = |results: Vec<(String, String)>| {
        let ends: Vec<_> = results.into_iter().map(|(_, end)| end).collect();
        assert_eq!((ends.len(), ends[0].as_str()), (4, "Ok"), "a socket of its own: {ends:?}");
        ends[1..].to_vec()
    };
    let alone = payloads::in_sandbox(&place, &["-e", &variable], payload).success();
    assert_eq!(ends(results(&alone.stdout)), ["ECONNREFUSED"; 3]);
    let options = ["--network", "host", "-e", &variable];
    if landlock::abi() < 6 {
        let texts = ["abstract unix sockets of your session", "leave out --network host"];
        payloads::in_sandbox(&place, &options, payload).fails(125, &texts);
        return skip(Lacks::Machine("Landlock ABI 6"));
    }
    let inside = payloads::in_sandbox(&place, &options, payload).success();
    assert_eq!(ends(results(&inside.stdout)), ["EPERM"; 3]);
    assert!(!arrived(), "a datagram came through");
    // The control: the same bundle without Landlock reaches both.
    assert_eq!(ends(changed(&place, &options, payload, without_landlock)), ["Ok"; 3]);
    assert!(arrived());
}

#[test]
fn row_14_calls_of_no_use_to_a_program_are_refused() {
    let place = Place::new();
    let payload = "calls::forbidden";
    let count = payloads::calls::FORBIDDEN.len();
    let inside = results(&payloads::in_sandbox(&place, &[], payload).success().stdout);
    assert_all(&inside, count, "EPERM");
    // First control: it is the filter that answers each of them, for a filter with another errno gives that one.
    let other = |config: &mut Value| config["linux"]["seccomp"]["defaultErrnoRet"] = json!(libc::EADDRNOTAVAIL);
    assert_all(&changed(&place, &[], payload, other), count, "EADDRNOTAVAIL");
    // Second control: without one the kernel does answer those that need no capability in another way.
    let open = changed(&place, &[], payload, without_filter);
    let outside = results(&payloads::outside(&place, payload).success().stdout);
    let forbidden =
        fs::read_to_string("/proc/sys/kernel/unprivileged_bpf_disabled").expect("Linux has it").trim() != "0";
    for name in ["io_uring_enter", "io_uring_register", "bpf", "perf_event_open", "keyctl", "add_key", "request_key"] {
        if name == "bpf" && forbidden && !kernel_is((6, 5)) {
            continue; // Before it looks at what is asked for, this kernel has its setting refuse it, with the same error.
        }
        for results in [&open, &outside] {
            let end = results.iter().find(|(known, _)| known == name).map(|(_, end)| end.as_str());
            assert!(end.is_some_and(|end| end != "EPERM"), "{name}: {results:?}");
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn row_14_foreign_calling_conventions_are_refused_or_fatal() {
    const SIGSYS: i32 = 128 + libc::SIGSYS;
    let place = Place::new();
    for (payload, name) in [("calls::x32", "x32"), ("calls::i386", "i386")] {
        let inside = payloads::in_sandbox(&place, &[], payload);
        let refused = inside.code == 0 && results(&inside.stdout) == [(name.to_owned(), "EPERM".to_owned())];
        assert!(inside.code == SIGSYS || refused, "{inside:?}");
        // The control: where the kernel has this entry at all, it works outside; else it ends in yet another way.
        let outside = payloads::outside(&place, payload);
        let end = results(&outside.stdout);
        assert_ne!((outside.code, end), (inside.code, results(&inside.stdout)), "{name}");
    }
}

#[test]
fn row_15_mounts_cannot_be_changed() {
    let place = Place::new();
    let payload = "calls::mounts";
    for options in [&["-e", "PAYLOAD_MOUNT=/usr"][..], &["-e", "PAYLOAD_MOUNT=/etc", "--as-root"]] {
        let inside = results(&payloads::in_sandbox(&place, options, payload).success().stdout);
        assert_all(&inside, 12, "EPERM");
        // Even without the filter: there is no capability to do any of it.
        let inside = changed(&place, options, payload, without_filter);
        assert_all(&inside, 12, "EPERM");
    }
    // The control: in a namespace of one's own, with its capabilities, each of them works.
    let own = std::env::current_exe().expect("our own path");
    let script = "mkdir ro && mount --bind /usr ro && mount -o remount,bind,ro ro && exec \"$@\"";
    let out = Command::new("unshare")
        .args(["--map-root-user", "--mount", "--propagation", "private", "sh", "-c", script, "sh"])
        .arg(own)
        .args(payloads::arguments(payload))
        .current_dir(place.project())
        .env("PAYLOAD_MOUNT", place.project().join("ro"))
        .output()
        .expect("unshare");
    let outside = results(&String::from_utf8_lossy(&out.stdout));
    assert_eq!(outside.len(), 12, "{outside:?} {}", String::from_utf8_lossy(&out.stderr));
    for (name, end) in &outside {
        // A root that is no mount point by now is EINVAL, which is past the check.
        assert!(end == "Ok" || (name == "pivot_root" && end == "EINVAL"), "{name}: {outside:?}");
    }
}

#[test]
fn row_16_no_namespace_inside_gives_capabilities_back() {
    let place = Place::new();
    let payload = "calls::namespaces";
    for options in [&[][..], &["--as-root"]] {
        let inside = results(&payloads::in_sandbox(&place, options, payload).success().stdout);
        let (clone3, others): (Vec<_>, Vec<_>) = inside.into_iter().partition(|(name, _)| name.starts_with("clone3"));
        assert_all(&others, 5, "EPERM");
        // Its flags cannot be seen by a filter: absent, so that libc falls back to clone.
        assert_all(&clone3, 1, "ENOSYS");
    }
    for results in
        [results(&payloads::outside(&place, payload).success().stdout), changed(&place, &[], payload, without_filter)]
    {
        let users: Vec<_> = results.into_iter().filter(|(name, _)| name.contains("NEWUSER")).collect();
        assert_all(&users, 5, "Ok");
    }
}

fn at_a_terminal(place: &Place, redirection: &str, command: &[String]) -> Vec<(String, String)> {
    let script = format!("exec \"$@\" {redirection}");
    let call = place.call_program(Path::new("/bin/sh"), &["-c", &script, "sh"]).cwd(&place.project());
    let call = command.iter().fold(call, |call, argument| call.arg(argument));
    let (code, shown) = Terminal::start(call, 24, 200).wait();
    assert_eq!(code, 0, "{shown}");
    results(&shown.replace('\r', ""))
}

#[test]
fn row_6_nothing_is_typed_into_a_terminal() {
    let place = Place::new();
    let payload = "calls::type_into_terminal";
    let program = |path: &Path| vec![path.to_str().expect("plain").to_owned()];
    // The control: outside, the kernel types it, or says that it was told not to (dev.tty.legacy_tiocsti = 0).
    let own = std::env::current_exe().expect("our own path");
    let outside = at_a_terminal(&place, "", &[program(&own), payloads::arguments(payload)].concat());
    assert_eq!(outside.len(), 20, "{outside:?}");
    for (name, end) in &outside {
        let typed = name.ends_with("5412");
        assert!(if typed { end == "Ok" || end == "EIO" } else { end != "EPERM" }, "{name}: {outside:?}");
    }
    let mut call = program(&runtime());
    call.push("sandbox".to_owned());
    call.extend(payloads::sandboxed(&[], payload));
    for redirection in ["", "</dev/null", "2>/dev/null", "</dev/null 2>/dev/null"] {
        let inside = at_a_terminal(&place, redirection, &call);
        assert!(inside.len() >= 15, "{inside:?}");
        assert_all(&inside, inside.len(), "EPERM");
    }
}

#[test]
fn row_3_a_directory_as_standard_stream_is_refused() {
    let place = Place::new();
    let probe = "ls -d /proc/self/fd/*/home /proc/self/fd/0/ 2>/dev/null; true";
    // The control: such a descriptor does lead out of a root that has no /home of the host's.
    let outside = Command::new("sh").args(["-c", &format!("exec </; {probe}")]).output().expect("sh");
    assert!(String::from_utf8_lossy(&outside.stdout).contains("/home"), "{outside:?}");
    for stream in [0, 1, 2] {
        for dir in ["/", ".", "/proc/self/fd"] {
            let prelude = format!("exec {stream}<{dir}");
            let call = place.call_after(&prelude, &["sandbox", "--", "sh", "-c", probe]).cwd(&place.project());
            let out = call.run().exits(125);
            let expected: &[&str] = if stream == 2 { &[] } else { &["is a directory", "/dev/null"] };
            assert_eq!(out.stdout, "");
            out.fails(125, expected);
        }
    }
    // Other odd streams are no reason to refuse: closed, a file, a pipe.
    for prelude in ["exec <&-", "exec </etc/passwd", "exec 2>&-", "exec <&- >/dev/null 2>&-"] {
        let call = place.call_after(prelude, &["sandbox", "--", "sh", "-c", "exit 9"]).cwd(&place.project());
        assert_eq!(call.run().code, 9, "{prelude}");
    }
}

#[test]
fn row_3_a_file_given_for_reading_cannot_be_written() {
    if landlock::abi() < 3 {
        return skip(Lacks::Machine("Landlock ABI 3"));
    }
    let place = Place::new();
    let notes = place.home().join("notes");
    let probe = "cat; echo changed > /proc/self/fd/0; truncate -s 0 /proc/self/fd/0";
    let prelude = format!("exec <{}", notes.display());
    let sandbox = |options: &[&str]| {
        let arguments = [&["sandbox"], options, &["--", "sh", "-c", probe]].concat();
        place.call_after(&prelude, &arguments).cwd(&place.project()).run()
    };
    let out = sandbox(&[]).exits(1);
    assert_eq!((out.stdout.as_str(), fs::read_to_string(&notes).expect("read").as_str()), ("notes", "notes"));
    assert_eq!(out.stderr.matches("Permission denied").count(), 2, "{}", out.stderr);
    // The control: by its mount it can be, and is gone.
    let dir = place.dir().join("written").display().to_string();
    sandbox(&["--write-bundle", &dir]).success();
    edit(Path::new(&dir), without_landlock);
    place.call_after(&prelude, &["run", "-b", &dir, "c"]).run().success().prints("notes");
    assert_eq!(fs::read_to_string(&notes).expect("read"), "");
}

#[test]
fn row_5_the_callers_variables_do_not_pass() {
    let place = Place::new();
    let probe = "cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n'; env";
    let names =
        ["TOKEN", "AWS_SESSION_TOKEN", "SSH_AUTH_SOCK", "HTTPS_PROXY", "LD_LIBRARY_PATH", "PYTHONPATH", "GIT_DIR"];
    let run = |call: crate::support::Call| names.iter().fold(call, |call, name| call.env(name, SECRET)).run().success();
    let outside = run(place.call_program(Path::new("/bin/sh"), &["-c", probe]));
    assert!(outside.stdout.matches(SECRET).count() >= names.len(), "the control sees them");
    // On an old kernel that network shows more of the host; not its variables.
    for options in [&[][..], &["--as-root"], &["--network", "host", "--allow-weaker", "network"]] {
        let inside = run(place.sandbox(&[options, &["--", "sh", "-c", probe]].concat()));
        assert!(!inside.stdout.contains(SECRET), "{options:?}: {}", inside.stdout);
    }
}

#[test]
fn row_25b_a_forged_git_file_shows_no_other_repository() {
    if find_program("git").is_none() {
        return skip(Lacks::Package("git"));
    }
    let place = Place::new();
    let victim = place.home().join("victim");
    fs::create_dir(&victim).expect("mkdir");
    git(&victim, &["init", "-q"]);
    write(&victim.join(".git/secret"), SECRET);
    let pointer = place.project().join(".git");
    let probe = "git rev-parse --git-dir 2>/dev/null; cat ~/victim/.git/secret ~/.ssh/* 2>/dev/null; true";
    for target in [victim.join(".git"), place.home().join(".ssh")] {
        write(&pointer, &format!("gitdir: {}\n", target.display()));
        let out = place.sh(&[], probe).success();
        assert_eq!(out.stdout, "", "{}", target.display());
        assert!(out.stderr.contains("not shown"), "no warning: {}", out.stderr);
    }
    // The control: git outside does go where the file says.
    write(&pointer, &format!("gitdir: {}\n", victim.join(".git").display()));
    let outside =
        Command::new("git").args(["rev-parse", "--git-dir"]).current_dir(place.project()).output().expect("git");
    assert!(String::from_utf8_lossy(&outside.stdout).contains("victim"), "{outside:?}");
}

#[test]
fn row_27_groups_cannot_be_dropped_in_a_sandbox() {
    let place = Place::new();
    for options in [&[][..], &["--as-root"]] {
        let out = payloads::in_sandbox(&place, options, "drop_groups").success();
        assert_eq!(payloads::lines(&out.stdout), ["setgroups: Err(EPERM)"], "{options:?}");
        place.sh(options, "cat /proc/self/setgroups").success().prints("deny\n");
    }
    // The control: with a range that the administrator granted, the same call works.
    if identity::subordinate().is_none() {
        return;
    }
    let own = std::env::current_exe().expect("our own path");
    let arguments = payloads::arguments("drop_groups");
    let out = Command::new("unshare").args(["--map-root-user", "--map-auto"]).arg(own).args(arguments).output();
    let out = out.expect("unshare");
    assert_eq!(payloads::lines(&String::from_utf8_lossy(&out.stdout)), ["setgroups: Ok(())"]);
}

/// Clears PR_SET_PDEATHSIG (1), ignores what can be ignored, and stays. The first thread has to do it: the signal is set
/// for each thread by itself.
const OUTLIVE: &str = "import ctypes, signal, time\nctypes.CDLL(None).prctl(1, 0, 0, 0, 0)\n\
    for s in signal.valid_signals() - {9, 19}: signal.signal(s, signal.SIG_IGN)\nprint('settled', flush=True)\ntime.sleep(60)";

#[test]
fn row_20b_a_killed_rrunc_ends_a_program_that_has_cleared_its_death_signal() {
    if find_program("python3").is_none() {
        return skip(Lacks::Package("python3"));
    }
    let place = Place::new();
    let kill = |call: crate::support::Call| {
        let mut run = call.spawn();
        run.wait_stdout("settled");
        run.signal(Signal::SIGKILL);
        let killed = Instant::now();
        assert_eq!(run.wait().code, -9);
        killed
    };
    let dir = place.dir().join("written").display().to_string();
    let command = ["--", "python3", "-c", OUTLIVE];
    // The control: without the reaper the program is the first process itself, and does outlive its runtime.
    place.sandbox(&[&["--write-bundle", &dir][..], &command].concat()).run().success();
    edit(&place.dir().join("written"), |config| {
        config["annotations"].as_object_mut().expect("annotations").remove("org.rrunc.reaper").expect("a reaper");
    });
    kill(place.call(&["run", "-b", &dir, "c"]).cwd(&place.project()));
    std::thread::sleep(Duration::from_millis(500));
    assert_ne!(place.processes(), Vec::<String>::new(), "the control ended by itself");
    place.remove("c");
    wait_for("the control to end", || place.processes().is_empty().then_some(()));

    let killed = kill(place.sandbox(&command));
    wait_for("everything to end", || place.processes().is_empty().then_some(()));
    assert!(killed.elapsed() < Duration::from_secs(1), "it took {:?}", killed.elapsed());
    place.sandbox(&["--", "true"]).run().success();
}

#[test]
fn row_20b_the_first_process_of_a_sandbox_cannot_be_touched() {
    let place = Place::new();
    let inside = payloads::in_sandbox(&place, &["-e", "PAYLOAD_PID=1"], "calls::foreign_process").success();
    let inside = results(&inside.stdout);
    for name in ["ptrace", "process_vm_readv", "process_vm_writev"] {
        let end = inside.iter().find(|(known, _)| known == name).map(|(_, end)| end.as_str());
        assert_eq!(end, Some("EPERM"), "{name}: {inside:?}");
    }
    // The control: the same calls are let through to a process of the program's own.
    let own = "sleep 60 & PAYLOAD_PID=$! exec \"$@\"";
    let mut arguments = payloads::sandboxed(&[], "calls::foreign_process");
    let command = arguments.iter().position(|argument| argument == "--").expect("a command") + 1;
    arguments.splice(command..command, ["sh", "-c", own, "sh"].map(str::to_owned));
    let out = place.sandbox(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).run().success();
    assert!(payloads::lines(&out.stdout).contains(&"process_vm_readv: EFAULT".to_owned()), "{}", out.stdout);
    // Nor by its files, nor by signals that nobody can catch.
    let probe = "for f in mem exe environ maps fd cwd root; do cat /proc/1/$f 2>/dev/null; readlink /proc/1/$f; done; \
        ls /proc/1/fd 2>/dev/null; kill -KILL 1; kill -STOP 1; echo alive; exit 7";
    place.sh(&[], probe).exits(7).prints("alive\n");
}
