//! Writes to /proc through a descriptor of the host's own procfs, taken before the rootfs is touched and checked: a
//! racing container cannot turn them into writes to another file (CVE-2025-52881, CVE-2019-19921).
use anyhow::{Context, Result, bail};
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::{Mode, fstat};
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};
use std::os::fd::OwnedFd;

const ROOT_INODE: u64 = 1;

/// The root directory of a procfs.
pub struct Procfs(OwnedFd);

impl Procfs {
    /// Opens the /proc of the current root.
    pub fn open() -> Result<Procfs> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = openat(AT_FDCWD, "/proc", flags, Mode::empty()).context("open /proc")?;
        if fstatfs(&fd)?.filesystem_type() != PROC_SUPER_MAGIC || fstat(&fd)?.st_ino != ROOT_INODE {
            bail!("/proc is not the root of a proc file system");
        }
        Ok(Procfs(fd))
    }

    /// Writes `value` to `path` below it in one write.
    pub fn write(&self, path: &str, value: &str) -> Result<()> {
        let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_XDEV | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        let how = OpenHow::new().flags(OFlag::O_WRONLY | OFlag::O_CLOEXEC).resolve(resolve);
        let written = openat2(&self.0, path, how).and_then(|file| nix::unistd::write(&file, value.as_bytes()));
        match written.with_context(|| format!("write {:?} to /proc/{path}", value.trim_end()))? {
            n if n == value.len() => Ok(()),
            _ => bail!("/proc/{path} took only a part of {value:?}"),
        }
    }
}
