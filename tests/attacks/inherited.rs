//! Rows 2, 4, 7, 20: what comes along from the caller, and what stays behind of the container.
use super::payloads::{self, SECRET};
use crate::support::{Lacks, Place, Stage, find_program, skip, wait_for};
use serde_json::json;
use std::fs;
use std::process::{Command, Stdio};

#[test]
fn row_2_control_an_inherited_directory_fd_leaves_a_chroot() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    // What a runtime does that only changes the root: fd 9 is the host's root.
    let inside = "PATH=$PATH:/usr/sbin:/sbin; exec chroot \"$0\" /bin/sh -c 'ls /proc/self/fd/9/'";
    let script = format!("mount --rbind /proc \"$0/proc\"; {inside}");
    let out = Command::new("sh")
        .args(["-c", "exec 9</; exec unshare --map-root-user --mount sh -c \"$1\" \"$0\""])
        .arg(bundle.rootfs())
        .arg(script)
        .output()
        .expect("sh");
    let seen = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(seen.contains("usr") && seen.contains("home"), "the host's root is reachable: {seen} {out:?}");
}

#[test]
fn row_2_no_fd_of_the_caller_gets_in() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle
        .script("for fd in /proc/self/fd/*; do echo ${fd##*/}; done; ls -d /proc/self/fd/9/home 2>&1 | grep -c home/");
    let open = "exec 3</ 4</etc/passwd 9</";
    let out = stage.call_after(open, &["run", "c"]).cwd(bundle.path()).run();
    // The shell holds the directory /proc/self/fd itself while it expands the glob.
    let fds: Vec<_> = out.stdout.lines().filter(|line| line.parse::<u32>().is_ok_and(|n| n > 3)).collect();
    assert_eq!(fds, Vec::<&str>::new(), "{out:?}");
    bundle.args(&["sh", "-c", "readlink /proc/self/fd/3; readlink /proc/self/fd/9; true"]);
    stage.call_after(open, &["run", "c"]).cwd(bundle.path()).run().success().prints("");
}

#[test]
fn row_2_a_working_directory_outside_the_root_is_an_error() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.script("echo in; ls -d home/exp* usr/lib/os-release 2>/dev/null");
    // Init has had about eighty open at once.
    for fd in 3..130 {
        bundle.set("/process/cwd", json!(format!("/proc/self/fd/{fd}")));
        let call = stage.call_after("exec 3</ 9</", &["run", "c"]).cwd(bundle.path());
        let out = call.run();
        assert_ne!(out.code, 0, "fd {fd}: {out:?}");
        assert_eq!(out.stdout, "", "fd {fd} was a way out");
        assert_eq!(stage.containers(), Vec::<String>::new());
    }
    bundle.set("/process/cwd", json!("/")).args(&["sleep", "3600"]);
    stage.in_bundle(&bundle, &["run", "-d", "c"]).success();
    for fd in 3..20 {
        let cwd = format!("/proc/self/fd/{fd}");
        let out = stage.call_after("exec 3</ 9</", &["exec", "--cwd", &cwd, "c", "pwd"]).run();
        assert_ne!(out.code, 0, "fd {fd}: {out:?}");
        assert_eq!(out.stdout, "");
    }
    stage.remove("c");
}

#[test]
fn row_2_a_container_that_waits_for_its_start_holds_nothing_of_the_host() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.mount("/data", "bind", "/usr", &["rbind", "ro"]);
    let held = |options: &[&str]| {
        let args = [&["create", "--bundle", bundle.str()], options, &["c"]].concat();
        stage.call_after("exec </dev/null >/dev/null 2>&1 3</usr", &args).run().success();
        let init = stage.state("c")["pid"].as_i64().expect("a pid");
        let all = fs::read_dir(format!("/proc/{init}/fd")).expect("its descriptors");
        let links = all.map(|fd| fs::read_link(fd.expect("one").path()).expect("a link"));
        let held: Vec<_> = links.map(|to| to.to_string_lossy().into_owned()).filter(|to| to != "/dev/null").collect();
        stage.remove("c");
        held
    };
    let control = held(&["--preserve-fds", "1"]);
    assert!(control.iter().any(|to| to == "/usr"), "what it is given it has: {control:?}");
    let held = held(&[]);
    assert!(held.iter().all(|to| to.starts_with("socket:")), "{held:?}");
}

fn spills(pid: &str) -> Vec<String> {
    let files = ["environ", "cmdline"].map(|name| format!("/proc/{pid}/{name}"));
    let spilt = |file: &String| String::from_utf8_lossy(&fs::read(file).expect(file)).contains(SECRET);
    files.into_iter().filter(spilt).collect()
}

#[test]
fn row_4_the_callers_environment_and_arguments_are_not_to_be_read_in_pid_1() {
    let control =
        Command::new("sleep").arg("30").env("TOKEN", SECRET).stdin(Stdio::null()).spawn().expect("spawn the control");
    let pid = control.id().to_string();
    wait_for("the control to be executed", || (!spills(&pid).is_empty()).then_some(()));
    let mut control = control;
    control.kill().expect("kill");
    control.wait().expect("wait");

    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.args(&["sleep", "3600"]);
    let log = stage.dir().join(SECRET);
    let log = log.to_str().expect("plain");
    let call =
        |args: &[&str]| stage.call(&[&["--log", log][..], args].concat()).env("TOKEN", SECRET).cwd(bundle.path());
    call(&["create", "c"]).run().success();
    let pid = stage.pid("c").to_string();
    assert_eq!(spills(&pid), Vec::<String>::new(), "created");
    let inside = ["exec", "c", "cat", "/proc/1/environ", "/proc/1/cmdline"];
    // Who has less than a created container's first process cannot look into it at all, only see its arguments.
    let out = stage.rrunc(&inside).fails(1, &["can't open '/proc/1/environ': Permission denied"]);
    assert!(out.stdout.starts_with("rrunc init"), "{}", out.stdout);
    assert!(!out.stdout.contains(SECRET), "created, from inside: {}", out.stdout);
    call(&["start", "c"]).run().success();
    let ready = || fs::read_to_string(format!("/proc/{pid}/cmdline")).ok().filter(|text| text.starts_with("sleep"));
    wait_for("the program", ready);
    assert_eq!(spills(&pid), Vec::<String>::new(), "running");
    let out = stage.rrunc(&inside).success();
    assert!(!out.stdout.contains(SECRET), "running, from inside: {}", out.stdout);
    // exec is given the secret, and must not leave it in the environment of what it starts.
    let out = stage.call(&["exec", "c", "cat", "/proc/self/environ"]).env("TOKEN", SECRET).run().success();
    assert!(!out.stdout.contains(SECRET), "{}", out.stdout);
    stage.remove("c");
}

#[test]
fn row_4_the_arguments_of_exec_are_not_to_be_read_while_it_joins() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    payloads::run(&bundle, "read_arguments");
    let mut watcher = stage.call(&["run", "c"]).cwd(bundle.path()).spawn();
    watcher.wait_stdout("watching\n");
    let log = stage.dir().join(SECRET);
    let log = log.to_str().expect("plain");
    for _ in 0..50 {
        stage.call(&["--log", log, "exec", "c", "true"]).run().success();
    }
    assert!(!watcher.stdout().contains("spilt"), "{}", watcher.stdout());
    // What the program itself is given is seen.
    wait_for("the control to be seen", || {
        stage.rrunc(&["exec", "c", "true", SECRET]).success();
        watcher.stdout().contains("spilt").then_some(())
    });
    stage.remove("c");
    watcher.wait();
}

#[test]
fn row_7_processes_outside_cannot_be_seen_or_signalled() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let mut bystander = Command::new("sleep").arg("3633").stdin(Stdio::null()).spawn().expect("spawn");
    let pid = bystander.id();
    let probe = format!(
        "kill -0 {pid} 2>/dev/null && echo signalled; test -e /proc/{pid}/mem && echo memory; cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -o 'sleep 363[3]'; true"
    );
    // Outside, the same user can do all of it.
    let control = Command::new("sh").args(["-c", &probe]).output().expect("sh");
    let seen = String::from_utf8_lossy(&control.stdout).into_owned();
    assert!(seen.contains("signalled\nmemory\nsleep 3633"), "{seen}");
    // The probe's own text must not be what it finds: it is read from a file.
    fs::write(bundle.rootfs().join("probe"), &probe).expect("write");
    bundle.args(&["sh", "/probe"]);
    let out = stage.run(&bundle).success();
    bystander.kill().expect("kill");
    bystander.wait().expect("wait");
    assert_eq!(out.stdout, "");
}

#[test]
fn row_7_processes_outside_cannot_be_traced_or_read() {
    let place = Place::new();
    let bundle = place.bundle();
    let mut bystander = Command::new("sleep").arg("3634").stdin(Stdio::null()).spawn().expect("spawn");
    let pid = bystander.id().to_string();
    let payload = "calls::foreign_process";
    let own = std::env::current_exe().expect("our own path");
    let call = place.call_program(&own, &[]).env("PAYLOAD_PID", &pid);
    let outside = payloads::arguments(payload).iter().fold(call, |call, argument| call.arg(argument)).run().success();
    payloads::run(&bundle, payload);
    let variable = format!("PAYLOAD_PID={pid}");
    bundle.set("/process/env/-", json!(variable));
    let inside = place.run(&bundle).success();
    let sandboxed = payloads::in_sandbox(&place, &["-e", &variable], payload).success();
    bystander.kill().expect("kill");
    bystander.wait().expect("wait");
    // The control: outside, it is found, whatever is then allowed (kernel.yama.ptrace_scope may forbid the tracing).
    let outside = payloads::lines(&outside.stdout);
    assert_eq!(outside.len(), 6, "{outside:?}");
    assert!(outside.iter().all(|line| !line.ends_with("ESRCH")), "{outside:?}");
    for out in [inside, sandboxed] {
        let lines = payloads::lines(&out.stdout);
        assert_eq!(lines.len(), 6, "{lines:?}");
        assert!(lines.iter().all(|line| line.ends_with(": ESRCH")), "{lines:?}");
    }
}

const STUBBORN: &str = "trap '' TERM HUP INT; (trap '' TERM HUP; setsid sh -c 'trap \"\" TERM HUP; sleep 3677' \
    </dev/null >/dev/null 2>&1 &) & sleep 0.2; exit 0";

#[test]
fn row_20_nothing_outlives_the_container() {
    if find_program("pkill").is_none() {
        return skip(Lacks::Package("procps"));
    }
    let stage = Stage::new();
    let bundle = stage.bundle();
    // Outside a pid namespace the orphan does survive. It is found by its working directory.
    let status = Command::new("sh").args(["-c", STUBBORN]).current_dir(stage.dir()).status().expect("sh");
    assert!(status.success());
    assert_ne!(stage.processes(), Vec::<String>::new(), "the control died by itself");
    let killed = Command::new("pkill").args(["-9", "-f", "^sleep 3677"]).status().expect("pkill");
    assert!(killed.success());
    assert_eq!(stage.wait_no_processes(), Vec::<String>::new());

    bundle.script(STUBBORN);
    stage.run(&bundle).success();
    let begin = std::time::Instant::now();
    wait_for("everything to end", || stage.processes().is_empty().then_some(()));
    assert!(begin.elapsed().as_secs() < 1, "it took {:?}", begin.elapsed());
    // The same for one that is deleted by force.
    bundle.script(&STUBBORN.replace("exit 0", "sleep 3678"));
    stage.in_bundle(&bundle, &["run", "-d", "c"]).success();
    stage.remove("c");
    wait_for("everything to end", || stage.processes().is_empty().then_some(()));
}
