//! The container's own cgroup, where the caller may make one. Version 2 only (Documentation/admin-guide/cgroup-v2.rst);
//! on a host with both, its tree of version 2.
pub mod limits;
pub mod oom;
pub mod place;
pub mod scope;
pub mod stats;
pub mod tree;

use crate::error::{WithHint, one_line};
use crate::state::State;
use crate::systemd;
use anyhow::{Context, Result, anyhow};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, Flock, FlockArg, OFlag, openat};
use nix::sys::stat::Mode;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::fs::lchown;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long the kernel may take to freeze or thaw all processes, and to let go of the last one.
const PATIENCE: Duration = Duration::from_secs(10);

/// Makes the directory, and those above it that are missing.
pub fn make(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("make the cgroup {}", dir.display()))
}

/// Makes a directory that the configuration names, and holds it for as long as the file is open: of two that want to be
/// alone in it the second meets the processes of the first.
///
/// # Errors
/// Others are in it already; or it is frozen, where whoever is born never does anything.
pub fn claim(dir: &Path) -> Result<Flock<File>> {
    // Before it is made: what is made in a frozen one is frozen.
    if let Some(frozen) = dir.ancestors().find(|dir| is_to_freeze(dir)) {
        return Err(anyhow!("linux.cgroupsPath: container's cgroup unexpectedly frozen: {}", frozen.display()))
            .hint(|| "let go on what is in it (`rrunc resume` of a container, or 0 written to its cgroup.freeze), or name another");
    }
    make(dir)?;
    let opened = File::open(dir).with_context(|| format!("open the cgroup {}", dir.display()))?;
    let locked = Flock::lock(opened, FlockArg::LockExclusive).map_err(|(_, e)| e);
    let locked = locked.with_context(|| format!("lock the cgroup {}", dir.display()))?;
    if is_populated(dir) {
        return Err(anyhow!("linux.cgroupsPath: container's cgroup is not empty: {} has processes", dir.display()))
            .hint(|| "name another, or end what is in it: it may be a container that `rrunc list` shows");
    }
    Ok(locked)
}

/// Whether somebody has asked for its processes to be stopped, those to come too.
fn is_to_freeze(dir: &Path) -> bool {
    fs::read_to_string(dir.join("cgroup.freeze")).is_ok_and(|text| text.trim_end() == "1")
}

/// A descriptor of the directory, for CLONE_INTO_CGROUP.
pub fn open(dir: &Path) -> Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    openat(AT_FDCWD, dir, flags, Mode::empty()).with_context(|| format!("open the cgroup {}", dir.display()))
}

/// The directory of the cgroup that `process` is in, a pid or `self`.
pub fn of(process: &str) -> Result<PathBuf> {
    let file = format!("/proc/{process}/cgroup");
    let text = fs::read_to_string(&file).with_context(|| format!("read {file}"))?;
    let tree = place::Tree::find().filter(place::Tree::has_own).context("this system has no cgroups of version 2")?;
    Ok(tree.mount.join(place::own_path(&text).context("the container's cgroup is gone")?))
}

/// Makes `uid` the owner of our own cgroup and of the files by which its owner arranges what is below it
/// (config-linux.md, "Cgroup ownership").
pub fn give_to(uid: u32) -> Result<()> {
    const BY_DEFAULT: &str = "cgroup.procs\ncgroup.subtree_control\ncgroup.threads\n";
    let dir = of("self")?;
    let delegated = fs::read_to_string("/sys/kernel/cgroup/delegate").unwrap_or_else(|_| BY_DEFAULT.to_owned());
    for path in std::iter::once(dir.clone()).chain(delegated.lines().map(|file| dir.join(file))) {
        match lchown(&path, Some(uid), None) {
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            changed => changed.with_context(|| format!("give {} to user {uid}", path.display()))?,
        }
    }
    Ok(())
}

/// Ends every process in it, at once and whatever they do (cgroup.kill, Linux 5.14).
pub fn kill(dir: &Path) -> Result<()> {
    write(dir, "cgroup.kill", "1")
}

/// Removes the container's if that is empty, as it is when its last process has ended; a scope is systemd's to end.
pub fn remove_empty(state: &State) -> bool {
    state.scope.is_none() && state.cgroup.as_deref().is_none_or(|dir| fs::remove_dir(dir).is_ok())
}

/// Removes the container's, if it has one.
pub fn discard(state: &State) -> Result<()> {
    if let Some(unit) = &state.scope
        && let Err(e) = systemd::stop(unit)
    {
        // A systemd that has ended has taken the scope along; what another has left can be removed without it.
        log::debug!("{}", one_line(&e));
    }
    state.cgroup.as_deref().map_or(Ok(()), remove)
}

/// Removes it with those that the container has made below; a named one that others use stays.
pub fn remove(dir: &Path) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        match remove_tree(dir) {
            Ok(()) => return Ok(()),
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            // The last process has ended, and the kernel has yet to notice.
            Err(e) if e.raw_os_error() == Some(libc::EBUSY) && Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(_) if is_populated(dir) => {
                log::warn!("the cgroup {} is left: it has processes of others", dir.display());
                return Ok(());
            }
            Err(e) => return Err(e).with_context(|| format!("remove the cgroup {}", dir.display())),
        }
    }
}

fn remove_tree(dir: &Path) -> std::io::Result<()> {
    match fs::remove_dir(dir) {
        // What somebody else may have made below is left to him.
        Err(e) if e.raw_os_error() == Some(libc::EBUSY) && !is_populated(dir) => tree::clear(dir)?,
        removed => return removed,
    }
    fs::remove_dir(dir)
}

/// Stops all its processes, or lets them go on; returns when the last one has.
pub fn freeze(dir: &Path, frozen: bool) -> Result<()> {
    write(dir, "cgroup.freeze", if frozen { "1" } else { "0" })?;
    let end = Instant::now() + PATIENCE;
    while is("frozen", dir) != frozen {
        if Instant::now() > end {
            if frozen {
                write(dir, "cgroup.freeze", "0")?;
            }
            let what = if frozen { "stop" } else { "go on" };
            return Err(anyhow!("some process of the cgroup {} does not {what}", dir.display()))
                .hint(|| "one that waits in the kernel (state D in `ps -eo pid,stat,cmd`) has to come back first");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Whether a process is in it or below.
pub fn is_populated(dir: &Path) -> bool {
    is("populated", dir)
}

fn is(what: &str, dir: &Path) -> bool {
    let events = fs::read_to_string(dir.join("cgroup.events")).unwrap_or_default();
    events.lines().any(|line| line.strip_prefix(what) == Some(" 1"))
}

fn write(dir: &Path, file: &str, value: &str) -> Result<()> {
    let path = dir.join(file);
    let written = File::options()
        .write(true)
        .truncate(true)
        .open(&path)
        .and_then(|mut file| std::io::Write::write_all(&mut file, value.as_bytes()));
    let written = written.with_context(|| format!("write {}", path.display()));
    match written.as_ref().err().and_then(crate::error::errno_of) {
        Some(Errno::EACCES | Errno::EPERM) => {
            written.hint(|| "the cgroup belongs to somebody else: do it as the user who has made the container")
        }
        _ => written,
    }
}
