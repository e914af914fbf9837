//! The command line: clap definitions only. Flags, their short forms and where they may stand are runc's.
//!
//! `exec`, `ps` and `kill` stop looking for flags at the first positional, so everything from the container id on
//! is one trailing list there; the other verbs also take flags after the id. Counts of arguments are checked by `usage`.
mod doctor;
mod lazy;
mod oci;
mod sandbox;

pub use doctor::DoctorArgs;
pub use oci::{
    CreateArgs, DeleteArgs, EventsArgs, ExecArgs, FormatArgs, IdArgs, KillArgs, ListArgs, PsArgs, RunArgs, SpecArgs,
    UpdateArgs,
};
pub use sandbox::{
    EnvironmentArgs, FileArgs, LimitArgs, ProfileAction, ProfileArgs, RightsArgs, RunningArgs, SandboxArgs, TrustArgs,
};

use lazy::Lazy;

use clap::{Arg, ArgAction, Args, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

/// Run OCI containers and sandboxed commands without root.
#[derive(Debug, Parser)]
#[command(
    name = "rrunc",
    arg = version(),
    version = env!("CARGO_PKG_VERSION"),
    propagate_version = true,
    disable_version_flag = true,
    args_override_self = true,
    after_help = "Examples:\n  rrunc sandbox -- make test        run a command with the host's tools and nothing of its secrets\n  \
                  rrunc spec && rrunc run demo      write a config.json beside rootfs/, then run it\n  \
                  rrunc list                        show the containers of this user\n\n\
                  State lives under $XDG_RUNTIME_DIR/rrunc. `rrunc VERB --help` explains a verb."
)]
pub struct Cli {
    /// Options that stand before the verb.
    #[command(flatten)]
    pub global: Global,
    /// What to do; without a verb the help is shown.
    #[command(subcommand)]
    pub verb: Option<Verb>,
}

/// Options that stand before the verb.
#[derive(Clone, Debug, Default, Args)]
pub struct Global {
    /// Keep container state in DIR [default: $XDG_RUNTIME_DIR/rrunc]
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Append log lines to FILE instead of stderr
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// Write log lines as `text` or `json`
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub log_format: OsString,
    /// Log what is being done, step by step, and when
    #[arg(long)]
    pub debug: bool,
    /// Have your systemd make the container's cgroup; linux.cgroupsPath is then SLICE:PREFIX:NAME
    #[arg(long)]
    pub systemd_cgroup: bool,
    /// Accepted for runc's callers: rrunc is always rootless
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub rootless: Rootless,
    /// crun's spelling of the cgroup choice, which podman uses
    #[arg(long, value_name = "NAME", hide = true)]
    pub cgroup_manager: Option<CgroupManager>,
}

/// Value of `--rootless`. It changes nothing in rrunc, which never needs privilege.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Rootless {
    /// Always.
    True,
    /// Never; accepted, since real root gets a user namespace too.
    False,
    /// Decide by the caller's ids.
    #[default]
    Auto,
}

/// Value of `--cgroup-manager`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum CgroupManager {
    /// Write to the cgroup file system directly.
    #[default]
    Cgroupfs,
    /// Ask systemd for a scope, as `--systemd-cgroup` does.
    Systemd,
    /// Leave the container in the caller's cgroup.
    Disabled,
}

impl Global {
    /// Where the cgroup of a new container comes from.
    pub fn cgroups(&self) -> CgroupManager {
        let systemd = if self.systemd_cgroup { CgroupManager::Systemd } else { CgroupManager::Cgroupfs };
        self.cgroup_manager.unwrap_or(systemd)
    }
}

/// Of a verb without arguments.
#[derive(Debug, Args)]
pub struct NoArgs {}

/// `--version`, before the verb and after it. Not simply a global option: clap would make one for each verb, half of all its
/// definitions.
fn version() -> Arg {
    let help = "Show the version of rrunc and of the OCI runtime specification";
    Arg::new("version")
        .short('v')
        .short_alias('V')
        .long("version")
        .display_order(1000)
        .action(ArgAction::Version)
        .help(help)
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Set a container up and leave it waiting for `start`
    #[command(after_help = "Examples:\n  rrunc create --bundle /srv/web --pid-file web.pid web\n  rrunc start web\n\n\
                      A bundle whose process.terminal is true needs --console-socket.")]
    Create(Lazy<CreateArgs>),
    /// Let the program of a created container run
    #[command(after_help = "Example:\n  rrunc create web && rrunc start web")]
    Start(Lazy<IdArgs>),
    /// Create a container, start it, wait for it and delete it
    #[command(
        after_help = "Examples:\n  rrunc run demo                    the bundle in the current directory, in the foreground\n  \
                      rrunc run -d --bundle /srv/web --pid-file web.pid web\n\n\
                      The exit status is the program's own, or 128 and the signal's number."
    )]
    Run(Lazy<RunArgs>),
    /// Run another program inside a container
    #[command(
        override_usage = "rrunc exec [OPTIONS] ID CMD...\n       rrunc exec [OPTIONS] --process FILE ID",
        after_help = "Examples:\n  rrunc exec -t demo sh             a shell in the container\n  \
                      rrunc exec --user 1000 --env TERM=dumb demo id -u\n\n\
                      Options stand before the id. rrunc's own failures exit with 255."
    )]
    Exec(Lazy<ExecArgs>),
    /// Show the OCI state of a container as JSON
    #[command(after_help = "Example:\n  rrunc state demo | jq -r .status")]
    State(Lazy<IdArgs>),
    /// List the containers of this user
    #[command(after_help = "Examples:\n  rrunc list\n  rrunc list --format json | jq -r '.[].id'\n  rrunc list -q")]
    List(Lazy<ListArgs>),
    /// Show the processes of a container
    #[command(
        override_usage = "rrunc ps [OPTIONS] ID [PS-OPTIONS]...",
        after_help = "Examples:\n  rrunc ps demo                     the lines of `ps -ef` that are the container's\n  \
                      rrunc ps demo -o pid,rss,args     with options of ps, which need a PID column\n  \
                      rrunc ps --format json demo       only the pids, as the host counts them"
    )]
    Ps(Lazy<PsArgs>),
    /// Send a signal to a container
    #[command(
        override_usage = "rrunc kill [OPTIONS] ID [SIGNAL]",
        after_help = "Examples:\n  rrunc kill demo                   SIGTERM to the container's first process\n  \
                      rrunc kill demo KILL              a name with or without SIG, in any case, or a number\n  \
                      rrunc kill --all demo 9           every process of the container"
    )]
    Kill(Lazy<KillArgs>),
    /// Stop all processes of a container, until `resume`
    #[command(after_help = "Example:\n  rrunc pause web && rrunc resume web\n\n\
                      The container needs a cgroup of its own: it has one when it was made in a cgroup v2 tree that is\n\
                      delegated to you, or as a scope of your systemd, as with limits or --systemd-cgroup.")]
    Pause(Lazy<IdArgs>),
    /// Let a paused container go on
    #[command(after_help = "Example:\n  rrunc resume web")]
    Resume(Lazy<IdArgs>),
    /// Change the limits of a container while it runs
    #[command(
        override_usage = "rrunc update [OPTIONS] ID",
        after_help = "Examples:\n  rrunc update --memory 512m --pids-limit 100 web\n  \
                      rrunc update --cpu-quota 50000 web        half a processor, of the usual period of 100000 µs\n  \
                      rrunc update --memory -1 web              without a limit\n  \
                      echo '{\"pids\": {\"limit\": 9}}' | rrunc update -r - web\n\n\
                      The container needs a cgroup of its own. When one limit is refused, all stay as they were."
    )]
    Update(Lazy<Box<UpdateArgs>>),
    /// Show what a container uses, and when its memory runs out
    #[command(
        after_help = "Examples:\n  rrunc events web                  a line of JSON every 5 seconds, until it ends\n  \
                      rrunc events --stats web          one now\n\n\
                      Lines of type \"oom\" tell that the kernel has ended a process for want of memory."
    )]
    Events(Lazy<EventsArgs>),
    /// Remove a container that has stopped
    #[command(
        after_help = "Examples:\n  rrunc delete demo\n  rrunc delete --force demo         end it first; no error when it is gone"
    )]
    Delete(Lazy<DeleteArgs>),
    /// Write a config.json to start a bundle from
    #[command(
        after_help = "Example:\n  mkdir -p demo/rootfs && tar -C demo/rootfs -xf rootfs.tar\n  rrunc spec -b demo && rrunc run -b demo demo\n\n\
                      The file runs without root as it is, under rrunc and other runtimes."
    )]
    Spec(Lazy<SpecArgs>),
    /// Show what this runtime supports, as OCI features JSON
    #[command(after_help = "Example:\n  rrunc features | jq .linux.seccomp")]
    Features(Lazy<NoArgs>),
    /// Run a command with the host's tools but none of its secrets
    #[command(
        override_usage = "rrunc sandbox [OPTIONS] [--] CMD...",
        after_help = "Examples:\n  rrunc sandbox -- npm test         the project is writable, HOME is empty, no network\n  \
                      rrunc sandbox --network host -- npm install\n  \
                      rrunc sandbox --print-config -- true > config.json\n\n\
                      Exit status: the command's own, 128 and a signal's number, 124 when its time is up,\n\
                      125 for rrunc's own failures, 126 when the command cannot be run, 127 when it is not found."
    )]
    Sandbox(Lazy<Box<SandboxArgs>>),
    /// Show and check profiles of the sandbox and of seccomp
    #[command(
        arg = version(),
        after_help = "Examples:\n  rrunc profile ls\n  rrunc profile show untrusted > ~/.config/rrunc/profiles/mine.toml\n  \
                      rrunc profile check mine\n  rrunc profile show seccomp/default | jq '.syscalls[].comment'\n\n\
                      base is what every sandbox starts from. Profiles of your own are TOML files in\n\
                      $XDG_CONFIG_HOME/rrunc/profiles. The seccomp profiles are OCI JSON, for linux.seccomp of a config.json."
    )]
    // Not lazy: `help profile` would not know its verbs.
    Profile(ProfileArgs),
    /// Accept the profile that a project brings along
    #[command(
        after_help = "Examples:\n  rrunc trust                       shows .rrunc.toml of this project, and asks\n  \
                      rrunc trust --forget\n\n\
                      Until it is trusted, and whenever it has changed since, the sandbox ignores it.\n\n\
                      In a linked worktree (`git worktree`) it also lets sandboxes write the repository, which is elsewhere and\n\
                      read-only until then."
    )]
    Trust(Lazy<TrustArgs>),
    /// Show what this host offers, and how to mend what it lacks
    #[command(after_help = doctor::AFTER_HELP)]
    Doctor(Lazy<DoctorArgs>),
}

#[cfg(test)]
mod tests;
