//! What every integration test stands on: a private runtime directory, calls of rrunc with a time limit, and a check at the
//! end that the test left no process, mount or state behind. Nothing here sleeps for luck: everything waits for a fact.
//!
//! `RRUNC_BIN` names another runtime to run the same tests against (`RRUNC_BIN=/usr/sbin/runc`), which is how expected
//! texts are verified; [`program`] stands for its name in messages.
#![allow(dead_code, reason = "each test crate uses its own part")]
#![allow(unused_imports, reason = "each test crate uses its own part")]

mod bundle;
mod call;
mod leaks;
pub mod place;
mod terminal;

pub use bundle::Bundle;
pub use call::{Call, Output, Running};
pub use place::Place;
pub use terminal::Terminal;

use serde_json::Value;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

/// How long anything may take before the test gives up; generous, since only a failure ever waits for it.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// By how much all takes longer here, time limits included: the machine of tests/vm is emulated.
pub fn slowness() -> u32 {
    if env::var_os("RRUNC_TEST_VM").is_some() { 8 } else { 1 }
}

/// The runtime under test.
pub fn runtime() -> PathBuf {
    env::var_os("RRUNC_BIN").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_rrunc")), PathBuf::from)
}

/// The name of the runtime under test, as it stands in messages and in the state directory.
pub fn program() -> String {
    runtime().file_name().expect("a file name").to_string_lossy().into_owned()
}

/// Effective uid of the tests.
pub fn uid() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// Effective gid of the tests.
pub fn gid() -> u32 {
    nix::unistd::getegid().as_raw()
}

/// Why a test cannot run here.
pub enum Lacks {
    /// `tests/run` can install it, so a CI run without it is a failure.
    Package(&'static str),
    /// The machine itself has not got it.
    Machine(&'static str),
}

/// Says loudly that a test was skipped, and has `tests/run` count it. Under `CI=true` a missing package is a failure.
pub fn skip(lacks: Lacks) {
    let (what, installable) = match lacks {
        Lacks::Package(what) => (what, true),
        Lacks::Machine(what) => (what, false),
    };
    let test = thread::current().name().unwrap_or("?").to_owned();
    assert!(!(installable && env::var_os("CI").is_some_and(|v| v == "true")), "{what} is missing, and this is CI");
    eprintln!("SKIP {test}: {what}");
    if let Some(list) = env::var_os("RRUNC_TEST_SKIPS") {
        use std::io::Write;
        let mut list = fs::OpenOptions::new().append(true).create(true).open(list).expect("the list of skipped tests");
        list.write_all(format!("{test}: {what}\n").as_bytes()).expect("write to the list of skipped tests");
    }
}

/// Whether the kernel is of this version or a later one.
pub fn kernel_is(version: (u32, u32)) -> bool {
    rrunc::host::kernel_version(&nix::sys::utsname::uname().expect("uname").release().to_string_lossy()) >= version
}

/// The first of these that is in PATH.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let places = env::split_paths(&path).chain(["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from));
    places.map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// Polls `probe` until it gives something, or fails the test naming `what`.
pub fn wait_for<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE * slowness();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < end, "timed out waiting for {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// One test's place: a directory of its own with HOME and XDG_RUNTIME_DIR in it. Dropping it checks for leaks.
pub struct Stage {
    dir: PathBuf,
    calls: AtomicU32,
}

static STAGES: AtomicU32 = AtomicU32::new(0);

impl Stage {
    /// A fresh place under `$TMPDIR`.
    pub fn new() -> Stage {
        assert_ne!(uid(), 0, "these tests are about an unprivileged user: start them with tests/run");
        let number = STAGES.fetch_add(1, Ordering::Relaxed);
        let dir = env::temp_dir().join(format!("rrunc-t{}-{number}", std::process::id()));
        let private = |path: &Path| fs::DirBuilder::new().mode(0o700).create(path).expect("make a test directory");
        private(&dir);
        for name in ["xdg", "home", "out"] {
            private(&dir.join(name));
        }
        Stage { dir, calls: AtomicU32::new(0) }
    }

    /// The test's own directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What XDG_RUNTIME_DIR is in every call.
    pub fn xdg(&self) -> PathBuf {
        self.dir.join("xdg")
    }

    /// Where the runtime keeps its state.
    pub fn root(&self) -> PathBuf {
        self.xdg().join(program())
    }

    /// A bundle with a busybox root file system, in `bundle/`.
    pub fn bundle(&self) -> Bundle {
        self.bundle_named("bundle")
    }

    /// The same under another name, for tests with several containers.
    pub fn bundle_named(&self, name: &str) -> Bundle {
        Bundle::busybox(&self.dir.join(name))
    }

    /// A call of the runtime, not yet started.
    pub fn call(&self, args: &[&str]) -> Call {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        Call::new(self, number, runtime().as_os_str()).args(args)
    }

    /// A call of another copy of the runtime, or of any program.
    pub fn call_program(&self, program: &Path, args: &[&str]) -> Call {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        Call::new(self, number, program.as_os_str()).args(args)
    }

    /// A call of the runtime through `sh -c 'PRELUDE; exec RUNTIME ARGS'`, for redirections and ulimits.
    pub fn call_after(&self, prelude: &str, args: &[&str]) -> Call {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let script = format!("{prelude}; exec \"$@\"");
        let runtime = runtime();
        Call::new(self, number, "sh".as_ref())
            .args(&["-c", &script, "sh", runtime.to_str().expect("a plain path")])
            .args(args)
    }

    /// Calls the runtime and waits for it.
    pub fn rrunc(&self, args: &[&str]) -> Output {
        self.call(args).run()
    }

    /// Calls the runtime in the bundle's directory and waits for it.
    pub fn in_bundle(&self, bundle: &Bundle, args: &[&str]) -> Output {
        self.call(args).cwd(bundle.path()).run()
    }

    /// `rrunc run ID` of this bundle in the foreground.
    pub fn run(&self, bundle: &Bundle) -> Output {
        self.in_bundle(bundle, &["run", "c"])
    }

    /// `state ID` as JSON.
    pub fn state(&self, id: &str) -> Value {
        let out = self.rrunc(&["state", id]).success();
        serde_json::from_str(&out.stdout).expect("state prints JSON")
    }

    /// `state ID`'s status.
    pub fn status(&self, id: &str) -> String {
        self.state(id)["status"].as_str().expect("a status").to_owned()
    }

    /// `state ID`'s pid.
    pub fn pid(&self, id: &str) -> i32 {
        self.state(id)["pid"].as_i64().expect("a pid").try_into().expect("a pid")
    }

    /// Waits until `state` says so.
    pub fn wait_status(&self, id: &str, status: &str) {
        wait_for(&format!("{id} to be {status}"), || {
            let out = self.rrunc(&["state", id]);
            (out.code == 0 && out.stdout.contains(&format!("\"status\": \"{status}\""))).then_some(())
        });
    }

    /// A detached container that stays until it is deleted.
    pub fn running(&self, bundle: &Bundle, id: &str) {
        bundle.args(&["sleep", "3600"]);
        self.in_bundle(bundle, &["run", "-d", id]).success();
        assert_eq!(self.status(id), "running");
    }

    /// `delete --force ID`, which must work.
    pub fn remove(&self, id: &str) {
        self.rrunc(&["delete", "--force", id]).success();
    }

    /// Names of the containers that have a state directory.
    pub fn containers(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.root()) else { return Vec::new() };
        entries.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }

    /// Processes that belong to this test, this process excepted.
    pub fn processes(&self) -> Vec<String> {
        leaks::processes(&self.dir)
    }

    /// Waits until none of this test's processes is left; the survivors otherwise.
    pub fn wait_no_processes(&self) -> Vec<String> {
        leaks::settle(&self.dir, Duration::from_secs(2) * slowness())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let containers = self.containers();
        if thread::panicking() {
            for id in &containers {
                let delete = std::process::Command::new(runtime())
                    .args(["delete", "--force", id])
                    .env("XDG_RUNTIME_DIR", self.xdg())
                    .status();
                eprintln!("delete --force {id}: {delete:?}");
            }
        }
        let processes = self.wait_no_processes();
        leaks::end(&self.dir);
        let mounts = leaks::mounts(&self.dir);
        leaks::remove_tree(&self.dir);
        if thread::panicking() {
            return;
        }
        assert!(containers.is_empty(), "state left behind: {containers:?}");
        assert!(processes.is_empty(), "processes left behind: {processes:#?}");
        assert!(mounts.is_empty(), "mounts left behind: {mounts:#?}");
    }
}

/// The inode of `/proc/PID/ns/NAME`.
pub fn namespace(pid: &str, name: &str) -> u64 {
    fs::metadata(format!("/proc/{pid}/ns/{name}")).unwrap_or_else(|e| panic!("/proc/{pid}/ns/{name}: {e}")).ino()
}
