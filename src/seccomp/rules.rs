//! OCI's `syscalls` list, checked and sorted by call: what each named call gets, before any number is known.
//!
//! The meaning is libseccomp's, as runc and crun show it: an entry without conditions beats all entries with
//! conditions of the same call, and the first such entry wins. Entries with conditions are tried in the profile's order;
//! where several match and say different things, libseccomp has an order of its own (by argument and operator).
use super::names::{self, Call};
use anyhow::{Context, Result, bail, ensure};
use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArg, LinuxSyscall};

/// How many unknown names a warning lists.
const UNKNOWN_TOLD: usize = 8;

/// A conjunction of comparisons and the SECCOMP_RET_* value when all hold.
#[derive(Clone, Debug)]
pub struct Clause {
    /// Empty never: a clause without conditions is an unconditional value.
    pub conditions: Vec<LinuxSeccompArg>,
    /// SECCOMP_RET_* with its data.
    pub action: u32,
}

/// What the profile says of one call.
#[derive(Clone, Debug, Default)]
pub struct Named {
    /// The profile names it, be it with the default action.
    pub seen: bool,
    /// The value whatever the arguments.
    pub always: Option<u32>,
    /// Indices into [`Rules::clauses`], in order.
    pub clauses: Vec<u32>,
}

/// A profile without names and numbers.
#[derive(Debug)]
pub struct Rules {
    /// The SECCOMP_RET_* value of every call without a rule that matches.
    pub default: u32,
    /// The value of numbers above the largest one named: ENOSYS, so that libc falls back, unless the default lets calls
    /// through.
    pub newer: u32,
    /// By [`Call`].
    pub named: Vec<Named>,
    /// All clauses of the profile.
    pub clauses: Vec<Clause>,
    /// Some rule sends calls to a listener.
    pub notify: bool,
    /// The first few names that no architecture knows, and how many there are.
    pub unknown: (Vec<String>, usize),
}

impl Rules {
    /// Reads the profile. Errors name the entry, and are runc's where clients match on them.
    pub fn read(profile: &LinuxSeccomp) -> Result<Rules> {
        let action = profile.default_action();
        ensure!(action != Action::ScmpActNotify, "SCMP_ACT_NOTIFY cannot be used as default action");
        let default = value(action, profile.default_errno_ret()).context("seccomp defaultErrnoRet")?;
        let lets_through = matches!(action, Action::ScmpActAllow | Action::ScmpActLog | Action::ScmpActTrace);
        let newer = if lets_through { default } else { libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32 };
        let named = vec![Named::default(); names::count()];
        let mut rules =
            Rules { default, newer, named, clauses: Vec::new(), notify: false, unknown: Default::default() };
        for (index, entry) in profile.syscalls().iter().flatten().enumerate() {
            rules.add(entry).with_context(|| format!("seccomp syscalls[{index}]"))?;
        }
        Ok(rules)
    }

    fn add(&mut self, entry: &LinuxSyscall) -> Result<()> {
        ensure!(!entry.names().is_empty(), "no names");
        let action = value(entry.action(), entry.errno_ret())?;
        let notify = entry.action() == Action::ScmpActNotify;
        // As in runc: a rule that says what the default says is no rule, but its names count as known ones.
        let redundant = action == self.default;
        let conditions = entry.args().as_deref().unwrap_or_default();
        let first = self.clauses.len() as u32;
        if !redundant {
            self.add_clauses(conditions, action)?;
            self.notify |= notify;
        }
        let clauses = first..self.clauses.len() as u32;
        for name in entry.names() {
            ensure!(!name.is_empty(), "empty string is not a valid syscall");
            // The process itself must still be able to hand over its listener.
            ensure!(!notify || name != "write", "SCMP_ACT_NOTIFY cannot be used for the write syscall");
            let Some(call) = names::find(name) else {
                self.unknown.1 += 1;
                if self.unknown.1 <= UNKNOWN_TOLD {
                    self.unknown.0.push(name.clone());
                }
                continue;
            };
            let named = &mut self.named[usize::from(call)];
            named.seen = true;
            if redundant {
            } else if conditions.is_empty() {
                named.always.get_or_insert(action);
            } else {
                named.clauses.extend(clauses.clone());
            }
        }
        Ok(())
    }

    /// One clause of all conditions; but if two look at the same argument, each is a clause of its own (as runc does:
    /// profiles of old list alternatives that way).
    fn add_clauses(&mut self, conditions: &[LinuxSeccompArg], action: u32) -> Result<()> {
        let mut looked_at = [false; 6];
        let mut alternatives = false;
        for condition in conditions {
            let Some(argument) = looked_at.get_mut(condition.index()) else {
                bail!("args index {} is not below 6", condition.index());
            };
            alternatives |= std::mem::replace(argument, true);
        }
        if alternatives {
            let each = conditions.iter().map(|c| Clause { conditions: vec![*c], action });
            self.clauses.extend(each);
        } else if !conditions.is_empty() {
            self.clauses.push(Clause { conditions: conditions.to_vec(), action });
        }
        Ok(())
    }

    /// One warning for all unknown names.
    pub fn warning(&self) -> Option<String> {
        let (told, count) = &self.unknown;
        let more = if *count > told.len() { format!(" and {} more", count - told.len()) } else { String::new() };
        (*count > 0).then(|| format!("seccomp: no architecture has the syscall {}{more}, ignored", told.join(", ")))
    }

    /// Whether a call is carried out whatever its arguments, or ends the process, which its exit status tells.
    pub fn lets_through(&self, name: &str) -> bool {
        let refuses = |action: u32| action & libc::SECCOMP_RET_ACTION_FULL == libc::SECCOMP_RET_ERRNO;
        let named = names::find(name).map(|call| self.of(call));
        match named.and_then(|named| named.always) {
            Some(action) => !refuses(action),
            None => {
                let mut clauses = named.iter().flat_map(|named| &named.clauses);
                !refuses(self.default) && !clauses.any(|index| refuses(self.clauses[*index as usize].action))
            }
        }
    }

    /// The rule of a call.
    pub fn of(&self, call: Call) -> &Named {
        &self.named[usize::from(call)]
    }
}

/// MAX_ERRNO of linux/err.h.
const MAX_ERRNO: u32 = 4095;

/// The SECCOMP_RET_* value of an action (seccomp(2)); EPERM unless the profile gives an errno. An errno for an action
/// that takes none is an error (config-linux.md, seccomp).
fn value(action: Action, errno: Option<u32>) -> Result<u32> {
    if let Some(errno) = errno {
        ensure!(matches!(action, Action::ScmpActErrno | Action::ScmpActTrace), "errnoRet: {action} takes none");
        ensure!(errno <= libc::SECCOMP_RET_DATA, "errnoRet {errno} does not fit in 16 bits");
        // The kernel takes the highest there is for anything above, and says nothing (seccomp(2)).
        let is_errno = action != Action::ScmpActErrno || errno <= MAX_ERRNO;
        ensure!(is_errno, "errnoRet {errno} is no error number: the highest is {MAX_ERRNO}");
    }
    Ok(action.as_u32(errno))
}
