//! Git's view of a tree: which repositories it finds there, and what of them decides which programs it runs. Taken before a
//! sandbox and after it, and compared: a `git status` on the host, of a prompt or an editor as well, runs what is new.
mod look;

use super::Host;
use super::change::{Change, How, Item};
use super::spots::Spots;
use super::tree::Tree;
use anyhow::Result;
use look::Look;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// What is said of a view that is not whole, no more than this often.
const MOST_UNSEEN: usize = 20;

/// What has been seen.
#[derive(Debug, Default)]
pub struct View {
    /// What decides what git runs, each by its whole path.
    pub(super) items: BTreeMap<PathBuf, Item>,
    /// What must not be changed while a program runs that nobody trusts.
    protect: BTreeSet<PathBuf>,
    /// Entries of worktrees that are not in the tree, each with its directory.
    worktrees: Vec<(PathBuf, PathBuf)>,
    /// Why not all has been seen.
    pub(super) unseen: Vec<String>,
}

impl View {
    /// Git's view of the tree at `root`, an absolute path without links, in which `spots` were found.
    pub fn of(root: &Path, spots: &Spots, host: &Host) -> Result<View> {
        let mut view = Look::begin(&Tree::open(root)?, host).all(spots);
        view.unseen.truncate(MOST_UNSEEN);
        Ok(view)
    }

    /// What there is of what git runs, or takes the names of programs from: not to be changed by a program inside. In
    /// order; links among it can be replaced all the same.
    pub fn protect(&self) -> impl Iterator<Item = &Path> {
        self.protect.iter().map(PathBuf::as_path)
    }

    /// The entries of linked worktrees that lie outside of the tree, each with the worktree's directory: to git in there
    /// those are gone, and `git worktree prune` would remove the entries with all that is staged.
    pub fn worktrees(&self) -> &[(PathBuf, PathBuf)] {
        &self.worktrees
    }

    /// Why there may be more than has been seen, each a sentence with a path.
    pub fn unseen(&self) -> &[String] {
        &self.unseen
    }

    /// What has been changed since then or made, for who has nothing else to compare it with.
    pub fn changed_since(&self, then: SystemTime) -> Vec<Change> {
        let then =
            then.duration_since(UNIX_EPOCH).map_or(0, |time| i128::try_from(time.as_nanos()).unwrap_or(i128::MAX));
        let changed = self.items.iter().filter(|(_, item)| item.changed >= then);
        changed.map(|(path, item)| Change { path: path.clone(), how: How::Changed, what: item.what }).collect()
    }

    /// What is another way in `after` than in `before`.
    pub fn changes(before: &View, after: &View) -> Vec<Change> {
        super::change::between(before, after)
    }
}

#[cfg(test)]
mod tests;
