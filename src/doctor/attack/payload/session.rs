//! Attacks on what the caller's session has: sockets, terminal, variables, open files, keys.
use super::super::attempt::Attempt;
use super::{Bait, of_row, pids, tried, tried_lesser};
use crate::sys::{attempt, descriptor, keyctl};
use std::fs;
use std::net::TcpStream;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};

pub fn network(bait: &Bait) -> Vec<Attempt> {
    let files = bait.sockets.iter().map(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        tried(format!("reach a socket file of the session ({name})"), UnixStream::connect(path)).of("9")
    });
    let loopback = tried("reach a service on the host's loopback", TcpStream::connect(("127.0.0.1", bait.port)));
    [loopback, abstract_socket(bait)].into_iter().chain(files).collect()
}

pub fn abstract_socket(bait: &Bait) -> Attempt {
    let hidden = SocketAddr::from_abstract_name(&bait.abstract_name).and_then(|to| UnixStream::connect_addr(&to));
    tried("reach an abstract socket of the host", hidden).of("8")
}

pub fn terminal(bait: &Bait) -> Vec<Attempt> {
    let held = |fd: i32| descriptor::stat(fd).is_ok_and(|s| (s.st_dev, s.st_ino) == bait.terminal);
    let mut attempts: Vec<_> = (0..3)
        .map(|fd| Attempt::new(format!("hold the caller's terminal as {fd}"), held(fd), "another file"))
        .collect();
    attempts.push(tried_lesser("type into the terminal (TIOCSTI)", attempt::tiocsti(0, 0)));
    attempts.push(tried_lesser("the same, with high bits set", attempt::tiocsti(0, 1 << 32)));
    attempts.push(tried_lesser("paste into a console (TIOCLINUX)", attempt::tioclinux(0)));
    of_row("6", attempts)
}

pub fn environment() -> Vec<Attempt> {
    let name = Bait::VARIABLE;
    let holds = |text: Vec<u8>| text.windows(name.len()).any(|window| window == name.as_bytes());
    let found = pids().into_iter().find(|pid| fs::read(format!("/proc/{pid}/environ")).is_ok_and(holds));
    let detail = found.map_or("none".into(), |pid| pid.to_string());
    let session = Bait::SESSION.iter().find(|name| std::env::var_os(name).is_some());
    vec![
        Attempt::new("find a variable of the caller's", std::env::var_os(name).is_some(), "in the own environment")
            .of("5"),
        Attempt::new("find it in another process", found.is_some(), detail).of("4"),
        Attempt::new("find the name of a session's socket", session.is_some(), session.map_or("none", |name| *name))
            .of("9"),
    ]
}

pub fn fds(bait: &Bait) -> Vec<Attempt> {
    let leads = |fd: &i32| descriptor::stat(*fd).is_ok_and(|s| (s.st_dev, s.st_ino) == bait.directory);
    let open: Vec<i32> = (3..1024).filter(|fd| descriptor::flags(*fd).is_ok()).collect();
    let held = open.iter().find(|fd| leads(fd));
    let stream = (0..3).find(leads);
    let detail = format!("open are {open:?}");
    vec![
        Attempt::new("hold a directory of the host", held.is_some(), detail.clone()).of("2"),
        Attempt::lesser("hold any descriptor beyond the standard streams", !open.is_empty(), detail).of("2"),
        Attempt::new("hold one as a standard stream", stream.is_some(), format!("{stream:?}")).of("3"),
    ]
}

pub fn keyring(bait: &Bait) -> Attempt {
    let what = "reach the caller's session keyring";
    let attempt = match keyctl::session_keyring() {
        Ok(own) if Some(own) == bait.keyring => Attempt::new(what, true, format!("it is {own}")),
        Ok(own) => Attempt::lesser("call keyctl", true, format!("the keyring is another one, {own}")),
        Err(e) => Attempt::new(what, false, e.desc()),
    };
    attempt.of("13")
}
