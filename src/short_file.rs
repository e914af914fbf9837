//! Short files, as they are in /proc and /sys and in the state directory. std asks for their size first, which those of the
//! kernel do not know, and reads until nothing comes: two system calls more for each.
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd;
use std::os::fd::AsFd;
use std::path::Path;

/// No record of the files that are read here is longer: of a multiple of records the kernel gives as many as fit into a page
/// (fs/seq_file.c), so that a read which leaves room for another was the last.
const RECORD: usize = 1024;

/// The text of the file at `path`.
pub fn read(path: impl AsRef<Path>) -> nix::Result<String> {
    let file = openat(AT_FDCWD, path.as_ref(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    Ok(String::from_utf8_lossy(&rest(&file)?).into_owned())
}

/// What is left to read of an open file: no pipe, no device.
pub fn rest(file: impl AsFd) -> nix::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    loop {
        match unistd::read(&file, &mut part) {
            Ok(length) => {
                bytes.extend_from_slice(&part[..length]);
                if length + RECORD <= part.len() {
                    return Ok(bytes);
                }
            }
            Err(Errno::EINTR) => {}
            Err(e) => return Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_is_longer_than_a_page_is_read_whole() {
        let path = std::env::temp_dir().join(format!("rrunc-short-{}", std::process::id()));
        for length in [0, 1, 3071, 3072, 3073, 4096, 5000, 8192, 20000] {
            fs::write(&path, vec![b'x'; length]).unwrap();
            assert_eq!(read(&path).unwrap().len(), length);
        }
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_file_of_many_records_is_read_whole() {
        // Some hundred thousand lines of different lengths, of which no page is filled to the last byte. Those of modules and
        // of BPF programs come and go.
        let symbols = "/proc/kallsyms";
        let lasting = |text: &str| text.lines().filter(|line| !line.ends_with(']')).collect::<Vec<_>>().join("\n");
        if let Ok(all) = fs::read_to_string(symbols) {
            assert!(all.len() > 100_000);
            assert!(lasting(&read(symbols).unwrap()) == lasting(&all), "not the same lines");
        }
    }
}
