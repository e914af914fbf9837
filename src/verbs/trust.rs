//! `trust`: the user reads a project's own profile and accepts it, as it is now.
use super::Outcome;
use crate::cli::TrustArgs;
use crate::error::WithHint;
use crate::sandbox::caller::Caller;
use crate::sandbox::project;
use crate::sandbox::trust::{self, FILE, Standing};
use anyhow::{Context, Result, anyhow};
use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

/// No more of each kind are listed that a profile gives; the others are counted.
const MOST: usize = 5;

/// Runs the verb.
pub fn run(args: &TrustArgs) -> Result<Outcome> {
    let root = root(args)?;
    if args.forget {
        let known = trust::forget(&root)?;
        let text = if known { "is no longer trusted" } else { "was not trusted" };
        return Ok(format!("{} {text}\n", root.join(FILE).display()).into());
    }
    let path = root.join(FILE);
    match trust::standing(&root)? {
        Standing::Absent => {
            Err(anyhow!("{} is not there", path.display())).hint(|| "name the project's directory: rrunc trust DIR")
        }
        Standing::Trusted(_) => Ok(format!("{} is trusted already\n", path.display()).into()),
        Standing::Unknown(text) => ask(args, &root, &text, None),
        Standing::Changed(text, before) => ask(args, &root, &text, Some(&before)),
    }
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

/// Shows the text on stderr, so that it is read whatever becomes of stdout, and waits for a yes.
fn ask(args: &TrustArgs, root: &Path, text: &str, before: Option<&str>) -> Result<Outcome> {
    let path = root.join(FILE);
    let gives = trust::gives(&trust::parse(root, text)?.profile.allow);
    let mut screen = std::io::stderr().lock();
    let what = if before.is_some() { "has changed since you trusted it; it says now" } else { "says" };
    writeln!(screen, "{} {what}:\n", path.display())?;
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
        for value in values.iter().take(MOST) {
            writeln!(screen, "  {name}: {value}")?;
        }
        if let Some(more) = values.len().checked_sub(MOST).filter(|more| *more > 0) {
            writeln!(screen, "  {name}: and {more} more")?;
        }
    }
    if !args.yes && !confirmed(&mut screen)? {
        return Err(anyhow!("{} stays untrusted", path.display())).hint(|| "--yes trusts it without asking");
    }
    trust::keep(root, text)?;
    Ok(format!("{} is trusted until it changes\n", path.display()).into())
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
