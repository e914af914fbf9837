//! Inside: what happens between clone and execve, in order. Every step carries a label; a failure is reported to the
//! parent with it and ends the process. Nothing is decided here, see `plan`.
pub mod copy_up;
pub mod cover;
pub mod credentials;
pub mod devices;
pub mod exec;
pub mod idmap;
pub mod labels;
pub mod mounts;
pub mod procfs;
pub mod program;
pub mod reaper;
pub mod root;
pub mod rootfs;

use crate::console;
use crate::error::NotExecuted;
use crate::hooks::{self, Inherit};
use crate::host::IdMap;
use crate::plan::namespaces::{CLONE_NEWTIME, Kind};
use crate::plan::{Plan, Process, ids::Writer};
use crate::spawn::gate::{self, Opened};
use crate::spawn::wire::{Failure, Wire};
use crate::state::{State, Status};
use crate::sys::{self, exe, keyctl, netdevice, prctl, process, signal::Saved};
use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, execve, getpid, sethostname, setsid};
use procfs::Procfs;
use root::Root;
use std::cell::Cell;
use std::convert::Infallible;
use std::ffi::CString;
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
    /// The caller's signal mask, for the program.
    pub signals: Saved,
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

    /// Begins the step called `label`.
    pub fn begin(&self, label: &'static str) {
        log::debug!("init: {label}");
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
    let Start { plan, state, wire, gate, signals, exe } = start;
    let wire = Arc::new(wire);
    let step = Step::new();
    log_to(&wire);
    let set_up = set_up(plan, state, &wire, gate.as_ref(), exe.as_deref(), &step);
    // From here on the parent may be gone, and the gate's connection is the one that listens.
    let (listener, ready) = match (set_up, gate) {
        (Err(error), _) => give_up(&wire, &step, &error, 1),
        (Ok(ready), gate) => (gate, ready),
    };
    let opened = match listener.map(gate::wait).transpose() {
        Ok(opened) => opened,
        Err(error) => give_up(&wire, &step, &error, 1),
    };
    let Err(error) = execute(plan, state, &ready, opened.as_ref(), &wire, &signals, &step);
    let failure = Failure::new(step.0.get(), &error);
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

/// A program that is about to run.
pub struct Ready {
    path: CString,
    env: Vec<CString>,
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
    let own_ids = plan.namespaces.has(Kind::User);

    step.begin("descriptors");
    let kept = [wire.raw(), gate.map_or(-1, |g| g.as_raw_fd())];
    sys::descriptor::close_except(3 + plan.passed_fds as RawFd, &kept)?;

    step.begin("arguments");
    exe::forget_arguments("rrunc init");
    prctl::set_name(c"rrunc:[init]")?;
    let proc = Procfs::open()?;

    step.begin("id maps");
    become_root(plan, &proc, wire)?;

    step.begin("session");
    setsid()?;

    step.begin("own binary");
    if let Some(path) = exe {
        part_from_binary(path, own_mounts)?;
    }

    step.begin("oom score");
    if let Some(score) = plan.process.as_ref().and_then(|p| p.oom_score_adj) {
        proc.write("self/oom_score_adj", &score.to_string())?;
    }

    step.begin("time namespace");
    if plan.namespaces.is_new(Kind::Time) {
        enter_time_namespace(plan, &proc)?;
    }

    step.begin("keyring");
    if let Some(name) = &plan.keyring {
        join_keyring(name)?;
    }

    step.begin("network");
    if plan.namespaces.is_new(Kind::Network) {
        netdevice::loopback_up().context("bring up the loopback interface")?;
    }

    step.begin("mounts");
    // Sources first: what is mounted next could hide them, or be a trap laid for their paths.
    let sources = mounts::open_sources(&plan.mounts)?;
    let root = rootfs::attach(&plan.rootfs, own_mounts, plan.namespaces.is_new(Kind::User))?;
    let late_readonly = mounts::make(&root, &plan.mounts, sources, &proc)?;

    step.begin("devices");
    if own_mounts {
        devices::make(&root, &plan.devices)?;
        if plan.dev_links {
            devices::links(&root)?;
        }
    }

    step.begin("hooks");
    run_create_hooks(plan, state, wire)?;

    step.begin("terminal");
    if let Some(process) = plan.process.as_ref().filter(|p| p.terminal) {
        take_terminal(process, &root, own_mounts, plan.keep_streams, wire)?;
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
    for mount in &late_readonly {
        let read_only = sys::mount::Attr { set: sys::mount::MOUNT_ATTR_RDONLY, ..Default::default() };
        sys::mount::mount_setattr(mount.as_fd(), false, &read_only)?;
    }
    cover::make_readonly(&root, &plan.readonly)?;
    cover::mask(&root, &plan.masked, plan.mount_label.as_deref())?;

    step.begin("sysctl");
    for (file, value) in &plan.sysctl {
        proc.write(&format!("sys/{file}"), value)?;
    }

    step.begin("root");
    rootfs::enter(&root, plan, own_mounts)?;
    drop(root);
    reopen_null()?;

    step.begin("host name");
    if let Some(name) = &plan.hostname {
        sethostname(name).context("sethostname")?;
    }
    if let Some(name) = &plan.domainname {
        process::setdomainname(name).context("setdomainname")?;
    }

    step.begin("labels");
    if let Some(process) = &plan.process {
        labels::at_execve(&process.labels, &proc)?;
    }
    drop(proc);

    step.begin("process");
    let ready = plan.process.as_ref().map(|process| become_process(process, own_ids, true)).transpose()?;
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
    signals: &Saved,
    step: &Step,
) -> Result<Infallible> {
    let (Some(ready), Some(process)) = (ready, &plan.process) else { bail!("process property must not be empty") };
    step.begin("reaper");
    if plan.reaper {
        reaper::stay_behind(process)?;
    }
    step.begin("startContainer hooks");
    let hooks = &plan.hooks.start_container;
    if hooks.is_empty() {
        // The filter may forbid even what it takes to say so, so this comes first.
        opened.map_or(Ok(()), Opened::executing)?;
    }
    step.begin("seccomp");
    load_late_filter(process)?;
    step.begin("startContainer hooks");
    if !hooks.is_empty() {
        let json = state.oci_json(Status::Created, getpid().as_raw());
        hooks::run("startContainer", hooks, &json, Inherit::Given(ready.env.clone()), Path::new("/"))?;
        opened.map_or(Ok(()), Opened::executing)?;
    }
    step.begin("");
    let report = opened.map_or(wire.raw(), |o| o.raw());
    exec(&process.args, ready, 3 + plan.passed_fds as RawFd, report, signals)
}

/// Replaces this process by the program. All descriptors from `first` on are closed for good, but for `report`.
pub fn exec(args: &[CString], ready: &Ready, first: RawFd, report: RawFd, signals: &Saved) -> Result<Infallible> {
    signals.restore_for_exec()?;
    match sys::descriptor::close_except(first, &[report]) {
        // A filter loaded before (no_new_privs is off) may refuse it; all of ours are close-on-exec besides.
        Ok(()) | Err(Errno::EPERM | Errno::ENOSYS) => {}
        Err(e) => return Err(e).context("close the descriptors"),
    }
    let Err(errno) = execve(&ready.path, args, &ready.env);
    // One bare line, as runc has it: clients read it.
    let name = ready.path.to_string_lossy();
    Err(NotExecuted { errno, text: format!("exec {name}: {}", errno.desc().to_lowercase()) }.into())
}

/// Gets the ids of root inside: writes the one-line maps, or waits until the parent has had the real ones written.
fn become_root(plan: &Plan, proc: &Procfs, wire: &Wire) -> Result<()> {
    if let Some(ids) = &plan.ids {
        if ids.writer == Writer::Child {
            for (file, map) in [("uid_map", &ids.uid), ("gid_map", &ids.gid)] {
                if file == "gid_map" {
                    proc.write("self/setgroups", "deny")?;
                }
                proc.write(&format!("self/{file}"), &IdMap::lines(map))?;
            }
        } else {
            wire.need_id_maps()?;
        }
        if ids.gid.iter().any(|m| m.inside == 0) {
            process::setresgid(0).context("become group 0 of the user namespace")?;
        }
        if ids.uid.iter().any(|m| m.inside == 0) {
            process::setresuid(0).context("become root of the user namespace")?;
        }
        // The change of the kernel's ids has cleared it, and hooks need our /proc/PID/ns.
        prctl::set_dumpable(true)?;
    }
    Ok(())
}

/// Opens our binary again, through a mount of the new namespace, and parts from it.
fn part_from_binary(path: &Path, own_mounts: bool) -> Result<()> {
    let file = match openat(AT_FDCWD, path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()) {
        Ok(file) if own_mounts => {
            let same = nix::sys::stat::stat("/proc/self/exe").and_then(|a| Ok((a, nix::sys::stat::fstat(&file)?)));
            same.is_ok_and(|(a, b)| (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)).then_some(file)
        }
        _ => None,
    };
    exe::replace(file.as_ref().map(AsFd::as_fd)).map_err(|e| {
        let error = anyhow::Error::new(e).context("hide the rrunc binary from the container");
        let hint = match e {
            Errno::EACCES => "vm.memfd_noexec=2 forbids it: set it to 1, or let root own the rrunc binary",
            _ => "the kernel lacks CONFIG_CHECKPOINT_RESTORE: let root own the rrunc binary (install it as a package)",
        };
        crate::error::with_hint(error, hint)
    })
}

/// Makes a time namespace, sets its clocks while nobody is in it, and enters it.
fn enter_time_namespace(plan: &Plan, proc: &Procfs) -> Result<()> {
    nix::sched::unshare(nix::sched::CloneFlags::from_bits_retain(CLONE_NEWTIME)).context("unshare")?;
    for offset in &plan.namespaces.clock_offsets {
        proc.write("self/timens_offsets", &format!("{} {} {}", offset.clock, offset.secs, offset.nanosecs))?;
    }
    let file = openat(AT_FDCWD, "/proc/self/ns/time_for_children", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    process::setns(file.as_fd(), CLONE_NEWTIME).context("enter the time namespace")
}

/// Joins a session keyring of the container's own, or one shared empty one when the user has no key left.
fn join_keyring(name: &str) -> Result<()> {
    match keyctl::join_session_keyring(&CString::new(name)?) {
        Ok(_) => Ok(()),
        // A kernel without keys has none to protect.
        Err(Errno::ENOSYS) => Ok(()),
        Err(Errno::EDQUOT) => {
            log::warn!("no key left for a session keyring (kernel.keys.maxkeys): sharing one empty keyring");
            keyctl::join_session_keyring(c"_ses.rrunc").map(drop).map_err(|e| {
                let error = anyhow::Error::new(e).context("join a session keyring");
                crate::error::with_hint(error, "raise kernel.keys.maxkeys, or use --no-new-keyring")
            })
        }
        Err(e) => Err(e).context("join a session keyring"),
    }
}

fn run_create_hooks(plan: &Plan, state: &State, wire: &Wire) -> Result<()> {
    if !(plan.hooks.prestart.is_empty() && plan.hooks.create_runtime.is_empty()) {
        wire.need_hooks()?;
    }
    let hooks = &plan.hooks.create_container;
    if hooks.is_empty() {
        return Ok(());
    }
    let json = state.oci_json(Status::Creating, getpid().as_raw());
    hooks::run("createContainer", hooks, &json, Inherit::Nothing, &plan.rootfs.path)
}

fn take_terminal(process: &Process, root: &Root, own_console: bool, keep: bool, wire: &Wire) -> Result<()> {
    let pty = console::open(root.fd(), process.console_size)?;
    if own_console {
        devices::console(root, pty.slave.as_fd())?;
    }
    // The program's user has to be able to open its own terminal again by /dev/tty or /dev/stdin.
    let owner = Some(nix::unistd::Uid::from_raw(process.uid));
    nix::unistd::fchown(&pty.slave, owner, None).context("give the terminal its owner")?;
    wire.terminal(pty.master.as_fd()).context("hand over the terminal")?;
    console::become_stdio(pty.slave.as_fd(), keep)
}

/// Standard streams that are the host's /dev/null become the container's, which they are not on the way back to.
fn reopen_null() -> Result<()> {
    let mut null = None;
    for fd in 0..3 {
        let stat = sys::descriptor::stat(fd)?;
        if stat.st_rdev != nix::sys::stat::makedev(1, 3) || !root::is(&stat, nix::sys::stat::SFlag::S_IFCHR) {
            continue;
        }
        if null.is_none() {
            let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
            let Ok(opened) = openat(AT_FDCWD, "/dev/null", flags, Mode::empty()) else { return Ok(()) };
            if nix::sys::stat::fstat(&opened)?.st_rdev != nix::sys::stat::makedev(1, 3) {
                return Ok(());
            }
            null = Some(opened);
        }
        let Some(null) = &null else { continue };
        match fd {
            0 => dup2_stdin(null)?,
            1 => dup2_stdout(null)?,
            _ => dup2_stderr(null)?,
        }
    }
    Ok(())
}

/// Gives up all that the program is not to have, and finds it. Shared with `exec`.
pub fn become_process(process: &Process, own_ids: bool, dumpable: bool) -> Result<Ready> {
    let env = program::environment(process);
    credentials::set_limits(process)?;
    if process.no_new_privs {
        prctl::set_no_new_privs()?;
    } else {
        // Without no_new_privs loading takes CAP_SYS_ADMIN, which goes away below.
        load_filter(process)?;
    }
    if own_ids || nix::unistd::geteuid().is_root() {
        credentials::drop_to(process, dumpable)?;
    }
    program::enter_cwd(&process.cwd)?;
    Ok(Ready { path: program::find(process)?, env })
}

fn load_filter(process: &Process) -> Result<()> {
    match &process.seccomp {
        Some(filter) => {
            // In runc's words, which its users look for.
            log::debug!("seccomp filter flags: {}", filter.flags);
            sys::seccomp::load(filter).map(drop).context("load the seccomp filter")
        }
        None => Ok(()),
    }
}

/// With no_new_privs the filter is the very last thing, so that it need not allow anything of ours but execve.
pub fn load_late_filter(process: &Process) -> Result<()> {
    if process.no_new_privs { load_filter(process) } else { Ok(()) }
}
