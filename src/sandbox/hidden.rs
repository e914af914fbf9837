//! Which files of the host a list of patterns means, at this moment: what `hide` and `protect` act on.
//!
//! A pattern is a path below the root of what was granted. `*`, `?` and `[…]` match within a name; `**` stands for any
//! directories, but does not look into those where packages and build products lie, unless a link of the tree leads there:
//! what is behind that is a part of the tree to whoever works in it.
//!
//! Whoever fills the tree has an interest in that something is missed. A place that cannot be looked at, and that the
//! program could open up again, is therefore an error.
mod glob;

use super::listing::{Listings, Stamp};
use crate::error::with_hint;
use anyhow::{Context, Result, anyhow};
pub use glob::Glob;
use glob::Part;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsString;
use std::fs::{self, FileType, ReadDir};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// More directory entries than this are not looked at: then there is no answer, and no sandbox.
const MOST: usize = 2_000_000;

/// Nor is there one if more than this match: each of them is a mount.
const MOST_FOUND: usize = 2_000;

/// Of what is only told so many are kept, and the others counted.
const MOST_TOLD: usize = 20_000;

/// Not entered by `**`: large, made by tools, and no place that people put secrets in.
const NOT_ENTERED: [&str; 5] = [".git", "node_modules", "target", ".venv", "__pycache__"];

/// What a search is for.
#[derive(Debug, Clone, Copy)]
pub struct Aim<'a> {
    /// Each match of so many patterns, the first ones, becomes a mount: more than `MOST_FOUND` of these are an error.
    pub mounts: usize,
    /// All matches of so many, the first ones, are kept. Of those of the others `MOST_TOLD`.
    pub kept: usize,
    /// What an earlier search with these patterns, or more, has read. It makes this one lenient: what cannot be looked at is
    /// told, and the rest looked at all the same.
    pub known: Option<&'a Listings>,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Matches {
    /// Each path, in order, with the numbers of the patterns that it matches.
    pub all: BTreeMap<PathBuf, Vec<usize>>,
    /// How many were found and are not kept.
    pub more: usize,
    /// The first thing that could not be looked at.
    pub not_seen: Option<anyhow::Error>,
    /// For the next search, unless this one was the second.
    pub listings: Listings,
}

/// What there is below `root`, which has no link in it, of any of the patterns. Links are matched; followed are those to
/// directories below `root` that `**` would not enter. One walk for all patterns.
///
/// # Errors
/// A place that cannot be looked at, unless that is only to be told; too many files or matches.
pub fn matching(root: &Path, globs: &[&Glob], aim: Aim) -> Result<Matches> {
    let mut search = Search {
        root,
        followed: HashSet::new(),
        aim,
        anywhere: Anywhere::default(),
        seen: 0,
        mounts: 0,
        told: 0,
        open: None,
        found: Matches::default(),
    };
    let mut patterns = Vec::new();
    for (number, glob) in globs.iter().enumerate() {
        match glob.0.as_slice() {
            [Part::Any, Part::Name(name), rest @ ..] => {
                search.anywhere.add(name, (number, rest));
            }
            pattern => patterns.push((number, pattern)),
        }
    }
    let deep = !search.anywhere.names.is_empty();
    search.directory(root, &patterns, deep, true).with_context(|| format!("look through {}", root.display()))?;
    Ok(search.found)
}

/// A pattern, or what is left of it below a directory, with its number.
type Rest<'a> = (usize, &'a [Part]);

/// What follows `**/NAME`, by the name: there are many such patterns, and each entry is compared with all of them.
struct Anywhere<'a> {
    names: HashMap<&'a str, Vec<Rest<'a>>>,
    /// For each first byte which lengths there are, a bit for each: most entries are none of the names.
    lengths: [u64; 256],
}

impl Default for Anywhere<'_> {
    fn default() -> Self {
        Anywhere { names: HashMap::new(), lengths: [0; 256] }
    }
}

impl<'a> Anywhere<'a> {
    fn add(&mut self, name: &'a str, rest: Rest<'a>) {
        self.names.entry(name).or_default().push(rest);
        self.lengths[Self::first(name)] |= 1 << (name.len() % 64);
    }

    fn rests(&self, name: &str) -> Option<&Vec<Rest<'a>>> {
        let may_be = self.lengths[Self::first(name)] & (1 << (name.len() % 64)) != 0;
        if may_be { self.names.get(name) } else { None }
    }

    fn first(name: &str) -> usize {
        name.bytes().next().map_or(0, usize::from)
    }
}

/// A directory to look into, with what is left of patterns there, and whether those for anywhere count.
type Inner<'a> = (PathBuf, Vec<Rest<'a>>, bool);

struct Search<'a> {
    root: &'a Path,
    /// Where links have led.
    followed: HashSet<PathBuf>,
    aim: Aim<'a>,
    anywhere: Anywhere<'a>,
    seen: usize,
    mounts: usize,
    told: usize,
    /// The C library takes the memory of a directory's stream from the kernel, and gives it back at its end, each time: unless
    /// one is open.
    open: Option<ReadDir>,
    found: Matches,
}

impl<'a> Search<'a> {
    /// Applies patterns to what `dir` holds, and those for anywhere if that is `deep` in what they look into. All at once, so
    /// that a tree is read once.
    fn directory(&mut self, dir: &Path, patterns: &[Rest<'a>], deep: bool, top: bool) -> Result<()> {
        let mut listed: Vec<Rest> = Vec::new();
        for &(number, pattern) in patterns {
            match pattern {
                [Part::Name(name), rest @ ..] => self.entry(dir.join(name), (number, rest))?,
                [] => {}
                _ => listed.push((number, pattern)),
            }
        }
        if listed.is_empty() && !deep {
            return Ok(());
        }
        let known = self.aim.known.and_then(|known| known.unchanged(dir));
        // Before it is read: what changes meanwhile is another one afterwards.
        let stamp = if self.aim.known.is_none() { Stamp::of(dir).ok() } else { None };
        let entries: Box<dyn Iterator<Item = io::Result<(OsString, FileType)>>> = match known {
            Some(known) => Box::new(known.iter().map(|(name, kind)| Ok((name.clone(), *kind)))),
            None => match fs::read_dir(dir) {
                Ok(entries) => {
                    if !top && self.open.is_none() {
                        self.open = fs::read_dir(self.root).ok();
                    }
                    Box::new(entries.map(|entry| entry.and_then(|entry| Ok((entry.file_name(), entry.file_type()?)))))
                }
                Err(e) if !top && nothing_there(dir, &e) => return Ok(()),
                Err(e) => return self.unseen(dir, e),
            },
        };
        let remembered = stamp.is_some_and(|stamp| self.found.listings.begin(dir, stamp));
        // Closed again before what is below is opened: a tree may be deeper than there are descriptors.
        let mut inner: Vec<Inner> = Vec::new();
        for entry in entries {
            let (name, kind) = entry?;
            if !self.count()? {
                return Ok(());
            }
            let matched = self.listed(dir, (&name, kind), &listed, deep, &mut inner)?;
            if remembered && (matched || kind.is_dir() || kind.is_symlink()) {
                self.found.listings.add(dir, &name, kind);
            }
        }
        inner.iter().try_for_each(|(path, below, deep)| self.directory(path, below, *deep, false))
    }

    /// Looks at an entry of `dir`, and adds what is to be looked at below it. Whether it matches anything.
    fn listed(
        &mut self,
        dir: &Path,
        (file_name, kind): (&OsString, FileType),
        listed: &[Rest<'a>],
        deep: bool,
        inner: &mut Vec<Inner<'a>>,
    ) -> Result<bool> {
        let name = file_name.to_string_lossy();
        let entered = !NOT_ENTERED.contains(&&*name);
        let enters = kind.is_dir() && entered;
        if kind.is_symlink()
            && entered
            && let Some(target) = self.passed_over(&dir.join(file_name))
        {
            let anywhere = listed.iter().filter(|(_, pattern)| pattern.first() == Some(&Part::Any)).copied();
            inner.push((target, anywhere.collect(), deep));
        }
        let mut below: Vec<Rest> = Vec::new();
        let mut matched: Vec<Rest> = Vec::new();
        if deep && let Some(rests) = self.anywhere.rests(&name) {
            matched.extend(rests);
        }
        for &(number, pattern) in listed {
            let rest = match pattern {
                [Part::Any, rest @ ..] => {
                    if enters {
                        below.push((number, pattern));
                    }
                    rest
                }
                pattern => pattern,
            };
            if let [first, rest @ ..] = rest
                && first.is(&name)
            {
                matched.push((number, rest));
            }
        }
        let matches = !matched.is_empty();
        for (number, rest) in matched {
            if rest.is_empty() { self.keep(dir.join(file_name), number)? } else { below.push((number, rest)) }
        }
        if kind.is_dir() && (!below.is_empty() || deep && enters) {
            inner.push((dir.join(file_name), below, deep && enters));
        }
        Ok(matches)
    }

    /// The directory of the tree that `link` leads to, if it is one that no walk would come to otherwise. The text of a link
    /// names one of those directories, or another link, which is looked at as well.
    fn passed_over(&mut self, link: &Path) -> Option<PathBuf> {
        let names = |path: &Path| path.iter().any(|name| NOT_ENTERED.iter().any(|passed| name == *passed));
        fs::read_link(link).ok().filter(|target| names(target))?;
        let target = link.canonicalize().ok().filter(|target| target.is_dir())?;
        let below = target.strip_prefix(self.root).ok()?;
        (names(below) && self.followed.insert(target.clone())).then_some(target)
    }

    /// Goes on at `path` with the rest of a pattern.
    fn entry(&mut self, path: PathBuf, rest: Rest<'a>) -> Result<()> {
        if !self.count()? {
            return Ok(());
        }
        match fs::symlink_metadata(&path) {
            Ok(_) if rest.1.is_empty() => self.keep(path, rest.0),
            Ok(meta) if meta.is_dir() => self.directory(&path, &[rest], false, false),
            Ok(_) => Ok(()),
            Err(e) if nothing_there(path.parent().unwrap_or(&path), &e) => Ok(()),
            Err(e) => self.unseen(&path, e),
        }
    }

    fn keep(&mut self, path: PathBuf, number: usize) -> Result<()> {
        let is_mount = number < self.aim.mounts;
        if number >= self.aim.kept && !self.found.all.contains_key(&path) {
            if self.told >= MOST_TOLD {
                self.found.more += 1;
                return Ok(());
            }
            self.told += 1;
        }
        self.found.all.entry(path).or_default().push(number);
        self.mounts += usize::from(is_mount);
        check_mounts(self.mounts)
    }

    /// Whether there is to be another.
    fn count(&mut self) -> Result<bool> {
        self.seen += 1;
        if self.seen <= MOST {
            return Ok(true);
        }
        let error = anyhow!("more than {MOST} files: hidden ones among them would be missed");
        self.missed(with_hint(error, "grant less, or take the patterns with ** away")).map(|()| false)
    }

    fn unseen(&mut self, path: &Path, error: io::Error) -> Result<()> {
        self.missed(unseen(path, error))
    }

    fn missed(&mut self, error: anyhow::Error) -> Result<()> {
        if self.aim.known.is_none() {
            return Err(error);
        }
        self.found.not_seen.get_or_insert(error);
        Ok(())
    }
}

/// Refuses more mounts than a start bears.
pub fn check_mounts(count: usize) -> Result<()> {
    if count > MOST_FOUND {
        let error = anyhow!("more than {MOST_FOUND} files match");
        return Err(with_hint(error, "grant less, or take patterns away"));
    }
    Ok(())
}

/// Whether an error means that there is nothing: what is gone is gone, and what nobody but another user can open up is
/// closed to the program as well.
fn nothing_there(dir: &Path, error: &io::Error) -> bool {
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENOTDIR) => true,
        Some(libc::EACCES) => {
            let own = nix::unistd::geteuid().as_raw();
            let seen = dir.ancestors().find_map(|dir| fs::symlink_metadata(dir).ok());
            seen.is_some_and(|meta| meta.uid() != own)
        }
        _ => false,
    }
}

fn unseen(path: &Path, error: io::Error) -> anyhow::Error {
    let hint = match error.raw_os_error() {
        Some(libc::EACCES) => "the program could open it up: give yourself access (chmod u+rwx), or remove it",
        _ => "hidden files below it would be missed: move or remove it",
    };
    with_hint(anyhow::Error::from(error).context(path.display().to_string()), hint)
}

#[cfg(test)]
mod tests;
