//! Tools that programs are built with and looked after, as they are outside.
use crate::scene::Scene;
use crate::support::{Lacks, find_program, skip};

#[test]
fn row_w1_programs_with_sanitizers_run() {
    if find_program("cc").is_none() {
        return skip(Lacks::Package("cc"));
    }
    let scene = Scene::new();
    scene.outside("printf '#include <stdio.h>\\nint main(void) { puts(\"ran\"); }\\n' > x.c").success();
    let mut built = 0;
    for kind in ["address", "thread", "undefined", "leak"] {
        // Not each is there for every machine.
        let out = scene.outside(&format!("cc -fsanitize={kind} x.c -o {kind} 2>/dev/null && ./{kind}"));
        if out.stdout != "ran\n" {
            continue;
        }
        built += 1;
        scene.run(&["--", &format!("./{kind}")]).success().prints("ran\n");
        // A limit of the user's own is one of each process as well, but where a flag says otherwise.
        let own = ["-m", "500m", "--ulimit", "data=unlimited", "--", &format!("./{kind}")];
        scene.run(&own).success().prints("ran\n");
    }
    if built == 0 {
        skip(Lacks::Machine("a compiler with sanitizers"));
    }
}

#[test]
fn row_w19_what_leads_into_the_programs_from_etc_is_there() {
    let scene = Scene::new();
    let script = "for name in os-release localtime; do test ! -e /etc/$name || cksum < /etc/$name; done";
    let outside = scene.outside(script).success().stdout;
    scene.script(&[], script).success().prints(&outside);
}

#[test]
fn row_w21_run_has_its_old_names_unless_the_user_puts_something_there() {
    let scene = Scene::new();
    let script = "mkdir /var/run/server && test -d /run/server && readlink /var/run /var/lock";
    scene.script(&[], script).success().prints("/run\n/run\n");
    std::fs::create_dir(scene.project().join("own")).expect("mkdir");
    std::fs::write(scene.project().join("own/x"), "").expect("write");
    let own = format!("{}:/var/run", scene.project().join("own").display());
    scene.script(&["--bind", &own], "ls /var/run; readlink /var/run /var/lock").prints("x\n/run\n");
    scene.script(&["--tmpfs", "/var/run"], "touch /var/run/y && ls /run").prints("");
    scene.script(&["--symlink", "/tmp:/var/lock"], "readlink /var/run /var/lock").prints("/run\n/tmp\n");
}

#[test]
fn row_w23_the_hosts_own_names_are_known_where_its_network_is() {
    let scene = Scene::new();
    let host = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let inside = scene.script(&["--network", "host"], "cat /etc/hosts").success().stdout;
    assert!(inside.ends_with(&host) && inside.starts_with("127.0.0.1 localhost sandbox\n"), "{inside}");
    // Elsewhere they would lead nowhere, and tell of the host.
    scene.script(&[], "cat /etc/hosts").success().prints("127.0.0.1 localhost sandbox\n::1 localhost sandbox\n");
}
