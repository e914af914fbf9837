//! Git's own files, read as git reads them, and what git would find and run in a tree. Nobody asks git itself: it would
//! run what the repository says, and that may be somebody else's word.
//!
//! All of it is bounded and waits for nothing. What cannot be seen is said, never passed over.
//!
//! To tell what a program has done to a tree that it may write, take a `View` before it and one after, and compare:
//!
//! - before: `View::of(root, &Spots::found(root, paths), &host)`, with the paths that a walk has found anyway;
//! - after: the same with `Spots::found(…).and_aside(root, aside, began)`, which looks into what that walk passes over;
//! - `View::changes(&before, &after)`, and `after.unseen()` for why there may be more.
//!
//! `before.protect()` is what is not to be changed meanwhile.
pub mod change;
pub mod config;
pub mod include;
pub mod index;
pub mod programs;
pub mod repository;
pub mod spots;
pub mod tree;
pub mod view;

pub use change::{Change, How, What};
pub use spots::Spots;
use std::path::{Path, PathBuf};
pub use view::View;

/// What counts for every repository of a user.
#[derive(Debug, Default, Clone)]
pub struct Host {
    /// What `~/` stands for in a configuration.
    pub home: PathBuf,
    /// The user's configuration.
    pub own: PathBuf,
    /// The user's other one, which comes before.
    pub xdg: PathBuf,
}

impl Host {
    /// Of the user whose home and configuration directories (XDG_CONFIG_HOME) these are.
    pub fn of(home: &Path, xdg: Option<&Path>) -> Host {
        let xdg = xdg.map_or_else(|| home.join(".config"), Path::to_owned).join("git/config");
        Host { home: home.to_owned(), own: home.join(".gitconfig"), xdg }
    }

    /// The files that git reads before a repository's own.
    pub fn configs(&self) -> [&Path; 3] {
        [Path::new("/etc/gitconfig"), &self.xdg, &self.own]
    }
}
