//! Terminal ioctls (ioctl_tty(2)) without a wrapper in nix.
use nix::errno::Errno;
use nix::libc::winsize;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Rows and columns of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Height in characters.
    pub rows: u16,
    /// Width in characters.
    pub columns: u16,
}

/// The window size of a terminal. ENOTTY: it is none.
pub fn size(terminal: BorrowedFd<'_>) -> nix::Result<Size> {
    let mut raw = winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: `raw` is a valid place for the answer.
    Errno::result(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCGWINSZ, &raw mut raw) })?;
    Ok(Size { rows: raw.ws_row, columns: raw.ws_col })
}

/// Sets the window size; the foreground process group gets SIGWINCH when it differs.
pub fn set_size(terminal: BorrowedFd<'_>, size: Size) -> nix::Result<()> {
    let raw = winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the kernel only reads `raw`.
    Errno::result(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const raw) }).map(drop)
}

/// Allows the slave of a pty to be opened.
pub fn unlock(master: BorrowedFd<'_>) -> nix::Result<()> {
    let unlocked: libc::c_int = 0;
    // SAFETY: the kernel only reads the integer.
    Errno::result(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlocked) }).map(drop)
}

/// Opens the slave of a pty (read and write, close-on-exec, not as controlling terminal) without any path.
pub fn peer(master: BorrowedFd<'_>) -> nix::Result<OwnedFd> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: takes an integer, returns a new descriptor.
    let fd = Errno::result(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags) })?;
    // SAFETY: the kernel has just given us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Makes `terminal` the controlling terminal of the calling session leader.
pub fn set_controlling(terminal: BorrowedFd<'_>) -> nix::Result<()> {
    // SAFETY: takes an integer; 0 means: do not steal it from another session.
    Errno::result(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSCTTY, 0) }).map(drop)
}

/// Sends SIGINT, SIGQUIT or SIGTSTP to the foreground process group of the pty, as its own keys would.
pub fn signal_foreground(master: BorrowedFd<'_>, number: i32) -> nix::Result<()> {
    // SAFETY: takes an integer.
    Errno::result(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSIG, number) }).map(drop)
}
