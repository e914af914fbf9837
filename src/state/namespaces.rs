//! Which namespaces a process is in, by their inode numbers.
use crate::plan::decided::Inodes;
use crate::plan::namespaces::Kind;
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, readlinkat};
use std::ffi::OsStr;

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
