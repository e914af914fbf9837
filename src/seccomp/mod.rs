//! OCI seccomp profiles (config-linux.md, "Seccomp") to the kernel's filter program.
//!
//! `rules` reads the profile, `names` and `abi` know the numbers, `section` turns both into a search over ranges of
//! numbers for each architecture, `assemble` lays out the instructions, `sys::seccomp` loads them.
//!
//! The shape of a program: load the architecture; one comparison for each; then load the number and search. Unknown
//! architectures are killed, like x32 calls where the profile does not list x32.
pub mod abi;
mod assemble;
mod multiplex;
mod names;
pub mod profiles;
mod rules;
mod section;
pub mod words;

use crate::error::WithHint;
use abi::{Abi, Machine};
use anyhow::{Context, Result, ensure};
use assemble::{Assembler, Target, Test};
use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompFilterFlag as Flag};
use rules::Rules;
use std::path::PathBuf;

/// Offset of `arch` in `struct seccomp_data`.
const ARCHITECTURE: u32 = 4;

/// A compiled profile.
#[derive(Clone, Debug)]
pub struct Filter {
    /// The program, at most 4096 instructions.
    pub program: Vec<libc::sock_filter>,
    /// SECCOMP_FILTER_FLAG_* of the profile, without NEW_LISTENER, which `listener` stands for.
    pub flags: u32,
    /// Some rule is SCMP_ACT_NOTIFY: loading gives a descriptor that must be sent to this agent.
    pub listener: Option<Listener>,
    /// It may refuse even the calls by which the process would say that it could not execute its program.
    pub hides_failure: bool,
    /// What the user should know of: names that no architecture has, architectures without a table.
    pub warnings: Vec<String>,
}

/// Who answers the calls of SCMP_ACT_NOTIFY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// `listenerPath`: a unix stream socket of the host.
    pub path: PathBuf,
    /// `listenerMetadata`, sent along as it is.
    pub metadata: String,
}

impl Listener {
    /// The profile's, if it has one.
    ///
    /// # Errors
    /// Metadata without a path; a path that would mean something else for each command.
    pub fn of(profile: &LinuxSeccomp) -> Result<Option<Listener>> {
        let metadata = profile.listener_metadata().clone().unwrap_or_default();
        let Some(path) = profile.listener_path().clone().filter(|path| !path.as_os_str().is_empty()) else {
            ensure!(metadata.is_empty(), "seccomp listenerMetadata is set without listenerPath");
            return Ok(None);
        };
        ensure!(path.is_absolute(), "seccomp listenerPath {} is not absolute", path.display());
        Ok(Some(Listener { path, metadata }))
    }
}

/// Compiles a profile for this machine. Pure; fails where runc or the spec would refuse, or when the program is longer
/// than the kernel takes.
pub fn compile(profile: &LinuxSeccomp) -> Result<Filter> {
    compile_for(profile, Machine::HERE)
}

/// Compiles a profile for some machine, so that every one can be tested on any.
pub fn compile_for(profile: &LinuxSeccomp, machine: Machine) -> Result<Filter> {
    let rules = Rules::read(profile)?;
    let listener = Listener::of(profile)?.filter(|_| rules.notify);
    ensure!(listener.is_some() || !rules.notify, "seccomp listenerPath is not set");
    let mut warnings = Vec::new();
    let abis = abis(profile, machine, &mut warnings);
    log_foreign_names(&rules, &abis);
    let program = assemble(&rules, &abis)?;
    warnings.extend(rules.warning());
    let hides_failure = ["sendmsg", "sendto"].iter().any(|call| !rules.lets_through(call));
    Ok(Filter { program, flags: flags(profile, rules.notify), listener, hides_failure, warnings })
}

/// The ABIs to cover, in the machine's order: the native one and those listed. Listed ones that this kernel never
/// reports need no code: whatever is not covered is killed.
fn abis(profile: &LinuxSeccomp, machine: Machine, warnings: &mut Vec<String>) -> Vec<Abi> {
    let mut listed = vec![machine.native()];
    for arch in profile.architectures().iter().flatten() {
        match Abi::from_oci(*arch, machine) {
            Some(abi) => listed.push(abi),
            None => warnings.push(format!("seccomp: {arch} is not supported, its calls are killed")),
        }
    }
    machine.abis().iter().copied().filter(|abi| listed.contains(abi)).collect()
}

/// Names of other architectures are normal in a profile and concern only who debugs one.
fn log_foreign_names(rules: &Rules, abis: &[Abi]) {
    if !log::log_enabled!(log::Level::Debug) {
        return;
    }
    let has = |abi: &Abi, call| names::numbers(*abi).iter().any(|(_, known)| *known == call);
    for call in (0..names::count() as names::Call).filter(|call| rules.of(*call).seen) {
        if !abis.iter().any(|abi| has(abi, call)) {
            log::debug!("seccomp: syscall {} is of another architecture, ignored", names::name(call));
        }
    }
}

fn assemble(rules: &Rules, abis: &[Abi]) -> Result<Vec<libc::sock_filter>> {
    let mut assembler = Assembler::default();
    let mut dispatch = Target::Return(libc::SECCOMP_RET_KILL_PROCESS);
    // Backwards: the native section comes last, so that it is nearest and its comparison first.
    for abi in abis.iter().rev().filter(|abi| **abi != Abi::X32) {
        let both = [Abi::X86_64, Abi::X32];
        let together = if *abi == Abi::X86_64 && abis.contains(&Abi::X32) { &both[..] } else { &[*abi] };
        let entry = section::emit(rules, together, &mut assembler);
        dispatch = assembler.branch(Test::Equal, abi.audit_arch(), entry, dispatch);
    }
    assembler.load(ARCHITECTURE, dispatch);
    assembler
        .finish()
        .context("seccomp filter is longer than the 4096 instructions the kernel takes")
        .hint(|| "list fewer architectures, or fewer rules with args in the seccomp profile")
}

/// As runc: SPEC_ALLOW unless the profile says otherwise; TSYNC means nothing to a process of one thread;
/// WAIT_KILLABLE_RECV is an error to the kernel without a listener (since 5.19).
fn flags(profile: &LinuxSeccomp, notify: bool) -> u32 {
    let Some(flags) = profile.flags() else {
        return libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW as u32;
    };
    flags.iter().fold(0, |all, flag| {
        all | match flag {
            Flag::SeccompFilterFlagLog => libc::SECCOMP_FILTER_FLAG_LOG as u32,
            Flag::SeccompFilterFlagSpecAllow => libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW as u32,
            Flag::SeccompFilterFlagWaitKillableRecv if notify => libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV as u32,
            Flag::SeccompFilterFlagWaitKillableRecv | Flag::SeccompFilterFlagTsync => 0,
        }
    })
}
