//! Which processes belong to a container: those of its cgroup, else those of a namespace that is its own alone.
//!
//! Which namespace that is `create` has put down. A process can leave its mount namespace and its parent, but not its pid
//! namespace, nor its user namespace and all that are made in it.
use super::{Container, State, namespaces, process};
use crate::cgroup::tree;
use crate::error::WithHint;
use crate::plan::namespaces::Kind;
use crate::sys::pidfd;
use anyhow::{Context, Result, anyhow, bail};
use nix::errno::Errno;
use nix::unistd::Pid;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

/// How often members are looked for again while they are being ended.
const ROUNDS: usize = 100;

/// What tells a container's processes from others.
#[derive(Debug, PartialEq, Eq)]
pub enum Bond {
    /// Its own cgroup2 directory.
    Cgroup(PathBuf),
    /// A new pid namespace, by its inode number: all processes in it end with its first.
    PidNamespace(u64),
    /// A new user namespace, where the pid namespace is shared with others.
    UserNamespace(u64),
    /// A new mount namespace, where the user namespace is shared, too.
    MountNamespace(u64),
}

impl Bond {
    /// The closest bond that container has. A namespace that the config joins by path may hold other containers and is no
    /// bond.
    ///
    /// # Errors
    /// `unable to get all container pids: …` when there is none.
    pub fn of(container: &Container, state: &State) -> Result<Bond> {
        if let Some(cgroup) = state.cgroup.as_ref().filter(|dir| dir.is_dir()) {
            return Ok(Bond::Cgroup(cgroup.clone()));
        }
        let config = container.config()?;
        if is_new(&config, "pid")? {
            return namespace(state, Kind::Pid).map(Bond::PidNamespace);
        }
        // It need not be in the configuration to be made.
        if state.decided()?.is_some_and(|decided| decided.ids.is_some() && !decided.same()) {
            return namespace(state, Kind::User).map(Bond::UserNamespace);
        }
        if is_new(&config, "mount")? {
            return namespace(state, Kind::Mount).map(Bond::MountNamespace);
        }
        Err(anyhow!("unable to get all container pids: it has no cgroup and no pid or mount namespace of its own"))
    }

    /// Whether all of the container's processes end with its first: the case even where nobody may look at that one.
    pub fn ends_with_first(container: &Container) -> Result<bool> {
        is_new(&container.config()?, "pid")
    }

    /// The pids of all member processes as the host counts, ascending.
    pub fn pids(&self) -> Result<Vec<i32>> {
        match self {
            Bond::Cgroup(dir) => {
                tree::pids(dir).with_context(|| format!("unable to get all container pids: read {}", dir.display()))
            }
            Bond::PidNamespace(inode) => namespace_pids(Kind::Pid, *inode),
            Bond::UserNamespace(inode) => namespace_pids(Kind::User, *inode),
            Bond::MountNamespace(inode) => namespace_pids(Kind::Mount, *inode),
        }
    }

    /// Sends `signal` to every member. One that ends meanwhile is fine.
    pub fn signal(&self, signal: i32) -> Result<()> {
        for (pid, fd) in self.open(None)? {
            send(pid, &fd, signal)?;
        }
        Ok(())
    }

    /// Ends every member but the container's first process: without that one nobody would know the rest.
    pub fn end_others(&self, first: i32) -> Result<()> {
        // Each round catches those that were forked during the last.
        for _ in 0..ROUNDS {
            let others = self.open(Some(first))?;
            if others.is_empty() {
                return Ok(());
            }
            for (pid, fd) in &others {
                send(*pid, fd, libc::SIGKILL)?;
            }
            for (pid, fd) in &others {
                if !pidfd::wait_ended(fd.as_fd(), 1_000).with_context(|| format!("wait for process {pid}"))? {
                    bail!("process {pid} of the container does not end");
                }
            }
        }
        bail!("the container makes processes faster than they can be ended")
    }

    /// pidfds of the members but `except`. Membership is looked at again once they are open, so that no pid was reused.
    fn open(&self, except: Option<i32>) -> Result<Vec<(i32, OwnedFd)>> {
        let wanted = self.pids()?.into_iter().filter(|pid| Some(*pid) != except);
        let opened: Vec<_> =
            wanted.filter_map(|pid| pidfd::open(Pid::from_raw(pid)).ok().map(|fd| (pid, fd))).collect();
        let still = self.pids()?;
        Ok(opened.into_iter().filter(|(pid, _)| still.contains(pid)).collect())
    }
}

fn send(pid: i32, fd: &OwnedFd, signal: i32) -> Result<()> {
    match pidfd::send_signal(fd.as_fd(), signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(e) => Err(e).with_context(|| format!("send signal {signal} to process {pid}")),
    }
}

/// Whether the config makes a new namespace of this type (not joined by path, not the caller's).
fn is_new(config: &[u8], kind: &str) -> Result<bool> {
    #[derive(Deserialize)]
    struct Config {
        linux: Option<Linux>,
    }
    #[derive(Deserialize)]
    struct Linux {
        namespaces: Option<Vec<Namespace>>,
    }
    #[derive(Deserialize)]
    struct Namespace {
        #[serde(rename = "type")]
        kind: String,
        path: Option<String>,
    }
    let config: Config =
        serde_json::from_slice(config).context("read the namespaces of the container's config.json")?;
    let namespaces = config.linux.and_then(|linux| linux.namespaces).unwrap_or_default();
    Ok(namespaces.iter().any(|ns| ns.kind == kind && ns.path.as_deref().unwrap_or_default().is_empty()))
}

/// The container's own `kind` namespace. Never ours, whatever the records say: else every process of the user would belong to
/// the container.
fn namespace(state: &State, kind: Kind) -> Result<u64> {
    let unable = || "unable to get all container pids";
    let theirs = match state.decided()? {
        Some(decided) => decided.namespaces.get(&kind).copied().with_context(unable)?,
        // Of an rrunc that kept no record of them.
        None => namespaces::inode(&state.pid.to_string(), kind).with_context(unable)?,
    };
    // The pid namespace of a process never changes, and what user namespace it enters was made in its own.
    let seen = namespaces::inode(&state.pid.to_string(), kind);
    if kind != Kind::Mount && seen.is_ok() && !namespaces::is_in(state.pid, kind, theirs) {
        return Err(anyhow!("unable to get all container pids: its state.json names another {} namespace than that of its first process", kind.name()))
            .hint(|| format!("`rrunc delete --force {}` ends that process and removes the container", state.id));
    }
    if theirs == namespaces::inode("self", kind).with_context(unable)? {
        bail!("unable to get all container pids: its first process is in the caller's {} namespace", kind.name());
    }
    Ok(theirs)
}

/// Processes whose `kind` namespace has this inode number, and their descendants: those may be in namespaces nested deeper, or
/// not let us read their own.
fn namespace_pids(kind: Kind, inode: u64) -> Result<Vec<i32>> {
    let mut members = BTreeSet::new();
    let mut parents = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").context("read /proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|pid| pid.parse::<i32>().ok()) else { continue };
        // As in a cgroup.procs file, who has ended and was not waited for is not shown.
        let Some(stat) = process::stat(pid)?.filter(|stat| stat.state != 'Z') else { continue };
        parents.insert(pid, stat.parent);
        if namespaces::is_in(pid, kind, inode) {
            members.insert(pid);
        }
    }
    Ok(with_descendants(members, &parents).into_iter().collect())
}

fn with_descendants(mut members: BTreeSet<i32>, parents: &BTreeMap<i32, i32>) -> BTreeSet<i32> {
    loop {
        let more: Vec<i32> = parents
            .iter()
            .filter(|(pid, parent)| members.contains(parent) && !members.contains(pid))
            .map(|(pid, _)| *pid)
            .collect();
        if more.is_empty() {
            return members;
        }
        members.extend(more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_namespace_made_for_the_container_is_its_own() {
        let config = br#"{"linux":{"namespaces":[{"type":"pid","path":"/proc/7/ns/pid"},{"type":"mount"},{"type":"ipc","path":""}]}}"#;
        assert!(!is_new(config, "pid").unwrap());
        assert!(is_new(config, "mount").unwrap());
        assert!(is_new(config, "ipc").unwrap());
        assert!(!is_new(config, "network").unwrap());
        assert!(!is_new(b"{}", "pid").unwrap());
    }

    #[test]
    fn descendants_of_descendants_are_members() {
        let parents = [(1, 0), (2, 1), (3, 2), (4, 1), (5, 4)].into();
        assert_eq!(with_descendants([2].into(), &parents), [2, 3].into());
        assert_eq!(with_descendants([1].into(), &parents), [1, 2, 3, 4, 5].into());
        assert_eq!(with_descendants([].into(), &parents), [].into());
    }

    #[test]
    fn we_are_in_our_own_namespaces() {
        let me = std::process::id() as i32;
        for kind in [Kind::Pid, Kind::User, Kind::Mount] {
            let ours = namespaces::inode("self", kind).unwrap();
            assert!(namespace_pids(kind, ours).unwrap().contains(&me), "{kind:?}");
            assert!(namespace_pids(kind, 0).unwrap().is_empty(), "{kind:?}");
        }
    }
}
