//! Calls of rrunc, each with a time limit and its output in a file. Those in the background are waited for at the end.
use crate::finding::{Finding, Kind};
use crate::plan::{Plan, Setting};
use crate::set_up;
use crate::weakness::Weakness;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a call may take that waits for no program, on whatever machine.
pub const LIMIT: Duration = Duration::from_secs(20);

struct Call {
    child: Child,
    words: String,
    number: usize,
    /// We have ended it ourselves.
    killed: bool,
}

/// All of a sequence.
pub struct Calls {
    dir: PathBuf,
    setting: Setting,
    weakness: Option<Weakness>,
    bystander: u32,
    limit: Duration,
    started: usize,
    background: Vec<Call>,
    last: Option<(usize, Option<i32>)>,
}

impl Calls {
    /// None yet. The bystander is a child that is never waited for here.
    pub fn new(plan: &Plan, dir: &Path, weakness: Option<Weakness>, bystander: u32) -> Calls {
        let limit = if weakness == Some(Weakness::Slow) { LIMIT / 10 } else { LIMIT };
        Calls {
            dir: dir.to_owned(),
            setting: plan.setting,
            weakness,
            bystander,
            limit,
            started: 0,
            background: Vec::new(),
            last: None,
        }
    }

    /// Calls rrunc with these words.
    pub fn call(&mut self, words: &str, background: bool, killed: Option<u32>) -> Vec<Finding> {
        let mut call = self.spawn(words);
        if let Some(micros) = killed {
            let end = Instant::now() + Duration::from_micros(micros.into());
            // Busy waiting: a sleep is far coarser than the steps between which we want to cut.
            while Instant::now() < end {
                std::hint::spin_loop();
            }
            call.child.kill().expect("kill");
            call.killed = true;
        }
        if background && killed.is_none() {
            self.background.push(call);
            return Vec::new();
        }
        let (status, found) = self.wait(&mut call, self.limit);
        self.last = Some((call.number, status.and_then(|status| status.code())));
        found.into_iter().collect()
    }

    /// The exit code of a call that may fail.
    pub fn status(&mut self, words: &str) -> Option<i32> {
        self.call(words, false, None);
        self.last_code()
    }

    /// Exit code of the last call that was waited for.
    pub fn last_code(&self) -> Option<i32> {
        self.last.and_then(|(_, code)| code)
    }

    /// The last line that it wrote.
    pub fn last_words(&self) -> String {
        let text = self.last.map(|(number, _)| self.text(number, "err")).unwrap_or_default();
        text.lines().last().unwrap_or_default().to_owned()
    }

    /// What it printed.
    pub fn last_output(&self) -> String {
        self.last.map(|(number, _)| self.text(number, "out")).unwrap_or_default()
    }

    /// A signal for the rrunc that was last called in the background.
    pub fn signal(&mut self, name: &str) {
        if let Some(call) = self.background.last_mut() {
            let signal: Signal = format!("SIG{name}").parse().expect("a signal");
            call.killed |= signal == Signal::SIGKILL;
            send(call, signal);
        }
    }

    /// Whether every sandbox that still runs in the background has been set up.
    pub fn all_up(&mut self) -> bool {
        let running = |call: &mut Call| matches!(call.child.try_wait(), Ok(None)) && call.words.contains("PUPPET");
        let numbers: Vec<usize> =
            self.background.iter_mut().filter_map(|call| running(call).then_some(call.number)).collect();
        numbers.into_iter().all(|number| self.text(number, "out").contains(crate::inside::UP))
    }

    /// Who was stopped goes on.
    pub fn go_on(&mut self) {
        self.background.iter_mut().for_each(|call| send(call, Signal::SIGCONT));
    }

    /// Ends what is in the background as its user would: asked first, and then not.
    pub fn end_all(&mut self) {
        self.background.iter_mut().for_each(|call| send(call, Signal::SIGTERM));
        let end = Instant::now() + Duration::from_millis(500);
        while Instant::now() < end && self.background.iter_mut().any(|call| matches!(call.child.try_wait(), Ok(None))) {
            sleep(Duration::from_millis(2));
        }
        for call in &mut self.background {
            if matches!(call.child.try_wait(), Ok(None)) {
                send(call, Signal::SIGKILL);
                call.killed = true;
            }
        }
    }

    /// Everything in the background has to end by itself now.
    pub fn wait_all(&mut self, limit: Duration) -> Vec<Finding> {
        let mut found = Vec::new();
        while let Some(mut call) = self.background.pop() {
            found.extend(self.wait(&mut call, limit).1);
        }
        found
    }

    fn spawn(&mut self, words: &str) -> Call {
        let number = self.started;
        self.started += 1;
        let create = |suffix: &str| File::create(self.path(number, suffix)).expect("an output file");
        let mut command = self.command();
        command.args(self.arguments(words)).stdout(create("out")).stderr(create("err"));
        let child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        Call { child, words: words.to_owned(), number, killed: false }
    }

    /// rrunc, with bait around it: a variable, and a directory that nobody has closed.
    fn command(&self) -> Command {
        let rrunc = self.dir.join("rrunc");
        let mut command = if self.setting == Setting::SharedSandbox {
            // The capabilities are ours, for the mounts, and not the caller's.
            let mut command = Command::new("setpriv");
            command.args(["--ambient-caps=-all", "--inh-caps=-all"]).arg(rrunc);
            command
        } else {
            Command::new(rrunc)
        };
        let cwd = if self.setting.is_sandbox() { "project" } else { "bundle" };
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
            .env("HOME", self.dir.join("home"))
            .env("XDG_RUNTIME_DIR", self.dir.join("xdg"))
            .env("RRUNC_TEST", &self.dir)
            .env("BAIT", format!("{} of the environment", crate::bait::SECRET))
            .current_dir(self.dir.join(cwd))
            .stdin(Stdio::null());
        command
    }

    fn arguments(&self, words: &str) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        let words: Vec<&str> = words.split(' ').collect();
        let second = words.contains(&"d") && ["create", "run"].contains(&words[0]);
        for word in words {
            match word {
                "PUPPET" => all.extend(set_up::puppet(self.setting, &self.dir)),
                "DEED" => all.extend(set_up::puppet(self.setting, &self.dir)),
                "--" if self.setting.is_sandbox() => {
                    all.extend(set_up::sandbox_options(&self.dir, self.weakness));
                    all.push(word.to_owned());
                }
                word => all.push(word.to_owned()),
            }
        }
        if second {
            all.extend(["--bundle".to_owned(), self.dir.join("second").display().to_string()]);
        }
        all
    }

    /// Waits for the end of a call; it is killed when it takes too long.
    fn wait(&mut self, call: &mut Call, limit: Duration) -> (Option<ExitStatus>, Option<Finding>) {
        let end = Instant::now() + limit;
        let status = loop {
            if let Some(status) = call.child.try_wait().expect("wait") {
                break status;
            }
            self.reap(call);
            if Instant::now() > end {
                let wchan = fs::read_to_string(format!("/proc/{}/wchan", call.child.id())).unwrap_or_default();
                call.child.kill().and_then(|()| call.child.wait()).expect("kill");
                let text = format!("rrunc {} does not end ({wchan}): {}", call.words, self.text(call.number, "err"));
                return (None, Some(Finding::new(Kind::Hang, text)));
            }
            sleep(Duration::from_millis(1));
        };
        (Some(status), self.crashed(call, status))
    }

    /// Puts away what has ended of those that have become ours: a pid namespace ends only then.
    fn reap(&mut self, awaited: &Call) {
        use nix::sys::wait::{Id, WaitPidFlag, waitid, waitpid};
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        loop {
            let running = |call: &mut Call| matches!(call.child.try_wait(), Ok(None)).then_some(call.child.id());
            let ours: Vec<u32> = self.background.iter_mut().filter_map(running).collect();
            let Some(pid) = waitid(Id::All, flags).ok().and_then(|status| status.pid()) else { return };
            let number = pid.as_raw().cast_unsigned();
            if ours.contains(&number) || number == awaited.child.id() || number == self.bystander {
                return;
            }
            waitpid(pid, None).expect("reap");
        }
    }

    fn crashed(&self, call: &Call, status: ExitStatus) -> Option<Finding> {
        let said = self.text(call.number, "err");
        let panicked = said.lines().find(|line| line.contains("panicked at src/"));
        let signal = status.signal().filter(|_| !call.killed);
        // What only ends it, and is sent by the plan.
        let signal = signal.filter(|signal| ![libc::SIGTERM, libc::SIGINT, libc::SIGHUP].contains(signal));
        (panicked.is_some() || signal.is_some()).then(|| {
            Finding::new(Kind::Crash, format!("rrunc {}: {status}: {}", call.words, panicked.unwrap_or(&said)))
        })
    }

    fn path(&self, number: usize, suffix: &str) -> PathBuf {
        self.dir.join(format!("out/{number}.{suffix}"))
    }

    fn text(&self, number: usize, suffix: &str) -> String {
        fs::read(self.path(number, suffix)).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
    }

    /// All that was printed, and what the program inside has written down.
    pub fn outputs(&self, shared: &Path) -> String {
        let printed = (0..self.started).flat_map(|number| ["out", "err"].map(|suffix| self.text(number, suffix)));
        let loot = fs::read(shared.join("loot")).unwrap_or_default();
        printed.chain([String::from_utf8_lossy(&loot).into_owned()]).collect::<Vec<_>>().join("\n")
    }
}

fn send(call: &mut Call, signal: Signal) {
    if matches!(call.child.try_wait(), Ok(None)) {
        let pid = Pid::from_raw(call.child.id().cast_signed());
        kill(pid, signal).expect("signal");
    }
}
