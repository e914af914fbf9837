//! `rrunc sandbox`: flags and a profile become an OCI bundle, and nothing more; `run` executes it like any other.
//!
//! The private bundle holds config.json, an empty rootfs and the made-up /etc. Everything else comes from the host by
//! mounts that `view` allows.
pub mod etc;
pub mod profile;
pub mod project;
pub mod view;

use crate::bundle::Bundle;
use crate::cli::{Network, SandboxArgs};
use crate::error::{WithHint, with_hint};
use crate::host::{home_of, user_name};
use crate::plan::landlock::{LANDLOCK, SCOPES};
use crate::plan::{KEEP_STREAMS, REAPER};
use crate::seccomp::profiles;
use crate::sys::landlock;
use anyhow::{Context, Result, anyhow, bail};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::stat::{Mode, umask};
use profile::Profile;
pub use project::Guarded;
use serde_json::{Value, json};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use view::{Grant, View};

/// What is known of the caller, taken once.
pub struct Caller {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Login name.
    pub name: String,
    /// Home directory, without links.
    pub home: PathBuf,
    /// The one of the account, whatever HOME says: secrets are there as well.
    pub account_home: Option<PathBuf>,
    /// Working directory, without links.
    pub cwd: PathBuf,
    /// Environment.
    pub env: Vec<(OsString, OsString)>,
    /// Some standard stream is a terminal: the program gets one of its own.
    pub terminal: bool,
    /// File mode creation mask.
    pub umask: u32,
    /// Core dumps may be limited to one byte, which they cannot be by whom they are forbidden altogether.
    pub core_limit: bool,
}

impl Caller {
    /// The caller of this process.
    pub fn probe() -> Result<Caller> {
        refuse_directories()?;
        let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let name = user_name(&passwd, uid).map_or_else(|| format!("user{uid}"), str::to_owned);
        let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
        let home = home.and_then(|home| home.canonicalize().ok()).filter(|home| home != Path::new("/"));
        let account_home = home_of(&passwd, uid).and_then(|home| Path::new(home).canonicalize().ok());
        let account_home = account_home.filter(|home| home != Path::new("/"));
        let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
        let streams = [stderr.as_fd(), stdout.as_fd(), stdin.as_fd()];
        let terminal = streams.iter().any(|stream| stream.is_terminal());
        Ok(Caller {
            uid,
            gid,
            home: home.or_else(|| account_home.clone()).unwrap_or_else(|| PathBuf::from("/home").join(&name)),
            account_home,
            name,
            cwd: std::env::current_dir().context("current directory")?,
            env: std::env::vars_os().collect(),
            terminal,
            umask: own_umask().bits(),
            core_limit: getrlimit(Resource::RLIMIT_CORE).context("RLIMIT_CORE")?.1 > 0,
        })
    }
}

/// There is no way to only ask for it.
fn own_umask() -> Mode {
    let mask = umask(Mode::empty());
    umask(mask);
    mask
}

/// A directory on a standard stream would be a way out of the sandbox, through /proc/self/fd.
fn refuse_directories() -> Result<()> {
    for (fd, name) in ["stdin", "stdout", "stderr"].iter().enumerate() {
        let mode = crate::sys::descriptor::stat(fd as i32).with_context(|| (*name).to_owned())?.st_mode;
        if mode & libc::S_IFMT == libc::S_IFDIR {
            return Err(anyhow!("{name} is a directory of the host")).hint(|| "redirect it from /dev/null or a file");
        }
    }
    Ok(())
}

/// Writes the bundle for `args` into the existing, empty directory `dir`. `state` is where containers are kept.
pub fn write_bundle(args: &SandboxArgs, caller: &Caller, state: &Path, dir: &Path) -> Result<Bundle> {
    shut_abstract_sockets(args.network, landlock::abi(), false)?;
    let profile = Profile::base()?;
    let guarded = &Guarded::of(caller, state, &profile);
    let project = match (&args.project, args.no_project) {
        (_, true) => None,
        (Some(root), _) => Some(project::at(root, guarded)?),
        (None, _) => Some(project::find(&caller.cwd, &caller.home, guarded)?),
    };
    let grants = grants(args, caller)?;
    let view = View {
        profile: &profile,
        home: &caller.home,
        project: project.as_ref(),
        grants: &grants,
        host_network: args.network == Network::Host,
    };
    let config = config(args, caller, &view, guarded)?;
    let (uid, gid) = inside_ids(args, caller);
    let name = if uid == 0 { "root" } else { &caller.name };
    let user = etc::User { name, uid, gid, home: &caller.home };
    etc::write(&dir.join("etc"), &user, &view.shown_of_etc(), view.host_network)?;
    fs::create_dir(dir.join("rootfs")).context("make the empty root")?;
    let bytes = serde_json::to_vec_pretty(&config).context("write config.json")?;
    fs::write(dir.join("config.json"), &bytes).context("write config.json")?;
    Bundle::parse(dir.to_owned(), bytes)
}

/// In the host's network namespace only Landlock keeps the abstract unix sockets of the user's session (D-Bus, X11) out
/// of reach. Where the kernel, of Landlock `abi`, cannot, the sandbox is refused, unless it is `weaker` by request.
fn shut_abstract_sockets(network: Network, abi: u32, weaker: bool) -> Result<()> {
    if network != Network::Host || abi >= SCOPES {
        return Ok(());
    }
    let has = if abi == 0 { "has no Landlock".to_owned() } else { format!("has Landlock ABI {abi}") };
    let what = format!("abstract unix sockets of your session could be reached: this kernel {has}, not {SCOPES}");
    if weaker {
        log::warn!("--network host: {what}");
        return Ok(());
    }
    Err(anyhow!("--network host: {what}")).hint(|| "leave out --network host, or use Linux 6.12 or later with Landlock")
}

fn inside_ids(args: &SandboxArgs, caller: &Caller) -> (u32, u32) {
    if args.as_root { (0, 0) } else { (caller.uid, caller.gid) }
}

fn grants(args: &SandboxArgs, caller: &Caller) -> Result<Vec<Grant>> {
    let read_only = args.ro_bind.iter().map(|text| ("--ro-bind", text, false));
    let all = read_only.chain(args.bind.iter().map(|text| ("--bind", text, true)));
    all.map(|(flag, text, writable)| {
        grant(text, writable, caller).with_context(|| format!("{flag} {}", text.display()))
    })
    .collect()
}

/// `SRC[:DST]`, the destination being the source's own place when it is not named.
fn grant(text: &OsStr, writable: bool, caller: &Caller) -> Result<Grant> {
    let bytes = text.as_bytes();
    // As in docker: the last colon that is followed by an absolute path.
    let colon = bytes.windows(2).rposition(|pair| pair == b":/");
    let (source, destination) = match colon {
        Some(at) => (&bytes[..at], Some(&bytes[at + 1..])),
        None => (bytes, None),
    };
    let source = caller.cwd.join(OsStr::from_bytes(source));
    let source = source.canonicalize().with_context(|| source.display().to_string())?;
    let destination = destination.map_or_else(|| source.clone(), |path| PathBuf::from(OsStr::from_bytes(path)));
    if destination.components().any(|part| part == Component::ParentDir) {
        bail!("{} leads up again by `..`: name the place itself", destination.display());
    }
    if destination == Path::new("/") {
        bail!("the root of the sandbox is made up: name the directories that are wanted");
    }
    Ok(Grant { source, destination, writable })
}

/// The OCI configuration.
fn config(args: &SandboxArgs, caller: &Caller, view: &View, guarded: &Guarded) -> Result<Value> {
    let (uid, gid) = inside_ids(args, caller);
    let command = args.command.iter().map(|arg| text("argument", arg)).collect::<Result<Vec<_>>>()?;
    let cwd: &Path = if view.shows(&caller.cwd) { &caller.cwd } else { view.home };
    let masked = masked(view, guarded);
    // JSON has no other bytes.
    for path in view.given().chain([cwd]).chain(masked.iter().map(PathBuf::as_path)) {
        text("path", path.as_os_str())?;
    }
    let mut namespaces: Vec<_> =
        ["pid", "ipc", "uts", "mount", "cgroup", "user"].map(|kind| json!({"type": kind})).into();
    if !view.host_network {
        namespaces.push(json!({"type": "network"}));
    }
    let seccomp: Value = serde_json::from_str(profiles::profile("sandbox").context("no seccomp profile")?)?;
    let none: [&str; 0] = [];
    Ok(json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": caller.terminal,
            "user": {"uid": uid, "gid": gid, "umask": caller.umask},
            "args": command,
            "env": environment(args, caller, view)?,
            "cwd": cwd,
            "capabilities": {
                "bounding": none, "effective": none, "inheritable": none, "permitted": none, "ambient": none
            },
            "rlimits": rlimits(caller),
            "noNewPrivileges": true
        },
        "root": {"path": "rootfs", "readonly": true},
        "hostname": etc::HOSTNAME,
        "annotations": {REAPER: "true", KEEP_STREAMS: "true", LANDLOCK: "files,abstract-sockets,signals"},
        "mounts": view.mounts()?,
        "linux": {
            "namespaces": namespaces,
            "uidMappings": [{"containerID": uid, "hostID": caller.uid, "size": 1}],
            "gidMappings": [{"containerID": gid, "hostID": caller.gid, "size": 1}],
            "seccomp": seccomp,
            "maskedPaths": masked,
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
        }
    }))
}

/// 1, not 0: a core handler behind a pipe is stopped by a soft limit of 1 only (core(5)).
fn rlimits(caller: &Caller) -> Value {
    if caller.core_limit {
        return json!([{"type": "RLIMIT_CORE", "hard": 1, "soft": 1}]);
    }
    if fs::read("/proc/sys/kernel/core_pattern").is_ok_and(|pattern| pattern.starts_with(b"|")) {
        log::warn!("`ulimit -Hc 0` does not stop this host's core handler from reading the program's memory, 1 does");
    }
    json!([])
}

fn masked(view: &View, guarded: &Guarded) -> Vec<PathBuf> {
    const KERNEL: [&str; 12] = [
        "/proc/acpi",
        "/proc/asound",
        "/proc/kcore",
        "/proc/keys",
        "/proc/key-users",
        "/proc/latency_stats",
        "/proc/timer_list",
        "/proc/timer_stats",
        "/proc/sched_debug",
        "/proc/scsi",
        "/sys/firmware",
        "/sys/fs/cgroup",
    ];
    KERNEL.iter().map(PathBuf::from).chain(view.masked(guarded)).collect()
}

fn environment(args: &SandboxArgs, caller: &Caller, view: &View) -> Result<Vec<String>> {
    let mut env: Vec<(String, String)> = Vec::new();
    let mut set = |name: &str, value: String| match env.iter_mut().find(|(known, _)| known == name) {
        Some(entry) => entry.1 = value,
        None => env.push((name.to_owned(), value)),
    };
    for (name, value) in &caller.env {
        // One that is not UTF-8 has no place in a JSON document, and is no setting that a tool depends on.
        if let (Some(name), Some(value)) = (name.to_str(), value.to_str())
            && view.profile.environment.passes(name)
        {
            set(name, value.to_owned());
        }
    }
    set("HOME", text("HOME", caller.home.as_os_str())?);
    let name = if args.as_root { "root" } else { &caller.name };
    for variable in ["USER", "LOGNAME"] {
        set(variable, name.to_owned());
    }
    for entry in &args.env {
        let entry = text("-e", entry)?;
        match entry.split_once('=') {
            Some((name, value)) => set(name, value.to_owned()),
            None => {
                let own = caller.env.iter().find(|(name, _)| *name == *entry).map(|(_, value)| value);
                let own = own.with_context(|| format!("-e {entry}: the variable is not set"))?;
                set(&entry, text("-e", own)?);
            }
        }
    }
    if !env.iter().any(|(name, _)| name == "PATH") {
        env.push(("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned()));
    }
    Ok(env.into_iter().map(|(name, value)| format!("{name}={value}")).collect())
}

fn text(what: &str, value: &OsStr) -> Result<String> {
    value.to_str().map(str::to_owned).with_context(|| format!("{what} {value:?} is not UTF-8"))
}

impl Guarded {
    /// HOME; the runtime, state and configuration directories; the secrets of `profile`. Each by its name and by the
    /// place that leads to: a project or grant is known without links.
    pub fn of(caller: &Caller, state: &Path, profile: &Profile) -> Guarded {
        let config = directories::BaseDirs::new().map(|dirs| dirs.config_dir().to_owned());
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|dir| dir.is_absolute());
        let live = || [Some(state.to_owned()), runtime.clone()].into_iter().flatten();
        let homes = || std::iter::once(&caller.home).chain(&caller.account_home);
        let around = homes().cloned().chain(config.clone()).chain(live());
        let own = live().chain(config.map(|dir| dir.join("rrunc")));
        let secrets = homes().flat_map(|home| profile.filesystem.secrets.iter().map(|path| home.join(path)));
        let real = |dir: PathBuf| dir.canonicalize().unwrap_or(dir);
        let both = |dir: PathBuf| {
            let real = dir.canonicalize().ok().filter(|real| *real != dir);
            std::iter::once(dir).chain(real)
        };
        Guarded { around: around.map(real).collect(), within: own.chain(secrets).flat_map(both).collect() }
    }
}

/// Adds what a sandbox's user should know to an error of setting it up.
pub fn explain(error: anyhow::Error, args: &SandboxArgs) -> anyhow::Error {
    let missing = crate::error::errno_of(&error) == Some(nix::errno::Errno::ENOENT);
    let program = args.command.first().map(Path::new).filter(|program| program.is_absolute() && program.exists());
    match program {
        Some(program) if missing => {
            let hint = format!("{0} is not in the sandbox's view: show it with --ro-bind {0}", program.display());
            with_hint(error, hint)
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_network_takes_a_kernel_that_can_shut_abstract_sockets() {
        for abi in [0, 1, 5] {
            let error = shut_abstract_sockets(Network::Host, abi, false).unwrap_err();
            assert!(crate::error::hint_of(&error).is_some_and(|hint| hint.contains("--network host")), "{error}");
            assert!(shut_abstract_sockets(Network::Host, abi, true).is_ok());
            assert!(shut_abstract_sockets(Network::None, abi, false).is_ok());
        }
        assert!(shut_abstract_sockets(Network::Host, 6, false).is_ok());
    }
}
