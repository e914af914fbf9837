//! Takes as much as there is of what the kernel counts for each user, or charges to no process.
use super::say;
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg, setsockopt, sockopt::SndBuf};
use std::fs;
use std::io::{IoSlice, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::thread;
use std::time::Duration;

/// Waits for the file `go`, and not for ever.
fn wait_for_go() {
    for _ in 0..2000 {
        if fs::exists("go").unwrap_or(false) {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn send_descriptors(over: &UnixDatagram, count: usize) -> nix::Result<usize> {
    let standard = vec![0; count];
    let message = [ControlMessage::ScmRights(&standard)];
    sendmsg::<()>(over.as_raw_fd(), &[IoSlice::new(b"x")], &message, MsgFlags::MSG_DONTWAIT, None)
}

/// Descriptors on their way through unix sockets, as many as are let through but no more than 5000.
#[test]
#[ignore = "runs inside a sandbox"]
fn descriptors_in_flight() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("as many as can be had");
    let (mut sent, mut pairs) = (0, Vec::new());
    while sent < 5000 {
        let pair = UnixDatagram::pair().expect("a pair");
        let end = loop {
            match send_descriptors(&pair.0, 200) {
                Ok(_) => sent += 200,
                Err(e) => break e,
            }
        };
        pairs.push(pair);
        if end != Errno::EAGAIN {
            break;
        }
    }
    say(format_args!("sent {sent}"));
    wait_for_go();
}

/// One descriptor, as any program may send it.
#[test]
#[ignore = "runs outside"]
fn pass_one() {
    let pair = UnixDatagram::pair().expect("a pair");
    say(format_args!("{:?}", send_descriptors(&pair.0, 1)));
}

/// Instances of inotify, but no more than 60.
#[test]
#[ignore = "runs inside a sandbox"]
fn inotify_instances() {
    // SAFETY: takes a number.
    let made = (0..60).take_while(|_| unsafe { libc::inotify_init1(0) } >= 0).count();
    say(made);
}

/// How much is held.
const MUCH: usize = 100 << 20;

fn fill(socket: &mut impl Write, held: &mut usize) {
    while let Ok(sent) = socket.write(&[0; 16384]) {
        *held += sent;
    }
}

fn hold(mut one_more: impl FnMut(&mut usize) -> Vec<OwnedFd>) {
    let (mut held, mut kept) = (0, Vec::new());
    while held < MUCH {
        kept.push(one_more(&mut held));
    }
    say("held");
    thread::sleep(Duration::from_secs(3));
    say("still there");
}

/// In streams whose both ends are there.
#[test]
#[ignore = "runs inside a sandbox"]
fn streams() {
    hold(|held| {
        let (mut from, to) = UnixStream::pair().expect("a pair");
        from.set_nonblocking(true).expect("nonblocking");
        setsockopt(&from, SndBuf, &(1 << 20)).expect("a large buffer");
        fill(&mut from, held);
        vec![from.into(), to.into()]
    });
}

/// In streams whose senders are gone.
#[test]
#[ignore = "runs inside a sandbox"]
fn senders_gone() {
    hold(|held| {
        let (mut from, to) = UnixStream::pair().expect("a pair");
        from.set_nonblocking(true).expect("nonblocking");
        setsockopt(&from, SndBuf, &(1 << 20)).expect("a large buffer");
        fill(&mut from, held);
        vec![to.into()]
    });
}

/// In datagrams, the first of them small, whose senders are gone.
#[test]
#[ignore = "runs inside a sandbox"]
fn datagrams() {
    let mut number = 0;
    hold(|held| {
        number += 1;
        let path = format!("/tmp/socket-{number}");
        let to = UnixDatagram::bind(&path).expect("bind");
        for length in std::iter::once(1).chain(std::iter::repeat_n(200_000, 10)) {
            let from = UnixDatagram::unbound().expect("socket");
            from.set_nonblocking(true).expect("nonblocking");
            setsockopt(&from, SndBuf, &(1 << 20)).expect("a large buffer");
            if from.send_to(&vec![0; length], &path).is_ok() {
                *held += length;
            }
        }
        vec![to.into()]
    });
}

/// In connections to itself.
#[test]
#[ignore = "runs inside a sandbox"]
fn connections() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("an address");
    hold(|held| {
        let mut from = TcpStream::connect(address).expect("connect");
        from.set_nonblocking(true).expect("nonblocking");
        fill(&mut from, held);
        vec![from.into(), listener.accept().expect("accept").0.into()]
    });
}

/// In datagrams to itself.
#[test]
#[ignore = "runs inside a sandbox"]
fn packets() {
    let from = UdpSocket::bind("127.0.0.1:0").expect("bind");
    hold(|held| {
        let to = UdpSocket::bind("127.0.0.1:0").expect("bind");
        let address = to.local_addr().expect("an address");
        for _ in 0..16 {
            from.send_to(&[0; 16384], address).expect("send");
        }
        // What it takes before it drops: rmem_default.
        *held += 128 << 10;
        vec![to.into()]
    });
}

/// In segments of System V memory that no process has mapped any more.
#[test]
#[ignore = "runs inside a sandbox"]
fn segments() {
    hold(|held| {
        const LENGTH: usize = 10 << 20;
        // SAFETY: takes numbers.
        let segment = unsafe { libc::shmget(libc::IPC_PRIVATE, LENGTH, 0o600) };
        assert!(segment >= 0);
        // SAFETY: at a place of the kernel's choice, as long as it is written to, and no longer.
        unsafe {
            let place = libc::shmat(segment, std::ptr::null(), 0);
            std::ptr::write_bytes(place.cast::<u8>(), 1, LENGTH);
            libc::shmdt(place);
        }
        *held += LENGTH;
        Vec::new()
    });
}

/// In messages of System V.
#[test]
#[ignore = "runs inside a sandbox"]
fn messages() {
    let message = [1_i64; 1025];
    hold(|held| {
        // SAFETY: takes numbers.
        let queue = unsafe { libc::msgget(libc::IPC_PRIVATE, 0o600) };
        assert!(queue >= 0);
        for _ in 0..2 {
            // SAFETY: what is sent is as long as is said, behind its type.
            let sent = unsafe { libc::msgsnd(queue, message.as_ptr().cast(), 8192, libc::IPC_NOWAIT) };
            assert_eq!(sent, 0);
            *held += 8192;
        }
        Vec::new()
    });
}

/// In semaphores.
#[test]
#[ignore = "runs inside a sandbox"]
fn semaphores() {
    hold(|held| {
        // SAFETY: takes numbers.
        assert!(unsafe { libc::semget(libc::IPC_PRIVATE, 32_000, 0o600) } >= 0);
        *held += 32_000 * 64;
        Vec::new()
    });
}
