//! The mounts of the configuration, each made detached, given its attributes, and attached by descriptor: nothing is
//! ever visible half-configured, and no path is used twice. Plain file systems take a shorter way: see `mount_call`.
use super::procfs::Procfs;
use super::root::{Missing, Root, is, not_opened};
use super::{copy_up, idmap, mount_call};
use crate::error::{WithHint, errno_of, with_hint};
use crate::plan::mount_options;
use crate::plan::mounts::{MAX_VALUE, Mount, Setting, What};
use crate::sys::descriptor::Brief;
use crate::sys::mount::*;
use anyhow::{Context, Result, anyhow};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::{Mode, SFlag, fstat};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// Attributes that take something away.
const RESTRICTING: u64 =
    MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSYMFOLLOW;

/// Opens the sources of all binds, before anything is mounted that could hide or replace one. They must be opened in
/// the new mount namespace: the kernel clones no tree of another (EINVAL).
pub fn open_sources(mounts: &[Mount]) -> Result<Vec<Option<Brief>>> {
    mounts.iter().map(|mount| open_source(mount).with_context(|| mount.to_string())).collect()
}

fn open_source(mount: &Mount) -> Result<Option<Brief>> {
    let (source, optional, no_links) = match &mount.what {
        What::Bind { source, optional, no_links, .. } => (source, *optional, *no_links),
        // Opened when the kernel has refused a new instance, which is before the old root goes.
        What::FileSystem { .. } | What::Remount { .. } => return Ok(None),
    };
    let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
    let opened = match no_links {
        true => openat2(AT_FDCWD, source, OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS)),
        false => openat(AT_FDCWD, source, flags, Mode::empty()),
    };
    match opened {
        Ok(fd) => Ok(Some(fd.into())),
        Err(Errno::ELOOP) if no_links => Err(Errno::ELOOP)
            .context(format!("{} has become a link meanwhile", source.display()))
            .hint(|| "something else changes it right now: see that no other sandbox of this project runs"),
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
        Err(e) => Err(e.into()),
    }
}

/// Makes the mounts in order. Returns the tmpfs mounts that are to be read-only in the end: what comes later in the
/// list may still need mount points in them.
pub fn make(root: &Root, mounts: &[Mount], sources: Vec<Option<Brief>>, proc: &Procfs) -> Result<Vec<Brief>> {
    let mut late = Vec::new();
    for (mount, source) in mounts.iter().zip(sources) {
        if let Some(fd) = make_one(root, mount, source, proc).with_context(|| mount.to_string())? {
            late.push(fd);
        }
    }
    Ok(late)
}

fn make_one(root: &Root, mount: &Mount, source: Option<Brief>, proc: &Procfs) -> Result<Option<Brief>> {
    match &mount.what {
        What::Bind { optional: true, .. } if source.is_none() => Ok(None),
        What::Bind { recursive, optional, .. } => {
            let source = source.context("its source was not opened")?;
            bind(root, mount, source.as_fd(), *recursive, *optional).map(|()| None)
        }
        What::FileSystem { fstype, source, options, fallback } => {
            match file_system(root, mount, fstype, source, options, proc) {
                Err(e) if errno_of(&e) == Some(Errno::EPERM) => match fallback {
                    Some(host) => {
                        log::debug!("{mount}: the kernel refuses a new one, the host's {} is bound", host.display());
                        let host =
                            openat(AT_FDCWD, host, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).map(Brief::from)?;
                        bind(root, mount, host.as_fd(), true, true).map(|()| None)
                    }
                    None => Err(explain(e, fstype)),
                },
                other => other,
            }
        }
        What::Remount { options } => remount(root, mount, options).map(|()| None),
    }
}

/// What the kernel refuses to mount for an ordinary user.
fn explain(error: anyhow::Error, fstype: &CStr) -> anyhow::Error {
    // A user namespace may mount these (FS_USERNS_MOUNT): that it may not now has another reason.
    const FOR_USERS: [&CStr; 10] =
        [c"tmpfs", c"ramfs", c"proc", c"sysfs", c"devpts", c"mqueue", c"cgroup2", c"overlay", c"fuse", c"binder"];
    if fstype == c"proc" {
        let hint = "the kernel mounts a new /proc only where the caller's own /proc is whole; in a container it is \
                    masked: run that one with an unmasked /proc (podman: --security-opt unmask=/proc/*, docker: \
                    --security-opt systempaths=unconfined)";
        return with_hint(error, hint);
    }
    if !FOR_USERS.contains(&fstype) {
        let fstype = fstype.to_string_lossy();
        let hint = format!(
            "only root of the host may mount {fstype}: have it mounted there, and show the directory with the option bind"
        );
        return with_hint(error, hint);
    }
    error
}

fn bind(root: &Root, mount: &Mount, source: BorrowedFd, recursive: bool, whole_tree: bool) -> Result<()> {
    let directory = is(&fstat(source)?, SFlag::S_IFDIR);
    let missing = if directory { Missing::Directory(0o755) } else { Missing::File };
    let (tree, unasked) = match clone_tree(source, recursive) {
        // Mounts below it came with the namespace and are locked: the kernel will not show what they cover.
        Err(Errno::EINVAL) if !recursive => {
            let tree = clone_tree(source, true)?;
            log::warn!("{mount}: bound with the mounts below it, since the kernel would not uncover what they hide");
            (tree, true)
        }
        other => (other.context("clone the source")?, false),
    };
    // A host tree that stands in for a file system of our own gets that one's attributes all through, and /sys and
    // cgroups are never writable (CVE-2023-25809).
    let attr = Attr { set: mount.attr.set | MOUNT_ATTR_RDONLY, clear: 0, ..Attr::default() };
    let proc = mount.destination == Path::new("/proc");
    if whole_tree && !proc {
        set_attributes(tree.as_fd(), true, &attr)?;
    } else {
        set_attributes(tree.as_fd(), false, &mount.attr)?;
        if unasked {
            // Nobody expects these mounts to be there: they are to allow no more than the one that was asked for.
            set_attributes(tree.as_fd(), true, &Attr { set: mount.attr.set & RESTRICTING, ..Attr::default() })?;
        }
    }
    set_attributes(tree.as_fd(), true, &mount.tree_attr)?;
    let (target, _) = root.ensure(&mount.destination, missing)?;
    if directory != is(&fstat(&target)?, SFlag::S_IFDIR) {
        let (source, target) = if directory { ("a directory", "a file") } else { ("a file", "a directory") };
        return Err(anyhow!("the source is {source} and the destination in the rootfs {target}"))
            .hint(|| format!("choose a destination that is {source} too, or is not there: it is made"));
    }
    attach(tree.as_fd(), target.as_fd())?;
    propagate(tree.as_fd(), mount)
}

/// Sets attributes of the mount, or of its whole tree.
pub fn set_attributes(fd: BorrowedFd, recursive: bool, attr: &Attr) -> Result<()> {
    if attr.is_empty() {
        return Ok(());
    }
    mount_setattr(fd, recursive, attr).or_else(|e| match e {
        Errno::EPERM => Err(e).context("cannot change locked flags").hint(|| {
            "the host's mount has a flag (ro, nosuid, nodev, noexec) that a user namespace may not take away, or another \
             mode of access time than the one asked for: leave it as it is on the host"
        }),
        _ => Err(e).context("set the mount attributes"),
    })
}

fn attach(mount: BorrowedFd, target: BorrowedFd) -> Result<()> {
    move_mount(mount, target).context("attach")
}

/// Sets the propagation that the options ask for.
pub fn propagate(fd: BorrowedFd, mount: &Mount) -> Result<()> {
    for (propagation, recursive) in &mount.propagation {
        let attr = Attr { propagation: *propagation, ..Attr::default() };
        mount_setattr(fd, *recursive, &attr).context("set the propagation")?;
    }
    Ok(())
}

fn file_system(
    root: &Root,
    mount: &Mount,
    fstype: &CStr,
    source: &CStr,
    options: &[Setting],
    proc: &Procfs,
) -> Result<Option<Brief>> {
    let (target, made) = mount_point(root, mount, fstype)?;
    let tmpfs = fstype == c"tmpfs";
    let mut settings = options.to_vec();
    if tmpfs && !made && !options.iter().any(|(key, _)| key.as_c_str() == c"mode") {
        // As runc: the directory that is covered lends its mode; a new one gets the kernel's own, 1777.
        let mode = fstat(&target)?.st_mode & 0o7777;
        settings.push((c"mode".to_owned(), Some(CString::new(format!("{mode:o}"))?)));
    }
    if settings.iter().any(|(_, value)| value.as_ref().is_some_and(|v| v.count_bytes() > MAX_VALUE)) {
        return mount_call::long_options(root, mount, target.as_fd(), fstype, source, &settings).map(|()| None);
    }
    if mount_call::in_one(mount, made, target.as_fd(), fstype, source, &settings) {
        return Ok(None);
    }
    let late = tmpfs && mount.attr.set & MOUNT_ATTR_RDONLY != 0;
    let attributes = if late { mount.attr.set & !MOUNT_ATTR_RDONLY } else { mount.attr.set };
    let context = FsContext::open(fstype).or_else(|e| match e {
        Errno::ENODEV => Err(e)
            .with_context(|| format!("the kernel knows no file system {fstype:?}"))
            .hint(|| "/proc/filesystems lists those that it knows; root of the host may load others (modprobe)"),
        other => Err(other).context("fsopen"),
    })?;
    context.set(c"source", Some(source)).map_err(|e| explained(&context, e)).context("source")?;
    set_all(&context, &settings)?;
    let detached = context.mount(attributes).map_err(|e| explained(&context, e))?;
    set_attributes(detached.as_fd(), true, &mount.tree_attr)?;
    if mount.copy_up && !made {
        copy_up::copy(target.as_fd(), detached.as_fd()).context("tmpcopyup")?;
    }
    if let Some(mapping) = &mount.id_mapping {
        idmap::map(detached.as_fd(), mapping, proc)?;
    }
    attach(detached.as_fd(), target.as_fd())?;
    propagate(detached.as_fd(), mount)?;
    Ok(late.then_some(detached))
}

fn reconfigure(mounted: BorrowedFd, settings: &[Setting]) -> Result<()> {
    const WHAT: &str = "change the options of the file system";
    let not_ours = || "only the options of a file system that the container has mounted itself can be changed";
    let context = FsContext::of(mounted).context(WHAT).hint(not_ours)?;
    set_all(&context, settings).context(WHAT)?;
    context.reconfigure().map_err(|e| explained(&context, e)).context(WHAT).hint(not_ours)
}

/// The kernel often has more to say than an error number.
fn explained(context: &FsContext, errno: Errno) -> anyhow::Error {
    match context.messages() {
        text if text.is_empty() => errno.into(),
        text => anyhow::Error::new(errno).context(text),
    }
}

fn set_all(context: &FsContext, settings: &[Setting]) -> Result<()> {
    for (key, value) in settings {
        let text = |part: &CStr| part.to_string_lossy().into_owned();
        let option = value.as_deref().map_or_else(|| text(key), |value| format!("{}={}", text(key), text(value)));
        let set = context.set(key, value.as_deref()).map_err(|e| explained(context, e));
        let set = set.with_context(|| format!("option {option}"));
        match mount_options::meant(&[option]) {
            Some(word) => set.hint(|| format!("did you mean {word}?"))?,
            None => set?,
        }
    }
    Ok(())
}

/// proc and sysfs go on a real directory only: through a link the rootfs could choose where the kernel's files
/// appear (CVE-2019-19921, CVE-2023-27561).
fn mount_point(root: &Root, mount: &Mount, fstype: &CStr) -> Result<(Brief, bool)> {
    if fstype != c"proc" && fstype != c"sysfs" {
        return root.ensure(&mount.destination, Missing::Directory(0o755));
    }
    let ordinary = match root.without_links(&mount.destination) {
        Err(Errno::ENOENT) => return root.ensure(&mount.destination, Missing::Directory(0o755)),
        Err(Errno::ELOOP) => None,
        Err(e) => return Err(not_opened(e, &mount.destination)),
        Ok(fd) => Some(fd).filter(|fd| fstat(fd).is_ok_and(|stat| is(&stat, SFlag::S_IFDIR))),
    };
    match ordinary {
        Some(fd) => Ok((fd, false)),
        None => Err(anyhow!("filesystem {:?} must be mounted on ordinary directory", fstype.to_string_lossy()))
            .hint(|| "in the root file system there is a link or a file in its place: remove it"),
    }
}

/// What is there keeps all that the options do not name: a locked flag of the host above all.
fn remount(root: &Root, mount: &Mount, options: &[Setting]) -> Result<()> {
    let fd = root.at(&mount.destination).context("look it up in the rootfs")?;
    if !options.is_empty() {
        reconfigure(fd.as_fd(), options)?;
    }
    set_attributes(fd.as_fd(), false, &mount.attr).map_err(|e| match errno_of(&e) {
        Some(Errno::EINVAL) => {
            let hint = "the option remount changes what an entry before it has mounted there: is there one?";
            with_hint(e, hint)
        }
        _ => e,
    })?;
    set_attributes(fd.as_fd(), true, &mount.tree_attr)?;
    propagate(fd.as_fd(), mount)
}
