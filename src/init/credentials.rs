//! Ids, capabilities, limits: what the process gives up before its program runs. Shared by a container's init and
//! `exec`.
use crate::cpulist::Set;
use crate::error::WithHint;
use crate::plan::Process;
use crate::plan::process::{CapabilitySets, capability_names};
use crate::plan::scheduling::Affinity;
use crate::sys::{capability, ioprio, mempolicy, prctl, process, sched};
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::personality::{self, Persona};
use nix::sys::stat::{Mode, umask};

/// Highest number a capability can have in the kernel's 64-bit sets.
const MOST_CAPABILITIES: u8 = 63;

/// Sets umask, limits and processors: what needs no capability and may be set at any time before execve.
pub fn set_limits(plan: &Process) -> Result<()> {
    if let Some(mask) = plan.umask {
        umask(Mode::from_bits_truncate(mask));
    }
    if let Some(domain) = plan.personality {
        personality::set(Persona::from_bits_retain(domain as i32)).context("set the personality")?;
    }
    match &plan.affinity {
        Affinity::All => sched::setaffinity(&[u64::MAX; 16]).context("reset the CPU affinity")?,
        Affinity::Kept => {}
        Affinity::Only(set) => set_affinity("final", set)?,
    }
    if let Some(attr) = &plan.scheduler {
        sched::setattr(attr).context("error setting scheduler").hint(|| {
            "process.scheduler: an ordinary user may raise the nice value and have SCHED_BATCH and SCHED_IDLE; the rest takes limits \
             (`ulimit -e`, `ulimit -r`), SCHED_DEADLINE a right on the host"
        })?;
    }
    if let Some((class, level)) = plan.io_priority {
        ioprio::set(class, level)
            .context("failed to set io priority")
            .hint(|| "process.ioPriority: IOPRIO_CLASS_RT takes CAP_SYS_NICE on the host: use IOPRIO_CLASS_BE with a low number")?;
    }
    if let Some(policy) = &plan.memory_policy {
        let nodes = policy.nodes.as_ref().map_or(&[][..], |set| &set.0);
        mempolicy::set(policy.mode, nodes).context("set the memory policy").hint(|| {
            "linux.memoryPolicy: the nodes have to be there and in your cpuset (/proc/self/status, Mems_allowed_list), and \
             mode and flags ones that this kernel knows together"
        })?;
    }
    for (resource, soft, hard) in &plan.rlimits {
        let name = rlimit_name(*resource);
        process::setrlimit(*resource, *soft, *hard)
            .with_context(|| format!("error setting rlimit type {name} to {soft}:{hard}"))
            .hint(|| {
                format!("process.rlimits: an ordinary user may only lower a hard limit: see `ulimit -H` for {name}")
            })?;
    }
    Ok(())
}

/// Lets the process run on the processors of `set`, the `initial` or `final` one.
pub fn set_affinity(which: &str, set: &Set) -> Result<()> {
    sched::setaffinity(&set.0)
        .with_context(|| format!("error setting {which} CPU affinity"))
        .hint(|| format!("process.execCPUAffinity.{which} has to name a processor that is there and in your cpuset"))
}

/// What the process can do with its ids.
#[derive(Clone, Copy)]
pub struct Rights {
    /// It is in a user namespace of the container's own, where it is root.
    pub own_ids: bool,
    /// There is only one id, and it has it.
    pub only_id: bool,
    /// What it is to be: an init must be dumpable, or its /proc/PID/ns would be closed to its owner; a process that joins a
    /// running container must not, or those in it could look into it before its program runs (CVE-2016-9962).
    pub dumpable: bool,
    /// What it may make effective is given up by `Ready::drop_permitted` only: until then nobody can trace it who has less, or
    /// look into it (ptrace(2), "Ptrace access mode checking").
    pub keep_permitted: bool,
}

/// Changes groups, group and user, then the capability sets. Afterwards the process has no right the configuration
/// does not list, or with `keep_permitted` no effective one: then what is returned is still to be set.
pub fn drop_to(plan: &Process, rights: Rights) -> Result<Option<capability::Sets>> {
    if !rights.own_ids && !nix::unistd::geteuid().is_root() {
        return Ok(None);
    }
    let sets = plan.capabilities;
    let had = capability::get().context("capget")?;
    // Whoever has just come into a new user namespace has all that the kernel knows.
    let known = if rights.only_id { had.permitted } else { u64::MAX };
    drop_bounding(known & !sets.bounding)?;
    if plan.uid != 0 {
        // The change from root to another user would take them all (capabilities(7)).
        prctl::set_keepcaps(true).context("keep the capabilities")?;
    }
    if let Some(groups) = &plan.additional_gids {
        match process::setgroups(groups) {
            // A given user namespace may have it denied, and then there is no group to drop.
            Err(Errno::EPERM) if groups.is_empty() => {}
            other => other.context("set the additional groups")?,
        }
    }
    if rights.only_id {
        return set_capabilities(sets, had, rights.keep_permitted);
    }
    process::setresgid(plan.gid).with_context(|| format!("set gid {}", plan.gid))?;
    process::setresuid(plan.uid).with_context(|| format!("set uid {}", plan.uid))?;
    let later = set_capabilities(sets, had, rights.keep_permitted)?;
    // A change of the kernel's uid or gid has cleared it.
    prctl::set_dumpable(rights.dumpable).context("make the process dumpable")?;
    Ok(later)
}

/// Makes CAP_SYS_ADMIN effective, as far as it is permitted: a seccomp filter takes it. What was effective before is returned.
pub fn raise_for_filter() -> Result<capability::Sets> {
    let now = capability::get().context("capget")?;
    let effective = now.effective | now.permitted & 1 << capability::SYS_ADMIN;
    capability::set(capability::Sets { effective, ..now }).context("capset")?;
    Ok(now)
}

fn drop_bounding(unwanted: u64) -> Result<()> {
    for number in (0..=MOST_CAPABILITIES).filter(|number| unwanted & 1 << number != 0) {
        match capability::drop_bounding(number) {
            Ok(()) => {}
            // The first number that the kernel does not know.
            Err(Errno::EINVAL) => break,
            Err(e) => return Err(e).with_context(|| format!("drop capability {number} from the bounding set")),
        }
    }
    Ok(())
}

/// `had`: before a change of ids, which with PR_SET_KEEPCAPS leaves what is permitted and inheritable.
fn set_capabilities(sets: CapabilitySets, had: capability::Sets, keep: bool) -> Result<Option<capability::Sets>> {
    let permitted = sets.permitted & had.permitted;
    let wanted = capability::Sets {
        permitted,
        effective: sets.effective & permitted,
        inheritable: sets.inheritable & (had.inheritable | sets.bounding),
    };
    let inheritable = sets.inheritable & !wanted.inheritable;
    let missing = (sets.permitted & !permitted) | (sets.effective & !wanted.effective) | inheritable;
    if missing != 0 {
        log::warn!("ignoring unknown or unavailable capabilities: [{}]", capability_names(missing));
    }
    let permitted = if keep { had.permitted } else { wanted.permitted };
    capability::set(capability::Sets { permitted, ..wanted }).context("capset")?;
    // The kernel raises what is both permitted and inheritable (capabilities(7)).
    let possible = sets.ambient & wanted.permitted & wanted.inheritable;
    for number in (0..=MOST_CAPABILITIES).filter(|number| sets.ambient & !possible & 1 << number != 0) {
        // One by one, as in runc, whose users look for it. Where nothing is inheritable nobody meant any to be ambient: the
        // templates of runc and crun have it so.
        let level = if wanted.inheritable == 0 { log::Level::Debug } else { log::Level::Warn };
        let name = capability_names(1 << number);
        log::log!(level, "can't raise ambient capability {name}: it is not both permitted and inheritable");
    }
    // Of a caller who is root of a user namespace already: what he has there survives where uid 0 stays uid 0.
    if wanted.permitted & wanted.inheritable & !possible != 0 {
        capability::clear_ambient().context("clear the ambient capabilities")?;
    }
    for number in (0..=MOST_CAPABILITIES).filter(|number| possible & 1 << number != 0) {
        capability::raise_ambient(number).with_context(|| format!("raise ambient capability {number}"))?;
    }
    Ok((permitted != wanted.permitted).then_some(wanted))
}

fn rlimit_name(resource: u32) -> &'static str {
    const NAMES: [&str; 16] = [
        "RLIMIT_CPU",
        "RLIMIT_FSIZE",
        "RLIMIT_DATA",
        "RLIMIT_STACK",
        "RLIMIT_CORE",
        "RLIMIT_RSS",
        "RLIMIT_NPROC",
        "RLIMIT_NOFILE",
        "RLIMIT_MEMLOCK",
        "RLIMIT_AS",
        "RLIMIT_LOCKS",
        "RLIMIT_SIGPENDING",
        "RLIMIT_MSGQUEUE",
        "RLIMIT_NICE",
        "RLIMIT_RTPRIO",
        "RLIMIT_RTTIME",
    ];
    NAMES.get(resource as usize).copied().unwrap_or("unknown")
}
