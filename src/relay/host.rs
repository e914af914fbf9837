//! Our own side of the relay: stdin, stdout, and the terminal they may be.
//!
//! The terminal turns raw only when stdin and stdout are both terminals and we are in the foreground: then every key
//! goes inside. Otherwise it stays cooked, so that `rrunc run web | less` leaves the keys to less, and it is read only
//! while we are in the foreground.
use crate::sys::terminal::{self, Size};
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, SFlag, fstat, major, minor};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use nix::unistd::{getpgrp, isatty, tcgetpgrp};
use std::io::{stderr, stdin, stdout};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, Once, PoisonError};
use std::time::Duration;

/// How often a background rrunc looks whether it has come to the foreground; nothing announces it.
const FOREGROUND_TICK: Duration = Duration::from_millis(300);

/// Our stdin.
#[derive(Debug)]
pub(super) struct Input {
    pub fd: OwnedFd,
    pub is_terminal: bool,
    /// False at the end of file.
    pub open: bool,
    /// Whether the last byte read ended a line (or none was read).
    pub at_line_start: bool,
    place: Place,
}

/// Where we stand towards a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Foreground,
    Background,
    /// It is not our controlling terminal: no job control, but not ours alone either.
    Foreign,
}

impl Input {
    /// `only_terminal`: any other stdin is the program's own, and not ours to read.
    pub fn stdin(only_terminal: bool) -> Result<Input> {
        let fd = stdin().as_fd().try_clone_to_owned().context("duplicate stdin")?;
        let is_terminal = is_terminal(fd.as_fd());
        let open = is_terminal || !only_terminal;
        Ok(Input { fd, is_terminal, open, at_line_start: true, place: Place::Foreign })
    }

    /// Finds out where we stand, and sets the terminal's mode accordingly.
    pub fn look(&mut self, output_is_terminal: bool) -> Result<()> {
        if !self.is_terminal {
            return Ok(());
        }
        self.place = place(self.fd.as_fd());
        if output_is_terminal && self.place == Place::Foreground {
            enter_raw(self.fd.as_fd()).context("set terminal to raw mode")?;
        }
        Ok(())
    }

    pub fn may_read(&self) -> bool {
        self.open && !(self.is_terminal && self.place == Place::Background)
    }

    pub fn look_again(&self) -> Option<Duration> {
        (self.open && !self.may_read()).then_some(FOREGROUND_TICK)
    }
}

fn place(terminal: BorrowedFd<'_>) -> Place {
    match tcgetpgrp(terminal) {
        Ok(group) if group == getpgrp() => Place::Foreground,
        Ok(_) => Place::Background,
        Err(_) => Place::Foreign,
    }
}

/// Our stdout.
#[derive(Debug)]
pub(super) struct Output {
    pub fd: OwnedFd,
    pub is_terminal: bool,
    /// How many bytes may be written, after poll allowed it, without a risk of blocking.
    pub at_once: usize,
}

impl Output {
    /// Stdout; `only_terminal`: if that is the program's own, being none, the terminal that another stream is.
    pub fn stdout(only_terminal: bool) -> Result<Output> {
        let (stdout, stderr, stdin) = (stdout(), stderr(), stdin());
        let terminals = || [stdout.as_fd(), stderr.as_fd(), stdin.as_fd()].into_iter().find(|fd| is_terminal(*fd));
        let stream = if only_terminal { terminals().unwrap_or(stdout.as_fd()) } else { stdout.as_fd() };
        let is_terminal = is_terminal(stream);
        if let Some(fd) = reopen(stream)? {
            return Ok(Output { fd, is_terminal, at_once: usize::MAX });
        }
        let fd = stream.try_clone_to_owned().context("duplicate stdout")?;
        // A pipe that is ready has a free page; a terminal promises less.
        let at_once = if is_terminal { 512 } else { 4096 };
        Ok(Output { fd, is_terminal, at_once })
    }
}

/// An own, non-blocking open file description of a pipe or terminal. The one we were given is shared with others, such
/// as our shell, and O_NONBLOCK on it would be theirs too. None where that cannot be had.
fn reopen(fd: BorrowedFd<'_>) -> Result<Option<OwnedFd>> {
    let stat = fstat(fd).context("stat stdout")?;
    let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
    // Opening the multiplexer would make a new pty.
    let multiplexer = (major(stat.st_rdev), minor(stat.st_rdev)) == (5, 2);
    let terminal = kind == SFlag::S_IFCHR && is_terminal(fd) && !multiplexer;
    if kind != SFlag::S_IFIFO && !terminal {
        return Ok(None);
    }
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    // EACCES after `su`: the terminal belongs to somebody else.
    Ok(open(path.as_str(), flags, Mode::empty()).ok())
}

fn is_terminal(fd: BorrowedFd<'_>) -> bool {
    isatty(fd).unwrap_or(false)
}

/// The size of the terminal we are seen on: the first of stderr, stdout, stdin that is one, else the controlling one.
pub(super) fn window_size() -> Option<Size> {
    let (stderr, stdout, stdin) = (stderr(), stdout(), stdin());
    let standard = [stderr.as_fd(), stdout.as_fd(), stdin.as_fd()].into_iter().find_map(|fd| terminal::size(fd).ok());
    let size = standard.or_else(|| {
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let controlling = open("/dev/tty", flags, Mode::empty()).ok()?;
        terminal::size(controlling.as_fd()).ok()
    });
    // A pty that was never given a size says 0 by 0.
    size.filter(|size| size.rows != 0 && size.columns != 0)
}

/// A terminal in raw mode, and the modes it had.
struct Cooked {
    terminal: OwnedFd,
    modes: Termios,
}

/// Not in `Relay`, for the sake of the panic hook: a release build aborts without running destructors.
static RAW: Mutex<Option<Cooked>> = Mutex::new(None);

fn enter_raw(terminal: BorrowedFd<'_>) -> Result<()> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            // First, so that the message is readable. If it fails there is no one left to tell.
            leave_raw().ok();
            previous(info);
        }));
    });
    let mut cooked = RAW.lock().unwrap_or_else(PoisonError::into_inner);
    if cooked.is_none() {
        *cooked = Some(Cooked { terminal: terminal.try_clone_to_owned()?, modes: tcgetattr(terminal)? });
    }
    if let Some(cooked) = cooked.as_ref() {
        let mut raw = cooked.modes.clone();
        cfmakeraw(&mut raw);
        // The container's pty leaves `\n` alone, so ours must still make a new line of it.
        raw.output_flags = cooked.modes.output_flags;
        tcsetattr(terminal, SetArg::TCSANOW, &raw)?;
    }
    Ok(())
}

/// Gives a raw terminal its modes back, unless we are in the background: then our shell has done so, and more.
pub(super) fn leave_raw() -> nix::Result<()> {
    let Some(cooked) = RAW.lock().unwrap_or_else(PoisonError::into_inner).take() else { return Ok(()) };
    if place(cooked.terminal.as_fd()) == Place::Background {
        return Ok(());
    }
    match tcsetattr(&cooked.terminal, SetArg::TCSANOW, &cooked.modes) {
        // The terminal is gone.
        Err(Errno::EIO) => Ok(()),
        other => other,
    }
}
