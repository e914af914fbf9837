//! `run`: create, start, wait and delete in one.
use crate::support::{PATIENCE, Stage, wait_for};
use nix::sys::signal::Signal;
use serde_json::json;
use std::fs;

#[test]
fn the_programs_exit_code_is_passed_on() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    stage.run(&bundle).exits(0).prints("");
    bundle.script("exit 42");
    stage.run(&bundle).exits(42);
}

#[test]
fn death_by_a_signal_is_128_and_the_signal() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    // Pid 1 is immune to its own signals, so it has to come from outside the namespace.
    bundle.args(&["sleep", "3600"]);
    let run = stage.call(&["run", "c"]).cwd(bundle.path()).spawn();
    stage.wait_status("c", "running");
    stage.rrunc(&["kill", "c", "KILL"]).success();
    run.wait().exits(137);
}

#[test]
fn standard_streams_are_the_callers() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.script("cat; echo to-err >&2");
    let out = stage.call(&["run", "c"]).cwd(bundle.path()).stdin("one\ntwo\n").run().success();
    assert_eq!(out.stdout, "one\ntwo\n");
    assert_eq!(out.stderr, "to-err\n");
}

#[test]
fn a_closed_standard_stream_is_dev_null() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let seen = stage.dir().join("seen");
    bundle.mount("/seen", "bind", seen.to_str().expect("plain"), &["bind"]);
    bundle.script("exec 3>/seen; cd /proc/$$/fd; for fd in 0 1 2; do echo $(readlink $fd) >&3; done");
    let other = stage.dir().join("other").display().to_string();
    let open = format!("exec <>{other} >&0 2>&0");
    for (closed, count) in [("", 0), ("<&-", 1), (">&- 2>&-", 2), ("<&- >&- 2>&-", 3)] {
        fs::write(&seen, "").expect("write");
        stage.call_after(&format!("{open}; exec {closed}"), &["run", "c"]).cwd(bundle.path()).run().success();
        let links = fs::read_to_string(&seen).expect("the links");
        assert_eq!(links.matches("/null\n").count(), count, "{closed}: {links}");
        assert_eq!(links.matches("/other\n").count(), 3 - count, "{closed}: {links}");
    }
}

#[test]
fn the_bundle_option_and_options_behind_the_id() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.script("echo here");
    stage.rrunc(&["run", "--bundle", bundle.str(), "c"]).success().prints("here\n");
    stage.rrunc(&["run", "c", "-b", bundle.str()]).success().prints("here\n");
}

#[test]
fn nothing_is_left_after_a_foreground_run() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    stage.run(&bundle).success();
    assert_eq!(stage.containers(), Vec::<String>::new());
    stage.rrunc(&["state", "c"]).fails(1, &["container does not exist"]);
}

#[test]
fn keep_leaves_a_stopped_container() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.script("exit 3");
    if crate::support::program() == "runc" {
        return; // The distribution's runc is older than the option.
    }
    stage.in_bundle(&bundle, &["run", "--keep", "c"]).exits(3);
    assert_eq!(stage.status("c"), "stopped");
    stage.rrunc(&["delete", "c"]).success().prints("");
}

#[test]
fn detach_returns_with_the_container_running() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.script("echo started; exec sleep 3600");
    let pid_file = stage.dir().join("pid");
    let pid_path = pid_file.to_str().expect("plain");
    let out = stage.in_bundle(&bundle, &["run", "-d", "--pid-file", pid_path, "c"]).success();
    assert_eq!(out.stderr, "");
    assert_eq!(stage.status("c"), "running");
    let pid = fs::read_to_string(&pid_file).expect("the pid file");
    assert_eq!(pid, stage.pid("c").to_string(), "a bare number without newline");
    stage.remove("c");
}

#[test]
fn signals_are_forwarded_to_the_program() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.script(
        "trap 'echo got-term; exit 7' TERM; trap 'echo got-usr1' USR1; echo ready; while :; do sleep 0.05; done",
    );
    let mut run = stage.call(&["run", "c"]).cwd(bundle.path()).spawn();
    run.wait_stdout("ready");
    run.signal(Signal::SIGUSR1);
    run.wait_stdout("got-usr1");
    run.signal(Signal::SIGTERM);
    let out = run.wait().exits(7);
    assert!(out.stdout.ends_with("got-term\n"), "{out:?}");
}

#[test]
fn the_environment_is_the_configs_alone() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.args(&["env"]).set("/process/env", json!(["PATH=/bin", "A=1", "B=2", "A=3"]));
    let out = stage.call(&["run", "c"]).cwd(bundle.path()).env("SECRET", "hunter2").run().success();
    let mut lines: Vec<_> = out.stdout.lines().collect();
    lines.sort_unstable();
    // The last duplicate wins; HOME comes from the container's passwd.
    assert_eq!(lines, ["A=3", "B=2", "HOME=/root", "PATH=/bin"]);
}

#[test]
fn pid_1_in_its_own_namespaces() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.script("echo $$; hostname; id -u; id -g; ls /proc | grep -c '^[0-9]'");
    let out = stage.run(&bundle).success();
    // The subshell of the pipeline, ls and grep may or may not be seen by ls itself.
    let lines: Vec<_> = out.stdout.lines().collect();
    assert_eq!(lines[..4], ["1", "stage", "0", "0"]);
    assert!(lines[4].parse::<u32>().expect("a count") < 5, "processes of the host in /proc: {lines:?}");
}

#[test]
fn loopback_is_up_in_a_new_network_namespace() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.script("ping -c 1 -w 5 127.0.0.1 >/dev/null 2>&1; ip -o link show; ip -o addr show lo");
    let out = stage.run(&bundle).success();
    assert!(out.stdout.contains("LOOPBACK,UP"), "{}", out.stdout);
    assert!(out.stdout.contains("127.0.0.1/8"), "{}", out.stdout);
    assert_eq!(out.stdout.lines().filter(|l| l.contains("mtu")).count(), 1, "only lo: {}", out.stdout);
}

#[test]
fn the_root_is_read_only_when_it_says_so() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.script("touch /file 2>&1; touch /dev/shm/file && echo shm; touch /dev/x && echo dev");
    let out = stage.run(&bundle).success();
    assert_eq!(out.stdout, "touch: /file: Read-only file system\nshm\ndev\n");
    bundle.set("/root/readonly", json!(false)).script("touch /file && echo root");
    stage.run(&bundle).success().prints("root\n");
    assert!(bundle.rootfs().join("file").is_file());
}

#[test]
fn stdin_at_its_end_ends_the_reader() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.args(&["cat"]);
    let mut run = stage.call(&["run", "c"]).cwd(bundle.path()).stdin_pipe().spawn();
    stage.wait_status("c", "running");
    assert!(!run.ended());
    drop(run.child.stdin.take());
    run.wait().success();
}

#[test]
fn preserved_fds_and_no_others() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.script("ls /proc/self/fd | tr '\\n' ' '; cat <&3");
    fs::write(stage.dir().join("three"), "text").expect("write");
    let open = format!("exec 3<{0}/three 4</dev/null 5</ 6</dev/null", stage.dir().display());
    let out = stage.call_after(&open, &["run", "--preserve-fds", "1", "c"]).cwd(bundle.path()).run().success();
    // One more is ls's own on the directory.
    assert_eq!(out.stdout, "0 1 2 3 4 text");
    // The one that is missing must be missed before the runtime opens files of its own under that number.
    let missing = stage.call_after("exec 3</dev/null 4<&- 5<&- 6<&-", &["run", "--preserve-fds", "2", "c"]);
    missing.cwd(bundle.path()).run().fails(1, &["unable to stat preserved-fd"]);
}

#[test]
fn socket_activation_passes_fds_and_variables() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.script("echo $LISTEN_FDS $LISTEN_PID; cat <&3");
    fs::write(stage.dir().join("three"), "text").expect("write");
    // LISTEN_PID has to be the runtime's own pid, which exec keeps.
    let open = format!("exec 3<{}/three; export LISTEN_FDS=1 LISTEN_PID=$$", stage.dir().display());
    stage.call_after(&open, &["run", "c"]).cwd(bundle.path()).run().success().prints("1 1\ntext");
    let other = open.replace("=$$", "=1");
    let out = stage.call_after(&other, &["run", "c"]).cwd(bundle.path()).run();
    assert!(!out.stdout.contains("text"), "fds meant for another pid were passed on: {out:?}");
}

#[test]
fn a_failing_run_leaves_nothing() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.args(&["/no/such/program"]);
    let out = stage.run(&bundle).exits(1);
    assert!(out.stderr.contains("no such file or directory"), "{}", out.stderr);
    assert_eq!(stage.containers(), Vec::<String>::new());
}

#[test]
fn a_failing_execve_is_one_bare_line() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let script = bundle.rootfs().join("run.sh");
    fs::write(&script, "#!/no/such/interpreter\n").expect("write");
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("chmod");
    bundle.args(&["/run.sh"]);
    let out = stage.run(&bundle);
    assert_ne!(out.code, 0);
    assert!(out.stderr.contains("/run.sh"), "{out:?}");
    assert!(out.stderr.contains("no such file or directory"), "{out:?}");
    assert_eq!(out.stderr.lines().count(), 1, "{out:?}");
}

#[test]
fn orphans_do_not_keep_it_waiting_and_die_with_pid_1() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.script("setsid sleep 3600 </dev/null >/dev/null 2>&1 & exit 5");
    stage.call(&["run", "c"]).cwd(bundle.path()).within(PATIENCE).run().exits(5);
    wait_for("the orphan to die", || stage.processes().is_empty().then_some(()));
}

#[test]
fn rlimits_umask_cwd_and_oom_score() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let limits =
        json!([{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]);
    bundle
        .set("/process/rlimits", limits)
        .set("/process/user/umask", json!(0o027))
        .set("/process/cwd", json!("/made/for/me"))
        .set("/process/oomScoreAdj", json!(500))
        .script("ulimit -Sn; ulimit -Hn; ulimit -c; umask; pwd; cat /proc/self/oom_score_adj");
    stage.run(&bundle).success().prints("100\n200\n0\n0027\n/made/for/me\n500\n");
}

#[test]
fn capabilities_are_the_listed_ones_in_every_set() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.args(&["grep", "^Cap", "/proc/self/status"]);
    // AUDIT_WRITE is 29, KILL 5, NET_BIND_SERVICE 10.
    let listed = "0000000020000420";
    let none = "0000000000000000";
    let expect = |inh, prm, eff, bnd, amb| {
        format!("CapInh:\t{inh}\nCapPrm:\t{prm}\nCapEff:\t{eff}\nCapBnd:\t{bnd}\nCapAmb:\t{amb}\n")
    };
    stage.run(&bundle).success().prints(&expect(none, listed, listed, listed, none));
    bundle.unset("/process/capabilities");
    stage.run(&bundle).success().prints(&expect(none, none, none, none, none));
}

#[test]
fn no_new_privs_as_the_config_says() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.args(&["grep", "NoNewPrivs", "/proc/self/status"]);
    stage.run(&bundle).success().prints("NoNewPrivs:\t1\n");
    bundle.set("/process/noNewPrivileges", json!(false));
    stage.run(&bundle).success().prints("NoNewPrivs:\t0\n");
}

#[test]
fn a_config_without_a_user_namespace_runs_as_it_is() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.without_user_namespace().script("id -u; head -1 /proc/self/uid_map | tr -s ' '");
    let out = stage.run(&bundle).success();
    let uid = crate::support::uid();
    assert_eq!(out.stdout, format!("0\n 0 {uid} 1\n"));
}

#[test]
fn the_personality_of_the_config_is_set() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.args(&["uname", "-m"]);
    let plain = stage.run(&bundle).success();
    bundle.set("/linux/personality", serde_json::json!({"domain": "LINUX32"}));
    let out = stage.run(&bundle).success();
    assert_ne!(out.stdout, plain.stdout, "a 32-bit machine is shown");
    assert!(out.line().starts_with('i') || out.line().starts_with("arm"), "{}", out.stdout);
}

#[test]
fn a_caller_that_ignores_its_children_gets_the_status_all_the_same() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.script("exit 3");
    for verb in ["run", "create"] {
        let out = stage.call_after("trap '' CHLD", &[verb, "c"]).cwd(bundle.path()).run();
        out.exits(if verb == "run" { 3 } else { 0 });
    }
    stage.rrunc(&["start", "c"]).success();
    bundle.script("sleep 100");
    stage.in_bundle(&bundle, &["run", "--detach", "d"]).success();
    stage.call_after("trap '' CHLD", &["exec", "d", "sh", "-c", "exit 4"]).run().exits(4);
    for id in ["c", "d"] {
        stage.rrunc(&["delete", "--force", id]).success();
    }
}
