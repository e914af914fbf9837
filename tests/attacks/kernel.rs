//! Rows 11, 12, 19: device nodes, the kernel's knobs under /proc and /sys, masks that are redirected, cgroups.
use crate::support::{Stage, Terminal, program};
use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;

#[test]
fn row_11_no_device_nodes_beyond_the_default_set() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    for set in ["bounding", "effective", "permitted"] {
        bundle.set(&format!("/process/capabilities/{set}"), json!(["CAP_MKNOD", "CAP_DAC_OVERRIDE", "CAP_SYS_ADMIN"]));
    }
    // A fifo can be made in the same place, so what fails is the device.
    bundle.script("mknod /dev/p p && echo fifo; mknod /dev/sda b 8 0 2>&1; mknod /dev/mem c 1 1 2>&1; rm /dev/p; find /dev -type b -o -type c | sort");
    let out = stage.run(&bundle).success();
    let lines: Vec<_> = out.stdout.lines().collect();
    assert_eq!(
        lines[..3],
        ["fifo", "mknod: /dev/sda: Operation not permitted", "mknod: /dev/mem: Operation not permitted"]
    );
    let allowed = ["full", "null", "ptmx", "random", "tty", "urandom", "zero", "console"];
    for node in &lines[3..] {
        let name = node.trim_start_matches("/dev/").trim_start_matches("pts/");
        assert!(allowed.contains(&name), "{node}: {lines:?}");
    }
}

#[test]
fn row_12_kernel_knobs_are_read_only() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    // ip_forward belongs to the container's own network namespace: only the read-only path protects it.
    let knob = "/proc/sys/net/ipv4/ip_forward";
    bundle.script(&format!("echo 1 >{knob} && cat {knob}"));
    for set in ["bounding", "effective", "permitted"] {
        bundle.set(&format!("/process/capabilities/{set}"), json!(["CAP_NET_ADMIN"]));
    }
    let paths = bundle.config()["linux"]["readonlyPaths"].clone();
    bundle.unset("/linux/readonlyPaths");
    stage.run(&bundle).success().prints("1\n");
    bundle.set("/linux/readonlyPaths", paths);
    stage.run(&bundle).exits(1).prints("");

    let knobs = [knob, "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/proc/irq/default_smp_affinity"];
    for knob in knobs {
        bundle.script(&format!("test -e {knob} || exit 9; echo x >{knob}"));
        let out = stage.run(&bundle);
        if out.code == 9 {
            continue; // This kernel has not got it.
        }
        assert_eq!(out.code, 1, "{knob}: {out:?}");
        assert!(out.stderr.contains("Read-only file system"), "{knob}: {out:?}");
    }
    bundle.script("for f in /sys/kernel/mm/transparent_hugepage/enabled /sys/kernel/profiling; do (echo 1 >$f) 2>&1; done; touch /sys/x 2>&1");
    let out = stage.run(&bundle);
    let refused = |line: &str| {
        ["Read-only file system", "nonexistent directory", "No such file"].iter().any(|t| line.contains(t))
    };
    assert!(out.stdout.lines().all(refused), "{}", out.stdout);
}

#[test]
fn row_12_masked_files_are_empty_even_for_a_root_with_every_capability() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let masked = bundle.config()["linux"]["maskedPaths"].clone();
    bundle.script(
        "cat /proc/timer_list /proc/keys 2>/dev/null | wc -c; umount /proc/keys 2>/dev/null; cat /proc/keys | wc -c",
    );
    for set in ["bounding", "effective", "permitted"] {
        bundle.set(&format!("/process/capabilities/{set}"), json!(["CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE"]));
    }
    bundle.unset("/linux/maskedPaths");
    let open = stage.run(&bundle).success();
    assert_ne!(open.stdout.lines().next(), Some("0"), "the control must have something to read");
    bundle.set("/linux/maskedPaths", masked);
    let out = stage.run(&bundle).success();
    assert_eq!(out.stdout.lines().next(), Some("0"), "{}", out.stdout);
}

#[test]
fn row_12_a_null_device_replaced_by_a_link_does_not_redirect_the_masks() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let root = bundle.rootfs();
    fs::write(root.join("password"), "secret").expect("write");
    fs::write(root.join("etc/target"), "target").expect("write");
    // No /dev of the config's own: the rootfs decides what /dev/null is.
    bundle.edit(|config| {
        let mounts = config["mounts"].as_array_mut().expect("mounts");
        mounts.retain(|mount| !mount["destination"].as_str().expect("a path").starts_with("/dev"));
    });
    bundle.set("/linux/maskedPaths", json!(["/password"])).script("cat /password; echo y >/password; cat /etc/target");
    bundle.set("/root/readonly", json!(false));
    // The control: with an honest /dev the mask is a mask, and the program's write to it is lost.
    stage.run(&bundle).success().prints("target");
    assert_eq!(fs::read_to_string(root.join("password")).expect("read"), "secret");
    let null = root.join("dev/null");
    for target in ["/etc/target", "/proc/sys/kernel/core_pattern", "/proc/self/environ", "../etc/target"] {
        let _gone = fs::remove_file(&null);
        symlink(target, &null).expect("symlink");
        let out = stage.run(&bundle);
        assert!(!out.stdout.contains("secret"), "{target}: the mask failed: {out:?}");
        let body = fs::read_to_string(root.join("etc/target")).expect("read");
        assert_eq!(body, "target", "{target}: written through the mask");
        assert_eq!(fs::read_to_string(root.join("password")).expect("read"), "secret", "{target}");
        assert!(out.code != 0 || out.stdout == "target", "{target}: {out:?}");
    }
}

#[test]
fn row_12_a_console_replaced_by_a_link_is_not_followed_out() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let root = bundle.rootfs();
    bundle.edit(|config| {
        let mounts = config["mounts"].as_array_mut().expect("mounts");
        mounts.retain(|mount| mount["destination"] != "/dev");
    });
    bundle.set("/process/terminal", json!(true)).set("/root/readonly", json!(false));
    for name in ["pts", "shm", "mqueue"] {
        fs::create_dir(root.join("dev").join(name)).expect("mkdir");
    }
    bundle.script("cat /proc/self/mountinfo | cut -d' ' -f5; exit 5");
    let list = |stage: &Stage| Terminal::start(stage.call(&["run", "c"]).cwd(bundle.path()), 24, 80).wait();
    // The control: an ordinary /dev/console is covered by the terminal.
    let (code, shown) = list(&stage);
    assert!(code == 5 && shown.contains("/dev/console"), "{code} {shown}");
    let _gone = fs::remove_file(root.join("dev/console"));
    symlink("/proc/sys/kernel/core_pattern", root.join("dev/console")).expect("symlink");
    let (code, shown) = list(&stage);
    assert!(code == 5 || code == 1, "{code} {shown}");
    assert!(!shown.contains("core_pattern") || code == 1, "the terminal covers core_pattern: {shown}");
}

#[test]
fn row_12_a_terminal_directory_replaced_by_a_link_is_not_followed_out() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let root = bundle.rootfs();
    bundle.set("/process/terminal", json!(true)).set("/root/readonly", json!(false));
    bundle.script("echo fs $(stat -f -c %T $(tty)); cut -d' ' -f5 /proc/self/mountinfo; exit 5");
    let run = || Terminal::start(stage.call(&["run", "c"]).cwd(bundle.path()), 24, 80).wait();
    // The control: with an honest /dev the terminal is one of the container's own devpts.
    let (code, shown) = run();
    assert!(code == 5 && shown.contains("fs devpts"), "{code} {shown}");
    // Now the rootfs decides what /dev and /dev/pts are: first with the config's devpts mounted there, then without.
    bundle.edit(|config| {
        let mounts = config["mounts"].as_array_mut().expect("mounts");
        mounts.retain(|mount| mount["destination"] != "/dev");
    });
    for name in ["shm", "mqueue"] {
        fs::create_dir_all(root.join("dev").join(name)).expect("mkdir");
    }
    fs::create_dir(root.join("planted")).expect("mkdir");
    for name in ["ptmx", "0", "1"] {
        fs::write(root.join("planted").join(name), "target").expect("write");
    }
    let pts = root.join("dev/pts");
    for mounted in [true, false] {
        if !mounted {
            bundle.edit(|config| {
                let mounts = config["mounts"].as_array_mut().expect("mounts");
                mounts.retain(|mount| mount["destination"] != "/dev/pts");
            });
        }
        for target in ["/planted", "../planted", "/proc/sys/kernel", "/proc/self/fd", "/proc", "/etc"] {
            let _gone = fs::remove_file(&pts).or_else(|_| fs::remove_dir(&pts));
            symlink(target, &pts).expect("symlink");
            let (code, shown) = run();
            assert!(code == 5 || code == 1, "{mounted} {target}: {code} {shown}");
            // Either it refuses, or the terminal still is one, and nothing covers the kernel's files.
            assert!(code == 1 || shown.contains("fs devpts"), "{mounted} {target}: {shown}");
            assert!(!shown.contains("/proc/sys/kernel/") || code == 1, "{mounted} {target}: {shown}");
            for name in ["ptmx", "0", "1"] {
                assert_eq!(fs::read_to_string(root.join("planted").join(name)).expect("read"), "target", "{target}");
            }
        }
    }
}

#[test]
fn row_19_cgroups_are_read_only_or_absent() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]);
    bundle.script("find /sys/fs/cgroup -name cgroup.procs -o -name release_agent -o -name cgroup.events | while read f; do (echo 1 >$f) 2>/dev/null && echo wrote $f; done; mkdir /sys/fs/cgroup/new 2>/dev/null && echo made; true");
    if program() != "rrunc" {
        return;
    }
    stage.run(&bundle).success().prints("");
}
