//! The project: the one directory of the user's that the sandboxed program may change.
use super::foreign;
use super::guarded::Guarded;
use crate::error::with_hint;
use crate::git::repository;
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
    pub repository: Option<Repository>,
}

impl Project {
    /// Where git keeps what is its own of it, if it is a checkout.
    pub fn git_dir(&self) -> PathBuf {
        self.repository.as_ref().map_or_else(|| self.root.join(".git"), |repository| repository.entry.clone())
    }
}

/// The repository of a linked worktree.
#[derive(Debug, PartialEq, Eq)]
pub struct Repository {
    /// What all its worktrees share: objects, refs, hooks, configuration.
    pub common: PathBuf,
    /// The worktree's own part of it, below `common`.
    pub entry: PathBuf,
    /// The user has said that sandboxes may write it, too.
    pub writable: bool,
}

/// Directories that no project may be or contain, beside the root.
const SYSTEM: [&str; 6] = ["/usr", "/etc", "/proc", "/dev", "/sys", "/run"];

/// The directory that is the project of `cwd`, if `at` lets it be one: the root of the git checkout it is in, else `cwd`
/// itself.
pub fn root_around(cwd: &Path, home: &Path) -> Result<PathBuf> {
    let cwd = cwd.canonicalize().with_context(|| cwd.display().to_string())?;
    // A checkout at HOME (dotfiles) or above is no project: the search ends below it.
    // Nor is one that somebody else has put above our directory, in /tmp say (git's safe.directory, CVE-2022-24765).
    // And none that git would not take for one: any program can make a directory of that name.
    let own = nix::unistd::geteuid().as_raw();
    let counts = |dir: &Path| {
        let is_ours = fs::symlink_metadata(dir.join(".git")).is_ok_and(|meta| meta.uid() == own);
        is_ours && !home.starts_with(dir)
    };
    Ok(repository::around(&cwd, counts).unwrap_or(&cwd).to_owned())
}

/// The project at `root`.
pub fn at(root: &Path, guarded: &Guarded) -> Result<Project> {
    let root = root.canonicalize().with_context(|| format!("project {}", root.display()))?;
    if let Some(reason) = refusal(&root, guarded)? {
        let error = anyhow!("{} cannot be the project: {reason}", root.display());
        let hint = "change into a project's directory; or use --no-project, with --bind DIR for what is to be written";
        return Err(with_hint(error, hint));
    }
    let repository = linked_repository(&root);
    Ok(Project { root, repository })
}

/// Why `root` is no project.
fn refusal(root: &Path, guarded: &Guarded) -> Result<Option<String>> {
    let system = SYSTEM.iter().map(Path::new);
    let held = guarded.around.iter().map(PathBuf::as_path).chain(system).find(|dir| dir.starts_with(root));
    if let Some(held) = held {
        let what = if held == root { "it".to_owned() } else { format!("{}, which it contains,", held.display()) };
        return Ok(Some(format!("{what} would become writable in the sandbox")));
    }
    if let Some(around) = guarded.within.iter().find(|dir| root.starts_with(dir)) {
        return Ok(Some(format!("no sandbox may see {}", around.display())));
    }
    // Sticky and writable for all: other people's files, and the sockets of our own session.
    let shared = fs::metadata(root)?.mode() & 0o1002 == 0o1002;
    Ok(shared.then(|| "everybody shares it".to_owned()))
}

/// The repository that the file `.git` of a linked worktree names (gitrepository-layout(5)), once it has proved to be
/// one of the caller's own and to know this worktree: the file is the project's, so anybody may have forged it.
pub fn linked_repository(root: &Path) -> Option<Repository> {
    if !fs::symlink_metadata(root.join(".git")).is_ok_and(|meta| meta.is_file()) {
        return None;
    }
    let found = verify_link(root);
    if let Err(error) = &found {
        log::warn!("{}/.git names a repository that is not shown: {error:#}", root.display());
    }
    found.ok()
}

fn verify_link(root: &Path) -> Result<Repository> {
    let file = root.join(".git");
    let entry = named(&file, repository::pointer, root).context("no gitdir")?;
    let common = named(&entry.join("commondir"), repository::line, &entry).context("not a linked worktree")?;
    for part in ["HEAD", "objects", "refs"] {
        if !common.join(part).exists() {
            return Err(anyhow!("{} has no {part}", common.display()));
        }
    }
    let own = nix::unistd::geteuid().as_raw();
    if fs::metadata(&common)?.uid() != own || fs::metadata(&entry)?.uid() != own {
        return Err(anyhow!("{} belongs to somebody else", common.display()));
    }
    let back = named(&entry.join("gitdir"), repository::line, &entry).context("it names no worktree")?;
    if back != file.canonicalize()? || entry.parent() != Some(&common.join("worktrees")) {
        return Err(anyhow!("{} belongs to another worktree", entry.display()));
    }
    Ok(Repository { common, entry, writable: false })
}

/// The path in `file`, which `read` finds in its text, relative to `base`.
fn named(file: &Path, read: fn(&[u8]) -> Option<PathBuf>, base: &Path) -> Result<PathBuf> {
    let path = read(foreign::text_at(file)?.as_bytes()).context("unexpected text")?;
    Ok(base.join(path).canonicalize()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn find(cwd: &Path, home: &Path, guarded: &Guarded) -> Result<Project> {
        at(&root_around(cwd, home)?, guarded)
    }

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
        let secret = home.join(".ssh");
        fs::create_dir_all(secret.join("sub")).unwrap();
        let guarded = Guarded { around: vec![home.clone()], within: vec![secret.clone()], ..Guarded::default() };
        let root = |cwd: &Path| find(cwd, &home, &guarded).map(|p| p.root);
        assert_eq!(root(&repo.join("src")).unwrap(), repo.join("src"));
        for part in ["objects", "refs"] {
            fs::create_dir_all(repo.join(".git").join(part)).unwrap();
            assert_eq!(root(&repo.join("src")).unwrap(), repo.join("src"), "no repository to git");
        }
        fs::write(repo.join(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
        assert_eq!(root(&repo.join("src")).unwrap(), repo);
        fs::create_dir(repo.join("src/.git")).unwrap();
        assert_eq!(root(&repo.join("src")).unwrap(), repo);
        fs::remove_dir(repo.join("src/.git")).unwrap();
        fs::rename(repo.join(".git"), home.join(".git")).unwrap();
        assert_eq!(root(&repo.join("src")).unwrap(), repo.join("src"), "dotfiles in HOME");
        let around_secret = find(&repo, &home, &Guarded { within: vec![repo.join("src")], ..Guarded::default() });
        assert_eq!(around_secret.unwrap().root, repo, "the secret in it is hidden, see `View::masked`");
        let shared = place.0.join("shared");
        fs::create_dir(&shared).unwrap();
        fs::set_permissions(&shared, fs::Permissions::from_mode(0o1777)).unwrap();
        let system = ["/", "/usr"].map(Path::new);
        let inner = secret.join("sub");
        let own = [&home, &place.0, &secret, &inner, &shared].map(PathBuf::as_path);
        for bad in system.into_iter().chain(own) {
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
        let nothing = Guarded::default();
        let found = Repository { common: repo.clone(), entry: entry.clone(), writable: false };
        assert_eq!(at(&tree, &nothing).unwrap().repository, Some(found));
        let forged = place.0.join("home/forged");
        fs::create_dir(&forged).unwrap();
        for target in [entry.display().to_string(), repo.display().to_string(), "/etc".into(), "nowhere".into()] {
            fs::write(forged.join(".git"), format!("gitdir: {target}\n")).unwrap();
            assert_eq!(at(&forged, &nothing).unwrap().repository, None, "{target}");
        }
    }
}
