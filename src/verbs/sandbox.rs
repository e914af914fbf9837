//! `sandbox`: a bundle made from flags and profiles, run in the foreground, and what came of it told.
use super::create::{Request, Waiting};
use super::run::{self, Foreground};
use super::{Outcome, delete};
use crate::cli::{CgroupManager, Global, SandboxArgs};
use crate::covers;
use crate::error::{self, NotExecuted, WithHint, one_line};
use crate::sandbox::later::Watch;
use crate::sandbox::pasta::Pasta;
use crate::sandbox::profile::Network;
use crate::sandbox::promises::{self, Demands};
use crate::sandbox::report::Report;
use crate::sandbox::report_file::ReportFile;
use crate::sandbox::status::Status;
use crate::sandbox::tier::Tier;
use crate::sandbox::trees::Trees;
use crate::sandbox::{self, Caller, Choice, host_addresses, new_directory, pasta};
use crate::state::{Container, Root, process};
use crate::sys::{landlock, prctl};
use anyhow::{Context, Result, anyhow};
use nix::errno::Errno;
use std::fs;
use std::io::{IsTerminal, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What the ids of sandboxes begin with that were given no name.
const PREFIX: &str = "sandbox-";
/// In the private bundle of one that was given a name: who made it.
const MAKER: &str = "bundle/maker";

/// Runs the verb.
pub fn run(global: &Global, args: &SandboxArgs) -> Result<Outcome> {
    let began = Instant::now();
    let demands = Demands { require: &args.rights.require, allow_weaker: &args.rights.allow_weaker };
    demands.check()?;
    let caller = Caller::probe()?;
    let mut root = Root::open(global.root.as_deref())?;
    let mut choice = sandbox::choose(args, &caller, root.path())?;
    if args.running.explain_profile {
        return Ok(choice.policy.explain().into());
    }
    let trees = Trees::look(args, &choice, &caller)?;
    let only_written = args.running.write_bundle.is_some() || args.running.print_config;
    if only_written && choice.policy.network() == Network::Pasta {
        log::warn!("the bundle has no network but its own: pasta is started by `rrunc sandbox`");
    }
    if let Some(dir) = &args.running.write_bundle {
        let made =
            new_directory::make(dir, &choice.written).with_context(|| format!("--write-bundle {}", dir.display()))?;
        let by_descriptor = PathBuf::from(format!("/proc/self/fd/{}", made.as_raw_fd()));
        sandbox::write_bundle(args, &caller, &choice, &trees, &by_descriptor, serde_json::to_vec_pretty)?;
        return Ok(Outcome::default());
    }
    if args.running.print_config {
        return print_config(&mut root, args, &caller, &choice, &trees);
    }
    let weakened = promises::weakened(&choice, &trees, landlock::abi());
    demands.judge(&weakened)?;
    // The user has named what to hide, and would not look for it in a report.
    if let Some(view) = weakened.iter().find(|weak| weak.name == "view") {
        log::warn!("{}", view.why);
    }
    check_terminal(args, &caller)?;
    let report = args.running.report.as_deref().map(|text| ReportFile::open(text, &choice)).transpose()?;
    choice.kept = report.as_ref().and_then(ReportFile::path).map(Path::to_owned);
    let mut status = Status::open(&args.running)?;
    if args.running.die_with_parent {
        prctl::set_parent_death_signal().context("--die-with-parent")?;
    }

    sweep(&root);
    let maker = maker()?;
    let mut watch = Watch::begin(&trees, &choice, &maker);
    let id = args.running.name.clone().unwrap_or_else(|| format!("{PREFIX}{maker}"));
    let container = root.create(&id)?;
    let (container, bundle) = undone_on_failure(container, |dir| {
        fs::create_dir(dir).with_context(|| format!("make the private bundle {}", dir.display()))?;
        if args.running.name.is_some() {
            fs::write(dir.join("maker"), &maker).context("write the private bundle")?;
        }
        sandbox::write_bundle(args, &caller, &choice, &trees, dir, serde_json::to_vec)
    })?;
    let mut network = None;
    let connected = choice.policy.network() == Network::Pasta;
    let told = connected || status.is_wanted();
    let mut created = |pid| {
        if connected {
            network = Some(Pasta::start(pid).context("--network pasta")?);
            host_addresses::close(pid, pasta::hosts_resolver()).context("--network pasta")?;
        }
        status.created(pid)
    };
    let created: Option<&mut dyn FnMut(i32) -> Result<()>> = if told { Some(&mut created) } else { None };
    let mut started = || watch.started();
    let foreground = Foreground { keep: false, subreaper: true, last: false, created, started: Some(&mut started) };
    let ended = foreground
        .run(container, bundle, &request(id, choice.tier))
        .map_err(|error| sandbox::explain(error, args, &caller))?;
    drop(network);
    let exit = run::status(&ended);
    status.ended(exit)?;
    let later = watch.end(&trees, &choice, is_gone);
    let told = Report::of(&choice, &ended, exit, began.elapsed(), weakened, later);
    let stderr = std::io::stderr();
    let mut seen = report.is_some();
    if let Ok(told) = &told
        && !args.running.quiet
        && stderr.is_terminal()
    {
        // Where that fails nobody is left to hear of it.
        seen |= stderr.lock().write_all(told.text().as_bytes()).is_ok();
    }
    if !(seen && stderr.is_terminal()) {
        // What was hidden may be known now: whoever reads nothing else reads this.
        ended.fallen.iter().for_each(|fallen| log::warn!("{}", covers::told(fallen)));
    }
    report.as_ref().map_or(Ok(()), ReportFile::check)?;
    // The program has run, and its status is what counts.
    let written = told.and_then(|told| {
        report.map_or(Ok(()), |report| report.write(&told.json()))?;
        watch.finish(seen || told.has_no_news());
        Ok(())
    });
    if let Err(error) = written {
        log::warn!("report: {}", one_line(&error));
    }
    Ok(Outcome::from(exit))
}

fn print_config(
    root: &mut Root,
    args: &SandboxArgs,
    caller: &Caller,
    choice: &Choice,
    trees: &Trees,
) -> Result<Outcome> {
    let container = root.create(&format!("{PREFIX}{}", maker()?))?;
    let (container, bundle) = undone_on_failure(container, |dir| {
        fs::create_dir(dir).with_context(|| format!("make the private bundle {}", dir.display()))?;
        sandbox::write_bundle(args, caller, choice, trees, dir, serde_json::to_vec_pretty)
    })?;
    container.destroy()?;
    Ok(Outcome::from(format!("{}\n", String::from_utf8_lossy(&bundle.bytes))))
}

/// Makes the private bundle in the container's directory, which goes if that fails.
fn undone_on_failure<T>(container: Container, make: impl FnOnce(&Path) -> Result<T>) -> Result<(Container, T)> {
    match make(&container.path.join("bundle")) {
        Ok(made) => Ok((container, made)),
        Err(error) => {
            container.destroy()?;
            Err(error)
        }
    }
}

fn request(id: String, tier: Tier) -> Request {
    Request {
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
        cgroup: if tier.is_cgroup() { CgroupManager::Cgroupfs } else { CgroupManager::Disabled },
    }
}

fn check_terminal(args: &SandboxArgs, caller: &Caller) -> Result<()> {
    if args.running.tty && !caller.terminal {
        return Err(anyhow!("-t: none of stdin, stdout and stderr is a terminal"))
            .hint(|| "leave -t out: the command has a terminal of its own whenever you have one");
    }
    Ok(())
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

/// What tells for good who made a sandbox: a pid alone is used again, in a new pid namespace at once, and means another
/// process in another one.
fn maker() -> Result<String> {
    let pid = std::process::id();
    let start = process::start_time(pid.cast_signed())?.context("our own process is not in /proc")?;
    Ok(format!("{pid}-{start}-{}", pid_namespace()))
}

/// The number of our pid namespace.
fn pid_namespace() -> u64 {
    fs::metadata("/proc/self/ns/pid").map_or(0, |meta| meta.ino())
}

/// Removes what sandboxes have left whose rrunc was killed. A program that has outlived its rrunc is ended.
fn sweep(root: &Root) {
    let left = root.list().unwrap_or_default().into_iter().filter(|id| {
        let named = || fs::read_to_string(PathBuf::from(root.path()).join(id).join(MAKER)).ok();
        id.strip_prefix(PREFIX).map(str::to_owned).or_else(named).is_some_and(|maker| is_gone(&maker))
    });
    for id in left {
        if let Err(e) = delete::force(root, &id) {
            log::debug!("{id}: {}", one_line(&e));
        }
    }
}

/// Whose pid namespace is not ours may be alive, for all that we can see.
fn is_gone(maker: &str) -> bool {
    let numbers: Option<Vec<u64>> = maker.split('-').map(|number| number.parse().ok()).collect();
    let Some([pid, start, namespace]) = numbers.as_deref() else { return false };
    let Ok(pid) = i32::try_from(*pid) else { return false };
    *namespace == pid_namespace() && matches!(process::live(pid, *start), Ok(None))
}
