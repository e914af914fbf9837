//! `doctor`: what this host offers, found out by doing it. Each check is one function that ends in a [`Finding`]; nothing
//! is judged by a version where it can be tried.
//!
//! Nothing is left behind and nothing of the host is changed: what a probe makes is in namespaces of its own, and ends
//! with its process. The one exception is an empty cgroup, which is removed again.
pub mod attack;
mod cgroups;
mod files;
mod host;
mod kernel;
mod limits;
mod namespaces;
mod probe;
pub mod report;
pub mod settings;
mod subids;

use serde::Serialize;
use settings::Settings;

/// What a fix begins with that is the administrator's and no command.
const ADMINISTRATOR: &str = "administrator: ";

/// How a check has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// All that rrunc can use is there.
    Ok,
    /// It works, with less.
    Weaker,
    /// It is not there, and something does not work.
    Missing,
}

/// What one check has found. `effect` is there when it is not ok, and `fix` if the fix is not that of another check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How it has ended.
    pub status: Status,
    /// What was found.
    pub detail: String,
    /// What that means for containers and sandboxes.
    pub effect: Option<String>,
    /// The command that mends it, once and for all; one for the administrator has `sudo` in it, or begins with
    /// `administrator: ` where no single command does it.
    pub fix: Option<String>,
}

impl Finding {
    /// All is well.
    pub fn ok(detail: impl Into<String>) -> Finding {
        Finding { status: Status::Ok, detail: detail.into(), effect: None, fix: None }
    }

    /// Less than there could be.
    pub fn weaker(detail: impl Into<String>, effect: &str, fix: impl Into<String>) -> Finding {
        Finding { status: Status::Weaker, ..Finding::missing(detail, effect, fix) }
    }

    /// Not there.
    pub fn missing(detail: impl Into<String>, effect: &str, fix: impl Into<String>) -> Finding {
        let (effect, fix) = (Some(effect.to_owned()), Some(fix.into()));
        Finding { status: Status::Missing, detail: detail.into(), effect, fix }
    }
}

/// One check.
pub struct Check {
    /// Its name, for `--require` and the reports. Names stay.
    pub name: &'static str,
    probe: fn(&Settings) -> Finding,
}

const fn check(name: &'static str, probe: fn(&Settings) -> Finding) -> Check {
    Check { name, probe }
}

/// All checks, in the order of the report.
pub const CHECKS: [Check; 19] = [
    check("kernel-version", kernel::version),
    check("user-namespaces", namespaces::user),
    check("other-namespaces", namespaces::others),
    check("time-namespaces", namespaces::time),
    check("subordinate-ids", subids::check),
    check("proc-mount", files::proc_mount),
    check("overlayfs", files::overlayfs),
    check("idmapped-tmpfs", files::idmapped_tmpfs),
    check("binary-protection", kernel::binary_protection),
    check("seccomp-filter", kernel::seccomp_filter),
    check("seccomp-notify", kernel::seccomp_notify),
    check("landlock", kernel::landlock),
    check("security-modules", kernel::security_modules),
    check("session-keyring", limits::session_keyring),
    check("resource-limits", limits::resource_limits),
    check("cgroup-delegation", cgroups::delegation),
    check("systemd-user-bus", host::user_bus),
    check("runtime-directory", host::runtime_directory),
    check("pasta", host::pasta),
];

/// The names of all checks.
pub fn names() -> [&'static str; CHECKS.len()] {
    CHECKS.each_ref().map(|check| check.name)
}

/// Makes all checks.
pub fn examine(settings: &Settings) -> Vec<(&'static str, Finding)> {
    CHECKS.iter().map(|check| (check.name, (check.probe)(settings))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kebab_case_and_there_is_one_of_each() {
        let names = names();
        for (at, name) in names.iter().enumerate() {
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{name}");
            assert!(!names[..at].contains(name), "{name} is there twice");
        }
    }
}
