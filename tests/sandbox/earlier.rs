//! What an earlier sandbox of the same project may have left behind for the next one, and for rrunc.
use crate::scene::Scene;
use std::fs;
use std::os::unix::fs::symlink;

#[test]
fn what_is_hidden_cannot_be_moved_to_where_the_next_one_does_not_find_it() {
    let scene = Scene::new();
    fs::create_dir_all(scene.project().join("deep/config")).expect("make it");
    fs::write(scene.project().join("deep/config/.env"), "KEY").expect("write");
    scene.script(
        &[],
        "mkdir node_modules; mv deep node_modules/; mv deep/config deep/node_modules; touch deep/config/x",
    );
    let read = "cat deep/config/.env node_modules/deep/config/.env deep/node_modules/.env 2>/dev/null; true";
    scene.script(&[], read).success().prints("");
    assert!(scene.project().join("deep/config/x").exists(), "the rest is writable");
    scene.outside(read).success().prints("KEY");
}

#[test]
fn what_is_hidden_cannot_be_closed_for_the_moment() {
    let scene = Scene::new();
    fs::create_dir(scene.project().join("config")).expect("make it");
    fs::write(scene.project().join("config/.env"), "KEY").expect("write");
    scene.script(&[], "chmod 000 config").success();
    let out = scene.script(&[], "chmod 700 config; cat config/.env");
    assert_eq!(out.stdout, "");
    out.fails(125, &["config", "Permission denied", "chmod u+rwx"]);
    scene.outside("chmod 700 config; cat config/.env").success().prints("KEY");
}

#[test]
fn secrets_in_a_granted_home_stay_where_they_are_known() {
    let scene = Scene::new();
    scene.home_file(".config/gh/hosts.yml", "KEY");
    let home = scene.home();
    let home = home.to_str().expect("plain");
    scene.script(&["--bind", home], "mv ~/.config ~/other");
    scene
        .script(&["--bind", home], "cat ~/.config/gh/hosts.yml ~/other/gh/hosts.yml 2>/dev/null; true")
        .success()
        .prints("");
    scene.outside("mv ~/.config ~/other; cat ~/other/gh/hosts.yml").success().prints("KEY");
}

#[test]
fn what_lies_over_a_grant_shows_nothing_of_it() {
    let scene = Scene::new();
    fs::create_dir_all(scene.project().join("over/config")).expect("make it");
    fs::write(scene.project().join("over/config/.env"), "").expect("write");
    fs::write(scene.project().join("over/config/file"), "").expect("write");
    let place = scene.project().join("over");
    scene.script(&["--tmpfs", place.to_str().expect("plain")], "ls -A over").success().prints("");
}

#[test]
fn row_25c_hooks_of_a_submodule_cannot_be_replaced_by_way_of_their_directory() {
    let scene = Scene::with_checkout();
    let hooks = scene.project().join(".git/modules/m/hooks");
    fs::create_dir_all(&hooks).expect("make it");
    let plant = "mv .git/modules/m .git/modules/n; mv .git/modules .git/n; \
                 mkdir -p .git/modules/m/hooks; echo evil > .git/modules/m/hooks/post-commit";
    scene.script(&[], plant);
    assert_eq!(fs::read_dir(&hooks).expect("still there").count(), 0);
    scene.outside(plant).success();
    assert_eq!(fs::read_dir(&hooks).expect("replaced").count(), 1, "control");
}

#[test]
fn row_25_no_sandbox_plants_a_profile_or_trust() {
    let scene = Scene::new();
    scene.home_file(".ssh/id", "KEY");
    // Where the data directory is in the project.
    let data = scene.project().join("data");
    scene.call(&["--", "true"]).env("XDG_DATA_HOME", &data).run().fails(125, &["cannot be the project"]);
    // Where it is in what was granted.
    let home = scene.home();
    let home = home.to_str().expect("plain");
    let plant = "mkdir -p ~/.config/rrunc/profiles && echo '[allow]\nread = [\"~/.ssh\"]' > ~/.config/rrunc/profiles/base.toml; \
                 mkdir -p ~/.local/share/rrunc/trusted";
    scene.script(&["--bind", home], &format!("mv ~/.config ~/c; mv ~/.local ~/l; {plant}"));
    for place in [".config/rrunc", ".local/share/rrunc"] {
        assert_eq!(fs::read_dir(scene.home().join(place)).expect("made by us").count(), 0, "{place}");
    }
    scene.outside(plant).success();
    scene.script(&["--profile", "base"], "cat ~/.ssh/id").success().prints("KEY");
}

#[test]
fn row_24_the_report_is_not_written_through_a_link_or_waited_for() {
    let scene = Scene::new();
    let victim = scene.home_file("victim", "text");
    scene
        .script(&[], &format!("ln -s {} a.json; mkfifo b.json; ln -s {} c", victim.display(), scene.home().display()))
        .success();
    for place in ["a.json", "b.json", "c/victim", "./c/../a.json"] {
        scene.run(&["--report", place, "--", "true"]).fails(125, &["--report", place]);
    }
    // Each in words that say what it is.
    scene.run(&["--report", "b.json", "--", "true"]).fails(125, &["it is a fifo"]);
    scene.run(&["--report", "a.json", "--", "true"]).fails(125, &["no link is followed where a sandbox may write"]);
    assert_eq!(fs::read_to_string(&victim).expect("read"), "text");
    scene.run(&["--report", "new.json", "--", "sh", "-c", "head -c 100000 /dev/zero >> new.json; true"]).success();
    let report = fs::read_to_string(scene.project().join("new.json")).expect("written");
    assert!(report.starts_with('{') && report.ends_with("}\n"), "nothing of the program's is in it");
    symlink(scene.stage().dir(), scene.home().join("link")).expect("link");
    let place = scene.home().join("link/report.json");
    scene.call(&["--report"]).arg(&place).args(&["--", "true"]).run().success();
    assert!(place.exists(), "the caller's own links are followed");
}

#[test]
fn a_cache_is_no_link_to_elsewhere() {
    let scene = Scene::new();
    scene.home_file(".ssh/id", "KEY");
    let caches = scene.project().join("caches");
    let place = caches.join("rrunc").join(scene.project().strip_prefix("/").expect("absolute"));
    fs::create_dir_all(&place).expect("make it");
    let run = || {
        scene
            .call(&["--cache", "npm", "--", "ls", "-A"])
            .arg(scene.home().join(".npm"))
            .env("XDG_CACHE_HOME", &caches)
            .run()
    };
    run().success().prints("");
    fs::remove_dir(place.join("=npm")).expect("it was made");
    symlink(scene.home().join(".ssh"), place.join("=npm")).expect("link");
    run().fails(125, &["make the cache", "is a link, and not followed"]);
    // Nor on the way, where a sandbox could have left it: nothing is made at its end.
    fs::remove_dir_all(&caches).expect("remove");
    let victim = scene.home().join("victim");
    fs::create_dir(&victim).expect("mkdir");
    symlink(&victim, &caches).expect("link");
    run().fails(125, &["make the cache", "caches is a link, and not followed"]);
    assert_eq!(fs::read_dir(&victim).expect("read").count(), 0);
    // The control: the caller's own, where no sandbox writes, leads to where the cache is to be.
    let own = scene.home().join("own");
    symlink(&victim, &own).expect("link");
    scene.call(&["--cache", "npm", "--", "true"]).env("XDG_CACHE_HOME", own.join("new")).run().success();
    assert!(victim.join("new/rrunc").is_dir());
}

#[test]
fn row_25b_files_of_a_forged_repository_are_not_waited_for() {
    let scene = Scene::new();
    scene.outside("mkdir x; mkfifo x/commondir; echo gitdir: x > .git").success();
    let fifo = scene.run(&["--", "echo", "runs"]).success();
    assert!(fifo.stdout == "runs\n" && fifo.stderr.contains("not shown"), "{fifo:?}");
    scene.outside("rm x/commondir; ln -s /dev/zero x/commondir").success();
    scene.run(&["--", "echo", "runs"]).success().prints("runs\n");
}

#[test]
fn protected_names_that_are_no_text_are_told() {
    let scene = Scene::with_checkout();
    scene.outside("mkdir -p \"$(printf '.git/modules/\\377/hooks')\"").success();
    scene.run(&["--", "true"]).fails(125, &["is not UTF-8"]);
    assert_eq!(fs::read_dir(scene.stage().dir().join("xdg/rrunc")).expect("read").count(), 0);
}

#[test]
fn a_file_of_variables_is_not_read_through_a_link_of_the_projects() {
    let scene = Scene::new();
    let secret = scene.home_file(".aws/credentials", "KEY=secret\n");
    let run = |file: &str| scene.run(&["--env-file", file, "--", "sh", "-c", "echo $KEY"]);
    fs::write(scene.project().join("plain"), "KEY=value\n").expect("write");
    run("plain").success().prints("value\n");
    symlink(&secret, scene.project().join("link")).expect("link");
    run("link").fails(125, &["--env-file link"]);
    scene.outside("mkfifo fifo").success();
    run("fifo").fails(125, &["--env-file fifo"]);
    let own = scene.home().join("own");
    symlink(&secret, &own).expect("link");
    run(own.to_str().expect("plain")).success().prints("secret\n");
}

#[test]
fn a_project_that_cannot_be_looked_through_afterwards_is_reported() {
    let scene = Scene::with_checkout();
    let out = scene.script(&["--report", "fd:2"], "mkdir -p .git/modules/m; chmod 000 .git/modules").success();
    assert!(out.stderr.contains("\"runsLaterNotSeen\": \"") && out.stderr.contains("Permission denied"), "{out:?}");
    scene.outside("chmod 700 .git/modules").success();
    let out = scene.script(&["--report", "fd:2"], "true").success();
    assert!(out.stderr.contains("\"runsLaterNotSeen\": null"), "control: {out:?}");
}

#[test]
fn row_m11b_what_lies_behind_a_link_into_a_directory_that_is_passed_over_is_hidden() {
    let scene = Scene::new();
    fs::create_dir_all(scene.project().join("server")).expect("make it");
    let moved = "mkdir node_modules target .venv; mv server node_modules/; ln -s node_modules/server server; \
                 mkdir -p target/a .venv/b; ln -s target t; ln -s t/a deep; ln -s \"$PWD/.venv/b\" b; \
                 ln -s ../server node_modules/server/loop";
    scene.script(&[], moved).success();
    for name in ["server", "deep", "b"] {
        fs::write(scene.project().join(name).join(".env"), "KEY").expect("the user writes it there");
    }
    let read = "cat server/.env node_modules/server/.env deep/.env target/a/.env b/.env .venv/b/.env 2>/dev/null; true";
    scene.script(&[], read).success().prints("");
    // The controls: outside they are read, and where no link leads nobody looks.
    scene.outside(read).success().prints(&"KEY".repeat(6));
    fs::create_dir(scene.project().join("node_modules/other")).expect("mkdir");
    fs::write(scene.project().join("node_modules/other/.env"), "KEY").expect("write");
    scene.script(&[], "cat node_modules/other/.env").success().prints("KEY");
}
