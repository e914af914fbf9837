//! pidfd: a descriptor for a process, which a reused pid cannot fool (pidfd_open(2), pidfd_send_signal(2),
//! pidfd_getfd(2), waitid(2); Linux 5.6). All descriptors are close-on-exec, which the kernel sets by itself.
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// A pidfd of process `pid`.
///
/// # Errors
/// ESRCH when there is none, EINVAL when `pid` is a thread but not the first of its process.
pub fn open(pid: Pid) -> nix::Result<OwnedFd> {
    // SAFETY: takes two integers.
    super::owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) })
}

/// Sends signal `signal` (a number; 0 only asks whether it could be sent).
///
/// # Errors
/// ESRCH when the process has ended, EPERM when it is not ours, EINVAL when there is no such signal.
pub fn send_signal(pidfd: BorrowedFd, signal: i32) -> nix::Result<()> {
    let info: *const libc::siginfo_t = std::ptr::null();
    // SAFETY: a null siginfo makes the kernel fill one in, as kill(2) would.
    Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, info, 0) }).map(drop)
}

/// A duplicate of descriptor `fd` of the process.
///
/// # Errors
/// EPERM without ptrace rights over the process, EBADF when it has no such descriptor.
pub fn getfd(pidfd: BorrowedFd, fd: RawFd) -> nix::Result<OwnedFd> {
    // SAFETY: takes three integers.
    super::owned(unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), fd, 0) })
}

/// The pid of the process, as /proc counts; `None` when it has ended.
pub fn pid(pidfd: BorrowedFd) -> std::io::Result<Option<i32>> {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd()))?;
    let pid = info.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok());
    Ok(pid.filter(|pid| *pid > 0))
}

/// Whether the process has ended, waited for or not.
pub fn has_ended(pidfd: BorrowedFd) -> nix::Result<bool> {
    wait_ended(pidfd, 0)
}

/// Waits until the process has ended, at most `milliseconds`; whether it has.
pub fn wait_ended(pidfd: BorrowedFd, milliseconds: u16) -> nix::Result<bool> {
    loop {
        match poll(&mut [PollFd::new(pidfd, PollFlags::POLLIN)], PollTimeout::from(milliseconds)) {
            Ok(ready) => return Ok(ready > 0),
            // A handled signal cut the wait short: start over, somewhat longer than asked.
            Err(Errno::EINTR) => continue,
            Err(e) => return Err(e),
        }
    }
}

/// A child that has ended and is reaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its process id.
    pub pid: Pid,
    /// Its exit code, or 128 + the signal that killed it.
    pub status: i32,
    /// That signal.
    pub signal: Option<i32>,
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
    let signal = (info.si_code != libc::CLD_EXITED).then_some(status);
    let status = signal.map_or(status, |signal| 128 + signal);
    Ok(Some(Ended { pid: Pid::from_raw(pid), status, signal }))
}
