//! Maps of user and group ids, and what they let the container touch.
use super::Findings;
use super::decided::{self, Decided};
use super::namespaces::{Kind, Namespaces};
use crate::host::{ExeOwner, Host, IdMap, Range};
use oci_spec::runtime::{LinuxIdMapping, Spec};

/// No id anywhere: to the calls that change ids it means "as before", which would be root.
const NO_ID: u32 = u32::MAX;

/// Maps of the new user namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ids {
    /// User ids, in the order given.
    pub uid: Vec<IdMap>,
    /// Group ids.
    pub gid: Vec<IdMap>,
    /// Whether setgroups(2) stays allowed. With a single group id the kernel demands that it is not: dropping a
    /// group could pass a `rwx---rwx` check.
    pub setgroups: bool,
    /// Who writes the maps.
    pub writer: Writer,
}

impl Ids {
    /// There is one id of each kind, the caller's: nobody can change to another, or has to.
    pub fn only_own(&self) -> bool {
        self.writer == Writer::Child
    }

    /// Whether root inside is another user of the host than `caller`: then directories that are the caller's alone are closed
    /// to it.
    pub(super) fn root_is_not(&self, caller: u32) -> bool {
        !self.only_own() && !self.uid.iter().any(|m| m.inside == 0 && m.outside == caller)
    }
}

/// Who writes the maps of a new user namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Writer {
    /// The child itself: one id, its own.
    Child,
    /// We, having the capabilities where we stand.
    Parent,
    /// The setuid programs newuidmap and newgidmap.
    Programs(std::path::PathBuf, std::path::PathBuf),
}

/// What ids look like from inside the container.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    uid: Option<&'a [IdMap]>,
    gid: Option<&'a [IdMap]>,
    setgroups: bool,
    /// The container's user namespace is the one we stand in: ids outside are those inside.
    same: bool,
}

impl<'a> View<'a> {
    pub(super) fn of(ids: Option<&'a Ids>, namespaces: &Namespaces, host: &'a Host) -> View<'a> {
        match ids {
            Some(ids) => View { uid: Some(&ids.uid), gid: Some(&ids.gid), setgroups: ids.setgroups, same: false },
            // The maps of a given namespace are its own affair; the kernel has the last word.
            None if namespaces.joins(Kind::User) => View { uid: None, gid: None, setgroups: true, same: false },
            None => View { uid: Some(&host.uid_map), gid: Some(&host.gid_map), setgroups: true, same: true },
        }
    }

    /// As `create` has decided it for a container that runs by now.
    pub(super) fn of_running(decided: &'a Decided) -> View<'a> {
        match &decided.ids {
            Some(ids) => {
                View { uid: Some(&ids.uid), gid: Some(&ids.gid), setgroups: ids.setgroups, same: decided.same() }
            }
            None => View { uid: None, gid: None, setgroups: true, same: false },
        }
    }

    /// The ids for the record; none of a given namespace.
    pub(super) fn ids(&self) -> Option<decided::Ids> {
        let (uid, gid) = self.uid.zip(self.gid)?;
        Some(decided::Ids { uid: uid.to_vec(), gid: gid.to_vec(), setgroups: self.setgroups })
    }

    /// Whether `uid` exists inside.
    pub fn has_uid(&self, uid: u32) -> bool {
        uid != NO_ID && self.uid.is_none_or(|map| covers_inside(map, uid))
    }

    /// Whether `gid` exists inside.
    pub fn has_gid(&self, gid: u32) -> bool {
        gid != NO_ID && self.gid.is_none_or(|map| covers_inside(map, gid))
    }

    /// Which user ids there are, for who has named another.
    pub(super) fn uids_to_name(&self) -> String {
        to_name("uid", self.uid)
    }

    /// The same for group ids.
    pub(super) fn gids_to_name(&self) -> String {
        to_name("gid", self.gid)
    }

    /// Whether setgroups(2) is allowed inside.
    pub fn setgroups(&self) -> bool {
        self.setgroups
    }

    /// The maps of the container's own user namespace, if it is a new one.
    pub(super) fn own_mappings(&self) -> Option<(Vec<IdMap>, Vec<IdMap>)> {
        let (uid, gid) = self.uid.zip(self.gid).filter(|_| !self.same)?;
        Some((uid.to_vec(), gid.to_vec()))
    }

    /// `map` with user ids of the container in place of ours; none where one of them does not exist inside.
    pub(super) fn uids_inside(&self, map: &[IdMap]) -> Option<Vec<IdMap>> {
        if self.same { Some(map.to_vec()) } else { inside(map, self.uid?) }
    }

    /// The same for group ids.
    pub(super) fn gids_inside(&self, map: &[IdMap]) -> Option<Vec<IdMap>> {
        if self.same { Some(map.to_vec()) } else { inside(map, self.gid?) }
    }

    /// Whether an id of the container could write to a file with this owner and mode, or change its mode.
    pub(super) fn may_write(&self, file: &ExeOwner) -> bool {
        // The owner is the one that we see, by the ids of the namespace that we stand in.
        let covers = if self.same { covers_inside } else { covers_outside };
        let mapped = |map: Option<&[IdMap]>, id: u32| map.is_none_or(|map| covers(map, id));
        // The owner of a file may always make it writable.
        let group = file.mode & 0o020 != 0 && mapped(self.gid, file.gid);
        mapped(self.uid, file.uid) || group || file.mode & 0o002 != 0
    }
}

/// `map` with each id `outside` replaced by what `namespace` shows it as; a run may need several.
fn inside(map: &[IdMap], namespace: &[IdMap]) -> Option<Vec<IdMap>> {
    let mut found = Vec::new();
    for m in map {
        let mut done = 0;
        while done < m.size {
            let id = m.outside.checked_add(done)?;
            let run = namespace.iter().find(|run| covers_outside(std::slice::from_ref(run), id))?;
            let skipped = id - run.outside;
            let size = (run.size - skipped).min(m.size - done);
            found.push(IdMap { inside: m.inside.checked_add(done)?, outside: run.inside + skipped, size });
            done += size;
        }
    }
    Some(found)
}

fn to_name(kind: &str, map: Option<&[IdMap]>) -> String {
    let range = |m: &IdMap| match m.size {
        1 => m.inside.to_string(),
        size => format!("{}-{}", m.inside, u64::from(m.inside) + u64::from(size) - 1),
    };
    let ranges: Vec<_> = map.unwrap_or_default().iter().map(range).collect();
    format!(
        "the {kind}s of the container are {}: name one of them, or map more in linux.{kind}Mappings",
        ranges.join(", ")
    )
}

fn covers_inside(map: &[IdMap], id: u32) -> bool {
    map.iter().any(|m| id >= m.inside && u64::from(id) < u64::from(m.inside) + u64::from(m.size))
}

fn covers_outside(map: &[IdMap], id: u32) -> bool {
    map.iter().any(|m| id >= m.outside && u64::from(id) < u64::from(m.outside) + u64::from(m.size))
}

pub(super) fn plan(spec: &Spec, host: &Host, namespaces: &Namespaces, findings: &mut Findings) -> Option<Ids> {
    let linux = spec.linux().as_ref();
    let uid = given(linux.and_then(|l| l.uid_mappings().as_ref()));
    let gid = given(linux.and_then(|l| l.gid_mappings().as_ref()));
    if namespaces.joins(Kind::User) || !namespaces.is_new(Kind::User) {
        return None;
    }
    if uid.is_empty() != gid.is_empty() {
        let (kind, own) = if uid.is_empty() { ("uid", host.uid) } else { ("gid", host.gid) };
        let problem = format!("rootless containers requires at least one {} mapping", kind.to_uppercase());
        let hint = format!(
            "add [{{\"containerID\": 0, \"hostID\": {own}, \"size\": 1}}], or leave out the mappings of the other kind too"
        );
        findings.mendable(&format!("linux.{kind}Mappings"), problem, hint);
        return None;
    }
    for (field, map) in [("linux.uidMappings", &uid), ("linux.gidMappings", &gid)] {
        if let Some((at, problem)) = impossible(map) {
            findings.problem(&format!("{field}[{at}]"), problem);
            return None;
        }
        if let Some(problem) = too_many(map) {
            let hint = "write ranges that follow each other inside and on the host as one";
            findings.mendable(field, problem, hint);
            return None;
        }
    }
    if host.uid == 0 && !host.rootless_namespace {
        findings.warn("running as real root: root of the container owns on the host what root owns".to_owned());
    }
    let (uid, gid) = if uid.is_empty() { default_maps(host) } else { (uid, gid) };
    let writer = writer(host, &uid, &gid);
    if writer != Writer::Parent {
        check_granted("uid", &uid, host.uid, &host.subuids, host, findings);
        check_granted("gid", &gid, host.gid, &host.subgids, host, findings);
    }
    let single = gid.len() == 1 && gid[0].size == 1;
    Some(Ids { setgroups: !single, writer, uid, gid })
}

pub(super) fn given(mappings: Option<&Vec<LinuxIdMapping>>) -> Vec<IdMap> {
    let convert = |m: &LinuxIdMapping| IdMap { inside: m.container_id(), outside: m.host_id(), size: m.size() };
    mappings.map_or_else(Vec::new, |list| list.iter().map(convert).collect())
}

/// What the kernel would answer with a bare EINVAL (user_namespaces(7)): ids that do not exist, or that mean two. The
/// number of the mapping, and what is wrong with it.
pub(super) fn impossible(map: &[IdMap]) -> Option<(usize, String)> {
    let end = |first: u32, m: &IdMap| u64::from(first) + u64::from(m.size);
    for (at, m) in map.iter().enumerate() {
        let IdMap { inside, outside, size } = m;
        if *size == 0 {
            return Some((at, "its size is 0: it maps nothing".to_owned()));
        }
        if end((*inside).max(*outside), m) > u64::from(u32::MAX) {
            let last = u32::MAX - 1;
            return Some((at, format!("{size} ids from {} on: there is none above {last}", inside.max(outside))));
        }
        let crosses = |a: u32, other: &IdMap, b: u32| u64::from(a) < end(b, other) && u64::from(b) < end(a, m);
        let before = &map[..at];
        let crossed = |o: &IdMap| crosses(*inside, o, o.inside) || crosses(*outside, o, o.outside);
        if let Some(other) = before.iter().position(crossed) {
            return Some((at, format!("has ids that [{other}] has too: an id is mapped once, inside and on the host")));
        }
    }
    None
}

/// What the kernel takes of a map: so many lines, and one write of less than a page (user_namespaces(7)).
fn too_many(map: &[IdMap]) -> Option<String> {
    const LINES: usize = 340;
    const PAGE: usize = 4096;
    let length: usize = map.iter().map(|m| format!("{} {} {}\n", m.inside, m.outside, m.size).len()).sum();
    (map.len() > LINES || length >= PAGE).then(|| {
        format!(
            "{} ranges, {length} bytes as text, are more than the kernel takes: {LINES}, and {PAGE} bytes",
            map.len()
        )
    })
}

/// Root of the container is the caller; then as much of the subordinate ranges as there is, from 1 on.
fn default_maps(host: &Host) -> (Vec<IdMap>, Vec<IdMap>) {
    let usable = host.map_helpers.is_some() && !host.subuids.is_empty() && !host.subgids.is_empty();
    let build = |own: u32, ranges: &[Range]| {
        let mut map = vec![IdMap { inside: 0, outside: own, size: 1 }];
        let mut next = 1u32;
        for range in ranges.iter().filter(|_| usable) {
            // Ranges past the last id there is cannot be shown inside.
            let Some(end) = next.checked_add(range.size) else { break };
            map.push(IdMap { inside: next, outside: range.start, size: range.size });
            next = end;
        }
        map
    };
    (build(host.uid, &host.subuids), build(host.gid, &host.subgids))
}

fn writer(host: &Host, uid: &[IdMap], gid: &[IdMap]) -> Writer {
    let own = |map: &[IdMap], id: u32| matches!(map, [m] if m.size == 1 && m.outside == id);
    if own(uid, host.uid) && own(gid, host.gid) {
        return Writer::Child;
    }
    match (&host.map_helpers, host.privileged) {
        (_, true) => Writer::Parent,
        (Some((uid, gid)), _) => Writer::Programs(uid.clone(), gid.clone()),
        (None, _) => Writer::Child,
    }
}

/// The first of the ids that useradd(8) gives out for containers. Those below it are of accounts of the host.
const FIRST_SUBORDINATE: u32 = 100_000;

/// Whether the user may map what is asked for: its own id, and what /etc/subuid or /etc/subgid grants.
fn check_granted(kind: &str, map: &[IdMap], own: u32, granted: &[Range], host: &Host, findings: &mut Findings) {
    for m in map {
        let end = u64::from(m.outside) + u64::from(m.size);
        let inside = |r: &Range| m.outside >= r.start && end <= u64::from(r.start) + u64::from(r.size);
        if (m.size == 1 && m.outside == own) || (host.map_helpers.is_some() && granted.iter().any(inside)) {
            continue;
        }
        let (first, last) = (m.outside, end.saturating_sub(1));
        let problem = format!("host {kind}s {first}-{last} are not yours to map");
        findings.problem(&format!("linux.{kind}Mappings"), problem);
        if host.map_helpers.is_none() {
            findings.hint("install newuidmap and newgidmap (package uidmap or shadow-utils)");
        }
        let ranges = granted.iter().map(|r| format!(", {}-{}", r.start, u64::from(r.start) + u64::from(r.size) - 1));
        let ranges: String = ranges.collect();
        findings.hint(format!(
            "as hostID of {kind}s you may name {own}{ranges} (your own, and what /etc/sub{kind} grants): leave the mappings \
             out to have all of these"
        ));
        // Never the advice to take over accounts of the host.
        if first >= FIRST_SUBORDINATE {
            findings.hint(format!("`sudo usermod --add-sub{kind}s {first}-{last} $USER` grants {first}-{last} too"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_that_cannot_be_are_told_apart() {
        let map = |runs: &[(u32, u32, u32)]| -> Vec<IdMap> {
            runs.iter().map(|&(inside, outside, size)| IdMap { inside, outside, size }).collect()
        };
        for (runs, expected) in [
            (&[(0, 1000, 0)][..], (0, "its size is 0")),
            (&[(0, u32::MAX, 1)], (0, "1 ids from 4294967295 on: there is none above 4294967294")),
            (&[(5, 0, u32::MAX)], (0, "4294967295 ids from 5 on")),
            (&[(0, 1000, 1), (0, 2000, 1)], (1, "has ids that [0] has too")),
            (&[(0, 1000, 10), (10, 1009, 1)], (1, "has ids that [0] has too")),
            (&[(0, 1000, 1), (1, 100_000, 65536), (65537, 5, u32::MAX - 65537)], (2, "has ids that [0] has too")),
        ] {
            let (at, problem) = impossible(&map(runs)).expect(expected.1);
            assert!(at == expected.0 && problem.contains(expected.1), "{runs:?}: {at}: {problem}");
        }
        assert_eq!(impossible(&map(&[(0, 1000, 1), (1, 100_000, 65536)])), None);
    }

    #[test]
    fn a_run_of_host_ids_may_be_several_inside() {
        let map = |inside, outside, size| IdMap { inside, outside, size };
        let namespace = [map(0, 1000, 1), map(1, 100_000, 10), map(50, 100_010, 10)];
        assert_eq!(inside(&[map(7, 1000, 1)], &namespace), Some(vec![map(7, 0, 1)]));
        let split = vec![map(20, 9, 2), map(22, 50, 3)];
        assert_eq!(inside(&[map(20, 100_008, 5)], &namespace), Some(split));
        assert_eq!(inside(&[map(0, 100_019, 2)], &namespace), None);
        assert_eq!(inside(&[map(0, 5, 1)], &namespace), None);
    }
    #[test]
    fn a_files_owner_is_looked_for_among_the_ids_that_we_see() {
        // podman's: what it calls 0 is the caller, and 65534 is whose id is not there.
        let map = |outside, size| IdMap { inside: u32::from(outside != 1000), outside, size };
        let map = [map(1000, 1), map(100_000, 65536)];
        let may_write = |same, uid, mode| {
            let view = View { uid: Some(&map), gid: Some(&map), setgroups: true, same };
            view.may_write(&ExeOwner { uid, gid: uid, mode })
        };
        assert!(may_write(true, 0, 0o755) && !may_write(true, 100_000, 0o755) && !may_write(true, u32::MAX, 0o775));
        assert!(!may_write(false, 0, 0o755) && may_write(false, 1000, 0o755) && may_write(false, 100_000, 0o555));
        assert!(may_write(false, 0, 0o757), "everybody may");
    }
}
