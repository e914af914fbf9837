//! Limits of a container: those that can be had, and the others refused with the reason. Nothing in a configuration is
//! silently ignored.
use super::Findings;
use super::ids::Ids;
use super::mounts::Mount;
use super::resources::{Setting, settings};
use crate::cgroup::place::Place;
use crate::host::{Host, IdMap};
use anyhow::Result;
use oci_spec::runtime::{LinuxCpu, LinuxMemory, LinuxResources, Spec};

/// Refuses what only root can have, values that no cgroup takes, and limits without a cgroup to put them on.
pub(super) fn plan(spec: &Spec, cgroup: &Place, findings: &mut Findings) -> Vec<Setting> {
    let Some(linux) = spec.linux() else { return Vec::new() };
    if linux.net_devices().as_ref().is_some_and(|devices| !devices.is_empty()) {
        let problem = "network devices are not supported for rootless containers";
        findings.mendable("linux.netDevices", problem, "leave it out: only root of the host may move its devices");
    }
    if linux.intel_rdt().is_some() {
        let problem = "intelRdt is specified in config, but resctrl can only be used by root";
        findings.mendable("linux.intelRdt", problem, "leave it out");
    }
    let Some(resources) = linux.resources() else { return Vec::new() };
    if resources.devices().as_ref().is_some_and(|rules| !rules.is_empty()) {
        // Inside a user namespace nothing but the default nodes can be opened.
        findings.note("linux.resources.devices: not applied, a user namespace makes no device nodes");
    }
    check_values(resources, findings);
    let settings = settings(resources);
    if let Place::Callers { why, hint } = cgroup {
        // What is no limit has its own problem already, and none for want of a cgroup.
        let is_limit = |setting: &&Setting| {
            !setting.lifts() && setting.member.strip_prefix("unified.").and_then(no_limit).is_none()
        };
        let limits = settings.iter().filter(is_limit);
        let mut members: Vec<&str> = limits.filter_map(|setting| setting.member.split(['.', '[']).next()).collect();
        members.dedup();
        if !members.is_empty() {
            let problem = "rootless needs no limits + no cgrouppath when no permission is granted for cgroups";
            findings.problem(&format!("linux.resources.{}", members.join("+")), format!("{problem}: {why}"));
            findings.hint(format!("{hint}, or remove the limit"));
        }
        return Vec::new();
    }
    settings
}

/// The program's user gets the cgroup exactly where the configuration mounts it writable (config-linux.md, "Cgroup
/// ownership"); if we have rights over what he makes there, for else it could not be removed.
pub(super) fn cgroup_owner(spec: &Spec, host: &Host, ids: Option<&Ids>, mounts: &[Mount]) -> Option<u32> {
    let user = spec.process().as_ref()?.user().uid();
    let of = |map: &IdMap| {
        let offset = user.checked_sub(map.inside).filter(|offset| *offset < map.size)?;
        map.outside.checked_add(offset)
    };
    let outside = ids?.uid.iter().find_map(of)?;
    (outside != host.uid && host.privileged && mounts.iter().any(Mount::is_writable_cgroup)).then_some(user)
}

/// The files and values for `resources` of a container that exists.
///
/// # Errors
/// All that is wrong with them.
pub fn update(resources: &LinuxResources) -> Result<Vec<Setting>> {
    let mut findings = Findings::default();
    check_values(resources, &mut findings);
    findings.check()?;
    Ok(settings(resources))
}

/// Files of a cgroup by which it is run.
const NO_LIMITS: [&str; 6] =
    ["cgroup.procs", "cgroup.threads", "cgroup.kill", "cgroup.freeze", "cgroup.type", "cgroup.subtree_control"];

/// What is wrong wherever it would be applied (config-linux.md, "Control groups"): said beside a refusal, so that who
/// gets a delegated tree does not meet it only then.
fn check_values(resources: &LinuxResources, findings: &mut Findings) {
    let mut wrong = |member: String, problem: &str| findings.problem(&format!("linux.resources.{member}"), problem);
    if let Some(memory) = resources.memory() {
        check_memory(memory, &mut wrong);
    }
    if let Some(cpu) = resources.cpu() {
        check_cpu(cpu, &mut wrong);
    }
    if let Some(network) = resources.network().as_ref().filter(|network| **network != Default::default()) {
        let empty = network.priorities().as_ref().is_none_or(Vec::is_empty) && network.class_id().unwrap_or(0) == 0;
        if !empty {
            wrong("network".to_owned(), "cgroup v2 has no such limit");
        }
    }
    if resources.block_io().as_ref().is_some_and(|io| io.leaf_weight().is_some_and(|weight| weight != 0)) {
        wrong("blockIO.leafWeight".to_owned(), "cgroup v2 has no such limit");
    }
    let weights = resources.block_io().as_ref().and_then(|io| io.weight_device().as_ref());
    for (i, device) in weights.into_iter().flatten().enumerate() {
        if device.weight().is_none() && device.leaf_weight().is_none() {
            wrong(format!("blockIO.weightDevice[{i}]"), "has neither weight nor leafWeight");
        }
    }
    for (i, limit) in resources.hugepage_limits().iter().flatten().enumerate() {
        if limit.page_size().is_empty() {
            wrong(format!("hugepageLimits[{i}].pageSize"), "is missing: it is a size such as 64KB, 2MB or 1GB");
        } else if !is_page_size(limit.page_size()) {
            wrong(format!("hugepageLimits[{i}].pageSize"), "is no size such as 64KB, 2MB or 1GB");
        }
    }
    for (name, limit) in resources.rdma().iter().flatten() {
        if limit.hca_handles().is_none() && limit.hca_objects().is_none() {
            wrong(format!("rdma.{name}"), "has neither hcaHandles nor hcaObjects");
        }
    }
    for (key, problem) in resources.unified().iter().flatten().filter_map(|(key, _)| Some((key, no_limit(key)?))) {
        wrong(format!("unified.{key}"), problem);
    }
}

/// Why a key of `unified` names no limit.
fn no_limit(key: &str) -> Option<&'static str> {
    let plain = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._".contains(&byte));
    if !plain || key.starts_with('.') || !key.trim_matches('.').contains('.') {
        return Some("is no file of a controller, such as memory.high");
    }
    NO_LIMITS.contains(&key).then_some("is no limit, but rrunc's to write")
}

/// What has a meaning in cgroup v1 alone, or none: v2's swap is counted without the memory.
fn check_memory(memory: &LinuxMemory, wrong: &mut impl FnMut(String, &str)) {
    #[allow(deprecated, reason = "the spec deprecates kernel, configurations still have it")]
    let kernel = memory.kernel();
    let limits = [("limit", memory.limit()), ("reservation", memory.reservation()), ("swap", memory.swap())];
    for (name, _) in limits.iter().filter(|(_, value)| value.is_some_and(|value| value < -1)) {
        wrong(format!("memory.{name}"), "is below -1, which means no limit");
    }
    if let Some(swap) = memory.swap().filter(|swap| *swap > 0) {
        match memory.limit().unwrap_or(0) {
            -1 | 0 => wrong("memory.swap".to_owned(), "unable to set swap limit without memory limit"),
            limit if swap < limit => wrong("memory.swap".to_owned(), "memory+swap limit should be >= memory limit"),
            _ => {}
        }
    }
    let is_limit = |value: Option<i64>| value.is_some_and(|value| value > 0);
    let v1 = [
        ("kernel", is_limit(kernel)),
        ("kernelTCP", is_limit(memory.kernel_tcp())),
        ("swappiness", memory.swappiness().is_some()),
        ("disableOOMKiller", memory.disable_oom_killer() == Some(true)),
    ];
    for (name, _) in v1.iter().filter(|(_, set)| *set) {
        wrong(format!("memory.{name}"), "cgroup v2 has no such limit");
    }
}

fn check_cpu(cpu: &LinuxCpu, wrong: &mut impl FnMut(String, &str)) {
    let quota = cpu.quota().and_then(|quota| u64::try_from(quota).ok()).filter(|quota| *quota > 0);
    if let Some((burst, quota)) = cpu.burst().zip(quota).filter(|(burst, quota)| burst > quota) {
        wrong("cpu.burst".to_owned(), &format!("{burst} is above the quota {quota}"));
    }
    for (name, set) in [
        ("realtimeRuntime", cpu.realtime_runtime().is_some_and(|time| time != 0)),
        ("realtimePeriod", cpu.realtime_period().is_some_and(|time| time != 0)),
    ] {
        if set {
            wrong(format!("cpu.{name}"), "cgroup v2 has no such limit");
        }
    }
}

/// The form of the names in hugetlb.SIZE.max.
fn is_page_size(text: &str) -> bool {
    let number = ["KB", "MB", "GB"].iter().find_map(|unit| text.strip_suffix(unit));
    number.is_some_and(|number| number.starts_with(|c| ('1'..='9').contains(&c)) && number.parse::<u64>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{config, host, planned};
    use super::*;
    use crate::bundle::Bundle;
    use crate::plan::{self, Options, Plan};
    use serde_json::{Value, json};

    fn refused(member: &str, value: &Value) -> String {
        let mut config = config();
        config["linux"][member] = value.clone();
        crate::error::one_line(&planned(&config).expect_err(&format!("{member}: {value}")))
    }

    #[test]
    fn what_only_root_can_have_is_refused_with_the_reason() {
        let devices = json!({"eth0": {}, "eth1": {"name": "inside%d"}});
        let text = refused("netDevices", &devices);
        assert!(text.contains("linux.netDevices: network devices are not supported for rootless"), "{text}");
        for rdt in [json!({}), json!({"closID": "c"}), json!({"schemata": ["L3:0=f"], "enableMonitoring": true})] {
            let text = refused("intelRdt", &rdt);
            assert!(text.contains("linux.intelRdt: intelRdt is specified in config, but resctrl"), "{text}");
        }
        let mut config = config();
        config["linux"]["netDevices"] = json!({});
        config["linux"]["intelRdt"] = Value::Null;
        planned(&config).unwrap();
    }

    /// The same configuration where a cgroup can be had.
    fn with_cgroup(resources: &Value) -> Result<Plan> {
        let mut config = config();
        config["linux"]["resources"] = resources.clone();
        let bundle = Bundle::parse("/bundle".into(), config.to_string().into_bytes())?;
        let cgroup =
            Place::Directory { path: "/sys/fs/cgroup/a/b".into(), top: "/sys/fs/cgroup/a".into(), named: true };
        plan::plan(&bundle, &host(), &Options { id: "c".to_owned(), cgroup, ..Options::default() })
    }

    #[test]
    fn every_limit_needs_a_cgroup_and_is_set_in_one() {
        for (name, value) in [
            ("memory", json!({"limit": 1 << 30})),
            ("memory", json!({"reservation": 1 << 20})),
            ("memory", json!({"checkBeforeUpdate": true, "limit": 4096})),
            ("cpu", json!({"shares": 100})),
            ("cpu", json!({"quota": 1000, "period": 10_000, "burst": 1000})),
            ("cpu", json!({"cpus": "0", "mems": "0"})),
            ("cpu", json!({"idle": 1})),
            ("pids", json!({"limit": 100})),
            ("pids", json!({"limit": 1})),
            ("blockIO", json!({"weight": 100})),
            ("blockIO", json!({"weightDevice": [{"major": 8, "minor": 0, "weight": 9, "leafWeight": 9}]})),
            ("blockIO", json!({"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 100}]})),
            ("hugepageLimits", json!([{"pageSize": "2MB", "limit": 1}, {"pageSize": "1GB", "limit": 1}])),
            ("rdma", json!({"mlx5_0": {"hcaHandles": 1}})),
            ("rdma", json!({"mlx5_0": {"hcaObjects": 1}})),
            ("unified", json!({"memory.high": "1"})),
            ("unified", json!({"hugetlb.1GB.limit_in_bytes": "max", "pids.max": "1"})),
        ] {
            let resources = json!({name: value});
            let text = refused("resources", &resources);
            assert!(text.contains(&format!("linux.resources.{name}: rootless needs no limits")), "{text}");
            assert_eq!(text.matches("linux.resources.").count(), 1, "{text}");
            let limits = with_cgroup(&resources).unwrap().limits;
            assert!(limits.iter().any(|setting| setting.member.starts_with(name)), "{limits:?}");
        }
    }

    #[test]
    fn what_sets_no_limit_needs_no_cgroup() {
        let nothing = json!({"memory": {"limit": -1, "swap": -1, "kernel": 0, "kernelTCP": -1, "useHierarchy": true,
                "disableOOMKiller": false},
            "cpu": {"shares": 0, "quota": -1, "period": 100_000, "realtimePeriod": 0, "realtimeRuntime": 0, "cpus": ""},
            "pids": {"limit": -1}, "blockIO": {"weight": 0, "leafWeight": 0}, "hugepageLimits": [],
            "network": {"classID": 0, "priorities": []}, "rdma": {}, "unified": {},
            "devices": [{"allow": false, "access": "rwm"}]});
        let mut config = config();
        config["linux"]["resources"] = nothing.clone();
        assert_eq!(planned(&config).unwrap().limits, []);
        // As podman's API for Docker's clients has it.
        config["linux"]["resources"] = json!({"pids": {"limit": 0}});
        assert_eq!(planned(&config).unwrap().limits, []);
        let limits = with_cgroup(&nothing).unwrap().limits;
        assert!(limits.iter().all(Setting::lifts), "{limits:?}");
    }

    #[test]
    fn values_that_no_cgroup_could_have_are_named_one_by_one() {
        let weights = json!({"weightDevice": [{"major": 8, "minor": 0, "weight": 9}, {"major": 8, "minor": 1}]});
        for (resources, problem) in [
            (json!({"blockIO": weights}), "blockIO.weightDevice[1]: has neither weight nor leafWeight"),
            (json!({"blockIO": {"leafWeight": 10}}), "blockIO.leafWeight: cgroup v2 has no such limit"),
            (json!({"rdma": {"mlx5_0": {}}}), "rdma.mlx5_0: has neither hcaHandles nor hcaObjects"),
            (json!({"cpu": {"quota": 10, "burst": 11}}), "cpu.burst: 11 is above the quota 10"),
            (json!({"cpu": {"realtimeRuntime": 1}}), "cpu.realtimeRuntime: cgroup v2 has no such limit"),
            (json!({"cpu": {"realtimePeriod": 1}}), "cpu.realtimePeriod: cgroup v2 has no such limit"),
            (json!({"memory": {"kernel": 1}}), "memory.kernel: cgroup v2 has no such limit"),
            (json!({"memory": {"kernelTCP": 1}}), "memory.kernelTCP: cgroup v2 has no such limit"),
            (json!({"memory": {"swappiness": 1}}), "memory.swappiness: cgroup v2 has no such limit"),
            (json!({"memory": {"disableOOMKiller": true}}), "memory.disableOOMKiller: cgroup v2 has no such limit"),
            (json!({"memory": {"swap": 5}}), "memory.swap: unable to set swap limit without memory limit"),
            (json!({"memory": {"swap": 5, "limit": -1}}), "memory.swap: unable to set swap limit without memory limit"),
            (json!({"memory": {"swap": 5, "limit": 6}}), "memory.swap: memory+swap limit should be >= memory limit"),
            (json!({"memory": {"limit": -2}}), "memory.limit: is below -1"),
            (json!({"network": {"classID": 1}}), "network: cgroup v2 has no such limit"),
            (
                json!({"network": {"priorities": [{"name": "e", "priority": 1}]}}),
                "network: cgroup v2 has no such limit",
            ),
            (json!({"unified": {"../../memory.max": "1"}}), "unified.../../memory.max: is no file of a controller"),
            // Of `memory -io` the kernel would take a controller away from all beside.
            (json!({"unified": {"memory -io.max": "1"}}), "unified.memory -io.max: is no file of a controller"),
            (json!({"unified": {"memory.max\n": "1"}}), "unified.memory.max"),
            (json!({"unified": {"..max": "1"}}), "unified...max: is no file of a controller"),
            (json!({"unified": {"memory": "1"}}), "unified.memory: is no file of a controller"),
            (json!({"unified": {"cgroup.procs": "1"}}), "unified.cgroup.procs: is no limit"),
        ] {
            for text in
                [refused("resources", &resources), crate::error::one_line(&with_cgroup(&resources).unwrap_err())]
            {
                assert!(text.contains(&format!("linux.resources.{problem}")), "{text}");
            }
        }
        let text = refused("resources", &json!({"unified": {"nonsense": "1"}}));
        assert!(text.ends_with("such as memory.high"), "{text}");
        let text = refused("resources", &json!({"hugepageLimits": [{"limit": 1}]}));
        assert!(text.contains("linux.resources.hugepageLimits[0].pageSize: is missing"), "{text}");
        for size in ["2M", "MB", "02MB", "2mb", "2 MB", "-2MB", "+2MB", "2MB "] {
            let text = refused("resources", &json!({"hugepageLimits": [{"pageSize": size, "limit": 1}]}));
            assert!(
                text.contains("linux.resources.hugepageLimits[0].pageSize: is no size such as"),
                "{size:?}: {text}"
            );
        }
    }
}
