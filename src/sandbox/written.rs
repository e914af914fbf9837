//! Where sandboxes write. What lies there may be their doing: a link is nobody's word, and a file anybody's.
use super::{Caller, project};
use crate::links::{self, Link, Way};
use anyhow::Result;
use std::path::{Path, PathBuf};

/// The directories that sandboxes write, without links: this one, and those that are likely to have been here before it.
#[derive(Debug, Default)]
pub struct Written(Vec<PathBuf>);

impl Written {
    /// Of a sandbox of the project at `root`. What is around the caller is the project of whoever starts one there without
    /// a flag.
    pub fn of(root: Option<&Path>, caller: &Caller) -> Written {
        let mut all = Written(root.map(Path::to_owned).into_iter().collect());
        if !all.holds(&caller.cwd) {
            let around = project::root_around(&caller.cwd, &caller.home).ok();
            all.0.extend(around.filter(|root| !caller.home.starts_with(root)));
        }
        all
    }

    /// More of them.
    pub fn extend(&mut self, dirs: impl Iterator<Item = PathBuf>) {
        self.0.extend(dirs);
    }

    /// Whether `path`, without links, is in one of them or is one.
    pub fn holds(&self, path: &Path) -> bool {
        self.0.iter().any(|dir| path.starts_with(dir))
    }

    /// Whether a sandbox may have made it.
    pub fn may_have_made(&self, link: &Link) -> bool {
        let here = || link.place.parent().is_some_and(|dir| self.holds(dir));
        !link.is_the_systems() && (here() || link.is_in_checkout())
    }

    /// Follows a path that the user has typed.
    ///
    /// # Errors
    /// A link that a sandbox may have made; and what the file system says.
    pub fn follow(&self, path: &Path) -> Result<Way> {
        let way = links::follow(path)?;
        way.refuse(|link| self.may_have_made(link), "no link is followed where a sandbox may write")?;
        Ok(way)
    }
}
