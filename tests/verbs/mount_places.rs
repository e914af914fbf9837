//! Where mounts go and what makes one: destinations, sources, the type, and the links of /dev.
use super::mount_options::shown;
use crate::support::{Bundle, Lacks, Stage, kernel_is, skip};
use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;

fn with_data(stage: &Stage) -> (Bundle, String) {
    let bundle = stage.bundle();
    let data = bundle.path().join("data");
    fs::create_dir(&data).expect("mkdir");
    fs::write(data.join("file"), "text\n").expect("write");
    (bundle, data.to_str().expect("plain").to_owned())
}

#[test]
fn what_is_missing_of_a_destination_is_made_as_the_source_is() {
    let stage = Stage::new();
    let (bundle, data) = with_data(&stage);
    let file = format!("{data}/file");
    fs::create_dir(bundle.rootfs().join("dir")).expect("mkdir");
    fs::write(bundle.rootfs().join("file"), "").expect("write");
    bundle.mount("/new/deep/file", "bind", &file, &["bind"]).mount("/new/dir", "bind", &data, &["bind"]);
    bundle.mount("/file", "bind", &file, &["bind"]).mount("/dir", "bind", &data, &["rbind"]);
    // Relative sources are the bundle's, relative destinations the root's.
    bundle.mount("relative/dir", "bind", "data", &["bind"]).mount("./x/../y", "bind", "./data/file", &["bind"]);
    bundle.args(&["cat", "/new/deep/file", "/new/dir/file", "/file", "/dir/file", "/relative/dir/file", "/y"]);
    let out = stage.run(&bundle).success().prints(&"text\n".repeat(6));
    assert!(out.stderr.contains("relative/dir is not absolute"), "{}", out.stderr);
    assert!(bundle.rootfs().join("new/deep/file").is_file() && bundle.rootfs().join("new/dir").is_dir());
}

#[test]
fn a_destination_of_the_other_kind_is_refused() {
    for (destination, source, text) in [
        ("/dir", "data/file", "the source is a file and the destination in the rootfs a directory"),
        ("/file", "data", "the source is a directory and the destination in the rootfs a file"),
        ("/", "data", "is on the top of rootfs"),
        ("/..", "data", "is on the top of rootfs"),
        ("/new", "missing", "does not exist on the host"),
    ] {
        let stage = Stage::new();
        let (bundle, _) = with_data(&stage);
        fs::create_dir(bundle.rootfs().join("dir")).expect("mkdir");
        fs::write(bundle.rootfs().join("file"), "").expect("write");
        bundle.mount(destination, "bind", source, &["bind"]);
        stage.run(&bundle).fails(1, &[text]);
        assert_eq!(stage.containers(), Vec::<String>::new());
    }
}

#[test]
fn what_makes_a_bind_is_its_option_and_not_its_type() {
    let stage = Stage::new();
    let (bundle, data) = with_data(&stage);
    let kinds = ["", "none", "bind", "tmpfs", "no-such-type"];
    for (i, kind) in kinds.iter().enumerate() {
        bundle.mount(&format!("/m/{i}"), kind, &data, &[if i % 2 == 0 { "bind" } else { "rbind" }]);
    }
    bundle.set("/mounts/-", json!({"destination": "/m/untyped", "source": data, "options": ["bind"]}));
    bundle.script("cat /m/*/file | wc -l");
    stage.run(&bundle).success().prints(&format!("{}\n", kinds.len() + 1));
    for (kind, text) in [
        ("bind", "what makes a bind is the option bind or rbind, not the type"),
        ("none", "/m: has neither a type nor bind"),
        ("no-such-type", "the kernel knows no file system \"no-such-type\""),
    ] {
        let bundle = stage.bundle_named(&format!("without-{kind}"));
        bundle.mount("/m", kind, &data, &[]);
        stage.run(&bundle).fails(1, &[text]);
    }
}

#[test]
fn what_comes_into_a_tmpfs_goes_where_its_path_leads_by_then() {
    // Whatever has been put over the tmpfs, and by whatever name, what comes next is to be seen.
    for over in ["/a", "/link", "/x/../a"] {
        let stage = Stage::new();
        let (bundle, data) = with_data(&stage);
        fs::create_dir(bundle.rootfs().join("a")).expect("mkdir");
        fs::create_dir(bundle.rootfs().join("x")).expect("mkdir");
        symlink("a", bundle.rootfs().join("link")).expect("a link");
        bundle.mount("/a", "tmpfs", "tmpfs", &[]).mount("/a/one", "tmpfs", "tmpfs", &[]);
        bundle.mount(over, "bind", &data, &["bind"]).mount("/a/two", "tmpfs", "tmpfs", &["mode=1711"]);
        bundle.mount("/a/file", "bind", "/etc/passwd", &["bind"]);
        bundle.script("ls /a; stat -c %a /a/two; grep -c ^root: /a/file");
        stage.run(&bundle).success().prints("file\ntwo\n1711\n1\n");
    }
}

#[test]
fn a_tmpfs_holds_what_is_mounted_in_it_by_name() {
    let stage = Stage::new();
    let (bundle, data) = with_data(&stage);
    bundle.mount("/a", "tmpfs", "tmpfs", &["mode=755"]).mount("/a/tmp", "tmpfs", "tmpfs", &[]);
    bundle.mount("/a/dir", "bind", &data, &["bind"]).mount("/a/file", "bind", "/etc/passwd", &["bind"]);
    // What is there already, what is deeper, and a tmpfs in which there is something again.
    bundle.mount("/a/file", "bind", "data/file", &["bind"]).mount("/a/deep/er", "tmpfs", "tmpfs", &["mode=1700"]);
    bundle.mount("/a/tmp", "tmpfs", "tmpfs", &["mode=750"]).mount("/a/tmp/in", "bind", &data, &["bind"]);
    bundle.script("cd /a; ls . tmp; cat dir/file file tmp/in/file; stat -c '%a %n' . tmp deep deep/er");
    let out = stage.run(&bundle).success();
    let modes = "755 .\n750 tmp\n755 deep\n1700 deep/er\n";
    assert_eq!(out.stdout, format!(".:\ndeep\ndir\nfile\ntmp\n\ntmp:\nin\n{}{modes}", "text\n".repeat(3)));
}

#[test]
fn a_later_mount_covers_an_earlier_one() {
    let stage = Stage::new();
    let (bundle, data) = with_data(&stage);
    bundle.mount("/m", "bind", &data, &["bind"]).mount("/m", "tmpfs", "tmpfs", &["mode=711"]);
    bundle.mount("/m/sub", "bind", &data, &["bind"]);
    bundle.script("ls /m; cat /m/sub/file; cat /proc/self/mountinfo");
    let out = stage.run(&bundle).success();
    assert!(out.stdout.starts_with("sub\ntext\n"), "{}", out.stdout);
    assert_eq!(shown(&out.stdout, "/m").fstype, "tmpfs");
    assert!(!std::path::Path::new(&data).join("sub").exists(), "made in the tmpfs");
}

const LINKS: &str = "for l in fd stdin stdout stderr ptmx; do readlink /dev/$l || echo none; done";

#[test]
fn the_links_of_dev_replace_those_of_an_image() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    // Without a file system of its own there, /dev is the image's.
    bundle.edit(|config| {
        config["mounts"].as_array_mut().expect("mounts").retain(|mount| mount["destination"] == "/proc");
    });
    let dev = bundle.rootfs().join("dev");
    symlink("/etc/passwd", dev.join("stdin")).expect("symlink");
    symlink("/proc/self/fd", dev.join("fd")).expect("symlink");
    symlink("/dev/stdout", dev.join("stderr")).expect("symlink");
    fs::write(dev.join("stdout"), "").expect("write");
    fs::write(dev.join("ptmx"), "").expect("write");
    bundle.script(LINKS);
    let out = stage.run(&bundle).success();
    assert_eq!(out.stdout, "/proc/self/fd\n/proc/self/fd/0\nnone\n/proc/self/fd/2\npts/ptmx\n");
    assert!(out.stderr.contains("/dev/stdout: the image has a file there"), "{}", out.stderr);
}

#[test]
fn id_mapping_without_mappings_is_that_of_the_container_or_refused() {
    if !kernel_is((6, 3)) {
        return skip(Lacks::Machine("a tmpfs that can be id-mapped, Linux 6.3"));
    }
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.mount("/m", "tmpfs", "tmpfs", &["idmap"]);
    stage.run(&bundle).success();
    // A user namespace that is given does not say its mappings.
    stage.running(&stage.bundle_named("other"), "other");
    let path = format!("/proc/{}/ns/user", stage.pid("other"));
    bundle.without_user_namespace().set("/linux/namespaces/-", json!({"type": "user", "path": path}));
    stage.run(&bundle).fails(1, &["id-mapped mounts need mappings of their own"]);
    stage.remove("other");
    // Nor has a mount any where there is no user namespace for it: the caller's own is the container's.
    let bundle = stage.bundle_named("none");
    bundle.without_user_namespace().mount("/m", "tmpfs", "tmpfs", &["ridmap"]);
    let unshare = ["--map-root-user", "--mount", "--"];
    let call = stage.call_program(std::path::Path::new("/usr/bin/unshare"), &unshare).arg(crate::support::runtime());
    call.args(&["run", "c"]).cwd(bundle.path()).run().fails(1, &["id-mapped mounts need mappings of their own"]);
}
