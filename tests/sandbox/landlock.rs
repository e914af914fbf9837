//! Landlock in every sandbox: on a kernel without it, and with programs that must not notice.
use crate::scene::Scene;
use crate::support::{Lacks, Terminal, find_program, skip};
use rrunc::seccomp::compile;
use rrunc::sys::landlock::abi;
use serde_json::json;

/// Runs `action` where the kernel answers as one without Landlock.
fn without_landlock<T: Send>(action: impl FnOnce() -> T + Send) -> T {
    let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["landlock_create_ruleset"], "action": "SCMP_ACT_ERRNO", "errnoRet": libc::ENOSYS}]});
    let filter = compile(&serde_json::from_value(profile).expect("a profile")).expect("it compiles");
    let bound = || {
        nix::sys::prctl::set_no_new_privs().expect("no_new_privs");
        rrunc::sys::seccomp::load(&filter).expect("the kernel takes the filter");
        action()
    };
    std::thread::scope(|scope| scope.spawn(bound).join()).expect("the thread ends by itself")
}

#[test]
fn a_kernel_without_it_is_named_and_gets_no_host_network() {
    let scene = Scene::new();
    let debug =
        || scene.stage().call(&["--debug", "sandbox", "--", "sh", "-c", "kill -0 1"]).cwd(&scene.project()).run();
    let host = ["--network", "host", "--", "true"];
    without_landlock(|| {
        let out = debug().success();
        assert!(out.stderr.contains("landlock ABI 0: enforced: none; not enforced: files, abstract"), "{}", out.stderr);
        let texts = ["abstract unix sockets of your session", "has no Landlock", "leave out --network host"];
        scene.run(&host).fails(125, &texts);
        scene.run(&[&["--print-config"], &host[..]].concat()).fails(125, &texts);
        let weaker = scene.run(&[&["--allow-weaker", "network"], &host[..]].concat()).success();
        assert!(weaker.stderr.contains("could be reached: this kernel has no Landlock"), "{}", weaker.stderr);
    });
    if abi() < 6 {
        return skip(Lacks::Machine("Landlock ABI 6"));
    }
    let out = debug().exits(1);
    assert!(out.stderr.contains("not enforced: none"), "{}", out.stderr);
    scene.run(&host).success();
}

#[test]
fn rules_for_files_do_not_stand_in_the_way_of_user_namespaces() {
    if abi() < 6 {
        return skip(Lacks::Machine("Landlock ABI 6"));
    }
    let scene = Scene::new();
    let script = "unshare -Urm sh -c 'mount -t tmpfs tmpfs /tmp && echo mounted'; kill -0 1 || echo bound";
    scene.script(&["--userns"], script).success().prints("mounted\nbound\n");
    // The control: with the rules the kernel refuses it.
    let dir = scene.stage().dir().join("written");
    let name = dir.to_str().expect("plain");
    scene.script(&["--userns", "--write-bundle", name], script).success();
    let file = dir.join("config.json");
    let config = std::fs::read_to_string(&file).expect("read");
    let changed = config.replace("\"abstract-sockets,signals\"", "\"files,abstract-sockets,signals\"");
    assert_ne!(config, changed);
    std::fs::write(&file, changed).expect("write");
    let out = scene.stage().rrunc(&["run", "--bundle", name, "c"]).success().prints("bound\n");
    assert!(out.stderr.contains("Operation not permitted"), "{}", out.stderr);
}

#[test]
fn ordinary_programs_do_not_notice() {
    let scene = Scene::new();
    let everyday = "mkdir a b; echo 1 > a/f; mv a/f b/g; ln b/g a/h; mv b a/b; mv a/b/g a; ln -s g a/s; \
        echo 2 > a/g; : > a/g; echo 3 >> a/h; truncate -s 1 a/g; mkfifo p; (cat p > q &); echo 4 > p; \
        echo x > /dev/null; echo x 2>/dev/full >/dev/null; echo x > /dev/shm/x; echo x > /run/x; \
        mv /run/x /tmp/x; mv /tmp/x /var/tmp/y; mv /var/tmp/y ~/z; mkdir -p ~/.cache/c; mv ~/z ~/.cache/c; \
        sh -c 'echo x > /proc/self/comm'; sleep 9 & kill $!; rm -r a p; echo out > /dev/stdout; \
        echo err > /dev/stderr; echo proc >> /proc/self/fd/1";
    let out = scene.script(&[], &format!("set -e; {everyday}")).success();
    assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("out\nproc\n", "err\n"));
}

#[test]
fn git_and_python_do_not_notice() {
    let scene = Scene::new();
    let git = "git init -q . && git config user.name A && git config user.email a@b && echo 1 > f && git add f && \
        git commit -qm one && git gc -q && git mv f g && git stash -q && git stash pop -q && git commit -qm two && \
        git worktree add -q /tmp/w && git -C /tmp/w log --format=%s";
    // An unnamed file linked into a directory, a socket, a rename over another, one of its own ptys.
    let python = "import os, socket, ctypes, multiprocessing\nos.mkdir('d'); s = socket.socket(socket.AF_UNIX); s.bind('d/s')\n\
        fd = os.open('.', os.O_TMPFILE | os.O_RDWR); os.write(fd, b'text')\n\
        r = ctypes.CDLL(None).linkat(-100, b'/proc/self/fd/%d' % fd, -100, b'd/l', 0x400); assert r == 0\n\
        open('k', 'w').write('k'); os.replace('k', 'd/l'); os.truncate('d/l', 0)\n\
        a, b = os.openpty(); open(os.ttyname(b), 'wb', 0).write(b'x')\n\
        m = os.memfd_create('m'); open('/proc/self/fd/%d' % m, 'w').write('m')\n\
        r, w = os.pipe(); open('/proc/self/fd/%d' % w, 'w').write('w')\n\
        multiprocessing.Lock(); print('done')";
    for (program, command, expected) in
        [("git", &["sh", "-c", git][..], "two\none\n"), ("python3", &["python3", "-c", python], "done\n")]
    {
        match find_program(program) {
            Some(path) if path.starts_with("/usr") => {
                scene.run(&[&["--"], command].concat()).success().prints(expected);
            }
            _ => skip(Lacks::Machine("git or python3 in /usr")),
        }
    }
}

#[test]
fn the_terminal_can_be_opened_again() {
    let scene = Scene::new();
    let script = "echo one > /dev/tty; echo two > $(tty); echo three > /dev/stdout; echo four";
    let (code, shown) = Terminal::start(scene.call(&["--", "sh", "-c", script]), 24, 80).wait();
    assert_eq!(code, 0, "{shown}");
    assert!(["one", "two", "three", "four"].iter().all(|word| shown.contains(word)), "{shown}");
}
