//! Every option of a mount, as /proc/self/mountinfo shows its effect; what the host has locked, and remounts.
use crate::support::{Bundle, Output, Stage, runtime};
use serde_json::json;
use std::fs;
use std::path::Path;

/// What one line of mountinfo says of a mount.
#[derive(Clone)]
pub struct Shown {
    /// Its options.
    pub options: String,
    /// The fields of propagation.
    pub propagation: String,
    /// Type of the file system.
    pub fstype: String,
    /// The options of the file system.
    superblock: String,
}

/// The topmost mount on `point`.
#[track_caller]
pub fn shown(mountinfo: &str, point: &str) -> Shown {
    let line = mountinfo.lines().rfind(|line| line.split(' ').nth(4) == Some(point));
    let line = line.unwrap_or_else(|| panic!("nothing is mounted on {point}: {mountinfo}"));
    let (mount, rest) = line.split_once(" - ").expect("a separator");
    let mut mount = mount.splitn(7, ' ').skip(5).map(str::to_owned);
    let mut rest = rest.split(' ').map(str::to_owned);
    let options = mount.next().expect("options");
    let propagation = mount.next().unwrap_or_default();
    let fstype = rest.next().expect("a type");
    Shown { options, propagation, fstype, superblock: rest.nth(1).expect("options of the file system") }
}

/// Mounts what `of` makes of each list of options on /m/0, /m/1…, and returns mountinfo as seen inside.
fn mountinfo(bundle: &Bundle, count: usize, of: impl Fn(usize, String)) -> &Bundle {
    (0..count).for_each(|i| of(i, format!("/m/{i}")));
    bundle.args(&["cat", "/proc/self/mountinfo"])
}

/// `run c` by root of another user namespace, after `script`: its mounts are the host's to the container, and locked.
pub fn run_as_root_of_a_namespace(stage: &Stage, bundle: &Bundle, script: &str) -> Output {
    for map in ["uidMappings", "gidMappings"] {
        bundle.set(&format!("/linux/{map}"), json!([{"containerID": 0, "hostID": 0, "size": 1}]));
    }
    let script = format!("set -e; {script}; exec \"$@\"");
    let unshare = ["--map-root-user", "--mount", "--propagation", "shared", "sh", "-c", &script, "sh"];
    let call = stage.call_program(Path::new("/usr/bin/unshare"), &unshare);
    call.arg(runtime()).args(&["run", "c"]).cwd(bundle.path()).run()
}

/// Options of the mount, and its options in mountinfo.
const ATTRIBUTES: [(&[&str], &str); 42] = [
    (&[], "rw,relatime"),
    (&["defaults"], "rw,relatime"),
    (&["ro"], "ro,relatime"),
    (&["rw"], "rw,relatime"),
    (&["ro", "rw"], "rw,relatime"),
    (&["rw", "ro"], "ro,relatime"),
    (&["nosuid"], "rw,nosuid,relatime"),
    (&["nosuid", "suid"], "rw,relatime"),
    (&["nodev"], "rw,nodev,relatime"),
    (&["nodev", "dev"], "rw,relatime"),
    (&["noexec"], "rw,noexec,relatime"),
    (&["noexec", "exec"], "rw,relatime"),
    (&["nosymfollow"], "rw,relatime,nosymfollow"),
    (&["nosymfollow", "symfollow"], "rw,relatime"),
    (&["user"], "rw,nosuid,nodev,noexec,relatime"),
    (&["users", "exec"], "rw,nosuid,nodev,relatime"),
    (&["relatime"], "rw,relatime"),
    (&["norelatime"], "rw,relatime"),
    (&["noatime"], "rw,noatime"),
    (&["noatime", "atime"], "rw,relatime"),
    (&["noatime", "nostrictatime"], "rw,noatime"),
    (&["strictatime"], "rw"),
    (&["strictatime", "nostrictatime"], "rw,relatime"),
    (&["nodiratime"], "rw,nodiratime,relatime"),
    (&["nodiratime", "diratime"], "rw,relatime"),
    (&["rro"], "ro,relatime"),
    (&["rro", "rrw"], "rw,relatime"),
    (&["rnosuid"], "rw,nosuid,relatime"),
    (&["nosuid", "rsuid"], "rw,relatime"),
    (&["rnodev"], "rw,nodev,relatime"),
    (&["nodev", "rdev"], "rw,relatime"),
    (&["rnoexec"], "rw,noexec,relatime"),
    (&["noexec", "rexec"], "rw,relatime"),
    (&["rnosymfollow"], "rw,relatime,nosymfollow"),
    (&["nosymfollow", "rsymfollow"], "rw,relatime"),
    (&["rnoatime"], "rw,noatime"),
    (&["noatime", "ratime"], "rw,relatime"),
    (&["noatime", "rrelatime"], "rw,relatime"),
    (&["rstrictatime"], "rw"),
    (&["strictatime", "rnostrictatime"], "rw,relatime"),
    (&["rnodiratime"], "rw,nodiratime,relatime"),
    (&["nodiratime", "rdiratime"], "rw,relatime"),
];

#[test]
fn attributes_of_a_new_file_system() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    mountinfo(&bundle, ATTRIBUTES.len(), |i, point| {
        bundle.mount(&point, "tmpfs", "tmpfs", ATTRIBUTES[i].0);
    });
    let out = stage.run(&bundle).success();
    for (i, (options, expected)) in ATTRIBUTES.iter().enumerate() {
        assert_eq!(shown(&out.stdout, &format!("/m/{i}")).options, *expected, "{options:?}");
    }
}

/// Those of a bind, but for its access times, which are the host's.
#[test]
fn attributes_of_a_bind() {
    let of_times = |word: &&str| word.contains("atime");
    let cases: Vec<_> = ATTRIBUTES.iter().filter(|(options, _)| !options.iter().any(of_times)).collect();
    let stage = Stage::new();
    let bundle = stage.bundle();
    let source = stage.dir().join("source");
    let source = source.to_str().expect("plain");
    mountinfo(&bundle, cases.len(), |i, point| {
        bundle.mount(&point, "none", source, &[&["bind"], cases[i].0].concat());
    });
    let script = format!("mkdir {source}; mount -t tmpfs none {source}");
    let out = run_as_root_of_a_namespace(&stage, &bundle, &script).success();
    for (i, (options, expected)) in cases.iter().enumerate() {
        assert_eq!(shown(&out.stdout, &format!("/m/{i}")).options, *expected, "{options:?}");
    }
}

#[test]
fn flags_of_the_file_system() {
    let cases: [(&[&str], &[&str]); 9] = [
        (&["sync"], &["sync"]),
        (&["sync", "async"], &[]),
        (&["dirsync"], &["dirsync"]),
        (&["lazytime"], &["lazytime"]),
        (&["lazytime", "nolazytime"], &[]),
        (&["silent"], &[]),
        (&["loud", "silent"], &[]),
        (&["iversion"], &[]),
        (&["noiversion"], &[]),
    ];
    let stage = Stage::new();
    let bundle = stage.bundle();
    mountinfo(&bundle, cases.len(), |i, point| {
        bundle.mount(&point, "tmpfs", "tmpfs", cases[i].0);
    });
    let out = stage.run(&bundle).success();
    for (i, (options, expected)) in cases.iter().enumerate() {
        let superblock = shown(&out.stdout, &format!("/m/{i}")).superblock;
        let flags: Vec<_> =
            superblock.split(',').filter(|word| ["sync", "dirsync", "lazytime"].contains(word)).collect();
        assert_eq!(flags, *expected, "{options:?}");
    }
    // A bind cannot have them: nothing of the host's file system is changed, and that is said.
    let bundle = stage.bundle_named("bind");
    bundle.mount("/b", "none", stage.dir().to_str().expect("plain"), &["bind", "sync", "lazytime"]);
    let out = stage.run(&bundle).success();
    assert!(out.stderr.contains("/b: a bind does not change its file system: sync,lazytime"), "{}", out.stderr);
}

#[test]
fn what_is_no_option_goes_to_the_file_system() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.mount("/m", "tmpfs", "tmpfs", &["size=64k", "nosuid", "mode=1750", "nr_inodes=17"]);
    bundle.args(&["cat", "/proc/self/mountinfo"]);
    let out = stage.run(&bundle).success();
    let m = shown(&out.stdout, "/m");
    for setting in ["size=64k", "mode=1750", "nr_inodes=17"] {
        assert!(m.superblock.split(',').any(|word| word == setting), "{setting}: {}", m.superblock);
    }
    assert_eq!(m.options, "rw,nosuid,relatime");
    for (option, texts) in [
        ("colour=red", ["/m/x", "colour"]),
        ("size=much", ["/m/x", "size"]),
        ("X-mount.owner=1", ["/m/x", "X-mount.owner"]),
    ] {
        let bundle = stage.bundle_named(&option.replace('=', "-"));
        bundle.mount("/m/x", "tmpfs", "tmpfs", &[option]);
        stage.run(&bundle).fails(1, &texts);
        assert_eq!(stage.containers(), Vec::<String>::new());
    }
}

#[test]
fn flags_that_the_host_has_locked_are_kept_and_not_taken_away() {
    let stage = Stage::new();
    let source = stage.dir().join("source");
    let source = source.to_str().expect("plain");
    let script = format!(
        "mkdir {source}; mount -t tmpfs none {source}; mount -o remount,bind,ro,nosuid,nodev,noexec,noatime {source}"
    );
    let locked = "ro,nosuid,nodev,noexec,noatime";
    let bundle = stage.bundle_named("kept");
    bundle.mount("/plain", "bind", source, &["bind"]).mount("/more", "bind", source, &["rbind", "rnosymfollow"]);
    bundle.mount("/same", "bind", source, &["bind", "ro", "noatime"]).mount("/again", "bind", source, &["bind"]);
    bundle.mount("/again", "bind", "", &["remount", "bind", "nosymfollow"]);
    let out = run_as_root_of_a_namespace(&stage, bundle.args(&["cat", "/proc/self/mountinfo"]), &script).success();
    assert_eq!(shown(&out.stdout, "/plain").options, locked);
    assert_eq!(shown(&out.stdout, "/same").options, locked);
    assert_eq!(shown(&out.stdout, "/more").options, format!("{locked},nosymfollow"));
    assert_eq!(shown(&out.stdout, "/again").options, format!("{locked},nosymfollow"));
    fs::remove_dir(source).expect("rmdir");
    for option in
        ["rw", "suid", "dev", "exec", "relatime", "strictatime", "nodiratime", "rrw", "rsuid", "rdev", "rexec"]
    {
        for way in ["bind", "remount"] {
            let bundle = stage.bundle_named(&format!("{way}-{option}"));
            bundle.mount("/b", "bind", source, &["rbind"]);
            match way {
                "bind" => bundle.mount("/b", "bind", source, &["rbind", option]),
                _ => bundle.mount("/b", "bind", "", &["remount", "bind", option]),
            };
            let out = run_as_root_of_a_namespace(&stage, &bundle, &script);
            out.fails(1, &["mount /b", "cannot change locked flags", "operation not permitted", "leave it as it is"]);
            fs::remove_dir(source).expect("rmdir");
        }
    }
}

#[test]
fn a_read_only_root_keeps_what_the_host_has_locked() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let place = stage.dir().join("place");
    let place = place.to_str().expect("plain");
    let script = format!(
        "mkdir {place}; mount -t tmpfs none {place}; cp -a {}/. {place}; mount -o remount,bind,nosuid,nodev,noatime {place}",
        bundle.rootfs().display()
    );
    bundle.set("/root/path", json!(place)).args(&["cat", "/proc/self/mountinfo"]);
    let out = run_as_root_of_a_namespace(&stage, &bundle, &script).success();
    assert_eq!(shown(&out.stdout, "/").options, "ro,nosuid,nodev,noatime");
}

#[test]
fn the_mounts_below_a_bind() {
    let stage = Stage::new();
    let source = stage.dir().join("source");
    let source = source.to_str().expect("plain");
    let script =
        format!("mkdir {source}; mount -t tmpfs none {source}; mkdir {source}/sub; mount -t tmpfs none {source}/sub");
    let bundle = stage.bundle();
    bundle.mount("/top", "none", source, &["rbind", "ro", "nosuid"]).mount("/all", "none", source, &["rbind", "rro"]);
    // The kernel uncovers nothing that was mounted over: all comes along, and may do no more than was asked for.
    bundle.mount("/one", "none", source, &["bind", "ro", "noexec"]);
    let out = run_as_root_of_a_namespace(&stage, bundle.args(&["cat", "/proc/self/mountinfo"]), &script).success();
    let options = |point: &str| shown(&out.stdout, point).options;
    assert_eq!([options("/top"), options("/top/sub")], ["ro,nosuid,relatime", "rw,relatime"]);
    assert_eq!([options("/all"), options("/all/sub")], ["ro,relatime", "ro,relatime"]);
    assert_eq!([options("/one"), options("/one/sub")], ["ro,noexec,relatime", "ro,noexec,relatime"]);
    assert!(out.stderr.contains("mount /one") && out.stderr.contains("with the mounts below it"), "{}", out.stderr);
    assert_eq!(out.stderr.lines().count(), 1, "{}", out.stderr);
}

#[test]
fn propagation_is_what_the_options_say() {
    let stage = Stage::new();
    let source = stage.dir().join("source");
    let source = source.to_str().expect("plain");
    let script =
        format!("mkdir {source}; mount -t tmpfs none {source}; mkdir {source}/sub; mount -t tmpfs none {source}/sub");
    // Of the host nothing is shared with a container: its mounts arrive as slaves.
    let cases: [(&[&str], &str, &str); 11] = [
        (&[], "master", "master"),
        (&["private"], "", "master"),
        (&["rprivate"], "", ""),
        (&["slave"], "master", "master"),
        (&["rslave"], "master", "master"),
        (&["shared"], "shared master", "master"),
        (&["rshared"], "shared master", "shared master"),
        (&["unbindable"], "unbindable", "master"),
        (&["runbindable"], "unbindable", "unbindable"),
        (&["rprivate", "shared"], "shared", ""),
        (&["rshared", "private"], "", "shared master"),
    ];
    let bundle = stage.bundle();
    mountinfo(&bundle, cases.len(), |i, point| {
        bundle.mount(&point, "none", source, &[&["rbind"], cases[i].0].concat());
    });
    bundle.mount("/own", "tmpfs", "tmpfs", &["shared"]);
    let out = run_as_root_of_a_namespace(&stage, &bundle, &script).success();
    let kinds = |point: &str| {
        let all = shown(&out.stdout, point).propagation;
        all.split(' ').map(|field| field.split(':').next().unwrap_or_default()).collect::<Vec<_>>().join(" ")
    };
    for (i, (options, top, below)) in cases.iter().enumerate() {
        let seen = [kinds(&format!("/m/{i}")), kinds(&format!("/m/{i}/sub"))];
        assert_eq!(seen, [*top, *below], "{options:?}");
    }
    assert_eq!(kinds("/own"), "shared");
}

#[test]
fn a_remount_changes_what_it_names() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.mount("/m", "tmpfs", "tmpfs", &["size=64k", "nosuid"]);
    bundle.mount("/m", "tmpfs", "tmpfs", &["remount", "size=128k", "ro", "lazytime"]);
    let out = stage.run(bundle.args(&["cat", "/proc/self/mountinfo"])).success();
    let m = shown(&out.stdout, "/m");
    assert_eq!(m.options, "ro,nosuid,relatime");
    for setting in ["size=128k", "lazytime"] {
        assert!(m.superblock.split(',').any(|word| word == setting), "{setting}: {}", m.superblock);
    }
    let host = stage.dir().to_str().expect("plain").to_owned();
    let cases: [(&str, &[&str], &[&str]); 4] = [
        ("/m", &["remount", "size=much"], &["mount /m", "size"]),
        ("/m", &["remount", "bind", "size=1m"], &["cannot have any filesystem-specific options", "size=1m"]),
        ("/etc", &["remount", "ro"], &["mount /etc", "invalid argument"]),
        ("/host", &["remount", "sync"], &["mount /host", "operation not permitted", "has mounted itself"]),
    ];
    for (i, (destination, options, texts)) in cases.into_iter().enumerate() {
        let bundle = stage.bundle_named(&format!("case-{i}"));
        bundle.mount("/m", "tmpfs", "tmpfs", &[]).mount("/host", "none", &host, &["rbind"]);
        bundle.mount(destination, "none", "", options);
        stage.run(&bundle).fails(1, texts);
    }
}
