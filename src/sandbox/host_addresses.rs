//! What keeps a sandbox with `--network pasta` from the host itself: pasta connects to whatever it is asked for, and the host
//! has more addresses than its loopback. Rules in the sandbox's network namespace, made before its program runs, lead nowhere
//! for all of them and for what is local to the link, where machines of a cloud find their credentials (169.254.169.254). The
//! program has no CAP_NET_ADMIN there to take them away.
use crate::error::WithHint;
use crate::sys::clone::{Cloned, clone};
use crate::sys::netlink::{Block, Lead, Netlink};
use crate::sys::{pidfd, process};
use anyhow::{Context, Result, bail};
use nix::sched::CloneFlags;
use nix::unistd::{Pid, pipe2};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;

/// What is local to the link.
const LINK_LOCAL: [Block; 2] =
    [(IpAddr::V4(Ipv4Addr::new(169, 254, 0, 0)), 16), (IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)), 10)];
/// Where names are asked for.
const DNS: u16 = 53;
/// Right behind the namespace's own addresses, which have 0.
const FIRST: u32 = 1;

/// The rules for a host with the addresses `own`, where names are looked up at `resolver`.
fn rules(own: &[Block], resolver: Option<IpAddr>) -> Vec<(Block, Lead, u32)> {
    let names = resolver.map(|address| ((address, if address.is_ipv4() { 32 } else { 128 }), Lead::Routes(DNS), FIRST));
    // Inside they are its own.
    let own = own.iter().filter(|(address, _)| !address.is_loopback()).copied();
    let closed = own.chain(LINK_LOCAL).map(|block| (block, Lead::Nowhere, FIRST + 1));
    names.into_iter().chain(closed).collect()
}

/// Closes them to the network namespace of process `pid`, which belongs to its user namespace. `resolver` stays open, for names.
pub fn close(pid: i32, resolver: Option<IpAddr>) -> Result<()> {
    let own = Netlink::open().and_then(|host| host.own_addresses()).context("ask for the host's addresses")?;
    let rules = rules(&own, resolver);
    let target = pidfd::open(Pid::from_raw(pid)).context("open the sandbox's process")?;
    let (told, ours) = pipe2(nix::fcntl::OFlag::O_CLOEXEC).context("make a pipe")?;
    match clone(CloneFlags::empty()).context("fork")? {
        Cloned::Child => {
            let made = (|| -> Result<()> {
                process::setns(target.as_fd(), (CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET).bits())
                    .context("enter the network namespace")?;
                let inside = Netlink::open()?;
                for (to, lead, priority) in rules {
                    inside.rule(to, lead, priority).with_context(|| format!("rule for {}/{}", to.0, to.1))?;
                }
                Ok(())
            })();
            let text = made.map_or_else(|error| format!("{error:#}"), |()| "done".to_owned());
            process::exit_now(i32::from(File::from(ours).write_all(text.as_bytes()).is_err()))
        }
        Cloned::Parent(_, child) => {
            drop(ours);
            let mut text = String::new();
            File::from(told).read_to_string(&mut text).context("wait for the rules")?;
            pidfd::reap(child.as_fd()).context("wait for the rules")?;
            if text != "done" {
                let error: Result<()> = (|| bail!("close the host's own addresses: {text}"))();
                return error.hint(
                    || "it takes a kernel with rules for routing (CONFIG_IP_MULTIPLE_TABLES); or use --network host",
                );
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_the_hosts_addresses_are_closed_and_names_are_not() {
        let block = |text: &str, bits| (text.parse().unwrap(), bits);
        let own = [block("127.0.0.1", 32), block("::1", 128), block("10.1.2.3", 32), block("2001:db8::7", 128)];
        let rules = rules(&own, Some("169.254.1.1".parse().unwrap()));
        assert_eq!(rules[0], (block("169.254.1.1", 32), Lead::Routes(53), 1));
        let closed: Vec<_> = rules[1..].iter().map(|(block, lead, at)| (*block, *lead, *at)).collect();
        let nowhere = |text: &str, bits| (block(text, bits), Lead::Nowhere, 2);
        let all = [("10.1.2.3", 32), ("2001:db8::7", 128), ("169.254.0.0", 16), ("fe80::", 10)];
        assert_eq!(closed, all.map(|(text, bits)| nowhere(text, bits)));
    }
}
