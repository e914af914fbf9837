//! User and group ids: the caller's alone, a subordinate range, and joined namespaces.
use crate::support::{Lacks, Stage, gid, namespace, program, skip, uid};
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// First ids and counts of the caller's ranges in this file.
fn lines(file: &str) -> Option<Vec<(u32, u32)>> {
    let user = nix::unistd::User::from_uid(nix::unistd::getuid()).ok().flatten()?.name;
    let text = fs::read_to_string(file).ok()?;
    let own = text.lines().filter(|line| line.split(':').next() == Some(&user));
    let numbers = |line: &str| {
        let mut fields = line.split(':').skip(1).map(|field| field.parse().ok());
        Some((fields.next()??, fields.next()??))
    };
    own.map(numbers).collect()
}

fn range(file: &str) -> Option<(u32, u32)> {
    lines(file)?.first().copied()
}

pub fn ranges() -> Option<((u32, u32), (u32, u32))> {
    let found = range("/etc/subuid").zip(range("/etc/subgid"));
    if found.is_none() || crate::support::find_program("newuidmap").is_none() {
        skip(Lacks::Package("newuidmap with a range in /etc/subuid and /etc/subgid"));
        return None;
    }
    found
}

#[test]
fn a_single_id_map_denies_setgroups() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.script("cat /proc/self/setgroups; tr -s ' ' </proc/self/uid_map; tr -s ' ' </proc/self/gid_map");
    stage.run(&bundle).success().prints(&format!("deny\n 0 {} 1\n 0 {} 1\n", uid(), gid()));
}

#[test]
fn a_single_id_may_be_a_subordinate_one() {
    let Some((_, (first_gid, _))) = ranges() else { return };
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.set("/linux/gidMappings", json!([{"containerID": 0, "hostID": first_gid, "size": 1}]));
    bundle.script("cat /proc/self/setgroups; tr -s ' ' </proc/self/uid_map; tr -s ' ' </proc/self/gid_map");
    stage.run(&bundle).success().prints(&format!("deny\n 0 {} 1\n 0 {first_gid} 1\n", uid()));
}

#[test]
fn a_range_from_subuid_is_mapped_as_the_config_says() {
    let Some(((first_uid, _), (first_gid, _))) = ranges() else { return };
    let stage = Stage::new();
    let bundle = stage.bundle();
    let map = |own: u32, first: u32| json!([{"containerID": 0, "hostID": own, "size": 1}, {"containerID": 1, "hostID": first, "size": 2000}]);
    bundle
        .set("/linux/uidMappings", map(uid(), first_uid))
        .set("/linux/gidMappings", map(gid(), first_gid))
        .set("/process/user", json!({"uid": 1000, "gid": 1000, "additionalGids": [5, 20]}))
        .script("id -u; id -g; id -G; tr -s ' ' </proc/self/uid_map; echo $HOME");
    let out = stage.run(&bundle);
    if program() == "runc" {
        return; // It refuses additional groups when rootless.
    }
    out.success().prints(&format!("1000\n1000\n1000 5 20\n 0 {} 1\n 1 {first_uid} 2000\n/home/user\n", uid()));
}

#[test]
fn without_mappings_in_the_config_the_whole_range_comes_along() {
    let Some(_) = ranges() else { return };
    if program() != "rrunc" {
        return;
    }
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.without_user_namespace().script("tr -s ' ' </proc/self/uid_map");
    let mut expected = format!(" 0 {} 1\n", uid());
    let mut next = 1;
    for (first, count) in lines("/etc/subuid").expect("our ranges") {
        expected.push_str(&format!(" {next} {first} {count}\n"));
        next += count;
    }
    stage.run(&bundle).success().prints(&expected);
}

#[test]
fn programs_that_change_ids_work_with_a_range() {
    let Some(_) = ranges() else { return };
    if program() != "rrunc" {
        return;
    }
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.without_user_namespace().set("/root/readonly", json!(false));
    for set in ["bounding", "effective", "permitted"] {
        bundle.set(&format!("/process/capabilities/{set}"), json!(["CAP_SETUID", "CAP_SETGID", "CAP_CHOWN"]));
    }
    bundle.script("touch /f && chown 1000:1000 /f && stat -c %u:%g /f && setpriv --reuid 1000 id -u 2>/dev/null || su user -c 'id -u'");
    let out = stage.run(&bundle).success();
    assert_eq!(out.stdout, "1000:1000\n1000\n", "{}", out.stderr);
}

#[test]
fn an_unmapped_user_is_an_error() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.set("/process/user", json!({"uid": 1000, "gid": 0}));
    let out = stage.run(&bundle).exits(1);
    assert!(out.stderr.contains("1000") || program() != "rrunc", "{}", out.stderr);
    assert_eq!(stage.containers(), Vec::<String>::new());
}

#[test]
fn namespaces_can_be_joined_by_path() {
    let stage = Stage::new();
    let first = stage.bundle_named("first");
    stage.running(&first, "first");
    let pid = stage.pid("first").to_string();
    let second = stage.bundle_named("second");
    second.edit(|config| {
        for namespace in config["linux"]["namespaces"].as_array_mut().expect("namespaces") {
            let file = match namespace["type"].as_str().expect("a type") {
                kind @ ("user" | "ipc" | "uts") => kind,
                "network" => "net",
                _ => continue,
            };
            namespace["path"] = json!(format!("/proc/{pid}/ns/{file}"));
        }
    });
    second.unset("/linux/uidMappings").unset("/linux/gidMappings").unset("/hostname");
    second.script("for n in user net ipc uts pid mnt; do stat -L -c %i /proc/self/ns/$n; done; hostname");
    let out = stage.in_bundle(&second, &["run", "second"]).success();
    let lines: Vec<_> = out.stdout.lines().collect();
    for (name, line) in ["user", "net", "ipc", "uts"].iter().zip(&lines) {
        assert_eq!(*line, namespace(&pid, name).to_string(), "{name}");
    }
    assert_ne!(lines[4], namespace(&pid, "pid").to_string());
    assert_ne!(lines[5], namespace(&pid, "mnt").to_string());
    assert_eq!(lines[6], "stage");
    stage.remove("first");
}

#[test]
fn a_namespace_path_of_the_wrong_kind_is_refused() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.without_namespace("ipc").set("/linux/namespaces/-", json!({"type": "ipc", "path": "/proc/self/ns/uts"}));
    assert_eq!(stage.run(&bundle).code, 1);
    assert_eq!(stage.containers(), Vec::<String>::new());
    bundle.without_namespace("ipc").set("/linux/namespaces/-", json!({"type": "ipc", "path": "/no/such/ns"}));
    stage.run(&bundle).fails(1, &["/no/such/ns"]);
}

#[test]
fn hostname_and_domainname() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.set("/hostname", json!("box")).script("hostname; cat /proc/sys/kernel/domainname");
    if program() == "rrunc" {
        bundle.set("/domainname", json!("example.org"));
        stage.run(&bundle).success().prints("box\nexample.org\n");
    } else {
        stage.run(&bundle).success().prints("box\n(none)\n");
    }
}

#[test]
fn row_f2_a_working_directory_of_roots_alone_is_entered_for_another_user() {
    let Some(_) = ranges() else { return };
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.without_user_namespace();
    fs::set_permissions(bundle.rootfs().join("root"), fs::Permissions::from_mode(0o700)).expect("chmod");
    bundle.set("/process/user", json!({"uid": 1000, "gid": 1000})).set("/process/cwd", json!("/root"));
    bundle.script("pwd; id -u; ls / >/dev/null && cd /root");
    let out = stage.run(&bundle);
    // Entered as root, and that is all: the user can no more there than anywhere else.
    assert!(out.stdout == "/root\n1000\n" && out.code != 0, "{out:?}");
    bundle.set("/process/user", json!({"uid": 0, "gid": 0})).set("/process/cwd", json!("/"));
    stage.running(&bundle, "c");
    stage.rrunc(&["exec", "-u", "1000", "--cwd", "/root", "c", "pwd"]).success().prints("/root\n");
    stage.rrunc(&["exec", "-u", "1000", "--cwd", "/none", "c", "pwd"]).fails(255, &["chdir to cwd"]);
    stage.remove("c");
}
