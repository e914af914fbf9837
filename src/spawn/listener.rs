//! The host's side of SCMP_ACT_NOTIFY: the listener of a new filter goes to the agent that the profile names.
//!
//! The process announces the filter before it loads it, with the number that the listener will get; so none of the
//! notified calls is needed to get at it. The agent is connected to before the process may load: one that is missing
//! fails early. What is sent is the container process state of config-linux.md ("seccomp").
use super::kill;
use super::wire::{Report, receive_from, send_to};
use crate::console;
use crate::error::WithHint;
use crate::plan::Process;
use crate::seccomp::Listener;
use crate::state::{OCI_VERSION, State, Status, process};
use crate::sys::{latch, pidfd};
use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use serde::Serialize;
use serde_json::Value;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// How long the process may take to load its filter.
const PATIENCE: Duration = Duration::from_secs(10);
/// The link of a listener in /proc/PID/fd.
const LISTENER: &str = "anon_inode:seccomp notify";

/// What a process says before it loads such a filter: packet `N`.
pub struct Announcement<'a> {
    /// The number that the listener will get; without one it comes in a packet `L`.
    pub number: Option<RawFd>,
    /// A pidfd of the process.
    pub process: BorrowedFd<'a>,
    /// To be opened when the agent has the listener.
    pub latch: BorrowedFd<'a>,
    /// A pidfd of the process, our child, that sends the packet `L`.
    pub courier: Option<BorrowedFd<'a>>,
}

impl Announcement<'_> {
    /// Sends it, and waits for the answer in `wait`.
    pub fn send(&self, socket: BorrowedFd) -> nix::Result<()> {
        let mut packet = vec![b'N'];
        packet.extend(self.number.unwrap_or(-1).to_ne_bytes());
        let fds: Vec<RawFd> =
            [Some(self.process), Some(self.latch), self.courier].iter().flatten().map(AsRawFd::as_raw_fd).collect();
        send_to(socket, &packet, &fds)
    }
}

/// An announcement that has come in.
#[derive(Debug)]
pub struct Announced {
    number: Option<RawFd>,
    process: OwnedFd,
    latch: OwnedFd,
    courier: Option<OwnedFd>,
}

impl Announced {
    /// Reads a packet `N` without its tag.
    pub fn parse(packet: &[u8], fds: Vec<OwnedFd>) -> Result<Announced> {
        let number = RawFd::from_ne_bytes(packet.try_into().context("damaged announcement of a seccomp listener")?);
        let mut fds = fds.into_iter();
        let (Some(process), Some(latch)) = (fds.next(), fds.next()) else {
            bail!("announcement of a seccomp listener without descriptors");
        };
        Ok(Announced { number: (number >= 0).then_some(number), process, latch, courier: fds.next() })
    }
}

impl Announced {
    /// Refuses what init does not say at the gate, where the container's first process is `first`: somebody inside who has
    /// got hold of the gate could name any process of the caller's, rrunc itself among them.
    ///
    /// # Errors
    /// It has a courier, or is of another process than the first or, with a reaper, its child.
    pub fn check(&self, first: i32) -> Result<()> {
        ensure!(self.courier.is_none(), "the container announces a courier that is not planned");
        let pid = pidfd::pid(self.process.as_fd())?.context("the process has ended")?;
        let is_childs = || Ok::<_, anyhow::Error>(process::stat(pid)?.is_some_and(|stat| stat.parent == first));
        ensure!(pid == first || is_childs()?, "process {pid} announces a seccomp listener in the container's name");
        Ok(())
    }
}

/// Who gets the listener, and what he is told.
#[derive(Debug)]
pub struct Agent {
    listener: Listener,
    /// The OCI state of the container.
    state: Vec<u8>,
}

impl Agent {
    /// The agent of a process, if its filter has one. `status` is what the agent is told of the container.
    pub fn of(process: Option<&Process>, state: &State, status: Status) -> Option<Agent> {
        let listener = process?.seccomp.as_ref()?.listener.clone()?;
        Some(Agent::new(listener, state, status))
    }

    /// The agent behind `listener`.
    pub fn new(listener: Listener, state: &State, status: Status) -> Agent {
        Agent { listener, state: state.oci_json(status, state.pid) }
    }

    fn connect(&self) -> Result<UnixStream> {
        console::connect(&self.listener.path)
            .context("failed to connect with seccomp agent specified in the seccomp profile")
            .hint(|| "start the agent that listens at linux.seccomp.listenerPath first")
    }

    fn send(&self, connection: &UnixStream, listener: BorrowedFd, pid: i32) -> Result<()> {
        let payload = self.payload(pid)?;
        console::pass(connection, listener, &payload).context("failed to send the seccomp listener to its agent")
    }

    fn payload(&self, pid: i32) -> Result<Vec<u8>> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct ContainerProcessState<'a> {
            oci_version: &'a str,
            fds: [&'a str; 1],
            pid: i32,
            #[serde(skip_serializing_if = "str::is_empty")]
            metadata: &'a str,
            state: Value,
        }
        let state = ContainerProcessState {
            oci_version: OCI_VERSION,
            fds: ["seccompFd"],
            pid,
            metadata: &self.listener.metadata,
            state: serde_json::from_slice(&self.state)?,
        };
        Ok(serde_json::to_vec(&state)?)
    }
}

/// Gets the listener that was announced over `socket` to its agent, and lets the process go on.
pub fn hand_over(announced: &Announced, agent: Option<&Agent>, socket: BorrowedFd) -> Result<()> {
    let delivered = deliver(announced, agent, socket);
    // Whatever came of it, and before the program runs: it would see the courier in its /proc.
    let dismissed = announced.courier.as_ref().map_or(Ok(()), dismiss);
    delivered.and(dismissed)?;
    latch::open(announced.latch.as_fd()).context("let the container go on")
}

/// Ends the courier, which is our child (CLONE_PARENT); nobody else is ended in its place.
fn dismiss(courier: &OwnedFd) -> Result<()> {
    match pidfd::reap(courier.as_fd()) {
        Ok(Some(_)) => Ok(()),
        Ok(None) => kill(courier),
        Err(e) => Err(e).context("the courier of a seccomp listener is no child of ours"),
    }
}

fn deliver(announced: &Announced, agent: Option<&Agent>, socket: BorrowedFd) -> Result<()> {
    let agent = agent.context("the container announces a seccomp listener that is not planned")?;
    let connection = agent.connect()?;
    send_to(socket, b"G", &[]).context("container init is gone")?;
    let listener = match announced.number {
        Some(number) => fetch(number, announced.process.as_fd(), socket)?,
        None => carried(socket)?,
    };
    // The number could have been anything's, if we were lied to.
    let link = std::fs::read_link(format!("/proc/self/fd/{}", listener.as_raw_fd())).context("look at the listener")?;
    ensure!(link.as_os_str() == LISTENER, "the container's seccomp listener is none but {}", link.display());
    let pid = pidfd::pid(announced.process.as_fd())?.context("the process has ended")?;
    agent.send(&connection, listener.as_fd(), pid)
}

/// Takes the listener out of the process as soon as it is there.
fn fetch(number: RawFd, process: BorrowedFd, socket: BorrowedFd) -> Result<OwnedFd> {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        match pidfd::getfd(process, number) {
            Ok(listener) => return Ok(listener),
            Err(Errno::EBADF) => {}
            Err(e) => return Err(e).context("take the seccomp listener out of the container's process"),
        }
        // Whatever is said now is why there will be none.
        if readable(socket, Duration::from_micros(50))? {
            refused(receive_from(socket)?)?;
        }
    }
    bail!("the container's process does not load its seccomp filter")
}

/// Waits for the courier's packet.
fn carried(socket: BorrowedFd) -> Result<OwnedFd> {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if readable(socket, Duration::from_millis(100))? {
            match receive_from(socket)? {
                Report::Listener(listener) => return Ok(listener),
                other => refused(other)?,
            }
        }
    }
    bail!("the container's process does not load its seccomp filter")
}

fn refused(report: Report) -> Result<()> {
    match report {
        Report::Log(level, text) => {
            log::log!(level, "{text}");
            Ok(())
        }
        Report::Failed(failure) => Err(failure.into_error()),
        Report::End => bail!("the container's process ended before its seccomp filter was loaded"),
        other => bail!("the container reports {other:?} out of turn"),
    }
}

fn readable(socket: BorrowedFd, time: Duration) -> Result<bool> {
    match ppoll(&mut [PollFd::new(socket, PollFlags::POLLIN)], Some(TimeSpec::from_duration(time)), None) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::EINTR) => Ok(false),
        Err(e) => Err(e).context("wait for the container"),
    }
}
