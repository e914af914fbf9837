//! What init does in its new namespaces before anything is mounted: ids, score, clocks, keyring, and the parting from our own
//! binary.
use super::procfs::Procfs;
use crate::error::WithHint;
use crate::host::IdMap;
use crate::plan::Plan;
use crate::plan::ids::{Ids, Writer};
use crate::plan::namespaces::{CLONE_NEWTIME, Kind};
use crate::spawn::wire::Wire;
use crate::sys::{exe, keyctl, prctl, process};
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::Mode;
use std::ffi::CString;
use std::os::fd::AsFd;
use std::path::Path;

/// Gets the ids of root inside: writes the one-line maps, or waits until the parent has had the real ones written.
pub fn become_root(plan: &Plan, proc: &Procfs, wire: &Wire) -> Result<()> {
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
        if !has_only_id(plan) {
            if ids.gid.iter().any(|m| m.inside == 0) {
                process::setresgid(0).context("become group 0 of the user namespace")?;
            }
            if ids.uid.iter().any(|m| m.inside == 0) {
                process::setresuid(0).context("become root of the user namespace")?;
            }
            // The change of the kernel's ids has cleared it, and hooks need our /proc/PID/ns; but see `spawn::join`.
            prctl::set_dumpable(!plan.namespaces.joins(Kind::Pid))?;
        }
    }
    Ok(())
}

/// Whether this process has the one id that there is in its new user namespace, so that no change of ids is needed. Of a
/// set-user-id rrunc that goes for the effective one only.
pub fn has_only_id(plan: &Plan) -> bool {
    plan.ids.as_ref().is_some_and(Ids::only_own) && !plan.namespaces.joins(Kind::Pid) && !process::is_set_id()
}

/// Parts from our binary: opens it again at `path`, through a mount of a new namespace of our own, or copies all of it.
pub fn part_from_binary(path: Option<&Path>) -> Result<()> {
    let open = |path| openat(AT_FDCWD, path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).ok();
    let file = path.and_then(open).filter(|file| {
        let same = nix::sys::stat::stat("/proc/self/exe").and_then(|a| Ok((a, nix::sys::stat::fstat(file)?)));
        same.is_ok_and(|(a, b)| (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino))
    });
    exe::replace(file.as_ref().map(AsFd::as_fd)).map_err(|e| {
        let error = anyhow::Error::new(e).context("hide the rrunc binary from the container");
        let hint = match e {
            Errno::EACCES => "vm.memfd_noexec=2 forbids it: set it to 1, or let root own the rrunc binary",
            _ => "the kernel lacks CONFIG_CHECKPOINT_RESTORE: let root own the rrunc binary (install it as a package)",
        };
        crate::error::with_hint(error, hint)
    })
}

/// Writes the configured score. A process that joins namespaces has got it from the one that made it.
pub fn set_oom_score(plan: &Plan, proc: &Procfs) -> Result<()> {
    let score = plan.process.as_ref().and_then(|process| process.oom_score_adj);
    let Some(score) = score else { return Ok(()) };
    proc.write("self/oom_score_adj", &score.to_string()).hint(|| {
        "process.oomScoreAdj: only root of the host may go below the caller's own value (/proc/self/oom_score_adj): name \
         a higher one, or none to keep it"
    })
}

/// Makes a time namespace, sets its clocks while nobody is in it, and enters it.
pub fn enter_time_namespace(plan: &Plan, proc: &Procfs) -> Result<()> {
    nix::sched::unshare(nix::sched::CloneFlags::from_bits_retain(CLONE_NEWTIME)).context("unshare")?;
    for offset in &plan.namespaces.clock_offsets {
        proc.write("self/timens_offsets", &format!("{} {} {}", offset.clock, offset.secs, offset.nanosecs))
            .with_context(|| format!("linux.timeOffsets.{}: set the clock", offset.clock))
            .hint(|| "it can go back to 0, the start of the machine, and ahead by 146 years")?;
    }
    let file = openat(AT_FDCWD, "/proc/self/ns/time_for_children", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    process::setns(file.as_fd(), CLONE_NEWTIME).context("enter the time namespace")
}

/// Joins a session keyring of the container's own, or one shared empty one when the user has no key left.
pub fn join_keyring(name: &str) -> Result<()> {
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
        Err(e) => Err(e)
            .context("join a session keyring")
            .hint(|| "a seccomp filter around us may forbid it, as in a container of Docker's: use --no-new-keyring"),
    }
}
