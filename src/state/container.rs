//! One container: its directory with its record, its configuration and its lock; and what it is doing.
use super::record::{self, State, Status};
use super::{CONFIG, INIT_NAME, MISSING, STATE, directory, is, process};
use crate::error::WithHint;
use crate::spawn::gate;
use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{FileStat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// One container's directory, open.
///
/// The lock is flock(2)'s: it belongs to the open file, which a forked child shares. So a child must not call `unlock`,
/// and a parent that leaves a child behind must.
#[derive(Debug)]
pub struct Container {
    /// Its id.
    pub id: String,
    /// Its directory, absolute; for messages and for the mounts that need a path.
    pub path: PathBuf,
    /// Its directory. Close-on-exec.
    pub dir: File,
    /// Device and number of the directory: its own, and nobody else's, as long as it is open.
    inode: (u64, u64),
    root: Rc<OwnedFd>,
    locked: bool,
}

impl Container {
    /// That of `id` in the directory `root` at `path`, opened as `dir`, of which `stat` tells. Without the lock.
    pub(super) fn new(path: &Path, root: &Rc<OwnedFd>, id: &str, dir: OwnedFd, stat: &FileStat) -> Container {
        let (path, inode) = (path.join(id), (stat.st_dev, stat.st_ino));
        Container { id: id.to_owned(), path, dir: dir.into(), inode, root: Rc::clone(root), locked: false }
    }

    /// Reads state.json.
    ///
    /// # Errors
    /// `container does not exist` when there is none (half made, or not yet written).
    pub fn load(&self) -> Result<State> {
        match directory::read(self.dir.as_fd(), STATE) {
            Ok(bytes) => parse(self.path.parent().unwrap_or(&self.path), &self.id, &bytes),
            Err(e) if is(&e, Errno::ENOENT) => bail!(MISSING),
            Err(e) => {
                let context = || format!("read {}", self.path.join(STATE).display());
                Err(e).with_context(context).hint(record::damaged)
            }
        }
    }

    /// Replaces state.json.
    pub fn store(&self, state: &State) -> Result<()> {
        let bytes = serde_json::to_vec(state).context("write the state as JSON")?;
        directory::replace(self.dir.as_fd(), STATE, &bytes).with_context(|| self.writing(STATE))
    }

    /// Keeps our own copy of the bundle's config.json, byte for byte: later edits of the bundle do not change a
    /// container that exists (runtime-spec, runtime.md, "Create"). Once, before there is a state.json: nobody reads it yet.
    pub fn save_config(&self, bytes: &[u8]) -> Result<()> {
        directory::create(self.dir.as_fd(), CONFIG, bytes).with_context(|| self.writing(CONFIG))
    }

    /// The copy that `save_config` made.
    pub fn config(&self) -> Result<Vec<u8>> {
        directory::read(self.dir.as_fd(), CONFIG).with_context(|| format!("read {}", self.path.join(CONFIG).display()))
    }

    fn writing(&self, name: &str) -> String {
        format!("write {}", self.path.join(name).display())
    }

    /// What the container is doing now.
    pub fn status(&self, state: &State) -> Result<Status> {
        seen_from_outside(state)?.map_or_else(|| self.seen_from_inside(state), Ok)
    }

    /// The same where `seen_from_outside` does not tell.
    pub(super) fn seen_from_inside(&self, state: &State) -> Result<Status> {
        if self.is_being_made()? {
            return Ok(Status::Creating);
        }
        if state.pid == 0 {
            return Ok(Status::Stopped);
        }
        // Else it is a program that gives itself our name.
        Ok(if gate::probe(self.dir.as_fd())? { Status::Created } else { Status::Running })
    }

    /// Whether somebody else holds the lock, and with it the container before its program runs.
    fn is_being_made(&self) -> Result<bool> {
        if self.locked {
            return Ok(false);
        }
        // A second open, since a lock taken through `dir` would be ours to drop on every path.
        let again = directory::open_child(&self.dir, ".").map(|(dir, _)| File::from(dir));
        match again.and_then(|dir| dir.try_lock_shared().map_err(|e| std::io::Error::from(e).into())) {
            Ok(()) => Ok(false),
            Err(e) if is(&e, Errno::EWOULDBLOCK) => Ok(true),
            Err(e) if would_block(&e) => Ok(true),
            Err(e) => Err(e),
        }
    }

    /// Removes the directory and everything in it, then lets go of the lock.
    pub fn destroy(mut self) -> Result<()> {
        self.remove()?;
        self.unlock()
    }

    /// Removes the directory and everything in it.
    pub fn remove(&self) -> Result<()> {
        let context = || format!("remove {}", self.path.display());
        // As a rule nothing else is left in it, and it need not be read for that. Whatever stops this half-way, `delete`
        // clears away what is left; an error of one file shows when the directory is not empty.
        for name in [CONFIG, STATE] {
            unlinkat(&self.dir, name, UnlinkatFlags::NoRemoveDir).ok();
        }
        if !self.remove_empty().with_context(context)? {
            directory::clear(self.dir.as_fd()).with_context(context)?;
            unlinkat(&self.root, self.id.as_str(), UnlinkatFlags::RemoveDir).with_context(context)?;
        }
        Ok(())
    }

    /// Removes the directory if nothing is in it; whether it is gone now.
    fn remove_empty(&self) -> nix::Result<bool> {
        match unlinkat(&self.root, self.id.as_str(), UnlinkatFlags::RemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(true),
            Err(Errno::ENOTEMPTY) => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Waits for the lock and takes it; whether the container is still there, and not removed meanwhile, its id used again
    /// or not.
    pub fn lock(&mut self) -> Result<bool> {
        let context = || format!("lock container {}", self.id);
        self.dir.lock().with_context(context)?;
        self.locked = true;
        match fstatat(&self.root, self.id.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(now) => Ok((now.st_dev, now.st_ino) == self.inode),
            Err(Errno::ENOENT) => Ok(false),
            Err(e) => Err(e).with_context(context),
        }
    }

    /// Lets go of the lock, also where a child still has the directory open.
    pub fn unlock(&mut self) -> Result<()> {
        self.locked = false;
        self.dir.unlock().with_context(|| format!("unlock container {}", self.id))
    }
}

/// The record in `bytes`, the state.json of container `id` in the directory `root`.
pub(super) fn parse(root: &Path, id: &str, bytes: &[u8]) -> Result<State> {
    record::parse(bytes, id).with_context(|| format!("read {}", root.join(id).join(STATE).display()))
}

/// What the container is doing, as far as its process and its cgroup tell; `None` when that is for its directory to say.
pub(super) fn seen_from_outside(state: &State) -> Result<Option<Status>> {
    if state.pid == 0 {
        return Ok(None);
    }
    let Some(init) = process::alive(state.pid, state.start_time)? else { return Ok(Some(Status::Stopped)) };
    if state.cgroup.as_deref().is_some_and(process::is_frozen) {
        return Ok(Some(Status::Paused));
    }
    // Since `spawn` it is called this, until its program runs.
    Ok((init.name.as_bytes() != INIT_NAME.to_bytes()).then_some(Status::Running))
}

fn would_block(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::WouldBlock)
}
