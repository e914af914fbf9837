//! The seccomp compiler against a plain reading of the profile, through a BPF interpreter; and a few filters in the kernel.
#[path = "support/bpf.rs"]
mod bpf;
#[path = "seccomp/kernel.rs"]
mod kernel;
#[path = "seccomp/libseccomp.rs"]
mod libseccomp;
#[path = "seccomp/oracle.rs"]
mod oracle;
#[path = "seccomp/random.rs"]
mod random;
#[path = "support/reference.rs"]
mod reference;
#[path = "support/mod.rs"]
mod support;

use bpf::Data;
use oci_spec::runtime::LinuxSeccomp;
use random::{Random, numbers_of_names, random_data, random_profile};
use reference::{Reference, Tables};
use rrunc::error::one_line;
use rrunc::seccomp::abi::{Abi, Machine};
use rrunc::seccomp::{Filter, compile, compile_for, profiles};
use serde_json::{Value, json};

const MACHINES: [Machine; 3] = [Machine::X86_64, Machine::Aarch64, Machine::Riscv64];
const X86_64: u32 = 0xc000_003e;
const I386: u32 = 0x4000_0003;
const ALLOW: u32 = 0x7fff_0000;
const KILL_PROCESS: u32 = 0x8000_0000;
const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0026;

fn profile(json: Value) -> LinuxSeccomp {
    serde_json::from_value(json).expect("an OCI seccomp profile")
}

fn filter(json: Value) -> Filter {
    compile_for(&profile(json), Machine::X86_64).expect("a profile that compiles")
}

fn refusal(json: Value) -> String {
    one_line(&compile_for(&profile(json), Machine::X86_64).expect_err("a profile that is refused"))
}

fn call(filter: &Filter, architecture: u32, number: u32, arguments: &[u64]) -> u32 {
    let mut data = Data { number, architecture, ..Data::default() };
    data.arguments[..arguments.len()].copy_from_slice(arguments);
    bpf::run(&filter.program, &data).0
}

#[test]
fn random_profiles_mean_what_a_plain_reading_says() {
    let mut random = Random(0x7275_6e63);
    let tables = MACHINES.map(Tables::new);
    let numbers: Vec<Vec<u32>> = MACHINES.iter().map(|machine| numbers_of_names(*machine)).collect();
    for round in 0..3000 {
        let profile = random_profile(&mut random);
        let which = random.below(MACHINES.len());
        let machine = MACHINES[which];
        let filter = compile_for(&profile, machine).expect("a profile that compiles");
        bpf::verify(&filter.program);
        let reference = Reference::new(&profile, &tables[which]);
        for _ in 0..150 {
            let data = random_data(&mut random, machine, &numbers[which]);
            // x32 numbers from 512 on are known to the reference for the random names only.
            if (0x4000_0200..0x4000_0240).contains(&data.number) && !numbers[which].contains(&data.number) {
                continue;
            }
            let (got, _) = bpf::run(&filter.program, &data);
            let wanted = reference.evaluate(&data);
            let text = || serde_json::to_string(&profile).expect("a profile");
            assert_eq!(got, wanted, "round {round}, {machine:?}, {data:x?}, got {got:#x}, not {wanted:#x}: {}", text());
        }
    }
}

#[test]
fn the_profiles_we_ship_mean_what_a_plain_reading_says() {
    let mut random = Random(7);
    for (name, _) in profiles::PROFILES {
        let profile = profiles::parsed(name).expect("our profile");
        for machine in MACHINES {
            let tables = Tables::new(machine);
            let filter = compile_for(&profile, machine).expect("our profile compiles");
            bpf::verify(&filter.program);
            let reference = Reference::new(&profile, &tables);
            for abi in machine.abis().iter().filter(|abi| **abi != Abi::X32) {
                for number in (0..480).chain([u32::MAX, 0x4000_0000, 0xf_0002, 0xf_0005, 0xf_0009]) {
                    let mut data = random_data(&mut random, machine, &[number]);
                    (data.architecture, data.number) = (abi.audit_arch(), number);
                    let got = bpf::run(&filter.program, &data).0;
                    assert_eq!(got, reference.evaluate(&data), "{name}, {abi:?}, {data:x?}");
                }
            }
        }
    }
}

#[test]
fn x32_calls_never_slip_through() {
    let open =
        json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["ptrace"], "action": "SCMP_ACT_ERRNO"}]});
    let f = filter(open.clone());
    assert_eq!(call(&f, X86_64, 101, &[]), EPERM);
    for number in [0, 101, 521, 0x3fff_ffff, 0x8000_0000] {
        assert_eq!(call(&f, X86_64, 0x4000_0000 | number, &[]), KILL_PROCESS, "{number:#x}");
    }
    assert_eq!(call(&f, I386, 26, &[]), KILL_PROCESS, "i386 is not listed");
    assert_eq!(call(&f, X86_64, u32::MAX, &[]), ALLOW, "a tracer skips a call with -1");
    let mut listed = open;
    listed["architectures"] = json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X32", "SCMP_ARCH_X86"]);
    let f = filter(listed);
    assert_eq!(call(&f, X86_64, 0x4000_0000 | 521, &[]), EPERM);
    assert_eq!(call(&f, X86_64, 0x4000_0000, &[]), ALLOW);
    assert_eq!(call(&f, I386, 26, &[]), EPERM);
}

#[test]
fn numbers_above_the_largest_named_get_enosys() {
    let some = |action: &str| json!({"defaultAction": action, "syscalls": [{"names": ["read", "mseal"], "action": "SCMP_ACT_LOG"}]});
    let f = filter(some("SCMP_ACT_KILL_PROCESS"));
    assert_eq!(call(&f, X86_64, 1, &[]), KILL_PROCESS);
    assert_eq!(call(&f, X86_64, 463, &[]), ENOSYS);
    assert_eq!(call(&f, X86_64, 100_000, &[]), ENOSYS);
    assert_eq!(call(&filter(some("SCMP_ACT_ALLOW")), X86_64, 463, &[]), ALLOW);
    assert_eq!(call(&filter(some("SCMP_ACT_TRACE")), X86_64, 463, &[]), 0x7ff0_0001);
}

#[test]
fn a_socket_rule_holds_through_socketcall_too() {
    let f = filter(json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"], "syscalls": [
        {"names": ["socket"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 16, "op": "SCMP_CMP_EQ"}]},
        {"names": ["semget"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13}]}));
    assert_eq!(call(&f, I386, 359, &[16]), EPERM);
    assert_eq!(call(&f, I386, 359, &[1]), ALLOW);
    assert_eq!(call(&f, I386, 102, &[1]), EPERM, "its arguments cannot be seen");
    assert_eq!(call(&f, I386, 102, &[2]), ALLOW);
    assert_eq!(call(&f, I386, 117, &[0x1_0002]), 0x0005_000d, "ipc with a version in its upper half");
}

#[test]
fn what_runc_or_the_spec_refuse_is_refused() {
    let with = |entry: Value| json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [entry]});
    let arg = |index: u64| json!([{"index": index, "value": 0, "op": "SCMP_CMP_EQ"}]);
    assert_eq!(
        refusal(json!({"defaultAction": "SCMP_ACT_NOTIFY"})),
        "SCMP_ACT_NOTIFY cannot be used as default action"
    );
    for (entry, message) in [
        (
            json!({"names": ["write"], "action": "SCMP_ACT_NOTIFY"}),
            "SCMP_ACT_NOTIFY cannot be used for the write syscall",
        ),
        (json!({"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}), "seccomp listenerPath is not set"),
        (json!({"names": [], "action": "SCMP_ACT_ERRNO"}), "seccomp syscalls[0]: no names"),
        (json!({"names": [""], "action": "SCMP_ACT_ERRNO"}), "empty string is not a valid syscall"),
        (json!({"names": ["mkdir"], "action": "SCMP_ACT_TRAP", "errnoRet": 1}), "errnoRet: SCMP_ACT_TRAP takes none"),
        (
            json!({"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 65536}),
            "errnoRet 65536 does not fit in 16 bits",
        ),
        (json!({"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "args": arg(6)}), "args index 6 is not below 6"),
    ] {
        let refusal = refusal(with(entry));
        assert!(refusal.ends_with(message), "{refusal}");
    }
    let refusal = refusal(json!({"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1}));
    assert_eq!(refusal, "seccomp defaultErrnoRet: errnoRet: SCMP_ACT_ALLOW takes none");
}

#[test]
fn unknown_names_and_architectures_are_told() {
    let f = filter(json!({"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_PPC64LE"], "syscalls": [
        {"names": ["opne", "s390_runtime_instr", "read"], "action": "SCMP_ACT_ALLOW"}]}));
    assert_eq!(f.warnings.len(), 2, "{:?}", f.warnings);
    assert!(f.warnings[0].contains("SCMP_ARCH_PPC64LE") && f.warnings[1].contains("opne"));
    let many: Vec<String> = (0..1000).map(|n| format!("call{n}")).collect();
    let f =
        filter(json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": many, "action": "SCMP_ACT_ALLOW"}]}));
    assert!(matches!(&f.warnings[..], [one] if one.ends_with("call7 and 992 more, ignored")), "{:?}", f.warnings);
}

#[test]
fn flags_are_as_in_runc() {
    let flags = |flags: Value| filter(json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": flags})).flags;
    assert_eq!(flags(Value::Null), 4, "absent: SPEC_ALLOW");
    assert_eq!(flags(json!([])), 0);
    assert_eq!(flags(json!(["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC"])), 2);
    assert_eq!(flags(json!(["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"])), 0, "no listener");
    let f = filter(json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"],
        "listenerPath": "/run/agent", "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]}));
    assert!(f.listener.is_some() && f.flags == 32, "{:#x}", f.flags);
    assert_eq!(call(&f, X86_64, 83, &[]), 0x7fc0_0000);
}

#[test]
fn long_chains_jump_far_and_too_long_ones_are_refused() {
    let chain = |length: u64| {
        let entry = |n| {
            json!({"names": [if n % 2 == 0 { "ioctl" } else { "personality" }], "action": "SCMP_ACT_ERRNO",
            "errnoRet": 1 + n % 90, "args": [{"index": 1, "value": n, "op": "SCMP_CMP_EQ"}]})
        };
        json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": (0..length).map(entry).collect::<Vec<_>>()})
    };
    let profile = profile(chain(700));
    let f = compile_for(&profile, Machine::X86_64).expect("700 comparisons fit");
    bpf::verify(&f.program);
    let tables = Tables::new(Machine::X86_64);
    let reference = Reference::new(&profile, &tables);
    for number in [15, 16, 17, 134, 135, 136] {
        for n in 0..701 {
            let data = Data { number, architecture: X86_64, arguments: [0, n, 0, 0, 0, 0] };
            assert_eq!(bpf::run(&f.program, &data).0, reference.evaluate(&data), "{data:?}");
        }
    }
    assert_eq!(refusal(chain(2000)), "seccomp filter is longer than the 4096 instructions the kernel takes");
}

#[test]
fn values_compared_in_a_row_are_told_apart_in_both_halves() {
    let value = |n: u64| if n.is_multiple_of(5) { n | 7 << 32 } else { n };
    let entry = |n: u64| json!({"names": ["ioctl"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 2, "value": value(n), "op": "SCMP_CMP_EQ"}]});
    // Rows of four, then one row that is longer than a jump reaches.
    let mut entries: Vec<Value> = (0..40).map(entry).collect();
    entries.extend((1000..1700).filter(|n| n % 5 != 0 && n % 7 != 0).map(entry));
    let profile = profile(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": entries,
        "architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]}));
    let f = compile_for(&profile, Machine::X86_64).expect("it compiles");
    bpf::verify(&f.program);
    let tables = Tables::new(Machine::X86_64);
    let reference = Reference::new(&profile, &tables);
    let mut verdicts = [0, 0];
    for (architecture, number) in [(X86_64, 16), (X86_64, 0x4000_0202), (I386, 54)] {
        for n in (0..50).chain(990..1710).flat_map(|n| [n, n | 7 << 32, n | 1 << 63]) {
            let data = Data { number, architecture, arguments: [0, 0, n, 0, 0, 0] };
            let got = bpf::run(&f.program, &data).0;
            assert_eq!(got, reference.evaluate(&data), "{data:x?}");
            verdicts[usize::from(got == EPERM)] += 1;
        }
    }
    assert!(verdicts.iter().all(|count| *count > 1000), "{verdicts:?}");
}

#[test]
fn a_hundred_thousand_rules_are_answered_soon() {
    let entry = |n: u64| {
        json!({"names": ["ioctl", "read"], "action": "SCMP_ACT_ERRNO", "errnoRet": n % 4096,
        "args": [{"index": 0, "value": n, "op": "SCMP_CMP_EQ"}]})
    };
    let profile =
        profile(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": (0..100_000).map(entry).collect::<Vec<_>>()}));
    let begin = std::time::Instant::now();
    let refusal = one_line(&compile(&profile).expect_err("too long"));
    assert_eq!(refusal, "seccomp filter is longer than the 4096 instructions the kernel takes");
    println!("100,000 rules refused in {:?}", begin.elapsed());
}

/// Prints what a reader of the measurements wants; instruction counts are asserted, times are not.
#[test]
fn a_container_sized_profile_is_small() {
    for (name, limit) in [("default", 420), ("sandbox", 420), ("strict", 420)] {
        let mut profile = profiles::parsed(name).expect("our profile");
        let whole = compile_for(&profile, Machine::X86_64).expect("it compiles").program.len();
        let listed = profile.architectures().clone();
        profile.set_architectures(None);
        let native = compile_for(&profile, Machine::X86_64).expect("it compiles").program;
        profile.set_architectures(listed);
        let steps = |number| bpf::run(&native, &Data { number, architecture: X86_64, ..Data::default() }).1;
        let (sum, most) = (0..450).map(steps).fold((0, 0), |(sum, most), s| (sum + s, most.max(s)));
        let best = (0..200).map(|_| time(&profile)).min().expect("some runs");
        let names: usize = profile.syscalls().iter().flatten().map(|s| s.names().len()).sum();
        println!(
            "{name}: {names} names, {} instructions for x86_64 alone, {whole} as listed, {} steps a call, at most {most}; compiled in {best:?}",
            native.len(),
            sum / 450,
        );
        assert!(native.len() <= limit, "{name}: {} instructions", native.len());
    }
}

fn time(profile: &LinuxSeccomp) -> std::time::Duration {
    let begin = std::time::Instant::now();
    std::hint::black_box(compile_for(profile, Machine::X86_64).expect("it compiles"));
    begin.elapsed()
}
