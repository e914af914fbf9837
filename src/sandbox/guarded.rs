//! What no program may change or see: the places that rrunc itself trusts, and the user's secrets.
use super::caller::Caller;
use super::policy::{Policy, Rule};
use super::{real_path, untold};
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

/// Places of the caller that are no project.
#[derive(Debug, Default)]
pub struct Guarded {
    /// No project may be or contain one of these.
    pub around: Vec<PathBuf>,
    /// No project may be or be in one of these, and where a project or a grant contains one it is hidden: what rrunc
    /// itself trusts, and secrets.
    pub within: Vec<PathBuf>,
    /// Those of it that rrunc believes: profiles, and which projects are trusted. A missing one is made where a sandbox
    /// could make it.
    pub believed: Vec<PathBuf>,
}

impl Guarded {
    /// HOME; the runtime, state, configuration and data directories; the secrets of `policy`. Each by its name and by the
    /// place that leads to: a project or grant is known without links.
    pub fn of(caller: &Caller, state: &Path, policy: &Policy) -> Guarded {
        let dirs = directories::BaseDirs::new();
        let config = dirs.as_ref().map(|dirs| dirs.config_dir().to_owned());
        let data = dirs.as_ref().map(|dirs| dirs.data_dir().to_owned());
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|dir| dir.is_absolute());
        let live = || [Some(state.to_owned()), runtime.clone()].into_iter().flatten();
        let account = caller.account_home.as_ref().filter(|home| **home != caller.home);
        let homes = || std::iter::once(&caller.home).chain(account);
        // Of the state only rrunc's own: others keep logs and histories there, which may be wanted.
        let kept = untold::directory();
        let around = homes().cloned().chain(config.clone()).chain(data.clone()).chain(kept.clone()).chain(live());
        let believed: Vec<_> = [config, data].into_iter().flatten().map(|dir| dir.join("rrunc")).chain(kept).collect();
        let own = live().chain(believed.clone());
        let real = |dir: PathBuf| dir.canonicalize().unwrap_or(dir);
        let both = |dir: PathBuf| {
            let real = real_path(&dir).filter(|real| *real != dir);
            std::iter::once(dir).chain(real)
        };
        let mut within: Vec<PathBuf> = own.flat_map(both).collect();
        for home in homes() {
            // Most secrets are not there: for a name that HOME does not have nothing is asked.
            let listed = names_in(home);
            for Rule { value, .. } in &policy.secrets {
                let first = value.trim_start_matches("./").split('/').next().unwrap_or_default();
                match listed.as_ref().is_none_or(|names| names.contains(OsStr::new(first))) {
                    true => within.extend(both(home.join(value))),
                    false => within.push(home.join(value)),
                }
            }
        }
        Guarded { around: around.map(real).collect(), within, believed }
    }
}

/// The names in a directory, if it can be read.
fn names_in(dir: &Path) -> Option<HashSet<OsString>> {
    fs::read_dir(dir).ok()?.map(|entry| Some(entry.ok()?.file_name())).collect()
}
