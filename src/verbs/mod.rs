//! One thin file a verb; here is what several of them share.
pub mod create;
pub mod delete;
pub mod doctor;
pub mod events;
pub mod exec;
pub mod features;
pub mod kill;
pub mod list;
pub mod pause;
pub mod profile;
pub mod ps;
pub mod run;
pub mod sandbox;
pub mod spec;
pub mod start;
pub mod state;
pub mod trust;
pub mod update;

use crate::error::WithHint;
use crate::sys::pidfd;
use anyhow::{Context, Result, anyhow};
use nix::errno::Errno;
use oci_spec::runtime::Hooks;
use serde::Deserialize;
use std::os::fd::{AsFd, OwnedFd};

/// What a verb leaves for `main` to do.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// For stdout.
    pub output: String,
    /// The exit code: the program's own for `run`, `exec` and `sandbox`.
    pub status: u8,
}

impl From<String> for Outcome {
    fn from(output: String) -> Outcome {
        Outcome { output, status: 0 }
    }
}

impl From<u8> for Outcome {
    fn from(status: u8) -> Outcome {
        Outcome { output: String::new(), status }
    }
}

/// `hooks` of a config.json, whatever else is in it.
pub fn configured_hooks(config: &[u8]) -> Result<Option<Hooks>> {
    #[derive(Deserialize)]
    struct Config {
        hooks: Option<Hooks>,
    }
    let config: Config = serde_json::from_slice(config).context("read the hooks of the container's config.json")?;
    Ok(config.hooks)
}

/// Ends a container's first process with SIGKILL and waits until it is gone, at most ten seconds as runc does.
pub fn end(init: &OwnedFd) -> Result<()> {
    match pidfd::send_signal(init.as_fd(), libc::SIGKILL) {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(e) => return Err(e).context("kill the container's first process"),
    }
    if !pidfd::wait_ended(init.as_fd(), 10_000).context("wait for the container's first process")? {
        return Err(anyhow!("container init still running")).hint(
            || "it has not ended 10 s after SIGKILL: `ps -o pid,stat,wchan,args` tells where the kernel holds it",
        );
    }
    Ok(())
}
