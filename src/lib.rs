//! rrunc as a library: only the module list, so that tests, fuzz targets and the man page generator can link it.
//! Start reading at `verbs::run`, then `spawn`, then `init`.
pub mod bundle;
pub mod cgroup;
pub mod cli;
pub mod clock;
pub mod console;
pub mod cpulist;
pub mod doctor;
pub mod error;
pub mod hooks;
pub mod host;
pub mod init;
pub mod log;
pub mod nameserver;
pub mod notify;
pub mod plan;
pub mod printable;
pub mod relay;
pub mod sandbox;
pub mod seccomp;
pub mod spawn;
pub mod state;
pub mod supervise;
pub mod sys;
pub mod usage;
pub mod verbs;
pub mod watchdog;
