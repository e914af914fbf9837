//! The other ways into the kernel: `int 0x80`, from 64-bit code too, and the numbers of x32. Each call is made in a child, since
//! the answer may be its death.
use super::say;
use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};

/// Name, number of i386, number of x32, arguments. All but the last are denied by every profile of ours.
const CALLS: [(&str, i64, i64, [i64; 3]); 8] = [
    ("unshare", 310, 272, [libc::CLONE_NEWUSER as i64, 0, 0]),
    ("setns", 346, 308, [-1, 0, 0]),
    ("mount", 21, 165, [0, 0, 0]),
    ("keyctl", 288, 250, [0, libc::KEY_SPEC_SESSION_KEYRING as i64, 0]),
    ("add_key", 286, 248, [0, 0, 0]),
    ("bpf", 357, 321, [0, 0, 0]),
    ("io_uring_setup", 425, 425, [0, 0, 0]),
    ("getpid", 20, 39, [0, 0, 0]),
];

fn by_interrupt(number: i64, [a, b, c]: [i64; 3]) -> i64 {
    let mut result = number;
    // SAFETY: none of the calls writes to memory; rbx, which the compiler keeps for itself, is put back.
    unsafe {
        std::arch::asm!(
            "push rbx", "mov rbx, {first}", "int 0x80", "pop rbx",
            first = in(reg) a, inout("rax") result, in("rcx") b, in("rdx") c,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    // 32 bits are all that this entry returns.
    i64::from(result as i32)
}

fn by_x32(number: i64, [a, b, c]: [i64; 3]) -> i64 {
    // SAFETY: none of the calls writes to memory.
    let result = unsafe { libc::syscall(0x4000_0000 | number, a, b, c) };
    if result == -1 { -i64::from(Errno::last_raw()) } else { result }
}

fn in_child(name: &str, call: impl Fn() -> i64) {
    // SAFETY: the child makes the call and ends.
    match unsafe { fork() }.expect("fork") {
        ForkResult::Child => {
            let errno = call().min(0).unsigned_abs();
            // SAFETY: takes a number.
            unsafe { libc::_exit(errno.min(255) as i32) }
        }
        ForkResult::Parent { child } => match waitpid(child, None).expect("wait") {
            WaitStatus::Exited(_, 0) => say(format_args!("{name}: Ok")),
            WaitStatus::Exited(_, errno) => say(format_args!("{name}: {:?}", Errno::from_raw(errno))),
            WaitStatus::Signaled(_, signal, _) => say(format_args!("{name}: {signal}")),
            other => say(format_args!("{name}: {other:?}")),
        },
    }
}

#[test]
#[ignore = "runs inside"]
fn foreign() {
    for (name, i386, x32, arguments) in CALLS {
        in_child(&format!("i386 {name}"), || by_interrupt(i386, arguments));
        in_child(&format!("x32 {name}"), || by_x32(x32, arguments));
    }
}
