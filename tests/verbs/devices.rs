//! Device nodes: bound from the host, fifos made, and what cannot be had refused.
use super::ids::ranges;
use crate::support::{Bundle, Lacks, Stage, Terminal, gid, skip, uid};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};

fn node(path: &str, kind: &str, major: i64, minor: i64) -> Value {
    json!({"path": path, "type": kind, "major": major, "minor": minor})
}

fn drop_mounts_below_dev(bundle: &Bundle) {
    bundle.edit(|config| {
        let mounts = config["mounts"].as_array_mut().expect("mounts");
        mounts.retain(|mount| !mount["destination"].as_str().expect("a path").starts_with("/dev"));
    });
}

#[test]
fn listed_devices_are_the_hosts_nodes_wherever_they_should_be() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let devices = json!([
        node("/dev/nothing", "c", 1, 3),
        node("/dev/nothing-too", "u", 1, 3),
        node("/nodes/below/zero", "c", 1, 5),
        node("/dev/zero", "c", 1, 5),
    ]);
    bundle.set("/linux/devices", devices);
    let names = "/dev/nothing /dev/nothing-too /nodes/below/zero /dev/zero";
    bundle.script(&format!(
        "for d in {names}; do test -c $d && stat -c %t:%T $d; done; echo x >/dev/nothing && head -c 3 /nodes/below/zero | wc -c"
    ));
    for round in ["the first", "the mount points are there"] {
        let out = stage.run(&bundle).success();
        assert_eq!(out.stdout, "1:3\n1:3\n1:5\n1:5\n3\n", "{round}");
    }
}

#[test]
fn a_path_that_on_the_host_is_another_node_is_the_one_asked_for() {
    let elsewhere = |name: &&&str| fs::symlink_metadata(name).is_ok_and(|meta| meta.file_type().is_char_device());
    let Some(other) = ["/dev/kmsg", "/dev/fuse", "/dev/kvm"].iter().find(elsewhere) else {
        return skip(Lacks::Machine("the host has no node in /dev besides the usual ones"));
    };
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.set("/linux/devices", json!([node(other, "c", 1, 3)]));
    bundle.script(&format!("stat -c %t:%T {other}; grep -c ' {other} ' /proc/self/mountinfo"));
    stage.run(&bundle).success().prints("1:3\n1\n");
}

#[test]
fn a_block_device_of_the_host_is_bound_and_stays_as_closed_as_it_is() {
    let Some((path, device)) = fs::read_dir("/dev").expect("/dev").find_map(|entry| {
        let path = entry.expect("an entry").path();
        let meta = fs::symlink_metadata(&path).ok()?;
        let closed = meta.file_type().is_block_device() && fs::File::open(&path).is_err();
        closed.then(|| (path, meta.rdev()))
    }) else {
        return skip(Lacks::Machine("the host has no block device that is closed to the tests"));
    };
    let (major, minor) = (nix::sys::stat::major(device), nix::sys::stat::minor(device));
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.set("/linux/devices", json!([node("/dev/disk0", "b", major as i64, minor as i64)]));
    bundle.script("stat -c '%F %t:%T' /dev/disk0; (cat /dev/disk0 | head -c 1) 2>&1");
    let out = stage.run(&bundle).success();
    let text = format!("block special file {major:x}:{minor:x}\ncat: can't open '/dev/disk0': Permission denied\n");
    assert_eq!(out.stdout, text, "{}", path.display());
}

#[test]
fn a_device_that_the_host_has_not_is_refused_with_the_reason() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    for device in [node("/dev/new", "c", 4095, 1_048_575), node("/dev/null2", "b", 4095, 1_048_575)] {
        let path = device["path"].as_str().expect("a path").to_owned();
        bundle.set("/linux/devices", json!([device]));
        let reason = "a rootless container can only be given device nodes that exist on the host";
        stage.run(&bundle).fails(1, &[&format!("device {path}: the host has no such device"), reason]);
        assert!(stage.containers().is_empty());
    }
}

#[test]
fn a_bound_node_keeps_its_mode_and_owner_and_a_warning_says_so() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let mode = fs::metadata("/dev/zero").expect("stat").mode() & 0o7777;
    let mut device = node("/dev/other", "c", 1, 5);
    device["fileMode"] = json!(mode);
    bundle.set("/linux/devices", json!([device])).args(&["stat", "-c", "%a", "/dev/other"]);
    let out = stage.run(&bundle).success().prints(&format!("{mode:o}\n"));
    assert_eq!(out.stderr, "");
    for (field, value) in [("fileMode", mode & 0o111), ("uid", 0), ("gid", 0)] {
        let mut device = node("/dev/other", "c", 1, 5);
        device[field] = json!(value);
        bundle.set("/linux/devices", json!([device]));
        let out = stage.run(&bundle).success().prints(&format!("{mode:o}\n"));
        let text = format!("device /dev/other: the host's node keeps its mode {mode:o} and owner ");
        assert!(out.stderr.contains(&text), "{field}: {}", out.stderr);
    }
}

#[test]
fn fifos_are_made_with_their_mode_and_owner() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let fifo = |path: &str| json!({"path": path, "type": "p"});
    let mut restricted = fifo("/run/pipes/p");
    restricted["fileMode"] = json!(0o640);
    bundle.set("/linux/devices", json!([fifo("/dev/p"), restricted]));
    let script = "stat -c '%F %a %u:%g' /dev/p /run/pipes/p; (echo through >/dev/p &) ; cat /dev/p";
    bundle.script(script);
    for _ in 0..2 {
        stage.run(&bundle).success().prints("fifo 666 0:0\nfifo 640 0:0\nthrough\n");
    }
    let mut owned = fifo("/dev/p");
    (owned["uid"], owned["gid"], owned["fileMode"]) = (json!(7), json!(9), json!(0o604));
    bundle.set("/linux/devices", json!([owned]));
    stage.run(&bundle).fails(1, &["linux.devices[0]: uid 7 is not mapped"]);
    let Some(((first, _), (first_gid, _))) = ranges() else { return };
    let map = |own: u32, first: u32| json!([{"containerID": 0, "hostID": own, "size": 1}, {"containerID": 1, "hostID": first, "size": 10}]);
    bundle.set("/linux/uidMappings", map(uid(), first)).set("/linux/gidMappings", map(gid(), first_gid));
    bundle.args(&["stat", "-c", "%F %a %u:%g", "/dev/p"]);
    stage.run(&bundle).success().prints("fifo 604 7:9\n");
}

#[test]
fn another_file_in_the_place_of_a_device_is_an_error() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let place = bundle.rootfs().join("place");
    let target = bundle.rootfs().join("etc/passwd");
    let text = fs::read_to_string(&target).expect("read");
    let clear = || {
        if place.is_dir() { fs::remove_dir(&place) } else { fs::remove_file(&place) }.expect("remove");
    };
    let character = node("/place", "c", 1, 3);
    let fifo = json!({"path": "/place", "type": "p"});
    for device in [character, fifo] {
        bundle.set("/linux/devices", json!([device]));
        let refused = |what: &str| {
            let out = stage.run(&bundle).fails(1, &["device /place: another file is in its place"]);
            assert!(stage.containers().is_empty() && out.stdout.is_empty(), "{what}");
        };
        fs::write(&place, "of the image").expect("write");
        refused("a file");
        assert_eq!(fs::read_to_string(&place).expect("read"), "of the image");
        clear();
        fs::create_dir(&place).expect("mkdir");
        refused("a directory");
        clear();
        symlink("/etc/passwd", &place).expect("symlink");
        refused("a link");
        assert_eq!(fs::read_to_string(&target).expect("read"), text);
        fs::remove_file(&place).expect("remove");
    }
    // What is mounted there comes first, and may be the device already.
    fs::write(&place, "").expect("write");
    bundle.mount("/place", "bind", "/dev/null", &["bind"]).args(&["stat", "-c", "%t:%T", "/place"]);
    bundle.set("/linux/devices", json!([node("/place", "c", 1, 3)]));
    stage.run(&bundle).success().prints("1:3\n");
    bundle.set("/linux/devices", json!([node("/place", "c", 1, 5)]));
    stage.run(&bundle).fails(1, &["device /place: another file is in its place"]);
}

#[test]
fn a_dev_of_the_configs_own_gets_what_is_listed_and_nothing_else() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let dev = stage.dir().join("dev");
    fs::create_dir(&dev).expect("mkdir");
    drop_mounts_below_dev(&bundle);
    bundle.mount("/dev", "bind", dev.to_str().expect("plain"), &["bind"]);
    bundle.set("/linux/devices", json!([node("/dev/zero", "c", 1, 5), {"path": "/dev/p", "type": "p"}]));
    bundle.script("ls /dev; stat -c %t:%T /dev/zero");
    stage.run(&bundle).success().prints("p\nzero\n1:5\n");
    bundle.unset("/linux/devices").args(&["true"]);
    stage.run(&bundle).success();
}

#[test]
fn the_console_is_the_containers_terminal() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let script = "test -c /dev/console && stat -c %t:%T /dev/console $(tty); tty; echo on-the-console >/dev/console";
    bundle.set("/process/terminal", json!(true)).script(script);
    let (code, shown) = Terminal::start(stage.call(&["run", "c"]).cwd(bundle.path()), 24, 80).wait();
    let lines: Vec<_> = shown.lines().map(str::trim_end).collect();
    assert_eq!(code, 0, "{shown}");
    assert!(lines[0] == lines[1] && lines[0].starts_with("88:"), "one pseudoterminal: {shown}");
    assert_eq!(lines[2..], ["/dev/pts/0", "on-the-console"], "{shown}");
    bundle.set("/process/terminal", json!(false)).script("test -e /dev/console || echo none");
    stage.run(&bundle).success().prints("none\n");
}

#[test]
fn ptmx_is_that_of_the_containers_own_devpts_whatever_the_image_has() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.edit(|config| {
        let mounts = config["mounts"].as_array_mut().expect("mounts");
        mounts.retain(|mount| mount["destination"] != "/dev");
    });
    for name in ["pts", "shm", "mqueue"] {
        fs::create_dir(bundle.rootfs().join("dev").join(name)).expect("mkdir");
    }
    let ptmx = bundle.rootfs().join("dev/ptmx");
    bundle.script("readlink /dev/ptmx; stat -L -c %t:%T /dev/ptmx");
    for image in ["nothing", "a link", "a file"] {
        fs::remove_file(&ptmx).ok();
        match image {
            "a link" => symlink("/dev/null", &ptmx).expect("symlink"),
            "a file" => fs::write(&ptmx, "").expect("write"),
            _ => {}
        }
        let out = stage.run(&bundle).success();
        assert_eq!(out.stdout, "pts/ptmx\n5:2\n", "{image}");
    }
}

#[test]
fn row_f9_what_is_mounted_in_the_place_of_a_default_device_is_seen_there() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.mount("/dev/random", "bind", "/dev/urandom", &["bind"]).mount(
        "/dev/pts/../tty",
        "bind",
        "/dev/null",
        &["bind"],
    );
    bundle.script("stat -c %n:%t:%T /dev/random /dev/tty /dev/null /dev/urandom");
    let expected = "/dev/random:1:9\n/dev/tty:1:3\n/dev/null:1:3\n/dev/urandom:1:9\n";
    stage.run(&bundle).success().prints(expected);
    // Neighbours: listed as another device, and bits that a default device has not.
    bundle.set("/linux/devices", json!([node("/dev/full", "c", 1, 5)]));
    stage.run(&bundle).fails(1, &["linux.devices[0]", "already another device"]);
    bundle
        .set("/linux/devices", json!([{"path": "/dev/zero", "type": "c", "major": 1, "minor": 5, "fileMode": 0o600}]));
    let out = stage.run(&bundle).success().prints(expected);
    assert!(out.stderr.contains("device /dev/zero: the host's node keeps its mode 666"), "{}", out.stderr);
    bundle.set("/linux/devices/0/fileMode", json!(0o666));
    assert_eq!(stage.run(&bundle).success().stderr, "");
}

#[test]
fn row_f9_what_the_terminal_covers_is_told() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.mount("/dev/console", "bind", "/dev/null", &["bind"]).script("stat -c %t:%T /dev/console");
    stage.run(&bundle).success().prints("1:3\n");
    bundle.set("/process/terminal", json!(true));
    let (code, shown) = Terminal::start(stage.call(&["run", "c"]).cwd(bundle.path()), 24, 80).wait();
    assert!(
        code == 0 && shown.contains("what is mounted on /dev/console is not seen") && shown.contains("88:"),
        "{shown}"
    );
}

#[test]
fn row_f4_a_terminal_is_had_where_the_hosts_dev_is_bound_whole() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    drop_mounts_below_dev(&bundle);
    bundle.mount("/dev", "bind", "/dev", &["rbind", "rslave"]);
    bundle.set("/process/terminal", json!(true)).script("tty; test -t 0 && echo works >/dev/tty");
    let (code, shown) = Terminal::start(stage.call(&["run", "c"]).cwd(bundle.path()), 24, 80).wait();
    assert!(code == 0 && shown.contains("/dev/pts/") && shown.contains("works"), "{shown}");
    bundle.set("/process/terminal", json!(false));
    stage.running(&bundle, "c");
    let call = stage.call(&["exec", "-t", "c", "sh", "-c", "tty; test -t 1 && echo works"]);
    let (code, shown) = Terminal::start(call, 24, 80).wait();
    assert!(code == 0 && shown.contains("/dev/pts/") && shown.contains("works"), "{shown}");
    stage.remove("c");
    // A file of the image's is not taken for it.
    let bundle = stage.bundle_named("other");
    drop_mounts_below_dev(&bundle);
    let dev = stage.dir().join("dev");
    fs::create_dir_all(dev.join("pts")).expect("mkdir");
    fs::write(dev.join("ptmx"), "").expect("write");
    bundle.mount("/dev", "bind", dev.to_str().expect("plain"), &["bind"]);
    bundle.mount("/dev/pts", "bind", "/dev/pts", &["bind"]);
    bundle.set("/process/terminal", json!(true));
    let (code, shown) = Terminal::start(stage.call(&["run", "c"]).cwd(bundle.path()), 24, 80).wait();
    assert!(code == 1 && shown.contains("/dev/ptmx is not the pty multiplexer"), "{shown}");
}
