//! The command lines of `sandbox`, `profile` and `trust`. Flags have the names that bubblewrap, docker and firejail
//! gave them.
use super::NoArgs;
use super::lazy::Lazy;
use crate::sandbox::profile::{Cache, Network};
use clap::{Args, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;

/// `sandbox`.
#[derive(Debug, Default, Args)]
// Without a letter: here -v is docker's.
#[command(arg = super::version().short(None).short_alias(None))]
pub struct SandboxArgs {
    /// The command and its arguments
    #[arg(value_name = "CMD", required = true, trailing_var_arg = true, num_args = 1..)]
    pub command: Vec<OsString>,
    /// What is seen of the host's files.
    #[command(flatten)]
    pub files: FileArgs,
    /// What passes of the caller's environment.
    #[command(flatten)]
    pub environment: EnvironmentArgs,
    /// What the program may reach and use.
    #[command(flatten)]
    pub rights: RightsArgs,
    /// What may be used up.
    #[command(flatten)]
    pub limits: LimitArgs,
    /// How it is run and reported.
    #[command(flatten)]
    pub running: RunningArgs,
}

/// Files.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Files")]
pub struct FileArgs {
    /// Make SRC of the host writable in the sandbox, at DST if given
    #[arg(long, value_name = "SRC[:DST]")]
    pub bind: Vec<OsString>,
    /// Make SRC of the host readable in the sandbox, at DST if given
    #[arg(long, value_name = "SRC[:DST]")]
    pub ro_bind: Vec<OsString>,
    /// As --bind, and nothing if there is no SRC
    #[arg(long, value_name = "SRC[:DST]")]
    pub bind_try: Vec<OsString>,
    /// As --ro-bind, and nothing if there is no SRC
    #[arg(long, value_name = "SRC[:DST]")]
    pub ro_bind_try: Vec<OsString>,
    /// As --bind, or --ro-bind with `:ro`; docker's spelling
    #[arg(short = 'v', long, value_name = "SRC:DST[:ro]")]
    pub volume: Vec<OsString>,
    /// Put an empty private file system at DST
    #[arg(long, value_name = "DST")]
    pub tmpfs: Vec<PathBuf>,
    /// Size of each private file system, /tmp and HOME too
    #[arg(long, value_name = "SIZE")]
    pub size: Option<String>,
    /// Make a symbolic link at LINK
    #[arg(long, value_name = "TARGET:LINK")]
    pub symlink: Vec<OsString>,
    /// Hide what matches GLOB wherever it was granted, such as `**/*.pem`
    #[arg(long, value_name = "GLOB")]
    pub hide: Vec<String>,
    /// Make what matches GLOB in the project read-only
    #[arg(long, value_name = "GLOB")]
    pub protect: Vec<String>,
    /// Make the project read-only
    #[arg(long)]
    pub read_only: bool,
    /// The project directory [default: the git root, else the current directory]
    #[arg(long, value_name = "DIR")]
    pub project: Option<PathBuf>,
    /// Show no project directory at all
    #[arg(long, conflicts_with = "project", visible_alias = "private")]
    pub no_project: bool,
    /// Keep downloads of a package manager in a cache of the sandbox's own, one for each project
    #[arg(long, value_name = "TOOL")]
    pub cache: Vec<Cache>,
    /// Start in DIR [default: the current directory if it is seen inside, else HOME]
    #[arg(short = 'w', long, value_name = "DIR", visible_alias = "workdir")]
    pub chdir: Option<PathBuf>,
}

/// Environment.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Environment")]
pub struct EnvironmentArgs {
    /// Set an environment variable, or pass the caller's when there is no `=`; may be given several times
    #[arg(short, long, value_name = "K[=V]", visible_alias = "setenv")]
    pub env: Vec<OsString>,
    /// Take variables from FILE: a line `K=V` or `K` each, `#` begins a comment
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,
    /// Do not pass the variable K
    #[arg(long, value_name = "K")]
    pub unsetenv: Vec<String>,
    /// Pass no variable of the caller's but PATH, and set HOME, USER and LOGNAME
    #[arg(long)]
    pub clearenv: bool,
    /// Name of the host inside
    #[arg(long, value_name = "NAME")]
    pub hostname: Option<String>,
}

/// Rights.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Rights")]
pub struct RightsArgs {
    /// Use profile NAME, or a file whose path holds a slash; `auto` chooses by the project's lock files
    #[arg(long, value_name = "NAME")]
    pub profile: Vec<String>,
    /// `none`, `pasta` to reach out but not the host itself, or `host` to share the host's network
    #[arg(long, value_name = "NET", visible_alias = "net")]
    pub network: Option<Network>,
    /// Be uid 0 inside
    #[arg(long)]
    pub as_root: bool,
    /// Let the program make user namespaces of its own, as browsers and container tools do
    #[arg(long)]
    pub userns: bool,
    /// Give a capability in the sandbox's own user namespace, such as NET_BIND_SERVICE
    #[arg(long, value_name = "CAP")]
    pub cap_add: Vec<String>,
    /// Take a capability away; there are none to begin with
    #[arg(long, value_name = "CAP")]
    pub cap_drop: Vec<String>,
    /// `seccomp=FILE` (OCI syntax), `seccomp=NAME` of a profile, or `no-new-privileges`, which always holds
    #[arg(long, value_name = "OPT")]
    pub security_opt: Vec<String>,
    /// Let the program use the caller's ssh-agent: it can sign with every key in it
    #[arg(long)]
    pub ssh_agent: bool,
    /// Show the caller's Wayland display
    #[arg(long)]
    pub wayland: bool,
    /// Show the graphics devices
    #[arg(long)]
    pub gpu: bool,
    /// Fail unless these promises are kept in full (a list with commas)
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub require: Vec<String>,
    /// Go on when this host cannot keep these promises (a list with commas)
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub allow_weaker: Vec<String>,
}

/// Limits.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// Memory of all processes together, such as 512m or 50%
    #[arg(short = 'm', long, value_name = "SIZE")]
    pub memory: Option<String>,
    /// Processors that may be used, such as 1.5
    #[arg(long, value_name = "N")]
    pub cpus: Option<String>,
    /// Processes and threads
    #[arg(long, value_name = "N")]
    pub pids_limit: Option<u64>,
    /// A resource limit as in `ulimit`, such as nofile=1024:2048
    #[arg(long, value_name = "TYPE=SOFT[:HARD]")]
    pub ulimit: Vec<String>,
    /// End the command after this time, with exit status 124: 90, 90s, 10m, 1h
    #[arg(long, value_name = "TIME")]
    pub timeout: Option<String>,
}

/// Running.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Running")]
pub struct RunningArgs {
    /// Name of the container in `rrunc list`
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Write what came of it as JSON to FILE, or to descriptor N as `fd:N`
    #[arg(long, value_name = "FILE")]
    pub report: Option<String>,
    /// No report on the terminal after the run
    #[arg(short, long)]
    pub quiet: bool,
    /// Show the policy that profiles and flags come to, each rule with where it is from, and stop
    #[arg(long, conflicts_with_all = ["print_config", "write_bundle"])]
    pub explain_profile: bool,
    /// Show the OCI config.json that would be run, and stop
    #[arg(long)]
    pub print_config: bool,
    /// Write the whole OCI bundle to the new directory DIR instead of running it
    #[arg(long, value_name = "DIR", conflicts_with = "print_config")]
    pub write_bundle: Option<PathBuf>,
    /// End with the process that called rrunc, too; the sandbox always ends with rrunc
    #[arg(long)]
    pub die_with_parent: bool,
    /// Write bubblewrap's status lines to descriptor N
    #[arg(long, value_name = "N")]
    pub json_status_fd: Option<i32>,
    /// Write bubblewrap's information to descriptor N
    #[arg(long, value_name = "N")]
    pub info_fd: Option<i32>,
    /// Accepted for docker's users: standard input is always the command's
    #[arg(
        short = 'i',
        long,
        hide_short_help = true,
        long_help = "Accepted for docker's users: standard input is always the command's"
    )]
    pub interactive: bool,
    /// Fail unless there is a terminal; the command has one of its own whenever the caller has
    #[arg(
        short = 't',
        long,
        hide_short_help = true,
        long_help = "Fail unless there is a terminal; the command has one of its own whenever the caller has"
    )]
    pub tty: bool,
    /// Accepted for docker's users: nothing is ever left
    #[arg(long, hide_short_help = true, long_help = "Accepted for docker's users: nothing is ever left")]
    pub rm: bool,
}

/// `profile`.
#[derive(Debug, Args)]
pub struct ProfileArgs {
    /// What to do
    #[command(subcommand)]
    pub action: ProfileAction,
}

/// What `profile` does.
#[derive(Debug, Subcommand)]
pub enum ProfileAction {
    /// List the profiles, those of the user first
    Ls(Lazy<NoArgs>),
    /// Print the text of a profile
    Show(Lazy<ProfileName>),
    /// Read a profile and all that it extends, and tell what is wrong with it
    Check(Lazy<ProfileName>),
}

/// `profile show` and `profile check`.
#[derive(Debug, Args)]
pub struct ProfileName {
    /// A name that `ls` lists, or a file whose path holds a slash
    pub name: String,
}

/// `trust`.
#[derive(Debug, Args)]
pub struct TrustArgs {
    /// The project's directory [default: the git root, else the current directory]
    #[arg(value_name = "DIR")]
    pub project: Option<PathBuf>,
    /// Trust it without asking
    #[arg(short, long)]
    pub yes: bool,
    /// Trust it no longer
    #[arg(long, conflicts_with = "yes")]
    pub forget: bool,
}
