//! Pid 1 of a sandbox: forwards signals, reaps orphans, and ends with the program. The kernel gives a pid 1 no default
//! signal actions, so a program in that place could not be interrupted; and the program cannot touch this process,
//! which is not dumpable and dies with rrunc whatever the program does.
use crate::console;
use crate::sys::clone::{Cloned, clone};
use crate::sys::pidfd::Ended;
use crate::sys::{descriptor, pidfd, prctl, process, signal};
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::CloneFlags;
use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{Pid, setsid};
use std::ffi::CStr;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// Exit status when the reaper itself fails.
const FAILED: i32 = 255;

/// As many are reaped before signals are looked at: the program can make orphans without end.
const AT_ONCE: usize = 64;

/// The reaper's name once its program was killed by a signal.
const KILLED: &CStr = c"rrunc:[killed]";

/// Forks: the child goes on to become the program, this process stays behind to look after it and never returns.
pub fn stay_behind(terminal: bool) -> Result<()> {
    // From before the fork on: none is to be lost.
    let all = signal::every();
    all.thread_block().context("block signals")?;
    // So is this: the program is to find nobody that it could trace. Its own execve gives it back what it needs.
    prctl::set_dumpable(false).context("PR_SET_DUMPABLE")?;
    match clone(CloneFlags::empty()).context("fork the program")? {
        Cloned::Child => lead(terminal),
        Cloned::Parent(pid, child) => process::exit_now(match watch(pid, child.as_fd(), &all) {
            Ok(ended) => told(ended),
            Err(_) => FAILED,
        }),
    }
}

/// The exit status for what the program has come to. That it was killed our name says, to who reads it before we are reaped:
/// the first process of a pid namespace cannot end by a signal of its own.
fn told(ended: Ended) -> i32 {
    if ended.signal.is_some() {
        prctl::set_name(KILLED).ok();
    }
    ended.status
}

/// Whether the reaper `pid`, which has ended and is not reaped yet, says that its program was killed by a signal.
pub fn says_killed(pid: Pid) -> bool {
    fs::read(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim_ascii_end() == KILLED.to_bytes())
}

/// The program leads a session of its own, with the terminal: keys are not for the reaper. And since nobody of that
/// session watches over the program, the kernel drops what would stop it for ever, as Ctrl-Z does.
fn lead(terminal: bool) -> Result<()> {
    if terminal {
        return console::become_controlling();
    }
    setsid().map(drop).context("setsid")
}

fn watch(pid: Pid, child: BorrowedFd, all: &SigSet) -> Result<Ended> {
    prctl::set_name(c"rrunc:[reaper]")?;
    // The wire is closed below.
    crate::log::redirect(Box::new(|_, _| {}));
    let signals = SignalFd::with_flags(all, SfdFlags::SFD_CLOEXEC)?;
    // Neither the wire nor a standard stream: what reads the program's output has to see its end.
    descriptor::close_except(0, &[signals.as_fd().as_raw_fd(), child.as_raw_fd()])?;
    // Whether more may have ended than were reaped at once.
    let mut more = false;
    loop {
        let number = match next_signal(&signals, more) {
            Ok(number) => number,
            Err(Errno::EINTR) => continue,
            Err(e) => return Err(e.into()),
        };
        if number != libc::SIGCHLD {
            match pidfd::send_signal(child, number) {
                Ok(()) | Err(Errno::ESRCH) => continue,
                Err(e) => return Err(e.into()),
            }
        }
        more = true;
        for _ in 0..AT_ONCE {
            match pidfd::reap_any()? {
                Some(ended) if ended.pid == pid => return Ok(ended),
                Some(_) => {}
                None => {
                    more = false;
                    break;
                }
            }
        }
    }
}

/// The next signal; `at_once`: SIGCHLD if none is there.
fn next_signal(signals: &SignalFd, at_once: bool) -> nix::Result<i32> {
    if at_once && poll(&mut [PollFd::new(signals.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO)? == 0 {
        return Ok(libc::SIGCHLD);
    }
    Ok(signals.read_signal()?.map_or(libc::SIGCHLD, |info| info.ssi_signo.cast_signed()))
}
