//! clone3(2): one call makes the process, all its namespaces and its pidfd.
use super::check;
use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::unistd::Pid;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// What `clone` returns to each side.
pub enum Cloned {
    /// In the new process.
    Child,
    /// In the caller: the child's pid as the caller sees it, and its pidfd.
    Parent(Pid, OwnedFd),
}

/// linux/sched.h; libc's is cut to 32 bits.
pub(super) const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// `struct clone_args` of linux/sched.h, as of Linux 5.7. libc hides it behind its own feature gates.
#[repr(C)]
#[derive(Default)]
pub(super) struct CloneArgs {
    pub(super) flags: u64,
    pub(super) pidfd: u64,
    pub(super) child_tid: u64,
    pub(super) parent_tid: u64,
    pub(super) exit_signal: u64,
    pub(super) stack: u64,
    pub(super) stack_size: u64,
    pub(super) tls: u64,
    pub(super) set_tid: u64,
    pub(super) set_tid_size: u64,
    pub(super) cgroup: u64,
}

/// Forks by clone(2), which container engines allow where they forbid clone3. Single-threaded, as below.
pub fn fork() -> nix::Result<Cloned> {
    let mut pidfd: RawFd = -1;
    let flags = libc::CLONE_PIDFD | libc::SIGCHLD;
    // SAFETY: as for `clone`; with CLONE_PIDFD the third argument is where the descriptor goes.
    let pid = check(unsafe { libc::syscall(libc::SYS_clone, flags, 0, &raw mut pidfd, 0, 0) })?;
    if pid == 0 {
        return Ok(Cloned::Child);
    }
    // SAFETY: the kernel stored a fresh descriptor there for us.
    Ok(Cloned::Parent(Pid::from_raw(pid as i32), unsafe { OwnedFd::from_raw_fd(pidfd) }))
}

/// Forks with `flags` (namespaces, CLONE_PARENT); the child runs on a copy of the caller's memory, as after fork(2).
/// With CLONE_PARENT the exit signal is the caller's own, and clone3 wants none given.
///
/// The process must be single-threaded: rrunc is, always.
pub fn clone(flags: CloneFlags) -> nix::Result<Cloned> {
    clone_into(flags, None)
}

/// The same; the child is born in the cgroup whose directory is given (CLONE_INTO_CGROUP, Linux 5.7).
pub fn clone_into(flags: CloneFlags, cgroup: Option<BorrowedFd>) -> nix::Result<Cloned> {
    let mut pidfd: RawFd = -1;
    let args = CloneArgs {
        // CLONE_NEWTIME shares its bit with CSIGNAL and exists in clone3 only; nix carries it as a plain flag.
        flags: u64::from(flags.bits() as u32) | libc::CLONE_PIDFD as u64 | cgroup.map_or(0, |_| CLONE_INTO_CGROUP),
        cgroup: cgroup.map_or(0, |dir| dir.as_raw_fd() as u64),
        pidfd: &raw mut pidfd as u64,
        exit_signal: if flags.contains(CloneFlags::CLONE_PARENT) { 0 } else { libc::SIGCHLD as u64 },
        ..CloneArgs::default()
    };
    // SAFETY: without CLONE_VM and with no stack given this is fork(2); `args` outlives the call, and `pidfd` is
    // written by the kernel before it returns. glibc's atfork handlers are skipped: no thread holds a lock.
    let pid = check(unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<CloneArgs>()) })?;
    if pid == 0 {
        return Ok(Cloned::Child);
    }
    if pidfd < 0 {
        return Err(Errno::EBADF);
    }
    // SAFETY: the kernel stored a fresh descriptor there for us.
    Ok(Cloned::Parent(Pid::from_raw(pid as i32), unsafe { OwnedFd::from_raw_fd(pidfd) }))
}
