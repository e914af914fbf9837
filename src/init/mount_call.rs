//! mount(2): a plain file system takes two calls with it rather than seven, and some options nothing else takes.
use super::mounts::{propagate, set_attributes};
use super::own::MountPoint;
use super::root::Root;
use crate::plan::mounts::{Mount, Setting};
use crate::sys::descriptor::Brief;
use crate::sys::mount::*;
use anyhow::Result;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::mount::MsFlags;
use nix::sys::stat::Mode;
use std::ffi::{CStr, CString, OsStr};
use std::os::fd::AsFd;

/// A mount that may be one call.
pub struct Call<'a> {
    mount: &'a Mount,
    fstype: &'a CStr,
    source: &'a CStr,
    data: Vec<u8>,
    /// None where it takes more than this call.
    flags: Option<MsFlags>,
}

impl<'a> Call<'a> {
    /// Looks whether mount(2) can say all there is to say of `mount`.
    pub fn of(mount: &'a Mount, fstype: &'a CStr, source: &'a CStr, settings: &[Setting]) -> Call<'a> {
        let in_parts = |value: &CString| value.to_bytes().contains(&b',');
        let plain = mount.tree_attr.is_empty()
            && mount.propagation.is_empty()
            && mount.id_mapping.is_none()
            && !settings.iter().any(|(_, value)| value.as_ref().is_some_and(in_parts));
        let flags = mount_flags(mount.attr.set).filter(|_| plain);
        Call { mount, fstype, source, data: data(settings), flags }
    }

    /// Mounts it on `point`, unless that takes more, or fails.
    pub fn on(&self, point: &MountPoint) -> bool {
        point.enter().is_ok_and(|name| self.make(name).is_ok())
    }

    /// Mounts it where nothing of the container is, to be attached where it belongs. Only so is its root known: on the mount
    /// point itself a path would have to lead there once more, and might lead elsewhere.
    ///
    /// That place is the host's /proc, of which init has a descriptor: in the namespace of its own nobody else looks there.
    pub fn aside(&self) -> Option<Brief> {
        let place = "/proc";
        self.make(OsStr::new(place)).ok()?;
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        openat(AT_FDCWD, place, flags, Mode::empty()).ok().map(Brief::from)
    }

    fn make(&self, target: &OsStr) -> nix::Result<()> {
        let flags = self.flags.ok_or(nix::errno::Errno::ENOSYS)?;
        let data = Some(self.data.as_slice()).filter(|data| !data.is_empty());
        nix::mount::mount(Some(self.source), target, Some(self.fstype), flags, data)
    }

    /// Mounts what fsconfig(2) will not take, such as an overlay of many layers.
    pub fn long_options(&self, root: &Root, point: &MountPoint) -> Result<()> {
        let (mount, data) = (self.mount, Some(self.data.as_slice()));
        nix::mount::mount(Some(self.source), point.enter()?, Some(self.fstype), MsFlags::empty(), data)?;
        let mounted = root.at(&mount.destination)?;
        set_attributes(mounted.as_fd(), false, &mount.attr)?;
        set_attributes(mounted.as_fd(), true, &mount.tree_attr)?;
        propagate(mounted.as_fd(), mount)
    }
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
pub fn data(settings: &[Setting]) -> Vec<u8> {
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
