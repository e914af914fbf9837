//! The plan of a container: every decision, made before anything is done.
//!
//! `plan` is a pure function of the bundle, the host and the options. It validates the whole configuration and
//! returns *all* problems with their JSON paths; what an unprivileged runtime cannot honour is refused here, or
//! degraded with a warning where the spec and the peers allow it, and nowhere else. The result is plain data that
//! `spawn` and `init` carry out without deciding anything again.
pub mod covers;
pub mod decided;
pub mod devices;
mod document;
pub mod exec;
mod findings;
pub mod given_ids;
pub mod idmap;
pub mod ids;
pub mod labels;
pub mod landlock;
pub mod limits;
mod mempolicy;
pub mod mount_options;
pub mod mounts;
pub mod namespaces;
pub mod process;
pub mod resources;
mod rootfs;
pub mod scheduling;
mod sysctl;
#[cfg(test)]
pub(crate) mod tests;

use crate::bundle::Bundle;
use crate::cgroup::place::Place;
use crate::error::{WithHint, one_line};
use crate::host::Host;
use crate::watchdog::Limits;
use anyhow::{Context, Result, anyhow};
use oci_spec::runtime::Spec;
use std::ffi::CString;
use std::path::PathBuf;

pub use document::Hooks;
use findings::Findings;
pub use ids::Ids;
pub use process::Process;
pub use rootfs::Rootfs;

/// The annotation that asks for a reaper as pid 1: `true`.
pub const REAPER: &str = "org.rrunc.reaper";

/// The annotation that leaves standard streams alone which are no terminals, where a process has one: `true`. OCI's
/// `terminal` replaces all three, and a pipe would lose its bytes to the line discipline.
pub const KEEP_STREAMS: &str = "org.rrunc.keep-streams";

/// The annotation for masked paths outside /proc and /sys that were there when the configuration was written: `true`. One
/// that is not there any more, or out of reach, is an error, where OCI lets it be.
pub const SURE_MASKS: &str = "org.rrunc.sure-masks";

/// The annotation that has every destination, masked and read-only path and the working directory found without following a
/// link: `true`. A link that is there is an error, for whoever wrote the configuration knows that none was.
pub const NO_LINKS: &str = "org.rrunc.no-links";

/// The annotation that has rrunc answer all who look up a name in a network of the container's own, while it runs in the
/// foreground: `true`. The answer is that there is none.
pub const NO_NAMES: &str = "org.rrunc.no-names";

/// Annotation: bytes of memory that all processes of a foreground container may have together. One that takes more is
/// ended.
pub const MEMORY: &str = "org.rrunc.memory";

/// Annotation: milliseconds after which a foreground container is ended, with exit status 124.
pub const TIMEOUT: &str = "org.rrunc.timeout";

/// Annotation for a container that rrunc runs in the foreground: what is mounted or masked on names of the host's own is watched,
/// since the kernel takes it away when somebody outside replaces such a name. `again`: it is put back; `end`: the container is
/// ended, as it is where something cannot be put back.
pub const COVERS: &str = "org.rrunc.covers";

/// What the command line adds to the configuration.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The container's id.
    pub id: String,
    /// Do not start a new session keyring.
    pub no_new_keyring: bool,
    /// Use MS_MOVE and chroot in place of pivot_root (a rootfs on an initramfs).
    pub no_pivot: bool,
    /// Somebody other than the caller's terminal takes the pseudoterminal: create, or run --detach.
    pub detached: bool,
    /// A console socket was given.
    pub console_socket: bool,
    /// The container ends with us: foreground `run`.
    pub die_with_parent: bool,
    /// Where its processes are counted.
    pub cgroup: Place,
    /// Directory to bind at /run/notify for the NOTIFY_SOCKET protocol.
    pub notify_dir: Option<PathBuf>,
    /// Environment entries of passed descriptors (LISTEN_FDS) and of the notify socket.
    pub extra_env: Vec<String>,
    /// How many descriptors from 3 on the program inherits.
    pub passed_fds: u32,
}

/// Everything `init` has to do, decided.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Root file system.
    pub rootfs: Rootfs,
    /// Maps of the new user namespace; none when the caller's, or a given one, is used.
    pub ids: Option<Ids>,
    /// What is bound is opened before init becomes root of its user namespace, which reaches less of the host than the caller.
    pub sources_first: bool,
    /// The ids that a given user namespace has to have.
    pub expected_ids: Option<given_ids::Expected>,
    /// Whether init lets its owner look into it before its program runs, see `dumpable`.
    pub dumpable: bool,
    /// The ids inside, for the record; none of a given namespace.
    pub record: Option<decided::Ids>,
    /// Namespaces to make and to join.
    pub namespaces: namespaces::Namespaces,
    /// The host name, in an own uts namespace.
    pub hostname: Option<String>,
    /// The NIS domain name, likewise.
    pub domainname: Option<String>,
    /// Mounts in order.
    pub mounts: Vec<mounts::Mount>,
    /// Device nodes, the default ones first; only those listed when the configuration brings its own /dev.
    pub devices: Vec<devices::Device>,
    /// Whether /dev gets its links (fd, stdin, ptmx…).
    pub dev_links: bool,
    /// SELinux context of the file systems we make.
    pub mount_label: Option<CString>,
    /// Paths made unreadable.
    pub masked: Vec<PathBuf>,
    /// Those outside of the kernel's file systems have to be there.
    pub sure_masks: bool,
    /// No name of the configuration leads over a link inside (annotation `org.rrunc.no-links`).
    pub no_links: bool,
    /// Paths made read-only.
    pub readonly: Vec<PathBuf>,
    /// Kernel parameters: file below /proc/sys, and value.
    pub sysctl: Vec<(String, String)>,
    /// The program; none when the configuration has no process, which only `start` minds.
    pub process: Option<Process>,
    /// A session keyring of this name is joined.
    pub keyring: Option<String>,
    /// See [`Options::no_pivot`].
    pub no_pivot: bool,
    /// See [`Options::die_with_parent`].
    pub die_with_parent: bool,
    /// See [`Options::cgroup`].
    pub cgroup: Place,
    /// The user inside who gets the cgroup, where he may write to it and is not the caller, whose it is.
    pub cgroup_owner: Option<u32>,
    /// Its limits, in a cgroup of its own.
    pub limits: Vec<resources::Setting>,
    /// See [`Options::passed_fds`].
    pub passed_fds: u32,
    /// Only terminals among the standard streams become the container's (annotation `org.rrunc.keep-streams`).
    pub keep_streams: bool,
    /// Pid 1 is a reaper of ours, and the program its child (annotation `org.rrunc.reaper`).
    pub reaper: bool,
    /// Look-ups of names are answered by us (annotation `org.rrunc.no-names`).
    pub no_names: bool,
    /// We are handed the table of its sockets, whose memory counts.
    pub counts_sockets: bool,
    /// The same for what System V IPC keeps.
    pub counts_system_v: bool,
    /// What is watched and put back (annotation `org.rrunc.covers`).
    pub covers: Option<covers::Covers>,
    /// What the program gives up with Landlock (annotation `org.rrunc.landlock`).
    pub landlock: Option<landlock::Landlock>,
    /// The binary is writable by an id of the container and must not be reachable from it (CVE-2019-5736).
    pub replace_exe: bool,
    /// Hooks by kind.
    pub hooks: Hooks,
    /// What was degraded; to be logged.
    pub warnings: Vec<String>,
    /// What was left out without anybody missing it; for the debug log.
    pub notes: Vec<String>,
}

impl Plan {
    /// Whether the program gives up something only after its capabilities: calls to a filter, files to Landlock.
    pub fn is_confined_late(&self) -> bool {
        self.landlock.is_some() || self.process.as_ref().is_some_and(|p| p.no_new_privs && p.seccomp.is_some())
    }

    /// Whether init asks its parent for something before it is ready, or hands over something that the program has to wait
    /// for.
    pub fn init_asks(&self) -> bool {
        let process = self.process.as_ref();
        self.ids.as_ref().is_some_and(|ids| !ids.only_own())
            || matches!(self.cgroup, Place::Scope(_))
            || !(self.hooks.prestart.is_empty() && self.hooks.create_runtime.is_empty())
            || process.is_some_and(Process::asks)
    }
}

/// Computes the plan.
pub fn plan(bundle: &Bundle, host: &Host, options: &Options) -> Result<Plan> {
    let spec = &bundle.spec;
    let mut findings = Findings::after(bundle.warnings.clone());
    document::check(spec, &mut findings);
    let limits = limits::plan(spec, &options.cgroup, &mut findings);

    let namespaces = namespaces::plan(spec, host, &mut findings);
    let ids = ids::plan(spec, host, &namespaces, &mut findings);
    let view = ids::View::of(ids.as_ref(), &namespaces, host);
    let rootfs = rootfs::plan(bundle, &mut findings);
    if !namespaces.has(namespaces::Kind::Mount) {
        rootfs::refuse_without_mounts(spec, &rootfs, &mut findings);
    }
    let mut mounts = mounts::plan(bundle, &namespaces, &view, &mut findings);
    mounts.extend(options.notify_dir.as_deref().map(mounts::notify_socket));
    let cgroup_owner = limits::cgroup_owner(spec, host, ids.as_ref(), &mounts);
    let mount_label = labels::mount_label(spec.linux().as_ref(), host.modules, &mut findings);
    if let Some(label) = &mount_label {
        labels::put_on(&mut mounts, label);
    }
    let own_dev = mounts::binds_dev(&mounts);
    let devices = devices::plan(spec, &mounts, &view, &mut findings);
    let sysctl = sysctl::plan(spec, &namespaces, &mut findings);
    let no_links = annotated(spec, NO_LINKS);
    let mut process = match spec.process() {
        Some(process) => {
            let linux = spec.linux().as_ref();
            process::plan(process, linux, &view, host.modules, &options.extra_env, &mut findings)
        }
        None => None,
    };
    if let Some(affinity) = spec.process().as_ref().and_then(|p| p.exec_cpu_affinity().as_ref()) {
        // Of use to `exec` only, but wrong is wrong.
        scheduling::exec_affinity(affinity, &mut findings);
    }
    if let Some(process) = &mut process {
        process.real_cwd = no_links;
        check_terminal(process, options)?;
        if process.terminal && mounts.iter().any(|mount| mount.destination == std::path::Path::new("/dev/console")) {
            findings
                .warn("mounts: what is mounted on /dev/console is not seen: process.terminal puts the terminal there");
        }
    }
    let landlock = process.as_ref().and_then(|process| landlock::plan(spec, process, host.landlock_abi, &mut findings));
    check_watched(spec, options, &mut findings);
    let (hostname, domainname) = plan_names(spec, &namespaces, &mut findings);
    let [masked, readonly] = rootfs::covered_paths(spec, &namespaces, &mut findings);
    findings.check().context("config.json")?;
    // Without an own pid namespace there is nobody to reap for.
    let reaper = annotated(spec, REAPER) && namespaces.is_new(namespaces::Kind::Pid);
    // Nor without somebody who stays anyone to answer.
    let no_names = annotated(spec, NO_NAMES) && options.die_with_parent && namespaces.is_new(namespaces::Kind::Network);

    let watched = options.die_with_parent && spec.annotations().as_ref().is_some_and(|all| all.contains_key(MEMORY));
    let namespaces_new = [namespaces::Kind::Network, namespaces::Kind::Ipc].map(|kind| namespaces.is_new(kind));
    let own = |kind| namespaces.is_new(kind);
    let watches = options.die_with_parent && own(namespaces::Kind::User) && own(namespaces::Kind::Mount);
    let covers = if watches { covers::plan(spec) } else { None };

    Ok(Plan {
        rootfs,
        replace_exe: view.may_write(&host.exe),
        record: view.ids(),
        dumpable: dumpable(&namespaces, process.as_ref(), host),
        sources_first: ids.as_ref().is_some_and(|ids| ids.root_is_not(host.uid)),
        expected_ids: given_ids::expected(spec, &namespaces),
        ids,
        namespaces,
        hostname,
        domainname,
        mounts,
        devices,
        dev_links: !own_dev,
        mount_label,
        masked,
        sure_masks: annotated(spec, SURE_MASKS),
        no_links,
        readonly,
        sysctl,
        process,
        keyring: (!options.no_new_keyring).then(|| format!("_ses.{}", options.id)),
        no_pivot: options.no_pivot,
        die_with_parent: options.die_with_parent,
        cgroup: options.cgroup.clone(),
        cgroup_owner,
        limits,
        passed_fds: options.passed_fds,
        keep_streams: annotated(spec, KEEP_STREAMS),
        reaper,
        no_names,
        covers,
        counts_sockets: watched && namespaces_new[0],
        counts_system_v: watched && namespaces_new[1],
        landlock,
        hooks: Hooks::of(spec),
        warnings: findings.warnings,
        notes: findings.notes,
    })
}

/// Whether the first process is dumpable (PR_SET_DUMPABLE) between its change of ids and execve. If it is not, its /proc/PID/ns is
/// closed to an ordinary user, and with it the way for who sets up its network, or for `exec`; but not to root of the user
/// namespace that rrunc was started in. If it is, every process of the same ids and capabilities can trace it, and in a joined
/// pid namespace there are some, whose filter may forbid what this one still can do. Where a filter's listener has to be taken
/// out of it, though, it must be.
fn dumpable(namespaces: &namespaces::Namespaces, process: Option<&Process>, host: &Host) -> bool {
    let has_listener = || process.and_then(|p| p.seccomp.as_ref()).is_some_and(|filter| filter.listener.is_some());
    !host.rootless_namespace && (!namespaces.joins(namespaces::Kind::Pid) || has_listener())
}

/// Limits that somebody has to stay for.
fn check_watched(spec: &Spec, options: &Options, findings: &mut Findings) {
    match Limits::of(|name| spec.annotations().as_ref()?.get(name)) {
        Err(error) => findings.problem("annotations", one_line(&error)),
        Ok(limits) if limits != Limits::default() && !options.die_with_parent => {
            findings
                .warn(format!("{MEMORY} and {TIMEOUT} count only while rrunc runs the container in the foreground"));
        }
        Ok(_) => {}
    }
}

fn annotated(spec: &Spec, name: &str) -> bool {
    spec.annotations().as_ref().and_then(|all| all.get(name)).is_some_and(|value| value == "true")
}

fn check_terminal(process: &Process, options: &Options) -> Result<()> {
    if process.terminal && options.detached && !options.console_socket {
        return Err(anyhow!("cannot allocate tty if rrunc will detach without setting console socket"))
            .hint(|| "give --console-socket SOCKET; or set process.terminal in config.json to false");
    }
    if options.console_socket && !(process.terminal && options.detached) {
        return Err(anyhow!("cannot use console socket if rrunc will not detach or allocate tty"))
            .hint(|| "set process.terminal in config.json to true; or leave --console-socket out");
    }
    Ok(())
}

fn plan_names(
    spec: &Spec,
    namespaces: &namespaces::Namespaces,
    findings: &mut Findings,
) -> (Option<String>, Option<String>) {
    let own = namespaces.has(namespaces::Kind::Uts);
    let mut name = |key: &str, value: &Option<String>| {
        let value = value.clone().filter(|v| !v.is_empty())?;
        if !own {
            let problem = format!("unable to set {key} without a private UTS namespace");
            findings.mendable(key, problem, namespaces::Kind::Uts.hint());
        }
        if value.len() > 64 {
            findings.problem(key, format!("{value:?} is longer than the 64 bytes that the kernel takes"));
        }
        Some(value)
    };
    let domain = spec.domainname().clone().or_else(|| sysctl::domain_name(spec).filter(|_| own).cloned());
    (name("hostname", spec.hostname()), name("domainname", &domain))
}
