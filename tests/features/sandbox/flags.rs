//! Flags with the names that bubblewrap, docker and firejail gave them.
use crate::support::Place;
use crate::support::place::write;
use serde_json::Value;
use std::fs;

#[test]
fn binds_that_may_be_missing_and_dockers_volumes() {
    let place = Place::new();
    let other = place.other_project();
    write(&other.join("file"), "text\n");
    let (path, missing) = (other.display().to_string(), other.join("none").display().to_string());
    place.sandbox(&["--bind", &missing, "--", "true"]).run().fails(125, &[&missing]);
    place.sandbox(&["--bind-try", &missing, "--ro-bind-try", &missing, "--", "true"]).run().success();
    place.sh(&["--bind-try", &path], &format!("echo more >> {path}/file")).success();
    place
        .sh(&["-v", &format!("{path}:/data:ro"), "-w", "/data"], "pwd; cat file; echo x >> file")
        .exits(2)
        .prints("/data\ntext\nmore\n");
    place.sh(&["-v", &format!("{path}:/data")], "echo x >> /data/file").success();
    place.sandbox(&["-v", "name:/data", "--", "true"]).run().fails(125, &["there are none", "directory"]);
    // Relative to where the user stands.
    place.sh(&["-v", "../project:/here:ro"], "ls /here").success();
}

#[test]
fn private_file_systems_and_links() {
    let place = Place::new();
    let flags =
        ["--tmpfs", "/data", "--size", "2m", "--symlink", "/etc/hosts:/tmp/a/hosts", "--symlink", "busybox:/bb"];
    let out =
        place.sh(&flags, "df -P -k /data | tail -1 | awk '{print $2}'; echo x > /data/x; readlink /tmp/a/hosts /bb");
    out.success().prints("2048\n/etc/hosts\nbusybox\n");
    for (flag, value, text) in [
        ("--symlink", "x:/usr/bin/new", "the host's files are there"),
        ("--symlink", "nothing", "TARGET:/LINK"),
        ("--symlink", "x:/tmp/../etc/x", "TARGET:/LINK"),
        ("--tmpfs", "/usr/new", "nothing is made in the host's directories"),
    ] {
        place.sandbox(&[flag, value, "--", "true"]).run().fails(125, &[text]);
    }
}

#[test]
fn the_environment_is_what_flags_say() {
    let place = Place::new();
    write(&place.project().join("bad"), "TERM\n");
    place.sandbox(&["--env-file", "bad", "--", "true"]).run().fails(125, &["TERM alone", "-e TERM"]);
    write(&place.home().join("vars"), "# comment\nA=1\n\n B=two words\nTERM\n");
    let call = |options: &[&str]| {
        let args = [&["--network", "host"], options, &["--", "env"]].concat();
        let mut lines: Vec<String> = place
            .sandbox(&args)
            .env("TERM", "dumb")
            .env("LANG", "C")
            .run()
            .success()
            .stdout
            .lines()
            .map(str::to_owned)
            .collect();
        lines.retain(|line| {
            let own = ["HOME=", "USER=", "LOGNAME=", "PATH=", "PWD=", "SHLVL=", "GIT_CONFIG_"];
            !own.iter().any(|own| line.starts_with(own))
        });
        lines.sort();
        lines
    };
    assert_eq!(call(&[]), ["LANG=C", "TERM=dumb"]);
    assert_eq!(call(&["--unsetenv", "LANG", "--setenv", "X=y"]), ["TERM=dumb", "X=y"]);
    assert_eq!(call(&["--clearenv", "--env-file", "../vars", "-e", "A=2"]), ["A=2", "B=two words", "TERM=dumb"]);
    place.sandbox(&["--env-file", "none", "--", "true"]).run().fails(125, &["--env-file none"]);
    place.sandbox(&["--env", "=x", "--", "true"]).run().fails(125, &["names no variable"]);
}

#[test]
fn names_of_host_and_container() {
    let place = Place::new();
    place.sh(&["--hostname", "box"], "hostname; grep -c box /etc/hosts").prints("box\n2\n");
    let mut run = place.sandbox(&["--name", "mine", "--", "sh", "-c", "echo ready; exec sleep 3712"]).spawn();
    run.wait_stdout("ready");
    assert!(place.rrunc(&["list", "-q"]).success().stdout.contains("mine"));
    place.sandbox(&["--name", "mine", "--", "true"]).run().fails(125, &["mine"]);
    place.sandbox(&["--name", "../x", "--", "true"]).run().fails(125, &["invalid container id format"]);
    // A named one is swept like any other when its rrunc was killed.
    run.signal(nix::sys::signal::Signal::SIGKILL);
    run.wait();
    place.sandbox(&["--name", "mine", "--", "true"]).run().success();
    assert_eq!(place.rrunc(&["list", "-q"]).success().stdout, "");
}

#[test]
fn bubblewraps_status_lines() {
    let place = Place::new();
    let (info, status) = (place.home().join("info"), place.home().join("status"));
    let prelude = format!("exec 5>{} 6>{}", info.display(), status.display());
    let args =
        ["sandbox", "--info-fd", "5", "--json-status-fd", "6", "--", "sh", "-c", "ls /proc/self/fd | wc -l; exit 9"];
    place.call_after(&prelude, &args).cwd(&place.project()).run().exits(9).prints("4\n");
    let info: Value = serde_json::from_str(&fs::read_to_string(info).expect("info")).expect("JSON");
    let lines = fs::read_to_string(status).expect("status");
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((lines.len(), &lines[1]), (2, &serde_json::json!({"exit-code": 9})));
    assert_eq!(info, lines[0]);
    for name in ["child-pid", "mnt-namespace", "net-namespace", "pid-namespace"] {
        assert!(info[name].as_u64().is_some_and(|number| number > 1), "{name}: {info}");
    }
    place.sandbox(&["--info-fd", "99", "--", "true"]).run().fails(125, &["--info-fd 99", "is not open"]);
}

#[test]
fn rights_are_given_by_name() {
    let place = Place::new();
    let caps = "grep CapEff /proc/self/status | cut -f2";
    place.sh(&[], caps).prints("0000000000000000\n");
    place
        .sh(&["--cap-add", "net_raw", "--cap-add", "CAP_CHOWN", "--cap-drop", "chown"], caps)
        .prints("0000000000002000\n");
    place.sandbox(&["--cap-add", "ALL", "--", "true"]).run().fails(125, &["one by one"]);
    place.sh(&[], "unshare -Ur true").fails(1, &["not permitted"]);
    place.sh(&["--userns"], "unshare -Ur id -u").success().prints("0\n");
    place.sandbox(&["--security-opt", "seccomp=unconfined", "--", "true"]).run().fails(125, &["always has a filter"]);
    place.sandbox(&["--security-opt", "apparmor=x", "--", "true"]).run().fails(125, &["apparmor=x is not known"]);
    place.sandbox(&["--security-opt", "no-new-privileges", "--", "true"]).run().success();
    write(
        &place.project().join("filter.json"),
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":28}]}"#,
    );
    place.sh(&["--security-opt", "seccomp=filter.json"], "mkdir d").fails(1, &["No space left"]);
}

#[test]
fn docker_and_firejail_habits_are_understood() {
    let place = Place::new();
    place.sandbox(&["--rm", "-i", "--", "cat"]).stdin("text").run().success().prints("text");
    place.sandbox(&["-it", "--", "true"]).run().fails(125, &["-t", "is a terminal"]);
    place.sh(&["--private"], "pwd").success().prints(&format!("{}\n", place.home().display()));
    write(&place.project().join("file"), "x");
    place.sh(&["--read-only"], "echo y > file").fails(2, &["Read-only"]);
}

#[test]
fn what_is_promised_can_be_required() {
    let place = Place::new();
    place.sandbox(&["--require", "view,seccomp,network", "--", "true"]).run().success();
    place
        .sandbox(&["--require", "network", "--network", "host", "--", "true"])
        .run()
        .fails(125, &["--require network", "host"]);
    place.sandbox(&["--require", "capabilities", "--cap-add", "chown", "--", "true"]).run().fails(125, &["CAP"]);
    for flag in ["--require", "--allow-weaker"] {
        place.sandbox(&[flag, "luck", "--", "true"]).run().fails(125, &["there is no such promise", "keyring"]);
    }
}

#[test]
fn it_ends_with_its_caller_if_asked_to() {
    let place = Place::new();
    for (flags, lives) in [(&["--die-with-parent"][..], false), (&[], true)] {
        let pid = place.project().join("pid");
        fs::remove_file(&pid).ok();
        let options = flags.join(" ");
        let prelude = format!(
            "{} sandbox {options} -- sh -c 'echo > pid; exec sleep 3713' & while ! test -e pid; do sleep 0.02; done; kill -9 $$",
            crate::support::runtime().display()
        );
        place.call_after(&prelude, &["list"]).cwd(&place.project()).run();
        let running = || place.processes().iter().any(|line| line.contains("sleep 3713"));
        if lives {
            assert!(running());
            place.rrunc(&["list", "-q"]).stdout.lines().for_each(|id| place.remove(id));
        }
        crate::support::wait_for("the sandbox to end", || (!running()).then_some(()));
    }
}
