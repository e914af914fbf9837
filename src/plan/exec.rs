//! The plan of `exec`: another process for a container that is there, from the container's own copy of its
//! configuration and what the command line changes of it; or from a whole process document.
use super::decided::{Decided, Inodes};
use super::ids::View;
use super::landlock::{self, Landlock};
use super::namespaces::{Kind, made};
use super::{Findings, Process, process, scheduling};
use crate::bundle::{self, Bundle};
use crate::cpulist::Set;
use crate::error::WithHint;
use crate::host::Host;
use anyhow::{Context, Result, anyhow, bail};
use oci_spec::runtime::{self, Capability, LinuxCapabilities, Spec, UserBuilder};
use std::path::PathBuf;

/// What the command line says.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// `--process`: the bytes of a whole process document, in place of all else but `tty`.
    pub document: Option<Vec<u8>>,
    /// The program and its arguments, written as in `bytes`.
    pub args: Vec<String>,
    /// `--tty`.
    pub tty: bool,
    /// `--cwd`.
    pub cwd: Option<PathBuf>,
    /// `--env`, each `NAME=value`, written as in `bytes`.
    pub env: Vec<String>,
    /// `--user`: uid, and gid where given.
    pub user: Option<(u32, Option<u32>)>,
    /// `--additional-gids`.
    pub additional_gids: Vec<u32>,
    /// `--cap`.
    pub capabilities: Vec<String>,
    /// `--no-new-privs`.
    pub no_new_privs: bool,
    /// `--apparmor`.
    pub apparmor: Option<String>,
    /// `--process-label`.
    pub selinux: Option<String>,
    /// The session keyring to join, the container's.
    pub keyring: Option<String>,
    /// How many descriptors from 3 on are passed.
    pub passed_fds: u32,
}

/// A process to be added, and what should be logged of it.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The process.
    pub process: Process,
    /// The processors it runs on until it has joined.
    pub initial_affinity: Option<Set>,
    /// What it gives up with Landlock, as the container's program does.
    pub landlock: Option<Landlock>,
    /// A session keyring of this name is joined.
    pub keyring: Option<String>,
    /// Inode number of the container's user namespace, in which its first process has to be still.
    pub user: u64,
    /// CLONE_NEW* of the namespaces that it joins.
    pub namespaces: i32,
    /// There is one id of each kind in the container, the caller's own.
    pub only_id: bool,
    /// Our binary is writable by an id of the container.
    pub replace_exe: bool,
    /// How many descriptors from 3 on are passed.
    pub passed_fds: u32,
    /// To be logged.
    pub warnings: Vec<String>,
    /// For the debug log.
    pub notes: Vec<String>,
}

impl Plan {
    /// Whether it joins a user namespace, and becomes root of that.
    pub fn has_own_ids(&self) -> bool {
        self.namespaces & libc::CLONE_NEWUSER != 0
    }
}

/// Computes the plan from the container's configuration, what `create` has `decided`, and the namespaces in which we are `here`,
/// as `compared` names them.
pub fn plan(container: &Bundle, request: &Request, decided: &Decided, here: &Inodes, host: &Host) -> Result<Plan> {
    let mut warnings = Vec::new();
    let document = match &request.document {
        Some(bytes) => {
            let document = bundle::parse_process(bytes, &mut warnings).context("--process")?;
            inheriting(document, container)
        }
        None => merged(container, request)?,
    };
    let view = View::of_running(decided);
    let mut findings = Findings::after(warnings);
    let planned = process::plan(&document, container.spec.linux().as_ref(), &view, host.modules, &[], &mut findings);
    let affinity = document.exec_cpu_affinity().as_ref().map(|a| scheduling::exec_affinity(a, &mut findings));
    let landlock =
        planned.as_ref().and_then(|process| landlock::plan(&container.spec, process, host.landlock_abi, &mut findings));
    findings.check()?;
    let mut process = planned.context("no process")?;
    let initial_affinity = affinity.and_then(|(initial, after)| {
        process.affinity = after;
        initial
    });
    process.terminal |= request.tty;
    let user = here.get(&Kind::User).copied().unwrap_or_default();
    let ours = !decided.elsewhere(user);
    Ok(Plan {
        process,
        initial_affinity,
        landlock,
        keyring: request.keyring.clone(),
        user: decided.namespaces.get(&Kind::User).copied().unwrap_or_default(),
        namespaces: to_join(&container.spec, decided, here),
        only_id: ours && decided.ids.as_ref().is_some_and(|ids| ids.are_only(host.uid, host.gid)),
        replace_exe: decided.may_write_exe(user, host),
        passed_fds: request.passed_fds,
        warnings: findings.warnings,
        notes: findings.notes,
    })
}

/// The kinds of namespaces of which `plan` has to know ours.
pub fn compared(spec: &Spec, decided: &Decided) -> impl Iterator<Item = Kind> {
    let made: Vec<Kind> = made(spec).collect();
    decided.namespaces.keys().copied().filter(move |kind| *kind == Kind::User || !made.contains(kind))
}

/// What was made for the container; and of what it was given, or shares with whoever made it, that in which we are not.
fn to_join(spec: &Spec, decided: &Decided, here: &Inodes) -> i32 {
    let made = made(spec).filter(|kind| *kind != Kind::User);
    let others = compared(spec, decided).filter(|kind| decided.namespaces.get(kind) != here.get(kind));
    made.chain(others).fold(0, |flags, kind| flags | kind.flag())
}

/// What a process document does not say of these it has from the configuration, as in runc.
fn inheriting(mut process: runtime::Process, container: &Bundle) -> runtime::Process {
    let Some(own) = container.spec.process() else { return process };
    if process.scheduler().is_none() {
        process.set_scheduler(own.scheduler().clone());
    }
    if process.apparmor_profile().as_deref().unwrap_or_default().is_empty() {
        process.set_apparmor_profile(own.apparmor_profile().clone());
    }
    if process.selinux_label().as_deref().unwrap_or_default().is_empty() {
        process.set_selinux_label(own.selinux_label().clone());
    }
    if process.exec_cpu_affinity().is_none() {
        process.set_exec_cpu_affinity(own.exec_cpu_affinity().clone());
    }
    if process.io_priority().is_none() {
        process.set_io_priority(*own.io_priority());
    }
    if process.rlimits().as_ref().is_none_or(Vec::is_empty) {
        process.set_rlimits(own.rlimits().clone());
    }
    if process.capabilities().is_none() {
        process.set_capabilities(own.capabilities().clone());
    }
    if process.oom_score_adj().is_none() {
        process.set_oom_score_adj(own.oom_score_adj());
    }
    // runc takes silence for no; a container that gains no privileges does not gain them by a document that forgot to say.
    if process.no_new_privileges().is_none() {
        process.set_no_new_privileges(own.no_new_privileges());
    }
    process
}

/// The configuration's process with the changes of the command line. Its terminal is its own affair: only `--tty`
/// asks for one.
fn merged(container: &Bundle, request: &Request) -> Result<runtime::Process> {
    let Some(process) = container.spec.process() else { bail!("process property must not be empty") };
    let mut process = process.clone();
    if request.args.is_empty() {
        return Err(anyhow!("exec args cannot be empty")).hint(|| "name the program to run, as in `rrunc exec ID sh`");
    }
    process.set_args(Some(request.args.clone()));
    process.set_terminal(Some(false));
    if let Some(cwd) = &request.cwd {
        process.set_cwd(cwd.clone());
    }
    let mut env = process.env().clone().unwrap_or_default();
    env.extend(request.env.iter().cloned());
    process.set_env(Some(env));
    if request.no_new_privs {
        process.set_no_new_privileges(Some(true));
    }
    if request.apparmor.is_some() {
        process.set_apparmor_profile(request.apparmor.clone());
    }
    if request.selinux.is_some() {
        process.set_selinux_label(request.selinux.clone());
    }
    merge_user(&mut process, request)?;
    merge_capabilities(&mut process, &request.capabilities)?;
    Ok(process)
}

fn merge_user(process: &mut runtime::Process, request: &Request) -> Result<()> {
    let old = process.user().clone();
    let (uid, gid) = match request.user {
        Some((uid, gid)) => (uid, gid.unwrap_or(old.gid())),
        None => (old.uid(), old.gid()),
    };
    let mut groups = old.additional_gids().clone().unwrap_or_default();
    groups.extend(&request.additional_gids);
    let mut user = UserBuilder::default().uid(uid).gid(gid);
    if !groups.is_empty() {
        user = user.additional_gids(groups);
    }
    if let Some(umask) = old.umask() {
        user = user.umask(umask);
    }
    process.set_user(user.build()?);
    Ok(())
}

/// `--cap` adds to bounding, effective and permitted; to ambient what the configuration has made inheritable, as in runc. To
/// inheritable nothing is added (CVE-2022-29162), so that another user than root gets no more than that.
fn merge_capabilities(process: &mut runtime::Process, names: &[String]) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let mut wanted = Vec::new();
    for name in names {
        let upper = name.to_uppercase();
        let full = if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") };
        let known: Result<Capability, _> = serde_json::from_value(serde_json::Value::String(full));
        let known = known.map_err(|_| anyhow!("--cap: unknown capability {name:?}"));
        wanted.push(known.hint(|| "capabilities(7) lists them, such as CAP_NET_ADMIN; CAP_ may be left out")?);
    }
    let mut sets: LinuxCapabilities = process.capabilities().clone().unwrap_or_else(empty_sets);
    let with = |set: &Option<runtime::Capabilities>| {
        let mut all = set.clone().unwrap_or_default();
        all.extend(wanted.iter().copied());
        Some(all)
    };
    sets.set_bounding(with(sets.bounding()));
    sets.set_effective(with(sets.effective()));
    sets.set_permitted(with(sets.permitted()));
    let inheritable = sets.inheritable().clone().unwrap_or_default();
    let mut ambient = sets.ambient().clone().unwrap_or_default();
    ambient.extend(wanted.iter().filter(|capability| inheritable.contains(capability)));
    sets.set_ambient(Some(ambient));
    process.set_capabilities(Some(sets));
    Ok(())
}

fn empty_sets() -> LinuxCapabilities {
    let mut sets = LinuxCapabilities::default();
    // The crate's default is runc's default set, not none.
    sets.set_bounding(None).set_effective(None).set_inheritable(None).set_permitted(None).set_ambient(None);
    sets
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn joined_is_what_was_made_and_that_in_which_we_are_not() {
        let namespaces =
            json!([{"type": "pid"}, {"type": "network", "path": "/proc/1/ns/net"}, {"type": "uts", "path": ""}]);
        let spec = json!({"ociVersion": "1.0.2", "linux": {"namespaces": namespaces}});
        let spec = serde_json::from_value(spec).expect("a configuration");
        assert_eq!(made(&spec).collect::<Vec<_>>(), [Kind::Pid, Kind::Uts]);
        let namespaces = [(Kind::User, 2), (Kind::Pid, 3), (Kind::Network, 4), (Kind::Mount, 5)].into();
        let decided = Decided { ids: None, made_in: 1, namespaces };
        let here = |user, network| Inodes::from([(Kind::User, user), (Kind::Network, network), (Kind::Mount, 5)]);
        let own = libc::CLONE_NEWPID | libc::CLONE_NEWUTS;
        let joined = |here| to_join(&spec, &decided, &here);
        assert_eq!(joined(here(1, 9)), own | libc::CLONE_NEWUSER | libc::CLONE_NEWNET, "but no mounts");
        assert_eq!(joined(here(1, 4)), own | libc::CLONE_NEWUSER);
        assert_eq!(joined(here(2, 4)), own, "as podman calls us");
    }
}
