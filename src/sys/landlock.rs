//! Landlock (landlock(7)).
use super::check;

const CREATE_RULESET_VERSION: u32 = 1;

/// The version of Landlock's interface that this kernel has switched on; 0: none, or a filter forbids it.
pub fn abi() -> u32 {
    let none = std::ptr::null::<libc::c_void>();
    // SAFETY: with this flag the kernel takes no ruleset and returns a number.
    let version = check(unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, none, 0, CREATE_RULESET_VERSION) });
    version.map_or(0, |version| version as u32)
}
