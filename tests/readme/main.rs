//! The README's commands, as a user types them: every block marked "sh test" runs, one after the other, in one directory.
//! And its picture of a terminal.
#![allow(clippy::disallowed_methods, reason = "the rule against threads is for the product")]

mod picture;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::process::Command;
use support::{Lacks, Stage, Terminal, find_program, runtime, skip};

/// Compiled in: the account that runs this need not be able to read the repository.
const README: &str = include_str!("../../README.md");

/// The text of each block that begins with ```` ```sh test ````.
fn blocks() -> Vec<&'static str> {
    README.split("```sh test\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default()).collect()
}

/// What the README has from a distribution's image: here it is busybox.
fn image(stage: &Stage) {
    let bundle = stage.bundle_named("image");
    let tar = stage.dir().join("work/rootfs.tar");
    let status = Command::new("tar").arg("-C").arg(bundle.rootfs()).arg("-cf").arg(tar).arg(".").status();
    assert!(status.expect("tar").success());
}

#[test]
fn the_commands_work() {
    if find_program("ps").is_none() {
        return skip(Lacks::Package("procps"));
    }
    let stage = Stage::new();
    let work = stage.dir().join("work");
    fs::create_dir(&work).expect("mkdir");
    image(&stage);
    let blocks = blocks();
    assert!(blocks.len() >= 2, "no blocks found in the README");
    // With -e the first command that fails ends it, with -x its name is in the failure.
    // Building it is the caller's part.
    let script = format!("set -eux\n{}", blocks.concat().replace("cargo run --release -- ", "rrunc "));
    fs::write(work.join("commands.sh"), script).expect("write");
    let program = runtime();
    let path =
        format!("{}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", program.parent().expect("a directory").display());
    let call = stage.call_program("/bin/sh".as_ref(), &["commands.sh"]).cwd(&work).env("PATH", path);
    // At a terminal, as a reader would: `run` gives a shell, which is left at once.
    let mut terminal = Terminal::start(call, 24, 200);
    let sandboxes = terminal.expect("/ # ");
    terminal.send("exit\r");
    let (code, shown) = terminal.wait();
    assert_eq!(code, 0, "{shown}");
    for text in ["STATUS", "second", "uid=0(root)", "\"status\": \"running\""] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    // Whole lines: -x shows the words of the commands, too.
    for line in [
        "42",
        "refused",
        "hidden",
        "TOKEN=1",
        "protected",
        "status 124",
        "2 test",
        "test",
        "token=1",
        "the bundle says so",
    ] {
        assert!(sandboxes.lines().any(|shown| shown == line), "{line}: {sandboxes}");
    }
    for text in ["/.envrc\"", "ended at its limit of time, 0.50 s", "/work/.rrunc.toml is trusted", "MODE=test"] {
        assert!(sandboxes.contains(text), "{text}: {sandboxes}");
    }
}
