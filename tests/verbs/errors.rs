//! Messages: wording that clients match, log files and formats, exit codes.
use crate::support::{Bundle, Stage, program};
use serde_json::{Value, json};
use std::fs;

#[test]
fn unknown_verb_is_3_and_usage_errors_are_1() {
    let stage = Stage::new();
    stage.rrunc(&["frobnicate"]).fails(3, &["No help topic for 'frobnicate'"]);
    stage.rrunc(&["state"]).exits(1);
    stage.rrunc(&["state", "a", "b"]).exits(1);
    stage.rrunc(&["list", "--no-such-flag"]).exits(1);
    stage.rrunc(&["--no-such-flag", "list"]).exits(1);
    stage.rrunc(&["--log-format", "xml", "list"]).fails(1, &["invalid log-format: xml"]);
}

#[test]
fn help_and_version_work_anywhere() {
    let stage = Stage::new();
    let version = stage.rrunc(&["--version"]).success();
    assert!(version.stdout.starts_with(&format!("{} version ", program())), "{}", version.stdout);
    assert!(version.stdout.lines().any(|line| line.starts_with("spec: 1.")), "{}", version.stdout);
    stage.rrunc(&["-v"]).success();
    assert!(stage.rrunc(&["--help"]).success().stdout.contains(&program()));
    stage.rrunc(&[]).success();
    let verbs = ["create", "delete", "exec", "kill", "list", "ps", "run", "spec", "start", "state"];
    for verb in verbs {
        for flag in ["--help", "-h"] {
            assert!(!stage.rrunc(&[verb, flag]).success().stdout.is_empty(), "{verb} {flag}");
        }
    }
    assert!(!stage.root().exists() || stage.containers().is_empty());
}

#[test]
fn help_needs_no_runtime_directory() {
    let stage = Stage::new();
    stage.call(&["--help"]).no_env("XDG_RUNTIME_DIR").run().success();
    stage.call(&["--version"]).env("XDG_RUNTIME_DIR", "/no/such/place").run().success();
}

#[test]
fn a_log_file_gets_the_line_and_stderr_the_bare_text() {
    let stage = Stage::new();
    let log = stage.dir().join("log");
    let path = log.to_str().expect("plain");
    let out = stage.rrunc(&["--log", path, "--log-format", "json", "state", "c"]).exits(1);
    assert_eq!(out.stderr, "container does not exist\n");
    let text = fs::read_to_string(&log).expect("the log");
    let last: Value = serde_json::from_str(text.lines().last().expect("a line")).expect("JSON");
    assert_eq!(last["level"], "error");
    assert_eq!(last["msg"], "container does not exist");
    assert!(last["time"].as_str().expect("a time").contains('T'));
    stage.rrunc(&["--log", path, "--log-format", "json", "state", "d"]).exits(1);
    assert_eq!(fs::read_to_string(&log).expect("the log").lines().count(), 2, "appended");
}

#[test]
fn an_id_that_there_is_not_suggests_the_nearest_that_there_is() {
    let stage = Stage::new();
    stage.rrunc(&["state", "wbe"]).fails(1, &["does not exist", "there is no container at all in", "--root"]);
    stage.running(&stage.bundle(), "web");
    for verb in [&["state", "wbe"][..], &["kill", "wbe"], &["delete", "wbe"], &["ps", "wbe"], &["pause", "wbe"]] {
        stage.rrunc(verb).fails(1, &["container does not exist", "did you mean web?"]);
    }
    stage.rrunc(&["exec", "w", "true"]).fails(255, &["container does not exist", "`rrunc list` shows those in"]);
    stage.remove("web");
}

/// The hints alone are rrunc's: the texts before them are runc's, which clients know.
#[test]
fn a_refusal_says_what_to_do_instead() {
    if program() != "rrunc" {
        return;
    }
    let stage = Stage::new();
    let bundle = stage.bundle();
    stage.running(&bundle, "on");
    bundle.args(&["true"]);
    stage.in_bundle(&bundle, &["run", "-d", "off"]).success();
    stage.wait_status("off", "stopped");
    bundle.unset("/process");
    stage.in_bundle(&bundle, &["create", "bare"]).success();
    let socket = stage.dir().join("none");
    let socket = socket.to_str().expect("a plain path");
    let cases: [(&[&str], &str, &str); 20] = [
        (&["start", "on"], "cannot start an already running container", "rrunc exec on CMD"),
        (&["start", "off"], "cannot start a container that has stopped", "rrunc delete off"),
        (&["start", "bare"], "without a process in its config.json", "process.args"),
        (&["exec", "off", "true"], "cannot exec in a stopped container", "rrunc delete"),
        (&["exec", "-d", "-t", "on", "true"], "without setting console socket", "--console-socket"),
        (&["exec", "--console-socket", socket, "on", "true"], "cannot use console socket", "--detach and --tty"),
        (&["exec", "-d", "-t", "--console-socket", socket, "on", "true"], socket, "listens at --console-socket"),
        (&["exec", "--user", "ann", "on", "true"], "bad uid: ann", "--user UID[:GID]"),
        (&["exec", "--user", "0:ann", "on", "true"], "bad gid: ann", "--user UID[:GID]"),
        (&["exec", "--cgroup", "../x", "on", "true"], "bad sub cgroup path", "without `..`"),
        (&["kill", "off"], "container not running", "rrunc delete off"),
        (&["kill", "on", "SIGNONSENSE"], "unknown signal \"SIGNONSENSE\"", "kill -l"),
        (&["pause", "off"], "container not running", "rrunc delete off"),
        (&["resume", "on"], "container not paused", "it is running"),
        (&["update", "--pids-limit", "9", "off"], "container not running", "rrunc delete off"),
        (&["events", "off"], "container with id off is not running", "rrunc state off"),
        (&["events", "--interval", "0s", "on"], "must be greater than 0", "500ms"),
        (&["list", "--format", "xml"], "invalid format option", "--format json"),
        (&["ps", "--format", "xml", "on"], "invalid format option", "--format json"),
        (&["--log-format", "xml", "list"], "invalid log-format: xml", "--log-format json"),
    ];
    for (args, text, hint) in cases {
        let out = stage.rrunc(args);
        assert_ne!(out.code, 0, "{args:?}: {out:?}");
        let said = out.stderr.lines().last().unwrap_or_default().replace("\\\"", "\"");
        let (message, told) = said.split_once(" hint=").unwrap_or_else(|| panic!("{args:?}: no hint: {said}"));
        assert!(message.contains(text) && told.contains(hint), "{args:?}: {said}");
    }
    bundle.set("/process", Bundle::plain_config()["process"].clone()).args(&["no-such-program"]);
    let path = "PATH in the container is /usr/bin:/bin";
    stage.run(&bundle).fails(1, &["\"no-such-program\": executable file not found in $PATH", path]);
    stage.rrunc(&["exec", "on", "no-such-program"]).fails(255, &["executable file not found in $PATH", path]);
    bundle.set("/root/path", json!("nowhere"));
    stage.run(&bundle).fails(1, &["invalid rootfs: ", "root.path of config.json"]);
    let damaged = stage.root().join("off/state.json");
    fs::write(&damaged, "{").expect("write");
    stage.rrunc(&["state", "off"]).fails(1, &["state.json", "not a state file", "rrunc delete --force"]);
    for id in ["on", "off", "bare"] {
        stage.remove(id);
    }
}

#[test]
fn the_debug_log_tells_each_step_and_when() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.args(&["true"]);
    let out = stage.in_bundle(&bundle, &["--debug", "run", "c"]).success();
    let step = |line: &str| {
        let (label, rest) = line.split_once("msg=\"")?.1.split_once(", at ")?;
        Some((label.to_owned(), rest.strip_suffix(" ms\"")?.parse::<f64>().ok()?))
    };
    let steps: Vec<_> = out.stderr.lines().filter_map(step).collect();
    let at =
        |label: &str| steps.iter().find(|(step, _)| step == label).unwrap_or_else(|| panic!("{label}: {steps:?}")).1;
    // The two processes run side by side.
    for some in [
        &["create: state", "create: plan", "create: clone", "create: go ahead", "run: start"][..],
        &["create: clone", "init: id maps", "init: mounts", "init: root", "init: seccomp"],
    ] {
        assert!(some.iter().map(|label| at(label)).is_sorted(), "{steps:?}");
    }
    assert!(at("create: state") >= 0.0 && steps.len() > 20, "{steps:?}");
    assert!(!stage.in_bundle(&bundle, &["run", "c"]).success().stderr.contains(" ms"));
}

#[test]
fn text_log_lines() {
    let stage = Stage::new();
    let out = stage.rrunc(&["state", "c"]).exits(1);
    assert_eq!(out.stderr.lines().count(), 1, "{}", out.stderr);
    assert!(out.stderr.starts_with("time=\""), "{}", out.stderr);
    assert!(out.stderr.contains(" level=error msg=\"container does not exist\""), "{}", out.stderr);
    let json = stage.rrunc(&["--log-format", "json", "state", "c"]).exits(1);
    let line: Value = serde_json::from_str(json.stderr.trim()).expect("JSON on stderr");
    assert_eq!(line["msg"], "container does not exist");
}

#[test]
fn config_errors_name_the_matter() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let good = bundle.config();
    let cases: &[(&str, Value, &str)] = &[
        ("/process/cwd", json!(""), "Cwd property must not be empty"),
        ("/process/cwd", json!("tmp"), "Cwd must be an absolute path"),
        ("/process/args", json!([]), "args must not be empty"),
        ("/root/path", json!("nowhere"), "invalid rootfs: "),
        ("/process/rlimits/0/type", json!("RLIMIT_X"), "RLIMIT_X"),
        ("/linux/namespaces/-", json!({"type": "pid"}), "duplicated ns"),
        ("/linux/sysctl", json!({"kernel.panic": "1"}), "\"kernel.panic\" is not in a separate kernel namespace"),
        ("/linux/seccomp", json!({"defaultAction": "SCMP_ACT_NONSENSE"}), "SCMP_ACT_NONSENSE"),
    ];
    for (pointer, value, text) in cases {
        bundle.write(&good).set(pointer, value.clone());
        stage.run(&bundle).fails(1, &[&format!("{} run failed: ", program()), text]);
        assert_eq!(stage.containers(), Vec::<String>::new(), "{pointer}");
    }
    bundle.write(&good).unset("/root");
    stage.run(&bundle).exits(1);
    bundle.write(&good).without_namespace("uts");
    stage.run(&bundle).fails(1, &["unable to set hostname without a private UTS namespace"]);
    fs::remove_file(bundle.path().join("config.json")).expect("remove");
    stage.run(&bundle).fails(1, &["JSON specification file config.json not found"]);
}

#[test]
fn a_missing_bundle_is_named() {
    let stage = Stage::new();
    stage
        .rrunc(&["run", "--bundle", "/no/such/bundle", "c"])
        .fails(1, &["/no/such/bundle", "no such file or directory"]);
}

#[test]
fn a_failing_step_inside_reaches_the_caller_whole() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.mount("/data", "bind", "/no/such/source", &["bind"]);
    let out = stage.run(&bundle).fails(1, &["/no/such/source", "no such file or directory"]);
    assert_eq!(out.stdout, "");
    assert_eq!(stage.containers(), Vec::<String>::new());
}

#[test]
fn a_range_the_user_may_not_map_is_named_with_the_fix() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.set("/linux/uidMappings", json!([{"containerID": 0, "hostID": 0, "size": 1}]));
    let out = stage.run(&bundle).exits(1);
    assert!(!out.stderr.is_empty());
    if program() == "rrunc" {
        assert!(out.stderr.contains("host uids 0"), "the range is not named: {}", out.stderr);
        assert!(out.stderr.contains("/etc/subuid"), "{}", out.stderr);
    }
}

#[test]
fn unknown_fields_are_ignored_and_unknown_capabilities_warned_of() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.set("/future", json!({"x": 1})).set("/process/more", json!(true)).script("echo ok");
    stage.run(&bundle).success().prints("ok\n");
    bundle.set("/process/capabilities/bounding/-", json!("CAP_FROM_THE_FUTURE"));
    let out = stage.run(&bundle).success().prints("ok\n");
    assert!(out.stderr.contains("CAP_FROM_THE_FUTURE") && out.stderr.contains("warning"), "{}", out.stderr);
}

#[test]
fn duplicate_keys_are_refused() {
    if program() != "rrunc" {
        return; // Go's decoder takes the last one.
    }
    let stage = Stage::new();
    let bundle = stage.bundle();
    let text = bundle.config().to_string();
    let doubled = text.replacen("{", "{\"hostname\":\"other\",", 1);
    bundle.write_bytes(doubled.as_bytes());
    stage.run(&bundle).fails(1, &["hostname"]);
}
