//! The host's side of creation: clone, id maps, hooks, and the answers to what init reports until it is ready.
pub mod exec;
pub mod failure;
mod forbidden;
pub mod gate;
pub mod idmap;
pub mod join;
pub mod listener;
pub mod wire;

use crate::cgroup::{self, place::Place, scope};
use crate::covers::Inside;
use crate::error::{WithHint, errno_of, with_hint};
use crate::hooks::{self, Inherit};
use crate::init::{self, Start};
use crate::log::step;
use crate::plan::covers::Covers;
use crate::plan::decided::{self, Decided, Inodes};
use crate::plan::namespaces::Kind;
use crate::plan::{Hooks, Plan, Process};
use crate::state::{INIT_NAME, State, Status, namespaces, process};
use crate::sys::clone::{Cloned, clone_into};
use crate::sys::pidfd;
use anyhow::{Context, Result, anyhow, bail};
use listener::Agent;
use nix::errno::Errno;
use nix::sys::prctl;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use wire::{Report, Wire};

/// What may have ended a process that says nothing any more.
const KILLED: &str = "the kernel does so when memory is short: `sudo dmesg` tells, and a limit of memory in config.json may \
                      be too low";

/// A process that has been set up and waits for `go`.
pub struct Spawned {
    /// Its pid, as we see it.
    pub pid: i32,
    /// A pidfd of it.
    pub pidfd: OwnedFd,
    /// Master of its pseudoterminal.
    pub terminal: Option<OwnedFd>,
    /// Where its names are looked up.
    pub names: Option<OwnedFd>,
    /// The kernel's table of its sockets.
    pub sockets: Option<OwnedFd>,
    /// Its tables of System V IPC.
    pub system_v: Option<Vec<OwnedFd>>,
    /// What of its mounts is watched, and where.
    pub covers: Option<(Covers, Inside)>,
    wire: Wire,
    /// It has been let go already.
    ahead: bool,
    /// The name that it ends with if it has not executed its program, where it may not be able to tell.
    hides_failure: Option<&'static CStr>,
    /// Who answers the calls of its seccomp filter.
    agent: Option<Agent>,
}

impl Spawned {
    /// Lets init go on: to its program, or to the gate where it waits for `start`.
    pub fn go(&self) -> Result<()> {
        if self.ahead { Ok(()) } else { self.wire.go().context("container init is gone") }
    }

    /// Waits until the program runs.
    ///
    /// # Errors
    /// Why it does not.
    pub fn wait_exec(&mut self) -> Result<()> {
        loop {
            match self.wire.receive()? {
                Report::Log(level, text) => log::log!(level, "{text}"),
                Report::Announced(filter) => listener::hand_over(&filter, self.agent.as_ref(), self.wire.socket())?,
                Report::Failed(failure) => return Err(failure.into_error()),
                // execve has closed it, or the process was killed on the way, which its exit status tells.
                Report::End => {
                    return match self.hides_failure {
                        Some(name) if process::has_ended_as(self.pid, name)? => Err(failure::silenced()),
                        _ => Ok(()),
                    };
                }
                other => bail!("container init reports {other:?} out of turn"),
            }
        }
    }

    /// Ends the process for good and waits until it is gone.
    pub fn kill(&self) -> Result<()> {
        kill(&self.pidfd)
    }
}

/// Why there is no new process in the namespaces that we are in.
pub fn not_forked(errno: Errno) -> anyhow::Error {
    let error = anyhow::Error::new(errno).context("fork");
    match errno {
        Errno::EAGAIN => with_hint(
            error,
            "the limit of processes is reached: the container's (linux.resources.pids, which `rrunc update --pids-limit` \
             raises) or your own (`ulimit -u`)",
        ),
        _ => error,
    }
}

fn kill(child: &OwnedFd) -> Result<()> {
    match pidfd::send_signal(child.as_fd(), libc::SIGKILL) {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(e) => return Err(e).context("kill the container's init"),
    }
    pidfd::wait_ended(child.as_fd(), 10_000).context("wait for the container's init")?;
    match pidfd::reap(child.as_fd()) {
        // Not ours to reap, or reaped already.
        Ok(_) | Err(Errno::ECHILD) => Ok(()),
        Err(e) => Err(e).context("reap the container's init"),
    }
}

/// Makes the container's first process and brings it to the point where only its program is missing. `state` gets the
/// process entered, and `written` stores it, as soon as there is one: whatever happens from then on can be undone from
/// the state directory.
///
/// `ahead`: nothing has to be done before its program runs but what is done here. Then init, unless it has questions, finds
/// the answer to `Ready` there and waits for nobody.
pub fn spawn(
    plan: &Plan,
    state: &mut State,
    gate: Option<OwnedFd>,
    ahead: bool,
    written: impl Fn(&State) -> Result<()>,
) -> Result<Spawned> {
    let exe = exe_path(plan)?;
    let (mut ours, theirs) = wire::pair().context("make a socket pair")?;
    if plan.namespaces.joins(Kind::Pid) || plan.cgroup.is_named() {
        // Those who are there already may stop it; and who else knows the cgroup may freeze that.
        ours.end_on_signals().context("set up the wire")?;
    }
    let start = Start { plan, state, wire: theirs, gate, exe };
    let cgroup = plan.cgroup.directory().map(cgroup::open).transpose()?;
    step("create", "clone");
    let (pid, child) = with_name_of_init(|| {
        if !plan.namespaces.join.is_empty() {
            return join::clone_joined(start, cgroup.as_ref(), &mut ours);
        }
        let flags = plan.namespaces.clone_flags(plan.cgroup.is_own());
        match clone_into(flags, cgroup.as_ref().map(OwnedFd::as_fd)).map_err(forbidden::clone)? {
            Cloned::Child => init::run(start),
            Cloned::Parent(pid, child) => {
                // Its end of the wire, too: else we would never see that it is gone.
                drop(start);
                Ok((pid.as_raw(), child))
            }
        }
    })?;
    let ahead = ahead && !plan.init_asks();
    let mut covers = None;
    let mut set_up = || -> Result<(Handed, Option<Agent>)> {
        state.pid = pid;
        state.start_time = process::start_time(pid)?.context("container init ended at once")?;
        if let Some(expected) = &plan.expected_ids {
            join::check_ids(expected, pid)?;
        }
        if !plan.namespaces.joins(Kind::Pid) {
            state.decided = Some(decided(plan, namespaces_of(plan, &pid.to_string())?)?.to_string());
        }
        // Before it goes on: the reaper of a sandbox lets nobody look.
        covers = match plan.covers.clone().map(|all| Ok::<_, anyhow::Error>((all, Inside::of(pid)?))).transpose() {
            // It has ended already, and left a report of why.
            Err(e) if matches!(errno_of(&e), Some(Errno::ENOENT | Errno::ESRCH)) => None,
            covers => covers?,
        };
        written(state)?;
        if let Some(dir) = plan.cgroup.directory() {
            cgroup::limits::apply(dir, plan.limits.iter().filter(|setting| setting.forbids_clone()))?;
        }
        if ahead {
            step("create", "go ahead");
            // One that has ended before has left a report of why.
            ours.go().ok();
        }
        let agent = Agent::of(plan.process.as_ref(), state, Status::Creating);
        Ok((answer(plan, state, &written, &mut ours, agent.as_ref())?, agent))
    };
    match set_up() {
        Ok((Handed { terminal, names, sockets, system_v }, agent)) => {
            let hides_failure = plan.process.as_ref().is_some_and(Process::hides_failure).then_some(INIT_NAME);
            Ok(Spawned {
                pid,
                pidfd: child,
                terminal,
                names,
                covers,
                sockets,
                system_v,
                wire: ours,
                ahead,
                hides_failure,
                agent,
            })
        }
        Err(error) => {
            kill(&child)?;
            Err(forbidden::set_up(error))
        }
    }
}

/// The record of a container that is in these namespaces.
fn decided(plan: &Plan, namespaces: Inodes) -> Result<Decided> {
    let made_in = namespaces::inode("self", Kind::User)?;
    Ok(Decided { ids: plan.record.clone(), made_in, namespaces })
}

/// The namespaces of init, while it is of our own code still. It is `process`, a pid or `self`.
pub fn namespaces_of(plan: &Plan, process: &str) -> Result<Inodes> {
    namespaces::inodes(process, decided::kept(&plan.namespaces))
}

/// Clones with the name on by which a container's first process is told from its program (`Container::status`): it has it
/// from its first moment on.
fn with_name_of_init<T>(clone: impl FnOnce() -> Result<T>) -> Result<T> {
    prctl::set_name(INIT_NAME)?;
    let cloned = clone();
    prctl::set_name(&own_name())?;
    cloned
}

/// What the kernel calls us: the name of the file that was executed, which to ask for is a call more.
fn own_name() -> CString {
    let path = std::env::args_os().next().map(PathBuf::from);
    let name = path.as_deref().and_then(Path::file_name).map(|name| name.as_bytes().to_owned());
    name.and_then(|name| CString::new(name).ok()).unwrap_or_else(|| c"rrunc".to_owned())
}

/// Our own path, when the container must not reach it. A deleted binary has none that could be opened.
fn exe_path(plan: &Plan) -> Result<Option<PathBuf>> {
    if !plan.replace_exe {
        return Ok(None);
    }
    std::fs::read_link("/proc/self/exe").context("/proc/self/exe").map(Some)
}

/// Descriptors that init has handed over.
#[derive(Default)]
struct Handed {
    terminal: Option<OwnedFd>,
    names: Option<OwnedFd>,
    sockets: Option<OwnedFd>,
    system_v: Option<Vec<OwnedFd>>,
}

fn answer(
    plan: &Plan,
    state: &mut State,
    written: impl Fn(&State) -> Result<()>,
    wire: &mut Wire,
    agent: Option<&Agent>,
) -> Result<Handed> {
    let mut handed = Handed::default();
    loop {
        match wire.receive()? {
            Report::Namespaces(inodes) => {
                state.decided = Some(decided(plan, inodes)?.to_string());
                written(state)?;
            }
            Report::NeedIdMaps => {
                step("create", "id maps");
                let ids = plan.ids.as_ref().context("container init asks for id maps that are not planned")?;
                idmap::write(state.pid, ids)?;
                wire.go().context("container init is gone")?;
            }
            Report::NeedCgroup => {
                step("create", "scope");
                start_scope(plan, state, &written)?;
                wire.go().context("container init is gone")?;
            }
            Report::NeedHooks => {
                step("create", "hooks");
                run_runtime_hooks(&plan.hooks, state)?;
                wire.go().context("container init is gone")?;
            }
            Report::Terminal(master) => handed.terminal = Some(master),
            Report::Names(socket) => handed.names = Some(socket),
            Report::Sockets(table) => handed.sockets = Some(table),
            Report::SystemV(tables) => handed.system_v = Some(tables),
            Report::Log(level, text) => log::log!(level, "{text}"),
            Report::Announced(filter) => listener::hand_over(&filter, agent, wire.socket())?,
            Report::Ready => return Ok(handed),
            Report::Failed(failure) => return Err(failure.into_error()),
            Report::End if plan.process.as_ref().is_some_and(Process::hides_failure) => return Err(failure::silenced()),
            Report::End => return Err(anyhow!("container init was killed while it was set up")).hint(|| KILLED),
            other @ (Report::Process(..) | Report::Listener(_)) => {
                bail!("container init reports {other:?} out of turn")
            }
        }
    }
}

/// Has the user's systemd put the container's first process into a scope, and sets the limits there. Systemd is told
/// those that it knows too, lest it puts its own in their place.
fn start_scope(plan: &Plan, state: &mut State, written: impl Fn(&State) -> Result<()>) -> Result<()> {
    let Place::Scope(unit) = &plan.cgroup else { bail!("container init asks for a scope that is not planned") };
    let dir = scope::start(unit, state, &plan.limits)?;
    state.cgroup = Some(dir.clone());
    state.scope = Some(unit.name.clone());
    written(state)?;
    cgroup::limits::set(&dir, &dir, &plan.limits)
}

fn run_runtime_hooks(hooks: &Hooks, state: &State) -> Result<()> {
    let json = state.oci_json(Status::Creating, state.pid);
    hooks::run("prestart", &hooks.prestart, &json, Inherit::Own, &state.bundle)?;
    hooks::run("createRuntime", &hooks.create_runtime, &json, Inherit::Own, &state.bundle)
}
