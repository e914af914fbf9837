//! Watches what is mounted on names of the host's own directories, and puts back what comes off.
//!
//! When a name on which something is mounted is replaced or removed in another mount namespace, the kernel takes the mount
//! away (rename(2) and unlink(2) could not work otherwise): a hidden file that was saved anew is then seen, a protected one
//! can be written. Nothing inside a sandbox can change mounts, so that any event on the mounts of its first process is this,
//! and comes at once. A name that was only moved away, mount and all, gives no event: for that all are looked at each second.
//!
//! Which namespaces are entered to cover again is known from when they were made, and the program is asked for nothing.
mod again;

use crate::plan::covers::{Cover, Covers, How};
use again::Outcome;
use anyhow::{Context, Result};
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags};
use nix::sys::stat::Mode;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often all are looked at without an event.
const TICK: Duration = Duration::from_secs(1);
/// And while a name is gone and may be back at any time; for `SOON_FOR` after it has gone.
const SOON: Duration = Duration::from_millis(50);
const SOON_FOR: Duration = Duration::from_secs(10);
/// Between two looks there is at least this: somebody who replaces files without end does not take all of our time.
const PAUSE: Duration = Duration::from_millis(10);

/// The namespaces of a container whose covers are watched, opened while its first process was of our own code.
#[derive(Debug)]
pub struct Inside {
    user: OwnedFd,
    mount: OwnedFd,
}

impl Inside {
    /// Those of the process `pid`, which we have just made.
    pub fn of(pid: i32) -> Result<Inside> {
        let namespace = |name: &str| {
            let path = format!("/proc/{pid}/ns/{name}");
            open(path.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).context(path)
        };
        Ok(Inside { user: namespace("user")?, mount: namespace("mnt")? })
    }
}

/// What came of a cover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fallen {
    /// The place inside.
    pub place: PathBuf,
    /// What was covered could be read in between; otherwise it could be changed.
    pub hidden: bool,
    /// It came off so many times, and was put back.
    pub again: u64,
    /// It was not put back, for this reason, and the container was ended.
    pub ended: Option<String>,
}

/// The watch.
#[derive(Debug)]
pub struct Watch {
    covers: Covers,
    inside: Inside,
    mounts: File,
    /// When to look next.
    next: Instant,
    /// There is an event that was not looked at yet.
    due: bool,
    /// When a name was last missed that is not there.
    gone: Option<Instant>,
    /// By the number of the cover.
    fallen: BTreeMap<usize, Fallen>,
}

impl Watch {
    /// Begins for the container whose first process is `pid`. All is looked at once now, for what has happened since.
    pub fn begin(covers: Covers, inside: Inside, pid: i32) -> Result<Watch> {
        // Not before the root is entered: the paths in it are seen from there.
        let path = format!("/proc/{pid}/mountinfo");
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let mounts = File::from(open(path.as_str(), flags, Mode::empty()).context(path)?);
        Ok(Watch { covers, inside, mounts, next: Instant::now(), due: true, gone: None, fallen: BTreeMap::new() })
    }

    /// What is waited for.
    pub fn poll_fd(&self) -> Option<PollFd<'_>> {
        // Otherwise the event would be told again and again until it is time to look.
        (!self.due).then(|| PollFd::new(self.mounts.as_fd(), PollFlags::POLLPRI))
    }

    /// When to look without an event.
    pub fn rest(&self) -> Duration {
        self.next.saturating_duration_since(Instant::now())
    }

    /// There was an event.
    pub fn wake(&mut self) {
        self.due = true;
        self.next = self.next.min(Instant::now() + PAUSE);
    }

    /// Looks, if it is time; whether the container has to end.
    pub fn pump(&mut self) -> bool {
        if self.rest() > Duration::ZERO {
            return false;
        }
        self.due = false;
        let ends = self.look().unwrap_or_else(|error| {
            // Nothing is known of any.
            self.end(0, format!("its mounts cannot be looked at: {error:#}"));
            true
        });
        let now = Instant::now();
        let soon = self.gone.is_some_and(|gone| now.duration_since(gone) < SOON_FOR);
        self.next = now + if soon { SOON } else { TICK };
        ends
    }

    fn look(&mut self) -> Result<bool> {
        let there = mount_points(&self.mounts)?;
        let missing = |(number, cover): (usize, &Cover)| (!there.contains(&cover.place)).then_some(number);
        let missing: Vec<usize> = self.covers.all.iter().enumerate().filter_map(missing).collect();
        if missing.is_empty() {
            self.gone = None;
            return Ok(false);
        }
        let covers: Vec<&Cover> = missing.iter().map(|number| &self.covers.all[*number]).collect();
        let outcomes = again::cover(&self.inside.user, &self.inside.mount, &covers, self.covers.again);
        let mut gone = false;
        for (number, outcome) in missing.into_iter().zip(outcomes?) {
            match outcome {
                Outcome::Covered => self.fallen(number).again += 1,
                Outcome::Absent => gone = true,
                Outcome::Failed(why) => {
                    self.end(number, why);
                    return Ok(true);
                }
            }
        }
        // From when on it is missed, and not from each look.
        self.gone = if gone { self.gone.or_else(|| Some(Instant::now())) } else { None };
        Ok(false)
    }

    fn fallen(&mut self, number: usize) -> &mut Fallen {
        let Cover { place, how } = &self.covers.all[number];
        let new = || Fallen { place: place.clone(), hidden: *how == How::Hidden, again: 0, ended: None };
        self.fallen.entry(number).or_insert_with(new)
    }

    fn end(&mut self, number: usize, why: String) {
        self.fallen(number).ended = Some(why);
    }

    /// What came off, and what came of that.
    pub fn finish(self) -> Vec<Fallen> {
        self.fallen.into_values().collect()
    }
}

/// The places at which something is mounted.
fn mount_points(mounts: &File) -> Result<std::collections::HashSet<PathBuf>> {
    let mut text = Vec::new();
    let mut chunk = vec![0; 64 << 10];
    loop {
        let n = mounts.read_at(&mut chunk, text.len() as u64).context("read mountinfo")?;
        if n == 0 {
            break;
        }
        text.extend_from_slice(&chunk[..n]);
    }
    let points = text.split(|byte| *byte == b'\n').filter_map(|line| line.split(|byte| *byte == b' ').nth(4));
    Ok(points.map(unescaped).collect())
}

/// A path of mountinfo, in which space, tab, newline and backslash are octal.
fn unescaped(path: &[u8]) -> PathBuf {
    let mut plain = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((byte, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|_| *byte == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(escaped) => {
                plain.push(escaped);
                rest = &after[3..];
            }
            None => {
                plain.push(*byte);
                rest = after;
            }
        }
    }
    PathBuf::from(OsString::from_vec(plain))
}

/// What is said of one, for people.
pub fn told(fallen: &Fallen) -> String {
    let place: &Path = &fallen.place;
    let place = crate::printable::printable(&place.to_string_lossy());
    let deed = if fallen.hidden { "read" } else { "changed" };
    match &fallen.ended {
        Some(why) => format!("ended, since {place} was replaced on the host and could be {deed}: {why}"),
        None => {
            format!("{place} was replaced on the host and covered again: in between the program could have {deed} it")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_mountinfo_are_unescaped() {
        for (escaped, plain) in [("/a", "/a"), ("/a\\040b\\134c", "/a b\\c"), ("/a\\", "/a\\"), ("/\\012", "/\n")] {
            assert_eq!(unescaped(escaped.as_bytes()), PathBuf::from(plain));
        }
    }
}
