//! Directories that only we may write to, and files in them: opened without following links, checked, replaced by rename.
use crate::error::{WithHint, errno_of};
use crate::host::user_name;
use crate::short_file;
use crate::sys::process::uid_at_start;
use anyhow::{Context, Result, anyhow, bail};
use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::ffi::{OsStr, OsString};
use std::fs::{DirBuilder, File};
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Sticky as well as private: cleaners of temporary files leave sticky directories alone (XDG base directory
/// specification, "$XDG_RUNTIME_DIR").
const PRIVATE: Mode = Mode::S_IRWXU.union(Mode::S_ISVTX);

/// Where containers are kept without `--root`. Clients call us with uid 0 in a user namespace of their own and with
/// nothing but XDG_RUNTIME_DIR, so the variable comes first whoever we are.
pub fn default_root() -> Result<PathBuf> {
    let given = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|dir| dir.is_absolute());
    if let Some(dir) = given {
        return Ok(dir.join("rrunc"));
    }
    let uid = uid_at_start();
    if uid == 0 && in_initial_user_namespace()? {
        return Ok(PathBuf::from("/run/rrunc"));
    }
    let of_login = PathBuf::from(format!("/run/user/{uid}"));
    match open_private(&of_login, false) {
        Ok(_) => Ok(of_login.join("rrunc")),
        Err(e) if matches!(errno_of(&e), Some(Errno::ENOENT | Errno::EACCES)) => {
            Ok(std::env::temp_dir().join(format!("rrunc-{uid}")))
        }
        Err(e) => Err(e),
    }
}

/// A user namespace other than the first has a map that is not the identity over all ids.
fn in_initial_user_namespace() -> Result<bool> {
    let map = std::fs::read_to_string("/proc/self/uid_map").context("read /proc/self/uid_map")?;
    Ok(map.split_whitespace().eq(["0", "0", "4294967295"]))
}

/// Opens a directory and checks that it is no link, is ours, and that nobody else may write to it. `explicit`: the caller has named
/// it, and may have made it with a mask of 002, which goes with a group of the user alone (Debian 13).
pub fn open_private(path: &Path, explicit: bool) -> Result<OwnedFd> {
    let dir = open_directory(AT_FDCWD, path).with_context(|| format!("open {}", path.display()));
    let dir = match dir {
        Err(e) if matches!(errno_of(&e), Some(Errno::ENOTDIR | Errno::ELOOP)) => {
            return Err(e)
                .hint(|| "the state directory must be a directory and not a link; set --root or XDG_RUNTIME_DIR");
        }
        dir => dir?,
    };
    check(&dir, path, explicit)?;
    Ok(dir)
}

fn check(dir: &OwnedFd, path: &Path, explicit: bool) -> Result<FileStat> {
    let stat = fstat(dir).with_context(|| format!("open {}", path.display()))?;
    if stat.st_uid != uid_at_start() {
        return Err(anyhow!("state directory {} belongs to uid {}", path.display(), stat.st_uid))
            .hint(|| "set --root or XDG_RUNTIME_DIR to a directory of your own");
    }
    let mode = Mode::from_bits_truncate(stat.st_mode);
    // What mkdir(1) makes under that mask. Whoever has closed it to all but the group means the group.
    let by_mask = stat.st_mode & 0o777 == 0o775;
    let is_private = || explicit && by_mask && is_private_group(stat.st_gid);
    if mode.contains(Mode::S_IWOTH) || mode.contains(Mode::S_IWGRP) && !is_private() {
        return Err(anyhow!("state directory {} is writable by others", path.display()))
            .hint(|| format!("chmod go-w {}", path.display()));
    }
    Ok(stat)
}

/// Whether the group `gid` is the caller's own and nobody else's, as far as the files of the host tell; what they do not tell,
/// and ids of another user namespace, count as shared.
fn is_private_group(gid: u32) -> bool {
    let text = |path| std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    in_initial_user_namespace().unwrap_or(false)
        && is_of_one_user(&text("/etc/passwd"), &text("/etc/group"), uid_at_start(), gid)
}

/// The group has the user's name, no member but him, and is the first group of no other account.
fn is_of_one_user(passwd: &str, group: &str, uid: u32, gid: u32) -> bool {
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<u32>().ok());
    let Some(name) = user_name(passwd, uid) else { return false };
    let first_of = |line: &str| {
        let mut fields = line.split(':').skip(2);
        (number(fields.next()), number(fields.next()))
    };
    let accounts = passwd.lines().map(first_of).filter(|(_, first)| *first == Some(gid));
    let groups: Vec<Vec<&str>> = group.lines().map(|line| line.split(':').collect()).collect();
    let named: Vec<_> = groups.iter().filter(|fields| number(fields.get(2).copied()) == Some(gid)).collect();
    let only = |members: &str| members.split(',').all(|member| member.is_empty() || member == name);
    accounts.map(|(account, _)| account).eq([Some(uid)])
        && matches!(named[..], [fields] if fields[0] == name && fields.get(3).is_none_or(|members| only(members)))
}

/// Makes a root directory that does not exist yet, its parents too, and opens it as `open_private` does.
pub fn make_private(path: &Path, explicit: bool) -> Result<OwnedFd> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.with_context(|| format!("make state directory {}", path.display()))
        .hint(|| "set --root or XDG_RUNTIME_DIR to a directory that you may write to")?;
    let dir = open_private(path, explicit)?;
    if !explicit {
        fchmod(&dir, PRIVATE).with_context(|| format!("make {} private", path.display()))?;
    }
    Ok(dir)
}

/// Opens a container's directory below the root, ours and no link, and tells what was opened.
pub fn open_child(root: impl AsFd, name: &str) -> Result<(OwnedFd, FileStat)> {
    let dir = open_directory(root, Path::new(name)).with_context(|| format!("open state directory {name}"))?;
    let stat = check(&dir, Path::new(name), false)?;
    Ok((dir, stat))
}

fn open_directory(at: impl AsFd, path: &Path) -> nix::Result<OwnedFd> {
    openat(at, path, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())
}

/// The whole of a regular file in `dir`, which we have written ourselves.
///
/// # Errors
/// It is something else, somebody else's, or larger than any that we write.
pub fn read(dir: BorrowedFd, name: &str) -> Result<Vec<u8>> {
    our_own(openat(dir, name, READ | OFlag::O_NOFOLLOW, Mode::empty())?)
}

/// The same of one in directory `child` of `dir`, which is ours alone: no link is followed.
pub fn read_below(dir: BorrowedFd, child: &str, name: &str) -> Result<Vec<u8>> {
    let how = OpenHow::new().flags(READ).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    our_own(openat2(dir, format!("{child}/{name}").as_str(), how)?)
}

/// Not waiting for who writes to a fifo.
const READ: OFlag = OFlag::O_RDONLY.union(OFlag::O_NONBLOCK).union(OFlag::O_CLOEXEC);

/// Bytes: more than the largest configuration that is taken, and the largest record that it makes.
const LARGEST: i64 = 128 << 20;

fn our_own(file: OwnedFd) -> Result<Vec<u8>> {
    let stat = fstat(&file)?;
    if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG {
        bail!("it is no regular file");
    }
    if stat.st_uid != uid_at_start() {
        bail!("it belongs to uid {}", stat.st_uid);
    }
    if stat.st_size > LARGEST {
        bail!("it is larger than any that rrunc writes: {} bytes", stat.st_size);
    }
    Ok(short_file::rest(file)?)
}

/// Writes a file beside its place and renames it there, so that a reader sees the old or the new one, whole.
pub fn replace(dir: BorrowedFd, name: &str, bytes: &[u8]) -> nix::Result<()> {
    let new = format!("{name}.new");
    write(dir, &new, OFlag::O_TRUNC, bytes)?;
    renameat(dir, new.as_str(), dir, name)
}

/// Writes a file that does not exist yet, and that nobody reads before the whole of it is there.
pub fn create(dir: BorrowedFd, name: &str, bytes: &[u8]) -> nix::Result<()> {
    write(dir, name, OFlag::O_EXCL, bytes)
}

fn write(dir: BorrowedFd, name: &str, how: OFlag, bytes: &[u8]) -> nix::Result<()> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let file = openat(dir, name, flags | how, Mode::S_IRUSR | Mode::S_IWUSR)?;
    File::from(file).write_all(bytes).map_err(errno)
}

/// What a directory has under one name.
pub struct Entry {
    /// The name.
    pub name: OsString,
    /// Its type, where the file system tells it with the name.
    kind: Option<Type>,
}

impl Entry {
    /// Whether it is a directory, in `dir`, from which it was read.
    pub fn is_directory(&self, dir: BorrowedFd) -> bool {
        let Some(kind) = self.kind else {
            let found = fstatat(dir, self.name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW);
            return found.is_ok_and(|s| SFlag::from_bits_truncate(s.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR);
        };
        kind == Type::Directory
    }
}

/// What is in a directory, without `.` and `..`.
pub fn entries(dir: BorrowedFd) -> nix::Result<Vec<Entry>> {
    // A descriptor of its own: reading moves the offset that a duplicate would share.
    let mut dir = Dir::from_fd(open_directory(dir, Path::new("."))?)?;
    let mut entries = Vec::new();
    for entry in dir.iter() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            entries.push(Entry { name: OsStr::from_bytes(name).to_owned(), kind: entry.file_type() });
        }
    }
    Ok(entries)
}

/// Removes everything below `dir`, following no link. state.json goes last: a kill half-way leaves a directory that is
/// either still a container or an empty one, and `delete` clears both.
pub fn clear(dir: BorrowedFd) -> Result<()> {
    let mut names: Vec<OsString> = entries(dir)?.into_iter().map(|entry| entry.name).collect();
    names.sort_by_key(|name| name == super::STATE);
    for name in names {
        match unlinkat(dir, name.as_os_str(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => continue,
            // Linux answers EISDIR for a directory, POSIX allows EPERM.
            Err(Errno::EISDIR | Errno::EPERM) => {}
            Err(e) => bail!(anyhow!(e).context(format!("remove {}", name.display()))),
        }
        // Nearly all directories in the root of a sandbox are empty: then this is one call, and to look first a dozen.
        match unlinkat(dir, name.as_os_str(), UnlinkatFlags::RemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => continue,
            // POSIX allows both.
            Err(Errno::ENOTEMPTY | Errno::EEXIST) => {}
            Err(e) => bail!(anyhow!(e).context(format!("remove {}", name.display()))),
        }
        let below = open_directory(dir, Path::new(&name)).with_context(|| format!("open {}", name.display()))?;
        clear(below.as_fd())?;
        unlinkat(dir, name.as_os_str(), UnlinkatFlags::RemoveDir)
            .with_context(|| format!("remove {}", name.display()))?;
    }
    Ok(())
}

fn errno(error: std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

#[cfg(test)]
mod tests {
    use super::is_of_one_user;

    #[test]
    fn a_private_group_is_the_users_by_name_and_has_nobody_else() {
        let passwd =
            "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\nbob:x:1001:100::/home/bob:/bin/sh\n";
        let group = "root:x:0:\nusers:x:100:\nann:x:1000:\n";
        assert!(is_of_one_user(passwd, group, 1000, 1000));
        assert!(is_of_one_user(passwd, &group.replace("ann:x:1000:", "ann:x:1000:ann"), 1000, 1000));
        assert!(!is_of_one_user(passwd, group, 1001, 100), "a group of many");
        assert!(!is_of_one_user(passwd, group, 1000, 100), "not the first group");
        assert!(!is_of_one_user(passwd, &group.replace("ann:x:1000:", "ann:x:1000:bob"), 1000, 1000), "a member");
        assert!(!is_of_one_user(&passwd.replace("1001:100:", "1001:1000:"), group, 1000, 1000), "first of another");
        assert!(!is_of_one_user(passwd, &format!("{group}staff:x:1000:bob\n"), 1000, 1000), "under another name, too");
        assert!(!is_of_one_user(passwd, "", 1000, 1000), "unknown");
        assert!(!is_of_one_user("", group, 1000, 1000), "unknown");
    }
}
