//! One sample of the seccomp figures, in a fresh process: a runtime, too, compiles and loads once, with nothing warm.
use crate::filter;
use std::fs;
use std::io;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

/// The flags of a profile that names none, for us as for crun.
const FLAGS: u32 = libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW as u32;

/// Calls of each kind in one sample: some ten milliseconds.
const CALLS: u32 = 100_000;

/// What a filter costs, in nanoseconds.
#[derive(Clone, Copy)]
pub struct Loaded {
    /// seccomp(2).
    pub load: f64,
    /// A call that is allowed by its number alone: getppid.
    pub cacheable: f64,
    /// A call whose arguments decide: personality(0xffffffff), which only asks.
    pub by_argument: f64,
}

/// Compiles the OCI profile in `file`: nanoseconds from the parsed profile to the program.
pub fn compile(file: &std::path::Path) -> io::Result<f64> {
    Ok(run(&["compile".as_ref(), file.as_os_str()])?[0])
}

/// Loads the program in `file` (none: no filter) and makes calls under it.
pub fn load(file: Option<&std::path::Path>) -> io::Result<Loaded> {
    let figures = run(&["load".as_ref(), file.map_or("".as_ref(), std::path::Path::as_os_str)])?;
    Ok(Loaded { load: figures[0], cacheable: figures[1], by_argument: figures[2] })
}

fn run(arguments: &[&std::ffi::OsStr]) -> io::Result<Vec<f64>> {
    let output =
        Command::new(std::env::current_exe()?).arg("sample").args(arguments).stderr(Stdio::inherit()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let figures: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    if output.status.success() && !figures.is_empty() {
        return Ok(figures);
    }
    Err(io::Error::other(format!("{arguments:?}: {} with {text:?}", output.status)))
}

/// Entry of the fresh process: `compile PROFILE` or `load PROGRAM`.
pub fn main(arguments: &[String]) -> ExitCode {
    let result = match arguments {
        [word, profile] if word == "compile" => compile_here(profile),
        [word, program] if word == "load" => load_here(program),
        _ => return ExitCode::from(2),
    };
    match result {
        Ok(figures) => {
            println!("{figures}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("sample: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compile_here(profile: &str) -> io::Result<String> {
    let profile = serde_json::from_str(&fs::read_to_string(profile)?)?;
    let begin = Instant::now();
    let filter = rrunc::seccomp::compile(&profile).map_err(io::Error::other)?;
    let time = begin.elapsed().as_nanos();
    std::hint::black_box(filter.program);
    Ok(time.to_string())
}

fn load_here(program: &str) -> io::Result<String> {
    nix::sys::prctl::set_no_new_privs()?;
    let mut load = 0;
    if !program.is_empty() {
        let program = filter::instructions(&fs::read(program)?);
        let begin = Instant::now();
        filter::load(&program, FLAGS)?;
        load = begin.elapsed().as_nanos();
    }
    // SAFETY: neither call takes a pointer.
    let cacheable = each(|| unsafe { libc::syscall(libc::SYS_getppid) })?;
    // SAFETY: as above.
    let by_argument = each(|| unsafe { libc::syscall(libc::SYS_personality, 0xffff_ffff_u64) })?;
    Ok(format!("{load} {cacheable} {by_argument}"))
}

fn each(call: impl Fn() -> libc::c_long) -> io::Result<f64> {
    if call() < 0 {
        return Err(io::Error::last_os_error());
    }
    let begin = Instant::now();
    for _ in 0..CALLS {
        std::hint::black_box(call());
    }
    Ok(begin.elapsed().as_nanos() as f64 / f64::from(CALLS))
}
