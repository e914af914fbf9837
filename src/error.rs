//! Errors are anyhow chains: one short sentence a link, the object first, and at most one hint that names the fix.
//!
//! `main` prints the chain in one line and the hint below it. Nothing else prints errors.
use nix::errno::Errno;
use std::fmt;

/// An error that also knows how to mend it. Transparent in the chain: it reads as the error it wraps.
#[derive(Debug)]
struct Hinted {
    cause: anyhow::Error,
    hint: String,
}

impl fmt::Display for Hinted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl std::error::Error for Hinted {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.source()
    }
}

/// A program that cannot be run, which shells and clients tell from every other failure.
#[derive(Debug, Clone)]
pub struct NotExecuted {
    /// ENOENT: there is none. Anything else: it is there and cannot be executed.
    pub errno: Errno,
    /// The message, in the words that clients know.
    pub text: String,
}

impl fmt::Display for NotExecuted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for NotExecuted {}

/// Adds a hint to a failing result.
pub trait WithHint<T> {
    /// Attaches `hint()`, one imperative sentence such as "add a range to /etc/subuid", when the result is an error.
    fn hint<S: Into<String>>(self, hint: impl FnOnce() -> S) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> WithHint<T> for Result<T, E> {
    fn hint<S: Into<String>>(self, hint: impl FnOnce() -> S) -> anyhow::Result<T> {
        self.map_err(|e| with_hint(e.into(), hint()))
    }
}

/// `cause` with a hint attached.
pub fn with_hint(cause: anyhow::Error, hint: impl Into<String>) -> anyhow::Error {
    anyhow::Error::new(Hinted { cause, hint: hint.into() })
}

/// The first link of the chain that is a `T`; one that carries a hint counts as what it wraps, too.
pub fn find<T: std::error::Error + Send + Sync + 'static>(error: &anyhow::Error) -> Option<&T> {
    error.chain().find_map(|link| {
        let wrapped = || link.downcast_ref::<Hinted>().and_then(|hinted| find::<T>(&hinted.cause));
        link.downcast_ref::<T>().or_else(wrapped)
    })
}

/// The outermost hint in the chain, if any link carries one.
pub fn hint_of(error: &anyhow::Error) -> Option<&str> {
    error.chain().find_map(|link| link.downcast_ref::<Hinted>()).map(|h| h.hint.as_str())
}

/// The whole chain in one line, links joined by `: `; system errors in words, without their number or name.
pub fn one_line(error: &anyhow::Error) -> String {
    error.chain().map(link_text).collect::<Vec<_>>().join(": ")
}

fn link_text(link: &(dyn std::error::Error + 'static)) -> String {
    if let Some(errno) = link.downcast_ref::<Errno>() {
        return errno.desc().to_owned();
    }
    if let Some(hinted) = link.downcast_ref::<Hinted>() {
        return link_text(hinted.cause.as_ref());
    }
    match link.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error) {
        Some(number) => Errno::from_raw(number).desc().to_owned(),
        None => link.to_string(),
    }
}

/// The system error at the bottom of the chain, if there is one.
pub fn errno_of(error: &anyhow::Error) -> Option<Errno> {
    let io = || find::<std::io::Error>(error).and_then(std::io::Error::raw_os_error).map(Errno::from_raw);
    let program = || find::<NotExecuted>(error).map(|e| e.errno);
    find::<Errno>(error).copied().or_else(io).or_else(program)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn a_hint_survives_context_and_does_not_show_in_the_chain() {
        let e = Err::<(), _>(nix::errno::Errno::EACCES)
            .context("mount /data (bind /srv/x, ro)")
            .hint(|| "chmod o+x /srv")
            .context("create web")
            .unwrap_err();
        assert_eq!(one_line(&e), "create web: mount /data (bind /srv/x, ro): Permission denied");
        assert_eq!(hint_of(&e), Some("chmod o+x /srv"));
        assert_eq!(errno_of(&e), Some(Errno::EACCES));
        assert_eq!(hint_of(&anyhow::anyhow!("plain")), None);
    }
    #[test]
    fn what_a_hint_wraps_is_found() {
        let missing = NotExecuted { errno: Errno::ENOENT, text: "exec x: no such file".into() };
        let e = with_hint(missing.into(), "look elsewhere");
        assert_eq!(find::<NotExecuted>(&e).map(|e| e.errno), Some(Errno::ENOENT));
        assert_eq!(errno_of(&e.context("sandbox")), Some(Errno::ENOENT));
        let e = Err::<(), _>(Errno::EACCES).hint(|| "chmod").unwrap_err();
        assert_eq!((errno_of(&e), one_line(&e).as_str()), (Some(Errno::EACCES), "Permission denied"));
    }
}
