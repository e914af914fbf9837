//! mount(2): a plain file system takes two calls with it rather than seven, and some options nothing else takes.
use super::mounts::{propagate, set_attributes};
use super::root::Root;
use crate::plan::mounts::{Mount, Setting};
use crate::sys::mount::*;
use anyhow::Result;
use nix::mount::MsFlags;
use nix::unistd::fchdir;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd};

/// Mounts a new file system on `target`, if mount(2) can say all there is to say of it. It has less to tell of a failure, so
/// after one the file system is made piece by piece. `made`: the target is new, and has nothing to be copied up.
pub fn in_one(
    mount: &Mount,
    made: bool,
    target: BorrowedFd,
    fstype: &CStr,
    source: &CStr,
    settings: &[Setting],
) -> bool {
    let plain = mount.tree_attr.is_empty() && mount.propagation.is_empty() && mount.id_mapping.is_none();
    let Some(flags) = mount_flags(mount.attr.set).filter(|_| plain && (made || !mount.copy_up)) else { return false };
    let in_parts = |value: &CString| value.to_bytes().contains(&b',');
    if settings.iter().any(|(_, value)| value.as_ref().is_some_and(in_parts)) {
        return false;
    }
    let Ok(data) = CString::new(data(settings)) else { return false };
    // The current directory is this very directory, whatever its path leads to by now.
    let mounted = fchdir(target).and_then(|()| {
        nix::mount::mount(Some(source), c".", Some(fstype), flags, Some(data.as_c_str()).filter(|d| !d.is_empty()))
    });
    mounted.is_ok()
}

/// Mounts what fsconfig(2) will not take, such as an overlay of many layers.
pub fn long_options(
    root: &Root,
    mount: &Mount,
    target: BorrowedFd,
    fstype: &CStr,
    source: &CStr,
    settings: &[Setting],
) -> Result<()> {
    mount_legacy(source, target, fstype, &CString::new(data(settings))?)?;
    let mounted = root.at(&mount.destination)?;
    set_attributes(mounted.as_fd(), false, &mount.attr)?;
    set_attributes(mounted.as_fd(), true, &mount.tree_attr)?;
    propagate(mounted.as_fd(), mount)
}

/// Attributes of a mount as flags of mount(2), if they are the same there: read-only would be the file system itself.
fn mount_flags(attributes: u64) -> Option<MsFlags> {
    const SAME: [(u64, MsFlags); 7] = [
        (MOUNT_ATTR_NOSUID, MsFlags::MS_NOSUID),
        (MOUNT_ATTR_NODEV, MsFlags::MS_NODEV),
        (MOUNT_ATTR_NOEXEC, MsFlags::MS_NOEXEC),
        (MOUNT_ATTR_NOATIME, MsFlags::MS_NOATIME),
        (MOUNT_ATTR_STRICTATIME, MsFlags::MS_STRICTATIME),
        (MOUNT_ATTR_NODIRATIME, MsFlags::MS_NODIRATIME),
        (MOUNT_ATTR_NOSYMFOLLOW, MsFlags::from_bits_retain(libc::MS_NOSYMFOLLOW)),
    ];
    let known = SAME.iter().fold(0, |all, (attribute, _)| all | attribute);
    let flags = || SAME.iter().filter(|(a, _)| attributes & a != 0).map(|(_, flag)| *flag).collect();
    (attributes & !known == 0).then(flags)
}

/// The options as mount(2) takes them.
fn data(settings: &[Setting]) -> Vec<u8> {
    let mut data = Vec::new();
    for (key, value) in settings {
        let comma = if data.is_empty() { "" } else { "," };
        data.extend_from_slice(comma.as_bytes());
        data.extend_from_slice(key.to_bytes());
        if let Some(value) = value {
            // A context's categories are told apart by commas, and only its value is read with quotes.
            let quote: &[u8] = if key.as_c_str() == c"context" { b"\"" } else { b"" };
            data.push(b'=');
            data.extend_from_slice(&[quote, value.to_bytes(), quote].concat());
        }
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_that_are_flags_of_the_file_system_too_are_not_set_by_flag() {
        assert_eq!(mount_flags(0), Some(MsFlags::empty()));
        let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        assert_eq!(mount_flags(MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC), Some(quiet));
        assert_eq!(mount_flags(MOUNT_ATTR_NOSUID | MOUNT_ATTR_RDONLY), None);
        assert_eq!(mount_flags(MOUNT_ATTR_IDMAP), None);
    }

    #[test]
    fn options_are_joined_and_contexts_quoted() {
        let setting = |key: &str, value: Option<&str>| {
            (CString::new(key).unwrap(), value.map(|value| CString::new(value).unwrap()))
        };
        let settings =
            [setting("newinstance", None), setting("mode", Some("620")), setting("context", Some("a:c1,c2"))];
        assert_eq!(data(&settings), b"newinstance,mode=620,context=\"a:c1,c2\"");
    }
}
