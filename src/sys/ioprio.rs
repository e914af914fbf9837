//! ioprio_set(2).
use super::check;

const IOPRIO_WHO_PGRP: libc::c_int = 2;
const IOPRIO_CLASS_SHIFT: u32 = 13;

/// Classes of linux/ioprio.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Served first; takes CAP_SYS_NICE or CAP_SYS_ADMIN on the host.
    RealTime = 1,
    /// The usual one.
    BestEffort = 2,
    /// Served when nobody else wants the disk.
    Idle = 3,
}

/// Sets class and level (0 the highest, 7 the lowest) of every process in the caller's process group.
pub fn set(class: Class, level: u8) -> nix::Result<()> {
    let value = (class as u32) << IOPRIO_CLASS_SHIFT | u32::from(level);
    // SAFETY: plain numbers.
    check(unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PGRP, 0, value) }).map(drop)
}
