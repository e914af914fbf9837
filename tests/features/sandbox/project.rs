//! The project: which directory it is, that it is writable, and what may not be one.
use crate::support::Place;
use crate::support::place::write;
use std::fs;
use std::os::unix::fs::symlink;

#[test]
fn the_project_is_writable_at_its_own_path() {
    let place = Place::new();
    // One below HOME, one elsewhere under /tmp.
    for dir in [place.project(), place.other_project()] {
        write(&dir.join("file"), "old");
        let call = place.sandbox(&["--", "sh", "-c", "pwd; cat file; echo -n new >file; mkdir made"]).cwd(&dir);
        call.run().success().prints(&format!("{}\nold", dir.display()));
        assert_eq!(fs::read_to_string(dir.join("file")).expect("read"), "new");
        assert!(dir.join("made").is_dir());
    }
}

#[test]
fn only_the_project_is_seen_of_its_parents() {
    let place = Place::new();
    write(&place.home().join("neighbour/file"), "");
    place.sh(&[], "ls -A ..").success().prints("project\n");
    place.sh(&[], "ls ../neighbour 2>/dev/null || echo absent").success().prints("absent\n");
}

#[test]
fn the_git_root_is_found_from_below() {
    let place = Place::new();
    let below = place.project().join("src/deep");
    fs::create_dir_all(&below).expect("mkdir");
    let call = || place.sandbox(&["--", "sh", "-c", "pwd; touch ../../top"]).cwd(&below).run().success();
    let top = place.project().join("top");
    // The control: without a repository the directory itself is the project, and what is above it is not the host's.
    call().prints(&format!("{}\n", below.display()));
    assert!(!top.exists());
    place.outside("mkdir .git .git/objects .git/refs; echo 'ref: refs/heads/main' >.git/HEAD").success();
    call().prints(&format!("{}\n", below.display()));
    assert!(top.exists());
}

#[test]
fn dotfiles_kept_in_git_do_not_make_home_a_project() {
    let place = Place::new();
    place.outside("cd ..; mkdir .git .git/objects .git/refs; echo 'ref: refs/heads/main' >.git/HEAD").success();
    place.sh(&[], "ls -A ~; test -d ~/.git || echo none").success().prints("project\nnone\n");
}

#[test]
fn directories_that_cannot_be_the_project_are_refused_with_a_hint() {
    let place = Place::new();
    let home = place.home();
    let above = place.dir().to_owned();
    let state = place.xdg();
    let config = home.join(".config");
    // Beside these only rrunc's own state: the directory that holds it is no project either.
    place.sh(&[], "true").success();
    for dir in
        [home.as_path(), &above, &state, &config, "/".as_ref(), "/usr".as_ref(), "/etc".as_ref(), "/tmp".as_ref()]
    {
        let out = place.sandbox(&["--", "true"]).cwd(dir).run();
        out.fails(125, &["cannot be the project", "--bind", "--no-project"]);
        let named = dir.to_str().expect("plain");
        place.sandbox(&["--project", named, "--", "true"]).run().fails(125, &["cannot be the project"]);
        place.sandbox(&["--no-project", "--", "true"]).cwd(dir).run().success();
    }
    let root = place.dir().join("elsewhere");
    fs::create_dir(&root).expect("mkdir");
    let inner = root.join("state").display().to_string();
    let own = ["--root", &inner, "sandbox", "--project", root.to_str().expect("plain"), "--", "true"];
    place.call(&own).cwd(&place.project()).run().fails(125, &["cannot be the project"]);
    assert_eq!(place.containers(), Vec::<String>::new());
}

#[test]
fn a_link_to_a_refused_directory_is_refused() {
    let place = Place::new();
    let link = place.dir().join("link");
    symlink(place.home(), &link).expect("symlink");
    let args = ["--project", link.to_str().expect("plain"), "--", "true"];
    place.sandbox(&args).run().fails(125, &["cannot be the project"]);
    place.sandbox(&["--", "true"]).cwd(&link).run().fails(125, &["cannot be the project"]);
}

#[test]
fn no_project_and_another_project() {
    let place = Place::new();
    write(&place.project().join("file"), "");
    let probe = format!("ls {} 2>/dev/null || echo absent; pwd", place.project().display());
    let home = place.home().display().to_string();
    place.sh(&["--no-project"], &probe).success().prints(&format!("absent\n{home}\n"));
    let other = place.other_project().display().to_string();
    let out = place.sh(&["--project", &other], &format!("touch {other}/made; ls {other}"));
    out.success().prints("made\n");
}

#[test]
fn what_runs_later_on_the_host_is_read_only() {
    let place = Place::new();
    let project = place.project();
    let protected = [
        ".git/hooks/pre-commit",
        ".git/config",
        ".envrc",
        ".vscode/tasks.json",
        ".idea/x.xml",
        ".husky/pre-push",
        ".claude/settings.json",
    ];
    for file in protected {
        write(&project.join(file), "mine");
    }
    for file in ["Makefile", ".git/HEAD", ".git/description"] {
        write(&project.join(file), "mine");
        // The control: other files of the same directories are writable.
        place.sh(&[], &format!("echo -n theirs >{file}")).success();
        assert_eq!(fs::read_to_string(project.join(file)).expect("read"), "theirs", "{file}");
    }
    for file in protected {
        let write = format!("echo theirs >{file}");
        let out = place.sh(&[], &write);
        assert!(out.stderr.contains("Read-only file system"), "{file}: {out:?}");
        for other in [
            format!("rm -f {file}"),
            format!("mv {file} x"),
            format!("chmod 777 {file}"),
            format!("ln -f Makefile {file}"),
        ] {
            assert_ne!(place.sh(&[], &format!("{other} 2>/dev/null")).code, 0, "{other}");
        }
    }
    for script in
        ["touch .git/hooks/post-checkout", "mv .git/hooks .git/h", "rm -rf .vscode", "mv .vscode v", "mkdir .husky/x"]
    {
        assert_ne!(place.sh(&[], &format!("{script} 2>/dev/null")).code, 0, "{script}");
    }
    for file in protected {
        assert_eq!(fs::read_to_string(project.join(file)).expect("read"), "mine", "{file}");
    }
    assert!(!project.join(".git/hooks/post-checkout").exists());
}

#[test]
fn the_directory_above_a_protected_one_cannot_be_moved_away() {
    let place = Place::new();
    let project = place.project();
    write(&project.join(".git/hooks/pre-commit"), "mine");
    // A .git put in its place would have hooks of the program's own choice.
    let swap = "mv .git old && mkdir -p .git/hooks && echo theirs >.git/hooks/pre-commit";
    let out = place.sh(&[], &format!("{swap} 2>&1"));
    let hook = fs::read_to_string(project.join(".git/hooks/pre-commit")).unwrap_or_default();
    assert_eq!(hook, "mine", "the repository was replaced around its hooks: {out:?}");
}

#[test]
fn a_grant_around_the_project_changes_nothing_in_it() {
    let place = Place::new();
    let project = place.project();
    write(&project.join(".git/hooks/pre-commit"), "mine");
    let home = place.home().display().to_string();
    let here = project.display().to_string();
    for (option, dir) in [("--bind", &home), ("--ro-bind", &home), ("--bind", &here)] {
        let out = place.sh(&[option, dir], "touch made && rm made; echo theirs >.git/hooks/pre-commit");
        assert_eq!(out.stderr.matches("Read-only file system").count(), 1, "{option} {dir}: {out:?}");
        assert_eq!(fs::read_to_string(project.join(".git/hooks/pre-commit")).expect("read"), "mine");
    }
    // The project and its hooks by their own names are the user's own words.
    let refused = place.sh(&["--ro-bind", &here], "touch made").stderr;
    assert!(refused.contains("Read-only file system"), "{refused}");
    let hooks = project.join(".git/hooks").display().to_string();
    place.sh(&["--bind", &hooks], "echo -n theirs >.git/hooks/pre-commit").success();
    assert_eq!(fs::read_to_string(project.join(".git/hooks/pre-commit")).expect("read"), "theirs");
}

#[test]
fn grants_inside_grants_hold_in_whatever_order_they_are_given() {
    let place = Place::new();
    let data = place.dir().join("data");
    write(&data.join("inner/file"), "");
    let (outer, inner) = (data.display().to_string(), data.join("inner").display().to_string());
    let probe = format!("touch {outer}/x 2>/dev/null && echo outer; touch {inner}/x 2>/dev/null && echo inner; true");
    let orders: [(&[&str], &str); 4] = [
        (&["--bind", &outer, "--ro-bind", &inner], "outer\n"),
        (&["--ro-bind", &inner, "--bind", &outer], "outer\n"),
        (&["--ro-bind", &outer, "--bind", &inner], "inner\n"),
        (&["--bind", &inner, "--ro-bind", &outer], "inner\n"),
    ];
    for (options, expected) in orders {
        assert_eq!(place.sh(options, &probe).success().stdout, expected, "{options:?}");
    }
}
