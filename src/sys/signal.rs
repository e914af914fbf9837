//! The signal mask around clone and exec, and the state a program is started in.
use super::descriptor;
use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow};
use nix::sys::signalfd::{SignalFd, siginfo};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The caller's signal mask, as it was before `block_all`: what the container's program must get.
#[derive(Clone, Copy, Debug)]
pub struct Saved(SigSet);

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
pub fn block_all() -> nix::Result<Saved> {
    // SAFETY: SIG_DFL installs no code of ours.
    if unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) } == libc::SIG_ERR {
        return Err(Errno::last());
    }
    every().thread_swap_mask(SigmaskHow::SIG_SETMASK).map(Saved)
}

impl Saved {
    /// The mask as it is now, for a caller that goes on taking signals.
    pub fn current() -> nix::Result<Saved> {
        SigSet::thread_get_mask().map(Saved)
    }

    /// Puts the mask back.
    pub fn restore(&self) -> nix::Result<()> {
        self.0.thread_set_mask()
    }

    /// Puts back what a program expects at execve: the caller's mask, and SIGPIPE at its default.
    pub fn restore_for_exec(&self) -> nix::Result<()> {
        default_sigpipe()?;
        self.restore()
    }
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
