//! `delete`: end what may be ended, remove the state, run the poststop hooks.
use super::{Outcome, configured_hooks, end};
use crate::cgroup;
use crate::cli::{DeleteArgs, Global};
use crate::error::{WithHint, one_line};
use crate::hooks::{self, Inherit};
use crate::state::members::Bond;
use crate::state::{Container, Root, State, Status, is_missing, process};
use anyhow::{Context, Result, anyhow};
use oci_spec::runtime::Hooks;

/// Runs the verb.
pub fn run(global: &Global, args: &DeleteArgs) -> Result<Outcome> {
    let root = Root::open(global.root.as_deref())?;
    if args.force {
        return force(&root, &args.id).map(|()| Outcome::default());
    }
    let container = root.lock(&args.id)?;
    let state = match container.load() {
        Ok(state) => state,
        // Half made by a `create` that was killed: clear it away, and say what runc says.
        Err(e) if !container.path.join("state.json").exists() => {
            container.destroy()?;
            return Err(e);
        }
        Err(e) => return Err(e).hint(|| format!("remove it with `rrunc delete --force {}`", args.id)),
    };
    match container.status(&state)? {
        Status::Stopped => {}
        Status::Created => end_all(&container, &state)?,
        status => {
            return Err(anyhow!("cannot delete container {} that is not stopped: {status}", args.id)).hint(|| {
                format!("stop it with `rrunc kill {0}`, or end and remove it with `rrunc delete --force {0}`", args.id)
            });
        }
    }
    remove(container, &state)?;
    Ok(Outcome::default())
}

/// Whatever is left of `id`, nothing of it is left afterwards. A container that does not exist is no error.
pub fn force(root: &Root, id: &str) -> Result<()> {
    // Before the lock: a `create` that waits for something holds it, and gives up when its init is gone.
    match root.find(id) {
        Ok(container) => {
            if let Ok(state) = container.load() {
                end_all(&container, &state)?;
            }
        }
        Err(e) if is_missing(&e) => return Ok(()),
        Err(e) => return Err(e),
    }
    let container = match root.lock(id) {
        Ok(container) => container,
        Err(e) if is_missing(&e) => return Ok(()),
        Err(e) => return Err(e),
    };
    match container.load() {
        Ok(state) => {
            end_all(&container, &state)?;
            remove(container, &state)
        }
        Err(e) => {
            if container.path.join("state.json").exists() {
                log::warn!("delete {id} although its state cannot be read: {}", one_line(&e));
            }
            container.destroy()
        }
    }
}

/// Ends every process of the container: with its pid namespace where it has one, else one by one as long as the first
/// still shows who belongs to it.
pub fn end_all(container: &Container, state: &State) -> Result<()> {
    let Some(init) = process::live(state.pid, state.start_time)? else {
        return Ok(());
    };
    // At once, and none escapes by making others meanwhile.
    if let Some(dir) = state.cgroup.as_deref().filter(|dir| dir.is_dir()) {
        match cgroup::kill(dir) {
            Ok(()) => return end(&init),
            Err(e) => log::debug!("end the processes one by one: {}", one_line(&e)),
        }
    }
    let bond = if Bond::ends_with_first(container)? { None } else { Some(Bond::of(container, state)) };
    match bond.transpose() {
        Ok(None) => {}
        Ok(Some(bond)) => bond.end_others(state.pid)?,
        // Said once, here; the container goes all the same.
        Err(e) => log::warn!("only the first process is ended: {}", one_line(&e)),
    }
    end(&init)
}

/// Removes the state, then runs the poststop hooks with the status `stopped`. A hook that fails is a warning
/// (runtime-spec, runtime.md, "Lifecycle", step 13).
pub fn remove(mut container: Container, state: &State) -> Result<()> {
    let hooks = match container.config().and_then(|bytes| configured_hooks(&bytes)) {
        // It was given up before there was anything that a hook could clear away.
        _ if state.pid == 0 => None,
        Ok(hooks) => hooks,
        Err(e) => {
            log::warn!("no poststop hooks are run: {}", one_line(&e));
            None
        }
    };
    remove_with(&mut container, state, hooks.as_ref())?;
    container.unlock()
}

/// The same for who has the hooks at hand. The lock is let go of before they run, else it is left to the caller: nobody but
/// who waits for it already can come upon it, since the directory has no name any more.
pub fn remove_with(container: &mut Container, state: &State, hooks: Option<&Hooks>) -> Result<()> {
    if !cgroup::remove_empty(state) {
        end_rest(container, state);
        cgroup::discard(state)?;
    }
    container.remove().context("remove the container's state")?;
    if let Some(hooks) = hooks.and_then(|hooks| hooks.poststop().as_ref()) {
        container.unlock()?;
        hooks::run_all_warn("poststop", hooks, &state.oci_json(Status::Stopped, 0), Inherit::Own, &state.bundle);
    }
    Ok(())
}

/// Ends what has outlived the first process: only a cgroup still knows it, and only where no pid namespace has ended with
/// that one.
fn end_rest(container: &Container, state: &State) {
    let Some(dir) = state.cgroup.as_deref().filter(|dir| cgroup::is_populated(dir)) else { return };
    // One that was given up before it had a process has none here.
    let Ok(ends_with_first) = Bond::ends_with_first(container) else { return };
    let ended = match ends_with_first {
        _ if state.pid == 0 => return,
        false => cgroup::kill(dir),
        // A process of `exec` that was stopped with the container before it has joined: it finds that gone, and ends.
        true if process::is_frozen(dir) => cgroup::freeze(dir, false),
        true => return,
    };
    if let Err(e) = ended {
        log::warn!("processes of the container go on: {}", one_line(&e));
    }
}
