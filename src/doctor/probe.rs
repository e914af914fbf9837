//! A probe: something is done for real, in a process of its own, which is ended when it takes too long.
use crate::error::one_line;
use crate::host::IdMap;
use crate::sys::clone::{Cloned, clone, fork};
use crate::sys::{pidfd, prctl, process};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::CloneFlags;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{getegid, geteuid, pipe2, setsid};
use std::fs;
use std::os::fd::{AsFd, OwnedFd};

/// How long a probe may take, in milliseconds.
const LIMIT: u16 = 5_000;
/// The most a probe can say.
const ANSWER: usize = 2_048;

/// Which step of a probe failed, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What was being done, such as `clone`.
    pub step: String,
    /// The system's error; none for what only `text` can tell.
    pub errno: Option<Errno>,
    /// The error in words.
    pub text: String,
}

/// What a probe found: a detail for people, or the step at which it failed.
pub type Probed = Result<String, Failure>;

impl Failure {
    /// One that no system call reported.
    pub fn plain(step: &str, text: impl Into<String>) -> Failure {
        Failure { step: step.to_owned(), errno: None, text: text.into() }
    }

    /// Both in one line.
    pub fn line(&self) -> String {
        format!("{}: {}", self.step, self.text)
    }
}

/// Names the step of a failing result.
pub trait Step<T> {
    /// The failure at `step`.
    fn step(self, step: &str) -> Result<T, Failure>;
}

impl<T, E: Into<anyhow::Error>> Step<T> for Result<T, E> {
    fn step(self, step: &str) -> Result<T, Failure> {
        self.map_err(|error| {
            let error = error.into();
            Failure { step: step.to_owned(), errno: crate::error::errno_of(&error), text: one_line(&error) }
        })
    }
}

/// Runs `deed` in a child with the new namespaces of `flags`. Whatever it makes there ends with it.
pub fn probe(flags: CloneFlags, deed: impl FnOnce() -> Probed) -> Probed {
    let (ours, theirs) = pipe2(OFlag::O_CLOEXEC).step("pipe")?;
    let cloned = if flags.is_empty() { fork() } else { clone(flags) };
    match cloned.step("clone")? {
        Cloned::Child => {
            drop(ours);
            let answer = begin().and_then(|()| deed());
            let sent = nix::unistd::write(&theirs, encode(&answer).as_bytes());
            process::exit_now(i32::from(sent.is_err()))
        }
        Cloned::Parent(pid, child) => {
            drop(theirs);
            let answer = listen(&ours);
            // Whoever is late ends here, and the programs that it has started. Not reaped yet, it still has the number.
            match killpg(pid, Signal::SIGKILL) {
                // A program with a setuid bit is not ours to kill. ESRCH: it has not got so far.
                Ok(()) | Err(Errno::ESRCH | Errno::EPERM) => end(&child).and(answer),
                Err(e) => Err(e).step("end the probe"),
            }
        }
    }
}

/// A group of its own, to be ended together.
fn begin() -> Result<(), Failure> {
    prctl::set_parent_death_signal().step("prctl")?;
    setsid().step("setsid").map(drop)
}

/// A child in the new namespaces of `flags` that only waits; `deed` is given its pid. For what is done to a process
/// from outside.
pub fn beside(flags: CloneFlags, deed: impl FnOnce(i32) -> Probed) -> Probed {
    let (end_of, ours) = pipe2(OFlag::O_CLOEXEC).step("pipe")?;
    match clone(flags).step("clone")? {
        Cloned::Child => {
            drop(ours);
            let asked = prctl::set_parent_death_signal();
            let ended = nix::unistd::read(&end_of, &mut [0]);
            process::exit_now(i32::from(asked.is_err() || ended.is_err()))
        }
        Cloned::Parent(pid, child) => {
            drop(end_of);
            let done = deed(pid.as_raw());
            end(&child).and(done)
        }
    }
}

fn end(child: &OwnedFd) -> Result<(), Failure> {
    match pidfd::send_signal(child.as_fd(), libc::SIGKILL) {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(e) => return Err(e).step("end the probe"),
    }
    pidfd::wait_ended(child.as_fd(), LIMIT).step("wait for the probe")?;
    pidfd::reap(child.as_fd()).step("reap the probe").map(drop)
}

fn listen(from: &OwnedFd) -> Probed {
    match poll(&mut [PollFd::new(from.as_fd(), PollFlags::POLLIN)], PollTimeout::from(LIMIT)).step("poll")? {
        0 => Err(Failure::plain("probe", format!("no answer within {} seconds", LIMIT / 1000))),
        _ => {
            let mut answer = [0; ANSWER];
            let length = nix::unistd::read(from, &mut answer).step("read")?;
            decode(&String::from_utf8_lossy(&answer[..length]))
        }
    }
}

fn encode(answer: &Probed) -> String {
    let text = match answer {
        Ok(detail) => format!("\0{detail}"),
        Err(f) => format!("{}\0{}\0{}", f.step, f.errno.map_or(0, |errno| errno as i32), f.text),
    };
    // One write of a pipe's atomic size, so one read gets it.
    text.chars().take(ANSWER / 4).collect()
}

fn decode(answer: &str) -> Probed {
    let (step, rest) = answer.split_once('\0').ok_or_else(|| Failure::plain("probe", "it was killed"))?;
    if step.is_empty() {
        return Ok(rest.to_owned());
    }
    let (errno, text) = rest.split_once('\0').unwrap_or(("0", rest));
    let errno = errno.parse().ok().filter(|number| *number != 0).map(Errno::from_raw);
    Err(Failure { step: step.to_owned(), errno, text: text.to_owned() })
}

/// The caller's ids, taken before the user namespace is there.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ids {
    uid: u32,
    gid: u32,
}

impl Ids {
    /// Those of this process.
    pub fn own() -> Ids {
        Ids { uid: geteuid().as_raw(), gid: getegid().as_raw() }
    }

    /// In a new user namespace: becomes root of it, the one id that anybody may map.
    pub fn become_root(self) -> Result<(), Failure> {
        let line = |outside| IdMap::lines(&[IdMap { inside: 0, outside, size: 1 }]);
        fs::write("/proc/self/setgroups", "deny").step("write setgroups")?;
        fs::write("/proc/self/uid_map", line(self.uid)).step("write uid_map")?;
        fs::write("/proc/self/gid_map", line(self.gid)).step("write gid_map")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_comes_back_as_it_was_sent() {
        let failure = Err::<String, _>(Errno::EPERM).step("mount").unwrap_err();
        assert_eq!(failure.line(), "mount: Operation not permitted");
        for answer in [Ok(String::new()), Ok("two words".to_owned()), Err(failure), Err(Failure::plain("a", "b"))] {
            assert_eq!(decode(&encode(&answer)), answer);
        }
    }

    #[test]
    fn a_probe_that_says_nothing_was_killed() {
        assert_eq!(decode("").unwrap_err().text, "it was killed");
    }
}
