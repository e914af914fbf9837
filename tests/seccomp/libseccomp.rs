//! A profile through libseccomp: a small C program that is built on the spot, what it reads, and what it answers. The
//! tests ask it what a profile means, `tests/bench/run seccomp` how long it takes.
use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompOperator as Operator};
use rrunc::seccomp::abi::{Abi, Machine};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

/// The profile of podman, in Docker's form: Debian's golang-github-containers-common.
pub const CONTAINERS: &str = "/usr/share/containers/seccomp.json";

/// libseccomp's answer to a profile.
pub struct Theirs {
    pub program: Vec<libc::sock_filter>,
    /// What the rules and the export took.
    pub nanoseconds: f64,
    pub unknown: Vec<String>,
    pub largest: HashMap<String, i64>,
}

/// What building the program lacks here.
pub fn lacks() -> Option<&'static str> {
    let paths = env::var_os("PATH").unwrap_or_default();
    if !env::split_paths(&paths).any(|dir| dir.join("cc").is_file()) {
        return Some("a C compiler");
    }
    (!Path::new("/usr/include/seccomp.h").exists()).then_some("libseccomp-dev")
}

/// Builds the program as `file`.
pub fn build(file: &Path) -> io::Result<()> {
    let source = file.with_extension("c");
    fs::write(&source, include_str!("oracle.c"))?;
    let out = Command::new("cc").arg("-O2").arg("-o").arg(file).arg(&source).arg("-lseccomp").output()?;
    fs::remove_file(source)?;
    if out.status.success() { Ok(()) } else { Err(io::Error::other(String::from_utf8_lossy(&out.stderr).into_owned())) }
}

/// libseccomp's name of an ABI.
pub fn abi_name(abi: Abi) -> &'static str {
    match abi {
        Abi::X86_64 => "x86_64",
        Abi::X86 => "x86",
        Abi::X32 => "x32",
        Abi::Aarch64 => "aarch64",
        Abi::Arm => "arm",
        Abi::Riscv64 => "riscv64",
    }
}

/// The lines that the program reads. As in runc, conditions that look at one argument twice are rules of their own.
pub fn lines(profile: &LinuxSeccomp, abis: &[Abi]) -> String {
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

/// Has the program compile a profile, in a process of its own.
pub fn ask(program: &Path, text: &str) -> io::Result<Theirs> {
    let file: PathBuf = program.with_extension("bpf");
    let mut child = Command::new("sh")
        .args(["-c", "exec \"$1\" 3>\"$2\"", "sh"])
        .args([program, &file])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().expect("a pipe");
    // It answers once it has read all, so this cannot block both.
    stdin.write_all(text.as_bytes())?;
    drop(stdin);
    let out = child.wait_with_output()?;
    if !out.status.success() {
        return Err(io::Error::other(format!("libseccomp: {}", String::from_utf8_lossy(&out.stderr))));
    }
    let mut theirs = Theirs { program: Vec::new(), nanoseconds: 0.0, unknown: Vec::new(), largest: HashMap::new() };
    for line in String::from_utf8(out.stdout).expect("text").lines() {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["T", time] => theirs.nanoseconds = time.parse().expect("a number"),
            ["U", name] => theirs.unknown.push(name.to_owned()),
            ["L", abi, number] => drop(theirs.largest.insert(abi.to_owned(), number.parse().expect("a number"))),
            _ => panic!("the program says {line:?}"),
        }
    }
    theirs.program = instructions(&fs::read(&file)?);
    fs::remove_file(&file)?;
    Ok(theirs)
}

/// A program from its bytes.
pub fn instructions(bytes: &[u8]) -> Vec<libc::sock_filter> {
    let instruction = |i: &[u8]| libc::sock_filter {
        code: u16::from_ne_bytes([i[0], i[1]]),
        jt: i[2],
        jf: i[3],
        k: u32::from_ne_bytes([i[4], i[5], i[6], i[7]]),
    };
    bytes.chunks_exact(8).map(instruction).collect()
}

/// The ABIs that a profile covers on a machine.
pub fn covered(profile: &LinuxSeccomp, machine: Machine) -> Vec<Abi> {
    let listed: Vec<Abi> =
        profile.architectures().iter().flatten().filter_map(|arch| Abi::from_oci(*arch, machine)).collect();
    machine.abis().iter().copied().filter(|abi| *abi == machine.native() || listed.contains(abi)).collect()
}

/// Docker's form of a profile to OCI's: what holds for this machine and these capabilities.
pub fn resolved(text: &str, machine: Machine, capabilities: &[&str]) -> LinuxSeccomp {
    let document: Value = serde_json::from_str(text).expect("JSON");
    let (arch, native) = match machine {
        Machine::X86_64 => ("amd64", "SCMP_ARCH_X86_64"),
        Machine::Aarch64 => ("arm64", "SCMP_ARCH_AARCH64"),
        Machine::Riscv64 => ("riscv64", "SCMP_ARCH_RISCV64"),
    };
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
