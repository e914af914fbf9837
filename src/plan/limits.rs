//! What rrunc cannot honour yet or ever, refused with the reason: nothing in a configuration is silently ignored.
use super::Findings;
use oci_spec::runtime::{LinuxCpu, LinuxMemory, LinuxResources, Spec};

pub(super) fn refuse_unsupported(spec: &Spec, findings: &mut Findings) {
    let Some(linux) = spec.linux() else { return };
    if linux.net_devices().as_ref().is_some_and(|devices| !devices.is_empty()) {
        findings.problem("linux.netDevices", "network devices are not supported for rootless containers");
    }
    if linux.intel_rdt().is_some() {
        findings.problem("linux.intelRdt", "intelRdt is specified in config, but resctrl can only be used by root");
    }
    if let Some(resources) = linux.resources() {
        check_values(resources, findings);
        refuse_limits(resources, findings);
    }
}

/// What is wrong wherever it would be applied (config-linux.md, "Control groups"): said beside the refusal, so that who
/// gets a delegated tree does not meet it only then.
fn check_values(resources: &LinuxResources, findings: &mut Findings) {
    let mut wrong = |member: String, problem: &str| findings.problem(&format!("linux.resources.{member}"), problem);
    if let Some(memory) = resources.memory() {
        check_memory(memory, &mut wrong);
    }
    if let Some(cpu) = resources.cpu() {
        check_cpu(cpu, &mut wrong);
    }
    let weights = resources.block_io().as_ref().and_then(|io| io.weight_device().as_ref());
    for (i, device) in weights.into_iter().flatten().enumerate() {
        if device.weight().is_none() && device.leaf_weight().is_none() {
            wrong(format!("blockIO.weightDevice[{i}]"), "has neither weight nor leafWeight");
        }
    }
    for (i, limit) in resources.hugepage_limits().iter().flatten().enumerate() {
        if !is_page_size(limit.page_size()) {
            wrong(format!("hugepageLimits[{i}].pageSize"), "is no size such as 64KB, 2MB or 1GB");
        }
    }
    for (name, limit) in resources.rdma().iter().flatten() {
        if limit.hca_handles().is_none() && limit.hca_objects().is_none() {
            wrong(format!("rdma.{name}"), "has neither hcaHandles nor hcaObjects");
        }
    }
    for key in resources.unified().iter().flatten().map(|(key, _)| key) {
        if key.contains('/') || !key.trim_matches('.').contains('.') {
            wrong(format!("unified.{key}"), "is no file of a controller, such as memory.high");
        }
    }
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
    let v1 = [
        ("kernel", kernel.is_some()),
        ("kernelTCP", memory.kernel_tcp().is_some()),
        ("swappiness", memory.swappiness().is_some()),
        ("disableOOMKiller", memory.disable_oom_killer() == Some(true)),
    ];
    for (name, _) in v1.iter().filter(|(_, set)| *set) {
        wrong(format!("memory.{name}"), "cgroup v2 has no such limit");
    }
}

fn check_cpu(cpu: &LinuxCpu, wrong: &mut impl FnMut(String, &str)) {
    let quota = cpu.quota().and_then(|quota| u64::try_from(quota).ok()).filter(|quota| *quota > 0);
    if cpu.burst().zip(quota).is_some_and(|(burst, quota)| burst > quota) {
        wrong("cpu.burst".to_owned(), "is above the quota");
    }
    for (name, set) in
        [("realtimeRuntime", cpu.realtime_runtime().is_some()), ("realtimePeriod", cpu.realtime_period().is_some())]
    {
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

/// Device rules are moot: inside a user namespace nothing but the default nodes can be opened. Everything else
/// needs a cgroup.
fn refuse_limits(resources: &LinuxResources, findings: &mut Findings) {
    if resources.devices().as_ref().is_some_and(|rules| !rules.is_empty()) {
        findings.note("linux.resources.devices: not applied, a user namespace makes no device nodes");
    }
    let mut asked = Vec::new();
    let mut note = |name: &'static str, set: bool| {
        if set {
            asked.push(name);
        }
    };
    note("memory", resources.memory().as_ref().is_some_and(|m| *m != Default::default()));
    note("cpu", resources.cpu().as_ref().is_some_and(|c| *c != Default::default()));
    note("pids", resources.pids().as_ref().is_some_and(|p| p.limit() >= 0));
    note("blockIO", resources.block_io().as_ref().is_some_and(|b| *b != Default::default()));
    note("hugepageLimits", resources.hugepage_limits().as_ref().is_some_and(|h| !h.is_empty()));
    note("network", resources.network().as_ref().is_some_and(|n| *n != Default::default()));
    note("rdma", resources.rdma().as_ref().is_some_and(|r| !r.is_empty()));
    note("unified", resources.unified().as_ref().is_some_and(|u| !u.is_empty()));
    for name in asked {
        let problem = "rootless needs no limits + no cgrouppath when no permission is granted for cgroups: delegate a \
                       cgroup v2 tree to your user (`Delegate=yes` in user@.service) or remove the limit";
        findings.problem(&format!("linux.resources.{name}"), problem);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{config, planned};
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

    #[test]
    fn every_limit_that_needs_a_cgroup_is_refused() {
        for (name, value) in [
            ("memory", json!({"limit": 1 << 30})),
            ("memory", json!({"reservation": 1 << 20})),
            ("memory", json!({"checkBeforeUpdate": true, "limit": 4096})),
            ("cpu", json!({"shares": 100})),
            ("cpu", json!({"quota": 1000, "period": 10_000, "burst": 1000})),
            ("cpu", json!({"cpus": "0", "mems": "0"})),
            ("cpu", json!({"idle": 1})),
            ("pids", json!({"limit": 100})),
            ("pids", json!({"limit": 0})),
            ("blockIO", json!({"weight": 100})),
            ("blockIO", json!({"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 100}]})),
            ("hugepageLimits", json!([{"pageSize": "2MB", "limit": 1}])),
            ("network", json!({"classID": 1})),
            ("network", json!({"priorities": [{"name": "eth0", "priority": 1}]})),
            ("rdma", json!({"mlx5_0": {"hcaHandles": 1}})),
            ("unified", json!({"memory.high": "1"})),
            ("unified", json!({"hugetlb.1GB.limit_in_bytes": "max"})),
        ] {
            let text = refused("resources", &json!({name: value}));
            assert!(text.contains(&format!("linux.resources.{name}: rootless needs no limits")), "{text}");
        }
        let mut config = config();
        let nothing = json!({"memory": {}, "cpu": {}, "pids": {"limit": -1}, "blockIO": {}, "hugepageLimits": [],
            "network": {}, "rdma": {}, "unified": {}, "devices": [{"allow": false, "access": "rwm"}]});
        config["linux"]["resources"] = nothing;
        planned(&config).unwrap();
    }

    #[test]
    fn limits_that_no_cgroup_could_have_are_named_one_by_one() {
        let weights = json!({"weightDevice": [{"major": 8, "minor": 0, "weight": 9}, {"major": 8, "minor": 1}]});
        for (resources, problem) in [
            (json!({"blockIO": weights}), "blockIO.weightDevice[1]: has neither weight nor leafWeight"),
            (json!({"rdma": {"mlx5_0": {}}}), "rdma.mlx5_0: has neither hcaHandles nor hcaObjects"),
            (json!({"cpu": {"quota": 10, "burst": 11}}), "cpu.burst: is above the quota"),
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
            (json!({"unified": {"../../memory.max": "1"}}), "unified.../../memory.max: is no file of a controller"),
            (json!({"unified": {"memory": "1"}}), "unified.memory: is no file of a controller"),
        ] {
            let text = refused("resources", &resources);
            assert!(text.contains(&format!("linux.resources.{problem}")), "{text}");
        }
        for size in ["", "2M", "MB", "02MB", "2mb", "2 MB", "-2MB", "+2MB", "2MB "] {
            let text = refused("resources", &json!({"hugepageLimits": [{"pageSize": size, "limit": 1}]}));
            assert!(
                text.contains("linux.resources.hugepageLimits[0].pageSize: is no size such as"),
                "{size:?}: {text}"
            );
        }
    }

    #[test]
    fn limits_that_fit_together_are_refused_for_want_of_a_cgroup_alone() {
        for resources in [
            json!({"blockIO": {"weightDevice": [{"major": 8, "minor": 0, "leafWeight": 9}]}}),
            json!({"rdma": {"mlx5_0": {"hcaObjects": 1}}}),
            json!({"cpu": {"quota": 10, "burst": 10}}),
            json!({"cpu": {"quota": -1, "burst": 10}}),
            json!({"memory": {"swap": 6, "limit": 6, "reservation": -1, "disableOOMKiller": false}}),
            json!({"memory": {"swap": -1}}),
            json!({"hugepageLimits": [{"pageSize": "64KB", "limit": 1}, {"pageSize": "1GB", "limit": 1}]}),
            json!({"unified": {"memory.high": "1"}}),
        ] {
            let text = refused("resources", &resources);
            assert_eq!(text.matches("linux.resources.").count(), 1, "{text}");
            assert!(text.contains("rootless needs no limits"), "{text}");
        }
    }
}
