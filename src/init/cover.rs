//! Masked and read-only paths: files made unreadable, trees made read-only, each resolved to a descriptor first.
use super::devices;
use super::root::{Root, is};
use crate::sys::descriptor::Brief;
use crate::sys::mount::*;
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::stat::{SFlag, fstat};
use std::ffi::CStr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// Covers each path with an empty directory or the null device; what does not exist needs no cover, unless all are `sure`
/// to be there but those of the kernel's file systems. `label` is the SELinux context of the directory.
pub fn mask(root: &Root, paths: &[PathBuf], sure: bool, label: Option<&CStr>) -> Result<()> {
    let mut covers = Covers { label, empty: None, null: None };
    for path in paths {
        let sure = sure && !["/proc", "/sys"].iter().any(|dir| path.starts_with(dir));
        covers.put_on(root, path, sure).with_context(|| format!("mask {}", path.display()))?;
    }
    Ok(())
}

/// The two covers, made when first wanted: one mount of each is cloned for all.
struct Covers<'a> {
    label: Option<&'a CStr>,
    empty: Option<Brief>,
    null: Option<Brief>,
}

impl Covers<'_> {
    fn put_on(&mut self, root: &Root, path: &Path, sure: bool) -> Result<()> {
        // Looked at first: a mount that fails costs the kernel a grace period of milliseconds.
        let target = match sure {
            true => Some(root.at(path).context("it was to be hidden, and has gone or been closed since")?),
            false => find(root, path, "masked")?,
        };
        let Some(target) = target else { return Ok(()) };
        if !is(&fstat(&target)?, SFlag::S_IFDIR) {
            if self.null.is_none() {
                self.null = Some(devices::null()?);
            }
            let null = self.null.as_ref().context("no null device")?;
            return Ok(move_mount(clone_tree(null.as_fd(), false)?.as_fd(), target.as_fd())?);
        }
        match &self.empty {
            Some(empty) => move_mount(clone_tree(empty.as_fd(), false)?.as_fd(), target.as_fd())?,
            None => {
                let context = FsContext::open(c"tmpfs")?;
                context.set(c"nr_blocks", Some(c"1"))?;
                context.set(c"nr_inodes", Some(c"1"))?;
                if self.label.is_some() {
                    context.set(c"context", self.label)?;
                }
                let attr = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
                let empty = context.mount(attr)?;
                // Attached at once: only since Linux 6.15 can a detached mount be cloned.
                move_mount(empty.as_fd(), target.as_fd())?;
                self.empty = Some(empty);
            }
        }
        Ok(())
    }
}

/// What is at `path`, if anything is. Where root of the container may not go, others hardly may; but the cover is missing.
fn find(root: &Root, path: &Path, done: &str) -> nix::Result<Option<Brief>> {
    match root.at(path) {
        Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
        Err(Errno::EACCES) => {
            log::warn!("{} cannot be reached and is not {done}", path.display());
            Ok(None)
        }
        other => other.map(Some),
    }
}

/// Makes each path, with all that is mounted below it, read-only.
pub fn make_readonly(root: &Root, paths: &[PathBuf]) -> Result<()> {
    let attr = Attr { set: MOUNT_ATTR_RDONLY, ..Attr::default() };
    for path in paths {
        let put = || -> nix::Result<()> {
            let Some(target) = find(root, path, "made read-only")? else { return Ok(()) };
            let tree = clone_tree(target.as_fd(), true)?;
            mount_setattr(tree.as_fd(), true, &attr)?;
            move_mount(tree.as_fd(), target.as_fd())
        };
        put().with_context(|| format!("make {} read-only", path.display()))?;
    }
    Ok(())
}
