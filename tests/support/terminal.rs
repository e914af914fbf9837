//! A person at a terminal: the runtime in a session of its own on a fresh pseudoterminal, typed at and read from.
use super::{Call, PATIENCE, slowness};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{OpenptyResult, Winsize, openpty};
use nix::sys::termios::{LocalFlags, Termios, tcgetattr};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

/// The master side, and the process on the slave side.
pub struct Terminal {
    master: File,
    // Held, so that the terminal's settings can still be read when the process is gone.
    slave: OwnedFd,
    child: Child,
    seen: String,
}

impl Terminal {
    /// Starts `call` with this terminal as standard input, output and error, and as its controlling terminal.
    pub fn start(call: Call, rows: u16, columns: u16) -> Terminal {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let OpenptyResult { master, slave } = openpty(&size, None).expect("openpty");
        // Tests run in parallel: another one's child must not hold this terminal open.
        for end in [&master, &slave] {
            fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).expect("FD_CLOEXEC");
        }
        // setsid(1) makes the session and takes the terminal, so that no code of ours runs between fork and exec.
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(call.command.get_program()).args(call.command.get_args()).env_clear();
        for (name, value) in call.command.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        if let Some(dir) = call.command.get_current_dir() {
            command.current_dir(dir);
        }
        let stdio = || slave.try_clone().expect("dup the slave");
        command.stdin(stdio()).stdout(stdio()).stderr(stdio()).env("TERM", "dumb");
        // Not the group of the test runner: setsid must not need to fork, or the exit code would be lost.
        let child = command.arg0("setsid").spawn().expect("setsid");
        Terminal { master: File::from(master), slave, child, seen: String::new() }
    }

    /// Types.
    pub fn send(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).expect("write to the terminal");
    }

    /// Reads until `text` shows up, and returns everything before and with it; later calls look behind it.
    pub fn expect(&mut self, text: &str) -> String {
        let end = Instant::now() + PATIENCE * slowness();
        loop {
            if let Some(at) = self.seen.find(text) {
                let rest = self.seen.split_off(at + text.len());
                return std::mem::replace(&mut self.seen, rest);
            }
            assert!(Instant::now() < end, "the terminal never showed {text:?}, but {:?}", self.seen);
            let more = self.read(Duration::from_millis(50));
            self.seen.push_str(&more);
            let gone = more.is_empty() && self.child.try_wait().expect("wait").is_some();
            assert!(!gone || self.seen.contains(text), "it ended without {text:?}, after {:?}", self.seen);
        }
    }

    fn read(&mut self, patience: Duration) -> String {
        let mut wanted = [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(patience).expect("a short time");
        if poll(&mut wanted, timeout).expect("poll") == 0 {
            return String::new();
        }
        let mut buffer = [0; 4096];
        // EIO is how a pty says that its other side is closed.
        let count = self.master.read(&mut buffer).unwrap_or(0);
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    }

    /// Changes the window's size, which sends SIGWINCH to the foreground process group.
    pub fn resize(&self, rows: u16, columns: u16) {
        let name = nix::unistd::ttyname(self.slave.as_fd()).expect("the slave's name");
        let (rows, columns) = (rows.to_string(), columns.to_string());
        let stty = Command::new("stty").arg("-F").arg(name).args(["rows", &rows, "cols", &columns]).status();
        assert!(stty.expect("stty").success());
    }

    /// The terminal's settings at this moment.
    pub fn settings(&self) -> Termios {
        tcgetattr(&self.slave).expect("tcgetattr")
    }

    /// Whether lines are edited by the kernel, which raw mode turns off.
    pub fn is_cooked(&self) -> bool {
        self.settings().local_flags.contains(LocalFlags::ICANON | LocalFlags::ECHO)
    }

    /// Pid of the runtime.
    pub fn pid(&self) -> nix::unistd::Pid {
        nix::unistd::Pid::from_raw(self.child.id().try_into().expect("a pid"))
    }

    /// Waits for the end: the exit code (minus the signal if it was killed) and what the terminal showed since.
    pub fn wait(mut self) -> (i32, String) {
        let end = Instant::now() + PATIENCE * slowness();
        let status = loop {
            let more = self.read(Duration::from_millis(10));
            self.seen.push_str(&more);
            if let Some(status) = self.child.try_wait().expect("wait") {
                break status;
            }
            if Instant::now() > end {
                self.child.kill().expect("kill");
                self.child.wait().expect("wait");
                panic!("the terminal's process hangs after {:?}", self.seen);
            }
            thread::sleep(Duration::from_millis(1));
        };
        let more = self.read(Duration::from_millis(10));
        self.seen.push_str(&more);
        assert!(self.is_cooked(), "the terminal was not restored");
        (status.code().unwrap_or_else(|| -status.signal().expect("a signal")), self.seen)
    }
}
