//! Between a service manager and the container: readiness (sd_notify(3)) and descriptors (sd_listen_fds(3)).
mod passed_fds;

pub use passed_fds::{PassedFds, passed};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat, mkdirat};
use nix::unistd::{Pid, UnlinkatFlags, pipe2, unlinkat};
use std::ffi::OsStr;
use std::io::{ErrorKind, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
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
        // Rounded up: poll counts whole milliseconds.
        let timeout = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(e) => return Err(e).context("wait for the service manager"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{File, Permissions, create_dir, metadata, remove_dir_all};
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::path::PathBuf;

    /// A state directory, gone afterwards, and the manager's socket in it.
    struct Scratch(PathBuf, UnixDatagram);

    impl Scratch {
        fn new(name: &str) -> Scratch {
            let path = std::env::temp_dir().join(format!("rrunc-notify-{name}-{}", std::process::id()));
            create_dir(&path).unwrap();
            let manager = UnixDatagram::bind(path.join("manager")).unwrap();
            manager.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            Scratch(path, manager)
        }

        fn proxy(&self) -> Proxy {
            let directory = File::open(&self.0).unwrap();
            prepare(directory.as_fd()).unwrap();
            Proxy::bind(directory.as_fd(), self.0.join("manager").as_os_str()).unwrap()
        }

        fn told(&self) -> String {
            let mut datagram = [0; 256];
            let n = self.1.recv(&mut datagram).unwrap();
            String::from_utf8_lossy(&datagram[..n]).into_owned()
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn only_readiness_is_passed_on() {
        let scratch = Scratch::new("ready");
        let mut proxy = scratch.proxy();
        // A second start, after a failed first one, finds the old socket.
        proxy = {
            drop(proxy);
            scratch.proxy()
        };
        let path = scratch.0.join("notify/notify.sock");
        assert_eq!(metadata(&path).unwrap().mode() & 0o777, 0o777);
        assert_eq!(metadata(scratch.0.join("notify")).unwrap().permissions(), Permissions::from_mode(0o40755));
        let container = UnixDatagram::unbound().unwrap();
        container.connect(&path).unwrap();
        container.send(b"STATUS=starting\nMAINPID=1").unwrap();
        assert!(!proxy.pass_ready(Pid::from_raw(42)));
        container.send(b"STATUS=up\nREADY=1\nFDSTORE=1").unwrap();
        assert!(proxy.pass_ready(Pid::from_raw(42)));
        assert_eq!([scratch.told(), scratch.told(), scratch.told()], ["READY=1\n", "MAINPID=42\n", "BARRIER=1"]);
    }

    #[test]
    fn the_wait_ends_with_the_process() {
        let scratch = Scratch::new("death");
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = Pid::from_raw(child.id().cast_signed());
        let pidfd = crate::sys::pidfd::open(pid).unwrap();
        scratch.proxy().wait(pidfd.as_fd(), pid).unwrap();
        assert!(child.wait().unwrap().success());
    }

    #[test]
    fn a_barrier_is_over_when_the_manager_closes_it_or_takes_too_long() {
        let (ours, theirs) = pipe2(OFlag::O_CLOEXEC).unwrap();
        let begin = Instant::now();
        wait_closed(&ours, Duration::from_millis(50)).unwrap();
        assert!(begin.elapsed() >= Duration::from_millis(50));
        drop(theirs);
        wait_closed(&ours, Duration::from_secs(3600)).unwrap();
    }

    #[test]
    fn a_manager_is_a_path_or_an_abstract_name() {
        let name = format!("rrunc-notify-{}", std::process::id());
        let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        connect(OsStr::new(&format!("@{name}"))).unwrap().send(b"x").unwrap();
        assert_eq!(manager.recv(&mut [0; 8]).unwrap(), 1);
        assert!(connect(OsStr::new("vsock:2:1")).is_err());
    }
}
