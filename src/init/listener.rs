//! Inside: loading a filter whose calls somebody outside answers (SCMP_ACT_NOTIFY).
//!
//! From the moment it is loaded any call of this process may wait for an agent that has no listener yet. So all that is
//! to be said is said before, the listener is taken from outside, and the wait for that is one without system calls. Nor
//! is anything closed here afterwards: all of it is close-on-exec.
use crate::seccomp::Filter;
use crate::spawn::gate::Opened;
use crate::spawn::listener::Announcement;
use crate::spawn::wire::Wire;
use crate::sys::clone::{Cloned, clone};
use crate::sys::latch::Latch;
use crate::sys::{descriptor, pidfd, process, seccomp};
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::unistd::getpid;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// How long the host may take, in seconds, once the filter is loaded: the agent is connected to before.
const PATIENCE: i64 = 10;
/// Exit status when nobody took the listener.
const ABANDONED: i32 = 255;

/// Who outside takes the listener.
pub enum Host<'a> {
    /// The process that made this one.
    Parent(&'a Wire),
    /// `start`, at the gate.
    Start(&'a Opened),
    /// `exec`. Its process is not dumpable, so nobody can reach into it: it has its listener carried out.
    Exec(&'a Wire),
}

/// Loads `filter` and, if it has a listener, returns only when the agent has got it.
pub fn load(filter: &Filter, host: &Host) -> Result<()> {
    if filter.listener.is_none() {
        return seccomp::load(filter).map(drop).context("load the seccomp filter");
    }
    let own = ManuallyDrop::new(pidfd::open(getpid()).context("open a pidfd of the process itself")?);
    let latch = ManuallyDrop::new(Latch::new().context("make a latch")?);
    let mut announcement = Announcement { number: None, process: own.as_fd(), latch: latch.file(), courier: None };
    let courier: ManuallyDrop<OwnedFd>;
    match host {
        Host::Parent(wire) => {
            announcement.number = Some(next_free(&latch)?[0]);
            wire.announce(&announcement)?;
        }
        Host::Start(opened) => {
            announcement.number = Some(next_free(&latch)?[0]);
            opened.announce(&announcement)?;
        }
        Host::Exec(wire) => {
            // The first of them will be the courier's pidfd.
            let [_, number] = next_free(&latch)?;
            match clone(CloneFlags::CLONE_PARENT | CloneFlags::CLONE_FILES).context("fork the listener's courier")? {
                Cloned::Child => carry(wire, number),
                Cloned::Parent(_, child) => courier = ManuallyDrop::new(child),
            }
            announcement.courier = Some(courier.as_fd());
            wire.announce(&announcement)?;
        }
    }
    let _listener = ManuallyDrop::new(seccomp::load(filter).context("load the seccomp filter")?);
    if !latch.wait(PATIENCE) {
        process::exit_now(ABANDONED);
    }
    Ok(())
}

/// The numbers that the next two descriptors will get.
fn next_free(latch: &Latch) -> Result<[RawFd; 2]> {
    let any = latch.file().as_raw_fd();
    let (first, second) = (descriptor::duplicate(any)?, descriptor::duplicate(any)?);
    Ok([first.as_raw_fd(), second.as_raw_fd()])
}

/// The courier: shares the descriptors of the process but not its filter, waits until the listener is there, and sends
/// it to `exec`, whose child it is.
fn carry(wire: &Wire, number: RawFd) -> ! {
    let wait = Duration::from_micros(50);
    for _ in 0..PATIENCE * 1_000_000 / 50 {
        match descriptor::duplicate(number) {
            Ok(listener) => process::exit_now(i32::from(wire.listener(listener.as_fd()).is_err())),
            Err(Errno::EBADF) => std::thread::sleep(wait),
            Err(_) => break,
        }
    }
    process::exit_now(1)
}
