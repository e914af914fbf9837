//! What is kept about containers: one directory each under the root, locked while it changes, written by rename.
//!
//! A status is never stored: it is derived from the process, the cgroup and the start gate each time it is asked for.
//! A directory holds `state.json`, `config.json` (our own copy), and between `create` and `start` the socket `gate`.
//! Every file is reached from the descriptor of a directory; nothing follows a link below the root.
mod container;
mod directory;
pub mod members;
pub mod namespaces;
pub mod process;
mod record;

pub use container::Container;
pub use record::{OCI_VERSION, STATE_VERSION, State, Status};

use crate::error::{WithHint, with_hint};
use crate::nearest::nearest;
use anyhow::{Context, Result, anyhow, bail};
use nix::errno::Errno;
use nix::sys::stat::{Mode, mkdirat};
use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// What clients look for in the error for an id that there is not.
pub const MISSING: &str = "container does not exist";

const STATE: &str = "state.json";
const CONFIG: &str = "config.json";

/// The name that a container's first process has in /proc/PID/comm until its program runs.
pub const INIT_NAME: &CStr = c"rrunc:[init]";

/// Whether `path`, which may be a link, leads to `/`.
fn is_file_system_root(path: &Path) -> bool {
    let place = |path: &Path| nix::sys::stat::stat(path).map(|stat| (stat.st_dev, stat.st_ino));
    place(path).is_ok_and(|there| place(Path::new("/")) == Ok(there))
}

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
                if is_file_system_root(&path) {
                    bail!("Option --root argument should not be set to /");
                }
                (path, true)
            }
            None => (directory::default_root()?, false),
        };
        let dir = match directory::open_private(&path, explicit) {
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
            Ok((dir, stat)) => Ok(Container::new(&self.path, root, id, dir, &stat)),
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
            Ok(bytes) => container::parse(&self.path, id, &bytes)?,
            // The longer way says why, and does without openat2(2), which a filter around us may refuse.
            Err(_) => self.find(id)?.load()?,
        };
        let status = match container::seen_from_outside(&state)? {
            Some(status) => status,
            None => self.find(id)?.seen_from_inside(&state)?,
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
        let mut container = Container::new(&self.path, root, id, dir, &stat);
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
}

/// Whether `error` says that there is no such container, or none with a record.
pub fn is_missing(error: &anyhow::Error) -> bool {
    error.to_string() == MISSING
}

fn is(error: &anyhow::Error, errno: Errno) -> bool {
    crate::error::errno_of(error) == Some(errno)
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
