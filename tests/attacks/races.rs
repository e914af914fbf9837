//! Rows 17 and 18: links in the root file system, and files swapped while the container is set up.
use crate::support::place::SECRET;
use crate::support::{Bundle, Place, Stage};
use nix::fcntl::{RenameFlags, renameat2};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

fn rounds() -> usize {
    if std::env::var_os("RRUNC_TEST_ALL").is_some() { 1000 } else { 100 }
}

/// Exchanges two names as fast as it can while `body` runs.
fn while_swapping(one: &Path, other: &Path, body: impl FnOnce()) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let here = nix::fcntl::AT_FDCWD;
                renameat2(here, one, here, other, RenameFlags::RENAME_EXCHANGE).expect("exchange");
            }
        });
        // Caught, so that the swapping ends before the failure is told.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
        stop.store(true, Ordering::Relaxed);
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    });
}

fn outside(stage: &Stage) -> PathBuf {
    let outside = stage.dir().join("outside");
    fs::create_dir(&outside).expect("mkdir");
    outside
}

#[test]
fn row_17_a_destination_through_a_link_stays_inside() {
    let stage = Stage::new();
    let outside = outside(&stage);
    let bundle = stage.bundle();
    symlink(&outside, bundle.rootfs().join("absolute")).expect("symlink");
    let up = format!("../../../../../../../../{}", outside.display());
    symlink(up, bundle.rootfs().join("upward")).expect("symlink");
    // The control: who follows the names from outside ends up outside.
    fs::create_dir(bundle.rootfs().join("absolute/control")).expect("mkdir");
    assert!(outside.join("control").is_dir());
    fs::create_dir(bundle.rootfs().join("upward/control2")).expect("mkdir");
    assert!(outside.join("control2").is_dir());
    bundle.script("grep -c -E '/(one|two|three) ' /proc/self/mountinfo");
    bundle.mount("/absolute/one", "tmpfs", "tmpfs", &[]).mount("/upward/two", "tmpfs", "tmpfs", &[]);
    bundle.mount("/../../../three", "tmpfs", "tmpfs", &[]);
    stage.run(&bundle).success().prints("3\n");
    let mut names: Vec<_> = fs::read_dir(&outside).expect("read").map(|e| e.expect("an entry").file_name()).collect();
    names.sort();
    assert_eq!(names, ["control", "control2"]);
}

/// Starts the container again and again while a directory of its rootfs and a link to `outside` change places.
fn nothing_gets_outside(stage: &Stage, bundle: &Bundle, (plain, link): (&Path, &Path), outside: &Path) {
    let mut finished = 0;
    while_swapping(plain, link, || {
        for _ in 0..rounds() {
            finished += usize::from(stage.run(bundle).code == 0);
            let strays = fs::read_dir(outside).expect("read").count();
            assert_eq!(strays, 0, "something was made outside the root");
        }
    });
    assert!(finished > 0, "no round got through: the race was never run");
}

#[test]
fn row_17_a_destination_swapped_for_a_link_during_set_up_stays_inside() {
    let stage = Stage::new();
    let outside = outside(&stage);
    let bundle = stage.bundle();
    let (plain, link) = (bundle.rootfs().join("vol"), bundle.rootfs().join("vol-swap"));
    fs::create_dir(&plain).expect("mkdir");
    symlink(&outside, &link).expect("symlink");
    bundle.mount("/vol/sub/deep", "tmpfs", "tmpfs", &[]);
    let secret = stage.dir().join("secret");
    fs::write(&secret, "").expect("write");
    bundle.mount("/vol/file", "bind", secret.to_str().expect("plain"), &["bind", "ro"]);
    nothing_gets_outside(&stage, &bundle, (&plain, &link), &outside);
}

/// In a tmpfs of init's own names are used as they are: those of the tmpfs, whatever is in its place in the rootfs by then.
#[test]
fn row_17_a_tmpfs_whose_place_is_swapped_for_a_link_keeps_what_is_made_in_it() {
    for place in ["vol", "dev"] {
        let stage = Stage::new();
        let outside = outside(&stage);
        let bundle = stage.bundle();
        let (plain, link) = (bundle.rootfs().join(place), bundle.rootfs().join(format!("{place}-swap")));
        fs::create_dir_all(&plain).expect("mkdir");
        symlink(&outside, &link).expect("symlink");
        let secret = stage.dir().join("secret");
        fs::write(&secret, "").expect("write");
        bundle.mount("/vol", "tmpfs", "tmpfs", &[]).mount("/vol/sub", "tmpfs", "tmpfs", &[]);
        bundle.mount("/vol/file", "bind", secret.to_str().expect("plain"), &["bind", "ro"]);
        nothing_gets_outside(&stage, &bundle, (&plain, &link), &outside);
    }
}

#[test]
fn row_18_a_bind_source_swapped_during_set_up_is_one_or_the_other() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let (one, other) = (stage.dir().join("source"), stage.dir().join("source-swap"));
    for (dir, name) in [(&one, "one"), (&other, "other")] {
        fs::create_dir(dir).expect("mkdir");
        fs::write(dir.join("name"), name).expect("write");
    }
    bundle.mount("/src", "bind", one.to_str().expect("plain"), &["bind", "ro"]);
    bundle.script("cat /src/name; echo; cat /src/name; touch /src/x 2>/dev/null && echo writable");
    let mut seen = std::collections::BTreeSet::new();
    while_swapping(&one, &other, || {
        for _ in 0..rounds() {
            let out = stage.run(&bundle);
            if out.stdout.is_empty() {
                // Noticing the swap and refusing is as good.
                assert_ne!(out.code, 0, "{out:?}");
                continue;
            }
            assert!(["one\none", "other\nother"].contains(&out.stdout.as_str()), "{out:?}");
            seen.insert(out.stdout);
        }
    });
    assert!(!seen.is_empty(), "no round got through: the race was never run");
}

#[test]
fn row_18_a_file_source_swapped_for_a_link_to_a_secret_keeps_the_type() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let (file, dir) = (stage.dir().join("source"), stage.dir().join("source-swap"));
    fs::write(&file, "file").expect("write");
    fs::create_dir(&dir).expect("mkdir");
    bundle.mount("/src", "bind", file.to_str().expect("plain"), &["bind", "ro"]);
    bundle.script("test -d /src && echo dir; test -f /src && echo file; true");
    while_swapping(&file, &dir, || {
        for _ in 0..rounds() {
            // The mount point left by the round before has to be of either type again.
            let _gone =
                fs::remove_file(bundle.rootfs().join("src")).or_else(|_| fs::remove_dir(bundle.rootfs().join("src")));
            let out = stage.run(&bundle);
            let ok = ["dir\n", "file\n"].contains(&out.stdout.as_str());
            assert!(ok || out.code != 0, "{out:?}");
            assert_eq!(stage.containers(), Vec::<String>::new());
        }
    });
}

/// Row 7, from the other side: a container is made in the pid and user namespace of one that runs and is hostile.
#[test]
fn row_7_a_neighbour_cannot_look_into_a_container_that_joins_its_namespaces() {
    use serde_json::json;
    let stage = Stage::new();
    let secret = stage.dir().join("secret");
    fs::write(&secret, "secret of the host").expect("write");
    // The control: who may look into a process gets at its files. A process of the host's that the hostile container
    // may trace is not to be had, so it finds itself.
    let hostile = stage.bundle_named("hostile");
    fs::write(hostile.rootfs().join("control"), "control\n").expect("write");
    let capabilities = json!(["CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE"]);
    for set in ["bounding", "effective", "permitted"] {
        hostile.set(&format!("/process/capabilities/{set}"), capabilities.clone());
    }
    let watch = format!(
        "cat /proc/self/root/control; while :; do for p in /proc/[0-9]*; do cat $p/root{} 2>/dev/null; done; done",
        secret.display()
    );
    hostile.script(&watch);
    let mut watching = stage.call(&["run", "hostile"]).cwd(hostile.path()).spawn();
    watching.wait_stdout("control");
    let pid = stage.pid("hostile");
    let bundle = stage.bundle();
    bundle.unset("/linux/uidMappings").unset("/linux/gidMappings").set("/process/oomScoreAdj", json!(300));
    bundle.edit(|config| {
        for namespace in config["linux"]["namespaces"].as_array_mut().expect("namespaces") {
            let file = match namespace["type"].as_str() {
                Some("pid") => "pid",
                Some("user") => "user",
                Some("network") => "net",
                _ => continue,
            };
            namespace["path"] = json!(format!("/proc/{pid}/ns/{file}"));
        }
    });
    bundle.args(&["cat", "/proc/self/oom_score_adj"]);
    for _ in 0..rounds() {
        stage.in_bundle(&bundle, &["run", "c"]).success().prints("300\n");
    }
    // Nor before its program runs, when it waits; then it may be looked at again, or exec would not find its namespaces.
    bundle.args(&["sleep", "3600"]);
    stage.in_bundle(&bundle, &["create", "c"]).success();
    stage.rrunc(&["exec", "c", "true"]).fails(255, &["created in a given pid namespace until it is started"]);
    stage.rrunc(&["start", "c"]).success();
    stage.rrunc(&["exec", "c", "true"]).success();
    stage.remove("c");
    assert_eq!(watching.stdout(), "control\n");
    stage.remove("hostile");
    watching.wait();
}

#[test]
fn row_17_a_fifo_swapped_for_a_link_to_a_file_of_the_host_changes_nothing_of_it() {
    use serde_json::json;
    use std::os::unix::fs::PermissionsExt;
    let stage = Stage::new();
    let bundle = stage.bundle();
    let private = stage.dir().join("private");
    fs::write(&private, "private").expect("write");
    let mode = |file: &Path| fs::metadata(file).expect("stat").permissions().mode() & 0o777;
    let set = |bits: u32| fs::set_permissions(&private, fs::Permissions::from_mode(bits)).expect("chmod");
    let (fifo, link) = (bundle.rootfs().join("p"), bundle.rootfs().join("p-swap"));
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR).expect("mkfifo");
    symlink(&private, &link).expect("symlink");
    // The control: who changes the mode by the name of the link changes that of the file.
    set(0o644);
    fs::set_permissions(&link, fs::Permissions::from_mode(0o600)).expect("chmod");
    assert_eq!(mode(&private), 0o600);
    bundle.set("/linux/devices", json!([{"path": "/p", "type": "p", "fileMode": 0o666}]));
    let mut finished = 0;
    while_swapping(&fifo, &link, || {
        for _ in 0..rounds() {
            finished += usize::from(stage.run(&bundle).code == 0);
            assert_eq!(mode(&private), 0o600, "the mode meant for the fifo");
        }
    });
    assert!(finished > 0, "no round got through: the race was never run");
}

#[test]
fn row_18_a_protected_directory_swapped_for_a_link_before_a_sandbox_opens_it_shows_nothing() {
    let place = Place::new();
    let husky = place.project().join(".husky");
    fs::create_dir(&husky).expect("mkdir");
    let dir = place.dir().join("written");
    let script = "cat .husky/id_ed25519";
    let args = ["--write-bundle", dir.to_str().expect("plain"), "--", "sh", "-c", script];
    place.sandbox(&args).run().success();
    // What another sandbox of the same project may do in the moment between the look and the opening.
    fs::remove_dir(&husky).expect("rmdir");
    symlink(place.home().join(".ssh"), &husky).expect("link");
    let run = || place.call(&["run", "-b", args[1], "c"]).run();
    run().fails(1, &[".husky has become a link meanwhile"]).prints("");
    // The control: without the words for it the link is followed, and nobody watches what comes of it.
    let file = dir.join("config.json");
    let config = fs::read_to_string(&file)
        .expect("read")
        .replace("rrunc.no-links", "nothing")
        .replace("org.rrunc.covers", "org.unwatched");
    fs::write(&file, config).expect("write");
    assert!(run().success().stdout.contains(SECRET));
}

#[test]
fn row_l_a_file_swapped_for_a_fifo_is_not_waited_for_when_it_is_copied() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let dir = bundle.rootfs().join("data");
    fs::create_dir(&dir).expect("mkdir");
    let (file, fifo) = (dir.join("file"), bundle.rootfs().join("fifo"));
    fs::write(&file, "text").expect("write");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR).expect("mkfifo");
    // The control: who opens the fifo waits.
    let waits = stage.call_program(Path::new("/usr/bin/timeout"), &["0.2", "cat"]).arg(&fifo).run();
    waits.exits(124);
    bundle.mount("/data", "tmpfs", "tmpfs", &["tmpcopyup"]).script("test -p /data/file && echo fifo; true");
    while_swapping(&file, &fifo, || {
        for _ in 0..rounds() {
            let out = stage.in_bundle(&bundle, &["run", "c"]);
            assert!(out.stdout.is_empty() && (out.code == 0 || out.stderr.contains("tmpcopyup")), "{out:?}");
        }
    });
}
