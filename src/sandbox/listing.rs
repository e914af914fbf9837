//! Directories as a search has read them: one that has not changed since need not be read again.
//!
//! The kernel changes a directory's ctime with every entry that comes, goes or becomes another, and nobody sets that back.
use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs::{self, FileType, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// So many directories are remembered, and so many entries of them: some megabytes.
const MOST: (usize, usize) = (50_000, 200_000);
/// What changed this short a time before it was read may change again and have the same ctime, in nanoseconds: before
/// Linux 6.13 its clock goes by ticks, and that of another machine may be behind.
const TOO_FRESH: i128 = 1_000_000_000;

/// Which directory it is, and when it last changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    identity: (u64, u64),
    changed: i128,
}

impl Stamp {
    /// Of what is at `path` now.
    pub fn of(path: &Path) -> io::Result<Stamp> {
        let stamp = |meta: Metadata| Stamp {
            identity: (meta.dev(), meta.ino()),
            changed: i128::from(meta.ctime()) * 1_000_000_000 + i128::from(meta.ctime_nsec()),
        };
        fs::symlink_metadata(path).map(stamp)
    }
}

/// What has been read of directories, of each no more than what a search may need again.
#[derive(Debug)]
pub struct Listings {
    dirs: HashMap<PathBuf, (Stamp, BTreeMap<OsString, FileType>)>,
    entries: usize,
    began: i128,
}

impl Default for Listings {
    fn default() -> Listings {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok();
        let began = now.and_then(|time| i128::try_from(time.as_nanos()).ok()).unwrap_or_default();
        Listings { dirs: HashMap::new(), entries: 0, began }
    }
}

impl Listings {
    /// Begins to remember `dir`, or goes on: a search may come to it for one pattern after the other. Whether it is to be
    /// remembered.
    pub fn begin(&mut self, dir: &Path, stamp: Stamp) -> bool {
        if stamp.changed > self.began - TOO_FRESH {
            return false;
        }
        match self.dirs.get(dir) {
            Some((known, _)) if *known == stamp => true,
            Some(_) => {
                self.dirs.remove(dir);
                false
            }
            None if self.dirs.len() >= MOST.0 || self.entries >= MOST.1 => false,
            None => {
                self.dirs.insert(dir.to_owned(), (stamp, BTreeMap::new()));
                true
            }
        }
    }

    /// Adds an entry of it.
    pub fn add(&mut self, dir: &Path, name: &OsStr, kind: FileType) {
        if let Some((_, entries)) = self.dirs.get_mut(dir) {
            self.entries += usize::from(entries.insert(name.to_owned(), kind).is_none());
        }
    }

    /// What was added of `dir`, if it is as it was.
    pub fn unchanged(&self, dir: &Path) -> Option<&BTreeMap<OsString, FileType>> {
        let (stamp, entries) = self.dirs.get(dir)?;
        (Stamp::of(dir).ok()? == *stamp).then_some(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::thread;
    use std::time::Duration;

    #[test]
    fn a_directory_is_known_until_it_changes() {
        let dir = std::env::temp_dir().join(format!("rrunc-listing-{}", std::process::id()));
        fs::remove_dir_all(&dir).ok();
        fs::create_dir(&dir).unwrap();
        File::create(dir.join("a")).unwrap();
        let kind = fs::symlink_metadata(dir.join("a")).unwrap().file_type();
        let read = |listings: &mut Listings| {
            let remembered = listings.begin(&dir, Stamp::of(&dir).unwrap());
            listings.add(&dir, OsStr::new("a"), kind);
            remembered
        };
        assert!(!read(&mut Listings::default()), "it has just been made");
        thread::sleep(Duration::from_millis(1_100));
        let mut listings = Listings::default();
        assert!(read(&mut listings));
        assert!(read(&mut listings), "for another pattern");
        assert_eq!(listings.unchanged(&dir).map(BTreeMap::len), Some(1));
        fs::write(dir.join("a"), "other contents, the same entry").unwrap();
        assert!(listings.unchanged(&dir).is_some());
        for change in [
            |dir: &Path| fs::rename(dir.join("a"), dir.join("b")),
            |dir: &Path| File::create(dir.join("c")).map(drop),
            |dir: &Path| fs::remove_file(dir.join("b")),
        ] {
            change(&dir).unwrap();
            assert!(listings.unchanged(&dir).is_none());
            thread::sleep(Duration::from_millis(1_100));
            listings = Listings::default();
            assert!(read(&mut listings) && listings.unchanged(&dir).is_some());
        }
        File::create(dir.join("d")).unwrap();
        assert!(!read(&mut listings), "it changed between two visits");
        assert!(listings.unchanged(&dir).is_none());
        fs::remove_dir_all(&dir).unwrap();
    }
}
