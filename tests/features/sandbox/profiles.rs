//! Profiles: which there are, what they come to, and a project's own one.
use crate::support::place::write;
use crate::support::{Output, Place, Terminal};
use std::fs;

/// A profile of the user's own.
fn own(place: &Place, name: &str, text: &str) {
    write(&place.home().join(format!(".config/rrunc/profiles/{name}.toml")), text);
}

fn rrunc(place: &Place, args: &[&str]) -> Output {
    place.call(args).cwd(&place.project()).run()
}

#[test]
fn each_that_is_listed_is_sound_and_runs() {
    let place = Place::new();
    let list = rrunc(&place, &["profile", "ls"]).success().stdout;
    let names: Vec<&str> = list.lines().skip(1).filter_map(|line| line.split(' ').next()).collect();
    assert!(names.len() >= 12 && names.contains(&"judge"), "{list}");
    for name in names {
        assert!(rrunc(&place, &["profile", "check", name]).success().stdout.contains("is sound"), "{name}");
        assert!(!rrunc(&place, &["profile", "show", name]).success().stdout.is_empty(), "{name}");
        if !name.starts_with("seccomp/") && name != "apparmor" {
            place.sh(&["--profile", name], "echo ran").success().prints("ran\n");
        }
    }
}

#[test]
fn untrusted_changes_nothing_and_judge_sees_nothing() {
    let place = Place::new();
    write(&place.project().join("input"), "text\n");
    place.sh(&["--profile", "untrusted"], "cat input; echo x > input").exits(2).prints("text\n");
    place.sh(&["--profile", "judge"], "test -e input || echo nothing").success().prints("nothing\n");
    place
        .sh(&["--profile", "judge", "--ro-bind", "input"], &format!("cat {}/input", place.project().display()))
        .prints("text\n");
    // A rule of the strict filter, and the control.
    let system_v = "import ctypes; print(ctypes.CDLL(None, use_errno=True).msgget(0, 0o1600))";
    if crate::support::find_program("python3").is_some() {
        place.sandbox(&["--profile", "untrusted", "--", "python3", "-c", system_v]).run().success().prints("-1\n");
        assert_ne!(place.sandbox(&["--", "python3", "-c", system_v]).run().success().stdout, "-1\n");
    }
}

#[test]
fn later_ones_narrow_unless_they_allow() {
    let place = Place::new();
    own(&place, "narrow", "[deny]\npass = [\"LANG\"]\n[limits]\nprocesses = 99999\ntmpfs = \"8m\"\n");
    own(
        &place,
        "wide",
        "extends = \"narrow\"\n[allow]\npass = [\"TOKEN\"]\nset = { FROM = \"wide\" }\nlimits = { tmpfs = \"16m\" }\n",
    );
    let show = "echo $LANG $TOKEN $FROM; df -P -k /tmp | tail -1 | awk '{ print $2 }'";
    let run = |options: &[&str]| {
        let args = [options, &["--", "sh", "-c", show]].concat();
        place.sandbox(&args).env("LANG", "C").env("TOKEN", "secret").run().success().stdout
    };
    assert_eq!(run(&[]), "C\n1048576\n");
    assert_eq!(run(&["--profile", "narrow"]), "\n8192\n");
    assert_eq!(run(&["--profile", "wide"]), "secret wide\n16384\n");
    // The larger limit of processes did not replace the smaller one.
    let explained = place.sandbox(&["--profile", "wide", "--explain-profile", "--", "true"]).run().success().stdout;
    let line = |start: &str| explained.lines().find(|line| line.trim_start().starts_with(start)).map(str::to_owned);
    assert!(line("processes: 4096").is_some_and(|line| line.ends_with("base")), "{explained}");
    assert!(line("TOKEN").is_some_and(|line| line.ends_with("wide.toml")), "{explained}");
    // Flags are the user's last word.
    assert_eq!(run(&["--profile", "wide", "--size", "4m", "--unsetenv", "TOKEN"]), "wide\n4096\n");
}

#[test]
fn mistakes_are_told_with_file_line_and_column() {
    let place = Place::new();
    own(&place, "typo", "[allow]\nread = [\"~/x\"]\n\nprograms = 3\n");
    own(&place, "loop", "extends = \"loop\"\n");
    own(&place, "size", "[limits]\nmemory = \"many\"\n");
    own(&place, "up", "[deny]\nhide = [\"../*\"]\n");
    for (name, texts) in [
        ("typo", &["typo.toml", "line 4, column 12"][..]),
        ("loop", &["it extends itself"]),
        ("size", &["size.toml", "limits: memory", "\"many\" is no size"]),
        ("up", &["up.toml", "\"../*\" leads upwards"]),
        ("none", &["there is no profile none"]),
        ("./none.toml", &["./none.toml", "no such file"]),
    ] {
        rrunc(&place, &["profile", "check", name]).fails(1, texts);
        place.sandbox(&["--profile", name, "--", "true"]).run().fails(125, &texts[..1]);
    }
}

#[test]
fn row_24_a_path_of_another_kind_than_its_list_is_refused_and_nothing_of_the_hosts_written() {
    let place = Place::new();
    let notes = place.home().join("notes");
    let before = fs::read_to_string(&notes).expect("read");
    let named = notes.display().to_string();
    for (key, path, text) in [
        ("etc", named.as_str(), "a path below /etc"),
        ("etc", "/etc/../etc/hosts", "a path below /etc"),
        ("programs", "bin", "an absolute path"),
        ("toolchains", "~/.cargo/bin", "below HOME"),
    ] {
        own(&place, "odd", &format!("[allow]\n{key} = [\"{path}\"]\n"));
        place.sandbox(&["--profile", "odd", "--", "true"]).run().fails(125, &["odd.toml", key, path, text]);
        rrunc(&place, &["profile", "check", "odd"]).fails(1, &["odd.toml", text]);
    }
    assert_eq!(fs::read_to_string(&notes).expect("read"), before);
    // It would hide nothing. The control, written as it should be.
    let show = ["--profile", "odd", "--ro-bind", place.dir().to_str().expect("text"), "--no-project", "--", "cat"];
    own(&place, "odd", "[deny]\nsecrets = [\"~/notes\"]\n");
    place.sandbox(&show).arg(&notes).run().fails(125, &["deny.secrets", "without ~/"]);
    own(&place, "odd", "[deny]\nsecrets = [\"notes\"]\n");
    place.sandbox(&["--profile", "odd", "--ro-bind", &named, "--", "cat", &named]).run().prints(&before);
    // A project's own is looked at before it is trusted.
    write(&place.project().join(".rrunc.toml"), "[allow]\netc = [\"/srv\"]\n");
    rrunc(&place, &["trust", "--yes"]).fails(1, &[".rrunc.toml", "a path below /etc"]);
    // Mistakes in flags are not called a profile's.
    let out = place.sandbox(&["--memory", "much", "--", "true"]).run().exits(125);
    assert!(out.stderr.contains("command line: ") && !out.stderr.contains("profile command line"), "{}", out.stderr);
}

#[test]
fn a_profile_in_the_project_that_a_flag_names_is_not_the_programs_to_change() {
    let place = Place::new();
    write(&place.project().join("ci/own.toml"), "[allow]\nset = { A = \"1\" }\n");
    let deeds = "echo $A; echo >> ci/own.toml; rm -f ci/own.toml; mv ci moved; true";
    place.sh(&["--profile", "./ci/own.toml"], deeds).success().prints("1\n");
    place.sh(&["--profile", "./ci/own.toml"], "echo $A").success().prints("1\n");
    // The control: another file beside it.
    place.sh(&[], "echo >> ci/own.toml").success();
}

#[test]
fn auto_chooses_by_the_files_of_the_project() {
    let place = Place::new();
    let explain = || place.sandbox(&["--profile", "auto", "--explain-profile", "--", "true"]).run().success().stdout;
    assert!(!explain().contains("caches"));
    write(&place.project().join("Cargo.lock"), "");
    write(&place.project().join("package-lock.json"), "{}");
    let explained = explain();
    assert!(explained.contains("cargo  rust") && explained.contains("npm    node"), "{explained}");
    place.sandbox(&["--profile", "auto", "--no-project", "--", "true"]).run().fails(125, &["--profile auto"]);
}

#[test]
fn row_25_a_projects_own_profile_counts_only_once_it_is_trusted() {
    let place = Place::new();
    let secret = place.home().join("plain.txt");
    write(&secret, "outside\n");
    let file = place.project().join(".rrunc.toml");
    write(&file, &format!("[allow]\nread = [\"{}\"]\nnetwork = \"host\"\n", secret.display()));
    let look = format!("cat {}", secret.display());
    place.sh(&[], &look).fails(1, &["No such file"]);
    let warned = place.sh(&[], "true").success().stderr;
    assert!(warned.contains(".rrunc.toml is ignored"), "{warned}");
    rrunc(&place, &["trust"]).fails(1, &["stays untrusted"]);
    place.sh(&[], &look).fails(1, &["No such file"]);
    // The control: trusted, it is what counts.
    let shown = rrunc(&place, &["trust", "--yes"]).success();
    assert!(
        shown.stderr.contains("network = \"host\"") && shown.stderr.contains("gives every sandbox"),
        "{}",
        shown.stderr
    );
    place.sh(&[], &look).success().prints("outside\n");
    // A profile that the user chooses for the call comes after it.
    place.sh(&["--profile", "untrusted"], &look).fails(1, &["No such file"]);
    // The program cannot change it, and when it has changed it counts no longer.
    place.sh(&[], "echo >> .rrunc.toml").fails(2, &["Read-only"]);
    fs::write(&file, "[allow]\nwrite = [\"~/\"]\n").expect("write");
    place.sh(&[], &look).fails(1, &["No such file"]);
    let changed = rrunc(&place, &["trust"]).fails(1, &["stays untrusted"]).stderr;
    assert!(changed.contains("has changed") && changed.contains("+ write"), "{changed}");
    rrunc(&place, &["trust", "--forget"]).success();
    fs::write(&file, "extends = \"dev\"\n").expect("write");
    rrunc(&place, &["trust", "--yes"]).fails(1, &["`extends` has no place"]);
}

#[test]
fn what_a_profile_gives_stands_last_before_the_question() {
    let place = Place::new();
    let comments = "# nothing\n".repeat(200);
    let read: Vec<String> = (0..300).map(|number| format!("\"/usr/share/{number}\"")).collect();
    let text = format!(
        "[allow]\nnetwork = \"host\"\nwrite = [\"/srv/a\\u001b[2Jb\"]\nread = [{}]\n{comments}[deny]\nhide = [\"x\"]\n",
        read.join(", ")
    );
    write(&place.project().join(".rrunc.toml"), &text);
    let mut terminal = Terminal::start(place.call(&["trust"]).cwd(&place.project()), 24, 80);
    let shown = terminal.expect("Trust it? [y/N] ");
    terminal.send("n\n");
    let (code, _) = terminal.wait();
    assert_eq!(code, 1);
    // On the last screen of a terminal: everything it gives, by kind, and nothing else.
    let lines: Vec<&str> = shown.lines().collect();
    let last = &lines[lines.len().saturating_sub(12)..];
    let expected =
        ["read: /usr/share/299", "write: /srv/a\\u{1b}[2Jb", "network: host", "In all: 300 read, 1 write, 1 network."];
    for number in 0..300 {
        assert!(shown.contains(&format!("  read: /usr/share/{number}\r\n")), "{number} is not shown");
    }
    let mut at = last.iter();
    for text in expected {
        assert!(at.any(|line| line.contains(text)), "{text}: {last:#?}");
    }
    assert!(at.as_slice().len() == 1 && !shown.contains('\u{1b}'), "{last:#?}");
}

#[test]
fn row_25_a_profile_that_is_a_link_or_huge_is_not_read() {
    let place = Place::new();
    let file = place.project().join(".rrunc.toml");
    std::os::unix::fs::symlink("/etc/passwd", &file).expect("link");
    rrunc(&place, &["trust", "--yes"]).fails(1, &["is not there"]);
    fs::remove_file(&file).expect("remove");
    fs::write(&file, vec![b'#'; 2 << 20]).expect("write");
    place.sandbox(&["--", "true"]).run().fails(125, &["larger than"]);
}

#[test]
fn row_24_the_program_changes_neither_profiles_nor_trust_nor_its_report() {
    let place = Place::new();
    own(&place, "mine", "[allow]\nset = { A = \"1\" }\n");
    let report = place.project().join("report.json");
    let deeds = "echo x > ~/.config/rrunc/profiles/mine.toml; mkdir -p ~/.config/rrunc/profiles; \
                 echo x > ~/.config/rrunc/profiles/mine.toml; ls $XDG_RUNTIME_DIR; true";
    let args = ["--profile", "mine", "--report", report.to_str().expect("text"), "--", "sh", "-c", deeds];
    place.sandbox(&args).run().success();
    let text = fs::read_to_string(place.home().join(".config/rrunc/profiles/mine.toml")).expect("still there");
    assert!(text.contains("set = "), "{text}");
    // Its HOME is another one; also where HOME itself is granted nothing of rrunc's is in it.
    let home = place.home().display().to_string();
    let granted = ["--no-project", "--bind", &home, "--", "ls", "-A"];
    let inside = place.sandbox(&granted).arg(place.home().join(".config/rrunc")).run();
    assert_eq!(inside.stdout, "", "{}", inside.stderr);
}
