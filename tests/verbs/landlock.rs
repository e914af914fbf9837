//! The annotation `org.rrunc.landlock`, in any bundle. Each control is the same bundle without it.
use crate::support::{Bundle, Lacks, Stage, find_program, skip};
use rrunc::sys::landlock::abi;
use serde_json::json;

/// In a directory with the files `f` and `g` and the directories `d` and `h`: what each of them did.
const CHANGES: &str = "cd $DIR; try() { \"$@\" 2>/dev/null && echo -n \"$1 \"; }; new() { > new; }; append() { echo x >> f; }; \
    try new; try append; try truncate -s 0 f; try mkdir e; try mkfifo p; try ln -s f s; try ln f l; try mv f d/f; \
    try rm g; try rmdir h; cat /etc/passwd > /dev/null && echo read";
const FILES: &str = "echo text > f && cp f g && mkdir d h";
const ALL: &str = "new append truncate mkdir mkfifo ln ln mv rm rmdir ";

fn annotate(bundle: &Bundle, list: &str) {
    bundle.set("/annotations", json!({"org.rrunc.landlock": list}));
}

/// A directory that is writable by its mount, which the configuration does not name: a hook has made it.
fn with_a_writable_place(bundle: &Bundle) {
    let place = bundle.rootfs().join("var").display().to_string();
    let script = format!("mount -t tmpfs tmpfs {place} && cd {place} && {FILES}");
    bundle
        .set("/hooks/createContainer", json!([{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin"]}]))
        .set("/process/env/-", json!("DIR=/var"))
        .script(CHANGES);
}

#[test]
fn files_are_changed_only_beneath_writable_mounts() {
    if abi() < 3 {
        return skip(Lacks::Machine("Landlock ABI 3"));
    }
    let stage = Stage::new();
    let bundle = stage.bundle();
    with_a_writable_place(&bundle);
    stage.run(&bundle).success().prints(&format!("{ALL}read\n"));
    annotate(&bundle, "files");
    stage.run(&bundle).success().prints("read\n");
    // Beneath one that is named all is as without it.
    bundle.unset("/hooks/createContainer").mount("/var", "tmpfs", "tmpfs", &["mode=777"]);
    bundle.script(&format!("cd /var; {FILES}; {CHANGES}"));
    stage.run(&bundle).success().prints(&format!("{ALL}read\n"));
}

#[test]
fn a_writable_root_leaves_everything_in_it_writable() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    with_a_writable_place(&bundle);
    bundle.set("/root/readonly", json!(false));
    annotate(&bundle, "files");
    stage.run(&bundle).success().prints(&format!("{ALL}read\n"));
}

#[test]
fn signals_stay_inside() {
    if abi() < 6 {
        return skip(Lacks::Machine("Landlock ABI 6"));
    }
    let stage = Stage::new();
    let bundle = stage.bundle();
    let outside = stage.call_program(&find_program("sleep").expect("sleep"), &["3600"]).spawn();
    let script = format!("kill -0 {} && echo outside; sleep 9 & kill $! && echo own; :", outside.pid());
    bundle.without_namespace("pid").script(&script);
    stage.run(&bundle).success().prints("outside\nown\n");
    annotate(&bundle, "files,abstract-sockets");
    stage.run(&bundle).success().prints("outside\nown\n");
    annotate(&bundle, "signals");
    stage.run(&bundle).success().prints("own\n");
    outside.signal(nix::sys::signal::Signal::SIGKILL);
    outside.wait().exits(-9);
}

#[test]
fn exec_is_bound_too_in_a_domain_of_its_own() {
    if abi() < 6 {
        return skip(Lacks::Machine("Landlock ABI 6"));
    }
    let stage = Stage::new();
    let bundle = stage.bundle();
    with_a_writable_place(&bundle);
    let signal = ["exec", "c", "kill", "-0", "1"];
    let change = ["exec", "c", "sh", "-c", CHANGES];
    stage.running(&bundle, "c");
    stage.rrunc(&signal).success();
    stage.rrunc(&change).success().prints(&format!("{ALL}read\n"));
    stage.remove("c");
    annotate(&bundle, "files,signals");
    stage.running(&bundle, "c");
    stage.rrunc(&signal).exits(1);
    stage.rrunc(&change).success().prints("read\n");
    // What the caller has opened for it to write is.
    let out = stage.rrunc(&["exec", "c", "sh", "-c", "echo out > /dev/stdout; echo err > /proc/self/fd/2"]).success();
    assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("out\n", "err\n"));
    // The runtime is outside.
    stage.rrunc(&["kill", "c", "KILL"]).success();
    stage.wait_status("c", "stopped");
    stage.remove("c");
}

#[test]
fn it_needs_no_new_privileges_and_known_words() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    annotate(&bundle, "files,network");
    stage.run(&bundle).fails(1, &["annotations[\"org.rrunc.landlock\"]: \"network\" is unknown: files, "]);
    annotate(&bundle, "files");
    bundle.set("/process/noNewPrivileges", json!(false));
    stage.run(&bundle).fails(1, &["process.noNewPrivileges", "org.rrunc.landlock"]);
}
