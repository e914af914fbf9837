//! Creation in given namespaces. What a process joins, it joins for its children (pid) or with the rights of the
//! moment (all that hang on a user namespace), so an intermediate process joins and then makes init, as *our* child.
use super::wire::Wire;
use super::{forbidden, not_forked};
use crate::error::with_hint;
use crate::host::parse_id_map;
use crate::init::procfs::Procfs;
use crate::init::{self, Start, Step};
use crate::plan::given_ids::Expected;
use crate::plan::namespaces::Kind;
use crate::sys::clone::{Cloned, clone, clone_into};
use crate::sys::{pidfd, prctl, process};
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sched::CloneFlags;
use nix::sys::stat::Mode;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Makes init in the namespaces to join and the new ones; returns its pid and pidfd. It is a child of the caller.
///
/// The intermediate process is born in `cgroup`, and init with it.
pub(super) fn clone_joined(start: Start, cgroup: Option<&OwnedFd>, wire: &mut Wire) -> Result<(i32, OwnedFd)> {
    match clone_into(CloneFlags::empty(), cgroup.map(OwnedFd::as_fd)).map_err(not_forked)? {
        Cloned::Child => run(start),
        Cloned::Parent(_, intermediate) => {
            // Its copy of the other end has to go, or we would wait for ever for a process that has died.
            drop(start);
            let report = wire.receive_process();
            pidfd::wait_ended(intermediate.as_fd(), 10_000).context("wait for the joining process")?;
            pidfd::reap(intermediate.as_fd()).context("reap the joining process")?;
            report
        }
    }
}

fn run(start: Start) -> ! {
    let step = Step::new();
    match step_in(&start, &step) {
        Ok(Cloned::Child) => init::run(start),
        Ok(Cloned::Parent(pid, child)) => {
            let told = start.wire.process(pid.as_raw(), child.as_fd());
            process::exit_now(i32::from(told.is_err()))
        }
        Err(error) => init::give_up(&start.wire, &step, &error, 1),
    }
}

fn step_in(start: &Start, step: &Step) -> Result<Cloned> {
    step.begin("oom score");
    // Here, since a process that is not dumpable may not: it is inherited.
    init::namespaces::set_oom_score(start.plan, &Procfs::open()?)?;
    step.begin("join namespaces");
    join(start)?;
    if start.plan.namespaces.joins(Kind::Pid) {
        // From its first moment on init is seen by the processes of that namespace, and it still has the host's files:
        // until it has left them nobody may look into it (CVE-2016-9962).
        prctl::set_dumpable(false)?;
    }
    clone_init(start)
}

fn clone_init(start: &Start) -> Result<Cloned> {
    let flags = start.plan.namespaces.clone_flags(start.plan.cgroup.is_own());
    clone(flags | CloneFlags::CLONE_PARENT).map_err(forbidden::clone)
}

/// Joins in two rounds: what our present rights allow, then, with the user namespace, what it owns.
fn join(start: &Start) -> Result<()> {
    let join = &start.plan.namespaces.join;
    // All opened first: a mount namespace would change what the paths mean.
    let open = |(kind, path): &(Kind, std::path::PathBuf)| -> Result<(Kind, OwnedFd)> {
        let file = openat(AT_FDCWD, path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty());
        Ok((*kind, file.map_err(|e| not_opened(e, *kind, path))?))
    };
    let files = join.iter().map(open).collect::<Result<Vec<_>>>()?;
    let user = files.iter().find(|(kind, _)| *kind == Kind::User);
    let mut refused = Vec::new();
    for ((kind, file), (_, path)) in files.iter().zip(join).filter(|((kind, _), _)| *kind != Kind::User) {
        match process::setns(file.as_fd(), kind.flag()) {
            Ok(()) => {}
            Err(Errno::EPERM) if user.is_some() => refused.push((*kind, file, path)),
            Err(e) => return Err(explain(e, *kind, path)),
        }
    }
    if let Some((kind, file)) = user {
        let path = &join.iter().find(|(k, _)| k == kind).context("no path")?.1;
        process::setns(file.as_fd(), kind.flag()).map_err(|e| explain(e, *kind, path))?;
    }
    for (kind, file, path) in refused {
        process::setns(file.as_fd(), kind.flag()).map_err(|e| explain(e, kind, path))?;
    }
    Ok(())
}

/// Looks whether the user namespace that process `pid` was born in has the ids that the configuration says. They are those that
/// we see, who name them.
pub(super) fn check_ids(expected: &Expected, pid: i32) -> Result<()> {
    let map = |file: &str| {
        let path = format!("/proc/{pid}/{file}");
        let text = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        parse_id_map(&text)
    };
    expected.check(&map("uid_map")?, &map("gid_map")?)
}

fn not_opened(errno: Errno, kind: Kind, path: &Path) -> anyhow::Error {
    let (name, path) = (kind.name(), path.display());
    let error = anyhow::Error::new(errno);
    match errno {
        Errno::ENOENT => with_hint(
            error.context(format!("{name} namespace {path} does not exist")),
            "it ends with the last process that is in it, unless it is bound to a file: is that one still there?",
        ),
        Errno::EACCES => with_hint(
            error.context(format!("{name} namespace {path} cannot be opened")),
            "the kernel shows a user only the namespaces of his own processes",
        ),
        _ => error.context(format!("{name} namespace {path} cannot be opened")),
    }
}

fn explain(errno: Errno, kind: Kind, path: &Path) -> anyhow::Error {
    let name = kind.name();
    let error = anyhow::Error::new(errno).context(format!("join the {name} namespace {}", path.display()));
    match errno {
        Errno::EINVAL => {
            with_hint(error, format!("the file is not a {name} namespace, or is the one that rrunc is in"))
        }
        Errno::EPERM => with_hint(
            error,
            "an ordinary user can join only namespaces that belong to a user namespace of its own: list that one with its \
             path too",
        ),
        _ => error,
    }
}
