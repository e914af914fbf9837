//! A child on our memory: clone3(2) with CLONE_VM. Nothing is copied for it, and nothing freed when it ends or executes a
//! program; until then the caller waits. For what has to be done by another process, and is soon done.
//!
//! The child may fork a sibling, with CLONE_VFORK: it sleeps until that is off this memory. We ourselves must not, since the
//! sibling can be stopped by whoever it is joining, and the kernel wakes a sleeper of CLONE_VFORK for nothing but SIGKILL. So we
//! wait in poll(2), which writes nothing but our stack: even errno is shared.
//!
//! The child has a stack of its own: on ours it would overwrite what we come back to.
use super::clone::{CLONE_INTO_CGROUP, CloneArgs};
use super::pidfd;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use std::convert::Infallible;
use std::ffi::c_void;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

/// Whether it is written for this processor.
pub const AVAILABLE: bool = cfg!(any(target_arch = "x86_64", target_arch = "aarch64"));

/// In bytes.
const STACK: usize = 1 << 20;
/// How long we wait before we look whether we should not, in milliseconds.
const LOOK: u16 = 200;

struct Task<F, T> {
    act: Option<F>,
    result: Option<T>,
}

/// The child of `vfork`, in itself.
pub struct Vforked {
    /// Its sibling. Written by the kernel before that takes its first step.
    sibling: AtomicI32,
}

/// Calls `act` in a child, born in the cgroup whose directory is given, and returns what it returned; `None` when the child
/// ended otherwise. All that it does to memory is done to ours; its descriptors, its working directory and whatever else a
/// process has are its own.
///
/// `act` may fork in turn: of two that return from a fork, the new one must never return from `act`. Once `gives_up` says so the
/// child, or its sibling if there is one, is ended; it writes to no memory but its stack.
///
/// # Errors
/// Those of clone3(2); ENOSYS where it is not `AVAILABLE`.
pub fn vfork<T>(
    cgroup: Option<BorrowedFd>,
    gives_up: fn() -> bool,
    act: impl FnOnce(&Vforked) -> T,
) -> nix::Result<Option<T>> {
    let vforked = Vforked { sibling: AtomicI32::new(0) };
    let mut pidfd: RawFd = -1;
    let args = CloneArgs {
        flags: libc::CLONE_PIDFD as u64 | cgroup.map_or(0, |_| CLONE_INTO_CGROUP),
        cgroup: cgroup.map_or(0, |dir| dir.as_raw_fd() as u64),
        pidfd: &raw mut pidfd as u64,
        ..CloneArgs::default()
    };
    let mut task = Task { act: Some(|| act(&vforked)), result: None };
    // SAFETY: below we wait until it has ended.
    let pid = unsafe { clone_on_our_memory(args, &mut task) }?;
    // SAFETY: the kernel stored a fresh descriptor there for us.
    let child = unsafe { OwnedFd::from_raw_fd(pidfd) };
    let sibling = || Pid::from_raw(vforked.sibling.load(Relaxed));
    wait_ended(child.as_fd(), || {
        let ended = if sibling().as_raw() > 0 { sibling() } else { pid };
        gives_up().then(|| kill(ended, Signal::SIGKILL).ok());
    });
    let (result, sibling) = (task.result.take(), sibling());
    reap(pid);
    if result.is_none() && sibling.as_raw() > 0 {
        // It was killed, so it no longer waits for its sibling, which may be on this memory still.
        kill(sibling, Signal::SIGKILL).ok();
        reap(sibling);
    }
    Ok(result)
}

impl Vforked {
    /// Calls `act` in another child of our parent's, on the same memory, and sleeps until that has executed a program or has
    /// ended. Its pid is of our own pid namespace. To be called once.
    ///
    /// # Errors
    /// Those of clone3(2).
    pub fn sibling(&self, act: impl FnOnce() -> Infallible) -> nix::Result<Pid> {
        let args = CloneArgs {
            flags: (libc::CLONE_PARENT | libc::CLONE_PARENT_SETTID | libc::CLONE_VFORK) as u64,
            parent_tid: self.sibling.as_ptr() as u64,
            ..CloneArgs::default()
        };
        // SAFETY: CLONE_VFORK keeps us here until it has executed a program or ended. If we are killed meanwhile, nobody comes back
        // to this stack; who waits for us sees to the child (`vfork`).
        unsafe { clone_on_our_memory(args, &mut Task { act: Some(act), result: None }) }
    }
}

/// Waits until the child behind `pidfd` has ended, and with it left our memory; calls `look` now and then.
fn wait_ended(pidfd: BorrowedFd, look: impl Fn()) {
    loop {
        match pidfd::wait_ended(pidfd, LOOK) {
            Ok(true) => return,
            Ok(false) => look(),
            // Without memory for poll's own use: the child is on ours as before.
            Err(_) => std::thread::yield_now(),
        }
    }
}

/// Waits for a child of ours to end.
fn reap(pid: Pid) {
    // `__WALL`: one that sends no signal is not waited for without.
    while waitpid(pid, Some(WaitPidFlag::__WALL)) == Err(Errno::EINTR) {}
}

/// Clones with `args`, to which the memory and the stack are added.
///
/// # Safety
/// `task` is left alone, and our memory too but for the stack, until the child is no longer on it.
unsafe fn clone_on_our_memory<F: FnOnce() -> T, T>(args: CloneArgs, task: &mut Task<F, T>) -> nix::Result<Pid> {
    let args = CloneArgs {
        flags: args.flags | libc::CLONE_VM as u64,
        // No signal: nobody is told of its end but who waits for it.
        exit_signal: 0,
        stack: new_stack()? as u64,
        stack_size: STACK as u64,
        ..args
    };
    // SAFETY: `args` is read before the call returns, and `task` outlives the child's use of it by this function's contract. The
    // child's stack is new. `begin` does not return.
    let pid = unsafe { clone3(&args, begin_of(task), (&raw mut *task).cast()) };
    match pid {
        ..0 => Err(Errno::from_raw(-pid as i32)),
        pid => Ok(Pid::from_raw(pid as i32)),
    }
}

type Begin = unsafe extern "C" fn(*mut c_void) -> !;

fn begin_of<F: FnOnce() -> T, T>(_: &Task<F, T>) -> Begin {
    begin::<F, T>
}

/// First function of the child.
///
/// # Safety
/// `task` points to a `Task<F, T>` that nobody else uses as long as the child lives.
unsafe extern "C" fn begin<F: FnOnce() -> T, T>(task: *mut c_void) -> ! {
    // SAFETY: by this function's contract.
    let task = unsafe { &mut *task.cast::<Task<F, T>>() };
    task.result = task.act.take().map(|act| act());
    super::process::exit_now(0)
}

/// clone3(2) whose child begins with `begin(task)` on the stack of `args`. The child's pid, or an error number below 0.
///
/// # Safety
/// `args` has a stack whose ends are multiples of 16, and both it and `task` are the child's as long as it lives.
#[cfg(target_arch = "x86_64")]
unsafe fn clone3(args: &CloneArgs, begin: Begin, task: *mut c_void) -> isize {
    let mut pid = libc::SYS_clone3 as isize;
    // SAFETY: in the parent this is a system call, which leaves all but rax, rcx and r11 as they are. The child comes out of it
    // on its own stack and never goes beyond the call.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            // The end of the chain of frames.
            "xor ebp, ebp",
            "mov rdi, r8",
            "call r9",
            "ud2",
            "2:",
            inlateout("rax") pid,
            in("rdi") args,
            in("rsi") size_of::<CloneArgs>(),
            in("r8") task,
            in("r9") begin,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    pid
}

/// clone3(2), as on x86_64.
///
/// # Safety
/// As there.
#[cfg(target_arch = "aarch64")]
unsafe fn clone3(args: &CloneArgs, begin: Begin, task: *mut c_void) -> isize {
    let pid: isize;
    // SAFETY: in the parent this is a system call, which leaves all but x0 as it is. The child comes out of it on its own stack
    // and never goes beyond the call.
    unsafe {
        std::arch::asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x0, x4",
            "blr x5",
            "brk 1",
            "2:",
            inlateout("x0") args => pid,
            in("x1") size_of::<CloneArgs>(),
            in("x8") libc::SYS_clone3,
            in("x4") task,
            in("x5") begin,
            options(nostack),
        );
    }
    pid
}

/// For want of one: see `AVAILABLE`.
///
/// # Safety
/// It does nothing.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
unsafe fn clone3(_: &CloneArgs, _: Begin, _: *mut c_void) -> isize {
    -(libc::ENOSYS as isize)
}

/// Memory for a stack, of which only what is touched is ever there. It is left to our exit: taking it away takes as long as all
/// else here, where the child has been on another processor.
fn new_stack() -> nix::Result<*mut c_void> {
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    let flags = flags | libc::MAP_STACK | libc::MAP_NORESERVE;
    // SAFETY: a new mapping, wherever there is room.
    match unsafe { libc::mmap(std::ptr::null_mut(), STACK, protection, flags, -1, 0) } {
        libc::MAP_FAILED => Err(Errno::last()),
        start => Ok(start),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::wait::WaitStatus;
    use nix::unistd::{chdir, execv, getpid, getppid};
    use std::path::Path;

    #[test]
    fn the_child_writes_to_our_memory_and_keeps_the_rest_to_itself() {
        let before = std::env::current_dir().unwrap();
        let mut list = vec![1];
        let us = getpid();
        let said = vfork(
            None,
            || false,
            |_| {
                list.extend(0..5000);
                chdir(Path::new("/")).unwrap();
                (getpid() != us, getppid() == us)
            },
        );
        assert_eq!(said, Ok(Some((true, true))));
        assert_eq!(list.len(), 5001);
        assert_eq!(std::env::current_dir().unwrap(), before);
    }

    #[test]
    fn one_that_ends_otherwise_returns_nothing() {
        assert_eq!(vfork(None, || false, |_| super::super::process::exit_now(3)), Ok(None::<()>));
    }

    #[test]
    fn a_sibling_is_our_child_and_becomes_a_program() {
        let us = getpid();
        let mut parent = None;
        let pid = vfork(
            None,
            || false,
            |vforked| {
                vforked.sibling(|| {
                    parent = Some(getppid());
                    let Err(errno) = execv(c"/bin/sh", &[c"sh", c"-c", c"exit 7"]);
                    super::super::process::exit_now(errno as i32)
                })
            },
        );
        let pid = pid.unwrap().unwrap().unwrap();
        assert_eq!(parent, Some(us));
        assert_eq!(waitpid(pid, Some(WaitPidFlag::__WALL)), Ok(WaitStatus::Exited(pid, 7)));
    }

    #[test]
    fn no_sibling_is_left_on_our_memory_by_one_that_is_killed() {
        let count = AtomicI32::new(0);
        let said = vfork(
            None,
            || false,
            |vforked| {
                let vforked_pid = getpid();
                vforked.sibling(|| {
                    kill(vforked_pid, Signal::SIGKILL).unwrap();
                    loop {
                        count.fetch_add(1, Relaxed);
                    }
                })
            },
        );
        assert_eq!(said, Ok(None));
        let counted = count.load(Relaxed);
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert_eq!(count.load(Relaxed), counted, "somebody counts still");
    }

    #[test]
    fn who_is_held_by_a_stopped_sibling_can_give_up() {
        let said = vfork(
            None,
            || true,
            |vforked| {
                vforked.sibling(|| {
                    loop {
                        kill(getpid(), Signal::SIGSTOP).unwrap();
                    }
                })
            },
        );
        let pid = said.unwrap().unwrap().unwrap();
        assert_eq!(waitpid(pid, Some(WaitPidFlag::__WALL)), Ok(WaitStatus::Signaled(pid, Signal::SIGKILL, false)));
        let said = vfork(None, || true, |_| kill(getpid(), Signal::SIGSTOP));
        assert_eq!(said, Ok(None), "or by a stopped child");
    }
}
