//! Short files of the kernel's, as they are in /proc and /sys: their size is not known before they are read, and asking
//! for it, as std does, is one system call more for each.
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd;
use std::os::fd::AsFd;
use std::path::Path;

/// The text of the file at `path`.
pub fn read(path: impl AsRef<Path>) -> nix::Result<String> {
    let file = openat(AT_FDCWD, path.as_ref(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    Ok(String::from_utf8_lossy(&rest(&file)?).into_owned())
}

/// What is left to read of an open file.
pub fn rest(file: impl AsFd) -> nix::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    loop {
        match unistd::read(&file, &mut part) {
            Ok(0) => return Ok(bytes),
            Ok(length) => bytes.extend_from_slice(&part[..length]),
            Err(Errno::EINTR) => {}
            Err(e) => return Err(e),
        }
    }
}
