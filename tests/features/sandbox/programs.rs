//! Real programs: what people put into a sandbox.
use crate::support::place::write;
use crate::support::{Lacks, Place, find_program, skip};
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
fn cargo_builds_offline() {
    // A toolchain in somebody's home that this account may not enter is none.
    let runs =
        |path: &std::path::Path| Command::new(path).arg("--version").output().is_ok_and(|out| out.status.success());
    let Some(cargo) = find_program("cargo").filter(|path| runs(path)) else {
        return skip(Lacks::Machine("no cargo that this account can run"));
    };
    let place = Place::new();
    write(&place.project().join("Cargo.toml"), "[package]\nname = \"tiny\"\nversion = \"0.1.0\"\nedition = \"2021\"\n");
    write(&place.project().join("src/main.rs"), "fn main() { println!(\"built\"); }\n");
    // Where the toolchain is not in the view by itself, it is granted.
    let real = cargo.canonicalize().expect("its place");
    let dir = real.parent().and_then(|bin| bin.parent()).expect("a directory").display().to_string();
    let cargo = cargo.display().to_string();
    let build = ["--ro-bind", &dir, "--", &cargo, "run", "--offline", "--quiet"];
    place.sandbox(&build).run().success().prints("built\n");
    assert!(place.project().join("target/debug/tiny").exists());
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
    place.sh(&[], "whoami && ps >/dev/null && df . >/dev/null && getent passwd $(id -u) >/dev/null && find . >/dev/null && tar -cf /tmp/x.tar . && date >/dev/null && nproc >/dev/null").success();
    place.sh(&[], "dd if=/dev/urandom bs=1k count=64 2>/dev/null | sha256sum >/dev/null && echo x >/dev/null && head -c1 /dev/zero | wc -c").success().prints("1\n");
}
