//! Arguments of the OCI verbs.
use clap::Args;
use std::ffi::OsString;
use std::path::PathBuf;

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
    /// Run in the cgroup PATH below the container's own, which must be there
    #[arg(long, value_name = "PATH")]
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

/// `update`.
#[derive(Debug, Args)]
pub struct UpdateArgs {
    /// Name of the container
    #[arg(value_name = "ID")]
    pub id: String,
    /// Read the limits from FILE, or with `-` from stdin, as the JSON of `linux.resources`; other options are then ignored
    #[arg(short, long, value_name = "FILE")]
    pub resources: Option<PathBuf>,
    /// Weight of its disk access, from 10 to 1000
    #[arg(long, value_name = "N")]
    pub blkio_weight: Option<u16>,
    /// Length of the quota's period, in microseconds
    #[arg(long, value_name = "MICROSECONDS")]
    pub cpu_period: Option<u64>,
    /// Processor time in each period, in microseconds; -1 for no limit
    #[arg(long, value_name = "MICROSECONDS", allow_negative_numbers = true)]
    pub cpu_quota: Option<i64>,
    /// Unused time that may be taken in a later period, in microseconds
    #[arg(long, value_name = "MICROSECONDS")]
    pub cpu_burst: Option<u64>,
    /// Share of processor time beside others, from 2 to 262144
    #[arg(long, value_name = "N")]
    pub cpu_share: Option<u64>,
    /// Refused: cgroup v2 has no such limit
    #[arg(long, value_name = "MICROSECONDS", hide = true)]
    pub cpu_rt_period: Option<u64>,
    /// Refused: cgroup v2 has no such limit
    #[arg(long, value_name = "MICROSECONDS", hide = true, allow_negative_numbers = true)]
    pub cpu_rt_runtime: Option<i64>,
    /// Processors that may be used, such as 0-3,7
    #[arg(long, value_name = "LIST")]
    pub cpuset_cpus: Option<String>,
    /// Memory nodes that may be used
    #[arg(long, value_name = "LIST")]
    pub cpuset_mems: Option<String>,
    /// 1: runs only when nobody else wants the processor; 0: not so
    #[arg(long, value_name = "0|1")]
    pub cpu_idle: Option<i64>,
    /// Most memory, in bytes or with k, m or g; -1 for no limit
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true)]
    pub memory: Option<String>,
    /// Memory that is left to it when there is little
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true)]
    pub memory_reservation: Option<String>,
    /// Most memory and swap together; -1 for unlimited swap
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true)]
    pub memory_swap: Option<String>,
    /// Most processes and threads; -1 for no limit
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub pids_limit: Option<i64>,
    /// Ignored: the kernel has no such limit any more
    #[arg(long, value_name = "SIZE", hide = true, allow_negative_numbers = true)]
    pub kernel_memory: Option<String>,
    /// Ignored: the kernel has no such limit any more
    #[arg(long, value_name = "SIZE", hide = true, allow_negative_numbers = true)]
    pub kernel_memory_tcp: Option<String>,
    /// Refused: resctrl is root's
    #[arg(long, value_name = "SCHEMA", hide = true)]
    pub l3_cache_schema: Option<String>,
    /// Refused: resctrl is root's
    #[arg(long, value_name = "SCHEMA", hide = true)]
    pub mem_bw_schema: Option<String>,
}

/// `events`.
#[derive(Debug, Args)]
pub struct EventsArgs {
    /// Name of the container
    #[arg(value_name = "ID")]
    pub id: String,
    /// Time between two lines, such as 100ms, 5s or 1m30s
    #[arg(long, value_name = "DURATION", default_value = "5s")]
    pub interval: String,
    /// One line now, and no more
    #[arg(long)]
    pub stats: bool,
}
