//! The host's side of an attack: bait in a private directory, a bystander to be killed, listeners to be reached, and the
//! call of what is attacked.
use super::payload::Bait;
use crate::sys::{keyctl, pidfd, signal};
use anyhow::{Context, Result, bail};
use nix::pty::{OpenptyResult, openpty};
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
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Where a sandbox shows the binary.
const SHOWN: &str = "/mnt/rrunc";
/// How long one attack may take, in milliseconds.
const LIMIT: u16 = 30_000;
/// What follows the name to run a payload.
const PAYLOAD: [&str; 2] = ["doctor", "--payload"];
/// How long what is beyond a limit is given to be ended, in milliseconds: nobody waits for it where that works.
const PATIENCE: u16 = 10_000;
static SCENES: AtomicU32 = AtomicU32::new(0);

/// What starts a program: the sandbox, or in the tests something weaker.
pub struct Launcher {
    before: Vec<OsString>,
    takes_options: bool,
    payload: OsString,
}

impl Launcher {
    /// `rrunc sandbox`, by the binary `exe`.
    pub fn sandbox(exe: &Path) -> Launcher {
        let mut bind = exe.as_os_str().to_owned();
        bind.push(":");
        bind.push(SHOWN);
        let before = vec![exe.into(), "sandbox".into(), "--ro-bind".into(), bind];
        Launcher { before, takes_options: true, payload: SHOWN.into() }
    }

    /// The words `before`, which know no options of the sandbox.
    pub fn other(before: &[&str], exe: &Path) -> Launcher {
        Launcher { before: before.iter().map(OsString::from).collect(), takes_options: false, payload: exe.into() }
    }
}

/// One call.
#[derive(Default)]
pub struct Call<'a> {
    /// Options of the sandbox.
    pub options: &'a [&'a str],
    /// The program and its arguments; none is the payload of the given name.
    pub program: &'a [&'a str],
    /// Name of the payload.
    pub payload: &'a str,
    /// Working directory, below that of the scene; none is the project.
    pub dir: Option<&'a str>,
    /// Standard input; none is /dev/null.
    pub stdin: Option<Stdio>,
    /// Standard error is the terminal.
    pub on_terminal: bool,
}

/// What came of it.
pub struct Ran {
    /// Exit status, as a shell has it.
    pub status: Option<i32>,
    /// What was printed.
    pub stdout: String,
    /// Messages.
    pub stderr: String,
}

/// Bait, and who watches it.
pub struct Scene {
    /// Where it all is.
    pub dir: PathBuf,
    /// What is where.
    pub bait: Bait,
    bystander: Child,
    answers: ChildStdout,
    terminal: OpenptyResult,
    /// Kept open: connecting needs nobody who accepts.
    _listeners: (TcpListener, [UnixListener; 3]),
}

impl Scene {
    /// Lays the bait out. The bystander is `exe`, too: it makes the directory, and removes it should we be killed.
    pub fn new(exe: &Path) -> Result<Scene> {
        let number = SCENES.fetch_add(1, Ordering::Relaxed);
        let name = format!("rrunc-doctor-{}-{number}", std::process::id());
        let dir = std::env::temp_dir().join(&name);
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
        lay_out(&dir)?;
        let port = TcpListener::bind(("127.0.0.1", 0)).context("listen on loopback")?;
        let hidden = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name)?).context("listen")?;
        // None that rrunc itself would talk to, such as a bus: nobody answers.
        let sockets = ["home/agent.sock", "run/wayland-0"].map(|name| dir.join(name));
        let [agent, display] = sockets.each_ref().map(UnixListener::bind);
        let terminal = openpty(None, None).context("make a pseudoterminal")?;
        let stat = fstat(&terminal.slave).context("the pseudoterminal")?;
        let held = fs::metadata(&dir).context("the bait")?;
        let bait = Bait {
            secret: dir.join("secret"),
            granted: dir.join("granted"),
            home: dir.join("home"),
            run: dir.join("run"),
            report: dir.join("report.json"),
            sockets: sockets.to_vec(),
            port: port.local_addr().context("the port")?.port(),
            abstract_name: name,
            process,
            directory: (held.dev(), held.ino()),
            terminal: (stat.st_dev, stat.st_ino),
            keyring: keyctl::session_keyring().ok(),
            patience: PATIENCE,
        };
        let listeners = (port, [hidden, agent.context("listen")?, display.context("listen")?]);
        Ok(Scene { dir, bait, bystander, answers, terminal, _listeners: listeners })
    }

    /// The command of a call, with what of the caller's is in its surroundings.
    pub fn command(&self, launcher: &Launcher, call: &Call) -> Result<Command> {
        let mut words = launcher.before.clone();
        if launcher.takes_options {
            words.extend(call.options.iter().map(OsString::from));
            words.push("--".into());
        }
        if call.program.is_empty() {
            words.push(launcher.payload.clone());
            words.extend(PAYLOAD.into_iter().chain([call.payload, "--bait"]).map(OsString::from));
            words.push(serde_json::to_string(&self.bait)?.into());
        }
        words.extend(call.program.iter().map(OsString::from));
        // The shell gives it a descriptor that nobody has closed.
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "exec 7<\"$0\" && exec \"$@\""]).arg(&self.dir).args(words);
        command.current_dir(self.dir.join(call.dir.unwrap_or("project"))).env("HOME", self.dir.join("home"));
        // What else of the caller's would be read or written lies below that HOME, then.
        for name in ["XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"] {
            command.env_remove(name);
        }
        command.env("XDG_RUNTIME_DIR", &self.bait.run).env(Bait::VARIABLE, "bait");
        for name in Bait::SESSION {
            command.env(name, &self.bait.sockets[0]);
        }
        signal::end_with_parent(&mut command);
        Ok(command)
    }

    /// Calls it, and waits for its end.
    pub fn call(&self, launcher: &Launcher, call: Call) -> Result<Ran> {
        let mut command = self.command(launcher, &call)?;
        // Into files: a pipe would be waited for as long as anybody has it.
        let (out, err) = (self.dir.join("stdout"), self.dir.join("stderr"));
        let create = |path: &Path| File::create(path).with_context(|| path.display().to_string());
        let stderr: Stdio = if call.on_terminal { self.terminal()? } else { create(&err)?.into() };
        command.stdin(call.stdin.unwrap_or_else(Stdio::null)).stdout(create(&out)?).stderr(stderr);
        let mut child = command.spawn().context("/bin/sh")?;
        let process = pidfd::open(Pid::from_raw(child.id().cast_signed())).context("the attack")?;
        if !pidfd::wait_ended(process.as_fd(), LIMIT).context("the attack")? {
            child.kill().context("end the attack")?;
        }
        let status = child.wait().context("wait for the attack")?;
        let text = |path: &Path| fs::read(path).map(|text| String::from_utf8_lossy(&text).into_owned());
        let stderr = if call.on_terminal { self.shown()? } else { text(&err).context("what the attack said")? };
        let status = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
        Ok(Ran { status, stdout: text(&out).context("what the attack said")?, stderr })
    }

    /// The terminal as a standard stream.
    pub fn terminal(&self) -> Result<Stdio> {
        Ok(self.terminal.slave.try_clone().context("the pseudoterminal")?.into())
    }

    /// What the terminal has shown so far. It is put down behind a mark, so that nothing is waited for.
    fn shown(&self) -> Result<String> {
        const MARK: &[u8] = b"\0\0";
        nix::unistd::write(&self.terminal.slave, MARK).context("the pseudoterminal")?;
        let (mut text, mut piece) = (Vec::new(), [0; 4096]);
        while !text.ends_with(MARK) {
            let length = nix::unistd::read(&self.terminal.master, &mut piece).context("the pseudoterminal")?;
            text.extend(&piece[..length]);
        }
        text.truncate(text.len() - MARK.len());
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// A signal that has been sent before we ask comes before the answer: this does not depend on time.
    pub fn bystander_answers(&self) -> bool {
        let asked = self.bystander.stdin.as_ref().is_some_and(|mut stdin| stdin.write_all(b"?").is_ok());
        asked && nix::unistd::read(&self.answers, &mut [0]) == Ok(1)
    }
}

/// A home with a key and somebody's repository in it, and projects.
fn lay_out(dir: &Path) -> Result<()> {
    let put = |name: &str, text: &str| -> Result<()> {
        let path = dir.join(name);
        let parent = path.parent().context("a directory")?;
        DirBuilder::new().recursive(true).mode(0o700).create(parent).with_context(|| parent.display().to_string())?;
        fs::write(&path, text).with_context(|| path.display().to_string())
    };
    for file in ["home/.ssh/id_ed25519", "home/victim/.git/config", "secret", "granted"] {
        put(file, "bait\n")?;
    }
    for name in Bait::RUNS_LATER {
        put(&format!("project/{name}"), "bait\n")?;
    }
    put(&format!("project/{}", Bait::HIDDEN), "hidden\n")?;
    put(Bait::BOUND, "bait\n")?;
    put("bound/.git/HEAD", "ref: refs/heads/main\n")?;
    ["bound/.git/objects", "bound/.git/refs"].map(|name| dir.join(name)).iter().try_for_each(fs::create_dir)?;
    let root = dir.display();
    put("project/.rrunc.toml", &format!("[allow]\nread = [{:?}]\n", dir.join("granted")))?;
    put("forged-keys/.git", &format!("gitdir: {root}/home/.ssh\n"))?;
    put("forged-repository/.git", &format!("gitdir: {root}/home/victim/.git\n"))?;
    let private = |name: &str| DirBuilder::new().recursive(true).mode(0o700).create(dir.join(name));
    private("run/rrunc").and_then(|()| private(super::rounds::ODD)).context("the bait")
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
