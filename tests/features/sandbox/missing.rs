//! What a sandbox says about a program that it does not have while the host does.
use crate::support::place::{script, write};
use crate::support::{Call, Place};

/// `rrunc sandbox ARGS` with `~/bin` in PATH.
fn with_own_bin(place: &Place, args: &[&str]) -> Call {
    place.sandbox(args).env("PATH", format!("/usr/bin:/bin:{}", place.home().join("bin").display()))
}

#[test]
fn a_program_of_path_that_is_not_shown_is_named_with_the_flag() {
    let place = Place::new();
    script(&place.home().join("bin/own-tool"), "#!/bin/sh\necho ran\n");
    let dir = place.home().join("bin").display().to_string();
    let flag = format!("--ro-bind {dir}");
    with_own_bin(&place, &["--", "own-tool"])
        .run()
        .fails(127, &["not found in $PATH", &format!("{dir}/own-tool"), &flag]);
    // The control: what it says is right.
    with_own_bin(&place, &["--ro-bind", &dir, "--", "own-tool"]).run().success().prints("ran\n");
    // What is nowhere has no such hint.
    let out = with_own_bin(&place, &["--", "no-such-tool"]).run().exits(127);
    assert!(!out.stderr.contains("--ro-bind"), "{}", out.stderr);
}

#[test]
fn a_relative_path_outside_the_view_is_named_in_full() {
    let place = Place::new();
    script(&place.project().join("tool"), "#!/bin/sh\n");
    let flag = format!("--ro-bind {}", place.project().join("tool").display());
    place.sandbox(&["--no-project", "--", "./tool"]).run().fails(127, &[&flag]);
}

#[test]
fn what_cannot_be_executed_is_told_from_what_is_not_shown() {
    let place = Place::new();
    write(&place.project().join("plain"), "echo x\n");
    std::fs::create_dir(place.project().join("dir")).expect("mkdir");
    script(&place.project().join("orphan"), "#!/no/such/interpreter\n");
    place.sandbox(&["--", "./plain"]).run().fails(126, &["permission denied", "chmod +x"]);
    place.sandbox(&["--", "./dir"]).run().fails(126, &["is a directory"]);
    let out = place.sandbox(&["--", "./orphan"]).run().fails(127, &["interpreter"]);
    assert!(!out.stderr.contains("--ro-bind"), "{}", out.stderr);
}

#[test]
fn a_directory_that_is_gone_is_said_to_be() {
    let place = Place::new();
    let gone = place.project().join("gone");
    std::fs::create_dir(&gone).expect("mkdir");
    let call = format!("cd {0} && rmdir {0} && exec $RRUNC sandbox true", gone.display());
    let call = place.call_program("/bin/sh".as_ref(), &["-c", &call]).env("RRUNC", crate::support::runtime());
    call.run().fails(125, &["current directory", "it has been removed"]);
}
