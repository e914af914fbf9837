//! --bind and --ro-bind: the user's own words, and what they do not override.
use crate::scene::Scene;
use std::fs;
use std::os::unix::fs::symlink;

#[test]
fn a_grant_is_readable_or_writable_at_its_place_or_another() {
    let scene = Scene::new();
    let file = scene.home_file("data/file", "text\n");
    let data = file.parent().expect("data").to_str().expect("plain");
    scene
        .script(&["--ro-bind", data], "cat ~/data/file; touch ~/data/new 2>/dev/null || echo ro")
        .success()
        .prints("text\nro\n");
    scene.script(&["--bind", data], "touch ~/data/new").success();
    assert!(scene.home().join("data/new").exists());
    let elsewhere = format!("{data}:/tmp/elsewhere/deep");
    scene.script(&["--bind", &elsewhere], "cat /tmp/elsewhere/deep/file").success().prints("text\n");
    scene.run(&["--bind", "/nonexistent", "--", "true"]).fails(125, &["/nonexistent"]);
    scene.run(&["--bind", &format!("{data}:/tmp/../usr"), "--", "true"]).fails(125, &["`..`"]);
}

#[test]
fn the_inner_one_holds_in_whatever_order_they_are_given() {
    let scene = Scene::new();
    scene.home_file("out/in/file", "");
    let (out, inner) = (scene.home().join("out"), scene.home().join("out/in"));
    let (out, inner) = (out.to_str().expect("plain"), inner.to_str().expect("plain"));
    let script = "touch ~/out/in/new 2>/dev/null && echo in; touch ~/out/new && echo out";
    for flags in [["--bind", out, "--ro-bind", inner], ["--ro-bind", inner, "--bind", out]] {
        scene.script(&flags, script).success().prints("out\n");
    }
    scene.script(&["--bind", out], script).success().prints("in\nout\n");
}

#[test]
fn secrets_stay_hidden_in_a_granted_directory_unless_granted_by_name() {
    let scene = Scene::new();
    scene.home_file(".ssh/id", "KEY");
    scene.home_file(".netrc", "KEY");
    scene.home_file("plain", "text");
    let home = scene.home();
    let home = home.to_str().expect("plain");
    let script = "cat ~/.ssh/id ~/.netrc ~/plain 2>/dev/null; true";
    assert_eq!(scene.outside(script).success().stdout, "KEYKEYtext", "control");
    scene.script(&["--bind", home], script).success().prints("text");
    scene
        .script(&["--bind", &format!("{home}:/tmp/h")], "cat /tmp/h/.ssh/id /tmp/h/plain 2>/dev/null; true")
        .success()
        .prints("text");
    scene.script(&["--bind", home, "--ro-bind", &format!("{home}/.ssh")], script).success().prints("KEYtext");
}

#[test]
fn a_secret_is_known_by_where_its_link_leads() {
    let scene = Scene::new();
    scene.home_file("dotfiles/ssh/id", "KEY");
    scene.home_file("dotfiles/readme", "text");
    symlink("dotfiles/ssh", scene.home().join(".ssh")).expect("link");
    let dotfiles = scene.home().join("dotfiles");
    let out = scene.call(&["--", "sh", "-c", "cat ssh/id readme 2>/dev/null; true"]).cwd(&dotfiles).run();
    out.success().prints("text");
    assert_eq!(scene.outside_in(&dotfiles, "cat ssh/id").success().stdout, "KEY", "control");
}

#[test]
fn a_grant_around_the_project_takes_away_none_of_its_protection_nor_shows_our_state() {
    let scene = Scene::with_checkout();
    let dir = scene.stage().dir().to_str().expect("plain");
    let script = format!("echo evil >> .envrc; touch .git/hooks/x; ls -A {dir}/xdg; touch {dir}/seen");
    let out = scene.script(&["--bind", dir], &script);
    assert_eq!(out.stdout, "", "{out:?}");
    assert_eq!(fs::read_to_string(scene.project().join(".envrc")).expect("read"), "export A=1\n");
    assert!(!scene.project().join(".git/hooks/x").exists());
    assert!(scene.stage().dir().join("seen").exists(), "the control: the grant itself is in force");
}

#[test]
fn no_mount_point_is_left_in_the_users_tree() {
    let scene = Scene::new();
    let place = scene.project().join("missing/place");
    let bind = format!("/etc/hostname:{}", place.display());
    scene.run(&["--ro-bind", &bind, "--", "true"]).fails(125, &["is not there", "make it first"]);
    assert_eq!(fs::read_dir(scene.project()).expect("read").count(), 0);
    fs::create_dir(scene.project().join("missing")).expect("make it");
    fs::write(&place, "").expect("write");
    scene.run(&["--ro-bind", &bind, "--", "test", "-s", "missing/place"]).success();
    let private = format!("/etc/hostname:{}", scene.home().join("new/file").display());
    scene.script(&["--ro-bind", &private], "test -s ~/new/file").success();
    assert!(!scene.home().join("new").exists());
}

#[test]
fn what_is_granted_in_the_projects_or_homes_place_gets_no_mount_points() {
    let scene = Scene::with_checkout();
    scene.home_file(".cargo/bin/tool", "");
    scene.home_file(".config/git/config", "[user]\n\tname = Me\n");
    let other = scene.stage().dir().join("other");
    fs::create_dir(&other).expect("mkdir");
    fs::write(other.join("own"), "own").expect("write");
    let left = || fs::read_dir(&other).expect("read").count();
    for place in [scene.project(), scene.project().join(".git"), scene.home(), "/etc".into(), "/usr/share".into()] {
        let bind = format!("{}:{}", other.display(), place.display());
        let script = format!("cat {}/own; ls -A {}", place.display(), place.display());
        scene.script(&["--bind", &bind], &script).success().prints("ownown\n");
        assert_eq!(left(), 1, "{}", place.display());
    }
    // What cannot do without a place in it is refused.
    for place in ["/dev", scene.stage().dir().to_str().expect("plain")] {
        let bind = format!("{}:{place}", other.display());
        scene.run(&["--bind", &bind, "--", "true"]).fails(125, &["the host has no", "make it first"]);
        assert_eq!(left(), 1, "{place}");
    }
    // The git configuration of ~/.config has no place of its own in a HOME that is granted.
    let home = scene.home().display().to_string();
    scene.run(&["--bind", &home, "--", "true"]).success();
    assert!(!scene.home().join(".gitconfig").exists());
}

#[test]
fn a_directory_to_start_in_is_in_the_view_or_refused() {
    let scene = Scene::with_checkout();
    let other = scene.home().join("other");
    fs::create_dir_all(other.join("below")).expect("mkdir");
    fs::create_dir(scene.project().join("sub")).expect("mkdir");
    let [home, project] = [scene.home(), scene.project()].map(|dir| dir.display().to_string());
    let start = |dir: &str, options: &[&str]| scene.run(&[options, &["-w", dir, "--", "pwd", "-P"]].concat());
    let other = other.to_str().expect("plain");
    // Empty, it would not be what the user means.
    for dir in [other, &format!("{other}/below"), &format!("{home}/other/../other")] {
        start(dir, &[]).fails(125, &["is not in the sandbox's view", "--bind"]);
    }
    start(other, &["--bind", other]).success().prints(&format!("{other}\n"));
    start(other, &["--tmpfs", other]).success().prints(&format!("{other}\n"));
    let above = scene.stage().dir().to_str().expect("plain");
    for dir in ["/", "/tmp", "/usr/lib", above, "/proc", "/etc", "/tmp/new", &home, &project] {
        start(dir, &[]).success().prints(&format!("{dir}\n"));
    }
    start("sub", &[]).success().prints(&format!("{project}/sub\n"));
    // By another name that the user has for it.
    let link = scene.home().join("link");
    std::os::unix::fs::symlink(&project, &link).expect("link");
    start(link.to_str().expect("plain"), &[]).success().prints(&format!("{project}\n"));
    // Nothing is made in the project, and nothing in what of the host is read-only.
    for dir in [&format!("{project}/new"), "/usr/new"] {
        start(dir, &[]).fails(125, &["it is not there", "make it first"]);
    }
    assert!(!scene.project().join("new").exists());
}
