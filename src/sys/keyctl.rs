//! keyctl(2): the session keyring.
use super::check;
use std::ffi::CStr;

const KEYCTL_GET_KEYRING_ID: libc::c_int = 0;
const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;

/// Leaves the caller's session keyring for the one called `name`, made if it does not exist.
/// EDQUOT when the user has no key left (`kernel.keys.maxkeys`), ENOSYS on a kernel without keys.
pub fn join_session_keyring(name: &CStr) -> nix::Result<i32> {
    // SAFETY: one C string that outlives the call.
    check(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr()) }).map(|id| id as i32)
}

/// Serial number of the calling process's session keyring; none is made.
pub fn session_keyring() -> nix::Result<i32> {
    // SAFETY: plain numbers.
    check(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_GET_KEYRING_ID, libc::KEY_SPEC_SESSION_KEYRING, 0) })
        .map(|id| id as i32)
}
