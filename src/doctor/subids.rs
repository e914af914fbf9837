//! Subordinate ids: the ranges of the user, the two programs that map them, and one map written by these.
use super::Finding;
use super::namespaces::unless_cloned;
use super::probe::{Failure, Probed, Step, beside, probe};
use super::settings::{Settings, read};
use crate::host::{Host, IdMap, Range, Wants};
use crate::plan::ids::{Ids, Writer};
use crate::spawn::idmap;
use nix::sched::CloneFlags;

/// What images expect: ids from 0 to 65535.
const USUAL: u32 = 65_536;
const WITHOUT: &str = "containers have one id only: programs that change to another user (apt, sshd, postgres) fail";
const PACKAGE: [&str; 5] = ["uidmap", "shadow-utils", "shadow", "shadow-uidmap", "shadow"];

/// A map with subordinate ids, for a process that only waits for it.
pub fn check(settings: &Settings) -> Finding {
    let range = || {
        let first = free_range(&[read("/etc/subuid"), read("/etc/subgid")]);
        let last = first + USUAL - 1;
        format!("sudo usermod --add-subuids {first}-{last} --add-subgids {first}-{last} {}", settings.user)
    };
    let failure = match probe(CloneFlags::empty(), map_some) {
        Ok(detail) => {
            let smallest = detail.split(' ').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
            if smallest < u64::from(USUAL) - 1 {
                return Finding::weaker(detail, "ids of an image beyond them do not exist in its container", range());
            }
            return Finding::ok(detail);
        }
        Err(failure) => failure,
    };
    unless_cloned(&failure, |line| {
        let fix = match failure.step.as_str() {
            "ranges" => range(),
            "helpers" => settings.install(PACKAGE),
            _ if settings.no_new_privs => {
                "no_new_privs is set here, under which a setuid program has no rights: start rrunc from a new login"
                    .into()
            }
            _ => "sudo chmod u+s \"$(command -v newuidmap)\" \"$(command -v newgidmap)\"".to_owned(),
        };
        Finding::missing(line, WITHOUT, fix)
    })
}

/// Runs in a child: getsubids and the helpers are programs of the host, which may hang.
fn map_some() -> Probed {
    let host = Host::probe(Wants { subids: true, ..Wants::default() }).step("look at the host")?;
    if host.privileged {
        return Ok(format!(
            "{} ids, all that are here: we may write any map",
            whole(&host.uid_map).min(whole(&host.gid_map))
        ));
    }
    let (newuidmap, newgidmap) = host
        .map_helpers
        .clone()
        .ok_or_else(|| Failure::plain("helpers", "newuidmap and newgidmap are not installed"))?;
    let first = |ranges: &[Range], file: &str| {
        ranges.first().copied().ok_or_else(|| Failure::plain("ranges", format!("{file} grants you no ids")))
    };
    let (uids, gids) = (first(&host.subuids, "/etc/subuid")?, first(&host.subgids, "/etc/subgid")?);
    let map = |own: u32, range: Range| {
        let own = IdMap { inside: 0, outside: own, size: 1 };
        vec![own, IdMap { inside: 1, outside: range.start, size: range.size }]
    };
    let writer = Writer::Programs(newuidmap, newgidmap);
    let ids = Ids { uid: map(host.uid, uids), gid: map(host.gid, gids), setgroups: true, writer };
    beside(CloneFlags::CLONE_NEWUSER, |pid| {
        idmap::write(pid, &ids).step("map")?;
        Ok(String::new())
    })?;
    let sum = |ranges: &[Range]| ranges.iter().map(|range| u64::from(range.size)).sum::<u64>();
    Ok(format!("{} ids, mapped by newuidmap and newgidmap", sum(&host.subuids).min(sum(&host.subgids))))
}

fn whole(map: &[IdMap]) -> u64 {
    map.iter().map(|run| u64::from(run.size)).sum()
}

/// The first id behind all that are granted to anybody.
fn free_range(files: &[String]) -> u32 {
    let end = |line: &str| {
        let mut fields = line.trim().split(':').skip(1).map(str::parse::<u32>);
        fields.next()?.ok()?.checked_add(fields.next()?.ok()?)
    };
    files.iter().flat_map(|text| text.lines()).filter_map(end).max().unwrap_or(0).max(100_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_range_lies_behind_all_others() {
        assert_eq!(free_range(&[]), 100_000);
        assert_eq!(free_range(&["ann:100000:65536\n".into(), "bob:165536:65536\nx:y\n".into()]), 231_072);
    }
}
