//! One runtime's place: the settings of its clients, an image, calls, and what a case left behind. Everything is below one
//! directory of the account: HOME, XDG_RUNTIME_DIR, storage.
use crate::daemon::Daemon;
use crate::support::{Bundle, Call, Output, PATIENCE, Stage, Terminal, find_program, runtime};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, id};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

/// Clients have programs of their own to start, on a machine that does other things too.
const CLIENT_PATIENCE: Duration = Duration::from_secs(90);

/// The README, compiled in: the account that runs this need not be able to read the repository.
const README: &str = include_str!("../../README.md");

/// The place.
pub struct Lab {
    stage: Stage,
    /// XDG_RUNTIME_DIR. With more than 38 characters podman 4.3 waits for twenty seconds at each end of a container.
    pub xdg: PathBuf,
    /// Name of the runtime.
    pub runtime: String,
    /// The runtime itself.
    pub program: PathBuf,
    /// Processes that stay from one case to the next, such as podman's pause process.
    resident: RefCell<BTreeSet<String>>,
    /// Mounts and cgroups that stay.
    places: RefCell<BTreeSet<String>>,
    /// This process's own.
    pub cgroup: Option<PathBuf>,
    daemons: RefCell<BTreeMap<&'static str, Rc<Daemon>>>,
    names: Cell<u32>,
}

impl Lab {
    /// Makes settings and image, and has podman run one container, without which there is no point in the rest.
    pub fn new(name: &str) -> Lab {
        let program = if name == "rrunc" { runtime() } else { find_program(name).expect("it is installed") };
        let cgroup = own_cgroup(name);
        let stage = Stage::new();
        let xdg = env::temp_dir().join(format!("c{}", id()));
        fs::DirBuilder::new().mode(0o700).create(&xdg).expect("make XDG_RUNTIME_DIR");
        let lab = Lab {
            stage,
            xdg,
            runtime: name.to_owned(),
            program,
            resident: RefCell::default(),
            places: RefCell::default(),
            cgroup,
            daemons: RefCell::default(),
            names: Cell::new(0),
        };
        // Ids that are not the account's have to get through to the storage.
        for dir in [lab.dir(), &lab.dir().join("home")] {
            fs::set_permissions(dir, fs::Permissions::from_mode(0o711)).expect("chmod");
        }
        lab.write_settings();
        lab.import_image();
        lab.podman("run --rm --network none bb true").success();
        lab.settle();
        lab
    }

    /// What is there now is the clients' own and stays.
    fn settle(&self) {
        self.resident.replace(self.processes());
        self.places.replace(self.places_now());
    }

    /// The daemon of this name, started by the first who asks.
    pub fn daemon(&self, name: &'static str, start: fn(&Lab) -> Daemon) -> Rc<Daemon> {
        if let Some(daemon) = self.daemons.borrow().get(name) {
            return daemon.clone();
        }
        let daemon = Rc::new(start(self));
        self.daemons.borrow_mut().insert(name, daemon.clone());
        self.settle();
        daemon
    }

    /// The account's own directory of this runtime.
    pub fn dir(&self) -> &Path {
        self.stage.dir()
    }

    fn write_settings(&self) {
        let settings = self.dir().join("home/.config/containers");
        fs::create_dir_all(&settings).expect("mkdir");
        let write = |name: &str, text: &str| fs::write(settings.join(name), text).expect("write settings");
        // Of crun and runc podman knows everything.
        let containers = self.snippet("containers.conf");
        write("containers.conf", &containers.replace("runtime = \"rrunc\"", &format!("runtime = {:?}", self.runtime)));
        write("storage.conf", "[storage]\ndriver = \"vfs\"\n");
        write("policy.json", "{\"default\": [{\"type\": \"insecureAcceptAnything\"}]}");
        write("registries.conf", "unqualified-search-registries = []\n");
    }

    /// The README's block that begins with ```` ```LANGUAGE FILE ````, as its reader would fill it in.
    pub fn snippet(&self, file: &str) -> String {
        let marked = |block: &&str| block.lines().next().is_some_and(|first| first.split(' ').nth(1) == Some(file));
        let block = README.split("```").find(marked).unwrap_or_else(|| panic!("the README has no block for {file}"));
        let text = block.split_once('\n').expect("a first line").1;
        text.replace("/usr/local/bin/rrunc", self.program.to_str().expect("a path"))
    }

    fn import_image(&self) {
        let bundle: Bundle = self.stage.bundle_named("image");
        // What images of distributions bring along.
        fs::create_dir_all(bundle.rootfs().join("data")).expect("mkdir");
        fs::set_permissions(bundle.rootfs().join("tmp"), fs::Permissions::from_mode(0o1777)).expect("chmod");
        let tar = self.dir().join("image.tar");
        let done = Command::new("tar")
            .arg("-C")
            .arg(bundle.rootfs())
            .args(["--owner=0", "--group=0", "-cf"])
            .arg(&tar)
            .arg(".")
            .status();
        assert!(done.expect("tar").success());
        self.podman(&format!("import -q --change ENV=PATH=/usr/bin:/bin {} bb", tar.display())).success();
    }

    /// `COMMAND`, as a shell reads it, in this lab's environment.
    pub fn call(&self, command: &str) -> Call {
        let line = format!("exec {command}");
        let call = self.stage.call_program("/bin/sh".as_ref(), &["-c", &line]).cwd(self.dir());
        call.env("XDG_RUNTIME_DIR", &self.xdg).env("TMPDIR", self.dir()).within(CLIENT_PATIENCE)
    }

    /// `podman ARGS`, not yet started.
    pub fn podman_call(&self, args: &str) -> Call {
        // There is no systemd here, and no journal.
        self.call(&format!("podman --cgroup-manager cgroupfs --events-backend file {args}"))
    }

    /// `podman ARGS`, waited for.
    pub fn podman(&self, args: &str) -> Output {
        self.podman_call(args).run()
    }

    /// `podman ARGS` at a terminal.
    pub fn podman_at_terminal(&self, args: &str) -> Terminal {
        Terminal::start(self.podman_call(args), 24, 80)
    }

    /// Calls `command` until it prints `text`.
    pub fn podman_until(&self, args: &str, text: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            let out = self.podman(args);
            if out.stdout.contains(text) {
                return;
            }
            assert!(Instant::now() < end, "podman {args} never showed {text:?}: {out:?}");
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// A name that no container has had.
    pub fn fresh(&self, name: &str) -> String {
        self.names.set(self.names.get() + 1);
        format!("{name}{}", self.names.get())
    }

    /// Processes of this lab.
    fn processes(&self) -> BTreeSet<String> {
        self.stage.processes().into_iter().collect()
    }

    /// Cgroups, and mounts below this lab's directory as the clients see them: in the mount namespaces that they keep.
    fn places_now(&self) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        if let Some(dir) = &self.cgroup {
            cgroups_below(dir, &mut all);
        }
        for process in self.resident.borrow().iter().filter_map(|line| line.split_once(':')) {
            let table = fs::read_to_string(format!("/proc/{}/mountinfo", process.0)).unwrap_or_default();
            let name = format!("{}/", self.dir().display());
            // Without the number, which says nothing.
            let place = |line: &str| format!("mount {}", line.split(' ').nth(4).unwrap_or_default());
            all.extend(table.lines().filter(|line| line.contains(&name)).map(place));
        }
        all
    }

    /// Containers that have a state directory of rrunc's.
    fn containers(&self) -> Vec<String> {
        let mut all = names(&self.xdg.join("rrunc"));
        for daemon in self.daemons.borrow().values() {
            all.extend(names(&daemon.state));
        }
        all
    }

    /// What is there and was not at the beginning. Whatever ends a moment after its client is waited for.
    pub fn leaks(&self) -> Vec<String> {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            let left = self.leaks_now();
            if left.is_empty() || Instant::now() > end {
                return left;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn leaks_now(&self) -> Vec<String> {
        let mut left: Vec<String> =
            self.processes().difference(&self.resident.borrow()).map(|p| format!("process {p}")).collect();
        left.extend(self.places_now().difference(&self.places.borrow()).cloned());
        left.extend(self.containers().iter().map(|id| format!("state of {id}")));
        left
    }

    /// After a case that failed: whatever it left must not fail the next one.
    pub fn clear(&self) {
        for args in ["pod rm -fa -t 0", "rm -fa -t 0"] {
            self.podman(args);
        }
        self.call("buildah rm --all").run();
        for process in self.processes().difference(&self.resident.borrow()) {
            let pid = process.split(':').next().unwrap_or_default();
            // It may be gone by now.
            drop(Command::new("kill").args(["-9", pid]).output());
        }
        for id in names(&self.xdg.join("rrunc")) {
            self.call(&format!("{} delete --force {id}", self.program.display())).run();
        }
        for place in self.places_now().difference(&self.places.borrow()) {
            let Some(dir) = place.strip_prefix("cgroup ") else { continue };
            drop(fs::write(Path::new(dir).join("cgroup.kill"), "1"));
            drop(fs::remove_dir(dir));
        }
        // What cannot be taken away is not the fault of the next.
        self.settle();
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.daemons.borrow_mut().clear();
        self.clear();
        // Ends the pause process, so that the stage finds nothing alive.
        self.podman("system migrate");
        drop(fs::remove_dir_all(&self.xdg));
    }
}

/// A cgroup for this process alone, where tests/run has delegated a tree.
fn own_cgroup(name: &str) -> Option<PathBuf> {
    let text = fs::read_to_string("/proc/self/cgroup").expect("read /proc/self/cgroup");
    let own = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let dir = Path::new("/sys/fs/cgroup").join(own).join(format!("clients-{name}"));
    fs::create_dir(&dir).ok()?;
    fs::write(dir.join("cgroup.procs"), id().to_string()).ok()?;
    Some(dir)
}

fn cgroups_below(dir: &Path, all: &mut BTreeSet<String>) {
    for name in names(dir).iter().filter(|name| dir.join(name).is_dir()) {
        all.insert(format!("cgroup {}", dir.join(name).display()));
        cgroups_below(&dir.join(name), all);
    }
}

/// What is in a directory; nothing if there is none.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
