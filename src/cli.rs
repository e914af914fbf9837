//! The command line: clap definitions only. Flags, their short forms and where they may stand are runc's.
//!
//! `exec`, `ps` and `kill` stop looking for flags at the first positional, so everything from the container id on
//! is one trailing list there; the other verbs also take flags after the id. Counts of arguments are checked by `usage`.
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

/// What follows the name in the output of `--version`; the lines are those that clients of runc read.
pub const VERSION: &str = concat!("version ", env!("CARGO_PKG_VERSION"), "\ncommit: unknown\nspec: 1.3.0");

/// Run OCI containers and sandboxed commands without root.
#[derive(Debug, Parser)]
#[command(
    name = "rrunc",
    version = VERSION,
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
    /// Log what is being done, step by step
    #[arg(long)]
    pub debug: bool,
    /// Read cgroupsPath as `slice:prefix:name`, for a systemd user scope
    #[arg(long)]
    pub systemd_cgroup: bool,
    /// Accepted for runc's callers: rrunc is always rootless
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub rootless: Rootless,
    /// crun's spelling of the cgroup choice, which podman uses
    #[arg(long, value_name = "NAME", hide = true)]
    pub cgroup_manager: Option<CgroupManager>,
    /// Show the version of rrunc and of the OCI runtime specification
    #[arg(short = 'v', short_alias = 'V', long, global = true, display_order = 1000, action = clap::ArgAction::Version)]
    version: Option<bool>,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CgroupManager {
    /// Write to the cgroup file system directly.
    Cgroupfs,
    /// Ask systemd for a scope, as `--systemd-cgroup` does.
    Systemd,
    /// Leave the container in the caller's cgroup.
    Disabled,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Set a container up and leave it waiting for `start`
    #[command(after_help = "Examples:\n  rrunc create --bundle /srv/web --pid-file web.pid web\n  rrunc start web\n\n\
                      A bundle whose process.terminal is true needs --console-socket.")]
    Create(CreateArgs),
    /// Let the program of a created container run
    #[command(after_help = "Example:\n  rrunc create web && rrunc start web")]
    Start(IdArgs),
    /// Create a container, start it, wait for it and delete it
    #[command(
        after_help = "Examples:\n  rrunc run demo                    the bundle in the current directory, in the foreground\n  \
                      rrunc run -d --bundle /srv/web --pid-file web.pid web\n\n\
                      The exit status is the program's own, or 128 and the signal's number."
    )]
    Run(RunArgs),
    /// Run another program inside a container
    #[command(
        override_usage = "rrunc exec [OPTIONS] ID CMD...\n       rrunc exec [OPTIONS] --process FILE ID",
        after_help = "Examples:\n  rrunc exec -t demo sh             a shell in the container\n  \
                      rrunc exec --user 1000 --env TERM=dumb demo id -u\n\n\
                      Options stand before the id. rrunc's own failures exit with 255."
    )]
    Exec(ExecArgs),
    /// Show the OCI state of a container as JSON
    #[command(after_help = "Example:\n  rrunc state demo | jq -r .status")]
    State(IdArgs),
    /// List the containers of this user
    #[command(after_help = "Examples:\n  rrunc list\n  rrunc list --format json | jq -r '.[].id'\n  rrunc list -q")]
    List(ListArgs),
    /// Show the processes of a container
    #[command(
        override_usage = "rrunc ps [OPTIONS] ID [PS-OPTIONS]...",
        after_help = "Examples:\n  rrunc ps demo                     the lines of `ps -ef` that are the container's\n  \
                      rrunc ps demo -o pid,rss,args     with options of ps, which need a PID column\n  \
                      rrunc ps --format json demo       only the pids, as the host counts them"
    )]
    Ps(PsArgs),
    /// Send a signal to a container
    #[command(
        override_usage = "rrunc kill [OPTIONS] ID [SIGNAL]",
        after_help = "Examples:\n  rrunc kill demo                   SIGTERM to the container's first process\n  \
                      rrunc kill demo KILL              a name with or without SIG, in any case, or a number\n  \
                      rrunc kill --all demo 9           every process of the container"
    )]
    Kill(KillArgs),
    /// Remove a container that has stopped
    #[command(
        after_help = "Examples:\n  rrunc delete demo\n  rrunc delete --force demo         end it first; no error when it is gone"
    )]
    Delete(DeleteArgs),
    /// Write a config.json to start a bundle from
    #[command(
        after_help = "Example:\n  mkdir -p demo/rootfs && tar -C demo/rootfs -xf rootfs.tar\n  rrunc spec -b demo && rrunc run -b demo demo\n\n\
                      The file runs without root as it is, under rrunc and other runtimes."
    )]
    Spec(SpecArgs),
    /// Show what this runtime supports, as OCI features JSON
    #[command(after_help = "Example:\n  rrunc features | jq .linux.seccomp")]
    Features,
    /// Run a command with the host's tools but none of its secrets
    #[command(
        override_usage = "rrunc sandbox [OPTIONS] [--] CMD...",
        after_help = "Examples:\n  rrunc sandbox -- npm test         the project is writable, HOME is empty, no network\n  \
                      rrunc sandbox --network host -- cargo fetch\n  \
                      rrunc sandbox --print-config -- true > config.json\n\n\
                      Exit status: the command's own, 128 and a signal's number, 125 for rrunc's own failures,\n\
                      126 when the command cannot be run, 127 when it is not found."
    )]
    Sandbox(SandboxArgs),
}

/// A verb that takes a container id and nothing else.
#[derive(Debug, Args)]
pub struct IdArgs {
    /// Name of the container
    #[arg(value_name = "ID")]
    pub id: String,
}

/// How a container is set up: the options that `create` and `run` share.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Name of the new container, unique for this user
    #[arg(value_name = "ID")]
    pub id: String,
    /// Directory that holds config.json
    #[arg(short, long, value_name = "DIR", default_value = ".", hide_default_value = true)]
    pub bundle: PathBuf,
    /// Send the terminal's master end to the unix socket PATH
    #[arg(long, value_name = "PATH")]
    pub console_socket: Option<PathBuf>,
    /// Write the pid of the container's first process to FILE
    #[arg(long, value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
    /// Send a pidfd of the container's first process to the unix socket PATH
    #[arg(long, value_name = "PATH")]
    pub pidfd_socket: Option<PathBuf>,
    /// Use chroot and move the mount instead of pivot_root, for a root on a ramdisk
    #[arg(long)]
    pub no_pivot: bool,
    /// Keep the caller's session keyring
    #[arg(long)]
    pub no_new_keyring: bool,
    /// Pass N more file descriptors, from 3 on, to the program
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub preserve_fds: u32,
}

/// `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// How the container is set up.
    #[command(flatten)]
    pub create: CreateArgs,
    /// Return once the program runs, and leave the container behind
    #[arg(short, long)]
    pub detach: bool,
    /// Keep the stopped container until `delete`
    #[arg(long)]
    pub keep: bool,
    /// Do not adopt the container's orphans while waiting
    #[arg(long)]
    pub no_subreaper: bool,
}

/// `exec`.
#[derive(Debug, Args)]
pub struct ExecArgs {
    /// Name of the container, then the program and its arguments
    #[arg(value_name = "ID [CMD]...", required = true, trailing_var_arg = true, num_args = 1..)]
    pub target: Vec<OsString>,
    /// Send the terminal's master end to the unix socket PATH
    #[arg(long, value_name = "PATH")]
    pub console_socket: Option<PathBuf>,
    /// Send a pidfd of the new process to the unix socket PATH
    #[arg(long, value_name = "PATH")]
    pub pidfd_socket: Option<PathBuf>,
    /// Working directory inside the container
    #[arg(long, value_name = "DIR")]
    pub cwd: Option<PathBuf>,
    /// Set an environment variable; may be given several times
    #[arg(short, long, value_name = "K=V")]
    pub env: Vec<OsString>,
    /// Give the program a terminal of its own
    #[arg(short, long)]
    pub tty: bool,
    /// Run as this user, in numbers
    #[arg(short, long, value_name = "UID[:GID]")]
    pub user: Option<String>,
    /// Add a supplementary group; may be given several times
    #[arg(short = 'g', long, value_name = "GID", allow_negative_numbers = true)]
    pub additional_gids: Vec<i64>,
    /// Read the whole process from FILE (an OCI `process` object); the other options for it are then ignored
    #[arg(short, long, value_name = "FILE")]
    pub process: Option<PathBuf>,
    /// Return once the program runs
    #[arg(short, long)]
    pub detach: bool,
    /// Write the pid of the new process to FILE
    #[arg(long, value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
    /// SELinux label of the process
    #[arg(long, value_name = "LABEL")]
    pub process_label: Option<String>,
    /// AppArmor profile of the process
    #[arg(long, value_name = "PROFILE")]
    pub apparmor: Option<String>,
    /// Forbid gaining privileges through execve
    #[arg(long)]
    pub no_new_privs: bool,
    /// Add a capability; may be given several times
    #[arg(short, long, value_name = "CAP")]
    pub cap: Vec<String>,
    /// Pass N more file descriptors, from 3 on, to the program
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub preserve_fds: u32,
    /// Run in a cgroup below the container's
    #[arg(long, value_name = "[CTRL,...:]PATH")]
    pub cgroup: Vec<String>,
    /// Also when the container is paused
    #[arg(long)]
    pub ignore_paused: bool,
}

impl ExecArgs {
    /// The container's id as given; an id that is no UTF-8 comes out as one that is not valid.
    pub fn id(&self) -> String {
        first(&self.target)
    }

    /// The program and its arguments; empty with `--process`. One `--` before them is not part of the program.
    pub fn command(&self) -> &[OsString] {
        rest(&self.target)
    }
}

/// Output of `list` and `ps`.
#[derive(Clone, Debug, Args)]
pub struct FormatArgs {
    /// `table` or `json`
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub format: String,
}

/// `list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// How to write the list.
    #[command(flatten)]
    pub output: FormatArgs,
    /// Only the ids
    #[arg(short, long)]
    pub quiet: bool,
}

/// `ps`.
#[derive(Debug, Args)]
pub struct PsArgs {
    /// Name of the container, then options of ps
    #[arg(value_name = "ID [PS-OPTIONS]...", required = true, trailing_var_arg = true, num_args = 1..)]
    pub target: Vec<OsString>,
    /// How to write the processes.
    #[command(flatten)]
    pub output: FormatArgs,
}

impl PsArgs {
    /// The container's id as given.
    pub fn id(&self) -> String {
        first(&self.target)
    }

    /// Options for ps(1).
    pub fn options(&self) -> &[OsString] {
        rest(&self.target)
    }
}

/// `kill`.
#[derive(Debug, Args)]
pub struct KillArgs {
    /// Name of the container, then the signal [default: TERM]
    #[arg(value_name = "ID [SIGNAL]", required = true, trailing_var_arg = true, num_args = 1..)]
    pub target: Vec<OsString>,
    /// Every process of the container, not only the first
    #[arg(short, long)]
    pub all: bool,
}

impl KillArgs {
    /// The container's id as given.
    pub fn id(&self) -> String {
        first(&self.target)
    }

    /// The signal as given, or SIGTERM.
    pub fn signal(&self) -> String {
        rest(&self.target).first().map_or("SIGTERM".into(), |s| s.to_string_lossy().into_owned())
    }
}

/// `delete`.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// Name of the container
    #[arg(value_name = "ID")]
    pub id: String,
    /// End the container first; a container that does not exist is no error
    #[arg(short, long)]
    pub force: bool,
}

/// `spec`.
#[derive(Debug, Args)]
pub struct SpecArgs {
    /// Directory to write config.json to
    #[arg(short, long, value_name = "DIR", default_value = ".", hide_default_value = true)]
    pub bundle: PathBuf,
    /// Accepted for runc's callers: the file is always a rootless one
    #[arg(long)]
    pub rootless: bool,
}

/// `sandbox`.
#[derive(Debug, Args)]
pub struct SandboxArgs {
    /// The command and its arguments
    #[arg(value_name = "CMD", required = true, trailing_var_arg = true, num_args = 1..)]
    pub command: Vec<OsString>,
    /// `none`, or `host` to share the host's network
    #[arg(long, value_name = "NET", default_value = "none")]
    pub network: Network,
    /// Show the OCI config.json that would be run, and stop
    #[arg(long)]
    pub print_config: bool,
    /// Make SRC of the host writable in the sandbox, at DST if given
    #[arg(long, value_name = "SRC[:DST]")]
    pub bind: Vec<OsString>,
    /// Make SRC of the host readable in the sandbox, at DST if given
    #[arg(long, value_name = "SRC[:DST]")]
    pub ro_bind: Vec<OsString>,
    /// Show no project directory at all
    #[arg(long, conflicts_with = "project")]
    pub no_project: bool,
    /// The project directory [default: the git root, else the current directory]
    #[arg(long, value_name = "DIR")]
    pub project: Option<PathBuf>,
    /// Set an environment variable, or pass the caller's when there is no `=`; may be given several times
    #[arg(short, long, value_name = "K[=V]")]
    pub env: Vec<OsString>,
    /// Be uid 0 inside
    #[arg(long)]
    pub as_root: bool,
}

/// Value of `sandbox --network`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Network {
    /// An empty network namespace, loopback only.
    #[default]
    None,
    /// The host's network.
    Host,
}

fn first(target: &[OsString]) -> String {
    target.first().map(|id| id.to_string_lossy().into_owned()).unwrap_or_default()
}

fn rest(target: &[OsString]) -> &[OsString] {
    match target.get(1) {
        Some(dashes) if dashes == "--" => &target[2..],
        Some(_) => &target[1..],
        None => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Verb {
        Cli::try_parse_from(["rrunc"].iter().chain(args)).unwrap().verb.unwrap()
    }

    #[test]
    fn the_definitions_hold_together() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn options_may_stand_after_the_id() {
        let Verb::Run(run) = parse(&["run", "web", "-d", "--bundle", "/srv"]) else { panic!() };
        assert!(run.detach);
        assert_eq!((run.create.id.as_str(), run.create.bundle), ("web", PathBuf::from("/srv")));
        let Verb::Delete(delete) = parse(&["delete", "web", "--force"]) else { panic!() };
        assert!(delete.force);
    }

    #[test]
    fn exec_ps_and_kill_leave_everything_after_the_id_alone() {
        let Verb::Exec(exec) = parse(&["exec", "-t", "web", "ls", "-e", "--user=3", "--", "-t"]) else { panic!() };
        assert!(exec.tty && exec.env.is_empty() && exec.user.is_none());
        assert_eq!(
            (exec.id().as_str(), exec.command()),
            ("web", &["ls", "-e", "--user=3", "--", "-t"].map(OsString::from)[..])
        );
        let Verb::Exec(exec) = parse(&["exec", "web", "-e", "x"]) else { panic!() };
        assert_eq!(exec.command(), ["-e", "x"]);
        let Verb::Ps(ps) = parse(&["ps", "web", "-ef"]) else { panic!() };
        assert_eq!((ps.id().as_str(), ps.options()), ("web", &[OsString::from("-ef")][..]));
        let Verb::Kill(kill) = parse(&["kill", "--all", "web", "9"]) else { panic!() };
        assert!(kill.all);
        assert_eq!((kill.id(), kill.signal()), ("web".into(), "9".into()));
    }

    #[test]
    fn an_unknown_option_before_the_id_is_an_error() {
        assert!(Cli::try_parse_from(["rrunc", "exec", "--bogus", "web"]).is_err());
    }

    #[test]
    fn a_leading_double_dash_is_not_the_program() {
        let Verb::Exec(exec) = parse(&["exec", "web", "--", "ls", "-l"]) else { panic!() };
        assert_eq!(exec.command(), ["ls", "-l"]);
        let Verb::Sandbox(sandbox) = parse(&["sandbox", "--", "make", "-j2"]) else { panic!() };
        assert_eq!(sandbox.command, ["make", "-j2"]);
    }
}
