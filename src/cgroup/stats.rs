//! What a cgroup counts, as the object `data` of runc's `events`: times in nanoseconds, memory in bytes. A controller
//! that the cgroup has not leaves its part empty.
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// All of it.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Stats {
    cpu: Cpu,
    cpuset: Cpuset,
    memory: Memory,
    pids: Pids,
    blkio: Blkio,
    hugetlb: BTreeMap<String, Hugetlb>,
    intel_rdt: Nothing,
    network_interfaces: Option<Nothing>,
}

#[derive(Debug, Default, PartialEq, Serialize)]
struct Nothing {}

#[derive(Debug, Default, PartialEq, Serialize)]
struct Cpu {
    usage: CpuUsage,
    throttling: Throttling,
    #[serde(skip_serializing_if = "Option::is_none")]
    psi: Option<Pressure>,
}

#[derive(Debug, Default, PartialEq, Serialize)]
struct CpuUsage {
    #[serde(skip_serializing_if = "is_zero")]
    total: u64,
    kernel: u64,
    user: u64,
}

#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Throttling {
    #[serde(skip_serializing_if = "is_zero")]
    periods: u64,
    #[serde(skip_serializing_if = "is_zero")]
    throttled_periods: u64,
    #[serde(skip_serializing_if = "is_zero")]
    throttled_time: u64,
}

/// The numbers of cgroup v1 that v2 has not are 0 here, as in runc.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Cpuset {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cpus: Vec<u16>,
    cpu_exclusive: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mems: Vec<u16>,
    mem_hardwall: u64,
    mem_exclusive: u64,
    memory_migrate: u64,
    memory_spread_page: u64,
    memory_spread_slab: u64,
    memory_pressure: u64,
    sched_load_balance: u64,
    sched_relax_domain_level: i64,
}

#[derive(Debug, Default, PartialEq, Serialize)]
struct Memory {
    #[serde(skip_serializing_if = "is_zero")]
    cache: u64,
    usage: MemoryEntry,
    /// Memory and swap together, as cgroup v1 counts them.
    swap: MemoryEntry,
    kernel: MemoryEntry,
    #[serde(rename = "kernelTCP")]
    kernel_tcp: MemoryEntry,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    raw: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    psi: Option<Pressure>,
}

#[derive(Debug, Default, PartialEq, Serialize)]
struct MemoryEntry {
    limit: u64,
    #[serde(skip_serializing_if = "is_zero")]
    usage: u64,
    #[serde(skip_serializing_if = "is_zero")]
    max: u64,
    failcnt: u64,
}

#[derive(Debug, Default, PartialEq, Serialize)]
struct Pids {
    #[serde(skip_serializing_if = "is_zero")]
    current: u64,
    #[serde(skip_serializing_if = "is_zero")]
    limit: u64,
}

#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Blkio {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_service_bytes_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_serviced_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    psi: Option<Pressure>,
}

#[derive(Debug, Default, PartialEq, Serialize)]
struct BlkioEntry {
    major: u64,
    minor: u64,
    op: &'static str,
    value: u64,
}

/// Without the `max` that runc's object has for cgroup v1: v2 keeps no highest usage.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Hugetlb {
    #[serde(skip_serializing_if = "is_zero")]
    usage: u64,
    failcnt: u64,
}

/// Pressure stall information (Documentation/accounting/psi.rst).
#[derive(Debug, Default, PartialEq, Serialize)]
struct Pressure {
    #[serde(skip_serializing_if = "Option::is_none")]
    some: Option<Stall>,
    #[serde(skip_serializing_if = "Option::is_none")]
    full: Option<Stall>,
}

#[derive(Debug, Default, PartialEq, Serialize)]
struct Stall {
    avg10: f64,
    avg60: f64,
    avg300: f64,
    total: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Reads the files of the cgroup `dir`.
pub fn read(dir: &Path) -> Stats {
    Stats {
        cpu: cpu(dir),
        cpuset: Cpuset {
            cpus: list(dir, "cpuset.cpus.effective"),
            mems: list(dir, "cpuset.mems.effective"),
            ..Default::default()
        },
        memory: memory(dir),
        pids: Pids { current: number(dir, "pids.current"), limit: number(dir, "pids.max") },
        blkio: blkio(dir),
        hugetlb: hugetlb(dir),
        ..Default::default()
    }
}

/// The most memory that its processes have had at once, in bytes (Linux 5.19).
pub fn peak(dir: &Path) -> u64 {
    number(dir, "memory.peak")
}

fn cpu(dir: &Path) -> Cpu {
    let stat = table(&text(dir, "cpu.stat"));
    let nanoseconds = |name: &str| stat.get(name).copied().unwrap_or_default().saturating_mul(1000);
    let count = |name: &str| stat.get(name).copied().unwrap_or_default();
    Cpu {
        usage: CpuUsage {
            total: nanoseconds("usage_usec"),
            kernel: nanoseconds("system_usec"),
            user: nanoseconds("user_usec"),
        },
        throttling: Throttling {
            periods: count("nr_periods"),
            throttled_periods: count("nr_throttled"),
            throttled_time: nanoseconds("throttled_usec"),
        },
        psi: pressure(&text(dir, "cpu.pressure")),
    }
}

fn memory(dir: &Path) -> Memory {
    if !dir.join("memory.current").exists() {
        return Memory::default();
    }
    let entry = |name: &str| MemoryEntry {
        limit: limit(&text(dir, &format!("{name}.max"))),
        usage: number(dir, &format!("{name}.current")),
        max: number(dir, &format!("{name}.peak")),
        failcnt: 0,
    };
    let (usage, swap) = (entry("memory"), entry("memory.swap"));
    let together = MemoryEntry {
        limit: usage.limit.saturating_add(swap.limit),
        usage: usage.usage + swap.usage,
        ..Default::default()
    };
    let raw = table(&text(dir, "memory.stat"));
    let cache = raw.get("file").copied().unwrap_or_default();
    let psi = pressure(&text(dir, "memory.pressure"));
    Memory { cache, usage, swap: together, raw, psi, ..Default::default() }
}

fn blkio(dir: &Path) -> Blkio {
    let mut blkio = Blkio { psi: pressure(&text(dir, "io.pressure")), ..Default::default() };
    for line in text(dir, "io.stat").lines() {
        let mut words = line.split(' ');
        let device = words.next().and_then(|device| device.split_once(':'));
        let Some((Ok(major), Ok(minor))) = device.map(|(major, minor)| (major.parse(), minor.parse())) else {
            continue;
        };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let (list, op) = match key {
                "rbytes" => (&mut blkio.io_service_bytes_recursive, "Read"),
                "wbytes" => (&mut blkio.io_service_bytes_recursive, "Write"),
                "rios" => (&mut blkio.io_serviced_recursive, "Read"),
                "wios" => (&mut blkio.io_serviced_recursive, "Write"),
                _ => continue,
            };
            list.push(BlkioEntry { major, minor, op, value: value.parse().unwrap_or_default() });
        }
    }
    blkio
}

fn hugetlb(dir: &Path) -> BTreeMap<String, Hugetlb> {
    // What is reserved and not yet touched counts, as against the limit (Linux 5.7); the failures are of both.
    let reserved = |size: &str| text(dir, &format!("hugetlb.{size}.rsvd.current")).trim().parse().ok();
    let of = |size: &str| Hugetlb {
        usage: reserved(size).unwrap_or_else(|| number(dir, &format!("hugetlb.{size}.current"))),
        failcnt: table(&text(dir, &format!("hugetlb.{size}.events"))).get("max").copied().unwrap_or_default(),
    };
    page_sizes(dir).map(|size| (size.clone(), of(&size))).collect()
}

/// The sizes of huge pages that the cgroup counts, such as `2MB`.
pub(super) fn page_sizes(dir: &Path) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
    entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        Some(name.strip_prefix("hugetlb.")?.strip_suffix(".current").filter(|size| !size.contains('.'))?.to_owned())
    })
}

fn text(dir: &Path, file: &str) -> String {
    fs::read_to_string(dir.join(file)).unwrap_or_default()
}

/// A file of one number; 0 for `max`, and where there is no such file.
fn number(dir: &Path, file: &str) -> u64 {
    text(dir, file).trim().parse().unwrap_or_default()
}

fn limit(text: &str) -> u64 {
    match text.trim() {
        "max" => u64::MAX,
        number => number.parse().unwrap_or_default(),
    }
}

/// Lines of a name and a number.
pub(super) fn table(text: &str) -> BTreeMap<String, u64> {
    let pair = |line: &str| {
        let (name, number) = line.split_once(' ')?;
        Some((name.to_owned(), number.parse().ok()?))
    };
    text.lines().filter_map(pair).collect()
}

fn list(dir: &Path, file: &str) -> Vec<u16> {
    let text = text(dir, file);
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse::<u16>().ok()?..=last.parse::<u16>().ok()?)
    };
    text.trim().split(',').filter_map(range).flatten().collect()
}

fn pressure(text: &str) -> Option<Pressure> {
    let stall = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        let value = |key: &str| line.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        let average = |key: &str| value(key).and_then(|value| value.parse().ok()).unwrap_or_default();
        let total = value("total").and_then(|value| value.parse().ok()).unwrap_or_default();
        Some(Stall { avg10: average("avg10"), avg60: average("avg60"), avg300: average("avg300"), total })
    };
    let pressure = Pressure { some: stall("some"), full: stall("full") };
    (pressure != Pressure::default()).then_some(pressure)
}

#[cfg(test)]
mod tests;
