//! Single system calls that a sandbox refuses, each printed with how it ended.
use super::say;
use nix::errno::Errno;
use std::ffi::CString;
use std::fs;
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};

fn outcome(result: libc::c_long) -> String {
    if result == -1 { format!("{:?}", Errno::last()) } else { "Ok".to_owned() }
}

fn call(name: &str, number: libc::c_long, arguments: [usize; 6]) {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: every pointer among the arguments is null or leads to memory that outlives the call.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    say(format_args!("{name}: {}", outcome(result)));
}

/// Row 14, in the order of the table.
pub const FORBIDDEN: [&str; 15] = [
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "userfaultfd",
    "bpf",
    "perf_event_open",
    "kexec_load",
    "kexec_file_load",
    "init_module",
    "finit_module",
    "delete_module",
    "open_by_handle_at",
    "keyctl",
    "add_key",
    "request_key",
];

#[test]
#[ignore = "runs inside a sandbox"]
fn forbidden() {
    let mut zeroes = [0_u64; 64];
    let (zero, key) = (zeroes.as_mut_ptr() as usize, c"user".as_ptr() as usize);
    let name = c"rrunc-test".as_ptr() as usize;
    let session = libc::KEY_SPEC_SESSION_KEYRING as usize;
    let arguments: [(libc::c_long, [usize; 6]); 15] = [
        (libc::SYS_io_uring_setup, [1, zero, 0, 0, 0, 0]),
        (libc::SYS_io_uring_enter, [usize::MAX, 0, 0, 0, 0, 0]),
        (libc::SYS_io_uring_register, [usize::MAX, 0, 0, 0, 0, 0]),
        // UFFD_USER_MODE_ONLY, which needs no privilege.
        (libc::SYS_userfaultfd, [1, 0, 0, 0, 0, 0]),
        // Too large: refused before any privilege is looked at.
        (libc::SYS_bpf, [0, zero, 1 << 20, 0, 0, 0]),
        (libc::SYS_perf_event_open, [0, 0, usize::MAX, usize::MAX, 0, 0]),
        (libc::SYS_kexec_load, [0; 6]),
        (libc::SYS_kexec_file_load, [usize::MAX, usize::MAX, 0, 0, 0, 0]),
        (libc::SYS_init_module, [0; 6]),
        (libc::SYS_finit_module, [usize::MAX, name, 0, 0, 0, 0]),
        (libc::SYS_delete_module, [name, 0, 0, 0, 0, 0]),
        (libc::SYS_open_by_handle_at, [usize::MAX, 0, 0, 0, 0, 0]),
        (libc::SYS_keyctl, [libc::KEYCTL_GET_KEYRING_ID as usize, session, 0, 0, 0, 0]),
        (libc::SYS_add_key, [key, name, name, 1, session, 0]),
        (libc::SYS_request_key, [key, name, 0, 0, 0, 0]),
    ];
    for (name, (number, arguments)) in FORBIDDEN.iter().zip(arguments) {
        call(name, number, arguments);
    }
}

/// getpid by the number that x32 programs use.
#[cfg(target_arch = "x86_64")]
#[test]
#[ignore = "runs inside a sandbox"]
fn x32() {
    call("x32", 0x4000_0000 | libc::SYS_getpid, [0; 6]);
}

/// getpid by the entry of 32-bit programs.
#[cfg(target_arch = "x86_64")]
#[test]
#[ignore = "runs inside a sandbox"]
fn i386() {
    let mut result: i64 = 20;
    // SAFETY: getpid takes and changes nothing; the registers that the entry does not keep are named.
    unsafe {
        std::arch::asm!("int 0x80", inout("rax") result, out("r8") _, out("r9") _, out("r10") _, out("r11") _);
    }
    say(format_args!("i386: {}", if result > 0 { "Ok".to_owned() } else { format!("{result}") }));
}

/// Row 15: everything that changes mounts. `PAYLOAD_MOUNT` names a mount point that is read-only.
#[test]
#[ignore = "runs inside a sandbox"]
fn mounts() {
    let mount = CString::new(std::env::var("PAYLOAD_MOUNT").expect("PAYLOAD_MOUNT")).expect("a path");
    let place = std::env::current_dir().expect("a directory").join("place");
    fs::create_dir_all(&place).expect("mkdir");
    let root = CString::new(place.to_str().expect("plain")).expect("a path");
    let (mount, root, tmpfs) = (mount.as_ptr() as usize, root.as_ptr() as usize, c"tmpfs".as_ptr() as usize);
    let flags = |flags: libc::c_ulong| flags as usize;
    let here = libc::AT_FDCWD as usize;
    let attributes = [0_u64, 1, 0, 0];
    let clear = attributes.as_ptr() as usize;
    call("mount", libc::SYS_mount, [tmpfs, root, tmpfs, 0, 0, 0]);
    call("bind", libc::SYS_mount, [root, root, 0, flags(libc::MS_BIND), 0, 0]);
    call("remount", libc::SYS_mount, [0, mount, 0, flags(libc::MS_REMOUNT | libc::MS_BIND), 0, 0]);
    call("propagation", libc::SYS_mount, [0, mount, 0, flags(libc::MS_PRIVATE), 0, 0]);
    call("mount_setattr", libc::SYS_mount_setattr, [here, mount, 0, clear, 32, 0]);
    call("open_tree", libc::SYS_open_tree, [here, mount, 1, 0, 0, 0]);
    call("fsopen", libc::SYS_fsopen, [tmpfs, 0, 0, 0, 0, 0]);
    call("fspick", libc::SYS_fspick, [here, mount, 0, 0, 0, 0]);
    call("move", libc::SYS_mount, [mount, root, 0, flags(libc::MS_MOVE), 0, 0]);
    call("umount", libc::SYS_umount2, [root, libc::MNT_DETACH as usize, 0, 0, 0, 0]);
    call("pivot_root", libc::SYS_pivot_root, [root, root, 0, 0, 0, 0]);
    call("chroot", libc::SYS_chroot, [c"/".as_ptr() as usize, 0, 0, 0, 0, 0]);
}

/// Runs one call in a forked child, since most namespaces are refused to a process with threads.
fn in_child(name: &str, number: libc::c_long, flags: libc::c_int, is_clone: bool) {
    // SAFETY: the child only makes system calls and leaves.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let flags = if is_clone { flags | libc::SIGCHLD } else { flags } as usize;
        // SAFETY: without a stack of its own clone is a fork; the null pointers are not read.
        let result = unsafe { libc::syscall(number, flags, 0, 0, 0, 0) };
        let code = if result == -1 { Errno::last_raw() } else { 0 };
        // SAFETY: always sound, and nothing of the parent's is run on the way.
        unsafe { libc::_exit(code) };
    }
    let status = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(child), None).expect("wait");
    let nix::sys::wait::WaitStatus::Exited(_, code) = status else { panic!("{name}: {status:?}") };
    let text = if code == 0 { "Ok".to_owned() } else { format!("{:?}", Errno::from_raw(code)) };
    say(format_args!("{name}: {text}"));
}

/// Row 16: new namespaces.
#[test]
#[ignore = "runs inside a sandbox"]
fn namespaces() {
    in_child("unshare NEWUSER", libc::SYS_unshare, libc::CLONE_NEWUSER, false);
    in_child("unshare NEWUSER|NEWNS", libc::SYS_unshare, libc::CLONE_NEWUSER | libc::CLONE_NEWNS, false);
    in_child("clone NEWUSER", libc::SYS_clone, libc::CLONE_NEWUSER, true);
    in_child("clone NEWUSER|NEWNET", libc::SYS_clone, libc::CLONE_NEWUSER | libc::CLONE_NEWNET, true);
    // struct clone_args: flags first, the exit signal fifth.
    let arguments = [libc::CLONE_NEWUSER as u64, 0, 0, 0, libc::SIGCHLD as u64, 0, 0, 0];
    // SAFETY: the arguments outlive the call; without a stack of its own the child is a fork.
    let result = unsafe { libc::syscall(libc::SYS_clone3, arguments.as_ptr(), size_of_val(&arguments)) };
    let text = outcome(result);
    if result == 0 {
        // SAFETY: always sound.
        unsafe { libc::_exit(0) };
    }
    say(format_args!("clone3 NEWUSER: {text}"));
    let own = fs::File::open("/proc/self/ns/uts").expect("open");
    call("setns", libc::SYS_setns, [own.as_raw_fd() as usize, 0, 0, 0, 0, 0]);
}

/// Row 6: types a character into the terminal behind each standard stream and /dev/tty.
#[test]
#[ignore = "runs inside a sandbox"]
fn type_into_terminal() {
    let tty = fs::File::open("/dev/tty");
    let fds = [0, 1, 2].into_iter().chain(tty.iter().map(|tty| tty.as_raw_fd()));
    for (place, fd) in ["stdin", "stdout", "stderr", "tty"].iter().zip(fds) {
        for request in [0x5412_usize, 0x5412 | 1 << 32, 0x5412 | 0xffff_ffff << 32, 0x541c, 0x541c | 1 << 32] {
            let byte = c"#".as_ptr() as usize;
            call(&format!("{place} {request:#x}"), libc::SYS_ioctl, [fd as usize, request, byte, 0, 0, 0]);
        }
    }
}

/// Row 7: the process that `PAYLOAD_PID` names.
#[test]
#[ignore = "runs inside a container"]
fn foreign_process() {
    let pid: usize = std::env::var("PAYLOAD_PID").expect("PAYLOAD_PID").parse().expect("a pid");
    let mut byte = 0_u8;
    let local = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    // Mapped nowhere: where it is found, the answer is EFAULT and the process none the worse.
    let remote = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 1 };
    let (local, remote) = ((&raw const local) as usize, (&raw const remote) as usize);
    let mut mask = [0_u64; 128];
    // PTRACE_SEIZE does not stop it; the tracer's end detaches.
    call("ptrace", libc::SYS_ptrace, [libc::PTRACE_SEIZE as usize, pid, 0, 0, 0, 0]);
    call("process_vm_readv", libc::SYS_process_vm_readv, [pid, local, 1, remote, 1, 0]);
    call("process_vm_writev", libc::SYS_process_vm_writev, [pid, local, 1, remote, 1, 0]);
    call("kill", libc::SYS_kill, [pid, 0, 0, 0, 0, 0]);
    call("pidfd_open", libc::SYS_pidfd_open, [pid, 0, 0, 0, 0, 0]);
    call(
        "sched_getaffinity",
        libc::SYS_sched_getaffinity,
        [pid, size_of_val(&mask), mask.as_mut_ptr() as usize, 0, 0, 0],
    );
}

/// Connects and sends to the abstract sockets PAYLOAD_SOCKET and PAYLOAD_SOCKET-datagram, and to one of its own.
#[test]
#[ignore = "runs inside a sandbox"]
fn abstract_sockets() {
    let name = std::env::var("PAYLOAD_SOCKET").expect("PAYLOAD_SOCKET");
    let at = |name: &str| SocketAddr::from_abstract_name(name).expect("a name");
    let told = |what: &str, result: std::io::Result<()>| {
        let end =
            result.map_or_else(|e| format!("{:?}", Errno::from_raw(e.raw_os_error().unwrap_or(0))), |()| "Ok".into());
        say(format_args!("{what}: {end}"));
    };
    let own = format!("{name}-{}", std::process::id());
    let _listener = UnixListener::bind_addr(&at(&own)).expect("bind");
    told("own", UnixStream::connect_addr(&at(&own)).map(drop));
    told("connect", UnixStream::connect_addr(&at(&name)).map(drop));
    let datagram = at(&format!("{name}-datagram"));
    told("connect a datagram socket", UnixDatagram::unbound().expect("a socket").connect_addr(&datagram));
    told("send", UnixDatagram::unbound().expect("a socket").send_to_addr(b"x", &datagram).map(drop));
}
