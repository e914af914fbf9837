//! Row 28: config.json as a weapon. Every case ends in bounded time and memory, with an error where it is one.
use crate::support::{Output, Stage, slowness};
use serde_json::json;
use std::fmt::Write;
use std::time::{Duration, Instant};

/// Address space for one call, in KiB: the 100 MB case needs a few copies of its text.
const MEMORY: u32 = 2_000_000;

fn bounded(stage: &Stage, bundle: &crate::support::Bundle) -> Output {
    let begin = Instant::now();
    let out = stage
        .call_after(&format!("ulimit -v {MEMORY}"), &["run", "c"])
        .cwd(bundle.path())
        .within(Duration::from_secs(60))
        .run();
    assert!(begin.elapsed() < Duration::from_secs(30) * slowness(), "it took {:?}", begin.elapsed());
    assert!(out.code >= 0, "it crashed: {out:?}");
    assert!(!out.stderr.contains("panicked") && !out.stderr.contains("goroutine"), "{out:?}");
    assert_eq!(stage.containers(), Vec::<String>::new());
    out
}

fn refused(name: &str, bytes: &[u8]) {
    let stage = Stage::new();
    let bundle = stage.bundle();
    // The control: the unchanged config runs under the same limits.
    assert_eq!(bounded(&stage, &bundle).code, 0, "{name}");
    bundle.write_bytes(bytes);
    let out = bounded(&stage, &bundle);
    assert_eq!(out.code, 1, "{name}: {out:?}");
    assert!(!out.stderr.trim().is_empty(), "{name}: silent");
    assert!(out.stderr.len() < 4096, "{name}: the message itself is huge: {} bytes", out.stderr.len());
}

fn text(change: impl FnOnce(&str) -> Vec<u8>) -> Vec<u8> {
    change(&crate::support::Bundle::plain_config().to_string())
}

#[test]
fn row_28_deep_nesting() {
    let deep = format!("{{\"annotations\": {}{}}}", "[".repeat(200_000), "]".repeat(200_000));
    refused("arrays", deep.as_bytes());
    let deep = format!("{}1{}", "{\"x\":".repeat(200_000), "}".repeat(200_000));
    refused("objects", deep.as_bytes());
}

#[test]
fn row_28_not_json_and_not_text() {
    refused("empty", b"");
    refused("null", b"null");
    refused("an array", b"[]");
    refused("cut short", &text(|t| t.as_bytes()[..t.len() / 2].to_vec()));
    refused(
        "invalid UTF-8",
        &text(|t| {
            t.replace("stage", "st\u{1}age")
                .replace('\u{1}', "X")
                .into_bytes()
                .iter()
                .map(|b| if *b == b'X' { 0xff } else { *b })
                .collect()
        }),
    );
    refused("zeroes", &vec![0; 1_000_000]);
    refused("trailing text", &text(|t| format!("{t} {t}").into_bytes()));
}

#[test]
fn row_28_wrong_types_and_nul_bytes() {
    let cases = [
        ("/process/args", json!("true")),
        ("/process/args", json!(["true\u{0}x"])),
        ("/process/env", json!(["A=\u{0}"])),
        ("/process/env", json!(["no equals sign"])),
        ("/process/cwd", json!("/\u{0}")),
        ("/process/user/uid", json!(-1)),
        ("/process/user/uid", json!(4_294_967_296_u64)),
        ("/root/path", json!("root\u{0}fs")),
        ("/hostname", json!("x".repeat(1000))),
        ("/linux/uidMappings", json!([{"containerID": 0, "hostID": 0, "size": 4_294_967_295_u32}])),
        ("/linux/maskedPaths", json!(["relative"])),
        ("/linux/namespaces/-", json!({"type": "nonsense"})),
        ("/mounts/-", json!({"destination": "/x\u{0}y", "type": "tmpfs", "source": "tmpfs"})),
    ];
    for (pointer, value) in cases {
        let stage = Stage::new();
        let bundle = stage.bundle();
        bundle.set(pointer, value.clone());
        let out = bounded(&stage, &bundle);
        assert_eq!(out.code, 1, "{pointer} = {value}: {out:?}");
    }
}

#[test]
fn row_28_a_hundred_megabytes() {
    let mut huge = text(|t| t.as_bytes().to_vec());
    huge.pop();
    huge.extend_from_slice(b",\"annotations\":{\"x\":\"");
    huge.resize(huge.len() + 100_000_000, b'x');
    huge.extend_from_slice(b"\"}}");
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.write_bytes(&huge);
    // Refused for its size or taken: either way it ends soon.
    let out = bounded(&stage, &bundle);
    assert!(out.code == 0 || out.code == 1, "{}", out.code);
}

#[test]
fn row_28_ten_thousand_mounts() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.edit(|config| {
        let mounts = config["mounts"].as_array_mut().expect("mounts");
        for n in 0..10_000 {
            mounts.push(json!({"destination": format!("/tmp/m/{n}"), "type": "tmpfs", "source": "tmpfs"}));
        }
    });
    let out = bounded(&stage, &bundle);
    assert!(out.code == 0 || !out.stderr.is_empty(), "{out:?}");
}

#[test]
fn row_28_a_hundred_thousand_seccomp_rules() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let rules: Vec<_> = (0..100_000)
        .map(|n| {
            json!({"names": ["personality"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1 + n % 100,
                "args": [{"index": 0, "value": n, "op": "SCMP_CMP_EQ"}]})
        })
        .collect();
    bundle.set("/linux/seccomp", json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}));
    // The kernel takes 4096 instructions at most; what does not fit is an error that says so.
    let out = bounded(&stage, &bundle);
    assert!(out.code == 0 || (out.code == 1 && out.stderr.to_lowercase().contains("seccomp")), "{out:?}");
}

#[test]
fn row_28_a_long_chain_of_everything() {
    let mut text = String::new();
    for n in 0..20_000 {
        write!(text, "{n}").expect("a string");
    }
    // Of one name only the last would count.
    let env: Vec<_> = (0..200).map(|n| format!("V{n}={text}")).collect();
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.set("/process/env", json!(env));
    // More than execve takes: E2BIG, told as an error.
    let out = bounded(&stage, &bundle);
    assert_ne!(out.code, 0);
    assert!(out.stderr.to_lowercase().contains("argument list too long"), "{out:?}");
}
