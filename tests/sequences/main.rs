//! Sequences: what a hostile program inside, a neighbour with the same files, and the host's ordinary work can do to each
//! other in a random order, over containers and sandboxes. Nobody says how each step must end; after the last one the bait
//! is unread and unchanged, and no process, mount or state is left (`bait.rs`, `leftovers.rs`), every call has come back, and
//! none has crashed.
//!
//! A seed is a sequence: `RRUNC_SEED=N tests/run sequences` does that one again, `RRUNC_STEPS=0,3,4` with it only some of
//! its steps. Without, it is the seeds from 1 on, for RRUNC_SEQUENCE_SECONDS; with `tests/run --all` other ones each time.
//! Each runs in a process of its own, this program again, which has `SEQUENCE` in its environment.
#![allow(clippy::disallowed_methods, reason = "the rules against threads and exit are for the product")]

#[path = "../support/mod.rs"]
mod support;

#[path = "../support/random.rs"]
mod random;

mod bait;
mod calls;
mod finding;
mod host;
mod inside;
mod leftovers;
mod plan;
mod sequence;
mod set_up;
mod shrink;
mod weakness;

use plan::{Plan, Setting};
use sequence::Sequence;
use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};
use weakness::Weakness;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().collect();
    if arguments.get(1).is_some_and(|word| word == "inside") {
        inside::main(&arguments[2..]);
        return ExitCode::SUCCESS;
    }
    if set_up::is_inside() {
        // Executed as what it is, by a program that looks like another.
        return ExitCode::SUCCESS;
    }
    if let Some(sequence) = env::var("SEQUENCE").ok().and_then(|text| Sequence::parse(&text)) {
        let dir = env::var("SEQUENCE_DIR").expect("a directory");
        for finding in host::run(&sequence.plan(), Path::new(&dir), sequence.weakness) {
            println!("{finding}");
        }
        return ExitCode::SUCCESS;
    }
    let filter = arguments[1..].iter().find(|argument| !argument.starts_with('-')).cloned().unwrap_or_default();
    let mut tests: Vec<(String, Box<dyn FnOnce()>)> = Vec::new();
    for weakness in weakness::ALL {
        tests.push((format!("control_{weakness:?}_is_found").to_lowercase(), Box::new(move || control(weakness))));
    }
    tests.push(("control_a_failing_sequence_becomes_short".to_owned(), Box::new(shrink::control)));
    tests.push(("one_seed_is_one_sequence".to_owned(), Box::new(one_seed_is_one_sequence)));
    tests.push(("sequences".to_owned(), Box::new(sequences)));
    let mut failed = 0;
    for (name, test) in tests.into_iter().filter(|(name, _)| name.contains(&filter)) {
        let passed = catch_unwind(AssertUnwindSafe(test)).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        failed += u8::from(!passed);
    }
    ExitCode::from(failed)
}

/// The random ones.
fn sequences() {
    let number = |name: &str| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("RRUNC_SEED") {
        let only = env::var("RRUNC_STEPS").ok().map(|text| text.split(',').filter_map(|n| n.parse().ok()).collect());
        let sequence = Sequence { seed, weakness: None, only };
        shrink::print(&sequence);
        let found = sequence.run();
        shrink::print_found(&found);
        assert!(found.is_empty(), "seed {seed}");
        return;
    }
    let all = env::var_os("RRUNC_TEST_ALL").is_some();
    let time = Duration::from_secs(number("RRUNC_SEQUENCE_SECONDS").unwrap_or(if all { 3600 } else { 60 }));
    let first = if all { since_1970() * 100_000 } else { 1 };
    let (begin, next, failed) = (Instant::now(), AtomicU64::new(first), Mutex::new(Vec::new()));
    let workers = std::thread::available_parallelism().map_or(1, |number| number.get().min(4));
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while begin.elapsed() < time && failed.lock().expect("the list").len() < 5 {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let sequence = Sequence::of(seed);
                    if sequence.plan().setting == Setting::Range && set_up::subordinate().is_none() {
                        continue;
                    }
                    let found = sequence.run();
                    if !found.is_empty() {
                        failed.lock().expect("the list").push((sequence, found));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().expect("the list");
    println!("sequences: {} from seed {first} on in {:?}", next.into_inner() - first, begin.elapsed());
    for (sequence, found) in &failed {
        shrink::tell(sequence, found);
    }
    assert!(failed.is_empty(), "{} sequences have findings", failed.len());
}

fn since_1970() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs()
}

fn control(weakness: Weakness) {
    if weakness == Weakness::Mounted && set_up::subordinate().is_none() {
        return support::skip(support::Lacks::Package("newuidmap with a range in /etc/subuid and /etc/subgid"));
    }
    let found = Sequence { seed: 0, weakness: Some(weakness), only: None }.run();
    for kind in weakness.finds() {
        assert!(found.iter().any(|finding| finding.kind == *kind), "{weakness:?} {kind:?}: {found:?}");
    }
}

fn one_seed_is_one_sequence() {
    for seed in 0..200 {
        assert_eq!(Plan::new(seed), Plan::new(seed));
    }
    assert_ne!(Plan::new(1).steps, Plan::new(2).steps);
    let some = Sequence { seed: 7, weakness: Some(Weakness::Left), only: Some(vec![0, 3]) };
    for sequence in [Sequence::of(8), some] {
        assert_eq!(Sequence::parse(&sequence.text()), Some(sequence));
    }
}
