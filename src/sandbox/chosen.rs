//! The profiles of one call: those that it names, and its flags, which are the last.
use super::profile::{self, Access, Allow, BASE, Deny, Limits, Named, Profile};
use super::{Caller, Written, grants};
use crate::cli::SandboxArgs;
use crate::error::WithHint;
use anyhow::{Context, Result, anyhow};
use std::path::Path;

/// Files by which `--profile auto` knows what a project is made with.
const MADE_WITH: [(&str, &[&str]); 4] = [
    ("go", &["go.mod"]),
    ("node", &["package-lock.json", "yarn.lock", "pnpm-lock.yaml", "npm-shrinkwrap.json"]),
    ("python", &["pyproject.toml", "requirements.txt", "poetry.lock", "uv.lock"]),
    ("rust", &["Cargo.lock", "Cargo.toml"]),
];

/// `base`, or the profiles that --profile names, each with what it extends, and no profile twice.
pub fn profiles(args: &SandboxArgs, root: Option<&Path>, written: &Written) -> Result<Vec<Named>> {
    let mut names: Vec<&str> = Vec::new();
    for name in &args.rights.profile {
        match (name.as_str(), root) {
            ("auto", Some(root)) => {
                let made_with = |files: &[&str]| files.iter().any(|file| root.join(file).is_file());
                names.extend(MADE_WITH.iter().filter(|(_, files)| made_with(files)).map(|(name, _)| *name));
            }
            ("auto", None) => {
                return Err(anyhow!("--profile auto: without a project there is nothing to choose by"))
                    .hint(|| "name a profile: `rrunc profile ls` lists them; or leave --no-project out");
            }
            (name, _) => names.push(name),
        }
    }
    if names.is_empty() {
        names.push(BASE);
    }
    let mut profiles: Vec<Named> = Vec::new();
    for name in names {
        if name.contains('/') {
            written.follow(Path::new(name)).with_context(|| format!("profile {name}"))?;
        }
        for one in profile::chain(profile::find(name)?)? {
            if !profiles.iter().any(|known| known.name == one.name) {
                profiles.push(one);
            }
        }
    }
    Ok(profiles)
}

/// The flags as the last profile of the chain.
pub fn of_flags(args: &SandboxArgs, caller: &Caller) -> Result<Profile> {
    let SandboxArgs { files, rights, limits, environment, .. } = args;
    let [read, write] = grants::of_flags(files, &caller.cwd)?;
    let deny_project = if files.no_project { Some(Access::Read) } else { files.read_only.then_some(Access::Write) };
    Ok(Profile {
        allow: Allow {
            read,
            write,
            network: rights.network,
            caches: files.cache.clone(),
            user_namespaces: rights.userns,
            capabilities: rights.cap_add.clone(),
            limits: Limits {
                tmpfs: files.size.clone(),
                memory: limits.memory.clone(),
                cpus: limits.cpus.clone(),
                processes: limits.pids_limit,
                time: limits.timeout.clone(),
                ..Limits::default()
            },
            ..Allow::default()
        },
        deny: Deny {
            project: deny_project,
            pass: environment.unsetenv.clone(),
            hide: files.hide.clone(),
            protect: files.protect.clone(),
            ..Deny::default()
        },
        ..Profile::default()
    })
}
