//! What is hidden and protected by patterns, the git configuration, and what is opened on request.
use crate::support::place::{SECRET, write};
use crate::support::{Lacks, Place, find_program, skip};
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

#[test]
fn environment_files_are_hidden_at_any_depth_unless_granted() {
    let place = Place::new();
    let project = place.project();
    for file in [".env", "a/b/.env.local", "config/prod.env.txt", "secrets/real"] {
        write(&project.join(file), "TOKEN=1\n");
    }
    symlink("../secrets/real", project.join("config/.env")).expect("link");
    let show = "cat .env a/b/.env.local config/.env secrets/real; cat config/prod.env.txt";
    place.sh(&[], show).success().prints("TOKEN=1\n");
    // What is hidden can be neither written nor moved away, be it with its directory.
    place
        .sh(&[], "echo x > .env; mv .env y; rm -f a/b/.env.local; mv a z; mv a/b a/z; cat a/b/.env.local")
        .exits(0)
        .prints("");
    assert_eq!(std::fs::read_to_string(project.join(".env")).expect("still there"), "TOKEN=1\n");
    place.sh(&["--ro-bind", ".env"], "cat .env").success().prints("TOKEN=1\n");
    place
        .sh(&["--hide", "config/*.txt", "--hide", "**/real"], "cat config/prod.env.txt secrets/real")
        .success()
        .prints("");
    place.sandbox(&["--hide", "../*", "--", "true"]).run().fails(125, &["\"../*\" leads upwards", "command line"]);
    // In another granted directory, too.
    write(&place.other_project().join("deep/.env"), "TOKEN=2\n");
    let other = place.other_project().display().to_string();
    place.sh(&["--bind", &other], &format!("cat {other}/deep/.env")).success().prints("");
    place.outside(&format!("cat {other}/deep/.env")).success().prints("TOKEN=2\n");
}

#[test]
fn patterns_protect_in_the_project() {
    let place = Place::new();
    for file in ["ci/deploy.sh", "ci/notes", "a/Makefile", "b/c/Makefile"] {
        write(&place.project().join(file), "old\n");
    }
    let change =
        "for f in ci/deploy.sh ci/notes a/Makefile b/c/Makefile; do echo new > $f && echo $f; done 2>/dev/null";
    place.sh(&["--protect", "ci/*.sh", "--protect", "**/Makefile"], change).prints("ci/notes\n");
    place.sh(&[], change).prints("ci/deploy.sh\nci/notes\na/Makefile\nb/c/Makefile\n");
}

#[test]
fn git_knows_who_commits_and_no_credentials() {
    let place = Place::new();
    let config = "[user]\n\tname = A Person\n\temail = a@example.org\n[credential]\n\thelper = store\n[core]\n\tsshCommand = evil\n";
    write(&place.home().join(".gitconfig"), config);
    let inside = place.sh(&["--read-only"], "cat ~/.gitconfig; echo >> ~/.gitconfig").success().stdout;
    assert_eq!(inside, "[user]\n\tname = A Person\n\temail = a@example.org\n");
    assert_eq!(std::fs::read_to_string(place.home().join(".gitconfig")).expect("read"), config, "inside it is a copy");
    place.sh(&["--profile", "untrusted"], "test -e ~/.gitconfig || echo none").prints("none\n");
}

#[test]
fn a_toolchain_that_leads_to_secrets_is_not_shown() {
    let place = Place::new();
    std::fs::create_dir_all(place.home().join(".local")).expect("mkdir");
    symlink("../.ssh", place.home().join(".local/bin")).expect("link");
    std::fs::create_dir_all(place.home().join("tools/bin")).expect("mkdir");
    write(&place.home().join("tools/bin/tool"), "x\n");
    std::fs::create_dir_all(place.home().join(".cargo")).expect("mkdir");
    symlink("../tools/bin", place.home().join(".cargo/bin")).expect("link");
    let out = place.sh(&[], "ls ~/.local/bin; cat ~/.cargo/bin/tool").success();
    assert_eq!(out.stdout, "x\n");
    assert!(out.stderr.contains(".local/bin is not shown"), "{}", out.stderr);
    place.outside("ls ~/.local/bin").prints("id_ed25519\n");
}

#[test]
fn row_9_sockets_of_the_session_are_there_only_on_request() {
    let place = Place::new();
    let agent = place.home().join("agent.sock");
    let display = place.xdg().join("wayland-7");
    let _sockets = [UnixListener::bind(&agent).expect("bind"), UnixListener::bind(&display).expect("bind")];
    let look =
        "test -S \"$SSH_AUTH_SOCK\" && echo agent; test -S \"$XDG_RUNTIME_DIR/$WAYLAND_DISPLAY\" && echo display; true";
    let run = |flags: &[&str]| {
        let args = [flags, &["--", "sh", "-c", look]].concat();
        place.sandbox(&args).env("SSH_AUTH_SOCK", &agent).env("WAYLAND_DISPLAY", "wayland-7").run()
    };
    run(&[]).success().prints("");
    let out = run(&["--ssh-agent"]).success().prints("agent\n");
    assert!(out.stderr.contains("can log in"), "{}", out.stderr);
    run(&["--wayland"]).success().prints("display\n");
    place.sandbox(&["--ssh-agent", "--", "true"]).run().fails(125, &["SSH_AUTH_SOCK is not set", "ssh-add"]);
    place.sandbox(&["--wayland", "--", "true"]).run().fails(125, &["WAYLAND_DISPLAY is not set"]);
    write(&place.home().join("plain"), "x");
    let args = ["--ssh-agent", "--", "true"];
    place.sandbox(&args).env("SSH_AUTH_SOCK", place.home().join("plain")).run().fails(125, &["is no socket"]);
}

#[test]
fn caches_last_and_belong_to_one_project() {
    let place = Place::new();
    place.sh(&["--cache", "npm"], "echo kept > ~/.npm/file").success();
    place.sh(&["--cache", "npm"], "cat ~/.npm/file").success().prints("kept\n");
    place.sh(&["--profile", "node"], "cat ~/.npm/file").success().prints("kept\n");
    place.sh(&[], "cat ~/.npm/file").fails(1, &["no such file"]);
    let other = place.other_project();
    place
        .sandbox(&["--cache", "npm", "--", "sh", "-c", "cat ~/.npm/file"])
        .cwd(&other)
        .run()
        .fails(1, &["no such file"]);
    place.sandbox(&["--cache", "npm", "--no-project", "--", "true"]).run().fails(125, &["--cache", "project"]);
    // cargo's comes over the host's own registry, which is only readable.
    std::fs::create_dir_all(place.home().join(".cargo/registry")).expect("mkdir");
    place.sh(&[], "touch ~/.cargo/registry/x").fails(1, &["read-only"]);
    place.sh(&["--cache", "cargo"], "touch ~/.cargo/registry/x").success();
    assert!(!place.home().join(".cargo/registry/x").exists());
}

#[test]
fn graphics_devices_are_shown_if_there_are_any() {
    let place = Place::new();
    let any = std::fs::read_dir("/dev/dri").is_ok_and(|mut all| all.next().is_some());
    if any && find_program("ls").is_some() {
        return skip(Lacks::Machine("a machine without graphics"));
    }
    place.sandbox(&["--gpu", "--", "true"]).run().fails(125, &["--gpu", "no graphics device"]);
}

#[test]
fn what_is_to_be_hidden_and_has_gone_meanwhile_is_an_error() {
    let place = Place::new();
    let (file, aside) = (place.project().join(".env"), place.project().join("moved"));
    write(&file, SECRET);
    let dir = place.dir().join("written").display().to_string();
    place.sandbox(&["--write-bundle", &dir, "--", "cat", ".env", "moved"]).run().success();
    let run = || place.call(&["run", "-b", &dir, "c"]).cwd(&place.project()).run();
    let there = run();
    assert!(!there.stdout.contains(SECRET), "{there:?}");
    fs::rename(&file, &aside).expect("rename");
    let gone = run().exits(1);
    assert!(gone.stderr.contains(".env") && gone.stderr.contains("it was to be hidden"), "{}", gone.stderr);
    assert!(!gone.stdout.contains(SECRET));
    // The control: as OCI has it, it is not missed, and what it was is seen.
    let config = place.dir().join("written/config.json");
    let text = fs::read_to_string(&config).expect("read");
    fs::write(&config, text.replace("org.rrunc.sure-masks", "org.example.other")).expect("write");
    assert!(run().stdout.contains(SECRET));
}
