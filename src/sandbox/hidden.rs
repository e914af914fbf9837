//! Which files of the host a list of patterns means, at this moment: what `hide` and `protect` act on.
//!
//! A pattern is a path below the root of what was granted. `*`, `?` and `[…]` match within a name; `**` stands for any
//! directories, but does not look into those where packages and build products lie.
use crate::error::with_hint;
use anyhow::{Context, Result, anyhow, bail};
use glob::Pattern;
use std::fs;
use std::path::{Path, PathBuf};

/// More directory entries than this are not looked at: then there is no answer, and no sandbox.
const MOST: usize = 2_000_000;

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

/// What there is below `root` of any of the patterns, without duplicates, in no order. Links are matched, and not
/// followed.
pub fn matching(root: &Path, globs: &[Glob]) -> Result<Vec<PathBuf>> {
    let mut search = Search { found: Vec::new(), seen: 0 };
    let patterns: Vec<&[Part]> = globs.iter().map(|glob| glob.0.as_slice()).collect();
    search.directory(root, &patterns, true).with_context(|| format!("look through {}", root.display()))?;
    Ok(search.found)
}

struct Search {
    found: Vec<PathBuf>,
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
            // Nor can the program look into it; and what is gone is gone. The directory itself has to be there.
            Err(e) if !top && !matches!(e.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => return Ok(()),
            Err(e) => return Err(e.into()),
        };
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
                    if rest.is_empty() { self.keep(entry.path()) } else { below.push(rest) }
                }
            }
            if kind.is_dir() && !below.is_empty() {
                self.directory(&entry.path(), &below, false)?;
            }
        }
        Ok(())
    }

    /// Goes on at `path` with the rest of a pattern.
    fn entry(&mut self, path: PathBuf, rest: &[Part]) -> Result<()> {
        self.count()?;
        match fs::symlink_metadata(&path) {
            Ok(_) if rest.is_empty() => self.keep(path),
            Ok(meta) if meta.is_dir() => self.directory(&path, &[rest], false)?,
            _ => {}
        }
        Ok(())
    }

    fn keep(&mut self, path: PathBuf) {
        if !self.found.contains(&path) {
            self.found.push(path);
        }
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
    fn what_is_no_pattern_is_refused() {
        for bad in ["", "/etc", "..", "a/../b", "~/a", "**", "a/**", "[", "a/[x"] {
            assert!(Glob::parse(bad).is_err(), "{bad}");
        }
    }
}
