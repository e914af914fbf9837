//! What the tests look with: modes of terminals, texts that come, a terminal of the test's own.
use super::roles::{pty, role};
use nix::pty::OpenptyResult;
use nix::sys::termios::{Termios, tcgetattr};
use nix::unistd::Pid;
use rrunc::sys::terminal::{self, Size};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};

pub fn modes(terminal: BorrowedFd<'_>) -> Termios {
    tcgetattr(terminal).unwrap()
}

/// Input, output, control and local flags.
pub type Modes = (u32, u32, u32, u32);

pub fn flags(terminal: BorrowedFd<'_>) -> Modes {
    let m = modes(terminal);
    (m.input_flags.bits(), m.output_flags.bits(), m.control_flags.bits(), m.local_flags.bits())
}

/// Reads until `wanted` has come; all that came.
pub fn read_until(from: &mut impl Read, wanted: &str) -> String {
    let mut seen = Vec::new();
    let mut byte = [0];
    while !String::from_utf8_lossy(&seen).contains(wanted) {
        match from.read(&mut byte) {
            Ok(1) => seen.push(byte[0]),
            end => panic!("no {wanted:?} in {:?}, then {end:?}", String::from_utf8_lossy(&seen)),
        }
    }
    String::from_utf8(seen).unwrap()
}

pub fn piped(script: &str) -> Child {
    role("supervised").env("SCRIPT", script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

pub fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed())
}

/// Runs `script` with `input` on stdin; exit code and output.
pub fn run(script: &str, input: &[u8]) -> (i32, String) {
    let mut child = piped(script);
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input).unwrap();
    drop(stdin);
    let mut out = String::new();
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    (child.wait().unwrap().code().unwrap(), out)
}

/// A terminal of the test's with `then` on it as a session: the master, the other end kept open, and the process.
pub struct Terminal {
    pub master: File,
    pub slave: OwnedFd,
    pub child: Child,
    /// Its modes before anyone could change them.
    pub before: Modes,
}

impl Terminal {
    pub fn new(then: &str, script: &str, size: Size, adapt: impl FnOnce(&mut Command)) -> Terminal {
        let OpenptyResult { master, slave } = pty();
        terminal::set_size(master.as_fd(), size).unwrap();
        let before = flags(slave.as_fd());
        let mut command = role("session");
        command.env("THEN", then).env("SCRIPT", script);
        command.stdin(slave.try_clone().unwrap()).stdout(slave.try_clone().unwrap()).stderr(slave.try_clone().unwrap());
        adapt(&mut command);
        let child = command.spawn().unwrap();
        Terminal { master: File::from(master), slave, child, before }
    }

    pub fn code(&mut self) -> i32 {
        let status = self.child.wait().unwrap();
        status.code().unwrap_or_else(|| 1000 + status.signal().unwrap())
    }
}

pub const SIZE: Size = Size { rows: 30, columns: 100 };
