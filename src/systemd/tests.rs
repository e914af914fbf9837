//! What is said to systemd, and what is made of its answers; and (ignored, as most machines have none) the same with the
//! systemd of whoever runs it.
use super::bus::tests::Say::{self, Error, Removed};
use super::bus::tests::{JOB, Line, SYSTEMD, greeted, greeting, job, listen, nothing, played, serve, subscribed};
use super::*;
use crate::error::hint_of;
use std::os::unix::net::UnixListener;

fn unit() -> Unit {
    Unit { slice: Some("user.slice".into()), name: "rrunc-c.scope".into(), description: "rrunc container c".into() }
}

fn start(manager: &mut Manager) -> Result<()> {
    manager.start_scope(&unit(), &[42], &[Property::new("MemoryMax", 1u64 << 20)])
}

fn refusal(name: &str, script: Vec<Line>, act: impl FnOnce(&mut Manager) -> Result<()>) -> (String, String) {
    let error = played(name, script, act).0.unwrap_err();
    (one_line(&error), hint_of(&error).unwrap_or_default().to_owned())
}

fn is_said(call: &Message, property: &Property) -> bool {
    let mut writer = Writer::default();
    property.write(&mut writer);
    call.body.windows(writer.0.len()).any(|part| part == writer.0)
}

#[test]
fn a_scope_is_there_once_its_job_is_done() {
    let other = Removed(SYSTEMD, "/org/freedesktop/systemd1/job/8", "failed");
    let foreign = Removed(":1.66", JOB, "failed");
    let script = subscribed(vec![("StartTransientUnit", vec![job(), other, foreign, Removed(SYSTEMD, JOB, "done")])]);
    let (done, calls) = played("done", script, start);
    done.unwrap();
    let started = calls.last().unwrap();
    let mut arguments = started.arguments("ssa(sv)a(sa(sv))").unwrap();
    assert_eq!(arguments.string().unwrap(), "rrunc-c.scope");
    assert_eq!(arguments.string().unwrap(), "replace");
    for property in [
        Property::new("PIDs", Value::Numbers(vec![42])),
        Property::new("Delegate", true),
        Property::new("Slice", "user.slice"),
        Property::new("Description", "rrunc container c"),
        Property::new("DefaultDependencies", false),
        Property::new("CollectMode", "inactive-or-failed"),
        Property::new("TasksAccounting", true),
        Property::new("MemoryMax", 1u64 << 20),
    ] {
        assert!(is_said(started, &property), "{property:?}");
    }
    assert!(!is_said(started, &Property::new("MemoryMax", 1u64)));
}

#[test]
fn a_job_may_end_before_it_is_known() {
    let script = subscribed(vec![("StartTransientUnit", vec![Removed(SYSTEMD, JOB, "done"), job()])]);
    played("early", script, start).0.unwrap();
}

#[test]
fn a_job_that_fails_is_an_error() {
    let script = subscribed(vec![
        ("StartTransientUnit", vec![job(), Removed(SYSTEMD, JOB, "failed")]),
        ("ResetFailedUnit", vec![Error(NO_SUCH_UNIT, "Unit rrunc-c.scope not loaded.")]),
    ]);
    let (error, hint) = refusal("failed", script, start);
    assert_eq!(error, "systemd has not started rrunc-c.scope: the job's result is \"failed\"");
    assert_eq!(hint, "see what it says: `journalctl --user -e`");
}

#[test]
fn a_scope_that_has_failed_long_ago_is_forgotten_and_one_that_lives_is_named() {
    let exists = || Error(UNIT_EXISTS, "Unit rrunc-c.scope was already loaded or has a fragment file.");
    let again = |then: Vec<Say>| {
        let first = ("StartTransientUnit", vec![exists()]);
        subscribed(vec![first, ("ResetFailedUnit", vec![nothing()]), ("StartTransientUnit", then)])
    };
    played("again", again(vec![job(), Removed(SYSTEMD, JOB, "done")]), start).0.unwrap();
    let (error, hint) = refusal("exists", again(vec![exists()]), start);
    let expected = "systemd refuses rrunc-c.scope: Unit rrunc-c.scope was already loaded or has a fragment file.";
    assert_eq!(error, expected);
    assert_eq!(hint, "end what is in it: `systemctl --user stop 'rrunc-c.scope'`, or take another name");
}

#[test]
fn a_property_that_is_refused_is_named() {
    let why = "Cannot set property MemoryMax, or unknown \x1b property.";
    let script =
        subscribed(vec![("StartTransientUnit", vec![Error("org.freedesktop.DBus.Error.PropertyReadOnly", why)])]);
    let (error, hint) = refusal("property", script, start);
    let expected = "systemd refuses rrunc-c.scope: Cannot set property MemoryMax, or unknown \\u{1b} property.";
    assert_eq!(error, expected);
    assert_eq!(hint, "leave out MemoryMax: this systemd cannot set it for a scope, or not to that value");
}

#[test]
fn a_unit_is_stopped_and_one_that_is_gone_is_no_error() {
    let stop = |manager: &mut Manager| manager.stop("rrunc-c.scope");
    let gone = || Error(NO_SUCH_UNIT, "Unit rrunc-c.scope not loaded.");
    let script =
        subscribed(vec![("StopUnit", vec![job(), Removed(SYSTEMD, JOB, "done")]), ("ResetFailedUnit", vec![gone()])]);
    let (done, calls) = played("stop", script, stop);
    done.unwrap();
    assert_eq!(calls[4].arguments("ss").unwrap().string().unwrap(), "rrunc-c.scope");
    played("gone", subscribed(vec![("StopUnit", vec![gone()])]), stop).0.unwrap();
    let script = subscribed(vec![("StopUnit", vec![job(), Removed(SYSTEMD, JOB, "canceled")])]);
    assert_eq!(
        refusal("canceled", script, stop).0,
        "systemd has not stopped rrunc-c.scope: the job's result is \"canceled\""
    );
}

#[test]
fn properties_are_set_until_the_unit_is_gone() {
    let all = [Property::new("TasksMax", u64::MAX)];
    let set = |manager: &mut Manager| manager.set_properties("rrunc-c.scope", &all);
    let after = |say: Say| greeted(vec![("SetUnitProperties", vec![say])]);
    let (done, calls) = played("set", after(nothing()), set);
    done.unwrap();
    let mut arguments = calls[2].arguments("sba(sv)").unwrap();
    assert_eq!((arguments.string().unwrap().as_str(), arguments.bool().unwrap()), ("rrunc-c.scope", true));
    assert!(is_said(&calls[2], &all[0]));
    let gone = Error(NO_SUCH_UNIT, "Unit rrunc-c.scope not loaded.");
    let (error, hint) = refusal("set-gone", after(gone), set);
    assert_eq!(error, "systemd refuses rrunc-c.scope: Unit rrunc-c.scope not loaded.");
    assert_eq!(hint, "the container's scope is gone: delete the container");
}

#[test]
fn processes_are_attached_at_or_below_the_scope() {
    for (below, expected) in [("", "/"), ("a/b", "/a/b"), ("/a", "/a")] {
        let script = greeted(vec![("AttachProcessesToUnit", vec![nothing()])]);
        let (done, calls) = played("attach", script, |manager| manager.attach("u.scope", Path::new(below), &[7]));
        done.unwrap();
        let mut arguments = calls[2].arguments("ssau").unwrap();
        assert_eq!([arguments.string().unwrap(), arguments.string().unwrap()], ["u.scope", expected]);
        assert_eq!((arguments.u32().unwrap(), arguments.u32().unwrap()), (4, 7));
    }
    let up = |manager: &mut Manager| manager.attach("u.scope", Path::new("a/../../b"), &[7]);
    assert_eq!(refusal("attach-up", greeting(true), up).0, "the cgroup a/../../b: a path that leads elsewhere");
}

#[test]
fn systemds_own_socket_is_taken_where_there_is_no_bus_with_it() {
    let dir = std::env::temp_dir().join(format!("rrunc-bus-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let own = UnixListener::bind(dir.join("private")).unwrap();
    let (empty, address) = listen("empty");
    let manager = Address::Manager(dir.join("private"));
    let missing = || Ok(Address::Bus(dir.join("bus")));
    let addresses = vec![Err(anyhow!("no address")), missing(), Ok(address.clone()), Ok(manager)];
    std::thread::scope(|scope| {
        scope.spawn(|| serve(&empty, greeting(false)));
        scope.spawn(|| serve(&own, vec![("SetUnitProperties", vec![nothing()])]));
        Manager::among(addresses, PATIENCE).unwrap().set_properties("u.scope", &[]).unwrap();
    });
    let error = std::thread::scope(|scope| {
        scope.spawn(|| serve(&empty, greeting(false)));
        Manager::among(vec![missing(), Ok(address.clone())], PATIENCE).err().unwrap()
    });
    let bus = dir.join("bus");
    let expected = format!(
        "your systemd cannot be reached: {}: No such file or directory; {address}: there is a bus, but no systemd on it",
        bus.display()
    );
    assert_eq!(one_line(&error), expected);
    assert_eq!(hint_of(&error), Some(to_reach_it(Path::new(BOOTED).is_dir())));
    assert!(to_reach_it(true).contains("loginctl enable-linger") && to_reach_it(false).contains("rrunc doctor"));
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_systemd_that_leaves_is_an_error() {
    let script = subscribed(vec![("StartTransientUnit", vec![job()])]);
    assert_eq!(
        refusal("leaves", script, start).0,
        "wait for systemd to start rrunc-c.scope: the connection was closed"
    );
}

#[test]
fn a_process_elsewhere_is_not_taken_for_one_in_the_scope() {
    is_of(Path::new("/sys/fs/cgroup/user.slice/c.scope"), "c.scope").unwrap();
    let error = is_of(Path::new("/sys/fs/cgroup/unified/a"), "c.scope").unwrap_err();
    let expected = "systemd has started c.scope, but the container's process is in /sys/fs/cgroup/unified/a";
    assert_eq!(one_line(&error), expected);
    assert!(hint_of(&error).unwrap().contains("unified_cgroup_hierarchy"));
}

/// A process of ours that waits to be killed.
struct Sleeper(std::process::Child);

impl Sleeper {
    fn new() -> Sleeper {
        Sleeper(std::process::Command::new("sleep").arg("1000").spawn().unwrap())
    }

    fn pid(&self) -> i32 {
        self.0.id() as i32
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Waits for what comes by itself.
fn comes_true(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
#[ignore = "asks the systemd of the caller for a scope"]
fn the_real_systemd_makes_a_scope_and_lets_it_go() {
    let (first, second) = (Sleeper::new(), Sleeper::new());
    let unit = Unit::parse("", &format!("real+{}", std::process::id())).unwrap();
    look().unwrap();
    let cpus = Value::set(&crate::cpulist::Set::parse("0").unwrap());
    let properties = [
        Property::new("MemoryMax", 32u64 << 20),
        Property::new("TasksMax", 9u64),
        Property::new("CPUWeight", 59u64),
        Property::new("CPUQuotaPeriodUSec", 50_000u64),
        Property::new("CPUQuotaPerSecUSec", 500_000u64),
        Property::new("AllowedCPUs", cpus),
        annotation("org.systemd.property.TimeoutStopSec", "7").unwrap().unwrap(),
        annotation("org.systemd.property.KillSignal", "9").unwrap().unwrap(),
    ];
    let dir = start_scope(&unit, &[first.pid()], &properties).unwrap();
    let read = |file: &str| std::fs::read_to_string(dir.join(file)).unwrap().trim().to_owned();
    assert_eq!(cgroup::of(&first.pid().to_string()).unwrap(), dir);
    assert_ne!(cgroup::of(&second.pid().to_string()).unwrap(), dir);
    let limits = ["memory.max", "pids.max", "cpu.weight", "cpu.max", "cpuset.cpus"].map(read);
    assert_eq!(limits, ["33554432", "9", "59", "25000 50000", "0"]);
    let shown = std::process::Command::new("systemd-cgls").args(["--user", "--no-pager"]).output().unwrap();
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    eprintln!("{}\n{shown}", dir.display());
    assert!(shown.contains(&unit.name), "{shown}");
    // Delegated: cgroups may be made in it, and processes moved there.
    std::fs::create_dir(dir.join("below")).unwrap();
    attach(&unit.name, Path::new("below"), &[second.pid()]).unwrap();
    assert_eq!(cgroup::of(&second.pid().to_string()).unwrap(), dir.join("below"));
    set_properties(&unit.name, &[Property::new("MemoryMax", u64::MAX), Property::new("TasksMax", 20u64)]).unwrap();
    assert_eq!(["memory.max", "pids.max"].map(read), ["max", "20"]);
    let twice = start_scope(&unit, &[first.pid()], &[]).unwrap_err();
    assert!(is(&twice, UNIT_EXISTS), "{twice:#}");
    let unknown = set_properties(&unit.name, &[Property::new("NoSuchThing", true)]).unwrap_err();
    assert!(hint_of(&unknown).unwrap().starts_with("leave out NoSuchThing"), "{unknown:#}");
    eprintln!("{}\n{}", one_line(&twice), one_line(&unknown));
    drop((first, second));
    comes_true("the scope ends with its last process", || !dir.exists());
    stop(&unit.name).unwrap();
    let gone = attach(&unit.name, Path::new(""), &[std::process::id() as i32]).unwrap_err();
    assert!(is(&gone, NO_SUCH_UNIT), "{gone:#}");
    eprintln!("{}", one_line(&gone));
    // One that lives is stopped.
    let third = Sleeper::new();
    let dir = start_scope(&unit, &[third.pid()], &properties).unwrap();
    stop(&unit.name).unwrap();
    assert!(!dir.exists());
}
