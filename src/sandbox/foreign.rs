//! Files that somebody else may have put where they are: never waited for, never more than expected, and none that a
//! link leads to.
use super::written::Written;
use crate::links;
use anyhow::{Result, bail};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// No such file is larger than this, in bytes.
const MOST: u64 = 1 << 20;

/// The text of a regular file, which a link may lead to.
pub fn text(path: &Path) -> Result<String> {
    read(path, 0)
}

/// The text of a regular file that is no link itself: what one leads to may be nobody's business.
pub fn text_at(path: &Path) -> Result<String> {
    read(path, libc::O_NOFOLLOW)
}

/// The text of the file `path`, to which no link leads that a sandbox may have made. Where one may write it has to be a
/// regular file; elsewhere it may be the pipe that a shell makes of `<(…)`.
pub fn given_text(path: &Path, written: &Written) -> Result<String> {
    let way = written.follow(path)?;
    if way.is_descriptor || !written.holds(&way.real) {
        return Ok(std::fs::read_to_string(&way.real)?);
    }
    regular(links::open(&way.real, OFlag::O_RDONLY, Mode::empty())?)
}

fn read(path: &Path, flags: i32) -> Result<String> {
    // A fifo would be waited for; what is looked at is what has been opened.
    regular(File::options().read(true).custom_flags(flags | libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?)
}

fn regular(file: File) -> Result<String> {
    if !file.metadata()?.is_file() {
        bail!("it is no regular file");
    }
    let mut text = String::new();
    if file.take(MOST + 1).read_to_string(&mut text)? as u64 > MOST {
        bail!("it is larger than {MOST} bytes");
    }
    Ok(text)
}
