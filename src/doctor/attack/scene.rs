//! The host's side of an attack: bait in a private directory, a bystander to be killed, listeners to be reached; then the
//! call, and a look at what has happened to the bait.
use super::Attempt;
use super::payload::Bait;
use crate::sys::{keyctl, pidfd, signal};
use anyhow::{Context, Result, bail};
use nix::pty::openpty;
use nix::sys::stat::fstat;
use nix::unistd::Pid;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Where a sandbox shows the binary.
const SHOWN: &str = "/mnt/rrunc";
/// How long one attack may take, in milliseconds.
const LIMIT: u16 = 30_000;
/// What follows the name to run a payload.
const PAYLOAD: [&str; 2] = ["doctor", "--payload"];
static SCENES: AtomicU32 = AtomicU32::new(0);

/// Bait, and who watches it.
pub struct Scene {
    dir: PathBuf,
    bait: Bait,
    bystander: Child,
    answers: ChildStdout,
    terminal: nix::pty::OpenptyResult,
    /// Kept open: connecting needs nobody who accepts.
    _listeners: (TcpListener, UnixListener, UnixListener),
}

impl Scene {
    /// Lays the bait out. The bystander is `exe`, too: it makes the directory, and removes it should we be killed.
    pub fn new(exe: &Path) -> Result<Scene> {
        let number = SCENES.fetch_add(1, Ordering::Relaxed);
        let name = format!("rrunc-doctor-{}-{number}", std::process::id());
        let dir = std::env::temp_dir().join(&name);
        let private = |dir: &Path| DirBuilder::new().mode(0o700).create(dir).with_context(|| dir.display().to_string());
        let process = format!("bait-{}-{number}", std::process::id());
        let mut bystander = Command::new(exe)
            .args(PAYLOAD)
            .arg("bystander")
            .arg("--bait")
            .arg(serde_json::to_string(&(&process, &dir))?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .with_context(|| exe.display().to_string())?;
        let mut answers = bystander.stdout.take().context("no output")?;
        // It begins by saying that it has its name and the directory.
        if answers.read(&mut [0]).context("the bystander")? == 0 {
            let status = bystander.wait().context("the bystander")?;
            bail!("{}: cannot be made, or its watcher not started: {status}", dir.display());
        }
        for name in ["home", "home/.ssh", "project", "run"] {
            private(&dir.join(name))?;
        }
        for file in ["home/.ssh/id_ed25519", "secret"] {
            fs::write(dir.join(file), "bait\n").with_context(|| file.to_owned())?;
        }
        let port = TcpListener::bind(("127.0.0.1", 0)).context("listen on loopback")?;
        let abstract_name = name.clone();
        let hidden = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&abstract_name)?).context("listen")?;
        let socket = UnixListener::bind(dir.join("home/agent.sock")).context("listen")?;
        let terminal = openpty(None, None).context("make a pseudoterminal")?;
        let stat = fstat(&terminal.slave).context("the pseudoterminal")?;
        let held = fs::metadata(&dir).context("the bait")?;
        let bait = Bait {
            secret: dir.join("secret"),
            home: dir.join("home"),
            socket: dir.join("home/agent.sock"),
            port: port.local_addr().context("the port")?.port(),
            abstract_name,
            process,
            directory: (held.dev(), held.ino()),
            terminal: (stat.st_dev, stat.st_ino),
            keyring: keyctl::session_keyring().ok(),
        };
        Ok(Scene { dir, bait, bystander, answers, terminal, _listeners: (port, hidden, socket) })
    }

    /// What runs `exe` in a sandbox.
    pub fn sandbox(&self, exe: &Path) -> Vec<OsString> {
        let mut bind = exe.as_os_str().to_owned();
        bind.push(":");
        bind.push(SHOWN);
        let flags = [OsString::from("sandbox"), "--ro-bind".into(), bind, "--".into(), SHOWN.into()];
        std::iter::once(exe.as_os_str().to_owned()).chain(flags).collect()
    }

    /// Runs the attack on `promise`, by the program and first arguments `launcher`: the binary itself for no sandbox.
    ///
    /// # Errors
    /// When the payload did not come to its end.
    pub fn attack(&self, promise: &str, launcher: &[OsString]) -> Result<Vec<Attempt>> {
        // The shell gives it a descriptor that nobody has closed.
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "exec 7<\"$0\" && exec \"$@\""]).arg(&self.dir).args(launcher).args(PAYLOAD);
        command.arg(promise).arg("--bait").arg(serde_json::to_string(&self.bait)?);
        command.current_dir(self.dir.join("project")).env("HOME", self.dir.join("home"));
        // What else of the caller's would be read or written lies below that HOME, then.
        for name in ["XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"] {
            command.env_remove(name);
        }
        command.env("XDG_RUNTIME_DIR", self.dir.join("run")).env(Bait::VARIABLE, "bait");
        let stdin = if promise == "terminal" { self.terminal.slave.try_clone()?.into() } else { Stdio::null() };
        signal::end_with_parent(&mut command);
        // Into files: a pipe would be waited for as long as anybody has it.
        let (out, err) = (self.dir.join("stdout"), self.dir.join("stderr"));
        let create = |path: &Path| File::create(path).with_context(|| path.display().to_string());
        let mut child = command.stdin(stdin).stdout(create(&out)?).stderr(create(&err)?).spawn().context("/bin/sh")?;
        let process = pidfd::open(Pid::from_raw(child.id().cast_signed())).context("the attack")?;
        if !pidfd::wait_ended(process.as_fd(), LIMIT).context("the attack")? {
            child.kill().context("end the attack")?;
        }
        let status = child.wait().context("wait for the attack")?;
        let said = fs::read_to_string(&out).context("what the attack said")?;
        let Some(attempts) = said.lines().find_map(|line| serde_json::from_str::<Vec<Attempt>>(line).ok()) else {
            let error = fs::read_to_string(&err).unwrap_or_default();
            bail!("attack on {promise}: {status}: {}", error.trim());
        };
        Ok(attempts.into_iter().chain(self.aftermath(promise)?).collect())
    }

    /// A signal that has been sent before we ask comes before the answer: this does not depend on time.
    fn bystander_answers(&self) -> bool {
        let asked = self.bystander.stdin.as_ref().is_some_and(|mut stdin| stdin.write_all(b"?").is_ok());
        asked && nix::unistd::read(&self.answers, &mut [0]) == Ok(1)
    }

    /// What can be seen from here only.
    fn aftermath(&self, promise: &str) -> Result<Option<Attempt>> {
        Ok(match promise {
            "view" => {
                let planted = self.bait.planted().exists();
                Some(Attempt::new("write a file below HOME", planted, "looked at from outside"))
            }
            "proc" => {
                let alive = self.bystander_answers();
                Some(Attempt::new("end a process of the host", !alive, "looked at from outside"))
            }
            _ => None,
        })
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // It takes the directory with it; if an attack has ended it, we do.
        drop(self.bystander.stdin.take());
        if let Err(error) = self.bystander.wait() {
            log::debug!("the bystander: {error}");
        }
        if self.dir.exists()
            && let Err(error) = fs::remove_dir_all(&self.dir)
        {
            log::warn!("{} is left behind: {error}", self.dir.display());
        }
    }
}
