//! Core dumps where the host's core_pattern names a program, which the kernel runs as root on the host.
use crate::machine::{root, stage};
use crate::support::{Stage, wait_for};
use std::fs;
use std::path::Path;

/// Where the handler writes the name of what has crashed, one file for each.
const WOKEN: &str = "/run/woken";

/// A handler that leaves a trace, and its pattern.
fn install_handler(stage: &Stage) {
    let handler = "#!/bin/sh\ncat >/dev/null\necho >\"/run/woken/$1\"\n";
    let script = format!(
        "mkdir -p {WOKEN} && printf '%s' '{handler}' >/usr/local/sbin/woken && chmod 755 /usr/local/sbin/woken && \
         sysctl -q -w 'kernel.core_pattern=|/usr/local/sbin/woken %e'"
    );
    root(stage, &script);
}

fn woken(name: &str) -> bool {
    Path::new(WOKEN).join(name).exists()
}

#[test]
fn row_22_a_crash_inside_does_not_wake_the_hosts_core_handler() {
    let Some(stage) = stage() else { return };
    install_handler(&stage);
    let project = stage.dir().join("project");
    fs::create_dir(&project).expect("mkdir");
    // What the handler is told of a crash is the name of the process.
    let crash = |name: &str| format!("printf {name} >/proc/$$/comm; kill -SEGV $$");
    let sandboxed = |name: &str| {
        let script = crash(name);
        stage.call(&["sandbox", "--", "sh", "-c", &script]).cwd(&project).run().exits(128 + 11);
    };
    sandboxed("inside");

    // The controls: the same crash outside, and the same sandbox with another limit. The handler started last ends last.
    stage.call_program("/bin/sh".as_ref(), &["-c", &crash("outside")]).cwd(&project).run().exits(-11);
    wait_for("the handler", || woken("outside").then_some(()));
    let written = stage.dir().join("written");
    let name = written.to_str().expect("plain");
    let script = crash("unlimited");
    let write = ["sandbox", "--write-bundle", name, "--", "sh", "-c", &script];
    stage.call(&write).cwd(&project).run().success();
    let file = written.join("config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&file).expect("read")).expect("JSON");
    let limits = config["process"]["rlimits"].as_array_mut().expect("limits");
    limits.retain(|limit| limit["type"] != "RLIMIT_CORE");
    fs::write(&file, config.to_string()).expect("write");
    stage.rrunc(&["run", "--bundle", name, "c"]).exits(128 + 11);
    wait_for("the handler", || woken("unlimited").then_some(()));

    assert!(!woken("inside"), "the crash in the sandbox has woken the handler");
}
