//! set_mempolicy(2).
use super::check;

/// Sets the memory policy of the calling process: `mode` with its flags (MPOL_*), over the nodes of a bit mask, which
/// is empty for the modes that take none. ENOSYS on a kernel without CONFIG_NUMA.
pub fn set(mode: u32, nodes: &[u64]) -> nix::Result<()> {
    // The kernel reads one bit less than it is told (get_nodes() in mm/mempolicy.c).
    let bits = if nodes.is_empty() { 0 } else { size_of_val(nodes) * 8 + 1 };
    let mask = if nodes.is_empty() { std::ptr::null() } else { nodes.as_ptr() };
    // SAFETY: `mask` is null with no bits, or points to the bits counted.
    check(unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, mask, bits) }).map(drop)
}
