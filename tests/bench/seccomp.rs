//! What a seccomp profile costs: rrunc's compiler beside libseccomp, which crun and runc use. Instructions; compiling and
//! loading, each in a fresh process; calls under the filter; and a whole start with the profile less one without. All take
//! turns in every round; figures are medians, those of a start medians of the differences within a round.
use crate::cases::{self, Case};
use crate::filter;
use crate::libseccomp::{self, CONTAINERS, covered, lines, resolved};
use crate::measure::{self, WARM_UP, median};
use crate::sample::{self, Loaded};
use oci_spec::runtime::LinuxSeccomp;
use rrunc::seccomp::abi::{Abi, Machine};
use rrunc::seccomp::compile_for;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// What podman gives a container unless told otherwise.
const CAPABILITIES: [&str; 11] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// A profile, and its programs as files.
struct Subject {
    name: &'static str,
    profile: PathBuf,
    json: serde_json::Value,
    ours: PathBuf,
    theirs: Option<Peer>,
    /// Instructions by [`COUNTED`], ours and theirs.
    counts: [[Option<usize>; 4]; 2],
}

/// libseccomp's side: the program that asks it, what it is asked, what it said.
struct Peer {
    asks: PathBuf,
    lines: String,
    program: PathBuf,
}

/// Each architecture alone, but for the second column.
const COUNTED: [(Machine, bool); 4] =
    [(Machine::X86_64, false), (Machine::X86_64, true), (Machine::Aarch64, false), (Machine::Riscv64, false)];

/// One row of the table: samples round by round.
#[derive(Default)]
struct Row {
    compile: Vec<f64>,
    load: Vec<f64>,
    cacheable: Vec<f64>,
    by_argument: Vec<f64>,
}

impl Row {
    fn add(&mut self, compile: f64, loaded: Loaded) {
        self.compile.push(compile);
        self.load.push(loaded.load);
        self.cacheable.push(loaded.cacheable);
        self.by_argument.push(loaded.by_argument);
    }

    fn together(&self) -> f64 {
        median(self.compile.iter().zip(&self.load).map(|(compile, load)| compile + load).collect())
    }
}

/// The whole of it.
pub fn run(dir: &Path, rounds: usize) -> io::Result<()> {
    let asks = match libseccomp::lacks() {
        Some(what) => {
            println!("libseccomp: not compared, {what} is missing");
            None
        }
        None => Some(dir.join("ask")),
    };
    if let Some(asks) = &asks {
        libseccomp::build(asks)?;
    }
    let default = |_| serde_json::from_value(cases::seccomp().expect("our profile")).expect("an OCI profile");
    let mut subjects = vec![Subject::new("default", default, dir, asks.as_deref())?];
    match fs::read_to_string(CONTAINERS) {
        Ok(text) => {
            let resolve = |machine| resolved(&text, machine, &CAPABILITIES);
            subjects.push(Subject::new("podman", resolve, dir, asks.as_deref())?);
        }
        Err(error) => println!("podman's profile: not measured, {CONTAINERS}: {error}"),
    }
    let profiles: Vec<_> = subjects.iter().map(|subject| (subject.name, subject.json.clone())).collect();
    let mut starts = cases::with_profiles(dir, &profiles)?;
    if !starts.iter().any(|case| case.name == "crun") {
        println!("crun: not compared, it is not installed");
    }
    for case in &starts {
        // A peer that does not work is an error, not a blank: its figure would be that of a failure.
        measure::once(case, 0).map_err(|error| io::Error::other(format!("{case} does not run here: {error}")))?;
    }
    if !cases::keeps_filters(dir) {
        println!("no row of crun with its cache: this crun, if any, keeps no compiled filters");
        starts.retain(|case| case.name != cases::CRUN_KEEPING);
    }
    let (rows, times) = measure_all(dir, &subjects, &starts, rounds)?;
    print(&subjects, &rows, &starts, &times, rounds);
    Ok(())
}

impl Subject {
    fn new(
        name: &'static str,
        profile: impl Fn(Machine) -> LinuxSeccomp,
        dir: &Path,
        asks: Option<&Path>,
    ) -> io::Result<Subject> {
        let here = profile(Machine::HERE);
        let place = |what: &str| dir.join(format!("{name}.{what}"));
        let json = serde_json::to_value(&here)?;
        fs::write(place("json"), json.to_string())?;
        let compiled = compile_for(&here, Machine::HERE).map_err(io::Error::other)?.program;
        fs::write(place("ours"), filter::bytes(&compiled))?;
        let mut counts = [[None; 4]; 2];
        for (column, (machine, all)) in COUNTED.into_iter().enumerate() {
            let mut profile = profile(machine);
            if !all {
                profile.set_architectures(None);
            }
            counts[0][column] = Some(compile_for(&profile, machine).map_err(io::Error::other)?.program.len());
            if let Some(asks) = asks {
                let abis: Vec<Abi> = covered(&profile, machine);
                counts[1][column] = Some(libseccomp::ask(asks, &lines(&profile, &abis))?.program.len());
            }
        }
        let theirs = match asks {
            None => None,
            Some(asks) => {
                let lines = lines(&here, &covered(&here, Machine::HERE));
                fs::write(place("theirs"), filter::bytes(&libseccomp::ask(asks, &lines)?.program))?;
                Some(Peer { asks: asks.to_owned(), lines, program: place("theirs") })
            }
        };
        Ok(Subject { name, profile: place("json"), json, ours: place("ours"), theirs, counts })
    }
}

/// Rows: no filter, a filter of one instruction, then ours and theirs of each subject; and the starts' times.
fn measure_all(
    dir: &Path,
    subjects: &[Subject],
    starts: &[Case],
    rounds: usize,
) -> io::Result<(Vec<Row>, Vec<Vec<f64>>)> {
    let least = dir.join("least");
    let allow =
        libc::sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW };
    fs::write(&least, filter::bytes(&[allow]))?;
    let mut rows: Vec<Row> = (0..2 + 2 * subjects.len()).map(|_| Row::default()).collect();
    let mut times = vec![Vec::new(); starts.len()];
    for round in 0..rounds + WARM_UP {
        let warm = round >= WARM_UP;
        let mut add = |row: usize, compile, loaded| {
            if warm {
                rows[row].add(compile, loaded)
            }
        };
        add(0, 0.0, sample::load(None)?);
        add(1, 0.0, sample::load(Some(&least))?);
        for (at, subject) in subjects.iter().enumerate() {
            add(2 + 2 * at, sample::compile(&subject.profile)?, sample::load(Some(&subject.ours))?);
            if let Some(peer) = &subject.theirs {
                let compile = libseccomp::ask(&peer.asks, &peer.lines)?.nanoseconds;
                add(3 + 2 * at, compile, sample::load(Some(&peer.program))?);
            }
        }
        // Everyone is the first in turn: what follows a costly start is at a disadvantage.
        for turn in 0..starts.len() {
            let at = (round + turn) % starts.len();
            let (milliseconds, _) = measure::once(&starts[at], round + 1)
                .map_err(|error| io::Error::other(format!("{}, round {round}: {error}", starts[at])))?;
            if warm {
                times[at].push(milliseconds);
            }
        }
    }
    Ok((rows, times))
}

/// What the profile adds to a start, in microseconds.
fn added(starts: &[Case], times: &[Vec<f64>], name: &str, bundle: &str) -> Option<f64> {
    let of = |bundle| starts.iter().position(|case| case.name == name && case.bundle == bundle).map(|at| &times[at]);
    let (with, without) = (of(bundle)?, of("plain")?);
    Some(median(with.iter().zip(without).map(|(with, without)| (with - without) * 1e3).collect()))
}

fn print(subjects: &[Subject], rows: &[Row], starts: &[Case], times: &[Vec<f64>], rounds: usize) {
    println!("{rounds} rounds, medians. Times of compiling, loading and starting in µs, of a call in ns.");
    println!("A start: what the profile adds to start to exit of /bin/true.\n");
    let heads =
        ["x86_64", "+x86,x32", "aarch64", "riscv64", "compile", "load", "both", "cacheable", "by args", "start"];
    print_line("profile", "by", &heads.map(str::to_owned));
    print_row("-", "no filter", &[None; 4], Some(&rows[0]), None);
    print_row("-", "one instruction", &[Some(1); 4], Some(&rows[1]), None);
    for (at, subject) in subjects.iter().enumerate() {
        let (ours, theirs) = (&rows[2 + 2 * at], &rows[3 + 2 * at]);
        let start = |name| added(starts, times, name, subject.name);
        print_row(subject.name, "rrunc", &subject.counts[0], Some(ours), start("rrunc"));
        let peer = subject.theirs.as_ref().map(|_| theirs);
        print_row(subject.name, "libseccomp, crun", &subject.counts[1], peer, start("crun"));
        if let Some(start) = start(cases::CRUN_KEEPING) {
            print_row(subject.name, cases::CRUN_KEEPING, &[None; 4], None, Some(start));
        }
        if peer.is_some() {
            let ratio = |ours: f64, theirs: f64| format!("{:.1}x", theirs / ours);
            let times = |of: fn(&Row) -> &Vec<f64>| ratio(median(of(ours).clone()), median(of(theirs).clone()));
            let mut cells: Vec<String> = (0..4)
                .map(|column| match (subject.counts[0][column], subject.counts[1][column]) {
                    (Some(ours), Some(theirs)) => ratio(ours as f64, theirs as f64),
                    _ => "-".to_owned(),
                })
                .collect();
            cells.extend([
                times(|row| &row.compile),
                times(|row| &row.load),
                ratio(ours.together(), theirs.together()),
            ]);
            cells.extend([times(|row| &row.cacheable), times(|row| &row.by_argument)]);
            cells.push(start("rrunc").zip(start("crun")).map_or("-".to_owned(), |(ours, theirs)| ratio(ours, theirs)));
            print_line("", "the second to the first", &cells);
            let both = ours.together() / median(theirs.load.clone());
            println!("{:<8} rrunc's compiling and loading to libseccomp's loading alone: {both:.2}", "");
        }
    }
}

fn print_row(profile: &str, by: &str, counts: &[Option<usize>], row: Option<&Row>, start: Option<f64>) {
    let dash = || "-".to_owned();
    let mut cells: Vec<String> = counts.iter().map(|count| count.map_or_else(dash, |n| n.to_string())).collect();
    match row {
        None => cells.extend([(); 5].map(|()| dash())),
        Some(row) => {
            let micro = |figure: f64| if figure == 0.0 { dash() } else { format!("{:.1}", figure / 1e3) };
            let own = [median(row.compile.clone()), median(row.load.clone()), row.together()].map(micro);
            cells.extend(own);
            cells.extend([&row.cacheable, &row.by_argument].map(|figures| format!("{:.1}", median(figures.clone()))));
        }
    }
    cells.push(start.map_or_else(dash, |micro| format!("{micro:.0}")));
    print_line(profile, by, &cells);
}

fn print_line(profile: &str, by: &str, cells: &[String]) {
    let cells: String = cells.iter().map(|cell| format!(" {cell:>9}")).collect();
    println!("{profile:<8} {by:<23}{cells}");
}
