//! Carries bytes between rrunc's own stdin and stdout and the pty of a foreground container.
//!
//! At most two buffers of `ROOM` bytes wait here; a full one stops its source, so nothing is lost to a slow reader.
mod host;
mod recovery;

use crate::sys::terminal;
use anyhow::{Context, Result};
use host::{Input, Output};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{SpecialCharacterIndices, tcgetattr};
use nix::unistd::{read, write};
use recovery::Seen;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// Bytes that may wait in one direction.
const ROOM: usize = 64 * 1024;

/// What still may come out of the pty after its process has ended: more than a pty holds, and an end to it when other
/// processes go on writing.
const REST: usize = 1024 * 1024;

/// How long after an end of file the next one is typed, once stdin is at its end for good. A program that sets its line
/// mode throws away what was typed before, and every further read of an ended stdin is to see the end too.
const END_AGAIN: Duration = Duration::from_millis(200);

/// How often the pty is looked at while nobody inside has it open. poll would report the hang-up all the time; and to
/// close the master then would send SIGHUP to a program that has merely closed its output on the way to its end.
const HUNG_UP_TICK: Duration = Duration::from_millis(100);

/// Bytes on their way, with how many of them have left.
#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    sent: usize,
}

impl Buffer {
    fn pending(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    fn has_room(&self) -> bool {
        self.pending().len() < ROOM
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.sent);
        self.sent = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// Reads once; the number of bytes, 0 at the end of file.
    fn fill(&mut self, from: BorrowedFd<'_>) -> nix::Result<usize> {
        let mut chunk = [0; 16 * 1024];
        let n = read(from, &mut chunk)?;
        self.push(&chunk[..n]);
        Ok(n)
    }

    /// Writes once, at most `limit` bytes.
    fn drain_to(&mut self, to: BorrowedFd<'_>, limit: usize) -> nix::Result<usize> {
        let pending = self.pending();
        let n = write(to, &pending[..pending.len().min(limit)])?;
        self.sent += n;
        Ok(n)
    }

    fn clear(&mut self) {
        *self = Buffer::default();
    }
}

/// The running relay. Dropping it gives the terminal its modes back.
#[derive(Debug)]
pub struct Relay {
    /// None once the pty is at its end, or nobody reads our output any more.
    master: Option<OwnedFd>,
    input: Input,
    output: Output,
    inward: Buffer,
    outward: Buffer,
    /// Nobody inside has the pty open: when to look again.
    hung_up: Option<Instant>,
    /// Stdin is at its end for good: when that is typed again.
    end_again: Option<Instant>,
    /// After the process's end: how many bytes may still be read.
    rest: Option<usize>,
    /// What the output has been, until the terminal is given back: for whoever has something to say after the program.
    seen: Option<Seen>,
}

/// Gives the pty our own terminal's window size, if we have one. Before the program runs: it may ask at once.
pub fn copy_window_size(master: BorrowedFd<'_>) -> Result<()> {
    host::window_size().map_or(Ok(()), |size| terminal::set_size(master, size).context("set pty size"))
}

impl Relay {
    /// Starts relaying stdin and stdout: sets the pty's window size, and our terminal's mode. `only_terminals`: streams
    /// that are none are the program's own.
    pub fn start(master: OwnedFd, only_terminals: bool) -> Result<Relay> {
        let flags = fcntl(&master, FcntlArg::F_GETFL).context("prepare the pty")?;
        let flags = OFlag::from_bits_retain(flags) | OFlag::O_NONBLOCK;
        fcntl(&master, FcntlArg::F_SETFL(flags)).context("prepare the pty")?;
        let (input, output) = (Input::stdin(only_terminals)?, Output::stdout(only_terminals)?);
        let (inward, outward) = (Buffer::default(), Buffer::default());
        // Not for a container: as under other runtimes it may leave its colours on.
        let seen = (only_terminals && output.is_terminal).then(Seen::default);
        let (hung_up, end_again, rest) = (None, None, None);
        let mut relay = Relay { master: Some(master), input, output, inward, outward, hung_up, end_again, rest, seen };
        relay.resume()?;
        Ok(relay)
    }

    /// Looks anew at where we stand, as at the start and after SIGCONT: foreground or not, window size.
    pub fn resume(&mut self) -> Result<()> {
        self.input.look(self.output.is_terminal)?;
        self.resize()
    }

    /// Before we are suspended: our terminal gets its own modes.
    pub fn pause(&mut self) -> Result<()> {
        host::leave_raw().context("restore terminal")
    }

    /// Copies our terminal's window size to the pty, if we have one.
    pub fn resize(&self) -> Result<()> {
        self.master.as_ref().map_or(Ok(()), |master| copy_window_size(master.as_fd()))
    }

    /// Sends a key's signal to the foreground job inside; false if the pty is gone.
    pub fn signal_foreground(&self, number: i32) -> bool {
        self.master.as_ref().is_some_and(|master| terminal::signal_foreground(master.as_fd(), number).is_ok())
    }

    /// Adds what is waited for now. A full buffer's source is left out altogether, since poll always reports a hang-up.
    pub fn add_to<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) {
        if let Some(master) = self.master.as_ref().filter(|_| self.hung_up.is_none()) {
            let mut events = PollFlags::empty();
            events.set(PollFlags::POLLIN, self.outward.has_room());
            events.set(PollFlags::POLLOUT, !self.inward.pending().is_empty());
            if !events.is_empty() {
                fds.push(PollFd::new(master.as_fd(), events));
            }
            if self.input.may_read() && self.inward.has_room() {
                fds.push(PollFd::new(self.input.fd.as_fd(), PollFlags::POLLIN));
            }
        }
        if !self.outward.pending().is_empty() {
            fds.push(PollFd::new(self.output.fd.as_fd(), PollFlags::POLLOUT));
        }
    }

    /// When `pump` is to be called again although nothing has happened.
    pub fn look_again(&self) -> Option<Duration> {
        self.master.as_ref()?;
        let times = [self.end_again, self.hung_up].into_iter().flatten();
        let times = times.map(|at| at.saturating_duration_since(Instant::now()));
        times.chain(self.input.look_again()).min()
    }

    /// Moves what can be moved without blocking.
    pub fn pump(&mut self) -> Result<()> {
        if self.input.look_again().is_some() {
            self.resume()?;
        }
        self.read_input()?;
        self.type_end_again();
        self.write_master();
        self.read_master()?;
        self.write_output();
        Ok(())
    }

    /// The process has ended: only what it has written is still of interest.
    pub fn finish(&mut self) {
        self.rest = Some(REST);
        self.input.open = false;
        self.end_again = None;
        self.inward.clear();
    }

    /// Whether everything is written that came out before the end.
    pub fn is_drained(&self) -> bool {
        self.master.is_none() && self.outward.pending().is_empty()
    }

    fn read_input(&mut self) -> Result<()> {
        let Some(master) = &self.master else { return Ok(()) };
        if !self.input.may_read() || !self.inward.has_room() {
            return Ok(());
        }
        let ready = ready(self.input.fd.as_fd(), PollFlags::POLLIN);
        if ready.is_empty() {
            return Ok(());
        }
        match self.inward.fill(self.input.fd.as_fd()) {
            Ok(0) => {
                // Ctrl-D on a cooked terminal ends one reading only; a pipe's end, or a hang-up, is for good.
                self.input.open = self.input.is_terminal && !ready.contains(PollFlags::POLLHUP);
                let eof = end_of_file(master);
                // In the middle of a line the first one only hands over the line.
                let count = if self.input.at_line_start { 1 } else { 2 };
                self.inward.push(&vec![eof; count]);
                self.input.at_line_start = true;
                if !self.input.open {
                    self.end_again = Some(Instant::now() + END_AGAIN);
                }
            }
            Ok(_) => self.input.at_line_start = self.inward.bytes.last() == Some(&b'\n'),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            // With SIGTTIN blocked, EIO is how a terminal refuses a background reader; look() finds that out.
            Err(Errno::EIO) if self.input.is_terminal => {
                self.input.look(self.output.is_terminal)?;
                self.input.open = !self.input.may_read();
            }
            Err(_) => self.input.open = false,
        }
        Ok(())
    }

    fn type_end_again(&mut self) {
        let Some(master) = &self.master else { return };
        if self.end_again.is_some_and(|at| at <= Instant::now()) {
            if self.inward.pending().is_empty() {
                self.inward.push(&[end_of_file(master)]);
            }
            self.end_again = Some(Instant::now() + END_AGAIN);
        }
    }

    fn write_master(&mut self) {
        let Some(master) = &self.master else { return };
        if self.inward.pending().is_empty() {
            return;
        }
        let hung_up = ready(master.as_fd(), PollFlags::POLLOUT).contains(PollFlags::POLLHUP);
        loop {
            if hung_up {
                // Nobody inside has the terminal open: there is no reader to come.
                self.input.open = false;
                self.inward.clear();
            }
            if self.inward.pending().is_empty() {
                return;
            }
            match self.inward.drain_to(master.as_fd(), usize::MAX) {
                Ok(0) | Err(Errno::EAGAIN) => return,
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => self.inward.clear(),
            }
        }
    }

    fn read_master(&mut self) -> Result<()> {
        while let Some(master) = &self.master {
            if !self.outward.has_room() {
                break;
            }
            match self.outward.fill(master.as_fd()) {
                // EIO: the last descriptor inside is closed, and all that was written is read. While the program runs it
                // may open its terminal again.
                Ok(0) | Err(Errno::EIO) if self.rest.is_none() => {
                    self.hung_up = Some(Instant::now() + HUNG_UP_TICK);
                    return Ok(());
                }
                Ok(0) | Err(Errno::EIO) => self.master = None,
                Ok(n) => {
                    let new = self.outward.bytes.len() - n;
                    if let Some(seen) = &mut self.seen {
                        seen.look(&self.outward.bytes[new..]);
                    }
                    self.count_rest(n);
                }
                // The kernel brings in what is under way before it says EAGAIN, so after the process's end it means: all.
                Err(Errno::EAGAIN) if self.rest.is_some() => self.master = None,
                Err(Errno::EAGAIN) => break,
                Err(Errno::EINTR) => {}
                Err(e) => return Err(e).context("read the container's terminal"),
            }
        }
        self.hung_up = None;
        self.recover_terminal();
        Ok(())
    }

    /// Once all of the program's output is in, what gives the terminal back comes after it.
    fn recover_terminal(&mut self) {
        if self.master.is_none()
            && let Some(seen) = self.seen.take()
        {
            self.outward.push(seen.recovery().as_bytes());
        }
    }

    fn count_rest(&mut self, read: usize) {
        if let Some(rest) = &mut self.rest {
            *rest = rest.saturating_sub(read);
            if *rest == 0 {
                self.master = None;
            }
        }
    }

    fn write_output(&mut self) {
        while !self.outward.pending().is_empty() && !ready(self.output.fd.as_fd(), PollFlags::POLLOUT).is_empty() {
            match self.outward.drain_to(self.output.fd.as_fd(), self.output.at_once) {
                Ok(0) | Err(Errno::EAGAIN) => return,
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => {
                    // Our reader has gone. Closing the master is a hang-up inside: SIGHUP, and EIO for the next write.
                    self.outward.clear();
                    self.master = None;
                }
            }
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Err(e) = host::leave_raw() {
            log::warn!("restore terminal: {}", e.desc());
        }
    }
}

/// What poll says about one descriptor now.
fn ready(fd: BorrowedFd<'_>, events: PollFlags) -> PollFlags {
    let mut fds = [PollFd::new(fd, events)];
    match poll(&mut fds, PollTimeout::ZERO) {
        Ok(_) => fds[0].revents().unwrap_or(events),
        // Not to be told now; the next round asks again.
        Err(_) => PollFlags::empty(),
    }
}

/// The pty's end-of-file character (asked of the master, answered for the slave); Ctrl-D unless changed inside.
fn end_of_file(master: &OwnedFd) -> u8 {
    const CTRL_D: u8 = 4;
    tcgetattr(master).map_or(CTRL_D, |modes| modes.control_chars[SpecialCharacterIndices::VEOF as usize])
}
