//! Masked and read-only paths: files made unreadable, trees made read-only, each found before anything is put on it: a mount
//! that fails costs the kernel a grace period of milliseconds.
use super::devices;
use super::mount_call::data;
use super::root::Root;
use crate::plan::Plan;
use crate::plan::namespaces::Kind;
use crate::sys::descriptor::Brief;
use crate::sys::directory::entries;
use crate::sys::mount::*;
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag};
use nix::mount::{MsFlags, mount};
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};
use nix::unistd::fchdir;
use std::ffi::{CStr, OsStr};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const PROC: &str = "/proc";

/// Makes each read-only path read-only, with all that is mounted below it, and covers each masked one with an empty
/// directory or the null device. What does not exist needs no cover, unless all are sure to be there but those of the
/// kernel's file systems.
pub fn make(root: &Root, plan: &Plan) -> Result<()> {
    let mut paths = plan.readonly.iter().chain(&plan.masked);
    // With the host's pid namespace the list would be one of all its processes.
    let short = plan.namespaces.is_new(Kind::Pid);
    let proc = match short && paths.any(|path| path.parent() == Some(Path::new(PROC))) {
        true => Proc::enter(root).context(PROC)?,
        false => None,
    };
    for path in &plan.readonly {
        let found = find(root, proc.as_ref(), path, "made read-only");
        found.and_then(make_readonly).with_context(|| format!("make {} read-only", path.display()))?;
    }
    let mut covers = Covers { label: plan.mount_label.as_deref(), empty: None, null: false };
    for path in &plan.masked {
        let sure = plan.sure_masks && !["/proc", "/sys"].iter().any(|dir| path.starts_with(dir));
        let found = match sure {
            true => open(root, path).context("it was to be hidden, and has gone or been closed since"),
            false => find(root, proc.as_ref(), path, "masked").map_err(Into::into),
        };
        found.and_then(|found| covers.put_on(found)).with_context(|| format!("mask {}", path.display()))?;
    }
    Ok(())
}

/// The directory /proc of the container, if that is of a procfs, as the current directory. The names in it are the kernel's and
/// those of no link lead nowhere else, so they can be used as they are, and are known by listing them once.
struct Proc {
    root: Brief,
    entries: Vec<(Vec<u8>, u8)>,
}

impl Proc {
    /// None where something else is in its place.
    fn enter(root: &Root) -> nix::Result<Option<Proc>> {
        let Ok(root) = root.open(Path::new(PROC), OFlag::O_RDONLY | OFlag::O_DIRECTORY) else { return Ok(None) };
        if fstatfs(&root)?.filesystem_type() != PROC_SUPER_MAGIC {
            return Ok(None);
        }
        fchdir(&root)?;
        let entries = entries(root.as_fd())?;
        Ok(Some(Proc { root, entries }))
    }

    fn find<'a>(&'a self, path: &'a Path) -> Option<Found<'a>> {
        let name = path.file_name().filter(|_| path.parent() == Some(Path::new(PROC)))?;
        let at = self.root.as_fd();
        match self.entries.iter().find(|(entry, _)| entry == name.as_bytes()) {
            None => Some(Found::Nothing),
            Some((_, libc::DT_DIR)) => Some(Found::Named { at, name, directory: true }),
            Some((_, libc::DT_REG)) => Some(Found::Named { at, name, directory: false }),
            // A link of the kernel's, such as /proc/net.
            Some(_) => None,
        }
    }
}

/// What is at a path.
enum Found<'a> {
    /// Nothing, or nothing in reach.
    Nothing,
    /// What has this name in the current directory, which is also open.
    Named { at: BorrowedFd<'a>, name: &'a OsStr, directory: bool },
    /// What is open.
    Open { target: Brief, directory: bool },
}

/// Of most paths it is a directory.
fn open<'a>(root: &Root, path: &Path) -> nix::Result<Found<'a>> {
    match root.open(path, OFlag::O_PATH | OFlag::O_DIRECTORY) {
        Err(Errno::ENOTDIR) => root.at(path).map(|target| Found::Open { target, directory: false }),
        target => target.map(|target| Found::Open { target, directory: true }),
    }
}

/// Where root of the container may not go, others hardly may; but the cover is missing.
fn find<'a>(root: &Root, proc: Option<&'a Proc>, path: &'a Path, done: &str) -> nix::Result<Found<'a>> {
    if let Some(found) = proc.and_then(|proc| proc.find(path)) {
        return Ok(found);
    }
    match open(root, path) {
        Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(Found::Nothing),
        Err(Errno::EACCES) => {
            log::warn!("{} cannot be reached and is not {done}", path.display());
            Ok(Found::Nothing)
        }
        found => found,
    }
}

fn make_readonly(found: Found) -> nix::Result<()> {
    let attr = Attr { set: MOUNT_ATTR_RDONLY, ..Attr::default() };
    match found {
        Found::Nothing => Ok(()),
        Found::Named { at, name, .. } => {
            mount(Some(name), name, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>)?;
            mount_setattr_at(at, name, &attr)
        }
        Found::Open { target, .. } => {
            let tree = clone_tree(target.as_fd(), true)?;
            mount_setattr(tree.as_fd(), true, &attr)?;
            move_mount(tree.as_fd(), target.as_fd())
        }
    }
}

/// The two covers: the empty directory is mounted when first wanted, and that one mount cloned for all.
struct Covers<'a> {
    label: Option<&'a CStr>,
    empty: Option<Empty<'a>>,
    /// The null device is known to be one.
    null: bool,
}

enum Empty<'a> {
    Named(BorrowedFd<'a>, &'a OsStr),
    Open(Brief),
}

impl<'a> Covers<'a> {
    fn put_on(&mut self, found: Found<'a>) -> Result<()> {
        let directory = match &found {
            Found::Nothing => return Ok(()),
            Found::Named { directory, .. } | Found::Open { directory, .. } => *directory,
        };
        if !directory {
            return self.hide_file(&found);
        }
        let Some(empty) = &self.empty else {
            self.empty = Some(self.first_empty(found)?);
            return Ok(());
        };
        let tree = match empty {
            Empty::Named(at, name) => clone_path(at, Path::new(name), AtFlags::AT_SYMLINK_NOFOLLOW)?,
            Empty::Open(fd) => clone_tree(fd.as_fd(), false)?,
        };
        Ok(attach(tree.as_fd(), &found)?)
    }

    fn hide_file(&mut self, found: &Found) -> Result<()> {
        if !self.null {
            devices::check_null()?;
            self.null = true;
        }
        if let Found::Named { name, .. } = found {
            return Ok(mount(Some(devices::NULL), *name, None::<&str>, MsFlags::MS_BIND, None::<&str>)?);
        }
        let tree = clone_path(AT_FDCWD, Path::new(devices::NULL), AtFlags::AT_SYMLINK_NOFOLLOW)?;
        Ok(attach(tree.as_fd(), found)?)
    }

    fn first_empty(&self, found: Found<'a>) -> Result<Empty<'a>> {
        let one = |key: &CStr| (key.to_owned(), Some(c"1".to_owned()));
        let mut settings = vec![one(c"nr_blocks"), one(c"nr_inodes")];
        settings.extend(self.label.map(|label| (c"context".to_owned(), Some(label.to_owned()))));
        match found {
            Found::Named { at, name, .. } => {
                let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
                mount(Some("tmpfs"), name, Some("tmpfs"), flags, Some(data(&settings).as_slice()))?;
                Ok(Empty::Named(at, name))
            }
            _ => {
                let context = FsContext::open(c"tmpfs")?;
                for (key, value) in &settings {
                    context.set(key, value.as_deref())?;
                }
                let attr = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
                let empty = context.mount(attr)?;
                // Attached at once: only since Linux 6.15 can a detached mount be cloned.
                attach(empty.as_fd(), &found)?;
                Ok(Empty::Open(empty))
            }
        }
    }
}

fn attach(tree: BorrowedFd, found: &Found) -> nix::Result<()> {
    match found {
        Found::Nothing => Ok(()),
        Found::Named { at, name, .. } => move_mount_to(tree, *at, name),
        Found::Open { target, .. } => move_mount(tree, target.as_fd()),
    }
}
