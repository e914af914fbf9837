//! What `create` decides of a container's ids and namespaces, to be gone by as long as it lives.
//!
//! It is kept in state.json, as a text: other verbs read many of those files and need nothing of it. A process inside may enter other namespaces later, with maps of its own making: whoever asked
//! the first process what its container is would be told what suits that process (whether our binary has to be hidden from
//! it, say, CVE-2019-5736).
use super::findings::Findings;
use super::ids::{self, View};
use super::namespaces::{self, Kind, Namespaces};
use crate::host::{Host, IdMap};
use anyhow::{Context, Result};
use oci_spec::runtime::Spec;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Ids of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ids {
    /// User ids, as in uid_map.
    pub uid: Vec<IdMap>,
    /// Group ids, as in gid_map.
    pub gid: Vec<IdMap>,
    /// Whether setgroups is allowed in it.
    pub setgroups: bool,
}

impl Ids {
    /// Whether `uid` and `gid` of the host are all that there is.
    pub(super) fn are_only(&self, uid: u32, gid: u32) -> bool {
        [(&self.uid, uid), (&self.gid, gid)]
            .iter()
            .all(|(map, id)| matches!(map.as_slice(), [one] if one.size == 1 && one.outside == *id))
    }
}

/// Inode numbers of namespaces, which tell one from another as long as both live: all of them are on one device, the
/// kernel's nsfs (namespaces(7), "The /proc/pid/ns/ directory").
pub type Inodes = BTreeMap<Kind, u64>;

/// What is kept. Its text is `made-in=4026531837 user=… pid=… mnt=… uid=0:1000:1 gid=0:1000:1 setgroups=deny`, without the last
/// three for a given user namespace; several runs of ids have a comma between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// The ids inside, each with what it is in the namespace `made_in`; none where the user namespace is a given one, whose
    /// ids are its own affair.
    pub ids: Option<Ids>,
    /// The user namespace that `create` was called in.
    pub made_in: u64,
    /// Those of the container, as they were before anything of it ran: user and process ids, all that are joined, and mounts
    /// where they are not made together with the user namespace, by which its members are known then.
    pub namespaces: Inodes,
}

impl Decided {
    /// Whether somebody who stands in the user namespace `here` sees other ids than `create` did.
    pub(super) fn elsewhere(&self, here: u64) -> bool {
        self.made_in != here
    }

    /// Whether the container has no user namespace of its own but is in the one that `create` was called in.
    pub fn same(&self) -> bool {
        self.namespaces.get(&Kind::User) == Some(&self.made_in)
    }

    /// Whether one of its ids could write to our binary, for `host` as it is seen from the user namespace `here`. Where
    /// that cannot be told, it could.
    pub(super) fn may_write_exe(&self, here: u64, host: &Host) -> bool {
        self.elsewhere(here) || View::of_running(self).may_write(&host.exe)
    }
}

/// Inode numbers as a text, `user=4026532180 pid=…`.
pub fn text_of(inodes: &Inodes) -> String {
    inodes.iter().map(|(kind, inode)| format!("{}={inode}", kind.file())).collect::<Vec<_>>().join(" ")
}

/// Those in a text that `text_of` has made; what else is in it is left out.
///
/// # Errors
/// One is no number, or none at all.
pub fn inodes_in(text: &str) -> Result<Inodes> {
    let words = text.split(' ').filter_map(|word| word.split_once('='));
    let named = words
        .filter_map(|(name, value)| Some((namespaces::KINDS.into_iter().find(|kind| kind.file() == name)?, value)));
    let number = |(kind, value): (Kind, &str)| {
        let inode = value.parse().ok().filter(|inode| *inode > 0);
        Ok((kind, inode.with_context(|| format!("its {} namespace has no number", kind.name()))?))
    };
    named.map(number).collect()
}

impl fmt::Display for Decided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "made-in={} {}", self.made_in, text_of(&self.namespaces))?;
        let Some(Ids { uid, gid, setgroups }) = &self.ids else { return Ok(()) };
        let runs = |map: &[IdMap]| {
            let run = |m: &IdMap| format!("{}:{}:{}", m.inside, m.outside, m.size);
            map.iter().map(run).collect::<Vec<_>>().join(",")
        };
        write!(f, " uid={} gid={} setgroups={}", runs(uid), runs(gid), if *setgroups { "allow" } else { "deny" })
    }
}

impl FromStr for Decided {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Decided> {
        let value = |name: &str| text.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        let ids = || -> Option<Ids> {
            let setgroups = value("setgroups")? == "allow";
            Some(Ids { uid: runs_in(value("uid")?)?, gid: runs_in(value("gid")?)?, setgroups })
        };
        let ids = match value("uid") {
            Some(_) => Some(ids().context("its ids are damaged")?),
            None => None,
        };
        let made_in = value("made-in").and_then(|inode| inode.parse().ok()).context("it was made nowhere")?;
        let namespaces = inodes_in(text)?;
        namespaces.get(&Kind::User).context("it has no user namespace")?;
        Ok(Decided { ids, made_in, namespaces })
    }
}

fn runs_in(text: &str) -> Option<Vec<IdMap>> {
    let run = |run: &str| {
        let numbers: Option<Vec<u32>> = run.split(':').map(|number| number.parse().ok()).collect();
        let [inside, outside, size] = numbers?.try_into().ok()?;
        Some(IdMap { inside, outside, size })
    };
    text.split(',').map(run).collect()
}

/// The kinds whose namespaces are kept.
pub fn kept(of: &Namespaces) -> impl Iterator<Item = Kind> {
    namespaces::KINDS.into_iter().filter(|kind| match kind {
        Kind::User | Kind::Pid => true,
        Kind::Mount => !(of.is_new(Kind::Mount) && of.is_new(Kind::User)),
        other => of.joins(*other),
    })
}

/// The ids that a container of `spec` has got from an rrunc that kept no record of them.
pub fn ids_of(spec: &Spec, host: &Host) -> Option<Ids> {
    // It has been made, so nothing is wrong with it.
    let mut findings = Findings::default();
    let namespaces = namespaces::plan(spec, host, &mut findings);
    let own = ids::plan(spec, host, &namespaces, &mut findings);
    View::of(own.as_ref(), &namespaces, host).ids()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::ExeOwner;
    use crate::plan::tests::host;

    fn decided(user: u64, inside: u32) -> Decided {
        let map = vec![IdMap { inside, outside: 1000, size: 1 }];
        let ids = Ids { uid: map.clone(), gid: map, setgroups: false };
        Decided { ids: Some(ids), made_in: 1, namespaces: [(Kind::User, user)].into() }
    }

    #[test]
    fn the_binary_is_hidden_from_all_who_could_own_it() {
        let host = |uid| Host { exe: ExeOwner { uid, gid: uid, mode: 0o755 }, ..host() };
        assert!(decided(2, 0).may_write_exe(1, &host(1000)), "a namespace of its own");
        assert!(!decided(2, 0).may_write_exe(1, &host(0)));
        // podman's: the container is in the caller's own, whose ids are those inside.
        assert!(decided(1, 0).may_write_exe(1, &host(0)));
        assert!(!decided(1, 0).may_write_exe(1, &host(1000)));
        assert!(decided(2, 0).may_write_exe(7, &host(0)), "from elsewhere the numbers mean others");
        let given = Decided { ids: None, ..decided(2, 0) };
        assert!(given.may_write_exe(1, &host(0)), "a given namespace may have any");
    }

    #[test]
    fn only_one_id_of_each_kind_that_is_the_callers_is_the_only_one() {
        let map = |outside, size| vec![IdMap { inside: 0, outside, size }];
        let are_only = |uid, gid| Ids { uid, gid, setgroups: false }.are_only(1000, 100);
        assert!(are_only(map(1000, 1), map(100, 1)));
        assert!(!are_only(map(1000, 1), map(101, 1)));
        assert!(!are_only(map(1000, 2), map(100, 1)));
        assert!(!are_only([map(1000, 1), map(100_000, 1)].concat(), map(100, 1)));
        assert!(!are_only(Vec::new(), Vec::new()));
    }

    #[test]
    fn it_is_the_same_after_it_was_a_text() {
        let map =
            |runs: &[[u32; 3]]| runs.iter().map(|&[inside, outside, size]| IdMap { inside, outside, size }).collect();
        let namespaces: Inodes = [(Kind::User, 2), (Kind::Pid, 3), (Kind::Network, 4), (Kind::Mount, u64::MAX)].into();
        let uid: Vec<IdMap> = map(&[[0, 1000, 1], [1, 100_000, 65536]]);
        let ids = Ids { uid: uid.clone(), gid: map(&[[0, 0, u32::MAX]]), setgroups: true };
        for kept in [
            Decided { ids: Some(ids), made_in: 1, namespaces: namespaces.clone() },
            Decided { ids: None, made_in: 1, namespaces },
            decided(2, 0),
        ] {
            assert_eq!(kept.to_string().parse::<Decided>().unwrap(), kept, "{kept}");
        }
        let text = decided(2, 0).to_string();
        assert_eq!(text, "made-in=1 user=2 uid=0:1000:1 gid=0:1000:1 setgroups=deny");
        for (good, bad) in [
            ("made-in=1", "made=1"),
            ("user=2", "user=0"),
            ("user=2", "user=-2"),
            ("user=2", "pid=2"),
            ("uid=0:1000:1", "uid="),
            ("uid=0:1000:1", "uid=0:1000"),
            ("gid=0:1000:1", "gid=0:1000:4294967296"),
            (" setgroups=deny", ""),
        ] {
            assert!(text.replacen(good, bad, 1).parse::<Decided>().is_err(), "{bad}");
        }
    }
}
