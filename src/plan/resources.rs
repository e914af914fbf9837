//! From `linux.resources` to the files of a cgroup (config-linux.md, "Control groups"; the kernel's
//! Documentation/admin-guide/cgroup-v2.rst). Pure: what is written where, and in which order.
use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxResources, LinuxThrottleDevice};

/// Microseconds: the kernel's own period of the processor's quota, taken where none is given.
const PERIOD: u64 = 100_000;
/// The ends of the range of cgroup v1's shares.
const SHARES: (u64, u64) = (2, 1 << 18);

/// One value to be written to one file of the cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The file's name.
    pub file: String,
    /// What is written.
    pub value: String,
    /// The member below `linux.resources` that asks for it.
    pub member: String,
    /// Where the kernel has no such file nothing is missing.
    pub optional: bool,
}

impl Setting {
    fn new(file: impl Into<String>, value: impl ToString, member: impl Into<String>) -> Setting {
        Setting { file: file.into(), value: value.to_string(), member: member.into(), optional: false }
    }

    fn optional(self) -> Setting {
        Setting { optional: true, ..self }
    }

    /// The controller that the file belongs to; none for the files that every cgroup has.
    pub fn controller(&self) -> Option<&str> {
        self.file.split('.').next().filter(|name| *name != "cgroup")
    }

    /// It lets no process be made, not even the container's first: it can be set only when that is there.
    pub fn forbids_clone(&self) -> bool {
        self.file == "pids.max" && self.value == "0"
    }

    /// It takes a limit away, or sets none: what a new cgroup has by itself.
    pub fn lifts(&self) -> bool {
        let none = |word: &str| word == "max" || word.ends_with("=max");
        let mut words = self.value.split(' ').filter(|word| !word.contains(':'));
        match self.file.as_str() {
            "cpu.max" => words.next() == Some("max"),
            // As many as everybody has: what ctr asks for.
            "cpu.weight" => self.value == "100",
            "cpu.max.burst" | "cpu.idle" | "memory.low" | "memory.min" => self.value == "0",
            "rdma.max" => words.skip(1).all(none),
            _ => words.all(none),
        }
    }

    /// What to write to have `before` again, the file's text of then. A file of one line a device is put back for the
    /// device that was written.
    pub fn undo(&self, before: &str) -> String {
        let key = self.value.split(' ').next().unwrap_or_default();
        match self.file.as_str() {
            "io.max" => line(before, key).unwrap_or_else(|| format!("{key} rbps=max wbps=max riops=max wiops=max")),
            "rdma.max" => line(before, key).unwrap_or_else(|| format!("{key} hca_handle=max hca_object=max")),
            "io.weight" | "io.bfq.weight" => line(before, key).unwrap_or_else(|| format!("{key} default")),
            // An empty line is an empty set of processors; nothing at all would be no write.
            _ => format!("{}\n", before.trim_end()),
        }
    }
}

fn line(text: &str, key: &str) -> Option<String> {
    text.lines().find(|line| line.split(' ').next() == Some(key)).map(str::to_owned)
}

/// All that `resources` asks for, in the order of writing. What `limits::check` finds wrong is left out.
pub fn settings(resources: &LinuxResources) -> Vec<Setting> {
    let mut all = Vec::new();
    if let Some(memory) = resources.memory() {
        all.extend(of_memory(memory));
    }
    if let Some(cpu) = resources.cpu() {
        all.extend(of_cpu(cpu));
    }
    if let Some(pids) = resources.pids() {
        // 0 is "no limit" to all who write it: podman for `--pids-limit 0` and -1, Docker's API for one that was not given.
        let limit = if pids.limit() == 0 { -1 } else { pids.limit() };
        all.push(Setting::new("pids.max", bytes(limit), "pids.limit"));
    }
    if let Some(io) = resources.block_io() {
        all.extend(of_io(io));
    }
    for (i, limit) in resources.hugepage_limits().iter().flatten().enumerate() {
        let (size, value) = (limit.page_size(), bytes(limit.limit()));
        all.push(Setting::new(format!("hugetlb.{size}.max"), &value, format!("hugepageLimits[{i}]")));
        // What is reserved and never touched counts too (Linux 5.7).
        all.push(Setting::new(format!("hugetlb.{size}.rsvd.max"), value, format!("hugepageLimits[{i}]")).optional());
    }
    let mut rdma: Vec<_> = resources.rdma().iter().flatten().collect();
    rdma.sort_by_key(|(device, _)| *device);
    for (device, limit) in rdma {
        let number = |limit: Option<u32>| limit.map_or("max".to_owned(), |limit| limit.to_string());
        let (handles, objects) = (number(limit.hca_handles()), number(limit.hca_objects()));
        let value = format!("{device} hca_handle={handles} hca_object={objects}");
        all.push(Setting::new("rdma.max", value, format!("rdma.{device}")));
    }
    // Last: they are the kernel's own words, and win.
    let mut unified: Vec<_> = resources.unified().iter().flatten().collect();
    unified.sort();
    all.extend(unified.into_iter().map(|(file, value)| Setting::new(file, value, format!("unified.{file}"))));
    all
}

fn bytes(limit: i64) -> String {
    if limit < 0 { "max".to_owned() } else { limit.to_string() }
}

/// A limit of 0 is none, as in runc.
fn of_memory(memory: &LinuxMemory) -> Vec<Setting> {
    let set = |value: Option<i64>| value.filter(|value| *value != 0);
    let mut all = Vec::new();
    let limit = set(memory.limit());
    // cgroup v1 counts the memory and the swap together, v2 the swap alone.
    let swap = match (set(memory.swap()), limit) {
        (Some(swap), Some(limit)) if swap > 0 && limit > 0 => Some(bytes((swap - limit).max(0))),
        (Some(swap), _) if swap < 0 => Some(bytes(swap)),
        // Without a limit of memory one of swap makes no sense.
        (None, Some(limit)) if limit < 0 => Some(bytes(limit)),
        _ => None,
    };
    if let Some(value) = swap {
        // A kernel that does not count swap has none to limit.
        let unlimited = value == "max" || value == "0";
        let setting = Setting::new("memory.swap.max", value, "memory.swap");
        all.push(if unlimited { setting.optional() } else { setting });
    }
    all.extend(limit.map(|limit| Setting::new("memory.max", bytes(limit), "memory.limit")));
    all.extend(set(memory.reservation()).map(|low| Setting::new("memory.low", bytes(low), "memory.reservation")));
    all
}

fn of_cpu(cpu: &LinuxCpu) -> Vec<Setting> {
    let mut all = Vec::new();
    let idle = cpu.idle();
    all.extend(idle.map(|idle| Setting::new("cpu.idle", idle, "cpu.idle")));
    // One that is idle has no weight: the kernel refuses it.
    let shares = cpu.shares().filter(|shares| *shares != 0 && idle != Some(1));
    all.extend(shares.map(|shares| Setting::new("cpu.weight", weight(shares), "cpu.shares")));
    let quota = cpu.quota().filter(|quota| *quota != 0);
    let period = cpu.period().filter(|period| *period != 0);
    if quota.is_some() || period.is_some() {
        // The burst may never be above the quota, neither the old one nor the new.
        all.extend(cpu.burst().map(|_| Setting::new("cpu.max.burst", 0, "cpu.burst")));
        let value = format!("{} {}", bytes(quota.unwrap_or(-1)), period.unwrap_or(PERIOD));
        all.push(Setting::new("cpu.max", value, if quota.is_some() { "cpu.quota" } else { "cpu.period" }));
    }
    all.extend(cpu.burst().map(|burst| Setting::new("cpu.max.burst", burst, "cpu.burst")));
    let list = |file: &str, value: &Option<String>| {
        value
            .as_ref()
            .filter(|list| !list.is_empty())
            .map(|list| Setting::new(format!("cpuset.{file}"), list, format!("cpu.{file}")))
    };
    all.extend(list("cpus", cpu.cpus()));
    all.extend(list("mems", cpu.mems()));
    all
}

/// A weight of cgroup v2 for the shares of v1: the curve that runc 1.3.2 and crun 1.23 take, on which both defaults (1024
/// and 100) and both ends of the ranges meet.
pub fn weight(shares: u64) -> u64 {
    match shares {
        _ if shares <= SHARES.0 => 1,
        _ if shares >= SHARES.1 => 10_000,
        _ => {
            let l = (shares as f64).log2();
            10f64.powf((l * l + 125.0 * l) / 612.0 - 7.0 / 34.0).ceil() as u64
        }
    }
}

fn of_io(io: &LinuxBlockIo) -> Vec<Setting> {
    let mut all = Vec::new();
    let weight = io.weight().filter(|weight| *weight != 0);
    all.extend(
        weight.map(|weight| Setting::new("io.weight", format!("default {}", io_weight(weight)), "blockIO.weight")),
    );
    for (i, device) in io.weight_device().iter().flatten().enumerate() {
        if let Some(weight) = device.weight() {
            let value = format!("{}:{} {}", device.major(), device.minor(), io_weight(weight));
            all.push(Setting::new("io.weight", value, format!("blockIO.weightDevice[{i}]")));
        }
    }
    let mut throttle = |name: &str, key: &str, devices: &Option<Vec<LinuxThrottleDevice>>| {
        for (i, device) in devices.iter().flatten().enumerate() {
            // A rate of 0 is none in cgroup v1; v2 would not take it.
            let rate = if device.rate() == 0 { "max".to_owned() } else { device.rate().to_string() };
            let value = format!("{}:{} {key}={rate}", device.major(), device.minor());
            all.push(Setting::new("io.max", value, format!("blockIO.{name}[{i}]")));
        }
    };
    throttle("throttleReadBpsDevice", "rbps", io.throttle_read_bps_device());
    throttle("throttleWriteBpsDevice", "wbps", io.throttle_write_bps_device());
    throttle("throttleReadIOPSDevice", "riops", io.throttle_read_iops_device());
    throttle("throttleWriteIOPSDevice", "wiops", io.throttle_write_iops_device());
    all
}

/// From cgroup v1's 10 to 1000 to the 1 to 10000 of v2, on a straight line as runc and crun do.
fn io_weight(weight: u16) -> u64 {
    1 + (u64::from(weight).saturating_sub(10)) * 9999 / 990
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn written(resources: Value) -> Vec<(String, String)> {
        let resources = serde_json::from_value(resources).unwrap();
        settings(&resources).into_iter().map(|setting| (setting.file, setting.value)).collect()
    }

    fn one(resources: Value) -> Setting {
        let mut all = settings(&serde_json::from_value(resources).unwrap());
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    #[test]
    fn memory_swap_is_what_is_left_when_the_memory_is_taken_off() {
        let of = |memory: Value| written(json!({"memory": memory}));
        let pair = |file: &str, value: &str| (file.to_owned(), value.to_owned());
        assert_eq!(of(json!({"limit": 100})), [pair("memory.max", "100")]);
        let both = of(json!({"limit": 100, "swap": 150, "reservation": 50}));
        assert_eq!(both, [pair("memory.swap.max", "50"), pair("memory.max", "100"), pair("memory.low", "50")]);
        assert_eq!(of(json!({"limit": 100, "swap": 100}))[0], pair("memory.swap.max", "0"));
        assert_eq!(of(json!({"limit": 100, "swap": -1}))[0], pair("memory.swap.max", "max"));
        assert_eq!(of(json!({"limit": -1})), [pair("memory.swap.max", "max"), pair("memory.max", "max")]);
        assert_eq!(of(json!({"limit": 0, "swap": 0, "reservation": 0, "disableOOMKiller": false})), []);
    }

    #[test]
    fn shares_become_weights_so_that_defaults_and_ends_meet() {
        for (shares, expected) in
            [(1, 1), (2, 1), (1024, 100), (262_144, 10_000), (1 << 40, 10_000), (102, 17), (512, 59)]
        {
            assert_eq!(weight(shares), expected, "{shares}");
        }
        assert!((2..5000).all(|shares| weight(shares) <= weight(shares + 1)));
        assert_eq!(written(json!({"cpu": {"shares": 0}})), []);
        assert_eq!(one(json!({"cpu": {"shares": 10, "idle": 1}})).file, "cpu.idle");
    }

    #[test]
    fn a_quota_and_its_burst_never_contradict_each_other_on_the_way() {
        let pair = |file: &str, value: &str| (file.to_owned(), value.to_owned());
        let max = written(json!({"cpu": {"quota": 500, "period": 1000, "burst": 7}}));
        assert_eq!(max, [pair("cpu.max.burst", "0"), pair("cpu.max", "500 1000"), pair("cpu.max.burst", "7")]);
        assert_eq!(one(json!({"cpu": {"quota": 500}})).value, "500 100000");
        assert_eq!(one(json!({"cpu": {"period": 5000}})).value, "max 5000");
        assert!(one(json!({"cpu": {"quota": -1}})).lifts());
        assert_eq!(written(json!({"cpu": {"cpus": "0-1", "mems": ""}})), [pair("cpuset.cpus", "0-1")]);
    }

    #[test]
    fn processes_huge_pages_and_what_the_kernel_calls_by_name() {
        let pair = |file: &str, value: &str| (file.to_owned(), value.to_owned());
        assert!(one(json!({"unified": {"pids.max": "0"}})).forbids_clone());
        assert!(
            !one(json!({"pids": {"limit": 1}})).forbids_clone() && !one(json!({"pids": {"limit": 0}})).forbids_clone()
        );
        assert_eq!(one(json!({"pids": {"limit": 9}})).value, "9");
        assert!(one(json!({"pids": {"limit": -1}})).lifts() && one(json!({"pids": {"limit": 0}})).lifts());
        let pages = written(json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 4}]}));
        assert_eq!(pages, [pair("hugetlb.2MB.max", "4"), pair("hugetlb.2MB.rsvd.max", "4")]);
        let rdma = written(json!({"rdma": {"b": {"hcaHandles": 3}, "a": {"hcaObjects": 4}}}));
        let expected =
            [pair("rdma.max", "a hca_handle=max hca_object=4"), pair("rdma.max", "b hca_handle=3 hca_object=max")];
        assert_eq!(rdma, expected);
        let unified = written(json!({"unified": {"pids.max": "5", "memory.high": "1"}, "pids": {"limit": 9}}));
        assert_eq!(unified, [pair("pids.max", "9"), pair("memory.high", "1"), pair("pids.max", "5")]);
        let setting = one(json!({"unified": {"memory.high": "1"}}));
        assert_eq!((setting.controller(), setting.member.as_str()), (Some("memory"), "unified.memory.high"));
        assert_eq!(one(json!({"unified": {"cgroup.max.depth": "1"}})).controller(), None);
    }

    #[test]
    fn disks_are_weighted_and_throttled_one_by_one() {
        let io = json!({"weight": 100, "weightDevice": [{"major": 8, "minor": 0, "weight": 1000}],
            "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 9}],
            "throttleWriteBpsDevice": [{"major": 8, "minor": 1, "rate": 8}],
            "throttleReadIOPSDevice": [{"major": 8, "minor": 0, "rate": 7}],
            "throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 0}]});
        let all: Vec<_> =
            written(json!({"blockIO": io})).into_iter().map(|(file, value)| format!("{file} {value}")).collect();
        let weights = ["io.weight default 910", "io.weight 8:0 10000"];
        let limits = ["io.max 8:0 rbps=9", "io.max 8:1 wbps=8", "io.max 8:0 riops=7", "io.max 8:0 wiops=max"];
        assert_eq!(all, [&weights[..], &limits[..]].concat());
        assert_eq!(io_weight(10), 1);
    }

    #[test]
    fn what_takes_a_limit_away_is_told_from_one() {
        let setting = |file: &str, value: &str| Setting::new(file, value, "");
        for (file, value) in [
            ("memory.max", "max"),
            ("cpu.max", "max 100000"),
            ("io.max", "8:0 wiops=max"),
            ("rdma.max", "mlx5_0 hca_handle=max hca_object=max"),
            ("memory.low", "0"),
            ("cpu.weight", "100"),
            ("cpu.idle", "0"),
        ] {
            assert!(setting(file, value).lifts(), "{file} {value}");
        }
        for (file, value) in [
            ("memory.max", "0"),
            ("cpu.max", "10 max"),
            ("io.max", "8:0 wiops=1"),
            ("rdma.max", "mlx5_0 hca_handle=max hca_object=1"),
            ("io.weight", "default 10"),
        ] {
            assert!(!setting(file, value).lifts(), "{file} {value}");
        }
    }

    #[test]
    fn what_was_before_can_be_written_again() {
        let setting = |file: &str, value: &str| Setting::new(file, value, "");
        assert_eq!(setting("memory.max", "9").undo("max\n"), "max\n");
        assert_eq!(setting("cpuset.cpus", "9").undo("\n"), "\n");
        let io = setting("io.max", "8:0 rbps=9");
        assert_eq!(
            io.undo("7:0 rbps=1\n8:0 rbps=max wbps=5 riops=max wiops=max\n"),
            "8:0 rbps=max wbps=5 riops=max wiops=max"
        );
        assert_eq!(io.undo(""), "8:0 rbps=max wbps=max riops=max wiops=max");
        assert_eq!(setting("io.weight", "default 5").undo("default 100\n8:0 10\n"), "default 100");
        assert_eq!(setting("io.weight", "8:1 5").undo("default 100\n"), "8:1 default");
    }
}
