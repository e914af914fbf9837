//! What runs later on the host and has changed: told of everything that may be written, of everybody who has not been told, and
//! so that it is seen.
use crate::support::place::write;
use crate::support::{Lacks, Place, Terminal, find_program, runtime, skip, wait_for};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::fs;

/// What `rrunc sandbox OPTIONS -- sh -c SCRIPT` reports as changes: `new NAME`, with the names below the project.
fn changes(place: &Place, options: &[&str], script: &str) -> Vec<String> {
    let file = place.dir().join("report.json");
    let report = ["--report", file.to_str().expect("text")];
    place.sh(&[&report, options].concat(), script).exits(0);
    listed(place, &file)
}

fn listed(place: &Place, file: &std::path::Path) -> Vec<String> {
    let report: Value = serde_json::from_str(&fs::read_to_string(file).expect("a report")).expect("JSON");
    let name = |change: &Value| {
        let path = change["path"].as_str().expect("a path");
        let path = path.replace(&format!("{}/", place.project().display()), "");
        let since = if change["since"].is_null() { "" } else { " earlier" };
        format!("{} {path}{since}", change["change"].as_str().expect("a word"))
    };
    report["runsLaterChanges"].as_array().expect("a list").iter().map(name).collect()
}

#[test]
fn row_m12_what_else_may_be_written_is_protected_and_told_as_the_project_is() {
    let place = Place::new();
    let other = place.other_project();
    for file in [".git/HEAD", ".git/hooks/post-commit", ".git/config", ".vscode/settings.json"] {
        write(&other.join(file), "old\n");
    }
    let shown = other.display().to_string();
    let plant = format!(
        "cd {shown}; for f in .git/hooks/post-commit .git/config .vscode/settings.json; do echo new > $f; done 2>/dev/null; \
         mv .git g 2>/dev/null; mv .vscode v 2>/dev/null; echo new > .envrc; mkdir sub; echo new > sub/CLAUDE.md; true"
    );
    for grant in [["--bind", &shown], ["-v", &shown]] {
        let told = changes(&place, &["--no-project", grant[0], grant[1]], &plant);
        assert_eq!(told, [format!("new {shown}/.envrc"), format!("new {shown}/sub/CLAUDE.md")], "{grant:?}");
        for file in [".git/hooks/post-commit", ".git/config", ".vscode/settings.json"] {
            assert_eq!(fs::read_to_string(other.join(file)).expect("it is there"), "old\n", "{file}");
        }
        fs::remove_dir_all(other.join("sub")).expect("remove");
        fs::remove_file(other.join(".envrc")).expect("remove");
    }
    // At another place inside it is the same, and a profile's grant.
    let profile = place.home().join("granting.toml");
    write(&profile, &format!("[allow]\nwrite = [\"{shown}:/srv/it\"]\n"));
    let at = plant.replace(&format!("cd {shown}"), "cd /srv/it");
    let told = changes(&place, &["--no-project", "--profile", profile.to_str().expect("text")], &at);
    assert_eq!(told, [format!("new {shown}/.envrc"), format!("new {shown}/sub/CLAUDE.md")]);
    assert_eq!(fs::read_to_string(other.join(".git/config")).expect("it is there"), "old\n");
    // The control: granted by its own name, it is written.
    let hooks = other.join(".git/hooks").display().to_string();
    place.sh(&["--no-project", "--bind", &shown, "--bind", &hooks], &plant);
    assert_eq!(fs::read_to_string(other.join(".git/hooks/post-commit")).expect("it is there"), "new\n");
}

#[test]
fn row_l_what_tools_read_is_told_at_any_depth_whether_new_changed_or_gone() {
    let place = Place::new();
    for file in ["a/.npmrc", "CLAUDE.md", ".github/workflows/ci.yml", "same/.gdbinit", "x/.cursor/rules"] {
        write(&place.project().join(file), "old\n");
    }
    // What is there is read while the program runs already; what it has changed by then is told as changed.
    let script = "sleep 1; echo new > a/.npmrc; rm CLAUDE.md; echo new > .github/workflows/new.yml; \
                  cp same/.gdbinit t && mv t same/.gdbinit; echo new > x/.cursor/rules; \
                  mkdir -p b/c/.devcontainer && echo > b/c/.devcontainer/devcontainer.json; echo > p.code-workspace; \
                  mkdir .git && echo > .mcp.json; mkdir .cargo && echo > .cargo/config.toml; echo > plain";
    let mut told = changes(&place, &[], script);
    told.sort();
    let expected = [
        "changed a/.npmrc",
        "changed x/.cursor/rules",
        "gone CLAUDE.md",
        "new .cargo/config.toml",
        "new .git",
        "new .github/workflows/new.yml",
        "new .mcp.json",
        "new b/c/.devcontainer",
        "new p.code-workspace",
    ];
    assert_eq!(told, expected);
    assert_eq!(
        changes(&place, &[], "echo > plain; cat a/.npmrc > plain"),
        [""; 0],
        "control: nothing of it is touched"
    );
}

#[test]
fn row_h1_what_git_would_find_is_protected_at_any_depth_and_told() {
    let place = Place::new();
    let repository = |dir: &str| {
        for (file, text) in [
            ("HEAD", "ref: refs/heads/main\n"),
            ("config", "[core]\n\thooksPath = ../own\n"),
            ("objects/x", ""),
            ("refs/x", ""),
        ] {
            write(&place.project().join(dir).join(file), text);
        }
    };
    repository("a/b/.git");
    write(&place.project().join("a/own/pre-commit"), "old\n");
    write(&place.project().join("a/b/own/pre-commit"), "old\n");
    let script = "sleep 1; echo new > a/b/.git/config; mkdir -p c/d/.git/objects c/d/.git/refs; \
                  echo 'ref: refs/heads/main' > c/d/.git/HEAD; echo '[core]' > c/d/.git/config; \
                  mkdir objects refs; echo 'ref: refs/heads/main' > HEAD; echo new > a/own/pre-commit; true";
    let told = changes(&place, &[], script);
    assert_eq!(
        fs::read_to_string(place.project().join("a/b/.git/config")).expect("read"),
        "[core]\n\thooksPath = ../own\n"
    );
    for expected in ["new c/d/.git", "new "] {
        assert!(told.iter().any(|one| one.starts_with(expected)), "{expected}: {told:?}");
    }
    // The control: of what git does not go by nothing is told.
    assert_eq!(changes(&place, &[], "echo > a/b/.git/index; echo > plain"), [""; 0]);
}

#[test]
fn row_h2_what_the_host_changes_meanwhile_is_told_by_its_contents() {
    let place = Place::new();
    write(&place.project().join(".envrc"), "old\n");
    write(&place.project().join(".vscode/settings.json"), "old\n");
    let file = place.dir().join("report.json");
    let run = |deed: &str| {
        fs::remove_file(place.project().join("go")).ok();
        let script = "touch ready; while [ ! -e go ]; do sleep 0.02; done";
        let call = place.sandbox(&["--report", file.to_str().expect("text"), "--", "sh", "-c", script]);
        let running = call.spawn();
        wait_for("the sandbox", || place.project().join("ready").exists().then_some(()));
        place.outside(&format!("{deed}; rm ready; touch go")).success();
        running.wait().success();
        listed(&place, &file)
    };
    assert_eq!(run("echo new > t; mv t .envrc"), ["changed .envrc"]);
    assert_eq!(run("echo new > t; mv t .envrc; touch .vscode/settings.json"), [""; 0], "the same contents again");
    assert_eq!(run("rm .envrc; echo more >> .vscode/settings.json"), ["changed .vscode/settings.json", "gone .envrc"]);
    assert_eq!(run("true"), [""; 0], "control");
}

#[test]
fn row_m8_one_of_each_kind_comes_first_and_json_has_all() {
    let place = Place::new();
    let script = "for i in $(seq 10 79); do mkdir d$i && echo > d$i/.envrc; done; mkdir -p z/y; echo > z/y/.gdbinit; echo > .mise.toml";
    let (_, shown) = Terminal::start(place.sandbox(&["--", "sh", "-c", script]), 24, 200).wait();
    for text in ["z/y/.gdbinit", "project/.mise.toml", "/d10/.envrc", "and 22 more new by **/.envrc"] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    assert_eq!(shown.matches("runs later on your host").count(), 50, "{shown}");
    fs::remove_dir_all(place.project()).expect("remove");
    fs::create_dir(place.project()).expect("mkdir");
    assert_eq!(changes(&place, &[], script).len(), 72);
}

#[test]
fn row_m8_what_nobody_has_been_told_of_the_next_sandbox_tells() {
    let place = Place::new();
    let shown = |script: &str| Terminal::start(place.sandbox(&["--", "sh", "-c", script]), 24, 200).wait().1;
    assert!(!shown("true").contains("runs later"), "control");
    // Without a terminal.
    place.sh(&[], "echo x > .envrc").success();
    place.sh(&[], "echo x > .gdbinit; ls -A ~/.local 2>/dev/null; true").success().prints("");
    let text = shown("echo > .exrc");
    for name in [".envrc", ".gdbinit"] {
        let told =
            |line: &str| line.contains("whose report was not seen") && line.ends_with(&format!("project/{name}"));
        assert!(text.lines().map(str::trim_end).any(told), "{name}: {text}");
    }
    assert!(text.contains(&format!("rrunc: new, and runs later on your host: {}/.exrc", place.project().display())));
    assert!(!shown("true").contains("runs later"), "told once");
    // And that of one whose rrunc was killed.
    let killed = place.sandbox(&["--", "sh", "-c", "echo x > .lldbinit; touch ready; exec sleep 60"]).spawn();
    wait_for("the sandbox", || place.project().join("ready").exists().then_some(()));
    let records = place.home().join(".local/state/rrunc/untold");
    // One that is still being written has another name.
    let is_whole = |entry: fs::DirEntry| !entry.file_name().to_string_lossy().ends_with(".new");
    wait_for("its record", || fs::read_dir(&records).ok()?.flatten().any(is_whole).then_some(()));
    killed.signal(Signal::SIGKILL);
    killed.wait();
    let text = shown("true");
    assert!(text.contains("whose report was not seen") && text.contains("project/.lldbinit"), "{text}");
    assert!(!shown("true").contains("runs later"), "told once");
    assert_eq!(fs::read_dir(&records).expect("the directory").count(), 0, "nothing is left to be told");
}

/// The last words of a program, and what must not be seen of the report where they are obeyed.
const LAST_WORDS: [(&str, &str); 8] = [
    ("an unfinished OSC string", "\\033]0;"),
    ("an unfinished DCS string", "\\033Pq"),
    ("an unfinished sequence", "\\033[38;5"),
    ("hidden letters", "\\033[8m"),
    ("black on black", "\\033[30;40m"),
    ("the other screen", "\\033[?1049h\\033[10;10H"),
    ("the other letters", "\\033(0\\016"),
    ("a margin, and no wrapping", "\\033[2;3r\\033[?7l\\033[3;140H"),
];

#[test]
fn row_m8_the_report_is_seen_whatever_the_program_says_last() {
    let Some(tmux) = find_program("tmux") else { return skip(Lacks::Machine("tmux")) };
    let place = Place::new();
    let mut count = 0;
    let mut screen = |command: &str| {
        count += 1;
        let socket = place.dir().join(format!("tmux{count}"));
        let tmux = |args: &[&str]| {
            let call = place.call_program(&tmux, &["-S", socket.to_str().expect("text"), "-f", "/dev/null"]);
            call.args(args).env("TERM", "xterm").cwd(&place.project()).run()
        };
        let command = format!("{command}; printf ' END\\n'; sleep 60");
        tmux(&["new-session", "-d", "-x", "150", "-y", "40", &command]).success();
        let all = || tmux(&["capture-pane", "-p", "-e"]).stdout;
        let mut last = String::new();
        for _ in 0..100 {
            last = all();
            if last.contains("END") {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(30));
        }
        tmux(&["kill-server"]);
        last
    };
    let seen = |screen: &str| {
        let line = screen.lines().find(|line| line.contains("runs later on your host")).unwrap_or_default().to_owned();
        !line.is_empty() && !line.contains("\u{1b}[8") && !line.contains("\u{1b}[30") && !line.contains("\u{1b}[8;")
    };
    for (what, words) in LAST_WORDS {
        fs::remove_file(place.project().join(".envrc")).ok();
        let inside = format!("{} sandbox -- sh -c \"echo x > .envrc; printf '{words}'\"", runtime().display());
        let shown = screen(&inside);
        assert!(seen(&shown), "{what}: {shown}");
        // The control: a text of nobody who gives the terminal back.
        if !["1049", "2;3r", "38;5", "016"].iter().any(|other| words.contains(other)) {
            let shown = screen(&format!("printf '{words}'; echo 'rrunc: new, and runs later on your host: x'"));
            assert!(!seen(&shown), "control, {what}: {shown}");
        }
    }
}

#[test]
fn row_m1_user_namespaces_weaken_the_view_where_something_is_covered() {
    let place = Place::new();
    let plain = place.sh(&["--userns", "--require", "view"], "true").success();
    assert_eq!(plain.stderr, "", "control: nothing is hidden or protected");
    write(&place.project().join(".env"), "SECRET=1\n");
    let warned = place.sh(&["--userns"], "true").success();
    assert!(warned.stderr.contains("can be renamed") && warned.stderr.contains("project/.env"), "{warned:?}");
    place
        .sandbox(&["--userns", "--require", "view", "--", "true"])
        .run()
        .fails(125, &["--require view", "not kept in full"]);
    let without = place.sh(&["--require", "view"], "true").success();
    assert_eq!(without.stderr, "", "control: without user namespaces");
    place.sh(&["--userns", "--read-only", "--require", "view"], "true").success();
}
