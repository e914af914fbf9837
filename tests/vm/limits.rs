//! Limits that the kernel enforces, on a machine that has all controllers: in scopes of the user's systemd, as a login
//! shell outside of any delegated tree gets them.
use crate::machine::{stage, with_bus};
use crate::support::{Bundle, Call, Output, Stage, wait_for};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A call of rrunc that knows the user's bus: the runtime directory is the test's own.
pub fn call(stage: &Stage, args: &[&str]) -> Call {
    with_bus(stage.call(args))
}

/// A command of systemd's for the user.
pub fn systemd(stage: &Stage, program: &str, args: &[&str]) -> Output {
    stage.call_program(Path::new(program), args).env("XDG_RUNTIME_DIR", "/run/user/1000").run()
}

/// A new bundle that runs `script` under the limits.
fn limited(stage: &Stage, resources: Value, script: &str) -> Bundle {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let bundle = stage.bundle_named(&format!("limited-{}", COUNT.fetch_add(1, Ordering::Relaxed)));
    bundle.set("/linux/resources", resources).set("/linux/namespaces/-", json!({"type": "cgroup"})).script(script);
    bundle
}

/// Makes the container `id` and lets it run.
fn start(stage: &Stage, bundle: &Bundle, id: &str) {
    call(stage, &["run", "--detach", id]).cwd(bundle.path()).run().success();
}

/// The directory of the cgroup of `id`.
pub fn directory(stage: &Stage, id: &str) -> PathBuf {
    let text = fs::read_to_string(format!("/proc/{}/cgroup", stage.pid(id))).expect("its cgroup");
    Path::new("/sys/fs/cgroup").join(text.trim().strip_prefix("0::/").expect("version 2"))
}

fn read(dir: &Path, file: &str) -> String {
    fs::read_to_string(dir.join(file)).expect(file).trim().to_owned()
}

/// Ends the container, and sees that its scope goes with it.
fn remove(stage: &Stage, id: &str) {
    let dir = directory(stage, id);
    call(stage, &["delete", "--force", id]).run().success();
    assert!(!dir.exists(), "{} is left", dir.display());
    let unit = dir.file_name().expect("a name").to_string_lossy().into_owned();
    wait_for("systemd to forget the scope", || {
        let units = systemd(stage, "systemctl", &["--user", "--no-legend", "list-units", "--all", &unit]);
        units.success().stdout.trim().is_empty().then_some(())
    });
}

#[test]
fn a_limit_of_memory_ends_the_hog_and_events_says_so() {
    let Some(stage) = stage() else { return };
    let hog = "dd if=/dev/zero of=/dev/null bs=64M count=1";
    let bundle = limited(&stage, json!({"memory": {"limit": 32 << 20, "swap": 32 << 20}}), &format!("exec {hog}"));
    call(&stage, &["run", "c"]).cwd(bundle.path()).run().fails(137, &["limit of memory", "out of memory"]);
    // The control: the same, with enough.
    let bundle = limited(&stage, json!({"memory": {"limit": 1 << 30}}), hog);
    call(&stage, &["run", "c"]).cwd(bundle.path()).run().success();

    let script = "while [ ! -e /tmp/go ]; do sleep 0.1; done; dd if=/dev/zero of=/dev/null bs=64M count=1; sleep 3600";
    let bundle = limited(&stage, json!({"memory": {"limit": 32 << 20, "swap": 32 << 20}}), script);
    bundle.mount("/tmp", "tmpfs", "tmpfs", &[]);
    start(&stage, &bundle, "c");
    let mut events = call(&stage, &["events", "--interval", "1h", "c"]).spawn();
    wait_for("events to watch", || watches(events.pid().as_raw()).then_some(()));
    call(&stage, &["exec", "c", "touch", "/tmp/go"]).run().success();
    events.wait_stdout("{\"type\":\"oom\",\"id\":\"c\"}");
    remove(&stage, "c");
    events.wait().success();
}

/// Whether the process holds an inotify descriptor.
fn watches(pid: i32) -> bool {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().filter_map(Result::ok);
    files.filter_map(|file| fs::read_link(file.path()).ok()).any(|to| to.to_string_lossy().contains("inotify"))
}

#[test]
fn a_limit_of_processes_stops_a_fork_bomb() {
    let Some(stage) = stage() else { return };
    let bundle = limited(&stage, json!({"pids": {"limit": 20}}), "f() { f | f & }; f; sleep 3600");
    start(&stage, &bundle, "c");
    let dir = directory(&stage, "c");
    wait_for("the bomb to meet its limit", || (!read(&dir, "pids.events").ends_with("max 0")).then_some(()));
    assert!(read(&dir, "pids.current").parse::<u64>().expect("a number") <= 20);
    remove(&stage, "c");
    assert_eq!(stage.wait_no_processes(), Vec::<String>::new());
}

#[test]
fn no_process_beside_the_first_when_the_limit_is_none_at_all() {
    let Some(stage) = stage() else { return };
    let bundle = limited(&stage, json!({"unified": {"pids.max": "0"}}), "(true) && echo forked; echo $?");
    bundle.script("true; /bin/true; echo $?");
    call(&stage, &["run", "c"]).cwd(bundle.path()).run().fails(2, &["fork"]);
    // The control, and what podman means by 0.
    for limit in [2, 0] {
        bundle.set("/linux/resources", json!({"pids": {"limit": limit}}));
        call(&stage, &["run", "c"]).cwd(bundle.path()).run().success().prints("0\n");
    }
    // Nor one of exec's, which says why.
    bundle.set("/linux/resources/pids/limit", json!(1)).args(&["sleep", "3600"]);
    start(&stage, &bundle, "c");
    call(&stage, &["exec", "c", "true"]).run().fails(255, &["fork: ", "limit of processes", "update --pids-limit"]);
    call(&stage, &["update", "--pids-limit", "9", "c"]).run().success();
    call(&stage, &["exec", "c", "true"]).run().success();
    remove(&stage, "c");
}

#[test]
fn a_quota_halves_a_busy_loop() {
    let Some(stage) = stage() else { return };
    let usage = |resources: Value| {
        let bundle = limited(&stage, resources, "while :; do :; done");
        start(&stage, &bundle, "c");
        let dir = directory(&stage, "c");
        let stat = |name: &str| {
            let text = read(&dir, "cpu.stat");
            let line = text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
            line.and_then(|number| number.parse::<f64>().ok()).unwrap_or_default()
        };
        let (began, before) = (Instant::now(), stat("usage_usec "));
        std::thread::sleep(Duration::from_secs(2));
        let share = (stat("usage_usec ") - before) / began.elapsed().as_micros() as f64;
        let throttled = stat("nr_throttled ");
        remove(&stage, "c");
        (share, throttled)
    };
    let (share, throttled) = usage(json!({"cpu": {"quota": 50_000, "period": 100_000}}));
    // More it cannot get, on a machine however slow.
    assert!(share < 0.6 && throttled > 0.0, "{share} of a processor, {throttled} times held back");
    let (_, throttled) = usage(json!({"cpu": {"shares": 2048}}));
    assert_eq!(throttled, 0.0, "the control is held back");
}

#[test]
fn update_changes_every_limit_of_a_running_container() {
    let Some(stage) = stage() else { return };
    let bundle = limited(&stage, json!({"memory": {"limit": 64 << 20}}), "sleep 3600");
    start(&stage, &bundle, "c");
    let dir = directory(&stage, "c");
    for (args, file, value) in [
        (&["--memory", "80m"][..], "memory.max", "83886080"),
        (&["--memory-reservation", "8m"], "memory.low", "8388608"),
        (&["--memory-swap", "100m"], "memory.swap.max", "20971520"),
        (&["--cpu-quota", "20000"], "cpu.max", "20000 100000"),
        (&["--cpu-period", "50000"], "cpu.max", "20000 50000"),
        (&["--cpu-share", "512"], "cpu.weight", "59"),
        (&["--cpu-burst", "5000"], "cpu.max.burst", "5000"),
        (&["--cpu-idle", "1"], "cpu.idle", "1"),
        (&["--cpu-idle", "0"], "cpu.weight", "59"),
        (&["--cpuset-cpus", "0"], "cpuset.cpus", "0"),
        (&["--cpuset-mems", "0"], "cpuset.mems", "0"),
        (&["--pids-limit", "33"], "pids.max", "33"),
        (&["--pids-limit", "-1"], "pids.max", "max"),
        (&["--memory", "-1"], "memory.max", "max"),
    ] {
        call(&stage, &[&["update"], args, &["c"]].concat()).run().success();
        assert_eq!(read(&dir, file), value, "{args:?}");
    }
    // systemd knows, and does not put its own in their place.
    let unit = dir.file_name().expect("a name").to_string_lossy().into_owned();
    call(&stage, &["update", "--pids-limit", "44", "--cpu-quota", "10000", "c"]).run().success();
    let shown = systemd(&stage, "systemctl", &["--user", "show", "-p", "TasksMax,CPUQuotaPerSecUSec", &unit]).success();
    assert!(
        shown.stdout.contains("TasksMax=44") && shown.stdout.contains("CPUQuotaPerSecUSec=200ms"),
        "{}",
        shown.stdout
    );
    systemd(&stage, "systemctl", &["--user", "daemon-reload"]).success();
    assert_eq!((read(&dir, "pids.max"), read(&dir, "cpu.max")), ("44".to_owned(), "10000 50000".to_owned()));
    // One that is refused leaves the others, and a limit below what is used is none when that is asked for.
    call(&stage, &["update", "--pids-limit", "5", "--cpuset-cpus", "999", "c"])
        .run()
        .fails(1, &["set the limits of c: linux.resources.cpu.cpus", "of this container may be 0"]);
    assert_eq!(read(&dir, "pids.max"), "44");
    let low = json!({"memory": {"limit": 4096, "checkBeforeUpdate": true}});
    call(&stage, &["update", "-r", "-", "c"]).stdin(low.to_string()).run().fails(1, &["lower than current usage"]);
    assert_eq!(read(&dir, "memory.max"), "max");
    remove(&stage, "c");
}

#[test]
fn disks_and_what_the_kernel_calls_by_name_are_limited() {
    let Some(stage) = stage() else { return };
    let device = fs::read_to_string("/sys/class/block/nvme0n1/dev").expect("the disk");
    let (major, minor) = device.trim().split_once(':').expect("two numbers");
    let number = |text: &str| text.parse::<i64>().expect("a number");
    let throttled = json!([{"major": number(major), "minor": number(minor), "rate": 1_048_576}]);
    let resources = json!({"blockIO": {"throttleReadBpsDevice": throttled}, "unified": {"memory.high": "33554432"}});
    let bundle = limited(&stage, resources, "sleep 3600");
    start(&stage, &bundle, "c");
    let dir = directory(&stage, "c");
    assert_eq!(read(&dir, "io.max"), format!("{} rbps=1048576 wbps=max riops=max wiops=max", device.trim()));
    assert_eq!(read(&dir, "memory.high"), "33554432");
    let stats: Value =
        serde_json::from_str(&call(&stage, &["events", "--stats", "c"]).run().success().stdout).expect("JSON");
    assert!(stats["data"]["memory"]["usage"]["usage"].as_u64().is_some_and(|bytes| bytes > 0), "{stats}");
    assert_eq!(stats["data"]["pids"]["current"], 1);
    remove(&stage, "c");
    // A device that is not there, by the member that names it.
    let missing = json!({"blockIO": {"throttleReadBpsDevice": [{"major": 250, "minor": 250, "rate": 1}]}});
    bundle.set("/linux/resources", missing);
    let texts = ["linux.resources.blockIO.throttleReadBpsDevice[0]", "No such device"];
    call(&stage, &["run", "c"]).cwd(bundle.path()).run().fails(1, &texts);
    assert!(stage.containers().is_empty());
}
