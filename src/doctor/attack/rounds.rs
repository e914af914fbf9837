//! The attacks on each promise: one call of the payload of its name, and further ones where it takes another project,
//! other streams or limits, each with a look from the host at what has come of it.
use super::attempt::Attempt;
use super::judge::{self, Memory};
use super::payload::Bait;
use super::scene::{Call, Launcher, Ran, Scene};
use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::Value;
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::AsFd;
use std::process::Stdio;

/// A directory whose name is none that a program expects.
pub const ODD: &str = "--bind\n-x $(exit) \"q\" \u{1b}[7m";
/// Arguments that are none of rrunc's.
const ARGUMENTS: [&str; 6] = ["--bind", "/", "--", "a\nb", "", "-e\u{1b}[7m"];
/// What keeps a terminal from showing what follows: concealed letters, and a string that does not end.
const LAST_WORDS: &str = "\u{1b}[8m\u{1b}]0;";
/// What a terminal would obey, and how it is to be shown.
const OBEYED: [&str; 2] = ["\u{1b}]0;bait\u{7}", "\\u{1b}]0;bait\\u{7}"];

/// Attacks `promise` at what `launcher` starts.
///
/// # Errors
/// When the payload did not come to its end.
pub fn attack(scene: &Scene, promise: &str, launcher: &Launcher) -> Result<Vec<Attempt>> {
    let stage = Stage { scene, launcher };
    Ok(match promise {
        "view" => stage.view()?,
        "limits" => stage.limits()?,
        "network" => stage.network()?,
        "terminal" => stage.terminal()?,
        "fds" => stage.fds()?,
        "proc" => stage.processes()?,
        other => stage.payload(Call { payload: other, ..Call::default() })?,
    })
}

/// What an attack has to do with.
pub(super) struct Stage<'a> {
    pub(super) scene: &'a Scene,
    pub(super) launcher: &'a Launcher,
}

/// What the payload has said, if it came so far.
pub(super) fn said(ran: &Ran) -> Option<Vec<Attempt>> {
    ran.stdout.lines().find_map(|line| serde_json::from_str(line).ok())
}

impl Stage<'_> {
    pub(super) fn call(&self, call: Call) -> Result<Ran> {
        self.scene.call(self.launcher, call)
    }

    /// What a payload says that nobody ends.
    pub(super) fn payload(&self, call: Call) -> Result<Vec<Attempt>> {
        let name = call.payload.to_owned();
        let ran = self.call(call)?;
        match said(&ran) {
            Some(attempts) => Ok(attempts),
            None => bail!("attack on {name}: exit status {:?}: {}", ran.status, ran.stderr.trim()),
        }
    }

    fn view(&self) -> Result<Vec<Attempt>> {
        let Scene { dir, bait, .. } = self.scene;
        let report = bait.report.to_string_lossy();
        let mut all = self.payload(Call { payload: "view", options: &["--report", &report], ..Call::default() })?;
        for (row, what, path) in bait.planted() {
            let attempt = Attempt::new(what, path.exists(), "looked at from outside");
            all.push(if row.is_empty() { attempt } else { attempt.of(row) });
        }
        let text = fs::read_to_string(&bait.report).unwrap_or_default();
        all.push(judge::report(&text));
        let project = dir.join("project");
        let changed = |name: &&str| fs::read(project.join(name)).ok().is_none_or(|text| text != b"bait\n");
        let changed: Vec<&str> = Bait::RUNS_LATER.into_iter().filter(changed).collect();
        let new: Vec<&str> = Bait::PLANTED.into_iter().filter(|name| project.join(name).exists()).collect();
        let told = serde_json::from_str::<Value>(&text).map(|report| report["runsLater"].clone()).unwrap_or_default();
        let told: Vec<String> = serde_json::from_value(told).unwrap_or_default();
        all.extend(judge::runs_later(&changed, &new, &told));
        for dir in ["forged-keys", "forged-repository"] {
            all.extend(self.payload(Call { payload: "forged", dir: Some(dir), ..Call::default() })?);
        }
        all.push(self.odd_names()?);
        all.extend(self.traps()?);
        all.push(self.replaced()?);
        all.push(self.bound()?);
        Ok(all)
    }

    fn odd_names(&self) -> Result<Attempt> {
        let script = "printf '%s\\0' \"$(pwd -P)\" \"$@\"";
        let program = [&["/bin/sh", "-c", script, "sh"][..], &ARGUMENTS].concat();
        let ran = self.call(Call { program: &program, dir: Some(ODD), ..Call::default() })?;
        let dir = self.scene.dir.canonicalize().context("the bait")?.join(ODD);
        let dir = dir.to_string_lossy();
        Ok(judge::literal(&[&[&*dir][..], &ARGUMENTS].concat(), &ran.stdout))
    }

    fn limits(&self) -> Result<Vec<Attempt>> {
        let (processes, memory, disk) = Bait::LIMITS;
        let (processes, memory, disk) = (processes.to_string(), memory.to_string(), disk.to_string());
        let options = ["--pids-limit", &processes, "--size", &disk];
        let mut all = self.payload(Call { payload: "limits", options: &options, ..Call::default() })?;
        let report = self.scene.bait.report.to_string_lossy();
        for (payload, count) in [("memory-of-one", 1), ("memory-of-many", 4)] {
            let ran = self.call(Call { payload, options: &["-m", &memory, "--report", &report], ..Call::default() })?;
            let ended_by = || {
                let text = fs::read_to_string(&self.scene.bait.report).unwrap_or_default();
                let report: Value = serde_json::from_str(&text).unwrap_or_default();
                report["endedBy"].as_str().unwrap_or("nobody").to_owned()
            };
            let ended = || vec![judge::memory(count, 2 * Bait::LIMITS.1, &Memory::Ended(ended_by()))];
            all.extend(said(&ran).unwrap_or_else(ended));
        }
        let ran = self.call(Call { payload: "time", options: &["--timeout", "100ms"], ..Call::default() })?;
        all.extend(said(&ran).unwrap_or_else(|| vec![judge::time(ran.status, false)]));
        Ok(all)
    }

    fn network(&self) -> Result<Vec<Attempt>> {
        let mut all = self.payload(Call { payload: "network", ..Call::default() })?;
        let ran = self.call(Call { payload: "abstract", options: &["--network", "host"], ..Call::default() })?;
        let what = "reach an abstract socket in the host's network";
        let reason = "abstract unix sockets of your session";
        let refused = || vec![judge::refused("8", what, ran.status, &ran.stderr, reason)];
        let named = |attempt| Attempt { what: what.to_owned(), ..attempt };
        all.extend(said(&ran).unwrap_or_else(refused).into_iter().map(named));
        Ok(all)
    }

    fn terminal(&self) -> Result<Vec<Attempt>> {
        let stdin = Some(self.scene.terminal()?);
        let mut all = self.payload(Call { payload: "terminal", stdin, ..Call::default() })?;
        let [name, escaped] = OBEYED;
        let script = "mkdir -p \".git/modules/$1/hooks\"";
        let planted = ["/bin/sh", "-c", script, "sh", name];
        for (what, program) in [
            ("command the terminal by the name of a program", &[name][..]),
            ("command the terminal by the name of a file", &planted),
        ] {
            let ran = self.call(Call { program, on_terminal: true, ..Call::default() })?;
            all.push(judge::escapes(what, name, escaped, &ran.stderr));
        }
        let script = format!("mkdir -p .git/modules/unseen/hooks; printf '{LAST_WORDS}' >&2");
        let ran = self.call(Call { program: &["/bin/sh", "-c", &script], on_terminal: true, ..Call::default() })?;
        all.push(judge::seen(LAST_WORDS, &ran.stderr));
        Ok(all)
    }

    fn fds(&self) -> Result<Vec<Attempt>> {
        let mut all = self.payload(Call { payload: "fds", ..Call::default() })?;
        let stdin = Some(Stdio::from(File::open(&self.scene.dir).context("the bait")?));
        let ran = self.call(Call { payload: "fds", stdin, ..Call::default() })?;
        let what = "hold a directory given as standard input";
        let refused = || vec![judge::refused("3", what, ran.status, &ran.stderr, "is a directory")];
        let all_said = said(&ran).unwrap_or_else(refused);
        let of_stream = all_said.into_iter().filter(|attempt| attempt.row.as_deref() == Some("3"));
        all.extend(of_stream.map(|attempt| Attempt { what: what.to_owned(), ..attempt }));
        Ok(all)
    }

    fn processes(&self) -> Result<Vec<Attempt>> {
        let mut all = self.payload(Call { payload: "proc", ..Call::default() })?;
        let alive = self.scene.bystander_answers();
        all.push(Attempt::new("end a process of the host", !alive, "looked at from outside").of("7"));
        all.push(self.killed()?);
        Ok(all)
    }

    /// Kills rrunc once its program has settled. Whoever of it is there has the pipe open, and ends when its input does.
    fn killed(&self) -> Result<Attempt> {
        let mut command = self.scene.command(self.launcher, &Call { payload: "outlive", ..Call::default() })?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut rrunc = command.spawn().context("/bin/sh")?;
        let (input, mut output) = (rrunc.stdin.take(), rrunc.stdout.take().context("no output")?);
        let settled = output.read(&mut [0; 2]).context("the attack")? > 0;
        rrunc.kill().context("kill rrunc")?;
        rrunc.wait().context("wait for rrunc")?;
        let limit = PollTimeout::from(self.scene.bait.patience);
        let mut ended = Ok(0);
        for _ in 0..2 {
            // First what may be left of its two bytes, then the end.
            ended = poll(&mut [PollFd::new(output.as_fd(), PollFlags::POLLIN)], limit);
            if !matches!(ended, Ok(1..)) || output.read(&mut [0; 2]).context("the attack")? == 0 {
                break;
            }
        }
        drop(input);
        match ended {
            Ok(count) => Ok(judge::outlived(settled, count > 0)),
            Err(Errno::EINTR) => Ok(Attempt::not_tried("outlive a killed rrunc", "interrupted").of("20b")),
            Err(error) => Err(error).context("the attack"),
        }
    }
}
