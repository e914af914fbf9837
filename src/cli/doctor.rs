//! The options of `doctor`.
use crate::doctor;
use clap::Args;
use clap::builder::PossibleValuesParser;

/// Below its options.
pub const AFTER_HELP: &str = "Examples:\n  rrunc doctor\n  rrunc doctor --require user-namespaces,subordinate-ids && make containers\n  \
    rrunc doctor --json | jq -r '.checks[] | select(.status != \"ok\") | .fix'\n\n\
    Each check does for real what it tells of, in processes and namespaces of its own, and leaves nothing behind. A check \
    is `ok`, `weaker` (it works, with less) or `missing`.\n\n\
    --json prints {\"version\": 1, \"checks\": [{\"name\", \"status\", \"detail\", \"effect\", \"fix\"}, ...]}. Order and names \
    stay the same. effect and fix are null when the status is ok, and fix where another check has it. A fix with sudo in it, or one that begins with \
    `administrator:`, takes the administrator.\n\n\
    Exit status: 0, whatever was found; 1 when a check that --require names is not ok; 2 for a mistake in the options.";

/// `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Exit with 1 unless all of these checks, separated by commas, are ok
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = PossibleValuesParser::new(doctor::names()))]
    pub require: Vec<String>,
}
