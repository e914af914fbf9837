//! The host's side of `exec`: which namespaces to join, and the new process brought to where only its program is
//! missing.
use super::listener::{self, Agent};
use super::wire::{self, Report, Wire};
use super::{Spawned, kill};
use crate::cgroup;
use crate::error::errno_of;
use crate::init::exec::{Join, run};
use crate::plan::exec::Plan;
use crate::plan::namespaces::KINDS;
use crate::state::{State, Status};
use crate::sys::clone::{Cloned, clone_into};
use crate::sys::{pidfd, signal::Saved};
use crate::systemd;
use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::sys::stat::stat;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// CLONE_NEW* flags of the namespaces in which process `pid` differs from us.
pub fn differing_namespaces(pid: i32) -> Result<i32> {
    let mut flags = 0;
    for kind in KINDS {
        let inode = |pid: &str| {
            let path = format!("/proc/{pid}/ns/{}", kind.file());
            match stat(path.as_str()) {
                Ok(stat) => Ok(Some((stat.st_dev, stat.st_ino))),
                // A kernel without this type.
                Err(nix::errno::Errno::ENOENT) => Ok(None),
                Err(e) => Err(e).with_context(|| format!("look at {path}")),
            }
        };
        if inode(&pid.to_string())? != inode("self")? {
            flags |= kind.flag();
        }
    }
    Ok(flags)
}

/// Adds a process to the container of `state`, whose first process has the pidfd `init`; in its cgroup, or in the one
/// that `below` names there.
pub fn spawn(plan: &Plan, state: &State, below: &Path, init: OwnedFd, signals: Saved) -> Result<Spawned> {
    let namespaces = differing_namespaces(state.pid)?;
    let (mut ours, theirs) = wire::pair().context("make the wire to the new process")?;
    let mut joining = Join { plan, wire: theirs, init, needs_cgroup: false, namespaces, signals };
    let (pid, child) = match clone_beside(state, below, &mut joining.needs_cgroup)? {
        Cloned::Child => run(joining),
        Cloned::Parent(pid, child) => {
            let needs_cgroup = joining.needs_cgroup;
            drop(joining);
            if needs_cgroup {
                attach(state, below, pid.as_raw(), &mut ours).or_else(|error| kill(&child).and(Err(error)))?;
            }
            if namespaces & libc::CLONE_NEWPID == 0 {
                (pid.as_raw(), child)
            } else {
                let report = ours.receive_process();
                pidfd::wait_ended(child.as_fd(), 10_000).context("wait for the joining process")?;
                pidfd::reap(child.as_fd()).context("reap the joining process")?;
                report?
            }
        }
    };
    let agent = Agent::of(Some(&plan.process), state, Status::Running);
    match answer(&mut ours, agent.as_ref()) {
        Ok(terminal) => Ok(Spawned { pid, pidfd: child, terminal, names: None, wire: ours, agent }),
        Err(error) => {
            kill(&child)?;
            Err(error)
        }
    }
}

/// In the container's cgroup, if it has one and we may enter it from where we are. From outside of the tree of the
/// user's systemd we may not, but it may: then `needs_cgroup` is set, and the process waits to be moved.
fn clone_beside(state: &State, below: &Path, needs_cgroup: &mut bool) -> Result<Cloned> {
    let Some(own) = state.cgroup.as_deref().filter(|dir| dir.is_dir()) else {
        if below != Path::new("") {
            bail!("invalid --cgroup argument: the container has no cgroup of its own");
        }
        return clone_into(CloneFlags::empty(), None).context("fork");
    };
    let born_in = |dir: &Path| clone_into(CloneFlags::empty(), Some(cgroup::open(dir)?.as_fd())).context("fork");
    *needs_cgroup = state.scope.is_some();
    let born = match born_in(&own.join(below)) {
        // The container gives controllers to cgroups of its own, so that none but those may have processes.
        Err(e) if errno_of(&e) == Some(Errno::EBUSY) && below == Path::new("") => {
            born_in(&cgroup::of(&state.pid.to_string())?)
        }
        born => born,
    };
    match born.map_err(|e| (errno_of(&e), e)) {
        Ok(cloned) => {
            *needs_cgroup = false;
            Ok(cloned)
        }
        Err((Some(Errno::EACCES | Errno::EPERM), _)) => {
            if !*needs_cgroup {
                log::warn!("the process stays in the caller's cgroup: the container's cannot be entered from there");
            }
            clone_into(CloneFlags::empty(), None).context("fork")
        }
        Err((_, error)) => Err(error),
    }
}

/// Has systemd move the process, which waits for it, into the container's scope.
fn attach(state: &State, below: &Path, pid: i32, wire: &mut Wire) -> Result<()> {
    match wire.receive()? {
        Report::NeedCgroup => {}
        Report::Failed(failure) => return Err(failure.into_error()),
        other => bail!("the process reports {other:?} out of turn"),
    }
    let unit = state.scope.as_deref().context("the container has no scope")?;
    systemd::attach(unit, below, &[pid]).context("enter the container's cgroup")?;
    wire.go().context("the new process is gone")
}

fn answer(wire: &mut Wire, agent: Option<&Agent>) -> Result<Option<OwnedFd>> {
    let mut terminal = None;
    loop {
        match wire.receive()? {
            Report::Terminal(master) => terminal = Some(master),
            Report::Log(level, text) => log::log!(level, "{text}"),
            Report::Announced(filter) => listener::hand_over(&filter, agent, wire.socket())?,
            Report::Ready => return Ok(terminal),
            Report::Failed(failure) => return Err(failure.into_error()),
            Report::End => bail!("the process was killed while it was set up"),
            other => bail!("the process reports {other:?} out of turn"),
        }
    }
}
