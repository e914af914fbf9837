//! The container's own pseudoterminal, and handing descriptors to another process over a unix socket.
use crate::error::WithHint;
use crate::on_request;
use crate::sys::terminal::{self, Size};
use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, OpenHow, ResolveFlag, fcntl, openat2};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use nix::sys::stat::{SFlag, fstat, major, minor};
use nix::sys::statfs::{FsType, fstatfs};
use nix::sys::termios::{OutputFlags, SetArg, tcgetattr, tcsetattr};
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, isatty, setsid};
use std::io::{IoSlice, stderr, stdin, stdout};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// The file name that goes with a pty master over `--console-socket`.
pub const MASTER_NAME: &str = "/dev/ptmx";

/// Both ends of a pseudoterminal of the container's devpts.
#[derive(Debug)]
pub struct Pty {
    /// For rrunc, or the receiver of `--console-socket`.
    pub master: OwnedFd,
    /// For the container's process.
    pub slave: OwnedFd,
}

/// Makes a pty in the devpts at dev/pts of `root`, of `size` (rows, columns) if both are above zero, with ONLCR cleared:
/// what a container prints is captured with `\n`, not `\r\n`.
///
/// Nothing is opened by a path that the container could have prepared (CVE-2025-52565): the directory must be a devpts,
/// `ptmx` the real one in it with nothing mounted on top, and the slave comes from the master itself.
pub fn open(root: BorrowedFd<'_>, size: Option<(u16, u16)>) -> Result<Pty> {
    let master = open_master(root)
        .context("open /dev/pts/ptmx")
        .hint(|| "a terminal (process.terminal, --tty) takes a mount of the type devpts on /dev/pts")?;
    terminal::unlock(master.as_fd()).context("unlock pty")?;
    let slave = terminal::peer(master.as_fd()).context("open the pty's other end")?;
    let mut modes = tcgetattr(&slave).context("get pty modes")?;
    modes.output_flags.remove(OutputFlags::ONLCR);
    tcsetattr(&slave, SetArg::TCSANOW, &modes).context("set pty modes")?;
    if let Some((rows, columns)) = size.filter(|(rows, columns)| *rows != 0 && *columns != 0) {
        terminal::set_size(slave.as_fd(), Size { rows, columns }).context("set pty size")?;
    }
    Ok(Pty { master, slave })
}

fn open_master(root: BorrowedFd<'_>) -> Result<OwnedFd> {
    let directory = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let devpts = openat2(root, "dev/pts", directory)?;
    let kind = fstatfs(&devpts)?.filesystem_type();
    ensure!(kind == FsType(libc::DEVPTS_SUPER_MAGIC as _), "/dev/pts is not a devpts");
    let plain = |flags| {
        let beneath = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_XDEV | ResolveFlag::RESOLVE_NO_SYMLINKS;
        OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(beneath)
    };
    let master = match openat2(&devpts, "ptmx", plain(OFlag::O_RDWR | OFlag::O_NOCTTY)) {
        // The host's own, of which /dev was bound whole, is closed to all: that is what its node /dev/ptmx is for.
        Err(Errno::EACCES) => return open_node(root, directory, plain),
        master => master?,
    };
    ensure!(fstat(&master)?.st_ino == 2 && is_multiplexer(&master)?, "not the pty multiplexer");
    Ok(master)
}

/// The master by the node /dev/ptmx, with which the kernel takes the devpts at `pts` beside it. It is looked at before it is
/// opened: nothing else is to be.
fn open_node(root: BorrowedFd<'_>, directory: OpenHow, plain: impl Fn(OFlag) -> OpenHow) -> Result<OwnedFd> {
    let dev = openat2(root, "dev", directory)?;
    ensure!(is_multiplexer(&openat2(&dev, "ptmx", plain(OFlag::O_PATH))?)?, "/dev/ptmx is not the pty multiplexer");
    let master =
        openat2(&dev, "ptmx", plain(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_NONBLOCK)).context("open /dev/ptmx")?;
    ensure!(is_multiplexer(&master)?, "/dev/ptmx is not the pty multiplexer");
    fcntl(&master, FcntlArg::F_SETFL(OFlag::O_RDWR)).context("open /dev/ptmx")?;
    Ok(master)
}

fn is_multiplexer(file: &OwnedFd) -> Result<bool> {
    let stat = fstat(file)?;
    let is_device = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFCHR;
    Ok(is_device && (major(stat.st_rdev), minor(stat.st_rdev)) == (5, 2))
}

/// Makes the caller a session leader (if it is not) with the terminal among its standard streams as controlling one.
pub fn become_controlling() -> Result<()> {
    match setsid() {
        // EPERM: leads a session, or at least a process group, already; TIOCSCTTY tells which.
        Ok(_) | Err(Errno::EPERM) => {}
        Err(e) => return Err(e).context("setsid"),
    }
    let (stdin, stdout, stderr) = (stdin(), stdout(), stderr());
    let streams = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
    let own =
        streams.into_iter().find(|fd| isatty(*fd).unwrap_or(false)).context("no standard stream is a terminal")?;
    terminal::set_controlling(own).context("set controlling terminal")
}

/// Makes `slave` stdin, stdout and stderr; `keep`: only those of them that are terminals.
pub fn become_stdio(slave: BorrowedFd<'_>, keep: bool) -> Result<()> {
    let replaced = |fd: BorrowedFd| !keep || isatty(fd).unwrap_or(false);
    let (stdin, stdout, stderr) = (replaced(stdin().as_fd()), replaced(stdout().as_fd()), replaced(stderr().as_fd()));
    if stdin {
        dup2_stdin(slave).context("set stdin")?;
    }
    if stdout {
        dup2_stdout(slave).context("set stdout")?;
    }
    if stderr {
        dup2_stderr(slave).context("set stderr")?;
    }
    Ok(())
}

/// Connects to the stream socket at `path`, of any length: `connect` itself takes 108 bytes only.
pub fn connect(path: &Path) -> Result<UnixStream> {
    let socket = on_request::socket(path).with_context(|| format!("connect to {}", path.display()))?;
    UnixStream::connect(format!("/proc/self/fd/{}", socket.as_raw_fd()))
        .with_context(|| format!("connect to {}", path.display()))
}

/// Sends `fd` and `payload` as one message.
pub fn pass(socket: &UnixStream, fd: BorrowedFd<'_>, payload: &[u8]) -> Result<()> {
    let rights = [fd.as_raw_fd()];
    let message = [ControlMessage::ScmRights(&rights)];
    let sent = sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(payload)], &message, MsgFlags::MSG_NOSIGNAL, None)
        .context("send file descriptor")?;
    ensure!(sent == payload.len(), "send file descriptor: only {sent} of {} bytes went out", payload.len());
    Ok(())
}

/// `--console-socket`: sends the pty master with its file name (usually `MASTER_NAME`).
pub fn send(path: &Path, master: BorrowedFd<'_>, name: &str) -> Result<()> {
    let socket = connect(path).hint(|| "start the program that listens at --console-socket first")?;
    pass(&socket, master, name.as_bytes()).context("console socket")
}

/// `--pidfd-socket`: sends a pidfd with `standard` (create, run) or `setns` (exec).
pub fn send_pidfd(path: &Path, pidfd: BorrowedFd<'_>, payload: &str) -> Result<()> {
    let socket = connect(path).hint(|| "start the program that listens at --pidfd-socket first")?;
    pass(&socket, pidfd, payload.as_bytes()).context("pidfd socket")
}
