//! The six kinds of hooks: order, place, state on standard input, failures.
use crate::support::{Bundle, Stage, namespace};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;

const KINDS: [&str; 6] = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

fn record(stage: &Stage) -> PathBuf {
    stage.dir().join("record")
}

/// A hook that appends KIND and what `extra` prints to the record; the record is bound into the container too.
fn hook(stage: &Stage, kind: &str, extra: &str) -> Value {
    let inside = kind == "startContainer";
    let file = if inside { "/record".to_owned() } else { record(stage).display().to_string() };
    json!({"path": "/bin/sh", "args": ["sh", "-c", format!("{{ echo {kind}; {extra}; }} >>{file}")],
        "env": ["PATH=/usr/bin:/bin"]})
}

fn with_hooks(stage: &Stage, extra: &str) -> Bundle {
    let bundle = stage.bundle();
    fs::write(record(stage), "").expect("write");
    fs::write(bundle.rootfs().join("record"), "").expect("write");
    bundle.mount("/record", "bind", record(stage).to_str().expect("plain"), &["bind"]);
    for kind in KINDS {
        bundle.set(&format!("/hooks/{kind}"), json!([hook(stage, kind, extra)]));
    }
    bundle
}

fn recorded(stage: &Stage) -> Vec<String> {
    fs::read_to_string(record(stage)).expect("the record").lines().map(str::to_owned).collect()
}

#[test]
fn each_runs_in_its_verb_in_order() {
    let stage = Stage::new();
    let bundle = with_hooks(&stage, "true");
    stage.in_bundle(&bundle, &["create", "c"]).success();
    assert_eq!(recorded(&stage), KINDS[..3]);
    stage.rrunc(&["start", "c"]).success();
    assert_eq!(recorded(&stage), KINDS[..5]);
    stage.wait_status("c", "stopped");
    stage.rrunc(&["delete", "c"]).success();
    assert_eq!(recorded(&stage), KINDS);
}

#[test]
fn neither_they_nor_the_program_begin_with_sigpipe_ignored() {
    let stage = Stage::new();
    let bundle = with_hooks(&stage, "grep SigIgn /proc/self/status");
    bundle.script("{ echo program; grep SigIgn /proc/self/status; } >>/record");
    stage.run(&bundle).success();
    let seen = recorded(&stage);
    assert_eq!(seen.len(), 2 * (KINDS.len() + 1), "{seen:?}");
    let sigpipe = 1 << (Signal::SIGPIPE as u64 - 1);
    for ignored in seen.iter().filter_map(|line| line.strip_prefix("SigIgn:\t")) {
        assert_eq!(u64::from_str_radix(ignored, 16).expect("a mask") & sigpipe, 0, "{seen:?}");
    }
}

#[test]
fn run_runs_them_all() {
    let stage = Stage::new();
    let bundle = with_hooks(&stage, "true");
    stage.run(&bundle).success();
    let mut seen = recorded(&stage);
    // poststart races with a short program, but not with the others.
    seen.sort_by_key(|line| KINDS.iter().position(|kind| kind == line));
    assert_eq!(seen, KINDS);
}

#[test]
fn state_on_stdin_names_status_and_the_pid_as_seen_from_there() {
    let stage = Stage::new();
    let bundle = with_hooks(&stage, "cat; echo");
    bundle.args(&["sleep", "3600"]).set("/annotations", json!({"k": "v"}));
    stage.in_bundle(&bundle, &["run", "-d", "c"]).success();
    let pid = stage.pid("c");
    stage.remove("c");
    let lines = recorded(&stage);
    let state = |kind: &str| -> Value {
        let at = lines.iter().position(|line| line == kind).expect(kind);
        serde_json::from_str(&lines[at + 1]).expect("the state is one line of JSON")
    };
    let expected = [
        ("prestart", "creating", json!(pid)),
        ("createRuntime", "creating", json!(pid)),
        ("createContainer", "creating", json!(1)),
        ("startContainer", "created", json!(1)),
        ("poststart", "running", json!(pid)),
    ];
    for (kind, status, pid) in expected {
        let state = state(kind);
        assert_eq!((&state["status"], &state["pid"]), (&json!(status), &pid), "{kind}: {state}");
        assert_eq!((&state["id"], &state["bundle"]), (&json!("c"), &json!(bundle.str())), "{kind}");
        assert_eq!(state["annotations"]["k"], "v", "{kind}");
        assert!(state["ociVersion"].is_string(), "{kind}");
    }
    let poststop = state("poststop");
    assert_eq!(poststop["status"], "stopped");
    assert!(poststop["pid"].is_null() || poststop["pid"] == 0, "{poststop}");
}

#[test]
fn each_runs_in_its_namespaces_and_directory() {
    let stage = Stage::new();
    let bundle = with_hooks(&stage, "stat -L -c %i /proc/self/ns/net; pwd");
    bundle.args(&["sleep", "3600"]);
    stage.in_bundle(&bundle, &["run", "-d", "c"]).success();
    let inside = namespace(&stage.pid("c").to_string(), "net").to_string();
    let outside = namespace("self", "net").to_string();
    stage.remove("c");
    let lines = recorded(&stage);
    let after = |kind: &str| {
        let at = lines.iter().position(|line| line == kind).expect(kind);
        (lines[at + 1].clone(), lines[at + 2].clone())
    };
    for kind in ["prestart", "createRuntime", "poststart", "poststop"] {
        assert_eq!(after(kind), (outside.clone(), bundle.str().to_owned()), "{kind}");
    }
    assert_eq!(after("createContainer").0, inside);
    assert_eq!(after("startContainer"), (inside, "/".to_owned()));
}

#[test]
fn args_are_the_whole_argv_and_env_the_whole_environment() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let out = stage.dir().join("env");
    let script = format!("echo $0 $1 >{0}; env >>{0}", out.display());
    let hook = json!({"path": "/bin/sh", "args": ["name", "-c", script, "zero", "one"], "env": ["ONLY=this", "PATH=/bin:/usr/bin"]});
    bundle.set("/hooks/createRuntime", json!([hook]));
    stage.call(&["run", "c"]).cwd(bundle.path()).env("SECRET", "leak").run().success();
    let text = fs::read_to_string(out).expect("the hook's output");
    assert!(text.starts_with("zero one\n") && text.contains("ONLY=this"), "{text}");
    assert!(!text.contains("SECRET"), "{text}");
}

#[test]
fn a_failure_before_start_fails_create_and_undoes_it() {
    for kind in &KINDS[..3] {
        let stage = Stage::new();
        let bundle = stage.bundle();
        let poststop = stage.dir().join("poststop");
        let fail = json!({"path": "/bin/sh", "args": ["sh", "-c", "echo to-out; echo to-err >&2; exit 3"]});
        let unreached =
            json!({"path": "/bin/sh", "args": ["sh", "-c", format!("touch {}/second", stage.dir().display())]});
        bundle.set(&format!("/hooks/{kind}"), json!([fail, unreached]));
        let touch = json!({"path": "/bin/sh", "args": ["sh", "-c", format!(": >{}", poststop.display())]});
        bundle.set("/hooks/poststop", json!([touch]));
        let out = stage.in_bundle(&bundle, &["create", "c"]).exits(1);
        assert!(out.stderr.contains(&format!("{kind} hook #0")), "{}", out.stderr);
        assert!(out.stderr.contains("exit status 3") && out.stderr.contains("to-err"), "{}", out.stderr);
        assert_eq!(stage.containers(), Vec::<String>::new(), "{kind}");
        assert!(!stage.dir().join("second").exists(), "{kind}: the first failure stops the rest");
        if crate::support::program() == "rrunc" {
            assert!(poststop.exists(), "{kind}: poststop hooks run when create is undone");
        }
    }
}

#[test]
fn a_failing_start_container_hook_ends_the_container() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.set("/hooks/startContainer", json!([{"path": "/bin/false"}])).script("echo ran");
    let out = stage.run(&bundle);
    assert_ne!(out.code, 0);
    assert_eq!(out.stdout, "", "the program must not have run");
    assert!(out.stderr.contains("startContainer hook #0"), "{}", out.stderr);
}

#[test]
fn a_failing_poststart_hook_kills_the_container() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.set("/hooks/poststart", json!([{"path": "/bin/false"}])).args(&["sleep", "3600"]);
    let out = stage.in_bundle(&bundle, &["run", "-d", "c"]).exits(1);
    assert!(out.stderr.contains("poststart hook #0"), "{}", out.stderr);
    assert_eq!(stage.wait_no_processes(), Vec::<String>::new());
    stage.rrunc(&["delete", "--force", "c"]).success();
}

#[test]
fn a_failing_poststop_hook_is_a_warning_only() {
    if crate::support::program() != "rrunc" {
        return; // runc's delete stops at the first failure.
    }
    let stage = Stage::new();
    let bundle = stage.bundle();
    let second = stage.dir().join("second");
    let touch = json!({"path": "/bin/sh", "args": ["sh", "-c", format!(": >{}", second.display())]});
    bundle.set("/hooks/poststop", json!([{"path": "/bin/false"}, touch])).script("exit 4");
    let out = stage.run(&bundle).exits(4);
    assert!(out.stderr.contains("level=warning") && out.stderr.contains("poststop hook #0"), "{}", out.stderr);
    assert!(second.exists(), "the others run");
    stage.in_bundle(&bundle, &["create", "c"]).success();
    stage.rrunc(&["delete", "c"]).success();
}

#[test]
fn a_hook_past_its_timeout_is_killed() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.set("/hooks/createRuntime", json!([{"path": "/bin/sleep", "args": ["sleep", "3600"], "timeout": 1}]));
    let out = stage.in_bundle(&bundle, &["create", "c"]).exits(1);
    assert!(out.stderr.contains("hook ran past specified timeout of 1.0s"), "{}", out.stderr);
    assert_eq!(stage.containers(), Vec::<String>::new());
}

#[test]
fn a_relative_path_and_a_zero_timeout_are_refused() {
    if crate::support::program() != "rrunc" {
        return;
    }
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.set("/hooks/createRuntime", json!([{"path": "bin/true"}]));
    assert_eq!(stage.in_bundle(&bundle, &["create", "c"]).code, 1);
    bundle.set("/hooks/createRuntime", json!([{"path": "/bin/true", "timeout": 0}]));
    assert_eq!(stage.in_bundle(&bundle, &["create", "c"]).code, 1);
    bundle.set("/hooks/createRuntime", json!([{"path": "/bin/true", "timeout": 5}]));
    stage.in_bundle(&bundle, &["create", "c"]).success();
    stage.remove("c");
}
