//! The root file system: bound onto itself so that it is a mount, entered by pivot_root, the old root gone.
use super::root::Root;
use crate::error::WithHint;
use crate::plan::namespaces::Kind;
use crate::plan::{Plan, Rootfs};
use crate::sys::descriptor::Brief;
use crate::sys::mount::*;
use crate::sys::process;
use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::Mode;
use nix::unistd::{chroot, fchdir, pivot_root};
use std::ffi::OsString;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// The directory.
pub fn open(rootfs: &Rootfs) -> nix::Result<Brief> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    openat(AT_FDCWD, &rootfs.path, flags, Mode::empty()).map(Brief::from)
}

/// Opens the rootfs, if it has not been opened `early`, and in an own mount namespace attaches a copy of its mount tree on top
/// of it.
pub fn attach(plan: &Plan, early: Option<Brief>, own_mounts: bool) -> Result<Root> {
    let rootfs = &plan.rootfs;
    let dir = early
        .map_or_else(|| open(rootfs), Ok)
        .with_context(|| format!("invalid rootfs: {}", rootfs.path.display()))
        .hint(|| "root.path of config.json names the directory, relative to the bundle")?;
    if !own_mounts {
        return Ok(Root::new(dir, plan.no_links));
    }
    if !plan.namespaces.is_new(Kind::User) {
        // A mount namespace made together with its user namespace has slaves only; one made by the owner of the old
        // namespace shares with it, and nothing of ours may flow back.
        let all = MsFlags::MS_REC | MsFlags::MS_SLAVE;
        mount(None::<&str>, "/", None::<&str>, all, None::<&str>).context("make the host's mounts slaves")?;
    }
    let tree = clone_tree(dir.as_fd(), true).context("clone the rootfs")?;
    move_mount(tree.as_fd(), dir.as_fd()).context("attach the rootfs")?;
    Ok(Root::new(tree, plan.no_links))
}

/// Enters the root for good.
pub fn enter(root: &Root, plan: &Plan, own_mounts: bool) -> Result<()> {
    fchdir(root.fd())?;
    if !own_mounts {
        chroot(".").context("chroot")?;
    } else if plan.no_pivot {
        move_and_chroot()?;
    } else {
        // runc's trick: with both names the same, the old root ends up on top of the new one, and no directory for
        // it is needed in the rootfs.
        pivot_root(".", ".").or_else(|e| match e {
            Errno::EINVAL => bail!("pivot_root: Invalid argument (on an initramfs, use --no-pivot)"),
            e => Err(e).context("pivot_root"),
        })?;
        // Of the two the one on top. The current directory is the new root.
        umount2(".", MntFlags::MNT_DETACH).context("detach the old root")?;
    }
    finish(root, &plan.rootfs, own_mounts)
}

/// For a root on an initramfs, which pivot_root refuses. Weaker: the old root stays reachable for whoever may mount.
fn move_and_chroot() -> Result<()> {
    log::warn!("--no-pivot: the host's root stays below the container's");
    cover_kernels_own().context("--no-pivot: cover the host's /proc and /sys")?;
    mount(Some("."), "/", None::<&str>, MsFlags::MS_MOVE, None::<&str>).context("move the rootfs to /")?;
    Ok(chroot(".")?)
}

/// The kernel lets whoever makes a user namespace mount a /proc or /sys of its own, without our masks, if there is one
/// without masks in his mount namespace already (`mount_too_revealing` in fs/namespace.c); and the host's are still there.
fn cover_kernels_own() -> Result<()> {
    // The current directory is the root to be.
    let root = PathBuf::from(OsString::from_vec(process::getcwd()?));
    let table = std::fs::read("/proc/self/mountinfo").context("read /proc/self/mountinfo")?;
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    for place in kernels_own(&table).filter(|place| !place.starts_with(&root)) {
        mount(Some("none"), &place, Some("tmpfs"), flags, Some("size=4k,mode=0"))
            .with_context(|| format!("mount a tmpfs on {}", place.display()))?;
    }
    Ok(())
}

/// Where in the table of /proc/PID/mountinfo (proc(5)) whole file systems of the types proc and sysfs are.
fn kernels_own(table: &[u8]) -> impl Iterator<Item = PathBuf> {
    table.split(|b| *b == b'\n').filter_map(|line| {
        let mut fields = line.split(|b| *b == b' ');
        let whole = fields.nth(3)? == b"/";
        let place = fields.next()?;
        let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
        (whole && (kind == b"proc" || kind == b"sysfs")).then(|| PathBuf::from(OsString::from_vec(unescaped(place))))
    })
}

/// Blanks, tabs, newlines and backslashes are written as three octal digits.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut rest = field;
    let mut text = Vec::with_capacity(field.len());
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()).filter(|_| first == b'\\') {
            Some(byte) => (text.push(byte), rest = &after[3..]),
            None => (text.push(first), rest = after),
        };
    }
    text
}

fn finish(root: &Root, rootfs: &Rootfs, own_mounts: bool) -> Result<()> {
    if !own_mounts {
        if rootfs.readonly {
            bail!("root.readonly needs a mount namespace");
        }
        return Ok(());
    }
    if rootfs.readonly {
        let attr = Attr { set: MOUNT_ATTR_RDONLY, ..Attr::default() };
        mount_setattr(root.fd(), false, &attr).context("make the root read-only")?;
    }
    if let Some((propagation, recursive)) = rootfs.propagation {
        let attr = Attr { propagation, ..Attr::default() };
        mount_setattr(root.fd(), recursive, &attr).context("set the root's propagation")?;
    }
    Ok(())
}

/// Makes the working directory if it is missing (as runc does, also below a root that will be read-only).
pub fn make_cwd(root: &Root, cwd: &Path) -> Result<()> {
    if cwd == Path::new("/") || root.at(cwd).is_ok() {
        return Ok(());
    }
    // A directory that cannot be made here may still be there for the user it is for: chdir decides.
    match root.ensure(cwd, super::root::Missing::Directory(0o755)) {
        Err(e) if matches!(crate::error::errno_of(&e), Some(Errno::EACCES | Errno::EPERM)) => Ok(()),
        other => other.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_file_systems_of_the_kernels_are_found_wherever_they_are() {
        let table = b"21 1 8:1 / / rw - ext4 /dev/vda rw\n22 21 0:5 / /proc rw,nosuid shared:5 - proc proc rw\n\
                      23 22 0:5 /sys /proc/sys ro - proc proc rw\n24 21 0:6 / /a\\040b\\134 rw - sysfs sysfs rw\n\
                      25 21 0:7 / /proc2 rw - tmpfs proc rw\nshort\n";
        let found: Vec<PathBuf> = kernels_own(table).collect();
        assert_eq!(found, [Path::new("/proc"), Path::new("/a b\\")]);
    }
}
