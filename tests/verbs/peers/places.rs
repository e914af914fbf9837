//! Where a container is put: its cgroup, its devices, the namespaces that it joins.
use super::{peers, with_range};
use crate::cgroups::delegated;
use crate::ids::ranges;
use crate::support::{Bundle, Lacks, Stage, Terminal, skip, wait_for};
use nix::sys::signal::Signal;
use serde_json::json;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A cgroup that is frozen as long as this lives, removed with those below.
struct Frozen(PathBuf);

impl Frozen {
    fn below(own: &Path) -> Frozen {
        let dir = own.join(format!("frozen-{}", std::process::id()));
        fs::create_dir(&dir).expect("make a cgroup");
        fs::write(dir.join("cgroup.freeze"), "1").expect("freeze it");
        Frozen(dir)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        fs::write(self.0.join("cgroup.freeze"), "0").ok();
        fs::remove_dir(self.0.join("below")).ok();
        fs::remove_dir(&self.0).ok();
    }
}

#[test]
fn row_r6_a_frozen_cgroup_is_refused_at_once() {
    let Some(own) = delegated() else { return };
    let stage = Stage::new();
    let bundle = stage.bundle();
    let frozen = Frozen::below(&own);
    let name = frozen.0.file_name().expect("a name").to_str().expect("plain");
    let peers = peers(&stage);
    for path in [name.to_owned(), format!("{name}/below")] {
        bundle.set("/linux/cgroupsPath", json!(path)).args(&["true"]);
        let begin = Instant::now();
        for verb in [&["run", "c"][..], &["run", "-d", "c"], &["create", "c"]] {
            let out = stage.call(verb).cwd(bundle.path()).within(Duration::from_secs(5)).run();
            out.fails(1, &["container's cgroup unexpectedly frozen", "cgroup.freeze"]);
        }
        assert!(begin.elapsed() < Duration::from_secs(5));
        assert!(stage.containers().is_empty());
        // What was there is there, and nothing was made in it.
        assert!(frozen.0.is_dir() && !frozen.0.join("below").exists());
    }
    let member = fs::read_to_string("/proc/self/cgroup").expect("our cgroups");
    let own = member.lines().find_map(|line| line.strip_prefix("0::")).expect("of version 2");
    bundle.set("/linux/cgroupsPath", json!(format!("{own}/{name}")));
    for peer in peers.iter().filter(|peer| peer.name().ends_with("runc")) {
        // On a host with version 1 beside it runc wants cgroups of those, too.
        fs::write(frozen.0.join("cgroup.freeze"), "0").expect("let it go on");
        if peer.call(&stage, &bundle, &["run", "c"]).within(Duration::from_secs(5)).run().code != 0 {
            skip(Lacks::Machine("a runc that may make this cgroup"));
            continue;
        }
        fs::create_dir_all(&frozen.0).and_then(|()| fs::write(frozen.0.join("cgroup.freeze"), "1")).expect("freeze it");
        let out = peer.call(&stage, &bundle, &["run", "c"]).within(Duration::from_secs(5)).run();
        assert!(out.code == 1 && out.stderr.contains("frozen"), "{}: {out:?}", peer.name());
    }
    // A peer that could not run may have removed it.
    fs::create_dir_all(&frozen.0).and_then(|()| fs::write(frozen.0.join("cgroup.freeze"), "0")).expect("let it go on");
    bundle.set("/linux/cgroupsPath", json!(name));
    stage.run(&bundle).success();
}

/// Somebody freezes it once `create` has looked.
#[test]
fn row_r6_who_waits_for_a_frozen_container_can_be_ended() {
    let Some(own) = delegated() else { return };
    let stage = Stage::new();
    let bundle = stage.bundle();
    let dir = own.join(format!("late-{}", std::process::id()));
    let freeze = format!("echo 1 > {}/cgroup.freeze", dir.display());
    let hook = json!([{"path": "/bin/sh", "args": ["sh", "-c", freeze]}]);
    bundle.set("/linux/cgroupsPath", json!(dir.file_name().expect("a name").to_str().expect("plain")));
    bundle.set("/hooks/createRuntime", hook).args(&["true"]);
    for verb in [&["run", "c"][..], &["create", "c"]] {
        let mut waiting = stage.call(verb).cwd(bundle.path()).spawn();
        wait_for("the cgroup to be frozen", || {
            let events = fs::read_to_string(dir.join("cgroup.events")).ok()?;
            events.contains("frozen 1").then_some(())
        });
        waiting.signal(Signal::SIGTERM);
        wait_for("rrunc to end", || waiting.ended().then_some(()));
        waiting.wait();
        stage.remove("c");
        assert!(stage.wait_no_processes().is_empty());
        fs::remove_dir(&dir).ok();
    }
}

#[test]
fn row_r7_a_list_of_all_devices_of_the_host_may_have_the_terminals_in_it() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let peers = peers(&stage);
    let node = |path: &str, major: u32, minor: u32| json!({"path": path, "type": "c", "major": major, "minor": minor, "fileMode": 0o666, "uid": 0, "gid": 0});
    let list = |ptmx: &str| {
        json!([node("/dev/console", 5, 1), node("/dev/full", 1, 7), node(ptmx, 5, 2), node("/dev/tty", 5, 0)])
    };
    for ptmx in ["/dev/ptmx", "/dev//ptmx"] {
        bundle.set("/linux/devices", list(ptmx)).script("readlink /dev/ptmx; exec 3<>/dev/ptmx && ls /dev/pts");
        stage.run(&bundle).success().prints("pts/ptmx\n0\nptmx\n");
    }
    // crun 1.8 does not start with a list of devices here.
    for peer in peers.iter().filter(|peer| peer.name().ends_with("runc")) {
        bundle.set("/linux/devices", json!([node("/dev/ptmx", 5, 2)]));
        let out = peer.call(&stage, &bundle, &["run", "c"]).run();
        assert_eq!((out.code, out.stdout.as_str()), (0, "pts/ptmx\n0\nptmx\n"), "{}: {}", peer.name(), out.stderr);
    }
    bundle.set("/linux/devices", list("/dev/ptmx")).set("/process/terminal", json!(true));
    bundle.script("test -c /dev/console && tty && echo x > /dev/console");
    let (code, shown) = Terminal::start(stage.call(&["run", "c"]).cwd(bundle.path()), 24, 80).wait();
    assert!(code == 0 && shown.ends_with("/dev/pts/0\r\nx\r\n"), "{code}: {shown}");
    // Another node in its place is none that would be lost in silence.
    bundle.set("/process/terminal", json!(false)).set("/linux/devices", json!([node("/dev/ptmx", 1, 3)]));
    stage.run(&bundle).fails(1, &["linux.devices[0]", "/dev/ptmx is the container's own", "leave it out"]);
}

#[test]
fn row_r9_a_joined_user_namespace_may_be_described_as_it_is() {
    let stage = Stage::new();
    let first = stage.bundle_named("first");
    let Some(()) = with_range(&first, 0) else { return };
    stage.running(&first, "first");
    let pid = stage.pid("first");
    let second = stage.bundle_named("second");
    let Some(()) = with_range(&second, 1000) else { return };
    second.edit(|config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().expect("namespaces");
        for one in namespaces.iter_mut().filter(|one| one["type"] == "user") {
            one["path"] = json!(format!("/proc/{pid}/ns/user"));
        }
    });
    let peers = peers(&stage);
    second.args(&["id", "-u"]);
    stage.in_bundle(&second, &["run", "second"]).success().prints("1000\n");
    stage.in_bundle(&second, &["create", "second"]).success();
    stage.rrunc(&["exec", "second", "id", "-u"]).success().prints("1000\n");
    stage.rrunc(&["start", "second"]).success();
    stage.remove("second");
    for peer in peers.iter().filter(|peer| peer.name().ends_with("crun")) {
        // runc has this since 1.2.
        let out = peer.call(&stage, &second, &["run", "second"]).run();
        assert_eq!((out.code, out.stdout.as_str()), (0, "1000\n"), "{}: {}", peer.name(), out.stderr);
    }
    let map = second.config()["linux"]["uidMappings"].clone();
    let mut shorter = map.clone();
    shorter[1]["size"] = json!(1999);
    for (pointer, other) in [
        ("/linux/uidMappings", shorter.clone()),
        ("/linux/gidMappings", shorter),
        ("/linux/uidMappings", json!([map[0]])),
        ("/linux/gidMappings", json!(null)),
    ] {
        let before = second.config();
        second.set(pointer, other);
        let told = ["both namespace path and non-matching mapping specified", "remove linux.uidMappings"];
        stage.in_bundle(&second, &["run", "second"]).fails(1, &told);
        stage.in_bundle(&second, &["create", "second"]).fails(1, &told);
        second.write(&before);
    }
    assert_eq!(stage.containers(), ["first"]);
    stage.remove("first");
}

/// A bundle whose root is the first subordinate id, in which the caller's own id is not mapped, so that its root may do nothing
/// with the caller's files but what everybody may.
fn of_a_subordinate_root(stage: &Stage) -> Option<Bundle> {
    let ((first_uid, _), (first_gid, _)) = ranges()?;
    let bundle = stage.bundle();
    let map = |first: u32| json!([{"containerID": 0, "hostID": first, "size": 1000}]);
    bundle.set("/linux/uidMappings", map(first_uid)).set("/linux/gidMappings", map(first_gid));
    for dir in [stage.dir(), bundle.path()] {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o711)).expect("chmod");
    }
    Some(bundle)
}

#[test]
fn row_r10_what_only_the_caller_can_reach_is_bound_for_a_subordinate_root() {
    let stage = Stage::new();
    let Some(bundle) = of_a_subordinate_root(&stage) else { return };
    let closed = stage.dir().join("closed");
    fs::DirBuilder::new().mode(0o700).create(&closed).expect("a directory");
    fs::create_dir(closed.join("data")).expect("a directory");
    fs::write(closed.join("data/file"), "read\n").expect("a file");
    fs::write(closed.join("file"), "as well\n").expect("a file");
    let text = |path: PathBuf| path.to_str().expect("a plain path").to_owned();
    bundle.mount("/mnt/data", "bind", &text(closed.join("data")), &["rbind", "ro"]);
    bundle.mount("/mnt/file", "bind", &text(closed.join("file")), &["bind"]);
    bundle.script("id -u; cat /mnt/data/file /mnt/file");
    fs::create_dir_all(bundle.rootfs().join("mnt/data")).expect("a place");
    fs::write(bundle.rootfs().join("mnt/file"), "").expect("a place");
    stage.run(&bundle).success().prints("0\nread\nas well\n");
    stage.in_bundle(&bundle, &["create", "c"]).success();
    stage.rrunc(&["start", "c"]).success();
    stage.remove("c");
    // crun and runc open the sources where podman has called them, as root of its own namespace; called as we are here, crun 1.8
    // does not, and runc has not got this far. The root file system, too.
    fs::set_permissions(bundle.path(), fs::Permissions::from_mode(0o700)).expect("chmod");
    stage.run(&bundle).success().prints("0\nread\nas well\n");
    // What is bound is open to it no more than it is: nobody's file stays nobody's.
    fs::set_permissions(closed.join("file"), fs::Permissions::from_mode(0o600)).expect("chmod");
    stage.run(&bundle).exits(1).prints("0\nread\n");
    // And what is not there is told as ever.
    bundle.mount("/mnt/other", "bind", &text(closed.join("none")), &["bind"]);
    stage.run(&bundle).fails(1, &["closed/none", "the source does not exist on the host"]);
}

/// The other way round: what its root alone can reach.
#[test]
fn row_r10_what_only_a_subordinate_root_can_reach_is_bound_as_before() {
    let stage = Stage::new();
    let Some(bundle) = of_a_subordinate_root(&stage) else { return };
    // Open to everybody all the way, as the directories of tests are not.
    let shared = PathBuf::from(format!("/tmp/rrunc-shared-{}", std::process::id()));
    fs::create_dir(&shared).expect("a directory");
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o777)).expect("chmod");
    let shared = shared.to_str().expect("a plain path").to_owned();
    fs::create_dir(bundle.rootfs().join("mnt")).expect("a place");
    bundle.mount("/mnt", "bind", &shared, &["rbind"]);
    bundle.script("mkdir -m 700 /mnt/its && mkdir /mnt/its/data && echo kept > /mnt/its/data/file");
    stage.run(&bundle).success();
    assert!(fs::read_dir(format!("{shared}/its")).is_err(), "it is closed to the caller");
    let second = stage.bundle_named("second");
    let mut config = bundle.config();
    config["mounts"].as_array_mut().expect("mounts").pop();
    second.write(&config);
    fs::create_dir(second.rootfs().join("mnt")).expect("a place");
    second.mount("/mnt", "bind", &format!("{shared}/its/data"), &["rbind"]).args(&["cat", "/mnt/file"]);
    stage.run(&second).success().prints("kept\n");
    bundle.script("rm -r /mnt/its");
    stage.run(&bundle).success();
    fs::remove_dir(&shared).expect("it is empty");
}

/// What podman's API for Docker's clients writes for a container without a limit, where no cgroup could keep one, and where one
/// could: see tests/vm/limits.rs, too.
#[test]
fn row_r12_a_limit_of_no_processes_is_no_limit() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.set("/linux/resources", json!({"pids": {"limit": 0}})).script("(echo forked) | cat");
    for options in [&[][..], &["--cgroup-manager", "disabled"]] {
        stage.in_bundle(&bundle, &[options, &["run", "c"]].concat()).success().prints("forked\n");
    }
    for peer in peers(&stage) {
        let out = peer.call(&stage, &bundle, &["run", "c"]).run();
        assert_eq!((out.code, out.stdout.as_str()), (0, "forked\n"), "{}: {}", peer.name(), out.stderr);
    }
    bundle.set("/linux/resources", json!({"pids": {"limit": 1}}));
    let out = stage.in_bundle(&bundle, &["--cgroup-manager", "disabled", "run", "c"]);
    out.fails(1, &["linux.resources.pids: rootless needs no limits"]);
}

/// Who sets up the network of a created container, as buildah and podman do with pasta, is root of the user namespace that rrunc
/// was called in; its program's user is another.
#[test]
fn row_r8_the_network_of_a_created_container_is_open_to_root_of_the_callers_namespace() {
    let Some(_) = ranges() else { return };
    let stage = Stage::new();
    let bundle = stage.bundle();
    let kinds = ["pid", "mount", "ipc", "uts", "network"].map(|kind| json!({"type": kind}));
    bundle
        .set("/linux/namespaces", json!(kinds))
        .set("/linux/uidMappings", json!(null))
        .set("/linux/gidMappings", json!(null));
    bundle.set("/process/user", json!({"uid": 1000, "gid": 1000})).args(&["sleep", "100"]);
    let script = "\"$@\" create --pid-file pid c </dev/null >/dev/null || exit 7
        readlink /proc/$(cat pid)/ns/net; nsenter --net=/proc/$(cat pid)/ns/net true && echo entered
        \"$@\" start c && \"$@\" delete --force c";
    let through = |runtime: &[&str]| {
        let args = [&["--map-root-user", "--map-auto", "--mount", "sh", "-c", script, "sh"], runtime].concat();
        stage.call_program("/usr/bin/unshare".as_ref(), &args).cwd(bundle.path()).run()
    };
    let rrunc = crate::support::runtime();
    let out = through(&[rrunc.to_str().expect("a plain path")]);
    let entered = |out: &str| out.starts_with("net:[") && out.ends_with("]\nentered\n");
    assert!(out.code == 0 && entered(&out.stdout), "{out:?}");
    for peer in peers(&stage).iter().filter(|peer| peer.name().ends_with("crun")) {
        let root = peer.root.to_str().expect("a plain path");
        let out = through(&[&peer.name(), "--cgroup-manager=disabled", "--root", root]);
        assert!(out.code == 0 && entered(&out.stdout), "{}: {out:?}", peer.name());
    }
}
