//! /dev: the nodes, bound from the host since a user namespace can make none; the usual links; the console.
//!
//! Everything is done relative to descriptors: an image may have /dev, /dev/null or /dev/console as links to
//! anywhere (CVE-2025-31133, CVE-2025-52565, CVE-2026-41579).
use super::own::Own;
use super::root::{Missing, Root, is, is_fixed, not_ordinary};
use crate::error::WithHint;
use crate::plan::devices::{Device, Kind, Wanted};
use crate::sys::descriptor::Brief;
use crate::sys::mount::{clone_path, clone_tree, move_mount, move_mount_to};
use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat, readlinkat};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat, lstat, major, minor, mknodat};
use nix::sys::statvfs::{FsFlags, Statvfs, fstatvfs, statvfs};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, mkfifoat, symlinkat, unlinkat};
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

const NODEV: FsFlags = FsFlags::from_bits_retain(libc::ST_NODEV);

/// A detached mount of the host's node at `path`, if that is the node meant.
fn host_node(path: &Path, kind: &Kind) -> Result<Option<(Brief, FileStat)>> {
    let cloned = match clone_path(AT_FDCWD, path, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(None),
        other => other.context("clone the host's node")?,
    };
    let stat = fstat(&cloned)?;
    Ok(matches(&stat, kind).then_some((cloned, stat)))
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

/// The host's null device, the cover of masked files.
pub const NULL: &str = "/dev/null";

/// Makes sure that it is the null device.
pub fn check_null() -> Result<()> {
    let stat = lstat(NULL).context(NULL)?;
    ensure!(matches(&stat, &Kind::Character(1, 3)), "the host's {NULL} is not the null device");
    Ok(())
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
pub fn make(root: &Root, own: Option<&Own>, devices: &[Device]) -> Result<()> {
    for devices in devices.chunk_by(|a, b| a.path.parent() == b.path.parent()) {
        let named = |device: &Device| format!("device {}", device.path.display());
        let parent = devices[0].path.parent().unwrap_or(Path::new("/"));
        let parent = Directory::open(root, own, parent).with_context(|| named(&devices[0]))?;
        let mut usable = None;
        for device in devices {
            make_one(&parent, device, &mut usable).with_context(|| named(device))?;
        }
    }
    Ok(())
}

/// A directory of the container.
enum Directory<'a> {
    Own(&'a Own),
    Open(Brief),
}

impl<'a> Directory<'a> {
    /// The directory `path`, made if it is missing.
    fn open(root: &Root, own: Option<&'a Own>, path: &Path) -> Result<Directory<'a>> {
        match own.filter(|own| own.is(path)) {
            Some(own) => Ok(Directory::Own(own)),
            None if is_fixed(path) && root.find(path, OFlag::empty()).is_ok_and(|(_, by_link)| by_link) => {
                Err(not_ordinary("a device in it"))
            }
            None => root.ensure(path, Missing::Directory(0o755)).map(|(fd, _)| Directory::Open(fd)),
        }
    }
}

impl AsFd for Directory<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Directory::Own(own) => own.fd(),
            Directory::Open(fd) => fd.as_fd(),
        }
    }
}

/// `usable`: the last file system of the host whose nodes can be opened.
fn make_one(parent: &Directory, device: &Device, usable: &mut Option<u64>) -> Result<()> {
    let name = device.path.file_name().context("no name")?;
    if device.kind == Kind::Fifo {
        return fifo(parent.as_fd(), name, &device.wanted);
    }
    if !device.default && is_there(parent.as_fd(), name, &device.kind)? {
        return Ok(());
    }
    if let Directory::Own(own) = parent
        && bind_by_name(own, name, device, usable)?
    {
        return Ok(());
    }
    let mut node = host_node(&device.path, &device.kind)?;
    if node.is_none()
        && let Some(path) = named_by_kernel(&device.kind)
    {
        node = host_node(&path, &device.kind)?;
    }
    let (node, stat) = node.with_context(|| format!("the host has no such device ({})", device.kind)).hint(
        || "a rootless container can only be given device nodes that exist on the host: take it out of linux.devices",
    )?;
    tell_what_it_keeps(device, &stat, usable, || fstatvfs(&node))?;
    put(node.as_fd(), parent.as_fd(), name).context("bind the host's node")
}

/// Binds the host's node of the same path in a tmpfs of ours, by names; false if there is something already, or the node is
/// not where it is expected on the host.
fn bind_by_name(own: &Own, name: &OsStr, device: &Device, usable: &mut Option<u64>) -> Result<bool> {
    if !own.make(&device.path, Missing::File)? {
        return Ok(false);
    }
    own.enter()?;
    match mount(Some(&device.path), name, None::<&str>, MsFlags::MS_BIND, None::<&str>) {
        Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(false),
        other => other.context("bind the host's node")?,
    }
    let stat = fstatat(own.fd(), name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    if !matches(&stat, &device.kind) {
        umount2(name, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW)?;
        return Ok(false);
    }
    tell_what_it_keeps(device, &stat, usable, || statvfs(name))?;
    Ok(true)
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
        return Ok(!fstatvfs(&file)?.flags().contains(NODEV));
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

/// A node that is bound is on the host's file system and has the mode and owner that it has there, whatever the
/// configuration wants.
fn tell_what_it_keeps(
    device: &Device,
    stat: &FileStat,
    usable: &mut Option<u64>,
    file_system: impl FnOnce() -> nix::Result<Statvfs>,
) -> Result<()> {
    let path = device.path.display();
    if *usable != Some(stat.st_dev) {
        if file_system()?.flags().contains(NODEV) {
            log::warn!("device {path}: the host's node is on a nodev mount and cannot be opened");
        } else {
            *usable = Some(stat.st_dev);
        }
    }
    let mode = stat.st_mode & 0o7777;
    let other = |wanted: Option<u32>, is: u32| wanted.is_some_and(|wanted| wanted != is);
    let Wanted { mode: wanted_mode, uid, gid } = device.wanted;
    if other(wanted_mode, mode) || other(uid, stat.st_uid) || other(gid, stat.st_gid) {
        let (uid, gid) = (stat.st_uid, stat.st_gid);
        log::warn!("device {path}: the host's node keeps its mode {mode:o} and owner {uid}:{gid}");
    }
    Ok(())
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
pub fn links(root: &Root, own: Option<&Own>) -> Result<()> {
    const LINKS: [(&str, &str); 6] = [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("core", "/proc/kcore"),
        ("ptmx", "pts/ptmx"),
    ];
    let dev = Directory::open(root, own, Path::new("/dev"))?;
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
