//! The directories of a tree in which git may find a repository: those with a `.git`, whatever it is, and those with a HEAD
//! of their own.
use super::tree::Tree;
use crate::error::one_line;
use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The last names of what makes a directory one of them.
pub const NAMES: [&str; 2] = [".git", "HEAD"];

/// Not entered before a sandbox begins: large, and made by tools. After it, what has changed in them counts.
pub const ASIDE: [&str; 4] = ["node_modules", "target", ".venv", "__pycache__"];

/// More directory entries than this are not looked at, and that is told.
const MOST: usize = 4_000_000;
/// Nor more directories than this with something of git's in them.
const MOST_FOUND: usize = 5_000;

/// What was found below a root.
#[derive(Debug, Default, Clone)]
pub struct Spots {
    /// The directories, as paths from the root.
    pub dirs: BTreeSet<PathBuf>,
    /// Those that were not looked for before.
    pub aside: BTreeSet<PathBuf>,
    /// Why there may be more.
    pub unseen: Vec<String>,
    /// What was changed before this moment was there before, in nanoseconds since 1970.
    pub since: Option<i128>,
}

impl Spots {
    /// From what a walk of somebody else's has found below `root`: whole paths with one of `NAMES` at their end.
    pub fn found<'a>(root: &Path, paths: impl IntoIterator<Item = &'a Path>) -> Spots {
        let inside = |path: &Path| Some(path.strip_prefix(root).ok()?.parent()?.to_owned());
        Spots { dirs: paths.into_iter().filter_map(inside).collect(), ..Spots::default() }
    }

    /// All that there are below `root` now, after a sandbox that began at `began`.
    pub fn after(root: &Path, began: SystemTime) -> Spots {
        // The kernel's clock for files is behind by a tick.
        let since = began.checked_sub(Duration::from_secs(1)).and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let since = since.map_or(0, |time| i128::try_from(time.as_nanos()).unwrap_or(i128::MAX));
        let mut walk = Walk { root, spots: Spots { since: Some(since), ..Spots::default() }, seen: 0 };
        if let Err(error) = walk.all() {
            walk.spots.unseen.push(one_line(&error));
        }
        walk.spots
    }

    /// All below `root` that would be looked for before a sandbox.
    pub fn before(root: &Path) -> Spots {
        let mut spots = Spots::after(root, UNIX_EPOCH);
        (spots.since, spots.aside) = (None, BTreeSet::new());
        spots
    }
}

struct Walk<'a> {
    root: &'a Path,
    spots: Spots,
    seen: usize,
}

impl Walk<'_> {
    fn all(&mut self) -> Result<()> {
        let tree = Tree::open(self.root)?;
        let mut left = vec![(PathBuf::new(), false)];
        while let Some((dir, aside)) = left.pop() {
            self.directory(&tree, &dir, aside, &mut left)?;
        }
        Ok(())
    }

    fn directory(&mut self, tree: &Tree, dir: &Path, aside: bool, left: &mut Vec<(PathBuf, bool)>) -> Result<()> {
        let whole = tree.whole(dir);
        let entries = match fs::read_dir(&whole) {
            Ok(entries) => entries,
            Err(error) => {
                // Nobody but another user could open it up; else the program may have closed it.
                let meta = fs::symlink_metadata(&whole);
                if meta.is_ok_and(|meta| meta.uid() == nix::unistd::geteuid().as_raw()) {
                    self.spots.unseen.push(format!("{}: {error}", whole.display()));
                }
                return Ok(());
            }
        };
        for entry in entries {
            let entry = entry.with_context(|| whole.display().to_string())?;
            self.seen += 1;
            anyhow::ensure!(self.seen <= MOST, "{} holds more than {MOST} files", self.root.display());
            let name = entry.file_name();
            if NAMES.iter().any(|known| *known == name) {
                let found = if aside { &mut self.spots.aside } else { &mut self.spots.dirs };
                found.insert(dir.to_owned());
                let count = self.spots.aside.len() + self.spots.dirs.len();
                anyhow::ensure!(
                    count <= MOST_FOUND,
                    "{} holds more than {MOST_FOUND} repositories",
                    self.root.display()
                );
            }
            if name != ".git" && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                left.push((dir.join(&name), aside || ASIDE.iter().any(|known| *known == name)));
            }
        }
        Ok(())
    }
}
