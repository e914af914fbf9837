//! One look at the memory of all processes of a container, in steps: it may have very many processes, and tables that take
//! the kernel long to add up.
//!
//! First comes what the kernel keeps for them (`sockets`, `sysv`). What else is counted is what only these processes have: anonymous and shared memory, in memory or swapped out, and page
//! tables. Copies that fork(2) shares are counted once, from smaps_rollup (proc_pid_smaps(5)), before anything is ended.
use super::{Kernel, sockets, sysv};
use std::fs;

/// As many processes are looked at in one step, roughly and exactly.
const AT_ONCE: [usize; 2] = [64, 8];

/// As there are of process ids, where nobody has raised that: a row of processes each of which makes the next one and ends
/// would keep us going for ever.
const MOST: usize = 1 << 15;

/// A look that has begun.
#[derive(Debug)]
pub(super) struct Look {
    /// The process, and what comes from it as far as it has been found.
    all: Vec<i32>,
    /// How many of them have been looked at.
    at: usize,
    bytes: u64,
    sockets: sockets::Count,
    system_v: sysv::Count,
    /// What the kernel keeps, once it is known.
    kernel: Option<u64>,
    /// Whether what several share is counted once: takes the kernel longer.
    exact: bool,
}

impl Look {
    /// At the process, which this process calls `pid`, and all that come from it.
    pub fn at(pid: i32) -> Look {
        Look {
            all: vec![pid],
            at: 0,
            bytes: 0,
            sockets: Default::default(),
            system_v: Default::default(),
            kernel: None,
            exact: false,
        }
    }

    /// Goes on. The bytes, once they are known; exactly only if that matters for `limit`.
    pub fn step(&mut self, limit: u64, kernel: &mut Kernel) -> Option<u64> {
        let Some(kernel) = self.kernel else {
            self.kernel = self.kept(limit, kernel);
            return None;
        };
        let limit = limit.saturating_sub(kernel);
        for _ in 0..AT_ONCE[usize::from(self.exact)] {
            let enough = self.at == MOST || self.exact && self.bytes > limit;
            match self.all.get(self.at).copied().filter(|_| !enough) {
                Some(pid) => self.count(pid),
                None if self.exact || self.bytes <= limit => return Some(self.bytes + kernel),
                None => (self.at, self.bytes, self.exact) = (0, 0, true),
            }
        }
        None
    }

    /// What the kernel keeps. Sockets come last: they remember a look that is done.
    fn kept(&mut self, limit: u64, kernel: &mut Kernel) -> Option<u64> {
        let system_v = kernel.system_v.as_ref().map_or(Some(0), |all| all.step(&mut self.system_v, limit))?;
        let sockets = kernel.sockets.as_mut().map_or(Some(0), |all| all.step(&mut self.sockets, limit))?;
        Some(sockets + system_v)
    }

    fn count(&mut self, pid: i32) {
        self.at += 1;
        // Of a process that has made itself undumpable there is only the rough figure.
        let exact = if self.exact { proportional(pid) } else { None };
        self.bytes += exact.or_else(|| resident(pid)).unwrap_or_default();
        if !self.exact {
            self.add_children(pid);
        }
    }

    /// Orphans are the first process's children, so none is missed for long.
    fn add_children(&mut self, pid: i32) {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().filter_map(Result::ok);
        for task in tasks {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            for child in children.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()) {
                if !self.all.contains(&child) {
                    self.all.push(child);
                }
            }
        }
    }
}

fn resident(pid: i32) -> Option<u64> {
    sum(&status(pid)?, &["RssAnon:", "RssShmem:", "VmSwap:", TABLES])
}

fn proportional(pid: i32) -> Option<u64> {
    let shares = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let tables = sum(&status(pid)?, &[TABLES]).unwrap_or_default();
    Some(sum(&shares, &["Pss_Anon:", "Pss_Shmem:", "SwapPss:"])? + tables)
}

/// One page may be mapped at as many places as there are addresses, and each takes eight bytes of these.
const TABLES: &str = "VmPTE:";

fn status(pid: i32) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/status")).ok()
}

/// The bytes in the lines `NAME: N kB`.
fn sum(text: &str, names: &[&str]) -> Option<u64> {
    let kilobytes = |line: &str| {
        let value = names.iter().find_map(|name| line.strip_prefix(name))?;
        value.strip_suffix(" kB")?.trim().parse::<u64>().ok()
    };
    let lines: Vec<u64> = text.lines().filter_map(kilobytes).collect();
    (!lines.is_empty()).then(|| lines.iter().sum::<u64>() * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_the_kernels_tables() {
        let status =
            "Name:\tx\nVmRSS:\t 900 kB\nRssAnon:\t     120 kB\nRssFile:\t 10 kB\nRssShmem:\t 8 kB\nVmSwap:\t 4 kB\n";
        assert_eq!(sum(status, &["RssAnon:", "RssShmem:", "VmSwap:"]), Some(132 * 1024));
        assert_eq!(sum("", &["RssAnon:"]), None);
        let own = std::process::id().cast_signed();
        assert!(resident(own).unwrap() > 0 && proportional(own).unwrap() > 0);
    }

    #[test]
    fn a_look_comes_to_an_end_rough_or_exact() {
        let own = std::process::id().cast_signed();
        for limit in [1, u64::MAX] {
            let mut look = Look::at(own);
            let bytes = (0..1000).find_map(|_| look.step(limit, &mut Kernel::default())).unwrap();
            assert!(bytes > 0);
            assert_eq!(look.exact, limit == 1);
        }
    }
}
