//! What a sandboxed program sees of the host: the mounts, in order, as OCI has them. An allow-list: what is not named
//! here is not there.
use super::profile::Profile;
use super::project::Project;
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
    /// The mounts.
    pub fn mounts(&self) -> Vec<Value> {
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
        // Last, so that they win: they are the user's own words.
        all.extend(self.grants.iter().map(grant));
        all
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
        let mut all = vec![writable(&project.root, &project.root)];
        let later = self.profile.filesystem.runs_later.iter();
        let mut protected: Vec<PathBuf> = later.map(|path| project.root.join(path)).collect();
        if let Some(repository) = &project.repository {
            all.push(writable(repository, repository));
            protected.extend(["hooks", "config"].map(|name| repository.join(name)));
            // The worktree's own pointer decides which repository the host's git will use.
            protected.push(project.root.join(".git"));
        }
        // A link is protected where it leads, if that is in the view at all.
        let shown = [Some(&project.root), project.repository.as_ref()];
        let real = protected.iter().filter_map(|path| path.canonicalize().ok());
        let inside = real.filter(|path| shown.iter().flatten().any(|dir| path.starts_with(dir)));
        all.extend(inside.map(|path| read_only(&path)));
        all
    }

    /// Secrets inside what is granted: masked.
    pub fn masked(&self) -> Vec<PathBuf> {
        let secrets = self.profile.filesystem.secrets.iter().map(|path| self.home.join(path));
        let sources = self.grants.iter().map(|g| (&g.source, &g.destination));
        let granted: Vec<_> = sources.chain(self.project.iter().map(|p| (&p.root, &p.root))).collect();
        existing(secrets)
            .flat_map(|secret| {
                let place = |(source, destination): &(&PathBuf, &PathBuf)| {
                    let rest = secret.strip_prefix(source).ok()?;
                    // What is granted by its own name is meant.
                    (!rest.as_os_str().is_empty()).then(|| destination.join(rest))
                };
                granted.iter().filter_map(place).collect::<Vec<_>>()
            })
            .collect()
    }

    /// Whether the directory `path` of the host is seen inside at the same place.
    pub fn shows(&self, path: &Path) -> bool {
        let grants = self.grants.iter().filter(|g| g.source == g.destination).map(|g| g.source.as_path());
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

fn existing(paths: impl Iterator<Item = PathBuf>) -> impl Iterator<Item = PathBuf> {
    paths.filter(|path| path.exists())
}
