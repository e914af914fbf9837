//! The OCI configuration of a sandbox.
use super::caller::{Caller, hard_limit};
use super::layers::Layers;
use super::policy::Decided;
use super::profile::BASE;
use super::view::View;
use super::written::Written;
use super::{Choice, environment, etc, foreign, quotas, real_path, text};
use crate::bytes;
use crate::cli::SandboxArgs;
use crate::error::{WithHint, hint_of, with_hint};
use crate::plan::landlock::LANDLOCK;
use crate::plan::{COVERS, KEEP_STREAMS, MEMORY, NO_LINKS, NO_NAMES, REAPER, SURE_MASKS, TIMEOUT};
use crate::seccomp::profiles;
use anyhow::{Context, Result, anyhow, bail};
use nix::sys::resource::Resource;
use oci_spec::runtime::LinuxSeccomp;
use serde_json::{Map, Value, json};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Who the program is inside.
pub struct Inside<'a> {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Login name.
    pub name: &'a str,
}

/// The whole of config.json.
pub fn config(args: &SandboxArgs, caller: &Caller, choice: &Choice, view: &View, inside: &Inside) -> Result<Value> {
    let command: Vec<_> = args.command.iter().map(|arg| bytes::text(arg.as_bytes())).collect();
    let env = environment::variables(&args.environment, choice, caller, inside.name)?;
    let has_bytes = command.iter().chain(&env).any(|text| bytes::has_bytes(text));
    let cwd = working_directory(args, caller, view);
    // JSON has no other bytes.
    for path in view.given().chain([cwd.as_path()]) {
        text("path", path.as_os_str())?;
    }
    let (mounts, masked) = view.mounts()?;
    if args.files.chdir.is_some() {
        Layers::of(&mounts).check_start(&cwd)?;
    }
    let mut namespaces: Vec<_> =
        ["pid", "ipc", "uts", "mount", "cgroup", "user"].map(|kind| json!({"type": kind})).into();
    if !view.host_network() {
        namespaces.push(json!({"type": "network"}));
    }
    let capabilities = capabilities(args, choice)?;
    let mut config = json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": caller.terminal,
            "user": {"uid": inside.uid, "gid": inside.gid, "umask": caller.umask},
            "args": command,
            "env": env,
            "cwd": cwd,
            "capabilities": {
                "bounding": capabilities, "effective": capabilities, "inheritable": capabilities,
                "permitted": capabilities, "ambient": capabilities
            },
            "rlimits": rlimits(args, choice)?,
            "noNewPrivileges": true
        },
        "root": {"path": "rootfs", "readonly": true},
        "hostname": args.environment.hostname.as_deref().unwrap_or(etc::HOSTNAME),
        "annotations": annotations(choice),
        "mounts": mounts,
        "linux": {
            "namespaces": namespaces,
            // What the host mounts later, below anything that is shown, stays outside.
            "rootfsPropagation": "rprivate",
            "uidMappings": [{"containerID": inside.uid, "hostID": caller.uid, "size": 1}],
            "gidMappings": [{"containerID": inside.gid, "hostID": caller.gid, "size": 1}],
            "devices": choice.sockets.devices,
            "seccomp": seccomp(args, choice)?,
            "sysctl": quotas::parameters(),
            "maskedPaths": kernel_paths().chain(masked).collect::<Vec<_>>(),
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
        }
    });
    if has_bytes {
        config["annotations"][bytes::BYTES] = json!("true");
    }
    if let Some(resources) = choice.tier.resources(&choice.policy.bounds) {
        config["linux"]["resources"] = serde_json::to_value(resources)?;
    }
    Ok(config)
}

fn working_directory(args: &SandboxArgs, caller: &Caller, view: &View) -> PathBuf {
    match &args.files.chdir {
        Some(dir) => {
            let dir = caller.cwd.join(dir);
            // By whatever links the user knows it.
            match real_path(&dir) {
                Some(real) if view.shows(&real) => real,
                _ => view.through_links(&dir),
            }
        }
        None if view.shows(&caller.cwd) => caller.cwd.clone(),
        None => view.home.to_owned(),
    }
}

/// What OCI has no word for.
fn annotations(choice: &Choice) -> Map<String, Value> {
    let mut all = Map::new();
    for name in [REAPER, KEEP_STREAMS, SURE_MASKS, NO_LINKS] {
        all.insert(name.to_owned(), json!("true"));
    }
    if super::answers_names(choice) {
        all.insert(NO_NAMES.to_owned(), json!("true"));
    }
    // In a mount namespace of its own the program is not covered again.
    let covers = if choice.policy.user_namespaces.is_none() { "again" } else { "end" };
    all.insert(COVERS.to_owned(), json!(covers));
    // With rules for files nobody inside may mount anything, which is what own namespaces are for.
    let files = if choice.policy.user_namespaces.is_none() { "files," } else { "" };
    all.insert(LANDLOCK.to_owned(), json!(format!("{files}abstract-sockets,signals")));
    let bounds = &choice.policy.bounds;
    let watched = bounds.memory.as_ref().filter(|_| !choice.tier.is_cgroup());
    for (name, bound) in [(MEMORY, watched), (TIMEOUT, bounds.time.as_ref())] {
        if let Some(bound) = bound {
            all.insert(name.to_owned(), json!(bound.value.to_string()));
        }
    }
    all
}

fn capabilities(args: &SandboxArgs, choice: &Choice) -> Result<Vec<String>> {
    let named = |name: &String| {
        let upper = name.to_ascii_uppercase();
        if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") }
    };
    let dropped: Vec<String> = args.rights.cap_drop.iter().map(named).collect();
    let added = choice.policy.capabilities.iter().map(|rule| named(&rule.value));
    let all: Vec<String> = added.filter(|name| !dropped.contains(name)).collect();
    if all.iter().any(|name| name == "CAP_ALL") {
        bail!("--cap-add: name the capabilities one by one");
    }
    Ok(all)
}

/// Docker's `--security-opt`, else the profile of the policy; with user namespaces if they are wanted.
fn seccomp(args: &SandboxArgs, choice: &Choice) -> Result<LinuxSeccomp> {
    let mut filter = None;
    for option in &args.rights.security_opt {
        filter = match option.split_once(['=', ':']) {
            Some(("seccomp", "unconfined")) => {
                return Err(anyhow!("--security-opt {option}: a sandbox always has a filter"))
                    .hint(|| "seccomp=default is the widest profile there is");
            }
            Some(("seccomp", value)) => {
                Some(named_filter(value, &choice.written).with_context(|| format!("--security-opt {option}"))?)
            }
            None if option.starts_with("no-new-privileges") => filter,
            Some(("no-new-privileges", "true")) => filter,
            _ => {
                return Err(anyhow!("--security-opt {option} is not known"))
                    .hint(|| "seccomp=FILE, seccomp=NAME and no-new-privileges are");
            }
        };
    }
    let mut filter = match filter {
        Some(filter) => filter,
        None => profiles::parsed(choice.policy.seccomp().name()).context("no such seccomp profile")?,
    };
    if choice.policy.user_namespaces.is_some() {
        profiles::allow_namespaces(&mut filter);
    }
    Ok(filter)
}

fn named_filter(value: &str, written: &Written) -> Result<LinuxSeccomp> {
    if let Some(filter) = profiles::parsed(value) {
        return Ok(filter);
    }
    let text = foreign::given_text(Path::new(value), written).map_err(|error| match hint_of(&error) {
        Some(_) => error,
        None => with_hint(error, "`rrunc profile ls` lists the profiles that come with rrunc"),
    })?;
    Ok(serde_json::from_str(&text)?)
}

/// Resource limits, none above what the caller has.
fn rlimits(args: &SandboxArgs, choice: &Choice) -> Result<Value> {
    let mut all: Vec<(String, u64, u64)> = core_limit()?;
    let bounds = &choice.policy.bounds;
    let mut bound = |name: &str, resource, bound: Option<&Decided<u64>>, more: u64| -> Result<()> {
        let Some(bound) = bound else { return Ok(()) };
        let value = bound.value.saturating_add(more);
        let value = hard_limit(resource)?.map_or(value, |hard| hard.min(value));
        all.push((name.to_owned(), value, value));
        Ok(())
    };
    // The reaper counts as one.
    bound("RLIMIT_NPROC", Resource::RLIMIT_NPROC, bounds.processes.as_ref(), 1)?;
    bound("RLIMIT_FSIZE", Resource::RLIMIT_FSIZE, bounds.file_size.as_ref(), 0)?;
    let open_files = match &bounds.open_files {
        None => quotas::open_files()?.map(|value| Decided { value, from: String::new() }),
        decided => decided.clone(),
    };
    bound("RLIMIT_NOFILE", Resource::RLIMIT_NOFILE, open_files.as_ref(), 0)?;
    // Of a single process, and at once: what all of them have is watched. A cgroup needs no such help, and counts only
    // what is used. Nor is this for the default, which only keeps the machine alive: address sanitizers reserve more than
    // any machine has.
    let watched = bounds.memory.as_ref().filter(|memory| !choice.tier.is_cgroup() && memory.from != BASE);
    bound("RLIMIT_DATA", Resource::RLIMIT_DATA, watched, 0)?;
    all.extend(quotas::shared()?.into_iter().map(|(name, value)| (name, value, value)));
    for text in &args.limits.ulimit {
        let limit = ulimit(text).with_context(|| format!("--ulimit {text}"))?;
        all.retain(|(known, ..)| *known != limit.0);
        all.push(limit);
    }
    Ok(all.into_iter().map(|(kind, soft, hard)| json!({"type": kind, "soft": soft, "hard": hard})).collect())
}

/// 1, not 0: a core handler behind a pipe is stopped by a soft limit of 1 only (core(5)).
fn core_limit() -> Result<Vec<(String, u64, u64)>> {
    if hard_limit(Resource::RLIMIT_CORE)? != Some(0) {
        return Ok(vec![("RLIMIT_CORE".to_owned(), 1, 1)]);
    }
    if fs::read("/proc/sys/kernel/core_pattern").is_ok_and(|pattern| pattern.starts_with(b"|")) {
        log::warn!("`ulimit -Hc 0` does not stop this host's core handler from reading the program's memory, 1 does");
    }
    Ok(Vec::new())
}

/// Docker's `TYPE=SOFT[:HARD]`.
fn ulimit(text: &str) -> Result<(String, u64, u64)> {
    let usage = "write it as nofile=1024 or nofile=1024:2048";
    let (kind, values) = text.split_once('=').context(usage)?;
    let number = |text: &str| match text {
        "unlimited" | "-1" => Ok(u64::MAX),
        _ => text.parse::<u64>().context(usage),
    };
    let (soft, hard) = values.split_once(':').unwrap_or((values, values));
    Ok((format!("RLIMIT_{}", kind.to_ascii_uppercase()), number(soft)?, number(hard)?))
}

/// What of the kernel's file systems is masked.
fn kernel_paths() -> impl Iterator<Item = PathBuf> {
    KERNEL.iter().map(PathBuf::from)
}

/// All that `spec` masks, and more.
const KERNEL: [&str; 14] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/key-users",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/cgroup",
];

#[cfg(test)]
mod tests {
    use super::KERNEL;

    #[test]
    fn what_spec_masks_is_masked() {
        let spec = include_str!("../../profiles/config.json.in");
        let masked = spec.split_once("\"maskedPaths\": [").unwrap().1.split_once(']').unwrap().0;
        let masked: Vec<_> = masked.split('"').filter(|part| part.starts_with('/')).collect();
        assert!(masked.len() > 10);
        for path in masked {
            assert!(KERNEL.contains(&path), "{path}");
        }
    }
}
