//! Which functions a start runs, in which order, as a script for the linker that puts them side by side: `src/start.ld`.
//!
//! rrunc is stepped through, instruction by instruction, in the calls that people wait for; where each of its functions lies
//! is read from the linker's map. A start then needs a quarter of the pages of the program, each of them a fault.
use crate::cases::{self, Place};
use crate::verbs::quietly;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, io};

/// The calls, the most frequent first: what is not in an earlier one comes behind it.
const CALLS: [&[&str]; 9] = [
    &["run", "ordered"],
    &["create", "ordered"],
    &["start", "ordered"],
    &["state", "ordered"],
    &["list"],
    &["exec", "ordered", "/bin/true"],
    &["kill", "ordered", "KILL"],
    &["delete", "ordered"],
    &["sandbox", "--", "true"],
];

/// A function's section, as the linker's map names it, and where it lies in the program.
struct Section {
    start: u64,
    size: u64,
    name: String,
}

/// Steps through all calls and writes the script.
pub fn run(dir: &Path, _: usize) -> io::Result<()> {
    let variable = |name| env::var_os(name).map(PathBuf::from).ok_or_else(|| io::Error::other(format!("no {name}")));
    let sections = sections(&fs::read_to_string(variable("RRUNC_BENCH_MAP")?)?);
    let place = cases::prepare(dir)?;
    let bundle = dir.join("bundle");
    cases::make_bundle_running(&bundle, &place.rootfs, &["/bin/true"])?;
    fs::create_dir(bundle.with_file_name("home"))?;
    let (mut order, mut seen) = (Vec::new(), HashSet::new());
    for args in CALLS {
        if args[0] == "exec" {
            // One that waits; the first was gone with its start.
            quietly(call(&place, &bundle, &["delete", "--force", "ordered"]))?;
            let sleeping = dir.join("sleeping");
            cases::make_bundle_running(&sleeping, &place.rootfs, &["/bin/busybox", "sleep", "100000"])?;
            quietly(call(&place, &sleeping, &["run", "-d", "ordered"]))?;
        }
        let before = order.len();
        step_through(&call(&place, &bundle, args), &place.owned, |address| {
            let after = sections.partition_point(|section| section.start <= address);
            if let Some(section) = sections[..after].last()
                && address < section.start + section.size
                && seen.insert(section.start)
            {
                order.push(section.name.as_str());
            }
        })?;
        println!("{:<24} {:>5} more functions", args.join(" "), order.len() - before);
    }
    fs::write(variable("RRUNC_BENCH_ORDER")?, script(&order, &sections))
}

fn call(place: &Place, bundle: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(&place.owned);
    command.args(args).current_dir(bundle);
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", bundle.with_file_name("home"))
        .env("XDG_RUNTIME_DIR", &place.runtime_dir);
    command
}

/// The functions of GNU ld's map: a section's name, then, in the same line or the next, address, size and file.
fn sections(map: &str) -> Vec<Section> {
    let mut words = map.split_ascii_whitespace().peekable();
    let mut sections = Vec::new();
    while let Some(word) = words.next() {
        if !word.starts_with(".text.") {
            continue;
        }
        let number = |word: Option<&&str>| u64::from_str_radix(word?.strip_prefix("0x")?, 16).ok();
        let Some(start) = number(words.peek()) else { continue };
        words.next();
        let Some(size) = number(words.peek()) else { continue };
        if start > 0 && size > 0 {
            sections.push(Section { start, size, name: word.to_owned() });
        }
    }
    sections.sort_by_key(|section| section.start);
    sections
}

/// Runs `command` by single steps and tells of each address in `program`, that of the file, that it and what it clones come to.
fn step_through(command: &Command, program: &Path, mut at: impl FnMut(u64)) -> io::Result<()> {
    let mut stopped = Command::new("/bin/sh");
    stopped.args(["-c", "kill -STOP $$; exec \"$@\"", "sh"]).arg(command.get_program()).args(command.get_args());
    stopped.env_clear().envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
    stopped.current_dir(command.get_current_dir().expect("one is set"));
    stopped.stdin(Stdio::null()).stdout(Stdio::null());
    let first = Pid::from_raw(i32::try_from(stopped.spawn()?.id()).map_err(io::Error::other)?);
    waitpid(first, Some(WaitPidFlag::WUNTRACED))?;
    let all = Options::PTRACE_O_TRACECLONE | Options::PTRACE_O_TRACEFORK | Options::PTRACE_O_TRACEVFORK;
    ptrace::seize(first, all | Options::PTRACE_O_TRACEEXEC | Options::PTRACE_O_EXITKILL)?;
    kill(first, Signal::SIGCONT)?;
    while !matches!(waitpid(first, None)?, WaitStatus::PtraceEvent(_, _, libc::PTRACE_EVENT_EXEC)) {
        ptrace::cont(first, None)?;
    }
    let base = base(first, program)?;
    let mut traced = BTreeSet::from([first]);
    ptrace::step(first, None)?;
    let ended = loop {
        match waitpid(None, Some(WaitPidFlag::__WALL))? {
            WaitStatus::Exited(pid, status) if pid == first => break status,
            WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..) => drop(traced.remove(&pid)),
            WaitStatus::PtraceEvent(pid, _, libc::PTRACE_EVENT_EXEC) => {
                traced.remove(&pid);
                ptrace::detach(pid, None)?;
            }
            WaitStatus::PtraceEvent(pid, ..) => {
                traced.insert(pid);
                step(pid, None)?;
            }
            WaitStatus::Stopped(pid, signal) => {
                if let Ok(registers) = ptrace::getregs(pid)
                    && let Some(address) = instruction(&registers).checked_sub(base)
                {
                    at(address);
                }
                step(pid, Some(signal).filter(|signal| !matches!(signal, Signal::SIGTRAP | Signal::SIGSTOP)))?;
            }
            _ => {}
        }
    };
    traced.remove(&first);
    for pid in traced {
        // An init that waits for its start goes on alone.
        ptrace::interrupt(pid)?;
        waitpid(pid, Some(WaitPidFlag::__WALL))?;
        ptrace::detach(pid, None)?;
    }
    if ended == 0 { Ok(()) } else { Err(io::Error::other(format!("{command:?}: exit code {ended}"))) }
}

/// One that has been killed meanwhile will be told by wait.
fn step(pid: Pid, signal: Option<Signal>) -> io::Result<()> {
    match ptrace::step(pid, signal) {
        Err(nix::errno::Errno::ESRCH) => Ok(()),
        other => Ok(other?),
    }
}

#[cfg(target_arch = "x86_64")]
fn instruction(registers: &libc::user_regs_struct) -> u64 {
    registers.rip
}

#[cfg(target_arch = "aarch64")]
fn instruction(registers: &libc::user_regs_struct) -> u64 {
    registers.pc
}

/// Where the program, whose first segment is for address 0, has been put.
fn base(pid: Pid, program: &Path) -> io::Result<u64> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let of_program = maps.lines().find(|line| line.ends_with(&*program.to_string_lossy()));
    let start = of_program.and_then(|line| line.split('-').next()).ok_or_else(|| io::Error::other("no map of it"))?;
    u64::from_str_radix(start, 16).map_err(io::Error::other)
}

/// What a foreground `run` executes between giving its pages back and going to sleep. It comes first, beside what every start
/// has there: so that a fault, which brings in 64 KiB, brings all of it back.
const WAITING: [&str; 2] = ["_ZN5rrunc9supervise9supervise17h", ".text.__madvise"];

/// The script. Rust's names end in a hash of what the compiler was told besides, its version above all. It is left out where
/// the name says enough without it; with another compiler those that need it stay where they were.
fn script(order: &[&str], sections: &[Section]) -> String {
    let mut alike: HashMap<&str, usize> = HashMap::new();
    for section in sections {
        *alike.entry(without_hash(&section.name)).or_default() += 1;
    }
    let mut text = String::from(
        "/* The functions of a start side by side. Written by `tests/bench/run order`; build.rs hands it to the linker. */\n\
         SECTIONS {\n  .text.start : {\n",
    );
    let mut line = |name: &str| writeln!(text, "    *({name})").expect("memory");
    let waiting = |name: &&&str| WAITING.iter().any(|part| name.contains(part));
    for name in order.iter().filter(waiting).chain(order.iter().filter(|name| !waiting(name))) {
        match without_hash(name) {
            short if short.len() < name.len() && alike[short] == 1 => line(&format!("{short}*")),
            _ => line(name),
        }
    }
    text + "  }\n}\nINSERT BEFORE .text;\n"
}

/// `_ZN4core3fmt5write17h0123456789abcdefE` up to the hash.
fn without_hash(name: &str) -> &str {
    let hash = |at: usize| name.get(at + 3..at + 19).is_some_and(|h| h.bytes().all(|b| b.is_ascii_hexdigit()));
    name.rfind("17h").filter(|at| hash(*at)).map_or(name, |at| &name[..at + 3])
}
