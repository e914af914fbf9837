//! Files that somebody else may have put where they are: never waited for, never more than expected, and none that a
//! link leads to.
use anyhow::{Result, anyhow, bail};
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::Mode;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

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

/// Makes the file `path`, or empties it. From where it enters one of the directories `written` by sandboxes no link is
/// followed, for an earlier one may have left it there, and it has to be a regular file.
pub fn create(path: &Path, written: &[PathBuf]) -> Result<File> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC;
    let path = &without_dots(path)?;
    match below(path, written, flags)? {
        Some(file) => Ok(file),
        None => Ok(File::create(path)?),
    }
}

/// The text of the file `path`, opened with the same care.
pub fn given_text(path: &Path, written: &[PathBuf]) -> Result<String> {
    let path = &without_dots(path)?;
    match below(path, written, OFlag::O_RDONLY)? {
        Some(file) => regular(file),
        None => Ok(std::fs::read_to_string(path)?),
    }
}

/// The absolute path without `..`, taken by the word: a component before it may be somebody's link.
fn without_dots(path: &Path) -> Result<PathBuf> {
    let mut plain = PathBuf::new();
    for part in std::path::absolute(path)?.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    Ok(plain)
}

/// Opens the absolute `path` if it is in one of the directories.
fn below(path: &Path, written: &[PathBuf], flags: OFlag) -> Result<Option<File>> {
    let real = |dir: &Path| dir.canonicalize().ok().filter(|dir| written.contains(dir));
    let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
    above.reverse();
    let Some((from, dir)) = above.into_iter().find_map(|dir| Some((dir, real(dir)?))) else {
        return Ok(None);
    };
    let dir = File::open(dir)?;
    let mode = if flags.contains(OFlag::O_CREAT) { Mode::from_bits_truncate(0o666) } else { Mode::empty() };
    let how = OpenHow::new().flags(flags | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC).mode(mode);
    let how = how.resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS);
    let file = File::from(openat2(&dir, path.strip_prefix(from)?, how).map_err(|errno| refusal(path, errno))?);
    if !file.metadata()?.is_file() {
        bail!("it is no regular file");
    }
    Ok(Some(file))
}

/// Why a file that a sandbox may have put there is not opened.
fn refusal(path: &Path, errno: Errno) -> anyhow::Error {
    match errno {
        Errno::ELOOP => anyhow!(errno).context("no link is followed where a sandbox may write"),
        // A fifo or socket that nobody reads.
        Errno::ENXIO => {
            let kind = path.symlink_metadata().map(|meta| meta.file_type());
            let what = match kind {
                Ok(kind) if kind.is_fifo() => "it is a fifo",
                Ok(kind) if kind.is_socket() => "it is a socket",
                _ => "it is a device",
            };
            anyhow!("{what}, and no regular file")
        }
        errno => errno.into(),
    }
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
