//! The start gate: a listening socket in the state directory at which a created init waits for `start`.
//!
//! init inherits the listening end, so the gate works across pivot_root, network namespaces and changed ids; the
//! directory is private, so only the owner can knock. Over one SEQPACKET connection:
//!
//! | from    | packet             | meaning                                                            |
//! |---------|--------------------|--------------------------------------------------------------------|
//! | `start` | `G`                | go on                                                              |
//! | `start` | end of file, no G  | a probe: somebody asked for the status; init accepts again         |
//! | init    | `E`                | execve comes next                                                  |
//! | init    | `Q`                | the same, but a filter may keep init from saying that it has failed|
//! | init    | `N`, number, fds   | a seccomp filter with a listener is loaded next, as over the wire  |
//! | `start` | `G`, again         | the agent is there: load it; then `start` opens the latch          |
//! | init    | `F` and JSON       | the reason why there will be no program, `Failure`                 |
//! | init    | end of file        | after `E` execve closed the connection; without it init has died   |
//!
//! `start` connects first and looks at the rest while init wakes up; if it gives up, it was a probe. It takes the gate away
//! before it waits for the answer. A gate that nobody listens at is left by a crash.
use super::failure::{Failure, silenced};
use super::listener::{Announced, Announcement};
use super::wire::receive_packet;
use crate::state::{INIT_NAME, process};
use crate::sys::pidfd;
use anyhow::{Context, Result, anyhow, bail};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, SockFlag, SockType, UnixAddr, accept4, bind, connect, listen as listen_on, send,
    socket,
};
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// Name of the socket in the state directory.
const GATE: &str = "gate";
const GO: &[u8] = b"G";
const EXECUTING: u8 = b'E';
const EXECUTING_QUIETLY: u8 = b'Q';
const FAILED: u8 = b'F';
const ANNOUNCED: u8 = b'N';

/// Puts a gate into the state directory and returns its listening end for init to inherit (close-on-exec).
pub fn listen(dir: BorrowedFd) -> Result<OwnedFd> {
    let gate = open(SockFlag::empty()).context("make the start gate")?;
    bind(gate.as_raw_fd(), &address(dir)?).context("put the start gate into the state directory")?;
    // Room for probes that come while init is still busy; more of them learn all that they want from its being full.
    listen_on(&gate, Backlog::new(64)?).context("listen at the start gate")?;
    Ok(gate)
}

/// Whether an init stands at the gate, or is on its way to it.
pub fn probe(dir: BorrowedFd) -> Result<bool> {
    // Not waiting: an init that is held up by a hook takes no probes, and what is full of them has somebody behind it.
    match connect_to(dir, SockFlag::SOCK_NONBLOCK) {
        Err(e) if crate::error::errno_of(&e) == Some(Errno::EAGAIN) => Ok(true),
        other => Ok(other?.is_some()),
    }
}

/// A connection to the gate; `None` when there is no gate, or nobody at it.
fn connect_to(dir: BorrowedFd, flags: SockFlag) -> Result<Option<OwnedFd>> {
    let connection = open(flags).context("connect to the start gate")?;
    match connect(connection.as_raw_fd(), &address(dir)?) {
        Ok(()) => Ok(Some(connection)),
        Err(Errno::ENOENT | Errno::ECONNREFUSED) => Ok(None),
        Err(e) => Err(e).context("connect to the start gate"),
    }
}

/// `start`'s side of a gate with an init behind it. Dropped, it was a probe.
#[derive(Debug)]
pub struct Knock {
    connection: OwnedFd,
}

/// Knocks at the gate, which wakes the init there; `None` when there is no gate, or nobody at it.
pub fn knock(dir: BorrowedFd) -> Result<Option<Knock>> {
    Ok(connect_to(dir, SockFlag::empty())?.map(|connection| Knock { connection }))
}

impl Knock {
    /// Lets the init go, and takes the gate away. The caller holds the container's lock; `init` is a pidfd of the
    /// container's first process.
    ///
    /// # Errors
    /// That the container has been started or has stopped, in runc's words.
    pub fn open(self, dir: BorrowedFd, init: BorrowedFd) -> Result<Answer> {
        match send(self.connection.as_raw_fd(), GO, MsgFlags::MSG_NOSIGNAL) {
            Ok(_) => {}
            Err(Errno::EPIPE | Errno::ECONNRESET) => return Err(not_waiting(init)),
            Err(e) => return Err(e).context("open the start gate"),
        }
        remove(dir)?;
        Ok(Answer { connection: self.connection })
    }
}

/// What an init that has been let go says on its way to its program.
#[derive(Debug)]
pub struct Answer {
    connection: OwnedFd,
}

impl Answer {
    /// Waits until the program runs. `serve` gets a seccomp listener to its agent, over the connection.
    ///
    /// # Errors
    /// init's own failure with its hint; or as those of `open`.
    pub fn wait(self, init: BorrowedFd, serve: impl Fn(Announced, BorrowedFd) -> Result<()>) -> Result<()> {
        let mut executing = None;
        loop {
            match receive(&self.connection) {
                Ok((packet, fds)) => match packet.split_first() {
                    Some((&tag @ (EXECUTING | EXECUTING_QUIETLY), _)) => executing = Some(tag),
                    Some((&ANNOUNCED, rest)) => serve(Announced::parse(rest, fds)?, self.connection.as_fd())?,
                    Some((&FAILED, json)) => return Err(failure(json)),
                    Some((tag, _)) => bail!("init answered with an unknown packet {tag}"),
                    None if executing == Some(EXECUTING_QUIETLY) => {
                        let ended = pidfd::pid(init)?.map(|pid| process::has_ended_as(pid, INIT_NAME)).transpose()?;
                        return if ended == Some(true) { Err(silenced()) } else { Ok(()) };
                    }
                    // After `E` the program runs, or has been killed on the way there, which is its own affair.
                    None if executing.is_some() => return Ok(()),
                    None => bail!("container init ended before its program ran"),
                },
                Err(Errno::ECONNRESET) => return Err(not_waiting(init)),
                Err(e) => return Err(e).context("wait for the container's program"),
            }
        }
    }
}

/// Removes the gate; one that is gone already is fine.
pub fn remove(dir: BorrowedFd) -> Result<()> {
    match unlinkat(dir, GATE, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(e) => Err(e).context("remove the start gate"),
    }
}

fn not_waiting(init: BorrowedFd) -> anyhow::Error {
    match pidfd::has_ended(init) {
        Ok(false) => anyhow!("cannot start an already running container"),
        Ok(true) => anyhow!("cannot start a container that has stopped"),
        Err(e) => anyhow!(e).context("look at the container's first process"),
    }
}

fn failure(json: &[u8]) -> anyhow::Error {
    match serde_json::from_slice::<Failure>(json) {
        Ok(failure) => failure.into_error(),
        Err(e) => anyhow!(e).context("init failed and sent a damaged reason"),
    }
}

/// init's side of an open gate. execve closes it.
#[derive(Debug)]
pub struct Opened {
    connection: OwnedFd,
}

/// Waits until `start` opens the gate, past any number of probes. Runs in init.
pub fn wait(listener: OwnedFd) -> Result<Opened> {
    loop {
        let connection = match accept4(&listener, SockFlag::SOCK_CLOEXEC) {
            Ok(connection) => connection,
            Err(Errno::EINTR | Errno::ECONNABORTED) => continue,
            Err(e) => return Err(e).context("wait for start"),
        };
        match receive(&connection) {
            Ok((packet, _)) if packet == GO => return Ok(Opened { connection }),
            Ok((packet, _)) if packet.is_empty() => {}
            Ok(_) => bail!("wait for start: an unknown packet came in"),
            Err(Errno::ECONNRESET) => {}
            Err(e) => return Err(e).context("wait for start"),
        }
    }
}

impl Opened {
    /// The connection's number, for those who close all others.
    pub fn raw(&self) -> RawFd {
        self.connection.as_raw_fd()
    }

    /// A filter with a listener comes next; returns when it may be loaded.
    pub fn announce(&self, announcement: &Announcement) -> Result<()> {
        announcement.send(self.connection.as_fd()).context("rrunc start is gone")?;
        match receive(&self.connection) {
            Ok((packet, _)) if packet == GO => Ok(()),
            Ok(_) | Err(Errno::ECONNRESET) => bail!("rrunc start is gone"),
            Err(e) => Err(e).context("wait for start"),
        }
    }

    /// Tells `start` that execve comes next. A `start` that has been killed meanwhile changes nothing.
    ///
    /// `quietly`: the filter that is to come, or there already, may keep us from saying that it has failed.
    pub fn executing(&self, quietly: bool) -> Result<()> {
        self.answer(&[if quietly { EXECUTING_QUIETLY } else { EXECUTING }])
    }

    /// Tells `start` why there will be no program.
    pub fn failed(&self, failure: &Failure) -> Result<()> {
        let mut packet = vec![FAILED];
        serde_json::to_writer(&mut packet, failure).context("write the failure as JSON")?;
        self.answer(&packet)
    }

    fn answer(&self, packet: &[u8]) -> Result<()> {
        match send(self.connection.as_raw_fd(), packet, MsgFlags::MSG_NOSIGNAL) {
            Ok(_) | Err(Errno::EPIPE | Errno::ECONNRESET) => Ok(()),
            Err(e) => Err(e).context("answer start"),
        }
    }
}

fn open(flags: SockFlag) -> nix::Result<OwnedFd> {
    socket(AddressFamily::Unix, SockType::SeqPacket, flags | SockFlag::SOCK_CLOEXEC, None)
}

/// The gate's address through the directory's descriptor: a socket's path may be 108 bytes long and no more.
fn address(dir: BorrowedFd) -> nix::Result<UnixAddr> {
    UnixAddr::new(format!("/proc/self/fd/{}/{GATE}", dir.as_raw_fd()).as_str())
}

/// The next packet and its descriptors, empty at the end of file.
fn receive(connection: &OwnedFd) -> nix::Result<(Vec<u8>, Vec<OwnedFd>)> {
    receive_packet(connection.as_fd())
}

#[cfg(test)]
mod tests;
