//! The mount API by descriptor: open_tree, move_mount, fsopen, fsconfig, fsmount (Linux 5.2), mount_setattr (5.12).
use super::descriptor::Brief;
use super::{check, owned};
use nix::NixPath;
use nix::fcntl::AtFlags;
use std::ffi::{CStr, OsStr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;

pub use libc::{
    MOUNT_ATTR_IDMAP, MOUNT_ATTR_NOATIME, MOUNT_ATTR_NODEV, MOUNT_ATTR_NODIRATIME, MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID, MOUNT_ATTR_NOSYMFOLLOW, MOUNT_ATTR_RDONLY, MOUNT_ATTR_RELATIME, MOUNT_ATTR_STRICTATIME,
};

/// The field of access-time modes: whoever sets one has to clear the whole field (mount_setattr(2)).
pub const MOUNT_ATTR_ATIME: u64 = libc::MOUNT_ATTR__ATIME;

/// A change of mount attributes, `struct mount_attr`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attr {
    /// MOUNT_ATTR_* to set.
    pub set: u64,
    /// MOUNT_ATTR_* to clear.
    pub clear: u64,
    /// MS_SHARED, MS_SLAVE, MS_PRIVATE, MS_UNBINDABLE, or 0 to leave it.
    pub propagation: u64,
    /// User namespace of an id-mapped mount.
    pub userns_fd: u64,
}

impl Attr {
    /// Whether the change changes nothing.
    pub fn is_empty(&self) -> bool {
        *self == Attr::default()
    }
}

/// Changes the mount that `fd` is the root of, or with `recursive` every mount below it too.
pub fn mount_setattr(fd: BorrowedFd, recursive: bool, attr: &Attr) -> nix::Result<()> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a constant, `attr` has the kernel's layout (MOUNT_ATTR_SIZE_VER0) and outlives the call.
    check(unsafe {
        let (path, attr) = (c"".as_ptr(), &raw const *attr);
        libc::syscall(libc::SYS_mount_setattr, fd.as_raw_fd(), path, flags, attr, size_of::<Attr>())
    })
    .map(drop)
}

/// Changes the mount at `name` in the directory `at`, a link as a link, and every mount below it.
pub fn mount_setattr_at(at: BorrowedFd, name: &OsStr, attr: &Attr) -> nix::Result<()> {
    let (at, flags) = (at.as_raw_fd(), libc::AT_SYMLINK_NOFOLLOW | libc::AT_RECURSIVE);
    let call = |name: &CStr| {
        let (name, attr) = (name.as_ptr(), &raw const *attr);
        // SAFETY: the name is a C string, `attr` has the kernel's layout (MOUNT_ATTR_SIZE_VER0), and both outlive the call.
        check(unsafe { libc::syscall(libc::SYS_mount_setattr, at, name, flags, attr, size_of::<Attr>()) })
    };
    name.with_nix_path(call)?.map(drop)
}

/// A detached copy of the mount tree at `fd`; without `recursive` of the one mount, which the kernel refuses with
/// EINVAL where locked mounts lie below it.
pub fn clone_tree(fd: BorrowedFd, recursive: bool) -> nix::Result<Brief> {
    let flags = libc::OPEN_TREE_CLONE
        | libc::OPEN_TREE_CLOEXEC
        | libc::AT_EMPTY_PATH as u32
        | if recursive { libc::AT_RECURSIVE as u32 } else { 0 };
    // SAFETY: the path is a constant.
    owned(unsafe { libc::syscall(libc::SYS_open_tree, fd.as_raw_fd(), c"".as_ptr(), flags) }).map(Brief::from)
}

/// As a flag of `clone_path`: with all that is mounted below.
pub const AT_RECURSIVE: AtFlags = AtFlags::from_bits_retain(libc::AT_RECURSIVE);

/// A detached copy of what is at `path`, seen from the directory `at` where it is relative. Of the flags it takes
/// `AT_RECURSIVE` and AT_SYMLINK_NOFOLLOW. Refused as by `clone_tree`.
pub fn clone_path(at: impl AsFd, path: &Path, flags: AtFlags) -> nix::Result<Brief> {
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | flags.bits() as u32;
    let at = at.as_fd().as_raw_fd();
    // SAFETY: the path is a C string that outlives the call.
    let call = |path: &CStr| owned(unsafe { libc::syscall(libc::SYS_open_tree, at, path.as_ptr(), flags) });
    path.with_nix_path(call)?.map(Brief::from)
}

/// Attaches the detached mount `from` on top of what is called `name` in the directory `to`, a link as a link.
pub fn move_mount_to(from: BorrowedFd, to: BorrowedFd, name: &OsStr) -> nix::Result<()> {
    let (from, to, flags) = (from.as_raw_fd(), to.as_raw_fd(), libc::MOVE_MOUNT_F_EMPTY_PATH);
    let empty = c"".as_ptr();
    // SAFETY: a constant, and a C string that outlives the call.
    let call =
        |name: &CStr| check(unsafe { libc::syscall(libc::SYS_move_mount, from, empty, to, name.as_ptr(), flags) });
    name.with_nix_path(call)?.map(drop)
}

/// Attaches the detached mount `from` on top of what `to` names.
pub fn move_mount(from: BorrowedFd, to: BorrowedFd) -> nix::Result<()> {
    let flags = libc::MOVE_MOUNT_F_EMPTY_PATH | libc::MOVE_MOUNT_T_EMPTY_PATH;
    let empty = c"".as_ptr();
    // SAFETY: both paths are constants.
    check(unsafe { libc::syscall(libc::SYS_move_mount, from.as_raw_fd(), empty, to.as_raw_fd(), empty, flags) })
        .map(drop)
}

/// A file system being configured (fsopen(2)).
pub struct FsContext(Brief);

impl FsContext {
    /// Opens a context for the file system type `fstype`.
    pub fn open(fstype: &CStr) -> nix::Result<Self> {
        // SAFETY: a constant flag and a C string.
        owned(unsafe { libc::syscall(libc::SYS_fsopen, fstype.as_ptr(), libc::FSOPEN_CLOEXEC) })
            .map(|fd| Self(fd.into()))
    }

    /// Opens a context for the file system that is mounted at `mounted`, the root of a mount (fspick(2)).
    pub fn of(mounted: BorrowedFd) -> nix::Result<Self> {
        let flags = libc::FSPICK_CLOEXEC | libc::FSPICK_EMPTY_PATH;
        // SAFETY: the path is a constant.
        owned(unsafe { libc::syscall(libc::SYS_fspick, mounted.as_raw_fd(), c"".as_ptr(), flags) })
            .map(|fd| Self(fd.into()))
    }

    /// Gives the mounted file system the options set.
    pub fn reconfigure(&self) -> nix::Result<()> {
        self.config(libc::FSCONFIG_CMD_RECONFIGURE, std::ptr::null(), std::ptr::null())
    }

    fn config(&self, command: u32, key: *const libc::c_char, value: *const libc::c_char) -> nix::Result<()> {
        // SAFETY: key and value are null or C strings that the callers below keep alive over the call.
        check(unsafe { libc::syscall(libc::SYS_fsconfig, self.0.as_raw_fd(), command, key, value, 0) }).map(drop)
    }

    /// Sets an option: `key=value`, or the bare flag `key`. The kernel takes values of up to 255 bytes.
    pub fn set(&self, key: &CStr, value: Option<&CStr>) -> nix::Result<()> {
        match value {
            Some(value) => self.config(libc::FSCONFIG_SET_STRING, key.as_ptr(), value.as_ptr()),
            None => self.config(libc::FSCONFIG_SET_FLAG, key.as_ptr(), std::ptr::null()),
        }
    }

    /// Makes the superblock and returns a detached mount of it with the attributes `attr` (MOUNT_ATTR_*).
    pub fn mount(&self, attr: u64) -> nix::Result<Brief> {
        self.config(libc::FSCONFIG_CMD_CREATE, std::ptr::null(), std::ptr::null())?;
        // SAFETY: plain numbers only.
        owned(unsafe { libc::syscall(libc::SYS_fsmount, self.0.as_raw_fd(), libc::FSMOUNT_CLOEXEC, attr as u32) })
            .map(Brief::from)
    }

    /// What the kernel has to say about the last failure (fsopen(2), "Message retrieval"); empty if nothing.
    pub fn messages(&self) -> String {
        let mut all = Vec::new();
        let mut message = [0u8; 512];
        while let Ok(n) = nix::unistd::read(self.0.as_fd(), &mut message) {
            let text = String::from_utf8_lossy(&message[..n]);
            all.push(text.trim_start_matches(['e', 'w', 'i']).trim().to_owned());
        }
        all.join("; ")
    }
}
