//! What a sandboxed program sees of the host: the mounts, in order, as OCI has them. An allow-list: what is not named
//! here is not there.
use super::etc::{Kind, Part};
use super::grants::Grant;
use super::guarded::Guarded;
use super::layers::{Layers, destination, is_plain_directory, without_stubs};
use super::policy::{Policy, Rule};
use super::profile::{Access, Network};
use super::project::{Project, Repository};
use super::real_path;
use super::trees::{Tree, Trees};
use crate::links::plain;
use crate::plan::mount_options::NO_LINKS;
use anyhow::{Result, anyhow};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A private file system takes this much where no limit says otherwise, in bytes.
const TMPFS_SIZE: u64 = 1 << 30;

/// All that the view is made from.
pub struct View<'a> {
    /// The policy.
    pub policy: &'a Policy,
    /// What of the host's /etc is shown.
    pub etc: &'a [Part<'a>],
    /// The caller's home directory, at its own path inside.
    pub home: &'a Path,
    /// The project, if there is one.
    pub project: Option<&'a Project>,
    /// What else was granted, in order.
    pub grants: &'a [Grant],
    /// What the patterns find in all of it.
    pub trees: &'a Trees,
    /// Further private file systems.
    pub tmpfs: &'a [PathBuf],
    /// Files that private file systems begin with, and what is in them.
    pub copied: &'a [(PathBuf, Vec<u8>)],
    /// What the private file systems already hold (symbolic links), in the bundle's rootfs.
    pub links: &'a [(PathBuf, PathBuf)],
    /// The outer /proc is shown instead of one of its own.
    pub host_proc: bool,
    /// HOME, what rrunc trusts, and secrets.
    pub guarded: &'a Guarded,
    /// A file that is read-only wherever it is seen.
    pub kept: Option<&'a Path>,
}

fn mount(destination: &Path, kind: &str, source: &Path, options: &[&str]) -> Value {
    json!({"destination": destination, "type": kind, "source": source, "options": options})
}

/// Of the host's own, which may be links (`/bin`).
fn of_host(path: &Path) -> Value {
    // rro and its like change every mount of the tree, where ro would change the top one only.
    mount(path, "none", path, &["rbind", "rro", "rnosuid", "rnodev"])
}

/// A path of the user's that has no link in it: one that is there when it is opened was put there meanwhile, by another
/// sandbox of the same project for instance.
fn read_only(path: &Path) -> Value {
    shown(path, path, false)
}

fn writable(path: &Path) -> Value {
    shown(path, path, true)
}

/// What of the host's is seen at `destination`.
pub fn shown(source: &Path, destination: &Path, writable: bool) -> Value {
    let options: &[&str] = match writable {
        true => &["rbind", "rnosuid", "rnodev", NO_LINKS],
        false => &["rbind", "rro", "rnosuid", "rnodev", NO_LINKS],
    };
    mount(destination, "none", source, options)
}

impl View<'_> {
    /// The mounts, what is around before what is in it, whoever has named it first: a later one never covers another
    /// but at its very place. And what in them is masked.
    pub fn mounts(&self) -> Result<(Vec<Value>, Vec<PathBuf>)> {
        let mut all = self.kernel_file_systems();
        all.extend(existing(self.policy.programs.iter().map(path_of)).map(|path| of_host(&path)));
        all.push(mount(Path::new("/etc"), "none", Path::new("etc"), &["bind", "ro", "nosuid", "nodev", "noexec"]));
        let mounted = self.etc.iter().filter(|part| !matches!(part.kind, Kind::Link(_)));
        all.extend(mounted.map(|part| of_host(Path::new(part.path))));
        for (path, mode) in [("/run", "0755"), ("/tmp", "1777"), ("/var", "0755"), ("/var/tmp", "1777")] {
            all.push(self.private(Path::new(path), mode));
        }
        all.push(self.private(self.home, "0700"));
        all.extend(self.toolchains().map(|(source, place)| shown(&source, &place, false)));
        if let Some(project) = self.project {
            all.extend(self.project_mounts(project)?);
        }
        all.extend(self.tmpfs.iter().map(|path| self.private(path, "0755")));
        // Last, so that they win at the same place: they are the user's own words.
        all.extend(self.grants.iter().map(|grant| shown(&grant.source, &grant.destination, grant.writable)));
        all.extend(self.kept_in_place());
        all.sort_by(|a, b| destination(a).cmp(destination(b)));
        let protected = self.protected(&Layers::of(&all))?;
        all.extend(protected);
        all.sort_by(|a, b| destination(a).cmp(destination(b)));
        // What the user, the project and the kernel's file systems have asked for is missed.
        let root =
            self.project.iter().flat_map(|p| std::iter::once(&p.root).chain(p.repository.iter().map(|r| &r.common)));
        let asked: BTreeSet<&Path> =
            self.grants.iter().map(|g| &g.destination).chain(root).map(PathBuf::as_path).collect();
        let mut all = without_stubs(all, |mount| mount["type"] != "none" || asked.contains(destination(mount)))?;
        let layers = Layers::of(&all);
        let masked = layers.seen(self.masked()?);
        for path in &masked {
            super::text("path", path.as_os_str())?;
        }
        for (link, _) in self.links {
            if layers.around(link).is_some_and(|around| around["type"] == "none") {
                return Err(anyhow!("--symlink {}: the host's files are there", link.display()));
            }
        }
        let pins = layers.pins(&masked);
        all.extend(pins);
        all.sort_by(|a, b| destination(a).cmp(destination(b)));
        Ok((all, masked))
    }

    /// What is kept, as a mount of its own: it can be neither written nor replaced.
    fn kept_in_place(&self) -> Vec<Value> {
        let Some(kept) = self.kept else { return Vec::new() };
        let granted =
            self.grants.iter().filter(|grant| grant.writable).map(|grant| (&grant.source, &grant.destination));
        let granted = granted.chain(self.project.iter().map(|project| (&project.root, &project.root)));
        let places = granted.filter_map(|(source, place)| Some(place.join(kept.strip_prefix(source).ok()?)));
        // Of a file that is granted itself the rest is empty, and would make its name a directory's.
        places.map(|place| shown(kept, &place.components().collect::<PathBuf>(), false)).collect()
    }

    fn kernel_file_systems(&self) -> Vec<Value> {
        let none = |destination: &str, kind: &str, options: &[&str]| {
            mount(Path::new(destination), kind, Path::new(kind), options)
        };
        let proc = match self.host_proc {
            true => {
                mount(Path::new("/proc"), "none", Path::new("/proc"), &["rbind", "rro", "rnosuid", "rnoexec", "rnodev"])
            }
            false => none("/proc", "proc", &["nosuid", "noexec", "nodev"]),
        };
        vec![
            proc,
            none("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
            none("/dev/pts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]),
            none("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", &self.size()]),
            none("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
            none("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        ]
    }

    fn size(&self) -> String {
        format!("size={}", self.policy.bounds.tmpfs.as_ref().map_or(TMPFS_SIZE, |size| size.value))
    }

    /// A file system of the sandbox's own. One that links or files are to be in starts with a copy of what it
    /// covers.
    fn private(&self, path: &Path, mode: &str) -> Value {
        let (mode, size) = (format!("mode={mode}"), self.size());
        let mut options = vec!["nosuid", "nodev", &mode, &size];
        let (links, files) = (self.links.iter().map(|(link, _)| link), self.copied.iter().map(|(file, _)| file));
        if links.chain(files).any(|inner| inner.starts_with(path)) {
            options.push("tmpcopyup");
        }
        mount(path, "tmpfs", Path::new("tmpfs"), &options)
    }

    /// Toolchains, each with its place inside. One that is a link is shown as what it leads to, but never shows a secret
    /// or the home directory (`~/.local/bin -> ~/.ssh`).
    fn toolchains(&self) -> impl Iterator<Item = (PathBuf, PathBuf)> {
        self.policy.toolchains.iter().filter_map(|rule| {
            let place = self.home.join(&rule.value);
            let source = real_path(&place)?;
            let secret = self.guarded.within.iter().find(|dir| source.starts_with(dir) || dir.starts_with(&source));
            let around = || self.guarded.around.iter().find(|dir| dir.starts_with(&source));
            if let Some(kept) = secret.or_else(around) {
                log::warn!("{} is not shown: it leads to {}", place.display(), kept.display());
                return None;
            }
            Some((source, place))
        })
    }

    /// The project at its own path; in it, read-only, what runs later on the host.
    fn project_mounts(&self, project: &Project) -> Result<Vec<Value>> {
        let root = &project.root;
        if self.policy.project.as_ref().is_none_or(|project| project.value == Access::Read) {
            let common = project.repository.iter().map(|repository| read_only(&repository.common));
            return Ok(std::iter::once(read_only(root)).chain(common).collect());
        }
        let mut all = vec![writable(root)];
        match &project.repository {
            Some(Repository { common, entry, writable: may_write }) => {
                all.push(shown(common, common, *may_write));
                // They decide which repository the host's git will take its hooks from.
                all.extend([entry.join("gitdir"), root.join(".git")].iter().filter_map(|path| held(path, path)));
            }
            // A mount of its own cannot be renamed, with all that is protected in it, to make room for another.
            None if is_plain_directory(&root.join(".git")) => all.push(writable(&root.join(".git"))),
            None => {}
        }
        Ok(all)
    }

    /// What runs later on the host, read-only wherever it may be written and is seen: in the project and in what else is
    /// granted, but what is granted by its own name.
    fn protected(&self, layers: &Layers) -> Result<Vec<Value>> {
        let named = self.grants.iter().filter(|grant| grant.named);
        let meant: BTreeSet<&Path> = named.map(|grant| grant.destination.as_path()).collect();
        let mut all = BTreeMap::new();
        for tree in self.trees.all.iter().filter(|tree| tree.written) {
            for path in &tree.protected {
                // JSON has no other bytes.
                super::text("path", path.as_os_str())?;
                let place = tree.place.join(path.strip_prefix(&tree.source)?);
                if !meant.contains(place.as_path()) && layers.writes(&place, path) {
                    all.extend(held(path, &place).map(|mount| (place, mount)));
                }
            }
        }
        Ok(all.into_values().collect())
    }

    /// Secrets, hidden files, and what rrunc itself trusts, inside what is granted: masked.
    fn masked(&self) -> Result<Vec<PathBuf>> {
        // The project is not among them where the user has put something else in its place.
        let shown = |tree: &&Tree| {
            self.project.is_some_and(|p| p.root == tree.source) || self.grants.iter().any(|g| g.source == tree.source)
        };
        let trees: Vec<&Tree> = self.trees.all.iter().filter(shown).collect();
        let files = self.grants.iter().map(|g| (&g.source, &g.destination));
        let granted: Vec<_> = files.chain(trees.iter().map(|tree| (&tree.source, &tree.place))).collect();
        let named = self.grants.iter().filter(|grant| grant.named).map(|grant| &grant.destination);
        let named: BTreeSet<&PathBuf> = named.chain(self.project.iter().map(|project| &project.root)).collect();
        let mut all = BTreeSet::new();
        let mut hide = |hidden: &Path, source: &Path, destination: &Path| {
            let Ok(rest) = hidden.strip_prefix(source) else { return };
            let place = destination.join(rest);
            // What is granted by its own name is meant; what a link leads to is not.
            let meant = named.contains(&place);
            // A mask cannot lie on a link, nor behind one that leads to what is not seen; what it leads to has its own.
            if !meant && hidden.canonicalize().is_ok_and(|real| real == hidden) {
                all.insert(place);
            }
        };
        for (source, destination) in &granted {
            for hidden in self.guarded.within.iter().filter(|dir| dir.starts_with(source) && dir.exists()) {
                hide(hidden, source, destination);
            }
        }
        for hidden in trees.iter().flat_map(|tree| &tree.hidden) {
            let target = hidden.canonicalize().ok().filter(|_| is_link(hidden));
            for (source, destination) in &granted {
                hide(target.as_ref().unwrap_or(hidden), source, destination);
            }
        }
        // In order: what is in one that is masked is seen no more.
        let mut outermost: Vec<PathBuf> = Vec::new();
        for place in all {
            if !outermost.last().is_some_and(|around| place.starts_with(around)) {
                outermost.push(place);
            }
        }
        Ok(outermost)
    }

    /// The paths in it that the caller's surroundings have given, each of them the beginning of what is mounted.
    pub fn given(&self) -> impl Iterator<Item = &Path> {
        let grants = self.grants.iter().flat_map(|grant| [&grant.source, &grant.destination]);
        let project = self.project.into_iter().flat_map(|project| {
            let repository = project.repository.iter().flat_map(|r| [&r.common, &r.entry]);
            std::iter::once(&project.root).chain(repository)
        });
        std::iter::once(self.home).chain(grants.chain(project).chain(self.tmpfs).map(PathBuf::as_path))
    }

    /// Where `path` leads by the links of `--symlink`: init follows none.
    pub fn through_links(&self, path: &Path) -> PathBuf {
        through(self.links, path)
    }

    /// Whether the directory `path` of the host is seen inside at the same place.
    pub fn shows(&self, path: &Path) -> bool {
        // The private HOME lies over a grant of what is around it.
        let covered = |dir: &Path| path.starts_with(self.home) && self.home.starts_with(dir) && dir != self.home;
        let grants = self.grants.iter().filter(|g| g.source == g.destination).map(|g| g.source.as_path());
        let grants = grants.filter(|dir| !covered(dir));
        let programs = self.policy.programs.iter().map(|rule| Path::new(&rule.value));
        let project = self.project.map(|p| p.root.as_path());
        path == self.home || grants.chain(programs).chain(project).any(|shown| path.starts_with(shown))
    }

    /// The host's network is shared.
    pub fn host_network(&self) -> bool {
        self.policy.network() == Network::Host
    }
}

/// The mount that keeps `path` of the host as it is at `place`. A link cannot be held.
fn held(path: &Path, place: &Path) -> Option<Value> {
    match path.symlink_metadata() {
        Ok(meta) if meta.is_symlink() => {
            log::warn!("{} is a link: the sandboxed program could replace it", path.display());
            None
        }
        Ok(_) => Some(shown(path, place, false)),
        Err(_) => None,
    }
}

/// Where `path` leads by `links`.
pub fn through(links: &[(PathBuf, PathBuf)], path: &Path) -> PathBuf {
    let mut path = plain(path);
    for _ in 0..links.len() {
        let Some((link, target)) = links.iter().find(|(link, _)| path.starts_with(link)) else { break };
        let dir = link.parent().unwrap_or(Path::new("/"));
        path = plain(&dir.join(target).join(path.strip_prefix(link).unwrap_or(Path::new(""))));
    }
    path
}

fn path_of(rule: &Rule) -> PathBuf {
    PathBuf::from(&rule.value)
}

fn is_link(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|meta| meta.is_symlink())
}

fn existing(paths: impl Iterator<Item = PathBuf>) -> impl Iterator<Item = PathBuf> {
    paths.filter(|path| path.exists())
}
