//! The machine: that it is what the tests take it for, and the ways to use it.
use crate::support::{Call, Lacks, Output, Stage, runtime, skip, uid};
use std::path::Path;
use std::{env, fs};

/// A stage, in the machine; elsewhere the test is skipped.
pub fn stage() -> Option<Stage> {
    if env::var_os("RRUNC_TEST_VM").is_none() {
        skip(Lacks::Machine("the machine that tests/vm/run boots"));
        return None;
    }
    Some(Stage::new())
}

/// The variables that lead a call to the user's bus; a stage's own XDG_RUNTIME_DIR has none.
pub fn with_bus(call: Call) -> Call {
    call.env("DBUS_SESSION_BUS_ADDRESS", format!("unix:path=/run/user/{}/bus", uid()))
}

/// `rrunc ARGS` as the only process of a delegated scope of the user's systemd.
pub fn in_scope(stage: &Stage, args: &[&str]) -> Call {
    let ours = format!("XDG_RUNTIME_DIR={}", stage.xdg().display());
    let runtime = runtime();
    let scope = ["--user", "--scope", "--quiet", "--collect", "--property=Delegate=yes", "--", "env", &ours];
    let call = stage.call_program(Path::new("/usr/bin/systemd-run"), &scope);
    with_bus(call).env("XDG_RUNTIME_DIR", format!("/run/user/{}", uid())).arg(runtime).args(args)
}

/// `sh -c SCRIPT` as root, which must work.
pub fn root(stage: &Stage, script: &str) -> Output {
    stage.call_program(Path::new("/usr/bin/sudo"), &["sh", "-c", script]).run().success()
}

fn words(file: &str) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{file}: {error}"));
    text.split([' ', '\n', ',']).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

#[test]
fn the_machine_is_what_the_tests_take_it_for() {
    let Some(stage) = stage() else { return };
    assert_eq!(uid(), 1000);
    // cgroup v2 and nothing else; all controllers given to the user's manager.
    let mounts = fs::read_to_string("/proc/self/mounts").expect("the mounts");
    assert!(mounts.contains(" /sys/fs/cgroup cgroup2 ") && !mounts.contains(" cgroup "), "{mounts}");
    let given = words("/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/cgroup.controllers");
    for controller in ["cpu", "cpuset", "io", "memory", "pids"] {
        assert!(given.iter().any(|name| name == controller), "{controller} is not among {given:?}");
    }
    // A login is outside that tree, a scope inside.
    let session = fs::read_to_string("/proc/self/cgroup").expect("our cgroup");
    assert!(session.contains("/session-") || session.contains("/user@1000.service/"), "{session}");
    let control = ["features"];
    in_scope(&stage, &control).run().success();
    let modules = words("/sys/kernel/security/lsm");
    for module in ["apparmor", "landlock"] {
        assert!(modules.iter().any(|name| name == module), "{module} is not among {modules:?}");
    }
    assert_eq!(words("/sys/module/apparmor/parameters/enabled"), ["Y"]);
    // 6.1 has 2, 6.12 has 6.
    assert!([2, 6].contains(&rrunc::sys::landlock::abi()), "{}", rrunc::sys::landlock::abi());
}
