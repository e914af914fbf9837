//! `trust`: the user reads a project's own profile and accepts it, as it is now; and lets sandboxes of a linked worktree
//! write its repository.
use super::Outcome;
use crate::cli::TrustArgs;
use crate::error::WithHint;
use crate::printable::printable;
use crate::sandbox::caller::Caller;
use crate::sandbox::project::{self, Repository};
use crate::sandbox::trust::{self, FILE, Standing};
use anyhow::{Context, Result, anyhow};
use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

/// With more than this many of one kind, all kinds are counted below.
const MANY: usize = 5;

/// Runs the verb.
pub fn run(args: &TrustArgs) -> Result<Outcome> {
    let root = root(args)?;
    let path = root.join(FILE);
    if args.forget {
        let [profile, repository] = trust::forget(&root)?;
        let known = |known: bool| if known { "is no longer trusted" } else { "was not trusted" };
        let mut text = format!("{} {}\n", path.display(), known(profile));
        if repository {
            text.push_str(&format!("the repository of {} {}\n", root.display(), known(true)));
        }
        return Ok(text.into());
    }
    let standing = trust::standing(&root)?;
    let repository = project::linked_repository(&root);
    let new = match &repository {
        Some(repository) if !trust::knows_repository(&root, repository)? => Some(repository),
        _ => None,
    };
    let (text, before) = match &standing {
        Standing::Unknown(text) => (Some(text), None),
        Standing::Changed(text, before) => (Some(text), Some(before.as_str())),
        Standing::Absent if repository.is_none() => {
            return Err(anyhow!("{} is not there", path.display()))
                .hint(|| "name the project's directory: rrunc trust DIR");
        }
        Standing::Absent | Standing::Trusted(_) => (None, None),
    };
    if text.is_none() && new.is_none() {
        return Ok(match standing {
            Standing::Absent => format!("the repository of {} is trusted already\n", root.display()),
            _ => format!("{} is trusted already\n", path.display()),
        }
        .into());
    }
    ask(args, &root, text.map(|text| (text.as_str(), before)), new)
}

fn root(args: &TrustArgs) -> Result<PathBuf> {
    match &args.project {
        Some(dir) => dir.canonicalize().with_context(|| dir.display().to_string()),
        None => {
            let caller = Caller::probe()?;
            Ok(project::root_around(&caller.cwd, &caller.home)?)
        }
    }
}

/// Shows on stderr what there is to trust, so that it is read whatever becomes of stdout, and waits for a yes.
fn ask(
    args: &TrustArgs,
    root: &Path,
    profile: Option<(&str, Option<&str>)>,
    repository: Option<&Repository>,
) -> Result<Outcome> {
    let path = root.join(FILE);
    let mut screen = std::io::stderr().lock();
    if let Some((text, before)) = profile {
        show(&mut screen, root, text, before)?;
    }
    if let Some(Repository { common, .. }) = repository {
        let common = printable(&common.to_string_lossy());
        writeln!(screen, "\nThis is a worktree of the repository {common}.")?;
        writeln!(
            screen,
            "Sandboxes of it may then write there: commits, branches, and everything but what runs on your host."
        )?;
    }
    if !args.yes && !confirmed(&mut screen)? {
        let what = if profile.is_some() { path } else { root.join(".git") };
        return Err(anyhow!("{} stays untrusted", what.display())).hint(|| "--yes trusts it without asking");
    }
    let mut said = Vec::new();
    if let Some((text, _)) = profile {
        trust::keep(root, text)?;
        said.push(format!("{} is trusted until it changes\n", path.display()));
    }
    if let Some(repository) = repository {
        trust::keep_repository(root, repository)?;
        said.push(format!("{} may be written by sandboxes of {}\n", repository.common.display(), root.display()));
    }
    Ok(said.join("").into())
}

/// The profile, and what it gives.
fn show(screen: &mut impl Write, root: &Path, text: &str, before: Option<&str>) -> Result<()> {
    let gives = trust::gives(&trust::parse(root, text)?.profile.allow);
    let what = if before.is_some() { "has changed since you trusted it; it says now" } else { "says" };
    writeln!(screen, "{} {what}:\n", root.join(FILE).display())?;
    for line in text.lines() {
        let mark = if before.is_some_and(|old| !old.lines().any(|known| known == line)) { '+' } else { ' ' };
        writeln!(screen, "  {mark} {}", line.escape_debug().to_string().replace("\\\"", "\"").replace("\\'", "'"))?;
    }
    // Last, right above the question: a long text may have scrolled away what matters.
    if gives.is_empty() {
        writeln!(screen, "\nIt only narrows what sandboxes of this project may do.")?;
    } else {
        writeln!(screen, "\nIt gives every sandbox of this project more than it has now:")?;
    }
    for (name, values) in &gives {
        for value in values {
            writeln!(screen, "  {name}: {value}")?;
        }
    }
    // What has scrolled away by now is missed if its number is told.
    if gives.iter().any(|(_, values)| values.len() > MANY) {
        let counts: Vec<String> = gives.iter().map(|(name, values)| format!("{} {name}", values.len())).collect();
        writeln!(screen, "In all: {}.", counts.join(", "))?;
    }
    Ok(())
}

fn confirmed(screen: &mut impl Write) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    write!(screen, "Trust it? [y/N] ")?;
    screen.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
