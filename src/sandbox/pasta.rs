//! `--network pasta`: a user-mode network stack (pasta(1), passt.top) between the sandbox and the host's network.
//!
//! Its loopback forwarding is off both ways: nothing of the host's loopback is reached from inside, nor the other way
//! round. pasta does not notice the end of the network it serves, so a minder, a child of ours, holds it: as soon as we
//! close our end of a pipe, or are gone, pasta ends.
use crate::error::WithHint;
use crate::host::find_program;
use crate::printable::printable;
use crate::sys::clone::{Cloned, clone};
use crate::sys::{descriptor, pidfd, prctl, process, signal};
use anyhow::{Context, Result, anyhow, bail};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::CloneFlags;
use nix::unistd::{Pid, pipe2};
use std::fs::{self, File};
use std::io::Read;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};

/// Where names are asked for inside: a link-local address that means nobody, which pasta maps to the host's resolver.
/// So a resolver on the host's loopback works as well.
const RESOLVERS: [&str; 2] = ["169.254.1.1", "fe80::1:1"];
/// Where the host's are.
const HOST_RESOLVERS: &str = "/etc/resolv.conf";
/// What the minder says when it works.
const READY: &str = "ready";

/// The running stack; it ends with this.
#[derive(Debug)]
pub struct Pasta {
    /// Our end of the pipe, and the minder.
    held: Option<(OwnedFd, OwnedFd)>,
}

impl Pasta {
    /// Connects the network namespace of process `pid`, which has not started its program; returns when it works.
    pub fn start(pid: i32) -> Result<Pasta> {
        let program = find_program("pasta").context("pasta is not installed");
        let program = program.hint(|| "have it installed for the system (package passt), or use --network host")?;
        let (control, ours) = pipe2(OFlag::O_CLOEXEC).context("make a pipe")?;
        let (ready, theirs) = pipe2(OFlag::O_CLOEXEC).context("make a pipe")?;
        match clone(CloneFlags::empty()).context("fork the minder of pasta")? {
            Cloned::Child => {
                drop((ours, ready));
                process::exit_now(i32::from(mind(&program, pid, control, theirs).is_err()))
            }
            Cloned::Parent(_, minder) => {
                drop((control, theirs));
                let pasta = Pasta { held: Some((ours, minder)) };
                let mut told = String::new();
                File::from(ready).read_to_string(&mut told).context("wait for pasta")?;
                match told.as_str() {
                    READY => Ok(pasta),
                    "" => bail!("pasta ended at once"),
                    why => Err(anyhow!("pasta: {}", printable(why.lines().last().unwrap_or_default())))
                        .hint(|| "pasta needs /dev/net/tun; or use --network host"),
                }
            }
        }
    }
}

impl Drop for Pasta {
    fn drop(&mut self) {
        if let Some((ours, minder)) = self.held.take() {
            drop(ours);
            if let Err(e) = pidfd::wait_ended(minder.as_fd(), 5_000).and_then(|_| pidfd::reap(minder.as_fd())) {
                log::debug!("wait for pasta's minder: {e}");
            }
        }
    }
}

/// Runs pasta until the other end of `control` is closed, and says over `ready` that it works, or why not.
fn mind(program: &Path, pid: i32, control: OwnedFd, ready: OwnedFd) -> Result<()> {
    prctl::set_name(c"rrunc:[pasta]")?;
    // What it has to say goes over `ready`; the log's file is closed below, and its number given to others.
    crate::log::redirect(Box::new(|_, _| {}));
    descriptor::close_except(3, &[control.as_raw_fd(), ready.as_raw_fd()])?;
    let (works, written) = pipe2(OFlag::O_CLOEXEC)?;
    let (complaints, stderr) = pipe2(OFlag::O_CLOEXEC)?;
    let mut command = Command::new(program);
    command.args(["--foreground", "--quiet", "--config-net", "--no-map-gw"]);
    command.args(["-t", "none", "-u", "none", "-T", "none", "-U", "none"]);
    if let Some(resolver) = resolver(&fs::read_to_string(HOST_RESOLVERS).unwrap_or_default()) {
        command.args(["--dns-forward", resolver]);
    }
    // It writes its own pid there when all is set up, and nothing else.
    command.args(["--pid", "/proc/self/fd/1", &pid.to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::from(written)).stderr(Stdio::from(stderr));
    signal::start_clean(&mut command);
    let mut pasta = command.spawn()?;
    // It holds copies of both pipes, whose ends are to be pasta's.
    drop(command);
    let ended = pidfd::open(Pid::from_raw(pasta.id().cast_signed()))?;
    let mut written = [0];
    let written = first_of(&works, &ended)? && nix::unistd::read(&works, &mut written)? == 1;
    if written {
        nix::unistd::write(&ready, READY.as_bytes())?;
        drop(ready);
        first_of(&control, &ended)?;
        pasta.kill()?;
    } else {
        std::io::copy(&mut File::from(complaints), &mut File::from(ready))?;
    }
    pasta.wait()?;
    Ok(())
}

/// Waits for either; whether it is the first.
fn first_of(one: &OwnedFd, other: &OwnedFd) -> Result<bool> {
    loop {
        let mut fds = [one, other].map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN));
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) => return Ok(fds[0].revents().is_some_and(|events| !events.is_empty())),
            Err(Errno::EINTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

/// Where names are asked for inside, as this host is.
pub fn hosts_resolver() -> Option<IpAddr> {
    resolver(&fs::read_to_string(HOST_RESOLVERS).unwrap_or_default()).and_then(|address| address.parse().ok())
}

/// What stands for the host's first resolver inside, if the host has one: of the same kind of address.
pub fn resolver(resolv_conf: &str) -> Option<&'static str> {
    let mut servers = resolv_conf.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    let first: IpAddr = servers.find_map(|address| address.trim().parse().ok())?;
    Some(if first.is_ipv4() { RESOLVERS[0] } else { RESOLVERS[1] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_resolver_is_of_the_kind_the_host_has() {
        assert_eq!(resolver("# none\nsearch example.org\n"), None);
        assert_eq!(resolver("nameserver 127.0.0.53\nnameserver ::1\n"), Some("169.254.1.1"));
        assert_eq!(resolver(" nameserver\t2001:db8::1\n"), Some("fe80::1:1"));
    }
}
