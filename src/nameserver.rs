//! Answers the program of a sandbox without a network when it looks up a name: there is none. Without an answer resolvers
//! take their time and callers try again (npm for more than a minute); and the number of questions tells afterwards that
//! the want of a network may be why the program failed.
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Where resolvers ask when /etc/resolv.conf names this address, or nothing.
pub const ADDRESS: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 53);

/// A datagram without EDNS's extensions is no longer (RFC 1035, 4.2.1).
const LONGEST: usize = 512;
/// Length of what begins every message (4.1.1).
const HEADER: usize = 12;
/// As many are answered before anything else is looked at.
const AT_ONCE: usize = 64;

/// The socket, in the sandbox's network, and what was asked.
#[derive(Debug)]
pub struct Nameserver {
    socket: UdpSocket,
    /// How many questions there were.
    pub asked: u64,
}

impl Nameserver {
    /// Answers at `socket`, which does not block.
    pub fn new(socket: OwnedFd) -> Nameserver {
        Nameserver { socket: UdpSocket::from(socket), asked: 0 }
    }

    /// Answers what has come. Whoever cannot be told will find out by himself.
    pub fn pump(&mut self) {
        for _ in 0..AT_ONCE {
            let mut query = [0; LONGEST];
            match self.socket.recv_from(&mut query) {
                Ok((length, asker)) => {
                    if let Some(answer) = answer(&query[..length]) {
                        self.asked += 1;
                        self.socket.send_to(&answer, asker).ok();
                    }
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                // An answer before this one has found nobody.
                Err(_) => {}
            }
        }
    }
}

impl AsFd for Nameserver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// "There is no such name" (RFC 1035, 4.1; RCODE 3) to a message that asks one question; nothing to any other.
///
/// A refusal or a failure would be the wrong word: callers take them for a passing trouble and try again.
pub fn answer(query: &[u8]) -> Option<Vec<u8>> {
    const RESPONSE: u8 = 0x80;
    const OPCODE_AND_RECURSION_DESIRED: u8 = 0x79;
    const RECURSION_AVAILABLE: u8 = 0x80;
    const NO_SUCH_NAME: u8 = 3;
    let [id, more_of_id, flags, _, 0, 1, ..] = *query else { return None };
    if flags & RESPONSE != 0 {
        return None;
    }
    let end = end_of_question(query)?;
    let flags = [RESPONSE | flags & OPCODE_AND_RECURSION_DESIRED, RECURSION_AVAILABLE | NO_SUCH_NAME];
    // The question comes back, and nothing else: no answer, authority or additional record.
    let header = [id, more_of_id, flags[0], flags[1], 0, 1, 0, 0, 0, 0, 0, 0];
    Some([&header, query.get(HEADER..end)?].concat())
}

/// Behind the name, its type and its class.
fn end_of_question(query: &[u8]) -> Option<usize> {
    let mut at = HEADER;
    loop {
        match usize::from(*query.get(at)?) {
            0 => return Some(at + 1 + 4).filter(|end| *end <= query.len()),
            // A label; a question has no use for a pointer, which would be larger.
            length @ 1..64 => at += 1 + length,
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A question of glibc's: id 0x1234, recursion desired, `a.bc`, type AAAA, and an EDNS record behind it.
    fn question() -> Vec<u8> {
        let mut query = vec![0x12, 0x34, 1, 0x20, 0, 1, 0, 0, 0, 0, 0, 1];
        query.extend(b"\x01a\x02bc\0\x00\x1c\x00\x01");
        query.extend(b"\0\x00\x29\x04\xd0\0\0\0\0\0\0");
        query
    }

    #[test]
    fn a_question_comes_back_with_no_such_name() {
        let mut expected = vec![0x12, 0x34, 0x81, 0x83, 0, 1, 0, 0, 0, 0, 0, 0];
        expected.extend(b"\x01a\x02bc\0\x00\x1c\x00\x01");
        assert_eq!(answer(&question()), Some(expected));
    }

    #[test]
    fn what_is_no_question_gets_no_answer() {
        let whole = question();
        let end = HEADER + 10;
        for length in 0..end {
            assert_eq!(answer(&whole[..length]), None, "cut at {length}");
        }
        let with = |at: usize, byte: u8| {
            let mut query = question();
            query[at] = byte;
            answer(&query)
        };
        assert_eq!(with(2, 0x81), None, "an answer");
        assert_eq!(with(5, 0), None, "no question");
        assert_eq!(with(5, 2), None, "two questions");
        assert_eq!(with(HEADER, 0xc0), None, "a pointer");
        assert_eq!(with(HEADER, 63), None, "a label past the end");
    }
}
