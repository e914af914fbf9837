//! The rarer options of create, run and exec, which service managers and clients use.
use super::terminal::receive_master;
use crate::support::{Bundle, Stage, wait_for};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::time::Duration;

#[test]
fn a_pidfd_of_the_first_process_goes_to_the_pidfd_socket() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.args(&["sleep", "3600"]);
    let socket = stage.dir().join("pidfd.sock");
    let listener = UnixListener::bind(&socket).expect("bind");
    let path = socket.to_str().expect("plain");
    for (verb, payload) in [("create", "standard"), ("exec", "setns")] {
        let call = match verb {
            "create" => stage.call(&["create", "--pidfd-socket", path, "c"]).cwd(bundle.path()),
            _ => stage.call(&["exec", "-d", "--pidfd-socket", path, "--pid-file", "exec.pid", "c", "sleep", "3600"]),
        };
        let running = call.cwd(bundle.path()).spawn();
        let (pidfd, said) = receive_master(&listener);
        assert_eq!(said, payload);
        running.wait().success();
        let pid = match verb {
            "create" => stage.pid("c").to_string(),
            _ => std::fs::read_to_string(bundle.path().join("exec.pid")).expect("the pid file"),
        };
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).expect("fdinfo");
        assert!(info.lines().any(|line| line == format!("Pid:\t{pid}")), "{verb}: {info}");
    }
    stage.remove("c");
}

#[test]
fn without_pivot_root_the_container_sees_its_root_all_the_same() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    std::fs::write(bundle.rootfs().join("mark"), "inside").expect("write");
    bundle.args(&["sh", "-c", "cat /mark; cat /../../mark; ls -d /home"]);
    let out = stage.call(&["run", "--no-pivot", "c"]).cwd(bundle.path()).run();
    assert!(out.stdout.starts_with("insideinside"), "{}", out.stdout);
    assert!(out.stderr.contains("--no-pivot"), "said, since it is the weaker way: {}", out.stderr);
}

/// Prints the parent of an orphan, as the host counts.
const ORPHAN: &str = "sh -c 'sh -c \"sleep 0.3; grep PPid /proc/\\$\\$/status\" & exit 0'; sleep 1";

#[test]
fn orphans_come_to_a_foreground_run_unless_it_is_told_not_to_take_them() {
    for (option, adopted) in [("--keep", true), ("--no-subreaper", false)] {
        let stage = Stage::new();
        let bundle = stage.bundle();
        // In an own pid namespace the first process there takes them.
        bundle.in_callers_pid_namespace();
        bundle.script(ORPHAN);
        let running = stage.call(&["run", option, "c"]).cwd(bundle.path()).spawn();
        let rrunc = running.pid();
        let out = running.wait().success();
        assert_eq!(out.line() == format!("PPid:\t{rrunc}"), adopted, "{option}: {} of {rrunc}", out.stdout);
        stage.call(&["delete", "--force", "c"]).run().success();
    }
}

/// What runs in the container of the test below: this very binary, which is static.
#[test]
#[ignore = "runs inside a container"]
fn tells_its_service_manager_that_it_is_ready() {
    let socket = UnixDatagram::unbound().expect("socket");
    let path = std::env::var("NOTIFY_SOCKET").expect("NOTIFY_SOCKET");
    std::thread::sleep(Duration::from_millis(300));
    socket.send_to(b"STATUS=warm\nREADY=1\n", path).expect("send");
    std::thread::sleep(Duration::from_secs(3600));
}

fn notifying(stage: &Stage) -> Bundle {
    let bundle = stage.bundle();
    let own = std::env::current_exe().expect("our own path");
    bundle.mount("/bin/notifier", "bind", own.to_str().expect("plain"), &["bind", "ro"]);
    let test = "options::tells_its_service_manager_that_it_is_ready";
    bundle.args(&["/bin/notifier", test, "--exact", "--ignored", "--nocapture", "--test-threads=1"]);
    bundle
}

/// Receives until the barrier, whose pipe is closed by not taking it.
fn heard(manager: &UnixDatagram) -> String {
    let mut all = String::new();
    wait_for("READY, MAINPID and BARRIER", || {
        let mut packet = [0; 1024];
        manager.set_read_timeout(Some(Duration::from_millis(100))).expect("a time limit");
        let length = manager.recv(&mut packet).unwrap_or(0);
        all.push_str(&String::from_utf8_lossy(&packet[..length]));
        all.contains("BARRIER=1").then_some(())
    });
    all
}

#[test]
fn readiness_is_passed_on_to_the_service_manager() {
    for detached_run in [true, false] {
        let stage = Stage::new();
        let bundle = notifying(&stage);
        let socket = stage.dir().join("manager.sock");
        let manager = UnixDatagram::bind(&socket).expect("bind");
        let call = |args: &[&str]| stage.call(args).cwd(bundle.path()).env("NOTIFY_SOCKET", &socket);
        let verb: &[&str] = if detached_run {
            &["run", "-d", "c"]
        } else {
            call(&["create", "c"]).run().success();
            &["start", "c"]
        };
        let running = call(verb).spawn();
        let said = heard(&manager);
        running.wait().success();
        assert!(said.contains("READY=1") && !said.contains("STATUS"), "{said}");
        assert!(said.contains(&format!("MAINPID={}", stage.pid("c"))), "{said}");
        stage.remove("c");
    }
}
