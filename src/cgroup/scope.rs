//! A container's cgroup that the user's systemd makes, a transient scope. It is told those limits that it knows
//! (systemd.resource-control(5)), lest it puts its own in their place; all of them are written to the files besides.
use crate::cpulist;
use crate::error::find;
use crate::plan::resources::Setting;
use crate::state::State;
use crate::systemd::{self, Property, Refusal, Unit, Value};
use anyhow::Result;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Microseconds. systemd keeps a quota in these for each second, and no finer than a hundredth of a processor.
const SECOND: u64 = 1_000_000;
const FINEST: u64 = 10_000;
/// What systemd keeps `memory.oom.group` by.
const OOM_POLICY: &str = "OOMPolicy";

/// Puts the container's first process into the scope `unit`; returns the directory.
///
/// # Errors
/// systemd refuses, or an annotation `org.systemd.property.*` is none that it could take.
pub fn start(unit: &Unit, state: &State, settings: &[Setting]) -> Result<PathBuf> {
    let mut all = with_annotations(properties(settings), &state.annotations)?;
    match systemd::start_scope(unit, &[state.pid], &all) {
        // Before systemd 253 scopes had no such property, and were left alone.
        Err(e) if find::<Refusal>(&e).is_some_and(|refusal| refusal.text.contains(OOM_POLICY)) => {
            all.retain(|property| property.name != OOM_POLICY);
            systemd::start_scope(unit, &[state.pid], &all)
        }
        started => started,
    }
}

/// The limits, and what the annotations add to them. Annotations may be an image's: of a property that both name, and of
/// which systemd would take the last, only the limit is told.
fn with_annotations(limits: Vec<Property>, annotations: &BTreeMap<String, String>) -> Result<Vec<Property>> {
    let mut all = Vec::new();
    for (name, text) in annotations {
        let property = systemd::annotation(name, text)?;
        all.extend(property.filter(|property| !limits.iter().any(|limit| limit.name == property.name)));
    }
    all.extend(limits);
    Ok(all)
}

/// Tells systemd of other limits.
pub fn update(unit: &str, settings: &[Setting]) -> Result<()> {
    let all = properties(settings);
    if all.is_empty() { Ok(()) } else { systemd::set_properties(unit, &all) }
}

fn properties(settings: &[Setting]) -> Vec<Property> {
    settings.iter().flat_map(property).collect()
}

fn property(setting: &Setting) -> Vec<Property> {
    let number = |text: &str| if text == "max" { Some(u64::MAX) } else { text.parse::<u64>().ok() };
    let limit = |name: &str| number(&setting.value).map(|value| Property::new(name, Value::U64(value)));
    let set = |name: &str| cpulist::Set::parse(&setting.value).ok().map(|set| Property::new(name, Value::set(&set)));
    let one = match setting.file.as_str() {
        "memory.max" => limit("MemoryMax"),
        "memory.high" => limit("MemoryHigh"),
        "memory.low" => limit("MemoryLow"),
        "memory.min" => limit("MemoryMin"),
        "memory.swap.max" => limit("MemorySwapMax"),
        // Of systemd's nobody may have none at all.
        "pids.max" if !setting.forbids_clone() => limit("TasksMax"),
        "cpu.weight" => limit("CPUWeight"),
        // Its word for idle (systemd 252).
        "cpu.idle" if setting.value == "1" => Some(Property::new("CPUWeight", Value::U64(0))),
        "cpuset.cpus" => set("AllowedCPUs"),
        "cpuset.mems" => set("AllowedMemoryNodes"),
        "io.weight" => {
            setting.value.strip_prefix("default ").and_then(number).map(|w| Property::new("IOWeight", Value::U64(w)))
        }
        "memory.oom.group" if setting.value == "1" => Some(Property::new(OOM_POLICY, "kill")),
        "cpu.max" => return quota(&setting.value),
        _ => None,
    };
    one.into_iter().collect()
}

fn quota(value: &str) -> Vec<Property> {
    let Some((quota, period)) = value.split_once(' ') else { return Vec::new() };
    let (Ok(period), quota) = (period.parse::<u64>(), quota.parse::<u64>()) else { return Vec::new() };
    let each_second = quota.map_or(u64::MAX, |quota| {
        (quota.saturating_mul(SECOND) / period.max(1)).div_ceil(FINEST).saturating_mul(FINEST)
    });
    [("CPUQuotaPerSecUSec", each_second), ("CPUQuotaPeriodUSec", period)]
        .map(|(name, value)| Property::new(name, Value::U64(value)))
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::resources::settings;
    use serde_json::json;

    #[test]
    fn systemd_is_told_the_limits_that_it_knows() {
        let resources = json!({"memory": {"limit": 100, "swap": -1, "reservation": 5}, "pids": {"limit": 7},
            "cpu": {"quota": 12_345, "period": 50_000, "shares": 1024, "cpus": "0,2", "idle": 0},
            "blockIO": {"weight": 10, "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1}]},
            "unified": {"memory.high": "90", "memory.oom.group": "1"}});
        let told = properties(&settings(&serde_json::from_value(resources).unwrap()));
        let number = |name: &str, value: u64| Property::new(name, Value::U64(value));
        let expected = [
            number("MemorySwapMax", u64::MAX),
            number("MemoryMax", 100),
            number("MemoryLow", 5),
            number("CPUWeight", 100),
            // 24.69 % are 25.
            number("CPUQuotaPerSecUSec", 250_000),
            number("CPUQuotaPeriodUSec", 50_000),
            Property::new("AllowedCPUs", Value::Bytes(vec![5])),
            number("TasksMax", 7),
            number("IOWeight", 1),
            number("MemoryHigh", 90),
            Property::new("OOMPolicy", "kill"),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn no_quota_and_no_process_at_all_are_not_said_as_numbers() {
        let told = |resources| properties(&settings(&serde_json::from_value(resources).unwrap()));
        let quota = told(json!({"cpu": {"quota": -1}}));
        assert_eq!(quota[0], Property::new("CPUQuotaPerSecUSec", Value::U64(u64::MAX)));
        assert_eq!(told(json!({"unified": {"pids.max": "0"}})), []);
    }

    #[test]
    fn an_annotation_adds_to_the_limits_and_changes_none() {
        let limits = properties(&settings(&serde_json::from_value(json!({"memory": {"limit": 1 << 20}})).unwrap()));
        let annotations =
            [("MemoryMax", "uint64 18446744073709551615"), ("CollectMode", "'inactive'"), ("TasksMax", "uint64 7")];
        let annotations =
            annotations.map(|(name, value)| (format!("org.systemd.property.{name}"), value.to_owned())).into();
        let all = with_annotations(limits.clone(), &annotations).unwrap();
        assert!(limits.iter().all(|limit| all.contains(limit)));
        let names: Vec<_> = all.iter().map(|property| property.name.as_str()).collect();
        assert_eq!(names.iter().filter(|name| **name == "MemoryMax").count(), 1, "{names:?}");
        assert!(names.contains(&"CollectMode") && names.contains(&"TasksMax"), "{names:?}");
    }
}
