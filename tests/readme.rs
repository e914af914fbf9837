//! The README's commands, as a user types them: every block marked "sh test" runs, one after the other, in one directory.
#![allow(clippy::disallowed_methods, reason = "the rule against threads is for the product")]

#[path = "support/mod.rs"]
mod support;

use std::fs;
use std::process::Command;
use support::{Stage, runtime};

/// Compiled in: the account that runs this need not be able to read the repository.
const README: &str = include_str!("../README.md");

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
    let stage = Stage::new();
    let work = stage.dir().join("work");
    fs::create_dir(&work).expect("mkdir");
    image(&stage);
    let blocks = blocks();
    assert!(blocks.len() >= 2, "no blocks found in the README");
    // With -e the first command that fails ends it, with -x its name is in the failure.
    let script = format!("set -eux\n{}", blocks.concat());
    fs::write(work.join("commands.sh"), script).expect("write");
    let program = runtime();
    let path =
        format!("{}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", program.parent().expect("a directory").display());
    let call = stage.call_program("/bin/sh".as_ref(), &["commands.sh"]).cwd(&work).env("PATH", path);
    let out = call.run().success();
    assert!(out.stdout.contains("uid=0(root)"), "{out:?}");
    assert!(out.stdout.contains("STATUS"), "{out:?}");
}
