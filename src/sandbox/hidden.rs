//! Which files of the host a list of patterns means, at this moment: what `hide` and `protect` act on.
//!
//! A pattern is a path below the root of what was granted. `*`, `?` and `[…]` match within a name; `**` stands for any
//! directories, but does not look into those where packages and build products lie.
//!
//! Whoever fills the tree has an interest in that something is missed. A place that cannot be looked at, and that the
//! program could open up again, is therefore an error.
use crate::error::with_hint;
use anyhow::{Context, Result, anyhow, bail};
use glob::Pattern;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// More directory entries than this are not looked at: then there is no answer, and no sandbox.
const MOST: usize = 2_000_000;

/// Nor is there one if more than this match: each of them is a mount.
const MOST_FOUND: usize = 2_000;

/// Not entered by `**`: large, made by tools, and no place that people put secrets in.
const NOT_ENTERED: [&str; 5] = [".git", "node_modules", "target", ".venv", "__pycache__"];

/// One part of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Name(String),
    Glob(Pattern),
    Any,
}

/// A pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(Vec<Part>);

impl Glob {
    /// Reads a pattern.
    ///
    /// # Errors
    /// Absolute, or upwards, or no pattern at all.
    pub fn parse(text: &str) -> Result<Glob> {
        let parts = text.split('/').filter(|part| !part.is_empty() && *part != ".").map(|part| match part {
            ".." => bail!("{text:?} leads upwards"),
            "**" => Ok(Part::Any),
            _ if part.contains(['*', '?', '[']) => {
                let pattern = Pattern::new(part).map_err(|e| anyhow!("{text:?}: {}", e.msg));
                pattern.map(Part::Glob)
            }
            _ => Ok(Part::Name(part.to_owned())),
        });
        let parts = parts.collect::<Result<Vec<_>>>()?;
        let from_root = text.starts_with('/') || text.starts_with("~/");
        if from_root || parts.is_empty() || parts.last() == Some(&Part::Any) {
            return Err(with_hint(
                anyhow!("{text:?} is no pattern of files below what is granted"),
                "write `secrets/*.key`, or `**/*.pem` for any depth",
            ));
        }
        Ok(Glob(parts))
    }
}

/// What there is below `root` of any of the patterns, without duplicates, in order. Links are matched, and not
/// followed.
pub fn matching(root: &Path, globs: &[Glob]) -> Result<Vec<PathBuf>> {
    let mut search = Search::default();
    let patterns: Vec<&[Part]> = globs.iter().map(|glob| glob.0.as_slice()).collect();
    search.directory(root, &patterns, true).with_context(|| format!("look through {}", root.display()))?;
    Ok(search.found.into_iter().collect())
}

#[derive(Default)]
struct Search {
    found: BTreeSet<PathBuf>,
    seen: usize,
}

impl Search {
    /// Applies patterns to what `dir` holds. All of them at once, so that a tree is read once.
    fn directory(&mut self, dir: &Path, patterns: &[&[Part]], top: bool) -> Result<()> {
        let mut listed: Vec<&[Part]> = Vec::new();
        for pattern in patterns {
            match pattern {
                [Part::Name(name), rest @ ..] => self.entry(dir.join(name), rest)?,
                [] => {}
                _ => listed.push(pattern),
            }
        }
        if listed.is_empty() {
            return Ok(());
        }
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(e) if !top && nothing_there(dir, &e) => return Ok(()),
            Err(e) => return Err(unseen(dir, e)),
        };
        // Closed again before what is below is opened: a tree may be deeper than there are descriptors.
        let mut inner: Vec<(PathBuf, Vec<&[Part]>)> = Vec::new();
        for entry in entries {
            let entry = entry?;
            self.count()?;
            let (file_name, kind) = (entry.file_name(), entry.file_type()?);
            let name = file_name.to_string_lossy();
            let mut below: Vec<&[Part]> = Vec::new();
            for pattern in &listed {
                let rest = match pattern {
                    [Part::Any, rest @ ..] => {
                        if kind.is_dir() && !NOT_ENTERED.contains(&&*name) {
                            below.push(pattern);
                        }
                        rest
                    }
                    pattern => pattern,
                };
                if let [first, rest @ ..] = rest
                    && first.is(&name)
                {
                    if rest.is_empty() { self.keep(entry.path())? } else { below.push(rest) }
                }
            }
            if kind.is_dir() && !below.is_empty() {
                inner.push((entry.path(), below));
            }
        }
        inner.iter().try_for_each(|(path, below)| self.directory(path, below, false))
    }

    /// Goes on at `path` with the rest of a pattern.
    fn entry(&mut self, path: PathBuf, rest: &[Part]) -> Result<()> {
        self.count()?;
        match fs::symlink_metadata(&path) {
            Ok(_) if rest.is_empty() => self.keep(path),
            Ok(meta) if meta.is_dir() => self.directory(&path, &[rest], false),
            Ok(_) => Ok(()),
            Err(e) if nothing_there(path.parent().unwrap_or(&path), &e) => Ok(()),
            Err(e) => Err(unseen(&path, e)),
        }
    }

    fn keep(&mut self, path: PathBuf) -> Result<()> {
        self.found.insert(path);
        if self.found.len() > MOST_FOUND {
            let error = anyhow!("more than {MOST_FOUND} files match");
            return Err(with_hint(error, "grant less, or take patterns away"));
        }
        Ok(())
    }

    fn count(&mut self) -> Result<()> {
        self.seen += 1;
        if self.seen > MOST {
            let error = anyhow!("more than {MOST} files: hidden ones among them would be missed");
            return Err(with_hint(error, "grant less, or take the patterns with ** away"));
        }
        Ok(())
    }
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

impl Part {
    fn is(&self, name: &str) -> bool {
        match self {
            Part::Name(own) => own == name,
            Part::Glob(pattern) => pattern.matches(name),
            Part::Any => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_find_what_they_mean_and_no_more() {
        let root = std::env::temp_dir().join(format!("rrunc-hidden-{}", std::process::id()));
        let files = [
            ".env",
            "a/.env",
            "a/b/.env.local",
            "a/b/x.pem",
            "a/node_modules/p/.env",
            "node_modules/.env",
            "a/.git/hooks/x",
            ".git/modules/m/hooks/x",
            ".git/modules/n/config",
            ".git/config",
            "key/[odd].pem",
            "a/target/.env",
        ];
        for file in files {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        std::os::unix::fs::symlink("/", root.join("a/out")).unwrap();
        let found = |patterns: &[&str]| {
            let globs: Vec<Glob> = patterns.iter().map(|text| Glob::parse(text).unwrap()).collect();
            let mut found: Vec<String> = matching(&root, &globs)
                .unwrap()
                .iter()
                .map(|path| path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned())
                .collect();
            found.sort();
            found
        };
        assert_eq!(found(&["**/.env"]), [".env", "a/.env"]);
        assert_eq!(
            found(&["**/.env", "**/.env.*", "**/*.pem"]),
            [".env", "a/.env", "a/b/.env.local", "a/b/x.pem", "key/[odd].pem"]
        );
        assert_eq!(found(&["**/.git/hooks"]), ["a/.git/hooks"]);
        assert_eq!(
            found(&[".git/modules/*/hooks", ".git/modules/**/config", ".git/none"]),
            [".git/modules/m/hooks", ".git/modules/n/config"]
        );
        assert_eq!(found(&["a/out", "a/out/etc", "**/out/etc", "a/?"]), ["a/b", "a/out"]);
        assert_eq!(found(&["a/**/.env"]), ["a/.env"]);
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn what_is_closed_only_for_the_moment_is_an_error() {
        use std::os::unix::fs::PermissionsExt;
        if nix::unistd::geteuid().is_root() {
            return;
        }
        let root = std::env::temp_dir().join(format!("rrunc-closed-{}", std::process::id()));
        let closed = root.join("closed");
        fs::create_dir_all(closed.join("in")).unwrap();
        fs::write(closed.join("in/.env"), "").unwrap();
        let found = |pattern: &str| matching(&root, &[Glob::parse(pattern).unwrap()]);
        for mode in [0o000, 0o100, 0o600] {
            for pattern in ["**/.env", "closed/in/.env"] {
                fs::set_permissions(&closed, fs::Permissions::from_mode(mode)).unwrap();
                let found = found(pattern);
                fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
                match found {
                    // By its name it is found without reading the directory.
                    Ok(found) => assert!(mode == 0o100 && pattern.starts_with("closed") && found.len() == 1),
                    Err(error) => assert!(format!("{error:#}").contains("closed"), "{error:#}"),
                }
            }
        }
        assert_eq!(found("**/.env").unwrap().len(), 1, "control");
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn what_lies_deeper_than_a_path_can_say_is_an_error() {
        let root = std::env::temp_dir().join(format!("rrunc-deep-{}", std::process::id()));
        let levels = |name: &str, count: usize| vec![name.repeat(250); count].join("/");
        let (one, other) = (root.join(levels("a", 8)), root.join(levels("b", 9)));
        fs::create_dir_all(&one).unwrap();
        fs::create_dir_all(&other).unwrap();
        fs::write(one.join(".env"), "").unwrap();
        let globs = [Glob::parse("**/.env").unwrap()];
        assert_eq!(matching(&root, &globs).unwrap().len(), 1, "control");
        fs::rename(root.join("a".repeat(250)), other.join("a".repeat(250))).unwrap();
        assert!(matching(&root, &globs).is_err());
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for bad in ["", "/etc", "..", "a/../b", "~/a", "**", "a/**", "[", "a/[x"] {
            assert!(Glob::parse(bad).is_err(), "{bad}");
        }
    }
}
