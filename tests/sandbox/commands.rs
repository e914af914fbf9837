//! Real commands, exit statuses, the printed configuration, and what is left when all is over.
use crate::scene::Scene;
use crate::support::{Lacks, Terminal, find_program, runtime, skip, wait_for};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::fs;

#[test]
fn exit_statuses() {
    let scene = Scene::new();
    for (command, status) in [
        (&["true"][..], 0),
        (&["sh", "-c", "exit 3"], 3),
        (&["sh", "-c", "sh -c 'kill -9 $$'"], 137),
        (&["nonesuch"], 127),
        (&["/nonesuch/program"], 127),
        (&["./nonesuch"], 127),
        (&["/etc/passwd"], 126),
        (&["/usr"], 126),
    ] {
        scene.run(&[&["--"], command].concat()).exits(status);
        assert_eq!(scene.stage().containers(), Vec::<String>::new(), "{command:?}");
    }
    scene.run(&["--bogus", "--", "true"]).fails(125, &["--bogus"]);
    scene.run(&[]).exits(125);
    scene.stage().rrunc(&["--log", "/nonexistent/log", "sandbox", "--", "true"]).exits(125);
}

#[test]
fn everyday_commands_work() {
    let scene = Scene::new();
    for (command, expected) in [
        (&["bash", "-c", "echo $((6*7)) > f; cat f"][..], "42\n"),
        (&["python3", "-c", "import multiprocessing as m, tempfile; m.Lock(); tempfile.mkdtemp(); print(6*7)"], "42\n"),
        (&["node", "-e", "console.log(6*7, require('os').cpus().length > 0)"], "42 true\n"),
        (&["perl", "-e", "print 6*7, qq(\\n)"], "42\n"),
    ] {
        // One in a directory of its own, such as /root/.pyenv, is not in the view.
        let Some(_) = find_program(command[0]).filter(|path| path.starts_with("/usr") || path.starts_with("/bin"))
        else {
            skip(Lacks::Machine("one of bash, python3, node, perl in /usr"));
            continue;
        };
        scene.run(&[&["--"], command].concat()).success().prints(expected);
    }
    scene.call(&["--", "sh"]).stdin("echo from stdin\n").run().success().prints("from stdin\n");
}

#[test]
fn row_29_odd_names_are_literal() {
    let scene = Scene::new();
    let odd = scene.stage().dir().join("a\nb -- $(c) \"d\"");
    fs::create_dir(&odd).expect("make it");
    let out =
        scene.call(&["--", "sh", "-c", "pwd; printf '<%s>' \"$@\"", "sh", "--", "-e", "a\nb", ""]).cwd(&odd).run();
    out.success().prints(&format!("{}\n<--><-e><a\nb><>", odd.display()));
}

#[test]
fn the_printed_configuration_is_what_runs() {
    let scene = Scene::with_checkout();
    let script = "id; pwd; env | sort; ls -A / ~ /etc; cat /etc/passwd; grep -E '^(Cap|NoNew|Seccomp)' /proc/self/status; \
                  cut -d' ' -f 5,6 /proc/self/mountinfo; touch .envrc .git/hooks/x; cat /proc/self/limits";
    let command = ["--", "sh", "-c", script];
    let printed = scene.run(&[&["--print-config"], &command[..]].concat()).success();
    let config: Value = serde_json::from_str(&printed.stdout).expect("JSON");
    assert_eq!(config["process"]["args"][2], script);

    let dir = scene.stage().dir().join("written");
    let name = dir.to_str().expect("plain");
    scene.run(&[&["--write-bundle", name], &command[..]].concat()).success().prints("");
    let written: Value = serde_json::from_slice(&fs::read(dir.join("config.json")).expect("read")).expect("JSON");
    assert_eq!(written, config);

    let direct = scene.run(&command);
    let as_bundle = scene.stage().rrunc(&["run", "--bundle", name, "c"]);
    assert_eq!((as_bundle.code, as_bundle.stdout), (direct.code, direct.stdout));
    assert_eq!(as_bundle.stderr, direct.stderr);
}

#[test]
fn a_killed_rrunc_takes_the_program_along_and_the_next_one_clears_up() {
    let scene = Scene::new();
    let mut running = scene.call(&["--", "sh", "-c", "echo up; exec sleep 3600"]).spawn();
    running.wait_stdout("up");
    running.signal(Signal::SIGKILL);
    running.wait().exits(-9);
    wait_for("the program to be gone", || scene.stage().processes().is_empty().then_some(()));
    assert_eq!(scene.stage().containers().len(), 1, "the control: something is left");
    scene.run(&["--", "true"]).success();
    assert_eq!(scene.stage().containers(), Vec::<String>::new());
}

#[test]
fn one_in_another_pid_namespace_is_left_alone() {
    let scene = Scene::new();
    let mut first = scene.call(&["--", "sh", "-c", "echo up; read line"]).stdin_pipe().spawn();
    first.wait_stdout("up");
    let unshare = find_program("unshare").expect("unshare");
    let rrunc = runtime();
    let args = ["-Urpf", "--mount-proc", rrunc.to_str().expect("plain"), "sandbox", "--", "true"];
    scene.stage().call_program(&unshare, &args).cwd(&scene.project()).run().success();
    assert_eq!(scene.stage().containers().len(), 1, "the first one's state is still there");
    first.wait();
}

#[test]
fn two_at_once_leave_each_other_alone() {
    let scene = Scene::new();
    let mut first = scene.call(&["--", "sh", "-c", "echo up; read line; echo $line"]).stdin_pipe().spawn();
    first.wait_stdout("up");
    scene.run(&["--", "true"]).success();
    assert_eq!(scene.stage().containers().len(), 1);
    first.wait().success().prints("up\n\n");
}

#[test]
fn signals_reach_a_program_without_handlers() {
    // As pid 1 it would be deaf to all of these.
    let scene = Scene::new();
    scene.script(&[], "kill -9 $$").exits(137);
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143), (Signal::SIGHUP, 129)] {
        let mut running = scene.call(&["--", "sh", "-c", "echo ready; exec sleep 3600"]).spawn();
        running.wait_stdout("ready");
        running.signal(signal);
        running.wait().exits(code);
    }
}

#[test]
fn ctrl_c_ends_the_program_and_ctrl_z_does_not_hang_it() {
    let scene = Scene::new();
    let mut terminal = Terminal::start(scene.call(&["--", "sh", "-c", "echo rea''dy; exec cat"]), 24, 80);
    terminal.expect("ready");
    terminal.send("\x1a");
    terminal.send("still here\r");
    terminal.expect("still here");
    terminal.send("\x03");
    assert_eq!(terminal.wait().0, 130);
}

#[test]
fn orphans_are_reaped() {
    let scene = Scene::new();
    let script = "sh -c 'sleep 0.1 & exit' ; sleep 0.4; grep -l '^State:.Z' /proc/[0-9]*/status; exit 0";
    scene.script(&[], script).success().prints("");
}

/// Row 20b: a program cannot take the death signal away from pid 1, only from itself.
#[test]
fn row_20b_kill_9_of_rrunc_ends_a_program_that_has_cleared_its_death_signal() {
    let scene = Scene::new();
    if find_program("python3").is_none() {
        return skip(Lacks::Machine("python3"));
    }
    let clear = "import ctypes, os, signal, time\n\
        libc = ctypes.CDLL(None)\n\
        assert libc.prctl(1, 0) == 0\n\
        [signal.signal(n, signal.SIG_IGN) for n in (1, 2, 15)]\n\
        os.fork() or os.setsid()\n\
        print('ready', flush=True)\n\
        time.sleep(3688)\n";
    // The control: without the reaper the program is pid 1 itself, and outlives rrunc.
    let dir = scene.stage().dir().join("bundle");
    let name = dir.to_str().expect("plain");
    scene.run(&["--write-bundle", name, "--", "python3", "-c", clear]).success();
    let config = fs::read_to_string(dir.join("config.json")).expect("config.json");
    fs::write(dir.join("config.json"), config.replace("org.rrunc.reaper", "none")).expect("write");
    let mut alone = scene.stage().call(&["run", "--bundle", name, "c"]).spawn();
    alone.wait_stdout("ready");
    alone.signal(Signal::SIGKILL);
    alone.wait().exits(-9);
    assert!(!scene.stage().wait_no_processes().is_empty(), "the control must outlive rrunc");
    scene.stage().rrunc(&["delete", "--force", "c"]).success();

    let mut running = scene.call(&["--", "python3", "-c", clear]).spawn();
    running.wait_stdout("ready");
    running.signal(Signal::SIGKILL);
    running.wait().exits(-9);
    assert_eq!(scene.stage().wait_no_processes(), Vec::<String>::new());
    scene.run(&["true"]).success();
}
