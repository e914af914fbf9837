//! What the kernel tells of a namespace by its file (ioctl_ns(2), Linux 4.9).
use super::owned;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

/// `_IO(0xb7, 2)` of linux/nsfs.h.
const NS_GET_PARENT: libc::c_ulong = 0xb702;

/// The namespace in which that of `file`, a user or pid namespace, was made.
///
/// # Errors
/// EPERM when that is none of ours: above the one that we are in, or there is none.
pub fn parent(file: BorrowedFd) -> nix::Result<OwnedFd> {
    // SAFETY: the request takes no argument and returns a new descriptor.
    owned(unsafe { libc::ioctl(file.as_raw_fd(), NS_GET_PARENT as _) }.into())
}
