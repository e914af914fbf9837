//! prctl(2) where nix has no wrapper.
use super::check;
use nix::errno::Errno;

/// prctl with up to two numeric arguments; the rest are zero, as the newer options demand.
pub(super) fn prctl(option: i32, a: u64, b: u64) -> nix::Result<i64> {
    // SAFETY: every option that the functions below pass takes plain numbers.
    check(unsafe { libc::syscall(libc::SYS_prctl, option, a, b, 0u64, 0u64) })
}

/// Whether other processes of the same user may look into this one (/proc/PID/mem, ns, exe; ptrace).
pub fn set_dumpable(dumpable: bool) -> nix::Result<()> {
    prctl(libc::PR_SET_DUMPABLE, u64::from(dumpable), 0).map(drop)
}

/// Whether they may now.
pub fn dumpable() -> nix::Result<bool> {
    Ok(prctl(libc::PR_GET_DUMPABLE, 0, 0)? == 1)
}

/// Keeps the permitted capabilities over the next change of the user id.
pub fn set_keepcaps(keep: bool) -> nix::Result<()> {
    prctl(libc::PR_SET_KEEPCAPS, u64::from(keep), 0).map(drop)
}

/// Forbids this process and its descendants ever to gain privileges by execve.
pub fn set_no_new_privs() -> nix::Result<()> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0).map(drop)
}

/// Has the kernel kill this process when its parent thread ends. Cleared by every change of credentials.
pub fn set_parent_death_signal() -> nix::Result<()> {
    prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as u64, 0).map(drop)
}

/// Makes this process the reaper of its orphaned descendants.
pub fn set_child_subreaper() -> nix::Result<()> {
    prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0).map(drop)
}

/// The process's name in /proc/PID/comm, up to 15 bytes.
pub fn set_name(name: &std::ffi::CStr) -> nix::Result<()> {
    prctl(libc::PR_SET_NAME, name.as_ptr() as u64, 0).map(drop)
}

/// `PR_SET_MM_MAP`: replaces what /proc/PID/exe, cmdline and environ refer to. See `sys::exe`.
pub(super) fn set_mm_map<T>(map: &T) -> nix::Result<()> {
    let size = size_of::<T>() as u64;
    let (option, map) = (libc::PR_SET_MM_MAP as u64, &raw const *map as u64);
    // SAFETY: `map` is a whole `struct prctl_mm_map` that outlives the call; the kernel checks each address in it.
    match unsafe { libc::syscall(libc::SYS_prctl, libc::PR_SET_MM, option, map, size, 0u64) } {
        0 => Ok(()),
        _ => Err(Errno::last()),
    }
}
