//! The words of a profile that is still JSON: oci-spec's types cannot hold an unknown one, and say so without runc's text.
use anyhow::{Context, Result, ensure};
use oci_spec::runtime::{Arch, LinuxSeccompAction, LinuxSeccompFilterFlag, LinuxSeccompOperator};
use serde_json::Value;
use std::str::FromStr;

/// Checks flags, architectures, actions and operators of `linux.seccomp`. False when the profile says nothing: as in
/// runc, one without default action and syscalls means no seccomp, and must not reach oci-spec's parser.
pub fn check(profile: &Value) -> Result<bool> {
    let action = profile["defaultAction"].as_str().unwrap_or_default();
    let syscalls = array(&profile["syscalls"]);
    if action.is_empty() && syscalls.is_empty() {
        return Ok(false);
    }
    for flag in strings(&profile["flags"]) {
        ensure!(known::<LinuxSeccompFilterFlag>(flag), "seccomp flag {flag} is not known to runc");
    }
    for arch in strings(&profile["architectures"]) {
        ensure!(known::<Arch>(arch), "string {arch} is not a valid arch for seccomp");
    }
    check_action(action).context("seccomp defaultAction")?;
    for (index, entry) in syscalls.iter().enumerate() {
        check_entry(entry).with_context(|| format!("seccomp syscalls[{index}]"))?;
    }
    Ok(true)
}

fn check_entry(entry: &Value) -> Result<()> {
    check_action(entry["action"].as_str().unwrap_or_default())?;
    for operator in array(&entry["args"]).iter().filter_map(|arg| arg["op"].as_str()) {
        ensure!(known::<LinuxSeccompOperator>(operator), "string {operator} is not a valid operator for seccomp");
    }
    Ok(())
}

fn check_action(action: &str) -> Result<()> {
    ensure!(known::<LinuxSeccompAction>(action), "string {action} is not a valid action for seccomp");
    Ok(())
}

fn known<T: FromStr>(word: &str) -> bool {
    word.parse::<T>().is_ok()
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn strings(value: &Value) -> impl Iterator<Item = &str> {
    array(value).iter().filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::one_line;
    use serde_json::json;

    #[test]
    fn unknown_words_are_refused_in_runcs_words() {
        let with = |key: &str, value: Value| {
            let mut profile = json!({"defaultAction": "SCMP_ACT_ALLOW"});
            profile[key] = value;
            check(&profile).map_err(|e| one_line(&e))
        };
        assert_eq!(with("flags", json!(["SECCOMP_FILTER_FLAG_LOG"])), Ok(true));
        assert_eq!(with("flags", json!(["FOO"])), Err("seccomp flag FOO is not known to runc".into()));
        assert_eq!(with("architectures", json!(["PDP11"])), Err("string PDP11 is not a valid arch for seccomp".into()));
        let message = "seccomp defaultAction: string X is not a valid action for seccomp";
        assert_eq!(with("defaultAction", json!("X")), Err(message.into()));
        let entry =
            json!([{"names": ["read"], "action": "SCMP_ACT_LOG", "args": [{"index": 0, "value": 0, "op": "X"}]}]);
        let message = "seccomp syscalls[0]: string X is not a valid operator for seccomp";
        assert_eq!(with("syscalls", entry), Err(message.into()));
    }

    #[test]
    fn an_empty_profile_is_none() {
        for profile in [json!({}), Value::Null, json!({"defaultAction": "", "syscalls": []})] {
            assert!(!check(&profile).unwrap(), "{profile}");
        }
        assert!(check(&json!({"syscalls": [{"names": ["read"], "action": "SCMP_ACT_LOG"}]})).is_err());
    }
}
