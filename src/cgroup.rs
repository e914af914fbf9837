//! The container's own cgroup, where the caller may make one. Version 2 only (Documentation/admin-guide/cgroup-v2.rst);
//! on a host with both, its tree of version 2.
//!
//! May make one: the directory is writable to him, and so is `cgroup.procs` of the nearest cgroup that holds both the
//! caller and the new one, which the kernel asks for when a process is moved or born there (EACCES else). That is
//! looked at and never guessed: a refused CLONE_INTO_CGROUP fails the whole clone.
use crate::error::WithHint;
use anyhow::{Context, Result, anyhow, bail};
use nix::errno::Errno;
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};
use nix::unistd::{AccessFlags, access};
use oci_spec::runtime::Spec;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

/// Where version 2 is mounted: alone, or beside version 1.
const MOUNTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
/// How long the kernel may take to freeze or thaw all processes, and to let go of the last one.
const PATIENCE: Duration = Duration::from_secs(10);

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
        let text = fs::read_to_string("/proc/self/cgroup").ok()?;
        let own = own_path(&text).map(|path| mount.join(path))?;
        own.is_dir().then_some(Tree { mount, own })
    }

    /// The directory of the container's cgroup, which is not there yet or holds no process: the one that the
    /// configuration names; without a name, if the caller may, a new one in his own; or none.
    ///
    /// # Errors
    /// A named one that the caller may not make or enter.
    pub fn choose(tree: Option<&Tree>, spec: &Spec, id: &str) -> Result<Option<PathBuf>> {
        let named = spec.linux().as_ref().and_then(|linux| linux.cgroups_path().as_deref());
        let Some(path) = named.filter(|path| !path.as_os_str().is_empty()) else {
            let own = tree.filter(|tree| writable(&tree.own) && writable(&tree.own.join("cgroup.procs")));
            // The pid, since another state directory may have a container of the same id.
            return Ok(own.map(|tree| tree.own.join(format!("rrunc-{id}-{}", std::process::id()))));
        };
        if path.components().any(|part| part == Component::ParentDir) {
            bail!("linux.cgroupsPath: {} leads upwards", path.display());
        }
        let systemds = path.to_string_lossy().matches(':').count() == 2;
        let refused = || {
            anyhow!(
                "unable to apply cgroup configuration: {} is not in a cgroup tree delegated to you: permission denied",
                path.display()
            )
        };
        let hint =
            "delegate a cgroup v2 tree to your user (`Delegate=yes` in user@.service) or remove linux.cgroupsPath";
        let tree = tree.filter(|_| !systemds).ok_or_else(refused).hint(|| hint)?;
        let dir = match path.strip_prefix("/") {
            Ok(below) => tree.mount.join(below),
            Err(_) => tree.own.join(path),
        };
        // The nearest that is there already is where directories are made.
        let there = dir.ancestors().find(|dir| dir.is_dir()).ok_or_else(refused)?;
        let common = dir.ancestors().find(|dir| tree.own.starts_with(dir)).ok_or_else(refused)?;
        if !writable(there) || !writable(&common.join("cgroup.procs")) {
            return Err(refused()).hint(|| hint);
        }
        if is_populated(&dir) {
            bail!("linux.cgroupsPath: container's cgroup is not empty: {} has processes", path.display());
        }
        Ok(Some(dir))
    }
}

/// The path of version 2 in the text of /proc/PID/cgroup: `0::/PATH`, without the slash.
fn own_path(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("0::/")).filter(|path| !path.ends_with(" (deleted)"))
}

fn writable(path: &Path) -> bool {
    access(path, AccessFlags::W_OK).is_ok()
}

/// Makes the directory, and opens it for clone.
pub fn make(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("make the cgroup {}", dir.display()))
}

/// A descriptor of the directory, for CLONE_INTO_CGROUP.
pub fn open(dir: &Path) -> Result<OwnedFd> {
    let opened = File::options().read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY).open(dir);
    Ok(OwnedFd::from(opened.with_context(|| format!("open the cgroup {}", dir.display()))?))
}

/// Ends every process in it, at once and whatever they do (cgroup.kill, Linux 5.14).
pub fn kill(dir: &Path) -> Result<()> {
    write(dir, "cgroup.kill", "1")
}

/// Removes it with those that the container has made below; a named one that others use stays.
pub fn remove(dir: &Path) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        match remove_tree(dir) {
            Ok(()) => return Ok(()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            // The last process has ended, and the kernel has yet to notice.
            Err(e) if e.raw_os_error() == Some(libc::EBUSY) && Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(e) => return Err(e).with_context(|| format!("remove the cgroup {}", dir.display())),
        }
    }
}

fn remove_tree(dir: &Path) -> std::io::Result<()> {
    if fs::remove_dir(dir).is_ok() {
        return Ok(());
    }
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(dir)
}

/// Stops all its processes, or lets them go on; returns when the last one has.
pub fn freeze(dir: &Path, frozen: bool) -> Result<()> {
    write(dir, "cgroup.freeze", if frozen { "1" } else { "0" })?;
    let end = Instant::now() + PATIENCE;
    while is("frozen", dir) != frozen {
        if Instant::now() > end {
            if frozen {
                write(dir, "cgroup.freeze", "0")?;
            }
            bail!("some process of the cgroup {} does not {}", dir.display(), if frozen { "stop" } else { "go on" });
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Whether a process is in it or below.
pub fn is_populated(dir: &Path) -> bool {
    is("populated", dir)
}

fn is(what: &str, dir: &Path) -> bool {
    let events = fs::read_to_string(dir.join("cgroup.events")).unwrap_or_default();
    events.lines().any(|line| line.strip_prefix(what) == Some(" 1"))
}

fn write(dir: &Path, file: &str, value: &str) -> Result<()> {
    let path = dir.join(file);
    let written = File::options()
        .write(true)
        .open(&path)
        .and_then(|mut file| std::io::Write::write_all(&mut file, value.as_bytes()));
    let written = written.with_context(|| format!("write {}", path.display()));
    match written.as_ref().err().and_then(crate::error::errno_of) {
        Some(Errno::EACCES | Errno::EPERM) => written.hint(|| "the cgroup belongs to somebody else"),
        _ => written,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec(path: Option<&str>) -> Spec {
        let mut config = json!({"ociVersion": "1.0.2", "linux": {}});
        if let Some(path) = path {
            config["linux"]["cgroupsPath"] = json!(path);
        }
        serde_json::from_value(config).unwrap()
    }

    #[test]
    fn the_callers_own_is_found_beside_version_1() {
        assert_eq!(own_path("12:pids:/x\n1:name=systemd:/y\n0::/user.slice/a b\n"), Some("user.slice/a b"));
        assert_eq!(own_path("0::/\n"), Some(""));
        assert_eq!(own_path("0::/gone (deleted)\n"), None);
        assert_eq!(own_path("4:memory:/x\n"), None);
    }

    #[test]
    fn a_cgroup_is_chosen_where_it_may_be_made_and_entered() {
        let mount = std::env::temp_dir().join(format!("rrunc-tree-{}", std::process::id()));
        let own = mount.join("user/own");
        fs::create_dir_all(&own).unwrap();
        let tree = Tree { mount: mount.clone(), own: own.clone() };
        let choose = |path: Option<&str>| Tree::choose(Some(&tree), &spec(path), "c");
        // Nothing may be entered yet: no cgroup where none is asked for, an error where one is.
        assert_eq!(choose(None).unwrap(), None);
        for path in ["/user/c", "c"] {
            let error = choose(Some(path)).unwrap_err().to_string();
            assert!(error.contains("is not in a cgroup tree delegated to you: permission denied"), "{error}");
        }
        fs::write(own.join("cgroup.procs"), "").unwrap();
        assert_eq!(choose(None).unwrap(), Some(own.join(format!("rrunc-c-{}", std::process::id()))));
        assert_eq!(choose(Some("a/b")).unwrap(), Some(own.join("a/b")));
        assert_eq!(choose(Some("/user/own/c")).unwrap(), Some(own.join("c")));
        // Its way goes through a cgroup that is not ours to enter.
        assert!(choose(Some("/user/c")).is_err());
        fs::write(mount.join("user/cgroup.procs"), "").unwrap();
        assert_eq!(choose(Some("/user/c")).unwrap(), Some(mount.join("user/c")));
        assert!(choose(Some("user.slice:rrunc:c")).is_err());
        assert!(choose(Some("/user/../c")).unwrap_err().to_string().contains("upwards"));
        fs::create_dir(own.join("busy")).unwrap();
        fs::write(own.join("busy/cgroup.events"), "populated 1\nfrozen 0\n").unwrap();
        assert!(choose(Some("busy")).unwrap_err().to_string().contains("not empty"));
        assert!(Tree::choose(None, &spec(Some("c")), "c").is_err());
        assert_eq!(Tree::choose(None, &spec(None), "c").unwrap(), None);
        fs::remove_dir_all(&mount).unwrap();
    }
}
