//! Why the container's first process gave up, as it travels to whoever the user is looking at: over the wire, or over the
//! gate once `create` has gone.
use crate::error::{NotExecuted, errno_of, find, hint_of, one_line, with_hint};
use anyhow::anyhow;
use nix::errno::Errno;
use serde::{Deserialize, Serialize};

/// Longest text in a packet, leaving room for JSON's escapes.
const TEXT: usize = 8 * 1024;

/// Why init gave up, told whole so that the reason reaches the user's terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Label of the step of init that failed.
    pub step: String,
    /// The error chain in one line.
    pub chain: String,
    /// The system error at its bottom, 0 if there is none.
    pub errno: i32,
    /// What to do about it.
    pub hint: Option<String>,
    /// It was the program that could not be run.
    pub not_executed: bool,
}

impl Failure {
    /// The failure of `step` with `error`.
    pub fn new(step: &str, error: &anyhow::Error) -> Failure {
        Failure {
            step: step.to_owned(),
            chain: cut(one_line(error)),
            errno: errno_of(error).map_or(0, |e| e as i32),
            hint: hint_of(error).map(|hint| cut(hint.to_owned())),
            not_executed: find::<NotExecuted>(error).is_some(),
        }
    }

    /// As an error of this side, with the system's as the last of its links. The step is named where the chain is nothing
    /// but the system's own words.
    pub fn into_error(self) -> anyhow::Error {
        let (errno, hint) = (Errno::from_raw(self.errno), self.hint.clone());
        let object = match self.chain.strip_suffix(errno.desc()) {
            _ if self.errno == 0 => None,
            Some("") if !self.step.is_empty() => Some(self.step.clone()),
            Some(before) => before.strip_suffix(": ").map(str::to_owned),
            None => None,
        };
        let error = match (self, object) {
            (Failure { not_executed: true, chain: text, .. }, _) => NotExecuted { errno, text }.into(),
            (_, Some(object)) => anyhow!(errno).context(object),
            (Failure { chain, .. }, None) => anyhow!(chain),
        };
        match hint {
            Some(hint) => with_hint(error, hint),
            None => error,
        }
    }
}

/// Of a process that has ended without a word: what it would have said is refused, too.
pub(super) fn silenced() -> anyhow::Error {
    with_hint(
        anyhow!("the program was not executed: its seccomp filter refuses what that takes, and even to say so"),
        "linux.seccomp of config.json has to allow at least execve, rt_sigaction and rt_sigprocmask, and without \
         noNewPrivileges capset, sendmsg, sendto, recvmsg and accept4, too",
    )
}

/// Cuts a text that is too long for a packet.
pub(super) fn cut(mut text: String) -> String {
    if text.len() > TEXT {
        let end = (0..=TEXT).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_step_is_named_where_the_kernels_words_are_all_there_is() {
        let told = |error: &anyhow::Error| Failure::new("root", error).into_error();
        let bare = told(&anyhow!(Errno::EPERM));
        assert_eq!((one_line(&bare).as_str(), errno_of(&bare)), ("root: Operation not permitted", Some(Errno::EPERM)));
        let known = told(&with_hint(anyhow!(Errno::EACCES).context("mount /data"), "look at /srv"));
        assert_eq!(
            (one_line(&known).as_str(), hint_of(&known)),
            ("mount /data: Permission denied", Some("look at /srv"))
        );
    }

    #[test]
    fn a_long_text_is_cut_between_two_characters() {
        assert_eq!(cut("short".to_owned()), "short");
        let cut = cut("ä".repeat(TEXT));
        assert!(cut.len() <= TEXT + "…".len() && cut.ends_with("ä…"), "{}", cut.len());
    }
}
