//! Covers again, in a process that enters the container's user and mount namespaces and ends. It is in no pid namespace of the
//! container's and lets nobody look into it. Every name is resolved there and then, through no link, to what is mounted on.
use crate::plan::covers::{Cover, How};
use crate::sys::clone::{Cloned, clone};
use crate::sys::mount::*;
use crate::sys::{pidfd, prctl, process};
use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sched::CloneFlags;
use nix::sys::stat::{SFlag, fstat, major, minor};
use nix::unistd::{pipe, read, write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// How long it may take, in milliseconds: a file system of somebody else's may never answer.
const PATIENCE: u16 = 5_000;

/// What came of one.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is covered.
    Covered,
    /// There is nothing now.
    Absent,
    /// It cannot be covered.
    Failed(String),
}

/// One byte for each in the pipe, and the number of the error.
const COVERED: u8 = 0;
const ABSENT: u8 = u8::MAX;

/// Covers each of `covers` inside, where something is to be covered; `again`: it may be done.
pub fn cover(user: &OwnedFd, mount: &OwnedFd, covers: &[&Cover], again: bool) -> Result<Vec<Outcome>> {
    let (reader, writer) = pipe().context("make a pipe")?;
    match clone(CloneFlags::empty()).context("fork to cover again")? {
        Cloned::Child => {
            drop(reader);
            let told = enter(user, mount).and_then(|()| {
                let all: Vec<u8> = covers.iter().map(|cover| outcome(cover, again)).collect();
                write(&writer, &all).map(drop)
            });
            process::exit_now(told.err().map_or(0, |errno| errno as i32));
        }
        Cloned::Parent(_, child) => {
            drop(writer);
            if !pidfd::wait_ended(child.as_fd(), PATIENCE)? {
                pidfd::send_signal(child.as_fd(), libc::SIGKILL)?;
                bail!("it was not covered again in time");
            }
            let status = pidfd::reap(child.as_fd()).context("reap the process that was to cover again")?;
            let mut all = vec![0; covers.len()];
            if status.is_none_or(|ended| ended.status != 0) || read(&reader, &mut all)? != covers.len() {
                let errno = status.map_or(Errno::UnknownErrno, |ended| Errno::from_raw(ended.status));
                bail!("enter the namespaces to cover again: {}", errno.desc());
            }
            Ok(all.into_iter().map(decoded).collect())
        }
    }
}

fn decoded(byte: u8) -> Outcome {
    match byte {
        COVERED => Outcome::Covered,
        ABSENT => Outcome::Absent,
        errno if i32::from(errno) == Errno::ELOOP as i32 => Outcome::Failed("it is a link now".to_owned()),
        errno if i32::from(errno) == Errno::ENOTSUP as i32 => Outcome::Failed("it is not covered again".to_owned()),
        errno => Outcome::Failed(format!("cover it again: {}", Errno::from_raw(errno.into()).desc())),
    }
}

fn enter(user: &OwnedFd, mount: &OwnedFd) -> nix::Result<()> {
    prctl::set_parent_death_signal()?;
    prctl::set_dumpable(false)?;
    process::setns(user.as_fd(), libc::CLONE_NEWUSER)?;
    // Rights that are new may count as a gain, which falls back to fs.suid_dumpable and clears the signal.
    prctl::set_dumpable(false)?;
    prctl::set_parent_death_signal()?;
    process::setns(mount.as_fd(), libc::CLONE_NEWNS)
}

fn outcome(cover: &Cover, again: bool) -> u8 {
    let errno = match cover_one(cover, again) {
        Ok(()) => return COVERED,
        Err(Errno::ENOENT | Errno::ENOTDIR) => return ABSENT,
        Err(errno) => errno as i32,
    };
    u8::try_from(errno).ok().filter(|errno| ![COVERED, ABSENT].contains(errno)).unwrap_or(Errno::EIO as u8)
}

fn cover_one(cover: &Cover, again: bool) -> nix::Result<()> {
    // Somebody inside may have moved it to where he has a mount of his own: that nothing is here means nothing.
    if !again {
        return Err(Errno::ENOTSUP);
    }
    let target = at(&cover.place)?;
    let kind = SFlag::from_bits_truncate(fstat(&target)?.st_mode) & SFlag::S_IFMT;
    match (kind, cover.how) {
        (SFlag::S_IFLNK, _) => Err(Errno::ELOOP),
        (_, How::Never) => Err(Errno::ENOTSUP),
        (_, How::Itself(set)) => {
            let tree = clone_tree(target.as_fd(), true)?;
            mount_setattr(tree.as_fd(), true, &Attr { set, ..Attr::default() })?;
            move_mount(tree.as_fd(), target.as_fd())
        }
        (SFlag::S_IFDIR, How::Hidden) => {
            let context = FsContext::open(c"tmpfs")?;
            for key in [c"nr_blocks", c"nr_inodes"] {
                context.set(key, Some(c"1"))?;
            }
            let attr = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
            move_mount(context.mount(attr)?.as_fd(), target.as_fd())
        }
        (_, How::Hidden) => {
            let null = at(Path::new("/dev/null"))?;
            let stat = fstat(&null)?;
            if (major(stat.st_rdev), minor(stat.st_rdev)) != (1, 3) {
                return Err(Errno::ENODEV);
            }
            move_mount(clone_tree(null.as_fd(), false)?.as_fd(), target.as_fd())
        }
    }
}

/// What is at a place, through no link.
fn at(place: &Path) -> nix::Result<OwnedFd> {
    let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC);
    openat2(AT_FDCWD, place, how.resolve(ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_MAGICLINKS))
}
