//! Where a container's cgroup is made: decided from what the configuration asks for and what the caller may do.
//!
//! He may use a directory that is writable to him, if `cgroup.procs` of the nearest cgroup that holds both himself and
//! the new one is too: the kernel asks for that when a process is moved or born there (EACCES else). That is looked at
//! and never guessed, since a refused CLONE_INTO_CGROUP fails the whole clone.
use crate::error::{WithHint, one_line, with_hint};
use crate::systemd;
use anyhow::{Context, Result, anyhow, bail};
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};
use nix::unistd::{AccessFlags, access};
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Where version 2 is mounted: alone, or beside version 1.
const MOUNTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
/// How a shell gets into a tree that is its own.
const SCOPE: &str = "start it as `systemd-run --user --scope -p Delegate=yes rrunc …`";

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
        let text = fs::read_to_string("/proc/self/cgroup").ok()?;
        let own = own_path(&text).map(|path| mount.join(path))?;
        own.is_dir().then_some(Tree { mount, own })
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
    let name = format!("{}-{}", wanted.id, std::process::id());
    let scope = || systemd::Unit::parse("", &name).map(Place::Scope);
    let Some(path) = named else {
        return match unnamed(tree, wanted, &format!("rrunc-{name}")) {
            Place::Callers { why, hint } if !wanted.controllers.is_empty() => match systemd() {
                Ok(()) => scope(),
                Err(e) => Ok(Place::Callers { why: format!("{why}, and {}", one_line(&e)), hint }),
            },
            place => Ok(place),
        };
    };
    if path.components().any(|part| part == Component::ParentDir) {
        bail!("linux.cgroupsPath: {text} leads upwards");
    }
    if text.matches(':').count() == 2 {
        return Err(anyhow!("linux.cgroupsPath: {text} is a unit of systemd")).hint(|| "use --systemd-cgroup with it");
    }
    match directory_at(tree, path)? {
        Some(place) => Ok(place),
        None if systemd().is_ok() => {
            log::warn!("linux.cgroupsPath: {text} is not delegated to you: a scope of your systemd is used instead");
            scope()
        }
        None => {
            let refused = anyhow!(
                "unable to apply cgroup configuration: {text} is not in a cgroup tree delegated to you: permission denied"
            );
            Err(with_hint(refused, format!("remove linux.cgroupsPath, or {SCOPE}")))
        }
    }
}

/// A directory of a name of ours.
fn unnamed(tree: Option<&Tree>, wanted: &Wanted, name: &str) -> Place {
    let Some(tree) = tree else {
        let hint = "boot with systemd.unified_cgroup_hierarchy=1".to_owned();
        return Place::Callers { why: "this system has no cgroups of version 2".to_owned(), hint };
    };
    let mut refused = None;
    for dir in tree.delegated() {
        match obstacle(dir, &wanted.controllers) {
            None => return Place::Directory { path: dir.join(name), top: dir.to_owned() },
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
        return Some((why, undelegated(&names)));
    }
    if lacking("cgroup.subtree_control").is_empty() || others(dir).is_empty() {
        return None;
    }
    // The kernel gives controllers to the children of a cgroup only when no process is in it.
    Some((format!("{} has other processes beside rrunc", dir.display()), SCOPE.to_owned()))
}

/// Those of `controllers` that are not in the list of `file`.
pub fn lacking<'a>(dir: &Path, file: &str, controllers: &[&'a str]) -> Vec<&'a str> {
    let text = fs::read_to_string(dir.join(file)).unwrap_or_default();
    let listed: Vec<_> = text.split_ascii_whitespace().collect();
    controllers.iter().filter(|name| !listed.contains(name)).copied().collect()
}

/// How the controllers `names` are to be had.
pub(super) fn undelegated(names: &str) -> String {
    format!("have it delegated: `Delegate=yes` (or `Delegate={names}`) in user@.service")
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
    let Some(tree) = tree else { return Ok(None) };
    let path = match path.strip_prefix("/") {
        Ok(below) => tree.mount.join(below),
        Err(_) => tree.own.join(path),
    };
    if path.components().eq(tree.mount.components()) {
        bail!("linux.cgroupsPath: / is the root of all cgroups, and not a container's");
    }
    // The nearest that is there already is where directories are made.
    let there = path.ancestors().find(|dir| dir.is_dir());
    let common = path.ancestors().find(|dir| tree.own.starts_with(dir));
    if !there.is_some_and(writable) || !common.is_some_and(|dir| writable(&dir.join("cgroup.procs"))) {
        return Ok(None);
    }
    if super::is_populated(&path) {
        bail!("linux.cgroupsPath: container's cgroup is not empty: {} has processes", path.display());
    }
    let above = path.ancestors().skip(1).take_while(|dir| dir.starts_with(&tree.mount));
    let top = above.filter(|dir| dir.is_dir() && writable(&dir.join("cgroup.subtree_control"))).last();
    let top = top.or(there).unwrap_or(&path).to_owned();
    Ok(Some(Place::Directory { path, top }))
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
mod tests {
    use super::*;

    /// A tree of plain files, removed in the end.
    struct Fake(PathBuf);

    impl Fake {
        fn new(name: &str, own: &str) -> (Fake, Tree) {
            let mount = std::env::temp_dir().join(format!("rrunc-tree-{name}-{}", std::process::id()));
            fs::create_dir_all(mount.join(own)).unwrap();
            let tree = Tree { mount: mount.clone(), own: mount.join(own) };
            (Fake(mount), tree)
        }

        fn write(&self, file: &str, text: &str) {
            fs::write(self.0.join(file), text).unwrap();
        }
    }

    impl Drop for Fake {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn wanted<'a>(path: Option<&'a str>, controllers: &[&'a str]) -> Wanted<'a> {
        Wanted { id: "c", path: path.map(Path::new), controllers: controllers.to_vec(), systemd: false }
    }

    fn without_bus(tree: &Tree, wanted: &Wanted) -> Result<Place> {
        choose(Some(tree), wanted, || bail!("no systemd"))
    }

    fn path(place: Result<Place>) -> PathBuf {
        place.unwrap().directory().expect("a directory").to_owned()
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
        let (fake, tree) = Fake::new("enter", "user/own");
        let choose = |path: Option<&str>| without_bus(&tree, &wanted(path, &[]));
        // Nothing may be entered yet: no cgroup where none is asked for, an error where one is.
        assert!(!choose(None).unwrap().is_own());
        for path in ["/user/c", "c"] {
            let error = choose(Some(path)).unwrap_err().to_string();
            assert!(error.contains("is not in a cgroup tree delegated to you: permission denied"), "{error}");
        }
        fake.write("user/own/cgroup.procs", "");
        assert_eq!(path(choose(None)), tree.own.join(format!("rrunc-c-{}", std::process::id())));
        assert_eq!(path(choose(Some("a/b"))), tree.own.join("a/b"));
        assert_eq!(path(choose(Some("/user/own/c"))), tree.own.join("c"));
        // Its way goes through a cgroup that is not ours to enter.
        assert!(choose(Some("/user/c")).is_err());
        fake.write("user/cgroup.procs", "");
        assert_eq!(path(choose(Some("/user/c"))), tree.mount.join("user/c"));
        assert!(choose(Some("/")).unwrap_err().to_string().contains("is the root of all cgroups"));
        assert!(choose(Some("/user/../c")).unwrap_err().to_string().contains("upwards"));
        fs::create_dir(tree.own.join("busy")).unwrap();
        fake.write("user/own/busy/cgroup.events", "populated 1\nfrozen 0\n");
        assert!(choose(Some("busy")).unwrap_err().to_string().contains("not empty"));
        assert!(super::choose(None, &wanted(Some("c"), &[]), || bail!("no systemd")).is_err());
        assert!(!super::choose(None, &wanted(None, &[]), || bail!("no systemd")).unwrap().is_own());
    }

    #[test]
    fn limits_go_where_the_controllers_are_and_no_other_process_is() {
        let (fake, tree) = Fake::new("limits", "user.slice/app/own");
        for dir in ["user.slice", "user.slice/app", "user.slice/app/own"] {
            fake.write(&format!("{dir}/cgroup.procs"), "");
            fake.write(&format!("{dir}/cgroup.controllers"), "memory pids");
            fake.write(&format!("{dir}/cgroup.subtree_control"), "");
        }
        let choose = || without_bus(&tree, &wanted(None, &["memory"])).unwrap();
        let top = |place: Place| match place {
            Place::Directory { top, .. } => top.strip_prefix(&tree.mount).unwrap().to_string_lossy().into_owned(),
            other => panic!("{other:?}"),
        };
        assert_eq!(top(choose()), "user.slice/app/own");
        // We alone can step aside.
        fake.write("user.slice/app/own/cgroup.procs", &format!("{}\n", std::process::id()));
        assert_eq!(top(choose()), "user.slice/app/own");
        // Another process cannot be moved by us, so the container goes beside.
        fake.write("user.slice/app/own/cgroup.procs", "1\n");
        assert_eq!(top(choose()), "user.slice/app");
        fake.write("user.slice/app/cgroup.procs", "1\n");
        // A slice is systemd's.
        let Place::Callers { why, hint } = choose() else { panic!("no place") };
        assert!(why.contains("app/own has other processes") && hint.contains("systemd-run"), "{why}, {hint}");
        // Given already, nothing has to be moved.
        fake.write("user.slice/app/own/cgroup.subtree_control", "pids memory");
        assert_eq!(top(choose()), "user.slice/app/own");
        let Place::Callers { why, hint } = without_bus(&tree, &wanted(None, &["cpu", "memory"])).unwrap() else {
            panic!("no place")
        };
        assert!(
            why.contains("app/own has no controller for cpu, and no systemd") && hint.contains("Delegate=cpu"),
            "{why}, {hint}"
        );
        // Without limits none of that counts.
        let plain = without_bus(&tree, &wanted(None, &[])).unwrap();
        assert_eq!(top(plain), "user.slice/app/own");
    }

    #[test]
    fn systemd_is_asked_when_nothing_else_will_do_or_when_it_is_told_so() {
        let (fake, tree) = Fake::new("bus", "own");
        let with_bus = |path: Option<&str>, controllers: &[&str]| {
            let wanted = wanted(path, &[]);
            let wanted = Wanted { controllers: controllers.to_vec(), ..wanted };
            choose(Some(&tree), &wanted, || Ok(()))
        };
        let scope = |place: Result<Place>| matches!(place.unwrap(), Place::Scope(_));
        assert!(!with_bus(None, &[]).unwrap().is_own());
        assert!(scope(with_bus(None, &["memory"])));
        assert!(scope(with_bus(Some("/elsewhere/c"), &[])));
        fake.write("own/cgroup.procs", "");
        assert!(!scope(with_bus(None, &[])));
        assert!(with_bus(Some("user.slice:rrunc:c"), &[]).unwrap_err().to_string().contains("a unit of systemd"));
        let told = |bus: bool| {
            let wanted = Wanted { systemd: true, ..wanted(Some("user.slice:rrunc:c"), &[]) };
            choose(Some(&tree), &wanted, || if bus { Ok(()) } else { bail!("no systemd") })
        };
        assert!(scope(told(true)));
        assert!(told(false).unwrap_err().to_string().contains("systemd not running on this host"));
    }
}
