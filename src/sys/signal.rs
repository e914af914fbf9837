//! The signal mask around clone and exec, and the state a program is started in: no signal blocked and none ignored, whatever
//! the caller of rrunc does. A shell ignores SIGINT for what it starts with `&`, and a program could not take that back.
use super::descriptor;
use nix::errno::Errno;
use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SignalFd, siginfo};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Every signal there is. The C library's own set leaves out those that it wants for itself, and with musl that is one more:
/// what is SIGRTMIN to a program of glibc's.
pub fn every() -> SigSet {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: a set of signals is a field of bits, each of which may be set.
    unsafe {
        std::ptr::write_bytes(set.as_mut_ptr(), 0xff, 1);
        SigSet::from_sigset_t_unchecked(set.assume_init())
    }
}

/// The signals that `from` holds, at most eight of them: more make it ready again at once.
pub fn arrived(from: &SignalFd) -> nix::Result<Vec<siginfo>> {
    let mut signals = Vec::<siginfo>::with_capacity(8);
    let space = signals.capacity() * size_of::<siginfo>();
    // SAFETY: the kernel writes whole ones, at most as many as there is space for.
    let read = unsafe { libc::read(from.as_fd().as_raw_fd(), signals.as_mut_ptr().cast(), space) };
    match Errno::result(read) {
        // SAFETY: so many have been written, and each field of bits is a valid one.
        Ok(length) => unsafe { signals.set_len(length as usize / size_of::<siginfo>()) },
        Err(Errno::EAGAIN | Errno::EINTR) => {}
        Err(e) => return Err(e),
    }
    Ok(signals)
}

/// Whether a signal that asks us to end waits behind `block_all`. Writes to no memory but the stack.
pub fn must_end() -> bool {
    const ENDING: [libc::c_int; 4] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT];
    let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: the kernel fills the set, which is a valid one as it is, too.
    let pending = unsafe { (libc::sigpending(set.as_mut_ptr()) == 0).then(|| set.assume_init()) };
    // SAFETY: a whole set, and numbers of signals.
    pending.is_some_and(|set| ENDING.iter().any(|signal| unsafe { libc::sigismember(&set, *signal) } == 1))
}

/// Blocks every signal that can be blocked. Call it before clone: a signal between clone and the signalfd would
/// otherwise end rrunc and leave the container behind. And has those that end wait for us: a caller who ignores SIGCHLD has
/// handed that down, and the kernel would forget their status (wait(2)).
pub fn block_all() -> nix::Result<()> {
    // SAFETY: SIG_DFL installs no code of ours.
    if unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) } == libc::SIG_ERR {
        return Err(Errno::last());
    }
    every().thread_set_mask()
}

/// Has every signal that the calling process ignores do what it does by default, but SIGPIPE, which is for `start_program`: the
/// C library's own two for threads, too. `status` is the text of its /proc/PID/status; what that does not tell is taken for all.
pub fn stop_ignoring(status: &str) -> nix::Result<()> {
    let mut ignored = ignored_in(status) & !bit(libc::SIGPIPE);
    while ignored != 0 {
        let number = ignored.trailing_zeros() as libc::c_int + 1;
        ignored &= ignored - 1;
        match set_default(number) {
            // No signal of that name, or one that nobody can ignore.
            Ok(()) | Err(Errno::EINVAL) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// One bit for each signal. Many groups come before it, and may leave no room for it.
fn ignored_in(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    line.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or(u64::MAX)
}

fn bit(number: libc::c_int) -> u64 {
    1 << (number - 1)
}

/// `struct sigaction` of the kernel, which has no number but zeroes for the default.
const DEFAULT: [u64; 4] = [0; 4];

/// SIG_DFL for a signal; the C library keeps some to itself.
fn set_default(number: libc::c_int) -> nix::Result<()> {
    let nothing = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: the kernel reads one action, which is no longer than that, and installs no code of ours.
    let set = unsafe { libc::syscall(libc::SYS_rt_sigaction, number, DEFAULT.as_ptr(), nothing, size_of::<u64>()) };
    Errno::result(set).map(drop)
}

/// Whether this process ignores a signal, as its caller has handed it down.
pub fn is_ignored(number: libc::c_int) -> bool {
    let mut action = DEFAULT;
    let none = std::ptr::null::<libc::c_void>();
    // SAFETY: the kernel writes one action, which is no longer than that.
    let asked = unsafe { libc::syscall(libc::SYS_rt_sigaction, number, none, action.as_mut_ptr(), size_of::<u64>()) };
    asked == 0 && action[0] == libc::SIG_IGN as u64
}

/// Right before execve: nothing blocked, and SIGPIPE at its default.
pub fn start_program() -> nix::Result<()> {
    default_sigpipe()?;
    SigSet::empty().thread_set_mask()
}

/// We ignore SIGPIPE (`entry`), and an ignored signal stays ignored over execve.
fn default_sigpipe() -> nix::Result<()> {
    // SAFETY: SIG_DFL installs no code of ours.
    let previous = unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    if previous == libc::SIG_ERR { Err(Errno::last()) } else { Ok(()) }
}

/// Makes `command` start clean: no signal blocked, SIGPIPE at its default, no file descriptor above 2.
pub fn start_clean(command: &mut Command) {
    let clean = || -> io::Result<()> {
        default_sigpipe()?;
        SigSet::empty().thread_set_mask()?;
        descriptor::close_on_exec()
    };
    // SAFETY: between fork and exec it makes plain system calls only: no allocation, no lock.
    unsafe { command.pre_exec(clean) };
}

/// Makes `command` end, by SIGKILL, with the thread that starts it.
pub fn end_with_parent(command: &mut Command) {
    let ask = || super::prctl::set_parent_death_signal().map_err(io::Error::from);
    // SAFETY: between fork and exec it makes one system call.
    unsafe { command.pre_exec(ask) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_is_read_as_bits_and_taken_for_all_where_it_is_not_told() {
        assert_eq!(
            ignored_in("Name:\tx\nSigIgn:\t0000000000001002\nSigCgt:\t0\n"),
            bit(libc::SIGINT) | bit(libc::SIGPIPE)
        );
        assert_eq!(ignored_in("Groups:\t1 2 3"), u64::MAX);
        assert_eq!(ignored_in("SigIgn:\tx\n"), u64::MAX);
    }
}
