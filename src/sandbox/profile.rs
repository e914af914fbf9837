//! Sandbox profiles: what is shown, hidden and passed on, as data (profiles/*.toml, embedded in the binary).
use anyhow::{Context, Result};
use serde::Deserialize;

/// A profile.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Profile {
    /// What of the host's files is seen.
    pub filesystem: FileSystem,
    /// What of the caller's environment passes.
    pub environment: Environment,
    /// What the process gets.
    pub process: Process,
}

/// `[filesystem]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FileSystem {
    /// Directories of programs, read-only.
    pub programs: Vec<String>,
    /// Parts of the host's /etc, read-only.
    pub etc: Vec<String>,
    /// Toolchains below HOME, read-only.
    pub toolchains: Vec<String>,
    /// Below HOME, hidden even inside a granted directory.
    pub secrets: Vec<String>,
    /// Below the project, read-only: what runs later on the host.
    pub runs_later: Vec<String>,
}

/// `[environment]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Environment {
    /// Names that pass, a final `*` standing for any rest.
    pub pass: Vec<String>,
}

/// `[process]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Process {
    /// Size of each private file system, as tmpfs(5) takes it.
    pub tmpfs_size: String,
}

/// The text of the profile that every sandbox starts from.
pub const BASE: &str = include_str!("../../profiles/base.toml");

impl Profile {
    /// The profile that every sandbox starts from.
    pub fn base() -> Result<Profile> {
        Profile::parse(BASE).context("profiles/base.toml")
    }

    /// Reads a profile.
    ///
    /// # Errors
    /// Not TOML, or not these members.
    pub fn parse(text: &str) -> Result<Profile> {
        Ok(toml::from_str(text)?)
    }
}

impl Environment {
    /// Whether the variable `name` passes.
    pub fn passes(&self, name: &str) -> bool {
        self.pass.iter().any(|entry| match entry.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => entry == name,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_profile_is_sound() {
        let base = Profile::base().unwrap();
        assert!(base.environment.passes("LC_ALL") && base.environment.passes("PATH"));
        assert!(!base.environment.passes("AWS_SECRET_ACCESS_KEY") && !base.environment.passes("PATHS"));
        let files = &base.filesystem;
        assert!(files.programs.iter().chain(&files.etc).all(|path| path.starts_with('/')));
        let relative = files.toolchains.iter().chain(&files.secrets).chain(&files.runs_later);
        assert!(relative.clone().all(|path| !path.starts_with('/') && !path.contains("..")));
        // A toolchain directory that held a secret would show it.
        for secret in &files.secrets {
            assert!(files.toolchains.iter().all(|shown| !secret.starts_with(&format!("{shown}/"))), "{secret}");
        }
    }
}
