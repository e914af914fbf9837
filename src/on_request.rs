//! Files that rrunc writes because somebody has named them: the log, a report, a pid file; and sockets that it connects to.
//!
//! The name may lie where a sandbox has been. So the file is opened without waiting for it, its last name is no link but the
//! system's own (`/dev/stderr`), no link on the way lies in a project, and it is a file of the caller's.
use crate::links::{self, Link, Way};
use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, FcntlArg, OFlag, fcntl, openat};
use nix::sys::stat::Mode;
use std::fs::{File, Metadata};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Opens `path` for writing, made with `mode` if it is missing. A link that is `planted` is not followed on the way.
pub fn file(path: &Path, flags: OFlag, mode: u32, planted: impl Fn(&Link) -> bool) -> Result<File> {
    let flags = flags | OFlag::O_WRONLY;
    let open = |path: &Path| links::open(path, flags | OFlag::O_CREAT, Mode::from_bits_truncate(mode));
    let refused = |errno| refusal(path, errno);
    let (file, descriptor) = match open(path) {
        Err(Errno::ELOOP) => {
            let way = follow(path, planted)?;
            // The kernel's own name of an open file leads to a pipe as well.
            let file = if way.is_descriptor { again(&way, flags) } else { open(&way.real) };
            (file.map_err(refused)?, way.is_descriptor)
        }
        file => (file.map_err(refused)?, false),
    };
    let meta = file.metadata()?;
    if !descriptor {
        check(&meta)?;
    }
    if !meta.is_file() {
        // It was not to be waited for; what is written to it is.
        fcntl(&file, FcntlArg::F_SETFL(flags & OFlag::O_APPEND)).context("wait for it")?;
    }
    Ok(file)
}

/// The place of a file that is about to be replaced by rename: itself it may be a link, which then goes.
pub fn place(path: &Path, planted: impl Fn(&Link) -> bool) -> Result<PathBuf> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else { return Ok(path.to_owned()) };
    match links::open(dir, OFlag::O_PATH | OFlag::O_DIRECTORY, Mode::empty()) {
        Err(Errno::ELOOP) => {
            let way = links::follow(dir)?;
            refuse(&way, planted)?;
            Ok(way.real.join(name))
        }
        Err(e) => Err(e.into()),
        Ok(_) => Ok(path.to_owned()),
    }
}

/// The socket `path`, to be connected to by its descriptor.
pub fn socket(path: &Path) -> Result<File> {
    match links::open(path, OFlag::O_PATH, Mode::empty()) {
        Err(Errno::ELOOP) => {
            let way = follow(path, Link::is_in_checkout)?;
            Ok(if way.is_descriptor {
                again(&way, OFlag::O_PATH)?
            } else {
                links::open(&way.real, OFlag::O_PATH, Mode::empty())?
            })
        }
        opened => Ok(opened?),
    }
}

fn follow(path: &Path, planted: impl Fn(&Link) -> bool) -> Result<Way> {
    let way = links::follow(path)?;
    refuse(&way, planted)?;
    way.refuse(|link| link.is_last && !link.is_the_systems(), "somebody else may have put it there")?;
    Ok(way)
}

fn refuse(way: &Way, planted: impl Fn(&Link) -> bool) -> Result<()> {
    way.refuse(planted, "no link is followed where a sandbox may write")
}

fn again(way: &Way, flags: OFlag) -> nix::Result<File> {
    let flags = flags | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    openat(AT_FDCWD, &way.real, flags, Mode::empty()).map(|fd: OwnedFd| File::from(fd))
}

/// What is written to is a device, or a file of the caller's.
fn check(meta: &Metadata) -> Result<()> {
    let kind = meta.file_type();
    if kind.is_char_device() {
        return Ok(());
    }
    if !kind.is_file() {
        bail!("{}, and no regular file", if kind.is_fifo() { "it is a fifo" } else { "it is a device or directory" });
    }
    let own = nix::unistd::geteuid().as_raw();
    if own != 0 && ![0, own].contains(&meta.uid()) {
        bail!("it belongs to somebody else");
    }
    Ok(())
}

/// Why a file is not opened.
fn refusal(path: &Path, errno: Errno) -> anyhow::Error {
    let error = anyhow::Error::new(errno);
    match errno {
        Errno::ELOOP => error.context("it has become a link meanwhile"),
        // A fifo or socket that nobody reads.
        Errno::ENXIO => {
            let kind = path.symlink_metadata().map(|meta| meta.file_type());
            let what = match kind {
                Ok(kind) if kind.is_fifo() => "it is a fifo",
                Ok(kind) if kind.is_socket() => "it is a socket",
                _ => "it is a device",
            };
            error.context(format!("{what}, and no regular file"))
        }
        _ => error,
    }
}
