//! The one directory that the program may change, and what of it runs later on the host.
use crate::scene::Scene;
use crate::support::{Lacks, find_program, skip};
use std::fs;
use std::os::unix::fs::symlink;

#[test]
fn the_checkout_around_the_working_directory_is_writable_at_its_own_path() {
    let scene = Scene::with_checkout();
    let sub = scene.project().join("src/deep");
    fs::create_dir_all(&sub).expect("make it");
    let out = scene.call(&["--", "sh", "-c", "pwd; touch here ../../there .././../.git/index"]).cwd(&sub).run();
    out.success().prints(&format!("{}\n", sub.display()));
    assert!(sub.join("here").exists() && scene.project().join("there").exists());
}

#[test]
fn no_project_means_none() {
    let scene = Scene::new();
    fs::write(scene.project().join("file"), "").expect("write");
    let script = format!("pwd; ls -A {} 2>/dev/null", scene.project().display());
    let out = scene.script(&["--no-project"], &script);
    assert_eq!(out.stdout, format!("{}\n", scene.home().display()), "{out:?}");
    assert_eq!(scene.script(&[], &script).success().stdout.lines().nth(1), Some("file"), "control");
}

#[test]
fn home_and_what_holds_secrets_or_state_is_no_project() {
    let scene = Scene::new();
    scene.home_file(".ssh/deep/key", "KEY");
    scene.run(&["--", "true"]).success();
    let dir = scene.stage().dir();
    let places = [
        scene.home(),
        dir.to_owned(),
        scene.home().join(".ssh"),
        scene.home().join(".ssh/deep"),
        dir.join("xdg/rrunc"),
    ];
    for place in
        places.iter().map(std::path::PathBuf::as_path).chain(["/", "/usr", "/etc", "/tmp"].map(std::path::Path::new))
    {
        let out = scene.call(&["--", "true"]).cwd(place).run();
        out.fails(125, &["cannot be the project", "--no-project"]);
        scene.call(&["--project"]).arg(place).args(&["--", "true"]).run().fails(125, &["cannot be the project"]);
    }
    scene.call(&["--no-project", "--", "true"]).cwd(&scene.home()).run().success();
}

#[test]
fn another_home_in_the_environment_does_not_make_the_accounts_own_a_project() {
    let scene = Scene::new();
    let passwd = fs::read_to_string("/etc/passwd").expect("read");
    let uid = crate::support::uid().to_string();
    let mut lines = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let own = lines.find(|fields| fields.get(2) == Some(&uid.as_str()));
    let home = own.map(|fields| std::path::PathBuf::from(fields[5]));
    let Some(home) = home.filter(|home| home.is_dir()) else {
        return skip(Lacks::Machine("an account with a home directory"));
    };
    scene.call(&["--", "true"]).cwd(&home).run().fails(125, &["cannot be the project"]);
    scene.call(&["--", "true"]).no_env("HOME").cwd(&home).run().fails(125, &["cannot be the project"]);
    scene.call(&["--no-project", "--", "sh", "-c", "echo $HOME"]).no_env("HOME").run().success();
}

#[test]
fn paths_that_are_no_text_are_refused_and_nothing_is_left() {
    use std::os::unix::ffi::OsStrExt;
    let scene = Scene::new();
    let odd = scene.project().join(std::ffi::OsStr::from_bytes(b"odd \xff"));
    fs::create_dir_all(&odd).expect("make it");
    scene.call(&["--", "true"]).cwd(&odd).run().fails(125, &["is not UTF-8"]);
    scene.call(&["--ro-bind"]).arg(&odd).args(&["--", "true"]).run().fails(125, &["is not UTF-8"]);
    let home = scene.stage().dir().join(std::ffi::OsStr::from_bytes(b"home \xff"));
    fs::create_dir(&home).expect("make it");
    scene.call(&["--", "true"]).env("HOME", &home).run().fails(125, &["is not UTF-8"]);
    let around = scene.project();
    let inside = scene.call(&["--no-project", "--ro-bind"]).arg(&around).args(&["--", "true"]).cwd(&odd).run();
    inside.fails(125, &["is not UTF-8"]);
}

const PLANT: &str = "echo evil > .git/hooks/post-commit; echo evil >> .git/config; echo evil >> .envrc; \
                     rm -rf .git/hooks; mv .git/hooks .git/h2; mv .git/config .git/c2; mv .envrc e2; \
                     mv .git .git2 && mkdir -p .git/hooks && echo evil > .git/hooks/post-commit; \
                     echo fine > .git/index; echo fine > file";

#[test]
fn row_25c_what_runs_later_on_the_host_cannot_be_changed_or_replaced() {
    let scene = Scene::with_checkout();
    let before = scene.outside("find . -type f ! -name file ! -name index | sort | xargs sha256sum").success().stdout;
    assert_ne!(scene.script(&[], PLANT).code, 127);
    let after = scene.outside("find . -type f ! -name file ! -name index | sort | xargs sha256sum").success().stdout;
    assert_eq!(after, before);
    assert!(scene.project().join(".git/hooks").is_dir());
    assert_eq!(scene.outside("cat file .git/index").success().stdout, "fine\nfine\n", "the rest is writable");

    let control = Scene::with_checkout();
    control.outside(PLANT);
    let planted = control.project().join(".git/hooks/post-commit");
    assert_eq!(fs::read_to_string(planted).expect("planted"), "evil\n");
}

#[test]
fn row_25c_settings_of_submodules_and_other_worktrees_cannot_be_changed() {
    let Some(git) = find_program("git") else { return skip(Lacks::Machine("git")) };
    let scene = Scene::new();
    let user = format!("{} -c user.name=n -c user.email=e@example.org -c protocol.file.allow=always", git.display());
    let made = format!(
        "{user} init -q ../library && {user} -C ../library commit -q --allow-empty -m one && {user} init -q . && \
         {user} submodule --quiet add ../library plain && {user} submodule --quiet add ../library vendor/deep && \
         {user} commit -qm two && {user} worktree add -q ../tree && {user} worktree add -q ../other"
    );
    scene.outside(&made).success();
    let top = scene.project().join(".git").display().to_string();
    let files = ["modules/plain/config", "modules/vendor/deep/config", "worktrees/other/commondir"];
    let write = |file: &str| format!("echo '# x' >> {top}/{file}");
    let all = format!(
        "{}; touch {top}/modules/vendor/deep/hooks/x && echo wrote; echo x > {top}/description",
        files.map(|file| format!("{} && echo wrote", write(file))).join("; ")
    );
    let tree = scene.stage().dir().join("tree");
    scene.stage().call(&["trust", "--yes"]).arg(&tree).run().success();
    for dir in [&scene.project(), &tree] {
        let out = scene.call(&["--", "sh", "-c", &all]).cwd(dir).run().success();
        assert_eq!(out.stdout, "", "{}", dir.display());
        assert_eq!(out.stderr.to_lowercase().matches("read-only").count(), 4, "{}: {}", dir.display(), out.stderr);
    }
    // What is new is told, of the repository of a linked worktree, too.
    let report = scene.stage().dir().join("report.json");
    let plant = format!(
        "mkdir -p {top}/modules/new/hooks {top}/worktrees/tree/modules/new/hooks; mkdir {top}/worktrees/other/new || true"
    );
    scene.call(&["--report"]).arg(&report).args(&["--", "sh", "-c", &plant]).cwd(&tree).run().success();
    let told = fs::read_to_string(&report).expect("a report");
    assert!(told.contains(".git/modules/new/hooks") && told.contains("worktrees/tree/modules/new/hooks"), "{told}");
    assert!(!scene.project().join(".git/worktrees/other/new").exists());
    // Git goes on working, and the control: outside all of it can be written.
    let status = format!("{} submodule status | wc -l", git.display());
    assert_eq!(scene.script(&[], &status).success().line().trim(), "2");
    assert_eq!(scene.outside(&all).success().stdout, "wrote\n".repeat(4));
}

#[test]
fn row_25b_a_forged_git_file_shows_nothing() {
    let scene = Scene::new();
    scene.home_file(".ssh/id", "KEY");
    scene.home_file("other/.git/HEAD", "ref: refs/heads/main\n");
    scene.home_file("other/.git/secret", "KEY");
    for name in ["objects", "refs", "worktrees/tree"] {
        fs::create_dir_all(scene.home().join("other/.git").join(name)).expect("make it");
    }
    scene.home_file("other/.git/worktrees/tree/commondir", "../..\n");
    scene.home_file("other/.git/worktrees/tree/gitdir", &format!("{}\n", scene.home().join("tree/.git").display()));
    for target in [".ssh", "other/.git", "other/.git/worktrees/tree"] {
        let target = scene.home().join(target);
        fs::write(scene.project().join(".git"), format!("gitdir: {}\n", target.display())).expect("forge it");
        let out = scene.script(&[], "ls -A ~; cat ~/.ssh/id ~/other/.git/secret 2>/dev/null; true").success();
        assert_eq!(out.stdout, "", "{out:?}");
        assert!(out.stderr.contains("not shown"), "{out:?}");
    }
    // The control: to the tree that the repository knows, it is shown.
    let tree = scene.home().join("tree");
    fs::create_dir(&tree).expect("make it");
    fs::copy(scene.project().join(".git"), tree.join(".git")).expect("copy");
    let out = scene.call(&["--", "sh", "-c", "cat ~/other/.git/secret"]).cwd(&tree).run();
    assert_eq!(out.success().stdout, "KEY");
}

#[test]
fn git_works_in_a_checkout_and_in_a_worktree_whose_pointers_cannot_be_bent() {
    let Some(git) = find_program("git") else { return skip(Lacks::Machine("git")) };
    let scene = Scene::new();
    let git = git.display();
    let user = format!("{git} -c user.name=n -c user.email=e@example.org");
    scene.outside(&format!("{git} init -q . && echo a > a && {git} add a && {user} commit -qm one")).success();
    scene.outside(&format!("{git} worktree add -q ../tree")).success();
    let tree = scene.stage().dir().join("tree");
    scene.stage().call(&["trust", "--yes"]).arg(&tree).run().success();
    let commit =
        format!("echo b >> a && {user} commit -qam two && {git} status --short && {git} log --oneline | wc -l");
    assert_eq!(scene.script(&[], &commit).success().line().trim(), "2");
    let out = scene.call(&["--", "sh", "-c", &commit]).cwd(&tree).run().success();
    assert_eq!(out.line().trim(), "2");
    let entry = scene.project().join(".git/worktrees/tree");
    let bend = format!("echo /evil > {0}/commondir; echo 'gitdir: /evil' > .git; rm {0}/commondir", entry.display());
    let script = format!("({bend}) 2>/dev/null; {git} status --short");
    scene.call(&["--", "sh", "-c", &script]).cwd(&tree).run().success();
    scene.outside_in(&tree, &format!("{git} status --short")).success().prints("");
    scene.outside_in(&tree, &bend);
    assert_ne!(scene.outside_in(&tree, &format!("{git} status")).code, 0, "the control: outside it can be bent");
}

#[test]
fn a_protected_name_that_is_a_link_is_warned_of() {
    let scene = Scene::with_checkout();
    fs::remove_dir(scene.project().join(".git/hooks")).expect("rmdir");
    symlink("../our-hooks", scene.project().join(".git/hooks")).expect("link");
    let out = scene.run(&["--", "true"]).success();
    assert!(out.stderr.contains(".git/hooks is a link"), "{out:?}");
}
