//! The stored record of a container and the forms in which others see it.
use anyhow::{Context, Result, anyhow, bail};
use oci_spec::runtime::LinuxResources;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::error::WithHint;
use crate::plan::decided::Decided;

/// The version of the OCI runtime specification that rrunc implements.
pub const OCI_VERSION: &str = "1.3.0";

/// The version that new state files carry. A newer rrunc reads all older ones.
pub const STATE_VERSION: u32 = 1;

/// state.json: what was decided or learned at `create` and cannot be derived later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// `STATE_VERSION` of the rrunc that wrote it.
    pub version: u32,
    /// `ociVersion` of the container's config.json.
    pub oci_version: String,
    /// The container's id.
    pub id: String,
    /// Its first process as the host counts, 0 while there is none yet.
    pub pid: i32,
    /// When that process started, in clock ticks after boot (field 22 of /proc/PID/stat): tells a reused pid.
    pub start_time: u64,
    /// The bundle, absolute.
    #[serde(with = "crate::bytes::path")]
    pub bundle: PathBuf,
    /// The root file system, absolute.
    #[serde(with = "crate::bytes::path")]
    pub rootfs: PathBuf,
    /// RFC 3339 with nanoseconds, UTC.
    pub created: String,
    /// The config's annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// uid of the user whose container it is.
    pub owner: u32,
    /// The container's own cgroup2 directory, absolute, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<PathBuf>,
    /// The scope of the user's systemd that this is the cgroup of, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The limits as `update` has left them; none before: then they are those of the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<LinuxResources>,
    /// The text of `Decided`: what protects us and others from the container, and is never asked of a process in it. None before
    /// it has a process, and of an rrunc that kept no such record.
    #[serde(default)]
    pub decided: Option<String>,
    /// Whether the config has a `process`; without one the container cannot be started.
    #[serde(default = "has_one", skip_serializing_if = "Clone::clone")]
    pub has_process: bool,
}

/// As a rule it has, and no word of it is written.
fn has_one() -> bool {
    true
}

/// What a container is doing. The names are those of the OCI state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// `create` is at work on it.
    Creating,
    /// Set up and waiting for `start`.
    Created,
    /// Its program runs.
    Running,
    /// Its cgroup is frozen.
    Paused,
    /// Its first process is gone.
    Stopped,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Status::Creating => "creating",
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Stopped => "stopped",
        })
    }
}

impl State {
    /// Refuses what no rrunc has written of the container `id`: what follows from it goes to the cgroup and the processes that
    /// are named in it.
    fn plausible(&self, id: &str) -> Result<()> {
        if self.id != id {
            bail!("it is the record of another container, {:?}", self.id);
        }
        if self.pid < 0 {
            bail!("{} is no process", self.pid);
        }
        // By bytes: `state` and `list` ask it of each container, and to take a path apart takes ten times as long.
        let plain = |dir: &Path| {
            let bytes = dir.as_os_str().as_bytes();
            bytes.first() == Some(&b'/') && !bytes.split(|byte| *byte == b'/').any(|part| part == b"..")
        };
        if let Some(dir) = self.cgroup.as_ref().filter(|dir| !plain(dir)) {
            bail!("{} is no cgroup of its own", dir.display());
        }
        Ok(())
    }

    /// What `create` has decided; none where there is no record of it.
    ///
    /// # Errors
    /// The record is damaged.
    pub fn decided(&self) -> Result<Option<Decided>> {
        let decided = self.decided.as_deref().map(str::parse).transpose();
        decided.with_context(|| format!("read {}/state.json: damaged state file", self.id)).hint(damaged)
    }

    /// The OCI state as hooks and seccomp agents get it: compact JSON. `pid` is as the reader counts it, and left out
    /// when it is 0 (runtime-spec, runtime.md, "State").
    pub fn oci_json(&self, status: Status, pid: i32) -> Vec<u8> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Oci<'a> {
            oci_version: &'a str,
            id: &'a str,
            status: String,
            #[serde(skip_serializing_if = "Option::is_none")]
            pid: Option<i32>,
            bundle: String,
            #[serde(skip_serializing_if = "BTreeMap::is_empty")]
            annotations: &'a BTreeMap<String, String>,
        }
        let oci = Oci {
            oci_version: &self.oci_version,
            id: &self.id,
            status: status.to_string(),
            pid: (pid != 0).then_some(pid),
            bundle: self.bundle.to_string_lossy().into_owned(),
            annotations: &self.annotations,
        };
        // Strings and numbers only: nothing in it can fail to be JSON.
        serde_json::to_vec(&oci).unwrap_or_default()
    }
}

pub(super) fn damaged() -> &'static str {
    "`rrunc delete --force` removes the container all the same"
}

/// Reads the state.json of container `id`.
///
/// # Errors
/// Damaged text, what cannot be of this container, or a file of a newer rrunc.
pub fn parse(bytes: &[u8], id: &str) -> Result<State> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let parsed: serde_json::Result<State> = serde_json::from_slice(bytes);
    let version = match &parsed {
        Ok(state) => state.version,
        // What cannot be read may be of a newer one.
        Err(_) => serde_json::from_slice::<Version>(bytes).context("not a state file").hint(damaged)?.version,
    };
    if version > STATE_VERSION {
        return Err(anyhow!("state version {version} is newer than this rrunc knows ({STATE_VERSION})"))
            .hint(|| "use the rrunc that made the container");
    }
    parsed.context("damaged state file").and_then(|state| state.plausible(id).map(|()| state)).hint(damaged)
}
