//! What the sockets of a container's network namespace hold: memory of the kernel's, which it charges to no process. The
//! kernel is asked by sock_diag(7), through a socket that init has made in that namespace; nobody inside is.
//!
//! A message in a unix socket is charged to the socket that has sent it, which is in no table any more once it is closed.
//! So a queue whose senders may be gone counts as full, unless it is emptied soon.
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, NetlinkAddr, connect, recv, send};
use std::collections::HashMap;
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};

/// As many answers are read in one step; each tells of a hundred sockets or more.
const AT_ONCE: usize = 16;
/// Of one answer; the kernel fills no more.
const ANSWER: usize = 32 * 1024;

/// linux/netlink.h
const ERROR: u16 = 2;
const DONE: u16 = 3;
const REQUEST_DUMP: u16 = 0x301;
const HEADER: usize = 16;
/// linux/sock_diag.h
const BY_FAMILY: u16 = 20;
/// Places in SK_MEMINFO_*: received, being sent, written and not yet sent, options, waiting for a busy owner.
const RECEIVED: usize = 0;
const SENDING: usize = 2;
const QUEUED: usize = 5;
const OPTIONS: usize = 6;
const BACKLOG: usize = 7;

/// Kinds of sockets that hold what is sent and not read, family and protocol, in the order in which they are asked for.
const KINDS: [(i32, i32); 8] = [
    (libc::AF_UNIX, 0),
    (libc::AF_INET, libc::IPPROTO_TCP),
    (libc::AF_INET6, libc::IPPROTO_TCP),
    (libc::AF_INET, libc::IPPROTO_UDP),
    (libc::AF_INET6, libc::IPPROTO_UDP),
    (libc::AF_INET, libc::IPPROTO_UDPLITE),
    (libc::AF_INET6, libc::IPPROTO_UDPLITE),
    // Of all protocols.
    (libc::AF_NETLINK, 255),
];

/// Datagrams that a socket takes before its senders have to wait, in a new network namespace (net.unix.max_dgram_qlen), and
/// the one that was let in last.
const DATAGRAMS: u64 = 11;

/// In so many looks one after the other a queue has something unread before it counts as full.
const LOOKS: u8 = 3;

/// Unix sockets by their inodes, and in how many looks they had something unread of senders that may be gone.
type Unread = HashMap<u32, u8>;

/// The table of a network namespace's sockets.
#[derive(Debug)]
pub struct Sockets {
    diag: OwnedFd,
    /// What one unix socket may have sent and nobody read, in bytes.
    most: u64,
    /// As the last look found them.
    unread: Unread,
}

/// One look at all of them, in steps.
#[derive(Debug, Default)]
pub(super) struct Count {
    kind: usize,
    asked: bool,
    bytes: u64,
    unread: Unread,
}

impl Sockets {
    /// Asks by `diag`, a socket of NETLINK_SOCK_DIAG in that namespace.
    pub fn new(diag: OwnedFd) -> Result<Sockets> {
        // From now on it takes nothing from anybody but the kernel.
        connect(diag.as_raw_fd(), &NetlinkAddr::new(0, 0)).context("connect to the kernel's table of sockets")?;
        let setting = fs::read_to_string("/proc/sys/net/core/wmem_max").unwrap_or_default();
        // The kernel doubles what setsockopt(2) asks for.
        let most = 2 * setting.trim().parse().unwrap_or(212_992);
        Ok(Sockets { diag, most, unread: Unread::new() })
    }

    /// Goes on. The bytes of all sockets, once they are known, or are too many.
    pub(super) fn step(&mut self, count: &mut Count, limit: u64) -> Option<u64> {
        for _ in 0..AT_ONCE {
            let Some((family, protocol)) = KINDS.get(count.kind).filter(|_| count.bytes <= limit) else {
                self.unread = std::mem::take(&mut count.unread);
                return Some(count.bytes);
            };
            let more = if count.asked {
                self.read(*family, count)
            } else {
                send(self.diag.as_raw_fd(), &request(*family, *protocol), MsgFlags::MSG_DONTWAIT).map(|_| true)
            };
            match more {
                Ok(true) => count.asked = true,
                Ok(false) => (count.kind, count.asked) = (count.kind + 1, false),
                Err(Errno::EINTR) => {}
                Err(e) => {
                    log::debug!("count the memory of sockets: {}", e.desc());
                    (count.kind, count.asked) = (count.kind + 1, false);
                }
            }
        }
        None
    }

    /// Adds what the next answer tells of. False: it was the last.
    fn read(&self, family: i32, count: &mut Count) -> nix::Result<bool> {
        let mut answer = [0; ANSWER];
        let length = recv(self.diag.as_raw_fd(), &mut answer, MsgFlags::MSG_DONTWAIT)?;
        let mut rest = &answer[..length];
        let mut more = length > 0;
        while let Some((kind, body)) = next_message(&mut rest) {
            match kind {
                // This kernel has no such table.
                ERROR | DONE => more = false,
                BY_FAMILY => count.bytes += held(family, body) + self.of_senders_gone(family, body, count),
                _ => {}
            }
        }
        Ok(more)
    }
}

/// "Tell of every socket of this kind, and its memory."
fn request(family: i32, protocol: i32) -> Vec<u8> {
    /// unix_diag.h: whose the other end is, what is unread, memory.
    const UNIX_SHOW: u32 = 0x4 | 0x10 | 0x20;
    /// inet_diag.h: a bit for memory.
    const INET_SHOW: u8 = 1 << 6;
    /// netlink_diag.h: memory.
    const NETLINK_SHOW: u32 = 1;
    const ALL_STATES: [u8; 4] = [0xff; 4];
    let (family, protocol) = (family as u8, protocol as u8);
    let mut body = vec![family, protocol];
    match i32::from(family) {
        libc::AF_UNIX => {
            body.extend([0, 0]);
            body.extend(ALL_STATES);
            body.extend([0; 4]);
            body.extend(UNIX_SHOW.to_ne_bytes());
            body.extend([0; 8]);
        }
        libc::AF_NETLINK => {
            body.extend([0; 6]);
            body.extend(NETLINK_SHOW.to_ne_bytes());
            body.extend([0; 8]);
        }
        _ => {
            body.extend([INET_SHOW, 0]);
            body.extend(ALL_STATES);
            body.extend([0; 48]);
        }
    }
    let mut message = ((HEADER + body.len()) as u32).to_ne_bytes().to_vec();
    message.extend(BY_FAMILY.to_ne_bytes());
    message.extend(REQUEST_DUMP.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);
    message
}

/// Takes the next message off `rest`: its type and what follows its header.
fn next_message<'a>(rest: &mut &'a [u8]) -> Option<(u16, &'a [u8])> {
    let all = *rest;
    let length = u32::from_ne_bytes(all.get(..4)?.try_into().ok()?) as usize;
    let kind = u16::from_ne_bytes(all.get(4..6)?.try_into().ok()?);
    let body = all.get(HEADER..length)?;
    *rest = all.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((kind, body))
}

/// The attribute `wanted` of a message.
fn attribute(mut rest: &[u8], wanted: u16) -> &[u8] {
    while let Some([a, b, c, d]) = rest.first_chunk() {
        let (length, kind) = (usize::from(u16::from_ne_bytes([*a, *b])), u16::from_ne_bytes([*c, *d]));
        let Some(value) = rest.get(4..length) else { break };
        if kind == wanted {
            return value;
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    &[]
}

/// The number at a place in an attribute; 0 if there is none.
fn number(attribute: &[u8], place: usize) -> u64 {
    let bytes = attribute.get(4 * place..).and_then(|rest| rest.first_chunk());
    bytes.map_or(0, |bytes| u64::from(u32::from_ne_bytes(*bytes)))
}

/// The attributes of a socket's message.
fn attributes(family: i32, body: &[u8]) -> &[u8] {
    let fixed = match family {
        libc::AF_UNIX => 16,
        libc::AF_NETLINK => 28,
        _ => 72,
    };
    body.get(fixed..).unwrap_or_default()
}

/// The bytes that are charged to one socket.
fn held(family: i32, body: &[u8]) -> u64 {
    let kind = match family {
        libc::AF_UNIX => 5,
        libc::AF_NETLINK => 0,
        _ => 7,
    };
    let memory = attribute(attributes(family, body), kind);
    let sent = number(memory, SENDING).max(number(memory, QUEUED));
    sent + [RECEIVED, OPTIONS, BACKLOG].iter().map(|place| number(memory, *place)).sum::<u64>()
}

impl Sockets {
    /// What a unix socket holds of senders that may be in no table any more.
    fn of_senders_gone(&self, family: i32, body: &[u8], count: &mut Count) -> u64 {
        const PEER: u16 = 2;
        const UNREAD: u16 = 4;
        const LISTENS: u8 = 10;
        let [_, kind, state, _, a, b, c, d, ..] = *body else { return 0 };
        let unread = number(attribute(attributes(family, body), UNREAD), 0);
        if family != libc::AF_UNIX || state == LISTENS || unread == 0 {
            return 0;
        }
        let most = match i32::from(kind) {
            // There may have been one for each datagram.
            libc::SOCK_DGRAM => DATAGRAMS * self.most,
            // Its one sender has a number as long as it is there.
            _ if number(attribute(attributes(family, body), PEER), 0) == 0 => self.most,
            _ => return 0,
        };
        let inode = u32::from_ne_bytes([a, b, c, d]);
        let looks = self.unread.get(&inode).map_or(1, |looks| looks.saturating_add(1));
        count.unread.insert(inode, looks);
        if looks < LOOKS { unread } else { most }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, setsockopt, socket, sockopt::SndBuf};
    use std::io::Write;
    use std::os::unix::net::{UnixDatagram, UnixStream};

    fn all(sockets: &mut Sockets) -> u64 {
        let mut look = || {
            let mut count = Count::default();
            (0..1000).find_map(|_| sockets.step(&mut count, u64::MAX)).unwrap()
        };
        (0..LOOKS).map(|_| look()).last().unwrap()
    }

    #[test]
    fn what_is_sent_and_not_read_is_counted_and_its_sender_may_be_gone() {
        let flags = SockFlag::SOCK_CLOEXEC;
        let diag = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkSockDiag).unwrap();
        let mut sockets = Sockets::new(diag).unwrap();
        let before = all(&mut sockets);
        let pairs: Vec<_> = (0..64).map(|_| UnixStream::pair().unwrap()).collect();
        for (from, _) in &pairs {
            from.set_nonblocking(true).unwrap();
            setsockopt(from, SndBuf, &(1 << 20)).unwrap();
            while (&*from).write(&[0; 4096]).is_ok() {}
        }
        // Of others on this machine there is little.
        let full = all(&mut sockets) - before;
        assert!(full > 64 * 200_000, "{full}");
        // Kept by their receivers, though their senders are gone.
        let kept: Vec<_> = pairs.into_iter().map(|(_, to)| to).collect();
        let left = all(&mut sockets) - before;
        assert!(left > 64 * 200_000, "{left}");
        drop(kept);
        let (from, _to) = UnixDatagram::pair().unwrap();
        from.send(b"x").unwrap();
        drop(from);
        assert!(all(&mut sockets) - before >= DATAGRAMS * sockets.most);
    }

    #[test]
    fn damaged_answers_end_the_reading() {
        assert_eq!(next_message(&mut &[1, 0, 0][..]), None);
        assert_eq!(next_message(&mut &[200, 0, 0, 0, 20, 0][..]), None);
        assert_eq!(next_message(&mut &[4, 0, 0, 0, 20, 0, 0, 0][..]), None);
        assert_eq!(attribute(&[3, 0, 5, 0], 5), [0_u8; 0]);
        assert_eq!(attribute(&[8, 0, 5, 0, 1, 0, 0, 0], 5), [1, 0, 0, 0]);
        assert_eq!(attribute(&[9, 0, 5, 0, 1, 0, 0, 0], 5), [0_u8; 0]);
        assert_eq!(held(libc::AF_UNIX, &[1, 2]), 0);
    }
}
