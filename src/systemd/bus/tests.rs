//! The other side, played: a bus with systemd on it that follows a script. And how it lets somebody in.
use super::super::message::{HEAD, Writer};
use super::super::{MANAGER, Manager, PATIENCE};
use super::*;
use crate::error::one_line;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

pub const SYSTEMD: &str = ":1.0";
pub const JOB: &str = "/org/freedesktop/systemd1/job/7";

/// One message of the played side.
pub enum Say {
    Reply(&'static str, Writer),
    Error(&'static str, &'static str),
    /// JobRemoved, from this sender, of this job, with this result.
    Removed(&'static str, &'static str, &'static str),
}
use Say::{Error, Removed, Reply};

pub fn nothing() -> Say {
    Reply("", Writer::default())
}

pub fn text(signature: &'static str, text: &str) -> Say {
    let mut body = Writer::default();
    body.string(text);
    Reply(signature, body)
}

pub fn yes(value: bool) -> Say {
    let mut body = Writer::default();
    body.bool(value);
    Reply("b", body)
}

/// A call that is awaited, and what is said then.
pub type Line = (&'static str, Vec<Say>);

pub fn job() -> Say {
    text("o", JOB)
}

/// What comes before each talk over a bus.
pub fn greeting(systemd: bool) -> Vec<Line> {
    vec![("Hello", vec![text("s", ":1.7")]), ("NameHasOwner", vec![yes(systemd)])]
}

/// Then this.
pub fn greeted(rest: Vec<Line>) -> Vec<Line> {
    greeting(true).into_iter().chain(rest).collect()
}

/// The same, with the news asked for first.
pub fn subscribed(rest: Vec<Line>) -> Vec<Line> {
    let asked = [("AddMatch", vec![nothing()]), ("Subscribe", vec![nothing()])];
    greeted(asked.into_iter().chain(rest).collect())
}

pub fn encode(say: Say, serial: u32) -> Vec<u8> {
    let (kind, signature, body, named) = match say {
        Reply(signature, body) => (2, signature, body, vec![(7, SYSTEMD)]),
        Error(name, why) => {
            let mut body = Writer::default();
            body.string(why);
            (3, "s", body, vec![(7, SYSTEMD), (4, name)])
        }
        Removed(sender, job, result) => {
            let mut body = Writer::default();
            body.number(7u32.to_le_bytes());
            [job, "c.scope", result].iter().for_each(|text| body.string(text));
            (4, "uoss", body, vec![(7, sender), (2, MANAGER), (3, "JobRemoved")])
        }
    };
    let mut message = Writer(vec![b'l', kind, 1, 1]);
    message.number((body.0.len() as u32).to_le_bytes());
    message.number(99u32.to_le_bytes());
    message.array(8, |fields| {
        for (code, text) in named {
            fields.structure();
            fields.0.push(code);
            fields.signature("s");
            fields.string(text);
        }
        if kind != 4 {
            fields.structure();
            fields.0.push(5);
            fields.signature("u");
            fields.number(serial.to_le_bytes());
        }
        fields.structure();
        fields.0.push(8);
        fields.signature("g");
        fields.signature(signature);
    });
    message.structure();
    message.0.extend(body.0);
    message.0
}

/// The other side of the authentication.
fn let_in(reader: &mut impl BufRead, mut socket: &UnixStream) {
    for (expected, said) in [("\0AUTH EXTERNAL\r\n", "DATA\r\n"), ("DATA\r\n", "OK 0123\r\n"), ("BEGIN\r\n", "")] {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert_eq!(line, expected);
        socket.write_all(said.as_bytes()).unwrap();
    }
}

/// Plays the script to one client; returns the arguments of its calls. The client is to say no more than that.
pub fn serve(listener: &UnixListener, script: Vec<Line>) -> Vec<Message> {
    let (mut socket, _) = listener.accept().unwrap();
    let mut reader = BufReader::new(socket.try_clone().unwrap());
    let_in(&mut reader, &socket);
    let mut heard = Vec::new();
    for (member, all) in script {
        let mut bytes = vec![0; HEAD];
        reader.read_exact(&mut bytes).unwrap();
        bytes.resize(Message::length(bytes.first_chunk().unwrap()).unwrap(), 0);
        reader.read_exact(&mut bytes[HEAD..]).unwrap();
        let call = Message::decode(&bytes).unwrap();
        assert_eq!(call.member.as_deref(), Some(member));
        heard.push(call);
        let serial = u32::from_le_bytes(bytes[8..12].try_into().unwrap());
        for say in all {
            socket.write_all(&encode(say, serial)).unwrap();
        }
    }
    socket.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(reader.read_to_end(&mut Vec::new()).unwrap(), 0);
    heard
}

pub fn listen(name: &str) -> (UnixListener, Address) {
    let name = format!("rrunc-test-{name}-{}", std::process::id());
    let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    (listener, Address::Abstract(name.into_bytes()))
}

/// What `act` makes of a systemd that follows the script, and the calls that it made.
pub fn played<T>(
    name: &str,
    script: Vec<Line>,
    act: impl FnOnce(&mut Manager) -> Result<T>,
) -> (Result<T>, Vec<Message>) {
    let (listener, address) = listen(name);
    std::thread::scope(|scope| {
        let playing = scope.spawn(move || serve(&listener, script));
        let done = Manager::at(&address, Instant::now() + PATIENCE).and_then(|mut manager| act(&mut manager));
        (done, playing.join().unwrap())
    })
}

#[test]
fn a_bus_that_is_none_is_an_error_and_no_end() {
    // What is said to AUTH; the client is gone, or waits in vain, after it.
    for (said, patience, why) in [
        (&b"REJECTED EXTERNAL\r\n"[..], PATIENCE, "authentication: the bus does not let you in"),
        (b"HTTP/1.1 400\x07\r\n", PATIENCE, "authentication: an answer that is none: \"HTTP/1.1 400\\\\u{7}\""),
        (&[b'x'; 5000], PATIENCE, "authentication: a line without an end"),
        (b"DATA\r\nOK", Duration::from_millis(20), "authentication: no answer in time"),
        (b"DATA\r\nOK 1\r\nnonsense nonsense", PATIENCE, "Hello: a message begins with byte 110"),
        (b"DATA\r\nOK 1\r\nl\x02\x01\x01\xff\xff\xff\x7f\0\0\0\0\0\0\0\0", PATIENCE, "is too long"),
    ] {
        let (listener, address) = listen("none");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (mut socket, _) = listener.accept().unwrap();
                // It may be gone before all is said and heard.
                drop(socket.write_all(said));
                drop(socket.read_to_end(&mut Vec::new()));
            });
            let error = Manager::at(&address, Instant::now() + patience).err().unwrap();
            assert!(one_line(&error).ends_with(why), "{error:#}");
        });
    }
}
