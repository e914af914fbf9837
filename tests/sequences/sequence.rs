//! One run of a sequence, in a process of its own, and in namespaces where it takes them.
use crate::finding::{Finding, Kind};
use crate::plan::{Plan, Setting};
use crate::support::Stage;
use crate::weakness::Weakness;
use crate::{calls, weakness};
use std::env;
use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// One run: a seed, or a control, and which of its steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Sequence {
    /// All of it comes from this.
    pub seed: u64,
    /// Of a control.
    pub weakness: Option<Weakness>,
    /// Numbers of the steps that are taken; none is all.
    pub only: Option<Vec<usize>>,
}

impl Sequence {
    /// All of a seed.
    pub fn of(seed: u64) -> Sequence {
        Sequence { seed, weakness: None, only: None }
    }

    /// As [`Sequence::text`] has it.
    pub fn parse(text: &str) -> Option<Sequence> {
        let mut parts = text.split(';');
        let (seed, weakness, only) = (parts.next()?, parts.next()?, parts.next()?);
        let weakness = weakness::ALL.into_iter().find(|known| format!("{known:?}") == weakness);
        let only = only.split(',').filter_map(|number| number.parse().ok()).collect();
        Some(Sequence { seed: seed.parse().ok()?, weakness, only: (!text.ends_with(";all")).then_some(only) })
    }

    /// One word for the process that does it.
    pub fn text(&self) -> String {
        let weakness = self.weakness.map_or(String::new(), |weakness| format!("{weakness:?}"));
        let numbers = |only: &Vec<usize>| only.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
        format!("{};{weakness};{}", self.seed, self.only.as_ref().map_or("all".to_owned(), numbers))
    }

    /// Its set-up and steps.
    pub fn plan(&self) -> Plan {
        let mut plan = self.weakness.map_or_else(|| Plan::new(self.seed), Weakness::plan);
        if let Some(only) = &self.only {
            let mut number = 0..;
            plan.steps.retain(|_| only.contains(&number.next().expect("endless")));
        }
        plan
    }

    /// Does it in a process of its own.
    pub fn run(&self) -> Vec<Finding> {
        let plan = self.plan();
        let stage = Stage::new();
        let own = env::current_exe().expect("our own path");
        let mut command = match namespaces(plan.setting) {
            [] => Command::new(&own),
            namespaces => {
                let mut command = Command::new("unshare");
                command.args(namespaces).args(["--mount", "--propagation=shared"]).arg(&own);
                command
            }
        };
        let output = stage.dir().join("found");
        let create = || File::options().append(true).create(true).open(&output).expect("an output file");
        command.env("SEQUENCE", self.text()).env("SEQUENCE_DIR", stage.dir());
        let mut child = command.stdin(Stdio::null()).stdout(create()).stderr(create()).spawn().expect("the sequence");
        let end = Instant::now() + 10 * calls::LIMIT;
        let status = loop {
            match child.try_wait().expect("wait") {
                None if Instant::now() > end => {
                    child.kill().and_then(|()| child.wait()).expect("kill");
                    break None;
                }
                None => std::thread::sleep(Duration::from_millis(2)),
                status => break status,
            }
        };
        let text = String::from_utf8_lossy(&fs::read(&output).expect("read the output")).into_owned();
        let mut found: Vec<Finding> = text.lines().filter_map(Finding::parse).collect();
        match status {
            None => found.push(Finding::new(Kind::Hang, format!("the sequence: {text}"))),
            Some(status) if !status.success() => panic!("seed {}: {status}: {text}", self.seed),
            _ => (),
        }
        // It looks on its own at what is left.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(stage))) {
            let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
            if found.is_empty() {
                found.push(Finding::new(Kind::State, text));
            }
        }
        found
    }
}

/// What unshare(1) is told: with which ids the host's side has namespaces of its own.
fn namespaces(setting: Setting) -> &'static [&'static str] {
    match setting {
        Setting::Nested => &["--map-root-user", "--map-auto"],
        Setting::SharedSandbox => &["--map-current-user", "--keep-caps"],
        _ => &[],
    }
}
