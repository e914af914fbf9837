//! Real programs: what people put into a sandbox.
use crate::support::place::{script, write};
use crate::support::{Lacks, Place, find_program, skip};
use std::fs;
use std::process::Command;

fn lacks(name: &'static str) -> bool {
    let missing = find_program(name).is_none();
    if missing {
        skip(Lacks::Package(name));
    }
    missing
}

#[test]
fn python_runs_with_threads_processes_and_files() {
    if lacks("python3") {
        return;
    }
    let place = Place::new();
    let text = "import multiprocessing as m, tempfile, threading, sqlite3, ssl, os\n\
        def f(n): return n*n\n\
        if __name__ == '__main__':\n\
        \twith m.Pool(3) as p: print(p.map(f, [1, 2, 3]))\n\
        \tt = threading.Thread(target=print, args=('thread',)); t.start(); t.join()\n\
        \tprint(tempfile.NamedTemporaryFile().name.startswith('/tmp/'))\n\
        \tsqlite3.connect('db').execute('create table t(x)'); print(os.path.exists('db'))\n\
        \tprint(os.path.expanduser('~') == os.environ['HOME'])\n";
    write(&place.project().join("probe.py"), text);
    let out = place.sandbox(&["--", "python3", "probe.py"]).run().success();
    assert_eq!(out.stdout, "[1, 4, 9]\nthread\nTrue\nTrue\nTrue\n", "{}", out.stderr);
    assert_eq!(out.stderr, "");
}

#[test]
fn make_builds_with_a_compiler() {
    if lacks("make") || lacks("cc") {
        return;
    }
    let place = Place::new();
    write(&place.project().join("main.c"), "#include <stdio.h>\nint main(void) { puts(\"built\"); return 3; }\n");
    write(&place.project().join("Makefile"), "main: main.c\n\tcc -O1 -o $@ $<\n");
    place.sh(&[], "make -s -j2 && ./main").exits(3).prints("built\n");
    // What was built runs outside as well.
    let out = Command::new(place.project().join("main")).output().expect("main");
    assert_eq!(out.stdout, b"built\n");
}

#[test]
fn node_runs() {
    if find_program("node").is_none() {
        return skip(Lacks::Machine("node is not installed"));
    }
    let place = Place::new();
    let text = "const {execSync} = require('child_process'); require('fs').writeFileSync('made', 'x'); \
        new (require('worker_threads').Worker)('console.log(\"worker\")', {eval: true}); console.log(execSync('echo child')+'')";
    let out = place.sandbox(&["--", "node", "-e", text]).run().success();
    assert!(out.stdout.contains("child") && out.stdout.contains("worker"), "{}", out.stdout);
    assert!(place.project().join("made").exists());
}

#[test]
fn tools_that_look_at_the_system_work() {
    let place = Place::new();
    if !lacks("ps") {
        place.sh(&[], "ps >/dev/null").success();
    }
    place.sh(&[], "whoami && df . >/dev/null && getent passwd $(id -u) >/dev/null && find . >/dev/null && tar -cf /tmp/x.tar . && date >/dev/null && nproc >/dev/null").success();
    place.sh(&[], "dd if=/dev/urandom bs=1k count=64 2>/dev/null | sha256sum >/dev/null && echo x >/dev/null && head -c1 /dev/zero | wc -c").success().prints("1\n");
}

#[test]
fn odd_places_for_a_project_are_places_like_any_other() {
    let place = Place::new();
    for name in ["two words", "pr\u{f6}j\u{e9}t \u{2206}", "semi;colon $(x)", "-dash"] {
        let dir = place.home().join(name);
        fs::create_dir(&dir).expect("mkdir");
        let out = place.sandbox(&["--", "sh", "-c", "pwd; touch made"]).cwd(&dir).run().success();
        assert_eq!((out.line(), out.stderr.as_str()), (dir.to_str().expect("text"), ""));
        assert!(dir.join("made").exists(), "{name}");
    }
}

#[test]
fn nothing_of_the_callers_environment_is_needed() {
    let place = Place::new();
    let home = nix::unistd::User::from_uid(nix::unistd::getuid()).expect("passwd").expect("an account").dir;
    let bare = |names: &[&str], script: &str| {
        let call = names.iter().fold(place.sandbox(&["--", "sh", "-c", script]), |call, name| call.no_env(name));
        call.run().success().stdout
    };
    assert_eq!(bare(&["PATH"], "echo $PATH; ls >/dev/null"), "/usr/local/bin:/usr/bin:/bin\n");
    assert_eq!(bare(&["TERM", "LANG", "USER", "SHELL"], "echo $TERM; id -un >/dev/null"), "\n");
    // Without HOME it is the account's.
    assert_eq!(bare(&["HOME"], "echo $HOME"), format!("{}\n", home.display()));
}

#[test]
fn tools_below_home_are_found_through_path() {
    let place = Place::new();
    let mut path = vec!["/usr/bin:/bin".to_owned()];
    for (dir, name) in [(".cargo/bin", "own-cargo"), ("go/bin", "own-go"), (".local/bin", "own-local")] {
        script(&place.home().join(dir).join(name), "#!/bin/sh\necho ${0##*/}\n");
        path.push(place.home().join(dir).display().to_string());
    }
    let call = place.sandbox(&["--", "sh", "-c", "own-cargo; own-go; own-local"]).env("PATH", path.join(":"));
    call.run().success().prints("own-cargo\nown-go\nown-local\n");
}
