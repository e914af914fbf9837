//! `start`: open the gate of a created container, wait until its program runs, then the poststart hooks.
use super::{Outcome, configured_hooks, end};
use crate::cli::{Global, IdArgs};
use crate::hooks::{self, Inherit};
use crate::notify::Proxy;
use crate::spawn::gate;
use crate::state::{Container, Root, State, Status, process};
use anyhow::{Context, Result, bail};
use nix::unistd::Pid;
use std::os::fd::{AsFd, OwnedFd};

/// Runs the verb.
pub fn run(global: &Global, args: &IdArgs) -> Result<Outcome> {
    let root = Root::open(global.root.as_deref())?;
    let container = root.lock(&args.id)?;
    let state = container.load()?;
    match container.status(&state)? {
        Status::Created if !state.has_process => bail!("cannot start a container without a process in its config.json"),
        Status::Created => {}
        Status::Running => bail!("cannot start an already running container"),
        Status::Stopped => bail!("cannot start a container that has stopped"),
        other => bail!("cannot start a container in the {other} state"),
    }
    let init = process::live(state.pid, state.start_time)?.context("cannot start a container that has stopped")?;
    let ready = notify_proxy(&container)?;
    gate::start(container.dir.as_fd(), init.as_fd())?;
    let bytes = container.config()?;
    // Hooks may call back into us, and a container may take its time to be ready.
    container.unlock()?;
    poststart(&state, &bytes, &init)?;
    if let Some(ready) = ready {
        ready.wait(init.as_fd(), Pid::from_raw(state.pid))?;
    }
    Ok(Outcome::default())
}

/// The relay for `NOTIFY_SOCKET`, if `create` made room for it as well.
fn notify_proxy(container: &Container) -> Result<Option<Proxy>> {
    let Some(manager) = std::env::var_os("NOTIFY_SOCKET").filter(|value| !value.is_empty()) else { return Ok(None) };
    if !container.path.join("notify").is_dir() {
        return Ok(None);
    }
    Proxy::bind(container.dir.as_fd(), &manager).map(Some)
}

/// Runs the poststart hooks. When one fails the container is ended (runtime-spec, runtime.md, "Lifecycle", step 9), and
/// left for `delete`, which runs the poststop hooks.
pub fn poststart(state: &State, config: &[u8], init: &OwnedFd) -> Result<()> {
    let hooks = configured_hooks(config)?.and_then(|hooks| hooks.poststart().clone()).unwrap_or_default();
    let oci = state.oci_json(Status::Running, state.pid);
    let Err(error) = hooks::run("poststart", &hooks, &oci, Inherit::Own, &state.bundle) else { return Ok(()) };
    match end(init) {
        Ok(()) => Err(error),
        Err(second) => Err(error.context(crate::error::one_line(&second))),
    }
}
