//! Row 21: floods. While a container runs, rrunc reads what it sends: none of that may keep rrunc from its signals and its
//! clock. Each flood says that it has begun, so what is seen is the flood and not its want.
use super::payloads;
use crate::support::{Bundle, Place, Stage, Terminal};
use nix::sys::signal::Signal;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

/// Runs a payload that ends with 7 on SIGTERM, and sends it that by way of rrunc. `deaf`: the service manager, which never
/// reads, has as much to read already as it can.
fn ended_by_sigterm(stage: &Stage, bundle: &Bundle, payload: &str, deaf: bool) {
    payloads::run(bundle, payload);
    let socket = stage.dir().join("manager.sock");
    let _manager = UnixDatagram::bind(&socket).expect("bind");
    let others = UnixDatagram::unbound().expect("socket");
    others.set_nonblocking(true).expect("nonblocking");
    while deaf && others.send_to(b"x", &socket).is_ok() {}
    let mut running = stage.call(&["run", "c"]).cwd(bundle.path()).env("NOTIFY_SOCKET", &socket).spawn();
    running.wait_stdout("payload: up");
    running.signal(Signal::SIGTERM);
    running.wait().exits(7);
}

#[test]
fn row_21_run_hears_its_signals_in_a_flood_of_notifications() {
    // The control: who reads until nothing is left does not come back.
    let place = Place::new();
    let path = place.dir().join("flooded.sock");
    let socket = UnixDatagram::bind(&path).expect("bind");
    socket.set_nonblocking(true).expect("nonblocking");
    let own = std::env::current_exe().expect("our own path");
    let arguments = payloads::arguments("floods::notifications");
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let mut flood = place.call_program(&own, &arguments).env("NOTIFY_SOCKET", &path).spawn();
    flood.wait_stdout("payload: up");
    let mut in_a_row = 0;
    let end = Instant::now() + Duration::from_secs(20);
    while in_a_row < 1000 && Instant::now() < end {
        in_a_row = if socket.recv(&mut [0; 64]).is_ok() { in_a_row + 1 } else { 0 };
    }
    flood.signal(Signal::SIGTERM);
    assert_eq!((flood.wait().code, in_a_row), (7, 1000));

    let stage = Stage::new();
    ended_by_sigterm(&stage, &stage.bundle(), "floods::notifications", false);
}

#[test]
fn row_21_run_hears_its_signals_while_the_service_manager_does_not_listen() {
    for deaf in [false, true] {
        let stage = Stage::new();
        ended_by_sigterm(&stage, &stage.bundle(), "floods::readiness", deaf);
    }
}

#[test]
fn row_21_run_hears_its_signals_in_a_flood_of_orphans() {
    for with_pids in [true, false] {
        let stage = Stage::new();
        let bundle = stage.bundle();
        if !with_pids {
            // Then they become children of rrunc.
            bundle.without_namespace("pid");
            bundle.set(
                "/mounts/0",
                serde_json::json!({"destination": "/proc", "type": "bind", "source": "/proc", "options": ["rbind"]}),
            );
        }
        ended_by_sigterm(&stage, &bundle, "floods::orphans", false);
    }
}

#[test]
fn row_21_the_reaper_hears_its_signals_in_a_flood_of_orphans() {
    let place = Place::new();
    let all = payloads::sandboxed(&[], "floods::orphans");
    let mut running = place.sandbox(&all.iter().map(String::as_str).collect::<Vec<_>>()).spawn();
    running.wait_stdout("payload: up");
    running.signal(Signal::SIGTERM);
    running.wait().exits(7);
}

#[test]
fn row_21_the_clock_goes_on_in_a_flood_of_questions_and_of_output() {
    let place = Place::new();
    let out = payloads::in_sandbox(&place, &["--timeout", "1s"], "floods::names");
    assert!(payloads::lines(&out.stdout).contains(&"up".to_owned()), "{out:?}");
    // On SIGTERM, which comes first, it ends; what rrunc says is what it was ended for.
    out.exits(124);
    let call = place.sandbox(&["--timeout", "1s", "--", "sh", "-c", "echo up; exec yes"]);
    let mut terminal = Terminal::start(call, 24, 80);
    terminal.expect("up");
    assert_eq!(terminal.wait().0, 124);
}

#[test]
fn row_21_page_tables_are_memory() {
    let place = Place::new();
    // The control: with more memory it comes to its end, and is not ended for the time that the kernel takes to add up.
    let done = payloads::in_sandbox(&place, &["-m", "1g", "--timeout", "60s"], "floods::page_tables").success();
    assert_eq!(payloads::lines(&done.stdout), ["done"]);
    payloads::in_sandbox(&place, &["-m", "50m", "--timeout", "60s"], "floods::page_tables").exits(137);
}
