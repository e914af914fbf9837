//! The mounts of the configuration, each made detached, given its attributes, and attached by descriptor: nothing is
//! ever visible half-configured, and no path is used twice. Plain file systems take a shorter way: see `mount_call`.
use super::bind::{Source, bind, in_place_of_new};
use super::mount_call::Call;
use super::own::{MountPoint, Own};
use super::procfs::Procfs;
use super::root::{Missing, Root, is_fixed, not_opened, not_ordinary};
use super::{copy_up, idmap};
use crate::error::{WithHint, errno_of, with_hint};
use crate::plan::mount_options;
use crate::plan::mounts::{MAX_VALUE, Mount, Setting, What};
use crate::sys::descriptor::Brief;
use crate::sys::mount::*;
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::fstat;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd};

/// What `make` leaves behind.
#[derive(Default)]
pub struct Made {
    /// The tmpfs mounts that are to be read-only in the end: what comes later may still need mount points in them.
    pub late_readonly: Vec<Brief>,
    /// The last tmpfs that others were mounted in, as a rule /dev.
    pub own: Option<Own>,
}

/// A file system to be mounted.
struct New<'a> {
    mount: &'a Mount,
    fstype: &'a CStr,
    source: &'a CStr,
    options: &'a [Setting],
    /// What comes next is mounted in it.
    holds_next: bool,
}

/// Makes the mounts in order.
pub fn make(root: &Root, mounts: &[Mount], sources: Vec<Option<Source>>, proc: &Procfs) -> Result<Made> {
    let mut made = Made::default();
    for (i, (mount, source)) in mounts.iter().zip(sources).enumerate() {
        let next = mounts.get(i + 1).and_then(|next| next.destination.parent());
        let holds_next = next == Some(&mount.destination);
        make_one(root, &mut made, mount, source, holds_next, proc).with_context(|| mount.to_string())?;
    }
    Ok(made)
}

fn make_one(
    root: &Root,
    made: &mut Made,
    mount: &Mount,
    source: Option<Source>,
    holds_next: bool,
    proc: &Procfs,
) -> Result<()> {
    match &mount.what {
        What::Bind { optional: true, .. } if source.is_none() => Ok(()),
        What::Bind { optional, .. } => {
            let source = source.context("its source was not opened")?;
            bind(root, &mut made.own, mount, &source, *optional)
        }
        What::FileSystem { fstype, source, options, fallback } => {
            let new = New { mount, fstype, source, options, holds_next };
            match file_system(root, made, &new, proc) {
                Err(e) if errno_of(&e) == Some(Errno::EPERM) => match fallback {
                    Some(host) => {
                        log::debug!("{mount}: the kernel refuses a new one, the host's {} is bound", host.display());
                        bind(root, &mut made.own, mount, &in_place_of_new(host)?, true)
                    }
                    None => Err(explain(e, fstype)),
                },
                other => other,
            }
        }
        What::Remount { options } => remount(root, mount, options),
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

/// Sets the propagation that the options ask for.
pub fn propagate(fd: BorrowedFd, mount: &Mount) -> Result<()> {
    for (propagation, recursive) in &mount.propagation {
        let attr = Attr { propagation: *propagation, ..Attr::default() };
        mount_setattr(fd, *recursive, &attr).context("set the propagation")?;
    }
    Ok(())
}

fn file_system(root: &Root, made: &mut Made, new: &New, proc: &Procfs) -> Result<()> {
    let &New { mount, fstype, source, .. } = new;
    let Made { late_readonly, own } = made;
    let Place { point, fresh, by_link } = place(root, own, mount, fstype)?;
    let tmpfs = fstype == c"tmpfs";
    let mut settings = new.options.to_vec();
    if let MountPoint::Open(target) = &point
        && tmpfs
        && !fresh
        && !settings.iter().any(|(key, _)| key.as_c_str() == c"mode")
    {
        // As runc: the directory that is covered lends its mode; a new one gets the kernel's own, 1777.
        let mode = fstat(target)?.st_mode & 0o7777;
        settings.push((c"mode".to_owned(), Some(CString::new(format!("{mode:o}"))?)));
    }
    let copy_up = mount.copy_up && !fresh;
    let call = Call::of(mount, fstype, source, &settings);
    if settings.iter().any(|(_, value)| value.as_ref().is_some_and(|v| v.count_bytes() > MAX_VALUE)) {
        return call.long_options(root, &point);
    }
    let late = tmpfs && mount.attr.set & MOUNT_ATTR_RDONLY != 0;
    let owned = tmpfs && new.holds_next && !(by_link || late || copy_up);
    // The call has less to tell of a failure, so after one the file system is made piece by piece.
    if !owned && !copy_up && call.on(&point) {
        return Ok(());
    }
    let detached = match if owned { call.aside() } else { None } {
        Some(mounted) => mounted,
        None => piece_by_piece(new, &settings, late)?,
    };
    if let MountPoint::Open(target) = &point
        && copy_up
    {
        copy_up::copy(target.as_fd(), detached.as_fd()).context("tmpcopyup")?;
    }
    if let Some(mapping) = &mount.id_mapping {
        idmap::map(detached.as_fd(), mapping, proc)?;
    }
    point.attach(detached.as_fd()).context("attach")?;
    propagate(detached.as_fd(), mount)?;
    if owned {
        *own = Some(Own::new(&mount.destination, detached));
    } else if late {
        late_readonly.push(detached);
    }
    Ok(())
}

/// Makes the file system with fsopen(2) and its kin, which tell what they do not like.
fn piece_by_piece(new: &New, settings: &[Setting], late: bool) -> Result<Brief> {
    let &New { mount, fstype, source, .. } = new;
    let attributes = if late { mount.attr.set & !MOUNT_ATTR_RDONLY } else { mount.attr.set };
    let context = FsContext::open(fstype).or_else(|e| match e {
        Errno::ENODEV => Err(e)
            .with_context(|| format!("the kernel knows no file system {fstype:?}"))
            .hint(|| "/proc/filesystems lists those that it knows; root of the host may load others (modprobe)"),
        other => Err(other).context("fsopen"),
    })?;
    context.set(c"source", Some(source)).map_err(|e| explained(&context, e)).context("source")?;
    set_all(&context, settings)?;
    let detached = context.mount(attributes).map_err(|e| explained(&context, e))?;
    set_attributes(detached.as_fd(), true, &mount.tree_attr)?;
    Ok(detached)
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

/// Where a new file system goes.
struct Place<'a> {
    point: MountPoint<'a>,
    /// It was made for it just now.
    fresh: bool,
    /// Its path leads over a link.
    by_link: bool,
}

fn place<'a>(root: &Root, own: &'a mut Option<Own>, mount: &'a Mount, fstype: &CStr) -> Result<Place<'a>> {
    let destination = &mount.destination;
    let missing = Missing::Directory(0o755);
    let refused = || not_ordinary(&format!("filesystem {:?}", fstype.to_string_lossy()));
    let kernels = fstype == c"proc" || fstype == c"sysfs" || is_fixed(destination);
    if own.as_ref().map_or(Ok(false), |own| own.make(destination, missing))? {
        let point = own.as_ref().zip(destination.file_name()).context("no name")?;
        return Ok(Place { point: MountPoint::Named(point.0, point.1), fresh: true, by_link: false });
    }
    let (found, by_link) = match root.find(destination, OFlag::O_DIRECTORY) {
        Err(Errno::ENOTDIR | Errno::ELOOP) if kernels => return Err(refused()),
        Ok((_, true)) if kernels => return Err(refused()),
        other => other.map_err(|e| not_opened(e, destination))?,
    };
    own.take_if(|own| by_link || own.is_hidden_by(destination));
    if let Some(own) = own {
        own.leave();
    }
    let (fd, fresh) = match found {
        Some(fd) => (fd, false),
        None => (root.make(destination, missing)?, true),
    };
    Ok(Place { point: MountPoint::Open(fd), fresh, by_link })
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
