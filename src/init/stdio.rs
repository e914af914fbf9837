//! The standard streams: the container's own terminal, the caller's pipes, and the host's /dev/null that comes along.
use super::devices;
use super::root::{Root, is};
use crate::console;
use crate::plan::Process;
use crate::spawn::wire::Wire;
use crate::sys::descriptor::{self, Brief};
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fstat, makedev};
use nix::unistd::{Uid, dup2_stderr, dup2_stdin, dup2_stdout, fchown};
use std::os::fd::AsFd;

/// Opens a pty in the container's devpts, makes it the standard streams (`keep`: only those that are terminals) and
/// hands its master to the parent. `own_console`: it is the container's /dev/console too.
pub fn take_terminal(process: &Process, root: &Root, own_console: bool, keep: bool, wire: &Wire) -> Result<()> {
    let pty = console::open(root.fd(), process.console_size)?;
    if own_console {
        devices::console(root, pty.slave.as_fd())?;
    }
    // The program's user has to be able to open its own terminal again by /dev/tty or /dev/stdin.
    let owner = Some(Uid::from_raw(process.uid));
    fchown(&pty.slave, owner, None).context("give the terminal its owner")?;
    wire.terminal(pty.master.as_fd()).context("hand over the terminal")?;
    console::become_stdio(pty.slave.as_fd(), keep)
}

/// Gives the standard streams that are pipes to the process's user, who could not open /dev/stdout otherwise: a pipe is as
/// private as a file of its maker's. Only what has no name is given away: a fifo, a file or a terminal of the caller's would be
/// another's for ever, and a socket cannot be opened by anybody.
pub fn give_pipes(uid: u32) -> Result<()> {
    for fd in 0..3 {
        let stat = descriptor::stat(fd)?;
        if is(&stat, SFlag::S_IFIFO) && stat.st_uid != uid && descriptor::is_pipe(fd)? {
            match descriptor::give(fd, uid) {
                // It is of a user who is not mapped here: then it stays as it is.
                Ok(()) | Err(Errno::EPERM | Errno::EINVAL) => {}
                Err(e) => return Err(e).context("give a standard stream its owner"),
            }
        }
    }
    Ok(())
}

/// Standard streams that are the host's /dev/null become the container's, which they are not on the way back to.
pub fn reopen_null() -> Result<()> {
    let mut null = None;
    for fd in 0..3 {
        let stat = descriptor::stat(fd)?;
        if stat.st_rdev != makedev(1, 3) || !is(&stat, SFlag::S_IFCHR) {
            continue;
        }
        if null.is_none() {
            let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
            let Ok(opened) = openat(AT_FDCWD, "/dev/null", flags, Mode::empty()).map(Brief::from) else {
                return Ok(());
            };
            if fstat(&opened)?.st_rdev != makedev(1, 3) {
                return Ok(());
            }
            null = Some(opened);
        }
        let Some(null) = &null else { continue };
        match fd {
            0 => dup2_stdin(null)?,
            1 => dup2_stdout(null)?,
            _ => dup2_stderr(null)?,
        }
    }
    Ok(())
}
