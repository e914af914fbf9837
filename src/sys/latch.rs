//! A latch: one word of shared memory (memfd_create(2)) that lets a process go on which must not make a system call to
//! wait, since its seccomp filter may refuse or hold up any of them.
use super::{check, owned};
use nix::errno::Errno;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

/// The waiting side. Its memory and descriptor last until execve: to take them away would be a system call.
#[derive(Debug)]
pub struct Latch {
    file: OwnedFd,
    word: &'static AtomicU32,
}

impl Latch {
    /// A closed latch.
    pub fn new() -> nix::Result<Latch> {
        let create = |flags: u32| {
            // SAFETY: a constant name.
            owned(unsafe { libc::syscall(libc::SYS_memfd_create, c"latch".as_ptr(), libc::MFD_CLOEXEC | flags) })
        };
        // Since Linux 6.3, and there vm.memfd_noexec=2 demands it.
        let file = match create(libc::MFD_NOEXEC_SEAL) {
            Err(Errno::EINVAL) => create(0)?,
            other => other?,
        };
        let size = size_of::<AtomicU32>();
        nix::unistd::ftruncate(&file, size as libc::off_t)?;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let (anywhere, fd) = (std::ptr::null_mut(), file.as_raw_fd());
        // SAFETY: a new mapping at a place of the kernel's choice.
        let word = unsafe { libc::mmap(anywhere, size, protection, libc::MAP_SHARED, fd, 0) };
        if word == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        // SAFETY: page-aligned, zeroed, never unmapped, and no larger than the file, which nobody makes shorter.
        Ok(Latch { file, word: unsafe { &*word.cast::<AtomicU32>() } })
    }

    /// What the other side opens.
    pub fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Waits without any system call (the clock is the vDSO's), at most `seconds`; whether the latch was opened.
    pub fn wait(&self, seconds: i64) -> bool {
        let end = now().saturating_add(seconds);
        loop {
            for _ in 0..10_000 {
                if self.word.load(Ordering::Acquire) != 0 {
                    return true;
                }
                std::hint::spin_loop();
            }
            if now() > end {
                return false;
            }
        }
    }
}

/// Opens the latch behind `file`, for good.
pub fn open(file: BorrowedFd) -> nix::Result<()> {
    nix::sys::uio::pwrite(file, &1_u32.to_ne_bytes(), 0).map(drop)
}

/// Seconds of the monotonic clock; 0 if there is none, which std would panic about. The coarse one: the vDSO can read it
/// whatever the machine's clock is, where the other becomes a system call with one that only the kernel can read.
fn now() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the answer.
    let result = check(unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut time) }.into());
    result.map_or(0, |_| time.tv_sec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_once_and_for_all_and_gives_up() {
        let latch = Latch::new().unwrap();
        assert!(!latch.wait(0));
        open(latch.file()).unwrap();
        assert!(latch.wait(0) && latch.wait(10));
    }
}
