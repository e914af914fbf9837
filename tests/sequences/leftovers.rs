//! What a sequence leaves behind: processes, mounts, state.
use crate::finding::{Finding, Kind};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Processes that have come from us and are still there after a while, the bystander excepted. They are ended.
pub fn processes(bystander: u32, patience: Duration) -> Vec<Finding> {
    let end = Instant::now() + patience;
    let left = loop {
        let left = descendants(bystander);
        if left.is_empty() || Instant::now() > end {
            break left;
        }
        sleep(Duration::from_millis(5));
    };
    let told = |pid: &i32| {
        let text = |name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let (line, status) = (text("cmdline"), text("status"));
        let status = String::from_utf8_lossy(&status);
        let state = status.lines().find(|line| line.starts_with("State")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        Finding::new(Kind::Process, format!("{pid} is left, {state}: {line}"))
    };
    let found = left.iter().map(told).collect();
    for pid in left {
        let _gone = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    found
}

/// Reaps what has ended; pids of the others.
fn descendants(bystander: u32) -> Vec<i32> {
    let own = std::process::id().cast_signed();
    let mut parents = HashMap::new();
    for entry in fs::read_dir("/proc").expect("read /proc").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let Some((_, rest)) = stat.rsplit_once(") ") else { continue };
        let mut fields = rest.split(' ');
        let state = fields.next().unwrap_or_default().to_owned();
        let Some(parent) = fields.next().and_then(|text| text.parse::<i32>().ok()) else { continue };
        if state == "Z" && parent == own {
            let _gone = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
        } else {
            parents.insert(pid, parent);
        }
    }
    let is_ours = |pid: &i32| {
        let mut ancestor = *pid;
        while let Some(&parent) = parents.get(&ancestor).filter(|_| ancestor != own) {
            ancestor = parent;
        }
        ancestor == own
    };
    let all = parents.keys().copied().filter(|pid| *pid != own && *pid != bystander.cast_signed());
    all.filter(is_ours).collect()
}

/// The table of mounts.
pub fn mounts() -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").expect("read mountinfo");
    table.lines().map(str::to_owned).collect()
}

/// What the host mounts is called so.
pub const LATE: &str = "late";

/// Where such mounts are.
pub fn late_mounts() -> Vec<String> {
    let late = format!(" - tmpfs {LATE} ");
    let lines = mounts().into_iter().rev().filter(|line| line.contains(&late));
    lines.filter_map(|line| line.split(' ').nth(4).map(str::to_owned)).collect()
}

/// Those that were not there before.
pub fn new_mounts(before: &[String]) -> Vec<Finding> {
    let new = mounts().into_iter().filter(|line| !before.contains(line));
    new.map(|line| Finding::new(Kind::Mount, line)).collect()
}

/// Names below the directory of rrunc's state.
pub fn state(dir: &Path) -> Vec<Finding> {
    let entries = fs::read_dir(dir.join("xdg/rrunc")).into_iter().flatten().flatten();
    entries.map(|entry| Finding::new(Kind::State, format!("{} is left", entry.path().display()))).collect()
}
