//! Attackers that a shell cannot be. The test binary is static, so it runs inside a container as it is: every function here is
//! an ignored test, bound into the rootfs and called by name.
pub mod calls;
#[cfg(target_arch = "x86_64")]
mod entries;
mod floods;
pub mod gate;
mod quotas;
mod set_ids;

use crate::support::{Bundle, Output, Place};
use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

/// Where [`install`] puts the binary.
pub const PATH: &str = "/bin/payload";

/// Where it is seen in a sandbox, whose /bin is the host's.
pub const SHOWN: &str = "/mnt/payload";

/// What follows the program's name to run one payload.
pub fn arguments(name: &str) -> Vec<String> {
    let name = format!("payloads::{name}");
    [&name, "--exact", "--ignored", "--nocapture", "--test-threads=1"].map(str::to_owned).to_vec()
}

/// Binds this binary into the bundle.
pub fn install(bundle: &Bundle) {
    let own = std::env::current_exe().expect("our own path");
    bundle.mount(PATH, "bind", own.to_str().expect("plain"), &["bind", "ro"]);
}

/// Installs it and makes it what the container runs.
pub fn run(bundle: &Bundle, name: &str) {
    install(bundle);
    let arguments = arguments(name);
    let all: Vec<&str> = std::iter::once(PATH).chain(arguments.iter().map(String::as_str)).collect();
    bundle.args(&all);
}

/// The options of `sandbox` that show this binary, and the command that runs one payload.
pub fn sandboxed(options: &[&str], name: &str) -> Vec<String> {
    let bind = format!("{}:{SHOWN}", std::env::current_exe().expect("our own path").display());
    let options = ["--ro-bind", &bind].into_iter().chain(options.iter().copied()).chain(["--", SHOWN]);
    options.map(str::to_owned).chain(arguments(name)).collect()
}

/// Runs one payload in a sandbox; what it printed.
pub fn in_sandbox(place: &Place, options: &[&str], name: &str) -> Output {
    let all = sandboxed(options, name);
    place.sandbox(&all.iter().map(String::as_str).collect::<Vec<_>>()).run()
}

/// Runs one payload as it is, outside: the control.
pub fn outside(place: &Place, name: &str) -> Output {
    let own = std::env::current_exe().expect("our own path");
    let all = arguments(name);
    place.call_program(&own, &all.iter().map(String::as_str).collect::<Vec<_>>()).cwd(&place.project()).run()
}

/// The lines a payload printed, without those of the test framework.
pub fn lines(stdout: &str) -> Vec<String> {
    stdout.lines().filter_map(|line| line.split_once("payload: ")).map(|(_, text)| text.to_owned()).collect()
}

pub fn say(text: impl std::fmt::Display) {
    println!("payload: {text}");
}

/// What a test hides from the container.
pub const SECRET: &str = "hunter2-the-secret";

/// Reads the arguments of each process that comes after this one, from its first moment to its last, and says so when the
/// secret is among them. Works until it is killed.
#[test]
#[ignore = "runs inside a container"]
fn read_arguments() {
    // The last that the container has given away, to a thread of ours as well (proc(5)).
    let last = || {
        let text = fs::read_to_string("/proc/loadavg").expect("/proc/loadavg");
        text.split_whitespace().last().and_then(|pid| pid.parse::<u32>().ok()).expect("a pid")
    };
    let mut seen = last();
    say("watching");
    loop {
        let newest = last();
        for pid in seen + 1..=newest {
            while let Ok(arguments) = fs::read(format!("/proc/{pid}/cmdline")) {
                if arguments.windows(SECRET.len()).any(|part| part == SECRET.as_bytes()) {
                    say("spilt");
                }
            }
        }
        seen = newest;
    }
}

/// CVE-2019-5736: takes hold of every foreign program file that shows up as some /proc/PID/exe, and writes to it as soon as
/// nobody runs it any more. Works until `/tmp/stop` or /stop shows up.
#[test]
#[ignore = "runs inside a container"]
fn overwrite_programs() {
    let inode = |path: &str| fs::metadata(path).map(|m| (m.dev(), m.ino())).ok();
    let mut known: HashSet<_> =
        ["/proc/self/exe", "/bin/busybox", "/bin/sh", "/usr/bin/sh"].iter().filter_map(|p| inode(p)).collect();
    // Only if nobody stops it: a slow machine needs minutes for the test.
    let end = Instant::now() + Duration::from_secs(600);
    let mut held: Vec<File> = Vec::new();
    say("watching");
    while Instant::now() < end && !fs::exists("/tmp/stop").unwrap_or(false) {
        for entry in fs::read_dir("/proc").expect("read /proc").flatten() {
            let exe = entry.path().join("exe");
            let Ok(file) = File::open(&exe) else { continue };
            let Ok(meta) = file.metadata() else { continue };
            if known.insert((meta.dev(), meta.ino())) {
                say(format_args!("took hold of {exe:?}, {} bytes, owner {}", meta.len(), meta.uid()));
                held.push(file);
            }
        }
        // ETXTBSY while it still runs somewhere, EROFS or EPERM where it is defended.
        held.retain(|file| {
            let path = format!("/proc/self/fd/{}", file.as_raw_fd());
            let Ok(mut writable) = OpenOptions::new().append(true).open(path) else { return true };
            let written = writable.write_all(b"OVERWRITTEN");
            say(format_args!("wrote: {written:?}"));
            false
        });
    }
}

/// Effective and real uid, as a setuid program sees them.
#[test]
#[ignore = "runs inside a container"]
fn print_ids() {
    say(format_args!("euid {} uid {}", nix::unistd::geteuid(), nix::unistd::getuid()));
}

/// Drops every supplementary group.
#[test]
#[ignore = "runs inside a container"]
fn drop_groups() {
    say(format_args!("setgroups: {:?}", nix::unistd::setgroups(&[])));
}

/// Serial number of the session keyring.
#[test]
#[ignore = "runs inside a container"]
fn print_keyring() {
    say(format_args!("keyring {}", session_keyring()));
}

/// keyctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, create = false).
pub fn session_keyring() -> i64 {
    // SAFETY: takes and returns plain numbers.
    unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_GET_KEYRING_ID, libc::KEY_SPEC_SESSION_KEYRING, 0) }
}
