//! What the doctor runs inside: one function a promise, each of which tries to break it and says how far it came. Written
//! like an attacker, but for one thing: a success does no harm, as these run without a sandbox too, in the tests.
use super::Attempt;
use crate::sys::clone::{Cloned, clone};
use crate::sys::mount::{FsContext, clone_tree};
use crate::sys::{attempt, capability, descriptor, keyctl, landlock, pidfd, prctl, process};
use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use std::ffi::CString;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the bait is.
#[derive(Debug, Serialize, Deserialize)]
pub struct Bait {
    /// A file beside the project.
    pub secret: PathBuf,
    /// The caller's HOME, with a key in it.
    pub home: PathBuf,
    /// A socket of the caller's session.
    pub socket: PathBuf,
    /// A service on loopback.
    pub port: u16,
    /// An abstract socket.
    pub abstract_name: String,
    /// Name of a process of the caller's.
    pub process: String,
    /// Device and inode of an open directory of the host.
    pub directory: (u64, u64),
    /// Device and inode of the caller's terminal.
    pub terminal: (u64, u64),
    /// The caller's session keyring.
    pub keyring: Option<i32>,
}

impl Bait {
    /// A variable of the caller's.
    pub const VARIABLE: &str = "RRUNC_DOCTOR_BAIT";

    /// What the attack on the view writes.
    pub fn planted(&self) -> PathBuf {
        self.home.join("planted")
    }
}

/// Plays the part `name`; what it has to say is one line of JSON.
pub fn run(name: &str, bait: &str) -> Result<String> {
    if name == "bystander" {
        let (process, dir) = serde_json::from_str(bait).context("--bait")?;
        return bystander(process, dir);
    }
    let bait: Bait = serde_json::from_str(bait).context("--bait")?;
    let attempts = match name {
        "view" => view(&bait),
        "capabilities" => capabilities(),
        "seccomp" => seccomp(),
        "network" => network(&bait),
        "terminal" => terminal(&bait),
        "environment" => environment(),
        "fds" => fds(&bait),
        "keyring" => vec![keyring(&bait)],
        "proc" => processes(&bait),
        "privileges" => privileges(),
        "mounts" => mounts(),
        "namespaces" => namespaces(),
        "landlock" => vec![landlock_domain()],
        _ => bail!("there is no payload {name}"),
    };
    Ok(serde_json::to_string(&attempts)? + "\n")
}

/// Makes the place for the bait and takes its name; answers each byte by one, which a process that somebody has ended
/// does not; clears up when the doctor has gone, even if by SIGKILL.
fn bystander(process: String, dir: PathBuf) -> Result<String> {
    let made = fs::DirBuilder::new().mode(0o700).create(&dir);
    made.with_context(|| dir.display().to_string())?;
    prctl::set_name(&CString::new(process)?)?;
    let (mut asked, mut answer) = (std::io::stdin(), std::io::stdout());
    let mut byte = [b'!'];
    // An error is its end, too: nobody reads the answers any more.
    let mut answered = || -> std::io::Result<bool> {
        answer.write_all(&byte)?;
        answer.flush()?;
        Ok(asked.read(&mut byte)? == 1)
    };
    while answered().unwrap_or(false) {}
    clear_away(&dir).map(|()| String::new())
}

/// What is still being ended may put a last file there meanwhile.
fn clear_away(dir: &Path) -> Result<()> {
    for _ in 0..200 {
        match fs::remove_dir_all(dir) {
            Err(e) if e.kind() != ErrorKind::NotFound => std::thread::sleep(Duration::from_millis(50)),
            _ => return Ok(()),
        }
    }
    bail!("{} cannot be removed", dir.display())
}

/// A deed by its result.
fn tried<T, E: Into<anyhow::Error>>(what: impl Into<String>, result: Result<T, E>) -> Attempt {
    match result {
        Ok(_) => Attempt::new(what, true, "it worked"),
        Err(error) => Attempt::new(what, false, crate::error::one_line(&error.into())),
    }
}

/// The same, where success is not the end of the promise.
fn tried_lesser<T, E: Into<anyhow::Error>>(what: impl Into<String>, result: Result<T, E>) -> Attempt {
    Attempt { lesser: true, ..tried(what, result) }
}

fn view(bait: &Bait) -> Vec<Attempt> {
    // Inside this succeeds, in a home of the sandbox's own: the host looks whether it has arrived.
    let planted = fs::write(bait.planted(), "planted");
    log::debug!("planted: {planted:?}");
    vec![
        tried("read a key below HOME", fs::read(bait.home.join(".ssh/id_ed25519"))),
        tried("read a file beside the project", fs::read(&bait.secret)),
    ]
}

fn status(field: &str) -> String {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).map_or("", str::trim).to_owned()
}

fn capabilities() -> Vec<Attempt> {
    let set = |name: &str| {
        let value = status(name);
        Attempt::new(format!("hold capabilities in {name}"), value.bytes().any(|digit| digit != b'0'), value)
    };
    // None from which a program could get one back; nor the right to use one.
    let bounding = Attempt { lesser: true, ..set("CapBnd") };
    let name = nix::unistd::gethostname().unwrap_or_default();
    let none = capability::raise_ambient(0);
    vec![
        set("CapPrm"),
        set("CapEff"),
        set("CapAmb"),
        bounding,
        tried("raise an ambient capability", none),
        tried("set the host name", nix::unistd::sethostname(name)),
        tried("change the root directory", nix::unistd::chroot("/")),
    ]
}

fn seccomp() -> Vec<Attempt> {
    let mode = status("Seccomp");
    let filtered = Attempt::new("run without a filter", mode != "2", format!("mode {mode}"));
    let calls = attempt::forbidden_calls().into_iter().map(|(name, result)| tried(format!("call {name}"), result));
    std::iter::once(filtered).chain(calls).collect()
}

fn network(bait: &Bait) -> Vec<Attempt> {
    let hidden = SocketAddr::from_abstract_name(&bait.abstract_name).and_then(|to| UnixStream::connect_addr(&to));
    vec![
        tried("reach a service on the host's loopback", TcpStream::connect(("127.0.0.1", bait.port))),
        tried("reach an abstract socket of the host", hidden),
        tried("reach a socket file of the session", UnixStream::connect(&bait.socket)),
    ]
}

fn terminal(bait: &Bait) -> Vec<Attempt> {
    let held = |fd: i32| descriptor::stat(fd).is_ok_and(|s| (s.st_dev, s.st_ino) == bait.terminal);
    let mut attempts: Vec<_> = (0..3)
        .map(|fd| Attempt::new(format!("hold the caller's terminal as {fd}"), held(fd), "another file"))
        .collect();
    attempts.push(tried_lesser("type into the terminal (TIOCSTI)", attempt::tiocsti(0, 0)));
    attempts.push(tried_lesser("the same, with high bits set", attempt::tiocsti(0, 1 << 32)));
    attempts.push(tried_lesser("paste into a console (TIOCLINUX)", attempt::tioclinux(0)));
    attempts
}

/// The numbers in /proc.
fn pids() -> Vec<i32> {
    let entries = fs::read_dir("/proc").map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default();
    entries.iter().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn environment() -> Vec<Attempt> {
    let name = Bait::VARIABLE;
    let holds = |text: Vec<u8>| text.windows(name.len()).any(|window| window == name.as_bytes());
    let found = pids().into_iter().find(|pid| fs::read(format!("/proc/{pid}/environ")).is_ok_and(holds));
    vec![
        Attempt::new("find a variable of the caller's", std::env::var_os(name).is_some(), "in the own environment"),
        Attempt::new("find it in another process", found.is_some(), found.map_or("none".into(), |pid| pid.to_string())),
    ]
}

fn fds(bait: &Bait) -> Vec<Attempt> {
    let open: Vec<i32> = (3..1024).filter(|fd| descriptor::flags(*fd).is_ok()).collect();
    let held = open.iter().find(|fd| descriptor::stat(**fd).is_ok_and(|s| (s.st_dev, s.st_ino) == bait.directory));
    let detail = format!("open are {open:?}");
    vec![
        Attempt::new("hold a directory of the host", held.is_some(), detail.clone()),
        Attempt::lesser("hold any descriptor beyond the standard streams", !open.is_empty(), detail),
    ]
}

fn keyring(bait: &Bait) -> Attempt {
    let what = "reach the caller's session keyring";
    match keyctl::session_keyring() {
        Ok(own) if Some(own) == bait.keyring => Attempt::new(what, true, format!("it is {own}")),
        Ok(own) => Attempt::lesser("call keyctl", true, format!("the keyring is another one, {own}")),
        Err(e) => Attempt::new(what, false, e.desc()),
    }
}

fn processes(bait: &Bait) -> Vec<Attempt> {
    let named =
        |pid: &i32| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim_end() == bait.process);
    let found = pids().into_iter().find(named);
    let killed = match found {
        // The host sees what comes of it.
        Some(pid) => kill(Pid::from_raw(pid), Signal::SIGTERM),
        None => Err(Errno::ESRCH),
    };
    let detail = found.map_or("not in /proc".to_owned(), |pid| format!("pid {pid}"));
    vec![Attempt::new("see a process of the host", found.is_some(), detail), tried("send a signal to it", killed)]
}

fn privileges() -> Vec<Attempt> {
    let flag = status("NoNewPrivs");
    let nosuid = |path: &str| statvfs(path).is_ok_and(|fs| fs.flags().contains(FsFlags::ST_NOSUID));
    vec![
        Attempt::new("run without no_new_privs", flag != "1", format!("it is {flag}")),
        Attempt::lesser("use the setuid bits in /usr", !nosuid("/usr"), "by how it is mounted"),
    ]
}

fn mounts() -> Vec<Attempt> {
    let none = None::<&str>;
    let read_only = MsFlags::MS_REMOUNT | MsFlags::MS_BIND;
    let root = openat(AT_FDCWD, "/", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty());
    vec![
        tried("mount a tmpfs", mount(Some("none"), "/tmp", Some("tmpfs"), MsFlags::empty(), none)),
        tried("make /usr writable", mount(none, "/usr", none, read_only, none)),
        tried("take a mount away", umount2("/tmp", MntFlags::MNT_DETACH)),
        tried("open a file system (fsopen)", FsContext::open(c"tmpfs")),
        tried("clone a mount tree (open_tree)", root.and_then(|root| clone_tree(root.as_fd(), true))),
    ]
}

fn namespaces() -> Vec<Attempt> {
    let cloned = match clone(CloneFlags::CLONE_NEWUSER) {
        Ok(Cloned::Child) => process::exit_now(0),
        Ok(Cloned::Parent(_, child)) => pidfd::wait_ended(child.as_fd(), 10_000).map(drop),
        Err(e) => Err(e),
    };
    vec![
        tried("make a user namespace (clone3)", cloned),
        tried("make a user namespace (unshare)", unshare(CloneFlags::CLONE_NEWUSER)),
        tried("make a mount namespace (unshare)", unshare(CloneFlags::CLONE_NEWNS)),
    ]
}

/// A process can be under sixteen Landlock domains. Who can add sixteen of its own is under none.
fn landlock_domain() -> Attempt {
    const MOST: usize = 16;
    let what = "be under no Landlock domain";
    if landlock::abi() == 0 {
        return Attempt::new(what, true, "the kernel has no Landlock");
    }
    if let Err(e) = prctl::set_no_new_privs() {
        return Attempt::new(what, true, e.desc());
    }
    let mut added = 0;
    let last = loop {
        match attempt::landlock_layer() {
            Ok(()) if added == MOST => break Errno::E2BIG,
            Ok(()) => added += 1,
            Err(e) => break e,
        }
    };
    match last {
        Errno::E2BIG if added < MOST => Attempt::new(what, false, format!("there are {}", MOST - added)),
        Errno::E2BIG => Attempt::new(what, true, "none is in force"),
        other => Attempt::new(what, true, format!("not to be found out: {}", other.desc())),
    }
}
