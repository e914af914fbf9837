//! A created container waits at the gate. Processes that `exec` adds to it meanwhile, and neighbours in its pid namespace, try to
//! make use of its first process and of the gate.
use super::payloads;
use crate::support::{Bundle, Call, Lacks, Stage, kernel_is, skip, wait_for};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use std::fs;

/// A filter that refuses what the container's own program could do without it.
fn filtered(bundle: &Bundle) {
    let rule = json!({"names": ["unshare", "keyctl"], "action": "SCMP_ACT_ERRNO"});
    bundle.set("/linux/seccomp", json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}));
}

fn exec(stage: &Stage, options: &[&str], payload: &str) -> Call {
    let all = payloads::arguments(payload);
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    stage.call(&[&["exec"], options, &["c", payloads::PATH], &all].concat())
}

#[test]
fn row_7b_the_first_process_of_a_created_container_does_nothing_for_those_with_a_filter() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    payloads::install(&bundle);
    filtered(&bundle);
    for user in [0, 1000] {
        if user != 0 {
            let Some(first) = super::identity::subordinate() else { return };
            super::identity::map_range(&bundle, first);
            bundle.set("/process/user", json!({"uid": 0, "gid": 0}));
        }
        bundle.args(&["sleep", "3600"]);
        stage.in_bundle(&bundle, &["create", "c"]).success();
        let traced = || payloads::lines(&exec(&stage, &["-e", "TRACED=1"], "gate::trace").run().success().stdout);
        assert_eq!(traced()[1], "not traced: Operation not permitted", "user {user}");
        // The control: once it is the program, with the same filter, it can be traced as among all processes of one user.
        stage.rrunc(&["start", "c"]).success();
        wait_for("the program", || (stage.status("c") == "running").then_some(()));
        let control = traced();
        stage.remove("c");
        if control[1] != "traced 1" {
            return skip(Lacks::Machine(
                "a kernel that lets processes of one user trace each other (kernel.yama.ptrace_scope=0)",
            ));
        }
    }
}

#[test]
fn row_7b_a_neighbour_does_not_trace_the_first_process_of_a_created_container() {
    let stage = Stage::new();
    let neighbour = stage.bundle_named("neighbour");
    payloads::run(&neighbour, "gate::trace");
    filtered(&neighbour);
    let bundle = stage.bundle_named("bundle");
    filtered(&bundle);
    bundle.args(&["sleep", "3600"]).unset("/linux/uidMappings").unset("/linux/gidMappings");
    // The control: what is created in a pid namespace of a neighbour's comes to be its program, and then can be traced.
    for started in [false, true] {
        let mut watch = stage.call(&["run", "-d", "neighbour"]).cwd(neighbour.path()).spawn();
        watch.wait_stdout("waiting");
        let pid = stage.pid("neighbour");
        bundle.edit(|config| {
            for namespace in config["linux"]["namespaces"].as_array_mut().expect("namespaces") {
                let kind = namespace["type"].as_str().expect("a type").to_owned();
                if ["pid", "user"].contains(&kind.as_str()) {
                    namespace["path"] = json!(format!("/proc/{pid}/ns/{kind}"));
                }
            }
        });
        stage.in_bundle(&bundle, &["create", "c"]).success();
        if started {
            // Its pid is the payload's already.
            stage.rrunc(&["start", "c"]).success();
        }
        watch.wait_stdout("traced");
        let said = payloads::lines(&watch.wait().success().stdout);
        if started && said[1] == "not traced" {
            skip(Lacks::Machine(
                "a kernel that lets processes of one user trace each other (kernel.yama.ptrace_scope=0)",
            ));
        }
        if !started {
            assert_eq!(said[1], "not traced");
        }
        stage.remove("c");
        stage.remove("neighbour");
    }
}

/// Only who may trace the first process gets at the gate: here the caller has given it the capability for that. The control is
/// that it does get there, and that `start` reads what it says.
#[test]
fn row_7b_start_ends_nobody_in_the_name_of_a_container() {
    if !kernel_is((6, 5)) {
        return skip(Lacks::Machine("SO_PEERPIDFD (Linux 6.5)"));
    }
    let stage = Stage::new();
    let bundle = stage.bundle();
    payloads::install(&bundle);
    bundle.args(&["sleep", "3600"]);
    stage.in_bundle(&bundle, &["create", "c"]).success();
    let mut attacker = exec(&stage, &["--cap", "CAP_SYS_PTRACE"], "gate::answer_start").spawn();
    attacker.wait_stdout("has the gate");
    let said = stage.rrunc(&["start", "c"]);
    attacker.wait_stdout("named it");
    said.fails(1, &["the container announces a courier that is not planned"]);
    stage.remove("c");
    attacker.wait();
}

/// What /proc says of a process.
struct Child {
    pid: i32,
    name: String,
}

/// The child of process `parent` that is stopped.
fn stopped_child_of(parent: i32) -> Option<Child> {
    let all = fs::read_dir("/proc").expect("/proc").flatten();
    let mut pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.find_map(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(") ")?;
        let mut rest = rest.split(' ');
        let stopped = rest.next() == Some("T");
        let is_child = rest.next()?.parse() == Ok(parent);
        (stopped && is_child).then(|| Child { pid, name: name.to_owned() })
    })
}

/// A process that joins a container can be stopped there, before its program runs. The control is that one is.
#[test]
fn row_7c_exec_held_by_a_stopped_process_can_be_ended_and_holds_up_nobody() {
    for options in [&[][..], &["--pid-file", "pid"]] {
        let stage = Stage::new();
        let bundle = stage.bundle();
        payloads::run(&bundle, "gate::stop_others");
        let mut run = stage.call(&["run", "-d", "c"]).cwd(bundle.path()).spawn();
        run.wait_stdout("stopping");
        run.wait().success();
        let mut held = (0..200).find_map(|_| {
            let mut exec = stage.call(&[&["exec"], options, &["c", "true"]].concat()).cwd(stage.dir()).spawn();
            let parent = exec.pid().as_raw();
            let child = wait_for("the process to end, or to be stopped", || match stopped_child_of(parent) {
                Some(child) => Some(Some(child)),
                None => exec.ended().then_some(None),
            });
            if let Some(child) = child {
                if child.name == "rrunc:[exec]" {
                    return Some(exec);
                }
                // A program that is stopped is not ours to see to.
                kill(Pid::from_raw(child.pid), Signal::SIGKILL).expect("kill");
            }
            exec.wait();
            None
        });
        let Some(exec) = held.as_mut() else { panic!("none was stopped on its way") };
        // Who takes the lock gets it.
        stage.rrunc(&["start", "c"]).fails(1, &["cannot start an already running container"]);
        exec.signal(Signal::SIGTERM);
        wait_for("exec to end", || exec.ended().then_some(()));
        held.expect("it was there").wait().exits(255);
        stage.remove("c");
    }
}
