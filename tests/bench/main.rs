//! Start to exit of `/bin/true` in a container: rrunc beside crun, runc, bubblewrap and a floor program that makes only the
//! system calls. All commands take turns in one run, so that noise hits them alike; figures are medians, and what counts is
//! the ratio to the floor. `tests/bench/run` is the command: it builds for release, and gives every runtime the plain
//! cgroup2 hierarchy that crun insists on.
//!
//! `tests/bench/run seccomp` measures the seccomp filter alone instead: see `seccomp.rs`; `tests/bench/run
//! sandbox` measures `rrunc sandbox` beside bubblewrap: see `sandbox.rs`. `verbs` measures each verb alone, `many` what
//! many containers cost: at once, in a row, and running beside. `order` measures nothing: see `order.rs`.
//!
//! `RRUNC_BENCH_ROUNDS` (200) sets the rounds, `RRUNC_BENCH_ROOT_OWNED` names a copy of rrunc that belongs to root,
//! `RRUNC_BENCH_BEFORE` another build of it.
#![allow(clippy::disallowed_methods, reason = "the rules are for the product")]

mod cases;
mod filter;
mod floor;
#[path = "../seccomp/libseccomp.rs"]
mod libseccomp;
mod many;
mod measure;
mod order;
mod sample;
mod sandbox;
mod seccomp;
mod verbs;

use cases::Case;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, io};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let result = match arguments.first().map(String::as_str) {
        Some("floor") => return floor::main(&arguments[1..]),
        Some("sample") => return sample::main(&arguments[1..]),
        Some("sandbox") => bench(sandbox::run),
        Some("seccomp") => bench(seccomp::run),
        Some("verbs") => bench(verbs::run),
        Some("many") => bench(many::run),
        Some("order") => bench(order::run),
        _ => bench(|dir, rounds| run(&cases::all(dir)?, rounds)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench(run: impl FnOnce(&Path, usize) -> io::Result<()>) -> io::Result<()> {
    let rounds = env::var("RRUNC_BENCH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(200);
    let dir = env::temp_dir().join(format!("rrunc-bench-{}", std::process::id()));
    fs::create_dir(&dir)?;
    // As where somebody has logged in: XDG_RUNTIME_DIR is on a tmpfs there.
    let memory = PathBuf::from(format!("/dev/shm/rrunc-bench-{}", std::process::id()));
    fs::DirBuilder::new().mode(0o700).create(&memory)?;
    symlink(&memory, dir.join("run"))?;
    let result = run(&dir, rounds);
    fs::remove_dir_all(memory)?;
    fs::remove_dir_all(dir)?;
    result
}

fn run(cases: &[Case], rounds: usize) -> io::Result<()> {
    // A peer that does not work is an error, not a blank: its figure would be that of a failure.
    for case in cases {
        measure::once(case, 0).map_err(|error| io::Error::other(format!("{case} does not run here: {error}")))?;
    }
    let samples = measure::round_robin(cases, rounds)?;
    let payload = measure::system_calls_of_true()?;
    println!("{rounds} rounds, medians; system calls without the payload's own\n");
    println!("{:<28} {:>6} {:>9} {:>8} {:>9} {:>9}", "", "bundle", "ms", "x floor", "peak KiB", "syscalls");
    for (case, sample) in cases.iter().zip(&samples) {
        let floor = cases.iter().position(|c| c.name == "floor" && c.bundle == case.bundle);
        let ratio = floor.map_or_else(|| "-".to_owned(), |at| format!("{:.2}", sample.median() / samples[at].median()));
        let calls = match (measure::system_calls(case)?, payload) {
            (Some(all), Some(own)) if case.name != "spawn alone" => all.saturating_sub(own).to_string(),
            _ => "-".to_owned(),
        };
        let (name, bundle, ms, rss) = (case.name, case.bundle, sample.median(), sample.rss);
        println!("{name:<28} {bundle:>6} {ms:>9.2} {ratio:>8} {rss:>9} {calls:>9}");
    }
    println!("\nA peak no higher than that of `spawn alone` is this program's own, from before the exec.");
    Ok(())
}
