//! Inside: what happens between clone and execve, in order. Every step carries a label; a failure is reported to the
//! parent with it and ends the process. Nothing is decided here, see `plan`.
mod bind;
mod copy_up;
mod cover;
mod credentials;
mod devices;
pub mod exec;
mod execve;
pub mod idmap;
mod labels;
mod landlock;
mod listener;
mod mount_call;
mod mounts;
pub mod namespaces;
mod own;
pub mod procfs;
mod program;
pub mod reaper;
mod root;
mod rootfs;
mod stdio;

use crate::cgroup::{self, place::Place};
use crate::console;
use crate::hooks::{self, Inherit};
use crate::nameserver;
use crate::plan::Plan;
use crate::plan::namespaces::Kind;
use crate::spawn::failure::Failure;
use crate::spawn::gate::{self, Opened};
use crate::spawn::namespaces_of;
use crate::spawn::wire::Wire;
use crate::state::{State, Status};
use crate::sys::descriptor::Brief;
use crate::sys::{self, exe, netdevice, prctl, process, signal};
use crate::watchdog::FILES;
use anyhow::{Context, Result, bail};
use credentials::Rights;
use execve::Ready;
use listener::Host;
use mounts::Made;
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{SockaddrIn, bind};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{getpid, sethostname, setsid};
use procfs::Procfs;
use std::cell::Cell;
use std::convert::Infallible;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Exit status of an init whose program could not be executed, as runc has it.
const NOT_EXECUTED: i32 = 255;

/// What a new init is given by the process it was cloned from.
pub struct Start<'a> {
    /// What to do.
    pub plan: &'a Plan,
    /// The container as hooks get to see it.
    pub state: &'a State,
    /// To the parent.
    pub wire: Wire,
    /// `create`: where to wait for `start`.
    pub gate: Option<OwnedFd>,
    /// Path of our own binary on the host, when the container must not reach it.
    pub exe: Option<PathBuf>,
}

/// The label of the step at work, for failures and the debug log.
pub struct Step(Cell<&'static str>);

impl Step {
    /// No step yet.
    pub fn new() -> Step {
        Step(Cell::new("start"))
    }

    /// Begins the step called `label`; one without a name, which execve is, says nothing: the program's filter is loaded.
    pub fn begin(&self, label: &'static str) {
        if !label.is_empty() {
            crate::log::step("init", label);
        }
        self.0.set(label);
    }
}

impl Default for Step {
    fn default() -> Self {
        Step::new()
    }
}

/// Runs as the container's first process; ends in the program, or in a report of why not.
pub fn run(start: Start) -> ! {
    let Start { plan, state, wire, gate, exe } = start;
    // Before anything else: see `log::redirect`.
    crate::log::redirect(Box::new(|_, _| {}));
    // What a gate would have there is needed still.
    let wire = Arc::new(if gate.is_none() { wire.lowest(3 + plan.passed_fds as RawFd) } else { wire });
    let step = Step::new();
    log_to(&wire);
    let set_up = set_up(plan, state, &wire, gate.as_ref(), exe.as_deref(), &step);
    // From here on the parent may be gone, and the gate's connection is the one that listens.
    let (listener, ready) = match (set_up, gate) {
        (Err(error), _) => give_up(&wire, &step, &error, 1),
        (Ok(ready), gate) => (gate, ready),
    };
    if let (Some(_), Some(process)) = (&listener, &plan.process) {
        execve::release_pages(process);
    }
    let opened = match listener.map(gate::wait).transpose() {
        Ok(opened) => opened,
        Err(error) => give_up(&wire, &step, &error, 1),
    };
    let Err(error) = execute(plan, state, &ready, opened.as_ref(), &wire, &step);
    let failure = Failure::new(step.0.get(), &error);
    if opened.is_some() {
        execve::tell_output(&error);
    }
    // Nobody left to tell is no reason to stay.
    let told = opened.as_ref().map_or_else(|| wire.failed(&failure), |start| start.failed(&failure));
    process::exit_now(if told.is_ok() { NOT_EXECUTED } else { 1 })
}

/// Sends every log line of this process to the parent.
pub fn log_to(wire: &Arc<Wire>) {
    let wire = Arc::clone(wire);
    crate::log::redirect(Box::new(move |level, text| {
        // A parent that is gone has no use for the line.
        wire.log(level, text).ok();
    }));
}

/// Reports `error` and ends the process.
pub fn give_up(wire: &Wire, step: &Step, error: &anyhow::Error, status: i32) -> ! {
    let told = wire.failed(&Failure::new(step.0.get(), error));
    process::exit_now(if told.is_ok() { status } else { 1 })
}

/// Everything up to the point where `create` is done.
fn set_up(
    plan: &Plan,
    state: &State,
    wire: &Wire,
    gate: Option<&OwnedFd>,
    exe: Option<&Path>,
    step: &Step,
) -> Result<Option<Ready>> {
    let own_mounts = plan.namespaces.has(Kind::Mount);

    step.begin("descriptors");
    // What is made in the rootfs is for all of its users, whatever the caller's mask.
    let public = Mode::S_IWGRP | Mode::S_IWOTH;
    let callers_mask = umask(public);
    let kept = [wire.raw(), gate.map_or(-1, |g| g.as_raw_fd())];
    let first = 3 + plan.passed_fds as RawFd;
    sys::descriptor::close_except(first, &kept)?;
    let limit = sys::descriptor::make_room(plan.mounts.len())?;

    step.begin("arguments");
    exe::forget_arguments("rrunc init");
    let proc = Procfs::open()?;
    if plan.namespaces.joins(Kind::Pid) {
        // We are not dumpable there, so nobody else can tell.
        wire.namespaces(&namespaces_of(plan, "self")?)?;
    }

    step.begin("id maps");
    let (early, early_root) = if plan.sources_first {
        (bind::in_reach(&plan.mounts), rootfs::open(&plan.rootfs).ok())
    } else {
        Default::default()
    };
    namespaces::become_root(plan, &proc, wire)?;

    step.begin("session");
    setsid()?;
    // Not before: what a terminal sends is for who has left its session no longer, whatever it does by default.
    signal::stop_ignoring(&proc.read("self/status")?)?;

    step.begin("own binary");
    if let Some(path) = exe {
        namespaces::part_from_binary(own_mounts.then_some(path))?;
    }

    step.begin("oom score");
    if plan.namespaces.join.is_empty() {
        namespaces::set_oom_score(plan, &proc)?;
    }

    step.begin("time namespace");
    if plan.namespaces.is_new(Kind::Time) {
        namespaces::enter_time_namespace(plan, &proc)?;
    }

    step.begin("cgroup namespace");
    if let Place::Scope(_) = plan.cgroup {
        wire.need_cgroup()?;
    }
    if plan.cgroup.is_own() && plan.namespaces.is_new(Kind::Cgroup) {
        if let Some(uid) = plan.cgroup_owner {
            cgroup::give_to(uid)?;
        }
        // Now: the cgroup that a process is in becomes the root of its namespace.
        unshare(CloneFlags::CLONE_NEWCGROUP)?;
    }

    step.begin("keyring");
    if let Some(name) = &plan.keyring {
        namespaces::join_keyring(name)?;
    }

    step.begin("network");
    if plan.namespaces.is_new(Kind::Network) {
        let socket = Brief::from(netdevice::loopback_up().context("bring up the loopback interface")?);
        if plan.no_names {
            bind(socket.as_raw_fd(), &SockaddrIn::from(nameserver::ADDRESS)).context("bind the port for names")?;
            wire.names(socket.as_fd())?;
        }
        if plan.counts_sockets {
            wire.sockets(netdevice::table_of_sockets().context("open the kernel's table of sockets")?.as_fd())?;
        }
    }

    if plan.counts_system_v {
        let tables = FILES.map(|file| proc.open_file(file));
        let [segments, messages, semaphores] = tables;
        wire.system_v(&[segments?, messages?, semaphores?])?;
    }

    step.begin("mounts");
    // Sources first: what is mounted next could hide them, or be a trap laid for their paths.
    let sources = bind::open_sources(&plan.mounts, early)?;
    let root = rootfs::attach(plan, early_root, own_mounts)?;
    let Made { late_readonly, own } = mounts::make(&root, &plan.mounts, sources, &proc)?;

    step.begin("devices");
    if own_mounts {
        devices::make(&root, own.as_ref(), &plan.devices)?;
        if plan.dev_links {
            devices::links(&root, own.as_ref())?;
        }
    }

    step.begin("hooks");
    run_create_hooks(plan, state, wire, callers_mask)?;

    step.begin("terminal");
    if let Some(process) = plan.process.as_ref().filter(|p| p.terminal) {
        stdio::take_terminal(process, &root, own_mounts, plan.keep_streams, wire)?;
        // With a reaper it is the program's session that controls the terminal, and that comes later.
        if !plan.reaper {
            console::become_controlling()?;
        }
    }

    step.begin("working directory");
    if let Some(process) = &plan.process {
        rootfs::make_cwd(&root, Path::new(std::ffi::OsStr::from_bytes(process.cwd.as_bytes())))?;
    }

    step.begin("masked and read-only paths");
    for mount in late_readonly {
        let read_only = sys::mount::Attr { set: sys::mount::MOUNT_ATTR_RDONLY, ..Default::default() };
        sys::mount::mount_setattr(mount.as_fd(), false, &read_only)?;
    }
    cover::make(&root, plan)?;

    step.begin("sysctl");
    for (file, value) in &plan.sysctl {
        proc.set_parameter(file, value)?;
    }

    step.begin("labels");
    if let Some(process) = &plan.process {
        labels::at_execve(&process.labels, &proc)?;
    }

    step.begin("root");
    rootfs::enter(&root, plan, own_mounts)?;
    drop((root, own, proc));
    // The `Brief` ones. Before the working directory is entered: none may lead to the host (CVE-2024-21626).
    sys::descriptor::close_except(first, &kept)?;
    if let Some((soft, hard)) = limit {
        sys::descriptor::limit_room(soft, hard).context("restore the limit of open files")?;
    }
    if plan.namespaces.joins(Kind::Pid) && plan.dumpable {
        // See `spawn::join`: the host is gone.
        prctl::set_dumpable(true)?;
    }
    stdio::reopen_null()?;

    step.begin("host name");
    if let Some(name) = &plan.hostname {
        sethostname(name).context("sethostname")?;
    }
    if let Some(name) = &plan.domainname {
        process::setdomainname(name).context("setdomainname")?;
    }

    step.begin("process");
    if callers_mask != public {
        umask(callers_mask);
    }
    let rights = Rights {
        own_ids: plan.namespaces.has(Kind::User),
        only_id: namespaces::has_only_id(plan),
        dumpable: plan.dumpable,
        // Who waits, or still has a filter to come, is not to be traced by those who have no more than it will have.
        keep_permitted: gate.is_some() || plan.is_confined_late(),
    };
    let ready = plan
        .process
        .as_ref()
        .map(|process| execve::become_process(process, rights, &Host::Parent(wire)))
        .transpose()?;
    if plan.die_with_parent {
        // Last: every change of ids or capabilities clears it. A parent that died before this leaves the wire closed.
        prctl::set_parent_death_signal()?;
    }
    wire.ready()?;
    Ok(ready)
}

/// From `start` to the program.
fn execute(
    plan: &Plan,
    state: &State,
    ready: &Option<Ready>,
    opened: Option<&Opened>,
    wire: &Wire,
    step: &Step,
) -> Result<Infallible> {
    let (Some(ready), Some(process)) = (ready, &plan.process) else { bail!("process property must not be empty") };
    step.begin("capabilities");
    ready.drop_permitted()?;
    step.begin("reaper");
    if plan.reaper {
        reaper::stay_behind(process.terminal)?;
        if plan.dumpable && process.seccomp.as_ref().is_some_and(|filter| filter.listener.is_some()) {
            // Its listener has to be taken out of it.
            prctl::set_dumpable(true)?;
        }
    }
    step.begin("startContainer hooks");
    let hooks = &plan.hooks.start_container;
    if hooks.is_empty() {
        // The filter may forbid even what it takes to say so, so this comes first.
        opened.map_or(Ok(()), |start| start.executing(process.hides_failure()))?;
    }
    step.begin("landlock");
    if let Some(landlock) = &plan.landlock {
        landlock::confine(landlock, 3 + plan.passed_fds as RawFd)?;
    }
    step.begin("seccomp");
    execve::load_late_filter(process, &opened.map_or(Host::Parent(wire), Host::Start))?;
    step.begin("startContainer hooks");
    if !hooks.is_empty() {
        let json = state.oci_json(Status::Created, getpid().as_raw());
        hooks::run("startContainer", hooks, &json, Inherit::Given(ready.env.clone()), Path::new("/"))?;
        opened.map_or(Ok(()), |start| start.executing(process.hides_failure()))?;
    }
    step.begin("");
    execve::exec(&process.args, ready)
}

/// `mask`: the file mode creation mask that the hooks get.
fn run_create_hooks(plan: &Plan, state: &State, wire: &Wire, mask: Mode) -> Result<()> {
    if !(plan.hooks.prestart.is_empty() && plan.hooks.create_runtime.is_empty()) {
        wire.need_hooks()?;
    }
    let hooks = &plan.hooks.create_container;
    if hooks.is_empty() {
        return Ok(());
    }
    let json = state.oci_json(Status::Creating, getpid().as_raw());
    let public = umask(mask);
    hooks::run("createContainer", hooks, &json, Inherit::Nothing, &plan.rootfs.path)?;
    umask(public);
    Ok(())
}
