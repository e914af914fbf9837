//! A configuration with all that it includes, whatever the conditions are: they are for the program to fulfil as well.
use super::config::{self, Entry};
use super::tree::{Meta, Place, Tree, read_own};
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
    /// The tree that a program may write, within which no link is followed out. Without one all files are the user's own.
    pub tree: Option<&'a Tree>,
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
            loaded.unseen.push(format!("{} is included too deep", self.whole(file).display()));
            return;
        }
        loaded.files.push(file.clone());
        let text = match file {
            Place::Inside(at) => match self.tree {
                Some(tree) if tree.meta(at).is_some() => tree.read(at, LARGEST),
                _ => return,
            },
            Place::Outside(path) if !path.exists() => return,
            Place::Outside(path) => read_own(path, LARGEST),
        };
        let entries = match text.and_then(|text| config::parse(&text)) {
            Ok(entries) => entries,
            Err(error) => {
                let path = self.whole(file);
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
        let base = self.whole(from);
        self.path(entry.value.as_deref()?, base.parent()?)
    }

    /// What a path of a configuration means, beginning at `base`.
    pub fn path(&self, value: &[u8], base: &Path) -> Option<Place> {
        expanded(value, base, self.home).map(|path| self.place(path))
    }

    /// What is there in the tree, or behind a link.
    pub fn meta(&self, place: &Place) -> Option<Meta> {
        match place {
            Place::Inside(at) => self.tree?.target(at),
            Place::Outside(_) => None,
        }
    }

    fn place(&self, path: PathBuf) -> Place {
        self.tree.map_or_else(|| Place::Outside(path.clone()), |tree| tree.place(&path))
    }

    fn whole(&self, place: &Place) -> PathBuf {
        match (place, self.tree) {
            (Place::Inside(at), Some(tree)) => tree.whole(at),
            (Place::Inside(path) | Place::Outside(path), _) => path.clone(),
        }
    }
}

/// Whether the condition of an `includeIf` holds for the git directory `git_dir`, as far as that can be said without asking
/// for branches and remotes: `gitdir:` and `gitdir/i:`.
pub fn is_for(condition: &[u8], git_dir: Option<&Path>, home: &Path) -> bool {
    let Ok(condition) = std::str::from_utf8(condition) else { return false };
    let (pattern, case_sensitive) = match (condition.strip_prefix("gitdir:"), condition.strip_prefix("gitdir/i:")) {
        (Some(pattern), _) => (pattern, true),
        (_, Some(pattern)) => (pattern, false),
        _ => return false,
    };
    let Some(git_dir) = git_dir else { return false };
    let mut pattern = match pattern.strip_prefix("~/") {
        Some(rest) => format!("{}/{rest}", glob::Pattern::escape(&home.to_string_lossy())),
        None if pattern.starts_with('/') => pattern.to_owned(),
        None => format!("**/{pattern}"),
    };
    if pattern.ends_with('/') {
        pattern.push_str("**");
    }
    let options = glob::MatchOptions { case_sensitive, require_literal_separator: true, ..Default::default() };
    glob::Pattern::new(&pattern).is_ok_and(|pattern| pattern.matches_path_with(git_dir, options))
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn conditions_are_those_of_the_git_directory() {
        let home = Path::new("/home/u");
        let holds = |condition: &str| is_for(condition.as_bytes(), Some(Path::new("/home/u/work/p/.git")), home);
        for yes in
            ["gitdir:~/work/", "gitdir:/home/u/work/p/.git", "gitdir:work/", "gitdir/i:~/WORK/", "gitdir:**/p/.git"]
        {
            assert!(holds(yes), "{yes}");
        }
        for no in ["gitdir:~/WORK/", "gitdir:~/wor/", "onbranch:main", "gitdir:~/work", "gitdir:["] {
            assert!(!holds(no), "{no}");
        }
        assert!(!is_for(b"gitdir:/", None, home));
    }

    #[test]
    fn includes_end() {
        let dir = std::env::temp_dir().join(format!("rrunc-include-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("a"), "[x]\n\ta = 1\n[include]\n\tpath = a\n\tpath = a\n\tpath = none\n[x]b\n").unwrap();
        let source = Source { tree: None, home: &dir, holds: &|_| true };
        let loaded = source.load(&Place::Outside(dir.join("a")));
        assert!(loaded.files.len() <= MOST && !loaded.unseen.is_empty(), "{:?}", loaded.unseen);
        assert_eq!(loaded.entries.last().unwrap().key, "b");
        fs::remove_dir_all(&dir).unwrap();
    }
}
