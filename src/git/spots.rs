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
        let mut spots = Spots::default();
        for dir in paths.into_iter().filter_map(inside) {
            if spots.dirs.len() == MOST_FOUND && !spots.dirs.contains(&dir) {
                spots.unseen.push(format!("{} holds more than {MOST_FOUND} repositories", root.display()));
                break;
            }
            spots.dirs.insert(dir);
        }
        spots
    }

    /// Those as well that are below `aside`, which that walk has passed over in `root`, after a sandbox that began at `began`.
    pub fn and_aside<'a>(self, root: &Path, aside: impl IntoIterator<Item = &'a Path>, began: SystemTime) -> Spots {
        // The kernel's clock for files is behind by a tick.
        let since = began.checked_sub(Duration::from_secs(1)).and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let since = since.map_or(0, |time| i128::try_from(time.as_nanos()).unwrap_or(i128::MAX));
        let mut walk = Walk { root, spots: Spots { since: Some(since), ..self }, seen: 0 };
        let inside = aside.into_iter().filter_map(|path| path.strip_prefix(root).ok());
        if let Err(error) = walk.all(inside.map(Path::to_owned).collect()) {
            walk.spots.unseen.push(one_line(&error));
        }
        walk.spots
    }
}

struct Walk<'a> {
    root: &'a Path,
    spots: Spots,
    seen: usize,
}

impl Walk<'_> {
    fn all(&mut self, mut left: Vec<PathBuf>) -> Result<()> {
        let tree = Tree::open(self.root)?;
        left.retain(|dir| tree.meta(dir).is_some_and(|meta| meta.is_dir()));
        while let Some(dir) = left.pop() {
            self.directory(&tree, &dir, &mut left)?;
        }
        Ok(())
    }

    fn directory(&mut self, tree: &Tree, dir: &Path, left: &mut Vec<PathBuf>) -> Result<()> {
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
                self.spots.aside.insert(dir.to_owned());
                let count = self.spots.aside.len() + self.spots.dirs.len();
                anyhow::ensure!(
                    count <= MOST_FOUND,
                    "{} holds more than {MOST_FOUND} repositories",
                    self.root.display()
                );
            }
            if name != ".git" && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                left.push(dir.join(&name));
            }
        }
        Ok(())
    }
}
