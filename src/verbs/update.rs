//! `update`: other limits for a container that runs. What is not named keeps its value, and one refused value leaves all
//! of them as they were.
use super::Outcome;
use super::kill::not_running;
use crate::bundle::Bundle;
use crate::cgroup::{limits, place, scope};
use crate::cli::{Global, UpdateArgs};
use crate::error::WithHint;
use crate::plan;
use crate::plan::resources::Setting;
use crate::quantity;
use crate::state::{Container, Root, State, Status};
use anyhow::{Context, Result, anyhow};
use oci_spec::runtime::LinuxResources;
use serde_json::{Map, Value, json};
use std::io::Read;
use std::path::Path;

/// Runs the verb.
pub fn run(global: &Global, args: &UpdateArgs) -> Result<Outcome> {
    let asked = match &args.resources {
        Some(path) => read(path).with_context(|| format!("--resources {}", path.display()))?,
        None => from_options(args)?,
    };
    let container = Root::open(global.root.as_deref())?.lock(&args.id)?;
    let mut state = container.load()?;
    if container.status(&state)? == Status::Stopped {
        return Err(not_running(&args.id));
    }
    let before = current(&container, &state)?;
    let decided = decide(before.clone(), &asked);
    let (resources, settings) = match &args.resources {
        Some(path) => decided.with_context(|| format!("--resources {}", path.display()))?,
        None => decided?,
    };
    if settings.is_empty() {
        return Ok(Outcome::default());
    }
    let Some(dir) = state.cgroup.clone() else {
        return Err(anyhow!("cannot set limits: the container has no cgroup of its own"))
            .hint(|| "it has one when it is started by `systemd-run --user --scope -p Delegate=yes`, or with a limit");
    };
    if resources.memory().is_some_and(|memory| memory.check_before_update() == Some(true)) {
        limits::check_memory(&dir, &settings)?;
    }
    set(&state, &dir, settings, &before).with_context(|| format!("set the limits of {}", args.id))?;
    state.resources = Some(resources);
    container.store(&state)?;
    Ok(Outcome::default())
}

fn set(state: &State, dir: &Path, settings: Vec<Setting>, before: &LinuxResources) -> Result<()> {
    match &state.scope {
        Some(unit) => {
            // The kernel first: what it refuses systemd may take and fail to set later.
            limits::set(dir, dir, &settings)?;
            let told = scope::update(unit, &settings);
            // And again: for one property systemd writes others anew.
            let kept = if told.is_ok() { settings } else { plan::resources::settings(before) };
            limits::set(dir, dir, &kept).and(told)
        }
        None => limits::set(&place::top(dir), dir, &settings),
    }
}

/// The limits it has now.
fn current(container: &Container, state: &State) -> Result<LinuxResources> {
    if let Some(resources) = &state.resources {
        return Ok(resources.clone());
    }
    let config = Bundle::parse(state.bundle.clone(), container.config()?)?;
    Ok(config.spec.linux().as_ref().and_then(|linux| linux.resources().clone()).unwrap_or_default())
}

/// What the limits are afterwards, and what has to be written for it: all of each member that is touched, since one value
/// of it means another beside it.
fn decide(current: LinuxResources, asked: &Value) -> Result<(LinuxResources, Vec<Setting>)> {
    let _: LinuxResources = serde_path_to_error::deserialize(asked)?;
    let mut all = serde_json::to_value(current)?;
    if asked["memory"]["limit"] == json!(-1) && asked["memory"]["swap"].is_null() {
        // What is left of the swap without a limit of memory is no limit.
        all["memory"].as_object_mut().map(|memory| memory.remove("swap"));
    }
    merge(&mut all, asked);
    let resources: LinuxResources = serde_path_to_error::deserialize(all)?;
    let mut settings = plan::limits::update(&resources)?;
    settings.retain(|setting| setting.member.split(['.', '[']).next().is_some_and(|name| asked.get(name).is_some()));
    Ok((resources, settings))
}

/// Puts the members of `with` over those of `value`.
fn merge(value: &mut Value, with: &Value) {
    match (value, with) {
        (Value::Object(value), Value::Object(with)) => {
            for (name, member) in with.iter().filter(|(_, member)| !member.is_null()) {
                merge(value.entry(name).or_insert(Value::Null), member);
            }
        }
        (value, with) => *value = with.clone(),
    }
}

/// Of a file, or with `-` of stdin. Device rules are never touched.
fn read(path: &Path) -> Result<Value> {
    let mut text = String::new();
    if path == Path::new("-") {
        std::io::stdin().read_to_string(&mut text)?;
    } else {
        text = std::fs::read_to_string(path)?;
    }
    let mut value: Value = serde_json::from_str(&text)?;
    value.as_object_mut().context("no JSON object with members of linux.resources")?.remove("devices");
    Ok(value)
}

fn from_options(args: &UpdateArgs) -> Result<Value> {
    if args.l3_cache_schema.is_some() || args.mem_bw_schema.is_some() {
        return Err(anyhow!("intelRdt: resctrl can only be used by root"))
            .hint(|| "leave out --l3-cache-schema and --mem-bw-schema");
    }
    if args.kernel_memory.is_some() || args.kernel_memory_tcp.is_some() {
        log::warn!("--kernel-memory and --kernel-memory-tcp are ignored: the kernel has no such limit");
    }
    let cpu = [
        ("shares", args.cpu_share.map(Value::from)),
        ("quota", args.cpu_quota.map(Value::from)),
        ("period", args.cpu_period.map(Value::from)),
        ("burst", args.cpu_burst.map(Value::from)),
        ("realtimePeriod", args.cpu_rt_period.map(Value::from)),
        ("realtimeRuntime", args.cpu_rt_runtime.map(Value::from)),
        ("cpus", args.cpuset_cpus.clone().map(Value::from)),
        ("mems", args.cpuset_mems.clone().map(Value::from)),
        ("idle", args.cpu_idle.map(Value::from)),
    ];
    let memory = [
        ("limit", bytes("memory", &args.memory)?),
        ("reservation", bytes("memory-reservation", &args.memory_reservation)?),
        ("swap", bytes("memory-swap", &args.memory_swap)?),
    ];
    let named = |members: &[(&str, Option<Value>)]| -> Map<String, Value> {
        members.iter().filter_map(|(name, value)| Some(((*name).to_owned(), value.clone()?))).collect()
    };
    let mut all = Map::new();
    let pids = [("limit", args.pids_limit.map(Value::from))];
    let io = [("weight", args.blkio_weight.map(Value::from))];
    for (name, members) in
        [("cpu", named(&cpu)), ("memory", named(&memory)), ("pids", named(&pids)), ("blockIO", named(&io))]
    {
        if !members.is_empty() {
            all.insert(name.to_owned(), members.into());
        }
    }
    Ok(all.into())
}

fn bytes(option: &str, text: &Option<String>) -> Result<Option<Value>> {
    let number = |text: &String| match text.as_str() {
        "-1" => Ok(-1),
        size => quantity::size(size).and_then(|bytes| Ok(i64::try_from(bytes)?)),
    };
    let value = text.as_ref().map(number).transpose().with_context(|| format!("invalid value for {option}"))?;
    Ok(value.map(Value::from))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::one_line;

    fn written(current: Value, asked: Value) -> Result<Vec<String>> {
        let (_, settings) = decide(serde_json::from_value(current).unwrap(), &asked)?;
        Ok(settings.into_iter().map(|setting| format!("{} {}", setting.file, setting.value)).collect())
    }

    #[test]
    fn what_is_not_named_keeps_its_value() {
        let cpu = json!({"cpu": {"quota": 500, "period": 2000, "shares": 1024}, "pids": {"limit": 5}});
        assert_eq!(
            written(cpu.clone(), json!({"cpu": {"period": 1000}})).unwrap(),
            ["cpu.weight 100", "cpu.max 500 1000"]
        );
        assert_eq!(written(cpu.clone(), json!({"pids": {"limit": 9}})).unwrap(), ["pids.max 9"]);
        assert_eq!(written(cpu.clone(), json!({"cpu": {"cpus": "0"}})).unwrap()[2..], ["cpuset.cpus 0"]);
        assert_eq!(written(cpu, json!({})).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn swap_follows_the_memory() {
        let memory = json!({"memory": {"limit": 100, "swap": 300}});
        let written = |asked| written(memory.clone(), asked);
        assert_eq!(written(json!({"memory": {"limit": 200}})).unwrap(), ["memory.swap.max 100", "memory.max 200"]);
        assert_eq!(written(json!({"memory": {"swap": 150}})).unwrap(), ["memory.swap.max 50", "memory.max 100"]);
        assert_eq!(written(json!({"memory": {"limit": -1}})).unwrap(), ["memory.swap.max max", "memory.max max"]);
        let error = written(json!({"memory": {"limit": 400}})).unwrap_err();
        assert!(one_line(&error).contains("memory+swap limit should be >= memory limit"), "{}", one_line(&error));
    }

    #[test]
    fn what_is_no_limit_is_refused_by_its_name() {
        let refused = |asked| one_line(&written(json!({}), asked).unwrap_err());
        assert!(refused(json!({"memory": {"limit": "1g"}})).contains("memory.limit: invalid type"));
        assert!(refused(json!({"cpu": {"realtimeRuntime": 5}})).contains("cpu.realtimeRuntime: cgroup v2 has no such"));
        assert!(refused(json!({"unified": {"cgroup.procs": "1"}})).contains("unified.cgroup.procs: is no limit"));
        assert_eq!(
            one_line(&bytes("memory", &Some("1x".into())).unwrap_err()).split(':').next(),
            Some("invalid value for memory")
        );
        assert_eq!(bytes("memory", &Some("2k".into())).unwrap(), Some(json!(2048)));
    }
}
