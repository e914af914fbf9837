//! SCMP_ACT_NOTIFY: calls of the container answered by an agent outside.
use crate::agent::{Agent, Answer};
use crate::support::{Bundle, Stage};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const NO_AGENT: &str = "failed to connect with seccomp agent specified in the seccomp profile";

/// Whatever rrunc itself calls between loading the filter and execve, and some more. `write` cannot be notified.
const NEARLY_ALL: [&str; 34] = [
    "sendmsg",
    "sendto",
    "recvmsg",
    "recvfrom",
    "read",
    "close",
    "close_range",
    "dup",
    "dup3",
    "fcntl",
    "poll",
    "ppoll",
    "openat",
    "fstat",
    "newfstatat",
    "lseek",
    "prctl",
    "capset",
    "capget",
    "setresuid",
    "setresgid",
    "setgroups",
    "chdir",
    "fchdir",
    "getcwd",
    "rt_sigaction",
    "rt_sigprocmask",
    "mmap",
    "munmap",
    "brk",
    "madvise",
    "execve",
    "clone",
    "clock_gettime",
];

fn notify(path: &Path, names: &[&str]) -> Value {
    json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": path,
        "listenerMetadata": "what the agent should know",
        "syscalls": [{"names": names, "action": "SCMP_ACT_NOTIFY"}],
    })
}

fn made_up(call: i32) -> Answer {
    match i64::from(call) {
        libc::SYS_mkdirat => Answer::Result(0),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_mkdir => Answer::Result(0),
        libc::SYS_getcwd => Answer::Error(libc::EXDEV),
        _ => Answer::Continue,
    }
}

fn all(_: i32) -> Answer {
    Answer::Continue
}

fn scene(names: &[&str]) -> (Stage, Bundle, PathBuf) {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let path = stage.dir().join("agent");
    bundle.set("/linux/seccomp", notify(&path, names));
    (stage, bundle, path)
}

/// The root is read-only, so only the agent can make this succeed; and nothing of the listener is to be seen.
const MKDIR: &str =
    "mkdir /made-up && ! test -e /made-up && ls -l /proc/self/fd /proc/1/fd | grep -c 'seccomp\\|latch'";

#[test]
fn the_agent_answers_in_place_of_the_kernel() {
    for no_new_privs in [true, false] {
        let (stage, bundle, path) = scene(&["mkdir", "mkdirat"]);
        bundle.script(MKDIR).set("/process/noNewPrivileges", json!(no_new_privs));
        let agent = Agent::at(&path, made_up);
        // grep counts nothing, and says so with 1.
        stage.run(&bundle).exits(1).prints("0\n");
        let states = agent.states(1);
        let state = &states[0];
        assert_eq!(state["fds"], json!(["seccompFd"]));
        assert_eq!(state["metadata"], "what the agent should know");
        assert_eq!(state["state"]["status"], "creating");
        assert_eq!(state["state"]["id"], "c");
        assert_eq!(state["state"]["bundle"], bundle.str());
        assert_eq!(state["pid"], state["state"]["pid"]);
        assert!(state["pid"].as_i64().is_some_and(|pid| pid > 1), "{state}");
        assert!(state["ociVersion"].as_str().is_some_and(|version| version.starts_with("1.")), "{state}");
    }
}

#[test]
fn rules_on_what_we_call_ourselves_do_not_dead_lock() {
    for no_new_privs in [true, false] {
        let (stage, bundle, path) = scene(&NEARLY_ALL);
        bundle.args(&["echo", "ran"]).set("/process/noNewPrivileges", json!(no_new_privs));
        let agent = Agent::at(&path, all);
        stage.run(&bundle).success().prints("ran\n");
        assert!(agent.count(libc::SYS_execve) >= 1);
        assert_eq!(agent.count(libc::SYS_clock_gettime), 0, "the wait for the latch makes no system call");
        stage.in_bundle(&bundle, &["create", "c"]).success();
        stage.rrunc(&["start", "c"]).success();
        stage.wait_status("c", "stopped");
        stage.remove("c");
        stage.running(&bundle, "d");
        stage.rrunc(&["exec", "d", "echo", "too"]).success().prints("too\n");
        stage.remove("d");
        agent.states(4);
    }
}

#[test]
fn start_is_who_hands_over_a_late_listener() {
    let (stage, bundle, path) = scene(&["mkdir", "mkdirat"]);
    bundle.script(MKDIR);
    stage.in_bundle(&bundle, &["create", "c"]).success();
    let agent = Agent::at(&path, made_up);
    stage.rrunc(&["start", "c"]).success();
    stage.wait_status("c", "stopped");
    assert_eq!(agent.states(1)[0]["state"]["status"], "creating");
    assert!(agent.count(libc::SYS_mkdirat) + agent.count(mkdir()) == 1);
    stage.remove("c");
}

#[cfg(target_arch = "x86_64")]
fn mkdir() -> i64 {
    libc::SYS_mkdir
}

#[cfg(not(target_arch = "x86_64"))]
fn mkdir() -> i64 {
    -1
}

#[test]
fn exec_has_a_listener_of_its_own() {
    for no_new_privs in [true, false] {
        let (stage, bundle, path) = scene(&["mkdir", "mkdirat"]);
        bundle.set("/process/noNewPrivileges", json!(no_new_privs));
        let agent = Agent::at(&path, made_up);
        stage.running(&bundle, "c");
        stage.rrunc(&["exec", "c", "sh", "-c", MKDIR]).exits(1).prints("0\n");
        let out = stage.rrunc(&["exec", "c", "ps", "-o", "comm"]).success();
        assert!(!out.stdout.contains("rrunc"), "the courier is still there: {}", out.stdout);
        let pid = stage.pid("c");
        let states = agent.states(3);
        for state in &states[1..] {
            assert_eq!((&state["state"]["status"], &state["state"]["pid"]), (&json!("running"), &json!(pid)));
            assert_ne!(state["pid"], json!(pid));
        }
        stage.rrunc(&["exec", "c", "/no/such"]).fails(255, &["no such file"]);
        stage.remove("c");
    }
}

#[test]
fn joined_namespaces_change_nothing() {
    let (stage, bundle, path) = scene(&["mkdir", "mkdirat"]);
    bundle.script(MKDIR);
    let agent = Agent::at(&path, made_up);
    stage.running(&stage.bundle_named("other"), "other");
    let pid = stage.pid("other");
    bundle.edit(|config| {
        for space in config["linux"]["namespaces"].as_array_mut().expect("a list") {
            let file = match space["type"].as_str().expect("a type") {
                "user" => "user",
                "pid" => "pid",
                _ => continue,
            };
            space["path"] = json!(format!("/proc/{pid}/ns/{file}"));
        }
        let linux = config["linux"].as_object_mut().expect("linux");
        linux.remove("uidMappings");
        linux.remove("gidMappings");
    });
    stage.run(&bundle).exits(1).prints("0\n");
    agent.states(1);
    stage.remove("other");
}

#[test]
fn with_a_reaper_the_listener_is_the_programs() {
    let (stage, bundle, path) = scene(&["mkdir", "mkdirat"]);
    bundle.script(MKDIR).set("/annotations", json!({"org.rrunc.reaper": "true"}));
    let agent = Agent::at(&path, made_up);
    let out = stage.run(&bundle).exits(1);
    // ls may not look at the reaper's descriptors, so grep has nothing of those to count.
    assert_eq!(out.stdout, "0\n", "{}", out.stderr);
    let states = agent.states(1);
    assert_ne!(states[0]["pid"], states[0]["state"]["pid"], "the program is the reaper's child");
}

#[test]
fn hooks_do_not_get_the_listener() {
    let (stage, bundle, path) = scene(&["mkdir", "mkdirat"]);
    let out = stage.dir().join("fds");
    let hook = |script: String| json!([{"path": "/bin/sh", "args": ["sh", "-c", script]}]);
    let host = |name: &str| hook(format!("ls -l /proc/self/fd > {}.{name}", out.display()));
    bundle
        .set("/hooks/createRuntime", host("createRuntime"))
        .set("/hooks/createContainer", host("createContainer"))
        .set("/hooks/poststart", host("poststart"))
        .set("/hooks/startContainer", hook("ls -l /proc/self/fd >&2".into()))
        .args(&["true"]);
    let agent = Agent::at(&path, made_up);
    let run = stage.run(&bundle).success();
    agent.states(1);
    let mut texts = vec![run.stderr];
    for name in ["createRuntime", "createContainer", "poststart"] {
        texts.push(std::fs::read_to_string(format!("{}.{name}", out.display())).expect("the hook has run"));
    }
    for text in texts {
        assert!(!text.contains("seccomp"), "{text}");
    }
}

#[test]
fn without_an_agent_nothing_starts() {
    for no_new_privs in [true, false] {
        let (stage, bundle, _) = scene(&["mkdir"]);
        bundle.set("/process/noNewPrivileges", json!(no_new_privs));
        stage.run(&bundle).fails(1, &[NO_AGENT, "no such file"]);
        assert!(stage.containers().is_empty());
        let create = stage.in_bundle(&bundle, &["create", "c"]);
        if no_new_privs {
            create.success();
            stage.rrunc(&["start", "c"]).fails(1, &[NO_AGENT]);
            assert_eq!(stage.status("c"), "stopped");
            stage.remove("c");
        } else {
            create.fails(1, &[NO_AGENT]);
        }
    }
}

#[test]
fn exec_without_an_agent_fails_and_the_container_stays() {
    let (stage, bundle, path) = scene(&["mkdir"]);
    let agent = Agent::at(&path, made_up);
    stage.running(&bundle, "c");
    std::fs::remove_file(&path).expect("remove the socket");
    stage.rrunc(&["exec", "c", "true"]).fails(255, &[NO_AGENT]);
    assert_eq!(stage.status("c"), "running");
    stage.remove("c");
    drop(agent);
}

#[test]
fn calls_get_enosys_when_the_agent_has_died() {
    let (stage, bundle, path) = scene(&["mkdir", "mkdirat"]);
    bundle.script("mkdir /made-up");
    // It takes the listener and closes it.
    let socket = std::os::unix::net::UnixListener::bind(&path).expect("bind");
    let taker = std::thread::spawn(move || {
        let (mut connection, _) = socket.accept().expect("accept");
        std::io::copy(&mut connection, &mut std::io::sink()).expect("read");
    });
    stage.run(&bundle).fails(1, &["not implemented"]);
    taker.join().expect("the taker");
}

#[test]
fn profiles_that_cannot_work_are_refused() {
    let cases = [
        (json!({"listenerPath": null, "listenerMetadata": null}), "seccomp listenerPath is not set"),
        (json!({"defaultAction": "SCMP_ACT_NOTIFY"}), "SCMP_ACT_NOTIFY cannot be used as default action"),
        (
            json!({"syscalls": [{"names": ["write"], "action": "SCMP_ACT_NOTIFY"}]}),
            "SCMP_ACT_NOTIFY cannot be used for the write syscall",
        ),
        (json!({"listenerPath": null, "syscalls": []}), "seccomp listenerMetadata is set without listenerPath"),
        (json!({"listenerPath": "relative"}), "is not absolute"),
    ];
    for (change, message) in cases {
        let (stage, bundle, _) = scene(&["mkdir"]);
        bundle.edit(|config| {
            for (key, value) in change.as_object().expect("an object") {
                let profile = config["linux"]["seccomp"].as_object_mut().expect("a profile");
                match value {
                    Value::Null => drop(profile.remove(key)),
                    value => drop(profile.insert(key.clone(), value.clone())),
                }
            }
        });
        stage.run(&bundle).fails(1, &[message]);
    }
}

#[test]
fn a_listener_path_without_notify_rules_needs_no_agent() {
    let (stage, bundle, _) = scene(&["mkdir"]);
    bundle.set("/linux/seccomp/syscalls", json!([])).args(&["echo", "ran"]);
    stage.run(&bundle).success().prints("ran\n");
}
