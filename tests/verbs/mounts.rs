//! Mounts, devices, masked and read-only paths, as the program finds them.
use crate::support::{Stage, program};
use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;

#[test]
fn binds_with_their_options() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let data = stage.dir().join("data");
    fs::create_dir(&data).expect("mkdir");
    fs::write(data.join("f"), "text\n").expect("write");
    let source = data.to_str().expect("plain");
    bundle.mount("/data", "bind", source, &["bind", "ro", "nosuid", "nodev", "noexec"]);
    bundle.mount("/rw", "none", source, &["rbind", "rw"]);
    bundle.script("cat /data/f; touch /data/x 2>&1; touch /rw/y && echo ok; grep ' /data ' /proc/self/mountinfo");
    let out = stage.run(&bundle).success();
    let lines: Vec<_> = out.stdout.lines().collect();
    assert_eq!(lines[..3], ["text", "touch: /data/x: Read-only file system", "ok"]);
    let options = lines[3].split(' ').nth(5).expect("mount options");
    for option in ["ro", "nosuid", "nodev", "noexec"] {
        assert!(options.split(',').any(|o| o == option), "{option} is missing in {options}");
    }
    assert!(data.join("y").exists());
}

#[test]
fn more_binds_than_files_may_be_open() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.unset("/process/rlimits").script("ulimit -n; ls /b | wc -l");
    let call = |prelude: &str| stage.call_after(prelude, &["run", "c"]).cwd(bundle.path()).run();
    fs::create_dir_all(bundle.rootfs().join("b")).expect("mkdir");
    call("ulimit -n 64").success().prints("64\n0\n");
    for number in 0..150 {
        bundle.mount(&format!("/b/{number}"), "bind", "/usr", &["rbind", "ro"]);
    }
    // What the program gets is the caller's limit again.
    call("ulimit -S -n 64").success().prints("64\n150\n");
    call("ulimit -n 64").fails(1, &["mount /b/", "Too many open files", "ulimit -Hn"]);
}

#[test]
fn a_bind_of_a_file_and_one_relative_to_the_bundle() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    fs::write(bundle.path().join("note"), "from the bundle\n").expect("write");
    bundle.mount("/etc/note", "bind", "note", &["bind"]).args(&["cat", "/etc/note"]);
    stage.run(&bundle).success().prints("from the bundle\n");
}

#[test]
fn tmpfs_with_size_and_mode() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.mount("/scratch", "tmpfs", "tmpfs", &["nosuid", "mode=1700", "size=64k"]);
    bundle
        .script("stat -c '%a %F' /scratch; dd if=/dev/zero of=/scratch/x bs=1k count=128 2>&1 | grep -o 'No space.*'");
    stage.run(&bundle).success().prints("1700 directory\nNo space left on device\n");
}

#[test]
fn mounts_are_made_in_order() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.mount("/m", "tmpfs", "tmpfs", &["mode=755"]).mount("/m/a/b", "tmpfs", "tmpfs", &["mode=755"]);
    bundle.script("grep -c -E ' /m(/a/b)? ' /proc/self/mountinfo; stat -c %a /m/a");
    stage.run(&bundle).success().prints("2\n755\n");
}

#[test]
fn default_devices_and_links() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let devices = "for d in null zero full random urandom tty; do test -c /dev/$d || echo no $d; done";
    let links = "for l in fd stdin stdout stderr ptmx; do readlink /dev/$l; done";
    bundle.script(&format!(
        "{devices}; {links}; echo x >/dev/null && head -c 4 /dev/zero | wc -c; head -c 8 /dev/urandom | wc -c; (echo x >/dev/full) 2>&1 | grep -o 'No space.*'"
    ));
    let links = "/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\npts/ptmx\n";
    stage.run(&bundle).success().prints(&format!("{links}4\n8\nNo space left on device\n"));
}

#[test]
fn masked_paths_are_empty_and_readonly_paths_not_writable() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    fs::create_dir(bundle.rootfs().join("secret")).expect("mkdir");
    fs::write(bundle.rootfs().join("secret/key"), "key").expect("write");
    fs::write(bundle.rootfs().join("password"), "pw").expect("write");
    fs::create_dir(bundle.rootfs().join("fixed")).expect("mkdir");
    bundle
        .set("/root/readonly", json!(false))
        .set("/linux/maskedPaths", json!(["/secret", "/password", "/not/there", "/secret"]))
        .set("/linux/readonlyPaths", json!(["/fixed", "/not/there/either"]))
        .script("ls /secret | wc -l; cat /password | wc -c; touch /secret/x 2>&1; touch /fixed/x 2>&1; touch /ok && echo ok");
    stage
        .run(&bundle)
        .success()
        .prints("0\n0\ntouch: /secret/x: Read-only file system\ntouch: /fixed/x: Read-only file system\nok\n");
}

#[test]
fn mount_points_are_made_inside_the_root_through_links() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    symlink("/real", bundle.rootfs().join("link")).expect("symlink");
    bundle.mount("/link/sub", "tmpfs", "tmpfs", &[]).script("grep -c ' /real/sub ' /proc/self/mountinfo");
    stage.run(&bundle).success().prints("1\n");
    assert!(bundle.rootfs().join("real/sub").is_dir());
}

#[test]
fn proc_may_not_be_covered_or_redirected() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.mount("/proc/sys", "tmpfs", "tmpfs", &[]);
    stage.run(&bundle).fails(1, &["cannot be mounted because it is inside /proc"]);
    let bundle = stage.bundle_named("link");
    fs::remove_dir(bundle.rootfs().join("proc")).expect("rmdir");
    symlink("/tmp", bundle.rootfs().join("proc")).expect("symlink");
    stage.run(&bundle).fails(1, &["must be mounted on ordinary directory"]);
}

#[test]
fn filesystem_options_on_a_bind_are_refused() {
    if program() != "rrunc" {
        return; // Younger than the distribution's runc.
    }
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.mount("/data", "bind", stage.dir().to_str().expect("plain"), &["bind", "size=3"]);
    stage.run(&bundle).fails(1, &["bind mounts cannot have any filesystem-specific options applied"]);
}

#[test]
fn recursive_read_only_reaches_submounts() {
    if program() != "rrunc" {
        return;
    }
    let stage = Stage::new();
    let bundle = stage.bundle();
    // /dev of the host has submounts on every machine; the bind must be recursive for an unprivileged user anyway.
    bundle.mount("/hostdev", "bind", "/dev", &["rbind", "rro"]);
    bundle.script("grep -E ' /hostdev(/| )' /proc/self/mountinfo | cut -d' ' -f6 | grep -vc '^ro'");
    let out = stage.run(&bundle);
    assert_eq!(out.stdout, "0\n", "{out:?}");
}

#[test]
fn the_old_root_is_gone() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let marker = stage.dir().to_str().expect("plain").to_owned();
    bundle.script(&format!("test -e {marker} && echo visible; cut -d' ' -f5 /proc/self/mountinfo | grep -c {marker}"));
    assert_eq!(stage.run(&bundle).stdout, "0\n");
}

#[test]
fn sysctls_of_own_namespaces() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.set("/linux/sysctl", json!({"net.ipv4.ip_forward": "1", "kernel.shmmax": "123456"})).args(&[
        "cat",
        "/proc/sys/net/ipv4/ip_forward",
        "/proc/sys/kernel/shmmax",
    ]);
    stage.run(&bundle).success().prints("1\n123456\n");
}
