//! What came of a sandbox: a short block for people, JSON for machines.
use super::Choice;
use super::later::{Change, What};
use super::policy::Decided;
use super::promises::{PROMISES, Weakened};
use crate::covers::{self, Fallen};
use crate::printable::printable;
use crate::quantity::show_size;
use crate::supervise::Ended;
use crate::watchdog::Excess;
use anyhow::{Context, Result};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

/// No more than this many paths are shown to people, but one of each kind; the others are counted.
const MOST: usize = 50;

/// What one is told whose program has failed after it has looked up a name.
const NO_NAMES: &str = "rrunc: names cannot be looked up without a network: --network host, or --network pasta to keep the host itself out\n";

/// What is told.
#[derive(Debug)]
pub struct Report {
    status: u8,
    signal: Option<i32>,
    excess: Option<Excess>,
    wall: Duration,
    user: Duration,
    system: Duration,
    /// Bytes, and whether of all processes together.
    peak: (u64, bool),
    limits: Vec<(&'static str, Decided<u64>, &'static str)>,
    weakened: Vec<Weakened>,
    names_asked: u64,
    oom_kills: u64,
    /// What was hidden or protected and came off, as it was replaced on the host.
    fallen: Vec<Fallen>,
    /// What runs later on the host and is not as it was before.
    changes: Vec<Change>,
    /// Why that is not all.
    not_seen: Option<String>,
}

impl Report {
    /// Gathers it. `later` is what has changed of what runs later on the host, and why that is not all.
    pub fn of(
        choice: &Choice,
        ended: &Ended,
        status: u8,
        wall: Duration,
        weakened: Vec<Weakened>,
        later: (Vec<Change>, Option<String>),
    ) -> Result<Report> {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("getrusage")?;
        let time = |time: nix::sys::time::TimeVal| {
            Duration::new(time.tv_sec().unsigned_abs(), (time.tv_usec().unsigned_abs() as u32) * 1000)
        };
        let largest = usage.max_rss().unsigned_abs() * 1024;
        // What was seen of all between two looks may be less than what one alone had.
        let peak = if ended.peak > largest { (ended.peak, true) } else { (largest, false) };
        let bounds = &choice.policy.bounds;
        let all = [
            ("memory", &bounds.memory, choice.tier.name()),
            ("cpus", &bounds.cpus, choice.tier.name()),
            ("processes", &bounds.processes, if choice.tier.is_cgroup() { choice.tier.name() } else { "RLIMIT_NPROC" }),
            ("time", &bounds.time, "rrunc's clock"),
            ("tmpfs", &bounds.tmpfs, "size of each tmpfs"),
            ("file-size", &bounds.file_size, "RLIMIT_FSIZE"),
            ("open-files", &bounds.open_files, "RLIMIT_NOFILE"),
        ];
        let limits = all.into_iter().filter_map(|(name, bound, tier)| Some((name, bound.clone()?, tier))).collect();
        let (user, system) = (time(usage.user_time()), time(usage.system_time()));
        let &Ended { signal, excess, names_asked, oom_kills, .. } = ended;
        let fallen = ended.fallen.clone();
        Ok(Report {
            status,
            signal,
            excess,
            wall,
            user,
            system,
            peak,
            limits,
            weakened,
            names_asked,
            oom_kills,
            fallen,
            changes: later.0,
            not_seen: later.1,
        })
    }

    /// The block for the terminal.
    pub fn text(&self) -> String {
        let mut text = match self.signal() {
            Some(signal) if self.excess.is_none() => format!("rrunc: killed by {signal}"),
            _ => format!("rrunc: exit {}", self.status),
        };
        write!(text, " after {}", seconds(self.wall)).expect("a String takes all");
        let of = if self.peak.1 { "all processes" } else { "the largest process" };
        writeln!(text, ", {} at the peak ({of})", show_size(self.peak.0)).expect("a String takes all");
        if let Some(name) = self.excess() {
            let limit = self.limits.iter().find(|(limit, ..)| *limit == name);
            if let Some((_, bound, tier)) = limit {
                let value =
                    if name == "time" { seconds(Duration::from_millis(bound.value)) } else { show_size(bound.value) };
                writeln!(text, "rrunc: ended at its limit of {name}, {value} ({}; {tier})", printable(&bound.from))
                    .expect("a String takes all");
            }
        }
        if self.status != 0 && self.names_asked > 0 {
            text.push_str(NO_NAMES);
        }
        for fallen in &self.fallen {
            writeln!(text, "rrunc: {}", covers::told(fallen)).expect("a String takes all");
        }
        self.text_of_changes(&mut text);
        if let Some(why) = &self.not_seen {
            writeln!(text, "rrunc: not all is known of what runs later on your host: {}", printable(why))
                .expect("a String takes all");
        }
        for Weakened { name, why } in self.weakened.iter().filter(|weak| weak.name != "limits") {
            writeln!(text, "rrunc: weaker than promised: {name}: {}", printable(why)).expect("a String takes all");
        }
        text
    }

    /// Lines of what runs later: the first of each kind, so that none is missed among many of another; then as many as are read.
    fn text_of_changes(&self, text: &mut String) {
        let mut kinds: BTreeMap<(What, &str), Vec<&Change>> = BTreeMap::new();
        for change in &self.changes {
            kinds.entry((change.what, &change.kind)).or_default().push(change);
        }
        // What lies at the top is what tools find first.
        kinds.values_mut().for_each(|all| all.sort_by_key(|change| change.path.components().count()));
        let mut line = |change: &Change| {
            let path = printable(&change.path.to_string_lossy());
            let since = change.since.as_ref().map_or_else(String::new, |began| {
                format!(" since {}, when a sandbox began whose report was not seen,", printable(began))
            });
            let what = match change.what {
                What::New => format!("new{since}, and runs later on your host"),
                What::Changed => format!("changed{since}, and runs later on your host"),
                What::Gone => format!("gone{since}, and ran later on your host"),
            };
            writeln!(text, "rrunc: {}: {path}", what.replace(",,", ",")).expect("a String takes all");
        };
        kinds.values().for_each(|all| line(all[0]));
        let mut rest = MOST.saturating_sub(kinds.len());
        let mut more = Vec::new();
        for ((what, kind), all) in &kinds {
            let shown = rest.min(all.len() - 1);
            all[1..=shown].iter().for_each(|change| line(change));
            rest -= shown;
            more.push((what, kind, all.len() - 1 - shown));
        }
        for (what, kind, count) in more.into_iter().filter(|(.., count)| *count > 0) {
            writeln!(text, "rrunc: and {count} more {} by {}", what.word(), printable(kind))
                .expect("a String takes all");
        }
    }

    /// Whether nothing is to be told of what runs later on the host.
    pub fn has_no_news(&self) -> bool {
        self.changes.is_empty() && self.not_seen.is_none()
    }

    /// The document of `--report`, version 1.
    pub fn json(&self) -> Value {
        let limits: Vec<Value> = self
            .limits
            .iter()
            .map(|(name, bound, tier)| {
                // The kernel tells the program of the others, and nobody else.
                let hit = match *name {
                    "memory" if self.oom_kills > 0 => json!(true),
                    "memory" | "time" => json!(self.excess() == Some(name)),
                    _ => json!("not observable"),
                };
                json!({"name": name, "value": bound.value, "from": bound.from, "tier": tier, "hit": hit})
            })
            .collect();
        let promises: Vec<Value> = PROMISES
            .iter()
            .map(|(name, _)| {
                let weak = self.weakened.iter().find(|weak| weak.name == *name);
                json!({"name": name, "kept": weak.is_none(), "why": weak.map(|weak| &weak.why)})
            })
            .collect();
        let shown = |change: &Change| change.path.to_string_lossy().into_owned();
        let listed: Vec<_> = self.changes.iter().filter(|c| c.what != What::Gone).map(shown).collect();
        let uncovered: Vec<Value> = self
            .fallen
            .iter()
            .map(|f| json!({"path": f.place, "hidden": f.hidden, "again": f.again, "ended": f.ended}))
            .collect();
        let changes: Vec<Value> = self
            .changes
            .iter()
            .map(|c| json!({"path": shown(c), "change": c.what.word(), "pattern": c.kind, "since": c.since}))
            .collect();
        json!({
            "version": 1,
            "exitStatus": self.status,
            "signal": self.signal(),
            "endedBy": self.excess().unwrap_or("program"),
            "seconds": {
                "wall": self.wall.as_secs_f64(), "user": self.user.as_secs_f64(), "system": self.system.as_secs_f64()
            },
            "peakMemory": {"bytes": self.peak.0, "of": if self.peak.1 { "all" } else { "largest process" }},
            "limits": limits,
            "promises": promises,
            "namesNotLookedUp": self.names_asked,
            "uncovered": uncovered,
            "runsLater": listed,
            "runsLaterChanges": changes,
            "runsLaterNotListed": 0,
            "runsLaterNotSeen": self.not_seen,
        })
    }

    /// The name of the signal that has killed the program; of one in real time the number.
    fn signal(&self) -> Option<String> {
        let signal = self.signal?;
        Some(Signal::try_from(signal).map_or_else(|_| signal.to_string(), |signal| signal.to_string()))
    }

    fn excess(&self) -> Option<&'static str> {
        self.excess.map(|excess| match excess {
            Excess::Time => "time",
            Excess::Memory => "memory",
        })
    }
}

fn seconds(time: Duration) -> String {
    match time.as_secs() {
        0..60 => format!("{:.2} s", time.as_secs_f64()),
        all => format!("{} min {} s", all / 60, all % 60),
    }
}
