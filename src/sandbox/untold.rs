//! What nobody has been told of yet: a record for each sandbox of what ran later on the host when it began. It is gone once its
//! report has been seen. Where rrunc was killed, or there was nobody to report to, the next sandbox of the project tells.
use super::Choice;
use super::foreign;
use super::later::{Entry, Inventory, Stamp};
use super::trees::Trees;
use crate::clock::rfc3339;
use crate::error::one_line;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Files that one record holds at the most: it is no larger than what is read of such a file.
const MOST_ENTRIES: usize = 4_000;
/// Records that are kept, of all projects together: the oldest go.
const MOST_RECORDS: usize = 200;

/// The directory of the user's state in which rrunc keeps what is its own.
pub fn directory() -> Option<PathBuf> {
    let dirs = directories::BaseDirs::new()?;
    Some(dirs.state_dir().map_or_else(|| dirs.home_dir().join(".local/state"), Path::to_owned).join("rrunc"))
}

/// What was there when a sandbox began.
#[derive(Debug, Serialize, Deserialize)]
pub struct Remembered {
    /// When that was.
    pub began: String,
    /// The same, in seconds since 1970.
    seconds: u64,
    /// The directories that it could write.
    roots: Vec<PathBuf>,
    /// The patterns that were looked for.
    kinds: Vec<String>,
    entries: BTreeMap<PathBuf, (String, Stamp)>,
}

impl Remembered {
    /// When it began.
    pub fn began_at(&self) -> SystemTime {
        UNIX_EPOCH.checked_add(Duration::from_secs(self.seconds)).unwrap_or(UNIX_EPOCH)
    }

    /// As it was then.
    pub fn inventory(&self) -> Inventory {
        let entry = |(path, (kind, stamp)): (&PathBuf, &(String, Stamp))| {
            (path.clone(), Entry::remembered(kind.clone(), stamp.clone()))
        };
        Inventory { entries: self.entries.iter().map(entry).collect(), not_seen: None }
    }

    /// That of `after` which was looked for then.
    pub fn part_of(&self, after: &Inventory) -> Inventory {
        let sought = |path: &Path, kind: &String| {
            self.kinds.contains(kind) && self.roots.iter().any(|root| path.starts_with(root))
        };
        let part = after.entries.iter().filter(|(path, entry)| sought(path, &entry.kind));
        Inventory { entries: part.map(|(path, entry)| (path.clone(), entry.clone())).collect(), not_seen: None }
    }
}

/// The record of this sandbox, and those that it tells in its own report.
pub struct Record {
    /// None where there is nothing to be told, or nowhere to keep it.
    file: Option<PathBuf>,
    roots: Vec<PathBuf>,
    kinds: Vec<String>,
    began: SystemTime,
    told: RefCell<Vec<(PathBuf, Vec<PathBuf>)>>,
}

impl Record {
    /// That of the sandbox of `maker`. Nothing is written yet.
    pub fn of(trees: &Trees, choice: &Choice, maker: &str) -> Record {
        let roots: Vec<PathBuf> = trees.written().map(Path::to_owned).collect();
        let policy = &choice.policy;
        let kinds = policy.protect.iter().chain(&policy.tell).map(|rule| rule.value.clone()).collect();
        let file = roots.first().and_then(|first| {
            Some(directory()?.join("untold").join(format!("{:016x}-{maker}", fnv(first.as_os_str().as_bytes()))))
        });
        Record { file, roots, kinds, began: SystemTime::now(), told: RefCell::default() }
    }

    /// Writes it.
    pub fn keep(&self, before: &Inventory) {
        if let Some(file) = &self.file
            && let Err(error) = self.write(file, before)
        {
            log::debug!("{}: what was there is not remembered: {}", file.display(), one_line(&error));
        }
    }

    fn write(&self, file: &Path, before: &Inventory) -> Result<()> {
        let text = |path: &PathBuf| path.to_str().is_some();
        let entries = before.entries.iter().filter(|(path, _)| text(path)).take(MOST_ENTRIES);
        let remembered = Remembered {
            began: rfc3339(self.began),
            seconds: self.began.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            roots: self.roots.clone(),
            kinds: self.kinds.clone(),
            entries: entries.map(|(path, entry)| (path.clone(), (entry.kind.clone(), entry.stamp.clone()))).collect(),
        };
        let bytes = serde_json::to_vec(&remembered)?;
        let new = file.with_extension("new");
        let create = || File::options().write(true).create(true).truncate(true).mode(0o600).open(&new);
        let mut out = match create() {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let dir = file.parent().context("a directory")?;
                DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
                create()?
            }
            out => out?,
        };
        out.write_all(&bytes)?;
        Ok(fs::rename(&new, file)?)
    }

    /// The records of earlier sandboxes that could write no more than this one, the oldest first. `is_gone` tells of a maker
    /// whether it still runs.
    pub fn earlier(&self, is_gone: impl Fn(&str) -> bool) -> Vec<Remembered> {
        let Some(own) = &self.file else { return Vec::new() };
        let project = own.file_name().and_then(|name| name.to_str()).and_then(|name| name.split('-').next());
        let entries = own.parent().and_then(|dir| fs::read_dir(dir).ok()).into_iter().flatten().flatten();
        let left = entries.filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let (of, maker) = name.split_once('-')?;
            let maker = maker.strip_suffix(".new").unwrap_or(maker);
            (is_gone(maker) && entry.path() != *own).then(|| (entry.path(), Some(of) == project))
        });
        let left: Vec<(PathBuf, bool)> = left.collect();
        prune(&left);
        let read = |path: &Path| -> Result<Remembered> { Ok(serde_json::from_str(&foreign::text_at(path)?)?) };
        let mut found = Vec::new();
        for path in left.into_iter().filter_map(|(path, is_of_project)| is_of_project.then_some(path)) {
            match read(&path) {
                Ok(one) if one.roots.iter().all(|root| self.roots.contains(root)) => {
                    self.told.borrow_mut().push((path, one.roots.clone()));
                    found.push(one);
                }
                Ok(_) => {}
                Err(error) => log::debug!("{}: {}", path.display(), one_line(&error)),
            }
        }
        found.sort_by(|a, b| a.began.cmp(&b.began));
        found
    }

    /// Whether all is told. If not, one record is left: that of an earlier sandbox says it all, if it is of the same directories.
    pub fn finish(&self, told: bool) {
        let earlier = self.told.borrow();
        let covered = earlier.iter().any(|(_, roots)| *roots == self.roots);
        let own = self.file.iter().filter(|_| told || covered);
        let others = earlier.iter().map(|(path, _)| path).filter(|_| told);
        for file in own.chain(others) {
            if let Err(e) = fs::remove_file(file) {
                log::debug!("remove {}: {e}", file.display());
            }
        }
    }
}

/// Removes the oldest of the records `left` that are too many.
fn prune(left: &[(PathBuf, bool)]) {
    let Some(many) = left.len().checked_sub(MOST_RECORDS) else { return };
    let time = |path: &Path| fs::symlink_metadata(path).and_then(|meta| meta.modified()).ok();
    let mut by_age: Vec<_> = left.iter().map(|(path, _)| (time(path), path)).collect();
    by_age.sort();
    for (_, path) in by_age.into_iter().take(many) {
        fs::remove_file(path).ok();
    }
}

/// A number for a path, by which its records are found; whose they are stands in them (FNV-1a).
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}
