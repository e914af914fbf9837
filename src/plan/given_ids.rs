//! The ids that a user namespace which is joined has to have, where the configuration describes them.
use super::ids::given;
use super::namespaces::{Kind, Namespaces};
use crate::error::with_hint;
use crate::host::IdMap;
use anyhow::{Result, anyhow};
use oci_spec::runtime::Spec;

/// What the configuration says: clients that have made a namespace for a pod give both, its path and its maps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    uid: Vec<IdMap>,
    gid: Vec<IdMap>,
}

pub(super) fn expected(spec: &Spec, namespaces: &Namespaces) -> Option<Expected> {
    let linux = spec.linux().as_ref().filter(|_| namespaces.joins(Kind::User))?;
    let (uid, gid) = (given(linux.uid_mappings().as_ref()), given(linux.gid_mappings().as_ref()));
    (!uid.is_empty() || !gid.is_empty()).then_some(Expected { uid, gid })
}

impl Expected {
    /// Compares with what the namespace has. A run of ids may be written as several.
    ///
    /// # Errors
    /// The first of the two that is another, in runc's words.
    pub fn check(&self, uid: &[IdMap], gid: &[IdMap]) -> Result<()> {
        for (kind, ours, theirs) in [("uid", &self.uid, uid), ("gid", &self.gid, gid)] {
            let theirs = joined(theirs);
            ensure_same(kind, &joined(ours), &theirs)?;
        }
        Ok(())
    }
}

fn ensure_same(kind: &str, ours: &[IdMap], theirs: &[IdMap]) -> Result<()> {
    if ours == theirs {
        return Ok(());
    }
    let problem = anyhow!(
        "linux.{kind}Mappings: user namespaces enabled, but both namespace path and non-matching mapping specified -- you may \
         only provide one"
    );
    let run = |m: &IdMap| format!("{} for {} of the host, {} of them", m.inside, m.outside, m.size);
    let has = theirs.iter().map(run).collect::<Vec<_>>().join("; ");
    Err(with_hint(
        problem,
        format!(
            "remove linux.uidMappings and linux.gidMappings: the namespace that is joined has its own, {kind} {has}"
        ),
    ))
}

/// `map` in order, with neighbours joined.
fn joined(map: &[IdMap]) -> Vec<IdMap> {
    let mut sorted = map.to_vec();
    sorted.sort_by_key(|m| m.inside);
    let mut found: Vec<IdMap> = Vec::with_capacity(sorted.len());
    for m in sorted {
        let follows = |last: &IdMap| {
            let [inside, outside] = [last.inside, last.outside].map(|first| first.checked_add(last.size));
            inside == Some(m.inside) && outside == Some(m.outside)
        };
        match found.last_mut().filter(|last| follows(last)) {
            Some(last) => last.size = last.size.saturating_add(m.size),
            None => found.push(m),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ids_of_a_joined_namespace_are_those_that_are_named_or_it_is_refused() {
        let map = |inside, outside, size| IdMap { inside, outside, size };
        let whole = [map(0, 1000, 1), map(1, 100_000, 10)];
        let expected = |uid: &[IdMap], gid: &[IdMap]| Expected { uid: uid.to_vec(), gid: gid.to_vec() };
        let split = [map(6, 100_005, 5), map(1, 100_000, 5), map(0, 1000, 1)];
        for same in [&whole[..], &split] {
            expected(same, &whole).check(&whole, &whole).unwrap();
            expected(&whole, &whole).check(same, &whole).unwrap();
        }
        let less = [map(0, 1000, 1), map(1, 100_000, 9)];
        let moved = [map(0, 1000, 1), map(1, 100_001, 10)];
        for other in [&less[..], &moved, &whole[..1], &[]] {
            expected(other, &whole).check(&whole, &whole).unwrap_err();
            let error = expected(&whole, other).check(&whole, &whole).unwrap_err();
            assert!(error.to_string().starts_with("linux.gidMappings: user namespaces enabled"), "{error}");
        }
    }
}
