//! A terminal around: raw and cooked, the window's size, jobs of a shell.
use super::look::{SIZE, Terminal, flags, modes, pid_of, read_until};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, OutputFlags};
use rrunc::sys::terminal::{self, Size};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd};
use std::process::Stdio;
use std::time::Duration;

pub fn raw() {
    for signal in [None, Some(Signal::SIGTERM)] {
        let mut t = Terminal::new("supervised", "echo ready; read x; exit 6", SIZE, |_| {});
        let before = t.before;
        // Both our pty and theirs make \r\n: the terminal's output processing stays on in raw mode.
        read_until(&mut t.master, "ready\r\r\n");
        let meanwhile = modes(t.slave.as_fd());
        assert!(!meanwhile.local_flags.intersects(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG));
        assert!(meanwhile.output_flags.contains(OutputFlags::OPOST | OutputFlags::ONLCR));
        match signal {
            Some(signal) => kill(pid_of(&t.child), signal).unwrap(),
            None => t.master.write_all(b"x\r").unwrap(),
        }
        assert_eq!(t.code(), signal.map_or(6, |s| 128 + s as i32));
        assert_eq!(flags(t.slave.as_fd()), before);
    }
}

pub fn panic_restores() {
    let mut t = Terminal::new("panic", "", SIZE, |_| {});
    let before = t.before;
    read_until(&mut t.master, "on purpose");
    assert_eq!(t.code(), 101);
    assert_eq!(flags(t.slave.as_fd()), before);
}

pub fn window_size() {
    let script =
        "stty size; read x; stty size; trap 'stty size; exit 2' WINCH; echo ready; while :; do sleep 0.05; done";
    let mut t = Terminal::new("supervised", script, SIZE, |_| {});
    read_until(&mut t.master, "30 100");
    terminal::set_size(t.master.as_fd(), Size { rows: 40, columns: 120 }).unwrap();
    t.master.write_all(b"\r").unwrap();
    read_until(&mut t.master, "40 120");
    read_until(&mut t.master, "ready");
    terminal::set_size(t.master.as_fd(), Size { rows: 50, columns: 130 }).unwrap();
    read_until(&mut t.master, "50 130");
    assert_eq!(t.code(), 2);
}

pub fn cooked() {
    let script = "trap 'echo int; exit 5' INT; echo ready; read x; echo \"<$x>\"; while :; do sleep 0.05; done";
    let mut t = Terminal::new("supervised", script, SIZE, |c| {
        c.stdout(Stdio::piped());
    });
    let mut out = t.child.stdout.take().unwrap();
    let before = t.before;
    read_until(&mut out, "ready");
    assert_eq!(flags(t.slave.as_fd()), before);
    t.master.write_all(b"line\n").unwrap();
    read_until(&mut out, "<line>");
    // The key of our own terminal, to the foreground job inside.
    t.master.write_all(b"\x03").unwrap();
    read_until(&mut out, "int");
    assert_eq!(t.code(), 5);
}

pub fn suspend() {
    let mut t = Terminal::new("jobs", "echo ready; read x; echo \"<$x>\"; exit 5", SIZE, |c| {
        c.stdout(Stdio::piped()).stderr(Stdio::piped());
    });
    let mut out = t.child.stdout.take().unwrap();
    let mut told = t.child.stderr.take().unwrap();
    read_until(&mut out, "ready");
    t.master.write_all(b"\x1a").unwrap();
    read_until(&mut told, "stopped");
    t.master.write_all(b"on\n").unwrap();
    read_until(&mut out, "<on>");
    assert_eq!(t.code(), 5);
}

pub fn background() {
    let fifo = std::env::temp_dir().join(format!("rrunc-go-{}", std::process::id()));
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::from_bits_retain(0o600)).unwrap();
    let script = "echo ready; read x; echo \"<$x>\"; exit 5";
    let mut t = Terminal::new("jobs", script, SIZE, |c| {
        c.env("BACKGROUND", "1").env("GO", &fifo).stderr(Stdio::piped());
    });
    let before = t.before;
    read_until(&mut t.master, "ready");
    assert_eq!(flags(t.slave.as_fd()), before);
    t.master.write_all(b"kept\n").unwrap();
    std::thread::sleep(Duration::from_millis(400));
    // It is still there to be read by whoever is in the foreground.
    let mut waiting: nix::libc::c_int = 0;
    nix::ioctl_read_bad!(waiting_bytes, nix::libc::FIONREAD, nix::libc::c_int);
    // SAFETY: FIONREAD writes one integer.
    unsafe { waiting_bytes(t.slave.as_raw_fd(), &raw mut waiting) }.unwrap();
    assert_eq!(waiting, 5);
    let mut go = File::options().write(true).open(&fifo).unwrap();
    go.write_all(b"g").unwrap();
    read_until(&mut t.master, "<kept>");
    assert_eq!(t.code(), 5);
    assert_eq!(flags(t.slave.as_fd()), before);
    std::fs::remove_file(fifo).unwrap();
}
