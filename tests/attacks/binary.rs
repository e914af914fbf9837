//! Row 1: the runtime's own binary, which belongs to the same user, must not be overwritten from inside (CVE-2019-5736).
use super::payloads;
use crate::support::{Bundle, Stage, runtime, wait_for};
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A copy of the runtime that belongs to the caller, and its bytes.
fn own_copy(stage: &Stage) -> (PathBuf, Vec<u8>) {
    let copy = stage.dir().join(runtime().file_name().expect("a name"));
    fs::copy(runtime(), &copy).expect("copy the runtime");
    let bytes = fs::read(&copy).expect("read the copy");
    (copy, bytes)
}

/// A writable root with the attacker in it and a script whose interpreter is whatever executes it.
fn hostile(stage: &Stage, name: &str) -> Bundle {
    let bundle = stage.bundle_named(name);
    let script = bundle.rootfs().join("self");
    fs::write(&script, "#!/proc/self/exe\n").expect("write");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("chmod");
    bundle.set("/root/readonly", json!(false));
    bundle
}

fn stop(bundle: &Bundle) {
    fs::write(bundle.rootfs().join("tmp/stop"), "").expect("write");
}

#[test]
fn row_1_control_the_attacker_can_overwrite_a_program_it_meets() {
    let stage = Stage::new();
    let victim = stage.dir().join("sleep");
    fs::copy(runtime_free_busybox(), &victim).expect("copy");
    let before = fs::read(&victim).expect("read");
    let own = std::env::current_exe().expect("our own path");
    let script = "\"$0\" 0.5 & shift 0; exec \"$@\"";
    let mut attacker = Command::new("unshare")
        .args(["--map-root-user", "--pid", "--fork", "--mount-proc", "sh", "-c", script])
        .arg(&victim)
        .arg(&own)
        .args(payloads::arguments("overwrite_programs"))
        .stdout(Stdio::null())
        .spawn()
        .expect("unshare");
    wait_for("the victim to be overwritten", || (fs::read(&victim).expect("read") != before).then_some(()));
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(attacker.id().try_into().expect("a pid")),
        nix::sys::signal::Signal::SIGKILL,
    )
    .expect("kill");
    attacker.wait().expect("wait");
    stage.wait_no_processes();
}

fn runtime_free_busybox() -> PathBuf {
    crate::support::find_program("busybox").expect("busybox")
}

#[test]
fn row_1_exec_into_a_watching_container() {
    let stage = Stage::new();
    let (copy, before) = own_copy(&stage);
    let bundle = hostile(&stage, "bundle");
    payloads::run(&bundle, "overwrite_programs");
    let mut run = stage.call_program(&copy, &["run", "-d", "c"]).cwd(bundle.path()).spawn();
    run.wait_stdout("watching");
    run.wait().success();
    for _ in 0..20 {
        stage.call_program(&copy, &["exec", "c", "true"]).run().success();
        // The interpreter is the runtime, its stub, or nothing at all: how it ends is all the same.
        stage.call_program(&copy, &["exec", "c", "/self"]).run();
        stage.call_program(&copy, &["exec", "c", "/proc/self/exe"]).run();
        assert!(fs::read(&copy).expect("read") == before, "the runtime's binary was overwritten");
    }
    stop(&bundle);
    stage.wait_status("c", "stopped");
    assert!(fs::read(&copy).expect("read") == before, "the runtime's binary was overwritten");
    stage.remove("c");
}

#[test]
fn row_1_a_created_container_watched_from_inside() {
    let stage = Stage::new();
    let (copy, before) = own_copy(&stage);
    let bundle = hostile(&stage, "bundle");
    payloads::install(&bundle);
    bundle.args(&["sleep", "3600"]);
    stage.call_program(&copy, &["create", "c"]).cwd(bundle.path()).run().success();
    let arguments = payloads::arguments("overwrite_programs");
    let arguments: Vec<&str> =
        ["exec", "-d", "c", payloads::PATH].into_iter().chain(arguments.iter().map(String::as_str)).collect();
    let mut attacker = stage.call_program(&copy, &arguments).spawn();
    attacker.wait_stdout("watching");
    attacker.wait().success();
    stage.call_program(&copy, &["start", "c"]).run().success();
    // Now nobody runs the binary: it is no longer protected by being busy.
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(fs::read(&copy).expect("read") == before, "the runtime's binary was overwritten");
    stop(&bundle);
    stage.remove("c");
}

#[test]
fn row_1_the_entry_point_is_the_runtime_itself() {
    let stage = Stage::new();
    let (copy, before) = own_copy(&stage);
    // The watcher's pid namespace is joined by the second container, so that its init is seen from its first step.
    let watcher = hostile(&stage, "watcher");
    payloads::run(&watcher, "overwrite_programs");
    let mut run = stage.call_program(&copy, &["run", "-d", "watcher"]).cwd(watcher.path()).spawn();
    run.wait_stdout("watching");
    run.wait().success();
    let pid = stage.pid("watcher");
    let second = hostile(&stage, "second");
    second.edit(|config| {
        for namespace in config["linux"]["namespaces"].as_array_mut().expect("namespaces") {
            let kind = namespace["type"].as_str().expect("a type").to_owned();
            if ["pid", "user"].contains(&kind.as_str()) {
                namespace["path"] = json!(format!("/proc/{pid}/ns/{kind}"));
            }
        }
    });
    second.unset("/linux/uidMappings").unset("/linux/gidMappings");
    for entry in ["/self", "/proc/self/exe"] {
        for _ in 0..10 {
            second.args(&[entry]);
            stage.call_program(&copy, &["run", "second"]).cwd(second.path()).run();
            assert!(fs::read(&copy).expect("read") == before, "the runtime's binary was overwritten");
        }
    }
    second.args(&["true"]);
    stage.call_program(&copy, &["run", "second"]).cwd(second.path()).run().success();
    stop(&watcher);
    stage.wait_status("watcher", "stopped");
    assert!(fs::read(&copy).expect("read") == before, "the runtime's binary was overwritten");
    stage.remove("watcher");
}
