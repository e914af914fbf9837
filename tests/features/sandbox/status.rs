//! Exit codes, and the refusals behind 125.
use crate::support::Place;
use crate::support::place::{script, write};
use std::fs;

#[test]
fn the_programs_own_code_passes_through() {
    let place = Place::new();
    for code in [0, 1, 2, 42, 124, 125, 126, 127, 255] {
        let out = place.sh(&[], &format!("exit {code}")).exits(code);
        assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("", ""));
    }
}

#[test]
fn a_program_ended_by_a_signal_gives_128_and_its_number() {
    let place = Place::new();
    // From a child, since a signal that pid 1 sends itself may be ignored.
    for (signal, number) in [("KILL", 9), ("TERM", 15), ("SEGV", 11), ("USR1", 10)] {
        let send = format!("(kill -{signal} $$) & wait; kill -{signal} $$; sleep 9");
        let inner = format!("sh -c '{send}'; exit $?");
        place.sh(&[], &inner).exits(128 + number);
    }
}

#[test]
fn a_signal_of_the_callers_reaches_the_program() {
    let place = Place::new();
    let loop_script = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done";
    let mut run = place.sandbox(&["--", "sh", "-c", loop_script]).spawn();
    run.wait_stdout("ready");
    run.signal(nix::sys::signal::Signal::SIGTERM);
    run.wait().exits(7);
}

#[test]
fn a_program_killed_from_outside_gives_137() {
    let place = Place::new();
    let mut run = place.sandbox(&["--", "sh", "-c", "echo ready; exec sleep 3711"]).spawn();
    run.wait_stdout("ready");
    let find = || {
        let own = run.pid().to_string();
        let all = place.processes();
        all.iter().find_map(|p| {
            p.split_once(": ")
                .filter(|(pid, line)| *pid != own && line.starts_with("sleep 3711"))
                .map(|(pid, _)| pid.to_owned())
        })
    };
    let pid = crate::support::wait_for("the program", find);
    let pid = nix::unistd::Pid::from_raw(pid.parse().expect("a pid"));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("kill");
    run.wait().exits(137);
}

#[test]
fn usage_mistakes_are_125() {
    let place = Place::new();
    let cases: [&[&str]; 7] = [
        &[],
        &["--"],
        &["--nonsense", "true"],
        &["--network", "nonsense", "true"],
        &["--no-project", "--project", "/tmp", "true"],
        &["--print-config", "--write-bundle", "x", "true"],
        &["-e"],
    ];
    for args in cases {
        let out = place.sandbox(args).run().exits(125);
        assert_eq!(out.stdout, "", "{args:?}");
        assert!(!out.stderr.is_empty(), "{args:?} is refused in silence");
    }
}

#[test]
fn rruncs_own_refusals_are_125() {
    let place = Place::new();
    let cases: [&[&str]; 6] = [
        &["--bind", "/no/such/dir", "true"],
        &["--ro-bind", "/no/such/dir", "true"],
        &["--project", "/no/such/dir", "true"],
        &["-e", "NO_SUCH_VARIABLE", "true"],
        &["--bind", "/usr:/", "true"],
        &["--bind", "/", "true"],
    ];
    for args in cases {
        let out = place.sandbox(args).run().exits(125);
        assert!(!out.stderr.is_empty(), "{args:?} is refused in silence");
    }
    assert_eq!(place.containers(), Vec::<String>::new());
}

#[test]
fn a_program_that_is_not_there_is_127() {
    let place = Place::new();
    place.sandbox(&["--", "no-such-program"]).run().fails(127, &["no-such-program", "in your PATH either: install it"]);
    place.sandbox(&["--", "/no/such/program"]).run().fails(127, &["/no/such/program", "the host has no"]);
    place.sandbox(&["--", "/usr/bin/env/x"]).run().exits(127);
    assert_eq!(place.containers(), Vec::<String>::new());
}

#[test]
fn a_program_that_cannot_be_executed_is_126() {
    let place = Place::new();
    let project = place.project();
    write(&project.join("data"), "#!/bin/sh\n");
    script(&project.join("garbage"), "\u{1}\u{2}\u{3}");
    script(&project.join("fine"), "#!/bin/sh\nexit 4\n");
    // The control: the same place, with the permission and a format.
    place.sandbox(&["--", "./fine"]).run().exits(4);
    place.sandbox(&["--", "./data"]).run().fails(126, &["data"]);
    place.sandbox(&["--", "./garbage"]).run().fails(126, &["garbage"]);
    place.sandbox(&["--", "/usr"]).run().fails(126, &["/usr"]);
}

#[test]
fn a_program_outside_the_view_is_127_and_the_hint_shows_it() {
    let place = Place::new();
    let tool = place.home().join("tools/tool");
    script(&tool, "#!/bin/sh\nexit 4\n");
    let tool = tool.to_str().expect("plain");
    place.sandbox(&["--", tool]).run().fails(127, &["--ro-bind", tool]);
    place.sandbox(&["--ro-bind", tool, "--", tool]).run().exits(4);
}

#[test]
fn output_and_input_pass_unchanged() {
    let place = Place::new();
    let bytes: Vec<u8> = (0..=255).collect();
    let out = place.sandbox(&["--", "od", "-An", "-tu1", "-v"]).stdin(&bytes).run().success();
    let numbers: Vec<u32> = out.stdout.split_whitespace().map(|n| n.parse().expect("a number")).collect();
    assert_eq!(numbers, (0..=255).collect::<Vec<u32>>());
    let out = place.sh(&[], "echo out; echo err >&2").success();
    assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("out\n", "err\n"));
}

#[test]
fn arguments_are_literal() {
    let place = Place::new();
    let args = ["--", "--network", "a b", "", "new\nline", "-e", "*", "$HOME"];
    let call = [&["--", "sh", "-c", "printf '<%s>' \"$@\"", "sh"][..], &args].concat();
    place.sandbox(&call).run().success().prints("<--><--network><a b><><new\nline><-e><*><$HOME>");
    // So is the directory it is called in.
    for name in ["-n", "--", "a\nb", "ä ö"] {
        let dir = place.project().join(name);
        fs::create_dir(&dir).expect("mkdir");
        place
            .sandbox(&["--", "sh", "-c", "printf %s \"$PWD\""])
            .cwd(&dir)
            .run()
            .success()
            .prints(dir.to_str().expect("UTF-8"));
    }
}
