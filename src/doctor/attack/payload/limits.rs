//! Attacks on limits: more processes, files, memory and time than allowed, and core dumps. Each stops a little beyond
//! what is allowed, since where there is no limit nothing else stops it.
use super::super::attempt::Attempt;
use super::super::judge::{self, Core, Memory};
use super::Bait;
use crate::sys::clone::{Cloned, fork};
use crate::sys::{pidfd, process};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{getpid, pipe, read, write};
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long memory may take to be had, in milliseconds.
const LIMIT: u16 = 20_000;

pub fn limits(bait: &Bait) -> Vec<Attempt> {
    let own = format!("rrunc-doctor-{}", std::process::id());
    let places = [bait.home.join(&own), PathBuf::from("/dev/shm").join(&own), PathBuf::from("/tmp").join(&own)];
    let disks = places.iter().map(|file| fill(file));
    std::iter::once(processes()).chain(disks).chain(judge::core(&core())).collect()
}

/// Makes processes that wait for its end.
fn processes() -> Attempt {
    let most = Bait::LIMITS.0;
    let (waited_for, ours) = match pipe() {
        Ok(ends) => ends,
        Err(error) => return judge::processes(most, 0, Some(error)),
    };
    let mut made = Vec::new();
    let refusal = loop {
        match fork() {
            Ok(Cloned::Child) => {
                drop(ours);
                process::exit_now(i32::from(read(&waited_for, &mut [0]).is_err()))
            }
            Ok(Cloned::Parent(_, child)) if made.len() < most => made.push(child),
            Ok(Cloned::Parent(_, child)) => {
                made.push(child);
                break None;
            }
            Err(error) => break Some(error),
        }
    };
    drop(ours);
    for child in &made {
        end_of(child);
    }
    judge::processes(most, made.len(), refusal)
}

fn end_of(child: &OwnedFd) {
    let ended = pidfd::wait_ended(child.as_fd(), LIMIT).and_then(|_| pidfd::reap(child.as_fd()));
    log::debug!("ended: {ended:?}");
}

/// Writes three times what a file system may hold.
fn fill(path: &Path) -> Attempt {
    let most = Bait::LIMITS.2;
    let piece = vec![b'x'; most / 4];
    let mut written = 0;
    let result = File::create(path)
        .and_then(|mut file| (0..12).try_for_each(|_| file.write_all(&piece).map(|()| written += piece.len())));
    let removed = fs::remove_file(path);
    log::debug!("{}: {result:?}, {removed:?}", path.display());
    let error = result.err().map(|error| Errno::from_raw(error.raw_os_error().unwrap_or_default()));
    judge::disk(&path.parent().unwrap_or(path).to_string_lossy(), most, written, error)
}

/// `count` processes, each of which takes `each` bytes, keep them as long as somebody may be about to end them.
pub fn memory(count: usize, each: usize, patience: u16) -> Attempt {
    let all = count * each;
    let seen = match take_memory(count, each, patience) {
        Ok(seen) => seen,
        Err(error) => return judge::memory(count, all, &Memory::Failed(error)),
    };
    judge::memory(count, all, &seen)
}

fn take_memory(count: usize, each: usize, patience: u16) -> nix::Result<Memory> {
    let (ready, theirs) = pipe()?;
    let (waited_for, ours) = pipe()?;
    let mut children = Vec::new();
    for _ in 0..count {
        match fork()? {
            Cloned::Child => {
                drop((ready, ours));
                process::exit_now(i32::from(hold(each, &theirs, &waited_for).is_err()))
            }
            Cloned::Parent(_, child) => children.push(child),
        }
    }
    drop((theirs, waited_for));
    let mut had = 0;
    let seen = loop {
        let limit = if had < count { LIMIT } else { patience };
        let mut watched: Vec<PollFd> =
            children.iter().map(|child| PollFd::new(child.as_fd(), PollFlags::POLLIN)).collect();
        if had < count {
            watched.push(PollFd::new(ready.as_fd(), PollFlags::POLLIN));
        }
        let events = match poll(&mut watched, PollTimeout::from(limit)) {
            Err(Errno::EINTR) => continue,
            other => other?,
        };
        if watched[..count].iter().any(|child| child.any() == Some(true)) {
            break Memory::Refused;
        }
        match events {
            0 if had < count => break Memory::Slow,
            0 => break Memory::Had,
            _ => had += read(&ready, &mut [0])?,
        }
    };
    drop(ours);
    children.iter().for_each(end_of);
    Ok(seen)
}

fn hold(each: usize, ready: &OwnedFd, until: &OwnedFd) -> Result<(), Errno> {
    let mut memory: Vec<u8> = Vec::new();
    memory.try_reserve_exact(each).map_err(|_| Errno::ENOMEM)?;
    memory.resize(each, 1);
    write(ready, b"+")?;
    read(until, &mut [0])?;
    // Looked at once more: what nobody reads need not be there.
    if memory.iter().step_by(4096).all(|byte| *byte == 1) { Ok(()) } else { Err(Errno::EIO) }
}

/// Stays as long as somebody may be about to end it.
pub fn time(patience: u16) -> Attempt {
    std::thread::sleep(Duration::from_millis(patience.into()));
    judge::time(None, true)
}

/// Everything about core dumps is tried in children, whose limits are their own.
fn core() -> Core {
    let (_, hard) = getrlimit(Resource::RLIMIT_CORE).unwrap_or((0, 0));
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    // It must leave nothing outside of the working directory.
    let leaves = hard > 1 && (pattern.contains(['/', '|']) || pattern.trim().is_empty());
    // A filter may say that it is done.
    let set = |soft, hard| {
        setrlimit(Resource::RLIMIT_CORE, soft, hard)?;
        if getrlimit(Resource::RLIMIT_CORE)? == (soft, hard) { Ok(()) } else { Err(Errno::EPERM) }
    };
    let worked = |deed: &dyn Fn() -> nix::Result<()>| matches!(in_child(deed), Some(WaitStatus::Exited(_, 0)));
    let crash = || {
        let raised = set(hard, hard);
        log::debug!("limit: {raised:?}");
        // raise(3) goes to the thread that musl knows, and that is the parent's.
        kill(getpid(), Signal::SIGABRT)
    };
    let crashed = if leaves { None } else { in_child(crash) };
    Core {
        lowered: worked(&|| set(0, hard)),
        raised: worked(&|| set(RLIM_INFINITY, RLIM_INFINITY)),
        dumped: if let Some(WaitStatus::Signaled(_, _, dumped)) = crashed { Some(dumped) } else { None },
    }
}

fn in_child(deed: impl FnOnce() -> nix::Result<()>) -> Option<WaitStatus> {
    match fork().ok()? {
        Cloned::Child => process::exit_now(i32::from(deed().is_err())),
        Cloned::Parent(pid, _) => waitpid(pid, None).ok(),
    }
}
