//! The program's environment: an allow-list of the caller's, what profiles and flags set, and nothing else.
use super::caller::Caller;
use super::profile::Network;
use super::{Choice, foreign};
use crate::bytes;
use crate::cli::EnvironmentArgs;
use crate::error::WithHint;
use anyhow::{Context, Result, anyhow, bail};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// Where programs are looked up if nothing says otherwise.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// What keeps package managers from trying again where there is no network: npm takes more than a minute to give up. One text
/// needs no pointers, which a start would have to relocate.
const NO_RETRIES: &str = "npm_config_fetch_retries=0 PIP_RETRIES=0 CARGO_NET_RETRY=0";

/// What git detaches (git-gc(1)) would be ended half done with the sandbox, and its lock keep later ones away: git is to wait
/// for it. `gc.autoDetach` is its word before 2.47. And what it takes for gone worktrees are those that are not shown. As
/// variables, since each git looks elsewhere for the machine's settings.
const GIT: &str = "GIT_CONFIG_COUNT=3 GIT_CONFIG_KEY_0=gc.autoDetach GIT_CONFIG_VALUE_0=false \
    GIT_CONFIG_KEY_1=maintenance.autoDetach GIT_CONFIG_VALUE_1=false GIT_CONFIG_KEY_2=gc.worktreePruneExpire \
    GIT_CONFIG_VALUE_2=never";

/// The variables, as `K=V`, written as in `bytes`.
pub fn variables(args: &EnvironmentArgs, choice: &Choice, caller: &Caller, user: &str) -> Result<Vec<String>> {
    let mut env = Variables::default();
    if !args.clearenv {
        let no_retries = if choice.policy.network() == Network::None { NO_RETRIES } else { "" };
        let settings = GIT.split(' ').chain(no_retries.split(' ')).filter_map(|setting| setting.split_once('='));
        settings.for_each(|(name, value)| env.set(name, value.to_owned()));
    }
    for (name, value) in &caller.env {
        // The names that profiles know are text.
        if let Some(name) = name.to_str()
            && choice.policy.passes(name)
            && (!args.clearenv || name == "PATH")
        {
            env.set(name, text(value));
        }
    }
    env.set("HOME", text(caller.home.as_os_str()));
    for variable in ["USER", "LOGNAME"] {
        env.set(variable, user.to_owned());
    }
    for (name, value) in &choice.policy.set {
        env.set(name, bytes::text(value.value.as_bytes()));
    }
    for path in &args.env_file {
        let flag = format!("--env-file {}", path.display());
        let lines = foreign::given_text(path, &choice.written).with_context(|| flag.clone())?;
        let foreign = path.canonicalize().is_ok_and(|path| choice.written.holds(&path));
        for line in lines.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if foreign && !line.contains('=') {
                let error =
                    anyhow!("{flag}: {line} alone would pass your own value, and a sandbox may have written that");
                return Err(error).hint(|| format!("pass it yourself: -e {line}"));
            }
            env.enter(OsStr::new(line), caller, &flag)?;
        }
    }
    for entry in &args.env {
        env.enter(entry, caller, "-e")?;
    }
    for (name, value) in &choice.sockets.variables {
        env.set(name, bytes::text(value.as_bytes()));
    }
    for name in &args.unsetenv {
        env.0.retain(|(known, _)| known != name);
    }
    if !env.0.iter().any(|(name, _)| name == "PATH") {
        env.set("PATH", PATH.to_owned());
    }
    Ok(env.0.into_iter().map(|(name, value)| format!("{name}={value}")).collect())
}

fn text(value: &OsStr) -> String {
    bytes::text(value.as_bytes())
}

#[derive(Default)]
struct Variables(Vec<(String, String)>);

impl Variables {
    fn set(&mut self, name: &str, value: String) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some(entry) => entry.1 = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// `K=V`, or `K` for the caller's own value.
    fn enter(&mut self, entry: &OsStr, caller: &Caller, flag: &str) -> Result<()> {
        let entry = &text(entry);
        let (name, value) = match entry.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            None => {
                let known = bytes::of(entry);
                let own = caller
                    .variable(OsStr::from_bytes(&known))
                    .with_context(|| format!("{flag} {entry}: the variable is not set"));
                let own = own.hint(|| format!("give it a value here: {flag} {entry}=VALUE; or export it first"))?;
                (entry.as_str(), text(own))
            }
        };
        if name.is_empty() || entry.contains('\0') {
            bail!("{flag} {entry:?} names no variable");
        }
        self.set(name, value);
        Ok(())
    }
}
