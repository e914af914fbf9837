//! What runs later on the host, as it was before a sandbox and as it is after: what has been added, changed or taken away.
//!
//! Files are compared by inode, size, times and mode. The time of change (ctime) is the kernel's own and nobody sets it back, so
//! that what is the same has not been written; where it is not, a digest tells whether the contents are, if there is one.
use super::trees::{Now, Trees};
use super::{Choice, untold};
use crate::error::one_line;
use crate::git;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::hash::{BuildHasher, RandomState};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// No more than this many files in directories that match are looked at.
const MOST_INSIDE: usize = 20_000;
/// Files no larger than this get a digest, in bytes, and so many of them.
const MOST_DIGESTED: (u64, usize) = (64 << 10, 500);

/// What one file was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp(u32, u64, u64, i64, i64, i64, i64);

impl Stamp {
    fn of(meta: &Metadata) -> Stamp {
        let times = (meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec());
        // The size and times of a directory are those of its entries, each of which has its own.
        match meta.is_dir() {
            true => Stamp(meta.mode(), 0, 0, 0, 0, 0, 0),
            false => Stamp(meta.mode(), meta.ino(), meta.size(), times.0, times.1, times.2, times.3),
        }
    }
}

/// One file, with the pattern that it is told for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The pattern.
    pub kind: String,
    /// What it is.
    pub stamp: Stamp,
    digest: Option<u64>,
}

impl Entry {
    /// What a record says of one.
    pub fn remembered(kind: String, stamp: Stamp) -> Entry {
        Entry { kind, stamp, digest: None }
    }
}

/// All of them.
#[derive(Debug, Default)]
pub struct Inventory {
    /// By their paths on the host.
    pub entries: BTreeMap<PathBuf, Entry>,
    /// Why that is not all.
    pub not_seen: Option<String>,
}

/// What has become of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// It was not there.
    New,
    /// It is another, or has other contents or another mode.
    Changed,
    /// It is there no more.
    Gone,
}

impl What {
    /// In the report.
    pub fn word(self) -> &'static str {
        match self {
            What::New => "new",
            What::Changed => "changed",
            What::Gone => "gone",
        }
    }
}

/// What is different.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// On the host.
    pub path: PathBuf,
    /// The pattern.
    pub kind: String,
    /// In which way.
    pub what: What,
    /// It was so before this sandbox: when that sandbox began whose end nobody was told of.
    pub since: Option<String>,
}

impl Inventory {
    /// Of what was found when the sandbox was set up.
    pub fn before(trees: &Trees) -> Inventory {
        let mut all = Inventory::default();
        let found = trees.all.iter().flat_map(|tree| &tree.later);
        found.for_each(|(path, kind)| all.add(path, kind, true));
        // What is missing here is told as new.
        all.not_seen = None;
        all
    }

    /// Of what is there now.
    fn after(now: &Result<Vec<Now>>) -> Inventory {
        let mut all = Inventory::default();
        match now {
            Ok(trees) => {
                all.not_seen = trees.iter().find_map(|tree| tree.not_seen.clone());
                trees.iter().flat_map(|tree| &tree.later).for_each(|(path, kind)| all.add(path, kind, true));
            }
            Err(error) => all.not_seen = Some(one_line(error)),
        }
        all
    }

    /// Adds what is at `path`, with all that is in it. What `matches` comes in any case.
    fn add(&mut self, path: &Path, kind: &str, matches: bool) {
        if self.entries.contains_key(path) {
            return;
        }
        if !matches && self.entries.len() >= MOST_INSIDE {
            self.not_seen.get_or_insert_with(|| format!("{}: more files than are looked at", path.display()));
            return;
        }
        // Gone meanwhile.
        let Ok(meta) = fs::symlink_metadata(path) else { return };
        let entry = Entry { kind: kind.to_owned(), stamp: Stamp::of(&meta), digest: None };
        self.entries.insert(path.to_owned(), entry);
        if !meta.is_dir() {
            return;
        }
        match fs::read_dir(path) {
            Ok(inner) => inner.flatten().for_each(|entry| self.add(&entry.path(), kind, false)),
            Err(e) => {
                self.not_seen.get_or_insert_with(|| format!("{}: {e}", path.display()));
            }
        }
    }

    /// Reads the small files. It may be done while the program runs: a file that is another by then gets no digest.
    pub fn digest(&mut self, keys: &RandomState) {
        let small = self.entries.iter_mut().filter(|(_, entry)| {
            let Stamp(mode, _, size, ..) = entry.stamp;
            mode & libc::S_IFMT == libc::S_IFREG && size <= MOST_DIGESTED.0
        });
        for (path, entry) in small.take(MOST_DIGESTED.1) {
            entry.digest = digest(path, &entry.stamp, keys);
        }
    }

    /// What is different in `after`, of which `since` says which sandbox it is of.
    pub fn changes(&self, after: &Inventory, keys: &RandomState, since: Option<&str>) -> Vec<Change> {
        let change = |path: &Path, entry: &Entry, what| Change {
            path: path.to_owned(),
            kind: entry.kind.clone(),
            what,
            since: since.map(str::to_owned),
        };
        // Of what is new as a whole, or gone, that is all that is said.
        let within = |path: &Path, of: &Inventory, other: &Inventory| {
            path.parent().is_some_and(|dir| of.entries.contains_key(dir) && !other.entries.contains_key(dir))
        };
        let now = after.entries.iter().filter_map(|(path, entry)| match self.entries.get(path) {
            None => (!within(path, after, self)).then(|| change(path, entry, What::New)),
            Some(old) => (!same(path, old, entry, keys)).then(|| change(path, entry, What::Changed)),
        });
        let gone = self.entries.iter().filter(|(path, _)| !after.entries.contains_key(*path));
        let gone = gone.filter(|(path, _)| !within(path, self, after) && path.symlink_metadata().is_err());
        now.chain(gone.map(|(path, entry)| change(path, entry, What::Gone))).collect()
    }
}

fn same(path: &Path, old: &Entry, new: &Entry, keys: &RandomState) -> bool {
    let equal = || old.digest.is_some() && old.stamp.0 == new.stamp.0 && old.digest == digest(path, &new.stamp, keys);
    old.stamp == new.stamp || equal()
}

/// The digest of what is at `path` and still as it was. The keys are this process's own, so that nobody can make two files
/// of one digest.
fn digest(path: &Path, stamp: &Stamp, keys: &RandomState) -> Option<u64> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = File::options().read(true).custom_flags(flags).open(path).ok()?;
    let is_same = || file.metadata().is_ok_and(|meta| Stamp::of(&meta) == *stamp);
    let mut bytes = Vec::new();
    if !is_same() {
        return None;
    }
    (&file).take(MOST_DIGESTED.0 + 1).read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 <= MOST_DIGESTED.0 && is_same()).then(|| keys.hash_one(&bytes))
}

/// What git finds otherwise.
fn of_git(changes: Vec<git::Change>, since: Option<&str>) -> Vec<Change> {
    let what = |how| match how {
        git::How::New => What::New,
        git::How::Changed => What::Changed,
        git::How::Gone => What::Gone,
    };
    let change = |change: git::Change| Change {
        kind: change.what.name().to_owned(),
        what: what(change.how),
        since: since.map(str::to_owned),
        path: change.path,
    };
    changes.into_iter().map(change).collect()
}

/// Adds those of which nothing is said yet, nor of a directory around them that is new or gone as a whole.
fn join(changes: &mut Vec<Change>, more: Vec<Change>) {
    let known: BTreeMap<PathBuf, What> = changes.iter().map(|change| (change.path.clone(), change.what)).collect();
    let around =
        |path: &Path| path.ancestors().skip(1).any(|dir| known.get(dir).is_some_and(|what| *what != What::Changed));
    changes.extend(more.into_iter().filter(|change| !known.contains_key(&change.path) && !around(&change.path)));
}

/// Before and after, in one sandbox.
pub struct Watch {
    keys: RandomState,
    before: Inventory,
    record: untold::Record,
}

impl Watch {
    /// From before the program runs. `maker` tells this sandbox from all others.
    pub fn begin(trees: &Trees, choice: &Choice, maker: &str) -> Watch {
        let record = untold::Record::of(trees, choice, maker);
        Watch { keys: RandomState::new(), before: Inventory::before(trees), record }
    }

    /// What need not be done before the program runs: contents are read, and a record is kept for the case that this
    /// process does not live to tell.
    pub fn started(&mut self) {
        self.before.digest(&self.keys);
        self.record.keep(&self.before);
    }

    /// What is different now, be it of this sandbox or of earlier ones that have ended untold; and why that is not all.
    /// `is_gone` tells of a maker whether it still runs.
    pub fn end(
        &mut self,
        trees: &Trees,
        choice: &Choice,
        is_gone: impl Fn(&str) -> bool,
    ) -> (Vec<Change>, Option<String>) {
        let now = trees.now(choice);
        let after = Inventory::after(&now);
        let mut changes = self.before.changes(&after, &self.keys, None);
        let mut not_seen = after.not_seen.clone();
        let mut views = Vec::new();
        for Now { tree, git, .. } in now.iter().flatten() {
            match git {
                Ok(view) => {
                    join(&mut changes, of_git(git::View::changes(&tree.git, view), None));
                    not_seen = not_seen.or_else(|| view.unseen().first().cloned());
                    views.push(view);
                }
                Err(error) => not_seen = not_seen.or_else(|| Some(one_line(error))),
            }
        }
        for earlier in self.record.earlier(is_gone) {
            let since = Some(earlier.began.as_str());
            join(&mut changes, earlier.inventory().changes(&earlier.part_of(&after), &self.keys, since));
            for view in &views {
                join(&mut changes, of_git(view.changed_since(earlier.began_at()), since));
            }
        }
        (changes, not_seen)
    }

    /// Whether somebody has been told of it all, or there was nothing to tell. If not, the next sandbox will.
    pub fn finish(&self, told: bool) {
        self.record.finish(told);
    }
}
