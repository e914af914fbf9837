//! `rrunc doctor --attack`. The controls run the doctor's own payloads where the defence is not, and see that it says so.
use super::{after_unshare, json};
use crate::support::{Lacks, Place, Stage, find_program, runtime, skip, wait_for};
use nix::sys::signal::Signal;
use rrunc::doctor::attack::scene::{Launcher, Scene};
use rrunc::doctor::attack::{Attempt, PROMISES, Verdict, judge, rounds};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

const NAMES: [&str; 14] = [
    "view",
    "capabilities",
    "seccomp",
    "network",
    "terminal",
    "environment",
    "fds",
    "keyring",
    "proc",
    "privileges",
    "mounts",
    "namespaces",
    "limits",
    "landlock",
];

/// The rows of SECURITY.md that are attacked.
const ROWS: [&str; 29] = [
    "2", "3", "4", "5", "6", "7", "8", "9", "10", "10b", "13", "14", "15", "16", "20b", "21", "22", "24", "24b", "24c",
    "24d", "25", "25b", "25c", "25d", "25e", "26", "27", "29",
];

/// The attack on `promise` by `launcher`, without a sandbox.
fn attempts(promise: &str, launcher: &[&str]) -> Vec<Attempt> {
    let mut scene = Scene::new(&runtime()).expect("the bait");
    // Nobody ends it.
    scene.bait.patience = 100;
    let launcher = Launcher::other(launcher, &runtime());
    rounds::attack(&scene, promise, &launcher).unwrap_or_else(|e| panic!("{promise}: {e:#}"))
}

/// What of it worked.
fn worked(attempts: &[Attempt]) -> Vec<&str> {
    attempts.iter().filter(|attempt| attempt.succeeded).map(|attempt| attempt.what.as_str()).collect()
}

/// The control: with nothing in its way this attack works, and the judge says `off`.
fn is_off(promise: &str, launcher: &[&str], expected: &[&str]) {
    let attempts = attempts(promise, launcher);
    assert_eq!(judge(&attempts), Verdict::Off, "{promise}: {attempts:#?}");
    for what in expected {
        assert!(worked(&attempts).contains(what), "{promise}: {what}: {attempts:#?}");
    }
}

#[test]
fn the_list_of_promises_is_closed_and_in_order() {
    assert_eq!(PROMISES.map(|promise| promise.name), NAMES);
}

#[test]
fn every_promise_but_landlock_is_enforced_here() {
    let place = Place::new();
    let document = json(&place.call(&["doctor", "--attack", "--json"]).cwd(&place.project()).run().success());
    let promises = document["promises"].as_array().expect("promises");
    assert_eq!((document["version"].as_u64(), promises.len()), (Some(1), NAMES.len()));
    for (promise, name) in promises.iter().zip(NAMES) {
        assert_eq!(promise["name"], name);
        assert!(promise["attempts"].as_array().is_some_and(|attempts| !attempts.is_empty()), "{promise}");
        // Whether the sandbox uses it depends on the kernel.
        assert!(name == "landlock" || promise["status"] == "enforced", "{promise:#}");
    }
    // Each row of the sandbox, down to its last attempt; but nobody has to be able to leave a core dump here.
    let attempts = || promises.iter().flat_map(|promise| promise["attempts"].as_array().expect("attempts"));
    let rows: BTreeSet<_> = attempts().filter_map(|attempt| attempt["row"].as_str()).collect();
    for row in ROWS {
        assert!(rows.contains(row), "row {row} is not attacked: {rows:?}");
    }
    for attempt in attempts() {
        assert!(attempt["tried"] == true, "{attempt}");
    }
}

#[test]
fn the_table_has_a_line_for_each_promise() {
    let place = Place::new();
    let out = place.call(&["doctor", "--attack"]).cwd(&place.project()).run().success();
    let first: Vec<_> = out.stdout.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(first[..NAMES.len()], NAMES);
    assert!(out.stdout.lines().last().expect("a line").starts_with("14 promises: "), "{}", out.stdout);
}

#[test]
fn outside_the_view_is_that_of_the_host() {
    let all = [
        "read a key below HOME",
        "read a file beside the project",
        "write a file below HOME",
        // Row 24.
        "change a profile",
        "have a project trusted",
        "read the state of sandboxes",
        "write into the state directory",
        "write the report",
        // Rows 24b to 24d.
        "read a key through a grant that was made a link",
        "have the report written to a file of the caller's",
        "put a report in the place of rrunc's",
        // Rows 25, 25b and 25c.
        "read what the project's own profile would show",
        "read another repository",
        "read keys as a repository",
        "change what runs later on the host",
        "plant such a file unnoticed",
        "change what git runs in what --bind grants",
        // Row 25e.
        "read a hidden file that the host has replaced",
    ];
    is_off("view", &[], &all);
}

#[test]
fn row_29_who_takes_words_apart_is_found() {
    let apart = "a=$1 b=$2 c=$3 d=$4; shift 4; exec \"$a\" \"$b\" \"$c\" \"$d\" $*";
    is_off("view", &["sh", "-c", apart, "sh"], &["have names taken for something else"]);
    let attempts = attempts("view", &[]);
    assert!(!worked(&attempts).contains(&"have names taken for something else"), "{attempts:#?}");
}

#[test]
fn rows_21_and_22_without_limits_there_is_more_of_everything() {
    let all = [
        "start more than 24 processes",
        "fill /tmp",
        "fill /dev/shm",
        "have 128 MiB in one process",
        "have 128 MiB in 4 processes",
        "run on when the time is up",
        "let the host's core handler in (limit 0)",
    ];
    is_off("limits", &[], &all);
    // One is left in the scene, where the host neither hands it to a program nor puts it elsewhere.
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").expect("read");
    let (_, hard) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_CORE).expect("getrlimit");
    if pattern.contains(['/', '|']) || hard < 1 << 20 {
        return skip(Lacks::Machine("core dumps in the working directory"));
    }
    is_off("limits", &[], &["leave a core dump", "take the limit of core dumps away"]);
}

#[test]
fn row_22_a_core_dump_is_found() {
    let Some(_) = find_program("prlimit") else { return skip(Lacks::Package("prlimit")) };
    // What the sandbox sets, alone, and lets be lowered.
    let attempts = attempts("limits", &["prlimit", "--core=1:1"]);
    let worked = worked(&attempts);
    assert!(worked.contains(&"let the host's core handler in (limit 0)"), "{attempts:#?}");
    assert!(!worked.contains(&"take the limit of core dumps away"), "{attempts:#?}");
    assert!(!worked.contains(&"leave a core dump"), "{attempts:#?}");
}

#[test]
fn row_26_a_shell_that_names_a_program_as_it_is_is_found() {
    // It is the shell that does not find the program, and says so.
    let named = "exec 7<&-; \"$@\"";
    is_off("terminal", &["sh", "-c", named, "sh"], &["command the terminal by the name of a program"]);
}

#[test]
fn row_25d_a_report_behind_last_words_that_conceal_it_is_found() {
    let told = "exec 7<&-; \"$@\"; echo new, and runs later on your host >&2";
    is_off("terminal", &["sh", "-c", told, "sh"], &["conceal the report by what was printed last"]);
}

#[test]
fn row_20b_who_outlives_a_killed_launcher_is_found() {
    is_off("proc", &[], &["outlive a killed rrunc"]);
}

#[test]
fn with_the_capabilities_of_a_user_namespace_they_are_found() {
    let Some(_) = find_program("unshare") else { return skip(Lacks::Package("unshare")) };
    is_off("capabilities", &["unshare", "-r"], &["hold capabilities in CapEff", "change the root directory"]);
    let all = ["mount a tmpfs", "clone a mount tree (open_tree)", "be where the host's later mounts appear"];
    is_off("mounts", &["unshare", "-r", "-m", "--propagation", "shared"], &all);
}

#[test]
fn without_a_filter_that_is_found() {
    is_off("seccomp", &[], &["run without a filter", "call add_key", "leave a set-user-id file"]);
}

#[test]
fn outside_the_hosts_sockets_are_reached() {
    let all = [
        "reach a service on the host's loopback",
        "reach an abstract socket of the host",
        "reach an abstract socket in the host's network",
        "reach a socket file of the session (agent.sock)",
        "reach a socket file of the session (wayland-0)",
    ];
    is_off("network", &[], &all);
}

#[test]
fn outside_the_terminal_is_the_callers() {
    is_off("terminal", &[], &["hold the caller's terminal as 0"]);
}

const ENVIRONMENT: [&str; 3] =
    ["find a variable of the caller's", "find it in another process", "find the name of a session's socket"];

#[test]
fn outside_the_environment_and_the_descriptors_are_the_callers() {
    is_off("environment", &[], &ENVIRONMENT);
    is_off("fds", &[], &["hold a directory of the host", "hold a directory given as standard input"]);
}

#[test]
fn outside_the_keyring_is_the_callers() {
    is_off("keyring", &[], &["reach the caller's session keyring"]);
}

#[test]
fn outside_a_process_of_the_host_is_seen_and_ended() {
    let all = ["see a process of the host", "send a signal to it", "end a process of the host"];
    is_off("proc", &[], &all);
}

#[test]
fn row_27_groups_are_dropped_where_a_range_is_granted() {
    let granted = ["unshare", "--map-root-user", "--map-auto"];
    if !Command::new(granted[0]).args(&granted[1..]).arg("true").output().is_ok_and(|out| out.status.success()) {
        return skip(Lacks::Machine("a range in /etc/subgid, and unshare"));
    }
    is_off("privileges", &granted, &["drop the groups that something is closed to"]);
}

#[test]
fn outside_there_are_setuid_programs_and_namespaces() {
    is_off("privileges", &[], &["run without no_new_privs", "be where groups may be dropped"]);
    is_off("namespaces", &[], &["make a user namespace (clone3)", "make a user namespace (unshare)"]);
}

#[test]
fn one_defence_of_two_is_a_promise_weakened() {
    let Some(_) = find_program("setpriv") else { return skip(Lacks::Package("setpriv")) };
    let attempts = attempts("privileges", &["setpriv", "--no-new-privs"]);
    assert_eq!(judge(&attempts), Verdict::Weakened, "{attempts:#?}");
    assert_eq!(worked(&attempts), ["use the setuid bits in /usr", "be where groups may be dropped"]);
}

#[test]
fn a_landlock_domain_is_found_and_its_lack_too() {
    if rrunc::sys::landlock::abi() == 0 {
        return skip(Lacks::Machine("Landlock"));
    }
    is_off("landlock", &[], &["be under no Landlock domain"]);
    // A domain is of a thread, and of what it starts.
    let under_one = std::thread::spawn(|| {
        rrunc::sys::prctl::set_no_new_privs().expect("no_new_privs");
        rrunc::sys::attempt::landlock_layer().expect("a domain");
        attempts("landlock", &[])
    });
    let attempts = under_one.join().expect("the thread");
    assert_eq!(judge(&attempts), Verdict::Enforced, "{attempts:#?}");
    assert_eq!(attempts[0].detail, "there are 1");
}

#[test]
fn an_attack_leaves_nothing_behind() {
    let place = Place::new();
    let tmp = place.dir().join("tmp");
    fs::create_dir(&tmp).expect("mkdir");
    let before = place.tree();
    place.call(&["doctor", "--attack"]).cwd(&place.project()).env("TMPDIR", &tmp).run().success();
    assert_eq!(place.tree(), before);
    for dir in [&tmp, &place.xdg()] {
        assert_eq!(fs::read_dir(dir).expect("read").count(), 0, "{}", dir.display());
    }
}

#[test]
fn a_killed_attack_leaves_nothing_behind() {
    let place = Place::new();
    let tmp = place.dir().join("tmp");
    fs::create_dir(&tmp).expect("mkdir");
    let entries = |dir: &Path| fs::read_dir(dir).expect("read").count();
    let running = place.call(&["doctor", "--attack"]).cwd(&place.project()).env("TMPDIR", &tmp).spawn();
    wait_for("the bait", || (entries(&tmp) > 0).then_some(()));
    running.signal(Signal::SIGKILL);
    running.wait();
    wait_for("the bait to be cleared away", || (entries(&tmp) == 0).then_some(()));
}

#[test]
fn where_no_sandbox_starts_that_is_an_error_and_no_verdict() {
    let stage = Stage::new();
    let script = "echo 0 > /proc/sys/user/max_user_namespaces";
    let Some(out) = after_unshare(&stage, script, &["doctor", "--attack"]) else { return };
    assert_eq!(out.code, 1, "{}", out.stdout);
    assert_eq!(out.stdout, "");
    assert!(out.stderr.contains("attack on view") && out.stderr.contains("`rrunc doctor`"), "{}", out.stderr);
}

#[test]
fn an_attack_and_requirements_do_not_go_together() {
    let stage = Stage::new();
    assert_eq!(stage.rrunc(&["doctor", "--attack", "--require", "pasta"]).code, 2);
    let help = stage.rrunc(&["doctor", "--help"]).stdout;
    assert!(help.contains("--attack") && !help.contains("--payload") && !help.contains("--bait"), "{help}");
    for name in NAMES {
        assert!(help.contains(name), "{name} is not in the help");
    }
}
