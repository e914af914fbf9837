//! `exec`: another process in a container that was created or runs.
use super::Outcome;
use super::create::write_pid_file;
use crate::bundle::Bundle;
use crate::bytes;
use crate::cli::{ExecArgs, Global};
use crate::console;
use crate::error::WithHint;
use crate::host::{Host, Wants};
use crate::notify;
use crate::plan::decided::{self, Decided};
use crate::plan::exec::{self, Request};
use crate::plan::namespaces::KINDS;
use crate::relay;
use crate::spawn::{self, Spawned};
use crate::state::{Root, Status, namespaces};
use crate::supervise::{Supervised, supervise};
use crate::sys::{exe, pidfd, signal};
use crate::watchdog::{Kernel, Limits};
use anyhow::{Context, Result, anyhow, bail};
use nix::unistd::Pid;
use oci_spec::runtime::Spec;
use std::ffi::OsString;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// Runs the verb.
pub fn run(global: &Global, args: &ExecArgs) -> Result<Outcome> {
    let below = cgroup_below(args)?;
    let absolute = |path: &Option<PathBuf>| path.as_deref().map(std::path::absolute).transpose();
    let (console_socket, pidfd_socket) = (absolute(&args.console_socket)?, absolute(&args.pidfd_socket)?);
    let pid_file = absolute(&args.pid_file)?;
    let passed = notify::passed(args.preserve_fds, false)?;
    let request = Request { passed_fds: passed.kept.len() as u32, ..request(args)? };

    let mut container = Root::open(global.root.as_deref())?.lock(&args.id())?;
    let state = container.load()?;
    // Before the status says that he who has the pid is the container's first process, so that it is his for certain.
    let init = pidfd::open(Pid::from_raw(state.pid));
    must_take_processes(container.status(&state)?, args)?;
    let init = init.with_context(|| format!("open a pidfd of process {}", state.pid))?;
    // Our own copy: what somebody writes into the bundle later is not the container's configuration.
    let config = Bundle::parse(state.bundle.clone(), container.config()?)?;
    let request = Request { keyring: Some(format!("_ses.{}", state.id)), ..request };
    let host = Host::probe(wants(&config.spec, &request))?;
    let decided = state.decided()?.map_or_else(|| recalled(&config.spec, state.pid), Ok)?;
    let here = namespaces::inodes("self", exec::compared(&config.spec, &decided))?;
    let plan = exec::plan(&config, &request, &decided, &here, &host)?;
    for warning in &plan.warnings {
        log::warn!("{warning}");
    }
    for note in &plan.notes {
        log::debug!("{note}");
    }
    check_terminal(plan.process.terminal, args.detach, console_socket.is_some())?;

    // What it joins may stop it for as long as it likes; whoever ends the container meanwhile ends its way there.
    container.unlock()?;

    // From before the clone on: see `run`.
    if !args.detach {
        signal::block_all()?;
    }
    let ahead = pidfd_socket.is_none() && pid_file.is_none();
    let mut process = spawn::exec::spawn(&plan, &state, &below, init, ahead)?;
    let begun = (|| {
        if let (Some(path), Some(master)) = (&console_socket, &process.terminal) {
            console::send(path, master.as_fd(), console::MASTER_NAME)?;
        }
        if let Some(path) = &pidfd_socket {
            console::send_pidfd(path, process.pidfd.as_fd(), "setns")?;
        }
        pid_file.as_deref().map_or(Ok(()), |path| write_pid_file(path, process.pid))?;
        if let Some(master) = process.terminal.as_ref().filter(|_| !args.detach) {
            relay::copy_window_size(master.as_fd())?;
        }
        process.go()?;
        process.wait_exec()
    })();
    if let Err(error) = begun {
        process.kill()?;
        return Err(error);
    }
    let outcome = if args.detach { Outcome::default() } else { wait(&mut process)? };
    // What is open and what memory holds is for the exit to take, all at once.
    std::mem::forget((container, process, plan, config));
    Ok(outcome)
}

/// Milliseconds in which whoever has begun to read the arguments of a process on our memory has done so.
const READ: u16 = 5;

fn wait(process: &mut Spawned) -> Result<Outcome> {
    if !pidfd::wait_ended(process.pidfd.as_fd(), READ)? {
        exe::remember_arguments();
    }
    let ended = supervise(Supervised {
        pid: Pid::from_raw(process.pid),
        pidfd: process.pidfd.as_fd(),
        master: process.terminal.take(),
        only_terminals: false,
        subreaper: false,
        reaper: false,
        notify: None,
        names: None,
        kernel: Kernel::default(),
        limits: Limits::default(),
        covers: None,
    })?;
    Ok(Outcome::from(ended.status.clamp(0, 255) as u8))
}

fn must_take_processes(status: Status, args: &ExecArgs) -> Result<()> {
    match status {
        Status::Created | Status::Running => Ok(()),
        Status::Paused if args.ignore_paused => Ok(()),
        Status::Paused => Err(anyhow!("cannot exec in a paused container (use --ignore-paused to override)"))
            .hint(|| format!("`rrunc resume {}` lets it go on", args.id())),
        Status::Creating => {
            Err(anyhow!("cannot exec in a creating container")).hint(|| "wait until `rrunc create` is done")
        }
        Status::Stopped => Err(anyhow!("cannot exec in a stopped container"))
            .hint(|| "its first process has ended: `rrunc delete` it, and `rrunc run` it anew"),
    }
}

/// What has to be known of the host: as for `create`, but that labels may be of the command line.
fn wants(spec: &Spec, request: &Request) -> Wants {
    let given = request.document.is_some() || request.apparmor.is_some() || request.selinux.is_some();
    let wants = super::create::wants(spec);
    Wants { subids: false, labels: wants.labels || given, ..wants }
}

/// The cgroup below the container's own, as a relative path: one, without the controllers that cgroup v1 has before it.
fn cgroup_below(args: &ExecArgs) -> Result<PathBuf> {
    let path = match args.cgroup.as_slice() {
        [] => return Ok(PathBuf::new()),
        [path] if !path.is_empty() && !path.contains(':') => Path::new(path),
        other => bail!("invalid --cgroup argument: {}: cgroup v2 has one PATH", other.join(" ")),
    };
    let below: PathBuf = path.components().filter(|part| matches!(part, Component::Normal(_))).collect();
    if path.components().any(|part| part == Component::ParentDir) {
        return Err(anyhow!("bad sub cgroup path: {}", path.display()))
            .hint(|| "name a cgroup below the container's own, without `..`");
    }
    Ok(below)
}

fn check_terminal(terminal: bool, detach: bool, socket: bool) -> Result<()> {
    if terminal && detach && !socket {
        return Err(anyhow!("cannot allocate tty if rrunc will detach without setting console socket"))
            .hint(|| "give --console-socket SOCKET; or leave --tty or --detach out");
    }
    if socket && !(terminal && detach) {
        return Err(anyhow!("cannot use console socket if rrunc will not detach or allocate tty"))
            .hint(|| "give --detach and --tty too; or leave --console-socket out");
    }
    Ok(())
}

fn request(args: &ExecArgs) -> Result<Request> {
    let text = |value: &OsString| bytes::text(value.as_bytes());
    let document = match &args.process {
        Some(path) => Some(std::fs::read(path).with_context(|| format!("--process {}", path.display()))?),
        None => None,
    };
    let additional_gids = args
        .additional_gids
        .iter()
        .map(|gid| u32::try_from(*gid).map_err(|_| anyhow!("additional-gids must be a positive number {gid}")))
        .collect::<Result<_>>()?;
    Ok(Request {
        document,
        args: args.command().iter().map(text).collect(),
        tty: args.tty,
        cwd: args.cwd.clone(),
        env: args.env.iter().map(text).collect(),
        user: args.user.as_deref().map(parse_user).transpose()?,
        additional_gids,
        capabilities: args.cap.clone(),
        no_new_privs: args.no_new_privs,
        apparmor: args.apparmor.clone(),
        selinux: args.process_label.clone(),
        ..Request::default()
    })
}

/// `UID[:GID]`, in numbers: the container's /etc/passwd is not ours to trust before we are inside.
///
/// # Errors
/// Anything else. There is no text that stands for root but zeroes: what cannot be read never falls back to it.
pub fn parse_user(text: &str) -> Result<(u32, Option<u32>)> {
    let (uid, gid) = text.split_once(':').map_or((text, None), |(uid, gid)| (uid, Some(gid)));
    let uid =
        id(uid).with_context(|| format!("bad uid: {uid}")).hint(|| "give the user as a number: --user UID[:GID]")?;
    let gid = gid.map(|gid| id(gid).with_context(|| format!("bad gid: {gid}"))).transpose();
    let gid = gid.hint(|| "give the group as a number: --user UID[:GID]")?;
    Ok((uid, gid))
}

/// Digits and nothing else, no sign either. The largest number is none: to setresuid(2) it means "as before", which is root.
fn id(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|id| digits && *id != u32::MAX)
}

/// The same of a container whose rrunc, an older one, has kept no record. Its ids are made out as they were then. Of its
/// namespaces only the first process can tell; the user namespace that it names may be another by now, so it counts as one
/// whose owner we do not know, from which our binary is always hidden.
fn recalled(spec: &Spec, pid: i32) -> Result<Decided> {
    let host = Host::probe(Wants { subids: true, ..Wants::default() })?;
    Ok(Decided {
        ids: decided::ids_of(spec, &host),
        made_in: 0,
        namespaces: namespaces::inodes(&pid.to_string(), KINDS.into_iter())?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_digits_and_never_root_by_mistake() {
        for (text, user) in [
            ("0", (0, None)),
            ("0:0", (0, Some(0))),
            ("7:8", (7, Some(8))),
            ("0007", (7, None)),
            ("4294967294", (4_294_967_294, None)),
        ] {
            assert_eq!(parse_user(text).unwrap(), user, "{text}");
        }
        for text in [
            "",
            ":",
            "1:",
            ":1",
            "-1",
            "+0",
            "+1",
            " 0",
            "0 ",
            "0\n",
            "0x0",
            "0o0",
            "0b1",
            "1e3",
            "1.0",
            "1_000",
            "root",
            "root:root",
            "user:group",
            "1:wheel",
            "1:-1",
            "1:+1",
            "1:2:3",
            "1,2",
            "0\0",
            "\u{660}",
            "\u{ff10}",
            "4294967295",
            "4294967296",
            "1:4294967295",
            "18446744073709551616",
            "nobody",
            "#0",
        ] {
            assert!(parse_user(text).is_err(), "{text:?}");
        }
        assert!(parse_user(&"0".repeat(100_000)).is_ok_and(|user| user == (0, None)));
        assert!(parse_user(&"9".repeat(100_000)).is_err());
    }
}
