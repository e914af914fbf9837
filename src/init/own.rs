//! A tmpfs that init has mounted itself, as a rule the container's /dev.
use super::root::Missing;
use crate::sys::descriptor::Brief;
use crate::sys::mount::{move_mount, move_mount_to};
use nix::errno::Errno;
use nix::sys::stat::{Mode, SFlag, mkdirat, mknodat};
use nix::unistd::fchdir;
use std::cell::Cell;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Component, Path, PathBuf};

/// What is in it init has put there, and nobody else gets at it before the program runs: so its names lead where they say
/// and can be used as they are, which takes a third of the system calls.
pub struct Own {
    path: PathBuf,
    root: Brief,
    /// It is the current directory.
    entered: Cell<bool>,
}

impl Own {
    /// Takes the root directory of a new tmpfs that is mounted at `path`, where no link is on the way.
    pub fn new(path: &Path, root: Brief) -> Own {
        Own { path: path.to_owned(), root, entered: Cell::new(false) }
    }

    /// Its root directory.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Whether something mounted at `destination`, without a link on the way, hides it.
    pub fn is_hidden_by(&self, destination: &Path) -> bool {
        let climbs = destination.components().any(|part| part == Component::ParentDir);
        climbs || self.path.starts_with(destination)
    }

    /// Makes it the current directory, if it is not that any more.
    pub fn enter(&self) -> nix::Result<()> {
        if self.entered.get() {
            return Ok(());
        }
        fchdir(&self.root)?;
        self.entered.set(true);
        Ok(())
    }

    /// Another directory may become the current one.
    pub fn leave(&self) {
        self.entered.set(false);
    }

    /// Whether its root directory is `path`.
    pub fn is(&self, path: &Path) -> bool {
        self.path == path
    }

    /// Whether `path` is directly in it.
    pub fn holds(&self, path: &Path) -> bool {
        path.parent() == Some(&self.path)
    }

    /// Makes the file or directory `path` to mount on, if that is directly in it and is not there yet.
    pub fn make(&self, path: &Path, missing: Missing) -> nix::Result<bool> {
        let Some(name) = path.file_name().filter(|_| self.holds(path)) else { return Ok(false) };
        let made = match missing {
            Missing::Directory(mode) => mkdirat(&self.root, name, Mode::from_bits_truncate(mode)),
            Missing::File => mknodat(&self.root, name, SFlag::S_IFREG, Mode::from_bits_truncate(0o644), 0),
        };
        match made {
            Ok(()) => Ok(true),
            Err(Errno::EEXIST) => Ok(false),
            Err(e) => Err(e),
        }
    }
}

/// Where something is mounted.
pub enum MountPoint<'a> {
    /// On what is open.
    Open(Brief),
    /// On what has this name in a tmpfs of ours.
    Named(&'a Own, &'a OsStr),
}

impl MountPoint<'_> {
    /// Attaches the detached `tree`.
    pub fn attach(&self, tree: BorrowedFd) -> nix::Result<()> {
        match self {
            MountPoint::Open(fd) => move_mount(tree, fd.as_fd()),
            MountPoint::Named(own, name) => move_mount_to(tree, own.fd(), name),
        }
    }

    /// Makes the current directory one from which the result names it: a path from the root could lead elsewhere by now.
    pub fn enter(&self) -> nix::Result<&OsStr> {
        match self {
            MountPoint::Open(fd) => fchdir(fd).map(|()| OsStr::new(".")),
            MountPoint::Named(own, name) => own.enter().map(|()| *name),
        }
    }
}
