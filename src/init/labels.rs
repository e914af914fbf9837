//! The labels of the program, asked for now and put on it by its execve.
use super::procfs::Procfs;
use crate::error::{WithHint, errno_of};
use crate::plan::labels::Labels;
use anyhow::{Context, Result};
use nix::errno::Errno;

/// Has the next execve of this process, or of a child it makes, put `labels` on the program.
pub fn at_execve(labels: &Labels, proc: &Procfs) -> Result<()> {
    if let Some(label) = &labels.selinux {
        proc.write("self/attr/exec", label)
            .with_context(|| format!("unable to set the process label {label}"))
            .hint(|| "the policy has to know the label, and let you change to it")?;
    }
    if let Some(profile) = &labels.apparmor {
        let text = format!("exec {profile}");
        // A directory of its own since Linux 5.8, where modules are stacked; before, the file is that of the one module.
        let written = proc.write("self/attr/apparmor/exec", &text).or_else(|e| match errno_of(&e) {
            Some(Errno::ENOENT) => proc.write("self/attr/exec", &text),
            _ => Err(e),
        });
        written.context("apparmor failed to apply profile").hint(|| {
            format!(
                "profile {profile} has to be loaded (`sudo apparmor_parser -r FILE`), and you allowed to change to it"
            )
        })?;
    }
    Ok(())
}
