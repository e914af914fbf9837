//! Terminals: the program has one of its own, and pipes stay pipes.
use crate::support::{Call, Lacks, Place, Terminal, find_program, runtime, skip};

fn on_a_terminal(call: Call) -> Terminal {
    Terminal::start(call, 24, 80)
}

#[test]
fn a_shell_at_a_terminal_has_its_own() {
    let place = Place::new();
    let mut terminal = on_a_terminal(place.sandbox(&["-e", "PS1=ready> ", "--", "sh", "-i"]));
    terminal.expect("ready> ");
    assert!(!terminal.is_cooked(), "the caller's terminal is raw while the shell runs");
    terminal.send("tty; stty size; ls /dev/pts\r");
    terminal.expect("/dev/pts/0");
    terminal.expect("24 80");
    terminal.send("exit 6\r");
    assert_eq!(terminal.wait().0, 6);
}

#[test]
fn keys_reach_the_program() {
    let place = Place::new();
    let mut terminal = on_a_terminal(place.sandbox(&["-e", "PS1=ready> ", "--", "sh", "-i"]));
    terminal.expect("ready> ");
    terminal.send("sleep 3744; echo code-$?\r");
    crate::support::wait_for("sleep", || place.processes().iter().any(|p| p.contains("sleep 3744")).then_some(()));
    terminal.send("\u{3}");
    terminal.expect("ready> ");
    terminal.send("exit 7\r");
    assert_eq!(terminal.wait().0, 7);
}

/// `sh -c SCRIPT` at a terminal, `$RRUNC` being the runtime.
fn script(place: &Place, text: &str) -> (i32, String) {
    let call = place.call_program("/bin/sh".as_ref(), &["-c", text]).cwd(&place.project()).env("RRUNC", runtime());
    on_a_terminal(call).wait()
}

#[test]
fn a_pipe_stays_a_pipe_beside_a_terminal() {
    let place = Place::new();
    // Binary output: a terminal in between would turn newlines into two bytes.
    let probe = "test -t 1 && echo terminal; test -t 0 && echo input; printf \"a\\\\nb\\\\n\"";
    let (code, shown) = script(&place, &format!("$RRUNC sandbox -- sh -c '{probe}' | od -An -c; echo done"));
    assert_eq!(code, 0, "{shown}");
    assert!(!shown.contains("t   e   r"), "standard output is a terminal: {shown}");
    assert!(shown.contains("a  \\n   b  \\n"), "{shown}");
    assert!(shown.contains("done"), "{shown}");
}

#[test]
fn input_from_a_pipe_ends_and_output_is_a_terminal() {
    let place = Place::new();
    let probe = "test -t 0 || echo piped; test -t 1 && echo shown; cat";
    let (code, shown) = script(&place, &format!("printf 'from the pipe' | $RRUNC sandbox -- sh -c '{probe}'; exit $?"));
    assert_eq!(code, 0, "{shown}");
    for text in ["piped", "shown", "from the pipe"] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
}

#[test]
fn the_callers_terminal_cannot_be_opened_by_any_stream() {
    let place = Place::new();
    let outer = "tty; $RRUNC sandbox -- sh -c 'readlink /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2; echo; cat /proc/self/stat | cut -d\" \" -f7'";
    for redirection in ["", "</dev/null", "2>/dev/null", "</dev/null 2>/dev/null"] {
        let (code, shown) = script(&place, &format!("{outer} {redirection}"));
        assert_eq!(code, 0, "{shown}");
        let mut lines = shown.split_whitespace();
        let own = lines.next().expect("the caller's terminal");
        // Inside, the numbers begin anew: what counts is that the device is another one.
        assert!(own.starts_with("/dev/pts/"), "{shown}");
        let inside: Vec<_> = lines.collect();
        assert!(inside.iter().all(|name| *name != own || own == "/dev/pts/0"), "{redirection}: {shown}");
    }
}

#[test]
fn without_a_terminal_there_is_none() {
    let place = Place::new();
    place
        .sh(&[], "test -t 0 || test -t 1 || test -t 2 || echo none; (: </dev/tty) 2>/dev/null || echo no tty")
        .success()
        .prints("none\nno tty\n");
}

#[test]
fn binary_input_from_a_pipe_is_unchanged_beside_a_terminal() {
    let place = Place::new();
    // Keys of a terminal among it: interrupt, end of file, suspend, erase, carriage return.
    let bytes: Vec<u8> = (0..=255).collect();
    std::fs::write(place.project().join("bytes"), &bytes).expect("write");
    for redirection in ["", "2>/dev/null"] {
        let (code, shown) =
            script(&place, &format!("cat bytes bytes | $RRUNC sandbox -q -- wc -c {redirection}; exit $?"));
        assert_eq!((code, shown.trim()), (0, "512"), "{redirection}");
        let compare = format!("cat bytes | $RRUNC sandbox -- cmp - bytes {redirection}");
        assert_eq!(script(&place, &compare).0, 0, "{redirection}");
    }
}

#[test]
fn jobs_and_the_windows_size_are_the_programs_own() {
    let place = Place::new();
    let mut terminal = on_a_terminal(place.sandbox(&["-e", "PS1=ready> ", "--", "sh", "-i"]));
    terminal.expect("ready> ");
    terminal.send("sleep 3745\r");
    crate::support::wait_for("sleep", || place.processes().iter().any(|p| p.contains("sleep 3745")).then_some(()));
    terminal.send("\u{1a}");
    terminal.expect("Stopped");
    terminal.expect("ready> ");
    terminal.send("kill -9 %1; wait; stty size\r");
    terminal.expect("24 80");
    terminal.resize(50, 132);
    // The shell's next command finds it, once the signal has gone all the way.
    crate::support::wait_for("the new size", || {
        terminal.send("stty size; echo asked\r");
        terminal.expect("echo asked");
        terminal.expect("asked").contains("50 132").then_some(())
    });
    terminal.send("exit 5\r");
    assert_eq!(terminal.wait().0, 5);
}

#[test]
fn a_full_screen_program_gets_every_key_and_the_screen_comes_back() {
    if find_program("python3").is_none() {
        return skip(Lacks::Package("python3"));
    }
    let place = Place::new();
    // As an editor does: no echo, no line, keys one by one, among them those that are signals elsewhere.
    let editor = "import sys, tty, termios\n\
        old = termios.tcgetattr(0); tty.setraw(0)\n\
        sys.stdout.write('\\x1b[?1049h\\x1b[2Jscreen'); sys.stdout.flush()\n\
        keys = sys.stdin.buffer.raw.read(1)\n\
        while keys[-1:] != b'q': keys += sys.stdin.buffer.raw.read(1)\n\
        termios.tcsetattr(0, termios.TCSANOW, old); sys.stdout.write('\\x1b[?1049l'); print(keys)\n";
    let mut terminal = on_a_terminal(place.sandbox(&["--", "python3", "-c", editor]));
    terminal.expect("\u{1b}[2Jscreen");
    terminal.send("\u{3}\u{1a}\u{4}\u{1b}[A\u{7f}\rq");
    terminal.expect("\u{1b}[?1049l");
    terminal.expect(r"b'\x03\x1a\x04\x1b[A\x7f\rq'");
    assert_eq!(terminal.wait().0, 0);
}

#[test]
fn a_script_comes_from_standard_input_and_long_output_arrives_whole() {
    let place = Place::new();
    let call = place.sandbox(&["--", "sh"]).stdin("echo from $0\nseq 1 200000 | tail -n +100\nexit 4\n");
    let out = call.run().exits(4);
    assert!(out.stdout.starts_with("from sh\n100\n") && out.stdout.ends_with("\n200000\n"));
    assert_eq!(out.stdout.lines().count(), 1 + 200_000 - 99);
    // On a terminal with output through a pipe, whose reader may stop early.
    let (code, shown) =
        script(&place, "$RRUNC sandbox -q -- seq 1 200000 | tail -n 1; $RRUNC sandbox -q -- yes | head -n 1");
    assert_eq!((code, shown.replace('\r', "").as_str()), (0, "200000\ny\n"));
}
