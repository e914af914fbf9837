//! Floods against what rrunc listens to while it waits. Each says "up", goes on for ever, and ends with 7 on SIGTERM.
use super::say;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork, ftruncate, getppid};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::thread;
use std::time::Duration;

extern "C" fn stop(_: libc::c_int) {
    // SAFETY: allowed in a signal handler.
    unsafe { libc::_exit(7) }
}

fn end_on_sigterm() {
    // SAFETY: the handler makes one system call.
    unsafe { libc::signal(libc::SIGTERM, stop as *const () as libc::sighandler_t) };
}

/// Messages without READY to the socket that NOTIFY_SOCKET names.
#[test]
#[ignore = "runs inside a container"]
fn notifications() {
    end_on_sigterm();
    let path = std::env::var("NOTIFY_SOCKET").expect("NOTIFY_SOCKET");
    let send = move || {
        let socket = UnixDatagram::unbound().expect("socket");
        socket.connect(&path).expect("connect");
        while socket.send(b"STATUS=x").is_ok() {}
    };
    for _ in 0..24 {
        thread::spawn(send.clone());
    }
    say("up");
    send();
}

/// That it is ready, once.
#[test]
#[ignore = "runs inside a container"]
fn readiness() {
    end_on_sigterm();
    let path = std::env::var("NOTIFY_SOCKET").expect("NOTIFY_SOCKET");
    UnixDatagram::unbound().expect("socket").send_to(b"READY=1", path).expect("send");
    say("up");
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}

/// Questions for names.
#[test]
#[ignore = "runs inside a container"]
fn names() {
    end_on_sigterm();
    let mut question = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    question.extend(b"\x01a\x02bc\0\x00\x01\x00\x01");
    let ask = move || {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("socket");
        socket.connect("127.0.0.1:53").expect("connect");
        loop {
            socket.send(&question).ok();
        }
    };
    thread::spawn(ask.clone());
    say("up");
    ask();
}

/// Processes whose parents have ended before them.
#[test]
#[ignore = "runs inside a container"]
fn orphans() {
    end_on_sigterm();
    let parent = nix::unistd::getpid();
    for _ in 0..3 {
        // SAFETY: this process has no other threads that matter to its children, which only fork, wait and end.
        if !unsafe { fork() }.expect("fork").is_child() {
            continue;
        }
        while getppid() == parent {
            // SAFETY: as above.
            match unsafe { fork() } {
                Ok(ForkResult::Parent { child }) => drop(waitpid(child, None)),
                Ok(ForkResult::Child) => {
                    // SAFETY: as above; both end at once.
                    unsafe {
                        libc::fork();
                        libc::_exit(0);
                    }
                }
                Err(_) => {}
            }
        }
        // SAFETY: takes a number.
        unsafe { libc::_exit(0) };
    }
    say("up");
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}

/// One file of 32 MiB at 200 places of each of five processes: little memory, but 13 MB of page tables for each.
#[test]
#[ignore = "runs inside a container"]
fn page_tables() {
    const LENGTH: usize = 32 << 20;
    let file = memfd_create("tables", MFdFlags::empty()).expect("memfd");
    ftruncate(&file, LENGTH as i64).expect("length");
    let fill = || {
        for _ in 0..200 {
            let flags = libc::MAP_SHARED | libc::MAP_POPULATE;
            // SAFETY: a mapping of its own, at a place of the kernel's choice.
            let place =
                unsafe { libc::mmap(std::ptr::null_mut(), LENGTH, libc::PROT_READ, flags, file.as_raw_fd(), 0) };
            assert_ne!(place, libc::MAP_FAILED);
        }
    };
    for _ in 0..4 {
        // SAFETY: the child only maps and sleeps.
        if unsafe { fork() }.expect("fork").is_child() {
            fill();
            thread::sleep(Duration::from_secs(4));
            // SAFETY: takes a number.
            unsafe { libc::_exit(0) };
        }
    }
    fill();
    thread::sleep(Duration::from_secs(4));
    say("done");
}
