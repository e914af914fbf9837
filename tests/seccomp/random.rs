//! Random profiles and calls, drawn from values at which something changes.
use super::bpf::Data;
use super::{I386, X86_64, profile, reference};
use oci_spec::runtime::LinuxSeccomp;
use rrunc::seccomp::abi::Machine;
use serde_json::{Value, json};

/// xorshift64*: the same sequence in every run, so that a failure can be repeated from its seed.
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 33) as usize % limit
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// Names that cover first and last numbers, runs of neighbours, x32's own numbers, i386's multiplexers, ARM's private
/// calls, calls of one architecture only, and a mistake.
const NAMES: [&str; 34] = [
    "read",
    "write",
    "open",
    "close",
    "stat",
    "fstat",
    "ioctl",
    "execve",
    "ptrace",
    "clone",
    "clone3",
    "openat",
    "io_setup",
    "personality",
    "socket",
    "bind",
    "setsockopt",
    "socketcall",
    "semget",
    "shmget",
    "ipc",
    "restart_syscall",
    "mseal",
    "file_setattr",
    "arch_prctl",
    "riscv_flush_icache",
    "cacheflush",
    "set_tls",
    "sync_file_range2",
    "arm_fadvise64_64",
    "s390_runtime_instr",
    "no_such_call",
    "uprobe",
    "pidfd_send_signal",
];
const ACTIONS: [&str; 8] = ["KILL", "KILL_THREAD", "KILL_PROCESS", "TRAP", "ERRNO", "TRACE", "LOG", "ALLOW"];
const OPERATORS: [&str; 7] = ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"];
const VALUES: [u64; 16] = [
    0,
    1,
    2,
    5,
    0xf,
    0x17,
    0x5412,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 32,
    (1 << 32) + 5,
    0x5412 << 32,
    1 << 63,
    u64::MAX - 1,
    u64::MAX,
];
const ARCHITECTURES: [&str; 6] = ["X86_64", "X86", "X32", "AARCH64", "ARM", "RISCV64"];

pub fn random_profile(random: &mut Random) -> LinuxSeccomp {
    let default = *random.pick(&ACTIONS);
    let syscalls: Vec<Value> = (0..random.below(9)).map(|_| random_entry(random)).collect();
    let listed: Vec<String> =
        (0..random.below(5)).map(|_| format!("SCMP_ARCH_{}", random.pick(&ARCHITECTURES))).collect();
    profile(json!({
        "defaultAction": format!("SCMP_ACT_{default}"),
        "defaultErrnoRet": matches!(default, "ERRNO" | "TRACE").then_some(random.below(3)),
        "architectures": listed,
        "syscalls": syscalls,
    }))
}

fn random_entry(random: &mut Random) -> Value {
    let names: Vec<&str> = (0..=random.below(12)).map(|_| *random.pick(&NAMES)).collect();
    let action = *random.pick(&ACTIONS);
    let arguments: Vec<Value> = (0..random.below(5).saturating_sub(1))
        .map(|_| {
            json!({
                "index": random.below(6),
                "value": random.pick(&VALUES),
                "valueTwo": random.pick(&VALUES),
                "op": format!("SCMP_CMP_{}", random.pick(&OPERATORS)),
            })
        })
        .collect();
    json!({
        "names": names,
        "action": format!("SCMP_ACT_{action}"),
        "errnoRet": (matches!(action, "ERRNO" | "TRACE") && random.below(2) == 0).then(|| random.below(4)),
        "args": arguments,
    })
}

pub fn random_data(random: &mut Random, machine: Machine, numbers: &[u32]) -> Data {
    let foreign = [0xc000_0015, 0x8000_0016, 0, I386, X86_64];
    let architecture = match random.below(16) {
        0 => *random.pick(&foreign),
        _ => random.pick(machine.abis()).audit_arch(),
    };
    let number = match random.below(16) {
        0 => random.next() as u32,
        1 => *random.pick(&[u32::MAX, u32::MAX - 1, 0x3fff_ffff, 0x4000_0000, 0x7fff_ffff, 0x8000_0000]),
        _ => random.pick(numbers).wrapping_add(random.below(3) as u32).wrapping_sub(1),
    };
    let arguments = std::array::from_fn(|_| match random.below(4) {
        0 => random.next() >> random.below(64),
        1 => *random.pick(&[1, 2, 14, 23, 0x1_0002]),
        _ => random.pick(&VALUES).wrapping_add(random.below(2) as u64),
    });
    Data { number, architecture, arguments }
}

/// The numbers of the random profiles' names in every ABI of a machine.
pub fn numbers_of_names(machine: Machine) -> Vec<u32> {
    let all = machine.abis().iter().flat_map(|abi| reference::calls(*abi));
    all.filter(|(name, _)| NAMES.contains(name)).map(|(_, number)| number).collect()
}
