//! Id-mapped mounts: the user namespace that stands for a mapping, made by a child that lives no longer than it takes.
use super::procfs::Procfs;
use crate::error::WithHint;
use crate::host::IdMap;
use crate::plan::idmap::IdMapping;
use crate::sys::clone::{Cloned, clone};
use crate::sys::mount::{Attr, MOUNT_ATTR_IDMAP, mount_setattr};
use crate::sys::{pidfd, process};
use anyhow::{Context, Result};
use nix::fcntl::OFlag;
use nix::sched::CloneFlags;
use nix::unistd::{pipe2, read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Maps the ids of the detached mount `mount`.
pub fn map(mount: BorrowedFd, mapping: &IdMapping, proc: &Procfs) -> Result<()> {
    let namespace = namespace(mapping, proc).context("make a user namespace for the mapping")?;
    let attr = Attr { set: MOUNT_ATTR_IDMAP, userns_fd: namespace.as_raw_fd() as u64, ..Attr::default() };
    mount_setattr(mount, mapping.recursive, &attr)
        .context("failed to set MOUNT_ATTR_IDMAP")
        .hint(|| "maybe the filesystem doesn't support idmap mounts on this kernel: tmpfs does since Linux 6.3")
}

fn namespace(mapping: &IdMapping, proc: &Procfs) -> Result<OwnedFd> {
    let (end, ours) = pipe2(OFlag::O_CLOEXEC).context("pipe")?;
    match clone(CloneFlags::CLONE_NEWUSER).context("clone")? {
        Cloned::Child => {
            drop(ours);
            // End of file: the parent is done, or dead. Either way so is this process.
            let ended = read(&end, &mut [0]);
            process::exit_now(i32::from(ended.is_err()))
        }
        Cloned::Parent(_, child) => {
            drop(end);
            let namespace = fill(mapping, proc, &child);
            drop(ours);
            pidfd::wait_ended(child.as_fd(), 10_000).context("wait for its first process")?;
            pidfd::reap(child.as_fd()).context("reap its first process")?;
            namespace
        }
    }
}

/// Only the parent may write maps of more than one id.
fn fill(mapping: &IdMapping, proc: &Procfs, child: &OwnedFd) -> Result<OwnedFd> {
    // The procfs may be that of another pid namespace, in which the child has another number.
    let info = proc.read(&format!("self/fdinfo/{}", child.as_raw_fd()))?;
    let pid = info.lines().find_map(|line| line.strip_prefix("Pid:")).context("no Pid in fdinfo")?.trim().to_owned();
    for (file, map) in [("uid_map", &mapping.uid), ("gid_map", &mapping.gid)] {
        proc.write(&format!("{pid}/{file}"), &IdMap::lines(map))?;
    }
    proc.namespace(&pid, "user")
}
