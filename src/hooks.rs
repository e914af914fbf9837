//! Runs the hooks of one kind, in order, with the container's state on their stdin.
//!
//! Works in the parent and in init's child alike. SIGPIPE must be ignored, as `sys::entry` leaves it: a hook need not
//! read its stdin.
use crate::error::WithHint;
use crate::sys::{pidfd, signal};
use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;
use oci_spec::runtime::Hook;
use std::ffi::{CString, OsStr};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How much of a hook's output is kept for its error message, in bytes for each of stdout and stderr: the last ones.
const KEPT: usize = 16 * 1024;

/// How often a hook is looked at when the kernel (or a seccomp filter) gives no pidfd.
const TICK: Duration = Duration::from_millis(10);

/// The environment of a hook without `env`. A hook's own `env` always replaces it whole.
#[derive(Clone, Debug)]
pub enum Inherit {
    /// The runtime's own: prestart, createRuntime, poststart, poststop.
    Own,
    /// None: createContainer.
    Nothing,
    /// These `NAME=value`: startContainer gets those of the container's process.
    Given(Vec<CString>),
}

/// Runs `hooks` one after the other in the calling process's namespaces, `state` (JSON) on stdin of each, in directory
/// `cwd`. The first failure stops the rest: `error running KIND hook #INDEX: …`.
pub fn run(kind: &str, hooks: &[Hook], state: &[u8], environment: Inherit, cwd: &Path) -> Result<()> {
    for (index, hook) in hooks.iter().enumerate() {
        let ran =
            run_one(hook, state, &environment, cwd).with_context(|| format!("error running {kind} hook #{index}"));
        // Its own words are in the message, but not whose they are.
        ran.hint(|| {
            let place = if kind == "startContainer" { "in the container" } else { "on the host" };
            format!("hooks.{kind}[{index}] of config.json names the program, {} {place}", hook.path().display())
        })?;
    }
    Ok(())
}

/// As `run`, but a failure is a warning and the next hook runs all the same: poststop (runtime.md, "Lifecycle", 13).
pub fn run_all_warn(kind: &str, hooks: &[Hook], state: &[u8], environment: Inherit, cwd: &Path) {
    for (index, hook) in hooks.iter().enumerate() {
        if let Err(e) = run_one(hook, state, &environment, cwd) {
            log::warn!("error running {kind} hook #{index}: {}", crate::error::one_line(&e));
        }
    }
}

fn run_one(hook: &Hook, state: &[u8], environment: &Inherit, cwd: &Path) -> Result<()> {
    let timeout = limit_of(hook)?;
    let path = hook.path();
    let mut child =
        command(hook, environment, cwd)?.spawn().with_context(|| format!("fork/exec {}", path.display()))?;
    let deadline = timeout.map(|t| Instant::now() + t);
    let watched = Watched::new(&mut child, state).and_then(|w| w.until_exit(&mut child, deadline));
    let (status, stdout, stderr) = match watched {
        Ok(seen) => seen,
        Err(e) => {
            end(&mut child)?;
            return Err(e);
        }
    };
    let failure = match (status, timeout) {
        (Some(status), _) if status.success() => return Ok(()),
        (Some(status), _) => exit_text(status),
        (None, limit) => {
            end(&mut child)?;
            format!("hook ran past specified timeout of {:.1}s", limit.unwrap_or_default().as_secs_f64())
        }
    };
    bail!("{failure}, stdout: {}, stderr: {}", text(&stdout), text(&stderr))
}

/// The hook's time limit, once its path and limit are found sound (config.md, "POSIX-platform Hooks").
fn limit_of(hook: &Hook) -> Result<Option<Duration>> {
    ensure!(hook.path().is_absolute(), "hook path {} must be absolute", hook.path().display());
    let Some(seconds) = hook.timeout() else { return Ok(None) };
    ensure!(seconds > 0, "hook timeout {seconds} must be greater than zero");
    Ok(Some(Duration::from_secs(seconds.unsigned_abs())))
}

fn command(hook: &Hook, environment: &Inherit, cwd: &Path) -> Result<Command> {
    let mut command = Command::new(hook.path());
    if let Some((first, rest)) = hook.args().as_deref().and_then(<[String]>::split_first) {
        command.arg0(first).args(rest);
    }
    match (hook.env(), environment) {
        (Some(own), _) => set_environment(&mut command, own.iter().map(String::as_bytes))?,
        (None, Inherit::Own) => {}
        (None, Inherit::Nothing) => set_environment(&mut command, std::iter::empty())?,
        (None, Inherit::Given(given)) => set_environment(&mut command, given.iter().map(|e| e.as_bytes()))?,
    }
    command.current_dir(cwd).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    signal::start_clean(&mut command);
    Ok(command)
}

/// Exactly `entries`; of a name given twice the last wins.
fn set_environment<'a>(command: &mut Command, entries: impl Iterator<Item = &'a [u8]>) -> Result<()> {
    command.env_clear();
    for entry in entries {
        let at = entry.iter().position(|b| *b == b'=').filter(|at| *at > 0);
        let at = at.with_context(|| format!("invalid environment variable {:?}: missing '='", text(entry)))?;
        command.env(OsStr::from_bytes(&entry[..at]), OsStr::from_bytes(&entry[at + 1..]));
    }
    Ok(())
}

fn end(child: &mut Child) -> Result<()> {
    child.kill().context("kill hook")?;
    child.wait().context("wait for hook")?;
    Ok(())
}

/// A running hook seen from outside: what is still to be written to it, and what it has said.
struct Watched<'s> {
    pidfd: Option<OwnedFd>,
    stdin: Option<ChildStdin>,
    unsent: &'s [u8],
    stdout: Captured<ChildStdout>,
    stderr: Captured<ChildStderr>,
}

type Seen = (Option<ExitStatus>, Vec<u8>, Vec<u8>);

impl<'s> Watched<'s> {
    fn new(child: &mut Child, state: &'s [u8]) -> Result<Self> {
        let pidfd = pidfd::open(Pid::from_raw(child.id().cast_signed())).ok();
        let stdin = child.stdin.take();
        if let Some(pipe) = &stdin {
            set_nonblocking(pipe.as_fd())?;
        }
        let (stdout, stderr) = (Captured::new(child.stdout.take())?, Captured::new(child.stderr.take())?);
        Ok(Watched { pidfd, stdin, unsent: state, stdout, stderr })
    }

    /// Feeds and listens until the hook itself has ended, whoever else still holds its pipes; None at the deadline.
    fn until_exit(mut self, child: &mut Child, deadline: Option<Instant>) -> Result<Seen> {
        loop {
            self.write_state()?;
            self.stdout.read()?;
            self.stderr.read()?;
            if let Some(status) = child.try_wait().context("wait for hook")? {
                self.stdout.read()?;
                self.stderr.read()?;
                return Ok((Some(status), self.stdout.kept, self.stderr.kept));
            }
            let left = deadline.map(|d| d.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Ok((None, self.stdout.kept, self.stderr.kept));
            }
            self.sleep(left)?;
        }
    }

    fn sleep(&self, left: Option<Duration>) -> Result<()> {
        let wait = if self.pidfd.is_none() { Some(left.map_or(TICK, |l| l.min(TICK))) } else { left };
        let wait = wait.map_or(PollTimeout::NONE, |w| {
            // Rounded up, else the last millisecond would be spent spinning.
            PollTimeout::try_from(w + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
        });
        let mut fds = Vec::with_capacity(4);
        fds.extend(self.pidfd.as_ref().map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)));
        fds.extend(self.stdin.as_ref().map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLOUT)));
        fds.extend(self.stdout.pipe.as_ref().map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)));
        fds.extend(self.stderr.pipe.as_ref().map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)));
        match poll(&mut fds, wait) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(e) => Err(e).context("wait for hook"),
        }
    }

    fn write_state(&mut self) -> Result<()> {
        while let Some(pipe) = &mut self.stdin {
            if self.unsent.is_empty() {
                self.stdin = None;
                break;
            }
            match pipe.write(self.unsent) {
                Ok(n) => self.unsent = &self.unsent[n..],
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                // A hook may end, or close its stdin, without reading the state.
                Err(e) if e.kind() == ErrorKind::BrokenPipe => self.stdin = None,
                Err(e) => return Err(e).context("write the state to the hook"),
            }
        }
        Ok(())
    }
}

/// One output pipe of a hook, and the last bytes that came out of it.
struct Captured<P> {
    pipe: Option<P>,
    kept: Vec<u8>,
}

impl<P: AsFd + Read> Captured<P> {
    fn new(pipe: Option<P>) -> Result<Self> {
        if let Some(pipe) = &pipe {
            set_nonblocking(pipe.as_fd())?;
        }
        Ok(Captured { pipe, kept: Vec::new() })
    }

    /// Takes what is there, at most a pipe's worth, so that an endless writer cannot keep us from looking at the clock.
    fn read(&mut self) -> Result<()> {
        let mut chunk = [0; 8192];
        for _ in 0..64 {
            let Some(pipe) = &mut self.pipe else { break };
            match pipe.read(&mut chunk) {
                Ok(0) => self.pipe = None,
                Ok(n) => self.keep(&chunk[..n]),
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e).context("read the hook's output"),
            }
        }
        Ok(())
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.kept.extend_from_slice(bytes);
        let surplus = self.kept.len().saturating_sub(KEPT);
        self.kept.drain(..surplus);
    }
}

fn set_nonblocking(fd: BorrowedFd<'_>) -> Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL).context("prepare the hook's pipe")?);
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).context("prepare the hook's pipe")?;
    Ok(())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The way a program ended, in the words clients know.
fn exit_text(status: ExitStatus) -> String {
    let Some(number) = status.signal() else {
        return format!("exit status {}", status.code().unwrap_or_default());
    };
    let name = match number {
        libc::SIGHUP => "hangup",
        libc::SIGINT => "interrupt",
        libc::SIGQUIT => "quit",
        libc::SIGILL => "illegal instruction",
        libc::SIGTRAP => "trace/breakpoint trap",
        libc::SIGABRT => "aborted",
        libc::SIGBUS => "bus error",
        libc::SIGFPE => "floating point exception",
        libc::SIGKILL => "killed",
        libc::SIGSEGV => "segmentation fault",
        libc::SIGPIPE => "broken pipe",
        libc::SIGALRM => "alarm clock",
        libc::SIGTERM => "terminated",
        libc::SIGSYS => "bad system call",
        _ => return format!("signal {number}"),
    };
    let core = if status.core_dumped() { " (core dumped)" } else { "" };
    format!("signal: {name}{core}")
}
