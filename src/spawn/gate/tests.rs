//! Both sides of the gate, and what either sees when the other is not there.
use super::*;
use nix::unistd::Pid;
use std::fs::File;

/// A state directory whose path is too long for a socket address.
fn directory(name: &str) -> (std::path::PathBuf, OwnedFd) {
    let path = std::env::temp_dir().join(format!("{}-{name}-{}", "gate".repeat(30), std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    let dir = File::open(&path).unwrap().into();
    (path, dir)
}

fn me() -> OwnedFd {
    pidfd::open(Pid::this()).unwrap()
}

fn nobody(_: Announced, _: BorrowedFd) -> Result<()> {
    panic!("no listener was announced")
}

fn start(dir: BorrowedFd) -> Result<()> {
    knock(dir)?.context("nobody is at the gate")?.open(dir, me().as_fd())?.wait(me().as_fd(), nobody)
}

/// Runs `init` against `start`, and returns what `start` says.
fn meet(name: &str, init: impl FnOnce(OwnedFd) + Send) -> Result<()> {
    let (path, dir) = directory(name);
    let listener = listen(dir.as_fd()).unwrap();
    let said = std::thread::scope(|scope| {
        scope.spawn(|| init(listener));
        start(dir.as_fd())
    });
    assert!(!path.join(GATE).exists(), "start takes the gate away");
    std::fs::remove_dir_all(path).unwrap();
    said
}

#[test]
fn executing_and_end_of_file_is_a_start() {
    meet("go", |listener| wait(listener).unwrap().executing(false).unwrap()).unwrap();
}

#[test]
fn a_failure_arrives_whole_with_its_hint() {
    let chain = format!("exec: \"x\": {}", "long ".repeat(2000));
    let failure =
        Failure { step: "exec".into(), chain: chain.clone(), errno: 2, hint: Some("do".into()), not_executed: false };
    let said = meet("failed", |listener| wait(listener).unwrap().failed(&failure).unwrap()).unwrap_err();
    assert_eq!(crate::error::one_line(&said), chain);
    assert_eq!(crate::error::hint_of(&said), Some("do"));
}

#[test]
fn a_failure_after_executing_is_one_too() {
    let failure =
        Failure { step: "exec".into(), chain: "bad interpreter".into(), errno: 2, hint: None, not_executed: true };
    let said = meet("late", |listener| {
        let opened = wait(listener).unwrap();
        opened.executing(false).unwrap();
        opened.failed(&failure).unwrap();
    });
    assert_eq!(crate::error::one_line(&said.unwrap_err()), "bad interpreter");
}

#[test]
fn an_init_that_dies_on_the_way_is_an_error() {
    let said = meet("dies", |listener| drop(wait(listener).unwrap()));
    assert_eq!(said.unwrap_err().to_string(), "container init ended before its program ran");
}

/// So many `probes` are at the gate before its init is; then it is started.
fn starts_past(probes: u32) {
    let (path, dir) = directory(&format!("probes-{probes}"));
    assert!(!probe(dir.as_fd()).unwrap(), "no gate");
    let listener = listen(dir.as_fd()).unwrap();
    for _ in 0..probes {
        assert!(probe(dir.as_fd()).unwrap());
    }
    std::thread::scope(|scope| {
        scope.spawn(|| wait(listener).unwrap().executing(false).unwrap());
        start(dir.as_fd()).unwrap();
    });
    std::fs::remove_dir_all(path).unwrap();
}

#[test]
fn probes_do_not_open_the_gate() {
    starts_past(3);
}

#[test]
fn a_gate_full_of_probes_holds_none_up() {
    starts_past(200);
}

#[test]
fn at_a_gate_left_by_a_crash_is_nobody() {
    let (path, dir) = directory("stale");
    drop(listen(dir.as_fd()).unwrap());
    assert!(!probe(dir.as_fd()).unwrap());
    assert!(knock(dir.as_fd()).unwrap().is_none());
    std::fs::remove_dir_all(path).unwrap();
}

#[test]
fn whose_init_has_gone_is_decided_by_the_process() {
    let mut child = std::process::Command::new("/bin/true").spawn().unwrap();
    let ended = pidfd::open(Pid::from_raw(child.id() as i32)).unwrap();
    child.wait().unwrap();
    for (init, said) in [(me(), "an already running container"), (ended, "a container that has stopped")] {
        let (path, dir) = directory("gone");
        let listener = listen(dir.as_fd()).unwrap();
        let knock = knock(dir.as_fd()).unwrap().unwrap();
        drop(listener);
        let error = knock.open(dir.as_fd(), init.as_fd()).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot start {said}"));
        std::fs::remove_dir_all(path).unwrap();
    }
}

#[test]
fn who_knocks_second_hears_that_it_runs_already() {
    let (path, dir) = directory("second");
    let listener = listen(dir.as_fd()).unwrap();
    let knocks = [knock(dir.as_fd()).unwrap().unwrap(), knock(dir.as_fd()).unwrap().unwrap()];
    drop(listener);
    for knock in knocks {
        assert_eq!(receive(&knock.connection).unwrap_err(), Errno::ECONNRESET);
    }
    std::fs::remove_dir_all(path).unwrap();
}
