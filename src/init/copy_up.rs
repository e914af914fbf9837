//! `tmpcopyup`: a new tmpfs starts with a copy of the directory it covers. Directories, files and links with their
//! modes, and owners where they can be kept; no device, socket or fifo.
use super::root::is;
use anyhow::{Context, Result};
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{Mode, SFlag, fchmod, fstat, mkdirat};
use nix::unistd::{Gid, Uid, fchownat, symlinkat};
use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Deeper trees are refused rather than followed with our stack.
const MAX_DEPTH: u32 = 256;

/// Copies what is in the directory `from` into the directory `to`.
pub fn copy(from: BorrowedFd, to: BorrowedFd) -> Result<()> {
    copy_directory(from, to, 0)
}

fn copy_directory(from: BorrowedFd, to: BorrowedFd, depth: u32) -> Result<()> {
    if depth > MAX_DEPTH {
        return Err(Errno::ELOOP).context("directories too deep to copy");
    }
    let readable = open(from, c".", OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
    for entry in Dir::from_fd(readable)?.iter() {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            copy_entry(from, to, name, depth).with_context(|| name.to_string_lossy().into_owned())?;
        }
    }
    Ok(())
}

fn copy_entry(from: BorrowedFd, to: BorrowedFd, name: &CStr, depth: u32) -> Result<()> {
    let source = open(from, name, OFlag::O_PATH)?;
    let stat = fstat(&source)?;
    let mode = Mode::from_bits_truncate(stat.st_mode & 0o7777);
    if is(&stat, SFlag::S_IFDIR) {
        mkdirat(to, name, Mode::S_IRWXU)?;
        let made = open(to, name, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
        copy_directory(source.as_fd(), made.as_fd(), depth + 1)?;
        keep_owner(to, name, stat.st_uid, stat.st_gid)?;
        fchmod(&made, mode)?;
    } else if is(&stat, SFlag::S_IFREG) {
        // What has this name by now may be a fifo, which nobody waits for, and is copied in no case.
        let mut reader = File::from(open(from, name, OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY)?);
        if !is(&fstat(&reader)?, SFlag::S_IFREG) {
            return Err(Errno::EAGAIN).context("somebody else has put another file in its place meanwhile");
        }
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        let mut writer = File::from(openat(to, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?);
        std::io::copy(&mut reader, &mut writer)?;
        keep_owner(to, name, stat.st_uid, stat.st_gid)?;
        fchmod(&writer, mode)?;
    } else if is(&stat, SFlag::S_IFLNK) {
        symlinkat(readlinkat(from, name)?.as_os_str(), to, name)?;
        keep_owner(to, name, stat.st_uid, stat.st_gid)?;
    } else {
        log::debug!("tmpcopyup: {} is no file, directory or link, left out", name.to_string_lossy());
    }
    Ok(())
}

fn open(dir: BorrowedFd, name: &CStr, flags: OFlag) -> nix::Result<OwnedFd> {
    openat(dir, name, flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())
}

/// An owner without an id inside shows as nobody and cannot be given to anything: such files become our own.
fn keep_owner(dir: BorrowedFd, name: &CStr, uid: u32, gid: u32) -> nix::Result<()> {
    let ids = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    match fchownat(dir, name, ids.0, ids.1, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Err(Errno::EINVAL | Errno::EPERM) => Ok(()),
        other => other,
    }
}
