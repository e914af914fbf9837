//! `start`: open the gate of a created container, wait until its program runs, then the poststart hooks.
use super::{Outcome, configured_hooks, delete, end};
use crate::bundle::Bundle;
use crate::cli::{Global, IdArgs};
use crate::error::{one_line, with_hint};
use crate::hooks::{self, Inherit};
use crate::notify::Proxy;
use crate::seccomp::Listener;
use crate::spawn::gate;
use crate::spawn::listener::{self, Agent};
use crate::state::{Container, Root, State, Status, process};
use crate::sys::pidfd;
use anyhow::{Context, Result, anyhow};
use nix::errno::Errno;
use nix::unistd::Pid;
use oci_spec::runtime::Hooks;
use std::os::fd::{AsFd, OwnedFd};

/// Runs the verb.
pub fn run(global: &Global, args: &IdArgs) -> Result<Outcome> {
    let root = Root::open(global.root.as_deref())?;
    let mut container = root.lock(&args.id)?;
    let state = container.load()?;
    // Asked first: one that is frozen answers no knock and keeps each, until the next has to wait.
    if !state.has_process || state.cgroup.as_deref().is_some_and(process::is_frozen) {
        match container.status(&state)? {
            // It goes on by now.
            Status::Created if state.has_process => {}
            status => return Err(refused(status, &args.id)),
        }
    }
    // Now: init wakes up while we look at the rest.
    let Some(knock) = gate::knock(container.dir.as_fd())? else {
        return Err(refused(container.status(&state)?, &args.id));
    };
    // Whom we have knocked at has not ended, so that the pid is his. If he ends now `open` notices.
    let init = match pidfd::open(Pid::from_raw(state.pid)) {
        Err(Errno::ESRCH) => return Err(refused(Status::Stopped, &args.id)),
        other => other.with_context(|| format!("open a pidfd of process {}", state.pid))?,
    };
    let ready = notify_proxy(&container)?;
    let bytes = container.config()?;
    let answer = knock.open(container.dir.as_fd(), init.as_fd())?;
    // While init is on its way to its program.
    let hooks = configured_hooks(&bytes);
    let started = answer.wait(init.as_fd(), |announced, connection| {
        let serve = || {
            announced.check(state.pid)?;
            let listener = configured_listener(&state, &bytes)?;
            let agent = listener.map(|listener| Agent::new(listener, &state, Status::Creating));
            listener::hand_over(&announced, agent.as_ref(), connection)
        };
        // It would wait in vain.
        serve().or_else(|error| end(&init).and(Err(error)))
    });
    // Hooks may call back into us, and a container may take its time to be ready.
    container.unlock()?;
    match started.and_then(|()| poststart(&state, hooks?.as_ref(), &init)) {
        Err(e) if is_hooks(&e) => return Err(undone(e, &root, &args.id)),
        other => other?,
    }
    if let Some(ready) = ready {
        ready.wait(init.as_fd(), Pid::from_raw(state.pid))?;
    }
    Ok(Outcome::default())
}

/// Why a container in this state cannot be started, and what can be done with it.
fn refused(status: Status, id: &str) -> anyhow::Error {
    let (why, hint) = match status {
        Status::Created => (
            "cannot start a container without a process in its config.json".to_owned(),
            format!("`rrunc delete --force {id}`, add process.args to config.json, and create it anew"),
        ),
        Status::Running => (
            "cannot start an already running container".to_owned(),
            format!("`rrunc exec {id} CMD` runs another program in it"),
        ),
        Status::Stopped => (
            "cannot start a container that has stopped".to_owned(),
            format!("a container starts once: `rrunc delete {id}`, and create it anew"),
        ),
        Status::Paused => {
            ("cannot start a container in the paused state".to_owned(), format!("`rrunc resume {id}` lets it go on"))
        }
        Status::Creating => (
            "cannot start a container in the creating state".to_owned(),
            "wait until `rrunc create` is done".to_owned(),
        ),
    };
    with_hint(anyhow!(why), hint)
}

/// The seccomp agent of the container's own configuration.
fn configured_listener(state: &State, config: &[u8]) -> Result<Option<Listener>> {
    let config = Bundle::parse(state.bundle.clone(), config.to_vec())?;
    let profile = config.spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
    profile.map_or(Ok(None), Listener::of)
}

/// Whether a hook failed, of init's or ours. Then `start` itself undoes the container (runtime-spec, runtime.md,
/// "Lifecycle", steps 7 and 9); after any other failure it is there, stopped, for `delete`.
fn is_hooks(error: &anyhow::Error) -> bool {
    let failed =
        |kind: &str| error.chain().any(|link| link.to_string().starts_with(&format!("error running {kind} hook")));
    failed("startContainer") || failed("poststart")
}

fn undone(error: anyhow::Error, root: &Root, id: &str) -> anyhow::Error {
    match delete::force(root, id) {
        Ok(()) => error,
        Err(second) => error.context(format!("clean up after a failed hook: {}", one_line(&second))),
    }
}

/// The relay for `NOTIFY_SOCKET`, if `create` made room for it as well.
pub fn notify_proxy(container: &Container) -> Result<Option<Proxy>> {
    let Some(manager) = std::env::var_os("NOTIFY_SOCKET").filter(|value| !value.is_empty()) else { return Ok(None) };
    if !container.path.join("notify").is_dir() {
        return Ok(None);
    }
    Proxy::bind(container.dir.as_fd(), &manager).map(Some)
}

/// Runs the poststart hooks. When one fails the container's first process is ended; undoing the rest is the caller's
/// part.
pub fn poststart(state: &State, hooks: Option<&Hooks>, init: &OwnedFd) -> Result<()> {
    let Some(hooks) = hooks.and_then(|hooks| hooks.poststart().as_ref()) else { return Ok(()) };
    let oci = state.oci_json(Status::Running, state.pid);
    let Err(error) = hooks::run("poststart", hooks, &oci, Inherit::Own, &state.bundle) else { return Ok(()) };
    match end(init) {
        Ok(()) => Err(error),
        Err(second) => Err(error.context(one_line(&second))),
    }
}
