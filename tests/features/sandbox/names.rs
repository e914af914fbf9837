//! Looking up names without a network: the answer comes at once, and the report tells what was missing.
use crate::support::{Lacks, Place, Terminal, find_program, skip};
use serde_json::Value;

const HINT: &str = "rrunc: names cannot be looked up without a network: --network host";

/// What a terminal shows of a sandboxed `sh -c SCRIPT`.
fn shown(options: &[&str], script: &str) -> (i32, String) {
    let place = Place::new();
    Terminal::start(place.sandbox(&[options, &["--", "sh", "-c", script]].concat()), 24, 200).wait()
}

#[test]
fn a_program_that_failed_for_want_of_a_name_is_told_the_flag() {
    let (code, text) = shown(&[], "getent hosts example.org");
    assert_eq!(code, 2, "{text}");
    assert_eq!(text.matches(HINT).count(), 1, "{text}");
    // Neither a failure without a look-up, nor one whose program went on, nor one with a network.
    let others: [(&[&str], &str); 5] = [
        (&[], "exit 2"),
        (&[], "getent hosts example.org; exit 0"),
        (&[], "getent hosts localhost; exit 2"),
        (&["--network", "host"], "getent hosts nosuch.invalid; exit 2"),
        (&["-q"], "getent hosts example.org"),
    ];
    for (options, script) in others {
        let (_, text) = shown(options, script);
        assert!(!text.contains(HINT), "{options:?} {script}: {text}");
    }
}

#[test]
fn the_json_report_counts_the_look_ups() {
    let place = Place::new();
    let file = place.home().join("report.json");
    let count = |script: &str| {
        place.sh(&["--report", file.to_str().expect("text")], script);
        let report: Value = serde_json::from_str(&std::fs::read_to_string(&file).expect("a report")).expect("JSON");
        report["namesNotLookedUp"].as_u64().expect("a number")
    };
    assert_eq!(count("true"), 0);
    assert!(count("getent hosts example.org") > 0);
}

#[test]
fn the_answer_is_that_there_is_no_such_name_whatever_else_was_sent() {
    if find_program("python3").is_none() {
        return skip(Lacks::Package("python3"));
    }
    let place = Place::new();
    // Nothing of what is no question may keep a question from its answer, or the sandbox from its end.
    let script = "import os, socket\n\
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
        for n in range(3000): s.sendto(os.urandom(n % 600), ('127.0.0.1', 53))\n\
        def look(name):\n\
        \ttry: socket.getaddrinfo(name, 80)\n\
        \texcept socket.gaierror as e: return e.errno == socket.EAI_NONAME\n\
        print(look('example.org'), look('a.' * 60 + 'org'), look('localhost'))\n";
    place.sandbox(&["--", "python3", "-c", script]).run().success().prints("True True None\n");
}

#[test]
fn a_nameserver_of_the_programs_own_has_the_port_to_itself() {
    if find_program("python3").is_none() {
        return skip(Lacks::Package("python3"));
    }
    let place = Place::new();
    let script =
        "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).bind(('127.0.0.1', 53)); print('bound')";
    place.sandbox(&["--cap-add", "NET_BIND_SERVICE", "--", "python3", "-c", script]).run().success().prints("bound\n");
    // The control: without it neither the port nor the right is there.
    place.sandbox(&["--", "python3", "-c", script]).run().exits(1);
}

#[test]
fn package_managers_are_told_not_to_try_again() {
    let place = Place::new();
    let show = "echo $npm_config_fetch_retries$PIP_RETRIES$CARGO_NET_RETRY";
    place.sh(&[], show).success().prints("000\n");
    place.sh(&["-e", "PIP_RETRIES=7"], show).success().prints("070\n");
    for options in [&["--network", "host"][..], &["--clearenv"]] {
        place.sh(options, show).success().prints("\n");
    }
}
