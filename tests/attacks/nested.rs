//! Rows 1 and 20 against a first process that says something else of itself than `create` has decided: it enters namespaces
//! of its own, with ids of its own.
use super::binary::{hostile, own_copy};
use super::identity::{map_range, subordinate};
use super::payloads;
use crate::support::{Bundle, Stage, wait_for};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use std::fs;
use std::path::Path;

/// As root of the container, with somebody beside it who writes to every program that comes: the first process enters a user
/// namespace in which there is no owner of our binary.
const NEST: &str = "/bin/payload \"$@\" &
    ( until echo 0 1 1 >/proc/1/uid_map; do sleep 0.02; done
      echo 0 1 1 >/proc/1/gid_map
      echo nested ) 2>/dev/null &
    exec unshare -U sh -c 'until grep -q . /proc/self/uid_map; do sleep 0.02; done; sleep 3600'";

fn nest(bundle: &Bundle) {
    payloads::install(bundle);
    let arguments = payloads::arguments("overwrite_programs");
    let all: Vec<&str> = ["sh", "-c", NEST, "sh"].into_iter().chain(arguments.iter().map(String::as_str)).collect();
    bundle.args(&all);
    let all = json!(["CAP_KILL", "CAP_SETGID", "CAP_SETUID"]);
    for set in ["bounding", "effective", "permitted"] {
        bundle.set(&format!("/process/capabilities/{set}"), all.clone());
    }
}

/// The control is that of row 1; and that the process did get where it wanted to.
#[test]
fn row_1_exec_into_a_container_that_has_entered_a_user_namespace() {
    let Some(first) = subordinate() else { return };
    let stage = Stage::new();
    let (copy, before) = own_copy(&stage);
    let bundle = hostile(&stage, "bundle");
    map_range(&bundle, first);
    nest(&bundle);
    let mut run = stage.call_program(&copy, &["run", "-d", "c"]).cwd(bundle.path()).spawn();
    for said in ["watching", "nested"] {
        run.wait_stdout(said);
    }
    run.wait().success();
    let pid = stage.pid("c");
    let map =
        wait_for("the ids", || fs::read_to_string(format!("/proc/{pid}/uid_map")).ok().filter(|map| !map.is_empty()));
    assert_eq!(map.split_whitespace().nth(1), Some(first.0.to_string().as_str()), "{map}");
    for program in ["true", "/self", "/proc/self/exe"].repeat(5) {
        let said = stage.call_program(&copy, &["exec", "c", program]).run();
        assert!(fs::read(&copy).expect("read") == before, "the runtime's binary was overwritten");
        said.fails(255, &["cannot exec in a container whose first process has entered another user namespace"]);
    }
    stage.remove("c");
}

/// The same as podman calls it: root of the caller's user namespace, and the container in that. Only its user 5 is left to
/// the first process.
#[test]
fn row_1_exec_by_root_of_a_user_namespace_into_one_that_has_entered_another() {
    let Some(_) = subordinate() else { return };
    let stage = Stage::new();
    let (copy, before) = own_copy(&stage);
    let bundle = hostile(&stage, "bundle");
    nest(&bundle);
    bundle.unset("/linux/uidMappings").unset("/linux/gidMappings");
    bundle.set("/linux/namespaces", json!(["pid", "mount", "ipc", "uts"].map(|kind| json!({"type": kind}))));
    let script = "\"$0\" run -d c </dev/null >said 2>&1 || { cat said; exit 1; }
        until grep -q nested said && grep -q watching said; do sleep 0.05; done
        for program in true /self /proc/self/exe /self /proc/self/exe; do
            \"$0\" exec c $program
        done
        touch rootfs/tmp/stop
        \"$0\" delete --force c";
    let unshare = ["--map-root-user", "--map-auto", "--mount", "sh", "-c", script];
    let run = stage.call_program(Path::new("/usr/bin/unshare"), &unshare).arg(&copy).cwd(bundle.path()).run();
    assert!(fs::read(&copy).expect("read") == before, "the runtime's binary was overwritten");
    let refused = "cannot exec in a container whose first process has entered another user namespace";
    let run = run.success();
    assert_eq!(run.stderr.matches(refused).count(), 5, "{}", run.stderr);
}

/// Where there is no pid namespace that would end with it: a process that has left the container's mounts, its parent and its
/// user namespace. The control: it does live on where the first process alone is ended.
#[test]
fn row_20_who_has_entered_other_namespaces_belongs_to_the_container_still() {
    for verb in [&["kill", "--all", "c", "KILL"][..], &["delete", "--force", "c"], &["kill", "c", "TERM"]] {
        let stage = Stage::new();
        let bundle = stage.bundle();
        bundle.edit(|config| {
            let namespaces = config["linux"]["namespaces"].as_array_mut().expect("namespaces");
            namespaces.retain(|namespace| namespace["type"] != "pid");
        });
        bundle.script("( unshare -Um setsid sh -c 'echo gone; exec sleep 60' & ) ; exec sleep 3600");
        let mut run = stage.call(&["run", "-d", "c"]).cwd(bundle.path()).spawn();
        run.wait_stdout("gone");
        run.wait().success();
        let one_that_left = || stage.processes().into_iter().find(|process| process.contains("sleep 60"));
        wait_for("the process", one_that_left);
        stage.rrunc(verb).success();
        wait_for("the first process to end", || {
            (!stage.processes().iter().any(|p| p.contains("sleep 3600"))).then_some(())
        });
        let left = one_that_left();
        assert_eq!(left.is_some(), verb.contains(&"TERM"), "{verb:?}: {left:?}");
        if let Some(left) = left {
            let pid = left.split(':').next().and_then(|pid| pid.parse().ok()).expect("a pid");
            kill(Pid::from_raw(pid), Signal::SIGKILL).expect("kill");
        }
        stage.rrunc(&["delete", "--force", "c"]).success();
    }
}
