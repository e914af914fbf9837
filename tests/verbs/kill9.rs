//! rrunc itself killed at random instants: whatever is left, `delete --force` clears, and nothing stays behind.
use crate::support::{Bundle, Stage, wait_for};
use nix::sys::signal::Signal;
use std::time::{Duration, Instant};

/// Rounds a verb; the long tier goes through many more instants.
fn rounds() -> u32 {
    if std::env::var_os("RRUNC_TEST_ALL").is_some() { 300 } else { 25 }
}

/// How long one undisturbed call takes, so that the kills spread over all of it.
fn duration(mut call: impl FnMut()) -> Duration {
    let begin = Instant::now();
    call();
    begin.elapsed()
}

/// Kills `args` after a part of `whole` in every round; `before` and `after` bring the container to its start and end.
fn torment(stage: &Stage, bundle: &Bundle, args: &[&str], before: impl Fn(), whole: Duration) {
    let rounds = rounds();
    let mut cut_short = 0;
    for round in 0..rounds {
        before();
        let call = stage.call(args).cwd(bundle.path()).spawn();
        let instant = Instant::now() + whole * round / rounds;
        // Busy waiting: a sleep is far coarser than the steps between which we want to cut.
        while Instant::now() < instant {
            std::hint::spin_loop();
        }
        call.signal(Signal::SIGKILL);
        cut_short += i32::from(call.wait().code == -9);
        stage.rrunc(&["delete", "--force", "c"]).success();
        assert_eq!(stage.containers(), Vec::<String>::new(), "state left in round {round}");
        wait_for(&format!("the processes of round {round} to end"), || stage.processes().is_empty().then_some(()));
    }
    assert!(cut_short > 0, "no call was ever interrupted: the test shows nothing");
}

#[test]
fn create() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let whole = duration(|| drop(stage.in_bundle(&bundle, &["create", "c"]).success()));
    stage.remove("c");
    torment(&stage, &bundle, &["create", "c"], || (), whole);
}

#[test]
fn run_detached() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.args(&["sleep", "3600"]);
    let whole = duration(|| drop(stage.in_bundle(&bundle, &["run", "-d", "c"]).success()));
    stage.remove("c");
    torment(&stage, &bundle, &["run", "-d", "c"], || (), whole);
}

#[test]
fn run_in_the_foreground() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let whole = duration(|| drop(stage.run(&bundle).success()));
    bundle.args(&["sleep", "3600"]);
    torment(&stage, &bundle, &["run", "c"], || (), whole * 2);
}

#[test]
fn start() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.args(&["sleep", "3600"]);
    let create = || drop(stage.in_bundle(&bundle, &["create", "c"]).success());
    create();
    let whole = duration(|| drop(stage.rrunc(&["start", "c"]).success()));
    stage.remove("c");
    torment(&stage, &bundle, &["start", "c"], create, whole);
}

#[test]
fn exec() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let run = || stage.running(&bundle, "c");
    run();
    let whole = duration(|| drop(stage.rrunc(&["exec", "c", "true"]).success()));
    stage.remove("c");
    torment(&stage, &bundle, &["exec", "c", "sleep", "3601"], run, whole * 2);
}

#[test]
fn delete() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let run = || stage.running(&bundle, "c");
    run();
    let whole = duration(|| stage.remove("c"));
    torment(&stage, &bundle, &["delete", "--force", "c"], run, whole);
}
