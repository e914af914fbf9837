//! podman: every option that reaches the runtime, as its users type it.
mod life;
mod process;

use crate::Case;

/// All of them.
pub fn cases() -> Vec<Case> {
    [life::CASES, process::CASES].into_iter().flat_map(|cases| cases.iter().copied()).collect()
}
