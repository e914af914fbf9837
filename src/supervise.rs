//! Stays with a foreground container: one poll loop over signals, the process's end and the terminal.
use crate::covers::{self, Fallen};
use crate::init::reaper;
use crate::nameserver::Nameserver;
use crate::notify;
use crate::relay::Relay;
use crate::sys::{exe, pidfd, signal};
use crate::watchdog::{Excess, Kernel, Limits, Watchdog};
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, raise};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};
use nix::unistd::{Pid, getpid};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// As many orphans are reaped before anything else is looked at: a container can make them without end. Every source of
/// this loop has such a bound of its own, since signals and the clock have to be looked at again.
const AT_ONCE: usize = 64;

/// A process that was started and is waited for.
#[derive(Debug)]
pub struct Supervised<'a> {
    /// The process, a child of the caller.
    pub pid: Pid,
    /// A pidfd of it.
    pub pidfd: BorrowedFd<'a>,
    /// The master of its pty, if it has one: relayed from stdin and to stdout. None: its stdio is the caller's.
    pub master: Option<OwnedFd>,
    /// Only those of stdin, stdout and stderr that are terminals go through the pty.
    pub only_terminals: bool,
    /// Whether the caller is a child subreaper: then every child that ends is reaped, not this one only.
    pub subreaper: bool,
    /// The process is rrunc's own, which tells how the program has ended.
    pub reaper: bool,
    /// The service manager's socket, when READY is still to be passed on.
    pub notify: Option<notify::Proxy>,
    /// Answers it when it looks up a name.
    pub names: Option<Nameserver>,
    /// What the kernel keeps for it, which counts with the memory of its processes.
    pub kernel: Kernel,
    /// What it may take.
    pub limits: Limits,
    /// What of its mounts is watched.
    pub covers: Option<covers::Watch>,
}

/// How a process that was waited for has ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code, or 128 + the signal that killed it.
    pub status: i32,
    /// That signal.
    pub signal: Option<i32>,
    /// The limit that it was ended for.
    pub excess: Option<Excess>,
    /// The most memory that was seen, in bytes, where it was watched.
    pub peak: u64,
    /// How many processes the kernel has ended in its cgroup for want of memory.
    pub oom_kills: u64,
    /// How many names it has looked up that could not be found for want of a network.
    pub names_asked: u64,
    /// What of its mounts came off.
    pub fallen: Vec<Fallen>,
}

/// Waits for the process, passing on signals and terminal, and ending it when it passes a limit.
///
/// Every signal must have been blocked before the process was cloned (`sys::signal::block_all`), and stays blocked.
/// All are forwarded but SIGCHLD, SIGURG and SIGWINCH, which resizes the pty; and of those that the caller has us ignore the keys
/// of a terminal, which are for others then (`rrunc … &` in a script), and SIGHUP (nohup(1)). The program ignores none.
pub fn supervise(supervised: Supervised<'_>) -> Result<Ended> {
    let Supervised { pid, pidfd, master, only_terminals, subreaper, reaper, notify, names, kernel, limits, covers } =
        supervised;
    let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
    let signals = SignalFd::with_flags(&signal::every(), flags).context("create signalfd")?;
    let relay = master.map(|master| Relay::start(master, only_terminals)).transpose()?;
    let watchdog = Watchdog::start(limits, pid.as_raw(), kernel);
    Loop {
        pid,
        pidfd,
        subreaper,
        reaper,
        notify,
        names,
        signals,
        relay,
        watchdog,
        covers,
        unreaped: false,
        status: None,
        signal: None,
    }
    .run()
}

/// What has ended a sleep, beside the terminal and time.
#[derive(Default)]
struct Woken {
    /// A signal.
    signal: bool,
    /// The end of the process.
    end: bool,
    /// A change of its mounts.
    mounts: bool,
}

struct Loop<'a> {
    pid: Pid,
    pidfd: BorrowedFd<'a>,
    subreaper: bool,
    reaper: bool,
    notify: Option<notify::Proxy>,
    names: Option<Nameserver>,
    signals: SignalFd,
    relay: Option<Relay>,
    watchdog: Watchdog,
    covers: Option<covers::Watch>,
    /// More may have ended than were reaped at once.
    unreaped: bool,
    /// Set once the process has been reaped; what is left then is to bring out the rest of its output.
    status: Option<i32>,
    signal: Option<i32>,
}

impl Loop<'_> {
    fn run(mut self) -> Result<Ended> {
        // Nothing is reaped before the first sleep, which who has ended by now cuts short: SIGCHLD was blocked all the time.
        // The wait may be long, and most of the program is over. Not all memory can be given back (mlock(2)).
        if let Err(e) = exe::release_pages() {
            log::debug!("keep the pages of the program: {}", e.desc());
        }
        loop {
            if let Some(status) = self.status
                && self.relay.as_ref().is_none_or(Relay::is_drained)
            {
                return Ok(self.end(status));
            }
            let woken = self.sleep()?;
            let arrived =
                if woken.signal { signal::arrived(&self.signals).context("read signalfd")? } else { Vec::new() };
            for signal in &arrived {
                if self.status.is_some() && ends_waiting(signal) {
                    return Ok(self.end(self.status.unwrap_or_default()));
                }
                self.on_signal(signal)?;
            }
            let child = || arrived.iter().any(|signal| signal.ssi_signo.cast_signed() == libc::SIGCHLD);
            if woken.end || self.unreaped || child() {
                self.reap()?;
            }
            if self.status.is_none() {
                self.watchdog.pump(self.pidfd)?;
                self.look_at_covers(woken.mounts)?;
            }
            if let Some(names) = &mut self.names {
                names.pump();
            }
            if let Some(relay) = &mut self.relay {
                relay.pump()?;
            }
            if self.notify.as_mut().is_some_and(|n| n.pass_ready(getpid())) {
                self.notify = None;
            }
        }
    }

    /// Once the process has ended nobody is left to read or change what is not covered.
    fn look_at_covers(&mut self, changed: bool) -> Result<()> {
        let Some(covers) = &mut self.covers else { return Ok(()) };
        if changed {
            covers.wake();
        }
        if covers.pump() { self.forward(libc::SIGKILL) } else { Ok(()) }
    }

    fn end(&mut self, status: i32) -> Ended {
        let fallen = self.covers.take().map(covers::Watch::finish).unwrap_or_default();
        let names_asked = self.names.as_ref().map_or(0, |names| names.asked);
        Ended {
            status,
            signal: self.signal,
            excess: self.watchdog.excess,
            peak: self.watchdog.peak,
            oom_kills: 0,
            names_asked,
            fallen,
        }
    }

    fn sleep(&self) -> Result<Woken> {
        let mut fds = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        let runs = self.status.is_none();
        if runs {
            fds.push(PollFd::new(self.pidfd, PollFlags::POLLIN));
            fds.extend(self.notify.as_ref().map(notify::Proxy::poll_fd));
            fds.extend(self.names.as_ref().map(|n| PollFd::new(n.as_fd(), PollFlags::POLLIN)));
        }
        let mut rest = self.watchdog.rest().filter(|_| self.status.is_none());
        let mounts = fds.len();
        let mut watches = false;
        if let Some(covers) = self.covers.as_ref().filter(|_| runs) {
            rest = rest.into_iter().chain([covers.rest()]).min();
            watches = covers.poll_fd().map(|fd| fds.push(fd)).is_some();
        }
        if let Some(relay) = &self.relay {
            relay.add_to(&mut fds);
            rest = rest.into_iter().chain(relay.look_again()).min();
        }
        if self.unreaped {
            rest = Some(Duration::ZERO);
        }
        let timeout = rest.map_or(PollTimeout::NONE, to_timeout);
        match poll(&mut fds, timeout) {
            Ok(_) => {
                let mounts = watches && is_ready(&fds[mounts]);
                Ok(Woken { signal: is_ready(&fds[0]), end: runs && is_ready(&fds[1]), mounts })
            }
            Err(Errno::EINTR) => Ok(Woken::default()),
            Err(e) => Err(e).context("wait for the container"),
        }
    }

    /// Reaps the process, and whatever else has been reparented to a subreaper.
    fn reap(&mut self) -> Result<()> {
        self.unreaped = self.subreaper;
        let killed = self.reaper && self.status.is_none() && reaper::says_killed(self.pid);
        for _ in 0..if self.subreaper { AT_ONCE } else { 0 } {
            match pidfd::reap_any().context("wait for children")? {
                Some(ended) if ended.pid == self.pid => {
                    self.ended(ended, killed);
                    // Others that have ended are reaped with the next one, or by who reaps us.
                    self.unreaped = false;
                    break;
                }
                Some(_) => {}
                None => {
                    self.unreaped = false;
                    break;
                }
            }
        }
        if self.status.is_none()
            && let Some(ended) = pidfd::reap(self.pidfd).context("wait for the container's process")?
        {
            self.ended(ended, killed);
        }
        Ok(())
    }

    /// `killed`: its program was, as a reaper says that has ended by itself.
    fn ended(&mut self, ended: pidfd::Ended, killed: bool) {
        self.status = Some(ended.status);
        self.signal = ended.signal.or_else(|| killed.then_some(ended.status - 128));
        if let Some(relay) = &mut self.relay {
            relay.finish();
        }
    }

    fn on_signal(&mut self, arrived: &siginfo) -> Result<()> {
        let number = arrived.ssi_signo.cast_signed();
        let from_kernel = arrived.ssi_code == libc::SI_KERNEL;
        match number {
            libc::SIGCHLD | libc::SIGURG => Ok(()),
            libc::SIGWINCH => self.relay.as_ref().map_or(Ok(()), Relay::resize),
            // Our own write to a closed pipe; the write's error says the same.
            libc::SIGPIPE if arrived.ssi_pid.cast_signed() == getpid().as_raw() => Ok(()),
            libc::SIGTTIN | libc::SIGTTOU if from_kernel => Ok(()),
            libc::SIGHUP if signal::is_ignored(number) => Ok(()),
            libc::SIGINT | libc::SIGQUIT | libc::SIGTSTP if from_kernel && signal::is_ignored(number) => Ok(()),
            libc::SIGTSTP if from_kernel => self.suspend(),
            libc::SIGINT | libc::SIGQUIT if from_kernel && self.relay.is_some() => self.key(number),
            libc::SIGCONT => {
                self.forward(number)?;
                self.relay.as_mut().map_or(Ok(()), Relay::resume)
            }
            _ => self.forward(number),
        }
    }

    fn forward(&self, number: i32) -> Result<()> {
        match pidfd::send_signal(self.pidfd, number) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(e) => Err(e).with_context(|| format!("forward signal {number}")),
        }
    }

    /// Ctrl-C or Ctrl-\ on our cooked terminal: goes where the key would go inside, to the pty's foreground job.
    fn key(&self, number: i32) -> Result<()> {
        match &self.relay {
            Some(relay) if relay.signal_foreground(number) => Ok(()),
            _ => self.forward(number),
        }
    }

    /// Ctrl-Z on our cooked terminal: the shell waits for us to stop. SIGCONT comes through the signalfd.
    fn suspend(&mut self) -> Result<()> {
        self.forward(libc::SIGTSTP)?;
        if let Some(relay) = &mut self.relay {
            relay.pause()?;
        }
        // SIGTSTP itself, not SIGSTOP: the kernel ignores it in an orphaned process group, where nobody would continue us.
        let mut stop = SigSet::empty();
        stop.add(Signal::SIGTSTP);
        raise(Signal::SIGTSTP).and_then(|()| stop.thread_unblock()).and_then(|()| stop.thread_block()).context("stop")
    }
}

fn is_ready(fd: &PollFd) -> bool {
    fd.any().unwrap_or(true)
}

/// Whether a signal means "do not wait for a reader that has stopped reading" once the process is gone.
fn ends_waiting(signal: &siginfo) -> bool {
    matches!(signal.ssi_signo.cast_signed(), libc::SIGHUP | libc::SIGINT | libc::SIGQUIT | libc::SIGTERM)
}

fn to_timeout(duration: Duration) -> PollTimeout {
    // Rounded up: a moment too early there is nothing to be done yet.
    PollTimeout::try_from(duration + Duration::from_micros(999)).unwrap_or(PollTimeout::MAX)
}
