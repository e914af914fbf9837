//! Output, input, signals, orphans and the exit status, with pipes around.
use super::look::{pid_of, piped, read_until, run};
use super::roles::role;
use nix::sys::signal::{Signal, kill};
use std::io::{Read, Write};
use std::process::{Child, Stdio};
use std::time::Duration;

pub fn exit_status() {
    assert_eq!(run("exit 7", b"").0, 7);
    assert_eq!(run("kill -9 $$", b"").0, 137);
    // A real-time signal, which has no name.
    assert_eq!(run("kill -40 $$", b"").0, 168);
    let no_pty = role("supervised").env("NO_PTY", "1").env("SCRIPT", "exit 5").status().unwrap();
    assert_eq!(no_pty.code(), Some(5));
}

pub fn big_output() {
    let mut child = piped("head -c 1048576 /dev/zero | tr '\\0' x; exit 3");
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut [0; 1]).unwrap();
    // Time enough for every buffer on the way to fill up.
    std::thread::sleep(Duration::from_millis(300));
    let mut rest = Vec::new();
    out.read_to_end(&mut rest).unwrap();
    assert_eq!(rest.len(), 1_048_575);
    assert!(rest.iter().all(|b| *b == b'x'));
    assert_eq!(child.wait().unwrap().code(), Some(3));
}

pub fn last_words() {
    for round in 0..30 {
        let (code, out) = run(&format!("printf %03000d {round}; exit {round}"), b"");
        assert_eq!((code, out.len()), (round, 3000));
    }
}

pub fn end_of_stdin() {
    for (input, wanted) in [("", ""), ("hi\n", "HI\r\n"), ("one\nhi", "HI")] {
        let (code, out) = run("tr a-z A-Z; echo end; exit 4", input.as_bytes());
        assert!(out.contains(wanted) && out.ends_with("end\r\n"), "{out:?}");
        assert_eq!(code, 4);
    }
}

pub fn big_input() {
    let line = [vec![b'y'; 99], vec![b'\n']].concat();
    let (code, out) = run("sleep 0.3; echo count $(wc -c)", &line.repeat(2048));
    assert!(out.contains("count 204800\r\n"), "{}", &out[out.len().saturating_sub(200)..]);
    assert_eq!(code, 0);
}

pub fn forwarding() {
    let script = "trap 'echo usr; exit 9' USR1; trap 'echo urg; exit 8' URG; echo ready; while :; do sleep 0.05; done";
    for no_pty in [false, true] {
        let mut command = role("supervised");
        if no_pty {
            command.env("NO_PTY", "1");
        }
        let mut child = command.env("SCRIPT", script).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut out = child.stdout.take().unwrap();
        read_until(&mut out, "ready");
        kill(pid_of(&child), Signal::SIGURG).unwrap();
        kill(pid_of(&child), Signal::SIGUSR1).unwrap();
        read_until(&mut out, "usr");
        assert_eq!(child.wait().unwrap().code(), Some(9));
    }
}

pub fn reader_leaves() {
    let mut child = piped("exec yes");
    child.stdout.take().unwrap().read_exact(&mut [0; 10]).unwrap();
    // SIGHUP, or EIO where it comes first.
    assert!(matches!(child.wait().unwrap().code(), Some(129 | 1)));
}

pub fn waiting() {
    // A reader that stalls, a program that closes its terminal, and one that does not read.
    for script in ["exec yes", "exec <&- >&- 2>&-; sleep 10", "stty -echo; sleep 10"] {
        let mut child = piped(script);
        let mut stdin = child.stdin.take().unwrap();
        let flags = nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK);
        nix::fcntl::fcntl(&stdin, flags).unwrap();
        let full = loop {
            if let Err(e) = stdin.write_all(b"0123456789abcde\n") {
                break e;
            }
        };
        // Where the terminal is closed by the time, so is the pipe: nobody could read from it any more.
        use std::io::ErrorKind::{BrokenPipe, WouldBlock};
        assert!(matches!(full.kind(), WouldBlock | BrokenPipe), "{full}");
        std::thread::sleep(Duration::from_millis(200));
        let before = ticks(&child);
        std::thread::sleep(Duration::from_millis(600));
        // Of 60 that a busy loop would take.
        let used = ticks(&child) - before;
        kill(pid_of(&child), Signal::SIGKILL).unwrap();
        child.wait().unwrap();
        assert!(used < 10, "{script}: {used}");
    }
}

/// Processor time used so far, in hundredths of a second.
fn ticks(child: &Child) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    let fields = stat.rsplit(')').next().unwrap().split_whitespace().collect::<Vec<_>>();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

pub fn orphans() {
    // The orphan names its new parent, which must be our process, and then must be gone and not a zombie.
    let script = "(setsid sh -c 'sleep 0.2; read -r a b c p d < /proc/$$/stat; echo orphan $$ of $p' &)
        sleep 0.6; echo parent $PPID";
    let mut child = role("supervised");
    child.env("SCRIPT", format!("{script}; read x")).env("SUBREAPER", "1");
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut text = read_until(&mut out, "parent ");
    text += &read_until(&mut out, "\n");
    let words = text.split_whitespace().collect::<Vec<_>>();
    let ["orphan", orphan, "of", parent, "parent", own] = words.as_slice() else { panic!("{text}") };
    assert_eq!((*parent, *own), (child.id().to_string().as_str(), *parent));
    assert!(!std::path::Path::new("/proc").join(orphan).exists());
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

pub fn clean_signals() {
    let out = role("mask").output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(text.contains("SigBlk:\t0000000000000000"), "{text}");
    assert!(text.contains("SigIgn:\t0000000000000000"), "{text}");
}
