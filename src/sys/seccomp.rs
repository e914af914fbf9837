//! Loading a seccomp filter: seccomp(2), which neither nix nor libc wraps.
use crate::seccomp::Filter;
use libc::{c_long, c_uint};
use nix::errno::Errno;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// Puts the calling thread under the filter, for good, and returns the listener (close-on-exec) if it has notify rules.
///
/// Needs no_new_privs, or CAP_SYS_ADMIN in the own user namespace: else EACCES. EINVAL: a flag this kernel does not
/// know. EBUSY: an earlier filter already has a listener.
pub fn load(filter: &Filter) -> nix::Result<Option<OwnedFd>> {
    let program = libc::sock_fprog {
        len: u16::try_from(filter.program.len()).map_err(|_| Errno::EINVAL)?,
        filter: filter.program.as_ptr().cast_mut(),
    };
    let flags = c_long::from(filter.flags)
        | if filter.listener.is_some() { libc::SECCOMP_FILTER_FLAG_NEW_LISTENER as c_long } else { 0 };
    let operation = libc::SECCOMP_SET_MODE_FILTER as c_uint;
    // SAFETY: `program` and the instructions it points to live until the call returns; the kernel only reads them.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, operation, flags, &raw const program) };
    let result = Errno::result(result)?;
    // SAFETY: with NEW_LISTENER and without TSYNC the result is a descriptor that was opened for us alone.
    Ok(filter.listener.is_some().then(|| unsafe { OwnedFd::from_raw_fd(result as RawFd) }))
}
