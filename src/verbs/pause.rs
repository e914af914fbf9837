//! `pause` and `resume`: the freezer of the container's cgroup.
use super::Outcome;
use crate::cgroup;
use crate::cli::{Global, IdArgs};
use crate::error::WithHint;
use crate::state::{Root, Status};
use crate::verbs::kill::not_running;
use anyhow::{Result, anyhow};

/// Stops all processes of a container, or with `frozen` false lets them go on.
pub fn run(global: &Global, args: &IdArgs, frozen: bool) -> Result<Outcome> {
    let root = Root::open(global.root.as_deref())?;
    // A `create` that waits for a hook holds the lock.
    let container = if frozen { root.lock(&args.id)? } else { root.find(&args.id)? };
    let state = container.load()?;
    match (container.status(&state)?, frozen) {
        (Status::Created | Status::Running, true) | (Status::Paused, false) => {}
        (Status::Paused, true) => {
            let hint = || format!("it is paused already: `rrunc resume {}` lets it go on", args.id);
            return Err(anyhow!("container not running")).hint(hint);
        }
        (Status::Creating, true) => {
            return Err(anyhow!("container not running")).hint(|| "wait until `rrunc create` is done");
        }
        (Status::Stopped, true) => return Err(not_running(&args.id)),
        (status, false) => {
            return Err(anyhow!("container not paused"))
                .hint(|| format!("it is {status}: only what `rrunc pause` has stopped can be resumed"));
        }
    }
    let error = || anyhow!("cannot toggle freezer: cgroups not configured for container");
    let hint = || {
        "a container has a cgroup of its own when it is made in a cgroup v2 tree that is delegated to you \
         (`systemd-run --user --scope -p Delegate=yes`), or when it has limits and you a systemd; without one \
         `rrunc kill --all ID STOP` stops its processes, and CONT lets them go on"
    };
    let dir = state.cgroup.as_deref().ok_or_else(error).hint(hint)?;
    cgroup::freeze(dir, frozen)?;
    Ok(Outcome::default())
}
