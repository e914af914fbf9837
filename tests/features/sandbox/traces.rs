//! What a sandbox leaves behind: nothing, however it ends.
use crate::support::place::write;
use crate::support::{Place, wait_for};
use nix::sys::signal::Signal;
use std::fs;
use std::time::{Duration, Instant};

/// Everything in the runtime directory but the (empty) root of the states itself.
fn runtime_files(place: &Place) -> Vec<String> {
    let mut all = Vec::new();
    for dir in [place.xdg(), place.root()] {
        let Ok(entries) = fs::read_dir(dir) else { continue };
        all.extend(entries.map(|e| e.expect("an entry").path().display().to_string()));
    }
    all.retain(|path| *path != place.root().display().to_string());
    all
}

#[test]
fn nothing_is_left_in_the_users_tree_or_the_state_directory() {
    let place = Place::new();
    // The protected files are absent: no mount point may be made for them.
    write(&place.project().join("file"), "x");
    let data = place.dir().join("data");
    fs::create_dir(&data).expect("mkdir");
    // These are made in a HOME that is granted to be written, lest the program makes them.
    for dir in [".config/rrunc", ".local/share/rrunc"] {
        fs::create_dir_all(place.home().join(dir)).expect("mkdir");
    }
    let before = place.tree();
    let home = place.home().display().to_string();
    let data = data.display().to_string();
    let cases: [(&[&str], i32); 10] = [
        (&["--", "true"], 0),
        (&["--", "false"], 1),
        (&["--", "no-such-program"], 127),
        (&["--bind", &home, "--no-project", "--", "true"], 0),
        (&["--bind", &data, "--network", "host", "--", "true"], 0),
        (&["--bind", "/no/such/dir", "--", "true"], 125),
        (&["--project", &home, "--", "true"], 125),
        (&["--as-root", "--", "true"], 0),
        (&["--print-config", "--", "true"], 0),
        (&["--", "sh", "-c", "sleep 60 & setsid sleep 60 & kill -9 0"], 137),
    ];
    for (args, code) in cases {
        let out = place.sandbox(args).run();
        // A shell that kills its group is the init of its namespace, and immune; it ends well then.
        assert!(out.code == code || (code == 137 && out.code == 0), "{args:?}: {out:?}");
        assert_eq!(place.tree(), before, "{args:?}");
        assert_eq!(runtime_files(&place), Vec::<String>::new(), "{args:?}");
        assert_eq!(fs::read_dir(&data).expect("read").count(), 0);
        wait_for("its processes to end", || place.processes().is_empty().then_some(()));
    }
}

#[test]
fn a_killed_rrunc_takes_everything_along_within_a_second() {
    let place = Place::new();
    let before = place.tree();
    for script in [
        "echo ready; exec sleep 3721",
        "trap '' TERM HUP INT; setsid sh -c 'trap \"\" TERM HUP; echo ready; sleep 3722' & wait",
    ] {
        let mut run = place.sandbox(&["--", "sh", "-c", script]).spawn();
        run.wait_stdout("ready");
        assert!(place.processes().len() >= 2, "the control: {:?}", place.processes());
        run.signal(Signal::SIGKILL);
        let killed = Instant::now();
        assert_eq!(run.wait().code, -9);
        wait_for("everything to end", || place.processes().is_empty().then_some(()));
        assert!(killed.elapsed() < Duration::from_secs(1), "it took {:?}", killed.elapsed());
        assert_eq!(place.tree(), before);
        // The next sandbox sweeps what is left of this one's state.
        assert_eq!(place.containers().len(), 1);
        place.sandbox(&["--", "true"]).run().success();
        assert_eq!(runtime_files(&place), Vec::<String>::new());
    }
}

#[test]
fn killed_at_any_instant_the_next_sandbox_sweeps() {
    let place = Place::new();
    let before = place.tree();
    let begin = Instant::now();
    place.sandbox(&["--", "true"]).run().success();
    let whole = begin.elapsed();
    let rounds = if std::env::var_os("RRUNC_TEST_ALL").is_some() { 300 } else { 25 };
    let mut cut_short = 0;
    for round in 0..rounds {
        let call = place.sandbox(&["--", "true"]).spawn();
        std::thread::sleep(whole * round / rounds);
        if nix::sys::signal::kill(call.pid(), Signal::SIGKILL).is_ok() {
            cut_short += i32::from(call.wait().code == -9);
        }
        wait_for("everything to end", || place.processes().is_empty().then_some(()));
        place.sandbox(&["--", "true"]).run().success();
        assert_eq!(runtime_files(&place), Vec::<String>::new(), "round {round}");
        assert_eq!(place.tree(), before, "round {round}");
    }
    assert!(cut_short > 0, "no call was ever interrupted: the test shows nothing");
}

#[test]
fn a_sweep_leaves_living_sandboxes_and_containers_alone() {
    let place = Place::new();
    let bundle = place.bundle();
    place.running(&bundle, "sandbox-of-mine");
    let mut run = place.sandbox(&["--", "sh", "-c", "echo ready; read line; exit 5"]).stdin_pipe().spawn();
    run.wait_stdout("ready");
    place.sandbox(&["--", "true"]).run().success();
    assert_eq!(place.containers().len(), 2, "{:?}", place.containers());
    assert_eq!(place.status("sandbox-of-mine"), "running");
    run.wait().exits(5);
    place.remove("sandbox-of-mine");
}

#[test]
fn the_program_outlived_by_nothing_it_started() {
    let place = Place::new();
    place.sh(&[], "setsid sleep 3733 >/dev/null 2>&1 & (trap '' TERM; sleep 3734) >/dev/null 2>&1 & exit 0").success();
    let ended = Instant::now();
    wait_for("everything to end", || place.processes().is_empty().then_some(()));
    assert!(ended.elapsed() < Duration::from_secs(1), "it took {:?}", ended.elapsed());
}
