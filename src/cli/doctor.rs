//! The options of `doctor`.
use crate::doctor;
use clap::Args;
use clap::builder::PossibleValuesParser;

/// Below its options.
pub const AFTER_HELP: &str = "Examples:\n  rrunc doctor\n  rrunc doctor --require user-namespaces,subordinate-ids && make containers\n  \
    rrunc doctor --attack\n  rrunc doctor --json | jq -r '.checks[] | select(.status != \"ok\") | .fix'\n\n\
    Each check does for real what it tells of, in processes and namespaces of its own, and leaves nothing behind. A check \
    is `ok`, `weaker` (it works, with less) or `missing`.\n\n\
    --json prints {\"version\": 1, \"checks\": [{\"name\", \"status\", \"detail\", \"effect\", \"fix\"}, ...]}. Order and names \
    stay the same. effect and fix are null when the status is ok, and fix where another check has it. A fix with sudo in it, or one that begins with \
    `administrator:`, takes the administrator.\n\n\
    --attack makes sandboxes without any options and has a payload try to break out of them, at bait in a private temporary \
    directory. Each promise is `enforced` (all attacks were refused), `weakened` (one defence of several is not there) or \
    `off` (an attack worked): view, capabilities, seccomp, network, terminal, environment, fds, keyring, processes, \
    privileges, mounts, namespaces, limits, landlock. With --json it prints {\"version\": 1, \"promises\": [{\"name\", \"status\", \
    \"mechanism\", \"attempts\"}, ...]}; an attempt names the row of SECURITY.md that it is of, and one that did not come as far as \
    the defence has \"tried\": false.\n\n\
    Exit status: 0, whatever was found; 1 when a check that --require names is not ok, or a promise \
    off that is not landlock, which is additional; 2 for a mistake in the options.";

/// `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Exit with 1 unless all of these checks, separated by commas, are ok
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = PossibleValuesParser::new(doctor::names()))]
    pub require: Vec<String>,
    /// Attack the promises of `rrunc sandbox` on this machine, and show which hold
    #[arg(long, conflicts_with = "require")]
    pub attack: bool,
    /// What `--attack` runs inside.
    #[arg(long, value_name = "NAME", hide = true, requires = "bait")]
    pub payload: Option<String>,
    /// What it is to look for there.
    #[arg(long, value_name = "JSON", hide = true, requires = "payload")]
    pub bait: Option<String>,
}
