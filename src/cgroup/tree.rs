//! Goes through a cgroup and all below it by descriptors: a container that owns its cgroup can nest others deeper than a
//! path can be long, and must not become one that nobody can count or remove.
use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The pids of all processes in `dir` and below, ascending.
pub fn pids(dir: &Path) -> std::io::Result<Vec<i32>> {
    let mut pids = BTreeSet::new();
    let enter = |at: &OwnedFd| {
        // Those of another pid namespace are 0.
        let listed = procs(at)?;
        pids.extend(listed.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 0));
        Ok(())
    };
    walk(dir, enter, |_, _| Ok(()))?;
    Ok(pids.into_iter().collect())
}

/// Removes all cgroups below `dir`, the deepest first.
pub fn clear(dir: &Path) -> std::io::Result<()> {
    let leave = |parent: &OwnedFd, name: &OsStr| match unlinkat(parent, name, UnlinkatFlags::RemoveDir) {
        Err(Errno::ENOENT) => Ok(()),
        removed => Ok(removed?),
    };
    walk(dir, |_| Ok(()), leave)
}

fn procs(at: &OwnedFd) -> std::io::Result<String> {
    let mut text = String::new();
    let file = openat(at, "cgroup.procs", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty());
    match file.map_err(std::io::Error::from).and_then(|file| File::from(file).read_to_string(&mut text)) {
        // Removed meanwhile, or one of threads, whose processes are listed above it.
        Err(e) if is_gone(&e) || e.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(String::new()),
        read => read.map(|_| text),
    }
}

fn is_gone(error: &std::io::Error) -> bool {
    error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(libc::ENODEV)
}

/// Calls `enter` with each cgroup, and `leave` with the parent and the name of each but the first, once all below it is
/// done. One descriptor at a time; the way up is `..`, since cgroups cannot be moved.
fn walk(
    top: &Path,
    mut enter: impl FnMut(&OwnedFd) -> std::io::Result<()>,
    mut leave: impl FnMut(&OwnedFd, &OsStr) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut at = open(AT_FDCWD, top.as_os_str())?;
    enter(&at)?;
    let mut to_do = vec![children(&at)?];
    let mut way: Vec<OsString> = Vec::new();
    while let Some(names) = to_do.last_mut() {
        if let Some(name) = names.pop() {
            match open(&at, &name) {
                Ok(below) => at = below,
                Err(e) if is_gone(&e) => continue,
                Err(e) => return Err(e),
            }
            enter(&at)?;
            to_do.push(children(&at)?);
            way.push(name);
        } else {
            to_do.pop();
            let Some(name) = way.pop() else { break };
            at = open(&at, OsStr::new(".."))?;
            leave(&at, &name)?;
        }
    }
    Ok(())
}

fn open(at: impl AsFd, name: &OsStr) -> std::io::Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    Ok(openat(at, name, flags, Mode::empty())?)
}

fn children(at: &OwnedFd) -> std::io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in Dir::from_fd(open(at, OsStr::new("."))?)?.iter() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if entry.file_type() == Some(Type::Directory) && name != b"." && name != b".." {
            names.push(OsStr::from_bytes(name).to_owned());
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_tree_deeper_than_a_path_is_counted_and_removed() {
        let top = std::env::temp_dir().join(format!("rrunc-nested-{}", std::process::id()));
        fs::create_dir_all(top.join("beside/below")).unwrap();
        fs::write(top.join("cgroup.procs"), "7\n0\n").unwrap();
        let mut at = open(AT_FDCWD, top.as_os_str()).unwrap();
        for _ in 0..2500 {
            nix::sys::stat::mkdirat(&at, "deep", Mode::S_IRWXU).unwrap();
            at = open(&at, OsStr::new("deep")).unwrap();
        }
        let file = openat(&at, "cgroup.procs", OFlag::O_WRONLY | OFlag::O_CREAT, Mode::S_IRWXU).unwrap();
        nix::unistd::write(&file, b"5\n").unwrap();
        assert_eq!(pids(&top).unwrap(), [5, 7]);
        unlinkat(&at, "cgroup.procs", UnlinkatFlags::NoRemoveDir).unwrap();
        fs::remove_file(top.join("cgroup.procs")).unwrap();
        clear(&top).unwrap();
        fs::remove_dir(&top).unwrap();
    }

    #[test]
    fn a_cgroup_is_read_with_all_below() {
        let dir = std::env::temp_dir().join(format!("rrunc-cgroup-{}", std::process::id()));
        fs::create_dir_all(dir.join("a/b")).unwrap();
        fs::write(dir.join("cgroup.procs"), "30\n10\n").unwrap();
        fs::write(dir.join("a/b/cgroup.procs"), "20\n0\n").unwrap();
        fs::write(dir.join("a/cgroup.procs"), "").unwrap();
        assert_eq!(pids(&dir).unwrap(), [10, 20, 30]);
        fs::remove_dir_all(dir).unwrap();
    }
}
