//! `profile`: those that come with rrunc, and the user's own. Those of the sandbox have plain names, those of seccomp
//! `seccomp/NAME`.
use super::Outcome;
use crate::cli::{ProfileAction, ProfileArgs};
use crate::printable::printable;
use crate::sandbox::foreign;
use crate::sandbox::policy::Policy;
use crate::sandbox::profile::{self, BUILT_IN, Profile};
use crate::seccomp::profiles::PROFILES;
use anyhow::{Context, Result};
use std::fmt::Write as _;
use std::io::IsTerminal;
use std::path::PathBuf;

/// Where seccomp's profiles are.
const SECCOMP: &str = "seccomp/";

/// The profile that makes rrunc known to AppArmor: for hosts that restrict user namespaces.
const APPARMOR: (&str, &str) = ("apparmor", include_str!("../../profiles/apparmor/rrunc"));

/// Runs the verb.
pub fn run(args: &ProfileArgs) -> Result<Outcome> {
    match &args.action {
        ProfileAction::Ls(_) => Ok(list().into()),
        ProfileAction::Show(args) => text(&args.name).map(|text| shown(text, std::io::stdout().is_terminal()).into()),
        ProfileAction::Check(args) => check(&args.name).map(Outcome::from),
    }
}

/// One a line: name, where it is from, what it is for.
fn list() -> String {
    let own = profile::own_files().into_iter().map(|path| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let described = profile::read(&path).map(|named| named.profile.description.unwrap_or_default());
        let described = described.unwrap_or_else(|_| "cannot be read: see `profile check`".into());
        // A line each, whatever it is called.
        (printable(&name), printable(&path.to_string_lossy()), printable(&described))
    });
    let built_in = BUILT_IN.iter().map(|(name, text)| {
        let described = Profile::parse(text).ok().and_then(|profile| profile.description).unwrap_or_default();
        ((*name).to_owned(), "rrunc".to_owned(), described)
    });
    let seccomp = PROFILES.iter().map(|(name, _)| {
        let described = match *name {
            "default" => "system calls of containers",
            "sandbox" => "system calls of developers' tools",
            _ => "system calls of programs that only compute",
        };
        (format!("{SECCOMP}{name}"), "rrunc".to_owned(), described.to_owned())
    });
    let apparmor = (APPARMOR.0.to_owned(), "rrunc".to_owned(), "lets AppArmor give rrunc user namespaces".to_owned());
    let rows: Vec<_> = own.chain(built_in).chain(seccomp).chain([apparmor]).collect();
    let width = |column: fn(&(String, String, String)) -> &String| {
        rows.iter().map(|row| column(row).chars().count()).max().unwrap_or_default()
    };
    let (names, places) = (width(|row| &row.0).max(4), width(|row| &row.1).max(4));
    let mut table = format!("{:names$}  {:places$}  DESCRIPTION\n", "NAME", "FROM");
    for (name, place, described) in &rows {
        writeln!(table, "{name:names$}  {place:places$}  {described}").expect("a String takes all");
    }
    table
}

/// The text as it is; for a terminal, without what it would obey.
fn shown(text: String, on_terminal: bool) -> String {
    if !on_terminal {
        return text;
    }
    // Line by line, and tabs are harmless.
    let line = |line: &str| line.split('\t').map(printable).collect::<Vec<_>>().join("\t");
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

fn text(name: &str) -> Result<String> {
    if let Some(name) = name.strip_prefix(SECCOMP)
        && let Some((_, text)) = PROFILES.iter().find(|(known, _)| *known == name)
    {
        return Ok((*text).to_owned());
    }
    if name == APPARMOR.0 {
        return Ok(APPARMOR.1.to_owned());
    }
    let own = profile::own_directory().map(|dir| dir.join(format!("{name}.toml"))).filter(|path| path.is_file());
    let named = if name.contains('/') { Some(PathBuf::from(name)) } else { own };
    if let Some(path) = named.filter(|path| path.exists()) {
        return foreign::text(&path).with_context(|| path.display().to_string());
    }
    let found = BUILT_IN.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned());
    found.ok_or_else(|| profile::missing(name))
}

/// Reads the whole chain.
fn check(name: &str) -> Result<String> {
    if name.starts_with(SECCOMP) || name == APPARMOR.0 {
        return text(name).map(|_| format!("{name} is sound\n"));
    }
    let chain = profile::chain(profile::find(name)?)?;
    Policy::of(&chain)?;
    let names: Vec<_> = chain.iter().map(|one| one.name.as_str()).collect();
    Ok(format!("{name} is sound: {}\n", names.join(" -> ")))
}
