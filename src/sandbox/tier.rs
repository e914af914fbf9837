//! Who keeps the limits of a sandbox: a cgroup where one is to be had, else rrunc itself and the rlimits of its processes.
use super::bounds::Bounds;
use crate::cgroup::place::{Place, Tree, Wanted, choose};
use crate::error::with_hint;
use crate::systemd;
use anyhow::{Result, anyhow, bail};
use oci_spec::runtime::LinuxResources;
use serde_json::json;

/// Profiles whose limits are for everybody: a scope of systemd, which costs milliseconds, is not asked for on their account.
const EVERYBODYS: [&str; 2] = ["base", "dev"];
/// Microseconds: the period in which processor time is measured out.
const PERIOD: u64 = 100_000;

/// Who it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tier {
    /// A cgroup in a tree that is delegated to the caller.
    Cgroup,
    /// A cgroup that the caller's systemd makes.
    Scope,
    /// rrunc's watchdog and rlimits.
    #[default]
    Rrunc,
}

impl Tier {
    /// The best there is for `bounds`.
    ///
    /// # Errors
    /// A share of the processors without a cgroup: nothing else limits that.
    pub fn of(bounds: &Bounds) -> Result<Tier> {
        Tier::chosen(bounds, Tree::find().as_ref(), systemd::look)
    }

    fn chosen(bounds: &Bounds, tree: Option<&Tree>, systemd: impl Fn() -> Result<()>) -> Result<Tier> {
        let needed = [("memory", &bounds.memory), ("pids", &bounds.processes), ("cpu", &bounds.cpus)];
        let asked = needed.into_iter().filter_map(|(name, bound)| Some((name, bound.as_ref()?)));
        let (controllers, froms): (Vec<_>, Vec<_>) = asked.map(|(name, bound)| (name, bound.from.as_str())).unzip();
        if controllers.is_empty() {
            return Ok(Tier::Rrunc);
        }
        let worth_a_scope = froms.iter().any(|from| !EVERYBODYS.contains(from));
        let wanted = Wanted { id: "sandbox", path: None, controllers, systemd: false };
        let systemd = || if worth_a_scope { systemd() } else { bail!("the limits are those of everybody") };
        match (choose(tree, &wanted, systemd)?, &bounds.cpus) {
            (Place::Directory { .. }, _) => Ok(Tier::Cgroup),
            (Place::Scope(_), _) => Ok(Tier::Scope),
            (Place::Callers { .. }, None) => Ok(Tier::Rrunc),
            (Place::Callers { why, hint }, Some(cpus)) => {
                let error = anyhow!("limits: cpus ({}): only a cgroup limits the processors' time: {why}", cpus.from);
                Err(with_hint(error, format!("leave it out, or {hint}")))
            }
        }
    }

    /// Whether a cgroup does it.
    pub fn is_cgroup(self) -> bool {
        self != Tier::Rrunc
    }

    /// In the report.
    pub fn name(self) -> &'static str {
        match self {
            Tier::Cgroup => "cgroup",
            Tier::Scope => "cgroup of a systemd scope",
            Tier::Rrunc => "watched by rrunc",
        }
    }

    /// `linux.resources` for `bounds`; none where rrunc itself does it.
    pub fn resources(self, bounds: &Bounds) -> Option<LinuxResources> {
        if !self.is_cgroup() {
            return None;
        }
        let mut all = json!({});
        if let Some(memory) = &bounds.memory {
            // No swap beside, and all ends with the process that takes too much: what is left would be of no use.
            let limit = number(memory.value);
            all["memory"] = json!({"limit": limit, "swap": limit});
            all["unified"] = json!({"memory.oom.group": "1"});
        }
        if let Some(processes) = &bounds.processes {
            // The reaper counts as one.
            all["pids"] = json!({"limit": number(processes.value.saturating_add(1))});
        }
        if let Some(cpus) = &bounds.cpus {
            all["cpu"] = json!({"quota": number(cpus.value.saturating_mul(PERIOD / 1000)), "period": PERIOD});
        }
        // Of our own making: it is what OCI has.
        serde_json::from_value(all).ok()
    }
}

/// As OCI has it. What is beyond that is no limit any more, but the others beside it are.
fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::policy::Decided;
    use super::*;
    use crate::plan::resources::settings;

    fn bounds(memory: Option<&str>, cpus: Option<&str>) -> Bounds {
        let decided = |value, from: &str| Decided { value, from: from.to_owned() };
        Bounds {
            memory: memory.map(|from| decided(1 << 20, from)),
            cpus: cpus.map(|from| decided(1500, from)),
            ..Bounds::default()
        }
    }

    #[test]
    fn systemd_is_asked_for_limits_of_somebodys_own_only() {
        let found = |bus: bool| if bus { Ok(()) } else { bail!("no systemd") };
        let tier = |bounds: &Bounds, bus: bool| Tier::chosen(bounds, None, || found(bus)).unwrap();
        assert_eq!(tier(&bounds(Some("base"), None), true), Tier::Rrunc);
        assert_eq!(tier(&bounds(Some("untrusted"), None), true), Tier::Scope);
        assert_eq!(tier(&bounds(Some("untrusted"), None), false), Tier::Rrunc);
        assert_eq!(tier(&bounds(Some("base"), Some("command line")), true), Tier::Scope);
        assert_eq!(tier(&bounds(None, None), true), Tier::Rrunc);
        let refused = Tier::chosen(&bounds(None, Some("command line")), None, || found(false)).unwrap_err().to_string();
        assert!(refused.contains("cpus (command line): only a cgroup"), "{refused}");
    }

    #[test]
    fn a_cgroup_gets_the_limits_and_rrunc_keeps_its_own() {
        let bounds = bounds(Some("base"), Some("mine"));
        let written: Vec<_> = settings(&Tier::Scope.resources(&bounds).unwrap())
            .into_iter()
            .map(|setting| format!("{} {}", setting.file, setting.value))
            .collect();
        let expected = ["memory.swap.max 0", "memory.max 1048576", "cpu.max 150000 100000", "memory.oom.group 1"];
        assert_eq!(written, expected);
        assert_eq!(Tier::Rrunc.resources(&bounds), None);
    }

    #[test]
    fn a_limit_beyond_all_measure_takes_no_other_with_it() {
        let huge = |from: &str| Some(Decided { value: u64::MAX, from: from.to_owned() });
        let bounds = Bounds { memory: huge("mine"), cpus: huge("mine"), processes: huge("mine"), ..Bounds::default() };
        let written = settings(&Tier::Cgroup.resources(&bounds).unwrap());
        let value = |file: &str| written.iter().find(|setting| setting.file == file).unwrap().value.clone();
        let most = i64::MAX.to_string();
        assert_eq!((value("memory.max"), value("pids.max")), (most.clone(), most.clone()));
        assert_eq!(value("cpu.max"), format!("{most} 100000"));
    }
}
