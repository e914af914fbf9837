//! File descriptors by number: those somebody else opened, or all of them.
use nix::errno::Errno;
use nix::fcntl::FdFlag;
use std::io;
use std::os::fd::RawFd;

/// The descriptor flags (F_GETFD) of `fd`. EBADF: it is not open.
pub fn flags(fd: RawFd) -> nix::Result<FdFlag> {
    // SAFETY: only asks; a closed descriptor is an error.
    Errno::result(unsafe { libc::fcntl(fd, libc::F_GETFD) }).map(FdFlag::from_bits_retain)
}

/// Marks everything from 3 on close-on-exec. Not closed at once: std reports a failing exec through such a descriptor.
pub fn close_on_exec() -> io::Result<()> {
    // SAFETY: changes descriptor flags only.
    if unsafe { libc::close_range(3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC as libc::c_int) } == 0 {
        return Ok(());
    }
    // A container's own seccomp filter, under which startContainer hooks run, may refuse close_range.
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid place for the answer.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    for fd in 3..libc::c_int::try_from(limit.rlim_cur).unwrap_or(libc::c_int::MAX) {
        // SAFETY: changes a descriptor flag only.
        if unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) } != 0 && Errno::last() != Errno::EBADF {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
