//! The host's side of `exec`: which namespaces to join, and the new process brought to where only its program is
//! missing.
use super::listener::{self, Agent};
use super::wire::{self, Report, Wire};
use super::{Spawned, kill};
use crate::cgroup;
use crate::init::exec::{Join, run};
use crate::plan::exec::Plan;
use crate::plan::namespaces::KINDS;
use crate::state::{State, Status};
use crate::sys::clone::{Cloned, clone_into};
use crate::sys::{pidfd, signal::Saved};
use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::sys::stat::stat;
use std::os::fd::{AsFd, OwnedFd};

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

/// Adds a process to the container of `state`, whose first process has the pidfd `init`.
pub fn spawn(plan: &Plan, state: &State, init: OwnedFd, signals: Saved) -> Result<Spawned> {
    let namespaces = differing_namespaces(state.pid)?;
    let (mut ours, theirs) = wire::pair().context("make the wire to the new process")?;
    let joining = Join { plan, wire: theirs, init, namespaces, signals };
    let (pid, child) = match clone_beside(state)? {
        Cloned::Child => run(joining),
        Cloned::Parent(pid, child) => {
            drop(joining);
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

/// In the container's cgroup, if it has one and we may enter it from where we are.
fn clone_beside(state: &State) -> Result<Cloned> {
    let cgroup = state.cgroup.as_deref().filter(|dir| dir.is_dir()).map(cgroup::open).transpose()?;
    match clone_into(CloneFlags::empty(), cgroup.as_ref().map(OwnedFd::as_fd)) {
        Err(Errno::EACCES | Errno::EPERM) if cgroup.is_some() => {
            log::warn!("the process stays in the caller's cgroup: the container's cannot be entered from there");
            clone_into(CloneFlags::empty(), None).context("fork")
        }
        other => other.context("fork"),
    }
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
