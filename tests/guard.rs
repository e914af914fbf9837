//! What a start costs, in figures that no other load changes: system calls, clones and execs of a plain run, instructions of
//! `state` and of the seccomp filter, size of the binary. Each has a bound close above what it is now, so that a change
//! that costs something is seen in the change itself. A lower figure is a reason to lower the bound.
//!
//! `tests/run` builds the release binary that is measured and names it in RRUNC_RELEASE. The bounds are those of x86_64 and
//! musl.
#![allow(clippy::disallowed_methods, reason = "the rule against threads is for the product")]

#[path = "support/mod.rs"]
mod support;

use serde_json::json;
use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::{Lacks, Stage, find_program, skip};

/// System calls of `rrunc run` and of its init up to the execve: a caller-owned binary, a network, a cgroup of its own.
const SYSTEM_CALLS: usize = 256;
/// One process is made, with all its namespaces.
const CLONES: usize = 1;
/// rrunc itself and the program.
const EXECS: usize = 2;
/// Instructions outside the kernel of `rrunc state` of a created container.
const INSTRUCTIONS_OF_STATE: u64 = 155_000;
/// Instructions of the default profile for x86_64, x86 and x32.
const INSTRUCTIONS_OF_FILTER: usize = 256;
/// Bytes of the stripped binary.
const BINARY: u64 = 5_200_000;
/// Bytes of those functions that the linker has put side by side.
const FUNCTIONS_OF_A_START: usize = 500_000;

/// The build that is measured.
fn release() -> Option<PathBuf> {
    if !cfg!(target_arch = "x86_64") {
        skip(Lacks::Machine("the bounds are those of x86_64"));
        return None;
    }
    let release = env::var_os("RRUNC_RELEASE").map(PathBuf::from);
    if release.is_none() {
        skip(Lacks::Machine(
            "RRUNC_RELEASE names no release build for musl: start this with tests/run, where Rust has musl",
        ));
    }
    release
}

/// What `program` does under `tracer`, which writes to `trace`.
fn traced(stage: &Stage, tracer: &Path, options: &[&str], program: &Path, args: &[&str]) -> support::Call {
    let program = program.to_str().expect("a plain path");
    stage.call_program(tracer, &[options, &[program], args].concat())
}

/// The names of all system calls in strace's `text`, those of a program that a clone has executed left out.
fn calls(text: &str) -> BTreeMap<String, usize> {
    let mut counted = BTreeMap::new();
    let mut first: Option<&str> = None;
    let mut gone = Vec::new();
    for line in text.lines() {
        let Some((pid, rest)) = line.split_once(char::is_whitespace) else { continue };
        let Some((name, _)) = rest.trim_start().split_once('(') else { continue };
        // `<... read resumed>`, `+++ exited`, `--- SIGCHLD`
        if name.contains(char::is_whitespace) || gone.contains(&pid) {
            continue;
        }
        *counted.entry(name.to_owned()).or_default() += 1;
        if *first.get_or_insert(pid) != pid && name == "execve" {
            gone.push(pid);
        }
    }
    counted
}

#[test]
fn a_plain_run_makes_few_system_calls_and_one_process() {
    let Some(release) = release() else { return };
    let Some(strace) = find_program("strace") else { return skip(Lacks::Package("strace")) };
    let stage = Stage::new();
    let bundle = stage.bundle();
    bundle.write(&plain(&bundle.rootfs()));
    let trace = stage.dir().join("trace");
    let options = ["-f", "-o", trace.to_str().expect("a plain path")];
    // The state directory is made by the first.
    for id in ["a", "b"] {
        traced(&stage, &strace, &options, &release, &["run", id]).cwd(bundle.path()).run().success();
    }
    let counted = calls(&fs::read_to_string(&trace).expect("strace's output"));
    let of = |names: &[&str]| names.iter().filter_map(|name| counted.get(*name)).sum::<usize>();
    let all = counted.values().sum::<usize>();
    println!("{all} system calls: {counted:?}");
    assert_eq!(of(&["clone", "clone3", "fork", "vfork"]), CLONES, "{counted:?}");
    assert_eq!(of(&["execve", "execveat"]), EXECS, "{counted:?}");
    assert!(all > 150, "strace shows too few for this to be a container: {counted:?}");
    assert!(all <= SYSTEM_CALLS, "{all} system calls, more than {SYSTEM_CALLS}: {counted:?}");
}

#[test]
fn state_takes_few_instructions() {
    let Some(release) = release() else { return };
    let Some(valgrind) = find_program("valgrind") else { return skip(Lacks::Package("valgrind")) };
    let stage = Stage::new();
    let bundle = stage.bundle();
    stage.call_program(&release, &["create", "c"]).cwd(bundle.path()).run().success();
    let options = ["--tool=callgrind", "--callgrind-out-file=/dev/null"];
    // Valgrind 3.19 has no openat2(2): `state` goes the longer way then.
    let out = traced(&stage, &valgrind, &options, &release, &["state", "c"]).run().success();
    stage.call_program(&release, &["delete", "c"]).run().success();
    let line = out.stderr.lines().find_map(|line| line.split_once("Collected :")).expect("callgrind's figure");
    let instructions: u64 = line.1.trim().parse().expect("a number");
    println!("{instructions} instructions");
    assert!(instructions > 10_000, "{}", out.stderr);
    assert!(instructions <= INSTRUCTIONS_OF_STATE, "{instructions}, more than {INSTRUCTIONS_OF_STATE}");
}

#[test]
fn the_default_filter_is_short() {
    let mut profile: serde_json::Value =
        serde_json::from_str(include_str!("../profiles/seccomp/default.json")).expect("the profile");
    profile["architectures"] = json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]);
    let profile = serde_json::from_value(profile).expect("a profile");
    let length = rrunc::seccomp::compile(&profile).expect("it compiles").program.len();
    println!("{length} instructions");
    if cfg!(target_arch = "x86_64") {
        assert!(length <= INSTRUCTIONS_OF_FILTER, "{length}, more than {INSTRUCTIONS_OF_FILTER}");
    }
}

/// Not the peak of memory itself, which depends on how the file lies in the kernel's cache.
#[test]
fn the_functions_of_a_start_lie_side_by_side() {
    let Some(release) = release() else { return };
    let Some(readelf) = find_program("readelf") else { return skip(Lacks::Package("binutils")) };
    let out = Command::new(readelf).args(["--section-headers", "--wide"]).arg(release).output().expect("readelf runs");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    // `[10] .text.start  PROGBITS  0000000000001040 001040 1720d9 …`
    let after = text.split_once(" .text.start ").expect("src/start.ld has reached the linker").1;
    let size = after.split_ascii_whitespace().nth(3).and_then(|size| usize::from_str_radix(size, 16).ok());
    let size = size.expect("a size");
    println!("{size} bytes");
    assert!(size > FUNCTIONS_OF_A_START, "{size}: few of src/start.ld's names are known, see `tests/bench/run order`");
}

#[test]
fn the_binary_is_small() {
    let Some(release) = release() else { return };
    let size = fs::metadata(release).expect("the release build").len();
    println!("{size} bytes");
    assert!(size <= BINARY, "{size} bytes, more than {BINARY}");
}

/// The plain bundle of tests/bench: what `spec` writes, one id, masked and read-only paths, three capabilities.
fn plain(rootfs: &Path) -> serde_json::Value {
    let mut config = support::Bundle::plain_config();
    config["root"] = json!({"path": rootfs, "readonly": true});
    config["process"]["args"] = json!(["true"]);
    config["process"]["noNewPrivileges"] = json!(true);
    config
}
