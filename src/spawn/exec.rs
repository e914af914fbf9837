//! The host's side of `exec`: which namespaces to join, and the new process brought to where only its program is
//! missing.
use super::failure::silenced;
use super::listener::{self, Agent};
use super::wire::{self, Report, Wire};
use super::{KILLED, Spawned, kill, not_forked};
use crate::cgroup::{self, place::SCOPE};
use crate::error::{WithHint, errno_of, with_hint};
use crate::init::exec::{Join, NAME, TITLE, run, run_on_parents_memory};
use crate::plan::Process;
use crate::plan::REAPER;
use crate::plan::exec::Plan;
use crate::plan::namespaces::Kind;
use crate::state::{State, Status, namespaces};
use crate::sys::clone::{Cloned, clone_into};
use crate::sys::signal;
use crate::sys::{exe, pidfd, prctl, vfork};
use crate::systemd;
use anyhow::{Context, Result, anyhow, bail};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sched::CloneFlags;
use nix::sys::stat::{Mode, fstat};
use nix::unistd::Pid;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

/// The container's user namespace. Whoever leads the container may have entered one of his own since, in which ids mean what he
/// wants and nobody has seen to our binary.
fn open_user_namespace(plan: &Plan, state: &State) -> Result<OwnedFd> {
    let pid = state.pid;
    let path = format!("/proc/{pid}/ns/{}", Kind::User.file());
    let file = openat(AT_FDCWD, path.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty());
    if matches!(file, Err(Errno::EACCES)) && state.annotations.get(REAPER).is_some_and(|value| value == "true") {
        return Err(anyhow!("cannot exec in a sandbox: its first process is rrunc's own, into which nobody may look")).hint(|| {
            "start from its program what is to run beside that, such as from a shell; or use a second sandbox, which shares the \
             project: `rrunc sandbox -- CMD`"
        });
    }
    let file = file.with_context(|| format!("open {path}")).hint(|| {
        "the container's first process lets nobody look at it: one that was created in a given pid namespace until it is started, \
         and a program that has made itself undumpable always"
    })?;
    if fstat(&file).with_context(|| format!("look at {path}"))?.st_ino != plan.user {
        if !namespaces::is_in(pid, Kind::User, plan.user) {
            bail!("its state.json names another user namespace than that of its first process");
        }
        return Err(anyhow!("cannot exec in a container whose first process has entered another user namespace"))
            .hint(|| "what it has made itself is its own affair: let it start the program, or give it no right to make namespaces");
    }
    Ok(file)
}

/// What joined, or is about to.
enum Born {
    /// The process itself, from an intermediate one that has ended. `None`: that has reported why not.
    Inside(Option<(Pid, OwnedFd)>),
    /// A process that joins, and may fork once more; whether it has to be moved into the container's cgroup first.
    Beside(Pid, OwnedFd, bool),
}

/// Adds a process to the container of `state`, whose first process has the pidfd `init`; in its cgroup, or in the one
/// that `below` names there. `ahead`: nothing has to be done before its program runs but what is done here; then, unless it has
/// questions, it waits for nobody.
pub fn spawn(plan: &Plan, state: &State, below: &Path, init: OwnedFd, ahead: bool) -> Result<Spawned> {
    let user = open_user_namespace(plan, state)?;
    let namespaces = plan.namespaces;
    let (mut ours, theirs) = wire::pair().context("make a socket pair")?;
    let ahead = ahead && !plan.process.asks();
    if !ahead {
        // What it joins may stop it.
        ours.end_on_signals().context("set up the wire")?;
    }
    let join = Join { plan, wire: Arc::new(theirs), init, user, ahead };
    let born = clone_beside(state, below, |cgroup, needs_cgroup| {
        if !needs_cgroup && may_share_memory(namespaces) {
            return join_on_our_memory(&join, cgroup).map(Born::Inside);
        }
        match clone_into(CloneFlags::empty(), cgroup)? {
            Cloned::Child => run(&join, needs_cgroup),
            Cloned::Parent(pid, child) => Ok(Born::Beside(pid, child, needs_cgroup)),
        }
    })?;
    // Its end of the wire, too: else we would never see that it is gone.
    drop(join);
    let (pid, child) = match born {
        Born::Inside(Some((pid, child))) => (pid.as_raw(), child),
        Born::Inside(None) => return Err(failure(&mut ours, &plan.process)),
        Born::Beside(pid, child, needs_cgroup) => {
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
    match answer(&mut ours, &plan.process, agent.as_ref()) {
        Ok(terminal) => Ok(Spawned {
            pid,
            pidfd: child,
            terminal,
            names: None,
            covers: None,
            sockets: None,
            system_v: None,
            wire: ours,
            ahead,
            hides_failure: plan.process.hides_failure().then_some(NAME),
            agent,
        }),
        Err(error) => {
            kill(&child)?;
            Err(error)
        }
    }
}

/// Whether the process that joins and forks may do it on our memory: the kernel lets nobody enter a time namespace who shares
/// his.
fn may_share_memory(namespaces: i32) -> bool {
    vfork::AVAILABLE && namespaces & libc::CLONE_NEWPID != 0 && namespaces & libc::CLONE_NEWTIME == 0
}

/// Whatever the process does to memory it does to ours, so what is not to last is undone here. That our binary is exchanged
/// lasts.
fn join_on_our_memory(join: &Join, cgroup: Option<BorrowedFd>) -> nix::Result<Option<(Pid, OwnedFd)>> {
    let dumpable = prctl::dumpable()?;
    let wire = Arc::clone(&join.wire);
    let sink = Box::new(move |level, text: &str| {
        wire.log(level, text).ok();
    });
    let pid = crate::log::redirected(sink, || {
        exe::without_arguments(TITLE, || {
            vfork::vfork(cgroup, signal::must_end, |vforked| run_on_parents_memory(join, vforked))
        })
    });
    prctl::set_dumpable(dumpable)?;
    // Our child, so that nobody else can be the one of that number.
    pid?.flatten().map(|pid| Ok((pid, pidfd::open(pid)?))).transpose()
}

/// In the container's cgroup, if it has one and we may enter it from where we are. From outside of the tree of the
/// user's systemd we may not, but it may: then the second argument is true, and the process waits to be moved.
fn clone_beside(
    state: &State,
    below: &Path,
    clone: impl Fn(Option<BorrowedFd>, bool) -> nix::Result<Born>,
) -> Result<Born> {
    let named = below != Path::new("");
    let here = |needs_cgroup| clone(None, needs_cgroup).map_err(not_forked);
    let Some(own) = state.cgroup.as_deref().filter(|dir| !named || dir.is_dir()) else {
        if named {
            return Err(anyhow!("invalid --cgroup argument: the container has no cgroup of its own"))
                .hint(|| "leave --cgroup out: its processes are in the cgroup of whoever started it");
        }
        return here(false);
    };
    if named && !own.join(below).is_dir() {
        return Err(anyhow!("invalid --cgroup argument: there is no {} in {}", below.display(), own.display()))
            .hint(|| "name a cgroup that the container has made below its own, in its /sys/fs/cgroup");
    }
    let born_in = |dir: &Path| clone(Some(cgroup::open(dir)?.as_fd()), false).map_err(not_forked);
    let born = match born_in(&own.join(below)) {
        // The container gives controllers to cgroups of its own, so that none but those may have processes.
        Err(e) if errno_of(&e) == Some(Errno::EBUSY) && !named => match cgroup::of(&state.pid.to_string())? {
            // The first process may move itself within its own; elsewhere nobody is born for its sake.
            dir if dir.starts_with(own) => born_in(&dir),
            _ => Err(e),
        },
        born => born,
    };
    match born.map_err(|e| (errno_of(&e), e)) {
        Ok(born) => Ok(born),
        // It has been removed, which somebody may do as long as nobody is in it.
        Err((Some(Errno::ENOENT), _)) if !named => here(false),
        Err((Some(Errno::EACCES | Errno::EPERM), _)) if state.scope.is_some() => here(true),
        Err((Some(Errno::EACCES | Errno::EPERM), error)) if named => {
            Err(error).context("enter the cgroup that --cgroup names").hint(|| SCOPE)
        }
        Err((Some(Errno::EACCES | Errno::EPERM), _)) => {
            log::warn!("the process stays in the caller's cgroup: the container's cannot be entered from there");
            here(false)
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

/// Why there is no process in the container.
fn failure(wire: &mut Wire, process: &Process) -> anyhow::Error {
    match answer(wire, process, None) {
        Err(error) => error,
        Ok(_) => killed(),
    }
}

fn answer(wire: &mut Wire, process: &Process, agent: Option<&Agent>) -> Result<Option<OwnedFd>> {
    let mut terminal = None;
    loop {
        match wire.receive()? {
            Report::Terminal(master) => terminal = Some(master),
            Report::Log(level, text) => log::log!(level, "{text}"),
            Report::Announced(filter) => listener::hand_over(&filter, agent, wire.socket())?,
            Report::Ready => return Ok(terminal),
            Report::Failed(failure) => return Err(failure.into_error()),
            Report::End if process.hides_failure() => return Err(silenced()),
            Report::End => return Err(killed()),
            other => bail!("the process reports {other:?} out of turn"),
        }
    }
}

fn killed() -> anyhow::Error {
    with_hint(anyhow!("the process was killed while it was set up"), KILLED)
}
