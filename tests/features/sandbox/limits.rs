//! Limits: each with what is beyond it, and the same deed within it.
use crate::support::place::write;
use crate::support::{Lacks, Place, find_program, skip};
use serde_json::Value;
use std::fs;

/// The JSON report of a run.
fn report(place: &Place, options: &[&str], script: &str, code: i32) -> Value {
    let file = place.home().join("report.json");
    let options = [options, &["--report", file.to_str().expect("text")]].concat();
    place.sh(&options, script).exits(code);
    serde_json::from_str(&fs::read_to_string(file).expect("a report")).expect("JSON")
}

fn limit<'a>(report: &'a Value, name: &str) -> &'a Value {
    let limits = report["limits"].as_array().expect("limits");
    limits.iter().find(|limit| limit["name"] == name).unwrap_or_else(|| panic!("{name}: {report}"))
}

#[test]
fn time_is_up_with_124() {
    let place = Place::new();
    let ended = report(&place, &["--timeout", "300ms"], "sleep 60", 124);
    assert_eq!((&ended["endedBy"], &ended["exitStatus"]), (&"time".into(), &124.into()));
    assert_eq!(limit(&ended, "time")["hit"], true);
    // One that hears the request may tidy up; one that does not is ended all the same.
    let heard = "trap 'echo tidy > tidied; exit 3' TERM; echo > ready; while :; do sleep 0.05; done";
    report(&place, &["--timeout", "1s"], heard, 124);
    assert!(place.project().join("tidied").exists());
    report(&place, &["--timeout", "300ms"], "trap '' TERM; while :; do sleep 1; done", 124);
    // The control.
    let done = report(&place, &["--timeout", "60s"], "exit 5", 5);
    assert_eq!((&done["endedBy"], &limit(&done, "time")["hit"]), (&"program".into(), &false.into()));
}

#[test]
fn row_21_a_memory_hog_is_refused_and_several_are_ended() {
    let place = Place::new();
    if find_program("python3").is_none() {
        return skip(Lacks::Machine("python3"));
    }
    write(&place.project().join("one.py"), "x = bytearray(200 << 20)\nprint('had it')\n");
    write(
        &place.project().join("many.py"),
        "import os, time\nfor _ in range(6):\n  if os.fork() == 0:\n    x = bytearray(60 << 20)\n    time.sleep(20)\n    os._exit(0)\ntime.sleep(20)\n",
    );
    place.sh(&["-m", "120m"], "python3 one.py").fails(1, &["MemoryError"]);
    let ended = report(&place, &["-m", "120m"], "python3 many.py", 137);
    assert_eq!((&ended["endedBy"], &limit(&ended, "memory")["hit"]), (&"memory".into(), &true.into()));
    assert!(ended["peakMemory"]["bytes"].as_u64().is_some_and(|bytes| bytes > 120 << 20), "{ended}");
    // The control.
    place.sh(&["-m", "2g"], "python3 one.py").success().prints("had it\n");
}

#[test]
fn row_21_what_a_fork_shares_counts_once() {
    let place = Place::new();
    if find_program("python3").is_none() {
        return skip(Lacks::Machine("python3"));
    }
    let script = "import os, time\nx = bytearray(60 << 20)\nfor i in range(0, len(x), 4096): x[i] = 1\n\
                  for _ in range(5):\n  if os.fork() == 0:\n    time.sleep(0.5)\n    os._exit(0)\n\
                  for _ in range(5): os.wait()\nprint('done')\n";
    write(&place.project().join("shared.py"), script);
    place.sh(&["-m", "200m"], "python3 shared.py").success().prints("done\n");
}

#[test]
fn row_21_a_fork_bomb_ends_in_eagain_and_a_full_disk_in_enospc() {
    let place = Place::new();
    let bomb = "i=0; while [ $i -lt 60 ]; do sleep 5 & i=$((i+1)); done 2>/dev/null; echo all";
    assert_ne!(place.sh(&["--pids-limit", "20"], bomb).stdout, "all\n");
    place.sh(&["--pids-limit", "200"], &format!("{bomb}; kill $(jobs -p)")).prints("all\n");
    for place_of in ["/tmp", "$HOME", "/dev/shm", "/var/tmp", "/run"] {
        let fill = format!("head -c 3000000 /dev/zero > {place_of}/x");
        place.sh(&["--size", "1m"], &fill).fails(1, &["No space left"]);
        place.sh(&["--size", "8m"], &fill).success();
    }
}

#[test]
fn ulimits_are_set_and_never_raised_silently() {
    let place = Place::new();
    place
        .sh(&["--ulimit", "nofile=40:50", "--ulimit", "fsize=4096"], "ulimit -Sn; ulimit -Hn; ulimit -f")
        .prints("40\n50\n8\n");
    place.sandbox(&["--ulimit", "nofile", "--", "true"]).run().fails(125, &["--ulimit nofile", "nofile=1024"]);
    place.sandbox(&["--ulimit", "nonsense=3", "--", "true"]).run().fails(125, &["RLIMIT_NONSENSE"]);
    place.sandbox(&["--ulimit", "nofile=4000000000", "--", "true"]).run().fails(125, &["RLIMIT_NOFILE"]);
    for (flag, bad) in [("--memory", "much"), ("--timeout", "soon"), ("--size", "-1"), ("--memory", "0%")] {
        place.sandbox(&[&format!("{flag}={bad}"), "--", "true"]).run().fails(125, &[bad]);
    }
    place.sandbox(&["--cpus", "2", "--", "true"]).run().fails(125, &["limits: cpus (command line)", "only a cgroup"]);
}
