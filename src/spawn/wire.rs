//! What the two sides of a container's creation say to each other, over one SEQPACKET socket pair.
//!
//! | from   | packet            | meaning                                                               |
//! |--------|-------------------|-----------------------------------------------------------------------|
//! | child  | `P`, pid, a pidfd | (joined namespaces) the process that will be init, made on our behalf |
//! | child  | `S` and a text    | (a joined pid namespace, where nobody may look at me) my namespaces   |
//! | child  | `I`               | write my id maps; answered by `G`                                     |
//! | child  | `C`               | have systemd make my cgroup; answered by `G`                          |
//! | child  | `H`               | namespaces and mounts are there, run the hooks; answered by `G`       |
//! | child  | `T` and a fd      | the master of my pseudoterminal                                       |
//! | child  | `D` and a fd      | the socket at which names are looked up inside                        |
//! | child  | `S` and a fd      | the kernel's table of the sockets inside (sock_diag(7))               |
//! | child  | `V` and fds       | the files of /proc/sysvipc, as they are inside                        |
//! | child  | `W`, level, text  | log this                                                              |
//! | child  | `R`               | ready: everything but the program is set up; answered by `G`, which   |
//! |        |                   | may be there already if nothing else is answered; (`exec`) not at all |
//! |        |                   | if the parent has nothing to do in between                            |
//! | child  | `N`, number, fds  | I load a seccomp filter with a listener, which will have this number; |
//! |        |                   | the fds: my pidfd and a latch; answered by `G`, when the agent is     |
//! |        |                   | there, and by opening the latch, when it has the listener             |
//! |        |                   | (`exec`: -1 for the number, a third fd is the courier's pidfd)        |
//! | child  | `L` and a fd      | (`exec`, from the courier) that listener                              |
//! | child  | `F` and JSON      | gave up, and why; the end                                             |
//! | child  | end of file       | after `R` and `G`: execve closed it, or (created) the gate took over  |
//! | parent | `G`               | go on                                                                 |
//! | parent | end of file       | give up: we have failed or died                                       |
//!
//! The child reports, the parent only answers: there is no state in which both wait.
use super::failure::{Failure, cut};
use super::listener::{Announced, Announcement};
use crate::plan::decided::{self, Inodes};
use crate::sys::{descriptor, signal};
use anyhow::{Context, Result, bail};
use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recv, recvmsg, sendmsg,
    setsockopt, socketpair, sockopt::ReceiveTimeout,
};
use nix::sys::time::{TimeVal, TimeValLike};
use std::collections::VecDeque;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::Mutex;

/// Longest packet; texts are cut to fit.
const PACKET: usize = 64 * 1024;

/// What the child reports.
#[derive(Debug)]
pub enum Report {
    /// The process that will be init, made by an intermediate one.
    Process(i32, OwnedFd),
    /// Which namespaces it is in.
    Namespaces(Inodes),
    /// Wants its id maps written.
    NeedIdMaps,
    /// Wants to be in the scope that is planned.
    NeedCgroup,
    /// Wants the hooks of the runtime's namespaces run.
    NeedHooks,
    /// Master of its pseudoterminal.
    Terminal(OwnedFd),
    /// Where the container's names are looked up.
    Names(OwnedFd),
    /// The table of its sockets.
    Sockets(OwnedFd),
    /// What its System V IPC keeps.
    SystemV(Vec<OwnedFd>),
    /// A line for the log.
    Log(log::Level, String),
    /// Loads a filter with a listener.
    Announced(Announced),
    /// That listener.
    Listener(OwnedFd),
    /// Set up.
    Ready,
    /// Gave up.
    Failed(Failure),
    /// Closed its end.
    End,
}

/// One end of the wire.
#[derive(Debug)]
pub struct Wire {
    socket: OwnedFd,
    /// Reports of init that overtook the one of the process that made it.
    early: VecDeque<Report>,
}

/// Makes the wire: the parent's end and the child's.
pub fn pair() -> nix::Result<(Wire, Wire)> {
    let (parent, child) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
    let end = |socket| Wire { socket, early: VecDeque::new() };
    Ok((end(parent), end(child)))
}

impl Wire {
    /// The descriptor's number, for those who close all others.
    pub fn raw(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// The same as the lowest descriptor of a forked child that inherits those below `first`: then all others can be closed
    /// in one call. The old number is left to that.
    pub fn lowest(self, first: RawFd) -> Wire {
        match descriptor::duplicate_as(self.socket(), first) {
            Ok(socket) if self.raw() != first => {
                _ = self.socket.into_raw_fd();
                Wire { socket, early: self.early }
            }
            // It is that already (EINVAL); and as it was it will do as well.
            _ => self,
        }
    }

    /// Parent: waits for no report any longer once a signal has come that asks us to end.
    pub fn end_on_signals(&self) -> nix::Result<()> {
        setsockopt(&self.socket, ReceiveTimeout, &TimeVal::milliseconds(200))
    }

    /// The descriptor itself, for what is spoken on both the wire and the gate.
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    fn send(&self, packet: &[u8], fd: Option<BorrowedFd>) -> nix::Result<()> {
        send_to(self.socket(), packet, fd.map(|fd| fd.as_raw_fd()).as_slice())
    }

    /// Child: a bare report, `I`, `H` or `R`, and the wait for the parent's answer.
    fn ask(&self, tag: u8) -> Result<()> {
        self.send(&[tag], None).context("rrunc is gone")?;
        self.answer()
    }

    fn answer(&self) -> Result<()> {
        let mut answer = [0u8; 1];
        loop {
            match recv(self.socket.as_raw_fd(), &mut answer, MsgFlags::empty()) {
                Ok(1) if answer == *b"G" => return Ok(()),
                Err(Errno::EINTR) => {}
                Ok(_) | Err(_) => bail!("rrunc is gone"),
            }
        }
    }

    /// Child: asks for the id maps.
    pub fn need_id_maps(&self) -> Result<()> {
        self.ask(b'I')
    }

    /// Child: asks for its cgroup.
    pub fn need_cgroup(&self) -> Result<()> {
        self.ask(b'C')
    }

    /// Child: asks for the hooks.
    pub fn need_hooks(&self) -> Result<()> {
        self.ask(b'H')
    }

    /// Child: a filter with a listener comes next; returns when it may be loaded.
    pub fn announce(&self, announcement: &Announcement) -> Result<()> {
        announcement.send(self.socket()).context("rrunc is gone")?;
        self.answer()
    }

    /// Courier: the listener.
    pub fn listener(&self, listener: BorrowedFd) -> nix::Result<()> {
        self.send(b"L", Some(listener))
    }

    /// Child: is set up; returns when the parent has written down what it must.
    pub fn ready(&self) -> Result<()> {
        self.ask(b'R')
    }

    /// Child: is set up; the parent has nothing to write down.
    pub fn ready_ahead(&self) -> Result<()> {
        self.send(b"R", None).context("rrunc is gone")
    }

    /// Intermediate process: the pid and pidfd of init.
    pub fn process(&self, pid: i32, pidfd: BorrowedFd) -> nix::Result<()> {
        let mut packet = vec![b'P'];
        packet.extend(pid.to_ne_bytes());
        self.send(&packet, Some(pidfd))
    }

    /// Child: hands over its terminal.
    pub fn terminal(&self, master: BorrowedFd) -> nix::Result<()> {
        self.send(b"T", Some(master))
    }

    /// Child: hands over the socket of its nameserver.
    pub fn names(&self, socket: BorrowedFd) -> nix::Result<()> {
        self.send(b"D", Some(socket))
    }

    /// Child: which namespaces it is in.
    pub fn namespaces(&self, inodes: &Inodes) -> nix::Result<()> {
        self.send(format!("S{}", decided::text_of(inodes)).as_bytes(), None)
    }

    /// Child: hands over the table of its sockets.
    pub fn sockets(&self, table: BorrowedFd) -> nix::Result<()> {
        self.send(b"S", Some(table))
    }

    /// Child: hands over the tables of System V IPC.
    pub fn system_v(&self, tables: &[impl AsRawFd]) -> nix::Result<()> {
        send_to(self.socket(), b"V", &tables.iter().map(AsRawFd::as_raw_fd).collect::<Vec<_>>())
    }

    /// Child: a log line.
    pub fn log(&self, level: log::Level, text: &str) -> nix::Result<()> {
        let mut packet = vec![b'W', level as u8];
        packet.extend(cut(text.to_owned()).as_bytes());
        self.send(&packet, None)
    }

    /// Child: gives up.
    pub fn failed(&self, failure: &Failure) -> Result<()> {
        let mut packet = vec![b'F'];
        serde_json::to_writer(&mut packet, failure)?;
        Ok(self.send(&packet, None)?)
    }

    /// Parent: go on.
    pub fn go(&self) -> nix::Result<()> {
        self.send(b"G", None)
    }

    /// Parent: who will be init, as the intermediate process reports it. Init may be faster: its reports wait.
    pub fn receive_process(&mut self) -> Result<(i32, OwnedFd)> {
        loop {
            match self.read()? {
                Report::Process(pid, pidfd) => return Ok((pid, pidfd)),
                Report::Failed(failure) => return Err(failure.into_error()),
                Report::End => bail!("the joining process was killed"),
                other => self.early.push_back(other),
            }
        }
    }

    /// Parent: the next report.
    pub fn receive(&mut self) -> Result<Report> {
        let early = self.early.pop_front();
        early.map_or_else(|| self.read(), Ok)
    }

    fn read(&self) -> Result<Report> {
        receive_from(self.socket())
    }
}

/// Sends one packet with descriptors.
pub fn send_to(socket: BorrowedFd, packet: &[u8], fds: &[RawFd]) -> nix::Result<()> {
    let control = (!fds.is_empty()).then_some(ControlMessage::ScmRights(fds));
    let parts = [IoSlice::new(packet)];
    sendmsg::<()>(socket.as_raw_fd(), &parts, control.as_slice(), MsgFlags::MSG_NOSIGNAL, None).map(drop)
}

/// Where packets arrive. Almost all have one byte, and of this memory only the pages that are written to are ever there.
static ARRIVED: Mutex<[u8; PACKET]> = Mutex::new([0; PACKET]);

/// The next packet and its descriptors, at most three; empty at the end of file.
pub fn receive_packet(socket: BorrowedFd) -> nix::Result<(Vec<u8>, Vec<OwnedFd>)> {
    match ARRIVED.try_lock() {
        Ok(mut buffer) => receive_into(socket, &mut *buffer),
        // Only tests have another thread, which waits for a packet of its own.
        Err(_) => receive_into(socket, &mut vec![0; PACKET]),
    }
}

fn receive_into(socket: BorrowedFd, buffer: &mut [u8]) -> nix::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut space = cmsg_space!([RawFd; 3]);
    loop {
        let mut parts = [IoSliceMut::new(buffer)];
        match recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC) {
            Ok(message) => {
                let mut received = Vec::new();
                for control in message.cmsgs()? {
                    if let ControlMessageOwned::ScmRights(fds) = control {
                        received.extend(fds.into_iter().map(crate::sys::received));
                    }
                }
                let length = message.bytes;
                return Ok((buffer[..length].to_vec(), received));
            }
            Err(Errno::EINTR) => {}
            // Only with a time limit, see `end_on_signals`.
            Err(Errno::EAGAIN) if signal::must_end() => return Err(Errno::EINTR),
            Err(Errno::EAGAIN) => {}
            Err(e) => return Err(e),
        }
    }
}

/// The next report.
pub fn receive_from(socket: BorrowedFd) -> Result<Report> {
    let received = match receive_packet(socket) {
        // The other end has gone without reading an answer, which is told once, and before what it has said.
        Err(Errno::ECONNRESET) => receive_packet(socket),
        received => received,
    };
    match received {
        Ok((packet, fds)) => match packet.split_first() {
            Some((tag, rest)) => decode(*tag, rest, fds),
            None => Ok(Report::End),
        },
        Err(Errno::EINTR) => bail!("ended by a signal before the process was set up"),
        Err(e) => Err(e).context("wait for the container"),
    }
}

/// A packet of the child, by its tag.
///
/// # Errors
/// It is none of the table's.
pub fn decode(tag: u8, rest: &[u8], fds: Vec<OwnedFd>) -> Result<Report> {
    if tag == b'N' {
        return Announced::parse(rest, fds).map(Report::Announced);
    }
    if tag == b'V' {
        return Ok(Report::SystemV(fds));
    }
    Ok(match (tag, fds.into_iter().next()) {
        (b'L', Some(fd)) => Report::Listener(fd),
        (b'P', Some(fd)) if rest.len() == 4 => {
            Report::Process(i32::from_ne_bytes([rest[0], rest[1], rest[2], rest[3]]), fd)
        }
        (b'S', None) => Report::Namespaces(decided::inodes_in(&String::from_utf8_lossy(rest))?),
        (b'I', None) => Report::NeedIdMaps,
        (b'C', None) => Report::NeedCgroup,
        (b'H', None) => Report::NeedHooks,
        (b'T', Some(fd)) => Report::Terminal(fd),
        (b'D', Some(fd)) => Report::Names(fd),
        (b'S', Some(fd)) => Report::Sockets(fd),
        (b'W', None) if !rest.is_empty() => {
            let level = log::Level::iter().find(|l| *l as u8 == rest[0]).unwrap_or(log::Level::Warn);
            Report::Log(level, String::from_utf8_lossy(&rest[1..]).into_owned())
        }
        (b'R', None) => Report::Ready,
        (b'F', None) => Report::Failed(serde_json::from_slice(rest).context("damaged report of a failure")?),
        _ => bail!("unknown packet {tag:#x} from the container"),
    })
}

#[cfg(test)]
mod tests;
