//! What the program may ask of the kernel. The attacker is this binary itself: static, so that it runs inside as it is.
use crate::scene::Scene;
use crate::support::Output;
use std::ffi::c_long;

/// Errno of each forbidden call, 0 for success. Arguments are such that a kernel that lets the call in says something
/// other than EPERM to an ordinary user.
#[test]
#[ignore = "runs inside a sandbox"]
fn print_errnos() {
    let bad = -1_i64;
    let calls: [(&str, c_long, [i64; 3]); 7] = [
        ("io_uring_setup", libc::SYS_io_uring_setup, [0, 0, 0]),
        ("perf_event_open", libc::SYS_perf_event_open, [0, 0, 0]),
        ("keyctl", libc::SYS_keyctl, [0, -3, 0]),
        ("add_key", libc::SYS_add_key, [0, 0, 0]),
        ("userfaultfd", libc::SYS_userfaultfd, [bad, 0, 0]),
        ("TIOCSTI", libc::SYS_ioctl, [bad, 0x5412, 0]),
        ("TIOCSTI with high bits", libc::SYS_ioctl, [bad, 0x5412 | 1 << 32, 0]),
    ];
    for (name, number, [a, b, c]) in calls {
        // SAFETY: pointers are null, and the kernel refuses the rest or does no harm.
        let result = unsafe { libc::syscall(number, a, b, c, 0, 0) };
        let errno = if result < 0 { std::io::Error::last_os_error().raw_os_error().expect("an errno") } else { 0 };
        println!("payload: {name} {errno}");
    }
}

fn lines(out: &Output) -> Vec<(String, i32)> {
    let payload = out.stdout.lines().filter_map(|line| line.split_once("payload: ")?.1.rsplit_once(' '));
    payload.map(|(name, errno)| (name.to_owned(), errno.parse().expect("a number"))).collect()
}

#[test]
fn rows_6_and_14_forbidden_calls_are_refused_by_the_filter() {
    let scene = Scene::new();
    let own = std::env::current_exe().expect("our own path");
    let arguments = ["kernel::print_errnos", "--exact", "--ignored", "--nocapture", "--test-threads=1"];
    let control = lines(&scene.stage().call_program(&own, &arguments).run().success());
    assert_eq!(control.len(), 7);
    let bind = format!("{}:/tmp/payload", own.display());
    let inside = scene.run(&[&["--ro-bind", &bind, "--", "/tmp/payload"][..], &arguments].concat()).success();
    for ((name, inside), (_, outside)) in lines(&inside).into_iter().zip(control) {
        assert_eq!(inside, libc::EPERM, "{name}");
        assert_ne!(outside, libc::EPERM, "{name}: the control");
    }
}

#[test]
fn rows_15_and_16_no_mount_and_no_namespace() {
    let scene = Scene::new();
    let namespace = "unshare --user --map-root-user --mount sh -c 'mount -t tmpfs none /tmp && echo mounted'";
    scene.outside(namespace).success().prints("mounted\n");
    scene.script(&[], &format!("{namespace}; true")).success().prints("");
    scene
        .script(&["--as-root"], "mount -o remount,rw /usr; umount /proc/sys; mount -t tmpfs none /tmp; true")
        .success()
        .prints("");
    let out = scene.script(&["--as-root"], "mount -t tmpfs none /tmp; umount /tmp");
    assert_ne!(out.code, 0, "{out:?}");
}

#[test]
fn row_27_no_capability_no_new_privilege_no_setgroups() {
    let scene = Scene::new();
    for flags in [&[][..], &["--as-root"]] {
        let script = "grep -hE '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status; cat /proc/self/setgroups";
        let out = scene.script(flags, script).success();
        let words: Vec<_> = out.stdout.split_whitespace().collect();
        assert_eq!(words.iter().filter(|word| **word == "0000000000000000").count(), 5, "{out:?}");
        assert!(out.stdout.contains("NoNewPrivs:\t1\nSeccomp:\t2\n") && out.stdout.ends_with("deny\n"), "{out:?}");
    }
    let control = scene.outside("grep CapBnd /proc/self/status; cat /proc/self/setgroups");
    assert!(!control.stdout.contains("0000000000000000") && control.stdout.contains("allow"), "{control:?}");
}

#[test]
fn where_proc_is_masked_it_says_so() {
    let scene = Scene::new();
    let call = |prelude: &str, flags: &str| {
        let program = crate::support::runtime();
        let script = format!("{prelude}; exec {} sandbox {flags} -- cat /proc/self/comm", program.display());
        let arguments =
            ["--user", "--map-root-user", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-c", &script];
        let unshare = crate::support::find_program("unshare").expect("unshare");
        scene.stage().call_program(&unshare, &arguments).cwd(&scene.project()).run()
    };
    let mask = "mount --bind /dev/null /proc/kcore; mount -t tmpfs none /proc/sys";
    call(mask, "").fails(125, &["/proc", "unmask", "--allow-weaker proc"]);
    call(mask, "--allow-weaker proc").success().prints("cat\n");
    call(mask, "--allow-weaker proc --require proc").fails(125, &["--require proc"]);
    call("true", "").success();
    // Where it can be mounted it is, whatever may be weaker.
    call("true", "--allow-weaker proc --require proc").success();
}
