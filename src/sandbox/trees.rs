//! The directories of the host that are granted, and what the patterns find in each at this moment: what is hidden, what is
//! protected, and what is told of when it changes. One look for all; the project is no other than any writable grant.
use super::Choice;
use super::caller::Caller;
use super::grants::{self, Grant};
use super::guarded::Guarded;
use super::hidden::{self, Aim, Glob, matching};
use super::listing::Listings;
use super::policy::Rule;
use super::view;
use crate::cli::SandboxArgs;
use crate::error::{one_line, with_hint};
use crate::git;
use anyhow::{Context, Result, anyhow};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What becomes of what a pattern finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Hide,
    Protect,
    /// What git may find a repository by.
    Git,
    /// What no pattern looks into.
    Aside,
    Tell,
}

struct Pattern {
    glob: Glob,
    class: Class,
    /// The pattern as it was written.
    text: String,
}

/// What runs later on the host, with the pattern that says so.
pub type Later = (PathBuf, String);

/// A directory of the host.
#[derive(Debug)]
pub struct Tree {
    /// On the host, without links.
    pub source: PathBuf,
    /// Inside.
    pub place: PathBuf,
    /// The program may write it, and it is no cache of the sandbox's own: what runs later is protected and told.
    pub written: bool,
    /// It is the repository of a linked worktree: patterns of `.git` are for what is in it.
    repository: bool,
    /// What is hidden in it.
    pub hidden: Vec<PathBuf>,
    /// What is read-only in it.
    pub protected: Vec<PathBuf>,
    /// What runs later on the host.
    pub later: Vec<Later>,
    /// What git finds in it and takes programs from.
    pub git: git::View,
    /// The directories of it that have been read.
    listings: Listings,
}

/// What is found in a tree after the program has run.
pub struct Now<'a> {
    /// The tree.
    pub tree: &'a Tree,
    /// What runs later on the host.
    pub later: Vec<Later>,
    /// Why that is not all.
    pub not_seen: Option<String>,
    /// What git finds in it now.
    pub git: Result<git::View>,
}

/// All of them.
pub struct Trees {
    /// What is granted beside the project, in order.
    pub grants: Vec<Grant>,
    /// The project, the repository of a linked worktree, and the grants that are directories.
    pub all: Vec<Tree>,
    /// What git goes by on the host.
    host: git::Host,
    /// From before it was looked at.
    began: SystemTime,
}

impl Trees {
    /// Looks for everything in everything that `choice` grants.
    pub fn look(args: &SandboxArgs, choice: &Choice, caller: &Caller) -> Result<Trees> {
        let mut grants = grants::all(choice, caller)?;
        grants.extend(choice.sockets.grants.iter().cloned());
        let links = super::links(args, choice)?;
        for grant in &mut grants {
            grant.destination = view::through(&links, &grant.destination);
        }
        let patterns = patterns(choice)?;
        let of_git = of_git(&patterns)?;
        let host = git::Host::of(&caller.home, caller.path_in("XDG_CONFIG_HOME"));
        let began = SystemTime::now();
        let mut all = granted(choice, &grants);
        for tree in &mut all {
            tree.find(if tree.repository { &of_git } else { &patterns }, &host)?;
        }
        protect_worktrees(&mut all)?;
        Ok(Trees { grants, all, host, began })
    }

    /// What there is now in each tree that may be written. The program may have made trees that cannot be looked through, but
    /// not that nothing is told.
    pub fn now(&self, choice: &Choice) -> Result<Vec<Now<'_>>> {
        let patterns: Vec<Pattern> = patterns(choice)?.into_iter().filter(|p| p.class != Class::Hide).collect();
        let of_git = of_git(&patterns)?;
        let written = self.all.iter().filter(|tree| tree.written);
        written.map(|tree| tree.now(if tree.repository { &of_git } else { &patterns }, self)).collect()
    }

    /// The places on the host that the program may write, in order.
    pub fn written(&self) -> impl Iterator<Item = &Path> {
        self.all.iter().filter(|tree| tree.written).map(|tree| tree.source.as_path())
    }

    /// What is hidden or protected where the program may write, as an example.
    pub fn covered_in_written<'a>(&'a self, guarded: &'a Guarded) -> Option<&'a Path> {
        self.all.iter().filter(|tree| tree.written).find_map(|tree| {
            let secret = || guarded.within.iter().find(|dir| dir.starts_with(&tree.source) && dir.exists());
            tree.hidden.first().or(tree.protected.first()).or_else(secret).map(PathBuf::as_path)
        })
    }
}

/// The directories, before anything is looked for in them.
fn granted(choice: &Choice, grants: &[Grant]) -> Vec<Tree> {
    let tree = |source: &Path, place: &Path, written| Tree {
        source: source.to_owned(),
        place: place.to_owned(),
        written,
        repository: false,
        hidden: Vec::new(),
        protected: Vec::new(),
        later: Vec::new(),
        git: git::View::default(),
        listings: Listings::default(),
    };
    let mut all = Vec::new();
    if let Some(project) = &choice.project {
        all.push(tree(&project.root, &project.root, choice.writes_project()));
        if let Some(repository) = project.repository.as_ref().filter(|repository| repository.writable) {
            all.push(Tree { repository: true, ..tree(&repository.common, &repository.common, true) });
        }
    }
    for (number, grant) in grants.iter().enumerate().filter(|(_, grant)| grant.source.is_dir()) {
        // Behind those of flags and profiles are caches and sockets.
        let written = grant.writable && number < choice.grants.len();
        match all.iter_mut().find(|tree| tree.source == grant.source && tree.place == grant.destination) {
            // At one place the grant is seen: it is the user's own word.
            Some(tree) => tree.written = written,
            None => all.push(tree(&grant.source, &grant.destination, written)),
        }
    }
    all
}

/// Protects what a repository keeps of worktrees that are not shown.
fn protect_worktrees(all: &mut [Tree]) -> Result<()> {
    let shown: Vec<PathBuf> =
        all.iter().filter(|tree| tree.source == tree.place).map(|tree| tree.source.clone()).collect();
    for tree in all.iter_mut().filter(|tree| tree.written && !tree.git.worktrees().is_empty()) {
        let hidden = tree.git.worktrees().iter().filter(|(_, dir)| !shown.iter().any(|root| dir.starts_with(root)));
        tree.protected.extend(hidden.map(|(entry, _)| entry.clone()));
        tree.protected.sort();
        hidden::check_mounts(tree.protected.len())?;
    }
    Ok(())
}

impl Tree {
    fn find(&mut self, patterns: &[Pattern], host: &git::Host) -> Result<()> {
        // What is only read is not changed.
        let wanted = |pattern: &&Pattern| self.written || pattern.class == Class::Hide;
        let patterns: Vec<&Pattern> = patterns.iter().filter(wanted).collect();
        let mounts = patterns.iter().filter(|pattern| matches!(pattern.class, Class::Hide | Class::Protect)).count();
        let mut of_git = Vec::new();
        let globs: Vec<&Glob> = patterns.iter().map(|pattern| &pattern.glob).collect();
        let found = matching(&self.source, &globs, Aim { mounts, kept: kept(&patterns), known: None })?;
        self.listings = found.listings;
        for (path, numbers) in found.all {
            let of = |class| numbers.iter().map(|number| patterns[*number]).find(move |p| p.class == class);
            if of(Class::Git).is_some() {
                of_git.push(path.clone());
            }
            if of(Class::Hide).is_some() {
                self.hidden.push(path.clone());
            }
            if of(Class::Protect).is_some() {
                self.protected.push(path.clone());
            }
            if let Some(pattern) = of(Class::Protect).or_else(|| of(Class::Tell)) {
                self.later.push((path, pattern.text.clone()));
            }
        }
        if self.written {
            let spots = git::Spots::found(&self.source, of_git.iter().map(PathBuf::as_path));
            if let Some(why) = spots.unseen.first() {
                return Err(with_hint(
                    anyhow!("{why}"),
                    "grant less: what git runs of the others would not be protected",
                ));
            }
            self.git = git::View::of(&self.source, &spots, host)?;
            self.protected.extend(self.git.protect().map(Path::to_owned));
            self.protected.sort();
            self.protected.dedup();
            hidden::check_mounts(self.protected.len())?;
        }
        Ok(())
    }

    fn now(&self, patterns: &[Pattern], trees: &Trees) -> Result<Now<'_>> {
        let globs: Vec<&Glob> = patterns.iter().map(|pattern| &pattern.glob).collect();
        let patterns: Vec<&Pattern> = patterns.iter().collect();
        let aim = Aim { mounts: 0, kept: kept(&patterns), known: Some(&self.listings) };
        let found = matching(&self.source, &globs, aim)?;
        let (mut later, mut of_git, mut aside) = (Vec::new(), Vec::new(), Vec::new());
        for (path, numbers) in &found.all {
            let of = |class| numbers.iter().map(|number| patterns[*number]).find(move |p| p.class == class);
            if of(Class::Git).is_some() {
                of_git.push(path.as_path());
            }
            if of(Class::Aside).is_some() {
                aside.push(path.as_path());
            }
            if let Some(pattern) = of(Class::Protect).or_else(|| of(Class::Tell)) {
                later.push((path.clone(), pattern.text.clone()));
            }
        }
        let spots = git::Spots::found(&self.source, of_git).and_aside(&self.source, aside, trees.began);
        let git = git::View::of(&self.source, &spots, &trees.host);
        let why = found.not_seen.map(|error| one_line(&error));
        let not_seen = why.or_else(|| (found.more > 0).then(|| format!("{} more files match", found.more)));
        Ok(Now { tree: self, later, not_seen, git })
    }
}

/// How many of the patterns, the first ones, are not merely told of.
fn kept(patterns: &[&Pattern]) -> usize {
    patterns.iter().filter(|pattern| pattern.class != Class::Tell).count()
}

/// All patterns of the policy: those whose finds become mounts come first.
fn patterns(choice: &Choice) -> Result<Vec<Pattern>> {
    let policy = &choice.policy;
    let anywhere = |name| Rule { value: format!("**/{name}"), from: "rrunc".to_owned() };
    let (of_git, aside) = (git::spots::NAMES.map(anywhere), git::spots::ASIDE.map(anywhere));
    let lists = [
        (policy.hide.as_slice(), Class::Hide),
        (&policy.protect, Class::Protect),
        (&of_git, Class::Git),
        (&aside, Class::Aside),
        (&policy.tell, Class::Tell),
    ];
    let pattern = |rule: &Rule, class| -> Result<Pattern> {
        let glob = Glob::parse(&rule.value).with_context(|| format!("pattern of {}", rule.from))?;
        Ok(Pattern { glob, class, text: rule.value.clone() })
    };
    lists.iter().flat_map(|(rules, class)| rules.iter().map(|rule| pattern(rule, *class))).collect()
}

/// Those of them that begin with `.git/`, for a repository that is elsewhere, and what finds repositories in it.
fn of_git(patterns: &[Pattern]) -> Result<Vec<Pattern>> {
    let of_git = patterns.iter().filter_map(|pattern| match pattern.class {
        Class::Hide => None,
        Class::Git | Class::Aside => Some((pattern, pattern.text.as_str())),
        Class::Protect | Class::Tell => Some((pattern, pattern.text.strip_prefix(".git/")?)),
    });
    of_git
        .map(|(pattern, rest)| {
            Ok(Pattern { glob: Glob::parse(rest)?, class: pattern.class, text: pattern.text.clone() })
        })
        .collect()
}
