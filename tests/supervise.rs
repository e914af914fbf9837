//! Supervision with real terminals. Every test drives processes of its own: this binary again, in a role.
//!
//! `supervised` is rrunc: it makes a pty, starts `payload` on it, which becomes the shell script under test, and
//! supervises that. `session` puts it on a terminal of the test's, `jobs` runs it there as a job of an interactive shell.
use nix::pty::{OpenptyResult, PtyMaster, posix_openpt};
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::sys::termios::{LocalFlags, OutputFlags, Termios, tcgetattr};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, tcsetpgrp};
use rrunc::supervise::{Supervised, supervise};
use rrunc::sys::terminal::{self, Size};
use rrunc::sys::{pidfd, signal};
use rrunc::watchdog::Limits;
use rrunc::{console, relay};
use std::fs::File;
use std::io::{Read, Write, stdin};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

const TESTS: &[(&str, fn())] = &[
    ("the_exit_status_is_the_code_or_128_and_the_signal", exit_status),
    ("a_megabyte_reaches_a_slow_reader_whole", big_output),
    ("output_written_just_before_the_end_is_not_lost", last_words),
    ("the_end_of_stdin_is_an_end_of_file_inside", end_of_stdin),
    ("input_waits_for_a_slow_program", big_input),
    ("signals_are_forwarded", forwarding),
    ("a_reader_that_leaves_hangs_up", reader_leaves),
    ("waiting_costs_no_time", waiting),
    ("orphans_are_reaped", orphans),
    ("the_callers_signal_mask_comes_back", saved_mask),
    ("the_terminal_is_raw_meanwhile_and_restored_after", raw),
    ("a_panic_restores_the_terminal", panic_restores),
    ("the_window_size_is_copied_and_followed", window_size),
    ("with_stdout_elsewhere_the_terminal_stays_cooked", cooked),
    ("ctrl_z_on_a_cooked_terminal_suspends", suspend),
    ("in_the_background_the_terminal_is_left_alone", background),
    ("a_console_is_only_opened_in_a_devpts", console_open),
    ("a_descriptor_goes_over_a_socket_with_a_long_path", console_send),
];

fn main() -> ExitCode {
    if let Ok(role) = std::env::var("ROLE") {
        return ExitCode::from(play(&role));
    }
    // Most of it waits for texts: what does not come is to fail, and not to hang.
    nix::unistd::alarm::set(600);
    let filter = std::env::args().skip(1).find(|a| !a.starts_with('-')).unwrap_or_default();
    let mut failed = 0;
    for (name, test) in TESTS.iter().filter(|(name, _)| name.contains(&filter)) {
        let passed = std::panic::catch_unwind(test).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        failed += u8::from(!passed);
    }
    ExitCode::from(failed)
}

// The roles.

fn play(role: &str) -> u8 {
    match role {
        "supervised" => supervised(),
        "payload" => payload(),
        "session" => session(),
        "jobs" => jobs(),
        "panic" => panicking(),
        "mask" => masked(),
        "console" => in_own_devpts(),
        other => panic!("no role {other}"),
    }
}

fn role(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env("ROLE", name);
    command
}

fn pty() -> OpenptyResult {
    let master: PtyMaster = posix_openpt(nix::fcntl::OFlag::O_RDWR | nix::fcntl::OFlag::O_NOCTTY).unwrap();
    let master = OwnedFd::from(master);
    let master = master.try_clone().unwrap();
    terminal::unlock(master.as_fd()).unwrap();
    let slave = terminal::peer(master.as_fd()).unwrap();
    OpenptyResult { master, slave }
}

fn supervised() -> u8 {
    let subreaper = std::env::var_os("SUBREAPER").is_some();
    nix::sys::prctl::set_child_subreaper(subreaper).unwrap();
    signal::block_all().unwrap();
    let (master, child) = if std::env::var_os("NO_PTY").is_some() {
        (None, role("payload").spawn().unwrap())
    } else {
        let OpenptyResult { master, slave } = pty();
        // Before the payload can ask for it, as `run` does.
        relay::copy_window_size(master.as_fd()).unwrap();
        let mut command = role("payload");
        let (out, err) = (slave.try_clone().unwrap(), slave.try_clone().unwrap());
        (Some(master), command.stdin(slave).stdout(out).stderr(err).spawn().unwrap())
    };
    let pid = Pid::from_raw(child.id().cast_signed());
    let pidfd = pidfd::open(pid).unwrap();
    let limits = Limits::default();
    let pidfd = pidfd.as_fd();
    let ended = supervise(Supervised {
        pid,
        pidfd,
        master,
        only_terminals: false,
        subreaper,
        notify: None,
        names: None,
        limits,
    });
    u8::try_from(ended.unwrap().status).unwrap()
}

fn payload() -> u8 {
    if std::env::var_os("NO_PTY").is_none() {
        console::become_controlling().unwrap();
    }
    SigSet::empty().thread_set_mask().unwrap();
    panic!("{}", Command::new("sh").arg("-c").arg(std::env::var("SCRIPT").unwrap()).exec());
}

fn session() -> u8 {
    nix::unistd::setsid().unwrap();
    terminal::set_controlling(stdin().as_fd()).unwrap();
    panic!("{}", role(&std::env::var("THEN").unwrap()).exec());
}

/// An interactive shell's part: the job in its own process group, told of on stderr when it stops and ends.
fn jobs() -> u8 {
    let mut ttou = SigSet::empty();
    ttou.add(Signal::SIGTTOU);
    ttou.thread_block().unwrap();
    let foreground = |group| tcsetpgrp(stdin(), group).unwrap();
    let mut command = role("supervised");
    #[expect(clippy::zombie_processes, reason = "waitpid below tells of stops too")]
    let job = command.process_group(0).spawn().unwrap();
    let job = Pid::from_raw(job.id().cast_signed());
    let background = std::env::var_os("BACKGROUND").is_some();
    if background {
        eprintln!("background");
        // The test says on a pipe of its own, not on the terminal, when to go on.
        let mut go = File::open(std::env::var("GO").unwrap()).unwrap();
        go.read_exact(&mut [0]).unwrap();
    }
    foreground(job);
    loop {
        match waitpid(job, Some(WaitPidFlag::WUNTRACED)).unwrap() {
            WaitStatus::Stopped(..) => {
                foreground(nix::unistd::getpgrp());
                eprintln!("stopped");
                foreground(job);
                killpg(job, Signal::SIGCONT).unwrap();
            }
            WaitStatus::Exited(_, code) => return u8::try_from(code).unwrap(),
            other => panic!("{other:?}"),
        }
    }
}

fn panicking() -> u8 {
    let OpenptyResult { master, .. } = pty();
    // As in a release build, where a panic runs no destructor: only the hook is left.
    std::mem::forget(relay::Relay::start(master, false).unwrap());
    assert!(!modes(stdin().as_fd()).local_flags.contains(LocalFlags::ICANON));
    panic!("on purpose");
}

fn masked() -> u8 {
    let mut usr1 = SigSet::empty();
    usr1.add(Signal::SIGUSR1);
    usr1.thread_set_mask().unwrap();
    let saved = signal::block_all().unwrap();
    assert!(SigSet::thread_get_mask().unwrap().contains(Signal::SIGTERM));
    saved.restore_for_exec().unwrap();
    panic!("{}", Command::new("grep").args(["Sig", "/proc/self/status"]).exec());
}

// What the tests look with.

fn modes(terminal: BorrowedFd<'_>) -> Termios {
    tcgetattr(terminal).unwrap()
}

/// Input, output, control and local flags.
type Modes = (u32, u32, u32, u32);

fn flags(terminal: BorrowedFd<'_>) -> Modes {
    let m = modes(terminal);
    (m.input_flags.bits(), m.output_flags.bits(), m.control_flags.bits(), m.local_flags.bits())
}

/// Reads until `wanted` has come; all that came.
fn read_until(from: &mut impl Read, wanted: &str) -> String {
    let mut seen = Vec::new();
    let mut byte = [0];
    while !String::from_utf8_lossy(&seen).contains(wanted) {
        match from.read(&mut byte) {
            Ok(1) => seen.push(byte[0]),
            end => panic!("no {wanted:?} in {:?}, then {end:?}", String::from_utf8_lossy(&seen)),
        }
    }
    String::from_utf8(seen).unwrap()
}

fn piped(script: &str) -> Child {
    role("supervised").env("SCRIPT", script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed())
}

/// Runs `script` with `input` on stdin; exit code and output.
fn run(script: &str, input: &[u8]) -> (i32, String) {
    let mut child = piped(script);
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input).unwrap();
    drop(stdin);
    let mut out = String::new();
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    (child.wait().unwrap().code().unwrap(), out)
}

/// A terminal of the test's with `then` on it as a session: the master, the other end kept open, and the process.
struct Terminal {
    master: File,
    slave: OwnedFd,
    child: Child,
    /// Its modes before anyone could change them.
    before: Modes,
}

impl Terminal {
    fn new(then: &str, script: &str, size: Size, adapt: impl FnOnce(&mut Command)) -> Terminal {
        let OpenptyResult { master, slave } = pty();
        terminal::set_size(master.as_fd(), size).unwrap();
        let before = flags(slave.as_fd());
        let mut command = role("session");
        command.env("THEN", then).env("SCRIPT", script);
        command.stdin(slave.try_clone().unwrap()).stdout(slave.try_clone().unwrap()).stderr(slave.try_clone().unwrap());
        adapt(&mut command);
        let child = command.spawn().unwrap();
        Terminal { master: File::from(master), slave, child, before }
    }

    fn code(&mut self) -> i32 {
        let status = self.child.wait().unwrap();
        status.code().unwrap_or_else(|| 1000 + status.signal().unwrap())
    }
}

const SIZE: Size = Size { rows: 30, columns: 100 };

// The tests.

fn exit_status() {
    assert_eq!(run("exit 7", b"").0, 7);
    assert_eq!(run("kill -9 $$", b"").0, 137);
    // A real-time signal, which has no name.
    assert_eq!(run("kill -40 $$", b"").0, 168);
    let no_pty = role("supervised").env("NO_PTY", "1").env("SCRIPT", "exit 5").status().unwrap();
    assert_eq!(no_pty.code(), Some(5));
}

fn big_output() {
    let mut child = piped("head -c 1048576 /dev/zero | tr '\\0' x; exit 3");
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut [0; 1]).unwrap();
    // Time enough for every buffer on the way to fill up.
    std::thread::sleep(Duration::from_millis(300));
    let mut rest = Vec::new();
    out.read_to_end(&mut rest).unwrap();
    assert_eq!(rest.len(), 1_048_575);
    assert!(rest.iter().all(|b| *b == b'x'));
    assert_eq!(child.wait().unwrap().code(), Some(3));
}

fn last_words() {
    for round in 0..30 {
        let (code, out) = run(&format!("printf %03000d {round}; exit {round}"), b"");
        assert_eq!((code, out.len()), (round, 3000));
    }
}

fn end_of_stdin() {
    for (input, wanted) in [("", ""), ("hi\n", "HI\r\n"), ("one\nhi", "HI")] {
        let (code, out) = run("tr a-z A-Z; echo end; exit 4", input.as_bytes());
        assert!(out.contains(wanted) && out.ends_with("end\r\n"), "{out:?}");
        assert_eq!(code, 4);
    }
}

fn big_input() {
    let line = [vec![b'y'; 99], vec![b'\n']].concat();
    let (code, out) = run("sleep 0.3; echo count $(wc -c)", &line.repeat(2048));
    assert!(out.contains("count 204800\r\n"), "{}", &out[out.len().saturating_sub(200)..]);
    assert_eq!(code, 0);
}

fn forwarding() {
    let script = "trap 'echo usr; exit 9' USR1; trap 'echo urg; exit 8' URG; echo ready; while :; do sleep 0.05; done";
    for no_pty in [false, true] {
        let mut command = role("supervised");
        if no_pty {
            command.env("NO_PTY", "1");
        }
        let mut child = command.env("SCRIPT", script).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut out = child.stdout.take().unwrap();
        read_until(&mut out, "ready");
        kill(pid_of(&child), Signal::SIGURG).unwrap();
        kill(pid_of(&child), Signal::SIGUSR1).unwrap();
        read_until(&mut out, "usr");
        assert_eq!(child.wait().unwrap().code(), Some(9));
    }
}

fn reader_leaves() {
    let mut child = piped("exec yes");
    child.stdout.take().unwrap().read_exact(&mut [0; 10]).unwrap();
    // SIGHUP, or EIO where it comes first.
    assert!(matches!(child.wait().unwrap().code(), Some(129 | 1)));
}

fn waiting() {
    // A reader that stalls, a program that closes its terminal, and one that does not read.
    for script in ["exec yes", "exec <&- >&- 2>&-; sleep 10", "stty -echo; sleep 10"] {
        let mut child = piped(script);
        let mut stdin = child.stdin.take().unwrap();
        let flags = nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK);
        nix::fcntl::fcntl(&stdin, flags).unwrap();
        let full = loop {
            if let Err(e) = stdin.write_all(b"0123456789abcde\n") {
                break e;
            }
        };
        // Where the terminal is closed by the time, so is the pipe: nobody could read from it any more.
        use std::io::ErrorKind::{BrokenPipe, WouldBlock};
        assert!(matches!(full.kind(), WouldBlock | BrokenPipe), "{full}");
        std::thread::sleep(Duration::from_millis(200));
        let before = ticks(&child);
        std::thread::sleep(Duration::from_millis(600));
        // Of 60 that a busy loop would take.
        let used = ticks(&child) - before;
        kill(pid_of(&child), Signal::SIGKILL).unwrap();
        child.wait().unwrap();
        assert!(used < 10, "{script}: {used}");
    }
}

/// Processor time used so far, in hundredths of a second.
fn ticks(child: &Child) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    let fields = stat.rsplit(')').next().unwrap().split_whitespace().collect::<Vec<_>>();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

fn orphans() {
    // The orphan names its new parent, which must be our process, and then must be gone and not a zombie.
    let script = "(setsid sh -c 'sleep 0.2; read -r a b c p d < /proc/$$/stat; echo orphan $$ of $p' &)
        sleep 0.6; echo parent $PPID";
    let mut child = role("supervised");
    child.env("SCRIPT", format!("{script}; read x")).env("SUBREAPER", "1");
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut text = read_until(&mut out, "parent ");
    text += &read_until(&mut out, "\n");
    let words = text.split_whitespace().collect::<Vec<_>>();
    let ["orphan", orphan, "of", parent, "parent", own] = words.as_slice() else { panic!("{text}") };
    assert_eq!((*parent, *own), (child.id().to_string().as_str(), *parent));
    assert!(!std::path::Path::new("/proc").join(orphan).exists());
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

fn saved_mask() {
    let out = role("mask").output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(text.contains("SigBlk:\t0000000000000200"), "{text}");
    let ignored = text.lines().find_map(|l| l.strip_prefix("SigIgn:\t")).unwrap();
    let sigpipe = 1 << (Signal::SIGPIPE as u64 - 1);
    assert_eq!(u64::from_str_radix(ignored, 16).unwrap() & sigpipe, 0, "{text}");
}

fn raw() {
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

fn panic_restores() {
    let mut t = Terminal::new("panic", "", SIZE, |_| {});
    let before = t.before;
    read_until(&mut t.master, "on purpose");
    assert_eq!(t.code(), 101);
    assert_eq!(flags(t.slave.as_fd()), before);
}

fn window_size() {
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

fn cooked() {
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

fn suspend() {
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

fn background() {
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

fn console_open() {
    let out = role("console").output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

/// In its own user and mount namespaces, where a devpts can be mounted.
fn in_own_devpts() -> u8 {
    use nix::mount::{MsFlags, mount, umount};
    use nix::sched::{CloneFlags, unshare};
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS).unwrap();
    std::fs::write("/proc/self/setgroups", "deny").unwrap();
    std::fs::write("/proc/self/uid_map", format!("0 {uid} 1")).unwrap();
    std::fs::write("/proc/self/gid_map", format!("0 {gid} 1")).unwrap();
    let none = None::<&str>;
    let root = std::env::temp_dir();
    mount(Some("tmpfs"), &root, Some("tmpfs"), MsFlags::empty(), none).unwrap();
    let pts = root.join("dev/pts");
    std::fs::create_dir_all(&pts).unwrap();
    let directory = File::open(&root).unwrap();
    let open = |size| console::open(directory.as_fd(), size);
    // A directory that is no devpts, with a file of that name.
    File::create(pts.join("ptmx")).unwrap();
    assert!(format!("{:#}", open(None).unwrap_err()).contains("/dev/pts is not a devpts"));
    mount(Some("devpts"), &pts, Some("devpts"), MsFlags::empty(), Some("newinstance,ptmxmode=0666")).unwrap();
    let made = open(Some((25, 90))).unwrap();
    assert_eq!(terminal::size(made.slave.as_fd()).unwrap(), Size { rows: 25, columns: 90 });
    let output = modes(made.slave.as_fd()).output_flags;
    assert!(output.contains(OutputFlags::OPOST) && !output.contains(OutputFlags::ONLCR));
    nix::unistd::write(&made.slave, b"a\n").unwrap();
    let mut seen = [0; 8];
    assert_eq!(nix::unistd::read(&made.master, &mut seen).unwrap(), 2);
    // One dimension alone is none.
    assert_eq!(terminal::size(open(Some((25, 0))).unwrap().slave.as_fd()).unwrap(), Size { rows: 0, columns: 0 });
    // Something mounted on top of the real ptmx.
    let other = root.join("other");
    File::create(&other).unwrap();
    mount(Some(&other), &pts.join("ptmx"), none, MsFlags::MS_BIND, none).unwrap();
    assert!(open(None).is_err());
    umount(&pts.join("ptmx")).unwrap();
    // A link is followed inside the root only; outside it leads to the devpts that has just served.
    let second = root.join("second");
    std::fs::create_dir_all(second.join("dev")).unwrap();
    std::os::unix::fs::symlink(&pts, second.join("dev/pts")).unwrap();
    assert!(console::open(File::open(&second).unwrap().as_fd(), None).is_err());
    0
}

fn console_send() {
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
    let directory = std::env::temp_dir().join(format!("rrunc-{}-{}", std::process::id(), "long".repeat(30)));
    std::fs::create_dir(&directory).unwrap();
    let handle = File::open(&directory).unwrap();
    let listener = std::os::unix::net::UnixListener::bind(format!("/proc/self/fd/{}/s", handle.as_raw_fd())).unwrap();
    let made = pty();
    console::send(&directory.join("s"), made.master.as_fd(), console::MASTER_NAME).unwrap();
    let (socket, _) = listener.accept().unwrap();
    let mut space = nix::cmsg_space!([i32; 4]);
    let mut text = [0; 64];
    let mut parts = [std::io::IoSliceMut::new(&mut text)];
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::empty()).unwrap();
    let fds = match message.cmsgs().unwrap().next().unwrap() {
        ControlMessageOwned::ScmRights(fds) => fds,
        other => panic!("{other:?}"),
    };
    let length = message.bytes;
    assert_eq!(fds.len(), 1);
    assert_eq!(&text[..length], b"/dev/ptmx");
    // One message and then the end.
    assert_eq!((&socket).read(&mut [0]).unwrap(), 0);
    std::fs::remove_dir_all(directory).unwrap();
}
