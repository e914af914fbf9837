//! Where a container's cgroup is made: decided from what the configuration asks for and what the caller may do.
//!
//! He may use a directory that is writable to him, if `cgroup.procs` of the nearest cgroup that holds both himself and
//! the new one is too: the kernel asks for that when a process is moved or born there (EACCES else). That is looked at
//! and never guessed, since a refused CLONE_INTO_CGROUP fails the whole clone.
use crate::error::{WithHint, hint_of, one_line, with_hint};
use crate::short_file;
use crate::systemd;
use anyhow::{Context, Result, anyhow};
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};
use nix::unistd::{AccessFlags, access};
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Where version 2 is mounted: alone, or beside version 1.
const MOUNTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
/// How a shell gets into a tree that is its own.
pub const SCOPE: &str = "start rrunc in a cgroup of your own: `systemd-run --user --scope -p Delegate=yes rrunc …`";
/// How the tree of version 2 gets what the kernel has put elsewhere.
const BOOT: &str = "boot with systemd.unified_cgroup_hierarchy=1";

/// Where the processes of a container are counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the cgroup of the caller: it has none of its own.
    Callers {
        /// Why, when limits need one.
        why: String,
        /// What to do about it.
        hint: String,
    },
    /// In a directory, which is made.
    Directory {
        /// The directory.
        path: PathBuf,
        /// The highest cgroup whose children may be given controllers.
        top: PathBuf,
        /// The configuration names it, so that it may be there and others may want it too.
        named: bool,
    },
    /// In a scope of the user's systemd, which makes the directory.
    Scope(systemd::Unit),
}

impl Default for Place {
    fn default() -> Place {
        Place::Callers { why: String::new(), hint: String::new() }
    }
}

impl Place {
    /// The directory, where it is there before the first process.
    pub fn directory(&self) -> Option<&Path> {
        match self {
            Place::Directory { path, .. } => Some(path),
            _ => None,
        }
    }

    /// Whether the configuration has chosen its name, which others know then.
    pub fn is_named(&self) -> bool {
        matches!(self, Place::Directory { named: true, .. })
    }

    /// Whether the container has a cgroup to itself.
    pub fn is_own(&self) -> bool {
        !matches!(self, Place::Callers { .. })
    }
}

/// What is asked for.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// The container's id.
    pub id: &'a str,
    /// `linux.cgroupsPath`.
    pub path: Option<&'a Path>,
    /// The controllers that limits need; none without limits.
    pub controllers: Vec<&'a str>,
    /// `--systemd-cgroup`.
    pub systemd: bool,
}

/// What is needed of the host to decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// Where the file system is mounted.
    pub mount: PathBuf,
    /// The caller's own cgroup, below it.
    pub own: PathBuf,
}

impl Tree {
    /// Finds it; none where there is no version 2.
    pub fn find() -> Option<Tree> {
        let is_v2 = |path: &&str| statfs(Path::new(path)).is_ok_and(|fs| fs.filesystem_type() == CGROUP2_SUPER_MAGIC);
        let mount = PathBuf::from(MOUNTS.into_iter().find(|path| is_v2(path))?);
        let text = short_file::read("/proc/self/cgroup").ok()?;
        let own = own_path(&text).map(|path| mount.join(path))?;
        Some(Tree { mount, own })
    }

    /// Whether the caller's own cgroup is in what is mounted here: a container may be shown another part of the tree.
    pub fn has_own(&self) -> bool {
        self.own.is_dir()
    }

    /// The cgroups from the caller's own upwards in which he may make others and move processes, as far as they are
    /// his to arrange: a slice, and the tree of the user's systemd, are systemd's.
    fn delegated(&self) -> impl Iterator<Item = &Path> {
        let ours = |dir: &&Path| writable(dir) && writable(&dir.join("cgroup.procs")) && !is_systemds(dir);
        self.own.ancestors().take_while(|dir| dir.starts_with(&self.mount)).take_while(ours)
    }
}

/// Decides. `systemd` is asked only when nothing else will do: whether the user has one to talk to, and why not.
///
/// # Errors
/// A named cgroup that the caller may not make or enter.
pub fn choose(tree: Option<&Tree>, wanted: &Wanted, systemd: impl Fn() -> Result<()>) -> Result<Place> {
    let named = wanted.path.filter(|path| !path.as_os_str().is_empty());
    let text = named.map(|path| path.to_string_lossy()).unwrap_or_default();
    if wanted.systemd {
        systemd().context("systemd not running on this host, cannot use systemd cgroups manager")?;
        return systemd::Unit::parse(&text, wanted.id).map(Place::Scope);
    }
    // The pid, since another state directory may have a container of the same id.
    let name = || format!("{}-{}", wanted.id, std::process::id());
    let scope = || systemd::Unit::parse("", &name()).map(Place::Scope);
    let Some(path) = named else {
        return match unnamed(tree, wanted, || format!("rrunc-{}", name())) {
            Place::Callers { why, hint } if !wanted.controllers.is_empty() => match systemd() {
                Ok(()) => scope(),
                Err(e) => {
                    let hint = if hint == SCOPE { or_scope(&e) } else { hint };
                    Ok(Place::Callers { why: format!("{why}, and {}", one_line(&e)), hint })
                }
            },
            place => Ok(place),
        };
    };
    if path.components().any(|part| part == Component::ParentDir) {
        return Err(anyhow!("linux.cgroupsPath: {text} leads upwards"))
            .hint(|| "name a cgroup without `..` in its path");
    }
    if text.matches(':').count() == 2 {
        return Err(anyhow!("linux.cgroupsPath: {text} is a unit of systemd"))
            .hint(|| "with `rrunc --systemd-cgroup` it is; else name a directory below /sys/fs/cgroup");
    }
    if let Some(place) = directory_at(tree, path)? {
        return Ok(place);
    }
    match systemd() {
        Ok(()) => {
            log::warn!("linux.cgroupsPath: {text} is not delegated to you: a scope of your systemd is used instead");
            scope()
        }
        Err(e) => {
            let refused = anyhow!(
                "unable to apply cgroup configuration: {text} is not in a cgroup tree delegated to you: permission denied"
            );
            Err(with_hint(refused, format!("remove linux.cgroupsPath, or {}", or_scope(&e))))
        }
    }
}

/// How to come into a tree of one's own. It takes a systemd that can be reached, so what helps to reach it comes first.
fn or_scope(unreachable: &anyhow::Error) -> String {
    hint_of(unreachable).unwrap_or(SCOPE).to_owned()
}

/// A directory of a name of ours.
fn unnamed(tree: Option<&Tree>, wanted: &Wanted, name: impl Fn() -> String) -> Place {
    let Some(tree) = tree else {
        return Place::Callers { why: "this system has no cgroups of version 2".to_owned(), hint: BOOT.to_owned() };
    };
    let mut refused = None;
    for dir in tree.delegated() {
        match obstacle(dir, &wanted.controllers) {
            None => return Place::Directory { path: dir.join(name()), top: dir.to_owned(), named: false },
            Some(why) => refused = refused.or(Some(why)),
        }
    }
    let (why, hint) =
        refused.unwrap_or_else(|| (format!("{} is not delegated to you", tree.own.display()), SCOPE.to_owned()));
    Place::Callers { why, hint }
}

/// Why children of `dir` cannot have the `controllers`, and what to do.
fn obstacle(dir: &Path, controllers: &[&str]) -> Option<(String, String)> {
    let lacking = |file: &str| lacking(dir, file, controllers);
    let unavailable = lacking("cgroup.controllers");
    if !unavailable.is_empty() {
        let names = unavailable.join(" ");
        let why = format!("{} has no controller for {names}", dir.display());
        return Some((why, undelegated(dir, &unavailable)));
    }
    if lacking("cgroup.subtree_control").is_empty() || others(dir).is_empty() {
        return None;
    }
    // The kernel gives controllers to the children of a cgroup only when no process is in it.
    Some((format!("{} has other processes beside rrunc", dir.display()), SCOPE.to_owned()))
}

/// Those of `controllers` that are not in the list of `file`.
pub fn lacking<'a>(dir: &Path, file: &str, controllers: &[&'a str]) -> Vec<&'a str> {
    if controllers.is_empty() {
        return Vec::new();
    }
    let text = fs::read_to_string(dir.join(file)).unwrap_or_default();
    let listed: Vec<_> = text.split_ascii_whitespace().collect();
    controllers.iter().filter(|name| !listed.contains(name)).copied().collect()
}

/// How the controllers `names`, which `dir` has not, are to be had.
pub(super) fn undelegated(dir: &Path, names: &[&str]) -> String {
    let highest = dir.ancestors().take_while(|dir| dir.join("cgroup.controllers").exists()).last();
    if highest.is_some_and(|top| !lacking(top, "cgroup.controllers", names).is_empty()) {
        let memory = if names.contains(&"memory") { ", or with cgroup_enable=memory" } else { "" };
        return format!("the kernel has it in cgroup v1, or not at all: {BOOT}{memory}");
    }
    "have it delegated to you (Delegate=yes of user@.service): `rrunc doctor` prints the command".to_owned()
}

/// Whether this process is in `dir` itself.
pub(super) fn is_in(dir: &Path) -> bool {
    let text = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    text.lines().any(|pid| pid == std::process::id().to_string())
}

/// The processes in `dir` itself that are not this one.
pub fn others(dir: &Path) -> Vec<String> {
    let text = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    let own = std::process::id().to_string();
    text.lines().filter(|pid| **pid != own).map(str::to_owned).collect()
}

/// The directory that the configuration names, if the caller may make and enter it.
fn directory_at(tree: Option<&Tree>, path: &Path) -> Result<Option<Place>> {
    let Some(tree) = tree.filter(|tree| tree.has_own()) else { return Ok(None) };
    let path = match path.strip_prefix("/") {
        Ok(below) => tree.mount.join(below),
        Err(_) => tree.own.join(path),
    };
    if path.components().eq(tree.mount.components()) {
        return Err(anyhow!("linux.cgroupsPath: / is the root of all cgroups, and not a container's"))
            .hint(|| "name one below it, or none: the container gets one where you may make it");
    }
    // The nearest that is there already is where directories are made.
    let there = path.ancestors().find(|dir| dir.is_dir());
    let common = path.ancestors().find(|dir| tree.own.starts_with(dir));
    if !there.is_some_and(writable) || !common.is_some_and(|dir| writable(&dir.join("cgroup.procs"))) {
        return Ok(None);
    }
    // Through slices of systemd too: who names a place there wants its limits there, and other runtimes do the same.
    let above = path.ancestors().skip(1).take_while(|dir| dir.starts_with(&tree.mount));
    let top = above.filter(|dir| dir.is_dir() && writable(&dir.join("cgroup.subtree_control"))).last();
    let top = top.or(there).unwrap_or(&path).to_owned();
    Ok(Some(Place::Directory { path, top, named: true }))
}

/// The highest cgroup above `path` in which controllers may be given for it, as far as it is not systemd's.
pub fn top(path: &Path) -> PathBuf {
    let ours = |dir: &&Path| writable(&dir.join("cgroup.subtree_control")) && !is_systemds(dir);
    path.ancestors().skip(1).take_while(ours).last().or(path.parent()).unwrap_or(path).to_owned()
}

/// The path of version 2 in the text of /proc/PID/cgroup: `0::/PATH`, without the slash.
pub(super) fn own_path(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("0::/")).filter(|path| !path.ends_with(" (deleted)"))
}

fn is_systemds(dir: &Path) -> bool {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".slice") || (name.starts_with("user@") && name.ends_with(".service"))
}

fn writable(path: &Path) -> bool {
    access(path, AccessFlags::W_OK).is_ok()
}

#[cfg(test)]
mod tests;
