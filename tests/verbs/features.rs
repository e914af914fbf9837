//! The features document from outside: the kernel takes what it lists, and it says the same everywhere.
use crate::support::{Stage, find_program, kernel_is, runtime};
use serde_json::{Value, json};

fn document(stage: &Stage) -> Value {
    serde_json::from_str(&stage.rrunc(&["features"]).success().stdout).expect("JSON")
}

#[test]
fn every_listed_mount_option_mounts() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let document = document(&stage);
    let mut options: Vec<&str> =
        document["mountOptions"].as_array().expect("a list").iter().map(|o| o.as_str().expect("a word")).collect();
    assert!(options.len() > 60);
    if !kernel_is((6, 3)) {
        // What it can map by id are other file systems than this.
        options.retain(|option| !["idmap", "ridmap"].contains(option));
    }
    for option in &options {
        let place = format!("/m/{option}");
        match *option {
            "bind" | "rbind" => bundle.mount(&place, "none", "rootfs/etc", &[option]),
            "remount" => {
                bundle.mount(&place, "tmpfs", "tmpfs", &[]).mount(&place, "tmpfs", "tmpfs", &["remount", "ro"])
            }
            _ => bundle.mount(&place, "tmpfs", "tmpfs", &[option]),
        };
    }
    bundle.script("cut -d' ' -f5,6 /proc/self/mountinfo | grep '^/m/'");
    let out = stage.run(&bundle).success();
    let attributes = |option: &str| {
        let place = format!("/m/{option}");
        let line = out.stdout.lines().find_map(|line| line.strip_prefix(&place)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{option} is not mounted: {}", out.stdout)).split(',').collect::<Vec<_>>()
    };
    for option in &options {
        let found = attributes(option);
        // What shows in mountinfo under its own name, alone or for the tree.
        let name = option.strip_prefix('r').filter(|rest| options.contains(rest)).unwrap_or(option);
        if ["ro", "rw", "nosuid", "nodev", "noexec", "noatime", "nodiratime", "relatime", "nosymfollow"].contains(&name)
        {
            assert!(found.contains(&name), "{option}: {found:?}");
        }
    }
    assert!(attributes("remount").contains(&"ro"));
}

#[test]
fn every_listed_namespace_and_capability_is_had() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let linux = document(&stage)["linux"].clone();
    let namespaces: Vec<Value> =
        linux["namespaces"].as_array().expect("a list").iter().map(|kind| json!({"type": kind})).collect();
    bundle.set("/linux/namespaces", json!(namespaces));
    for set in ["bounding", "effective", "permitted"] {
        bundle.set(&format!("/process/capabilities/{set}"), linux["capabilities"].clone());
    }
    bundle.args(&["grep", "Cap[PEB]", "/proc/self/status"]);
    let all = "000001ffffffffff";
    let out = stage.run(&bundle).success();
    assert_eq!(out.stdout, format!("CapPrm:\t{all}\nCapEff:\t{all}\nCapBnd:\t{all}\n"), "{}", out.stderr);
}

#[test]
fn the_document_does_not_depend_on_where_it_is_asked_for() {
    let stage = Stage::new();
    let here = stage.rrunc(&["features"]).success().stdout;
    let bare = stage.call(&["features"]).no_env("PATH").no_env("HOME").no_env("XDG_RUNTIME_DIR");
    assert_eq!(bare.cwd(std::path::Path::new("/")).run().success().stdout, here);
    // In a namespace where hardly anything is to be had: other ids, no /proc, /sys or /dev of the host's.
    let hide = "for d in /sys /dev /proc; do mount -t tmpfs none $d; done; exec \"$0\" features";
    let unshare = find_program("unshare").expect("unshare");
    let call = stage.call_program(&unshare, &["--map-root-user", "--mount", "sh", "-c", hide]);
    assert_eq!(call.arg(runtime()).run().success().stdout, here);
}
