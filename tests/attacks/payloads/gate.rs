//! What tries to make use of a created container's first process, and of the gate at which it waits.
use super::say;
use crate::support::wait_for;
use nix::sys::ptrace;
use nix::sys::socket::{ControlMessage, MsgFlags, SockFlag, accept4, getsockopt, recv, sendmsg, sockopt};
use nix::unistd::Pid;
use std::fs;
use std::io::IoSlice;
use std::mem::size_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// Traces the process whose pid is in the variable TRACED, or as soon as there is one that is called as an init of rrunc's.
#[test]
#[ignore = "runs inside a container"]
fn trace() {
    let is_init =
        |pid: &i32| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.starts_with("rrunc:[init]"));
    let traced = std::env::var("TRACED").ok().and_then(|pid| pid.parse().ok());
    say("waiting");
    let pid = wait_for("somebody to trace", || {
        let all = fs::read_dir("/proc").expect("/proc").flatten();
        traced.or_else(|| all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(is_init))
    });
    // From its first moment until long after it has come to the gate.
    for _ in 0..100 {
        match ptrace::seize(Pid::from_raw(pid), ptrace::Options::empty()) {
            Ok(()) => return say(format_args!("traced {pid}")),
            Err(e) if traced.is_some() => return say(format_args!("not traced: {}", e.desc())),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
    say("not traced");
}

/// What /proc/PID/fd shows of another process cannot be opened; pidfd_getfd(2) takes it, with the rights to trace.
fn take_gate(pidfd: RawFd) -> Option<OwnedFd> {
    (3..64).find_map(|number| {
        // SAFETY: takes plain numbers; a descriptor that it returns is new.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd, number, 0) };
        // SAFETY: as above.
        let fd = (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd as RawFd) })?;
        let listens = getsockopt(&fd, sockopt::AcceptConn);
        listens.unwrap_or(false).then_some(fd)
    })
}

/// A pidfd of who has connected (SO_PEERPIDFD, Linux 6.5).
fn peer(connection: &OwnedFd) -> OwnedFd {
    const SO_PEERPIDFD: i32 = 77;
    let (mut fd, mut length): (RawFd, _) = (-1, size_of::<RawFd>() as libc::socklen_t);
    let socket = connection.as_raw_fd();
    // SAFETY: `fd` has the length that is named.
    let got =
        unsafe { libc::getsockopt(socket, libc::SOL_SOCKET, SO_PEERPIDFD, (&raw mut fd).cast(), &raw mut length) };
    assert_eq!(got, 0, "{}", std::io::Error::last_os_error());
    // SAFETY: the kernel has made it for us.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Takes the gate from the first process, and names `start` itself as the courier of a seccomp listener.
#[test]
#[ignore = "runs inside a container"]
fn answer_start() {
    // SAFETY: takes plain numbers; what it returns is new.
    let first = unsafe { OwnedFd::from_raw_fd(libc::syscall(libc::SYS_pidfd_open, 1, 0) as RawFd) };
    let gate = take_gate(first.as_raw_fd()).expect("the gate");
    ptrace::seize(Pid::from_raw(1), ptrace::Options::empty()).expect("seize");
    ptrace::interrupt(Pid::from_raw(1)).expect("interrupt");
    say("has the gate");
    let connection = accept4(&gate, SockFlag::SOCK_CLOEXEC).expect("accept");
    let mut packet = [0; 16];
    assert_eq!(recv(connection.as_raw_fd(), &mut packet, MsgFlags::empty()), Ok(1), "start says something");
    let start = peer(&connection);
    let latch = fs::File::open("/dev/null").expect("/dev/null");
    let fds = [start.as_raw_fd(), latch.as_raw_fd(), start.as_raw_fd()];
    let packet = [&b"N"[..], &(-1_i32).to_ne_bytes()].concat();
    let parts = [IoSlice::new(&packet)];
    let control = [ControlMessage::ScmRights(&fds)];
    sendmsg::<()>(connection.as_raw_fd(), &parts, &control, MsgFlags::empty(), None).expect("send");
    say("named it");
    std::thread::sleep(Duration::from_secs(60));
}

/// Stops each process that comes after this one, again and again: pids are given out in turn. Works until it is killed.
#[test]
#[ignore = "runs inside a container"]
fn stop_others() {
    use nix::sys::signal::{Signal, kill};
    let own = nix::unistd::getpid().as_raw();
    say("stopping");
    loop {
        for pid in (own + 1..own + 300).filter(|pid| *pid != nix::unistd::gettid().as_raw()) {
            kill(Pid::from_raw(pid), Signal::SIGSTOP).ok();
        }
    }
}
