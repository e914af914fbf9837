//! What a sandboxed program sees of the host: the mounts, in order, as OCI has them. An allow-list: what is not named
//! here is not there.
use super::profile::Profile;
use super::project::{Guarded, Project, Repository};
use crate::error::with_hint;
use anyhow::{Result, anyhow};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// A directory or file of the host that the user has granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// On the host, absolute.
    pub source: PathBuf,
    /// Inside, absolute.
    pub destination: PathBuf,
    /// May be written.
    pub writable: bool,
}

/// All that the view is made from.
pub struct View<'a> {
    /// The profile.
    pub profile: &'a Profile,
    /// The caller's home directory, at its own path inside.
    pub home: &'a Path,
    /// The project, if there is one.
    pub project: Option<&'a Project>,
    /// What else was granted, in order.
    pub grants: &'a [Grant],
    /// The host's network is shared.
    pub host_network: bool,
}

fn mount(destination: &Path, kind: &str, source: &Path, options: &[&str]) -> Value {
    json!({"destination": destination, "type": kind, "source": source, "options": options})
}

fn read_only(path: &Path) -> Value {
    // rro and its like change every mount of the tree, where ro would change the top one only.
    mount(path, "none", path, &["rbind", "rro", "rnosuid", "rnodev"])
}

fn writable(source: &Path, destination: &Path) -> Value {
    mount(destination, "none", source, &["rbind", "rnosuid", "rnodev"])
}

impl View<'_> {
    /// The mounts, what is around before what is in it, whoever has named it first: a later one never covers another
    /// but at its very place.
    pub fn mounts(&self) -> Result<Vec<Value>> {
        let mut all = self.kernel_file_systems();
        let files = &self.profile.filesystem;
        all.extend(existing(files.programs.iter().map(PathBuf::from)).map(|path| read_only(&path)));
        all.push(mount(Path::new("/etc"), "none", Path::new("etc"), &["bind", "ro", "nosuid", "nodev", "noexec"]));
        all.extend(self.shown_of_etc().iter().map(|path| read_only(Path::new(path))));
        for (path, mode) in [("/run", "0755"), ("/tmp", "1777"), ("/var", "0755"), ("/var/tmp", "1777")] {
            all.push(self.private(Path::new(path), mode));
        }
        all.push(self.private(self.home, "0700"));
        let tools = files.toolchains.iter().map(|path| self.home.join(path));
        all.extend(existing(tools).map(|path| read_only(&path)));
        if let Some(project) = self.project {
            all.extend(self.project_mounts(project));
        }
        // Last, so that they win at the same place: they are the user's own words.
        all.extend(self.grants.iter().map(grant));
        all.sort_by(|a, b| destination(a).cmp(destination(b)));
        self.grants.iter().try_for_each(|grant| refuse_stub(grant, &all))?;
        Ok(all)
    }

    fn kernel_file_systems(&self) -> Vec<Value> {
        let none = |destination: &str, kind: &str, options: &[&str]| {
            mount(Path::new(destination), kind, Path::new(kind), options)
        };
        vec![
            none("/proc", "proc", &["nosuid", "noexec", "nodev"]),
            none("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
            none("/dev/pts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]),
            none("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", &self.size()]),
            none("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
            none("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        ]
    }

    fn size(&self) -> String {
        format!("size={}", self.profile.process.tmpfs_size)
    }

    fn private(&self, path: &Path, mode: &str) -> Value {
        mount(path, "tmpfs", Path::new("tmpfs"), &["nosuid", "nodev", &format!("mode={mode}"), &self.size()])
    }

    /// The parts of the host's /etc that are there to be shown.
    pub fn shown_of_etc(&self) -> Vec<&str> {
        self.profile.filesystem.etc.iter().map(String::as_str).filter(|path| Path::new(path).exists()).collect()
    }

    /// The project at its own path; in it, read-only, what runs later on the host.
    fn project_mounts(&self, project: &Project) -> Vec<Value> {
        let root = &project.root;
        let mut all = vec![writable(root, root)];
        let mut protected: Vec<PathBuf> =
            self.profile.filesystem.runs_later.iter().map(|path| root.join(path)).collect();
        match &project.repository {
            Some(Repository { common, entry }) => {
                all.push(writable(common, common));
                protected.extend(["hooks", "config", "config.worktree"].map(|name| common.join(name)));
                // These and the worktree's own file decide which repository the host's git will take its hooks from.
                protected.extend(["commondir", "gitdir", "config.worktree"].map(|name| entry.join(name)));
                protected.push(root.join(".git"));
            }
            // A mount of its own cannot be renamed, with all that is protected in it, to make room for another.
            None if is_plain_directory(&root.join(".git")) => {
                all.push(writable(&root.join(".git"), &root.join(".git")));
            }
            None => {}
        }
        for path in protected {
            match path.symlink_metadata() {
                Ok(meta) if meta.is_symlink() => {
                    log::warn!("{} is a link: the sandboxed program could replace it", path.display());
                }
                Ok(_) => all.push(read_only(&path)),
                Err(_) => {}
            }
        }
        all
    }

    /// Secrets, and what rrunc itself trusts, inside what is granted: masked.
    pub fn masked(&self, guarded: &Guarded) -> Vec<PathBuf> {
        let sources = self.grants.iter().map(|g| (&g.source, &g.destination));
        let granted: Vec<_> = sources.chain(self.project.iter().map(|p| (&p.root, &p.root))).collect();
        let mut all = Vec::new();
        for hidden in existing(guarded.within.iter().cloned()) {
            for (source, destination) in &granted {
                let Ok(rest) = hidden.strip_prefix(source) else { continue };
                let place = destination.join(rest);
                // What is granted by its own name is meant.
                let meant = granted.iter().any(|(_, own)| **own == place);
                if !meant && !all.contains(&place) {
                    all.push(place);
                }
            }
        }
        all
    }

    /// The paths in it that the caller's surroundings have given, each of them the beginning of what is mounted.
    pub fn given(&self) -> impl Iterator<Item = &Path> {
        let grants = self.grants.iter().flat_map(|grant| [&grant.source, &grant.destination]);
        let project = self.project.into_iter().flat_map(|project| {
            let repository = project.repository.iter().flat_map(|r| [&r.common, &r.entry]);
            std::iter::once(&project.root).chain(repository)
        });
        std::iter::once(self.home).chain(grants.chain(project).map(PathBuf::as_path))
    }

    /// Whether the directory `path` of the host is seen inside at the same place.
    pub fn shows(&self, path: &Path) -> bool {
        // The private HOME lies over a grant of what is around it.
        let covered = |dir: &Path| path.starts_with(self.home) && self.home.starts_with(dir) && dir != self.home;
        let grants = self.grants.iter().filter(|g| g.source == g.destination).map(|g| g.source.as_path());
        let grants = grants.filter(|dir| !covered(dir));
        let programs = self.profile.filesystem.programs.iter().map(Path::new);
        let project = self.project.map(|p| p.root.as_path());
        path == self.home || grants.chain(programs).chain(project).any(|shown| path.starts_with(shown))
    }
}

fn grant(grant: &Grant) -> Value {
    let mode: &[&str] =
        if grant.writable { &["rbind", "rnosuid", "rnodev"] } else { &["rbind", "rro", "rnosuid", "rnodev"] };
    mount(&grant.destination, "none", &grant.source, mode)
}

fn destination(mount: &Value) -> &Path {
    Path::new(mount["destination"].as_str().unwrap_or_default())
}

/// A mount point that is missing in a directory of the host would be made there, and stay behind.
fn refuse_stub(grant: &Grant, mounts: &[Value]) -> Result<()> {
    let place = &grant.destination;
    // In order of the mounts the last one around it is the nearest.
    let nearest = mounts.iter().rfind(|m| place.starts_with(destination(m)) && destination(m) != place);
    let Some(around) = nearest.filter(|m| m["type"] == "none") else { return Ok(()) };
    let Some(source) = around["source"].as_str().map(Path::new).filter(|source| source.is_absolute()) else {
        return Ok(());
    };
    let rest = place.strip_prefix(destination(around)).unwrap_or(place);
    if source.join(rest).exists() {
        return Ok(());
    }
    let error = anyhow!("{} is not there in {} of the host", place.display(), source.display());
    Err(with_hint(error, "make it first, or choose another place: nothing is made in the host's directories"))
}

fn is_plain_directory(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|meta| meta.is_dir())
}

fn existing(paths: impl Iterator<Item = PathBuf>) -> impl Iterator<Item = PathBuf> {
    paths.filter(|path| path.exists())
}
