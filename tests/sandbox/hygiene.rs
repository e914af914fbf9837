//! What comes along from the caller: environment, descriptors, terminal, network, limits.
use crate::scene::Scene;
use crate::support::{Lacks, Terminal, find_program, skip};
use std::net::TcpListener;

#[test]
fn row_5_only_listed_variables_pass() {
    let scene = Scene::new();
    let all = |args: &[&str]| {
        let call = scene.call(args).env("AWS_SECRET_ACCESS_KEY", "hunter2").env("LD_PRELOAD", "").env("LC_TIME", "C");
        let out = call.env("DISPLAY", ":0").run().success();
        let mut names: Vec<_> = out.stdout.lines().filter_map(|l| Some(l.split_once('=')?.0.to_owned())).collect();
        names.sort();
        names
    };
    let but_gits = |names: Vec<String>| -> Vec<String> {
        let (git, others): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| name.starts_with("GIT_CONFIG_"));
        assert_eq!(git.len(), 7, "{git:?}");
        others
    };
    assert_eq!(but_gits(all(&["--network", "host", "--", "env"])), ["HOME", "LC_TIME", "LOGNAME", "PATH", "USER"]);
    let own =
        ["CARGO_NET_RETRY", "HOME", "LC_TIME", "LOGNAME", "PATH", "PIP_RETRIES", "USER", "npm_config_fetch_retries"];
    assert_eq!(but_gits(all(&["--", "env"])), own);
    let granted = all(&["-e", "AWS_SECRET_ACCESS_KEY", "-e", "NEW=1", "--", "env"]);
    assert!(["AWS_SECRET_ACCESS_KEY", "NEW"].iter().all(|name| granted.contains(&(*name).to_owned())), "{granted:?}");
    // The reaper's memory is closed to the program; the program's own holds what the caller had chosen.
    let out = scene.call(&["--", "cat", "/proc/1/environ"]).env("TOKEN", "hunter2").run().exits(1);
    assert!(out.stdout.is_empty() && out.stderr.contains("Permission denied"), "{out:?}");
    let own = scene.call(&["--", "cat", "/proc/self/environ"]).env("TOKEN", "hunter2").run().success();
    assert!(own.stdout.contains("HOME=") && !own.stdout.contains("hunter2"), "{own:?}");
}

#[test]
fn row_3_a_directory_as_a_standard_stream_is_refused() {
    let scene = Scene::new();
    let through = "ls -d /proc/self/fd/0/root";
    assert_eq!(scene.outside(&format!("exec </; {through}")).success().line(), "/proc/self/fd/0/root", "control");
    for redirect in ["exec 0</", "exec 1</", "exec 2</"] {
        let out =
            scene.stage().call_after(redirect, &["sandbox", "--", "sh", "-c", through]).cwd(&scene.project()).run();
        assert_eq!((out.code, out.stdout.as_str()), (125, ""), "{redirect}: {out:?}");
    }
}

#[test]
fn descriptors_end_at_2_even_if_a_service_manager_passes_more() {
    let scene = Scene::new();
    // `exec` keeps the pid, which LISTEN_PID has to name.
    let activate = "exec 3</ 9</; export LISTEN_FDS=1 LISTEN_PID=$$ NOTIFY_SOCKET=@nobody";
    let list = "ls /proc/self/fd/3/ /proc/self/fd/9/ 2>/dev/null; env | grep -E 'LISTEN|NOTIFY'";
    let out = scene.stage().call_after(activate, &["sandbox", "--", "sh", "-c", list]).cwd(&scene.project()).run();
    out.exits(1).prints("");
    let bundle = scene.stage().bundle();
    bundle.args(&["sh", "-c", "ls /proc/self/fd/3/; env"]);
    let activate = activate.replace("NOTIFY_SOCKET=@nobody", "");
    let control = scene.stage().call_after(&activate, &["run", "c"]).cwd(bundle.path()).run().success();
    assert!(control.stdout.contains("usr") && control.stdout.contains("LISTEN_FDS=1"), "run passes them: {control:?}");
}

#[test]
fn row_6_the_terminal_is_another_one() {
    let scene = Scene::new();
    let call = scene.call(&["--", "sh", "-c", "tty; stty size; echo end"]);
    let mut terminal = Terminal::start(call, 33, 99);
    let seen = terminal.expect("end");
    assert!(seen.contains("/dev/pts/0") && seen.contains("33 99"), "{seen}");
    assert_eq!(terminal.wait().0, 0);
}

#[test]
fn without_a_terminal_there_is_none() {
    let scene = Scene::new();
    scene
        .call(&["--", "sh", "-c", "tty; cat; ls /dev/pts"])
        .stdin("piped\0\x04\n")
        .run()
        .success()
        .prints("not a tty\npiped\0\x04\nptmx\n");
}

#[test]
fn the_network_is_none_unless_it_is_the_hosts() {
    if find_program("bash").is_none() {
        return skip(Lacks::Machine("bash"));
    }
    let scene = Scene::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
    let connect =
        format!("exec 3<>/dev/tcp/127.0.0.1/{} && echo connected", listener.local_addr().expect("addr").port());
    scene.run(&["--", "bash", "-c", &connect]).exits(1).prints("");
    scene.run(&["--network", "host", "--", "bash", "-c", &connect]).success().prints("connected\n");
    scene.script(&[], "ls /sys/class/net; cat /etc/resolv.conf").success().prints("lo\nnameserver 127.0.0.1\n");
}

#[test]
fn cores_are_limited_also_where_they_are_forbidden_already() {
    let scene = Scene::new();
    let limit = "grep core /proc/self/limits | tr -s ' '";
    scene.script(&[], limit).success().prints("Max core file size 1 1 bytes \n");
    let forbidden = ["sandbox", "--", "sh", "-c", limit];
    let out = scene.stage().call_after("ulimit -Hc 0", &forbidden).cwd(&scene.project()).run();
    out.success().prints("Max core file size 0 0 bytes \n");
}

#[test]
fn row_22_the_limit_that_keeps_the_core_handler_out_cannot_be_lowered() {
    let scene = Scene::new();
    let lower = "ulimit -Sc 0 && grep 'core file' /proc/self/limits | tr -s ' '";
    // Who tries is told that it is done: a sanitizer gives up otherwise.
    scene.script(&[], lower).success().prints("Max core file size 1 1 bytes \n");
    // Neither by high bits that the kernel does not look at, nor through the other call. Others may be lowered.
    if find_program("python3").is_some() {
        let script = "import ctypes, resource\n\
            libc = ctypes.CDLL(None, use_errno=True)\n\
            zero = (ctypes.c_ulong * 2)(0, 0)\n\
            print(libc.syscall(302, 0, ctypes.c_long(4 | 1 << 32), zero, None), libc.syscall(160, 4, zero))\n\
            print(resource.getrlimit(resource.RLIMIT_CORE))\n\
            resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20)); print('lowered')\n";
        let out = scene.run(&["--", "python3", "-c", script]);
        if cfg!(target_arch = "x86_64") {
            out.success().prints("-1 0\n(1, 1)\nlowered\n");
        }
    }
    // The control.
    scene.script(&["--security-opt", "seccomp=default"], lower).success().prints("Max core file size 0 1 bytes \n");
}

#[test]
fn the_umask_is_the_callers() {
    let scene = Scene::new();
    for mask in ["0077", "0002"] {
        let out = scene.stage().call_after(&format!("umask {mask}"), &["sandbox", "--", "sh", "-c", "umask"]);
        out.cwd(&scene.project()).run().success().prints(&format!("{mask}\n"));
    }
}
