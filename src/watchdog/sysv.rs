//! What System V IPC keeps for a container: segments that no process need have mapped, messages, semaphores. The kernel tells
//! it in /proc/sysvipc, of the namespace of who has opened that: init opens it, and we read.
use anyhow::{Context, Result};
use nix::sys::uio::pread;
use std::os::fd::OwnedFd;

/// As many bytes are read at once; a line has about a hundred.
const PART: usize = 64 * 1024;

/// Bytes that a message takes beside its text, and a semaphore takes.
const MESSAGE: u64 = 64;
const SEMAPHORE: u64 = 64;

/// The files of /proc/sysvipc, in the order in which init sends them.
pub const FILES: [&str; 3] = ["sysvipc/shm", "sysvipc/msg", "sysvipc/sem"];

/// The tables of an IPC namespace.
#[derive(Debug)]
pub struct SystemV([OwnedFd; 3]);

/// One look at all of them, in steps.
#[derive(Debug, Default)]
pub(super) struct Count {
    table: usize,
    at: i64,
    /// A line that goes on.
    rest: Vec<u8>,
    /// Which columns count, as the first line names them.
    columns: Vec<(usize, u64)>,
    bytes: u64,
}

impl SystemV {
    /// Of `files`, which init has opened.
    pub fn new(files: Vec<OwnedFd>) -> Result<SystemV> {
        files
            .try_into()
            .ok()
            .map(SystemV)
            .context("the container's tables of System V IPC are not as many as they should be")
    }

    /// Goes on. The bytes of all, once they are known, or are too many.
    pub(super) fn step(&self, count: &mut Count, limit: u64) -> Option<u64> {
        let Some(file) = self.0.get(count.table).filter(|_| count.bytes <= limit) else { return Some(count.bytes) };
        let mut part = vec![0; PART];
        match pread(file, &mut part, count.at) {
            Ok(length @ 1..) => {
                count.at += length as i64;
                count.add(&part[..length]);
            }
            end => {
                if let Err(e) = end {
                    log::debug!("count the memory of System V IPC: {}", e.desc());
                }
                *count = Count { table: count.table + 1, bytes: count.bytes, ..Count::default() };
            }
        }
        None
    }
}

impl Count {
    fn add(&mut self, text: &[u8]) {
        self.rest.extend_from_slice(text);
        let whole = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let lines: Vec<u8> = self.rest.drain(..whole).collect();
        for line in String::from_utf8_lossy(&lines).lines() {
            let words: Vec<_> = line.split_ascii_whitespace().collect();
            if self.columns.is_empty() {
                self.columns = words.iter().enumerate().filter_map(|(at, name)| Some((at, weight(name)?))).collect();
                continue;
            }
            let number = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
            self.bytes += self.columns.iter().map(|(at, weight)| number(*at).saturating_mul(*weight)).sum::<u64>();
        }
    }
}

/// Bytes for each of what a column counts. What of a segment is mapped is counted with the process, too.
fn weight(column: &str) -> Option<u64> {
    match column {
        "rss" | "swap" | "cbytes" => Some(1),
        "qnum" => Some(MESSAGE),
        "nsems" => Some(SEMAPHORE),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_is_known_by_the_names_of_the_columns() {
        let mut count = Count::default();
        let table = "       key      shmid nattch     rss     swap\n  0  1  0  8192  4096\n  0  2  1  100  0\n";
        for part in table.as_bytes().chunks(7) {
            count.add(part);
        }
        assert_eq!(count.bytes, 8192 + 4096 + 100);
        let mut count = Count::default();
        count.add(b" key msqid perms cbytes qnum lspid\n 0 0 600 1000 10 7\n");
        assert_eq!(count.bytes, 1000 + 10 * MESSAGE);
        let mut count = Count::default();
        count.add(b" key semid perms nsems uid\n 0 0 600 32000 1001\nnonsense");
        assert_eq!(count.bytes, 32000 * SEMAPHORE);
    }
}
