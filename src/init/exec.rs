//! Inside, for `exec`: what happens between clone and execve of a process that joins a running container.
//!
//! Unlike a container's init this process is seen by hostile ones. It is not dumpable from before the first namespace
//! is joined until its program runs (CVE-2016-9962), and holds no descriptor of the host.
use super::credentials::{Rights, set_affinity};
use super::execve::{become_process, exec, load_late_filter};
use super::labels;
use super::landlock;
use super::listener::Host;
use super::namespaces::{join_keyring, part_from_binary};
use super::procfs::Procfs;
use super::root::Root;
use super::stdio::take_terminal;
use super::{Step, give_up, log_to};
use crate::console;
use crate::plan::exec::Plan;
use crate::plan::labels::Labels;
use crate::short_file;
use crate::spawn::failure::Failure;
use crate::spawn::not_forked;
use crate::spawn::wire::Wire;
use crate::sys::clone::{Cloned, clone};
use crate::sys::{descriptor, exe, prctl, process, sched, signal, vfork::Vforked};
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat, readlink};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, setsid};
use std::convert::Infallible;
use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::Arc;

/// Exit status of a process whose program could not be executed.
const NOT_EXECUTED: i32 = 255;

/// What the new process is given by the one it was cloned from.
pub struct Join<'a> {
    /// What to do.
    pub plan: &'a Plan,
    /// To the parent.
    pub wire: Arc<Wire>,
    /// A pidfd of the container's first process.
    pub init: OwnedFd,
    /// The container's user namespace.
    pub user: OwnedFd,
    /// The parent does nothing more before the program runs, so that nobody waits for it.
    pub ahead: bool,
}

/// What it is called until its program runs.
pub const NAME: &CStr = c"rrunc:[exec]";
/// What the arguments are overwritten with.
pub const TITLE: &str = "rrunc exec";

/// Runs in the process that joins; ends in the program, or in a report of why not. `needs_cgroup`: it waits until systemd has
/// moved it into the container's cgroup.
pub fn run(join: &Join, needs_cgroup: bool) -> ! {
    log_to(&join.wire);
    exe::forget_arguments(TITLE);
    let step = Step::new();
    step.begin("cgroup");
    let moved = if needs_cgroup { join.wire.need_cgroup() } else { Ok(()) };
    let entered = moved.and_then(|()| enter(join, &step)).and_then(|()| {
        // A pid namespace is joined for children only.
        if join.plan.namespaces & libc::CLONE_NEWPID == 0 { Ok(Cloned::Child) } else { fork_inside(&step) }
    });
    match entered {
        Ok(Cloned::Child) => become_program(join, &step),
        Ok(Cloned::Parent(pid, child)) => {
            let told = join.wire.process(pid.as_raw(), child.as_fd());
            process::exit_now(i32::from(told.is_err()));
        }
        Err(error) => give_up(&join.wire, &step, &error, 1),
    }
}

/// The same in a process on its parent's memory, which logs to the wire and has forgotten its arguments: the pid of what it
/// has forked to become the program. `None` when it has reported why not.
///
/// What is forked is on that memory, too, if it has nothing to wait for.
pub fn run_on_parents_memory(join: &Join, vforked: &Vforked) -> Option<Pid> {
    let step = Step::new();
    let forked = enter(join, &step).and_then(|()| {
        if join.ahead {
            step.begin("pid namespace");
            return vforked.sibling(|| become_program(join, &step)).map_err(not_forked_inside);
        }
        match fork_inside(&step)? {
            Cloned::Child => become_program(join, &step),
            Cloned::Parent(pid, _) => Ok(pid),
        }
    });
    // A parent that is gone hears nothing.
    forked.map_err(|error| join.wire.failed(&Failure::new(step.0.get(), &error)).ok()).ok()
}

/// A process of the pid namespace that this one has joined for its children. It is our parent's child, who waits for it.
fn fork_inside(step: &Step) -> Result<Cloned> {
    step.begin("pid namespace");
    clone(CloneFlags::CLONE_PARENT).map_err(not_forked_inside)
}

fn not_forked_inside(errno: Errno) -> anyhow::Error {
    match errno {
        // What the kernel says of a pid namespace whose first process has ended (clone(2)), and of nothing likelier here.
        Errno::ENOMEM => anyhow::Error::new(errno).context("fork").context("the container has stopped"),
        errno => not_forked(errno),
    }
}

fn become_program(join: &Join, step: &Step) -> ! {
    let Err(error) = set_up_and_execute(join, step);
    let told = join.wire.failed(&Failure::new(step.0.get(), &error));
    process::exit_now(if told.is_ok() { NOT_EXECUTED } else { 1 })
}

/// What is done outside, as it takes the host's /proc, and then inside all namespaces but that of processes.
fn enter(join: &Join, step: &Step) -> Result<()> {
    let Join { plan, wire, init, .. } = join;
    step.begin("descriptors");
    let kept = [wire.raw(), init.as_raw_fd(), join.user.as_raw_fd()];
    descriptor::close_except(3 + plan.passed_fds as RawFd, &kept)?;

    prctl::set_name(NAME)?;
    // The host's /proc: the container's may be anything.
    signal::stop_ignoring(&short_file::read("/proc/self/status").context("read /proc/self/status")?)?;

    let process = &plan.process;
    if process.oom_score_adj.is_some() || process.labels != Labels::default() {
        // No descriptor of the host goes into the container: it is closed here.
        let proc = Procfs::open()?;
        step.begin("oom score");
        if let Some(score) = process.oom_score_adj {
            proc.write("self/oom_score_adj", &score.to_string())?;
        }
        step.begin("labels");
        labels::at_execve(&process.labels, &proc)?;
    }

    step.begin("processors");
    if let Some(set) = &plan.initial_affinity {
        set_affinity("initial", set)?;
    }
    // In runc's words, which its test suite looks for.
    if log::log_enabled!(log::Level::Debug)
        && let Ok(processors) = sched::getaffinity()
    {
        log::debug!("nsexec: affinity: 0x{processors:x}");
    }

    join_all(join, step)
}

/// Joins the namespaces, parted from our binary as soon as there is the right to it and before anybody inside can look.
fn join_all(join: &Join, step: &Step) -> Result<()> {
    let Join { plan, init, user, .. } = join;
    let others = plan.namespaces & !libc::CLONE_NEWUSER;
    let own_ids = plan.has_own_ids();
    step.begin("join namespaces");
    // Not before the score is written: of a process that is not dumpable these files are root's.
    prctl::set_dumpable(false)?;
    if own_ids {
        // Not by the first process, as the others: that may have entered another since it was looked at.
        join_namespaces(user, libc::CLONE_NEWUSER)?;
    }
    if plan.replace_exe {
        step.begin("own binary");
        let path = if own_ids && others & libc::CLONE_NEWNS != 0 {
            // From here on there is the right to do it, and the host's mounts are still in reach: as copies of our own.
            // Those whose number the container has limited: all of it is copied then, which takes longer.
            unshare(CloneFlags::CLONE_NEWNS).and_then(|()| readlink("/proc/self/exe")).ok()
        } else {
            None
        };
        part_from_binary(path.as_deref().map(Path::new))?;
        step.begin("join namespaces");
    }
    if others != 0 {
        join_namespaces(init, others)?;
    }
    if own_ids {
        // What one has in a new user namespace may count as a gain of rights, which falls back to fs.suid_dumpable.
        prctl::set_dumpable(false)?;
    }
    Ok(())
}

fn join_namespaces(of: &OwnedFd, namespaces: i32) -> Result<()> {
    process::setns(of.as_fd(), namespaces).map_err(|e| {
        let error = anyhow::Error::new(e).context("join the container's namespaces");
        match e {
            Errno::ESRCH => error.context("the container has stopped"),
            _ => error,
        }
    })
}

fn set_up_and_execute(join: &Join, step: &Step) -> Result<Infallible> {
    let Join { plan, wire, .. } = join;
    let own_ids = plan.has_own_ids();
    let only_id = own_ids && plan.only_id && !process::is_set_id();

    step.begin("session");
    setsid()?;

    step.begin("ids");
    if own_ids && !only_id {
        become_root()?;
    }

    step.begin("keyring");
    if let Some(name) = &plan.keyring {
        join_keyring(name)?;
    }

    step.begin("terminal");
    if plan.process.terminal {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let root = Root::new(openat(AT_FDCWD, "/", flags, Mode::empty())?.into(), false);
        take_terminal(&plan.process, &root, false, false, wire)?;
        console::become_controlling()?;
    }

    step.begin("process");
    let ready = become_process(
        &plan.process,
        Rights { own_ids, only_id, dumpable: false, keep_permitted: false },
        &Host::Exec(wire),
    )?;
    if join.ahead {
        wire.ready_ahead()?
    } else {
        wire.ready()?
    }

    step.begin("landlock");
    if let Some(landlock) = &plan.landlock {
        landlock::confine(landlock, 3 + plan.passed_fds as RawFd)?;
    }
    step.begin("seccomp");
    load_late_filter(&plan.process, &Host::Exec(wire))?;
    step.begin("");
    match descriptor::close_except(3 + plan.passed_fds as RawFd, &[wire.raw()]) {
        // A filter loaded before (no_new_privs is off) may refuse it; all of ours are close-on-exec besides.
        Ok(()) | Err(Errno::EPERM | Errno::ENOSYS) => {}
        Err(e) => return Err(e).context("close the descriptors"),
    }
    exec(&plan.process.args, &ready)
}

/// Root of the container's user namespace, where it has one.
fn become_root() -> Result<()> {
    for set in [process::setresgid as fn(u32) -> nix::Result<()>, process::setresuid] {
        match set(0) {
            Ok(()) | Err(Errno::EINVAL) => {}
            Err(e) => return Err(e).context("become root of the user namespace"),
        }
    }
    // Every change of ids falls back to fs.suid_dumpable, which may be anything.
    Ok(prctl::set_dumpable(false)?)
}
