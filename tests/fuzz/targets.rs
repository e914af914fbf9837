//! What is fuzzed: every reader of text or packets that somebody else may have written. A target takes any bytes and
//! panics when something is wrong; cargo-fuzz (fuzz_targets/) and the driver for stable Rust (tests/fuzz.rs) share them.
#![allow(dead_code, reason = "cargo-fuzz uses one target at a time")]
#[path = "../support/bpf.rs"]
mod bpf;

use bpf::Data;
use oci_spec::runtime::LinuxSeccomp;
use rrunc::bundle::{self, Bundle};
use rrunc::error::{hint_of, one_line};
use rrunc::git::{config as gitconfig, index, repository};
use rrunc::host::{self, ExeOwner, Host, IdMap, Range};
use rrunc::nameserver;
use rrunc::plan::{self, Options};
use rrunc::sandbox::policy::Policy;
use rrunc::sandbox::profile::Profile;
use rrunc::seccomp::abi::Machine;
use rrunc::seccomp::{compile_for, words};
use rrunc::spawn::wire;
use rrunc::systemd::{self, Unit, address, message};
use rrunc::verbs::exec::parse_user;
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A target: its name, itself, and inputs to start from.
pub type Target = (&'static str, fn(&[u8]), &'static [&'static [u8]]);

const RUNC_CONFIG: &[u8] = include_bytes!("../fixtures/runc-1.0-config.json");
/// One of everything that the plan looks at.
const CONFIG: &[u8] = include_bytes!("seeds/config.json");

/// All targets.
pub const TARGETS: [Target; 9] = [
    ("config", config, &[RUNC_CONFIG, CONFIG]),
    (
        "mount_options",
        mount_options,
        &[
            b"bind,rro,nosuid,nodev,noexec,relatime",
            b"rbind\nrslave\nunbindable\nremount\nidmap=0-1000-1\nsize=65536k\nmode=1777\ntmpcopyup",
            b"ro,rw,mand,loud,lazytime,strictatime,rnosymfollow,uid=0,gid=5,newinstance,ptmxmode=0666",
        ],
    ),
    (
        "seccomp",
        seccomp,
        &[
            include_bytes!("../../profiles/seccomp/strict.json"),
            include_bytes!("../../profiles/seccomp/default.json"),
            b"\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x20\x30\x40\x50\x60\x70\x80\x90",
        ],
    ),
    (
        "tables",
        tables,
        &[
            b"user:100000:65536\n1000:4294901760:65536\n# no\n:1:2\nuser:x:y\n",
            b"         0       1000          1\n         1     100000      65536\n",
            b"root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n",
        ],
    ),
    (
        "packets",
        packets,
        &[
            br#"F{"step":"mounts","chain":"mount /data: Permission denied","errno":13,"hint":"look","not_executed":false}"#,
            b"W\x02a line for the log",
            b"P\x01\x02\x03\x04",
            b"N\xff\xff\xff\xff",
            b"R",
            b"\x12\x34\x01\x20\0\x01\0\0\0\0\0\0\x01a\x02bc\0\0\x1c\0\x01",
        ],
    ),
    (
        "git",
        git,
        &[
            b"[core]\n\thooksPath = .githooks\n[includeIf \"gitdir:~/x/\"]\n\tpath = a\\\n  b # c\n[a.b]k=\"\\t\\\"\"\n",
            b"DIRC\0\0\0\x02\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xe0\0\0\0\0\0\0\0\0\0\0\0\0\0\
                \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x03libTREE\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            b"gitdir: ../.git/modules/x\n",
            b"ref: refs/heads/main\n",
            b"# no\n/a/objects\n../b\n",
        ],
    ),
    ("users", users, &[b"1000:100", b"0", b"0:4294967295", b"-1", b"+0x0", b"root:wheel", b" 1\n", b"4294967294:0007"]),
    ("profile", profile, &[include_bytes!("../../profiles/base.toml")]),
    (
        "systemd",
        systemd,
        &[
            b"l\x03\x01\x01\x08\0\0\0\x01\0\0\0\x1f\0\0\0\x04\x01s\0\x03\0\0\0a.B\0\0\0\0\0\
                \x05\x01u\0\x03\0\0\0\x08\x01g\0\x01s\0\0\x03\0\0\0why\0",
            b"user-a.slice:libpod:0123+ab@c",
            b"unix:path=/run/user/1000/bus,guid=01%2c;unix:abstract=/tmp/dbus",
            b"['a.service', \"\\u00e4\\n\"]",
            b"uint64 0x10",
            b"-1.5e3",
        ],
    ),
];

/// A host with subordinate ranges and helpers, so that no decision is cut short.
fn host() -> Host {
    let range = vec![Range { start: 100_000, size: 65_536 }];
    let identity = vec![IdMap { inside: 0, outside: 0, size: u32::MAX }];
    Host {
        uid: 1000,
        gid: 1000,
        rootless_namespace: false,
        privileged: false,
        uid_map: identity.clone(),
        gid_map: identity,
        subuids: range.clone(),
        subgids: range,
        map_helpers: Some((PathBuf::from("/usr/bin/newuidmap"), PathBuf::from("/usr/bin/newgidmap"))),
        exe: ExeOwner { uid: 1000, gid: 1000, mode: 0o755 },
        modules: rrunc::host::Modules { apparmor: true, selinux: false },
        landlock_abi: 7,
    }
}

/// `exec --user`, and the user of `exec --process`: what is taken for an id is that number and nothing else.
pub fn users(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let means = |text: &str, id: u32| {
        assert!(text.bytes().all(|byte| byte.is_ascii_digit()) && id != u32::MAX, "{text:?}");
        assert_eq!(text.trim_start_matches('0').parse().unwrap_or(0), id, "{text:?}");
    };
    match parse_user(&text) {
        Ok((uid, None)) => means(&text, uid),
        Ok((uid, Some(gid))) => {
            let (first, second) = text.split_once(':').expect("two of them");
            means(first, uid);
            means(second, gid);
        }
        Err(error) => assert!(!one_line(&error).is_empty()),
    }
    let Ok(value) = serde_json::from_str::<Value>(&text) else { return };
    let document = json!({"user": {"uid": value, "gid": 0}, "args": ["a"], "cwd": "/"});
    if let Ok(process) = bundle::parse_process(document.to_string().as_bytes(), &mut Vec::new()) {
        // As peers have it, nothing is root.
        let expected = if value.is_null() { Some(0) } else { value.as_u64() };
        assert_eq!(expected, Some(process.user().uid().into()), "{text:?}");
    }
}

/// config.json to plan: an error is one or more lines of text, a plan keeps what it promises.
pub fn config(data: &[u8]) {
    let mut warnings = Vec::new();
    // `exec --process` takes such a document.
    if let Err(error) = bundle::parse_process(data, &mut warnings) {
        assert!(!one_line(&error).is_empty());
    }
    planned(data.to_vec());
}

fn planned(bytes: Vec<u8>) {
    let bundle = match Bundle::parse(PathBuf::from("/bundle"), bytes) {
        Ok(bundle) => bundle,
        Err(error) => return assert!(!one_line(&error).is_empty()),
    };
    for detached in [false, true] {
        let options = Options { id: "fuzz".into(), detached, die_with_parent: !detached, ..Options::default() };
        match plan::plan(&bundle, &host(), &options) {
            Ok(plan) => {
                assert!(plan.process.as_ref().is_none_or(|p| !p.args.is_empty() && p.cwd.as_bytes().starts_with(b"/")));
                for ids in plan.ids.iter() {
                    check_map(&ids.uid);
                    check_map(&ids.gid);
                }
            }
            Err(error) => {
                assert!(!one_line(&error).is_empty());
                hint_of(&error);
            }
        }
    }
}

/// Words of a mount's options, parted by commas and lines, in a mount of each kind.
pub fn mount_options(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let words: Vec<&str> = text.split([',', '\n']).collect();
    for kind in ["bind", "tmpfs", "proc", "sysfs", "devpts", "cgroup"] {
        let config = json!({
            "ociVersion": "1.0.2",
            "root": {"path": "rootfs"},
            "process": {"cwd": "/", "args": ["true"], "user": {"uid": 0, "gid": 0}},
            "mounts": [{"destination": "/mnt", "type": kind, "source": "/src", "options": words}],
            "linux": {"namespaces": [{"type": "mount"}, {"type": "user"}]},
        });
        planned(config.to_string().into_bytes());
    }
}

/// A profile, as JSON or made from the bytes, to a program that the kernel's verifier takes and that ends on every call.
pub fn seccomp(data: &[u8]) {
    let value = match data.first() {
        Some(b'{') => serde_json::from_slice(data).unwrap_or(Value::Null),
        _ => made_profile(data),
    };
    if !words::check(&value).unwrap_or(false) {
        return;
    }
    let Ok(profile) = serde_json::from_value::<LinuxSeccomp>(value) else { return };
    for machine in [Machine::X86_64, Machine::Aarch64, Machine::Riscv64] {
        let Ok(filter) = compile_for(&profile, machine) else { continue };
        bpf::verify(&filter.program);
        for abi in machine.abis() {
            for (at, number) in (0..500_u32).step_by(7).chain([u32::MAX, 0x4000_0000, 0xf_0002]).enumerate() {
                let arguments = std::array::from_fn(|i| data.get(at + i).map_or(0, |b| u64::from(*b) << (i * 8)));
                let (verdict, steps) =
                    bpf::run(&filter.program, &Data { number, architecture: abi.audit_arch(), arguments });
                assert!(steps <= filter.program.len(), "{verdict:#x} after {steps} steps");
            }
        }
    }
}

/// Reads a profile out of bytes: far more of them reach the compiler than of random JSON.
fn made_profile(data: &[u8]) -> Value {
    const ACTIONS: [&str; 9] =
        ["KILL", "KILL_THREAD", "KILL_PROCESS", "TRAP", "ERRNO", "TRACE", "LOG", "ALLOW", "NOTIFY"];
    const OPERATORS: [&str; 7] = ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"];
    const NAMES: [&str; 16] = [
        "read",
        "close",
        "socket",
        "socketcall",
        "ipc",
        "semget",
        "ptrace",
        "clone",
        "clone3",
        "ioctl",
        "mseal",
        "personality",
        "cacheflush",
        "set_tls",
        "nonesuch",
        "riscv_flush_icache",
    ];
    const ARCHITECTURES: [&str; 6] = ["X86_64", "X86", "X32", "AARCH64", "ARM", "RISCV64"];
    let mut bytes = data.iter().copied();
    let mut next = move || usize::from(bytes.next().unwrap_or(0));
    let default = ACTIONS[next() % 8];
    let architectures: Vec<String> =
        (0..next() % 6).map(|_| format!("SCMP_ARCH_{}", ARCHITECTURES[next() % 6])).collect();
    let mut entries = Vec::new();
    for _ in 0..next() % 64 {
        let names: Vec<&str> = (0..1 + next() % 4).map(|_| NAMES[next() % NAMES.len()]).collect();
        let action = ACTIONS[next() % ACTIONS.len()];
        let arguments: Vec<Value> = (0..next() % 4)
            .map(|_| {
                let value = (next() as u64) << (next() % 57);
                json!({"index": next() % 7, "value": value, "valueTwo": next(), "op": format!("SCMP_CMP_{}", OPERATORS[next() % 7])})
            })
            .collect();
        entries.push(json!({"names": names, "action": format!("SCMP_ACT_{action}"), "args": arguments}));
    }
    json!({
        "defaultAction": format!("SCMP_ACT_{default}"),
        "architectures": architectures,
        "listenerPath": "/agent",
        "syscalls": entries,
    })
}

/// /etc/subuid, /proc/PID/uid_map and /etc/passwd: ids that are granted exist.
pub fn tables(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for (name, uid) in [(Some("user"), 1000), (None, 0), (Some(""), u32::MAX)] {
        for range in host::parse_subids(&text, name, uid) {
            assert!(range.size > 0 && range.start.checked_add(range.size - 1).is_some(), "{range:?}");
        }
        host::user_name(&text, uid);
    }
    // This one is the kernel's text, whose sums are right.
    if let Ok(map) = host::parse_id_map(&text) {
        assert_eq!(map.len(), text.lines().count());
    }
}

fn check_map(map: &[IdMap]) {
    for run in map {
        assert!(run.size > 0, "{run:?}");
        let last = |first: u32| first.checked_add(run.size - 1);
        assert!(last(run.inside).is_some() && last(run.outside).is_some(), "{run:?}");
    }
}

/// A packet of the container's process, which is hostile once its program runs.
pub fn packets(data: &[u8]) {
    if let Some(answer) = nameserver::answer(data) {
        assert!(answer.len() <= data.len() && nameserver::answer(&answer).is_none(), "an answer that is a question");
    }
    let Some((tag, rest)) = data.split_first() else { return };
    match wire::decode(*tag, rest, Vec::new()) {
        Ok(wire::Report::Failed(failure)) => {
            one_line(&failure.into_error());
        }
        Ok(
            wire::Report::Process(..) | wire::Report::Terminal(_) | wire::Report::Names(_) | wire::Report::Listener(_),
        ) => {
            panic!("a descriptor out of nowhere")
        }
        Ok(_) => {}
        Err(error) => assert!(!one_line(&error).is_empty()),
    }
}

/// Git's files: what is read of a configuration says the same when it is written, and names of an index are names.
pub fn git(data: &[u8]) {
    match gitconfig::parse(data) {
        Ok(entries) => assert_eq!(gitconfig::parse(&gitconfig::write(&entries)).ok().as_ref(), Some(&entries)),
        Err(error) => assert!(!one_line(&error).is_empty()),
    }
    for ids in [index::Ids::Sha1, index::Ids::Sha256] {
        match index::parse(data, ids) {
            Ok(named) => assert!(named.gitlinks.len() * 62 <= data.len(), "more than there are"),
            Err(error) => assert!(!one_line(&error).is_empty()),
        }
    }
    for path in
        [repository::pointer(data), repository::line(data)].into_iter().flatten().chain(repository::alternates(data))
    {
        assert!(!path.as_os_str().is_empty());
    }
    repository::is_head(data);
}

/// A sandbox profile.
pub fn profile(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Profile::parse(text) {
        Ok(profile) => {
            rrunc::sandbox::trust::gives(&profile.allow);
            let mut policy = Policy::default();
            match policy.apply("fuzz", &profile) {
                Ok(()) => assert!(!policy.explain().is_empty()),
                Err(error) => assert!(!one_line(&error).is_empty()),
            }
        }
        Err(error) => assert!(!one_line(&error).is_empty()),
    }
}

/// Everything that is read on the way to systemd: its messages, where it listens, units and properties of a configuration.
pub fn systemd(data: &[u8]) {
    if let Some(Ok(length)) = data.first_chunk().map(message::Message::length) {
        assert!((message::HEAD..=message::LONGEST).contains(&length));
    }
    if let Ok(message) = message::Message::decode(data) {
        assert!(message.text().len() <= data.len().max(100));
        if let Ok(text) = message.arguments("s").and_then(|mut arguments| arguments.string()) {
            assert!(!text.contains('\0'));
        }
    }
    for found in address::candidates(Some(OsStr::from_bytes(data)), Path::new("/run/user/1000")).into_iter().flatten() {
        assert!(!found.to_string().contains('\0'));
    }
    let text = String::from_utf8_lossy(data);
    if let Ok(unit) = Unit::parse(&text, "fuzz") {
        let parts = [Some(unit.name.as_str()), unit.slice.as_deref()].into_iter().flatten();
        assert!(parts.into_iter().all(|name| name.len() <= 255 && !name.contains(['/', '\0', ' '])), "{unit:?}");
    }
    for name in ["Some", "SomeSec", &text] {
        match systemd::annotation(&format!("org.systemd.property.{name}"), &text) {
            Ok(property) => assert!(property.is_some_and(|property| property.name.len() >= 3)),
            Err(error) => assert!(!one_line(&error).is_empty()),
        }
    }
}
