//! Process file descriptors: pidfd_open(2), pidfd_send_signal(2), waitid(2) on them.
use nix::errno::Errno;
use nix::unistd::Pid;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// A pidfd (close-on-exec) of process `pid`.
pub fn open(pid: Pid) -> nix::Result<OwnedFd> {
    // SAFETY: takes two integers, returns a new descriptor.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) })?;
    // SAFETY: the kernel has just given us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Sends signal `number`, real-time signals included. ESRCH: the process has been reaped.
pub fn send_signal(pidfd: BorrowedFd<'_>, number: i32) -> nix::Result<()> {
    let info: *const libc::siginfo_t = std::ptr::null();
    // SAFETY: a null siginfo is allowed and means the same as kill(2).
    Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), number, info, 0) }).map(drop)
}

/// A child that has ended and is reaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its process id.
    pub pid: Pid,
    /// Its exit code, or 128 + the signal that killed it.
    pub status: i32,
}

/// Reaps the child behind `pidfd` if it has ended. ECHILD: not our child, or reaped before.
pub fn reap(pidfd: BorrowedFd<'_>) -> nix::Result<Option<Ended>> {
    wait(libc::P_PIDFD, pidfd.as_raw_fd() as libc::id_t)
}

/// Reaps any child that has ended. None: none has, or there is none.
pub fn reap_any() -> nix::Result<Option<Ended>> {
    match wait(libc::P_ALL, 0) {
        Err(Errno::ECHILD) => Ok(None),
        other => other,
    }
}

/// nix's waitid cannot say "killed by a real-time signal" and fails after having reaped; hence our own.
fn wait(kind: libc::idtype_t, id: libc::id_t) -> nix::Result<Option<Ended>> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    // __WALL: a child cloned with another exit signal than SIGCHLD counts too.
    let flags = libc::WEXITED | libc::WNOHANG | libc::__WALL;
    // SAFETY: `info` is valid for writes; all-zero is a valid siginfo_t and means "nothing to report".
    Errno::result(unsafe { libc::waitid(kind, id, info.as_mut_ptr(), flags) })?;
    // SAFETY: initialised by zeroed() and filled by waitid.
    let info = unsafe { info.assume_init() };
    // SAFETY: waitid fills the SIGCHLD part of the union, else it is all zero.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    if pid == 0 {
        return Ok(None);
    }
    let status = if info.si_code == libc::CLD_EXITED { status } else { 128 + status };
    Ok(Some(Ended { pid: Pid::from_raw(pid), status }))
}
