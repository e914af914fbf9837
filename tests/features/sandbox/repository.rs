//! Checkouts of real git, linked worktrees, and `.git` files that lie.
use crate::support::place::{SECRET, git, write};
use crate::support::{Lacks, Place, find_program, skip};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

const COMMIT: &str = "git -c user.name=T -c user.email=t@example.org";

fn no_git() -> bool {
    let none = find_program("git").is_none();
    if none {
        skip(Lacks::Package("git"));
    }
    none
}

/// A repository with one commit in HOME, not at the project.
fn repository(place: &Place) -> PathBuf {
    let dir = place.home().join("repo");
    fs::create_dir(&dir).expect("mkdir");
    git(&dir, &["init", "-q"]);
    git(&dir, &["commit", "-q", "--allow-empty", "-m", "first"]);
    dir
}

fn log(dir: &std::path::Path) -> String {
    let out = Command::new("git").args(["log", "--format=%s"]).current_dir(dir).output().expect("git");
    String::from_utf8(out.stdout).expect("text")
}

#[test]
fn an_ordinary_checkout_commits() {
    if no_git() {
        return;
    }
    let place = Place::new();
    let repo = repository(&place);
    let script = format!(
        "echo x >file && git add file && {COMMIT} commit -qm inside && git status --short && git log --format=%s"
    );
    place.sandbox(&["--", "sh", "-c", &script]).cwd(&repo).run().success().prints("inside\nfirst\n");
    assert_eq!(log(&repo), "inside\nfirst\n");
    place.sandbox(&["--", "git", "config", "core.hooksPath", "/tmp/x"]).cwd(&repo).run();
    assert!(!fs::read_to_string(repo.join(".git/config")).expect("read").contains("hooksPath"));
}

#[test]
fn a_linked_worktree_commits() {
    if no_git() {
        return;
    }
    let place = Place::new();
    let repo = repository(&place);
    let tree = place.home().join("tree");
    git(&repo, &["worktree", "add", "-q", tree.to_str().expect("plain")]);
    fs::create_dir_all(tree.join("src")).expect("mkdir");
    let script = format!("echo x >file && git add file && {COMMIT} commit -qm inside && git log --format=%s");
    // To look needs nobody's word, to commit the user's, once: worktree and repository alone could have been made to match.
    let look =
        place.sandbox(&["--", "sh", "-c", "git status --short && git log --format=%s"]).cwd(&tree).run().success();
    assert_eq!(look.stdout, "first\n");
    assert!(look.stderr.contains("is read-only: `rrunc trust` lets"), "{}", look.stderr);
    place.sandbox(&["--", "sh", "-c", &script]).cwd(&tree).run().fails(128, &["Read-only file system"]);
    let asked = place.call(&["trust"]).cwd(&tree).run().fails(1, &["stays untrusted"]).stderr;
    assert!(asked.contains("worktree of the repository") && asked.contains("repo/.git"), "{asked}");
    place.call(&["trust", "--yes"]).cwd(&tree.join("src")).run().success();
    place
        .call(&["trust"])
        .cwd(&tree)
        .run()
        .success()
        .prints(&format!("the repository of {} is trusted already\n", tree.display()));
    let out = place.sandbox(&["--", "sh", "-c", &script]).cwd(&tree.join("src")).run().success();
    assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("inside\nfirst\n", ""));
    assert_eq!(log(&tree), "inside\nfirst\n");
    assert_eq!(log(&repo), "first\n");
    // Only the repository is shown of the other checkout, and what runs later is read-only there as well.
    let probe = "ls -A ~/repo; for f in hooks config hooks/x; do (echo x >>~/repo/.git/$f) 2>/dev/null && echo wrote $f; done; (echo x >.git) 2>/dev/null && echo wrote pointer; true";
    place.sandbox(&["--", "sh", "-c", probe]).cwd(&tree).run().success().prints(".git\n");
}

/// What a `.git` file says, and a probe that shows what it must not.
fn forged(target: &str, probe: &str) {
    let place = Place::new();
    let target = target.replace('~', &place.home().display().to_string());
    write(&place.home().join("victim/.git/HEAD"), "ref: refs/heads/main\n");
    for dir in ["objects", "refs", "worktrees"] {
        fs::create_dir(place.home().join("victim/.git").join(dir)).expect("mkdir");
    }
    write(&place.home().join("victim/.git/secret"), SECRET);
    write(&place.project().join(".git"), &format!("gitdir: {target}\n"));
    let out = place.sh(&[], probe).success();
    assert_eq!(out.stdout, "", "{target}");
    assert!(out.stderr.contains("not shown"), "{target}: no warning: {}", out.stderr);
}

#[test]
fn row_25b_a_forged_git_file_shows_nothing() {
    let probe =
        "cat ~/.ssh/* ~/victim/.git/secret ~/notes /etc/shadow 2>/dev/null; ls -A ~ | grep -v '^project$'; true";
    for target in
        ["~/.ssh", "~", "~/victim/.git", "~/victim/.git/worktrees", "../victim/.git", "/etc", "/", "nowhere", ""]
    {
        forged(target, probe);
    }
}

#[test]
fn row_25b_a_worktree_of_somebody_elses_project_is_no_pass() {
    if no_git() {
        return;
    }
    let place = Place::new();
    let repo = repository(&place);
    write(&repo.join(".git/secret"), SECRET);
    let tree = place.home().join("tree");
    git(&repo, &["worktree", "add", "-q", tree.to_str().expect("plain")]);
    // The control: the real worktree shows the repository.
    let probe = "cat ~/repo/.git/secret 2>/dev/null; true";
    place.sandbox(&["--", "sh", "-c", probe]).cwd(&tree).run().success().prints(SECRET);
    fs::copy(tree.join(".git"), place.project().join(".git")).expect("copy");
    let out = place.sh(&[], probe).success().prints("");
    assert!(out.stderr.contains("not shown"), "{}", out.stderr);
}

#[test]
fn a_submodules_git_file_is_not_followed_out_of_the_project() {
    if no_git() {
        return;
    }
    let place = Place::new();
    let repo = repository(&place);
    write(&repo.join(".git/modules/m/HEAD"), "ref: refs/heads/main\n");
    for dir in ["objects", "refs"] {
        fs::create_dir(repo.join(".git/modules/m").join(dir)).expect("mkdir");
    }
    write(&repo.join("m/.git"), "gitdir: ../.git/modules/m\n");
    let call = place.sandbox(&["--", "sh", "-c", "ls ~/repo"]).cwd(&repo.join("m"));
    let out = call.run().success().prints("m\n");
    assert!(out.stderr.contains("not shown"), "{}", out.stderr);
}
