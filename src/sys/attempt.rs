//! System calls that a sandbox forbids. Only the doctor's attacks make them, to see that they are refused.
use super::{check, owned};
use nix::errno::Errno;
use std::os::fd::{AsRawFd, RawFd};

/// asm-generic/ioctls.h; libc's has another type with another C library.
const TIOCSTI: u64 = 0x5412;
const LANDLOCK_ACCESS_FS_MAKE_BLOCK: u64 = 1 << 11;
/// Flags that no kernel knows: who answers EINVAL has let the call in.
const BAD_FLAGS: u32 = 0x4000_0000;

/// ioctl(2) TIOCSTI, which types a character into the terminal `fd`; the number with `high` bits that the kernel ignores.
pub fn tiocsti(fd: RawFd, high: u64) -> nix::Result<()> {
    let character = b' ';
    // SAFETY: the kernel reads one byte.
    check(unsafe { libc::syscall(libc::SYS_ioctl, fd, TIOCSTI | high, &raw const character) }).map(drop)
}

/// ioctl(2) TIOCLINUX, which pastes into a console.
pub fn tioclinux(fd: RawFd) -> nix::Result<()> {
    const TIOCL_GETSHIFTSTATE: u8 = 6;
    let subcode = TIOCL_GETSHIFTSTATE;
    // SAFETY: this subcode reads one byte and writes one back.
    check(unsafe { libc::syscall(libc::SYS_ioctl, fd, 0x541C_u64, &raw const subcode) }).map(drop)
}

/// Calls with arguments that the kernel itself finds wrong. Getting as far as that is the success: a filter that forbids
/// them answers EPERM or ENOSYS before the kernel looks at the arguments.
pub fn forbidden_calls() -> Vec<(&'static str, nix::Result<()>)> {
    let none = std::ptr::null::<u8>();
    let bad = u64::from(BAD_FLAGS);
    let let_in = |returned: libc::c_long| match check(returned) {
        Ok(_) | Err(Errno::EINVAL | Errno::EFAULT) => Ok(()),
        Err(e) => Err(e),
    };
    // SAFETY: null pointers and unknown flags, which the kernel answers with an error; nothing is made.
    unsafe {
        vec![
            ("io_uring_setup", let_in(libc::syscall(libc::SYS_io_uring_setup, 0, none))),
            ("bpf", let_in(libc::syscall(libc::SYS_bpf, u64::MAX, none, bad))),
            ("perf_event_open", let_in(libc::syscall(libc::SYS_perf_event_open, none, 0, -1, -1, bad))),
            ("userfaultfd", let_in(libc::syscall(libc::SYS_userfaultfd, bad))),
            ("add_key", let_in(libc::syscall(libc::SYS_add_key, none, none, none, 0, 0))),
        ]
    }
}

/// Puts the calling thread under one more Landlock domain, one that takes nothing away from it but making block devices,
/// which nobody in a user namespace may.
/// E2BIG: it is under sixteen already. Needs no_new_privs.
pub fn landlock_layer() -> nix::Result<()> {
    let handled = LANDLOCK_ACCESS_FS_MAKE_BLOCK;
    // SAFETY: the first eight bytes of `struct landlock_ruleset_attr`, which every version takes.
    let ruleset =
        owned(unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, &raw const handled, size_of::<u64>(), 0) })?;
    // SAFETY: plain numbers.
    check(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) }).map(drop)
}
