//! The compiler against libseccomp, as runc uses it: same verdict on any call. Development only; where there is no C
//! compiler or no header of libseccomp it is skipped, and said so.
use super::bpf::{self, Data};
use super::random::Random;
use crate::support::{Lacks, find_program, skip};
use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompOperator as Operator};
use rrunc::seccomp::abi::{Abi, Machine};
use rrunc::seccomp::{compile_for, profiles};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

const ENOSYS: u32 = 0x0005_0026;
/// The profile of podman, in Docker's form: Debian's golang-github-containers-common.
const CONTAINERS: &str = "/usr/share/containers/seccomp.json";

/// libseccomp's answer to a profile.
struct Theirs {
    program: Vec<libc::sock_filter>,
    unknown: Vec<String>,
    largest: HashMap<String, i64>,
}

/// The oracle's executable, or a skipped test.
fn oracle(test: &str) -> Option<PathBuf> {
    let Some(cc) = find_program("cc") else {
        skip(Lacks::Machine("a C compiler"));
        return None;
    };
    if !Path::new("/usr/include/seccomp.h").exists() {
        skip(Lacks::Machine("libseccomp-dev"));
        return None;
    }
    let dir = env::temp_dir();
    let program = dir.join(format!("oracle-{test}-{}", std::process::id()));
    let source = program.with_extension("c");
    fs::write(&source, include_str!("oracle.c")).expect("write the oracle");
    let out = Command::new(cc).arg("-o").arg(&program).arg(&source).arg("-lseccomp").output().expect("cc");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    fs::remove_file(source).expect("remove the source");
    Some(program)
}

fn abi_name(abi: Abi) -> &'static str {
    match abi {
        Abi::X86_64 => "x86_64",
        Abi::X86 => "x86",
        Abi::X32 => "x32",
        Abi::Aarch64 => "aarch64",
        Abi::Arm => "arm",
        Abi::Riscv64 => "riscv64",
    }
}

/// The lines that the oracle reads. As in runc, conditions that look at one argument twice are rules of their own.
fn lines(profile: &LinuxSeccomp, abis: &[Abi]) -> String {
    let mut text = format!("D {}\n", profile.default_action().as_u32(profile.default_errno_ret()));
    for abi in abis {
        writeln!(text, "A {}", abi_name(*abi)).expect("memory");
    }
    for entry in profile.syscalls().iter().flatten() {
        let action = entry.action().as_u32(entry.errno_ret());
        let conditions = entry.args().as_deref().unwrap_or_default();
        let twice = conditions.iter().any(|a| conditions.iter().filter(|b| a.index() == b.index()).count() > 1);
        let rules: Vec<_> = if twice { conditions.chunks(1).collect() } else { vec![conditions] };
        for name in entry.names() {
            for rule in &rules {
                write!(text, "R {action} {name} {}", rule.len()).expect("memory");
                for c in *rule {
                    let operator = match c.op() {
                        Operator::ScmpCmpNe => 1,
                        Operator::ScmpCmpLt => 2,
                        Operator::ScmpCmpLe => 3,
                        Operator::ScmpCmpEq => 4,
                        Operator::ScmpCmpGe => 5,
                        Operator::ScmpCmpGt => 6,
                        Operator::ScmpCmpMaskedEq => 7,
                    };
                    let two = c.value_two().unwrap_or(0);
                    write!(text, " {} {operator} {} {two}", c.index(), c.value()).expect("memory");
                }
                text.push('\n');
            }
        }
    }
    text
}

fn ask(oracle: &Path, text: &str) -> Theirs {
    let file = oracle.with_extension("bpf");
    let mut child = Command::new("sh")
        .args(["-c", "exec \"$1\" 3>\"$2\"", "sh"])
        .args([oracle, &file])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start the oracle");
    let mut stdin = child.stdin.take().expect("a pipe");
    // It answers on stdout what fits in a pipe, so this cannot block both.
    stdin.write_all(text.as_bytes()).expect("write to the oracle");
    drop(stdin);
    let out = child.wait_with_output().expect("the oracle's end");
    assert!(out.status.success(), "the oracle: {}", String::from_utf8_lossy(&out.stderr));
    let mut theirs = Theirs { program: Vec::new(), unknown: Vec::new(), largest: HashMap::new() };
    for line in String::from_utf8(out.stdout).expect("text").lines() {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["U", name] => theirs.unknown.push(name.to_owned()),
            ["L", abi, number] => drop(theirs.largest.insert(abi.to_owned(), number.parse().expect("a number"))),
            _ => panic!("the oracle says {line:?}"),
        }
    }
    let word = |bytes: &[u8]| u16::from_ne_bytes([bytes[0], bytes[1]]);
    theirs.program = fs::read(&file)
        .expect("the oracle's program")
        .chunks_exact(8)
        .map(|i| libc::sock_filter {
            code: word(i),
            jt: i[2],
            jf: i[3],
            k: u32::from_ne_bytes([i[4], i[5], i[6], i[7]]),
        })
        .collect();
    fs::remove_file(&file).expect("remove the program");
    theirs
}

/// The ABIs that a profile covers on a machine.
fn covered(profile: &LinuxSeccomp, machine: Machine) -> Vec<Abi> {
    let listed: Vec<Abi> =
        profile.architectures().iter().flatten().filter_map(|arch| Abi::from_oci(*arch, machine)).collect();
    machine.abis().iter().copied().filter(|abi| *abi == machine.native() || listed.contains(abi)).collect()
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
    let theirs = ask(oracle, &lines(profile, &abis));
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

/// Docker's form of a profile to OCI's: what holds for this architecture and these capabilities.
fn resolved(text: &str, arch: &str, capabilities: &[&str]) -> LinuxSeccomp {
    let document: Value = serde_json::from_str(text).expect("JSON");
    let strings = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().map(|v| v.as_str().expect("a text").to_owned()).collect()
    };
    let holds = |entry: &&Value| {
        let (includes, excludes) = (&entry["includes"], &entry["excludes"]);
        let has = |cap: &String| capabilities.contains(&cap.as_str());
        let arches = strings(&includes["arches"]);
        (arches.is_empty() || arches.iter().any(|a| a == arch))
            && strings(&includes["caps"]).iter().all(has)
            && !strings(&excludes["caps"]).iter().any(has)
            && !strings(&excludes["arches"]).iter().any(|a| a == arch)
    };
    let plain = |entry: &Value| json!({"names": entry["names"], "action": entry["action"], "args": entry["args"], "errnoRet": entry["errnoRet"]});
    let native = if arch == "amd64" { "SCMP_ARCH_X86_64" } else { "SCMP_ARCH_AARCH64" };
    let mut architectures = vec![native.to_owned()];
    for map in document["archMap"].as_array().expect("archMap").iter().filter(|map| map["architecture"] == native) {
        architectures.extend(strings(&map["subArchitectures"]));
    }
    let entries: Vec<Value> =
        document["syscalls"].as_array().expect("syscalls").iter().filter(holds).map(plain).collect();
    serde_json::from_value(json!({
        "defaultAction": document["defaultAction"],
        "defaultErrnoRet": document["defaultErrnoRet"],
        "architectures": architectures,
        "syscalls": entries,
    }))
    .expect("an OCI profile")
}

#[test]
fn the_profiles_of_podman_mean_what_libseccomp_says() {
    let Some(oracle) = oracle("podman") else { return };
    let Ok(text) = fs::read_to_string(CONTAINERS) else {
        skip(Lacks::Machine(CONTAINERS));
        return;
    };
    for (arch, machine) in [("amd64", Machine::X86_64), ("arm64", Machine::Aarch64)] {
        for capabilities in [&[][..], &["CAP_AUDIT_WRITE"], &["CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_SYS_CHROOT"]] {
            let profile = resolved(&text, arch, capabilities);
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
