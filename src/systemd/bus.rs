//! One connection, to a bus or to systemd itself: authentication (D-Bus specification, "Authentication Protocol"), calls
//! and the signals between. It blocks, never longer than until its deadline.
use super::address::Address;
use super::message::{Call, HEAD, Kind, LONGEST, Message, Writer};
use crate::printable::printable;
use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::sys::socket::sockopt::{PeerCredentials, ReceiveTimeout, SendTimeout};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr};
use nix::sys::socket::{connect, getsockopt, recv, send, setsockopt, socket};
use nix::sys::time::TimeVal;
use nix::unistd::geteuid;
use std::collections::VecDeque;
use std::fmt;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

const LONGEST_LINE: usize = 4096;
/// More signals than this before an answer are not news any more.
const MOST_SIGNALS: usize = 1000;

/// A call that was refused, by systemd or by the bus.
#[derive(Debug)]
pub struct Refusal {
    /// The name of the error, such as `org.freedesktop.systemd1.UnitExists`.
    pub name: String,
    /// The error in words.
    pub text: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.text.is_empty() { &self.name } else { &self.text })
    }
}

impl std::error::Error for Refusal {}

/// A connection.
#[derive(Debug)]
pub struct Bus {
    socket: OwnedFd,
    /// Nobody else is there than systemd.
    is_managers: bool,
    deadline: Instant,
    serial: u32,
    received: Vec<u8>,
    signals: VecDeque<Message>,
}

impl Bus {
    /// Connects and says hello; all that is done over it has to be over by the `deadline`.
    ///
    /// # Errors
    /// There is nobody, or it is not ours.
    pub fn connect(address: &Address, deadline: Instant) -> Result<Bus> {
        let (to, is_managers) = match address {
            Address::Bus(path) => (UnixAddr::new(path), false),
            Address::Abstract(name) => (UnixAddr::new_abstract(name), false),
            Address::Manager(path) => (UnixAddr::new(path), true),
        };
        let socket = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).context("socket")?;
        let (received, signals) = (Vec::new(), VecDeque::new());
        let mut bus = Bus { socket, is_managers, deadline, serial: 0, received, signals };
        setsockopt(&bus.socket, SendTimeout, &bus.left()?).context("SO_SNDTIMEO")?;
        connect(bus.socket.as_raw_fd(), &to?)?;
        // A name in the abstract space belongs to whoever comes first.
        let owner = getsockopt(&bus.socket, PeerCredentials).context("SO_PEERCRED")?.uid();
        ensure!(owner == geteuid().as_raw(), "it belongs to uid {owner}, not to you");
        bus.authenticate().context("authentication")?;
        if !is_managers {
            let hello = bus.ask_bus("Hello", "", Writer::default()).context("Hello")?;
            hello.arguments("s").context("Hello")?;
        }
        Ok(bus)
    }

    /// Whether this is the socket of systemd itself.
    pub fn is_managers(&self) -> bool {
        self.is_managers
    }

    /// Whether the number of a process means the same to who listens there as it does to us: not from inside of a pid
    /// namespace, where the kernel has no number for who is outside.
    pub fn counts_processes_as_we_do(&self) -> bool {
        getsockopt(&self.socket, PeerCredentials).is_ok_and(|peer| peer.pid() != 0)
    }

    /// EXTERNAL, without a name: who we are is what the kernel says of the socket. Our own number would be wrong from
    /// inside of a user namespace, where the bus has another one for us, however deep that is.
    ///
    /// All of it is said at once, as systemd's own library does: the systemd of Debian 12 leaves a call lying that comes
    /// together with BEGIN at its private socket.
    fn authenticate(&mut self) -> Result<()> {
        self.send(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n")?;
        for expected in ["DATA", "OK"] {
            let answer = self.line()?;
            match answer.split(' ').next() {
                Some(word) if word == expected => {}
                Some("REJECTED") => bail!("the bus does not let you in"),
                _ => bail!("an answer that is none: {:?}", printable(&answer)),
            }
        }
        Ok(())
    }

    fn line(&mut self) -> Result<String> {
        loop {
            if let Some(at) = self.received.windows(2).position(|pair| pair == b"\r\n") {
                let line = String::from_utf8_lossy(&self.received[..at]).into_owned();
                self.received.drain(..at + 2);
                return Ok(line);
            }
            ensure!(self.received.len() < LONGEST_LINE, "a line without an end");
            self.receive()?;
        }
    }

    /// Calls a method of the bus itself.
    pub fn ask_bus(&mut self, member: &str, signature: &str, arguments: Writer) -> Result<Message> {
        let name = "org.freedesktop.DBus";
        let path = "/org/freedesktop/DBus";
        self.call(&Call { destination: Some(name), path, interface: name, member, signature, arguments })
    }

    /// Makes a call and waits for its answer.
    ///
    /// # Errors
    /// A [`Refusal`], or what has happened to the connection.
    pub fn call(&mut self, call: &Call) -> Result<Message> {
        self.serial += 1;
        self.send(&call.encode(self.serial)?)?;
        loop {
            let message = self.message()?;
            match message.kind {
                Kind::Signal => {
                    ensure!(self.signals.len() < MOST_SIGNALS, "signals without an end instead of an answer");
                    self.signals.push_back(message);
                }
                Kind::Reply if message.reply_to == Some(self.serial) => return Ok(message),
                Kind::Error if message.reply_to == Some(self.serial) => {
                    let name = printable(message.error.as_deref().unwrap_or("error without a name"));
                    return Err(Refusal { name, text: printable(&message.text()) }.into());
                }
                // The answer to a call that was given up, or a call of ours that nobody may make.
                _ => {}
            }
        }
    }

    /// The next signal.
    pub fn signal(&mut self) -> Result<Message> {
        if let Some(signal) = self.signals.pop_front() {
            return Ok(signal);
        }
        loop {
            let message = self.message()?;
            if message.kind == Kind::Signal {
                return Ok(message);
            }
        }
    }

    fn message(&mut self) -> Result<Message> {
        loop {
            if let Some(head) = self.received.first_chunk::<HEAD>() {
                let length = Message::length(head)?;
                if self.received.len() >= length {
                    let message = Message::decode(&self.received[..length])?;
                    self.received.drain(..length);
                    return Ok(message);
                }
            }
            // A message is refused by its head before that much has come.
            ensure!(self.received.len() <= LONGEST, "more bytes than a message has");
            self.receive()?;
        }
    }

    fn send(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            setsockopt(&self.socket, SendTimeout, &self.left()?).context("SO_SNDTIMEO")?;
            match send(self.socket.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL) {
                Ok(sent) => bytes = &bytes[sent..],
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                Err(e) => return Err(e).context("send"),
            }
        }
        Ok(())
    }

    /// Takes in what has come, or waits for it.
    fn receive(&mut self) -> Result<()> {
        let mut buffer = [0; 4096];
        loop {
            setsockopt(&self.socket, ReceiveTimeout, &self.left()?).context("SO_RCVTIMEO")?;
            match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Ok(0) => bail!("the connection was closed"),
                Ok(length) => {
                    self.received.extend(&buffer[..length]);
                    return Ok(());
                }
                // The time is looked at again.
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                Err(e) => return Err(e).context("receive"),
            }
        }
    }

    /// What is left until the deadline; never zero, which would be no limit.
    fn left(&self) -> Result<TimeVal> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        ensure!(!left.is_zero(), "no answer in time");
        let left = left.max(Duration::from_millis(1));
        Ok(TimeVal::new(left.as_secs() as _, left.subsec_micros().into()))
    }
}

#[cfg(test)]
pub(super) mod tests;
