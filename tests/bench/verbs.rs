//! Each verb alone, against spawning `/bin/true`: rrunc's and crun's, in turns. What has to be there before is made, and what
//! is left over removed, outside of the time that counts.
use crate::cases::{self, Place};
use crate::measure::{self, WARM_UP};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The container that stays all the time.
const RUNNING: &str = "running";

/// One verb: what comes before it, what is measured, and what comes after.
struct Verb {
    name: &'static str,
    before: &'static [&'static [&'static str]],
    measured: &'static [&'static str],
    after: &'static [&'static [&'static str]],
}

/// The keys of a deleted container are counted for a while, and there are 200 for a user.
const CREATE: &[&str] = &["create", "--no-new-keyring", "new"];
const REMOVE: &[&str] = &["delete", "--force", "new"];

const VERBS: [Verb; 8] = [
    Verb { name: "create", before: &[], measured: CREATE, after: &[REMOVE] },
    Verb { name: "start", before: &[CREATE], measured: &["start", "new"], after: &[REMOVE] },
    Verb { name: "state", before: &[], measured: &["state", RUNNING], after: &[] },
    Verb { name: "kill", before: &[], measured: &["kill", RUNNING, "CONT"], after: &[] },
    Verb { name: "exec", before: &[], measured: &["exec", RUNNING, "/bin/true"], after: &[] },
    Verb { name: "list", before: &[], measured: &["list"], after: &[] },
    Verb { name: "delete", before: &[CREATE, &["kill", "new", "KILL"]], measured: REMOVE, after: &[] },
    Verb { name: "--version", before: &[], measured: &["--version"], after: &[] },
];

/// A runtime with state of its own.
struct Runtime {
    name: &'static str,
    program: PathBuf,
    state: PathBuf,
}

/// Measures them all.
pub fn run(dir: &Path, rounds: usize) -> io::Result<()> {
    let place = cases::prepare(dir)?;
    let bundle = dir.join("sleeping");
    cases::make_bundle_running(&bundle, &place.rootfs, &["/bin/busybox", "sleep", "100000"])?;
    let mut runtimes = vec![("rrunc (caller's binary)", place.owned.clone())];
    runtimes.extend(std::env::var_os("RRUNC_BENCH_ROOT_OWNED").map(|path| ("rrunc (root's binary)", path.into())));
    runtimes.extend(cases::find("crun").ok().map(|path| ("crun", path)));
    let runtimes: Vec<Runtime> = runtimes
        .into_iter()
        .enumerate()
        .map(|(at, (name, program))| Runtime { name, program, state: place.runtime_dir.join(format!("state-{at}")) })
        .collect();
    for runtime in &runtimes {
        quietly(runtime.call(&place, &bundle, &["run", "-d", RUNNING]))?;
    }
    let result = measure(&place, &bundle, &runtimes, rounds);
    for runtime in &runtimes {
        quietly(runtime.call(&place, &bundle, &["delete", "--force", RUNNING]))?;
    }
    result
}

fn measure(place: &Place, bundle: &Path, runtimes: &[Runtime], rounds: usize) -> io::Result<()> {
    println!("{rounds} rounds, medians in ms, and as multiples of spawning /bin/true\n");
    print!("{:<12} {:>8}", "", "true");
    runtimes.iter().for_each(|runtime| print!(" {:>24}", runtime.name));
    println!();
    for verb in VERBS {
        let mut alone = Vec::new();
        let mut samples = vec![Vec::new(); runtimes.len()];
        for round in 0..rounds + WARM_UP {
            let mut spawn = Command::new(&place.busybox);
            spawn.arg("true");
            let (spawned, _) = measure::timed(spawn)?;
            for (runtime, samples) in runtimes.iter().zip(&mut samples) {
                verb.before.iter().try_for_each(|args| quietly(runtime.call(place, bundle, args)))?;
                let (milliseconds, _) = measure::timed(runtime.call(place, bundle, verb.measured))
                    .map_err(|error| io::Error::other(format!("{} {}: {error}", runtime.name, verb.name)))?;
                verb.after.iter().try_for_each(|args| quietly(runtime.call(place, bundle, args)))?;
                if round >= WARM_UP {
                    samples.push(milliseconds);
                }
            }
            if round >= WARM_UP {
                alone.push(spawned);
            }
        }
        let alone = measure::median(alone);
        print!("{:<12} {alone:>8.2}", verb.name);
        for median in samples.into_iter().map(measure::median) {
            print!(" {:>15.2} {:>8}", median, format!("{:.2}", median / alone));
        }
        println!();
    }
    Ok(())
}

impl Runtime {
    fn call(&self, place: &Place, bundle: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(&self.state).args(args).current_dir(bundle);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("XDG_RUNTIME_DIR", &place.runtime_dir);
        command
    }
}

/// Runs what is not measured.
pub fn quietly(mut command: Command) -> io::Result<()> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("{command:?}: {status}"))) }
}
