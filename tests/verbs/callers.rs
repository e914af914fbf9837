//! Every verb with every global option, by callers of all kinds: what a caller has open, ignores, blocks or limits is no reason for
//! a verb to do something else, and nothing of it reaches the program.
use crate::support::{Bundle, Lacks, Stage, skip};
use nix::sys::signal::Signal;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

/// What a program tells of its own start: descriptors (the last one is the listing's) and signals (SIGQUIT is ignored by the
/// shell itself, see `row_f7`).
const TELL: &str = "exec >>/out/told; cd /proc/self/fd; echo fds *; grep -E 'Sig(Ign|Blk)' /proc/self/status";
const TOLD: &str = "fds 0 1 2 3\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000004\n";

/// Options before the verb. `@` is a directory of the test's own.
const OPTIONS: [&[&str]; 9] = [
    &[],
    &["--log", "@/log"],
    &["--log", "@/log", "--log-format", "json"],
    &["--log-format", "text", "--debug"],
    &["--log", "@/log", "--debug"],
    &["--root", "@/state"],
    &["--root", "@/state", "--log", "@/log", "--debug", "--log-format", "json"],
    &["--cgroup-manager", "cgroupfs"],
    &["--cgroup-manager", "disabled"],
];

/// Descriptors of the caller: each standard stream closed or odd, numbers 3 to 6 free and taken.
const DESCRIPTORS: [&str; 16] = [
    "exec 0<&-",
    "exec 1>&-",
    "exec 2>&-",
    "exec 0<&- 1>&- 2>&-",
    "exec 0</ 1</dev/null",
    "exec 0>/dev/null 2</dev/null",
    "exec 2>/dev/full",
    "exec 3<&- 4<&- 5<&- 6<&-",
    "exec 3</dev/null",
    "exec 4</dev/null",
    "exec 3<. 4>/dev/full",
    "exec 3</dev/null 5</dev/null",
    "exec 4</dev/null 6</dev/null",
    "exec 3</dev/null 4</dev/null 5</dev/null",
    "exec 3< / 4>/dev/null 5</dev/zero 6<.",
    "exec 0<&- 4</dev/null 2>&-",
];

/// What else a caller hands down.
const HANDED_DOWN: [&str; 12] = [
    "trap '' INT QUIT",
    "trap '' HUP INT QUIT TERM USR1 USR2 CHLD PIPE ALRM TSTP TTIN TTOU CONT WINCH 34 35 64",
    "set -- env --block-signal \"$@\"",
    "trap '' INT; set -- env --block-signal=INT,TERM,CHLD \"$@\"",
    "umask 0",
    "umask 077",
    "ulimit -S -n 24",
    "ulimit -c unlimited; ulimit -S -s 512",
    "unset HOME PATH",
    "export LC_ALL=xx RUST_BACKTRACE=full RUST_LOG=trace A=\"$(printf 'a\\377')\"",
    "export LISTEN_FDS=2 LISTEN_PID=1 NOTIFY_SOCKET=",
    "cd /",
];

/// A bundle whose program can write to /out, and its directory outside.
fn telling(stage: &Stage, name: &str) -> (Bundle, PathBuf) {
    let (bundle, out) = (stage.bundle_named(name), stage.dir().join(format!("{name}-out")));
    fs::create_dir_all(&out).expect("make the directory");
    bundle.mount("/out", "bind", out.to_str().expect("plain"), &["bind", "rw"]).unset("/process/rlimits");
    (bundle, out)
}

fn expanded(options: &[&str], dir: &str) -> Vec<String> {
    options.iter().map(|option| option.replacen('@', dir, 1)).collect()
}

/// Cases are shared by two threads, each with a bundle of its own.
fn in_turns<T: Sync>(cases: &[T], each: impl Fn(&T, usize) + Sync) {
    thread::scope(|scope| {
        for worker in 0..2 {
            let each = &each;
            scope.spawn(move || cases.iter().skip(worker).step_by(2).for_each(|case| each(case, worker)));
        }
    });
}

fn blocks_signals() -> bool {
    Command::new("env").args(["--block-signal", "true"]).output().is_ok_and(|out| out.status.success())
}

#[test]
fn row_f1_run_and_sandbox_start_with_every_option_for_every_caller() {
    let stage = Stage::new();
    let can_block = blocks_signals();
    if !can_block {
        skip(Lacks::Machine("env --block-signal"));
    }
    // Numbers of descriptors are what the options can clash with: all pairs of those.
    let mut cases: Vec<(&str, &[&str])> =
        DESCRIPTORS.iter().flat_map(|caller| OPTIONS.iter().map(move |options| (*caller, *options))).collect();
    let others = HANDED_DOWN.iter().filter(|caller| can_block || !caller.contains("--block"));
    cases.extend(others.flat_map(|caller| [(*caller, OPTIONS[0]), (*caller, OPTIONS[6])]));
    let bundles = [0, 1].map(|worker| telling(&stage, &format!("b{worker}")));
    for (bundle, _) in &bundles {
        bundle.script(TELL);
    }
    in_turns(&cases, |(caller, options), worker| {
        let (bundle, out) = &bundles[worker];
        let options = expanded(options, out.to_str().expect("plain"));
        let mut before: Vec<&str> = options.iter().map(String::as_str).collect();
        let number = before.len();
        before.extend(["run", "--bundle", bundle.str(), if worker == 0 { "c0" } else { "c1" }]);
        let said = stage.call_after(caller, &before).run();
        assert_eq!(said.code, 0, "{caller:?} {before:?}: {}", said.stderr);
        let told = fs::read_to_string(out.join("told")).unwrap_or_default();
        assert_eq!(told, TOLD, "{caller:?} {before:?}");
        fs::remove_file(out.join("told")).expect("remove");
        // A directory of the host is not let into a sandbox; and it looks for its own files in HOME.
        if !caller.contains("0</ ") && !caller.contains("unset HOME") && [0, 2, 6].contains(&number) {
            before.truncate(number);
            before.extend(["sandbox", "--no-project", "--", "true"]);
            let said = stage.call_after(caller, &before).run();
            assert_eq!(said.code, 0, "{caller:?} {before:?}: {}", said.stderr);
        }
    });
}

/// A container's life in all verbs. Each has to end as it does without an option, called by nobody special.
const LIFE: [&str; 22] = [
    "create --bundle @ c",
    "state c",
    "list",
    "start c",
    "exec c sh -c TELL",
    "exec -d c true",
    "exec c false",
    "ps c",
    "list --format json",
    "pause c",
    "resume c",
    "update --pids-limit 9 c",
    "events --stats c",
    "kill c 0",
    "kill c KILL",
    "delete --force c",
    "run -d --bundle @ c",
    "delete -f c",
    "spec --bundle @-spec",
    "features",
    "profile ls",
    "profile show base",
];

/// The exit codes of a life.
fn live(
    stage: &Stage,
    options: &[&str],
    caller: &str,
    (bundle, out): &(Bundle, PathBuf),
    id: &str,
) -> Vec<(String, i32)> {
    let options = expanded(options, out.to_str().expect("plain"));
    fs::remove_dir_all(format!("{}-spec", bundle.str())).ok();
    fs::create_dir(format!("{}-spec", bundle.str())).expect("make the directory");
    let codes = LIFE.map(|call| {
        let words = call.split(' ').map(|word| match word {
            "c" => id.to_owned(),
            "TELL" => TELL.to_owned(),
            word => word.replacen('@', bundle.str(), 1),
        });
        let words: Vec<String> = options.iter().cloned().chain(words).collect();
        let said = stage.call_after(caller, &words.iter().map(String::as_str).collect::<Vec<_>>()).run();
        (call.to_owned(), said.code)
    });
    let told = fs::read_to_string(out.join("told")).unwrap_or_default();
    assert_eq!(told, TOLD, "exec, {caller:?} {options:?}");
    fs::remove_file(out.join("told")).expect("remove");
    codes.to_vec()
}

#[test]
fn row_f1_every_verb_does_the_same_with_every_option_and_for_every_caller() {
    let stage = Stage::new();
    let bundles = [0, 1].map(|worker| telling(&stage, &format!("b{worker}")));
    for (bundle, _) in &bundles {
        bundle.args(&["sleep", "3600"]);
    }
    let plain = live(&stage, &[], ":", &bundles[0], "c0");
    let code = |call: &str| plain.iter().find(|(name, _)| name == call).map(|(_, code)| *code);
    assert_eq!(
        (code("start c"), code("exec c false"), code("run -d --bundle @ c")),
        (Some(0), Some(1), Some(0)),
        "{plain:?}"
    );
    let can_block = blocks_signals();
    let callers = DESCRIPTORS.iter().chain(&HANDED_DOWN).filter(|caller| can_block || !caller.contains("--block"));
    // Each caller with one of the options, and each option by the most cramped of them.
    let mut cases: Vec<_> = callers.enumerate().map(|(at, caller)| (*caller, OPTIONS[at % OPTIONS.len()])).collect();
    cases.extend(OPTIONS.iter().map(|options| ("exec 0<&- 1>&- 2>&- 3</dev/null 5</", *options)));
    in_turns(&cases, |(caller, options), worker| {
        let codes = live(&stage, options, caller, &bundles[worker], if worker == 0 { "c0" } else { "c1" });
        let mut expected = plain.clone();
        if options.contains(&"disabled") {
            // Only a cgroup can be paused.
            let pauses = expected.iter_mut().filter(|(call, _)| ["pause c", "resume c"].contains(&call.as_str()));
            pauses.for_each(|(_, code)| *code = 1);
        }
        assert_eq!(codes, expected, "{caller:?} {options:?}");
    });
}

#[test]
fn row_f7_what_the_caller_ignores_or_blocks_does_by_default_in_every_program() {
    let stage = Stage::new();
    let (bundle, out) = telling(&stage, "bundle");
    let sed = ["sed", "-n", "/^Sig[IB]/w /out/told", "/proc/self/status"];
    let told = || {
        let text = fs::read_to_string(out.join("told")).unwrap_or_default();
        fs::remove_file(out.join("told")).ok();
        text
    };
    let clean = "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n";
    let all = "trap '' HUP INT QUIT TERM USR1 USR2 CHLD PIPE ALRM TSTP TTIN TTOU WINCH 34 64";
    let callers = [":", all, "trap '' INT; set -- env --block-signal=TERM,USR1 \"$@\""];
    for caller in callers.into_iter().filter(|caller| !caller.contains("env") || blocks_signals()) {
        bundle.args(&sed);
        stage.call_after(caller, &["run", "--bundle", bundle.str(), "c"]).run().success();
        assert_eq!(told(), clean, "run, {caller}");
        stage.call_after(caller, &["create", "--bundle", bundle.str(), "c"]).run().success();
        stage.rrunc(&["start", "c"]).success();
        stage.wait_status("c", "stopped");
        assert_eq!(told(), clean, "create, {caller}");
        stage.remove("c");
        bundle.args(&["sleep", "3600"]);
        stage.call_after(caller, &["run", "-d", "--bundle", bundle.str(), "c"]).run().success();
        stage.call_after(caller, &[&["exec", "c"], &sed[..]].concat()).run().success();
        assert_eq!(told(), clean, "exec, {caller}");
        stage.remove("c");
        let own = ["sandbox", "--no-project", "--", "grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"];
        stage.call_after(caller, &own).run().success().prints(clean);
    }
}

/// What a shell starts with `&` ignores SIGINT: a program's trap works, as with crun, and neither nohup(1) nor a script's Ctrl-C,
/// which is not for it, reach it.
#[test]
fn row_f7_a_trap_works_in_the_background_of_a_script_and_nohup_is_respected() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.script("trap 'echo INT; exit 7' INT; trap 'echo HUP; exit 8' HUP; echo up; while :; do sleep 0.05; done");
    for verb in ["run", "exec", "sandbox"] {
        let script = "trap 'echo INT; exit 7' INT; trap 'echo HUP; exit 8' HUP; echo up; while :; do sleep 0.05; done";
        let mut call = match verb {
            "run" => stage.call_after("trap '' INT HUP", &["run", "--bundle", bundle.str(), "c"]),
            "exec" => {
                let other = stage.bundle_named("other");
                stage.running(&other, "other");
                stage.call_after("trap '' INT HUP", &["exec", "other", "sh", "-c", script])
            }
            _ => stage.call_after("trap '' INT HUP", &["sandbox", "--no-project", "--", "sh", "-c", script]),
        }
        .spawn();
        call.wait_stdout("up");
        call.signal(Signal::SIGHUP);
        thread::sleep(Duration::from_millis(200));
        assert!(!call.ended(), "{verb}: nohup");
        call.signal(Signal::SIGINT);
        call.wait().exits(7).prints("up\nINT\n");
    }
    stage.remove("other");
}
