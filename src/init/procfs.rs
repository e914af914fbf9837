//! /proc through a descriptor of the host's own procfs, taken before the rootfs is touched and checked: a
//! racing container cannot turn a write into one to another file (CVE-2025-52881, CVE-2019-19921).
use crate::error::{WithHint, errno_of};
use crate::sys::descriptor::Brief;
use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::{Mode, fstat};
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};
use std::os::fd::OwnedFd;

const ROOT_INODE: u64 = 1;

/// The root directory of a procfs.
pub struct Procfs(Brief);

impl Procfs {
    /// Opens the /proc of the current root.
    pub fn open() -> Result<Procfs> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = openat(AT_FDCWD, "/proc", flags, Mode::empty()).map(Brief::from).context("open /proc")?;
        if fstatfs(&fd)?.filesystem_type() != PROC_SUPER_MAGIC || fstat(&fd)?.st_ino != ROOT_INODE {
            bail!("/proc is not the root of a proc file system");
        }
        Ok(Procfs(fd))
    }

    fn open_below(&self, path: &str, flags: OFlag) -> nix::Result<Brief> {
        let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_XDEV | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        openat2(&self.0, path, OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(resolve)).map(Brief::from)
    }

    /// The text of a short file `path` below it.
    pub fn read(&self, path: &str) -> Result<String> {
        let mut text = [0; 4096];
        let length = self.open_below(path, OFlag::O_RDONLY).and_then(|file| nix::unistd::read(&file, &mut text));
        let length = length.with_context(|| format!("read /proc/{path}"))?;
        Ok(String::from_utf8_lossy(&text[..length]).into_owned())
    }

    /// Opens the file `path` below it, to be read.
    pub fn open_file(&self, path: &str) -> Result<Brief> {
        self.open_below(path, OFlag::O_RDONLY).with_context(|| format!("open /proc/{path}"))
    }

    /// The namespace `kind` (a name in /proc/PID/ns) of the process that this procfs calls `pid`.
    pub fn namespace(&self, pid: &str, kind: &str) -> Result<OwnedFd> {
        let directory = self.open_below(&format!("{pid}/ns"), OFlag::O_PATH | OFlag::O_DIRECTORY);
        // The last step is a magic link, into the file system of namespaces.
        let opened = directory.and_then(|ns| openat(&ns, kind, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()));
        opened.with_context(|| format!("open /proc/{pid}/ns/{kind}"))
    }

    /// Sets the kernel parameter whose file below /proc/sys is `file`.
    pub fn set_parameter(&self, file: &str, value: &str) -> Result<()> {
        let written = self.write(&format!("sys/{file}"), value).context("linux.sysctl");
        let hint = match written.as_ref().err().and_then(errno_of) {
            Some(Errno::ENOENT) => "this kernel has no such parameter, or it is not one of each namespace",
            Some(Errno::EACCES | Errno::EPERM) => "it is one of the whole host: only root may set it there",
            Some(Errno::EINVAL | Errno::ERANGE) => "the kernel does not take this value",
            _ => return written,
        };
        written.hint(|| hint)
    }

    /// Writes `value` to `path` below it in one write.
    pub fn write(&self, path: &str, value: &str) -> Result<()> {
        let written =
            self.open_below(path, OFlag::O_WRONLY).and_then(|file| nix::unistd::write(&file, value.as_bytes()));
        match written.with_context(|| format!("write {:?} to /proc/{path}", value.trim_end()))? {
            n if n == value.len() => Ok(()),
            _ => bail!("/proc/{path} took only a part of {value:?}"),
        }
    }
}
