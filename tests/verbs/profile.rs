//! `profile`: what comes with the binary can be looked at and used.
use crate::support::{Stage, Terminal};
use serde_json::{Value, json};

#[test]
fn every_profile_that_is_listed_is_shown() {
    let stage = Stage::new();
    let list = stage.rrunc(&["profile", "ls"]).success();
    let names: Vec<&str> = list.stdout.lines().skip(1).filter_map(|line| line.split(' ').next()).collect();
    for name in ["base", "seccomp/default", "seccomp/sandbox", "seccomp/strict"] {
        assert!(names.contains(&name), "{}", list.stdout);
    }
    for name in names {
        let text = stage.rrunc(&["profile", "show", name]).success().stdout;
        assert!(text.ends_with('\n'), "{name}");
        if name.starts_with("seccomp/") {
            let profile: Value = serde_json::from_str(&text).expect("OCI JSON");
            assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO", "{name}");
        } else if name != "apparmor" {
            assert!(text.contains("description = "), "{name}");
        }
    }
}

#[test]
fn the_default_profile_runs_a_container() {
    let stage = Stage::new();
    let text = stage.rrunc(&["profile", "show", "seccomp/default"]).success().stdout;
    let bundle = stage.bundle();
    bundle.set("/linux/seccomp", serde_json::from_str(&text).expect("JSON"));
    bundle.script("grep Seccomp: /proc/self/status; unshare -U true");
    let out = stage.run(&bundle).exits(1).prints("Seccomp:\t2\n");
    assert!(out.stderr.contains("not permitted"), "{}", out.stderr);
    bundle.set("/linux/seccomp", json!(null)).script("grep Seccomp: /proc/self/status; unshare -U true");
    stage.run(&bundle).success();
}

#[test]
fn mistakes_are_told_with_what_to_do() {
    let stage = Stage::new();
    stage.rrunc(&["profile", "show", "nonesuch"]).fails(1, &["there is no profile nonesuch", "profile ls"]);
    stage
        .rrunc(&["profile", "show", "untrustd"])
        .fails(1, &["there is no profile untrustd", "did you mean untrusted?"]);
    stage.rrunc(&["profile", "show", "seccomp/../base"]).fails(1, &["there is no profile"]);
    stage.rrunc(&["profile", "show"]).fails(2, &["<NAME>", "`show NAME`"]);
    stage.rrunc(&["profile", "ls", "base"]).fails(2, &["base"]);
    stage.rrunc(&["profile", "frob"]).fails(2, &["frob"]);
    stage.rrunc(&["profile", "ls", "--no-such"]).exits(2);
}

#[test]
fn a_terminal_is_shown_no_control_characters_of_a_profile_and_a_pipe_every_byte() {
    let stage = Stage::new();
    let file = stage.dir().join("evil.toml");
    let text = "# \u{1b}]0;owned\u{7}\tand \u{202e}more\ndescription = \"x\"\n";
    std::fs::write(&file, text).expect("write");
    let name = file.to_str().expect("plain");
    stage.rrunc(&["profile", "show", name]).success().prints(text);
    let (code, shown) = Terminal::start(stage.call(&["profile", "show", name]), 24, 200).wait();
    assert_eq!(code, 0);
    assert!(!shown.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{shown:?}");
    let expected = "# \\u{1b}]0;owned\\u{7}\tand \\u{202e}more\ndescription = \"x\"\n";
    // A terminal's line discipline may put blanks for the tab.
    let plain = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!((plain(&shown), shown.matches('\n').count()), (plain(expected), 2), "{shown:?}");
}
