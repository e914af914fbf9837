//! Whether a recorded process is still the same one and alive.
use crate::short_file;
use crate::sys::pidfd;
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::Pid;
use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

/// What /proc/PID/stat says of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Its name, of up to 15 bytes (field 2).
    pub name: String,
    /// Its state, `Z` when nobody has waited for it yet (field 3).
    pub state: char,
    /// Its parent (field 4).
    pub parent: i32,
    /// When it started, in clock ticks after boot (field 22).
    pub start_time: u64,
}

/// Reads /proc/PID/stat; `None` when there is no such process.
pub fn stat(pid: i32) -> Result<Option<Stat>> {
    let path = format!("/proc/{pid}/stat");
    // In one read: the fields that count come first.
    let mut bytes = [0; 1024];
    let file = openat(AT_FDCWD, path.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty());
    match file.and_then(|file| nix::unistd::read(&file, &mut bytes)) {
        Ok(length) => {
            let stat = parse_stat(&String::from_utf8_lossy(&bytes[..length]));
            Ok(Some(stat.with_context(|| format!("read {path}: fewer fields than expected"))?))
        }
        // ESRCH when it goes between open and read.
        Err(Errno::ENOENT | Errno::ESRCH) => Ok(None),
        Err(e) => Err(e).with_context(|| format!("read {path}")),
    }
}

/// When process `pid` started, in clock ticks after boot; `None` when there is no such process.
pub fn start_time(pid: i32) -> Result<Option<u64>> {
    Ok(stat(pid)?.map(|stat| stat.start_time))
}

/// The name in field 2 may hold blanks and brackets: count from the last bracket, behind which is field 3.
fn parse_stat(text: &str) -> Option<Stat> {
    let (name, fields) = text.rsplit_once(')')?;
    let name = name.split_once('(')?.1.to_owned();
    let mut fields = fields.split_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    let start_time = fields.nth(22 - 5)?.parse().ok()?;
    Some(Stat { name, state, parent, start_time })
}

/// A pidfd of process `pid`, if it is the one that started at `start` and has not ended. The pidfd is opened before the
/// start time is compared, so a signal sent through it can reach no other process.
///
/// An ended process that nobody has waited for counts as ended. The pidfd says so, and /proc/PID/stat would not do: its
/// `Z` also shows a process whose first thread alone has ended.
pub fn live(pid: i32, start: u64) -> Result<Option<OwnedFd>> {
    if pid <= 0 {
        return Ok(None);
    }
    let fd = match pidfd::open(Pid::from_raw(pid)) {
        Ok(fd) => fd,
        Err(Errno::ESRCH) => return Ok(None),
        // The pid is now the id of some other process's thread.
        Err(Errno::EINVAL | Errno::ENOENT) => return Ok(None),
        Err(e) => return Err(e).with_context(|| format!("open a pidfd of process {pid}")),
    };
    if start_time(pid)? != Some(start) || pidfd::has_ended(fd.as_fd())? {
        return Ok(None);
    }
    Ok(Some(fd))
}

/// What there is to read of process `pid`, if it is the one that started at `start` and has not ended: as `live`, where
/// nothing is to be done to it, and with fewer calls.
pub fn alive(pid: i32, start: u64) -> Result<Option<Stat>> {
    if pid <= 0 {
        return Ok(None);
    }
    let Some(stat) = stat(pid)?.filter(|stat| stat.start_time == start) else { return Ok(None) };
    // `Z` and `X` may be its first thread's alone.
    Ok(if "ZX".contains(stat.state) { live(pid, start)?.map(|_| stat) } else { Some(stat) })
}

/// Whether process `pid`, whose connection to us has just been closed, has ended under `name`, which is what it is called until
/// it executes its program. One that is gone already may have done that.
pub fn has_ended_as(pid: i32, name: &CStr) -> Result<bool> {
    let end = Instant::now() + Duration::from_secs(1);
    loop {
        match stat(pid)? {
            Some(stat) if stat.name.as_bytes() == name.to_bytes() => {
                if "ZX".contains(stat.state) {
                    return Ok(true);
                }
            }
            _ => return Ok(false),
        }
        // On its way: execve closes first and then names, and what ends closes first and then has ended.
        if Instant::now() > end {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Whether the cgroup2 directory is frozen (cgroup.events, Documentation/admin-guide/cgroup-v2.rst). One that is gone
/// is not.
pub fn is_frozen(cgroup: &Path) -> bool {
    short_file::read(cgroup.join("cgroup.events")).is_ok_and(|text| text.lines().any(|l| l == "frozen 1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_may_hold_anything() {
        let stat = "7 (a ) b (c) 1 S) S 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0";
        let parsed = Stat { name: "a ) b (c) 1 S".into(), state: 'S', parent: 1, start_time: 4711 };
        assert_eq!(parse_stat(stat), Some(parsed));
        assert_eq!(parse_stat("7 (a) S 1"), None);
    }

    #[test]
    fn we_are_alive_and_only_once() {
        let me = std::process::id() as i32;
        let start = start_time(me).unwrap().unwrap();
        assert!(live(me, start).unwrap().is_some());
        assert!(live(me, start + 1).unwrap().is_none(), "a reused pid is another process");
        assert!(live(0, 0).unwrap().is_none());
    }

    #[test]
    fn an_ended_child_is_dead_before_it_is_waited_for() {
        let mut child = std::process::Command::new("/bin/sleep").arg("60").spawn().unwrap();
        let pid = child.id() as i32;
        let start = start_time(pid).unwrap().unwrap();
        let fd = live(pid, start).unwrap().expect("a running child is alive");
        pidfd::send_signal(fd.as_fd(), libc::SIGKILL).unwrap();
        pidfd::wait_ended(fd.as_fd(), 10_000).unwrap();
        assert!(live(pid, start).unwrap().is_none());
        child.wait().unwrap();
        assert!(live(pid, start).unwrap().is_none());
    }
}
