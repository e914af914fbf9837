//! What is another way in git's view than it was.
use super::view::View;
use std::path::PathBuf;

/// What decides which programs git runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A `.git` that git finds a repository by, or a submodule's git directory.
    Repository,
    /// A directory that is a git directory itself, in which git finds it.
    Bare,
    /// A `.git` that is no repository to git.
    NoRepository,
    /// A submodule that the index names, outside of what a sandbox may write.
    Submodule,
    /// A file of git's configuration, or one that it includes.
    Configuration,
    /// A hook.
    Hook,
    /// A program that the configuration names, or what it takes the names of programs from.
    Program,
    /// Where the rest of a worktree's repository is.
    Pointer,
    /// `info/attributes`: which files go through which program.
    Attributes,
    /// Where else objects are.
    Alternates,
    /// `.gitmodules`.
    Modules,
}

impl What {
    /// What a report calls it.
    pub fn name(self) -> &'static str {
        match self {
            What::Repository => "git repository",
            What::Bare => "bare git repository",
            What::NoRepository => "`.git` that is no repository",
            What::Submodule => "submodule in git's index",
            What::Configuration => "git configuration",
            What::Hook => "git hook",
            What::Program => "file that git's configuration names",
            What::Pointer => "path of a git repository",
            What::Attributes => "git attributes",
            What::Alternates => "git alternates",
            What::Modules => "list of submodules",
        }
    }
}

/// One thing of a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub what: What,
    /// A digest of all of it that matters.
    pub stamp: u64,
    /// When it was changed last, in nanoseconds.
    pub changed: i128,
}

/// How something is another than before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    /// It was not there.
    New,
    /// It says something else, or is another.
    Changed,
    /// It is there no more.
    Gone,
}

/// Something that is another than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Where.
    pub path: PathBuf,
    /// How.
    pub how: How,
    /// What it is, or was.
    pub what: What,
}

/// What `after` has otherwise than `before`, in order of the paths.
pub(super) fn between(before: &View, after: &View) -> Vec<Change> {
    let new = after.items.iter().filter_map(|(path, item)| {
        let how = match before.items.get(path) {
            None => How::New,
            Some(old) if old.stamp != item.stamp || old.what != item.what => How::Changed,
            Some(_) => return None,
        };
        Some(Change { path: path.clone(), how, what: item.what })
    });
    let gone = before.items.iter().filter(|(path, _)| !after.items.contains_key(*path));
    let gone = gone.map(|(path, item)| Change { path: path.clone(), how: How::Gone, what: item.what });
    let mut all: Vec<Change> = new.chain(gone).collect();
    all.sort_by(|a, b| a.path.cmp(&b.path));
    all
}
