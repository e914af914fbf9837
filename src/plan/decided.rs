//! What `create` decides of a container's ids and namespaces, to be gone by as long as it lives.
//!
//! It is kept in state.json. A process inside may enter other namespaces later, with maps of its own making: whoever asked
//! the first process what its container is would be told what suits that process (whether our binary has to be hidden from
//! it, say, CVE-2019-5736).
use super::findings::Findings;
use super::ids::{self, View};
use super::namespaces::{self, Kind};
use crate::host::{Host, IdMap};
use oci_spec::runtime::Spec;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Ids of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// What is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// The ids inside, each with what it is in the namespace `made_in`; none where the user namespace is a given one, whose
    /// ids are its own affair.
    pub ids: Option<Ids>,
    /// The user namespace that `create` was called in.
    pub made_in: u64,
    /// Those of the container, as they were before anything of it ran: user, process ids and mounts, and all that are joined.
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

/// The kinds whose namespaces are kept, for a container that joins `joined`.
pub fn kept(joined: impl Fn(Kind) -> bool) -> impl Iterator<Item = Kind> {
    let always = |kind: &Kind| matches!(kind, Kind::User | Kind::Pid | Kind::Mount);
    namespaces::KINDS.into_iter().filter(move |kind| always(kind) || joined(*kind))
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
    fn it_is_the_same_after_json() {
        let kept = decided(2, 0);
        let text = serde_json::to_string(&kept).unwrap();
        assert_eq!(serde_json::from_str::<Decided>(&text).unwrap(), kept);
        assert!(text.contains(r#""uid":[[0,1000,1]]"#) && text.contains(r#""namespaces":{"user":2}"#), "{text}");
    }
}
