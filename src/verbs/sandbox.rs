//! `sandbox`: a bundle made from flags, run in the foreground.
use super::create::{Request, Waiting};
use super::{Outcome, delete, run};
use crate::cli::{Global, SandboxArgs};
use crate::error::{self, NotExecuted, one_line};
use crate::sandbox::{self, Caller};
use crate::state::{Root, process};
use anyhow::{Context, Result};
use nix::errno::Errno;

/// What the ids of sandboxes begin with.
const PREFIX: &str = "sandbox-";

/// Runs the verb.
pub fn run(global: &Global, args: &SandboxArgs) -> Result<Outcome> {
    let caller = Caller::probe()?;
    let mut root = Root::open(global.root.as_deref())?;
    if let Some(dir) = &args.write_bundle {
        std::fs::create_dir(dir).with_context(|| format!("--write-bundle {}", dir.display()))?;
        sandbox::write_bundle(args, &caller, root.path(), &dir.canonicalize()?)?;
        return Ok(Outcome::default());
    }
    sweep(&root);
    let id = own_id()?;
    let container = root.create(&id)?;
    let dir = container.path.join("bundle");
    let made = std::fs::create_dir(&dir)
        .context("make the private bundle")
        .and_then(|()| sandbox::write_bundle(args, &caller, root.path(), &dir));
    let bundle = match made {
        Ok(bundle) if args.print_config => {
            container.destroy()?;
            return Ok(Outcome::from(format!("{}\n", String::from_utf8_lossy(&bundle.bytes))));
        }
        Ok(bundle) => bundle,
        Err(error) => {
            container.destroy()?;
            return Err(error);
        }
    };
    let request = Request {
        id,
        waiting: Waiting::Us,
        console_socket: None,
        pid_file: None,
        pidfd_socket: None,
        no_pivot: false,
        no_new_keyring: false,
        preserve_fds: 0,
        // They would let the program in at what the service manager has opened for us.
        service: false,
    };
    match run::foreground(&root, container, bundle, &request, false, true) {
        Ok(status) => Ok(Outcome::from(status)),
        Err(error) => Err(sandbox::explain(error, args)),
    }
}

/// Exit status for a failure: 127 for a program that is not there, 126 for one that cannot be executed, as shells have
/// it, and 125 for everything else.
pub fn status(error: &anyhow::Error) -> u8 {
    match error::find::<NotExecuted>(error).map(|e| e.errno) {
        Some(Errno::ENOENT | Errno::ENOTDIR) => 127,
        Some(_) => 126,
        None => 125,
    }
}

/// An id that tells for good who made the sandbox: a pid alone is used again, in a new pid namespace at once.
fn own_id() -> Result<String> {
    let pid = std::process::id();
    let start = process::start_time(pid.cast_signed())?.context("our own process is not in /proc")?;
    Ok(format!("{PREFIX}{pid}-{start}"))
}

/// Removes what sandboxes have left whose rrunc was killed. A program that has outlived its rrunc is ended.
fn sweep(root: &Root) {
    let left = root.list().unwrap_or_default().into_iter().filter(|id| maker_is_gone(id));
    for id in left {
        if let Err(e) = delete::force(root, &id) {
            log::debug!("{id}: {}", one_line(&e));
        }
    }
}

fn maker_is_gone(id: &str) -> bool {
    let maker = id.strip_prefix(PREFIX).and_then(|maker| maker.split_once('-'));
    let Some((Ok(pid), Ok(start))) = maker.map(|(pid, start)| (pid.parse(), start.parse())) else { return false };
    matches!(process::live(pid, start), Ok(None))
}
