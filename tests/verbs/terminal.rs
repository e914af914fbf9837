//! Terminals in the foreground: raw mode, size, keys, restoration; and the console socket.
use crate::support::{Bundle, Stage, Terminal, wait_for};
use nix::cmsg_space;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use serde_json::json;
use std::fs::File;
use std::io::{IoSliceMut, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::time::Duration;

fn shell() -> (Stage, Bundle) {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.set("/process/terminal", json!(true)).set("/process/env", json!(["PATH=/bin", "PS1=ready> "])).args(&["sh"]);
    (stage, bundle)
}

fn open(stage: &Stage, bundle: &Bundle) -> Terminal {
    let mut terminal = Terminal::start(stage.call(&["run", "c"]).cwd(bundle.path()), 24, 80);
    terminal.expect("ready> ");
    terminal
}

#[test]
fn a_shell_in_raw_mode_with_its_own_pty() {
    let (stage, bundle) = shell();
    let mut terminal = open(&stage, &bundle);
    assert!(!terminal.is_cooked(), "the caller's terminal is raw while the shell runs");
    terminal.send("tty; test -c /dev/console && echo has-con''sole\r");
    terminal.expect("/dev/pts/0");
    terminal.expect("has-console");
    terminal.send("exit 6\r");
    assert_eq!(terminal.wait().0, 6);
}

#[test]
fn the_window_size_follows() {
    let (stage, bundle) = shell();
    let mut terminal = open(&stage, &bundle);
    terminal.send("stty size\r");
    terminal.expect("24 80");
    terminal.resize(41, 133);
    wait_for("the new size to arrive", || {
        terminal.send("stty size | tr ' ' x; echo do''ne\r");
        terminal.expect("done").contains("41x133").then_some(())
    });
    terminal.send("exit\r");
    assert_eq!(terminal.wait().0, 0);
}

#[test]
fn interrupt_and_suspend_keys_reach_the_jobs_inside() {
    let (stage, bundle) = shell();
    let mut terminal = open(&stage, &bundle);
    terminal.send("sleep 3600; echo code-$?\r");
    wait_for("sleep", || stage.processes().iter().any(|p| p.contains("sleep 3600")).then_some(()));
    terminal.send("\u{3}");
    terminal.expect("ready> ");
    terminal.send("sleep 3601\r");
    wait_for("sleep", || stage.processes().iter().any(|p| p.contains("sleep 3601")).then_some(()));
    terminal.send("\u{1a}");
    terminal.expect("Stopped");
    terminal.expect("ready> ");
    terminal.send("kill -9 %1; sleep 0.1; echo alive-''still\r");
    terminal.expect("alive-still");
    // The shell tells of the end of a job before its next prompt, and not before that may it exit.
    terminal.expect("ready> ");
    terminal.send("jobs; echo no-''more\r");
    terminal.expect("no-more");
    terminal.expect("ready> ");
    terminal.send("exit 0\r");
    let (code, shown) = terminal.wait();
    assert_eq!(code, 0, "{shown}");
}

#[test]
fn captured_output_of_a_terminal_has_plain_newlines() {
    let (stage, bundle) = shell();
    bundle.args(&["printf", "a\\nb\\n"]);
    // Standard output is a file; a terminal is still there for the runtime to find.
    let to_file = format!("exec >{}/captured", stage.dir().display());
    let terminal = Terminal::start(stage.call_after(&to_file, &["run", "c"]).cwd(bundle.path()), 24, 80);
    assert_eq!(terminal.wait().0, 0);
    assert_eq!(std::fs::read(stage.dir().join("captured")).expect("captured"), b"a\nb\n");
}

#[test]
fn the_terminal_is_restored_when_the_runtime_is_terminated() {
    let (stage, bundle) = shell();
    bundle.script("trap 'exit 9' TERM; echo up; while :; do sleep 0.05; done");
    let mut terminal = Terminal::start(stage.call(&["run", "c"]).cwd(bundle.path()), 24, 80);
    terminal.expect("up");
    nix::sys::signal::kill(terminal.pid(), nix::sys::signal::Signal::SIGTERM).expect("kill");
    // wait() checks that the terminal is cooked again.
    assert_eq!(terminal.wait().0, 9);
}

#[test]
fn the_terminal_is_restored_when_the_run_fails() {
    let (stage, bundle) = shell();
    bundle.args(&["/no/such"]);
    let terminal = Terminal::start(stage.call(&["run", "c"]).cwd(bundle.path()), 24, 80);
    let (code, shown) = terminal.wait();
    assert_eq!(code, 1);
    assert!(shown.to_lowercase().contains("no such file or directory"), "{shown}");
}

#[test]
fn console_size_of_the_config_counts() {
    let (stage, bundle) = shell();
    bundle.set("/process/consoleSize", json!({"height": 10, "width": 110})).args(&["stty", "size"]);
    let socket = stage.dir().join("console.sock");
    let listener = UnixListener::bind(&socket).expect("bind");
    let path = socket.to_str().expect("plain");
    let create = stage.call(&["create", "--console-socket", path, "c"]).cwd(bundle.path()).spawn();
    let (mut master, name) = receive_master(&listener);
    assert!(name.contains("ptmx") || name.contains("pts"), "the payload names the pty: {name:?}");
    create.wait().success();
    stage.rrunc(&["start", "c"]).success();
    let mut text = Vec::new();
    let mut byte = [0];
    // The end of a pty is EIO.
    while let Ok(1) = master.read(&mut byte) {
        text.push(byte[0]);
    }
    assert_eq!(String::from_utf8_lossy(&text).trim_end(), "10 110");
    stage.wait_status("c", "stopped");
    stage.rrunc(&["delete", "c"]).success();
}

#[test]
fn console_socket_carries_a_working_shell_for_run_and_exec() {
    let (stage, bundle) = shell();
    let socket = stage.dir().join("console.sock");
    let listener = UnixListener::bind(&socket).expect("bind");
    let path = socket.to_str().expect("plain");
    stage.call(&["run", "-d", "--console-socket", path, "c"]).cwd(bundle.path()).run().success();
    let (mut master, _) = receive_master(&listener);
    master.write_all(b"echo num-$((40 + 2))\r").expect("type");
    read_until(&mut master, "num-42");
    stage.rrunc(&["exec", "-t", "-d", "--console-socket", path, "c", "sh", "-c", "echo ex''ec; sleep 3600"]).success();
    let (mut second, _) = receive_master(&listener);
    read_until(&mut second, "exec");
    stage.remove("c");
}

fn read_until(master: &mut File, text: &str) {
    let mut seen = Vec::new();
    wait_for(text, || {
        let mut buffer = [0; 256];
        let count = master.read(&mut buffer).expect("read the pty");
        seen.extend_from_slice(&buffer[..count]);
        String::from_utf8_lossy(&seen).contains(text).then_some(())
    });
}

/// Accepts one connection and takes the one fd and the text it carries.
pub fn receive_master(listener: &UnixListener) -> (File, String) {
    listener.set_nonblocking(true).expect("nonblocking");
    let (stream, _) = wait_for("a connection to the console socket", || listener.accept().ok());
    stream.set_nonblocking(false).expect("blocking");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time limit");
    let mut payload = [0; 4096];
    let mut parts = [IoSliceMut::new(&mut payload)];
    let mut space = cmsg_space!([RawFd; 4]);
    let message =
        recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC).expect("recvmsg");
    let mut fds = Vec::new();
    for control in message.cmsgs().expect("control messages") {
        if let ControlMessageOwned::ScmRights(list) = control {
            fds.extend(list);
        }
    }
    assert_eq!(fds.len(), 1, "exactly one fd");
    let bytes = message.bytes;
    let name = String::from_utf8_lossy(&payload[..bytes]).into_owned();
    // SAFETY: the kernel just made this fd for us, and nobody else has it.
    let master = unsafe { OwnedFd::from_raw_fd(fds[0]) };
    (File::from(master), name)
}

#[test]
fn an_ended_stdin_ends_a_shell_that_throws_away_what_was_typed_early() {
    // The shell sets its line mode with TCSAFLUSH, sometimes after the end of file has been typed.
    let (stage, bundle) = shell();
    for _ in 0..8 {
        let call = stage.call(&["run", "c"]).cwd(bundle.path()).stdin("").within(Duration::from_secs(10));
        call.run().success();
    }
}
