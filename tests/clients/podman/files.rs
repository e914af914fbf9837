//! What the program sees: root, volumes, tmpfs, devices.
use crate::lab::Lab;
use crate::support::Output;
use crate::{Case, Tier::Quick, Tier::Whole};
use std::fs;
use std::os::unix::fs::MetadataExt;

pub const CASES: &[Case] = &[
    Case { name: "podman --read-only, --tmpfs", tier: Quick, act: read_only },
    Case { name: "podman -v, read-only", tier: Quick, act: volume_read_only },
    Case { name: "podman -v, writable", tier: Quick, act: volume_writable },
    Case { name: "podman -v, U", tier: Quick, act: volume_chown },
    Case { name: "podman -v, idmap", tier: Whole, act: volume_idmap },
    Case { name: "podman -v, a named volume, copied up", tier: Quick, act: volume_named },
    Case { name: "podman -v, of a single file", tier: Whole, act: volume_file },
    Case { name: "podman -v, with rslave, noexec, nosuid", tier: Whole, act: volume_flags },
    Case { name: "podman --mount type=bind, type=tmpfs", tier: Quick, act: mount },
    Case { name: "podman --mount type=image", tier: Whole, act: mount_image },
    Case { name: "podman --mount type=devpts", tier: Whole, act: mount_devpts },
    Case { name: "podman --device", tier: Quick, act: device },
    Case { name: "podman --shm-size", tier: Whole, act: shm_size },
    Case { name: "podman --secret", tier: Whole, act: secret },
    Case { name: "podman --security-opt mask, unmask", tier: Whole, act: masks },
    Case { name: "podman --rootfs", tier: Whole, act: rootfs },
    Case { name: "podman cp, commit", tier: Whole, act: copies },
];

fn sh(lab: &Lab, options: &str, script: &str) -> Output {
    lab.podman(&format!("run --rm --network none {options} bb sh -c '{script}'"))
}

/// A directory of the account's with one file in it.
fn data(lab: &Lab, name: &str) -> String {
    let dir = lab.dir().join(name);
    fs::create_dir_all(&dir).expect("mkdir");
    fs::write(dir.join("file"), "content\n").expect("write");
    dir.display().to_string()
}

fn read_only(lab: &Lab) {
    sh(lab, "--read-only", "touch /a").fails(1, &["Read-only file system"]);
    sh(lab, "--read-only --tmpfs /x:size=1m,mode=0700", "touch /x/a && stat -c %a /x").success().prints("700\n");
}

fn volume_read_only(lab: &Lab) {
    let options = format!("-v {}:/data:ro", data(lab, "ro"));
    sh(lab, &options, "cat /data/file").success().prints("content\n");
    sh(lab, &options, "touch /data/new").fails(1, &["Read-only file system"]);
}

fn volume_writable(lab: &Lab) {
    let dir = data(lab, "rw");
    sh(lab, &format!("-v {dir}:/data"), "echo new > /data/new").success();
    assert_eq!(fs::read_to_string(format!("{dir}/new")).expect("written"), "new\n");
    assert_eq!(fs::metadata(format!("{dir}/new")).expect("written").uid(), crate::support::uid());
}

fn volume_chown(lab: &Lab) {
    let dir = data(lab, "chown");
    sh(lab, &format!("--user 1000 -v {dir}:/data:U"), "stat -c %u /data/file; touch /data/new")
        .success()
        .prints("1000\n");
    assert_ne!(fs::metadata(dir).expect("there").uid(), crate::support::uid());
}

fn volume_idmap(lab: &Lab) {
    let dir = data(lab, "idmap");
    sh(lab, &format!("--userns=auto:size=1024 -v {dir}:/data:idmap"), "stat -c %u /data/file").success().prints("0\n");
}

fn volume_named(lab: &Lab) {
    sh(lab, "-v named:/root", "echo kept > /root/file").success();
    sh(lab, "-v named:/data", "cat /data/file").success().prints("kept\n");
    lab.podman("volume rm named").success();
}

fn volume_file(lab: &Lab) {
    let options = format!("-v {}/file:/etc/one:ro", data(lab, "single"));
    sh(lab, &options, "cat /etc/one").success().prints("content\n");
}

fn volume_flags(lab: &Lab) {
    let options = format!("-v {}:/data:rslave,noexec,nosuid,nodev", data(lab, "flags"));
    let line = sh(lab, &options, "grep \" /data \" /proc/self/mountinfo").success().stdout;
    for word in ["noexec", "nosuid", "nodev", "master:"] {
        // Where the host's own mount is private there is no master to follow.
        assert!(line.contains(word) || word == "master:", "{word}: {line}");
    }
}

fn mount(lab: &Lab) {
    let options =
        format!("--mount type=bind,src={},dst=/data,ro --mount type=tmpfs,dst=/t,tmpfs-size=1m", data(lab, "mount"));
    sh(lab, &options, "cat /data/file; touch /t/x; ! touch /data/x").success().prints("content\n");
}

fn mount_image(lab: &Lab) {
    sh(lab, "--mount type=image,src=bb,dst=/other", "test -x /other/bin/busybox").success();
}

fn mount_devpts(lab: &Lab) {
    sh(lab, "--mount type=devpts,dst=/pts", "test -e /pts/ptmx").success();
}

fn device(lab: &Lab) {
    sh(lab, "--device /dev/zero:/dev/nothing", "head -c 3 /dev/nothing | wc -c").success().prints("3\n");
}

fn shm_size(lab: &Lab) {
    let line = sh(lab, "--shm-size 2m", "grep \" /dev/shm \" /proc/self/mountinfo").success().stdout;
    assert!(line.contains("size=2048k"), "{line}");
}

fn secret(lab: &Lab) {
    let file = lab.dir().join("hush");
    fs::write(&file, "quiet").expect("write");
    lab.podman(&format!("secret create hush {}", file.display())).success();
    sh(lab, "--secret hush", "cat /run/secrets/hush").success().prints("quiet");
    lab.podman("secret rm hush").success();
}

fn masks(lab: &Lab) {
    sh(lab, "--security-opt mask=/proc/version", "wc -c < /proc/version").success().prints("0\n");
    let count = |options: &str| sh(lab, options, "grep -c \" /proc/\" /proc/self/mountinfo; true").success().stdout;
    assert_ne!(count(""), count("--security-opt unmask=all"));
}

fn rootfs(lab: &Lab) {
    let root = lab.dir().join("image/rootfs");
    lab.podman(&format!("run --rm --network none --rootfs {} echo direct", root.display()))
        .success()
        .prints("direct\n");
}

fn copies(lab: &Lab) {
    super::life::running(lab, "");
    let dir = data(lab, "copies");
    lab.podman(&format!("cp {dir}/file c:/root/file")).success();
    lab.podman("exec c cat /root/file").success().prints("content\n");
    lab.podman("commit -q c changed").success();
    lab.podman("rm -f -t 0 c").success();
    lab.podman("run --rm --network none changed cat /root/file").success().prints("content\n");
    lab.podman("rmi changed").success();
}
