//! `run`: create, start, wait, delete.
use super::create::{self, Created, Request, Waiting};
use super::{Outcome, delete, start};
use crate::bundle::Bundle;
use crate::cgroup::oom::OomKills;
use crate::cgroup::stats;
use crate::cli::{Global, RunArgs};
use crate::covers::{self, Inside};
use crate::error::{errno_of, one_line};
use crate::log::step;
use crate::nameserver::Nameserver;
use crate::notify::Proxy;
use crate::plan::covers::Covers;
use crate::plan::{KEEP_STREAMS, REAPER};
use crate::relay;
use crate::spawn::Spawned;
use crate::state::{Container, Root, State};
use crate::supervise::{Ended, Supervised, supervise};
use crate::sys::{pidfd, prctl, signal};
use crate::watchdog::{Excess, Kernel, Limits, Sockets, SystemV};
use anyhow::Result;
use nix::errno::Errno;
use nix::unistd::Pid;
use oci_spec::runtime::{Hooks, LinuxNamespace, LinuxNamespaceType, Spec};
use std::os::fd::AsFd;
use std::path::Path;

/// Runs the verb.
pub fn run(global: &Global, args: &RunArgs) -> Result<Outcome> {
    let waiting = if args.detach { Waiting::Nobody } else { Waiting::Us };
    let request = Request::of(global, &args.create, waiting)?;
    let mut root = Root::open(global.root.as_deref())?;
    let bundle = Bundle::load(&args.create.bundle)?;
    let container = root.create(&request.id)?;
    if args.detach {
        return detached(container, bundle, &request);
    }
    let foreground =
        Foreground { keep: args.keep, subreaper: !args.no_subreaper, last: true, created: None, started: None };
    let ended = foreground.run(container, bundle, &request)?;
    if ended.excess == Some(Excess::Memory) {
        log::warn!("the container has reached its limit of memory and was ended (out of memory)");
    }
    ended.fallen.iter().for_each(|fallen| log::warn!("{}", covers::told(fallen)));
    Ok(Outcome::from(status(&ended)))
}

/// The exit status of rrunc: the program's, or 124 as of timeout(1).
pub fn status(ended: &Ended) -> u8 {
    match ended.excess {
        Some(Excess::Time) => 124,
        _ => ended.status.clamp(0, 255) as u8,
    }
}

fn detached(container: Container, bundle: Bundle, request: &Request) -> Result<Outcome> {
    let created = create::create(container, bundle, request, false)?;
    let (mut created, ready) = begin(created, false, false)?;
    created.container.unlock()?;
    if let Some(ready) = ready {
        ready.wait(created.init.pidfd.as_fd(), Pid::from_raw(created.init.pid))?;
    }
    Ok(Outcome::default())
}

/// How a container is run to its end.
pub struct Foreground<'a> {
    /// It stays behind, stopped.
    pub keep: bool,
    /// Orphans of the container come to us.
    pub subreaper: bool,
    /// rrunc ends after it, so that what is still open then is for its exit to close.
    pub last: bool,
    /// Told the pid of the first process, before the program runs.
    pub created: Option<&'a mut dyn FnMut(i32) -> Result<()>>,
    /// Called once the program runs: for what may be done beside it.
    pub started: Option<&'a mut dyn FnMut()>,
}

impl Foreground<'_> {
    /// Runs the new `container` of `bundle` to its end.
    pub fn run(self, container: Container, bundle: Bundle, request: &Request) -> Result<Ended> {
        // From before the clone on: a signal in between would end us and leave the container behind.
        signal::block_all()?;
        let subreaper = self.subreaper && (self.created.is_some() || leaves_orphans(&bundle.spec));
        if subreaper {
            prctl::set_child_subreaper()?;
        }
        let created = create::create(container, bundle, request, self.created.is_none())?;
        let limits = Limits::of(|name| created.state.annotations.get(name))?;
        if let Some(tell) = self.created
            && let Err(error) = tell(created.init.pid)
        {
            created.undo();
            return Err(error);
        }
        let (Created { mut container, state, mut init, hooks }, notify) = begin(created, true, self.keep)?;
        // Others may look at it, signal it, and delete it while it runs.
        container.unlock()?;
        if let Some(started) = self.started {
            started();
        }
        let kills = state.cgroup.as_deref().and_then(OomKills::watch);
        let covers = init.covers.take().and_then(|(covers, inside)| watched(covers, inside, &init));
        let mut ended = supervise(Supervised {
            pid: Pid::from_raw(init.pid),
            pidfd: init.pidfd.as_fd(),
            master: init.terminal.take(),
            only_terminals: state.annotations.get(KEEP_STREAMS).is_some_and(|value| value == "true"),
            subreaper,
            reaper: state.annotations.get(REAPER).is_some_and(|value| value == "true"),
            notify,
            names: init.names.take().map(Nameserver::new),
            kernel: Kernel {
                sockets: init.sockets.take().map(Sockets::new).transpose()?,
                system_v: init.system_v.take().map(SystemV::new).transpose()?,
            },
            limits,
            covers,
        })?;
        if let (Some(dir), Some(kills)) = (&state.cgroup, kills) {
            count_memory(dir, kills, &mut ended);
        }
        if !self.keep {
            remove(&mut container, &state, hooks.as_ref());
        }
        if self.last {
            // And to let go of the lock: nobody shares the directory any more. A system call less for each.
            std::mem::forget((container, init));
        } else {
            container.unlock()?;
        }
        Ok(ended)
    }
}

/// Where /proc shows nothing of others (hidepid) a container runs all the same, and that is said. One that has ended has no
/// mounts.
fn watched(covers: Covers, inside: Inside, init: &Spawned) -> Option<covers::Watch> {
    let watch = covers::Watch::begin(covers, inside, init.pid);
    if let Err(error) = &watch {
        let exits = errno_of(error) == Some(Errno::EINVAL) || pidfd::has_ended(init.pidfd.as_fd()).unwrap_or_default();
        if !exits {
            log::warn!("what is replaced on the host is not covered again: {}", one_line(error));
        }
    }
    watch.ok()
}

/// Whether there may be processes whose parent has ended and that are no child of anybody in the container: its hooks', and
/// its own where it has no pid namespace, whose first process would get them.
fn leaves_orphans(spec: &Spec) -> bool {
    let namespaces = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_deref()).unwrap_or_default();
    let own = |one: &LinuxNamespace| one.typ() == LinuxNamespaceType::Pid && one.path().is_none();
    spec.hooks().is_some() || !namespaces.iter().any(own)
}

/// What the cgroup `dir` tells of the memory of what has ended in it.
fn count_memory(dir: &Path, mut kills: OomKills, ended: &mut Ended) {
    ended.oom_kills = kills.new_ones();
    ended.peak = ended.peak.max(stats::peak(dir));
    if ended.oom_kills > 0 && ended.status == 128 + libc::SIGKILL {
        ended.excess.get_or_insert(Excess::Memory);
    }
}

/// Removes what has ended. It may have been deleted meanwhile, and its id used again: that is another's.
fn remove(container: &mut Container, state: &State, hooks: Option<&Hooks>) {
    let removed = match container.lock() {
        Ok(true) => delete::remove_with(container, state, hooks),
        Ok(false) => Ok(()),
        Err(e) => Err(e),
    };
    if let Err(e) = removed {
        log::warn!("delete {}: {}", state.id, one_line(&e));
    }
}

/// Lets the program run, and the poststart hooks after it. On failure the container is undone, or left stopped with
/// `keep`.
fn begin(mut created: Created, foreground: bool, keep: bool) -> Result<(Created, Option<Proxy>)> {
    let mut go = || -> Result<Option<Proxy>> {
        let proxy = proxy(&created.container)?;
        if let Some(master) = created.init.terminal.as_ref().filter(|_| foreground) {
            relay::copy_window_size(master.as_fd())?;
        }
        step("run", "start");
        created.init.go()?;
        created.init.wait_exec()?;
        start::poststart(&created.state, created.hooks.as_ref(), &created.init.pidfd)?;
        Ok(proxy)
    };
    match go() {
        Ok(proxy) => Ok((created, proxy)),
        Err(error) if keep => created.init.kill().and(Err(error)),
        Err(error) => {
            created.undo();
            Err(error)
        }
    }
}

fn proxy(container: &Container) -> Result<Option<Proxy>> {
    start::notify_proxy(container)
}
