//! Seccomp programs as files, and into the kernel.
use std::io;

pub use crate::libseccomp::instructions;

/// A program as bytes, which [`instructions`] reads.
pub fn bytes(program: &[libc::sock_filter]) -> Vec<u8> {
    let bytes = |i: &libc::sock_filter| [&i.code.to_ne_bytes()[..], &[i.jt, i.jf], &i.k.to_ne_bytes()].concat();
    program.iter().flat_map(bytes).collect()
}

/// Puts this process under the filter; needs no_new_privs.
pub fn load(program: &[libc::sock_filter], flags: u32) -> io::Result<()> {
    let len = u16::try_from(program.len()).map_err(io::Error::other)?;
    let program = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
    // SAFETY: the program points to `len` instructions, which the kernel copies.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
