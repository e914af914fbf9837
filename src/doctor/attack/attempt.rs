//! One thing that an attack has tried, and what is left of a promise after all of them.
use serde::{Deserialize, Serialize};

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The row of SECURITY.md that it is of, if it is of one.
    pub row: Option<String>,
    /// What, such as `read a file below HOME`.
    pub what: String,
    /// Whether it could be tried here.
    pub tried: bool,
    /// It worked.
    pub succeeded: bool,
    /// Its success alone reaches nothing of the host; but one defence of several is not there.
    pub lesser: bool,
    /// Why it was refused, or what came of it.
    pub detail: String,
}

impl Attempt {
    /// One whose success breaks the promise.
    pub fn new(what: impl Into<String>, succeeded: bool, detail: impl Into<String>) -> Attempt {
        Attempt { row: None, what: what.into(), tried: true, succeeded, lesser: false, detail: detail.into() }
    }

    /// One whose success weakens it.
    pub fn lesser(what: impl Into<String>, succeeded: bool, detail: impl Into<String>) -> Attempt {
        Attempt { lesser: true, ..Attempt::new(what, succeeded, detail) }
    }

    /// One that shows nothing, since it did not come as far as the defence.
    pub fn not_tried(what: impl Into<String>, detail: impl Into<String>) -> Attempt {
        Attempt { tried: false, ..Attempt::new(what, false, detail) }
    }

    /// The same, as one of a row.
    pub fn of(self, row: &str) -> Attempt {
        Attempt { row: Some(row.to_owned()), ..self }
    }
}

/// What is left of a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every attempt was refused.
    Enforced,
    /// What is promised is kept, by less than there should be.
    Weakened,
    /// An attack worked.
    Off,
}

/// Judges a promise by what was tried. Nothing tried is nothing shown.
pub fn judge(attempts: &[Attempt]) -> Verdict {
    let worked = |lesser| attempts.iter().any(|attempt| attempt.succeeded && attempt.lesser == lesser);
    if !attempts.iter().any(|attempt| attempt.tried) || worked(false) {
        return Verdict::Off;
    }
    if worked(true) { Verdict::Weakened } else { Verdict::Enforced }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_success_is_enough_to_break_a_promise() {
        let refused = || Attempt::new("a", false, "");
        assert_eq!(judge(&[refused(), refused()]), Verdict::Enforced);
        assert_eq!(judge(&[refused(), Attempt::new("b", true, ""), refused()]), Verdict::Off);
        assert_eq!(judge(&[refused(), Attempt::lesser("b", true, "")]), Verdict::Weakened);
        assert_eq!(judge(&[Attempt::lesser("b", true, ""), Attempt::new("c", true, "")]), Verdict::Off);
    }

    #[test]
    fn a_promise_that_nothing_was_tried_on_does_not_count_as_kept() {
        assert_eq!(judge(&[]), Verdict::Off);
        let not = || Attempt::not_tried("a", "");
        assert_eq!(judge(&[not()]), Verdict::Off);
        assert_eq!(judge(&[not(), Attempt::new("b", false, "")]), Verdict::Enforced);
    }
}
