//! What a seed comes to: a set-up and a list of steps. Pure, so that the seed is all that has to be written down. Steps are
//! words in capitals filled in from lists, so that another verb or deed is another line here.
use crate::bait::GRACE;
use crate::random::Random;
use std::fmt;

/// Where rrunc runs, and as what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// A container whose only id is the caller's.
    Single,
    /// A container with a range of ids, of which root may take any.
    Range,
    /// rrunc is root of the caller's user namespace, as podman calls it, and mounts on the host are shared.
    Nested,
    /// Sandboxes of one project.
    Sandbox,
    /// The same on a host whose mounts are shared, as systemd has it.
    SharedSandbox,
}

use Setting::{Nested, Range, Sandbox, SharedSandbox, Single};

impl Setting {
    /// Whether it is about `rrunc sandbox`.
    pub fn is_sandbox(self) -> bool {
        matches!(self, Sandbox | SharedSandbox)
    }

    /// Whether the host's side can mount something.
    pub fn mounts(self) -> bool {
        matches!(self, Nested | SharedSandbox)
    }
}

/// What else the configuration of the containers says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variant {
    /// The process has capabilities in its user namespace with which mounts are made and processes traced.
    pub capable: bool,
    /// The process is user 5, where there is one.
    pub user: bool,
    /// The container's cgroup is writable in it.
    pub cgroup: bool,
    /// The second container joins the first one's pid namespace.
    pub joined: bool,
}

/// One step, of the host or of the program inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A call of rrunc with these words. In the background nobody waits for it before the end; it may be killed after so
    /// many microseconds.
    Call { words: String, background: bool, killed: Option<u32> },
    /// What the program inside does.
    Inside(String),
    /// A directory and a link to the host's files change places without end, until [`Step::Settle`].
    Swap(String),
    /// They no longer do.
    Settle,
    /// The host mounts a file system there.
    Mount(String),
    /// And takes it away.
    Unmount(String),
    /// The host replaces a file by rename, as editors do.
    Replace(String),
    /// A signal for the rrunc that was called last in the background.
    Signal(String),
    /// So many milliseconds pass.
    Pass(u32),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Step::Call { words, background, killed } => {
                write!(f, "rrunc {words}{}", if *background { " &" } else { "" })?;
                killed.map_or(Ok(()), |micros| write!(f, "  (killed after {micros} us)"))
            }
            Step::Inside(deed) => write!(f, "inside: {deed}"),
            Step::Swap(place) => write!(f, "host: swap {place} for a link, again and again"),
            Step::Settle => write!(f, "host: stop swapping"),
            Step::Mount(place) => write!(f, "host: mount on {place}"),
            Step::Unmount(place) => write!(f, "host: unmount {place}"),
            Step::Replace(file) => write!(f, "host: replace {file}"),
            Step::Signal(signal) => write!(f, "host: SIG{signal} to the last rrunc in the background"),
            Step::Pass(millis) => write!(f, "{millis} ms"),
        }
    }
}

/// Calls on containers, with their weights.
const CALLS: &[(usize, &str)] = &[
    (5, "create ID"),
    (6, "start ID"),
    (7, "run -d ID"),
    (2, "run ID"),
    (8, "exec ID PROGRAM"),
    (6, "exec -u USER ID PROGRAM"),
    (3, "exec -d -u USER ID PROGRAM"),
    (1, "exec --cwd PLACE ID PROGRAM"),
    (1, "exec --ignore-paused ID PROGRAM"),
    (5, "kill ID SIGNAL"),
    (2, "kill --all ID SIGNAL"),
    (3, "pause ID"),
    (3, "resume ID"),
    (1, "update --pids-limit 40 ID"),
    (1, "update --memory 96m ID"),
    (2, "state ID"),
    (2, "ps ID"),
    (1, "list"),
    (1, "events --stats ID"),
    (2, "delete ID"),
    (3, "delete --force ID"),
];

/// Calls on sandboxes. The puppet is the program that does the deeds.
const SANDBOX_CALLS: &[(usize, &str)] = &[
    (9, "sandbox OPTION OPTION -- PUPPET"),
    (3, "sandbox --name s OPTION -- PUPPET"),
    (4, "sandbox OPTION -- true"),
    (3, "sandbox OPTION -- DEED"),
    (1, "exec s true"),
    (1, "ps s"),
    (1, "state s"),
    (1, "list"),
    (1, "kill s SIGNAL"),
    (1, "pause s"),
    (1, "resume s"),
    (1, "delete s"),
    (1, "delete --force s"),
];

/// What stands for a word in capitals.
fn choices(word: &str) -> Option<&'static [(usize, &'static str)]> {
    Some(match word {
        "ID" => &[(3, "c"), (1, "d")],
        "USER" => &[(2, "0"), (2, "5"), (1, "1000:1000"), (1, "0:5")],
        "PROGRAM" => &[
            (4, "true"),
            (4, "/x"),
            (2, "/proc/self/exe"),
            (1, "/proc/1/exe"),
            (5, "DEED"),
            (1, "sleep 1"),
            (1, "/nothing"),
        ],
        "PLACE" => &[(1, "/tmp"), (1, "/vol"), (1, "/proc/self/fd/7"), (1, "/proc/self/cwd")],
        "SIGNAL" => &[(3, "KILL"), (2, "TERM"), (1, "STOP"), (1, "CONT"), (1, "USR1")],
        "OPTION" => &[
            (8, ""),
            (1, "--read-only"),
            (1, "--userns"),
            (1, "--as-root"),
            (1, "--network=host"),
            (1, "--bind=out"),
            (1, "--protect=conf"),
            (1, "--timeout=3s"),
            (1, "--report=../out/report.json"),
        ],
        _ => return None,
    })
}

/// What the program inside does; `inside.rs` knows how.
pub const DEEDS: &[(usize, &str)] = &[
    (4, "nest 0 1 1"),
    (2, "nest 0 0 1"),
    (2, "nest 5 1 1"),
    (3, "mounts"),
    (4, "stop-others"),
    (4, "trace-others"),
    (4, "watch-programs"),
    (6, "spy"),
    (6, "overwrite"),
    (3, "steal"),
    (2, "close"),
    (3, "daemon"),
    (1, "many"),
    (3, "rename"),
    (3, "plant"),
    (2, "swap-inside"),
    (2, "chmod"),
    (2, "name"),
    (1, "dumpable"),
    (1, "freeze"),
    (1, "flood"),
    (1, "stop-self"),
    (1, "exit"),
];

/// Directories of a container's root that are swapped.
const SWAPPED: &[&str] = &["dev", "proc", "sys", "etc", "tmp", "vol"];
/// Names in a project that no sandbox has protected at its start.
const SWAPPED_IN_PROJECT: &[&str] = &[".husky", "out"];
/// Files of the project that the host replaces; the first two are hidden, the others protected.
pub const REPLACED: &[&str] =
    &[".env", "conf/.env", ".git/config", ".git/hooks/pre-commit", ".envrc", ".vscode/settings.json"];
/// Below what a sandbox or a container is shown.
const MOUNTED: &[&str] = &["vault", "conf"];

/// A set-up, and what happens in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// All of it comes from this.
    pub seed: u64,
    /// Where rrunc runs.
    pub setting: Setting,
    /// Of the containers.
    pub variant: Variant,
    /// In order.
    pub steps: Vec<Step>,
}

impl Plan {
    /// Of this seed.
    pub fn new(seed: u64) -> Plan {
        let random = &mut Random::new(seed);
        let setting = [Single, Range, Nested, Sandbox, SharedSandbox][random.below(5)];
        Plan::within(seed, setting, random)
    }

    /// Of this seed, in a setting of the caller's choice.
    pub fn within(seed: u64, setting: Setting, random: &mut Random) -> Plan {
        let variant = Variant {
            capable: random.chance(50),
            user: random.chance(25),
            cgroup: random.chance(30),
            joined: random.chance(20),
        };
        let first = match setting {
            Sandbox | SharedSandbox => "sandbox OPTION -- PUPPET",
            _ if random.chance(25) => "create c",
            _ => "run -d c",
        };
        let mut steps = vec![call(random, first, false)];
        for _ in 0..6 + random.below(14) {
            let step = step(random, setting);
            let times = if matches!(step, Step::Call { .. }) && random.chance(12) { 5 } else { 1 };
            let later = matches!(step, Step::Replace(_)) && random.chance(60);
            steps.extend(std::iter::repeat_n(step, times));
            if later {
                // When what was replaced has to be covered again.
                steps.push(Step::Pass(u32::try_from(GRACE).expect("small") + 200));
                steps.push(Step::Inside(random.one(&["spy", "overwrite"]).to_owned()));
            }
        }
        Plan { seed, setting, variant, steps }
    }
}

fn step(random: &mut Random, setting: Setting) -> Step {
    let own = |random: &mut Random, of: &[&str]| random.one(of).to_owned();
    loop {
        return match random.below(100) {
            0..45 => {
                let calls = if setting.is_sandbox() { SANDBOX_CALLS } else { CALLS };
                let template = random.weighted(calls);
                call(random, template, true)
            }
            45..75 => Step::Inside(random.weighted(DEEDS).to_owned()),
            75..81 if setting.is_sandbox() => Step::Swap(own(random, SWAPPED_IN_PROJECT)),
            75..81 => Step::Swap(own(random, SWAPPED)),
            81..84 => Step::Settle,
            84..88 if setting.mounts() => Step::Mount(own(random, MOUNTED)),
            88..90 if setting.mounts() => Step::Unmount(own(random, MOUNTED)),
            90..94 if setting.is_sandbox() => Step::Replace(own(random, REPLACED)),
            94..96 => Step::Signal(own(random, &["TERM", "INT", "HUP", "STOP", "CONT", "KILL"])),
            96.. => Step::Pass(1 + u32::try_from(random.below(60)).expect("small")),
            _ => continue,
        };
    }
}

fn call(random: &mut Random, template: &str, may_be_killed: bool) -> Step {
    let words = fill(random, template);
    // These wait for a program whose end is its own affair, or for a process that those inside may stop.
    let waits =
        words.starts_with("run ") && !words.contains(" -d ") || words.starts_with("exec ") || words.contains("PUPPET");
    let background = waits || random.chance(15);
    let killed = may_be_killed && random.chance(8);
    let killed = killed.then(|| u32::try_from(random.below(15_000)).expect("small"));
    Step::Call { words, background, killed }
}

fn fill(random: &mut Random, template: &str) -> String {
    let mut words = Vec::new();
    for word in template.split(' ') {
        match choices(word) {
            Some(choices) => {
                let chosen = random.weighted(choices).to_owned();
                words.push(if word == "PROGRAM" { fill(random, &chosen) } else { chosen });
            }
            None if word == "DEED" => words.push(format!("DEED {}", random.weighted(DEEDS))),
            None => words.push(word.to_owned()),
        }
    }
    words.retain(|word| !word.is_empty());
    words.join(" ")
}
