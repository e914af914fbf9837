//! What the two sides of a container's creation say to each other.
use serde::{Deserialize, Serialize};

/// Why init gave up, told whole so that the reason reaches the user's terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Label of the step of init that failed.
    pub step: String,
    /// The error chain in one line.
    pub chain: String,
    /// The system error at its bottom, 0 if there is none.
    pub errno: i32,
    /// What to do about it.
    pub hint: Option<String>,
}
