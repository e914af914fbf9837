//! The program and the state it starts in (config.md, "Process"); shared by `run`, `create` and `exec`.
use super::Findings;
use super::ids::View;
use super::labels::{self, Labels};
use super::mempolicy::{self, MemoryPolicy};
use super::scheduling;
use crate::bytes;
use crate::host::Modules;
use crate::seccomp::{self, Filter};
use crate::sys::{ioprio, sched};
use oci_spec::runtime::{
    self, Capabilities, Capability, Linux, LinuxPersonality, LinuxPersonalityDomain, LinuxSeccomp, PosixRlimitType,
};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;

/// What an entry of an environment has to be.
pub(super) const NAME_AND_VALUE: &str = "write each variable as NAME=value";

/// The program and the state it starts in.
#[derive(Debug, Clone)]
pub struct Process {
    /// argv; at least one entry.
    pub args: Vec<CString>,
    /// The whole environment, each name once. HOME is completed inside, where /etc/passwd is.
    pub env: Vec<CString>,
    /// Absolute working directory.
    pub cwd: CString,
    /// No link is to be on the way there.
    pub real_cwd: bool,
    /// On a pseudoterminal of its own.
    pub terminal: bool,
    /// Rows and columns of that.
    pub console_size: Option<(u16, u16)>,
    /// User id inside.
    pub uid: u32,
    /// Group id inside.
    pub gid: u32,
    /// Supplementary groups; none where setgroups is denied.
    pub additional_gids: Option<Vec<u32>>,
    /// File mode creation mask; none to leave the caller's.
    pub umask: Option<u32>,
    /// The five sets.
    pub capabilities: CapabilitySets,
    /// no_new_privs.
    pub no_new_privs: bool,
    /// RLIMIT_*, soft, hard.
    pub rlimits: Vec<(u32, u64, u64)>,
    /// Scheduling policy.
    pub scheduler: Option<sched::Attr>,
    /// On which processors it runs.
    pub affinity: scheduling::Affinity,
    /// Class and level of disk access.
    pub io_priority: Option<(ioprio::Class, u8)>,
    /// From which nodes its memory comes.
    pub memory_policy: Option<MemoryPolicy>,
    /// /proc/PID/oom_score_adj.
    pub oom_score_adj: Option<i32>,
    /// Execution domain (personality(2)).
    pub personality: Option<u64>,
    /// What it is labelled with.
    pub labels: Labels,
    /// Compiled filter.
    pub seccomp: Option<Filter>,
}

impl Process {
    /// Whether rrunc has to hand on what is its own, a terminal or a seccomp listener, before its program runs.
    pub fn asks(&self) -> bool {
        self.terminal || self.seccomp.as_ref().is_some_and(|filter| filter.listener.is_some())
    }

    /// Whether its filter may refuse the calls by which it would say that its program could not be executed.
    pub fn hides_failure(&self) -> bool {
        self.seccomp.as_ref().is_some_and(|filter| filter.hides_failure)
    }
}

/// Capability sets as bit masks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CapabilitySets {
    /// Upper bound of what execve can give.
    pub bounding: u64,
    /// In force.
    pub effective: u64,
    /// May become effective.
    pub permitted: u64,
    /// Survive execve of a file that has them.
    pub inheritable: u64,
    /// Survive every execve.
    pub ambient: u64,
}

pub(super) fn plan(
    process: &runtime::Process,
    linux: Option<&Linux>,
    view: &View,
    modules: Modules,
    extra_env: &[String],
    findings: &mut Findings,
) -> Option<Process> {
    let user = process.user();
    if !view.has_uid(user.uid()) {
        let problem = format!("cannot setuid to unmapped uid {} in user namespace", user.uid());
        findings.mendable("process.user.uid", problem, view.uids_to_name());
    }
    if !view.has_gid(user.gid()) {
        let problem = format!("cannot setgid to unmapped gid {} in user namespace", user.gid());
        findings.mendable("process.user.gid", problem, view.gids_to_name());
    }
    let args = process.args().as_ref().map_or(&[][..], Vec::as_slice);
    if args.is_empty() {
        findings.mendable("process.args", "args must not be empty", "name the program to run: [\"sh\", \"-c\", \"…\"]");
    }
    let args = c_strings("process.args", args, findings);
    let cwd = process.cwd();
    if cwd.as_os_str().is_empty() {
        findings.problem("process.cwd", "Cwd property must not be empty");
    } else if !cwd.is_absolute() {
        findings.problem("process.cwd", format!("Cwd must be an absolute path, and {cwd:?} is not"));
    }
    let capabilities = process.capabilities().as_ref().map(capability_sets).unwrap_or_default();
    Some(Process {
        args,
        env: environment(process.env().as_ref().map_or(&[][..], Vec::as_slice), extra_env, findings),
        cwd: c_strings("process.cwd", &[bytes::text(cwd.as_os_str().as_bytes())], findings).pop()?,
        real_cwd: false,
        terminal: process.terminal().unwrap_or(false),
        console_size: console_size(process, findings),
        uid: user.uid(),
        gid: user.gid(),
        additional_gids: additional_gids(user, view, findings),
        umask: umask(user, findings),
        capabilities,
        no_new_privs: process.no_new_privileges().unwrap_or(false),
        rlimits: rlimits(process, findings),
        scheduler: process.scheduler().as_ref().map(|s| scheduling::scheduler(s, findings)),
        // That of execCPUAffinity is for `exec` alone.
        affinity: scheduling::Affinity::All,
        io_priority: process.io_priority().as_ref().and_then(|p| scheduling::io_priority(p, findings)),
        memory_policy: linux.and_then(|l| l.memory_policy().as_ref()).and_then(|p| mempolicy::plan(p, findings)),
        oom_score_adj: oom_score_adj(process, findings),
        personality: linux.and_then(|l| l.personality().as_ref()).map(|p| personality(p, findings)),
        labels: labels::plan(process, modules, findings),
        seccomp: compile(linux.and_then(|l| l.seccomp().as_ref()), findings),
    })
}

/// Without a terminal it means nothing (config.md, "consoleSize"); nor does a side of 0.
fn console_size(process: &runtime::Process, findings: &mut Findings) -> Option<(u16, u16)> {
    let size = process.console_size().filter(|_| process.terminal().unwrap_or(false))?;
    let mut side = |name: &str, value: u64| {
        let side = u16::try_from(value).ok();
        if side.is_none() {
            let problem = format!("{value} is more than the 65535 that a terminal can have");
            findings.problem(&format!("process.consoleSize.{name}"), problem);
        }
        side.filter(|side| *side > 0)
    };
    let (height, width) = (side("height", size.height()), side("width", size.width()));
    height.zip(width)
}

fn oom_score_adj(process: &runtime::Process, findings: &mut Findings) -> Option<i32> {
    let score = process.oom_score_adj();
    if let Some(score) = score.filter(|score| !(-1000..=1000).contains(score)) {
        findings.problem("process.oomScoreAdj", format!("{score} is not from -1000 to 1000"));
    }
    score
}

fn umask(user: &runtime::User, findings: &mut Findings) -> Option<u32> {
    let mask = user.umask();
    if let Some(mask) = mask.filter(|mask| *mask > 0o777) {
        findings.problem("process.user.umask", format!("{mask} (0o{mask:o}) has other bits than those of 0o777"));
    }
    mask
}

fn c_strings(path: &str, list: &[String], findings: &mut Findings) -> Vec<CString> {
    let mut all = Vec::with_capacity(list.len() + 1);
    for text in list {
        match CString::new(bytes::of(text)) {
            Ok(text) => all.push(text),
            Err(_) => findings.problem(path, format!("{text:?} holds a NUL byte")),
        }
    }
    all
}

/// Of entries with one name the last wins, in the place of the first.
fn environment(env: &[String], extra: &[String], findings: &mut Findings) -> Vec<CString> {
    let mut entries: Vec<&String> = Vec::with_capacity(env.len() + extra.len());
    for entry in env.iter().chain(extra) {
        let Some((name, _)) = entry.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            let problem = format!("invalid environment variable: missing '=' in {entry:?}");
            findings.mendable("process.env", problem, NAME_AND_VALUE);
            continue;
        };
        match entries.iter_mut().find(|old| old.split_once('=').is_some_and(|(old, _)| old == name)) {
            Some(old) => *old = entry,
            None => entries.push(entry),
        }
    }
    let entries: Vec<String> = entries.into_iter().cloned().collect();
    c_strings("process.env", &entries, findings)
}

fn additional_gids(user: &runtime::User, view: &View, findings: &mut Findings) -> Option<Vec<u32>> {
    let gids = user.additional_gids().clone().unwrap_or_default();
    if !view.setgroups() {
        if !gids.is_empty() {
            let problem = "cannot set any additional groups in a rootless container with a single group id";
            let hint = "leave them out, or map more than one id in linux.gidMappings, from a range in /etc/subgid";
            findings.mendable("process.user.additionalGids", problem, hint);
        }
        return None;
    }
    for gid in gids.iter().filter(|gid| !view.has_gid(**gid)) {
        let problem = format!("cannot set unmapped gid {gid}");
        findings.mendable("process.user.additionalGids", problem, view.gids_to_name());
    }
    Some(gids)
}

/// All capabilities; each one's place is its number in linux/capability.h.
const CAPABILITIES: [Capability; 41] = {
    use Capability::*;
    [
        Chown,
        DacOverride,
        DacReadSearch,
        Fowner,
        Fsetid,
        Kill,
        Setgid,
        Setuid,
        Setpcap,
        LinuxImmutable,
        NetBindService,
        NetBroadcast,
        NetAdmin,
        NetRaw,
        IpcLock,
        IpcOwner,
        SysModule,
        SysRawio,
        SysChroot,
        SysPtrace,
        SysPacct,
        SysAdmin,
        SysBoot,
        SysNice,
        SysResource,
        SysTime,
        SysTtyConfig,
        Mknod,
        Lease,
        AuditWrite,
        AuditControl,
        Setfcap,
        MacOverride,
        MacAdmin,
        Syslog,
        WakeAlarm,
        BlockSuspend,
        AuditRead,
        Perfmon,
        Bpf,
        CheckpointRestore,
    ]
};

/// The names of the capabilities in a mask, as the configuration has them, for messages.
pub fn capability_names(mask: u64) -> String {
    let names = CAPABILITIES.iter().enumerate().filter(|(number, _)| mask & 1 << number != 0);
    names.map(|(_, capability)| format!("CAP_{capability}")).collect::<Vec<_>>().join(" ")
}

fn capability_sets(sets: &runtime::LinuxCapabilities) -> CapabilitySets {
    let mask = |set: &Option<Capabilities>| {
        let number = |capability| CAPABILITIES.iter().position(|known| known == capability);
        set.iter().flatten().filter_map(number).fold(0, |mask, number| mask | 1u64 << number)
    };
    CapabilitySets {
        bounding: mask(sets.bounding()),
        effective: mask(sets.effective()),
        permitted: mask(sets.permitted()),
        inheritable: mask(sets.inheritable()),
        ambient: mask(sets.ambient()),
    }
}

fn rlimits(process: &runtime::Process, findings: &mut Findings) -> Vec<(u32, u64, u64)> {
    let mut found: Vec<(u32, u64, u64)> = Vec::new();
    for (i, limit) in process.rlimits().iter().flatten().enumerate() {
        let resource = rlimit_number(limit.typ());
        let at = format!("process.rlimits[{i}]");
        if found.iter().any(|(other, ..)| *other == resource) {
            findings.problem(&at, format!("{} is listed twice", limit.typ()));
        } else if limit.soft() > limit.hard() {
            findings.problem(&at, format!("soft is above hard: {} is more than {}", limit.soft(), limit.hard()));
        } else {
            found.push((resource, limit.soft(), limit.hard()));
        }
    }
    found
}

#[allow(clippy::unnecessary_cast, reason = "the type differs from one C library to the other")]
fn rlimit_number(kind: PosixRlimitType) -> u32 {
    let number = match kind {
        PosixRlimitType::RlimitCpu => libc::RLIMIT_CPU,
        PosixRlimitType::RlimitFsize => libc::RLIMIT_FSIZE,
        PosixRlimitType::RlimitData => libc::RLIMIT_DATA,
        PosixRlimitType::RlimitStack => libc::RLIMIT_STACK,
        PosixRlimitType::RlimitCore => libc::RLIMIT_CORE,
        PosixRlimitType::RlimitRss => libc::RLIMIT_RSS,
        PosixRlimitType::RlimitNproc => libc::RLIMIT_NPROC,
        PosixRlimitType::RlimitNofile => libc::RLIMIT_NOFILE,
        PosixRlimitType::RlimitMemlock => libc::RLIMIT_MEMLOCK,
        PosixRlimitType::RlimitAs => libc::RLIMIT_AS,
        PosixRlimitType::RlimitLocks => libc::RLIMIT_LOCKS,
        PosixRlimitType::RlimitSigpending => libc::RLIMIT_SIGPENDING,
        PosixRlimitType::RlimitMsgqueue => libc::RLIMIT_MSGQUEUE,
        PosixRlimitType::RlimitNice => libc::RLIMIT_NICE,
        PosixRlimitType::RlimitRtprio => libc::RLIMIT_RTPRIO,
        PosixRlimitType::RlimitRttime => libc::RLIMIT_RTTIME,
    };
    number as u32
}

fn personality(personality: &LinuxPersonality, findings: &mut Findings) -> u64 {
    if personality.flags().as_ref().is_some_and(|flags| !flags.is_empty()) {
        findings.problem("linux.personality.flags", "the specification has none that could be set");
    }
    // PER_LINUX and PER_LINUX32 of linux/personality.h.
    match personality.domain() {
        LinuxPersonalityDomain::PerLinux => 0,
        LinuxPersonalityDomain::PerLinux32 => 8,
    }
}

fn compile(filter: Option<&LinuxSeccomp>, findings: &mut Findings) -> Option<Filter> {
    let filter = seccomp::compile(filter?);
    match filter {
        Ok(filter) => {
            findings.warnings.extend(filter.warnings.iter().cloned());
            Some(filter)
        }
        Err(error) => {
            findings.problem("linux.seccomp", crate::error::one_line(&error));
            None
        }
    }
}
