//! The floor: only the system calls that such a container needs, with everything decided beforehand. What a runtime takes
//! beyond it is its own. `bench floor plain|net|full ROOTFS [FILTER]` runs /bin/true in ROOTFS.
use crate::filter;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::CloneFlags;
use nix::sys::stat::{Mode, SFlag, mknod};
use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::Path;
use std::process::ExitCode;

/// Paths hidden in every bundle of the bench.
pub const MASKED: [&str; 10] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/sys/firmware",
    "/proc/scsi",
];

/// Paths made read-only in every bundle of the bench.
pub const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// CAP_KILL, CAP_NET_BIND_SERVICE and CAP_AUDIT_WRITE, by number.
const KEPT: [u32; 3] = [5, 10, 29];

/// The profile compiled, as the bytes of its program.
pub fn filter(profile: serde_json::Value) -> io::Result<Vec<u8>> {
    let profile = serde_json::from_value(profile)?;
    let filter = rrunc::seccomp::compile(&profile).map_err(io::Error::other)?;
    Ok(filter::bytes(&filter.program))
}

/// Entry of the floor program.
pub fn main(arguments: &[String]) -> ExitCode {
    let [bundle, rootfs, filter @ ..] = arguments else { return ExitCode::from(2) };
    match run(bundle, rootfs, filter.first()) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("floor: {error}");
            ExitCode::from(99)
        }
    }
}

fn run(bundle: &str, rootfs: &str, filter: Option<&String>) -> io::Result<u8> {
    let filter = filter.map(|path| fs::read(path).map(|bytes| filter::instructions(&bytes))).transpose()?;
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    let mut flags = CloneFlags::CLONE_NEWUSER
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWIPC;
    if bundle != "plain" {
        flags |= CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWCGROUP;
    }
    // SAFETY: an all-zero clone_args is valid; the call copies it. The child goes on with its own copy of this memory, as
    // after fork, and this program has one thread.
    let pid = unsafe {
        let mut arguments: libc::clone_args = std::mem::zeroed();
        arguments.flags = u64::from(flags.bits().cast_unsigned());
        arguments.exit_signal = u64::from(libc::SIGCHLD.cast_unsigned());
        libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<libc::clone_args>())
    };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    if pid == 0 {
        let error = inside(rootfs, uid.as_raw(), gid.as_raw(), filter.as_deref()).expect_err("execve does not return");
        eprintln!("floor: inside: {error}");
        return Ok(98);
    }
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).map_err(io::Error::other)?);
    match nix::sys::wait::waitpid(pid, None)? {
        nix::sys::wait::WaitStatus::Exited(_, 0) => Ok(0),
        status => Err(io::Error::other(format!("{status:?}"))),
    }
}

fn inside(rootfs: &str, uid: u32, gid: u32, filter: Option<&[libc::sock_filter]>) -> io::Result<()> {
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("0 {gid} 1"))?;
    nix::unistd::sethostname("runc")?;
    attach(None, "/", None, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None)?;
    attach(Some(rootfs), rootfs, None, MsFlags::MS_BIND | MsFlags::MS_REC, None)?;
    std::env::set_current_dir(rootfs)?;
    attach(Some("proc"), "proc", Some("proc"), MsFlags::empty(), None)?;
    devices()?;
    attach(Some("/sys"), "sys", None, MsFlags::MS_BIND | MsFlags::MS_REC, None)?;
    let sealed = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOEXEC;
    attributes("sys", libc::AT_RECURSIVE, sealed)?;
    cover()?;
    nix::unistd::pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    attributes("/", 0, libc::MOUNT_ATTR_RDONLY)?;
    std::env::set_current_dir("/")?;
    restrict(filter)?;
    nix::unistd::execve(c"/bin/true", &[c"/bin/true"], &[c"PATH=/bin"])?;
    Ok(())
}

fn devices() -> io::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_STRICTATIME;
    attach(Some("tmpfs"), "dev", Some("tmpfs"), flags, Some("mode=755,size=65536k"))?;
    let links = [("/proc/self/fd", "fd"), ("/proc/self/fd/0", "stdin"), ("/proc/self/fd/1", "stdout")];
    for (target, name) in links.into_iter().chain([("/proc/self/fd/2", "stderr"), ("pts/ptmx", "ptmx")]) {
        symlink(target, Path::new("dev").join(name))?;
    }
    for name in ["null", "zero", "full", "tty", "random", "urandom"] {
        let (host, node) = (format!("/dev/{name}"), format!("dev/{name}"));
        mknod(node.as_str(), SFlag::S_IFREG, Mode::from_bits_truncate(0o666), 0)?;
        attach(Some(&host), &node, None, MsFlags::MS_BIND, None)?;
    }
    let directory = |name: &str, mode| fs::DirBuilder::new().mode(mode).create(name);
    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    directory("dev/pts", 0o755)?;
    attach(Some("devpts"), "dev/pts", Some("devpts"), quiet, Some("newinstance,ptmxmode=0666,mode=0620"))?;
    directory("dev/shm", 0o1777)?;
    attach(Some("shm"), "dev/shm", Some("tmpfs"), quiet | MsFlags::MS_NODEV, Some("mode=1777,size=65536k"))?;
    directory("dev/mqueue", 0o755)?;
    attach(Some("mqueue"), "dev/mqueue", Some("mqueue"), quiet | MsFlags::MS_NODEV, None)
}

/// Masked and read-only paths, as seen from the rootfs.
fn cover() -> io::Result<()> {
    for path in MASKED.map(|path| &path[1..]) {
        // Looked at first: a bind mount that fails costs an RCU grace period.
        let Ok(meta) = fs::symlink_metadata(path) else { continue };
        if meta.is_dir() {
            attach(Some("tmpfs"), path, Some("tmpfs"), MsFlags::MS_RDONLY, Some("nr_blocks=1,nr_inodes=1"))?;
        } else {
            attach(Some("/dev/null"), path, None, MsFlags::MS_BIND, None)?;
        }
    }
    for path in READ_ONLY.map(|path| &path[1..]) {
        if fs::symlink_metadata(path).is_ok() {
            attach(Some(path), path, None, MsFlags::MS_BIND | MsFlags::MS_REC, None)?;
            attributes(path, libc::AT_RECURSIVE, libc::MOUNT_ATTR_RDONLY)?;
        }
    }
    Ok(())
}

/// Resource limit, capabilities, no_new_privs, seccomp.
fn restrict(filter: Option<&[libc::sock_filter]>) -> io::Result<()> {
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, 1024, 1024)?;
    for capability in (0..=40).filter(|number| !KEPT.contains(number)) {
        // SAFETY: plain numbers.
        unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(capability), 0, 0, 0) };
    }
    let kept = KEPT.iter().fold(0_u32, |set, number| set | 1 << number);
    // The kernel's __user_cap_header_struct of version 3 and its two halves of effective, permitted, inheritable.
    let header = [0x2008_0522_u32, 0];
    let sets = [[kept, kept, 0], [0, 0, 0]];
    // SAFETY: both arrays have the layout that version 3 asks for.
    check(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) })?;
    nix::sys::prctl::set_no_new_privs()?;
    if let Some(filter) = filter {
        filter::load(filter, 0)?;
    }
    Ok(())
}

fn attach(from: Option<&str>, to: &str, kind: Option<&str>, flags: MsFlags, data: Option<&str>) -> io::Result<()> {
    mount(from, to, kind, flags, data).map_err(|error| io::Error::other(format!("mount {to}: {error}")))
}

fn attributes(path: &str, flags: i32, set: u64) -> io::Result<()> {
    let path = CString::new(path)?;
    let attributes = libc::mount_attr { attr_set: set, attr_clr: 0, propagation: 0, userns_fd: 0 };
    let size = size_of::<libc::mount_attr>();
    // SAFETY: the path is NUL-terminated and the structure has the size that is given.
    check(unsafe {
        libc::syscall(libc::SYS_mount_setattr, libc::AT_FDCWD, path.as_ptr(), flags, &raw const attributes, size)
    })
}

fn check(returned: libc::c_long) -> io::Result<()> {
    if returned < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
