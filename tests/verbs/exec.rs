//! `exec`: another process in a container.
use crate::support::{Bundle, Stage, Terminal, namespace, wait_for};
use serde_json::{Value, json};
use std::fs;

fn running() -> (Stage, Bundle) {
    let stage = Stage::new();
    let bundle = stage.bundle();
    stage.running(&bundle, "c");
    (stage, bundle)
}

#[test]
fn exit_codes_and_output() {
    let (stage, _bundle) = running();
    stage.rrunc(&["exec", "c", "echo", "hi"]).success().prints("hi\n");
    stage.rrunc(&["exec", "c", "sh", "-c", "exit 9"]).exits(9);
    stage.rrunc(&["exec", "c", "sh", "-c", "kill -9 $$"]).exits(137);
    let out = stage.call(&["exec", "c", "sh", "-c", "cat; echo err >&2"]).stdin("in").run().success();
    assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("in", "err\n"));
    stage.remove("c");
}

#[test]
fn own_failures_are_255() {
    let (stage, _bundle) = running();
    stage
        .rrunc(&["exec", "c", "no-such"])
        .fails(255, &["exec failed: ", "exec: \"no-such\": executable file not found in $PATH"]);
    stage.rrunc(&["exec", "c", "/no/such"]).fails(255, &["no such file or directory"]);
    stage.rrunc(&["exec", "c", "/etc/passwd"]).fails(255, &["permission denied"]);
    stage.rrunc(&["exec", "nobody", "true"]).fails(255, &["container does not exist"]);
    stage.rrunc(&["kill", "c", "KILL"]).success();
    stage.wait_status("c", "stopped");
    stage.rrunc(&["exec", "c", "true"]).fails(255, &["cannot exec in a stopped container"]);
    stage.remove("c");
}

#[test]
fn outside_it_is_seen_as_it_was_called() {
    let (stage, _bundle) = running();
    let mut exec = stage.call(&["exec", "c", "sh", "-c", "echo here; cat"]).env("TOKEN", "seen").stdin_pipe().spawn();
    exec.wait_stdout("here\n");
    // Until rrunc has woken up again it is seen as the process that was on its memory.
    let own = |file: &str, part: &[u8]| {
        wait_for(file, || {
            let text = fs::read(format!("/proc/{}/{file}", exec.pid())).ok()?;
            text.windows(part.len()).any(|at| at == part).then_some(text)
        })
    };
    let arguments = own("cmdline", b"\0exec\0c\0sh\0-c\0echo here; cat\0");
    assert!(arguments.ends_with(b"cat\0"), "nothing of the environment: {}", String::from_utf8_lossy(&arguments));
    own("environ", b"TOKEN=seen\0");
    drop(exec.child.stdin.take());
    exec.wait().success();
    stage.remove("c");
}

/// Without another user namespace all of rrunc's own program is copied for the time that others may look at it, and what is
/// copied has no file to come back from while rrunc waits.
#[test]
fn root_of_a_user_namespace_waits_in_a_copy_of_a_binary_of_his_own() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let kinds = ["pid", "mount", "ipc", "uts"].map(|kind| json!({"type": kind}));
    bundle
        .set("/linux/namespaces", json!(kinds))
        .set("/linux/uidMappings", json!(null))
        .set("/linux/gidMappings", json!(null));
    bundle.args(&["sleep", "100"]);
    let script =
        "\"$0\" run -d c </dev/null >/dev/null 2>&1 && \"$0\" exec c sh -c 'sleep 0.3; readlink /proc/self/exe; exit 4'
        status=$?; \"$0\" delete --force c; exit $status";
    let unshare = ["--map-root-user", "--mount", "sh", "-c", script];
    let call = stage.call_program(std::path::Path::new("/usr/bin/unshare"), &unshare).arg(crate::support::runtime());
    let out = call.cwd(bundle.path()).run();
    assert_eq!(out.exits(4).stdout, "/bin/busybox\n");
}

#[test]
fn shares_every_namespace_and_the_root_of_the_container() {
    let (stage, bundle) = running();
    fs::write(bundle.rootfs().join("mark"), "inside").expect("write");
    stage.rrunc(&["exec", "c", "cat", "/mark"]).success().prints("inside");
    let pid = stage.pid("c").to_string();
    let script = "for n in user pid mnt ipc uts net; do stat -L -c %i /proc/self/ns/$n; done; hostname";
    let out = stage.rrunc(&["exec", "c", "sh", "-c", script]).success();
    let lines: Vec<_> = out.stdout.lines().collect();
    for (name, line) in ["user", "pid", "mnt", "ipc", "uts", "net"].iter().zip(&lines) {
        assert_eq!(*line, namespace(&pid, name).to_string(), "{name}");
    }
    assert_eq!(lines[6], "stage");
    stage.remove("c");
}

#[test]
fn works_in_a_created_container() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    stage.in_bundle(&bundle, &["create", "c"]).success();
    stage.rrunc(&["exec", "c", "hostname"]).success().prints("stage\n");
    assert_eq!(stage.status("c"), "created");
    stage.remove("c");
}

#[test]
fn cwd_env_and_user_options() {
    let (stage, _bundle) = running();
    let script = "pwd; echo $A$B; id -u";
    stage
        .rrunc(&["exec", "--cwd", "/usr", "--env", "A=1", "--env", "B=2", "--user", "0:0", "c", "sh", "-c", script])
        .success()
        .prints("/usr\n12\n0\n");
    // Options stop at the id: these are the program's.
    stage.rrunc(&["exec", "c", "echo", "--cwd", "-e"]).success().prints("--cwd -e\n");
    stage.rrunc(&["exec", "--user", "name", "c", "true"]).fails(255, &["bad uid: name"]);
    stage.rrunc(&["exec", "--user", "0:name", "c", "true"]).fails(255, &["bad gid: name"]);
    let out = stage.rrunc(&["exec", "--user", "77", "c", "true"]).exits(255);
    assert!(!out.stderr.is_empty());
    stage.remove("c");
}

#[test]
fn a_user_that_cannot_be_read_is_never_root() {
    let (stage, _bundle) = running();
    for user in [
        "",
        ":",
        ":0",
        "0:",
        "-1",
        "+0",
        " 0",
        "0 ",
        "0\n",
        "0x0",
        "root",
        "root:root",
        "user:group",
        "0:root",
        "0:-1",
        "0:+0",
        "0:0:0",
        "4294967295",
        "4294967296",
        "18446744073709551616",
        "0:4294967295",
        "0:4294967296",
        "\u{660}",
        "\u{ff10}",
    ] {
        stage.rrunc(&["exec", &format!("--user={user}"), "c", "id"]).fails(255, &["bad "]).prints("");
    }
    stage.rrunc(&["exec", "--user", &"9".repeat(50_000), "c", "id"]).fails(255, &["bad uid"]).prints("");
    stage.rrunc(&["exec", "--user", "00", "c", "id", "-u"]).success().prints("0\n");
    for gid in ["-1", "4294967296", "+x", "root", ""] {
        let out = stage.rrunc(&["exec", "--additional-gids", gid, "c", "id"]);
        assert!(out.code != 0 && !out.stdout.contains("uid="), "{gid}: {out:?}");
    }
    // Documents say it in JSON, where a number is a number.
    let file = stage.dir().join("process.json");
    for uid in ["-1", "\"0\"", "0.5", "1e-1", "4294967295", "4294967296", "true", "[0]", "\"root\""] {
        let text =
            format!(r#"{{"user": {{"uid": {uid}, "gid": 0}}, "args": ["id"], "env": ["PATH=/bin"], "cwd": "/"}}"#);
        std::fs::write(&file, text).expect("write");
        let out = stage.rrunc(&["exec", "--process", file.to_str().expect("plain"), "c"]);
        assert_eq!((out.code, out.stdout.as_str()), (255, ""), "{uid}: {}", out.stderr);
    }
    stage.remove("c");
}

/// To the calls that change ids the largest number means "as before": in a user namespace whose map is not ours to know it
/// would be root.
#[test]
fn the_id_that_is_none_is_refused_where_the_map_is_not_known() {
    let (stage, _bundle) = running();
    let path = format!("/proc/{}/ns/user", stage.pid("c"));
    let joined = stage.bundle_named("joined");
    joined.without_user_namespace().set("/linux/namespaces/-", serde_json::json!({"type": "user", "path": path}));
    joined.args(&["id", "-u"]);
    stage.call(&["run", "j"]).cwd(joined.path()).run().success().prints("0\n");
    for id in ["uid", "gid"] {
        joined.set("/process/user", serde_json::json!({"uid": 0, "gid": 0}));
        joined.set(&format!("/process/user/{id}"), serde_json::json!(u32::MAX));
        stage.call(&["run", "j"]).cwd(joined.path()).run().fails(1, &["4294967295"]).prints("");
    }
    stage.remove("c");
}

#[test]
fn defaults_come_from_the_config() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle
        .set("/process/env", json!(["PATH=/bin", "FROM=config"]))
        .set("/process/cwd", json!("/usr"))
        .set("/process/rlimits", json!([{"type": "RLIMIT_NOFILE", "soft": 77, "hard": 88}]));
    stage.running(&bundle, "c");
    // Those it had when the container was made.
    bundle.set("/process/env", json!(["PATH=/bin", "FROM=elsewhere"])).set("/process/noNewPrivileges", json!(false));
    let script = "echo $FROM; pwd; ulimit -n; grep -E 'CapBnd|CapEff|NoNewPrivs' /proc/self/status; echo $SECRET";
    let out = stage.call(&["exec", "c", "sh", "-c", script]).env("SECRET", "leak").run().success();
    let caps = "CapEff:\t0000000020000420\nCapBnd:\t0000000020000420\nNoNewPrivs:\t1\n";
    assert_eq!(out.stdout, format!("config\n/usr\n77\n{caps}\n"));
    stage.remove("c");
}

#[test]
fn cap_adds_to_bounding_effective_and_permitted() {
    let (stage, _bundle) = running();
    let args = ["exec", "--cap", "CAP_CHOWN", "c", "grep", "^Cap", "/proc/self/status"];
    let out = stage.rrunc(&args).success();
    let set = |name: &str| {
        let line = out.stdout.lines().find(|line| line.starts_with(name)).expect("a capability line");
        u64::from_str_radix(line.split_whitespace().nth(1).expect("a set"), 16).expect("hex")
    };
    for name in ["CapEff", "CapPrm", "CapBnd"] {
        assert_eq!(set(name), 0x2000_0421, "{name}");
    }
    // The config has no inheritable list, so the ambient set is left alone.
    assert_eq!((set("CapInh"), set("CapAmb")), (0, 0));
    stage.remove("c");
}

#[test]
fn no_new_privs_option() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.set("/process/noNewPrivileges", json!(false));
    stage.running(&bundle, "c");
    let privs = ["grep", "-o", "NoNewPrivs.*", "/proc/self/status"];
    let with = [&["exec", "--no-new-privs", "c"][..], &privs].concat();
    stage.rrunc(&with).success().prints("NoNewPrivs:\t1\n");
    let without = [&["exec", "c"][..], &privs].concat();
    stage.rrunc(&without).success().prints("NoNewPrivs:\t0\n");
    stage.remove("c");
}

fn process(args: &[&str]) -> Value {
    let capabilities = json!({"bounding": ["CAP_KILL"], "effective": ["CAP_KILL"], "permitted": ["CAP_KILL"]});
    json!({
        "user": {"uid": 0, "gid": 0}, "args": args, "cwd": "/usr", "env": ["PATH=/bin", "P=file"],
        "capabilities": capabilities
    })
}

#[test]
fn process_file_replaces_everything() {
    let (stage, _bundle) = running();
    let file = stage.dir().join("process.json");
    fs::write(&file, process(&["sh", "-c", "pwd; echo $P; grep CapEff /proc/self/status"]).to_string()).expect("write");
    let path = file.to_str().expect("plain");
    let out = stage.rrunc(&["exec", "--process", path, "c"]).success();
    assert_eq!(out.stdout, "/usr\nfile\nCapEff:\t0000000000000020\n");
    // A pipe is as good as a file.
    let bytes = fs::read(&file).expect("read");
    let mut piped = stage.call(&["exec", "--process", "/dev/stdin", "c"]).stdin_pipe().spawn();
    std::io::Write::write_all(piped.child.stdin.as_mut().expect("a pipe"), &bytes).expect("write");
    assert_eq!(piped.wait().success().stdout, out.stdout);
    fs::write(&file, process(&[]).to_string()).expect("write");
    stage.rrunc(&["exec", "--process", path, "c"]).exits(255);
    stage.remove("c");
}

#[test]
fn what_a_process_file_does_not_say_is_as_in_the_configuration() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.set("/process/rlimits", json!([{"type": "RLIMIT_NOFILE", "soft": 77, "hard": 88}]));
    bundle.set("/process/oomScoreAdj", json!(321)).set("/process/noNewPrivileges", json!(true));
    stage.running(&bundle, "c");
    let file = stage.dir().join("process.json");
    let show = "ulimit -n; cat /proc/self/oom_score_adj; grep -E '^(NoNewPrivs|CapBnd)' /proc/self/status";
    let exec = |changes: Value| {
        let mut document = json!({"args": ["sh", "-c", show], "cwd": "/", "env": ["PATH=/bin"]});
        for (key, value) in changes.as_object().expect("an object") {
            document[key] = value.clone();
        }
        fs::write(&file, document.to_string()).expect("write");
        stage.rrunc(&["exec", "--process", file.to_str().expect("plain"), "c"]).success().stdout
    };
    let init = stage.rrunc(&["exec", "c", "sh", "-c", show]).success().stdout;
    assert!(init.starts_with("77\n321\n") && init.contains("NoNewPrivs:\t1"), "{init}");
    assert_eq!(exec(json!({})), init);
    let own = json!({
        "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 55, "hard": 66}], "oomScoreAdj": 400, "noNewPrivileges": false,
        "capabilities": {"bounding": ["CAP_KILL"], "effective": [], "permitted": [], "inheritable": [], "ambient": []}
    });
    assert_eq!(exec(own), "55\n400\nCapBnd:\t0000000000000020\nNoNewPrivs:\t0\n");
    stage.remove("c");
}

#[test]
fn detach_and_pid_file() {
    let (stage, _bundle) = running();
    let pid_file = stage.dir().join("exec.pid");
    let path = pid_file.to_str().expect("plain");
    stage.rrunc(&["exec", "--detach", "--pid-file", path, "c", "sleep", "3601"]).success();
    let pid = fs::read_to_string(&pid_file).expect("the pid file");
    let cmdline = wait_for("sleep to be executed", || {
        let text = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
        text.contains("3601").then_some(text)
    });
    assert_eq!(cmdline, "sleep\u{0}3601\u{0}");
    assert_eq!(namespace(&pid, "pid"), namespace(&stage.pid("c").to_string(), "pid"));
    stage.remove("c");
    assert_eq!(stage.wait_no_processes(), Vec::<String>::new());
}

#[test]
fn exec_ends_with_the_container() {
    let (stage, _bundle) = running();
    let mut exec = stage.call(&["exec", "c", "sh", "-c", "echo in; exec sleep 3601"]).spawn();
    exec.wait_stdout("in");
    stage.rrunc(&["kill", "c", "KILL"]).success();
    exec.wait().exits(137);
    stage.remove("c");
}

#[test]
fn no_fd_of_the_caller_or_runtime_gets_in() {
    let (stage, _bundle) = running();
    let list = ["exec", "c", "sh", "-c", "ls /proc/self/fd | tr '\\n' ' '"];
    stage.call_after("exec 3</ 7</dev/null 9</", &list).run().success().prints("0 1 2 3 ");
    let kept = ["exec", "--preserve-fds", "1", "c", "sh", "-c", "readlink /proc/self/fd/3"];
    stage.call_after("exec 3</dev/null 4</", &kept).run().success().prints("/dev/null\n");
    stage.remove("c");
}

#[test]
fn tty_gives_a_terminal_of_the_containers_own() {
    let (stage, _bundle) = running();
    let call = stage.call(&["exec", "-t", "c", "sh", "-c", "tty; stty size; test -t 0 && test -t 1 && echo tty-ok"]);
    let terminal = Terminal::start(call, 31, 97);
    let (code, shown) = terminal.wait();
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("/dev/pts/"), "{shown}");
    assert!(shown.contains("31 97"), "{shown}");
    assert!(shown.contains("tty-ok"), "{shown}");
    stage.remove("c");
}

#[test]
fn many_execs_at_once() {
    let (stage, _bundle) = running();
    let execs: Vec<_> =
        (0..20).map(|n| stage.call(&["exec", "c", "sh", "-c", &format!("echo out-{n}; exit {n}")]).spawn()).collect();
    for (n, exec) in execs.into_iter().enumerate() {
        exec.wait().exits(i32::try_from(n).expect("small")).prints(&format!("out-{n}\n"));
    }
    stage.remove("c");
}

#[test]
fn empty_arguments_are_refused() {
    let (stage, _bundle) = running();
    let out = stage.rrunc(&["exec", "c"]);
    assert_ne!(out.code, 0);
    assert!(!out.stderr.is_empty() || !out.stdout.is_empty());
    stage.remove("c");
}

#[test]
fn the_oom_score_of_the_configuration_is_that_of_exec_too() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.set("/process/oomScoreAdj", serde_json::json!(500));
    stage.running(&bundle, "c");
    stage.rrunc(&["exec", "c", "cat", "/proc/self/oom_score_adj"]).success().prints("500\n");
    stage.remove("c");
}
