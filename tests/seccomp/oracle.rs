//! The compiler against libseccomp, as runc uses it: same verdict on any call. Development only; where there is no C
//! compiler or no header of libseccomp it is skipped, and said so.
use super::bpf::{self, Data};
use super::libseccomp::{CONTAINERS, abi_name, ask, build, covered, lacks, lines, resolved};
use super::random::Random;
use crate::support::{Lacks, skip};
use oci_spec::runtime::LinuxSeccomp;
use rrunc::seccomp::abi::{Abi, Machine};
use rrunc::seccomp::{compile_for, profiles};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::{env, fs};

const ENOSYS: u32 = 0x0005_0026;

/// The oracle's executable, or a skipped test.
fn oracle(test: &str) -> Option<PathBuf> {
    if let Some(what) = lacks() {
        skip(Lacks::Machine(what));
        return None;
    }
    let program = env::temp_dir().join(format!("oracle-{test}-{}", std::process::id()));
    build(&program).expect("the oracle is built");
    Some(program)
}

/// Calls of x86_64 that x32 has not got (arch/x86/entry/syscalls/syscall_64.tbl, "64"): the kernel says ENOSYS whatever
/// the filter allows.
const NOT_OF_X32: [u32; 50] = [
    13, 15, 16, 19, 20, 45, 46, 47, 54, 55, 59, 101, 127, 128, 129, 131, 134, 156, 174, 177, 178, 180, 205, 206, 209,
    211, 214, 215, 222, 236, 244, 246, 247, 273, 274, 278, 279, 295, 296, 297, 299, 307, 310, 311, 322, 327, 328, 335,
    336, 453,
];

/// Values at which the conditions of container profiles change their mind.
const VALUES: [u64; 18] =
    [0, 1, 2, 3, 8, 9, 10, 16, 17, 38, 40, 41, 0x5412, 0x7e02_0000, 0x1000_0000, 0x2_0000, 0x2_0008, 0xffff_ffff];

fn compare(oracle: &Path, what: &str, profile: &LinuxSeccomp, machine: Machine, rounds: usize) {
    let abis = covered(profile, machine);
    let theirs = ask(oracle, &lines(profile, &abis)).expect("the oracle's answer");
    // An older libseccomp leaves the newest calls out; so we do.
    let mut profile = profile.clone();
    let mut entries = profile.syscalls().clone().unwrap_or_default();
    for entry in &mut entries {
        entry.set_names(entry.names().iter().filter(|name| !theirs.unknown.contains(name)).cloned().collect());
    }
    entries.retain(|entry| !entry.names().is_empty());
    profile.set_syscalls(Some(entries));
    let ours = compile_for(&profile, machine).expect("the profile compiles").program;
    let default = profile.default_action().as_u32(profile.default_errno_ret());
    let lets_through = matches!(default & 0xffff_0000, 0x7fff_0000 | 0x7ffc_0000 | 0x7ff0_0000);
    let mut random = Random(0x6f72_6163);
    let (mut seen, mut differences) = (HashMap::new(), BTreeMap::new());
    for round in 0..rounds {
        let abi = *random.pick(machine.abis());
        let bit = if abi == Abi::X32 { 0x4000_0000 } else { 0 };
        let number = bit | (if round % 64 == 0 { random.below(0x3fff_ffff) } else { random.below(600) }) as u32;
        let arguments = std::array::from_fn(|_| match random.below(4) {
            0 => random.below(0x7fff_ffff) as u64,
            1 => *random.pick(&VALUES) | 1 << 32,
            _ => *random.pick(&VALUES),
        });
        let data = Data { number, architecture: abi.audit_arch(), arguments };
        let largest = theirs.largest.get(abi_name(abi)).copied();
        // runc's own addition to libseccomp's program.
        let newer = largest.is_some_and(|largest| largest >= 0 && i64::from(number) > largest) && !lets_through;
        let wanted = if newer && number < 0xf_0000 | bit { ENOSYS } else { bpf::run(&theirs.program, &data).0 };
        if newer && number >= 0xf_0000 | bit {
            continue;
        }
        let got = bpf::run(&ours, &data).0;
        let not_there = abi == Abi::X32 && NOT_OF_X32.contains(&(number ^ bit));
        // ARM's sync_file_range2, which libseccomp knows by one of its two names only.
        if got != wanted && !not_there && (abi, number) != (Abi::Arm, 341) {
            differences.insert((abi_name(abi), number, got, wanted), data);
        }
        *seen.entry(got).or_insert(0) += 1;
    }
    println!(
        "{what} for {machine:?}: {rounds} calls, {} instructions, libseccomp {}, {} names unknown to it, verdicts {seen:x?}",
        ours.len(),
        theirs.program.len(),
        theirs.unknown.len()
    );
    assert!(differences.is_empty(), "{what}, {machine:?}: number, we, libseccomp: {differences:#x?}");
    assert!(seen.len() > 1, "{what}: always the same verdict {seen:x?}");
}

#[test]
fn the_profiles_of_podman_mean_what_libseccomp_says() {
    let Some(oracle) = oracle("podman") else { return };
    let Ok(text) = fs::read_to_string(CONTAINERS) else {
        skip(Lacks::Machine(CONTAINERS));
        return;
    };
    for machine in [Machine::X86_64, Machine::Aarch64] {
        for capabilities in [&[][..], &["CAP_AUDIT_WRITE"], &["CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_SYS_CHROOT"]] {
            let profile = resolved(&text, machine, capabilities);
            compare(&oracle, &format!("containers {capabilities:?}"), &profile, machine, 100_000);
        }
    }
    fs::remove_file(oracle).expect("remove the oracle");
}

/// Docker's default profile in substance: one long allow-list with EPERM, conditions on personality, socket and clone.
#[test]
fn allow_lists_of_dockers_shape_mean_what_libseccomp_says() {
    let Some(oracle) = oracle("ours") else { return };
    for (name, _) in profiles::PROFILES {
        let profile = profiles::parsed(name).expect("our profile");
        for machine in [Machine::X86_64, Machine::Aarch64, Machine::Riscv64] {
            compare(&oracle, name, &profile, machine, 100_000);
        }
    }
    fs::remove_file(oracle).expect("remove the oracle");
}
