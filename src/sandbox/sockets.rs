//! What of the caller's session is opened on request: ssh-agent, the Wayland display, graphics devices.
use super::caller::Caller;
use super::grants::Grant;
use crate::cli::RightsArgs;
use crate::error::WithHint;
use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// What was asked for.
#[derive(Debug, Default)]
pub struct Sockets {
    /// Sockets, each at a place of its own inside.
    pub grants: Vec<Grant>,
    /// The variables that lead to them.
    pub variables: Vec<(String, String)>,
    /// Device nodes, as linux.devices has them.
    pub devices: Vec<Value>,
}

/// Finds what the flags ask for.
pub fn find(args: &RightsArgs, caller: &Caller) -> Result<Sockets> {
    let mut sockets = Sockets::default();
    if args.ssh_agent {
        let path = caller.path_in("SSH_AUTH_SOCK").context("--ssh-agent: SSH_AUTH_SOCK is not set");
        let path = path.hint(|| "start one: eval \"$(ssh-agent)\" && ssh-add")?;
        sockets.add("--ssh-agent", path, "/run/ssh-agent.sock")?;
        sockets.variables.push(("SSH_AUTH_SOCK".to_owned(), "/run/ssh-agent.sock".to_owned()));
        log::warn!("--ssh-agent: while it runs the program can log in wherever your keys do");
    }
    if args.wayland {
        let display = caller.variable("WAYLAND_DISPLAY").context("--wayland: WAYLAND_DISPLAY is not set")?;
        // It may be an absolute path; else it is a name in the runtime directory (wl_display_connect).
        let runtime = caller.path_in("XDG_RUNTIME_DIR").unwrap_or(Path::new("/"));
        sockets.add("--wayland", &runtime.join(display), "/run/wayland-0")?;
        for (name, value) in [("XDG_RUNTIME_DIR", "/run"), ("WAYLAND_DISPLAY", "wayland-0")] {
            sockets.variables.push((name.to_owned(), value.to_owned()));
        }
    }
    if args.gpu {
        sockets.devices = graphics();
        if sockets.devices.is_empty() {
            return Err(anyhow!("--gpu: no graphics device that you may open"))
                .hint(|| "see `ls -l /dev/dri`; the groups video and render usually may");
        }
    }
    Ok(sockets)
}

impl Sockets {
    fn add(&mut self, flag: &str, source: &Path, destination: &str) -> Result<()> {
        let source = source.canonicalize().with_context(|| format!("{flag}: {}", source.display()))?;
        if !fs::metadata(&source)?.file_type().is_socket() {
            return Err(anyhow!("{flag}: {} is no socket", source.display()));
        }
        self.grants.push(Grant { source, destination: PathBuf::from(destination), writable: true, named: true });
        Ok(())
    }
}

/// /dev/dri/* and /dev/nvidia*, those that the caller may open.
fn graphics() -> Vec<Value> {
    let list = |dir: &str, prefix: &'static str| {
        let entries = fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
        entries.map(|entry| entry.path()).filter(move |path| {
            path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(prefix.as_bytes()))
        })
    };
    let mut paths: Vec<_> = list("/dev/dri", "").chain(list("/dev", "nvidia")).collect();
    paths.sort();
    let node = |path: PathBuf| {
        let meta = fs::metadata(&path).ok().filter(|meta| meta.file_type().is_char_device())?;
        fs::File::options().read(true).write(true).open(&path).ok()?;
        let (major, minor) = (libc::major(meta.rdev()), libc::minor(meta.rdev()));
        Some(json!({"path": path, "type": "c", "major": major, "minor": minor}))
    };
    paths.into_iter().filter_map(node).collect()
}
