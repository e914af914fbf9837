//! The report: for people on a terminal, for machines as JSON.
use crate::support::place::write;
use crate::support::{Place, Terminal};
use serde_json::Value;
use std::fs;

#[test]
fn a_terminal_gets_a_short_block_and_a_pipe_nothing() {
    let place = Place::new();
    assert_eq!(place.sh(&[], "exit 3").exits(3).stderr, "");
    let (code, shown) = Terminal::start(place.sandbox(&["--", "sh", "-c", "exit 3"]), 24, 80).wait();
    assert_eq!(code, 3);
    let line = shown.trim();
    assert!(
        line.starts_with("rrunc: exit 3 after 0.") && line.contains(" at the peak") && !line.contains('\n'),
        "{shown}"
    );
    let (_, shown) = Terminal::start(place.sandbox(&["-q", "--", "true"]), 24, 80).wait();
    assert_eq!(shown.trim(), "");
    let (_, shown) =
        Terminal::start(place.sandbox(&["--timeout", "200ms", "--userns", "--", "sleep", "9"]), 24, 80).wait();
    for text in ["exit 124", "ended at its limit of time, 0.20 s (command line", "weaker than promised: namespaces"] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
}

#[test]
fn json_goes_to_a_file_or_a_descriptor() {
    let place = Place::new();
    let file = place.home().join("report.json");
    place.sh(&["--report", file.to_str().expect("text"), "--network", "host"], "exit 4").exits(4);
    let report: Value = serde_json::from_str(&fs::read_to_string(&file).expect("a report")).expect("JSON");
    assert_eq!(
        (&report["version"], &report["exitStatus"], &report["endedBy"]),
        (&1.into(), &4.into(), &"program".into())
    );
    assert!(report["seconds"]["wall"].as_f64().is_some_and(|time| time > 0.0), "{report}");
    assert!(report["peakMemory"]["bytes"].as_u64().is_some_and(|bytes| bytes > 100_000), "{report}");
    let promises = report["promises"].as_array().expect("promises");
    let kept =
        |name: &str| promises.iter().find(|promise| promise["name"] == name).map(|promise| promise["kept"].clone());
    assert_eq!((kept("network"), kept("view")), (Some(false.into()), Some(true.into())));
    let prelude = format!("exec 7>{}", file.display());
    place.call_after(&prelude, &["sandbox", "--report", "fd:7", "--", "true"]).cwd(&place.project()).run().success();
    let again: Value = serde_json::from_str(&fs::read_to_string(&file).expect("a report")).expect("JSON");
    assert_eq!(again["exitStatus"], 0);
    for (bad, text) in [("fd:99", "fd:99"), ("fd:x", "fd:3"), ("/no/such/dir/report", "no such file")] {
        place
            .sandbox(&["--report", bad, "--", "sh", "-c", "echo ran"])
            .run()
            .fails(125, &["--report", text])
            .prints("");
    }
}

#[test]
fn row_w30_a_signal_is_told_apart_from_a_status() {
    let place = Place::new();
    let file = place.home().join("report.json");
    for (script, status, signal) in [
        ("kill -SEGV $$", 139, Value::from("SIGSEGV")),
        ("exit 139", 139, Value::Null),
        ("kill -KILL $$", 137, "SIGKILL".into()),
        ("true", 0, Value::Null),
    ] {
        place.sh(&["--report", file.to_str().expect("text")], script).exits(status);
        let report: Value = serde_json::from_str(&fs::read_to_string(&file).expect("a report")).expect("JSON");
        assert_eq!((&report["signal"], &report["exitStatus"]), (&signal, &status.into()), "{script}");
    }
    let (_, shown) = Terminal::start(place.sandbox(&["--", "sh", "-c", "kill -SEGV $$"]), 24, 80).wait();
    assert!(shown.contains("rrunc: killed by SIGSEGV after"), "{shown}");
}

#[test]
fn row_25c_what_is_planted_and_runs_later_is_told() {
    let place = Place::new();
    write(&place.project().join(".git/HEAD"), "ref: refs/heads/main\n");
    let file = place.home().join("report.json");
    let plant = "mkdir -p .git/hooks .vscode && echo x > .git/commondir && echo > .envrc";
    place.sh(&["--report", file.to_str().expect("text")], plant).success();
    let report: Value = serde_json::from_str(&fs::read_to_string(&file).expect("a report")).expect("JSON");
    let listed: Vec<String> = report["runsLater"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|path| path.as_str().expect("text").replace(place.project().to_str().expect("text"), ""))
        .collect();
    for planted in ["/.git/hooks", "/.git/commondir", "/.vscode", "/.envrc"] {
        assert!(listed.iter().any(|path| path == planted), "{planted}: {listed:?}");
    }
    // The control: what was there before cannot be changed, and is nothing new.
    place.sh(&["--report", file.to_str().expect("text")], "echo > .envrc").exits(2);
    let report: Value = serde_json::from_str(&fs::read_to_string(&file).expect("a report")).expect("JSON");
    assert_eq!(report["runsLater"], Value::Array(Vec::new()));
}

#[test]
fn row_26_names_do_not_command_the_terminal() {
    let place = Place::new();
    let evil = "\u{1b}]0;owned\u{7}\u{1b}[2Jx.sh";
    let plant = format!("touch '{evil}'; exit 0");
    let call = place.sandbox(&["--protect", "*.sh", "--", "sh", "-c", &plant]);
    let (_, shown) = Terminal::start(call, 24, 200).wait();
    assert!(shown.contains("\\u{1b}]0;owned\\u{7}\\u{1b}[2Jx.sh"), "{shown:?}");
    assert!(!shown.contains('\u{1b}') && !shown.contains('\u{7}'), "{shown:?}");
    // The name of a program, in an error; and the control, a program that says it itself.
    let (code, shown) = Terminal::start(place.sandbox(&["--", evil]), 24, 200).wait();
    assert_eq!(code, 127);
    assert!(shown.contains("\\u{1b}]0;owned") && !shown.contains('\u{1b}'), "{shown:?}");
    let (_, shown) = Terminal::start(place.sandbox(&["-q", "--", "printf", "%s", evil]), 24, 200).wait();
    assert!(shown.contains('\u{1b}'), "{shown:?}");
}

#[test]
fn row_26_names_do_not_command_the_terminal_from_the_log_and_the_list() {
    let place = Place::new();
    // Of the terminal's old set of control characters, of the new one, and what turns the direction of writing.
    let evil = "\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}x";
    let harmless = |text: &str| !text.contains(['\u{1b}', '\u{7}', '\u{9b}', '\u{202e}']);
    let failing = ["sandbox", "--env-file", evil, "--", "true"];
    for format in ["text", "json"] {
        let log = place.dir().join("log");
        let log = ["--log", log.to_str().expect("plain"), "--log-format", format];
        let out = place.call(&[&log[..], &failing].concat()).cwd(&place.project()).run().exits(125);
        let logged = fs::read_to_string(log[1]).expect("the log");
        assert!(harmless(&out.stderr) && out.stderr.contains("owned"), "{:?}", out.stderr);
        assert!(harmless(&logged) && logged.contains("owned"), "{logged:?}");
        let out = place.call(&[&log[2..], &failing].concat()).cwd(&place.project()).run().exits(125);
        assert!(harmless(&out.stderr) && out.stderr.contains("owned"), "{:?}", out.stderr);
    }
    let bundle = place.bundle_named(evil);
    place.call(&["create", "c"]).cwd(bundle.path()).run().success();
    for args in [&["list"][..], &["list", "--format", "json"], &["state", "c"]] {
        let out = place.rrunc(args).success();
        assert!(harmless(&out.stdout) && out.stdout.contains("owned"), "{args:?}: {:?}", out.stdout);
    }
    // The control: as JSON it is what it was.
    assert!(place.state("c")["bundle"].as_str().is_some_and(|path| path.ends_with(evil)));
    place.rrunc(&["delete", "--force", "c"]).success();
}
