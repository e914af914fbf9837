//! `state`: what one container is doing, as JSON.
use super::Outcome;
use crate::cli::{Global, IdArgs};
use crate::printable;
use crate::state::{Root, State, Status};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A container as `state` and `list` show it. The order of the members is runc's.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    oci_version: String,
    /// Its id.
    pub id: String,
    /// Its first process, 0 when stopped.
    pub pid: i32,
    /// Its status in words.
    pub status: String,
    /// Its bundle.
    pub bundle: String,
    rootfs: String,
    /// RFC 3339.
    pub created: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    /// Name of the user it belongs to; `state` leaves it empty, as runc does.
    pub owner: String,
}

impl Summary {
    /// What there is to show of a container, with its owner's name.
    pub fn new(state: State, status: Status, owner: String) -> Summary {
        Summary {
            oci_version: state.oci_version,
            id: state.id,
            pid: if status == Status::Stopped { 0 } else { state.pid },
            status: status.to_string(),
            bundle: state.bundle.to_string_lossy().into_owned(),
            rootfs: state.rootfs.to_string_lossy().into_owned(),
            created: state.created,
            annotations: state.annotations,
            owner,
        }
    }
}

/// Runs the verb. The output has no newline at its end, as runc's.
pub fn run(global: &Global, args: &IdArgs) -> Result<Outcome> {
    let (state, status) = Root::open(global.root.as_deref())?.look(&args.id)?;
    let summary = Summary::new(state, status, String::new());
    let json = serde_json::to_string_pretty(&summary).context("write the state as JSON")?;
    Ok(printable::json(json).into())
}
