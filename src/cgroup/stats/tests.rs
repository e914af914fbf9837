//! From files as the kernel has them to the object that is printed.
use super::*;
use serde_json::json;

fn of(files: &[(&str, &str)]) -> serde_json::Value {
    let dir = std::env::temp_dir().join(format!("rrunc-stats-{}-{}", files.len(), std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    for (file, text) in files {
        fs::write(dir.join(file), text).unwrap();
    }
    let stats = serde_json::to_value(read(&dir)).unwrap();
    fs::remove_dir_all(&dir).unwrap();
    stats
}

#[test]
fn the_kernels_files_become_runcs_object() {
    let stats = of(&[
        ("cpu.stat", "usage_usec 30\nuser_usec 10\nsystem_usec 20\nnr_periods 4\nnr_throttled 2\nthrottled_usec 5\n"),
        (
            "cpu.pressure",
            "some avg10=1.50 avg60=0.00 avg300=0.00 total=7\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
        ),
        ("cpuset.cpus.effective", "0-2,5\n"),
        ("memory.current", "4096\n"),
        ("memory.max", "8192\n"),
        ("memory.peak", "5000\n"),
        ("memory.swap.current", "10\n"),
        ("memory.swap.max", "max\n"),
        ("memory.stat", "anon 100\nfile 200\n"),
        ("pids.current", "2\n"),
        ("pids.max", "max\n"),
        ("io.stat", "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n"),
        ("hugetlb.2MB.current", "0\n"),
        ("hugetlb.2MB.events", "max 6\n"),
        ("hugetlb.2MB.rsvd.current", "4194304\n"),
        ("hugetlb.1GB.current", "0\n"),
        ("hugetlb.1GB.events", "max 0\n"),
        ("hugetlb.1GB.rsvd.current", "0\n"),
        ("hugetlb.64KB.current", "65536\n"),
    ]);
    assert_eq!(stats["cpu"]["usage"], json!({"total": 30_000, "kernel": 20_000, "user": 10_000}));
    assert_eq!(stats["cpu"]["throttling"], json!({"periods": 4, "throttledPeriods": 2, "throttledTime": 5000}));
    assert_eq!(stats["cpu"]["psi"]["some"], json!({"avg10": 1.5, "avg60": 0.0, "avg300": 0.0, "total": 7}));
    assert_eq!(stats["cpuset"]["cpus"], json!([0, 1, 2, 5]));
    assert_eq!(stats["memory"]["usage"], json!({"limit": 8192, "usage": 4096, "max": 5000, "failcnt": 0}));
    assert_eq!(stats["memory"]["swap"], json!({"limit": u64::MAX, "usage": 4106, "failcnt": 0}));
    assert_eq!((&stats["memory"]["cache"], &stats["memory"]["raw"]["anon"]), (&json!(200), &json!(100)));
    assert_eq!(stats["pids"], json!({"current": 2}));
    let entry = |op: &str, value: u64| json!({"major": 8, "minor": 0, "op": op, "value": value});
    assert_eq!(stats["blkio"]["ioServiceBytesRecursive"], json!([entry("Read", 1), entry("Write", 2)]));
    assert_eq!(stats["blkio"]["ioServicedRecursive"], json!([entry("Read", 3), entry("Write", 4)]));
    assert_eq!(
        stats["hugetlb"],
        json!({"2MB": {"usage": 4_194_304, "failcnt": 6}, "1GB": {"failcnt": 0},
        "64KB": {"usage": 65_536, "failcnt": 0}})
    );
}

#[test]
fn without_controllers_its_parts_are_empty_and_there() {
    let stats = of(&[]);
    assert_eq!(stats["pids"], json!({}));
    assert_eq!(stats["blkio"], json!({}));
    assert_eq!((&stats["hugetlb"], &stats["network_interfaces"]), (&json!({}), &json!(null)));
    assert_eq!(stats["memory"]["usage"], json!({"limit": 0, "failcnt": 0}));
}
