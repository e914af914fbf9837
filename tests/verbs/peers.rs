//! What suites and clients of other runtimes rely on, each beside crun and runc where those run.
mod filters;
mod places;
mod process;

use crate::ids::ranges;
use crate::support::{Bundle, Call, Lacks, Stage, find_program, gid, program, skip, uid};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Another runtime, with a state directory of its own.
pub struct Peer {
    path: PathBuf,
    root: PathBuf,
}

impl Peer {
    /// A call of it.
    pub fn call(&self, stage: &Stage, bundle: &Bundle, args: &[&str]) -> Call {
        let root = self.root.to_str().expect("a plain path");
        stage.call_program(&self.path, &[&["--root", root], args].concat()).cwd(bundle.path())
    }

    pub fn name(&self) -> String {
        self.path.display().to_string()
    }
}

/// crun and runc, as far as they are here and run a plain container as we are called.
pub fn peers(stage: &Stage) -> Vec<Peer> {
    let mut found = Vec::new();
    for (name, lacks) in [("crun", "a crun that runs here"), ("runc", "a runc that runs here")] {
        let Some(path) = find_program(name).filter(|_| program() == "rrunc") else { continue };
        let peer = Peer { path, root: stage.dir().join(name) };
        let bundle = stage.bundle_named(&format!("{name}-smoke"));
        let out = peer.call(stage, &bundle, &["run", "smoke"]).run();
        if out.code == 0 { found.push(peer) } else { skip(Lacks::Machine(lacks)) }
    }
    found
}

/// A map of the caller's ids and 2000 of each range, and the program run by `user`.
fn with_range(bundle: &Bundle, user: u32) -> Option<()> {
    let ((first_uid, _), (first_gid, _)) = ranges()?;
    let map = |own: u32, first: u32| json!([{"containerID": 0, "hostID": own, "size": 1}, {"containerID": 1, "hostID": first, "size": 2000}]);
    bundle
        .set("/linux/uidMappings", map(uid(), first_uid))
        .set("/linux/gidMappings", map(gid(), first_gid))
        .set("/process/user", json!({"uid": user, "gid": user}));
    Some(())
}

/// What a program gets of a list from before 2020: the calls that busybox's shell and echo make, and those of runtimes of then.
const OLD_LIST: &str = "accept4 access arch_prctl brk capget capset chdir chown clock_gettime clock_nanosleep clone close connect dup dup2 \
    dup3 epoll_create1 epoll_ctl epoll_pwait eventfd2 execve exit exit_group faccessat fchdir fchown fcntl fork fstat fstatfs \
    futex getcwd getdents64 getegid geteuid getgid getpgrp getpid getppid getrlimit gettid getuid ioctl kill lseek lstat \
    madvise mmap mprotect mremap munmap nanosleep newfstatat open openat pipe pipe2 poll ppoll prctl pread64 prlimit64 read readlink \
    readlinkat recvfrom recvmsg rt_sigaction rt_sigprocmask rt_sigreturn sched_getaffinity sched_yield sendmsg sendto setgid \
    setgroups set_robust_list setresgid setresuid setsid set_tid_address setuid sigaltstack socket stat statfs tgkill tkill \
    umask uname wait4 write writev";

fn list(names: &str) -> Value {
    let names: Vec<&str> = names.split_whitespace().collect();
    json!({"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"}]})
}
