//! The only unsafe code of rrunc: thin typed wrappers around system calls that nix and std do not offer.
//! Each file is named after the kernel's own term for what it wraps.
pub mod descriptor;
pub mod pidfd;
pub mod seccomp;
pub mod signal;
pub mod terminal;
