//! Writing the id maps of a new user namespace from outside: directly where we may, else by newuidmap and newgidmap.
use crate::error::WithHint;
use crate::host::IdMap;
use crate::plan::Ids;
use crate::plan::ids::Writer;
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Writes both maps of the process `pid`.
pub fn write(pid: i32, ids: &Ids) -> Result<()> {
    let put = |file: &str, text: &str| {
        let path = format!("/proc/{pid}/{file}");
        std::fs::write(&path, text).with_context(|| format!("write {path}"))
    };
    match &ids.writer {
        Writer::Child => bail!("the maps of {pid} are its own to write"),
        Writer::Parent => {
            put("uid_map", &IdMap::lines(&ids.uid))?;
            if !ids.setgroups {
                put("setgroups", "deny")?;
            }
            put("gid_map", &IdMap::lines(&ids.gid))
        }
        // Both at once: each is a setuid program of its own, a millisecond long.
        Writer::Programs(newuidmap, newgidmap) => {
            if !ids.setgroups {
                // newgidmap does so for the caller's own id, but not for a single one of its range.
                put("setgroups", "deny")?;
            }
            let uid = start(newuidmap, pid, &ids.uid)?;
            let gid = start(newgidmap, pid, &ids.gid);
            let uid = finish(newuidmap, uid);
            let gid = gid.and_then(|gid| finish(newgidmap, gid));
            uid.and(gid)
        }
    }
}

fn start(program: &Path, pid: i32, map: &[IdMap]) -> Result<Child> {
    let mut command = Command::new(program);
    command.arg(pid.to_string()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    for m in map {
        command.args([m.inside, m.outside, m.size].map(|number| number.to_string()));
    }
    crate::sys::signal::start_clean(&mut command);
    command.spawn().with_context(|| format!("run {}", program.display()))
}

fn finish(program: &Path, child: Child) -> Result<()> {
    let output = child.wait_with_output().with_context(|| format!("wait for {}", program.display()))?;
    if output.status.success() {
        return Ok(());
    }
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    let said = String::from_utf8_lossy(&output.stderr);
    Err(anyhow::anyhow!("failed to use {name}: {}", said.trim())).hint(|| {
        format!(
            "{name} must be setuid root or have its file capability, and /etc/subuid and /etc/subgid grant the range"
        )
    })
}
