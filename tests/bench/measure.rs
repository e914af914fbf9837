//! One call, timed; many, in turns; and counted by strace.
use crate::cases::Case;
use std::io;
use std::process::{Command, Stdio};
use std::time::Instant;

/// Runs before the first that counts.
pub const WARM_UP: usize = 5;

/// What was measured of one case.
#[derive(Default)]
pub struct Samples {
    milliseconds: Vec<f64>,
    /// Highest peak of resident memory of the runtime or a child it waited for, in KiB.
    pub rss: i64,
}

impl Samples {
    /// The middle time.
    pub fn median(&self) -> f64 {
        median(self.milliseconds.clone())
    }
}

/// The middle one.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// One call, start to exit: milliseconds and peak memory in KiB.
pub fn once(case: &Case, round: usize) -> io::Result<(f64, i64)> {
    timed(case.command(round))
}

/// The same of any command.
pub fn timed(mut command: Command) -> io::Result<(f64, i64)> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let begin = Instant::now();
    let mut child = command.spawn()?;
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    let (status, rss) = wait(pid)?;
    let milliseconds = begin.elapsed().as_secs_f64() * 1e3;
    if status != 0 {
        let mut text = String::new();
        if let Some(mut stderr) = child.stderr.take() {
            io::Read::read_to_string(&mut stderr, &mut text)?;
        }
        return Err(io::Error::other(format!("wait status {status:#x}: {}", text.trim())));
    }
    Ok((milliseconds, rss))
}

/// wait4(2): status and ru_maxrss.
fn wait(pid: i32) -> io::Result<(i32, i64)> {
    let mut status = 0;
    // SAFETY: all zeroes is a valid rusage.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both places are ours and outlive the call.
    let waited = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
    if waited == pid { Ok((status, usage.ru_maxrss)) } else { Err(io::Error::last_os_error()) }
}

/// Every case in every round, one after the other. Everyone is the first in turn, and follows two others in turn: what
/// comes after a costly start is at a disadvantage.
pub fn round_robin(cases: &[Case], rounds: usize) -> io::Result<Vec<Samples>> {
    let mut samples: Vec<Samples> = cases.iter().map(|_| Samples::default()).collect();
    for round in 0..rounds + WARM_UP {
        for turn in 0..cases.len() {
            let at = (round + turn) % cases.len();
            let at = if round % 2 == 0 { at } else { cases.len() - 1 - at };
            let (case, sample) = (&cases[at], &mut samples[at]);
            let (milliseconds, rss) =
                once(case, round + 1).map_err(|error| io::Error::other(format!("{case}, round {round}: {error}")))?;
            if round >= WARM_UP {
                sample.milliseconds.push(milliseconds);
                sample.rss = sample.rss.max(rss);
            }
        }
    }
    Ok(samples)
}

/// System calls of one call and all its children, the payload's among them; none without strace.
pub fn system_calls(case: &Case) -> io::Result<Option<u64>> {
    count(case.command(usize::MAX))
}

/// System calls of the payload alone.
pub fn system_calls_of_true() -> io::Result<Option<u64>> {
    let mut command = Command::new("busybox");
    command.arg("true");
    count(command)
}

fn count(command: Command) -> io::Result<Option<u64>> {
    let mut traced = Command::new("strace");
    traced.args(["-f", "-c", "-o", "/dev/stdout"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => traced.env(name, value),
            None => traced.env_remove(name),
        };
    }
    if let Some(dir) = command.get_current_dir() {
        traced.current_dir(dir);
    }
    let output = match traced.stdin(Stdio::null()).output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        output => output?,
    };
    // The last line: `100.00 SECONDS USECS CALLS [ERRORS] total`.
    let text = String::from_utf8_lossy(&output.stdout);
    let total = text.lines().rev().find(|line| line.trim_end().ends_with("total"));
    Ok(total.and_then(|line| line.split_whitespace().nth(3)?.parse().ok()))
}
