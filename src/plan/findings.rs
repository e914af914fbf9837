//! What there is to say about a configuration, collected until all of it has been looked at, so that the user sees every
//! problem at once.
use crate::error::with_hint;
use anyhow::{Result, anyhow};
use std::fmt::Display;
use std::path::Path;

/// What has been found so far.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) problems: Vec<String>,
    hints: Vec<String>,
    /// What was degraded, which the user has to know.
    pub(super) warnings: Vec<String>,
    /// What was left out without anybody missing it; for the debug log.
    pub(super) notes: Vec<String>,
}

impl Findings {
    /// Begins with the warnings of those who read the document.
    pub(super) fn after(warnings: Vec<String>) -> Findings {
        Findings { warnings, ..Findings::default() }
    }

    /// A reason to refuse, at a JSON path.
    pub(super) fn problem(&mut self, path: &str, problem: impl Display) {
        self.problems.push(format!("{path}: {problem}"));
    }

    /// The same, and how to mend it.
    pub(super) fn mendable(&mut self, path: &str, problem: impl Display, hint: impl Into<String>) {
        self.problem(path, problem);
        self.hint(hint);
    }

    /// How to mend a problem just found; said once, however many problems it mends.
    pub(super) fn hint(&mut self, hint: impl Into<String>) {
        let hint = hint.into();
        if !self.hints.contains(&hint) {
            self.hints.push(hint);
        }
    }

    /// `file` at the JSON path `path` is relative, and nothing says to what.
    pub(super) fn not_absolute(&mut self, path: &str, file: &Path) {
        self.problem(path, format!("{} is not absolute: it has to begin with a slash", file.display()));
    }

    pub(super) fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    pub(super) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Fails with all problems, if there are any.
    pub(super) fn check(&self) -> Result<()> {
        if self.problems.is_empty() {
            return Ok(());
        }
        let error = anyhow!(self.problems.join("; "));
        Err(if self.hints.is_empty() { error } else { with_hint(error, self.hints.join("; ")) })
    }
}
