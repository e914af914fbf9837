//! The walk-through that made people learn runc, with the very config.json that runc 1.0 writes for root.
use crate::support::{Lacks, Stage, Terminal, find_program, program, skip};
use serde_json::{Value, json};
use std::fs;
use std::process::Command;

/// What `runc spec` of 1.0 writes, byte for byte.
const DEFAULT_CONFIG: &[u8] = include_bytes!("../fixtures/runc-1.0-config.json");

/// Exports the busybox tree as a tar, as from an image, and unpacks that as rootfs.
fn bundle_from_tar(stage: &Stage) -> crate::support::Bundle {
    let bundle = stage.bundle();
    let tar = stage.dir().join("image.tar");
    let rootfs = bundle.rootfs();
    let run = |args: &[&std::ffi::OsStr]| assert!(Command::new("tar").args(args).status().expect("tar").success());
    run(&["-C".as_ref(), rootfs.as_ref(), "-cf".as_ref(), tar.as_ref(), ".".as_ref()]);
    fs::remove_dir_all(&rootfs).expect("remove");
    fs::create_dir(&rootfs).expect("mkdir");
    run(&["-C".as_ref(), rootfs.as_ref(), "-xf".as_ref(), tar.as_ref()]);
    bundle
}

#[test]
fn from_the_default_config_to_delete() {
    if program() != "rrunc" {
        return; // No other runtime takes a config made for root.
    }
    let stage = Stage::new();
    let bundle = bundle_from_tar(&stage);
    bundle.write_bytes(DEFAULT_CONFIG);

    let mut terminal = Terminal::start(stage.call(&["run", "box"]).cwd(bundle.path()), 24, 80);
    terminal.expect("# ");
    terminal.send("id\r");
    terminal.expect("uid=0(root) gid=0(root)");
    terminal.expect("# ");
    terminal.send("touch /x; hostname\r");
    let shown = terminal.expect("runc");
    assert!(shown.contains("Read-only file system"), "{shown}");
    terminal.expect("# ");
    terminal.send("exit 3\r");
    assert_eq!(terminal.wait().0, 3);

    let refusal = "cannot allocate tty if rrunc will detach without setting console socket";
    stage.in_bundle(&bundle, &["create", "box2"]).fails(1, &[refusal]);

    bundle.set("/process/terminal", json!(false));
    stage.in_bundle(&bundle, &["create", "box2"]).success().prints("");
    let list = stage.rrunc(&["list"]).success();
    let header: Vec<_> = list.stdout.lines().next().expect("a header").split_whitespace().collect();
    assert_eq!(header, ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]);
    assert!(list.stdout.contains("created"), "{}", list.stdout);
    let pid = stage.pid("box2").to_string();
    if find_program("ps").is_some() {
        let ps = stage.rrunc(&["ps", "box2"]).success();
        assert!(ps.stdout.split_whitespace().any(|word| word == pid), "{}", ps.stdout);
    } else {
        skip(Lacks::Package("procps"));
    }
    stage.rrunc(&["start", "box2"]).success().prints("");
    stage.wait_status("box2", "stopped");
    let delete = stage.rrunc(&["delete", "box2"]).success().prints("");
    assert_eq!(delete.stderr, "");
}

#[test]
fn spec_writes_a_config_that_runs_as_it_is() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    fs::remove_file(bundle.path().join("config.json")).expect("remove");
    stage.in_bundle(&bundle, &["spec"]).success().prints("");
    stage.in_bundle(&bundle, &["spec"]).fails(1, &["File config.json exists. Remove it first"]);
    let config: Value = bundle.config();
    assert_eq!(config["process"]["args"], json!(["sh"]));
    assert_eq!(config["process"]["terminal"], json!(true));
    assert_eq!(config["root"]["path"], json!("rootfs"));
    if program() == "rrunc" {
        bundle.set("/process/terminal", json!(false)).script("id -u; exit 4");
        stage.run(&bundle).exits(4).prints("0\n");
    }
}

#[test]
fn spec_rootless_is_accepted_and_runs() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    fs::remove_file(bundle.path().join("config.json")).expect("remove");
    stage.rrunc(&["spec", "--rootless", "--bundle", bundle.str()]).success();
    bundle.set("/process/terminal", json!(false)).script("exit 4");
    stage.run(&bundle).exits(4);
    let text = fs::read_to_string(bundle.path().join("config.json")).expect("read");
    assert!(text.contains("\"ociVersion\""));
}

#[test]
fn a_distribution_root_works_too() {
    // Taken from the machine's own tools: what tests/run fetched once with mmdebstrap.
    let Some(tar) = std::env::var_os("RRUNC_TEST_DEBIAN") else {
        crate::support::skip(crate::support::Lacks::Machine("no distribution root (tests/run --all makes one)"));
        return;
    };
    if program() != "rrunc" {
        return;
    }
    assert!(find_program("tar").is_some());
    let stage = Stage::new();
    let bundle = stage.bundle();
    fs::remove_dir_all(bundle.rootfs()).expect("remove");
    fs::create_dir(bundle.rootfs()).expect("mkdir");
    let status =
        Command::new("tar").arg("-C").arg(bundle.rootfs()).arg("-xf").arg(tar).arg("--exclude=./dev/*").status();
    assert!(status.expect("tar").success());
    bundle.write_bytes(DEFAULT_CONFIG).set("/process/terminal", json!(false)).set("/root/readonly", json!(false));
    bundle.script("cat /etc/debian_version >/dev/null && id -un && dpkg --version >/dev/null && echo works");
    stage.run(&bundle).success().prints("root\nworks\n");
}
