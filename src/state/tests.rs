use super::*;
use crate::spawn::gate;
use std::fs::File;
use std::os::unix::fs::{PermissionsExt, symlink};

/// A directory of the test's own, gone at its end.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let path = std::env::temp_dir().join(format!("rrunc-state-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o700)).unwrap();
        Place(path)
    }

    fn root(&self) -> Root {
        Root::open(Some(&self.0.join("r"))).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

fn state(pid: i32, start_time: u64) -> State {
    State {
        version: STATE_VERSION,
        oci_version: "1.0.2".into(),
        id: "web".into(),
        pid,
        start_time,
        bundle: "/b".into(),
        rootfs: "/b/rootfs".into(),
        created: "2026-01-02T03:04:05Z".into(),
        annotations: [("k".into(), "v".into())].into(),
        owner: 7,
        cgroup: None,
        scope: None,
        resources: None,
        decided: None,
        has_process: true,
    }
}

fn message<T>(result: Result<T>) -> String {
    crate::error::one_line(&result.err().expect("an error"))
}

#[test]
fn ids() {
    for good in ["a", "A_b+c-d.e", "...", "0"] {
        validate(good).unwrap();
    }
    for bad in [".", "..", "a/b", "a b", "ä", "a\n"] {
        assert_eq!(message(validate(bad)), "invalid container ID format", "{bad:?}");
    }
    assert_eq!(message(validate("")), "container id cannot be empty");
}

#[test]
fn a_container_is_stored_found_and_destroyed() {
    let place = Place::new("life");
    assert_eq!(message(place.root().lock("web")), "container does not exist");
    let mut web = place.root().create("web").unwrap();
    assert_eq!(message(web.load()), "container does not exist", "half made");
    web.store(&state(0, 0)).unwrap();
    web.save_config(b"{ }\n").unwrap();
    std::fs::create_dir(web.path.join("notify")).unwrap();
    symlink("/", web.path.join("notify/link")).unwrap();
    assert_eq!(std::fs::metadata(&web.path).unwrap().permissions().mode() & 0o7777, 0o700);
    web.unlock().unwrap();

    let root = place.root();
    assert_eq!(root.list().unwrap(), ["web"]);
    assert_eq!(root.look("web").unwrap(), (state(0, 0), Status::Stopped));
    assert_eq!(message(place.root().create("web")), "container with given ID already exists");
    let web = root.lock("web").unwrap();
    assert_eq!(web.load().unwrap(), state(0, 0));
    assert_eq!(web.config().unwrap(), b"{ }\n");
    assert_eq!(web.status(&state(0, 0)).unwrap(), Status::Stopped);
    web.destroy().unwrap();
    assert!(root.list().unwrap().is_empty());
    assert!(Path::new("/usr").exists(), "the link was not followed");
}

#[test]
fn who_waited_for_a_container_that_is_removed_hears_that_it_is_gone() {
    let place = Place::new("gone");
    let web = place.root().create("web").unwrap();
    let root = place.root();
    let waiting = root.dir.as_ref().unwrap();
    let (opened, _) = directory::open_child(waiting, "web").unwrap();
    web.destroy().unwrap();
    // The waiter's descriptor now locks a directory without a name.
    File::from(opened).lock().unwrap();
    assert_eq!(message(root.lock("web")), "container does not exist");
}

#[test]
fn a_container_that_is_locked_again_is_the_same_or_gone() {
    let place = Place::new("again");
    let mut web = place.root().create("web").unwrap();
    web.unlock().unwrap();
    assert!(web.lock().unwrap());
    web.unlock().unwrap();
    place.root().lock("web").unwrap().destroy().unwrap();
    assert!(!web.lock().unwrap(), "removed");
    let other = place.root().create("web").unwrap();
    assert!(!web.lock().unwrap(), "another of the same id");
    assert!(other.path.exists());
}

#[test]
fn the_lock_of_a_maker_shows_as_creating_and_not_to_itself() {
    let place = Place::new("maker");
    let mut web = place.root().create("web").unwrap();
    let me = std::process::id() as i32;
    let record = state(me, process::start_time(me).unwrap().unwrap());
    web.store(&record).unwrap();
    let seen = place.root().find("web").unwrap();
    let gate = gate::listen(web.dir.as_fd()).unwrap();
    assert_eq!(seen.status(&record).unwrap(), Status::Running, "alive under a name of its own");
    std::fs::write("/proc/self/comm", INIT_NAME.to_bytes()).unwrap();
    assert_eq!(seen.status(&record).unwrap(), Status::Creating);
    assert_eq!(web.status(&record).unwrap(), Status::Created);
    assert_eq!(place.root().look("web").unwrap(), (record.clone(), Status::Creating));
    web.unlock().unwrap();
    assert_eq!(place.root().look("web").unwrap(), (record.clone(), Status::Created));
    assert_eq!(seen.status(&record).unwrap(), Status::Created);
    drop(gate);
    assert_eq!(seen.status(&record).unwrap(), Status::Running, "a gate that nobody is at");
    assert_eq!(seen.status(&state(me, 1)).unwrap(), Status::Stopped, "a reused pid");
}

#[test]
fn a_link_or_a_directory_open_to_others_is_refused() {
    let place = Place::new("link");
    std::fs::create_dir(place.0.join("real")).unwrap();
    symlink("real", place.0.join("link")).unwrap();
    assert!(message(Root::open(Some(&place.0.join("link")))).contains("Not a directory"));
    std::fs::set_permissions(place.0.join("real"), PermissionsExt::from_mode(0o777)).unwrap();
    assert!(message(Root::open(Some(&place.0.join("real")))).ends_with("is writable by others"));
    std::fs::set_permissions(place.0.join("real"), PermissionsExt::from_mode(0o711)).unwrap();
    let root = Root::open(Some(&place.0.join("real"))).unwrap();
    symlink("..", place.0.join("real/web")).unwrap();
    assert!(message(root.lock("web")).contains("open state directory web"));
    assert!(message(root.look("web")).contains("open state directory web"));
    assert!(root.list().unwrap().is_empty());
    symlink("/", place.0.join("slash")).unwrap();
    for slash in [Path::new("/"), &place.0.join("slash")] {
        assert_eq!(message(Root::open(Some(slash))), "Option --root argument should not be set to /");
    }
}

#[test]
fn the_oci_state_leaves_out_what_is_not_there() {
    let text = |state: &State, pid| String::from_utf8(state.oci_json(Status::Stopped, pid)).unwrap();
    let head = r#"{"ociVersion":"1.0.2","id":"web","status":"stopped","#;
    assert_eq!(text(&state(0, 0), 0), format!(r#"{head}"bundle":"/b","annotations":{{"k":"v"}}}}"#));
    let bare = State { annotations: [].into(), ..state(0, 0) };
    assert_eq!(text(&bare, 1), format!(r#"{head}"pid":1,"bundle":"/b"}}"#));
}

#[test]
fn a_state_of_a_newer_rrunc_is_refused() {
    let newer = State { version: STATE_VERSION + 1, ..state(0, 0) };
    let bytes = serde_json::to_vec(&newer).unwrap();
    assert_eq!(message(record::parse(&bytes, "web")), "state version 2 is newer than this rrunc knows (1)");
}
