//! A project's own profile, `.rrunc.toml`: whoever writes the project's files may have written it, so it counts only
//! once the user has read it, and only as it was then. And the repository of a linked worktree, which sandboxes write only
//! once the user has said so.
use super::foreign;
use super::profile::{Access, Allow, Limits, Named, Profile};
use super::project::Repository;
use crate::printable::printable;
use anyhow::{Context, Result};
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Name of the file in the project's directory.
pub const FILE: &str = ".rrunc.toml";

/// What is known of a project's profile.
#[derive(Debug, PartialEq, Eq)]
pub enum Standing {
    /// There is none.
    Absent,
    /// It is as it was when the user trusted it: its text.
    Trusted(String),
    /// The user has never trusted it: its text.
    Unknown(String),
    /// It was another one that the user trusted: the text now, and the text then.
    Changed(String, String),
}

/// Where the user's copy of a trusted profile is kept: the copy itself, not a digest, can be shown beside the new one.
fn copy_of(project: &Path) -> Result<PathBuf> {
    Ok(kept_of(project)?.join("=profile.toml"))
}

/// Where it is kept which repository the linked worktree may write.
fn repository_of(project: &Path) -> Result<PathBuf> {
    Ok(kept_of(project)?.join("=repository"))
}

fn kept_of(project: &Path) -> Result<PathBuf> {
    let dirs = directories::BaseDirs::new().context("there is no home directory to keep it in")?;
    Ok(dirs.data_dir().join("rrunc/trusted").join(project.strip_prefix("/").unwrap_or(project)))
}

/// How the profile of the project at `root` stands.
pub fn standing(root: &Path) -> Result<Standing> {
    let path = root.join(FILE);
    // A link is none.
    if !path.symlink_metadata().is_ok_and(|meta| meta.is_file()) {
        return Ok(Standing::Absent);
    }
    let text = foreign::text_at(&path).with_context(|| path.display().to_string())?;
    Ok(match fs::read_to_string(copy_of(root)?) {
        Ok(copy) if copy == text => Standing::Trusted(text),
        Ok(copy) => Standing::Changed(text, copy),
        Err(_) => Standing::Unknown(text),
    })
}

/// The profile of the project at `root`, if it is trusted. If it is not, that is said once.
pub fn profile(root: &Path) -> Result<Option<Named>> {
    let path = root.join(FILE);
    match standing(root)? {
        Standing::Absent => Ok(None),
        Standing::Trusted(text) => parse(root, &text).map(Some),
        Standing::Unknown(_) => {
            log::warn!("{} is ignored: read it, then `rrunc trust`", path.display());
            Ok(None)
        }
        Standing::Changed(..) => {
            log::warn!("{} is ignored: it has changed since you trusted it; see `rrunc trust`", path.display());
            Ok(None)
        }
    }
}

/// Reads it; its paths start at the project's directory. What it would extend is the user's to choose, with --profile.
pub fn parse(root: &Path, text: &str) -> Result<Named> {
    let path = root.join(FILE);
    let read = || -> Result<Profile> {
        let mut profile = Profile::parse(text)?;
        anyhow::ensure!(profile.extends.is_none(), "`extends` has no place in a project's profile");
        for value in profile.allow.read.iter_mut().chain(&mut profile.allow.write) {
            *value = super::grants::absolute(value, root);
        }
        super::places::check(&profile)?;
        Ok(profile)
    };
    let profile = read().with_context(|| path.display().to_string())?;
    Ok(Named { name: path.display().to_string(), profile })
}

/// The profile of the directory `root` if it is trusted. Of one that never was, nothing is said.
pub fn known(root: &Path) -> Result<Option<Named>> {
    if copy_of(root)?.exists() { profile(root) } else { Ok(None) }
}

/// Keeps `text` as what the user trusts for the project at `root`.
pub fn keep(root: &Path, text: &str) -> Result<()> {
    write(&copy_of(root)?, text)
}

/// Keeps that sandboxes of the linked worktree at `root` may write its repository: this one, and no other that has come
/// into its place. The worktree and the repository name each other, but two sandboxes could have written both.
pub fn keep_repository(root: &Path, repository: &Repository) -> Result<()> {
    let text = identity(repository).with_context(|| repository.common.display().to_string())?;
    write(&repository_of(root)?, &text)
}

/// Whether the user has said so.
pub fn knows_repository(root: &Path, repository: &Repository) -> Result<bool> {
    let kept = fs::read_to_string(repository_of(root)?).ok();
    Ok(kept.is_some() && kept == identity(repository))
}

/// What tells it from others: where it is, the worktree's part of it, and the inode. Device numbers change from boot to boot.
fn identity(repository: &Repository) -> Option<String> {
    let inode = fs::metadata(&repository.common).ok()?.ino();
    // Names may have any characters, and stay apart from each other.
    Some(format!("{inode} {:?} {:?}\n", repository.common.to_str()?, repository.entry.to_str()?))
}

fn write(copy: &Path, text: &str) -> Result<()> {
    let dir = copy.parent().context("a directory")?;
    DirBuilder::new().recursive(true).mode(0o700).create(dir).with_context(|| dir.display().to_string())?;
    let new = copy.with_extension("new");
    fs::write(&new, text).and_then(|()| fs::rename(&new, copy)).with_context(|| copy.display().to_string())
}

/// Trusts the profile of `root` no longer, nor its repository; whether each was trusted.
pub fn forget(root: &Path) -> Result<[bool; 2]> {
    let forget = |copy: PathBuf| match fs::remove_file(&copy) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e).with_context(|| copy.display().to_string()),
    };
    Ok([forget(copy_of(root)?)?, forget(repository_of(root)?)?])
}

/// What it gives that sandboxes would not have without it: for each kind a word, and all of that kind. What reaches
/// furthest comes last.
pub fn gives(allow: &Allow) -> Vec<(&'static str, Vec<String>)> {
    let Allow { programs, etc, toolchains, read, write, project, gitconfig, pass, set, .. } = allow;
    let Allow { network, caches, user_namespaces, seccomp, capabilities, limits, .. } = allow;
    let Limits { tmpfs, memory, cpus, processes, time, file_size, open_files } = limits;
    let sizes = [("tmpfs", tmpfs), ("memory", memory), ("cpus", cpus), ("time", time), ("file-size", file_size)];
    let sizes = sizes.into_iter().filter_map(|(name, value)| Some(format!("{name} {}", value.as_ref()?)));
    let numbers = [("processes", processes), ("open-files", open_files)];
    let numbers = numbers.into_iter().filter_map(|(name, value)| Some(format!("{name} {}", (*value)?)));
    let kind = |value: &dyn std::fmt::Debug| format!("{value:?}").to_lowercase();
    let all = [
        ("limits", sizes.chain(numbers).collect()),
        ("gitconfig", gitconfig.clone()),
        ("caches", caches.iter().map(|cache| kind(cache)).collect()),
        ("set", set.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        ("pass", pass.clone()),
        ("etc", etc.clone()),
        ("toolchains", toolchains.clone()),
        ("programs", programs.clone()),
        ("read", read.clone()),
        ("project", project.iter().map(|access: &Access| kind(access)).collect()),
        ("write", write.clone()),
        ("user-namespaces", user_namespaces.then(|| "yes".to_owned()).into_iter().collect()),
        ("seccomp", seccomp.iter().map(|seccomp| seccomp.name().to_owned()).collect()),
        ("capabilities", capabilities.clone()),
        ("network", network.iter().map(|network| kind(network)).collect()),
    ];
    let shown = |values: Vec<String>| values.iter().map(|value| printable(value)).collect();
    all.into_iter()
        .filter(|(_, values): &(_, Vec<String>)| !values.is_empty())
        .map(|(name, v)| (name, shown(v)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_allow_gives_and_every_key_of_it_does() {
        let gives = |text: &str| gives(&Profile::parse(text).unwrap().allow);
        let narrow = "seccomp = \"strict\"\n[deny]\nnetwork = true\nhide = [\"*\"]\n[limits]\ntime = \"1s\"\n";
        assert!(gives(narrow).is_empty());
        for (key, wide) in [
            ("programs", "programs = [\"/x\"]"),
            ("etc", "etc = [\"/etc/x\"]"),
            ("toolchains", "toolchains = [\"x\"]"),
            ("read", "read = [\"/x\"]"),
            ("write", "write = [\"/x\"]"),
            ("project", "project = \"write\""),
            ("gitconfig", "gitconfig = [\"x\"]"),
            ("pass", "pass = [\"A\"]"),
            ("set", "set = { A = \"1\" }"),
            ("network", "network = \"host\""),
            ("caches", "caches = [\"npm\"]"),
            ("user-namespaces", "user-namespaces = true"),
            ("seccomp", "seccomp = \"default\""),
            ("capabilities", "capabilities = [\"CAP_NET_RAW\"]"),
            ("limits", "limits = { processes = 3 }"),
            ("limits", "limits = { time = \"1h\" }"),
            ("limits", "limits = { cpus = \"2\" }"),
        ] {
            let given = gives(&format!("[allow]\n{wide}\n"));
            assert_eq!(
                given.iter().map(|(name, values)| (*name, values.len())).collect::<Vec<_>>(),
                [(key, 1)],
                "{wide}"
            );
        }
    }
}
