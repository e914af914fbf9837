//! Words of `process` and `linux` while the configuration is still JSON: oci-spec's types cannot hold an unknown one, and
//! would refuse it without runc's text; a few of their spellings differ from the specification's.
use crate::cpulist::Set;
use anyhow::{Result, anyhow, bail};
use oci_spec::runtime::{
    IOPriorityClass, LinuxSchedulerPolicy, MemoryPolicyFlagType, MemoryPolicyModeType, PosixRlimitType,
};
use serde_json::Value;

/// The flags that both spell alike.
const SCHEDULER_FLAGS: [&str; 5] = [
    "SCHED_FLAG_RECLAIM",
    "SCHED_FLAG_KEEP_POLICY",
    "SCHED_FLAG_KEEP_PARAMS",
    "SCHED_FLAG_UTIL_CLAMP_MIN",
    "SCHED_FLAG_UTIL_CLAMP_MAX",
];

/// Checks the words of a `Process`.
pub fn process(process: &mut Value) -> Result<()> {
    for limit in process["rlimits"].as_array().into_iter().flatten() {
        if let Some(word) = limit["type"].as_str().filter(|word| word.parse::<PosixRlimitType>().is_err()) {
            bail!("wrong rlimit value: {word}");
        }
    }
    let class = process["ioPriority"].as_object().map(|io| io.get("class").and_then(Value::as_str).unwrap_or_default());
    if let Some(word) = class.filter(|word| word.parse::<IOPriorityClass>().is_err()) {
        bail!("invalid ioPriority.Class: {word:?}");
    }
    affinity(&mut process["execCPUAffinity"])?;
    scheduler(&mut process["scheduler"])
}

/// Checks the words of `linux`.
pub fn linux(linux: &Value) -> Result<()> {
    let Some(policy) = linux["memoryPolicy"].as_object() else { return Ok(()) };
    let word = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let mode = word(policy.get("mode"));
    if mode.parse::<MemoryPolicyModeType>().is_err() {
        bail!("invalid memory policy mode {mode:?}");
    }
    for flag in policy.get("flags").and_then(Value::as_array).into_iter().flatten().map(|flag| word(Some(flag))) {
        if flag.parse::<MemoryPolicyFlagType>().is_err() {
            bail!("invalid memory policy flag {flag:?}");
        }
    }
    Ok(())
}

/// oci-spec takes neither the spaces nor the empty elements that runc allows; an empty list says nothing.
fn affinity(affinity: &mut Value) -> Result<()> {
    let Some(affinity) = affinity.as_object_mut() else { return Ok(()) };
    for (member, name) in [("initial", "Initial"), ("final", "Final")] {
        match affinity.get_mut(member) {
            Some(Value::String(list)) if list.is_empty() => drop(affinity.remove(member)),
            Some(Value::String(list)) => {
                Set::parse(list).map_err(|problem| anyhow!("bad CPUAffinity.{name}: {problem}"))?;
                let elements = list.split(',').map(str::trim).filter(|element| !element.is_empty());
                *list = elements.collect::<Vec<_>>().join(",");
            }
            _ => {}
        }
    }
    Ok(())
}

/// Unknown words, and the two flags that oci-spec spells in its own way.
fn scheduler(scheduler: &mut Value) -> Result<()> {
    if !scheduler.is_object() {
        return Ok(());
    }
    match scheduler["policy"].as_str() {
        None | Some("") => bail!("scheduler policy is required"),
        Some(word) if word.parse::<LinuxSchedulerPolicy>().is_err() => bail!("invalid scheduler policy: {word}"),
        Some(_) => {}
    }
    for flag in scheduler["flags"].as_array_mut().into_iter().flatten() {
        let ours = match flag.as_str() {
            Some("SCHED_FLAG_RESET_ON_FORK") => "SCHED_RESET_ON_FORK",
            Some("SCHED_FLAG_DL_OVERRUN") => "SCHED_FLAG_D_L_OVERRUN",
            Some(word) if !SCHEDULER_FLAGS.contains(&word) => bail!("invalid scheduler flag: {word}"),
            _ => continue,
        };
        *flag = ours.into();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refused(mut value: Value) -> String {
        process(&mut value).unwrap_err().to_string()
    }

    #[test]
    fn an_unknown_limit_is_refused_in_runcs_words() {
        assert_eq!(
            refused(json!({"rlimits": [{"type": "RLIMIT_X", "soft": 1, "hard": 1}]})),
            "wrong rlimit value: RLIMIT_X"
        );
        for known in ["RLIMIT_NOFILE", "RLIMIT_RTTIME", "RLIMIT_AS"] {
            process(&mut json!({"rlimits": [{"type": known}]})).unwrap();
        }
    }

    #[test]
    fn lists_of_processors_are_those_of_runc() {
        let mut value = json!({"execCPUAffinity": {"initial": " 0 , ,2-3,", "final": ""}});
        process(&mut value).unwrap();
        assert_eq!(value["execCPUAffinity"], json!({"initial": "0,2-3"}));
        serde_json::from_value::<oci_spec::runtime::ExecCPUAffinity>(value["execCPUAffinity"].take()).unwrap();
        let message = refused(json!({"execCPUAffinity": {"initial": "a"}}));
        assert_eq!(message, "bad CPUAffinity.Initial: invalid number \"a\"");
    }

    #[test]
    fn unknown_words_of_a_memory_policy_are_refused_in_runcs_words() {
        let text = |policy: Value| linux(&json!({"memoryPolicy": policy})).map_err(|e| e.to_string());
        assert_eq!(text(json!({"mode": "MPOL_X"})), Err("invalid memory policy mode \"MPOL_X\"".into()));
        assert_eq!(text(json!({})), Err("invalid memory policy mode \"\"".into()));
        let flags = json!({"mode": "MPOL_BIND", "flags": ["MPOL_F_STATIC_NODES", "X"]});
        assert_eq!(text(flags), Err("invalid memory policy flag \"X\"".into()));
        assert_eq!(text(Value::Null), Ok(()));
    }

    #[test]
    fn an_unknown_class_of_disk_access_is_refused() {
        assert_eq!(refused(json!({"ioPriority": {"class": "X"}})), "invalid ioPriority.Class: \"X\"");
        assert_eq!(refused(json!({"ioPriority": {"priority": 1}})), "invalid ioPriority.Class: \"\"");
        process(&mut json!({"ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 1}})).unwrap();
    }

    #[test]
    fn every_scheduler_flag_of_the_specification_gets_through() {
        for flag in SCHEDULER_FLAGS.iter().chain(&["SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_DL_OVERRUN"]) {
            let mut value = json!({"scheduler": {"policy": "SCHED_OTHER", "flags": [flag]}});
            process(&mut value).unwrap();
            serde_json::from_value::<oci_spec::runtime::Scheduler>(value["scheduler"].take()).unwrap();
        }
        let with = |scheduler: Value| refused(json!({"scheduler": scheduler}));
        assert_eq!(with(json!({"nice": 1})), "scheduler policy is required");
        assert_eq!(with(json!({"policy": "SCHED_X"})), "invalid scheduler policy: SCHED_X");
        assert_eq!(with(json!({"policy": "SCHED_OTHER", "flags": ["X"]})), "invalid scheduler flag: X");
    }
}
