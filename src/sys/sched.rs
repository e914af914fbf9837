//! sched_setattr(2) and sched_setaffinity(2).
use super::check;

/// `struct sched_attr` of linux/sched/types.h as first published (SCHED_ATTR_SIZE_VER0).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attr {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

impl Attr {
    /// A policy (SCHED_*), SCHED_FLAG_*, and the parameters of the policies; times in nanoseconds.
    pub fn new(policy: u32, flags: u64, nice: i32, priority: u32, runtime: u64, deadline: u64, period: u64) -> Attr {
        Attr { size: size_of::<Attr>() as u32, policy, flags, nice, priority, runtime, deadline, period }
    }
}

/// Sets the scheduling of the calling process. EPERM beyond RLIMIT_NICE and RLIMIT_RTPRIO.
pub fn setattr(attr: &Attr) -> nix::Result<()> {
    // SAFETY: `attr` has the kernel's layout, says its size, and outlives the call.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const *attr, 0) }).map(drop)
}

/// Lets the calling process run on the processors of the bit mask `set` that its cpuset allows; EINVAL if there is none.
pub fn setaffinity(set: &[u64]) -> nix::Result<()> {
    // SAFETY: the kernel reads the given number of bytes.
    check(unsafe { libc::syscall(libc::SYS_sched_setaffinity, 0, size_of_val(set), set.as_ptr()) }).map(drop)
}

/// The first 64 processors that the calling process may run on, as a bit mask.
pub fn getaffinity() -> nix::Result<u64> {
    let mut set = [0u64; 128];
    // SAFETY: the kernel writes at most the given number of bytes.
    check(unsafe { libc::syscall(libc::SYS_sched_getaffinity, 0, size_of_val(&set), set.as_mut_ptr()) })?;
    Ok(set[0])
}
