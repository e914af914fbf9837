//! The host's side of `exec`: which namespaces to join, and the new process brought to where only its program is
//! missing.
use super::listener::{self, Agent};
use super::wire::{self, Report, Wire};
use super::{KILLED, Spawned, kill, not_forked};
use crate::cgroup::{self, place::SCOPE};
use crate::error::{WithHint, errno_of};
use crate::init::exec::{Join, run};
use crate::plan::exec::Plan;
use crate::plan::namespaces::KINDS;
use crate::state::{State, Status};
use crate::sys::clone::{Cloned, clone_into};
use crate::sys::{pidfd, signal::Saved};
use crate::systemd;
use anyhow::{Context, Result, anyhow, bail};
use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::sys::stat::stat;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// CLONE_NEW* flags of the namespaces in which process `pid` differs from us.
fn differing_namespaces(pid: i32) -> Result<i32> {
    let mut flags = 0;
    for kind in KINDS {
        let inode = |pid: &str| {
            let path = format!("/proc/{pid}/ns/{}", kind.file());
            match stat(path.as_str()) {
                Ok(stat) => Ok(Some((stat.st_dev, stat.st_ino))),
                // A kernel without this type.
                Err(Errno::ENOENT) => Ok(None),
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
    let (mut ours, theirs) = wire::pair().context("make a socket pair")?;
    let (cloned, needs_cgroup) = clone_beside(state, below)?;
    let (pid, child) = match cloned {
        Cloned::Child => run(Join { plan, wire: theirs, init, needs_cgroup, namespaces, signals }),
        Cloned::Parent(pid, child) => {
            drop((theirs, init));
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
        Ok(terminal) => Ok(Spawned { pid, pidfd: child, terminal, names: None, wire: ours, ahead: false, agent }),
        Err(error) => {
            kill(&child)?;
            Err(error)
        }
    }
}

/// In the container's cgroup, if it has one and we may enter it from where we are. From outside of the tree of the
/// user's systemd we may not, but it may: then the second value is true, and the process waits to be moved.
fn clone_beside(state: &State, below: &Path) -> Result<(Cloned, bool)> {
    let named = below != Path::new("");
    let here = || clone_into(CloneFlags::empty(), None).map_err(not_forked);
    let Some(own) = state.cgroup.as_deref().filter(|dir| dir.is_dir()) else {
        if named {
            return Err(anyhow!("invalid --cgroup argument: the container has no cgroup of its own"))
                .hint(|| "leave --cgroup out: its processes are in the cgroup of whoever started it");
        }
        return Ok((here()?, false));
    };
    if named && !own.join(below).is_dir() {
        return Err(anyhow!("invalid --cgroup argument: there is no {} in {}", below.display(), own.display()))
            .hint(|| "name a cgroup that the container has made below its own, in its /sys/fs/cgroup");
    }
    let born_in = |dir: &Path| clone_into(CloneFlags::empty(), Some(cgroup::open(dir)?.as_fd())).map_err(not_forked);
    let born = match born_in(&own.join(below)) {
        // The container gives controllers to cgroups of its own, so that none but those may have processes.
        Err(e) if errno_of(&e) == Some(Errno::EBUSY) && !named => born_in(&cgroup::of(&state.pid.to_string())?),
        born => born,
    };
    match born.map_err(|e| (errno_of(&e), e)) {
        Ok(cloned) => Ok((cloned, false)),
        Err((Some(Errno::EACCES | Errno::EPERM), _)) if state.scope.is_some() => Ok((here()?, true)),
        Err((Some(Errno::EACCES | Errno::EPERM), error)) if named => {
            Err(error).context("enter the cgroup that --cgroup names").hint(|| SCOPE)
        }
        Err((Some(Errno::EACCES | Errno::EPERM), _)) => {
            log::warn!("the process stays in the caller's cgroup: the container's cannot be entered from there");
            Ok((here()?, false))
        }
        Err((_, error)) => Err(error),
    }
}

/// Has systemd move the process, which waits for it, into the container's scope.
fn attach(state: &State, below: &Path, pid: i32, wire: &mut Wire) -> Result<()> {
    match wire.receive()? {
        Report::NeedCgroup => {}
        Report::Failed(failure) => return Err(failure.into_error()),
        Report::End => bail!("the process was killed before it was in the container's cgroup"),
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
            Report::End => return Err(anyhow!("the process was killed while it was set up")).hint(|| KILLED),
            other => bail!("the process reports {other:?} out of turn"),
        }
    }
}
