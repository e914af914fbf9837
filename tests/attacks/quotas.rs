//! Row 21: what the kernel counts for each user of the host, or charges to no process.
use super::payloads;
use crate::support::{Output, Place};
use std::fs;

/// A payload of a process whose soft limit of open files is 2000.
fn with_2000_files(place: &Place, payload: &str) -> Output {
    let own = std::env::current_exe().expect("our own path");
    let arguments = payloads::arguments(payload);
    let script = ["-c", "ulimit -Sn 2000; exec \"$@\"", "sh", own.to_str().expect("plain")];
    let all: Vec<&str> = script.into_iter().chain(arguments.iter().map(String::as_str)).collect();
    place.call_program("/bin/sh".as_ref(), &all).cwd(&place.project()).run().success()
}

/// What another process of the user's is told that sends a descriptor, while a sandbox of somebody with 2000 open files
/// has as many on their way as it is let; and how many those are.
fn meanwhile(place: &Place, options: &[&str]) -> (String, usize) {
    let all = payloads::sandboxed(options, "quotas::descriptors_in_flight");
    let all: Vec<&str> = std::iter::once("sandbox").chain(all.iter().map(String::as_str)).collect();
    let mut running = place.call_after("ulimit -Sn 2000", &all).cwd(&place.project()).spawn();
    running.wait_stdout("payload: sent");
    let passed = with_2000_files(place, "quotas::pass_one");
    fs::write(place.project().join("go"), "").expect("write");
    let out = running.wait().success();
    fs::remove_file(place.project().join("go")).expect("remove");
    let sent = payloads::lines(&out.stdout)[0].strip_prefix("sent ").and_then(|n| n.parse().ok()).expect("a number");
    (payloads::lines(&passed.stdout)[0].clone(), sent)
}

#[test]
fn row_21_descriptors_on_their_way_are_left_to_the_users_other_programs() {
    let place = Place::new();
    let (passed, sent) = meanwhile(&place, &[]);
    assert!(passed == "Ok(1)" && sent > 1000, "{passed}, {sent}");
    // The control: with the limit that other programs have.
    let (passed, sent) = meanwhile(&place, &["--ulimit", "nofile=2000"]);
    assert!(passed == "Err(ETOOMANYREFS)" && sent >= 2000, "{passed}, {sent}");
}

#[test]
fn row_21_inotify_instances_are_left_to_the_users_other_programs() {
    let place = Place::new();
    let out = payloads::in_sandbox(&place, &[], "quotas::inotify_instances").success();
    assert_eq!(payloads::lines(&out.stdout), ["32"]);
    // The control. Others of this user may have some meanwhile.
    let dir = place.dir().join("free");
    payloads::in_sandbox(&place, &["--write-bundle", dir.to_str().expect("plain")], "quotas::inotify_instances")
        .success();
    let file = dir.join("config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&file).expect("read")).expect("JSON");
    config["linux"]["sysctl"].as_object_mut().expect("parameters").remove("user.max_inotify_instances").expect("one");
    fs::write(&file, config.to_string()).expect("write");
    let out = place.call(&["run", "-b", dir.to_str().expect("plain"), "c"]).run().success();
    let made: usize = payloads::lines(&out.stdout)[0].parse().expect("a number");
    assert!(made > 32, "{made}");
}

#[test]
fn row_21_memory_in_sockets_and_system_v_is_memory() {
    let place = Place::new();
    let sockets = ["streams", "senders_gone", "datagrams", "connections", "packets"];
    for way in sockets.into_iter().chain(["segments", "messages", "semaphores"]) {
        let payload = format!("quotas::{way}");
        let out = payloads::in_sandbox(&place, &["-m", "50m"], &payload);
        assert!(!out.stdout.contains("still there"), "{way}: {out:?}");
        out.exits(137);
        // The control: where there is room for it, it stays.
        let out = payloads::in_sandbox(&place, &["-m", "32g"], &payload).success();
        assert_eq!(payloads::lines(&out.stdout), ["held", "still there"], "{way}");
    }
}
