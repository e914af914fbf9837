//! What is kept about containers: one directory each under the root, locked while it changes, written by rename.
//!
//! A status is never stored: it is derived from the process, the cgroup and the start gate each time it is asked for.
//! A directory holds `state.json`, `config.json` (our own copy), and between `create` and `start` the socket `gate`.
//! Every file is reached through the directory's descriptor; nothing follows a link below the root.
mod directory;
pub mod members;
pub mod process;
mod record;

pub use record::{OCI_VERSION, STATE_VERSION, State, Status};

use crate::error::{WithHint, with_hint};
use crate::nearest::nearest;
use crate::spawn::gate;
use anyhow::{Context, Result, anyhow, bail};
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{FileStat, Mode, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// What clients look for in the error for an id that there is not.
pub const MISSING: &str = "container does not exist";

const STATE: &str = "state.json";
const CONFIG: &str = "config.json";

/// The name that a container's first process has in /proc/PID/comm until its program runs.
pub const INIT_NAME: &CStr = c"rrunc:[init]";

/// The directory that holds all containers of this user.
#[derive(Debug)]
pub struct Root {
    path: PathBuf,
    /// `--root` was given.
    explicit: bool,
    /// `None` while the directory does not exist.
    dir: Option<Rc<OwnedFd>>,
}

impl Root {
    /// The directory of `--root`, else `$XDG_RUNTIME_DIR/rrunc`, else one below /run/user/UID (/run for real root),
    /// else a private one in /tmp. Makes nothing: a root that does not exist has no containers.
    ///
    /// # Errors
    /// When the directory is a link, belongs to somebody else, or others may write to it.
    pub fn open(flag: Option<&Path>) -> Result<Root> {
        let (path, explicit) = match flag {
            Some(path) => {
                let path = std::path::absolute(path).with_context(|| format!("--root {}", path.display()))?;
                if std::fs::canonicalize(&path).is_ok_and(|real| real == Path::new("/")) {
                    bail!("Option --root argument should not be set to /");
                }
                (path, true)
            }
            None => (directory::default_root()?, false),
        };
        let dir = match directory::open_private(&path) {
            Ok(dir) => Some(Rc::new(dir)),
            Err(e) if is(&e, Errno::ENOENT) => None,
            Err(e) => return Err(e),
        };
        Ok(Root { path, explicit, dir })
    }

    /// Where the containers are, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the directory of a new container and locks it. A container half made and then deleted under our hands is
    /// made again.
    ///
    /// # Errors
    /// `container with given ID already exists`, or an id that is not valid.
    pub fn create(&mut self, id: &str) -> Result<Container> {
        validate(id)?;
        if self.dir.is_none() {
            self.dir = Some(Rc::new(directory::make_private(&self.path, self.explicit)?));
        }
        let root = self.dir.as_ref().context("no state directory")?;
        loop {
            match mkdirat(root, id, Mode::S_IRWXU) {
                Ok(()) => {}
                Err(Errno::EEXIST) => {
                    return Err(anyhow!("container with given ID already exists"))
                        .hint(|| format!("choose another id, or remove it with `rrunc delete --force {id}`"));
                }
                Err(e) => {
                    return Err(e).with_context(|| format!("make state directory {id} in {}", self.path.display()));
                }
            }
            match self.open_locked(root, id) {
                Ok(Some(container)) => return Ok(container),
                Ok(None) => continue,
                Err(e) if is(&e, Errno::ENOENT) => continue,
                Err(e) => return Err(e),
            }
        }
    }

    /// Waits for the lock of an existing container and takes it.
    ///
    /// # Errors
    /// `container does not exist`, or an id that is not valid.
    pub fn lock(&self, id: &str) -> Result<Container> {
        validate(id)?;
        let root = self.dir.as_ref().ok_or_else(|| self.missing(id))?;
        loop {
            match self.open_locked(root, id) {
                Ok(Some(container)) => return Ok(container),
                Ok(None) => continue,
                Err(e) if is(&e, Errno::ENOENT) => return Err(self.missing(id)),
                Err(e) => return Err(e),
            }
        }
    }

    /// Opens an existing container to read from it, without the lock: `create` holds that while hooks run, and hooks
    /// may ask for the state.
    ///
    /// # Errors
    /// `container does not exist`, or an id that is not valid.
    pub fn find(&self, id: &str) -> Result<Container> {
        validate(id)?;
        let root = self.dir.as_ref().ok_or_else(|| self.missing(id))?;
        match directory::open_child(root, id) {
            Ok((dir, stat)) => Ok(self.container(root, id, dir, &stat)),
            Err(e) if is(&e, Errno::ENOENT) => Err(self.missing(id)),
            Err(e) => Err(e),
        }
    }

    /// A container's record and what it is doing, with fewer calls than `find` and what follows it.
    ///
    /// # Errors
    /// As those of `find` and `Container::load`.
    pub fn look(&self, id: &str) -> Result<(State, Status)> {
        validate(id)?;
        let root = self.dir.as_ref().ok_or_else(|| self.missing(id))?;
        let state = match directory::read_below(root.as_fd(), id, STATE) {
            Err(Errno::ENOENT) => self.find(id)?.load()?,
            read => parse_state(&self.path.join(id), read)?,
        };
        let status = match status_from_outside(&state)? {
            Some(status) => status,
            None => self.find(id)?.status(&state)?,
        };
        Ok((state, status))
    }

    /// The ids of all containers, sorted; those half made too.
    ///
    /// # Errors
    /// A root that does not exist is one only when `--root` named it.
    pub fn list(&self) -> Result<Vec<String>> {
        let Some(dir) = &self.dir else {
            if self.explicit {
                return Err(Errno::ENOENT).with_context(|| format!("open {}", self.path.display()));
            }
            return Ok(Vec::new());
        };
        let mut ids: Vec<String> = directory::entries(dir.as_fd())
            .with_context(|| format!("read {}", self.path.display()))?
            .into_iter()
            .filter(|entry| entry.is_directory(dir.as_fd()))
            .filter_map(|entry| entry.name.into_string().ok())
            .filter(|name| validate(name).is_ok())
            .collect();
        ids.sort();
        Ok(ids)
    }

    /// Opens and locks `id`; `None` when it was removed while we waited for the lock, ENOENT when it was never there.
    fn open_locked(&self, root: &Rc<OwnedFd>, id: &str) -> Result<Option<Container>> {
        let (dir, stat) = directory::open_child(root, id)?;
        let mut container = self.container(root, id, dir, &stat);
        Ok(container.lock()?.then_some(container))
    }

    /// The error for `id`, with the nearest that there is.
    fn missing(&self, id: &str) -> anyhow::Error {
        let ids = self.list().unwrap_or_default();
        let hint = match nearest(id, ids.iter().map(String::as_str)) {
            Some(near) => format!("did you mean {near}?"),
            None if ids.is_empty() => format!("there is no container at all in {} (--root)", self.path.display()),
            None => format!("`rrunc list` shows those in {} (--root)", self.path.display()),
        };
        with_hint(anyhow!(MISSING), hint)
    }

    /// Without the lock.
    fn container(&self, root: &Rc<OwnedFd>, id: &str, dir: OwnedFd, stat: &FileStat) -> Container {
        let (path, inode) = (self.path.join(id), (stat.st_dev, stat.st_ino));
        Container { id: id.to_owned(), path, dir: dir.into(), inode, root: Rc::clone(root), locked: false }
    }
}

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
    /// Reads state.json.
    ///
    /// # Errors
    /// `container does not exist` when there is none (half made, or not yet written).
    pub fn load(&self) -> Result<State> {
        parse_state(&self.path, directory::read(self.dir.as_fd(), STATE))
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
        Ok(match status_from_outside(state)? {
            Some(status) => status,
            None if self.is_being_made()? => Status::Creating,
            None if state.pid == 0 => Status::Stopped,
            None if gate::probe(self.dir.as_fd())? => Status::Created,
            // A program that gives itself our name.
            None => Status::Running,
        })
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

/// The record in what was read of the state.json in directory `dir`.
fn parse_state(dir: &Path, read: nix::Result<Vec<u8>>) -> Result<State> {
    let context = || format!("read {}", dir.join(STATE).display());
    match read {
        Err(Errno::ENOENT) => bail!(MISSING),
        Err(e) => Err(e).with_context(context),
        Ok(bytes) => record::parse(&bytes).with_context(context),
    }
}

/// What the container is doing, as far as its process and its cgroup tell; `None` when that is for its directory to say.
fn status_from_outside(state: &State) -> Result<Option<Status>> {
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

fn is(error: &anyhow::Error, errno: Errno) -> bool {
    crate::error::errno_of(error) == Some(errno)
}

fn would_block(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::WouldBlock)
}

/// An id is a file name of `A-Za-z0-9_+-.` that is neither `.` nor `..`.
pub fn validate(id: &str) -> Result<()> {
    if id.is_empty() {
        bail!("container id cannot be empty");
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_+-.".contains(c);
    if id == "." || id == ".." || !id.chars().all(allowed) {
        return Err(anyhow!("invalid container ID format")).hint(|| "use letters, digits, and the characters _ + - .");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
