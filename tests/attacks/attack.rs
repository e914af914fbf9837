//! An attack as data: who does what, when, to which bait, and where it works. [`Attack::fails`] tries it twice. First where
//! the defence is not, and there some of the bait has to be taken, or the attack shows nothing; then with rrunc, where none
//! may be.
//!
//! Deeds are shell scripts that run in the tree the attacker shares with its victim: the project of a sandbox, the root of a
//! container. In all scripts `@` stands for the test's own directory, where `home` is the user's home. A deed that is a race
//! goes on until there is a file `stop`, one that waits for its victim until there is `ready`.
use super::identity;
use crate::support::place::SECRET;
use crate::support::{Bundle, Call, Lacks, Place, Running, skip, wait_for};
use serde_json::json;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Who attacks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// The program that the user runs: the deed takes its place.
    Inside,
    /// The same with capabilities in its user namespace.
    Capable(&'static [&'static str]),
    /// Another sandbox of the project, or another container with the same root, which runs meanwhile.
    Neighbour,
    /// Whoever has made what is in the tree: the deed is done on the host before.
    Author,
    /// Another account of the host, for which a subordinate id stands. It begins in the tree.
    OtherUser,
    /// A sandbox of the project that has ended.
    Earlier,
    /// Nobody: what the user does beside it.
    Host,
}

/// When the deed is done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Before the user's call.
    Before,
    /// Again and again while the user's call is set up, which is repeated.
    Meanwhile,
    /// Once what the user runs has made `ready`; that may wait for `done`.
    Running,
    /// After its end.
    After,
}

/// What the user does.
pub enum User {
    /// `rrunc WORDS…`, in the project.
    Calls(&'static [&'static str]),
    /// `rrunc run` of a bundle changed like this.
    Runs(fn(&Bundle)),
    /// `rrunc exec c WORDS…`, where the attacker is the container's first process.
    Executes(&'static [&'static str]),
}

/// What must stay as it is, and unread. Paths are below the test's directory.
#[derive(Debug)]
pub enum Bait {
    /// A secret of the user's, which is not to be seen by anybody: those in HOME, and what is copied from them.
    Secret,
    /// A file or directory that is not to be changed.
    Whole(&'static str),
    /// A variable of the user's, which is not to be read: TOKEN.
    Variable,
    /// A process of the user's, which is not to be ended: its pid is $PID.
    Process,
}

/// Where the same deed works.
pub enum Control {
    /// Without rrunc: the deed is done as it is, and this script is what the user does.
    Outside(&'static str),
    /// With these options of `sandbox` more.
    With(&'static [&'static str]),
    /// By a container changed like this.
    Changed(fn(&Bundle)),
}

/// All of it.
pub struct Attack {
    /// Who attacks.
    pub who: Who,
    /// When.
    pub when: When,
    /// What it does.
    pub deed: &'static str,
    /// What the user does.
    pub user: User,
    /// What must not be taken.
    pub bait: &'static [Bait],
    /// Where it is.
    pub control: Control,
}

/// How often a race is run, and for how long at most.
fn rounds() -> usize {
    if std::env::var_os("RRUNC_TEST_ALL").is_some() { 300 } else { 30 }
}

impl Attack {
    /// Fails unless it works where the defence is not, and not in rrunc.
    #[track_caller]
    pub fn fails(&self) {
        if self.who == Who::OtherUser && identity::subordinate().is_none() {
            return skip(Lacks::Package("another id"));
        }
        let taken = Scene::new(self).attack(true);
        assert!(!taken.is_empty(), "the control: nothing is taken where nothing defends it");
        let taken = Scene::new(self).attack(false);
        assert!(taken.is_empty(), "taken: {taken:?}");
    }
}

/// The bait laid out, for one try.
struct Scene<'a> {
    attack: &'a Attack,
    place: Place,
    bundle: Option<Bundle>,
    bystander: Child,
    before: Vec<String>,
    printed: Vec<String>,
}

impl Scene<'_> {
    fn new(attack: &Attack) -> Scene<'_> {
        let place = Place::new();
        let bundle = (!matches!(attack.user, User::Calls(_))).then(|| place.bundle());
        let mut sleep = Command::new("sleep");
        let bystander = sleep.arg("1000").stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("sleep");
        fs::create_dir(place.dir().join("outside")).expect("mkdir");
        // Hidden, where a sandbox shows the project.
        fs::write(place.project().join(".env"), SECRET).expect("write");
        // Its ancestors are closed to other users, who begin here.
        fs::set_permissions(place.project(), fs::Permissions::from_mode(0o777)).expect("chmod");
        let mut scene = Scene { attack, place, bundle, bystander, before: Vec::new(), printed: Vec::new() };
        scene.before = scene.look();
        scene
    }

    /// What has been taken.
    fn attack(mut self, control: bool) -> Vec<String> {
        if let Some(bundle) = &self.bundle {
            bundle.set("/root/readonly", json!(false));
            if let User::Runs(change) = self.attack.user {
                change(bundle);
            }
            if let (Control::Changed(change), true) = (&self.attack.control, control) {
                change(bundle);
            }
        }
        match (self.attack.who, self.attack.when) {
            (Who::Inside | Who::Capable(_), When::Meanwhile) => {
                let first = self.first_process(control);
                self.repeat(control);
                self.stop(first);
            }
            (Who::Inside | Who::Capable(_), _) => self.user(control),
            (_, When::Before) => {
                self.deed(control);
                self.user(control);
            }
            (_, When::After) => {
                self.user(control);
                self.deed(control);
            }
            (_, When::Meanwhile) => {
                let attacker = self.attacker(control).spawn();
                self.repeat(control);
                self.stop(attacker);
            }
            (_, When::Running) => {
                let running = self.users_call(control).spawn();
                let ready = self.tree().join("ready");
                wait_for("the program to be ready", || ready.exists().then_some(()));
                self.deed(control);
                fs::write(self.tree().join("done"), "").expect("write");
                self.printed.push(running.wait().stdout);
            }
        }
        self.taken()
    }

    fn tree(&self) -> PathBuf {
        self.bundle.as_ref().map_or_else(|| self.place.project(), Bundle::rootfs)
    }

    fn text(&self, script: &str) -> String {
        script.replace('@', self.place.dir().to_str().expect("plain"))
    }

    fn shell(&self, script: &str) -> Call {
        self.place
            .call_program(Path::new("/bin/sh"), &["-c", &self.text(script)])
            .cwd(&self.tree())
            .env("TOKEN", SECRET)
            .env("PID", self.bystander.id().to_string())
    }

    /// The attacker, apart from what the user calls.
    fn attacker(&self, control: bool) -> Call {
        let deed = self.text(self.attack.deed);
        match (self.attack.who, &self.bundle) {
            (Who::OtherUser, _) => {
                let become_other = ["--map-root-user", "--map-auto", "-S", "5", "-G", "5", "sh", "-c", &deed];
                self.place.call_program(Path::new("/usr/bin/unshare"), &become_other).cwd(&self.tree())
            }
            (Who::Author | Who::Host, _) => self.shell(self.attack.deed),
            _ if control => self.shell(self.attack.deed),
            (_, None) => self.place.sandbox(&["--quiet", "--", "sh", "-c", &deed]),
            (_, Some(bundle)) => {
                let other = Bundle::busybox(&self.place.dir().join("neighbour"));
                other.set("/root", json!({"path": bundle.rootfs(), "readonly": false})).script(&deed);
                self.place.call(&["run", "neighbour"]).cwd(other.path())
            }
        }
    }

    fn deed(&mut self, control: bool) {
        let out = self.attacker(control).run();
        self.printed.push(out.stdout);
    }

    /// What the user calls, with the deed in it if the attacker is inside.
    fn users_call(&self, control: bool) -> Call {
        let inside = matches!(self.attack.who, Who::Inside | Who::Capable(_)) && self.attack.when != When::Meanwhile;
        if let (Control::Outside(script), true) = (&self.attack.control, control) {
            return self.shell(if inside { self.attack.deed } else { script });
        }
        let deed = self.text(self.attack.deed);
        let call = match &self.attack.user {
            User::Calls(words) => {
                let mut words: Vec<String> = words.iter().map(|word| self.text(word)).collect();
                if let (Control::With(options), true) = (&self.attack.control, control) {
                    let at = words.iter().position(|word| word == "sandbox").expect("a sandbox") + 1;
                    words.splice(at..at, options.iter().map(|word| self.text(word)));
                }
                if inside {
                    words.extend(["--".to_owned(), "sh".to_owned(), "-c".to_owned(), deed]);
                }
                self.place.call(&words.iter().map(String::as_str).collect::<Vec<_>>()).cwd(&self.place.project())
            }
            User::Runs(_) => {
                let bundle = self.bundle.as_ref().expect("a bundle");
                if inside {
                    bundle.script(&deed);
                }
                self.place.call(&["run", "c"]).cwd(bundle.path())
            }
            User::Executes(words) => self.place.call(&[&["exec", "c"], *words].concat()),
        };
        call.env("TOKEN", SECRET).env("PID", self.bystander.id().to_string())
    }

    fn user(&mut self, control: bool) {
        let out = self.users_call(control).run();
        self.printed.extend([out.stdout, out.stderr]);
    }

    fn repeat(&mut self, control: bool) {
        let begin = Instant::now();
        // The control goes on until it has worked.
        let enough = |round: usize| if control { begin.elapsed() > Duration::from_secs(20) } else { round >= rounds() };
        for round in 0.. {
            if enough(round) || !self.taken().is_empty() {
                break;
            }
            self.user(control);
        }
    }

    /// The container that `exec` adds processes to, or the same deed outside.
    fn first_process(&self, control: bool) -> Running {
        if control && matches!(self.attack.control, Control::Outside(_)) {
            return self.shell(self.attack.deed).spawn();
        }
        let bundle = self.bundle.as_ref().expect("a bundle");
        if let Who::Capable(capabilities) = self.attack.who {
            for set in ["bounding", "effective", "permitted"] {
                bundle.set(&format!("/process/capabilities/{set}"), json!(capabilities));
            }
        }
        bundle.script(&self.text(self.attack.deed));
        let first = self.place.call(&["run", "c"]).cwd(bundle.path()).spawn();
        self.place.wait_status("c", "running");
        first
    }

    fn stop(&mut self, attacker: Running) {
        fs::write(self.tree().join("stop"), "").expect("write");
        self.printed.push(attacker.wait().stdout);
    }

    fn look(&self) -> Vec<String> {
        let mut found = Vec::new();
        let whole =
            self.attack.bait.iter().filter_map(|bait| if let Bait::Whole(path) = bait { Some(path) } else { None });
        let mut left: Vec<PathBuf> = whole.map(|path| self.place.dir().join(path)).collect();
        while let Some(path) = left.pop() {
            let Ok(meta) = fs::symlink_metadata(&path) else { continue };
            let text = if meta.is_file() { fs::read(&path).unwrap_or_default() } else { Vec::new() };
            found.push(format!("{} {} {:o} {}", path.display(), meta.ino(), meta.mode(), text.escape_ascii()));
            if meta.is_dir() {
                left.extend(fs::read_dir(&path).expect("read").map(|entry| entry.expect("an entry").path()));
            }
        }
        found.sort();
        found
    }

    fn taken(&mut self) -> Vec<String> {
        let mut taken = Vec::new();
        for bait in self.attack.bait {
            let gone = match bait {
                Bait::Secret | Bait::Variable => self.printed.iter().any(|text| text.contains(SECRET)),
                Bait::Whole(_) => self.look() != self.before,
                // One that is killed takes a moment to be gone.
                Bait::Process => (0..50).any(|_| {
                    std::thread::sleep(std::time::Duration::from_millis(10));
                    self.bystander.try_wait().expect("wait").is_some()
                }),
            };
            if gone {
                taken.push(format!("{bait:?}"));
            }
        }
        taken
    }
}

impl Drop for Scene<'_> {
    fn drop(&mut self) {
        let ended = self.bystander.kill().and_then(|()| self.bystander.wait());
        if !std::thread::panicking() {
            ended.expect("end the bystander");
        }
    }
}
