//! The life of a container as runtime.md draws it: what each verb may find, what a failing hook undoes, what the state says.
use super::mount_options::shown;
use crate::support::{Bundle, Stage, uid};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;

#[test]
fn verbs_without_an_id_or_a_bundle_are_errors() {
    let stage = Stage::new();
    for verb in ["state", "create", "start", "kill", "delete", "run"] {
        stage.call(&[verb]).cwd(stage.dir()).run().exits(1);
    }
    // The bundle is the working directory unless it is named, as with runc: here it is none.
    for verb in ["create", "run"] {
        let out = stage.call(&[verb, "c"]).cwd(stage.dir()).run();
        out.fails(1, &["JSON specification file config.json not found"]);
    }
    assert_eq!(stage.containers(), Vec::<String>::new());
}

#[test]
fn verbs_in_the_wrong_state_are_errors_and_change_nothing() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    for verb in ["state", "start", "kill", "delete"] {
        stage.rrunc(&[verb, "c"]).fails(1, &["container does not exist"]);
    }
    stage.running(&bundle, "c");
    let running = stage.state("c");
    for verb in ["start", "delete"] {
        stage.rrunc(&[verb, "c"]).exits(1);
    }
    stage.in_bundle(&bundle, &["create", "c"]).exits(1);
    assert_eq!(stage.state("c"), running);
    stage.rrunc(&["exec", "c", "true"]).success();
    stage.rrunc(&["kill", "c", "KILL"]).success();
    stage.wait_status("c", "stopped");
    let stopped = stage.state("c");
    for verb in ["start", "kill"] {
        stage.rrunc(&[verb, "c"]).exits(1);
    }
    assert_eq!(stage.state("c"), stopped);
    stage.rrunc(&["delete", "c"]).success();
}

/// What schema/state-schema.json of the specification demands, and the rules of runtime.md beside it.
#[track_caller]
fn conforms(state: &Value, status: &str) {
    let text = |key: &str| state[key].as_str().unwrap_or_else(|| panic!("{key} is no string: {state}"));
    let numbers: Vec<_> = text("ociVersion").split(['-', '+']).next().expect("a version").split('.').collect();
    assert!(numbers.len() == 3 && numbers.iter().all(|n| n.parse::<u32>().is_ok()), "{state}");
    assert_eq!((text("id"), text("status")), ("c", status));
    assert!(text("bundle").starts_with('/'), "{state}");
    match &state["pid"] {
        Value::Null => assert_eq!(status, "stopped", "{state}"),
        pid => assert_eq!(pid.as_u64().expect("a pid") > 0, status != "stopped", "{state}"),
    }
    let annotations = state["annotations"].as_object().expect("annotations");
    assert!(annotations.iter().all(|(key, value)| !key.is_empty() && value.is_string()), "{state}");
    assert_eq!(annotations["org.example.empty"], "");
    assert_eq!(annotations["org.opencontainers.image.stopSignal"], "nonsense");
}

#[test]
fn the_state_conforms_to_its_schema_all_along() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let kinds = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"];
    // A relative bundle, and annotations nobody knows: a reserved one has no meaning here, whatever it says.
    bundle.set("/annotations", json!({"org.example.empty": "", "org.opencontainers.image.stopSignal": "nonsense"}));
    for kind in kinds {
        let script = format!("cat >{}/{kind}", stage.dir().display());
        bundle.set(&format!("/hooks/{kind}"), json!([{"path": "/bin/sh", "args": ["sh", "-c", script]}]));
    }
    bundle.args(&["sleep", "3600"]);
    stage.call(&["create", "--bundle", "bundle", "c"]).cwd(stage.dir()).run().success();
    conforms(&stage.state("c"), "created");
    stage.rrunc(&["start", "c"]).success();
    conforms(&stage.state("c"), "running");
    stage.rrunc(&["kill", "c", "KILL"]).success();
    stage.wait_status("c", "stopped");
    conforms(&stage.state("c"), "stopped");
    stage.rrunc(&["delete", "c"]).success();
    for (kind, status) in kinds.iter().zip(["creating", "creating", "creating", "running", "stopped"]) {
        let text = fs::read(stage.dir().join(kind)).expect(kind);
        conforms(&serde_json::from_slice(&text).expect("JSON"), status);
    }
}

fn log(stage: &Stage) -> PathBuf {
    stage.dir().join("log")
}

/// A hook that writes what `script` prints to the log.
fn logging(stage: &Stage, script: &str) -> Value {
    json!({"path": "/bin/sh", "args": ["sh", "-c", format!("{{ {script}; }} >>{}", log(stage).display())]})
}

fn logged(stage: &Stage) -> String {
    fs::read_to_string(log(stage)).unwrap_or_default()
}

#[test]
fn a_failing_hook_undoes_everything_and_runs_poststop() {
    for kind in ["prestart", "createRuntime", "createContainer", "startContainer", "poststart"] {
        for run in [false, true] {
            let stage = Stage::new();
            let bundle = stage.bundle();
            bundle.args(&["sleep", "3600"]);
            bundle.set(&format!("/hooks/{kind}"), json!([{"path": "/bin/false"}]));
            bundle.set("/hooks/poststop", json!([logging(&stage, "echo poststop")]));
            let text = format!("{kind} hook #0");
            let in_start = ["startContainer", "poststart"].contains(&kind);
            if run {
                stage.in_bundle(&bundle, &["run", "-d", "c"]).fails(1, &[&text]);
            } else if in_start {
                stage.in_bundle(&bundle, &["create", "c"]).success();
                assert_eq!(logged(&stage), "", "{kind}");
                stage.rrunc(&["start", "c"]).fails(1, &[&text]);
            } else {
                stage.in_bundle(&bundle, &["create", "c"]).fails(1, &[&text]);
            }
            assert_eq!(logged(&stage), "poststop\n", "{kind}, run: {run}");
            stage.rrunc(&["state", "c"]).fails(1, &["container does not exist"]);
            assert_eq!(stage.containers(), Vec::<String>::new(), "{kind}, run: {run}");
            assert_eq!(stage.wait_no_processes(), Vec::<String>::new(), "{kind}, run: {run}");
        }
    }
}

#[test]
fn a_failing_poststop_hook_is_a_warning_of_delete_too() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.set("/hooks/poststop", json!([{"path": "/bin/false"}, logging(&stage, "echo second")]));
    for force in [false, true] {
        stage.in_bundle(&bundle, &["create", "c"]).success();
        let delete: &[&str] = if force { &["delete", "--force", "c"] } else { &["delete", "c"] };
        let out = stage.rrunc(delete).success();
        assert!(out.stderr.contains("level=warning") && out.stderr.contains("poststop hook #0"), "{}", out.stderr);
        assert_eq!(stage.containers(), Vec::<String>::new());
    }
    assert_eq!(logged(&stage), "second\nsecond\n");
}

#[test]
fn hooks_run_before_pivot_root_or_after_it() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let mark = stage.dir().join("out");
    // The root of the container's process is the host's until pivot_root.
    let pid = "pid=$(sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/')";
    let root = format!("test -d /proc/$pid/root{} && echo host || echo own", mark.display());
    let program = "tr '\\0' ' ' </proc/$pid/cmdline; echo";
    for kind in ["prestart", "createRuntime"] {
        let namespaces = "test /proc/$pid/ns/mnt -ef /proc/self/ns/mnt && echo shared || echo made";
        let script = format!("{pid}; echo {kind}; {root}; {namespaces}; id -u");
        bundle.set(&format!("/hooks/{kind}"), json!([logging(&stage, &script)]));
    }
    // In the container's namespaces, but before pivot_root: the host is there, and so are the container's mounts.
    let mounts = format!("cat /proc/self/mountinfo >{}/mounts", stage.dir().display());
    let script = format!("echo createContainer; test -d {} && echo host || echo own; {mounts}", mark.display());
    bundle.set("/hooks/createContainer", json!([logging(&stage, &script)]));
    bundle.set("/hooks/poststart", json!([logging(&stage, &format!("{pid}; echo poststart; {root}; {program}"))]));
    let gone = format!("echo poststop; test -e {}/c && echo there || echo gone", stage.root().display());
    bundle.set("/hooks/poststop", json!([logging(&stage, &gone)]));
    bundle.args(&["sleep", "3600"]);
    stage.in_bundle(&bundle, &["create", "c"]).success();
    // Whose hooks they are on the host: the caller's, not root's.
    let outside = format!("host\nmade\n{}\n", uid());
    let created = format!("prestart\n{outside}createRuntime\n{outside}createContainer\nhost\n");
    assert_eq!(logged(&stage), created);
    let mounts = fs::read_to_string(stage.dir().join("mounts")).expect("the mounts");
    assert_eq!(shown(&mounts, &format!("{}/dev/pts", bundle.rootfs().display())).fstype, "devpts");
    stage.rrunc(&["start", "c"]).success();
    let started = format!("{created}poststart\nown\nsleep 3600 \n");
    assert_eq!(logged(&stage), started);
    stage.remove("c");
    assert_eq!(logged(&stage), format!("{started}poststop\ngone\n"));
}

#[test]
fn a_hook_that_could_not_run_is_refused_before_anything_is_made() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.set("/hooks/poststop", json!([{"path": "bin/true"}, {"path": "/bin/true", "timeout": 0}]));
    let texts = ["hooks.poststop[0].path: bin/true must be absolute", "hooks.poststop[1].timeout: 0 must be greater"];
    stage.in_bundle(&bundle, &["create", "c"]).fails(1, &texts);
    assert_eq!(stage.containers(), Vec::<String>::new());
}

#[test]
fn a_container_without_a_process_can_be_created_but_not_started() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.unset("/process");
    stage.in_bundle(&bundle, &["create", "c"]).success();
    let created = stage.state("c");
    stage.rrunc(&["start", "c"]).fails(1, &["cannot start a container without a process"]);
    assert_eq!((&stage.state("c"), created["status"].as_str()), (&created, Some("created")));
    stage.rrunc(&["delete", "c"]).success();
    stage.in_bundle(&bundle, &["run", "c"]).exits(1);
    assert_eq!(stage.containers(), Vec::<String>::new());
}

/// Has the container run in the namespaces of the one whose first process is `pid`, but for the mounts.
pub fn join(bundle: &Bundle, pid: i32) {
    bundle.edit(|config| {
        for namespace in config["linux"]["namespaces"].as_array_mut().expect("namespaces") {
            let (kind, file) = match namespace["type"].as_str().expect("a type") {
                kind @ ("user" | "ipc" | "uts" | "pid") => (kind, kind),
                "network" => ("network", "net"),
                _ => continue,
            };
            *namespace = json!({"type": kind, "path": format!("/proc/{pid}/ns/{file}")});
        }
    });
    bundle.unset("/linux/uidMappings").unset("/linux/gidMappings").unset("/hostname");
}

#[test]
fn delete_leaves_what_create_has_not_made() {
    let stage = Stage::new();
    let first = stage.bundle_named("first");
    stage.running(&first, "first");
    let second = stage.bundle_named("second");
    let data = stage.dir().join("data");
    fs::create_dir(&data).expect("mkdir");
    fs::write(data.join("file"), "kept").expect("write");
    second.mount("/data", "bind", data.to_str().expect("plain"), &["bind"]);
    join(&second, stage.pid("first"));
    stage.running(&second, "second");
    stage.remove("second");
    assert_eq!(stage.status("first"), "running");
    stage.rrunc(&["exec", "first", "hostname"]).success().prints("stage\n");
    assert_eq!(fs::read_to_string(data.join("file")).expect("the file"), "kept");
    stage.remove("first");
}

#[test]
fn a_root_is_absolute_or_relative_to_the_bundle_and_a_directory() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    fs::write(bundle.rootfs().join("mark"), "inside\n").expect("write");
    bundle.args(&["cat", "/mark"]);
    for path in [bundle.rootfs().to_str().expect("plain"), "rootfs", "./rootfs/../rootfs"] {
        bundle.set("/root/path", json!(path));
        stage.run(&bundle).success().prints("inside\n");
    }
    for path in ["nowhere", "config.json", "/no/such/directory"] {
        bundle.set("/root/path", json!(path));
        stage.run(&bundle).fails(1, &["invalid rootfs: ", path]);
    }
    bundle.unset("/root");
    stage.run(&bundle).fails(1, &["root: root must be specified"]);
    assert_eq!(stage.containers(), Vec::<String>::new());
}

#[test]
fn names_need_a_uts_namespace_that_is_the_containers() {
    for (key, value) in [("hostname", "box"), ("domainname", "example.org")] {
        let stage = Stage::new();
        let bundle = stage.bundle();
        bundle.unset("/hostname").set(&format!("/{key}"), json!(value)).without_namespace("uts");
        let text = format!("unable to set {key} without a private UTS namespace");
        stage.run(&bundle).fails(1, &[&text]);
        // One of the host's is not ours to name.
        bundle.set("/linux/namespaces/-", json!({"type": "uts", "path": "/proc/1/ns/uts"}));
        assert_eq!(stage.run(&bundle).code, 1, "{key}");
        // One of a container of ours is.
        let other = stage.bundle_named("other");
        stage.running(&other, "other");
        let bundle = stage.bundle_named("joining");
        join(&bundle, stage.pid("other"));
        bundle.set(&format!("/{key}"), json!(value)).args(&["cat", &format!("/proc/sys/kernel/{key}")]);
        stage.run(&bundle).success().prints(&format!("{value}\n"));
        stage.remove("other");
    }
}
