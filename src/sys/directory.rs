//! getdents64(2): a directory listed with what each name is. nix's `Dir` asks for the descriptor's flags first and reads by
//! two kilobytes, which a list of /proc takes twice as many calls with.
use super::check;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Offsets in `struct linux_dirent64`.
const LENGTH: usize = 16;
const KIND: usize = 18;
const NAME: usize = 19;

/// The entries of the directory `dir`, open to read: each name, and what it is (DT_*), which not every file system tells.
pub fn entries(dir: BorrowedFd) -> nix::Result<Vec<(Vec<u8>, u8)>> {
    let mut entries = Vec::new();
    let mut part = [0u8; 8192];
    loop {
        let (fd, start, size) = (dir.as_raw_fd(), part.as_mut_ptr(), part.len());
        // SAFETY: the kernel writes at most `size` bytes to `part`.
        let length = check(unsafe { libc::syscall(libc::SYS_getdents64, fd, start, size) })? as usize;
        let mut rest = part.get(..length).unwrap_or_default();
        if rest.is_empty() {
            return Ok(entries);
        }
        while let Some(entry) = rest.split_off(..entry_length(rest)) {
            let name = entry.get(NAME..).and_then(|name| name.split(|byte| *byte == 0).next()).unwrap_or_default();
            entries.push((name.to_vec(), entry.get(KIND).copied().unwrap_or(libc::DT_UNKNOWN)));
        }
    }
}

fn entry_length(rest: &[u8]) -> usize {
    match rest.get(LENGTH..LENGTH + 2) {
        Some(length) => usize::from(u16::from_ne_bytes([length[0], length[1]])).max(1),
        None => usize::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::os::fd::AsFd;

    #[test]
    fn every_name_is_listed_with_its_kind() {
        let dir = std::env::temp_dir().join(format!("rrunc-entries-{}", std::process::id()));
        fs::create_dir_all(dir.join("below")).unwrap();
        std::os::unix::fs::symlink("x", dir.join("link")).unwrap();
        for i in 0..500 {
            fs::write(dir.join(format!("a file with a rather long name, number {i}")), "").unwrap();
        }
        let all = entries(File::open(&dir).unwrap().as_fd()).unwrap();
        let of =
            |kind: u8| all.iter().filter(|entry| entry.1 == kind).map(|entry| entry.0.as_slice()).collect::<Vec<_>>();
        assert_eq!((of(libc::DT_LNK), of(libc::DT_REG).len(), of(libc::DT_DIR).len()), (vec![&b"link"[..]], 500, 3));
        fs::remove_dir_all(dir).unwrap();
    }
}
