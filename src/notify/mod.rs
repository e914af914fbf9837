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

/// As many datagrams are read before anything else is looked at: the container can send without end.
const AT_ONCE: usize = 64;

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
    /// Does not block: a manager may be slow, and we have others to look after.
    manager: UnixDatagram,
    /// What the container said, once it is ready.
    ready: Option<Vec<u8>>,
    /// How many messages the manager has taken.
    told: usize,
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
        manager.set_nonblocking(true).context("connect to NOTIFY_SOCKET")?;
        Ok(Proxy { container, manager, ready: None, told: 0 })
    }

    /// For a poll loop: when this is ready, call `pass_ready`.
    pub fn poll_fd(&self) -> PollFd<'_> {
        match self.ready {
            None => PollFd::new(self.container.as_fd(), PollFlags::POLLIN),
            Some(_) => PollFd::new(self.manager.as_fd(), PollFlags::POLLOUT),
        }
    }

    /// Reads some of what the container said; if it is ready, passes that on with `main` as MAINPID. True: done, drop the
    /// proxy. A manager that cannot be told is a warning: the container runs all the same.
    pub fn pass_ready(&mut self, main: Pid) -> bool {
        match self.listen().and_then(|()| self.tell(main)) {
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
        let mut died = false;
        loop {
            self.listen()?;
            if let Some(barrier) = self.tell(main)? {
                return wait_closed(&barrier, BARRIER);
            }
            // What the process has said before its end has just been read. Others may go on talking for ever.
            if died && self.ready.is_none() {
                return Ok(());
            }
            let mut fds = [PollFd::new(process, PollFlags::POLLIN), self.poll_fd()];
            // Of no interest any more once the container was ready, and then ready all the time.
            let fds = if self.ready.is_some() { &mut fds[1..] } else { &mut fds[..] };
            match poll(fds, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(e) => return Err(e).context("wait for the container to be ready"),
            }
            died = self.ready.is_none() && fds[0].any().unwrap_or(true);
        }
    }

    /// Looks through what the container has said for a line READY.
    fn listen(&mut self) -> Result<()> {
        let mut datagram = [0; 4096];
        for _ in 0..AT_ONCE {
            if self.ready.is_some() {
                break;
            }
            match self.container.recv(&mut datagram) {
                Ok(n) => {
                    let mut lines = datagram[..n].split(|b| *b == b'\n');
                    self.ready = lines.find(|l| l.starts_with(b"READY=")).map(|line| [line, b"\n"].concat());
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e).context("read the notify socket"),
            }
        }
        Ok(())
    }

    /// READY, MAINPID, BARRIER, as far as the manager takes them now. The returned pipe end is at its end when the manager
    /// has dealt with them.
    fn tell(&mut self, main: Pid) -> Result<Option<OwnedFd>> {
        let Some(ready) = &self.ready else { return Ok(None) };
        let main = format!("MAINPID={main}\n");
        for text in [ready.as_slice(), main.as_bytes()].into_iter().skip(self.told) {
            match self.manager.send(text) {
                Ok(_) => self.told += 1,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(e) => return Err(e).context("notify the service manager"),
            }
        }
        let (ours, theirs) = pipe2(OFlag::O_CLOEXEC).context("make a barrier")?;
        let rights = [theirs.as_raw_fd()];
        let message = [ControlMessage::ScmRights(&rights)];
        let text = [IoSlice::new(b"BARRIER=1")];
        match sendmsg::<()>(self.manager.as_raw_fd(), &text, &message, MsgFlags::MSG_NOSIGNAL, None) {
            Ok(_) => Ok(Some(ours)),
            Err(Errno::EAGAIN) => Ok(None),
            Err(e) => Err(e).context("notify the service manager"),
        }
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
    #[allow(clippy::disallowed_methods, reason = "the rule against threads is for the product")]
    fn a_container_that_talks_without_end_is_read_in_turns() {
        let scratch = Scratch::new("flood");
        let mut proxy = scratch.proxy();
        let container = UnixDatagram::unbound().unwrap();
        container.connect(scratch.0.join("notify/notify.sock")).unwrap();
        container.set_nonblocking(true).unwrap();
        // The control: there is always more, so who reads until nothing is left never comes back.
        let more = std::thread::spawn(move || {
            let end = Instant::now() + Duration::from_secs(2);
            while Instant::now() < end {
                container.send(b"STATUS=x").ok();
            }
        });
        for _ in 0..100 {
            assert!(!proxy.pass_ready(Pid::from_raw(42)));
        }
        assert!(!more.is_finished());
        more.join().unwrap();
    }

    #[test]
    fn a_manager_that_takes_nothing_is_waited_for_in_poll() {
        let scratch = Scratch::new("deaf");
        let mut proxy = scratch.proxy();
        while proxy.manager.send(b"x").is_ok() {}
        let container = UnixDatagram::unbound().unwrap();
        container.connect(scratch.0.join("notify/notify.sock")).unwrap();
        container.send(b"READY=1").unwrap();
        assert!(!proxy.pass_ready(Pid::from_raw(42)));
        assert_eq!(poll(&mut [proxy.poll_fd()], PollTimeout::ZERO), Ok(0));
        let mut told = Vec::new();
        while told.last().is_none_or(|last| last != "BARRIER=1") {
            told.push(scratch.told());
            proxy.pass_ready(Pid::from_raw(42));
        }
        told.retain(|text| text != "x");
        assert_eq!(told, ["READY=1\n", "MAINPID=42\n", "BARRIER=1"]);
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "the rule against threads is for the product")]
    fn the_wait_ends_with_the_process() {
        let scratch = Scratch::new("death");
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = Pid::from_raw(child.id().cast_signed());
        let pidfd = crate::sys::pidfd::open(pid).unwrap();
        let proxy = scratch.proxy();
        // Whoever else has the socket may go on.
        let others = UnixDatagram::unbound().unwrap();
        others.connect(scratch.0.join("notify/notify.sock")).unwrap();
        let others = std::thread::spawn(move || while others.send(b"STATUS=x").is_ok() {});
        proxy.wait(pidfd.as_fd(), pid).unwrap();
        others.join().unwrap();
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
