//! The last steps of init and of `exec`, which are the same: becoming what the configuration calls the process, and
//! executing its program.
use super::credentials::{self, Rights};
use super::listener::{self, Host};
use super::{program, stdio};
use crate::error::{NotExecuted, errno_of, find, with_hint};
use crate::plan::Process;
use crate::sys::{capability, exe, prctl, signal};
use anyhow::{Context, Result};
use nix::errno::Errno;
use std::convert::Infallible;
use std::ffi::CString;

/// A program that is about to run.
pub struct Ready {
    /// The file.
    pub path: CString,
    /// Its whole environment.
    pub env: Vec<CString>,
    /// Its capabilities, where more than they is permitted still.
    capabilities: Option<capability::Sets>,
}

impl Ready {
    /// Gives up what was kept with `Rights::keep_permitted`.
    pub fn drop_permitted(&self) -> Result<()> {
        self.capabilities.map_or(Ok(()), |sets| capability::set(sets).context("capset"))
    }
}

/// Gives up all that the program is not to have, and finds it. Shared with `exec`.
pub fn become_process(process: &Process, rights: Rights, host: &Host) -> Result<Ready> {
    let env = program::environment(process);
    credentials::set_limits(process)?;
    if process.no_new_privs {
        prctl::set_no_new_privs()?;
    }
    // Without no_new_privs loading takes CAP_SYS_ADMIN. So that is kept until the program is found: a filter need not allow what
    // that takes.
    let loads = process.seccomp.is_some() && !process.no_new_privs;
    let kept = Rights { keep_permitted: rights.keep_permitted || loads, ..rights };
    if !rights.only_id {
        stdio::give_pipes(process.uid)?;
    }
    // As the container's root, and where that is refused, as it is on a network's file system, as the user.
    let entered = program::enter_cwd(&process.cwd, process.real_cwd);
    let capabilities = credentials::drop_to(process, kept)?;
    match entered.as_ref().err().and_then(errno_of) {
        Some(Errno::EACCES | Errno::EPERM) => program::enter_cwd(&process.cwd, process.real_cwd)?,
        _ => entered?,
    }
    let path = program::find(process)?;
    if !loads {
        return Ok(Ready { path, env, capabilities });
    }
    let now = credentials::raise_for_filter()?;
    load_filter(process, host)?;
    let ready = Ready { path, env, capabilities: Some(capabilities.unwrap_or(now)) };
    if !rights.keep_permitted {
        ready.drop_permitted()?;
    }
    Ok(ready)
}

fn load_filter(process: &Process, host: &Host) -> Result<()> {
    let Some(filter) = &process.seccomp else { return Ok(()) };
    // In runc's words, which its users look for.
    log::debug!("seccomp filter flags: {}", filter.flags);
    listener::load(filter, host)
}

/// With no_new_privs the filter is the very last thing, so that it need not allow anything of ours but execve.
pub fn load_late_filter(process: &Process, host: &Host) -> Result<()> {
    if process.no_new_privs { load_filter(process, host) } else { Ok(()) }
}

/// Gives the pages of our own program back before a wait that may be long; else whoever calls `start` would wait until execve
/// has. Not under a filter, which may forbid it, and kill for it.
pub fn release_pages(process: &Process) {
    if process.no_new_privs || process.seccomp.is_none() {
        // What cannot be given back (mlock(2)) stays.
        exe::release_pages().ok();
    }
}

/// Says why a created container's program could not be executed on its own standard error as well, as runc's init does: clients
/// show what the container has written, and not always what `start` has. Only what execve has said, not what kept it from being
/// called.
pub fn tell_output(error: &anyhow::Error) {
    if let Some(NotExecuted { text, .. }) = find(error)
        && text.starts_with("exec /")
    {
        // Whoever has closed it wants to know nothing.
        nix::unistd::write(std::io::stderr(), format!("{text}\n").as_bytes()).ok();
    }
}

/// Replaces this process by the program. What is still open of ours is close-on-exec.
pub fn exec(args: &[CString], ready: &Ready) -> Result<Infallible> {
    signal::start_program()?;
    let Err(errno) = nix::unistd::execve(&ready.path, args, &ready.env);
    // One bare line, as runc has it: clients read it.
    let name = ready.path.to_string_lossy();
    let error =
        anyhow::Error::new(NotExecuted { errno, text: format!("exec {name}: {}", errno.desc().to_lowercase()) });
    // Nothing can be looked at any more: the filter is loaded.
    let hint = match errno {
        Errno::ENOENT => {
            "it is there, but not what runs it: the interpreter in its first line, or the loader of a binary"
        }
        Errno::ENOEXEC => {
            "it is a program for another processor, or a script without an interpreter in its first line (#!)"
        }
        Errno::EACCES => "its file system may be mounted noexec, or its interpreter not be executable",
        _ => return Err(error),
    };
    Err(with_hint(error, hint))
}
