//! What the kernel counts for each user of the host, or charges to no process: how much of it a sandbox may have. Its
//! program is one of the caller's processes, and what it uses up is missing in all others.
use super::caller::hard_limit;
use crate::short_file;
use anyhow::{Context, Result};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use nix::sys::statfs::{PROC_SUPER_MAGIC, statfs};
use nix::sys::statvfs::FsFlags;
use serde_json::{Map, Value, json};

/// Instances of inotify: a quarter of what a user has, where nobody has given him more.
const INOTIFY_INSTANCES: u64 = 32;

/// Kernel parameters of the sandbox's own namespaces, by which the kernel allows it less than the user.
pub fn parameters() -> Map<String, Value> {
    let mut all = Map::new();
    if !are_settable() {
        log::warn!("/proc/sys is closed here: the sandbox may use up the user's inotify instances and watches");
        return all;
    }
    let mut set = |name: &str, value: String| all.insert(name.to_owned(), json!(value));
    set("user.max_inotify_instances", INOTIFY_INSTANCES.to_string());
    let watches = short_file::read("/proc/sys/fs/inotify/max_user_watches").unwrap_or_default();
    if let Ok(watches) = watches.trim().parse::<u64>() {
        set("user.max_inotify_watches", (watches / 2).to_string());
    }
    all
}

/// Whether the kernel's parameters are there and not read-only, as in a container of Docker's.
fn are_settable() -> bool {
    statfs("/proc/sys/user")
        .is_ok_and(|stat| stat.filesystem_type() == PROC_SUPER_MAGIC && !stat.flags().contains(FsFlags::ST_RDONLY))
}

/// Limits of what all processes of a user share, without a word from anybody.
pub fn shared() -> Result<Vec<(String, u64)>> {
    let mut all = Vec::new();
    // Signals and timers that wait, POSIX message queues.
    for (name, resource, part) in
        [("RLIMIT_SIGPENDING", Resource::RLIMIT_SIGPENDING, 4), ("RLIMIT_MSGQUEUE", Resource::RLIMIT_MSGQUEUE, 2)]
    {
        if let Some(hard) = hard_limit(resource)? {
            all.push((name.to_owned(), hard / part));
        }
    }
    Ok(all)
}

/// Open files of a process. A descriptor that is on its way through a unix socket counts for the user, and every process of
/// his may send one as long as they are no more than its own limit of open files: which has to be more than what the
/// program here can have under way. That is its limit and one message of 253.
pub fn open_files() -> Result<Option<u64>> {
    let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).context("RLIMIT_NOFILE")?;
    Ok((soft != RLIM_INFINITY).then(|| soft - soft / 4))
}
