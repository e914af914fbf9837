//! `doctor --attack`: the promises of the sandbox, attacked on this machine. The attacks run inside `rrunc sandbox`, which
//! is called like by any user; a second part of the doctor, the payload, is what it runs there.
//!
//! A promise holds when every attempt is refused. What an attempt has brought about on the host is looked at from the
//! host, so that a payload that cannot see its success does not hide it.
mod attempt;
mod judge;
pub mod payload;
pub mod rounds;
pub mod scene;
mod traps;

use super::report::{Row, document, table};
use anyhow::Result;
pub use attempt::{Attempt, Verdict, judge};
use scene::{Launcher, Scene};
use serde::Serialize;
use std::path::Path;

/// A promise of the sandbox, and by what it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promise {
    /// Its name.
    pub name: &'static str,
    /// What keeps it.
    pub mechanism: &'static str,
    /// Others keep what it keeps: its lack is reported and no failure.
    pub additional: bool,
}

const fn promise(name: &'static str, mechanism: &'static str) -> Promise {
    Promise { name, mechanism, additional: false }
}

/// All promises: a closed list, in the order of the report.
pub const PROMISES: [Promise; 14] = [
    promise("view", "mount namespace with an allow-list of mounts"),
    promise("capabilities", "user namespace, all sets of capabilities empty"),
    promise("seccomp", "seccomp filter, profile sandbox"),
    promise("network", "network namespace with loopback only; no socket files"),
    promise("terminal", "pseudoterminal of its own, TIOCSTI filtered"),
    promise("environment", "allow-list of variables, the rest overwritten"),
    promise("fds", "all descriptors but the standard streams closed"),
    promise("keyring", "session keyring of its own, keyctl filtered"),
    promise("proc", "pid namespace with a /proc of its own"),
    promise("privileges", "no_new_privs, nosuid mounts"),
    promise("mounts", "no capability, mount calls filtered"),
    promise("namespaces", "clone, clone3 and unshare filtered"),
    promise("limits", "a cgroup or rrunc that watches memory, rlimits, sizes of tmpfs"),
    Promise { name: "landlock", mechanism: "Landlock domain", additional: true },
];

/// A promise after its attack.
#[derive(Debug, Clone)]
pub struct Tried {
    /// The promise.
    pub promise: Promise,
    /// What was tried.
    pub attempts: Vec<Attempt>,
}

impl Tried {
    /// What is left of it.
    pub fn verdict(&self) -> Verdict {
        judge(&self.attempts)
    }

    fn detail(&self) -> String {
        let worked: Vec<_> = self.attempts.iter().filter(|attempt| attempt.succeeded).collect();
        match worked.first() {
            None => {
                let (tried, not): (Vec<_>, Vec<_>) = self.attempts.iter().partition(|attempt| attempt.tried);
                let attacks = if tried.len() == 1 { "attack" } else { "attacks" };
                let more = match not.first() {
                    Some(first) => format!("; {} not tried ({}: {})", not.len(), first.what, first.detail),
                    None => String::new(),
                };
                match tried.len() {
                    0 => format!("nothing could be tried{more}"),
                    count => format!("{}; {count} {attacks} refused{more}", self.promise.mechanism),
                }
            }
            Some(first) => format!("{}: {}", first.what, first.detail),
        }
    }
}

/// Attacks every promise, in sandboxes that the binary `exe` makes.
pub fn run(exe: &Path) -> Result<Vec<Tried>> {
    let launcher = Launcher::sandbox(exe);
    let attack = |promise: &Promise| {
        // Bait of its own for each: one attack may not spoil that of the next.
        let attempts = rounds::attack(&Scene::new(exe)?, promise.name, &launcher)?;
        Ok(Tried { promise: *promise, attempts })
    };
    PROMISES.iter().map(attack).collect()
}

/// Whether a promise that is not merely additional is off.
pub fn broken(tried: &[Tried]) -> bool {
    tried.iter().any(|tried| tried.verdict() == Verdict::Off && !tried.promise.additional)
}

/// The report for people.
pub fn text(tried: &[Tried], colour: bool) -> String {
    let details: Vec<String> = tried.iter().map(Tried::detail).collect();
    let row = |(tried, detail): (&Tried, &'_ String)| {
        let (status, colour) = match tried.verdict() {
            Verdict::Enforced => ("enforced", 32),
            Verdict::Weakened => ("weakened", 33),
            Verdict::Off => ("off", 31),
        };
        (tried.promise.name, status, colour, detail.clone())
    };
    let cells: Vec<_> = tried.iter().zip(&details).map(row).collect();
    let rows: Vec<Row> = cells
        .iter()
        .map(|(name, status, colour, detail)| Row { name, status, colour: *colour, detail, below: Vec::new() })
        .collect();
    let count = |verdict| tried.iter().filter(|tried| tried.verdict() == verdict).count();
    let (enforced, weakened, off) = (count(Verdict::Enforced), count(Verdict::Weakened), count(Verdict::Off));
    let table = table(&rows, colour);
    format!("{table}\n{} promises: {enforced} enforced, {weakened} weakened, {off} off.\n", tried.len())
}

/// The report for programs.
pub fn json(tried: &[Tried]) -> String {
    #[derive(Serialize)]
    struct Entry<'a> {
        name: &'a str,
        status: Verdict,
        mechanism: &'a str,
        attempts: &'a [Attempt],
    }
    #[derive(Serialize)]
    struct Document<'a> {
        version: u32,
        promises: Vec<Entry<'a>>,
    }
    let promises = tried.iter().map(|tried| {
        let Promise { name, mechanism, .. } = tried.promise;
        Entry { name, status: tried.verdict(), mechanism, attempts: &tried.attempts }
    });
    document(&Document { version: super::report::VERSION, promises: promises.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_attacked_are_promises_of_the_sandbox() {
        let promised = crate::sandbox::promises::PROMISES.map(|(name, _)| name);
        assert!(PROMISES.iter().all(|promise| promised.contains(&promise.name)));
    }

    #[test]
    fn landlock_alone_may_be_off() {
        let off = |at: usize| Tried { promise: PROMISES[at], attempts: Vec::new() };
        assert!(!broken(&[off(13)]));
        assert!(broken(&[off(13), off(0)]));
        assert!(text(&[off(0)], false).contains("nothing could be tried"));
    }
}
