//! System call names and their numbers in every ABI, as one hash table computed at compile time.
//!
//! The names come from the `syscalls` crate, whose own lookup compares strings one after the other: too slow for a
//! profile of 430 names and three ABIs on the start path. Here a name costs one hash and, as a rule, one comparison,
//! and yields an index that serves all ABIs.
use super::abi::{self, ARM_PRIVATE, Abi, X32_BIT};

/// Upper bound of distinct calls, over all architectures; the table's construction fails to compile when it is short.
const MAX_CALLS: usize = 720;
/// Upper bound of the bytes of all names.
const MAX_TEXT: usize = 10240;
/// Slots of the hash table, a power of two and well above [`MAX_CALLS`].
const SLOTS: usize = 2048;
/// Upper bound of calls in one ABI.
const MAX_NUMBERS: usize = 512;

/// A call known by name: an index below [`count`].
pub type Call = u16;

struct Numbers {
    length: usize,
    /// (number, call), ascending by number.
    of: [(u32, Call); MAX_NUMBERS],
}

/// Without a pointer in it: the program would have to write them all when it starts, whether there is a profile or not.
struct Table {
    count: usize,
    /// The names, one after the other.
    text: [u8; MAX_TEXT],
    /// Where each one ends.
    ends: [u16; MAX_CALLS],
    /// The call itself, or for an alias the call it stands for.
    meaning: [Call; MAX_CALLS],
    /// Call + 1 and the name's hash by hash slot, 0 = free; collisions go to the next slot.
    slots: [(Call, u32); SLOTS],
    numbers: [Numbers; abi::COUNT],
}

static TABLE: Table = build();

/// Calls whose x32 number is not the x86_64 number with bit 30: 512 and up, in the kernel's order
/// (arch/x86/entry/syscalls/syscall_64.tbl). They take structures that differ in 32 bits.
const X32_OWN: [&str; 36] = [
    "rt_sigaction",
    "rt_sigreturn",
    "ioctl",
    "readv",
    "writev",
    "recvfrom",
    "sendmsg",
    "recvmsg",
    "execve",
    "ptrace",
    "rt_sigpending",
    "rt_sigtimedwait",
    "rt_sigqueueinfo",
    "sigaltstack",
    "timer_create",
    "mq_notify",
    "kexec_load",
    "waitid",
    "set_robust_list",
    "get_robust_list",
    "vmsplice",
    "move_pages",
    "preadv",
    "pwritev",
    "rt_tgsigqueueinfo",
    "recvmmsg",
    "sendmmsg",
    "process_vm_readv",
    "process_vm_writev",
    "setsockopt",
    "getsockopt",
    "io_setup",
    "io_submit",
    "execveat",
    "preadv2",
    "pwritev2",
];

/// ARM's private calls (arch/arm/include/uapi/asm/unistd.h), under libseccomp's names.
const ARM_OWN: [(&str, u32); 6] =
    [("breakpoint", 1), ("cacheflush", 2), ("usr26", 3), ("usr32", 4), ("set_tls", 5), ("get_tls", 6)];

/// Second names of a call: (alias, name). The headers call ARM's number 341 both ways.
const ALIASES: [(&str, &str); 1] = [("arm_sync_file_range", "sync_file_range2")];

/// The call of that name, if any architecture has one.
pub fn find(name: &str) -> Option<Call> {
    TABLE.find(name)
}

/// How many calls there are: every [`Call`] is below it.
pub fn count() -> usize {
    TABLE.count
}

/// (number, call) of every call of an ABI, ascending by number.
pub fn numbers(abi: Abi) -> &'static [(u32, Call)] {
    let numbers = &TABLE.numbers[abi as usize];
    &numbers.of[..numbers.length]
}

/// The name of a call.
pub fn name(call: Call) -> &'static str {
    std::str::from_utf8(TABLE.name(call)).unwrap_or_default()
}

impl Abi {
    /// The name of a number where the `syscalls` crate, which reads asm-generic/unistd.h without its conditions, has
    /// another: empty for one that is not there.
    const fn corrected(self, name: &'static str, number: u32) -> &'static str {
        if !matches!(self, Abi::Aarch64 | Abi::Riscv64) {
            return name;
        }
        match number {
            79 => "newfstatat",
            // The variants with 64-bit time are for 32-bit architectures.
            403..=423 => "",
            _ => name,
        }
    }
}

impl Table {
    const fn name(&self, call: Call) -> &[u8] {
        let start = if call == 0 { 0 } else { self.ends[call as usize - 1] };
        self.text.split_at(self.ends[call as usize] as usize).0.split_at(start as usize).1
    }

    const fn find(&self, name: &str) -> Option<Call> {
        let hash = hash(name);
        let mut slot = hash as usize % SLOTS;
        while self.slots[slot].0 != 0 {
            let (call, other) = self.slots[slot];
            if other == hash && same(self.name(call - 1), name.as_bytes()) {
                return Some(self.meaning[call as usize - 1]);
            }
            slot = (slot + 1) % SLOTS;
        }
        None
    }

    /// The call of that name, made when it is new.
    const fn add(&mut self, name: &str) -> Call {
        if let Some(call) = self.find(name) {
            return call;
        }
        let call = self.count as Call;
        let mut end = if self.count == 0 { 0 } else { self.ends[self.count - 1] as usize };
        let mut i = 0;
        while i < name.len() {
            self.text[end] = name.as_bytes()[i];
            (end, i) = (end + 1, i + 1);
        }
        self.ends[self.count] = end as u16;
        self.meaning[self.count] = call;
        self.count += 1;
        let hash = hash(name);
        let mut slot = hash as usize % SLOTS;
        while self.slots[slot].0 != 0 {
            slot = (slot + 1) % SLOTS;
        }
        self.slots[slot] = (call + 1, hash);
        call
    }

    const fn number(&mut self, abi: Abi, number: u32, call: Call) {
        let numbers = &mut self.numbers[abi as usize];
        assert!(numbers.length == 0 || numbers.of[numbers.length - 1].0 < number);
        numbers.of[numbers.length] = (number, call);
        numbers.length += 1;
    }
}

/// FNV-1a, 32 bits.
const fn hash(name: &str) -> u32 {
    let bytes = name.as_bytes();
    let mut hash = 0x811c_9dc5_u32;
    let mut i = 0;
    while i < bytes.len() {
        hash = (hash ^ bytes[i] as u32).wrapping_mul(0x0100_0193);
        i += 1;
    }
    hash ^ hash >> 15
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

/// Adds the names of one architecture of the `syscalls` crate, and their numbers if an ABI of ours is given.
macro_rules! add_architecture {
    ($table:ident, $architecture:ident $(, $abi:expr)?) => {{
        use syscalls::$architecture::Sysno;
        let mut id = Sysno::first().id();
        while id <= Sysno::last().id() {
            if let Some(sysno) = Sysno::new(id as usize) {
                let name = sysno.name();
                $( let name = $abi.corrected(name, id as u32); )?
                if !name.is_empty() {
                    let _call = $table.add(name);
                    $( $table.number($abi, id as u32, _call); )?
                }
            }
            id += 1;
        }
    }};
}

// Evaluated once, by the compiler.
#[allow(long_running_const_eval)]
const fn build() -> Table {
    const NONE: Numbers = Numbers { length: 0, of: [(0, 0); MAX_NUMBERS] };
    let mut table = Table {
        count: 0,
        text: [0; MAX_TEXT],
        ends: [0; MAX_CALLS],
        meaning: [0; MAX_CALLS],
        slots: [(0, 0); SLOTS],
        numbers: [NONE; abi::COUNT],
    };
    let mut i = 0;
    while i < ALIASES.len() {
        let (call, alias) = (table.add(ALIASES[i].1), table.add(ALIASES[i].0));
        table.meaning[alias as usize] = call;
        i += 1;
    }
    add_architecture!(table, x86_64, Abi::X86_64);
    add_architecture!(table, x86, Abi::X86);
    add_architecture!(table, aarch64, Abi::Aarch64);
    add_architecture!(table, arm, Abi::Arm);
    add_architecture!(table, riscv64, Abi::Riscv64);
    add_x32(&mut table);
    let mut i = 0;
    while i < ARM_OWN.len() {
        let call = table.add(ARM_OWN[i].0);
        table.number(Abi::Arm, ARM_PRIVATE + ARM_OWN[i].1, call);
        i += 1;
    }
    // Profiles written for every architecture name calls that exist on these only; they are no mistakes.
    add_architecture!(table, loongarch64);
    add_architecture!(table, mips);
    add_architecture!(table, mips64);
    add_architecture!(table, powerpc);
    add_architecture!(table, powerpc64);
    add_architecture!(table, s390x);
    add_architecture!(table, sparc64);
    table
}

const fn add_x32(table: &mut Table) {
    let mut i = 0;
    while i < table.numbers[Abi::X86_64 as usize].length {
        let (number, call) = table.numbers[Abi::X86_64 as usize].of[i];
        let mut own = false;
        let mut j = 0;
        while j < X32_OWN.len() {
            own = own || same(X32_OWN[j].as_bytes(), table.name(call));
            j += 1;
        }
        if !own {
            table.number(Abi::X32, X32_BIT | number, call);
        }
        i += 1;
    }
    let mut j = 0;
    while j < X32_OWN.len() {
        let call = table.add(X32_OWN[j]);
        table.number(Abi::X32, X32_BIT | (512 + j as u32), call);
        j += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(abi: Abi, name: &str) -> Option<u32> {
        let call = find(name)?;
        numbers(abi).iter().find(|(_, c)| *c == call).map(|(n, _)| *n)
    }

    #[test]
    fn every_name_is_found_and_is_its_own() {
        for call in 0..count() as Call {
            let alias = ALIASES.iter().find(|(alias, _)| *alias == name(call));
            let meant = alias.map_or(Some(call), |(_, other)| find(other));
            assert_eq!(find(name(call)), meant, "{}", name(call));
        }
        assert_eq!(find("no_such_call"), None);
        assert_eq!(find(""), None);
    }

    #[test]
    fn numbers_are_those_of_the_kernel_headers() {
        assert_eq!(number(Abi::X86_64, "execve"), Some(59));
        assert_eq!(number(Abi::X32, "execve"), Some(X32_BIT | 520));
        assert_eq!(number(Abi::X32, "pwritev2"), Some(X32_BIT | 547));
        assert_eq!(number(Abi::X32, "read"), Some(X32_BIT));
        assert_eq!(number(Abi::X86, "socketcall"), Some(102));
        assert_eq!(number(Abi::Aarch64, "openat"), Some(56));
        assert_eq!(number(Abi::Riscv64, "riscv_flush_icache"), Some(259));
        assert_eq!(number(Abi::Arm, "set_tls"), Some(0xf_0005));
        assert_eq!(number(Abi::Arm, "arm_sync_file_range"), Some(341));
        assert_eq!(number(Abi::X86_64, "socketcall"), None);
    }
}
