//! `rrunc doctor --attack`. The controls run the doctor's own payloads where the defence is not, and see that it says so.
use super::{after_unshare, json};
use crate::support::{Lacks, Place, Stage, find_program, runtime, skip, wait_for};
use nix::sys::signal::Signal;
use rrunc::doctor::attack::scene::Scene;
use rrunc::doctor::attack::{Attempt, PROMISES, Verdict, judge};
use std::ffi::OsString;
use std::fs;
use std::path::Path;

const NAMES: [&str; 13] = [
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
    "landlock",
];

/// The attack on `promise` by `launcher`, without a sandbox.
fn attempts(promise: &str, launcher: &[&str]) -> Vec<Attempt> {
    let scene = Scene::new(&runtime()).expect("the bait");
    let launcher: Vec<OsString> = launcher.iter().map(OsString::from).chain([runtime().into_os_string()]).collect();
    scene.attack(promise, &launcher).unwrap_or_else(|e| panic!("{promise}: {e:#}"))
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
}

#[test]
fn the_table_has_a_line_for_each_promise() {
    let place = Place::new();
    let out = place.call(&["doctor", "--attack"]).cwd(&place.project()).run().success();
    let first: Vec<_> = out.stdout.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(first[..NAMES.len()], NAMES);
    assert!(out.stdout.lines().last().expect("a line").starts_with("13 promises: "), "{}", out.stdout);
}

#[test]
fn outside_the_view_is_that_of_the_host() {
    let all = ["read a key below HOME", "read a file beside the project", "write a file below HOME"];
    is_off("view", &[], &all);
}

#[test]
fn with_the_capabilities_of_a_user_namespace_they_are_found() {
    let Some(_) = find_program("unshare") else { return skip(Lacks::Package("unshare")) };
    is_off("capabilities", &["unshare", "-r"], &["hold capabilities in CapEff", "change the root directory"]);
    is_off("mounts", &["unshare", "-r", "-m"], &["mount a tmpfs", "clone a mount tree (open_tree)"]);
}

#[test]
fn without_a_filter_that_is_found() {
    is_off("seccomp", &[], &["run without a filter", "call add_key"]);
}

#[test]
fn outside_the_hosts_sockets_are_reached() {
    let all = [
        "reach a service on the host's loopback",
        "reach an abstract socket of the host",
        "reach a socket file of the session",
    ];
    is_off("network", &[], &all);
}

#[test]
fn outside_the_terminal_is_the_callers() {
    is_off("terminal", &[], &["hold the caller's terminal as 0"]);
}

#[test]
fn outside_the_environment_and_the_descriptors_are_the_callers() {
    is_off("environment", &[], &["find a variable of the caller's", "find it in another process"]);
    is_off("fds", &[], &["hold a directory of the host"]);
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
fn outside_there_are_setuid_programs_and_namespaces() {
    is_off("privileges", &[], &["run without no_new_privs"]);
    is_off("namespaces", &[], &["make a user namespace (clone3)", "make a user namespace (unshare)"]);
}

#[test]
fn one_defence_of_two_is_a_promise_weakened() {
    let Some(_) = find_program("setpriv") else { return skip(Lacks::Package("setpriv")) };
    let attempts = attempts("privileges", &["setpriv", "--no-new-privs"]);
    assert_eq!(judge(&attempts), Verdict::Weakened, "{attempts:#?}");
    assert_eq!(worked(&attempts), ["use the setuid bits in /usr"]);
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
