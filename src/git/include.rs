//! A configuration with all that it includes, whatever the conditions are: they are for the program to fulfil as well.
use super::config::{self, Entry};
use super::repository::whole;
use super::tree::{Place, Tree, read_own};
use crate::error::one_line;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A larger file is none that people wrote, in bytes.
pub const LARGEST: usize = 1 << 20;
/// As deep as git goes.
const DEPTH: usize = 10;
/// More files than this are not read for one configuration.
const MOST: usize = 64;

/// What a configuration comes to.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The settings of all files, in git's order.
    pub entries: Vec<Entry>,
    /// The files that are asked for, where they lie, those that are not there too.
    pub files: Vec<Place>,
    /// What could not be read, each a sentence.
    pub unseen: Vec<String>,
}

/// Where a configuration is read from, and which of its includes count.
pub struct Source<'a> {
    /// The tree that a program may write, within which no link is followed out.
    pub tree: &'a Tree,
    /// The home directory, which `~/` stands for.
    pub home: &'a Path,
    /// Whether the condition of an `includeIf` holds.
    pub holds: &'a dyn Fn(&[u8]) -> bool,
}

impl Source<'_> {
    /// The configuration in `file`, with what it includes.
    pub fn load(&self, file: &Place) -> Loaded {
        let mut loaded = Loaded::default();
        self.add(file, 0, &mut loaded);
        loaded
    }

    fn add(&self, file: &Place, depth: usize, loaded: &mut Loaded) {
        if depth > DEPTH || loaded.files.len() >= MOST {
            loaded.unseen.push(format!("{} is included too deep", whole(self.tree, file).display()));
            return;
        }
        loaded.files.push(file.clone());
        let text = match file {
            Place::Inside(at) if self.tree.meta(at).is_none() => return,
            Place::Inside(at) => self.tree.read(at, LARGEST),
            Place::Outside(path) if !path.exists() => return,
            Place::Outside(path) => read_own(path, LARGEST),
        };
        let entries = match text.and_then(|text| config::parse(&text)) {
            Ok(entries) => entries,
            Err(error) => {
                let path = whole(self.tree, file);
                let why = one_line(&error);
                let shown = path.display().to_string();
                loaded.unseen.push(if why.starts_with(&shown) { why } else { format!("{shown}: {why}") });
                return;
            }
        };
        for entry in entries {
            let included = self.included(&entry, file);
            loaded.entries.push(entry);
            if let Some(included) = included {
                self.add(&included, depth + 1, loaded);
            }
        }
    }

    /// The file that a setting includes.
    fn included(&self, entry: &Entry, from: &Place) -> Option<Place> {
        let counts = match entry.section.as_str() {
            "include" => entry.subsection.is_none(),
            "includeif" => entry.subsection.as_deref().is_some_and(self.holds),
            _ => false,
        };
        if !counts || entry.key != "path" {
            return None;
        }
        let base = whole(self.tree, from);
        self.path(entry.value.as_deref()?, base.parent()?)
    }

    /// What a path of a configuration means, beginning at `base`.
    pub fn path(&self, value: &[u8], base: &Path) -> Option<Place> {
        expanded(value, base, self.home).map(|path| self.tree.place(&path))
    }
}

/// A path as git expands it: `~/` is the home directory. Those of other users and of git itself are nobody's here.
fn expanded(value: &[u8], base: &Path, home: &Path) -> Option<PathBuf> {
    let path = Path::new(OsStr::from_bytes(value));
    match value {
        [] => None,
        b"~" => Some(home.to_owned()),
        [b'~', b'/', ..] => Some(home.join(path.strip_prefix("~").ok()?)),
        [b'~', ..] => None,
        _ if value.starts_with(b"%(prefix)") => None,
        _ => Some(base.join(path)),
    }
}
