//! rtnetlink(7): the addresses that a network namespace has as its own, and rules for where it leads to.
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};

/// linux/rtnetlink.h and linux/fib_rules.h, where libc has them not for all C libraries.
const RTN_LOCAL: u8 = 2;
const RTA_DST: u16 = 1;
const FRA_DST: u16 = 1;
const FRA_PRIORITY: u16 = 6;
const FRA_DPORT_RANGE: u16 = 24;
const FR_ACT_TO_TBL: u8 = 1;
const FR_ACT_UNREACHABLE: u8 = 7;
const RT_TABLE_MAIN: u8 = 254;
/// Of `struct nlmsghdr`, and of what follows it here: `struct rtmsg` and `struct fib_rule_hdr` are alike.
const HEADER: usize = 16;
const BODY: usize = 12;

/// A block of addresses: the first one, and how many bits they have in common.
pub type Block = (IpAddr, u8);

/// What a rule does with what goes to its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lead {
    /// The routes decide; only for this port.
    Routes(u16),
    /// Nowhere.
    Nowhere,
}

/// A socket in the network namespace in which it was made.
#[derive(Debug)]
pub struct Netlink(OwnedFd);

impl Netlink {
    /// Opens it.
    pub fn open() -> nix::Result<Netlink> {
        let flags = SockFlag::SOCK_CLOEXEC;
        socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute).map(Netlink)
    }

    /// The addresses that are this machine's own, from all its routing tables.
    pub fn own_addresses(&self) -> nix::Result<Vec<Block>> {
        let mut all = Vec::new();
        for family in [libc::AF_INET, libc::AF_INET6] {
            let dump = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
            self.send(libc::RTM_GETROUTE, dump, &[family as u8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[])?;
            self.receive(|kind, payload| {
                if kind == libc::RTM_NEWROUTE {
                    all.extend(own_address(payload));
                }
            })?;
        }
        Ok(all)
    }

    /// Makes the rule that what goes to `to` leads there. Of two the one with the lower `priority` holds.
    pub fn rule(&self, to: Block, lead: Lead, priority: u32) -> nix::Result<()> {
        let (address, bits) = to;
        let (family, bytes) = match address {
            IpAddr::V4(address) => (libc::AF_INET, address.octets().to_vec()),
            IpAddr::V6(address) => (libc::AF_INET6, address.octets().to_vec()),
        };
        let (table, action) = match lead {
            Lead::Routes(_) => (RT_TABLE_MAIN, FR_ACT_TO_TBL),
            Lead::Nowhere => (0, FR_ACT_UNREACHABLE),
        };
        let body = [family as u8, bits, 0, 0, table, 0, 0, action, 0, 0, 0, 0];
        let mut attributes = vec![(FRA_DST, bytes), (FRA_PRIORITY, priority.to_ne_bytes().to_vec())];
        if let Lead::Routes(port) = lead {
            attributes.push((FRA_DPORT_RANGE, [port.to_ne_bytes(), port.to_ne_bytes()].concat()));
        }
        let flags = (libc::NLM_F_REQUEST | libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16;
        self.send(libc::RTM_NEWRULE, flags, &body, &attributes)?;
        match self.receive(|_, _| {}) {
            // Two names of one address.
            Err(Errno::EEXIST) => Ok(()),
            other => other,
        }
    }

    fn send(&self, kind: u16, flags: u16, body: &[u8; BODY], attributes: &[(u16, Vec<u8>)]) -> nix::Result<()> {
        let mut rest = body.to_vec();
        for (kind, value) in attributes {
            rest.extend((4 + value.len() as u16).to_ne_bytes());
            rest.extend(kind.to_ne_bytes());
            rest.extend(value);
            rest.resize(rest.len().next_multiple_of(4), 0);
        }
        let mut message = ((HEADER + rest.len()) as u32).to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.extend(flags.to_ne_bytes());
        message.extend([0; 8]);
        message.extend(rest);
        send(self.0.as_raw_fd(), &message, MsgFlags::empty()).map(drop)
    }

    /// Hands over each message of the answer, up to its end.
    fn receive(&self, mut each: impl FnMut(u16, &[u8])) -> nix::Result<()> {
        let mut buffer = vec![0; 1 << 16];
        loop {
            let length = recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
            let mut rest = &buffer[..length];
            while let Some((kind, payload, next)) = first_message(rest) {
                match i32::from(kind) {
                    libc::NLMSG_DONE => return Ok(()),
                    libc::NLMSG_ERROR => {
                        let code = payload.first_chunk().map_or(0, |bytes| i32::from_ne_bytes(*bytes));
                        return if code == 0 { Ok(()) } else { Err(Errno::from_raw(-code)) };
                    }
                    _ => each(kind, payload),
                }
                rest = next;
            }
        }
    }
}

/// Type and payload of the first message, and what comes after it.
fn first_message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = u32::from_ne_bytes(*bytes.first_chunk()?) as usize;
    let kind = u16::from_ne_bytes([*bytes.get(4)?, *bytes.get(5)?]);
    let payload = bytes.get(HEADER..length)?;
    Some((kind, payload, bytes.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

/// The destination of a route to ourselves.
fn own_address(route: &[u8]) -> Option<Block> {
    let (body, mut attributes) = route.split_at_checked(BODY)?;
    if body[7] != RTN_LOCAL {
        return None;
    }
    while let Some(length) = attributes.first_chunk().map(|bytes| usize::from(u16::from_ne_bytes(*bytes))) {
        let kind = u16::from_ne_bytes([*attributes.get(2)?, *attributes.get(3)?]);
        let value = attributes.get(4..length)?;
        if kind == RTA_DST {
            let address = match value.len() {
                4 => IpAddr::V4(Ipv4Addr::from(*value.first_chunk()?)),
                _ => IpAddr::V6(Ipv6Addr::from(*value.first_chunk()?)),
            };
            return Some((address, body[1]));
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_this_machines_own() {
        let all = Netlink::open().unwrap().own_addresses().unwrap();
        assert!(all.iter().any(|(address, bits)| address.is_loopback() && *bits >= 8), "{all:?}");
        assert!(all.iter().all(|(address, bits)| *bits <= if address.is_ipv4() { 32 } else { 128 }));
    }

    #[test]
    fn what_is_cut_short_is_no_message() {
        for length in 0..HEADER {
            assert!(first_message(&vec![200; length]).is_none(), "{length}");
        }
        let mut message = 20u32.to_ne_bytes().to_vec();
        message.extend([2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 7, 7, 7]);
        assert!(
            first_message(&message)
                .is_some_and(|(kind, payload, rest)| kind == 2 && payload == [7; 4] && rest.is_empty())
        );
        assert!(first_message(&message[..19]).is_none());
        assert_eq!(own_address(&[0; BODY]), None);
        assert_eq!(own_address(&[2, 32, 0, 0, 0, 0, 0, RTN_LOCAL, 0, 0, 0, 0, 9, 0, 1, 0, 10]), None);
        let route = [2, 32, 0, 0, 0, 0, 0, RTN_LOCAL, 0, 0, 0, 0, 8, 0, 1, 0, 10, 0, 0, 7];
        assert_eq!(own_address(&route), Some((IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7)), 32)));
    }
}
