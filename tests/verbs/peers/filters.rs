//! Seccomp filters that allow little: what a start takes beside the program.
use super::{OLD_LIST, list, peers, with_range};
use crate::support::{Lacks, Output, Stage, skip};
use serde_json::{Value, json};
use std::fs;
use std::time::{Duration, Instant};

#[test]
fn row_r3_a_filter_need_not_allow_what_finding_the_program_takes() {
    if !cfg!(target_arch = "x86_64") {
        return skip(Lacks::Machine("the list of calls is that of x86_64"));
    }
    let stage = Stage::new();
    let bundle = stage.bundle();
    let peers = peers(&stage);
    let no_getcwd = json!({"defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["getcwd"], "action": "SCMP_ACT_ERRNO"}]});
    // Not even what every older runtime asks for in there.
    let ours = OLD_LIST
        .split(' ')
        .filter(|name| !["access", "chdir", "faccessat", "getcwd", "setresuid", "setgroups"].contains(name))
        .collect::<Vec<_>>()
        .join(" ");
    for no_new_privs in [true, false] {
        bundle.set("/process/noNewPrivileges", json!(no_new_privs)).set("/process/cwd", json!("/usr"));
        bundle.args(&["echo", "ran"]);
        for (profile, asks) in [(list(OLD_LIST), ""), (no_getcwd.clone(), "runc")] {
            bundle.set("/linux/seccomp", profile);
            stage.run(&bundle).success().prints("ran\n");
            // runc asks for the working directory under the filter.
            for peer in peers.iter().filter(|peer| asks.is_empty() || !peer.name().ends_with(asks)) {
                let out = peer.call(&stage, &bundle, &["run", "c"]).run();
                assert_eq!((out.code, out.stdout.as_str()), (0, "ran\n"), "{}: {}", peer.name(), out.stderr);
            }
        }
        bundle.set("/linux/seccomp", list(&ours));
        stage.run(&bundle).success().prints("ran\n");
        // And so do the other ways in: at the gate, and beside.
        stage.in_bundle(&bundle, &["create", "c"]).success();
        stage.rrunc(&["exec", "c", "echo", "too"]).success().prints("too\n");
        stage.rrunc(&["start", "c"]).success();
        stage.remove("c");
        // What is missing is missing as ever, and the program has no more rights for it.
        bundle.args(&["/no/such"]);
        stage.run(&bundle).fails(1, &["stat /no/such: no such file or directory"]);
        bundle.args(&["grep", "Cap\\|NoNewPrivs\\|Seccomp:", "/proc/self/status"]);
        let filtered = stage.run(&bundle).success().stdout;
        assert!(filtered.contains("Seccomp:\t2"), "{filtered}");
        bundle.unset("/linux/seccomp");
        assert_eq!(stage.run(&bundle).success().stdout.replace("Seccomp:\t0", "Seccomp:\t2"), filtered);
    }
}

/// A filter that is loaded early is loaded under the user's ids: with what root keeps for that, and no more of it stays.
#[test]
fn row_r3_another_user_keeps_no_right_of_the_loading() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let Some(()) = with_range(&bundle, 1000) else { return };
    bundle.set("/process/noNewPrivileges", json!(false)).set("/linux/seccomp", list(OLD_LIST));
    let status = "grep 'Cap[IPEA]\\|Seccomp:\\|^Uid' /proc/self/status";
    let expected = "Uid:\t1000\t1000\t1000\t1000\nCapInh:\t0000000000000000\nCapPrm:\t0000000000000000\n\
                    CapEff:\t0000000000000000\nCapAmb:\t0000000000000000\nSeccomp:\t2\n";
    bundle.args(&["sh", "-c", status]);
    stage.run(&bundle).success().prints(expected);
    stage.running(&bundle, "c");
    stage.rrunc(&["exec", "c", "sh", "-c", status]).success().prints(expected);
    stage.remove("c");
}

#[test]
fn row_r11_a_filter_that_refuses_all_is_told_at_once() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let soon = |args: &[&str]| -> Output {
        let begin = Instant::now();
        let out = stage.call(args).cwd(bundle.path()).within(Duration::from_secs(10)).run();
        assert!(begin.elapsed() < Duration::from_secs(2), "{args:?} took {:?}", begin.elapsed());
        out
    };
    let told = ["seccomp filter refuses", "linux.seccomp"];
    for allowed in ["read", "read execve", "read rt_sigaction rt_sigprocmask", "read exit_group capset"] {
        bundle.set("/linux/seccomp", list(allowed)).args(&["true"]);
        for no_new_privs in [true, false] {
            bundle.set("/process/noNewPrivileges", json!(no_new_privs));
            soon(&["run", "c"]).fails(1, &told);
            soon(&["run", "-d", "c"]).fails(1, &told);
            assert!(stage.containers().is_empty());
            if no_new_privs {
                // Until `start` there is no filter.
                soon(&["create", "c"]).success();
                soon(&["start", "c"]).fails(1, &told);
                stage.wait_status("c", "stopped");
                stage.remove("c");
            } else {
                soon(&["create", "c"]).fails(1, &told);
            }
            assert!(stage.containers().is_empty());
        }
    }
    // A process that joins has the container's filter, too; and one of its own is told as ever.
    bundle.set("/linux/seccomp", json!(null));
    stage.running(&bundle, "c");
    let saved = stage.root().join("c/config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&saved).expect("the copy")).expect("JSON");
    config["linux"]["seccomp"] = list("read");
    for no_new_privs in [true, false] {
        config["process"]["noNewPrivileges"] = json!(no_new_privs);
        fs::write(&saved, serde_json::to_vec(&config).expect("JSON")).expect("write");
        soon(&["exec", "c", "true"]).fails(255, &told);
    }
    stage.remove("c");
    // Who can say what was refused says that; and a program that ends at once under a list without sending is no failure.
    let names = OLD_LIST.replace(" execve ", " ");
    bundle.set("/process/noNewPrivileges", json!(true)).args(&["true"]).set("/linux/seccomp", list(&names));
    soon(&["run", "c"]).fails(1, &["exec /bin/true: operation not permitted"]);
    let names = OLD_LIST.replace(" sendmsg ", " ").replace(" sendto ", " ");
    bundle.set("/linux/seccomp", list(&names));
    soon(&["run", "c"]).success();
    soon(&["create", "c"]).success();
    soon(&["start", "c"]).success();
    stage.remove("c");
}
