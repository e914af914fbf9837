//! The directory of `--write-bundle`: made anew, for the caller alone, and not where a sandbox could change what is in it. Its
//! hooks run on the host, and its config.json holds the values of `-e`.
use super::written::Written;
use crate::error::{WithHint, with_hint};
use crate::links;
use anyhow::{Context, Result, anyhow, ensure};
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, mkdirat};
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Makes `dir`, and opens what was made: files in it are written by way of that, whatever its name means by then.
pub fn make(dir: &Path, written: &Written) -> Result<File> {
    let place = written.follow(dir)?.real;
    if written.holds(&place) || links::is_in_checkout(&place) {
        let error = anyhow!(
            "{} is where sandboxes may write: what it does on your host would be theirs to change",
            place.display()
        );
        return Err(with_hint(error, "name a directory outside of any project"));
    }
    let hint = || "name a directory that is not there yet, in one that is";
    let (above, name) = place.parent().zip(place.file_name()).context("it has no name").hint(hint)?;
    let above = links::open(above, OFlag::O_PATH | OFlag::O_DIRECTORY, Mode::empty()).hint(hint)?;
    mkdirat(&above, name, Mode::S_IRWXU).hint(hint)?;
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let made = File::from(openat(&above, name, flags, Mode::empty())?);
    let meta = made.metadata()?;
    let own = nix::unistd::geteuid().as_raw();
    ensure!(meta.uid() == own && meta.mode() & 0o077 == 0, "somebody else has put another directory in its place");
    Ok(made)
}
