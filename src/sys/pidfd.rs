//! pidfd: a descriptor for a process, which a reused pid cannot fool (pidfd_open(2), pidfd_send_signal(2),
//! pidfd_getfd(2); Linux 5.6). All descriptors are close-on-exec, which the kernel sets by itself.
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// A pidfd of process `pid`.
///
/// # Errors
/// ESRCH when there is none, EINVAL when `pid` is a thread but not the first of its process.
pub fn open(pid: i32) -> nix::Result<OwnedFd> {
    // SAFETY: takes two integers.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    // SAFETY: the kernel just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
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
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), fd, 0) })?;
    // SAFETY: the kernel just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
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
