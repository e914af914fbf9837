//! The host's side of one sequence, in a process of its own: it lays out the bait, takes the steps, ends everything and looks
//! what is left. Whatever loses its parent becomes its child, so nothing can hide from it.
use crate::bait::{Bait, LATE_SECRET};
use crate::calls::{Calls, LIMIT};
use crate::finding::{Finding, Kind};
use crate::inside::{BEGUN, ORDERS};
use crate::plan::{Plan, Setting, Step};
use crate::weakness::Weakness;
use crate::{leftovers, set_up};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// What the host's side knows.
struct Host<'a> {
    plan: &'a Plan,
    dir: &'a Path,
    calls: Calls,
    bait: Bait,
    swapping: Vec<(Arc<AtomicBool>, JoinHandle<()>)>,
    orders: usize,
    /// The user has stopped a first process himself, and whoever needs its answer may wait for it.
    stopped: bool,
    /// A sandbox was not yet set up when the host mounted something.
    early: bool,
    findings: Vec<Finding>,
}

/// Carries out a plan in `dir`; what was found.
pub fn run(plan: &Plan, dir: &Path, weakness: Option<Weakness>) -> Vec<Finding> {
    nix::sys::prctl::set_child_subreaper(true).expect("become a subreaper");
    let mounts = leftovers::mounts();
    set_up::prepare(plan, dir, weakness);
    let bait = Bait::new(dir, plan.setting.is_sandbox());
    let calls = Calls::new(plan, dir, weakness, bait.bystander());
    let _open = leave_open(&dir.join("outside"));
    let mut host = Host {
        plan,
        dir,
        calls,
        bait,
        swapping: Vec::new(),
        orders: 0,
        stopped: false,
        early: false,
        findings: Vec::new(),
    };
    for step in &plan.steps {
        host.take(step);
        // Behind a call that hangs nothing means anything.
        if host.findings.iter().any(|finding| finding.kind == Kind::Hang) {
            break;
        }
    }
    host.settle();
    if weakness != Some(Weakness::Left) {
        host.end();
    }
    if weakness != Some(Weakness::Mounted) {
        // Where they are now: a program may have renamed a directory above.
        for place in leftovers::late_mounts() {
            ignored(umount2(place.as_str(), MntFlags::MNT_DETACH));
        }
    }
    let found = host.look(&mounts);
    ignored(fs::remove_dir_all(dir.join("xdg/rrunc")));
    found
}

/// What is needed to go on with, or to end, a container that does not answer.
fn never_waits(words: &str) -> bool {
    ["kill ", "delete --force ", "state ", "list", "sandbox "].iter().any(|verb| words.starts_with(verb))
}

/// A descriptor that everybody inherits.
fn leave_open(path: &Path) -> fs::File {
    let file = fs::File::open(path).expect("open");
    nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).expect("leave it open");
    file
}

fn ignored<T, E>(_: Result<T, E>) {}

impl Host<'_> {
    /// Where the program inside has its files: the root of the containers, or the project.
    fn shared(&self) -> PathBuf {
        set_up::shared(self.plan.setting, self.dir)
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Call { words, background, killed } => {
                if self.plan.variant.joined && (words.ends_with(" d") && !words.starts_with("exec")) {
                    self.join();
                }
                let mut found = self.calls.call(words, *background, *killed);
                found.retain(|finding| finding.kind != Kind::Hang || !self.stopped || never_waits(words));
                self.findings.extend(found);
                self.stopped |= words.contains("STOP");
            }
            Step::Inside(deed) => self.order(deed),
            Step::Swap(place) => self.swap(place),
            Step::Settle => self.settle(),
            Step::Mount(place) => {
                let (place, sandbox) = (self.shared().join(place), self.plan.setting.is_sandbox());
                let end = Instant::now() + Duration::from_secs(3);
                while sandbox && !self.calls.all_up() && Instant::now() < end {
                    thread::sleep(Duration::from_millis(5));
                }
                self.early |= !self.calls.all_up();
                let none = None::<&str>;
                if mount(Some(leftovers::LATE), &place, Some("tmpfs"), MsFlags::empty(), none).is_ok() {
                    // What is mounted below a project after the start is the host's alone.
                    ignored(fs::write(place.join("secret"), if sandbox { LATE_SECRET } else { "late" }));
                }
            }
            Step::Unmount(place) => {
                ignored(umount2(&self.shared().join(place), MntFlags::MNT_DETACH));
            }
            Step::Replace(file) => self.bait.replace(file),
            Step::Signal(signal) => self.calls.signal(signal),
            Step::Pass(millis) => thread::sleep(Duration::from_millis((*millis).into())),
        }
    }

    /// The second container is to be made in the first one's namespaces.
    fn join(&mut self) {
        if self.calls.status("state c") == Some(0) {
            let state: serde_json::Value = serde_json::from_str(&self.calls.last_output()).expect("JSON");
            if state["pid"].as_i64().is_some_and(|pid| pid > 0) {
                set_up::join(self.plan.setting, self.dir, &state["pid"].to_string());
            }
        }
    }

    /// Tells the program inside, and gives it a moment to begin.
    fn order(&mut self, deed: &str) {
        use std::io::Write;
        let file = self.shared().join(ORDERS);
        let orders = fs::OpenOptions::new().append(true).create(true).open(file);
        ignored(orders.and_then(|mut orders| orders.write_all(format!("{deed}\n").as_bytes())));
        self.orders += 1;
        let end = Instant::now() + Duration::from_millis(60);
        while Instant::now() < end {
            let begun = fs::read_to_string(self.shared().join(BEGUN)).unwrap_or_default();
            if begun.parse().is_ok_and(|begun: usize| begun >= self.orders) {
                break;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// What a neighbour with the same tree does.
    fn swap(&mut self, place: &str) {
        let (one, other) = (self.shared().join(place), self.shared().join(format!("{place}-swap")));
        ignored(fs::create_dir(&one));
        let target = if place == ".husky" { PathBuf::from("/bin") } else { self.dir.join("outside") };
        ignored(std::os::unix::fs::symlink(target, &other));
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let swapping = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                ignored(renameat2(AT_FDCWD, &one, AT_FDCWD, &other, RenameFlags::RENAME_EXCHANGE));
                thread::sleep(Duration::from_micros(20));
            }
            // As it was, so that what follows can be set up.
            if one.is_symlink() {
                ignored(renameat2(AT_FDCWD, &one, AT_FDCWD, &other, RenameFlags::RENAME_EXCHANGE));
            }
        });
        self.swapping.push((stop, swapping));
    }

    fn settle(&mut self) {
        for (stop, swapping) in self.swapping.drain(..) {
            stop.store(true, Ordering::Relaxed);
            swapping.join().expect("the swapping");
        }
    }

    /// Ends everything by the ways that a user has; each must work.
    fn end(&mut self) {
        self.calls.go_on();
        if self.plan.setting.is_sandbox() {
            self.calls.end_all();
            // Puts away what a killed one has left, too.
            self.must("delete --force s");
            self.must("sandbox --no-project -- true");
        } else {
            for id in ["d", "c"] {
                self.must(&format!("delete --force {id}"));
                let known = self.calls.status(&format!("state {id}"));
                if known == Some(0) {
                    self.findings.push(Finding::new(Kind::State, format!("{id} is still there when it is deleted")));
                }
            }
        }
        let late = self.calls.wait_all(LIMIT);
        self.findings.extend(late);
    }

    fn must(&mut self, words: &str) {
        let found = self.calls.call(words, false, None);
        self.findings.extend(found);
        if self.calls.last_code() != Some(0) {
            let said = self.calls.last_words();
            self.findings.push(Finding::new(Kind::State, format!("rrunc {words} fails at the end: {said}")));
        }
    }

    fn look(mut self, mounts: &[String]) -> Vec<Finding> {
        let mut found = std::mem::take(&mut self.findings);
        found.extend(leftovers::processes(self.bait.bystander(), Duration::from_secs(3)));
        found.extend(leftovers::state(self.dir));
        found.extend(leftovers::new_mounts(mounts));
        let weak =
            self.plan.steps.iter().any(|step| matches!(step, Step::Call { words, .. } if words.contains("--userns")));
        let steps = &self.plan.steps;
        let late = steps.iter().position(|step| matches!(step, Step::Mount(_))).unwrap_or(steps.len());
        let calls = |step: &Step| matches!(step, Step::Call { words, .. } if words.starts_with("sandbox "));
        let late_is_shown = self.early || steps[late..].iter().any(calls);
        found.extend(self.bait.check(&self.calls.outputs(&self.shared()), weak, late_is_shown));
        if matches!(self.plan.setting, Setting::Sandbox | Setting::SharedSandbox) {
            found.extend(self.bait.set_id());
        }
        found
    }
}
