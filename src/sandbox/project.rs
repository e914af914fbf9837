//! The project: the one directory of the user's that the sandboxed program may change.
use crate::error::with_hint;
use anyhow::{Context, Result, anyhow};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A project directory.
#[derive(Debug, PartialEq, Eq)]
pub struct Project {
    /// Its root, absolute and without links.
    pub root: PathBuf,
    /// The repository that a linked worktree belongs to, shown as well.
    pub repository: Option<PathBuf>,
}

/// Directories that no project may be or contain, beside the root.
const SYSTEM: [&str; 4] = ["/usr", "/etc", "/proc", "/dev"];

/// The project of `cwd`: the root of the git checkout it is in, else `cwd` itself. `guarded` are HOME, the runtime, the
/// state and the configuration directories, which no project may be or contain.
pub fn find(cwd: &Path, home: &Path, guarded: &[PathBuf]) -> Result<Project> {
    let cwd = cwd.canonicalize().with_context(|| cwd.display().to_string())?;
    // A checkout at HOME (dotfiles) or above is no project: the search ends below it.
    let root = cwd.ancestors().take_while(|dir| !home.starts_with(dir)).find(|dir| dir.join(".git").exists());
    at(root.unwrap_or(&cwd), guarded)
}

/// The project at `root`.
pub fn at(root: &Path, guarded: &[PathBuf]) -> Result<Project> {
    let root = root.canonicalize().with_context(|| format!("project {}", root.display()))?;
    let system = SYSTEM.iter().map(Path::new);
    let held = guarded.iter().map(PathBuf::as_path).chain(system).find(|dir| dir.starts_with(&root));
    if let Some(held) = held {
        let what = if held == root { "it".to_owned() } else { format!("{}, which it contains,", held.display()) };
        let error = anyhow!("{} cannot be the project: {what} would become writable in the sandbox", root.display());
        let hint = "change into a project's directory; or use --no-project, with --bind DIR for what is to be written";
        return Err(with_hint(error, hint));
    }
    let repository = match fs::symlink_metadata(root.join(".git")) {
        Ok(meta) if meta.is_file() => linked_repository(&root),
        _ => None,
    };
    Ok(Project { root, repository })
}

/// The repository that the file `.git` of a linked worktree names (gitrepository-layout(5)), once it has proved to be
/// one of the caller's own and to know this worktree: the file is the project's, so anybody may have forged it.
fn linked_repository(root: &Path) -> Option<PathBuf> {
    let found = verify_link(root);
    if let Err(error) = &found {
        log::warn!("{}/.git names a repository that is not shown: {error:#}", root.display());
    }
    found.ok()
}

fn verify_link(root: &Path) -> Result<PathBuf> {
    let file = root.join(".git");
    let entry = named(&file, "gitdir: ", root).context("no gitdir")?;
    let common = named(&entry.join("commondir"), "", &entry).context("not a linked worktree")?;
    for part in ["HEAD", "objects", "refs"] {
        if !common.join(part).exists() {
            return Err(anyhow!("{} has no {part}", common.display()));
        }
    }
    let own = nix::unistd::geteuid().as_raw();
    if fs::metadata(&common)?.uid() != own || fs::metadata(&entry)?.uid() != own {
        return Err(anyhow!("{} belongs to somebody else", common.display()));
    }
    let back = named(&entry.join("gitdir"), "", &entry).context("it names no worktree")?;
    if back != file.canonicalize()? || entry.parent() != Some(&common.join("worktrees")) {
        return Err(anyhow!("{} belongs to another worktree", entry.display()));
    }
    Ok(common)
}

/// The path in the one line of `file`, after `prefix`, relative to `base`.
fn named(file: &Path, prefix: &str, base: &Path) -> Result<PathBuf> {
    let text = fs::read_to_string(file)?;
    let path = text.trim_end().strip_prefix(prefix).context("unexpected text")?;
    Ok(base.join(path).canonicalize()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Place {
            let dir = std::env::temp_dir().join(format!("rrunc-project-{name}-{}", std::process::id()));
            fs::remove_dir_all(&dir).ok();
            fs::create_dir_all(dir.join("home/repo/src")).unwrap();
            Place(dir.canonicalize().unwrap())
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).ok();
        }
    }

    #[test]
    fn the_checkout_around_the_directory_but_never_home() {
        let place = Place::new("root");
        let home = place.0.join("home");
        let repo = home.join("repo");
        let root = |cwd: &Path| find(cwd, &home, std::slice::from_ref(&home)).map(|p| p.root);
        assert_eq!(root(&repo.join("src")).unwrap(), repo.join("src"));
        fs::create_dir(repo.join(".git")).unwrap();
        assert_eq!(root(&repo.join("src")).unwrap(), repo);
        fs::remove_dir(repo.join(".git")).unwrap();
        fs::create_dir(home.join(".git")).unwrap();
        assert_eq!(root(&repo.join("src")).unwrap(), repo.join("src"), "dotfiles in HOME");
        for bad in [home.as_path(), &place.0, Path::new("/"), Path::new("/usr")] {
            let error = root(bad).unwrap_err();
            assert!(error.to_string().contains("cannot be the project"), "{error}");
        }
    }

    #[test]
    fn a_worktree_shows_its_repository_and_a_forged_one_does_not() {
        let place = Place::new("worktree");
        let (repo, tree) = (place.0.join("home/repo/.git"), place.0.join("home/tree"));
        let entry = repo.join("worktrees/tree");
        for dir in [repo.join("objects"), repo.join("refs"), entry.clone(), tree.clone()] {
            fs::create_dir_all(dir).unwrap();
        }
        fs::write(repo.join("HEAD"), "ref: refs/heads/main\n").unwrap();
        fs::write(entry.join("commondir"), "../..\n").unwrap();
        fs::write(entry.join("gitdir"), format!("{}/.git\n", tree.display())).unwrap();
        fs::write(tree.join(".git"), format!("gitdir: {}\n", entry.display())).unwrap();
        assert_eq!(at(&tree, &[]).unwrap().repository, Some(repo.clone()));
        let forged = place.0.join("home/forged");
        fs::create_dir(&forged).unwrap();
        for target in [entry.display().to_string(), repo.display().to_string(), "/etc".into(), "nowhere".into()] {
            fs::write(forged.join(".git"), format!("gitdir: {target}\n")).unwrap();
            assert_eq!(at(&forged, &[]).unwrap().repository, None, "{target}");
        }
    }
}
