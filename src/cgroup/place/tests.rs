//! Places chosen in trees of plain files.
use super::*;
use anyhow::bail;

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
        why.contains("app/own has no controller for cpu, and no systemd")
            && hint.contains("in cgroup v1, or not at all"),
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
