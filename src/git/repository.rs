//! What git takes for a repository (gitrepository-layout(5); `setup_git_directory_gently` and `is_git_directory` in git's
//! setup.c), without asking git: it would run what the repository says.
use super::tree::{Place, Tree, read_own, without_dots};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Git reads no larger `.git` file.
const POINTER: usize = 1 << 20;
/// How much of HEAD git looks at.
const HEAD: usize = 256;

/// What git finds in a directory, without looking at those around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing: it goes on with the directory around.
    Nothing,
    /// A repository: its git directory.
    Repository(Place),
    /// A `.git` file that leads to no repository, which makes git give up.
    Broken,
}

/// What git finds in the directory `dir` of the tree.
pub fn found_in(tree: &Tree, dir: &Path) -> Found {
    let dot_git = dir.join(".git");
    match tree.target(&dot_git) {
        Some(meta) if meta.is_file() => return through(tree, &dot_git),
        Some(meta) if meta.is_dir() => {
            let place = match tree.meta(&dot_git) {
                Some(meta) if meta.is_link() => tree.place(&tree.whole(&dot_git)),
                _ => Place::Inside(dot_git),
            };
            if is_git_directory(tree, &place) {
                return Found::Repository(place);
            }
        }
        _ => {}
    }
    match tree.meta(&dir.join("HEAD")) {
        Some(_) if is_git_directory(tree, &Place::Inside(dir.to_owned())) => {
            Found::Repository(Place::Inside(dir.to_owned()))
        }
        _ => Found::Nothing,
    }
}

/// What the `.git` file at `file` leads to.
fn through(tree: &Tree, file: &Path) -> Found {
    let target = tree.read(file, POINTER).ok().and_then(|text| pointer(&text));
    let Some(target) = target else { return Found::Broken };
    let place = tree.place(&tree.whole(file.parent().unwrap_or(file)).join(target));
    if is_git_directory(tree, &place) { Found::Repository(place) } else { Found::Broken }
}

/// The path in a `.git` file.
pub fn pointer(text: &[u8]) -> Option<PathBuf> {
    line(text.strip_prefix(b"gitdir: ")?)
}

/// The path in a file of one line: `commondir`, or `gitdir` of a linked worktree.
pub fn line(text: &[u8]) -> Option<PathBuf> {
    let end = text.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r'))? + 1;
    // To git it is a text of C's.
    let path = text[..end].split(|byte| *byte == 0).next()?;
    (!path.is_empty()).then(|| PathBuf::from(OsStr::from_bytes(path)))
}

/// The paths in `objects/info/alternates`, as they are written: one a line, `#` for a comment.
pub fn alternates(text: &[u8]) -> Vec<PathBuf> {
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty() && !line.starts_with(b"#"));
    lines.map(|line| PathBuf::from(OsStr::from_bytes(line))).collect()
}

/// Whether git takes the directory at `place` for a git directory.
pub fn is_git_directory(tree: &Tree, place: &Place) -> bool {
    let common = common(tree, place);
    // Git asks whether they may be entered, and not whether they are directories.
    let is_there = |name: &str| look(tree, &common, name).is_some_and(|mode| mode & 0o111 != 0);
    has_head(tree, place) && is_there("objects") && is_there("refs")
}

/// What the worktrees of a repository share: another directory than its own if it is that of a linked worktree.
pub fn common(tree: &Tree, place: &Place) -> Place {
    let text = match place {
        Place::Inside(dir) => {
            let file = dir.join("commondir");
            tree.meta(&file).and_then(|_| tree.read(&file, POINTER).ok())
        }
        Place::Outside(dir) => read_own(&dir.join("commondir"), POINTER).ok(),
    };
    match text.and_then(|text| line(&text)) {
        Some(path) => tree.place(&whole(tree, place).join(path)),
        None => place.clone(),
    }
}

/// The whole path of a place.
pub fn whole(tree: &Tree, place: &Place) -> PathBuf {
    match place {
        Place::Inside(dir) => tree.whole(dir),
        Place::Outside(dir) => dir.clone(),
    }
}

fn look(tree: &Tree, place: &Place, name: &str) -> Option<u32> {
    match place {
        Place::Inside(dir) => tree.target(&dir.join(name)).map(|meta| meta.mode),
        Place::Outside(dir) => {
            let meta = dir.join(name).metadata().ok()?;
            Some(std::os::unix::fs::MetadataExt::mode(&meta))
        }
    }
}

fn has_head(tree: &Tree, place: &Place) -> bool {
    let (link, text) = match place {
        Place::Inside(dir) => {
            let head = dir.join("HEAD");
            let Some(meta) = tree.meta(&head) else { return false };
            match meta.is_link() {
                true => (tree.link(&head), Vec::new()),
                false => (None, tree.begin(&head, HEAD).unwrap_or_default()),
            }
        }
        Place::Outside(dir) => {
            let head = dir.join("HEAD");
            (head.read_link().ok(), read_own(&head, POINTER).unwrap_or_default())
        }
    };
    match link {
        Some(target) => target.as_os_str().as_bytes().starts_with(b"refs/"),
        None => is_head(&text),
    }
}

/// Whether it is the text of a HEAD: a reference or an id.
pub fn is_head(text: &[u8]) -> bool {
    if let Some(rest) = text.strip_prefix(b"ref:") {
        let space = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
        return rest[space..].starts_with(b"refs/");
    }
    text.len() >= 40 && text[..40].iter().all(u8::is_ascii_hexdigit)
}

/// The directory around `dir`, itself included, at which git finds a repository; none if a broken one is in the way. Only
/// those that `ours` lets count are looked at.
pub fn around(dir: &Path, ours: impl Fn(&Path) -> bool) -> Option<&Path> {
    dir.ancestors().filter(|dir| dir.join(".git").symlink_metadata().is_ok() && ours(dir)).find(|dir| {
        let tree = Tree::open(&without_dots(dir));
        tree.is_ok_and(|tree| matches!(found_in(&tree, Path::new("")), Found::Repository(_)))
    })
}
