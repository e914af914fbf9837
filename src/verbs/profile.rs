//! `profile`: the profiles that are compiled in. Those of the sandbox have plain names, those of seccomp `seccomp/NAME`.
use super::Outcome;
use crate::cli::{ProfileAction, ProfileArgs};
use crate::error::WithHint;
use crate::sandbox::profile::BASE;
use crate::seccomp::profiles::PROFILES;
use anyhow::{Context, Result, bail};

/// Where seccomp's profiles are.
const SECCOMP: &str = "seccomp/";

/// Runs the verb.
pub fn run(args: &ProfileArgs) -> Result<Outcome> {
    match (args.action, &args.name) {
        (ProfileAction::Ls, None) => Ok(list().into()),
        (ProfileAction::Ls, Some(_)) => bail!("profile ls takes no name"),
        (ProfileAction::Show, Some(name)) => {
            let text = find(name).with_context(|| format!("there is no profile {name}"));
            text.hint(|| "`rrunc profile ls` lists them").map(|text| text.to_owned().into())
        }
        (ProfileAction::Show, None) => {
            Err(anyhow::anyhow!("profile show takes the name of a profile")).hint(|| "`rrunc profile ls` lists them")
        }
    }
}

/// One name a line.
fn list() -> String {
    let seccomp = PROFILES.iter().map(|(name, _)| format!("{SECCOMP}{name}\n"));
    std::iter::once("base\n".to_owned()).chain(seccomp).collect()
}

fn find(name: &str) -> Option<&'static str> {
    if name == "base" {
        return Some(BASE);
    }
    let name = name.strip_prefix(SECCOMP)?;
    PROFILES.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}
