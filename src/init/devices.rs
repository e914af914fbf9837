//! /dev: the nodes, bound from the host since a user namespace can make none; the usual links; the console.
//!
//! Everything is done relative to descriptors: an image may have /dev, /dev/null or /dev/console as links to
//! anywhere (CVE-2025-31133, CVE-2025-52565, CVE-2026-41579).
use super::root::{Missing, Root, is};
use crate::error::WithHint;
use crate::plan::devices::{Device, Kind, Wanted};
use crate::sys::descriptor::Brief;
use crate::sys::mount::{clone_path, clone_tree, move_mount, move_mount_to};
use anyhow::{Context, Result, anyhow, bail};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, major, minor, mknodat};
use nix::sys::statvfs::{FsFlags, fstatvfs};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, mkfifoat, symlinkat, unlinkat};
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

/// Makes sure that what was opened on the host is the node meant.
fn verified(opened: nix::Result<Brief>, kind: &Kind) -> nix::Result<Option<Brief>> {
    match opened {
        Ok(fd) => Ok(matches(&fstat(&fd)?, kind).then_some(fd)),
        Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
        Err(e) => Err(e),
    }
}

/// A detached mount of the host's node at `path`.
fn host_node(path: &Path, kind: &Kind) -> Result<Option<Brief>> {
    verified(clone_path(path), kind).context("clone the host's node")
}

fn matches(stat: &FileStat, kind: &Kind) -> bool {
    let numbers = |want_major: &u32, want_minor: &u32| {
        (major(stat.st_rdev), minor(stat.st_rdev)) == (u64::from(*want_major), u64::from(*want_minor))
    };
    match kind {
        Kind::Character(major, minor) => is(stat, SFlag::S_IFCHR) && numbers(major, minor),
        Kind::Block(major, minor) => is(stat, SFlag::S_IFBLK) && numbers(major, minor),
        Kind::Fifo => is(stat, SFlag::S_IFIFO),
    }
}

/// The host's /dev/null, verified: the cover of masked files.
pub fn null() -> Result<Brief> {
    let flags = OFlag::O_PATH | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    let opened = openat(AT_FDCWD, "/dev/null", flags, Mode::empty()).map(Brief::from);
    verified(opened, &Kind::Character(1, 3))
        .context("open /dev/null")?
        .context("the host's /dev/null is not the null device")
}

/// Where the kernel's device model says that a node is (sysfs `uevent`, DEVNAME), for one that the configuration
/// wants under another name.
fn named_by_kernel(kind: &Kind) -> Option<PathBuf> {
    let (class, major, minor) = match kind {
        Kind::Character(major, minor) => ("char", major, minor),
        Kind::Block(major, minor) => ("block", major, minor),
        Kind::Fifo => return None,
    };
    let uevent = std::fs::read_to_string(format!("/sys/dev/{class}/{major}:{minor}/uevent")).ok()?;
    let name = uevent.lines().find_map(|line| line.strip_prefix("DEVNAME="))?;
    Some(Path::new("/dev").join(name))
}

/// Puts every device in its place.
pub fn make(root: &Root, devices: &[Device]) -> Result<()> {
    for devices in devices.chunk_by(|a, b| a.path.parent() == b.path.parent()) {
        let named = |device: &Device| format!("device {}", device.path.display());
        let parent = devices[0].path.parent().unwrap_or(Path::new("/"));
        let (parent, _) = root.ensure(parent, Missing::Directory(0o755)).with_context(|| named(&devices[0]))?;
        for device in devices {
            make_one(parent.as_fd(), device).with_context(|| named(device))?;
        }
    }
    Ok(())
}

fn make_one(parent: BorrowedFd, device: &Device) -> Result<()> {
    let name = device.path.file_name().context("no name")?;
    if device.kind == Kind::Fifo {
        return fifo(parent, name, &device.wanted);
    }
    if !device.default && is_there(parent, name, &device.kind)? {
        return Ok(());
    }
    let mut node = host_node(&device.path, &device.kind)?;
    if node.is_none()
        && let Some(path) = named_by_kernel(&device.kind)
    {
        node = host_node(&path, &device.kind)?;
    }
    let node = node.with_context(|| format!("the host has no such device ({})", device.kind)).hint(
        || "a rootless container can only be given device nodes that exist on the host: take it out of linux.devices",
    )?;
    if is_nodev(node.as_fd())? {
        log::warn!("device {}: the host's node is on a nodev mount and cannot be opened", device.path.display());
    }
    if device.wanted != Wanted::default() {
        tell_what_it_keeps(&device.path, &fstat(&node)?, &device.wanted);
    }
    put(node.as_fd(), parent, name).context("bind the host's node")
}

/// Whether the listed device is in its place already. Another file there is an error (config-linux.md, "Devices"), but
/// for the empty one that an earlier container was given to mount on.
fn is_there(parent: BorrowedFd, name: &OsStr, kind: &Kind) -> Result<bool> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let file = match openat(parent, name, flags, Mode::empty()) {
        Err(Errno::ENOENT) => return Ok(false),
        other => other?,
    };
    let stat = fstat(&file)?;
    if matches(&stat, kind) {
        return Ok(!is_nodev(file.as_fd())?);
    }
    if is(&stat, SFlag::S_IFREG) && stat.st_size == 0 {
        return Ok(false);
    }
    in_its_place("another file")
}

/// What the image has where a device is wanted stays.
fn in_its_place<T>(what: &str) -> Result<T> {
    Err(anyhow!("{what} is in its place"))
        .hint(|| "remove that from the root file system, or the device from linux.devices of config.json")
}

fn is_nodev(file: BorrowedFd) -> nix::Result<bool> {
    Ok(fstatvfs(file)?.flags().contains(FsFlags::from_bits_retain(libc::ST_NODEV)))
}

/// A node that is bound has the host's mode and owner, whatever the configuration wants.
fn tell_what_it_keeps(path: &Path, stat: &FileStat, wanted: &Wanted) {
    let mode = stat.st_mode & 0o7777;
    let other = |wanted: Option<u32>, is: u32| wanted.is_some_and(|wanted| wanted != is);
    if other(wanted.mode, mode) || other(wanted.uid, stat.st_uid) || other(wanted.gid, stat.st_gid) {
        let (uid, gid) = (stat.st_uid, stat.st_gid);
        log::warn!("device {}: the host's node keeps its mode {mode:o} and owner {uid}:{gid}", path.display());
    }
}

/// Mounts the detached `tree` on a file `name` in `parent`, which is made if it is missing. A link is replaced, never followed.
fn put(tree: BorrowedFd, parent: BorrowedFd, name: &OsStr) -> Result<()> {
    let made = mknodat(parent, name, SFlag::S_IFREG, Mode::from_bits_truncate(0o666), 0);
    if made.is_ok() {
        // Should somebody who shares the directory have put a link there since, it is the link that gets covered.
        return Ok(move_mount_to(tree, parent, name)?);
    }
    Ok(move_mount(tree, file_for_mount(parent, name, made)?.as_fd())?)
}

/// What is there under `name` where no new file could be `made`.
fn file_for_mount(parent: BorrowedFd, name: &OsStr, made: nix::Result<()>) -> Result<Brief> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let open = || openat(parent, name, flags, Mode::empty()).map(Brief::from);
    match made {
        // A read-only rootfs with the file in it will do as well.
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(Errno::EROFS | Errno::EACCES | Errno::EPERM) if open().is_ok() => {}
        Err(e) => return Err(e).context("make a file to mount on"),
    }
    let fd = open()?;
    let stat = fstat(&fd)?;
    if is(&stat, SFlag::S_IFLNK) {
        unlinkat(parent, name, UnlinkatFlags::NoRemoveDir).context("remove the link that is in its place")?;
        mknodat(parent, name, SFlag::S_IFREG, Mode::from_bits_truncate(0o666), 0)?;
        let fd = open()?;
        if !is(&fstat(&fd)?, SFlag::S_IFREG) {
            bail!("somebody changes the directory under our hands");
        }
        return Ok(fd);
    }
    if is(&stat, SFlag::S_IFDIR) {
        return in_its_place("a directory");
    }
    Ok(fd)
}

fn fifo(parent: BorrowedFd, name: &OsStr, wanted: &Wanted) -> Result<()> {
    match mkfifoat(parent, name, Mode::from_bits_truncate(0o600)) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(e) => return Err(e).context("make the fifo"),
    }
    // Its mode and owner are changed by descriptor: in a rootfs that a running container shares the name may lead to
    // another file at any moment.
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let file = match openat(parent, name, flags, Mode::empty()) {
        Err(Errno::ELOOP | Errno::ENXIO) => return in_its_place("another file"),
        other => other.context("open the fifo")?,
    };
    if !is(&fstat(&file)?, SFlag::S_IFIFO) {
        return in_its_place("another file");
    }
    let (uid, gid) = (wanted.uid.unwrap_or(0), wanted.gid.unwrap_or(0));
    fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))).context("give the fifo its owner")?;
    let mode = Mode::from_bits_truncate(wanted.mode.unwrap_or(0o666));
    fchmod(&file, mode).context("give the fifo its mode")
}

/// The links that programs expect in /dev (config-linux.md; runtime-linux.md, "Dev symbolic links").
pub fn links(root: &Root) -> Result<()> {
    const LINKS: [(&str, &str); 6] = [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("core", "/proc/kcore"),
        ("ptmx", "pts/ptmx"),
    ];
    let (dev, _) = root.ensure(Path::new("/dev"), Missing::Directory(0o755))?;
    for (name, target) in LINKS {
        link(dev.as_fd(), name, target).with_context(|| format!("link /dev/{name} to {target}"))?;
    }
    Ok(())
}

fn link(dev: BorrowedFd, name: &str, target: &str) -> Result<()> {
    match symlinkat(target, dev, name) {
        // Of the image's own /dev: a ptmx there would reach other pseudoterminals than the container's.
        Err(Errno::EEXIST) => match readlinkat(dev, name) {
            Ok(old) if old == target => Ok(()),
            Ok(_) => replace(dev, name, target),
            Err(_) if name == "ptmx" => replace(dev, name, target),
            Err(_) => {
                log::warn!("/dev/{name}: the image has a file there, and it stays");
                Ok(())
            }
        },
        other => Ok(other?),
    }
}

fn replace(dev: BorrowedFd, name: &str, target: &str) -> Result<()> {
    unlinkat(dev, name, UnlinkatFlags::NoRemoveDir)?;
    Ok(symlinkat(target, dev, name)?)
}

/// Binds the slave end of the container's terminal to /dev/console.
pub fn console(root: &Root, slave: BorrowedFd) -> Result<()> {
    let (dev, _) = root.ensure(Path::new("/dev"), Missing::Directory(0o755))?;
    let tree = clone_tree(slave, false).context("clone the terminal")?;
    put(tree.as_fd(), dev.as_fd(), OsStr::new("console")).context("bind the terminal to /dev/console")
}
