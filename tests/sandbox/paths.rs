//! Paths that the user types, where an earlier sandbox has been and has left a link, a fifo or another file.
use crate::scene::Scene;
use crate::support::{find_program, wait_for};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

/// A project in which an earlier sandbox has left `out`, a link to ~/.ssh, and `data`, one to another project.
fn with_links() -> Scene {
    let scene = Scene::new();
    scene.home_file(".ssh/id", "KEY");
    scene.home_file("other/file", "theirs");
    scene.script(&[], &format!("ln -s {0}/.ssh out; ln -s {0}/other data", scene.home().display())).success();
    scene
}

const REFUSED: &[&str] = &["no link is followed where a sandbox may write", "name what it leads to"];

#[test]
fn row_h3_a_grant_by_a_link_that_a_sandbox_has_left_is_refused() {
    let scene = with_links();
    let read = "cat out/id /data/file ~/.ssh/id; echo evil > ~/.ssh/authorized_keys";
    let out = scene.project().join("out").display().to_string();
    let data = scene.project().join("data").display().to_string();
    for flags in [
        &["--bind", "out"][..],
        &["--ro-bind", &out],
        &["--bind-try", "out"],
        &["--read-only", "--bind", "./out"],
        &["--no-project", "--ro-bind", "out/id"],
        &["-v", "./data:/data"],
        &["--no-project", "--bind", "data:/data"],
        &["--project", &scene.home().join("other").display().to_string(), "--ro-bind", &format!("{data}:/data")],
        &["--no-project", "--bind", &scene.project().display().to_string(), "--ro-bind", &out],
    ] {
        scene.script(flags, read).fails(125, REFUSED).prints("");
    }
    scene.call(&["--project", "data", "--", "ls"]).run().fails(125, REFUSED);
    let profile = scene.home_file("profile.toml", &format!("[allow]\nwrite = [\"{out}\"]\n"));
    scene.script(&["--profile", profile.to_str().expect("plain")], read).fails(125, REFUSED).prints("");
    assert!(!scene.home().join(".ssh/authorized_keys").exists());
    // The control: outside the link leads there, and what is named itself is shown.
    scene.outside("cat out/id data/file").success().prints("KEYtheirs");
    let ssh = scene.home().join(".ssh").display().to_string();
    scene.script(&["--ro-bind", &ssh], "cat ~/.ssh/id").success().prints("KEY");
}

#[test]
fn row_h3_links_of_other_checkouts_are_refused_too() {
    let scene = Scene::new();
    scene.home_file("other/file", "theirs");
    let checkout = scene.stage().dir().join("checkout");
    fs::create_dir_all(checkout.join("sub")).expect("mkdir");
    symlink(scene.home().join("other"), checkout.join("sub/link")).expect("link");
    let grant = format!("{}:/data", checkout.join("sub/link").display());
    // The control: in no project it is the user's own link, which is followed, and told.
    let out = scene.script(&["--ro-bind", &grant], "cat /data/file").success();
    assert!(out.stdout == "theirs" && out.stderr.contains("a link leads to"), "{out:?}");
    fs::create_dir(checkout.join(".git")).expect("mkdir");
    scene.script(&["--ro-bind", &grant], "cat /data/file").fails(125, REFUSED).prints("");
}

#[test]
fn row_h3_no_link_means_a_secret() {
    let scene = Scene::new();
    scene.home_file(".ssh/id", "KEY");
    scene.home_file("dotfiles/aws/credentials", "KEY");
    symlink("dotfiles/aws", scene.home().join(".aws")).expect("link");
    for (link, target) in [("keys", ".ssh"), ("key", ".ssh/id"), ("house", "."), ("above", "..")] {
        symlink(scene.home().join(target), scene.home().join(link)).expect("link");
    }
    let home = |name: &str| scene.home().join(name).display().to_string();
    for link in ["keys", "keys/id", "key", "house", "house/.ssh", "above", ".aws"] {
        let out = scene.script(&["--ro-bind", &format!("{}:/data", home(link))], "cat /data/id /data/.ssh/id");
        out.fails(125, &["a link leads to", "not shown by another name", "name it"]).prints("");
    }
    // The control, and the way that the hint tells.
    for (named, read) in [(".ssh", "/data/id"), ("dotfiles/aws", "/data/credentials")] {
        let grant = format!("{}:/data", home(named));
        scene.run(&["--ro-bind", &grant, "--", "cat", read]).success().prints("KEY");
    }
    // Where a link leads to something around secrets, they stay hidden in it.
    scene.home_file(".config/gh/hosts.yml", "KEY");
    scene.home_file(".config/app/file", "text");
    symlink(".config/app", scene.home().join("app")).expect("link");
    let grant = format!("{}:/data", home("app"));
    scene.run(&["--ro-bind", &grant, "--", "cat", "/data/file"]).success().prints("text");
}

#[test]
fn row_h3_files_of_settings_are_read_through_no_link_of_a_sandbox() {
    let scene = Scene::new();
    scene.home_file("secret", "[allow]\nread = [\"/\"]\n");
    let plant = format!("ln -s {} link; mkfifo fifo; ln -s . here", scene.home().join("secret").display());
    scene.script(&[], &plant).success();
    for name in ["./link", "here/link"] {
        scene.run(&["--profile", name, "--", "true"]).fails(125, REFUSED);
        scene.run(&["--env-file", name, "--", "true"]).fails(125, REFUSED);
        scene.run(&["--security-opt", &format!("seccomp={name}"), "--", "true"]).fails(125, REFUSED);
    }
    scene.run(&["--security-opt", "seccomp=fifo", "--", "true"]).fails(125, &["no regular file"]);
    scene.outside("cat link").success();
    // What a shell makes of `<(…)` is no file of anybody's.
    if find_program("bash").is_some() {
        let script = format!("{} sandbox --env-file <(echo A=1) -- sh -c 'echo $A'", runtime());
        scene.stage().call_program(Path::new("/bin/bash"), &["-c", &script]).cwd(&scene.project()).run().prints("1\n");
    }
}

fn runtime() -> String {
    crate::support::runtime().display().to_string()
}

#[test]
fn row_h6_the_program_puts_no_report_in_the_place_of_rruncs() {
    let scene = Scene::new();
    let forge = "mv r.json aside; rm -f r.json; ln r.json other; echo forged > r.json; mv deep deeper; \
                 echo forged > deep/r.json; exit 3";
    for name in ["r.json", "deep/r.json", "./r.json"] {
        fs::create_dir_all(scene.project().join("deep")).expect("mkdir");
        scene.script(&["--report", name], forge).exits(3);
        let report = fs::read_to_string(scene.project().join(name)).expect("a report");
        assert!(report.contains("\"exitStatus\": 3") && !report.contains("forged"), "{report}");
    }
    let elsewhere = scene.home_file("granted/file", "").parent().expect("granted").display().to_string();
    let grant = format!("{elsewhere}:/data");
    let report = format!("{elsewhere}/r.json");
    scene
        .script(&["--bind", &grant, "--report", &report], "cd /data; echo forged > r.json; mv r.json x; exit 3")
        .exits(3);
    assert!(fs::read_to_string(&report).expect("a report").contains("\"exitStatus\": 3"));
    // The control: a file that is no report is replaced.
    scene.script(&[], forge).exits(3);
    assert_eq!(fs::read_to_string(scene.project().join("r.json")).expect("a file"), "forged\n");
}

#[test]
fn row_h6_a_report_that_somebody_else_replaces_meanwhile_is_an_error() {
    let scene = Scene::new();
    for replace in ["mv r.json aside; echo forged > r.json", "rm r.json", "rm r.json; ln -s ../home r.json"] {
        let mut run = scene
            .call(&["--report", "r.json", "--", "sh", "-c", "echo ready; while ! [ -e go ]; do sleep 0.1; done"])
            .spawn();
        run.wait_stdout("ready");
        scene.outside(replace).success();
        fs::write(scene.project().join("go"), "").expect("write");
        run.wait().fails(125, &["--report r.json", "what is there now is not rrunc's"]);
        scene.outside("rm -f r.json go aside").success();
    }
    // The control: with nobody about it is written.
    scene.run(&["--report", "r.json", "--", "true"]).success();
    scene.outside("grep -q exitStatus r.json").success();
}

#[test]
fn row_m5_a_log_is_written_through_no_planted_link_and_not_waited_for() {
    let scene = Scene::with_checkout();
    let victim = scene.home_file(".bashrc", "# mine\n");
    let plant = format!("ln -s {} a.log; mkfifo b.log; ln -s {} c", victim.display(), scene.home().display());
    scene.script(&[], &plant).success();
    let log = |name: &str| scene.stage().call(&["--log", name, "list"]).cwd(&scene.project()).run();
    log("a.log").fails(1, &["open log file a.log", "is a link"]);
    log("b.log").fails(1, &["open log file b.log", "it is a fifo"]);
    log("c/.bashrc").fails(1, &["open log file c/.bashrc", "is a link"]);
    assert_eq!(fs::read_to_string(&victim).expect("read"), "# mine\n");
    // The last name may be no link anywhere: there nobody knows who has put it.
    symlink(&victim, scene.home().join("log")).expect("link");
    let own = scene.home().join("log").display().to_string();
    log(&own).fails(1, &["somebody else may have put it there", "name what it leads to"]);
    // The control: who follows the link changes the file.
    scene.outside("echo more >> a.log").success();
    assert_eq!(fs::read_to_string(&victim).expect("read"), "# mine\nmore\n");
}

#[test]
fn row_m5_logs_go_to_what_clients_name() {
    let scene = Scene::new();
    let call = |prelude: &str, log: &str| {
        scene.stage().call_after(prelude, &["--log", log, "state", "none"]).cwd(&scene.project()).run()
    };
    let logged = |text: &str| text.contains("level=error");
    assert!(logged(&call("true", "/dev/stdout").stdout));
    assert!(logged(&call("true", "/proc/self/fd/1").stdout));
    call("exec 7>log", "/dev/fd/7").fails(1, &["does not exist"]);
    assert!(logged(&fs::read_to_string(scene.project().join("log")).expect("a log")));
    // A pipe of a client's.
    let piped = scene.outside(&format!("{} --log /dev/stderr state none 2>&1 >/dev/null | cat", runtime()));
    assert!(logged(&piped.stdout), "{piped:?}");
    for name in ["/dev/null", "new.log", "new.log"] {
        call("true", name).fails(1, &["does not exist"]);
    }
    // By links of the system's, and of the caller's on the way.
    symlink(scene.project(), scene.home().join("way")).expect("link");
    let by_link = scene.home().join("way/new.log").display().to_string();
    call("true", &by_link).fails(1, &["does not exist"]);
    assert_eq!(fs::read_to_string(scene.project().join("new.log")).expect("a log").lines().count(), 3);
}

#[test]
fn row_m5_pid_files_and_sockets_are_reached_by_no_planted_link() {
    let scene = Scene::with_checkout();
    let stage = scene.stage();
    let bundle = stage.bundle();
    bundle.args(&["true"]);
    let victim = scene.home_file("victim/file", "text");
    let socket = scene.home().join("socket");
    let _listening = std::os::unix::net::UnixListener::bind(&socket).expect("listen");
    let plant = format!(
        "ln -s {} out; ln -s {} console; ln -s {} pid",
        victim.parent().expect("victim").display(),
        socket.display(),
        victim.display()
    );
    scene.script(&[], &plant).success();
    let run = |flags: &[&str]| {
        let args = [&["run", "-b", bundle.str()][..], flags, &["c"]].concat();
        stage.call(&args).cwd(&scene.project()).run()
    };
    run(&["--pid-file", "out/pid"]).fails(1, REFUSED);
    assert!(!victim.with_file_name("pid").exists());
    run(&["--pidfd-socket", "console"]).fails(1, &["pidfd", "is a link"]);
    // A link at the very place goes, and what it leads to stays.
    run(&["--pid-file", "pid"]).success();
    assert_eq!(fs::read_to_string(&victim).expect("read"), "text");
    assert!(fs::symlink_metadata(scene.project().join("pid")).expect("written").is_file());
    // The controls: by their own names both are used.
    run(&["--pid-file", &victim.with_file_name("pid").display().to_string()]).success();
    wait_for("the pid", || victim.with_file_name("pid").exists().then_some(()));
    run(&["--pidfd-socket", &socket.display().to_string()]).success();
}

#[test]
fn row_m11_programs_of_the_hosts_are_the_systems() {
    use std::os::unix::fs::PermissionsExt;
    let scene = Scene::new();
    let bin = scene.project().join(".venv/bin");
    let mark = scene.home().join("mark");
    let plant = format!(
        "mkdir -p .venv/bin; for p in pasta ps newuidmap newgidmap getsubids; do echo '#!/bin/sh\ntouch {}\nexit 1' > .venv/bin/$p; \
         chmod +x .venv/bin/$p; done",
        mark.display()
    );
    scene.script(&[], &plant).success();
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", bin.display());
    let stage = scene.stage();
    let bundle = stage.bundle();
    stage.running(&bundle, "c");
    stage.call(&["ps", "c"]).env("PATH", &path).run().success();
    stage.remove("c");
    // With all ids that the user has.
    bundle.without_user_namespace().args(&["true"]);
    stage.call(&["run", "-b", bundle.str(), "c"]).env("PATH", &path).run().success();
    scene.call(&["--network", "pasta", "--", "true"]).env("PATH", &path).run();
    // One that only PATH has.
    let odd = scene.home().join("odd");
    fs::create_dir(&odd).expect("mkdir");
    fs::set_permissions(&odd, fs::Permissions::from_mode(0o755)).expect("chmod");
    scene.call(&["--network", "pasta", "--", "true"]).env("PATH", format!("{}:{}", bin.display(), odd.display())).run();
    assert!(!mark.exists(), "a planted program was run");
    // The control: a shell takes the first of PATH.
    let control =
        stage.call_program(Path::new("/bin/sh"), &["-c", "ps"]).env("PATH", &path).cwd(&scene.project()).run();
    assert!(control.code == 1 && mark.exists(), "{control:?}");
}
