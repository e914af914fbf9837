//! A view being taken: what git goes by in each directory that holds a repository, and around.
use super::View;
use crate::error::one_line;
use crate::git::Host;
use crate::git::change::{Item, What};
use crate::git::config::Entry;
use crate::git::include::{LARGEST, Loaded, Source};
use crate::git::index::{self, Ids};
use crate::git::programs::{self, is_hook};
use crate::git::repository::{self, Found, common, found_in, whole};
use crate::git::spots::Spots;
use crate::git::tree::{Meta, Place, Tree, read_own};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::hash::{BuildHasher, Hash, RandomState};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// No directory of hooks or submodules is listed that holds more.
const LISTED: usize = 2_000;
/// Submodules lie no deeper than this below `modules`.
const DEPTH: usize = 16;
/// A larger index is not read, in bytes: a million files.
const INDEX: usize = 256 << 20;
/// A view that is being taken.
pub(super) struct Look<'a> {
    tree: &'a Tree,
    host: &'a Host,
    /// Those of the machine and the user.
    settings: Vec<Entry>,
    view: View,
    /// Git directories whose hooks and submodules are in the view already.
    known: BTreeSet<PathBuf>,
    /// The git directories of checkouts, and where those are.
    tops: Vec<(Place, PathBuf)>,
    /// The directories that indexes name.
    gitlinks: Vec<PathBuf>,
}

impl<'a> Look<'a> {
    /// Of nothing but what counts everywhere.
    pub(super) fn begin(tree: &'a Tree, host: &'a Host) -> Look<'a> {
        let mut look = Look {
            tree,
            host,
            settings: Vec::new(),
            view: View::default(),
            known: BTreeSet::new(),
            tops: Vec::new(),
            gitlinks: Vec::new(),
        };
        for config in host.configs().map(|path| tree.place(path)) {
            let loaded = look.load(&config);
            look.settings.extend(loaded.entries);
        }
        look
    }

    /// The whole view of a tree in which `spots` were found.
    pub(super) fn all(mut self, spots: &Spots) -> View {
        let top = Path::new("");
        self.directory(top);
        if found_in(self.tree, top) == Found::Nothing {
            self.around();
        }
        for dir in spots.dirs.iter().filter(|dir| !dir.as_os_str().is_empty()) {
            self.directory(dir);
        }
        self.view.unseen.extend(spots.unseen.iter().cloned());
        if let Some(since) = spots.since {
            self.aside(spots, since);
        }
        self.view
    }

    /// What git finds in a directory of the tree.
    fn directory(&mut self, dir: &Path) {
        let found = found_in(self.tree, dir);
        let dot_git = dir.join(".git");
        if let Some(meta) = self.tree.meta(&dot_git) {
            let leads_to = match &found {
                Found::Repository(place) if *place != Place::Inside(dir.to_owned()) => {
                    format!("{:?}{:?}", place, self.identity(place))
                }
                _ => String::new(),
            };
            let text = if meta.is_file() { self.tree.read(&dot_git, LARGEST).ok() } else { None };
            let what = if leads_to.is_empty() { What::NoRepository } else { What::Repository };
            let stamp = digest(&(meta.mode & libc::S_IFMT, self.tree.link(&dot_git), text, leads_to));
            self.add(&dot_git, Item { what, stamp, changed: meta.changed });
            if meta.is_file() {
                self.protect(&dot_git);
            }
        }
        let Found::Repository(place) = found else { return };
        if place == Place::Inside(dir.to_owned())
            && let Some(meta) = self.tree.meta(dir)
        {
            self.add_directory(dir, What::Bare, &meta);
        }
        self.repository(&place, Some(dir));
    }

    fn identity(&self, place: &Place) -> Option<(u64, u64)> {
        match place {
            Place::Inside(at) => self.tree.meta(at).map(|meta| meta.identity),
            Place::Outside(_) => None,
        }
    }

    /// The repository around the tree, which cannot be changed from within it: but it may name what is in there.
    fn around(&mut self) {
        let root = self.tree.path();
        let Some(above) = root.parent().and_then(|dir| repository::around(dir, |_| true)) else { return };
        let Ok(tree) = Tree::open(above) else { return };
        if let Found::Repository(place) = found_in(&tree, Path::new("")) {
            let place = Place::Outside(whole(&tree, &place));
            let config = Place::Outside(whole(self.tree, &common(self.tree, &place)).join("config"));
            let loaded = self.load(&config);
            self.configured(&loaded.entries, above);
            self.configured(&self.settings.clone(), above);
        }
    }

    /// What of a repository decides what git runs in it. `top` is where its files are checked out.
    fn repository(&mut self, place: &Place, top: Option<&Path>) {
        let common = common(self.tree, place);
        let shown = top.map_or_else(|| whole(self.tree, place), |top| self.tree.whole(top));
        let mut configs = vec![common.join("config")];
        if let Place::Inside(dir) = place {
            self.pointers(dir);
        }
        configs.push(place.join("config.worktree"));
        for config in configs {
            let loaded = self.load(&config);
            self.configured(&loaded.entries, &shown);
        }
        if top.is_some() {
            self.configured(&self.settings.clone(), &shown);
        }
        if let Some(top) = top {
            self.tops.push((place.clone(), top.to_owned()));
            self.file(&top.join(".gitmodules"), What::Modules);
        }
        if let Place::Inside(dir) = &common
            && self.known.insert(dir.clone())
        {
            self.hooks(&dir.join("hooks"));
            self.file(&dir.join("info/attributes"), What::Attributes);
            self.file(&dir.join("objects/info/alternates"), What::Alternates);
            self.modules(&dir.join("modules"), DEPTH);
            for worktree in self.list(&dir.join("worktrees")) {
                let entry = dir.join("worktrees").join(worktree);
                self.pointers(&entry);
                self.linked(&entry);
                let loaded = self.load(&Place::Inside(entry.join("config.worktree")));
                self.configured(&loaded.entries, &shown);
                self.modules(&entry.join("modules"), DEPTH);
            }
        }
    }

    /// What says where the rest of a linked worktree's repository is.
    fn pointers(&mut self, dir: &Path) {
        self.file(&dir.join("gitdir"), What::Pointer);
        if self.file(&dir.join("commondir"), What::Pointer) {
            self.protect(&dir.join("commondir"));
        }
    }

    /// Where the worktree is that an entry of the repository belongs to, if that is not in the tree.
    fn linked(&mut self, entry: &Path) {
        let text = self.tree.read(&entry.join("gitdir"), LARGEST).ok();
        let Some(file) = text.and_then(|text| repository::line(&text)) else { return };
        let entry = self.tree.whole(entry);
        if let Place::Outside(file) = self.tree.place(&entry.join(file))
            && let Some(dir) = file.parent()
        {
            self.view.worktrees.push((entry, dir.to_owned()));
        }
    }

    /// Submodules, whose names may have directories in them, and which may have submodules.
    fn modules(&mut self, dir: &Path, depth: usize) {
        for name in self.list(dir) {
            let sub = dir.join(name);
            let Some(meta) = self.tree.meta(&sub).filter(|meta| meta.is_dir()) else { continue };
            if self.tree.meta(&sub.join("HEAD")).is_some() {
                let place = Place::Inside(sub.clone());
                self.add_directory(&sub, What::Repository, &meta);
                if !self.known.contains(&sub) {
                    self.repository(&place, None);
                }
            } else if depth > 0 {
                self.modules(&sub, depth - 1);
            } else {
                self.unseen(format!("{} is too deep", self.tree.whole(&sub).display()));
            }
        }
    }

    fn load(&mut self, config: &Place) -> Loaded {
        let source = Source { tree: Some(self.tree), home: &self.host.home, holds: &|_| true };
        let loaded = source.load(config);
        for file in &loaded.files {
            if let Place::Inside(at) = file
                && self.file(at, What::Configuration)
            {
                self.protect(at);
            }
        }
        for why in &loaded.unseen {
            self.unseen(why.clone());
        }
        loaded
    }

    /// What the settings name in the tree.
    fn configured(&mut self, entries: &[Entry], top: &Path) {
        let source = Source { tree: Some(self.tree), home: &self.host.home, holds: &|_| true };
        for entry in entries {
            for place in programs::named(&source, entry, top) {
                let Place::Inside(at) = place else { continue };
                // All of the tree is not meant to be out of reach.
                if at.as_os_str().is_empty() {
                    continue;
                }
                match self.tree.target(&at) {
                    Some(meta) if meta.is_dir() => self.hooks(&at),
                    _ if self.file(&at, What::Program) => self.protect(&at),
                    _ => {}
                }
            }
        }
    }

    /// A directory of hooks.
    fn hooks(&mut self, dir: &Path) {
        for name in self.list(dir).into_iter().filter(|name| is_hook(name)) {
            let hook = dir.join(name);
            if self.tree.target(&hook).is_some_and(|meta| !meta.is_dir()) {
                self.file(&hook, What::Hook);
            }
        }
        if self.tree.meta(dir).is_some() {
            self.protect(dir);
        }
    }

    /// A file by what it says, and whether it can be executed; whether it is there.
    fn file(&mut self, at: &Path, what: What) -> bool {
        let Some(meta) = self.tree.meta(at) else { return false };
        let link = if meta.is_link() { self.tree.link(at) } else { None };
        let real = self.tree.target(at).unwrap_or(meta);
        let text = match self.tree.read(at, LARGEST) {
            Ok(text) => digest(&text),
            // What a link outside leads to is not the tree's.
            Err(_) if link.is_some() => 0,
            Err(_) => digest(&(meta.identity, meta.size, meta.changed)),
        };
        let stamp = digest(&(real.mode & (libc::S_IFMT | 0o111), link, text));
        self.add(at, Item { what, stamp, changed: meta.changed.max(real.changed) });
        true
    }

    fn list(&mut self, dir: &Path) -> Vec<OsString> {
        if self.tree.meta(dir).is_none() {
            return Vec::new();
        }
        self.tree.list(dir, LISTED).unwrap_or_else(|error| {
            self.unseen(format!("{}: {}", self.tree.whole(dir).display(), one_line(&error)));
            Vec::new()
        })
    }

    fn add_directory(&mut self, at: &Path, what: What, meta: &Meta) {
        let Meta { identity, changed, .. } = *meta;
        self.add(at, Item { what, stamp: digest(&identity), changed });
    }

    fn add(&mut self, at: &Path, item: Item) {
        self.view.items.insert(self.tree.whole(at), item);
    }

    fn protect(&mut self, at: &Path) {
        self.view.protect.insert(self.tree.whole(at));
    }

    fn unseen(&mut self, why: String) {
        if !self.view.unseen.contains(&why) {
            self.view.unseen.push(why);
        }
    }

    /// What lies where nobody looked before the sandbox began: only what has changed since then counts. And the directories
    /// that an index names, wherever they are.
    fn aside(&mut self, spots: &Spots, since: i128) {
        for (git_dir, top) in std::mem::take(&mut self.tops) {
            self.index(&git_dir, &top, since);
        }
        let looked: BTreeSet<PathBuf> = spots.dirs.iter().cloned().collect();
        let named = std::mem::take(&mut self.gitlinks);
        let dirs: BTreeSet<PathBuf> = spots.aside.iter().cloned().chain(named).collect();
        let kept = std::mem::take(&mut self.view.items);
        let (mut all, unseen) = (BTreeMap::new(), self.view.unseen.len());
        for dir in dirs.difference(&looked) {
            self.directory(dir);
            let moved = self.tree.meta(dir).is_some_and(|meta| meta.changed >= since);
            let new = std::mem::take(&mut self.view.items).into_iter();
            all.extend(new.filter(|(_, item)| item.changed >= since || moved && item.what == What::Repository));
        }
        // What was odd there before is nobody's doing.
        self.view.unseen.truncate(unseen);
        all.extend(kept);
        self.view.items = all;
    }

    /// Which directories an index names that has been written since.
    fn index(&mut self, git_dir: &Place, top: &Path, since: i128) {
        let file = git_dir.join("index");
        let path = whole(self.tree, &file);
        let text = match &file {
            Place::Inside(at) if self.tree.meta(at).is_none_or(|meta| meta.changed < since) => return,
            Place::Inside(at) => self.tree.read(at, INDEX),
            Place::Outside(path) if !path.exists() => return,
            Place::Outside(path) => read_own(path, INDEX),
        };
        let config = self.load(&common(self.tree, git_dir).join("config"));
        let ids = match config.entries.iter().rfind(|entry| entry.is("extensions", "objectformat")) {
            Some(entry) if entry.value.as_deref() == Some(b"sha256") => Ids::Sha256,
            _ => Ids::Sha1,
        };
        let named = text.and_then(|text| index::parse(&text, ids));
        match named {
            Ok(named) => {
                if named.is_split {
                    self.unseen(format!("{}: it is split, which submodules it names is not known", path.display()));
                }
                for gitlink in named.gitlinks {
                    match self.tree.place(&self.tree.whole(top).join(gitlink)) {
                        Place::Inside(at) => self.gitlinks.push(at),
                        Place::Outside(path) => {
                            self.view.items.insert(path, Item { what: What::Submodule, stamp: 0, changed: since });
                        }
                    }
                }
            }
            Err(error) => self.unseen(format!("{}: {}", path.display(), one_line(&error))),
        }
    }
}

/// A digest that nobody can aim at who does not know this process's key.
fn digest(what: &impl Hash) -> u64 {
    static KEY: OnceLock<RandomState> = OnceLock::new();
    KEY.get_or_init(RandomState::new).hash_one(what)
}
