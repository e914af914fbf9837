//! Links where something is to be mounted: in the project, which other sandboxes may write, and in an image.
use crate::support::{Output, Place, Stage, place};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// What holds links off: none is followed while a mount is made, and what lies there afterwards is compared during the run.
const DEFENCES: [&str; 2] = ["org.rrunc.no-links", "org.rrunc.covers"];

/// Writes the bundle of a sandbox, swaps `name` in the project for a link to `target`, and runs the bundle: as it is, and the
/// control, without what holds links off.
fn swapped(options: &[&str], name: &str, target: &str, change: impl Fn(&Place, &mut Value)) -> [Output; 2] {
    let place = Place::new();
    let evil = place.project().join("evil");
    place::script(&evil.join("uname"), "#!/bin/sh\necho FAKE\n");
    fs::copy("/bin/sh", evil.join("sh")).expect("copy");
    fs::create_dir_all(place.project().join(name)).expect("mkdir");
    fs::write(place.project().join(name).join("passwd"), "").expect("write");
    let dir = place.dir().join("written");
    let write = [&["--write-bundle", dir.to_str().expect("plain")], options].concat();
    place.sandbox(&write).run().success();
    fs::remove_dir_all(place.project().join(name)).expect("remove");
    symlink(target, place.project().join(name)).expect("link");
    let file = dir.join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&file).expect("read")).expect("JSON");
    change(&place, &mut config);
    let mut run = || {
        fs::write(&file, config.to_string()).expect("write");
        let out = place.call(&["run", "-b", dir.to_str().expect("plain"), "c"]).run();
        let annotations = config["annotations"].as_object_mut().expect("annotations");
        annotations.retain(|name, _| !DEFENCES.contains(&name.as_str()));
        out
    };
    [run(), run()]
}

/// What the project shows at `name` comes from `source` in it: as if the link were put there between the two looks.
fn with_source(place: &Place, config: &mut Value, name: &str, source: &str) {
    let at = place.project().join(name).display().to_string();
    let mounts = config["mounts"].as_array_mut().expect("mounts");
    let mount = mounts.iter_mut().find(|mount| mount["destination"] == at.as_str()).expect("the mount");
    mount["source"] = json!(place.project().join(source));
}

#[test]
fn row_h4_what_is_shown_in_the_project_is_mounted_over_no_link() {
    let real = |place: &Place, config: &mut Value| with_source(place, config, ".husky", "evil");
    let [held, control] = swapped(&["--", "/bin/uname"], ".husky", "/bin", real);
    held.fails(1, &["open ", ".husky in the rootfs", "a link is in its way", "another sandbox"]).prints("");
    control.success().prints("FAKE\n");
}

#[test]
fn row_h4_a_private_file_system_is_mounted_over_no_link() {
    let options = ["--tmpfs", "sub", "--", "sh", "-c", "test -e /etc/passwd && echo there || echo gone"];
    let [held, control] = swapped(&options, "sub", "/etc", |_, _| {});
    held.fails(1, &["a link is in its way"]).prints("");
    control.success().prints("gone\n");
}

#[test]
fn row_h4_no_mask_is_put_over_a_link() {
    let options = ["--hide", "sub/passwd", "--", "sh", "-c", "test -s /etc/passwd && echo whole || echo masked"];
    let unpinned = |place: &Place, config: &mut Value| {
        let at = place.project().join("sub").display().to_string();
        config["mounts"].as_array_mut().expect("mounts").retain(|mount| mount["destination"] != at.as_str());
    };
    let [held, control] = swapped(&options, "sub", "/etc", unpinned);
    held.fails(1, &["mask ", "symbolic links"]).prints("");
    control.success().prints("masked\n");
}

#[test]
fn row_h4_the_working_directory_is_reached_over_no_link() {
    let [held, control] = swapped(&["-w", "sub", "--", "pwd", "-P"], "sub", "/usr", |_, _| {});
    held.fails(1, &["a link is in its way"]).prints("");
    control.success().prints("/usr\n");
}

#[test]
fn row_h4_a_sandbox_whose_protected_directory_another_one_swaps_starts_right_or_not() {
    let place = Place::new();
    let (husky, link) = (place.project().join(".husky"), place.project().join("lnk"));
    place::script(&husky.join("uname"), "#!/bin/sh\necho FAKE\n");
    fs::copy("/bin/sh", husky.join("sh")).expect("copy");
    symlink("/bin", &link).expect("link");
    let stop = AtomicBool::new(false);
    let mut right = 0;
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                renameat2(AT_FDCWD, &husky, AT_FDCWD, &link, RenameFlags::RENAME_EXCHANGE).expect("exchange");
                thread::sleep(std::time::Duration::from_micros(50));
            }
        });
        for _ in 0..60 {
            let out = place.sandbox(&["--", "/bin/uname"]).run();
            right += usize::from(out.stdout == "Linux\n");
            if out.stdout != "Linux\n" && !(out.stdout.is_empty() && out.code == 125) {
                stop.store(true, Ordering::Relaxed);
                panic!("{out:?}");
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(right > 0, "no round got through: the race was never run");
}

#[test]
fn row_i3_a_link_in_the_project_under_a_mount_point_is_an_error_before_anything_is_done() {
    let place = Place::new();
    fs::create_dir(place.project().join("real")).expect("mkdir");
    for (name, target) in [("to-usr", "/usr/share"), ("to-home", "../.ssh"), ("inside", "real"), ("up", "..")] {
        symlink(target, place.project().join(name)).expect("link");
        let at = |rest: &str| format!("{}/{name}{rest}", place.project().display());
        for flags in [
            &["--tmpfs", &at("")][..],
            &["--tmpfs", &at("/notes")],
            &["--ro-bind", &format!("/etc/hostname:{}", at("/notes"))],
            &["--bind", &format!("{}:{}", place.other_project().display(), at(""))],
        ] {
            let out = place.sandbox(&[flags, &["--", "true"]].concat()).run();
            assert!(out.code == 125 && out.stdout.is_empty(), "{flags:?}: {out:?}");
        }
    }
    // The control: where there is none, it is mounted.
    let real = place.project().join("real").display().to_string();
    place.sh(&["--tmpfs", &real], "touch real/x && ls real").success().prints("x\n");
    assert_eq!(fs::read_dir(place.project().join("real")).expect("read").count(), 0);
    // What the sandbox is to have by the user's own links is reached all the same.
    place
        .sh(&["--symlink", "real:/l", "--symlink", "/tmp/x:/m", "--tmpfs", "/m/y", "-w", "/m/y"], "pwd -P; readlink /l")
        .success()
        .prints("/tmp/x/y\nreal\n");
}

#[test]
fn row_i3_an_image_in_which_a_place_of_the_kernels_is_a_link_is_refused() {
    let stage = Stage::new();
    let outside = stage.dir().join("outside");
    fs::create_dir(&outside).expect("mkdir");
    for name in ["dev", "proc", "sys"] {
        for target in ["/tmp/x", "/", "..", "/proc", "etc", &format!("../../..{}", outside.display())] {
            let bundle = stage.bundle_named("image");
            fs::create_dir_all(bundle.rootfs().join("tmp/x")).expect("mkdir");
            let place = bundle.rootfs().join(name);
            fs::remove_dir(&place).ok();
            symlink(target, &place).expect("link");
            let out = stage.run(&bundle);
            out.fails(1, &["must be mounted on ordinary directory", "remove it"]);
            assert_eq!(fs::read_dir(&outside).expect("read").count(), 0, "{name} {target}");
            fs::remove_dir_all(bundle.path()).expect("remove");
        }
    }
    // Without the mount of /dev: its nodes are not put anywhere else, nor what is mounted below it.
    let without = |mounts: &[&str], link: &str| {
        let bundle = stage.bundle_named("image");
        bundle.edit(|config| {
            let list = config["mounts"].as_array_mut().expect("mounts");
            list.retain(|mount| !mounts.iter().any(|name| mount["destination"] == *name));
        });
        let place = bundle.rootfs().join(link);
        fs::create_dir_all(place.parent().expect("a directory")).expect("mkdir");
        fs::remove_dir(&place).ok();
        symlink("/tmp", &place).expect("link");
        fs::create_dir_all(bundle.rootfs().join("tmp")).expect("mkdir");
        let out = stage.run(&bundle);
        let made = fs::read_dir(bundle.rootfs().join("tmp")).expect("read").count();
        fs::remove_dir_all(bundle.path()).expect("remove");
        (out, made)
    };
    let dev = ["/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"];
    for (mounts, link) in [(&dev[..], "dev"), (&dev[..1], "dev/pts"), (&dev[..2], "dev/shm"), (&dev[..3], "dev/mqueue")]
    {
        let (out, made) = without(mounts, link);
        out.fails(1, &["must be mounted on ordinary directory"]);
        assert_eq!(made, 0, "{link}");
    }
    // The control: elsewhere a link is followed, inside.
    let bundle = stage.bundle_named("image");
    fs::create_dir_all(bundle.rootfs().join("tmp/x")).expect("mkdir");
    symlink("/tmp/x", bundle.rootfs().join("data")).expect("link");
    bundle.mount("/data", "tmpfs", "tmpfs", &[]).script("grep -c ' /tmp/x ' /proc/self/mountinfo");
    stage.run(&bundle).success().prints("1\n");
}

#[test]
fn an_image_swaps_its_dev_for_a_link_and_gets_nothing_of_it_outside() {
    let stage = Stage::new();
    let outside = stage.dir().join("outside");
    fs::create_dir(&outside).expect("mkdir");
    let bundle = stage.bundle();
    bundle.script("test -c /dev/null && grep -c ' /proc/sys ' /proc/self/mountinfo");
    let swap = |name: &str| bundle.rootfs().join(name);
    symlink(&outside, swap("dev-swap")).expect("link");
    fs::create_dir_all(swap("dev")).expect("mkdir");
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                exchange(&swap("dev"), &swap("dev-swap"));
            }
        });
        for _ in 0..60 {
            let out = stage.run(&bundle);
            if out.code == 0 && out.stdout != "1\n" {
                stop.store(true, Ordering::Relaxed);
                panic!("{out:?}");
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(fs::read_dir(&outside).expect("read").count(), 0);
}

fn exchange(one: &Path, other: &Path) {
    renameat2(AT_FDCWD, one, AT_FDCWD, other, RenameFlags::RENAME_EXCHANGE).expect("exchange");
}
