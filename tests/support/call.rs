//! One call of the runtime: its own environment, output into files (a pipe would be held open by a detached container, and
//! hang the reader), and a time limit.
use super::{PATIENCE, Stage, slowness, wait_for};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A call being put together.
pub struct Call {
    pub(super) command: Command,
    stdout: PathBuf,
    stderr: PathBuf,
    patience: Duration,
}

impl Call {
    pub(super) fn new(stage: &Stage, number: u32, program: &OsStr) -> Call {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
            .env("HOME", stage.dir().join("home"))
            .env("XDG_RUNTIME_DIR", stage.xdg())
            .env("RRUNC_TEST", stage.dir())
            .stdin(Stdio::null());
        let out = |suffix: &str| stage.dir().join("out").join(format!("{number}.{suffix}"));
        Call { command, stdout: out("stdout"), stderr: out("stderr"), patience: PATIENCE }
    }

    /// More arguments.
    pub fn args(mut self, args: &[&str]) -> Call {
        self.command.args(args);
        self
    }

    /// One more argument, such as a path.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Call {
        self.command.arg(arg.into());
        self
    }

    /// The caller's working directory.
    pub fn cwd(mut self, dir: &Path) -> Call {
        self.command.current_dir(dir);
        self
    }

    /// A variable of the caller's environment.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Call {
        self.command.env(name, value);
        self
    }

    /// Takes a variable away from the caller's environment.
    pub fn no_env(mut self, name: &str) -> Call {
        self.command.env_remove(name);
        self
    }

    /// What the call reads from standard input, ended by end of file.
    pub fn stdin(mut self, text: impl AsRef<[u8]>) -> Call {
        let path = self.stdout.with_extension("stdin");
        fs::write(&path, text).expect("write the input");
        self.command.stdin(File::open(path).expect("open the input"));
        self
    }

    /// A standard input that stays open until the caller closes it.
    pub fn stdin_pipe(mut self) -> Call {
        self.command.stdin(Stdio::piped());
        self
    }

    /// A shorter or longer time limit.
    pub fn within(mut self, patience: Duration) -> Call {
        self.patience = patience;
        self
    }

    /// Starts it.
    pub fn spawn(mut self) -> Running {
        let create = |path: &Path| File::options().append(true).create(true).open(path).expect("an output file");
        self.command.stdout(create(&self.stdout)).stderr(create(&self.stderr));
        let child = self.command.spawn().unwrap_or_else(|e| panic!("{:?}: {e}", self.command));
        let what = format!("{:?}", self.command.get_args().collect::<Vec<_>>());
        Running { child, stdout: self.stdout, stderr: self.stderr, patience: self.patience, what }
    }

    /// Starts it and waits for its end.
    pub fn run(self) -> Output {
        self.spawn().wait()
    }
}

/// A call under way.
pub struct Running {
    /// The process, with its standard input if that is a pipe.
    pub child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
    patience: Duration,
    what: String,
}

impl Running {
    /// Pid of the runtime.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().expect("a pid"))
    }

    /// Sends the runtime a signal.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap_or_else(|e| panic!("{signal} to {}: {e}", self.what));
    }

    /// What it and its container wrote so far.
    pub fn stdout(&self) -> String {
        read(&self.stdout)
    }

    /// The messages so far.
    pub fn stderr(&self) -> String {
        read(&self.stderr)
    }

    /// Waits until standard output contains `text`.
    pub fn wait_stdout(&mut self, text: &str) {
        wait_for(&format!("{text:?} from {}", self.what), || {
            if self.stdout().contains(text) {
                return Some(());
            }
            // A detached call ends well before its container has said anything.
            if let Some(status) = self.child.try_wait().expect("wait").filter(|status| !status.success()) {
                assert!(
                    self.stdout().contains(text),
                    "{} ended ({status}) without {text:?}: {}",
                    self.what,
                    self.stderr()
                );
            }
            None
        });
    }

    /// Whether it has ended by now.
    pub fn ended(&mut self) -> bool {
        self.child.try_wait().expect("wait").is_some()
    }

    /// Waits for its end; past the time limit it is killed and the test fails with what it wrote.
    pub fn wait(mut self) -> Output {
        drop(self.child.stdin.take());
        let end = Instant::now() + self.patience * slowness();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("wait") {
                break status;
            }
            if Instant::now() > end {
                self.child.kill().expect("kill");
                self.child.wait().expect("wait");
                panic!("{} hangs\nstdout: {}\nstderr: {}", self.what, self.stdout(), self.stderr());
            }
            thread::sleep(Duration::from_millis(2));
        };
        self.output(status)
    }

    fn output(&self, status: ExitStatus) -> Output {
        let code = status.code().unwrap_or_else(|| -status.signal().expect("a code or a signal"));
        Output { code, stdout: self.stdout(), stderr: self.stderr(), what: self.what.clone() }
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).expect("read the output")).into_owned()
}

/// What a call left.
#[derive(Debug)]
pub struct Output {
    /// Exit code; minus the signal when the runtime itself was killed.
    pub code: i32,
    /// Standard output of the runtime and what ran in its foreground.
    pub stdout: String,
    /// Standard error of the same.
    pub stderr: String,
    what: String,
}

impl Output {
    /// Fails the test unless the code is this one.
    #[track_caller]
    pub fn exits(self, code: i32) -> Output {
        let Output { stdout, stderr, what, .. } = &self;
        assert_eq!(self.code, code, "exit code of {what}\nstdout: {stdout}\nstderr: {stderr}");
        self
    }

    /// Exit code 0.
    #[track_caller]
    pub fn success(self) -> Output {
        self.exits(0)
    }

    /// This exit code, and every one of these texts on standard error, in whatever case, as clients look for them.
    #[track_caller]
    pub fn fails(self, code: i32, texts: &[&str]) -> Output {
        let out = self.exits(code);
        for text in texts {
            let plain = out.stderr.replace("\\\"", "\"").to_lowercase();
            assert!(plain.contains(&text.to_lowercase()), "{} does not say {text:?}\nstderr: {}", out.what, out.stderr);
        }
        out
    }

    /// Exactly this on standard output.
    #[track_caller]
    pub fn prints(self, text: &str) -> Output {
        assert_eq!(self.stdout, text, "stdout of {}\nstderr: {}", self.what, self.stderr);
        self
    }

    /// Standard output without the final newline.
    pub fn line(&self) -> &str {
        self.stdout.trim_end_matches('\n')
    }
}
