//! The only unsafe code of rrunc: thin typed wrappers around system calls that nix and std do not offer.
//! Each file is named after the kernel's own term for what it wraps.
pub mod attempt;
pub mod capability;
pub mod clone;
pub mod descriptor;
pub mod directory;
pub mod entry;
pub mod exe;
pub mod heap;
pub mod ioprio;
pub mod keyctl;
pub mod landlock;
pub mod latch;
pub mod mempolicy;
pub mod mount;
pub mod netdevice;
pub mod netlink;
pub mod ns;
pub mod pidfd;
pub mod prctl;
pub mod process;
pub mod sched;
pub mod seccomp;
pub mod signal;
pub mod terminal;
pub mod vfork;

use nix::errno::Errno;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// Turns a system call's return value into a result.
fn check(returned: libc::c_long) -> nix::Result<libc::c_long> {
    if returned < 0 { Err(Errno::last()) } else { Ok(returned) }
}

/// Takes over the descriptor that a system call has just returned.
fn owned(returned: libc::c_long) -> nix::Result<OwnedFd> {
    let fd = check(returned)? as RawFd;
    // SAFETY: the kernel has just made this descriptor for us; nobody else holds it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Takes over a descriptor that came in a control message (SCM_RIGHTS).
pub fn received(fd: RawFd) -> OwnedFd {
    // SAFETY: recvmsg has installed it for the receiver, who hands it over here and nowhere else.
    unsafe { OwnedFd::from_raw_fd(fd) }
}
