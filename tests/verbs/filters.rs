//! A seccomp profile of the configuration in the kernel: actions, arguments, errno values, flags.
use crate::support::Stage;
use serde_json::{Value, json};

/// Tries the calls that the profiles below have rules for, and says what came of each.
const TRY: &str = "mkdir /dev/shm/a 2>&1; chmod 4755 /dev/shm 2>&1; chmod 755 /dev/shm 2>&1 && echo plain; ln /etc/group /dev/shm/b 2>&1";

fn rule(names: &[&str], more: Value) -> Value {
    let mut rule = json!({"names": names, "action": "SCMP_ACT_ERRNO"});
    for (key, value) in more.as_object().expect("an object") {
        rule[key] = value.clone();
    }
    rule
}

#[test]
fn rules_arguments_and_errno_values_are_those_of_the_profile() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let set_id =
        |index: u32| json!([{"index": index, "value": 0o4000, "valueTwo": 0o4000, "op": "SCMP_CMP_MASKED_EQ"}]);
    let syscalls = json!([
        rule(&["mkdir", "mkdirat"], json!({"errnoRet": libc::EXDEV})),
        rule(&["chmod"], json!({"args": set_id(1), "errnoRet": libc::ENOSPC})),
        rule(&["fchmodat"], json!({"args": set_id(2), "errnoRet": libc::ENOSPC})),
        rule(&["link", "linkat"], json!({})),
    ]);
    let expected = "mkdir: can't create directory '/dev/shm/a': Invalid cross-device link\n\
                    chmod: /dev/shm: No space left on device\nplain\n\
                    ln: /dev/shm/b: Operation not permitted\n";
    bundle.set("/linux/seccomp", json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": syscalls}));
    for no_new_privs in [true, false] {
        bundle.set("/process/noNewPrivileges", json!(no_new_privs)).script(TRY);
        assert_eq!(stage.run(&bundle).stdout, expected, "no_new_privs {no_new_privs}");
        stage.running(&bundle, "c");
        assert_eq!(stage.rrunc(&["exec", "c", "sh", "-c", TRY]).stdout, expected, "exec, no_new_privs {no_new_privs}");
        stage.remove("c");
    }
}

#[test]
fn the_kernel_takes_every_flag_of_the_specification() {
    let flags = ["LOG", "TSYNC", "SPEC_ALLOW", "WAIT_KILLABLE_RECV"].map(|flag| format!("SECCOMP_FILTER_FLAG_{flag}"));
    let all = json!(flags);
    for flags in flags.iter().map(|flag| json!([flag])).chain([all]) {
        let stage = Stage::new();
        let bundle = stage.bundle();
        let path = stage.dir().join("agent");
        let syscalls = json!([{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}]);
        bundle.set(
            "/linux/seccomp",
            json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": flags, "listenerPath": path, "syscalls": syscalls}),
        );
        let agent = crate::agent::Agent::at(&path, |_| crate::agent::Answer::Result(0));
        bundle.script("mkdir /made-up && grep Seccomp: /proc/self/status");
        let out = stage.run(&bundle).success();
        assert_eq!(out.stdout, "Seccomp:\t2\n", "{flags}");
        agent.states(1);
    }
}

#[test]
fn an_agent_that_does_not_listen_or_listens_in_another_way_is_an_error() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let path = stage.dir().join("agent");
    bundle.set(
        "/linux/seccomp",
        json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": path,
            "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]}),
    );
    let refused = || {
        stage.run(&bundle).fails(1, &["failed to connect with seccomp agent specified in the seccomp profile"]);
        assert!(stage.containers().is_empty());
    };
    refused();
    std::fs::write(&path, "").expect("write");
    refused();
    std::fs::remove_file(&path).expect("remove");
    // The socket is a stream; one of packets is none.
    let packets = std::os::unix::net::UnixDatagram::bind(&path).expect("bind");
    refused();
    drop(packets);
    refused();
}
