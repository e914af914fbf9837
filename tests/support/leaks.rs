//! What a test left behind. A process belongs to a test when its command line, its environment, its working directory or its
//! mounts name the test's directory: that finds the runtime, its hooks, and everything that has the test's rootfs as root.
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// `PID: command line` of every living process of this test.
pub fn processes(dir: &Path) -> Vec<String> {
    pids(dir).into_iter().map(|pid| format!("{pid}: {}", command_line(pid))).collect()
}

fn command_line(pid: i32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

fn pids(dir: &Path) -> Vec<i32> {
    let me = i32::try_from(std::process::id()).expect("a pid");
    let entries = fs::read_dir("/proc").expect("read /proc");
    let all = entries.filter_map(|e| e.ok()?.file_name().to_str()?.parse::<i32>().ok());
    all.filter(|&pid| pid != me && belongs(pid, dir)).collect()
}

fn belongs(pid: i32, dir: &Path) -> bool {
    let file = |name: &str| format!("/proc/{pid}/{name}");
    // A zombie holds nothing; its parent may just not have waited yet.
    let stat = fs::read_to_string(file("stat")).unwrap_or_default();
    if stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X'])) {
        return false;
    }
    // Not the whole path: on a tmpfs of its own, /tmp say, mountinfo leaves out where that is mounted.
    let needle = dir.file_name().expect("a name").as_encoded_bytes();
    let names = |bytes: Vec<u8>| {
        // The directory's name must end there, or test 1 would take the processes of test 12 for its own.
        bytes.windows(needle.len() + 1).any(|w| w.starts_with(needle) && !w[needle.len()].is_ascii_digit())
    };
    let cwd = fs::read_link(file("cwd")).is_ok_and(|cwd| cwd.starts_with(dir));
    cwd || ["cmdline", "environ", "mountinfo"].iter().any(|name| fs::read(file(name)).is_ok_and(names))
}

/// Gives dying processes a moment; the survivors.
pub fn settle(dir: &Path, patience: Duration) -> Vec<String> {
    let end = Instant::now() + patience;
    loop {
        let left = processes(dir);
        if left.is_empty() || Instant::now() > end {
            return left;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Kills what is left, so that one bad test does not spoil the machine for the next.
pub fn end(dir: &Path) {
    use nix::sys::signal::{Signal::SIGKILL, kill};
    for pid in pids(dir) {
        if let Err(error) = kill(nix::unistd::Pid::from_raw(pid), SIGKILL) {
            // Gone in the meantime, or of an id that is not ours to signal: the report has named it already.
            eprintln!("kill {pid}: {error}");
        }
    }
}

/// Mounts on the host that name the test's directory.
pub fn mounts(dir: &Path) -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").expect("read mountinfo");
    let name = format!("{}/", dir.display());
    table.lines().filter(|line| line.contains(&name)).map(str::to_owned).collect()
}

/// Removes the test's directory, with files of subordinate ids in it if need be.
pub fn remove_tree(dir: &Path) {
    if fs::remove_dir_all(dir).is_ok() {
        return;
    }
    let chmod = Command::new("chmod").args(["-R", "u+rwX"]).arg(dir).stderr(std::process::Stdio::null()).status();
    chmod.expect("chmod");
    if fs::remove_dir_all(dir).is_ok() {
        return;
    }
    let inside = Command::new("unshare").args(["--map-root-user", "--map-auto", "rm", "-rf"]).arg(dir).status();
    assert!(inside.expect("unshare").success(), "{} cannot be removed", dir.display());
}
