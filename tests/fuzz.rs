//! The fuzz targets on stable Rust: a seeded loop of mutations over the seeds, short here and minutes long with
//! `tests/run --all fuzz` (`RRUNC_FUZZ_SECONDS` for each target). tests/fuzz/run does the same with coverage as its guide.
#[path = "fuzz/targets.rs"]
mod targets;

#[path = "support/random.rs"]
mod random;

use random::Random;
use std::time::{Duration, Instant};

/// What parsers stumble over.
const TOKENS: [&[u8]; 24] = [
    b"0",
    b"-1",
    b"4294967295",
    b"4294967296",
    b"18446744073709551615",
    b"1e999",
    b"null",
    b"true",
    b"\"\"",
    b"[]",
    b"{}",
    b"\\u0000",
    b"\\ud800",
    b"\0",
    b"\xff",
    b"\xe2\x80\xa6",
    b"/",
    b"..",
    b",",
    b":",
    b"\n",
    b"\"",
    b"{\"a\":",
    b"[[[[[[[[[[[[[[[[",
];

/// Longest input.
const LONGEST: usize = 16 * 1024;

fn mutated(random: &mut Random, from: &[&[u8]]) -> Vec<u8> {
    let mut bytes = from[random.below(from.len())].to_vec();
    for _ in 0..=random.below(8) {
        let at = random.below(bytes.len() + 1);
        let end = (at + random.below(40)).min(bytes.len());
        match random.below(6) {
            0 => drop(bytes.splice(at..at, TOKENS[random.below(TOKENS.len())].iter().copied())),
            1 => drop(bytes.splice(at..end, TOKENS[random.below(TOKENS.len())].iter().copied())),
            2 => drop(bytes.drain(at..end)),
            3 => {
                let piece = bytes[at..end].to_vec();
                let to = random.below(bytes.len() + 1);
                bytes.splice(to..to, piece);
            }
            4 => {
                let other = from[random.below(from.len())];
                let start = random.below(other.len() + 1);
                let stop = (start + random.below(200)).min(other.len());
                bytes.splice(at..at, other[start..stop].iter().copied());
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = random.below(256) as u8;
                }
            }
        }
    }
    bytes.truncate(LONGEST);
    bytes
}

/// Shown when a target panics: what to feed it to see it again.
struct Shown<'a>(&'a str, &'a [u8]);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("fuzz target {} fails on b\"{}\"", self.0, self.1.escape_ascii());
        }
    }
}

fn fuzz(name: &str) {
    let (_, target, seeds) = targets::TARGETS.iter().find(|(known, ..)| *known == name).expect("a target");
    let seconds = std::env::var("RRUNC_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    let all = std::env::var_os("RRUNC_TEST_ALL").is_some();
    let time = Duration::from_secs(seconds.unwrap_or(if all { 600 } else { 2 }));
    for seed in *seeds {
        let _shown = Shown(name, seed);
        target(seed);
    }
    let mut random = Random::new(0x72_7275_6e63);
    let (begin, mut rounds, mut slowest) = (Instant::now(), 0_u64, Duration::ZERO);
    while begin.elapsed() < time {
        let input = mutated(&mut random, seeds);
        let _shown = Shown(name, &input);
        let before = Instant::now();
        target(&input);
        slowest = slowest.max(before.elapsed());
        rounds += 1;
    }
    println!("{name}: {rounds} inputs in {:?}, the slowest took {slowest:?}", begin.elapsed());
    assert!(rounds > 10, "{name}: only {rounds} inputs");
}

#[test]
fn config() {
    fuzz("config");
}

#[test]
fn mount_options() {
    fuzz("mount_options");
}

#[test]
fn seccomp() {
    fuzz("seccomp");
}

#[test]
fn tables() {
    fuzz("tables");
}

#[test]
fn users() {
    fuzz("users");
}

#[test]
fn packets() {
    fuzz("packets");
}

#[test]
fn git() {
    fuzz("git");
}

#[test]
fn profile() {
    fuzz("profile");
}

#[test]
fn systemd() {
    fuzz("systemd");
}
