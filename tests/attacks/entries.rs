//! Row 14: the entries of 32-bit and x32 programs are judged like any other, or closed.
use super::payloads;
use super::sandbox::{assert_all, changed, results, without_filter};
use crate::support::{Lacks, Place, Stage, skip};
use rrunc::seccomp::profiles;
use serde_json::json;

const PAYLOAD: &str = "entries::foreign";
const CALLS: usize = 16;

/// What a container with this filter answers to each call.
fn in_container(filter: Option<serde_json::Value>) -> Vec<(String, String)> {
    let stage = Stage::new();
    let bundle = stage.bundle();
    payloads::run(&bundle, PAYLOAD);
    if let Some(filter) = filter {
        bundle.set("/linux/seccomp", filter);
    }
    results(&stage.run(&bundle).success().stdout)
}

fn of<'a>(results: &'a [(String, String)], name: &str) -> &'a str {
    results.iter().find(|(known, _)| known == name).map(|(_, end)| end.as_str()).expect("each call was made")
}

#[test]
fn row_14_other_entries_to_the_kernel_are_judged_or_closed() {
    let place = Place::new();
    // The control: without a filter the kernel does it, by the entry that it has.
    let open = changed(&place, &[], PAYLOAD, without_filter);
    assert_eq!(open.len(), CALLS);
    if of(&open, "i386 getpid") != "Ok" {
        return skip(Lacks::Machine("this kernel has no entry for 32-bit programs"));
    }
    for name in ["i386 unshare", "i386 keyctl"] {
        assert_eq!(of(&open, name), "Ok", "{open:?}");
    }
    let container = in_container(None);
    assert_eq!(of(&container, "i386 unshare"), "Ok", "{container:?}");

    for options in [&[][..], &["--userns"], &["--security-opt", "seccomp=strict"]] {
        let inside = results(&payloads::in_sandbox(&place, options, PAYLOAD).success().stdout);
        assert_all(&inside, CALLS, "SIGSYS");
    }
    // The profile for containers has all three kinds, so that 32-bit images run, and judges them by the same names.
    let default = serde_json::from_str(profiles::profile("default").expect("a profile")).expect("JSON");
    let judged = in_container(Some(default));
    assert_eq!(of(&judged, "i386 getpid"), "Ok", "{judged:?}");
    assert!(["Ok", "ENOSYS"].contains(&of(&judged, "x32 getpid")), "{judged:?}");
    let rest: Vec<_> = judged.into_iter().filter(|(name, _)| !name.ends_with("getpid")).collect();
    assert_all(&rest, CALLS - 2, "EPERM");
    // A filter that says nothing of them, and lets through what it does not name, closes them.
    let deny = json!({"defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["unshare"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}]});
    assert_all(&in_container(Some(deny)), CALLS, "SIGSYS");
}
