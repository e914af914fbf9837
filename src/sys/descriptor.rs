//! File descriptors by number: those somebody else opened, or all of them.
use nix::errno::Errno;
use nix::fcntl::FdFlag;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

/// `Brief` descriptors below this number are left open.
static LEFT_OPEN: AtomicI32 = AtomicI32::new(0);

/// As many as a container with some mounts, nodes and covers leaves open at most.
const MANY: RawFd = 128;

/// So few sources of mounts that together with what else is open then they are within every limit that is in use.
const FEW: usize = 16;

/// A descriptor of init that need not be closed by itself: init closes all there are together when the container is
/// set up. Of those that a start opens this spares most of the calls. All are close-on-exec besides.
///
/// Anywhere else, and once there are many, it is closed like any other.
#[derive(Debug)]
pub struct Brief(RawFd);

impl From<OwnedFd> for Brief {
    fn from(fd: OwnedFd) -> Brief {
        Brief(fd.into_raw_fd())
    }
}

impl AsFd for Brief {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: it is ours alone, and open as long as this lives: init holds none across `close_except`.
        unsafe { BorrowedFd::borrow_raw(self.0) }
    }
}

impl AsRawFd for Brief {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

impl Drop for Brief {
    fn drop(&mut self) {
        if self.0 >= LEFT_OPEN.load(Relaxed) {
            nix::unistd::close(self.0).ok();
        }
    }
}

/// Makes room for `wanted` descriptors at once by raising the soft limit (RLIMIT_NOFILE), and leaves `Brief` ones open as far
/// as there is room. Returns the limit that was, if it was raised.
pub fn make_room(wanted: usize) -> nix::Result<Option<(u64, u64)>> {
    if wanted <= FEW {
        LEFT_OPEN.store(2 * FEW as RawFd, Relaxed);
        return Ok(None);
    }
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    LEFT_OPEN.store(MANY.min(RawFd::try_from(soft / 2).unwrap_or(MANY)), Relaxed);
    let needed = u64::try_from(wanted).unwrap_or(u64::MAX).saturating_add(2 * MANY as u64).min(hard);
    if needed <= soft {
        return Ok(None);
    }
    limit_room(needed, hard)?;
    Ok(Some((soft, hard)))
}

/// Sets the limits of open descriptors, as `make_room` has found them.
pub fn limit_room(soft: u64, hard: u64) -> nix::Result<()> {
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard)
}

/// The descriptor flags (F_GETFD) of `fd`. EBADF: it is not open.
pub fn flags(fd: RawFd) -> nix::Result<FdFlag> {
    // SAFETY: only asks; a closed descriptor is an error.
    Errno::result(unsafe { libc::fcntl(fd, libc::F_GETFD) }).map(FdFlag::from_bits_retain)
}

/// Whether `fd` was opened for writing. EBADF: it is not open.
pub fn is_writable(fd: RawFd) -> nix::Result<bool> {
    // SAFETY: only asks; a closed descriptor is an error.
    let flags = Errno::result(unsafe { libc::fcntl(fd, libc::F_GETFL) })?;
    Ok(matches!(flags & libc::O_ACCMODE, libc::O_WRONLY | libc::O_RDWR))
}

/// Marks everything from 3 on close-on-exec. Not closed at once: std reports a failing exec through such a descriptor.
pub fn close_on_exec() -> io::Result<()> {
    // SAFETY: changes descriptor flags only.
    if unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) } == 0 {
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

/// Closes everything from `first` on but what `keep` names (numbers below `first` in it do not matter). For good, not
/// merely on exec: the path of a program may itself be /proc/self/fd/N (CVE-2024-21626).
///
/// For forked children on their way to execve, whose copies of the parent's descriptors nobody uses any more.
pub fn close_except(first: RawFd, keep: &[RawFd]) -> nix::Result<()> {
    let mut keep: Vec<RawFd> = keep.iter().copied().filter(|fd| *fd >= first).collect();
    keep.sort_unstable();
    let mut from = first;
    for fd in keep {
        if fd > from {
            close_range(from, fd - 1)?;
        }
        from = fd + 1;
    }
    close_range(from, RawFd::MAX)
}

/// Gives `fd` the number `to` besides, close-on-exec; what has that number is closed. For the same children as `close_except`.
pub fn duplicate_as(fd: BorrowedFd, to: RawFd) -> nix::Result<OwnedFd> {
    // SAFETY: by that contract nobody uses what had the number.
    super::owned(unsafe { libc::dup3(fd.as_raw_fd(), to, libc::O_CLOEXEC) }.into())
}

fn close_range(first: RawFd, last: RawFd) -> nix::Result<()> {
    // SAFETY: by `close_except`'s contract nothing uses these any more.
    Errno::result(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) }).map(drop)
}

/// fstat(2) of a standard stream.
pub fn stat(fd: RawFd) -> nix::Result<libc::stat> {
    // SAFETY: the borrow ends before anything else can close it.
    nix::sys::stat::fstat(unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) })
}

/// Whether a standard stream is a pipe without a name in any file system.
pub fn is_pipe(fd: RawFd) -> nix::Result<bool> {
    // SAFETY: as in `stat`.
    let system = nix::sys::statfs::fstatfs(unsafe { BorrowedFd::borrow_raw(fd) })?;
    Ok(system.filesystem_type() == nix::sys::statfs::FsType(0x5049_5045))
}

/// Gives what a standard stream is open on to the user `uid`; its group stays.
pub fn give(fd: RawFd, uid: u32) -> nix::Result<()> {
    // SAFETY: as in `stat`.
    nix::unistd::fchown(unsafe { BorrowedFd::borrow_raw(fd) }, Some(uid.into()), None)
}

/// A duplicate (close-on-exec) of `fd` at the lowest number that is free. EBADF: it is not open.
pub fn duplicate(fd: RawFd) -> nix::Result<OwnedFd> {
    // SAFETY: makes a new descriptor; a closed one is an error.
    super::owned(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 0) }.into())
}
