//! What the doctor runs inside: one function a promise, each of which tries to break it and says how far it came. Written
//! like an attacker, but for one thing: a success does no harm, as these run without a sandbox too, in the tests.
mod files;
mod kernel;
mod limits;
mod processes;
mod session;

use super::attempt::Attempt;
use crate::sys::prctl;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::ffi::CString;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the bait is.
#[derive(Debug, Serialize, Deserialize)]
pub struct Bait {
    /// A file beside the project.
    pub secret: PathBuf,
    /// Another, which the project's own profile would show.
    pub granted: PathBuf,
    /// The caller's HOME, with a key in it, and a repository that is not the project's.
    pub home: PathBuf,
    /// The caller's runtime directory.
    pub run: PathBuf,
    /// Where the sandbox writes its report.
    pub report: PathBuf,
    /// Socket files of the caller's session.
    pub sockets: Vec<PathBuf>,
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
    /// How long to wait, in milliseconds, for something that ends what is beyond its limits.
    pub patience: u16,
}

impl Bait {
    /// A variable of the caller's.
    pub const VARIABLE: &str = "RRUNC_DOCTOR_BAIT";
    /// Variables that name sockets of a session.
    pub const SESSION: [&str; 5] =
        ["SSH_AUTH_SOCK", "DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "WAYLAND_DISPLAY", "DOCKER_HOST"];
    /// The most processes that the attack on limits is allowed, and the most bytes of memory and of a file system.
    pub const LIMITS: (usize, usize, usize) = (24, 64 << 20, 1 << 20);

    /// What the attack on the view writes, each with the row of that and what it is.
    pub fn planted(&self) -> [(&str, &str, PathBuf); 4] {
        [
            ("", "write a file below HOME", self.home.join("planted")),
            ("24", "change a profile", self.home.join(".config/rrunc/profiles/base.toml")),
            ("24", "have a project trusted", self.home.join(".local/share/rrunc/trusted/planted")),
            ("24", "write into the state directory", self.run.join("rrunc/planted")),
        ]
    }

    /// What there is in the project of what runs later on the host.
    pub const RUNS_LATER: [&str; 4] = [".git/hooks/pre-commit", ".git/config", ".envrc", ".vscode/tasks.json"];
    /// Links that a sandbox leaves in the project: to the caller's keys, and to another file of his.
    pub const LEFT: [&str; 2] = ["left", "left.json"];
    /// The report of one attack, in the project.
    pub const OWN_REPORT: &str = "report.json";
    /// What stands in a report that is not rrunc's.
    pub const FORGED: &str = "forged by the program";
    /// A file in the project that is hidden.
    pub const HIDDEN: &str = ".env";
    /// What the host puts in its place.
    pub const SAVED: &str = "saved by an editor\n";
    /// What git goes by in a directory beside the project, which one attack is granted.
    pub const BOUND: &str = "bound/.git/config";
    /// What is not there, and would.
    pub const PLANTED: [&str; 2] = [".husky/pre-commit", ".git/config.worktree"];
}

/// Plays the part `name`; what it has to say is one line of JSON.
pub fn run(name: &str, bait: &str) -> Result<String> {
    if name == "bystander" {
        let (process, dir) = serde_json::from_str(bait).context("--bait")?;
        return bystander(process, dir);
    }
    let bait: Bait = serde_json::from_str(bait).context("--bait")?;
    let attempts = match name {
        "view" => files::view(&bait),
        "forged" => files::forged(&bait),
        "leave" => files::leave(&bait),
        "linked" => files::linked(),
        "written" => files::written(),
        "forge" => files::forge(),
        "replaced" => vec![files::replaced()?],
        "bound" => files::bound(&bait),
        "capabilities" => kernel::capabilities(),
        "seccomp" => kernel::seccomp(),
        "network" => session::network(&bait),
        "abstract" => vec![session::abstract_socket(&bait)],
        "terminal" => session::terminal(&bait),
        "environment" => session::environment(),
        "fds" => session::fds(&bait),
        "keyring" => vec![session::keyring(&bait)],
        "proc" => processes::seen(&bait),
        "outlive" => return processes::outlive(),
        "privileges" => kernel::privileges(),
        "mounts" => kernel::mounts(),
        "namespaces" => kernel::namespaces(),
        "limits" => limits::limits(&bait),
        "memory-of-one" => vec![limits::memory(1, 2 * Bait::LIMITS.1, bait.patience)],
        "memory-of-many" => vec![limits::memory(4, Bait::LIMITS.1 / 2, bait.patience)],
        "time" => vec![limits::time(bait.patience)],
        "landlock" => vec![kernel::landlock_domain()],
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

/// All of them as attempts of one row.
fn of_row(row: &str, attempts: Vec<Attempt>) -> Vec<Attempt> {
    attempts.into_iter().map(|attempt| attempt.of(row)).collect()
}

/// A line of /proc/self/status.
fn status(field: &str) -> String {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).map_or("", str::trim).to_owned()
}

/// The numbers in /proc.
fn pids() -> Vec<i32> {
    let entries = fs::read_dir("/proc").map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default();
    entries.iter().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}
