//! `kill`: a signal for a container's first process, or for all of them.
use super::Outcome;
use crate::cgroup;
use crate::cli::{Global, KillArgs};
use crate::error::with_hint;
use crate::state::members::Bond;
use crate::state::{Root, State, process};
use crate::sys::pidfd;
use crate::usage::too_many;
use anyhow::{Context, Result, anyhow, bail};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use std::os::fd::AsFd;

/// Runs the verb. It takes no lock: `kill` must get through while `create` waits for a hook.
pub fn run(global: &Global, args: &KillArgs) -> Result<Outcome> {
    if args.target.len() > 2 {
        bail!(too_many("kill", 2));
    }
    let container = Root::open(global.root.as_deref())?.find(&args.id())?;
    let signal = number(&args.signal())?;
    let state = container.load()?;
    let Some(init) = process::live(state.pid, state.start_time)? else {
        return if args.all {
            signal_rest(&state, signal).map(|()| Outcome::default())
        } else {
            Err(not_running(&args.id()))
        };
    };
    let first = || match pidfd::send_signal(init.as_fd(), signal) {
        Ok(()) => Ok(()),
        Err(Errno::ESRCH) => Err(not_running(&args.id())),
        Err(e) => Err(e).with_context(|| format!("send signal {signal} to process {}", state.pid)),
    };
    if !args.all && signal != libc::SIGKILL {
        return first().map(|()| Outcome::default());
    }
    // The kernel ends all of a pid namespace with its first process.
    if signal == libc::SIGKILL && Bond::ends_with_first(&container).unwrap_or(false) {
        return first().map(|()| Outcome::default());
    }
    match Bond::of(&container, &state) {
        // At once, and none escapes by making others meanwhile.
        Ok(Bond::Cgroup(dir)) if signal == libc::SIGKILL => cgroup::kill(&dir)?,
        Ok(bond) => bond.signal(signal)?,
        Err(e) => {
            log::warn!("only the first process is signalled: {}", crate::error::one_line(&e));
            first()?;
        }
    }
    Ok(Outcome::default())
}

/// Who has come by `exec`, or was started by the first process, outlives that where it has no pid namespace of its own: its
/// cgroup still knows. Nothing else does for certain: the number of a namespace can be another's by now. With nobody left
/// it is a success, as with runc.
fn signal_rest(state: &State, signal: i32) -> Result<()> {
    match state.cgroup.as_ref().filter(|dir| dir.is_dir()) {
        Some(dir) if signal == libc::SIGKILL => cgroup::kill(dir),
        Some(dir) => Bond::Cgroup(dir.clone()).signal(signal),
        None => Ok(()),
    }
}

/// What `kill`, `pause`, `update` and their like say of a container that has stopped.
pub fn not_running(id: &str) -> anyhow::Error {
    with_hint(anyhow!("container not running"), format!("it has stopped: `rrunc delete {id}` removes it"))
}

/// A signal by number or by name, with or without SIG, in any case. Real-time signals have numbers only.
pub fn number(text: &str) -> Result<i32> {
    let unknown = || {
        let error = anyhow!("unknown signal \"{text}\"");
        with_hint(error, "a name such as TERM, with or without SIG, or a number: `kill -l` lists them")
    };
    if let Ok(number) = text.parse::<i32>() {
        return if (0..=libc::SIGRTMAX()).contains(&number) { Ok(number) } else { Err(unknown()) };
    }
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let name = match name {
        "CLD" => "CHLD",
        "IOT" => "ABRT",
        "POLL" => "IO",
        name => name,
    };
    format!("SIG{name}").parse::<Signal>().map(|signal| signal as i32).map_err(|_| unknown())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_by_name_and_number() {
        for (text, expected) in [
            ("TERM", 15),
            ("SIGTERM", 15),
            ("sigkill", 9),
            ("Hup", 1),
            ("IOT", 6),
            ("stkflt", 16),
            ("9", 9),
            ("0", 0),
            ("64", 64),
        ] {
            assert_eq!(number(text).unwrap(), expected, "{text}");
        }
        for text in ["", "SIG", "SIGSIGTERM", "FOO", "-9", "65", "9x"] {
            assert_eq!(number(text).unwrap_err().to_string(), format!("unknown signal \"{text}\""));
        }
    }
}
