//! What the user of a sandbox should know when it could not be set up, or its program not be executed: what the host has
//! there, and which flag shows it.
use super::{Caller, promises};
use crate::cli::SandboxArgs;
use crate::error::{NotExecuted, find, hint_of, with_hint};
use crate::printable::printable;
use nix::errno::Errno;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Adds what a sandbox's user should know to an error of setting it up.
pub fn explain(error: anyhow::Error, args: &SandboxArgs, caller: &Caller) -> anyhow::Error {
    let covered = !args.rights.allow_weaker.iter().any(|name| name == "proc") && promises::proc_is_covered();
    if covered && let Some(hint) = hint_of(&error).filter(|hint| hint.contains("masked")) {
        let hint = format!("{hint}; or show the outer /proc, read-only, with --allow-weaker proc");
        return with_hint(error, hint);
    }
    match find::<NotExecuted>(&error).and_then(|failed| on_the_host(args, caller, failed)) {
        Some(hint) => with_hint(error, hint),
        None => error,
    }
}

/// What the host knows of a program that was not executed.
fn on_the_host(args: &SandboxArgs, caller: &Caller, failed: &NotExecuted) -> Option<String> {
    let name = Path::new(args.command.first()?);
    let bare = !name.as_os_str().as_encoded_bytes().contains(&b'/');
    let path = if bare { caller.program(name) } else { Some(caller.cwd.join(name).components().collect()) };
    let there = path.and_then(|path| Some((path.metadata().ok()?, path)));
    let Some((meta, path)) = there else {
        let place = if bare { " in your PATH" } else { "" };
        let missing =
            || format!("the host has no {}{place} either: install it first", printable(&name.to_string_lossy()));
        return (failed.errno == Errno::ENOENT).then(missing);
    };
    let shown = printable(&path.to_string_lossy());
    // It was found, so what execve(2) misses is something else.
    let found = !failed.text.starts_with("exec: ");
    match failed.errno {
        Errno::ENOENT if found => Some(format!(
            "what runs {shown} is missing in the sandbox: the interpreter in its first line, or the loader of a binary"
        )),
        // A toolchain is more than the one file that starts it.
        Errno::ENOENT if bare => {
            let dir = printable(&path.parent()?.to_string_lossy());
            Some(format!("{shown} is not in the sandbox's view: show its directory with --ro-bind {dir}"))
        }
        Errno::ENOENT => Some(format!("{shown} is not in the sandbox's view: show it with --ro-bind {shown}")),
        Errno::EACCES if meta.is_dir() => Some(format!("{shown} is a directory")),
        Errno::EACCES if meta.mode() & 0o111 == 0 => {
            Some(format!("{shown} is not executable: `chmod +x` makes it so, or name its interpreter before it"))
        }
        _ => None,
    }
}
