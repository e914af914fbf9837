//! Git's ordinary work inside: what it is told by its configuration, and what it leaves when the sandbox has ended.
use crate::scene::Scene;
use crate::support::{Lacks, find_program, runtime, skip};
use std::fs;

/// A scene with a repository that has a commit, of somebody whom git knows; unless git is not there.
fn repository(config: &str) -> Option<Scene> {
    if find_program("git").is_none() {
        skip(Lacks::Machine("git"));
        return None;
    }
    let scene = Scene::new();
    let own = "[user]\n\tname = A Person\n\temail = a@example.org\n[init]\n\tdefaultBranch = main\n";
    scene.home_file(".gitconfig", &format!("{own}{config}"));
    scene.outside("git init -q . && echo one > a && git add a && git -c commit.gpgSign=false commit -qm one").success();
    Some(scene)
}

#[test]
fn row_w10_what_git_config_global_writes_counts_inside_and_stays_there() {
    let Some(scene) = repository("") else { return };
    let script = "git config --global user.email b@example.org && git config user.email; git config user.name";
    scene.script(&[], script).success().prints("b@example.org\nA Person\n");
    scene.outside("git config user.email").prints("a@example.org\n");
    // Nor is a HOME missing where the caller has no configuration.
    fs::remove_file(scene.home().join(".gitconfig")).expect("remove");
    scene.script(&["--read-only"], "ls -A ~; git config --global a.b c && git config a.b").success().prints("c\n");
    assert!(!scene.home().join(".gitconfig").exists());
}

#[test]
fn row_w3_git_has_collected_its_garbage_when_it_says_so() {
    let many = "seq 700 | while read n; do echo $n > f$n; done; git add . && git commit -qm many";
    for (flags, whole) in [(&[][..], true), (&["-c", "gc.autoDetach=true", "-c", "maintenance.autoDetach=true"], false)]
    {
        let Some(scene) = repository("") else { return };
        scene.outside(many).success();
        let flags = flags.join(" ");
        let script = format!("git {flags} -c gc.auto=1 gc --auto 2>&1; ls .git/objects/pack | grep -c 'pack$'");
        let out = scene.script(&[], &script);
        let out = out.stdout;
        // The control: git goes away before it has done anything.
        assert_eq!(!out.contains("in background"), whole, "{out}");
        if whole {
            assert!(out.ends_with("1\n"), "{out}");
            scene
                .outside("ls .git/gc.pid .git/objects/maintenance.lock 2>/dev/null; git fsck --no-progress")
                .success()
                .prints("");
        }
    }
}

#[test]
fn row_w12_a_filter_that_git_requires_runs_or_git_refuses() {
    let filter = |program: &str| format!("[filter \"up\"]\n\tclean = {program}\n\tsmudge = cat\n\trequired = true\n");
    for (program, stored) in [("tr a-z A-Z", Some("RAW\n")), ("no-such-filter-anywhere", None)] {
        let Some(scene) = repository(&filter(program)) else { return };
        let add = "echo '*.big filter=up' > .gitattributes; echo raw > x.big; git add x.big && git show :x.big";
        let out = scene.script(&[], add);
        match stored {
            Some(text) => drop(out.success().prints(text)),
            None => drop(out.fails(128, &["no-such-filter-anywhere"]).prints("")),
        }
    }
}

#[test]
fn row_w14_commits_are_signed_or_it_is_said_that_they_are_not() {
    let config = "[gpg]\n\tformat = ssh\n[commit]\n\tgpgSign = true\n[user]\n\tsigningKey = ~/.ssh/id.pub\n";
    let Some(scene) = repository(config) else { return };
    let commit = "git commit -qm two --allow-empty && git cat-file -p HEAD | grep -c 'BEGIN SSH SIGNATURE'";
    let out = scene.script(&[], commit);
    assert!(out.stdout == "0\n" && out.stderr.contains("commits made inside are not signed: --ssh-agent"), "{out:?}");
    if ["ssh-agent", "ssh-add", "ssh-keygen"].iter().any(|name| find_program(name).is_none()) {
        return skip(Lacks::Package("ssh-agent"));
    }
    fs::create_dir(scene.home().join(".ssh")).expect("mkdir");
    let inside = format!("{} sandbox --ssh-agent -- sh -c \"{commit}\"", runtime().display());
    let script = format!(
        "ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/id && ssh-agent sh -c 'ssh-add -q ~/.ssh/id; {}'",
        inside.replace('\'', "'\\''")
    );
    let out = scene.outside(&script);
    assert!(out.stdout.ends_with("1\n") && !out.stderr.contains("not signed"), "{out:?}");
}

#[test]
fn row_w4_worktrees_that_are_not_shown_are_not_pruned() {
    let Some(scene) = repository("") else { return };
    scene.outside("git worktree add -q ../beside && cd ../beside && echo staged > s && git add s").success();
    scene.script(&[], "git worktree prune; git gc -q --prune=now; git log --format=%s").prints("one\n");
    let kept = "ls .git/worktrees; git -C ../beside status --short; git fsck --no-progress";
    scene.outside(kept).prints("beside\nA  s\n");
    // Where it is shown it is git's.
    let beside = scene.stage().dir().join("beside").display().to_string();
    let commit =
        format!("git -C {beside} commit -qm two && git worktree remove {beside} 2>/dev/null; ls .git/worktrees");
    scene.script(&["--bind", &beside], &commit).prints("beside\n");
    scene.outside("git -C ../beside log --format=%s -1").prints("two\n");
}
