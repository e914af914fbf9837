//! Which namespaces are made, which are joined (config-linux.md, "Namespaces").
use super::Findings;
use crate::host::Host;
use nix::sched::CloneFlags;
use oci_spec::runtime::{LinuxNamespaceType, Spec};
use std::path::PathBuf;

/// The namespace types, in the order in which given ones are joined: user first, for the rights over the others;
/// mount last, since the paths of the rest are looked up in the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Ids and capabilities.
    User,
    /// Host and domain name.
    Uts,
    /// System V IPC and POSIX queues.
    Ipc,
    /// Network stack.
    Network,
    /// Process ids.
    Pid,
    /// Cgroup root.
    Cgroup,
    /// Clock offsets.
    Time,
    /// Mount tree.
    Mount,
}

/// All of them.
pub const KINDS: [Kind; 8] =
    [Kind::User, Kind::Uts, Kind::Ipc, Kind::Network, Kind::Pid, Kind::Cgroup, Kind::Time, Kind::Mount];

/// CLONE_NEWTIME of linux/sched.h, which nix's `CloneFlags` lacks.
pub const CLONE_NEWTIME: i32 = 0x80;

impl Kind {
    /// CLONE_NEW* flag.
    pub fn flag(self) -> i32 {
        match self {
            Kind::User => libc::CLONE_NEWUSER,
            Kind::Uts => libc::CLONE_NEWUTS,
            Kind::Ipc => libc::CLONE_NEWIPC,
            Kind::Network => libc::CLONE_NEWNET,
            Kind::Pid => libc::CLONE_NEWPID,
            Kind::Cgroup => libc::CLONE_NEWCGROUP,
            Kind::Time => CLONE_NEWTIME,
            Kind::Mount => libc::CLONE_NEWNS,
        }
    }

    /// The file's name in /proc/PID/ns.
    pub fn file(self) -> &'static str {
        match self {
            Kind::User => "user",
            Kind::Uts => "uts",
            Kind::Ipc => "ipc",
            Kind::Network => "net",
            Kind::Pid => "pid",
            Kind::Cgroup => "cgroup",
            Kind::Time => "time",
            Kind::Mount => "mnt",
        }
    }

    /// The name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Network => "network",
            Kind::Mount => "mount",
            other => other.file(),
        }
    }

    /// How a container gets one of its own.
    pub(super) fn hint(self) -> String {
        format!("add {{\"type\": \"{}\"}} to linux.namespaces", self.name())
    }

    fn of(kind: LinuxNamespaceType) -> Kind {
        match kind {
            LinuxNamespaceType::User => Kind::User,
            LinuxNamespaceType::Uts => Kind::Uts,
            LinuxNamespaceType::Ipc => Kind::Ipc,
            LinuxNamespaceType::Network => Kind::Network,
            LinuxNamespaceType::Pid => Kind::Pid,
            LinuxNamespaceType::Cgroup => Kind::Cgroup,
            LinuxNamespaceType::Time => Kind::Time,
            LinuxNamespaceType::Mount => Kind::Mount,
        }
    }
}

/// Types that are made for a container of `spec`, so that nobody outside of it is in them.
pub fn made(spec: &Spec) -> impl Iterator<Item = Kind> {
    let listed = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_deref()).unwrap_or_default();
    let unnamed = |path: &Option<PathBuf>| path.as_ref().is_none_or(|path| path.as_os_str().is_empty());
    listed.iter().filter(move |one| unnamed(one.path())).map(|one| Kind::of(one.typ()))
}

/// Offset of a clock in a new time namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClockOffset {
    /// `monotonic` or `boottime`.
    pub clock: String,
    /// Seconds, may be negative.
    pub secs: i64,
    /// Nanoseconds.
    pub nanosecs: u32,
}

/// Namespaces of the container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Namespaces {
    /// Types newly made.
    pub new: Vec<Kind>,
    /// Types joined, by path, in joining order.
    pub join: Vec<(Kind, PathBuf)>,
    /// Offsets of a new time namespace.
    pub clock_offsets: Vec<ClockOffset>,
}

impl Namespaces {
    /// Whether the container has its own or a given namespace of `kind`, not the caller's.
    pub fn has(&self, kind: Kind) -> bool {
        self.is_new(kind) || self.joins(kind)
    }

    /// Whether one is made.
    pub fn is_new(&self, kind: Kind) -> bool {
        self.new.contains(&kind)
    }

    /// Whether one is joined.
    pub fn joins(&self, kind: Kind) -> bool {
        self.join.iter().any(|(joined, _)| *joined == kind)
    }

    /// Flags for clone3. Not CLONE_NEWTIME: a process born in a time namespace can no longer set its offsets
    /// (EACCES), so init makes that one itself. Nor, for one that is born in a cgroup of its own, CLONE_NEWCGROUP: clone
    /// would take the caller's for the root of the namespace.
    pub fn clone_flags(&self, own_cgroup: bool) -> CloneFlags {
        let later = |kind: &Kind| *kind == Kind::Time || (own_cgroup && *kind == Kind::Cgroup);
        let bits = self.new.iter().filter(|kind| !later(kind)).map(|kind| kind.flag());
        CloneFlags::from_bits_retain(bits.fold(0, |all, flag| all | flag))
    }
}

pub(super) fn plan(spec: &Spec, host: &Host, findings: &mut Findings) -> Namespaces {
    let linux = spec.linux().as_ref();
    let listed = linux.and_then(|l| l.namespaces().as_ref()).map_or(&[][..], Vec::as_slice);
    let mut found = Namespaces::default();
    for (i, namespace) in listed.iter().enumerate() {
        let kind = Kind::of(namespace.typ());
        if found.has(kind) {
            findings.problem(
                &format!("linux.namespaces[{i}]"),
                format!("malformed spec file: duplicated ns {}", kind.file()),
            );
            continue;
        }
        match namespace.path().as_ref().filter(|path| !path.as_os_str().is_empty()) {
            None => found.new.push(kind),
            Some(path) => {
                if !path.is_absolute() {
                    findings.not_absolute(&format!("linux.namespaces[{i}].path"), path);
                }
                found.join.push((kind, path.clone()));
            }
        }
    }
    // Nothing here works without a user namespace; a plain `runc spec` config, made for root, names none.
    if !found.has(Kind::User) && !host.rootless_namespace {
        found.new.push(Kind::User);
    }
    found.new.sort();
    found.join.sort();
    if found.joins(Kind::Mount) {
        // runc mounts and pivots in it all the same, which moves the root of everybody who lives there.
        findings.problem(
            "linux.namespaces",
            "joining a given mount namespace is not supported: its root is not ours to change",
        );
        findings.hint("use `rrunc exec` to run a program in a container's mount namespace");
    }
    found.clock_offsets = clock_offsets(spec, &found, findings);
    found
}

fn clock_offsets(spec: &Spec, namespaces: &Namespaces, findings: &mut Findings) -> Vec<ClockOffset> {
    let offsets = spec.linux().as_ref().and_then(|l| l.time_offsets().as_ref());
    let Some(offsets) = offsets.filter(|offsets| !offsets.is_empty()) else { return Vec::new() };
    if !namespaces.is_new(Kind::Time) {
        let problem = "time namespace offsets specified, but time namespace isn't enabled in the config";
        findings.mendable("linux.timeOffsets", problem, Kind::Time.hint());
    }
    let mut found: Vec<_> = offsets
        .iter()
        .map(|(clock, offset)| ClockOffset {
            clock: clock.clone(),
            secs: offset.secs().unwrap_or(0),
            nanosecs: offset.nanosecs().unwrap_or(0),
        })
        .collect();
    found.sort_by(|a, b| a.clock.cmp(&b.clock));
    for offset in &found {
        if !matches!(offset.clock.as_str(), "monotonic" | "boottime") {
            let problem = format!("{:?} is no clock that has an offset: monotonic and boottime are", offset.clock);
            findings.problem("linux.timeOffsets", problem);
        }
        if offset.nanosecs >= 1_000_000_000 {
            let at = format!("linux.timeOffsets.{}.nanosecs", offset.clock);
            findings.problem(&at, format!("{} is a second or more: put whole ones into secs", offset.nanosecs));
        }
    }
    found
}
