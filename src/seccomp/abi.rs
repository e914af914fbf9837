//! The system call ABIs a filter can tell apart, and which of them one machine's kernel can report.
//!
//! The kernel gives the filter an AUDIT_ARCH_* value (linux/audit.h). x32 has none of its own: it is x86_64 with bit 30
//! set in the number, so a filter that looks at the architecture only lets every x32 call through as "unknown".
use oci_spec::runtime::Arch;

/// Added to every x32 call number (`__X32_SYSCALL_BIT`, asm/unistd.h).
pub const X32_BIT: u32 = 0x4000_0000;

/// ARM's private calls (`__ARM_NR_BASE`: cacheflush, set_tls…) start here, far above the ordinary ones.
pub const ARM_PRIVATE: u32 = 0x000f_0000;

/// A set of system call numbers and an argument width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Abi {
    /// 64-bit x86.
    X86_64,
    /// 32-bit x86 (i386), as run by an x86_64 kernel too.
    X86,
    /// 32-bit pointers in 64-bit mode, told from x86_64 by [`X32_BIT`].
    X32,
    /// 64-bit ARM.
    Aarch64,
    /// 32-bit ARM (EABI), as run by an aarch64 kernel too.
    Arm,
    /// 64-bit RISC-V.
    Riscv64,
}

/// How many variants [`Abi`] has.
pub const COUNT: usize = 6;

impl Abi {
    /// The ABI that OCI's name stands for; none when rrunc has no table for it.
    pub fn from_oci(arch: Arch, machine: Machine) -> Option<Abi> {
        match arch {
            Arch::ScmpArchNative => Some(machine.native()),
            Arch::ScmpArchX86_64 => Some(Abi::X86_64),
            Arch::ScmpArchX86 => Some(Abi::X86),
            Arch::ScmpArchX32 => Some(Abi::X32),
            Arch::ScmpArchAarch64 => Some(Abi::Aarch64),
            Arch::ScmpArchArm => Some(Abi::Arm),
            Arch::ScmpArchRiscv64 => Some(Abi::Riscv64),
            _ => None,
        }
    }

    /// The AUDIT_ARCH_* value in `seccomp_data.arch` (linux/audit.h: ELF machine, 64-bit flag, little-endian flag).
    pub fn audit_arch(self) -> u32 {
        match self {
            Abi::X86_64 | Abi::X32 => 0xc000_003e,
            Abi::X86 => 0x4000_0003,
            Abi::Aarch64 => 0xc000_00b7,
            Abi::Arm => 0x4000_0028,
            Abi::Riscv64 => 0xc000_00f3,
        }
    }

    /// Whether arguments are 32 bits wide. Comparisons then look at the low half only, and cut the profile's values to
    /// it, as libseccomp does: under x32 the upper half may hold anything, and -1 is written with 64 bits in profiles.
    pub fn narrow(self) -> bool {
        matches!(self, Abi::X86 | Abi::X32 | Abi::Arm)
    }
}

/// The machine a filter is made for: its kernel's own ABI and the others it can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// x86_64, with x86 and x32.
    X86_64,
    /// aarch64, with arm.
    Aarch64,
    /// riscv64 alone.
    Riscv64,
}

impl Machine {
    /// The machine this binary is built for.
    pub const HERE: Machine = if cfg!(target_arch = "aarch64") {
        Machine::Aarch64
    } else if cfg!(target_arch = "riscv64") {
        Machine::Riscv64
    } else {
        Machine::X86_64
    };

    /// The ABI that every filter covers, listed or not.
    pub fn native(self) -> Abi {
        self.abis()[0]
    }

    /// Every ABI the kernel of this machine can report, the native one first.
    pub fn abis(self) -> &'static [Abi] {
        match self {
            Machine::X86_64 => &[Abi::X86_64, Abi::X86, Abi::X32],
            Machine::Aarch64 => &[Abi::Aarch64, Abi::Arm],
            Machine::Riscv64 => &[Abi::Riscv64],
        }
    }
}
