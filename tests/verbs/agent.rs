//! A seccomp agent: takes listeners at a socket and answers the calls that are notified.
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use serde_json::Value;
use std::io::{IoSliceMut, Read};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

/// What the agent says to a call: a made-up result, or that the kernel may carry it out.
pub enum Answer {
    Result(i64),
    Error(i32),
    Continue,
}

/// An agent at work, until it is dropped.
pub struct Agent {
    states: Arc<Mutex<Vec<Value>>>,
    calls: Arc<Mutex<Vec<i32>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Agent {
    /// Listens at `path` and answers with `answer`, which gets the number of the call.
    pub fn at(path: &Path, answer: fn(i32) -> Answer) -> Agent {
        let socket = UnixListener::bind(path).expect("bind");
        socket.set_nonblocking(true).expect("nonblocking");
        let (states, calls) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = spawn({
            let (states, calls, stop) = (states.clone(), calls.clone(), stop.clone());
            move || {
                let mut serving = Vec::new();
                while !stop.load(Ordering::Acquire) {
                    let Ok((connection, _)) = socket.accept() else {
                        sleep(Duration::from_millis(1));
                        continue;
                    };
                    connection.set_nonblocking(false).expect("blocking");
                    let (state, listener) = receive(connection);
                    states.lock().expect("states").push(state);
                    let calls = calls.clone();
                    serving.push(spawn(move || serve(&listener, answer, &calls)));
                }
                for one in serving {
                    one.join().expect("an agent's thread");
                }
            }
        });
        Agent { states, calls, stop, thread: Some(thread) }
    }

    /// Every container process state that came in: exactly `count`, the last of which may still be on its way.
    pub fn states(&self, count: usize) -> Vec<Value> {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            let states = self.states.lock().expect("states").clone();
            if states.len() >= count || Instant::now() > end {
                assert_eq!(states.len(), count, "{states:?}");
                return states;
            }
            sleep(Duration::from_millis(1));
        }
    }

    /// How often this call was notified.
    pub fn count(&self, call: i64) -> usize {
        self.calls.lock().expect("calls").iter().filter(|number| i64::from(**number) == call).count()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // A test that fails leaves its container behind until its stage goes, and the agent would wait for that.
        if let Some(thread) = self.thread.take()
            && !std::thread::panicking()
        {
            thread.join().expect("the agent has failed");
        }
    }
}

/// The whole of a connection: the state, its descriptor with the first bytes, then the end of file.
fn receive(mut connection: UnixStream) -> (Value, OwnedFd) {
    let mut text = vec![0; 64 * 1024];
    let mut space = nix::cmsg_space!([RawFd; 4]);
    let mut parts = [IoSliceMut::new(&mut text)];
    let message = recvmsg::<()>(connection.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)
        .expect("recvmsg");
    let mut fds = Vec::new();
    for control in message.cmsgs().expect("control messages") {
        if let ControlMessageOwned::ScmRights(received) = control {
            // SAFETY: recvmsg has just made them for us.
            fds.extend(received.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
        }
    }
    let length = message.bytes;
    text.truncate(length);
    let mut rest = Vec::new();
    connection.read_to_end(&mut rest).expect("one state a connection, then its end");
    text.extend(rest);
    assert_eq!(fds.len(), 1, "one descriptor in the first message");
    (serde_json::from_slice(&text).expect("JSON"), fds.remove(0))
}

nix::ioctl_readwrite!(notif_recv, b'!', 0, libc::seccomp_notif);
nix::ioctl_readwrite!(notif_send, b'!', 1, libc::seccomp_notif_resp);

fn serve(listener: &OwnedFd, answer: fn(i32) -> Answer, calls: &Mutex<Vec<i32>>) {
    loop {
        let mut one = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        poll(&mut one, PollTimeout::NONE).expect("poll");
        let events = one[0].revents().expect("known events");
        if !events.contains(PollFlags::POLLIN) {
            assert!(events.contains(PollFlags::POLLHUP), "{events:?}");
            return;
        }
        // SAFETY: plain data, for which all-zero is valid, and what the kernel wants.
        let mut call: libc::seccomp_notif = unsafe { std::mem::zeroed() };
        // SAFETY: the structure that this request fills.
        if unsafe { notif_recv(listener.as_raw_fd(), &raw mut call) }.is_err() {
            // Its caller was killed meanwhile.
            continue;
        }
        calls.lock().expect("calls").push(call.data.nr);
        let (val, error, flags) = match answer(call.data.nr) {
            Answer::Result(value) => (value, 0, 0),
            Answer::Error(errno) => (0, -errno, 0),
            Answer::Continue => (0, 0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32),
        };
        let mut response = libc::seccomp_notif_resp { id: call.id, val, error, flags };
        // SAFETY: the structure that this request reads. The caller may be gone by now.
        unsafe { notif_send(listener.as_raw_fd(), &raw mut response) }.ok();
    }
}
