//! Hooks: argv, stdin, environment, output, time limit.
use nix::fcntl::{FcntlArg, fcntl};
use oci_spec::runtime::Hook;
use rrunc::error::one_line;
use rrunc::hooks::{Inherit, run, run_all_warn};
use std::ffi::CString;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A directory of the test's own, gone afterwards.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("rrunc-hooks-{name}-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Scratch(path)
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.0.join(file)).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// A shell hook; `$0` is its argv[0].
fn shell(script: &str) -> Hook {
    let mut hook = Hook::default();
    hook.set_path("/bin/sh".into());
    hook.set_args(Some(vec!["sh".into(), "-c".into(), script.into()]));
    hook
}

fn error_of(hook: Hook) -> String {
    one_line(&run("prestart", &[hook], b"{}", Inherit::Own, Path::new("/")).unwrap_err())
}

#[test]
fn hooks_run_in_order_with_the_state_in_the_directory_and_the_first_failure_stops() {
    let scratch = Scratch::new("order");
    let hooks = [shell("cat > state; pwd > cwd"), shell("echo out; echo err >&2; exit 3"), shell("touch late")];
    let error = run("createRuntime", &hooks, b"{\"id\":\"web\"}", Inherit::Own, &scratch.0).unwrap_err();
    assert_eq!(one_line(&error), "error running createRuntime hook #1: exit status 3, stdout: out\n, stderr: err\n");
    assert_eq!(scratch.read("state"), "{\"id\":\"web\"}");
    assert_eq!(scratch.read("cwd").trim_end().as_bytes(), scratch.0.as_os_str().as_bytes());
    assert!(!scratch.0.join("late").exists());
    run_all_warn("poststop", &hooks, b"{}", Inherit::Own, &scratch.0);
    assert!(scratch.0.join("late").exists());
}

#[test]
fn args_are_the_whole_argv() {
    let scratch = Scratch::new("argv");
    let mut hook = shell("");
    hook.set_args(Some(
        ["other-name", "-c", "tr '\\0' '\\n' < /proc/$$/cmdline > argv; :", "zero"].map(Into::into).into(),
    ));
    run("prestart", &[hook], b"", Inherit::Own, &scratch.0).unwrap();
    assert!(scratch.read("argv").starts_with("other-name\n-c\n"), "{}", scratch.read("argv"));
}

#[test]
fn the_environment_is_the_hooks_own_or_the_inherited_one_and_never_both() {
    let scratch = Scratch::new("env");
    let see = || shell("tr '\\0' '\\n' < /proc/$$/environ > env");
    let environ = |hook: Hook, inherit| {
        run("createContainer", &[hook], b"", inherit, &scratch.0).unwrap();
        scratch.read("env")
    };
    assert_eq!(environ(see(), Inherit::Nothing), "");
    assert_eq!(environ(see(), Inherit::Given(vec![CString::new("A=1=2").unwrap()])), "A=1=2\n");
    assert!(environ(see(), Inherit::Own).lines().any(|line| line.starts_with("PATH=")));
    let mut own = see();
    own.set_env(Some(vec!["B=1".into(), "B=2".into()]));
    assert_eq!(environ(own, Inherit::Own), "B=2\n");
    let mut none = see();
    none.set_env(Some(Vec::new()));
    assert_eq!(environ(none, Inherit::Own), "");
    let mut bad = see();
    bad.set_env(Some(vec!["NAME".into()]));
    assert!(error_of(bad).ends_with("invalid environment variable \"NAME\": missing '='"));
}

#[test]
fn a_hook_past_its_time_is_killed() {
    let scratch = Scratch::new("late");
    let mut hook = shell("echo $$ > pid; exec sleep 1000");
    hook.set_timeout(Some(1));
    let begin = Instant::now();
    let error = run("prestart", &[hook], b"{}", Inherit::Own, &scratch.0).unwrap_err();
    assert!(begin.elapsed() >= Duration::from_secs(1));
    let text = one_line(&error);
    assert!(text.starts_with("error running prestart hook #0: hook ran past specified timeout of 1.0s"), "{text}");
    assert!(!Path::new("/proc").join(scratch.read("pid").trim()).exists());
}

#[test]
fn paths_and_limits_are_checked() {
    let mut relative = shell("");
    relative.set_path("bin/sh".into());
    assert_eq!(error_of(relative), "error running prestart hook #0: hook path bin/sh must be absolute");
    let mut zero = shell("");
    zero.set_timeout(Some(0));
    assert!(error_of(zero).ends_with("hook timeout 0 must be greater than zero"));
    let mut missing = shell("");
    missing.set_path("/nonexistent/hook".into());
    assert!(error_of(missing).contains("fork/exec /nonexistent/hook: No such file or directory"));
    assert!(error_of(shell("kill -SYS $$")).contains("signal: bad system call"));
}

#[test]
fn a_background_child_holding_the_pipes_does_not_hold_us() {
    let begin = Instant::now();
    run("prestart", &[shell("sleep 5 & echo $!")], b"{}", Inherit::Own, Path::new("/")).unwrap();
    assert!(begin.elapsed() < Duration::from_secs(4));
}

#[test]
fn a_large_state_reaches_a_reader_and_does_not_hurt_a_hook_that_reads_nothing() {
    let scratch = Scratch::new("large");
    let state = vec![b'x'; 1 << 20];
    run(
        "prestart",
        &[shell("sleep 0.1; wc -c > count"), shell("exec <&-; sleep 0.1")],
        &state,
        Inherit::Own,
        &scratch.0,
    )
    .unwrap();
    assert_eq!(scratch.read("count").trim(), "1048576");
}

#[test]
fn of_endless_output_the_end_is_kept() {
    let error = error_of(shell("head -c 4000000 /dev/zero | tr '\\0' a; echo last; exit 1"));
    assert!(error.contains("alast\n, stderr: "), "{}", &error[error.len() - 100..]);
    assert!(error.len() < 20_000);
}

#[test]
fn a_hook_sees_only_its_stdio_and_no_blocked_or_ignored_signal() {
    let scratch = Scratch::new("clean");
    // A descriptor without close-on-exec, as one that --preserve-fds passes on.
    let leak = fcntl(File::open("/dev/null").unwrap(), FcntlArg::F_DUPFD(500)).unwrap();
    let mut blocked = nix::sys::signal::SigSet::empty();
    blocked.add(nix::sys::signal::Signal::SIGUSR1);
    blocked.thread_block().unwrap();
    run(
        "prestart",
        &[shell("ls /proc/$$/fd > fds; exec grep Sig /proc/self/status > signals")],
        b"",
        Inherit::Own,
        &scratch.0,
    )
    .unwrap();
    let fds = scratch.read("fds");
    // The shell keeps copies of what it redirects at 10 and above.
    assert_eq!(fds.lines().filter(|fd| fd.len() == 1).collect::<Vec<_>>(), ["0", "1", "2"], "{fds}");
    assert!(!fds.lines().any(|fd| fd == leak.to_string()), "{fds}");
    let signals = scratch.read("signals");
    assert!(signals.contains("SigBlk:\t0000000000000000"), "{signals}");
    let ignored = signals.lines().find_map(|l| l.strip_prefix("SigIgn:\t")).unwrap();
    let sigpipe = 1 << (nix::sys::signal::Signal::SIGPIPE as u64 - 1);
    assert_eq!(u64::from_str_radix(ignored, 16).unwrap() & sigpipe, 0, "{signals}");
}
