//! The meaning of a profile, written down as plainly as possible and without the compiler's tables: call by call, the
//! rules are looked through from the top.
use super::bpf::Data;
use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArg, LinuxSeccompOperator as Operator, LinuxSyscall,
};
use rrunc::seccomp::abi::{Abi, Machine};
use std::collections::{HashMap, HashSet};

const KILL_PROCESS: u32 = 0x8000_0000;
const ENOSYS: u32 = 0x0005_0000 | 38;
const X32_BIT: u32 = 0x4000_0000;

/// The calls of an ABI, and the numbers above which it has no ordinary ones: (name, number).
pub fn calls(abi: Abi) -> Vec<(&'static str, u32)> {
    macro_rules! table {
        ($architecture:ident) => {{
            use syscalls::$architecture::Sysno;
            (0..600).filter_map(Sysno::new).map(|call| (call.name(), call.id() as u32)).collect::<Vec<_>>()
        }};
    }
    match abi {
        Abi::X86_64 => table!(x86_64),
        Abi::X86 => table!(x86),
        Abi::Aarch64 => generic(table!(aarch64)),
        Abi::Riscv64 => generic(table!(riscv64)),
        Abi::Arm => {
            let private =
                [("breakpoint", 1), ("cacheflush", 2), ("usr26", 3), ("usr32", 4), ("set_tls", 5), ("get_tls", 6)];
            let mut calls = table!(arm);
            calls.extend(private.map(|(name, number)| (name, 0xf_0000 + number)));
            calls
        }
        Abi::X32 => {
            // __X32_SYSCALL_BIT + 512… of asm/unistd_x32.h, as far as the random profiles name them.
            let own = HashMap::from([
                ("ioctl", 514),
                ("execve", 520),
                ("ptrace", 521),
                ("setsockopt", 541),
                ("io_setup", 543),
            ]);
            table!(x86_64).into_iter().map(|(name, n)| (name, X32_BIT | own.get(name).copied().unwrap_or(n))).collect()
        }
    }
}

/// asm-generic/unistd.h as 64-bit architectures mean it.
fn generic(mut calls: Vec<(&'static str, u32)>) -> Vec<(&'static str, u32)> {
    calls.retain(|(_, number)| !(403..=423).contains(number));
    for call in calls.iter_mut().filter(|call| call.0 == "fstatat") {
        call.0 = "newfstatat";
    }
    calls
}

/// The calls of one machine, to be read from once for many profiles.
pub struct Tables {
    machine: Machine,
    abis: Vec<(Abi, HashMap<u32, &'static str>)>,
}

impl Tables {
    pub fn new(machine: Machine) -> Self {
        let table = |abi: &Abi| (*abi, calls(*abi).into_iter().map(|(name, number)| (number, name)).collect());
        Tables { machine, abis: machine.abis().iter().map(table).collect() }
    }

    fn of(&self, abi: Abi) -> &HashMap<u32, &'static str> {
        &self.abis.iter().find(|(a, _)| *a == abi).expect("an ABI of this machine").1
    }
}

/// A profile for one machine, ready to answer.
pub struct Reference<'a> {
    profile: &'a LinuxSeccomp,
    tables: &'a Tables,
    /// The largest number the profile names: of ordinary calls, and of ARM's private ones.
    largest: Vec<(Abi, Option<u32>, Option<u32>)>,
}

impl<'a> Reference<'a> {
    pub fn new(profile: &'a LinuxSeccomp, tables: &'a Tables) -> Self {
        let named: HashSet<&str> =
            profile.syscalls().iter().flatten().flat_map(|s| s.names()).map(|n| n.as_str()).collect();
        let is_named = |name: &str| named.iter().any(|n| same(n, name));
        let largest = tables.abis.iter().map(|(abi, calls)| {
            let numbers = || calls.iter().filter(|(_, name)| is_named(name)).map(|(number, _)| *number);
            let private = |n: &u32| *abi == Abi::Arm && *n >= 0xf_0000;
            (*abi, numbers().filter(|n| !private(n)).max(), numbers().filter(private).max())
        });
        Reference { profile, tables, largest: largest.collect() }
    }

    pub fn evaluate(&self, data: &Data) -> u32 {
        let Some(abi) = self.abi(data) else { return KILL_PROCESS };
        if !self.covers(abi) {
            return KILL_PROCESS;
        }
        if data.number > self.largest(abi, data.number) {
            return self.newer();
        }
        let Some(name) = self.tables.of(abi).get(&data.number) else { return self.default() };
        self.rules(abi, name, data)
    }

    fn abi(&self, data: &Data) -> Option<Abi> {
        let x32 =
            data.number & X32_BIT != 0 && data.number < 0x8000_0000 || (0x8000_0000..u32::MAX).contains(&data.number);
        let x32 = x32 && data.architecture == Abi::X86_64.audit_arch();
        self.tables
            .machine
            .abis()
            .iter()
            .copied()
            .find(|a| a.audit_arch() == data.architecture && (*a == Abi::X32) == x32)
    }

    fn covers(&self, abi: Abi) -> bool {
        let listed = self.profile.architectures().iter().flatten().any(|arch| match arch {
            Arch::ScmpArchX86_64 => abi == Abi::X86_64,
            Arch::ScmpArchX86 => abi == Abi::X86,
            Arch::ScmpArchX32 => abi == Abi::X32,
            Arch::ScmpArchAarch64 => abi == Abi::Aarch64,
            Arch::ScmpArchArm => abi == Abi::Arm,
            Arch::ScmpArchRiscv64 => abi == Abi::Riscv64,
            _ => false,
        });
        listed || abi == self.tables.machine.native()
    }

    /// The number above which calls are newer than the profile.
    fn largest(&self, abi: Abi, number: u32) -> u32 {
        let (_, ordinary, private) = self.largest.iter().find(|(a, ..)| *a == abi).expect("an ABI of this machine");
        match if number >= 0xf_0000 { private.or(*ordinary) } else { *ordinary } {
            Some(largest) => largest,
            // Nothing is named: there is no telling what is newer, so all get the default. -1 is no call at all.
            None if number == u32::MAX && abi == Abi::X86_64 => 0,
            None => u32::MAX,
        }
    }

    fn default(&self) -> u32 {
        self.profile.default_action().as_u32(self.profile.default_errno_ret())
    }

    fn newer(&self) -> u32 {
        match self.profile.default_action() {
            Action::ScmpActAllow | Action::ScmpActLog | Action::ScmpActTrace => self.default(),
            _ => ENOSYS,
        }
    }

    /// The entries for a call that are not what happens anyway.
    fn entries<'b>(&'b self, name: &'b str) -> impl Iterator<Item = (&'b LinuxSyscall, u32)> {
        let all = self.profile.syscalls().iter().flatten().map(|s| (s, s.action().as_u32(s.errno_ret())));
        all.filter(move |(s, action)| *action != self.default() && s.names().iter().any(|n| same(n, name)))
    }

    fn rules(&self, abi: Abi, name: &str, data: &Data) -> u32 {
        if let Some((_, action)) = self.entries(name).find(|(s, _)| arguments(s).is_empty()) {
            return action;
        }
        if let Some((_, action)) = self.entries(name).find(|(s, _)| holds(arguments(s), data, abi)) {
            return action;
        }
        if abi == Abi::X86
            && let Some(action) = member(name, data.arguments[0]).and_then(|member| self.multiplexed(member))
        {
            return action;
        }
        self.default()
    }

    fn multiplexed(&self, member: &str) -> Option<u32> {
        if let Some((_, action)) = self.entries(member).find(|(s, _)| arguments(s).is_empty()) {
            return Some(action);
        }
        let strictest = self.entries(member).map(|(_, a)| a).min_by_key(|a| (a & 0xffff_0000) as i32)?;
        ((strictest & 0xffff_0000) as i32).lt(&((self.default() & 0xffff_0000) as i32)).then_some(strictest)
    }
}

fn same(profile: &str, table: &str) -> bool {
    profile == table || (profile == "sync_file_range2" && table == "arm_sync_file_range")
}

fn arguments(entry: &LinuxSyscall) -> &[LinuxSeccompArg] {
    entry.args().as_deref().unwrap_or_default()
}

fn holds(conditions: &[LinuxSeccompArg], data: &Data, abi: Abi) -> bool {
    let mut one = conditions.iter().map(|c| compare(c, data.arguments[c.index()], abi.narrow()));
    let twice = conditions.iter().any(|a| conditions.iter().filter(|b| a.index() == b.index()).count() > 1);
    if twice { one.any(|holds| holds) } else { one.all(|holds| holds) }
}

fn compare(condition: &LinuxSeccompArg, argument: u64, narrow: bool) -> bool {
    let width = if narrow { u64::from(u32::MAX) } else { u64::MAX };
    let (argument, value) = (argument & width, condition.value() & width);
    let two = condition.value_two().unwrap_or(0) & width;
    match condition.op() {
        Operator::ScmpCmpNe => argument != value,
        Operator::ScmpCmpLt => argument < value,
        Operator::ScmpCmpLe => argument <= value,
        Operator::ScmpCmpEq => argument == value,
        Operator::ScmpCmpGe => argument >= value,
        Operator::ScmpCmpGt => argument > value,
        Operator::ScmpCmpMaskedEq => argument & value == two & value,
    }
}

/// The member that i386's multiplexers call, of those that the random profiles name.
fn member(multiplexer: &str, index: u64) -> Option<&'static str> {
    match (multiplexer, index as u32) {
        ("socketcall", 1) => Some("socket"),
        ("socketcall", 2) => Some("bind"),
        ("socketcall", 14) => Some("setsockopt"),
        ("ipc", index) => match index & 0xffff {
            2 => Some("semget"),
            23 => Some("shmget"),
            _ => None,
        },
        _ => None,
    }
}
