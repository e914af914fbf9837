//! Bind mounts: each a copy of what the host has, taken before anything is mounted, given its attributes, and attached.
use super::mounts::{propagate, set_attributes};
use super::own::Own;
use super::root::{LINK_HINT, Missing, Root, is, is_fixed, not_opened, not_ordinary};
use crate::error::WithHint;
use crate::plan::mounts::{Mount, What};
use crate::sys::descriptor::Brief;
use crate::sys::mount::*;
use anyhow::{Context, Result, anyhow};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{SFlag, fstat};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// Attributes that take something away.
const RESTRICTING: u64 =
    MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSYMFOLLOW;

/// What is to be bound, not attached anywhere.
pub struct Source {
    tree: Brief,
    /// The mounts below came with it, though nobody wants them.
    unasked: bool,
}

/// Copies the sources of all binds, before anything is mounted that could hide or replace one. They must be looked up in
/// the new mount namespace: the kernel clones no tree of another (EINVAL).
///
/// `early`: what `in_reach` has found.
pub fn open_sources(mounts: &[Mount], early: Vec<Option<nix::Result<Source>>>) -> Result<Vec<Option<Source>>> {
    let mut early = early.into_iter();
    let open = |mount: &Mount| {
        let found = early.next().flatten();
        match &mount.what {
            What::Bind { source, optional, no_links, recursive } => {
                let cloned = match found {
                    None | Some(Err(Errno::EACCES)) => clone(source, *no_links, *recursive),
                    Some(known) => known,
                };
                told(cloned, mount, source, *optional, *no_links).with_context(|| mount.to_string())
            }
            // Taken when the kernel has refused a new instance, which is before the old root goes.
            What::FileSystem { .. } | What::Remount { .. } => Ok(None),
        }
    };
    mounts.iter().map(open).collect()
}

/// The sources as the caller can reach them, before init has the ids of the container: those of a subordinate root's own may be
/// out of his reach, as his are out of that root's.
pub fn in_reach(mounts: &[Mount]) -> Vec<Option<nix::Result<Source>>> {
    let open = |mount: &Mount| match &mount.what {
        What::Bind { source, no_links, recursive, .. } => Some(clone(source, *no_links, *recursive)),
        What::FileSystem { .. } | What::Remount { .. } => None,
    };
    mounts.iter().map(open).collect()
}

fn told(
    cloned: nix::Result<Source>,
    mount: &Mount,
    source: &Path,
    optional: bool,
    no_links: bool,
) -> Result<Option<Source>> {
    match cloned {
        Ok(source) => {
            if source.unasked {
                log::warn!(
                    "{mount}: bound with the mounts below it, since the kernel would not uncover what they hide"
                );
            }
            Ok(Some(source))
        }
        Err(Errno::ELOOP) if no_links => {
            Err(Errno::ELOOP).context(format!("{} has become a link meanwhile", source.display())).hint(|| LINK_HINT)
        }
        Err(Errno::ENOENT) if optional => {
            log::warn!("{mount}: the host has no {}, skipped", source.display());
            Ok(None)
        }
        Err(Errno::ENOENT) => Err(Errno::ENOENT)
            .context("the source does not exist on the host")
            .hint(|| "make it, or take the mount out of config.json; a relative source is looked for in the bundle"),
        Err(Errno::EMFILE) => Err(Errno::EMFILE).hint(
            || "the sources of all bind mounts are open at once: raise the hard limit of open files (`ulimit -Hn`)",
        ),
        Err(Errno::EACCES) => Err(Errno::EACCES)
            .context("the source is out of your reach")
            .hint(|| format!("every directory on the way to {} has to be searchable for you", source.display())),
        Err(e) => Err(e).context("clone the source"),
    }
}

fn clone(source: &Path, no_links: bool, recursive: bool) -> nix::Result<Source> {
    let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    let file = if no_links { Some(Brief::from(openat2(AT_FDCWD, source, how)?)) } else { None };
    let tree = |recursive| match &file {
        Some(file) => clone_tree(file.as_fd(), recursive),
        None => clone_path(AT_FDCWD, source, if recursive { AT_RECURSIVE } else { AtFlags::empty() }),
    };
    match tree(recursive) {
        // Mounts below it came with the namespace and are locked: the kernel will not show what they cover.
        Err(Errno::EINVAL) if !recursive => Ok(Source { tree: tree(true)?, unasked: true }),
        tree => Ok(Source { tree: tree?, unasked: false }),
    }
}

/// The host's tree at `path`, in place of a file system that the kernel will not mount.
pub fn in_place_of_new(path: &Path) -> Result<Source> {
    let tree = clone_path(AT_FDCWD, path, AT_RECURSIVE).context("clone the source")?;
    Ok(Source { tree, unasked: false })
}

/// Gives `source` its attributes and attaches it. `whole_tree`: it stands in for a file system of our own.
pub fn bind(root: &Root, own: &mut Option<Own>, mount: &Mount, source: &Source, whole_tree: bool) -> Result<()> {
    let tree = source.tree.as_fd();
    // A host tree that stands in for a file system of our own gets that one's attributes all through, and /sys and
    // cgroups are never writable (CVE-2023-25809).
    let attr = Attr { set: mount.attr.set | MOUNT_ATTR_RDONLY, clear: 0, ..Attr::default() };
    let proc = mount.destination == Path::new("/proc");
    if whole_tree && !proc {
        set_attributes(tree, true, &attr)?;
    } else {
        set_attributes(tree, false, &mount.attr)?;
        if source.unasked {
            // Nobody expects these mounts to be there: they are to allow no more than the one that was asked for.
            set_attributes(tree, true, &Attr { set: mount.attr.set & RESTRICTING, ..Attr::default() })?;
        }
    }
    set_attributes(tree, true, &mount.tree_attr)?;
    attach(root, own, mount, tree)?;
    propagate(tree, mount)
}

fn attach(root: &Root, own: &mut Option<Own>, mount: &Mount, tree: BorrowedFd) -> Result<()> {
    let destination = &mount.destination;
    let missing = || {
        let directory = is(&fstat(tree)?, SFlag::S_IFDIR);
        Ok::<_, Errno>(if directory { Missing::Directory(0o755) } else { Missing::File })
    };
    if let Some(own) = own.as_ref().filter(|own| own.holds(destination))
        && own.make(destination, missing()?)?
        && let Some(name) = destination.file_name()
    {
        return move_mount_to(tree, own.fd(), name).context("attach");
    }
    let (found, by_link) = root.find(destination, OFlag::empty()).map_err(|e| not_opened(e, destination))?;
    if by_link && is_fixed(destination) {
        return Err(not_ordinary("a bind here"));
    }
    own.take_if(|own| by_link || own.is_hidden_by(destination));
    let Some(target) = found else {
        let target = root.make(destination, missing()?)?;
        return move_mount(tree, target.as_fd()).context("attach");
    };
    let attached = move_mount(tree, target.as_fd());
    if attached.is_err() {
        check_kinds(tree, target.as_fd())?;
    }
    attached.context("attach")
}

/// A directory goes on a directory, and a file on a file.
fn check_kinds(source: BorrowedFd, target: BorrowedFd) -> Result<()> {
    let directory = |fd: BorrowedFd| Ok::<_, Errno>(is(&fstat(fd)?, SFlag::S_IFDIR));
    let (source, target) = match (directory(source)?, directory(target)?) {
        (true, false) => ("a directory", "a file"),
        (false, true) => ("a file", "a directory"),
        _ => return Ok(()),
    };
    Err(anyhow!("the source is {source} and the destination in the rootfs {target}"))
        .hint(|| format!("choose a destination that is {source} too, or is not there: it is made"))
}
