//! What a service manager hands through rrunc: sockets (sd_listen_fds(3)), readiness (sd_notify(3)), and the caller's
//! own `--preserve-fds`.
use crate::sys::descriptor;
use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{FdFlag, OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat, mkdirat};
use nix::unistd::{Pid, UnlinkatFlags, pipe2, unlinkat};
use std::ffi::{OsStr, OsString};
use std::io::{ErrorKind, IoSlice};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

/// Where the state directory's `notify` appears in the container: bound read-only, nosuid, noexec, nodev.
pub const DIRECTORY: &str = "/run/notify";

/// The container's own NOTIFY_SOCKET.
pub const SOCKET: &str = "/run/notify/notify.sock";

/// How long the manager may take to answer a barrier.
const BARRIER: Duration = Duration::from_secs(30);

/// Makes the directory `notify` in the state directory, for the socket to come: the container's mounts are made at
/// `create`, the socket is bound by `start`.
pub fn prepare(state_directory: BorrowedFd<'_>) -> Result<()> {
    match mkdirat(state_directory, "notify", Mode::from_bits_retain(0o755)) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(e) => return Err(e).context("make the notify directory"),
    }
    // Whatever the caller's umask: the container's user has to get through.
    fchmodat(state_directory, "notify", Mode::from_bits_retain(0o755), FchmodatFlags::FollowSymlink)
        .context("make the notify directory")
}

/// Passes the container's readiness on to the service manager, and nothing else of what it says.
#[derive(Debug)]
pub struct Proxy {
    container: UnixDatagram,
    manager: UnixDatagram,
}

impl Proxy {
    /// Binds `notify/notify.sock` in the state directory (see `prepare`), and connects to `manager`, the value of
    /// NOTIFY_SOCKET: an absolute path, or `@` and an abstract name.
    pub fn bind(state_directory: BorrowedFd<'_>, manager: &OsStr) -> Result<Proxy> {
        let manager = connect(manager).with_context(|| format!("connect to NOTIFY_SOCKET {}", manager.display()))?;
        match unlinkat(state_directory, "notify/notify.sock", UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(e) => return Err(e).context("remove the old notify socket"),
        }
        // Through the descriptor: a socket's path may have 108 bytes only.
        let path = format!("/proc/self/fd/{}/notify/notify.sock", state_directory.as_raw_fd());
        let container = UnixDatagram::bind(path).context("bind the notify socket")?;
        container.set_nonblocking(true).context("bind the notify socket")?;
        let everyone = Mode::from_bits_retain(0o777);
        fchmodat(state_directory, "notify/notify.sock", everyone, FchmodatFlags::FollowSymlink)
            .context("open the notify socket to the container")?;
        Ok(Proxy { container, manager })
    }

    /// For a poll loop: readable means, call `pass_ready`.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.container.as_fd()
    }

    /// Reads what the container said; if it is ready, passes that on with `main` as MAINPID. True: done, drop the proxy.
    /// A manager that cannot be told is a warning: the container runs all the same.
    pub fn pass_ready(&mut self, main: Pid) -> bool {
        match self.ready_line().and_then(|line| line.map(|l| self.tell(&l, main)).transpose()) {
            Ok(barrier) => barrier.is_some(),
            Err(e) => {
                log::warn!("{}", crate::error::one_line(&e));
                true
            }
        }
    }

    /// Blocks until the container is ready and the manager knows (`start`, `run --detach`), or the process has died.
    /// The caller should have its signals unblocked: a container may never become ready.
    pub fn wait(mut self, process: BorrowedFd<'_>, main: Pid) -> Result<()> {
        loop {
            if let Some(line) = self.ready_line()? {
                let barrier = self.tell(&line, main)?;
                return wait_closed(&barrier, BARRIER);
            }
            let mut fds = [PollFd::new(process, PollFlags::POLLIN), PollFd::new(self.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(e) => return Err(e).context("wait for the container to be ready"),
            }
            let [died, said] = fds.map(|fd| fd.any().unwrap_or(true));
            if died && !said {
                return Ok(());
            }
        }
    }

    /// The READY line of a datagram that has one; None when there is nothing more to read.
    fn ready_line(&mut self) -> Result<Option<Vec<u8>>> {
        let mut datagram = [0; 4096];
        loop {
            match self.container.recv(&mut datagram) {
                Ok(n) => {
                    let mut lines = datagram[..n].split(|b| *b == b'\n');
                    if let Some(line) = lines.find(|l| l.starts_with(b"READY=")) {
                        return Ok(Some(line.to_vec()));
                    }
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e).context("read the notify socket"),
            }
        }
    }

    /// READY, MAINPID, BARRIER. The returned pipe end is at its end when the manager has dealt with them.
    fn tell(&self, ready: &[u8], main: Pid) -> Result<OwnedFd> {
        let main = format!("MAINPID={main}\n");
        for text in [[ready, b"\n"].concat().as_slice(), main.as_bytes()] {
            self.manager.send(text).context("notify the service manager")?;
        }
        let (ours, theirs) = pipe2(OFlag::O_CLOEXEC).context("make a barrier")?;
        let rights = [theirs.as_raw_fd()];
        let message = [ControlMessage::ScmRights(&rights)];
        let text = [IoSlice::new(b"BARRIER=1")];
        sendmsg::<()>(self.manager.as_raw_fd(), &text, &message, MsgFlags::MSG_NOSIGNAL, None)
            .context("notify the service manager")?;
        Ok(ours)
    }
}

/// A socket connected to the manager's.
fn connect(manager: &OsStr) -> Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    match manager.as_bytes() {
        [b'/', ..] => {
            let target = open(manager, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
            socket.connect(format!("/proc/self/fd/{}", target.as_raw_fd()))?;
        }
        [b'@', name @ ..] => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        _ => bail!("neither an absolute path nor an abstract name"),
    }
    Ok(socket)
}

/// Waits until the other end of a pipe is closed. Nobody closing it in time is no error: the manager may be an old one.
fn wait_closed(pipe: &OwnedFd, limit: Duration) -> Result<()> {
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(e) => return Err(e).context("wait for the service manager"),
        }
    }
}

/// The descriptors above 2 that the container's process gets, with their numbers as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedFds {
    /// Socket-activation descriptors first, then those of `--preserve-fds`; all others from 3 on are to be closed.
    pub kept: Range<RawFd>,
    /// `NAME=value`, to be added to the process's environment.
    pub env: Vec<String>,
}

/// Works out what to pass on: `listen` descriptors (0 for `exec`, else `listen_fds`), then `preserve` more, which must
/// be there. `inherited` says so of one number; outside of tests it is the function of that name.
pub fn passed_fds(listen: RawFd, preserve: RawFd, inherited: impl Fn(RawFd) -> nix::Result<()>) -> Result<PassedFds> {
    let first = 3 + listen;
    let end = first.checked_add(preserve).filter(|_| preserve >= 0).context("--preserve-fds: out of range")?;
    for fd in 3..first {
        inherited(fd).with_context(|| format!("unable to stat LISTEN_FDS descriptor {} (of {listen})", fd - 3))?;
    }
    for fd in first..end {
        inherited(fd).with_context(|| {
            format!("unable to stat preserved-fd {} (of {preserve}): stat /proc/self/fd/{fd}", fd - first)
        })?;
    }
    let env = if listen > 0 { vec![format!("LISTEN_FDS={listen}"), "LISTEN_PID=1".to_owned()] } else { Vec::new() };
    Ok(PassedFds { kept: 3..end, env })
}

/// What this process was asked to pass on: `--preserve-fds`, and socket-activation descriptors where `listen` is set.
pub fn passed(preserve: u32, listen: bool) -> Result<PassedFds> {
    let listen = if listen { listen_fds(|name| std::env::var_os(name), Pid::this()) } else { 0 };
    passed_fds(listen, RawFd::try_from(preserve).context("--preserve-fds")?, inherited)
}

/// How many socket-activation descriptors the environment announces for process `own`; 0 when they are for another
/// process or the values make no sense (sd_listen_fds(3)).
pub fn listen_fds(variable: impl Fn(&str) -> Option<OsString>, own: Pid) -> RawFd {
    let number = |name| variable(name)?.to_str()?.parse::<RawFd>().ok();
    if number("LISTEN_PID") != Some(own.as_raw()) {
        return 0;
    }
    // Beyond this no descriptor can be (fs.nr_open's highest value), and 3 + n must not overflow.
    number("LISTEN_FDS").filter(|n| (0..1 << 30).contains(n)).unwrap_or(0)
}

/// Whether rrunc was started with descriptor `fd` open; ENOENT if not.
///
/// What came through execve cannot be close-on-exec, and all of rrunc's own are: so none of those is ever passed on
/// because its number happens to fit.
pub fn inherited(fd: RawFd) -> nix::Result<()> {
    match descriptor::flags(fd) {
        Ok(flags) if !flags.contains(FdFlag::FD_CLOEXEC) => Ok(()),
        Ok(_) | Err(Errno::EBADF) => Err(Errno::ENOENT),
        Err(e) => Err(e),
    }
}
