//! Gives up what the plan says with Landlock, in the process that becomes the program: whatever it starts is bound, and
//! the reaper is not. Shared with `exec`.
use crate::plan::landlock::Landlock;
use crate::sys::descriptor;
use crate::sys::landlock::Ruleset;
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::Mode;
use std::os::fd::{AsRawFd, RawFd};

/// Puts this process under `plan`. The descriptors below `streams` are the program's.
pub fn confine(plan: &Landlock, streams: RawFd) -> Result<()> {
    let ruleset = Ruleset::new(plan.handled, plan.scoped).context("make a Landlock ruleset")?;
    let mut left_out = Vec::new();
    for path in &plan.writable {
        let place = match openat(AT_FDCWD, path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()) {
            Ok(place) => place,
            // What a later mount has covered, or this user cannot get at, is not for the program either.
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES | Errno::ELOOP) => {
                left_out.push(path.display().to_string());
                continue;
            }
            Err(e) => return Err(e).with_context(|| path.display().to_string()),
        };
        ruleset.keep(place.as_raw_fd()).with_context(|| format!("keep {} writable", path.display()))?;
    }
    if !left_out.is_empty() {
        // One line, however many there are: who reads them may be asleep until the program runs (`spawn::exec`).
        log::debug!("landlock: not there for the program, nor to be written: {}", left_out.join(", "));
    }
    if plan.handled != 0 {
        keep_streams(&ruleset, streams)?;
    }
    ruleset.restrict_self().context("enter the Landlock domain")
}

/// What was opened for writing may be opened again as /dev/stdout or /proc/self/fd/N, which programs do. What was not
/// stays as it is: the caller has given it to be read.
fn keep_streams(ruleset: &Ruleset, streams: RawFd) -> Result<()> {
    for fd in 0..streams {
        match descriptor::is_writable(fd) {
            Ok(true) => {}
            Ok(false) | Err(Errno::EBADF) => continue,
            Err(e) => return Err(e).with_context(|| format!("look at descriptor {fd}")),
        }
        // No directory can be open for writing.
        match ruleset.keep_file(fd) {
            Ok(()) | Err(Errno::EBADFD) => {}
            Err(e) => return Err(e).with_context(|| format!("keep descriptor {fd} writable")),
        }
    }
    Ok(())
}
