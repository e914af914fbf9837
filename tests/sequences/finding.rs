//! Something that must not be, and its line between the process that finds it and the one that tells.
use std::fmt;

/// What it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A secret was read.
    Read,
    /// Something of the caller's was changed.
    Changed,
    /// A process is left, or one of the caller's was touched.
    Process,
    /// A mount is left.
    Mount,
    /// State is left, or cannot be removed.
    State,
    /// A call did not come back in time.
    Hang,
    /// rrunc panicked, or was ended by a signal that nobody sent.
    Crash,
}

const KINDS: [Kind; 7] = [Kind::Read, Kind::Changed, Kind::Process, Kind::Mount, Kind::State, Kind::Hang, Kind::Crash];

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is about.
    pub kind: Kind,
    /// The rest in words.
    pub text: String,
}

impl Finding {
    /// In words that name the thing first.
    pub fn new(kind: Kind, text: impl Into<String>) -> Finding {
        Finding { kind, text: text.into() }
    }

    /// From its line.
    pub fn parse(line: &str) -> Option<Finding> {
        let (kind, text) = line.strip_prefix("FINDING ")?.split_once(": ")?;
        let kind = KINDS.into_iter().find(|known| format!("{known:?}") == kind)?;
        Some(Finding::new(kind, text))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "FINDING {:?}: {}", self.kind, self.text.replace('\n', " "))
    }
}
