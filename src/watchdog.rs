//! Ends a foreground container that takes too much: time, or memory where no cgroup counts it.
mod memory;
mod sockets;
mod sysv;

pub use sockets::Sockets;
pub use sysv::{FILES, SystemV};

use crate::plan::{MEMORY, TIMEOUT};
use crate::sys::pidfd;
use anyhow::{Context, Result, anyhow};
use memory::Look;
use nix::errno::Errno;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

/// Between asking a program to end and ending it.
const GRACE: Duration = Duration::from_secs(2);
/// Memory is looked at no more and no less often than this.
const LOOKS: [Duration; 2] = [Duration::from_millis(20), Duration::from_secs(1)];
/// No program fills memory faster, in bytes a second: so long the limit cannot be reached.
const FASTEST: u64 = 4 << 30;

/// What may be taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// From the start of the program to its end.
    pub time: Option<Duration>,
    /// Bytes of memory of all processes together.
    pub memory: Option<u64>,
}

impl Limits {
    /// Those that a container's annotations name.
    ///
    /// # Errors
    /// What is no number, by the name of the annotation.
    pub fn of<'a>(annotation: impl Fn(&str) -> Option<&'a String>) -> Result<Limits> {
        let number = |name: &str| {
            let number = |value: &String| {
                value.parse::<u64>().map_err(|_| anyhow!("{name}: {value:?} is no whole number of {}", unit(name)))
            };
            annotation(name).map(number).transpose()
        };
        Ok(Limits { time: number(TIMEOUT)?.map(Duration::from_millis), memory: number(MEMORY)? })
    }
}

fn unit(annotation: &str) -> &'static str {
    if annotation == TIMEOUT { "milliseconds" } else { "bytes" }
}

/// The limit that was passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excess {
    /// Of time.
    Time,
    /// Of memory.
    Memory,
}

/// Where memory is told of that no process is charged with.
#[derive(Debug, Default)]
pub struct Kernel {
    /// That of the container's own network namespace.
    pub sockets: Option<Sockets>,
    /// That of its own IPC namespace.
    pub system_v: Option<SystemV>,
}

/// Watches over one container.
#[derive(Debug)]
pub struct Watchdog {
    limits: Limits,
    /// The container's first process, as this process counts.
    pid: i32,
    end: Option<Instant>,
    look: Option<Instant>,
    kernel: Kernel,
    /// The look that has begun.
    looking: Option<Look>,
    kill: Option<Instant>,
    /// The limit that was passed, if one was.
    pub excess: Option<Excess>,
    /// The most memory that was seen, in bytes; 0 where memory is not watched.
    pub peak: u64,
}

impl Watchdog {
    /// Starts the clock.
    pub fn start(limits: Limits, pid: i32, kernel: Kernel) -> Watchdog {
        // Without a limit nobody asks what time it is, which for the first time takes long.
        let end = limits.time.and_then(|time| Instant::now().checked_add(time));
        let look = limits.memory.map(|limit| Instant::now() + safe(limit, 0));
        Watchdog { limits, pid, end, look, kernel, looking: None, kill: None, excess: None, peak: 0 }
    }

    /// How long there is nothing to be done.
    pub fn rest(&self) -> Option<Duration> {
        let next = [self.end, self.look, self.kill].into_iter().flatten().min()?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    /// Does what is due.
    pub fn pump(&mut self, init: BorrowedFd) -> Result<()> {
        if (self.end, self.look, self.kill) == (None, None, None) {
            return Ok(());
        }
        let now = Instant::now();
        let due = |time: Option<Instant>| time.is_some_and(|time| time <= now);
        if due(self.end) {
            self.excess.get_or_insert(Excess::Time);
            self.end = None;
            self.kill = Some(now + GRACE);
            signal(init, libc::SIGTERM)?;
        }
        if due(self.kill) {
            self.kill = None;
            signal(init, libc::SIGKILL)?;
        }
        if let Some(limit) = self.limits.memory.filter(|_| due(self.look)) {
            return self.look(init, limit, now);
        }
        Ok(())
    }

    /// Goes on with the look at the memory that is due: the rest of it at once, but after signals and the clock.
    fn look(&mut self, init: BorrowedFd, limit: u64, now: Instant) -> Result<()> {
        let look = self.looking.get_or_insert_with(|| Look::at(self.pid));
        let Some(used) = look.step(limit, &mut self.kernel) else { return Ok(()) };
        self.peak = self.peak.max(used);
        (self.looking, self.look) = (None, None);
        if used > limit {
            self.excess.get_or_insert(Excess::Memory);
            return signal(init, libc::SIGKILL);
        }
        self.look = Some(now + safe(limit, used));
        Ok(())
    }
}

/// How long the limit cannot be reached.
fn safe(limit: u64, used: u64) -> Duration {
    Duration::from_millis((limit - used) / (FASTEST / 1000)).clamp(LOOKS[0], LOOKS[1])
}

fn signal(init: BorrowedFd, number: i32) -> Result<()> {
    match pidfd::send_signal(init, number) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(e) => Err(e).context("end the container that has passed a limit"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_nothing_to_do_without_limits() {
        assert_eq!(Watchdog::start(Limits::default(), 1, Kernel::default()).rest(), None);
        let timed = Watchdog::start(Limits { time: Some(Duration::from_secs(60)), memory: None }, 1, Kernel::default());
        assert!(timed.rest().is_some_and(|rest| rest > Duration::from_secs(50)));
    }
}
