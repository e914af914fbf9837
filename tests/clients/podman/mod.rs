//! podman: every option that reaches the runtime, as its users type it.
mod files;
mod life;
mod limits;
mod many;
mod network;
mod pods;
mod process;

use crate::Case;

/// All of them.
pub fn cases() -> Vec<Case> {
    let lists = [life::CASES, process::CASES, files::CASES, network::CASES, limits::CASES, pods::CASES, many::CASES];
    lists.into_iter().flat_map(|cases| cases.iter().copied()).collect()
}
