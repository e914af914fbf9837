//! Which namespaces a process is in, by their inode numbers.
use crate::plan::decided::Inodes;
use crate::plan::namespaces::Kind;
use crate::sys::ns;
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, readlinkat};
use nix::sys::stat::fstat;
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

/// The `kind` namespace of `process`, a pid or `self`.
///
/// # Errors
/// EACCES where the kernel lets us not look at the process.
pub fn inode(process: &str, kind: Kind) -> Result<u64> {
    let path = format!("/proc/{process}/ns/{}", kind.file());
    // The text of the link. To follow it would take three times as long.
    let found = readlinkat(AT_FDCWD, path.as_str()).map_err(anyhow::Error::from);
    found.and_then(|name| number(&name)).with_context(|| format!("look at {path}"))
}

/// Those of the `kinds` that this kernel has.
pub fn inodes(process: &str, kinds: impl Iterator<Item = Kind>) -> Result<Inodes> {
    let known = |kind: Kind| match inode(process, kind) {
        Ok(inode) => Some(Ok((kind, inode))),
        Err(e) if crate::error::errno_of(&e) == Some(Errno::ENOENT) => None,
        Err(e) => Some(Err(e)),
    };
    kinds.filter_map(known).collect()
}

/// Whether process `pid` is in the `kind` namespace with this inode number; of user namespaces also in one that was made in it,
/// by whomever.
pub fn is_in(pid: i32, kind: Kind, inode: u64) -> bool {
    let Ok(own) = self::inode(&pid.to_string(), kind) else { return false };
    // As a rule it is the host's, and then no other need be looked at.
    own == inode
        || (kind == Kind::User && self::inode("self", kind).is_ok_and(|ours| ours != own) && is_made_in(pid, inode))
}

/// Whether the user namespace of process `pid` is one that was made in this one, or in one that was.
fn is_made_in(pid: i32, inode: u64) -> bool {
    let mut namespace = File::open(format!("/proc/{pid}/ns/user")).map(OwnedFd::from).ok();
    while let Some(file) = namespace {
        if fstat(&file).is_ok_and(|stat| stat.st_ino == inode) {
            return true;
        }
        // Up to ours: what is above that the kernel does not show.
        namespace = ns::parent(file.as_fd()).ok();
    }
    false
}

/// The number in `pid:[4026531836]`.
fn number(name: &OsStr) -> Result<u64> {
    let number = || name.to_str()?.split_once(":[")?.1.strip_suffix(']')?.parse().ok();
    number().with_context(|| format!("{name:?} names no namespace"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::namespaces::KINDS;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn the_text_of_the_link_tells_the_inode() {
        let ours = inodes("self", KINDS.into_iter()).unwrap();
        assert_eq!(ours[&Kind::User], std::fs::metadata("/proc/self/ns/user").unwrap().ino());
        assert!(inode("self/none", Kind::User).is_err());
        for bad in ["", "user:[", "user:[]", "user:[1", "user:[-1]"] {
            assert!(number(OsStr::new(bad)).is_err(), "{bad}");
        }
    }
}
