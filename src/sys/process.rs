//! Ending and setting up the calling process, and what it was started as.
use super::check;
use nix::errno::Errno;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Ends a forked child at once: no destructors, no atexit handlers, which belong to the parent's copy.
///
/// Not by `_exit`: where a seccomp filter refuses exit_group(2), musl's tries again for ever. What no filter can refuse is
/// a fault, of which even the first process of a pid namespace dies.
pub fn exit_now(status: i32) -> ! {
    for call in [libc::SYS_exit_group, libc::SYS_exit] {
        // SAFETY: a plain number. Of the one thread there is, either call is the end.
        unsafe { libc::syscall(call, status) };
    }
    fault()
}

#[cfg(target_arch = "x86_64")]
fn fault() -> ! {
    // SAFETY: an instruction that the processor does not know, with nothing behind it.
    unsafe { std::arch::asm!("ud2", options(noreturn)) }
}

#[cfg(target_arch = "aarch64")]
fn fault() -> ! {
    // SAFETY: as above.
    unsafe { std::arch::asm!("udf #0", options(noreturn)) }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn fault() -> ! {
    std::process::abort()
}

/// Whether this process has been started with another effective than real id, or with capabilities of its file (AT_SECURE,
/// getauxval(3)).
pub fn is_set_id() -> bool {
    // SAFETY: only reads what the kernel has left on the stack.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// The effective user id that this program was started with. The kernel tells it with the arguments, and no system call is
/// needed. It is that of now until it is changed, or another user namespace is entered. On the host's side rrunc does neither;
/// a container's init and the process of `exec` do, and must not ask here.
pub fn uid_at_start() -> u32 {
    // SAFETY: getauxval only reads. The kernel gives it to every program.
    unsafe { libc::getauxval(libc::AT_EUID) as u32 }
}

/// The same of the group.
pub fn gid_at_start() -> u32 {
    // SAFETY: as above.
    unsafe { libc::getauxval(libc::AT_EGID) as u32 }
}

/// setgroups(2) by the system call: glibc's wrapper is the same for one thread, and takes no list on the heap.
pub fn setgroups(groups: &[u32]) -> nix::Result<()> {
    // SAFETY: pointer and length come from one slice.
    check(unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) }).map(drop)
}

/// Sets the real, effective and saved group id, then the user id, of the calling process.
pub fn setresgid(gid: u32) -> nix::Result<()> {
    // SAFETY: plain numbers. The raw call changes the calling thread, which is the only one.
    check(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) }).map(drop)
}

/// Sets the real, effective and saved user id of the calling process.
pub fn setresuid(uid: u32) -> nix::Result<()> {
    // SAFETY: as above.
    check(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) }).map(drop)
}

/// setns(2) with a pidfd (Linux 5.8): joins all the namespaces in `flags` of that process at once.
pub fn setns(fd: BorrowedFd, flags: i32) -> nix::Result<()> {
    // SAFETY: plain numbers.
    check(unsafe { libc::syscall(libc::SYS_setns, fd.as_raw_fd(), flags) }).map(drop)
}

/// setdomainname(2): /proc/sys/kernel/domainname refuses the write inside a user namespace.
pub fn setdomainname(name: &str) -> nix::Result<()> {
    // SAFETY: pointer and length come from one string.
    check(i64::from(unsafe { libc::setdomainname(name.as_ptr().cast(), name.len()) })).map(drop)
}

/// The current directory as the kernel tells it: glibc's getcwd hides the "(unreachable)" prefix behind ENOENT.
pub fn getcwd() -> nix::Result<Vec<u8>> {
    let mut buffer = vec![0u8; libc::PATH_MAX as usize];
    // SAFETY: the kernel writes at most the buffer's length and returns the length with the final NUL.
    let n = check(unsafe { libc::syscall(libc::SYS_getcwd, buffer.as_mut_ptr(), buffer.len()) })? as usize;
    buffer.truncate(n.checked_sub(1).ok_or(Errno::ENOENT)?);
    Ok(buffer)
}

/// Sets a resource limit of the calling process (RLIMIT_*).
pub fn setrlimit(resource: u32, soft: u64, hard: u64) -> nix::Result<()> {
    let limit = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    let old = std::ptr::null_mut::<libc::rlimit64>();
    // SAFETY: one rlimit64 is read, none is written.
    check(unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, &raw const limit, old) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::unistd::{getegid, geteuid};

    #[test]
    fn the_ids_at_the_start_are_those_of_now() {
        assert_eq!((uid_at_start(), gid_at_start()), (geteuid().as_raw(), getegid().as_raw()));
    }
}
