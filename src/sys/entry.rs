//! The program's entry. What Rust's runtime does before `main` is done here as far as rrunc needs it: closed standard streams
//! are opened, and SIGPIPE is ignored. Left out are a stack of its own for signals and the two handlers on it, eleven calls:
//! they name a stack overflow, which the guard page ends without them. The arguments come from the C library, since without
//! that runtime std does not know them where the C library is musl.
//!
//! Before that, where rrunc is linked with musl, comes `rrunc_entry`: relocation writes to every page of the data that are only
//! read later, and each would be a page fault of its own, as would each page of the stack. Two calls of madvise(2)
//! (MADV_POPULATE_WRITE, Linux 5.14) take a third of that time.
use super::process::exit_now;
use libc::{c_char, c_int};
use std::ffi::{CStr, OsString};
use std::os::unix::ffi::OsStringExt;

// From the start of the segment that is written to (`__init_array_start`) to where its part of the file ends (`_edata`), both set by the
// linker, and a page beyond; then as much stack as every verb uses. The registers are free here, and the stack pointer stays as
// `_start` wants it. Whether it succeeds does not matter.
#[cfg(all(target_arch = "x86_64", target_env = "musl"))]
std::arch::global_asm!(
    ".globl rrunc_entry",
    ".hidden __init_array_start",
    "rrunc_entry:",
    "lea rdi, [rip + __init_array_start]",
    "and rdi, -{page}",
    "lea rsi, [rip + _edata + {page}]",
    "sub rsi, rdi",
    "mov edx, {populate}",
    "mov eax, {madvise}",
    "syscall",
    "mov esi, {stack}",
    "mov rdi, rsp",
    "and rdi, -{page}",
    "sub rdi, rsi",
    "mov eax, {madvise}",
    "syscall",
    "jmp _start",
    page = const 4096,
    stack = const 7 * 4096,
    populate = const libc::MADV_POPULATE_WRITE,
    madvise = const libc::SYS_madvise,
);

/// Makes `$run`, a `fn(Vec<OsString>) -> u8` from the arguments to the exit status, the program's entry.
#[macro_export]
macro_rules! entry {
    ($run:path) => {
        // SAFETY: this is the one `main` of the program, with the type that the C library calls.
        #[unsafe(no_mangle)]
        extern "C" fn main(_: std::ffi::c_int, arguments: *const *const std::ffi::c_char) -> std::ffi::c_int {
            // SAFETY: the C library hands over argv as the kernel made it.
            unsafe { $crate::sys::entry::enter(arguments, $run) }
        }
    };
}

/// What `main` of the C library does here: see `entry!`.
///
/// # Safety
/// `arguments` is argv: an array of strings that ends with a null pointer, which live as long as the program.
pub unsafe fn enter(arguments: *const *const c_char, run: fn(Vec<OsString>) -> u8) -> c_int {
    // Before anything is opened, which would get the number of a closed stream.
    open_streams();
    // A reader that has gone is an error of the write (EPIPE), not our end.
    // SAFETY: SIG_IGN installs no code of ours.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    let mut given = Vec::new();
    let mut next = arguments;
    // SAFETY: by the contract above; the null pointer at the end is not passed.
    unsafe {
        while !(*next).is_null() {
            given.push(OsString::from_vec(CStr::from_ptr(*next).to_bytes().to_vec()));
            next = next.add(1);
        }
    }
    run(given).into()
}

/// Opens /dev/null in the place of each standard stream that is closed: else the next file that is opened, say a container's
/// state, would be taken for it and written to.
fn open_streams() {
    let mut streams = [0, 1, 2].map(|fd| libc::pollfd { fd, events: 0, revents: 0 });
    // SAFETY: pointer and length are those of one array. It does not wait.
    let polled = unsafe { libc::poll(streams.as_mut_ptr(), streams.len() as libc::nfds_t, 0) };
    for stream in streams {
        let closed = match polled {
            // The kernel had no memory, or allows fewer than three files: one by one, then.
            // SAFETY: takes plain numbers.
            -1 => unsafe { libc::fcntl(stream.fd, libc::F_GETFD) == -1 },
            _ => stream.revents & libc::POLLNVAL != 0,
        };
        // The lowest number that is free is this one: those below it are open by now.
        // SAFETY: a constant name.
        if closed && unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) } != stream.fd {
            // As Rust's runtime does. There is no stream to say it on.
            exit_now(1);
        }
    }
}
