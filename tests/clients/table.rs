//! Case × runtime, and what it comes to.
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The name under which a worker reports that it could not begin, or did not end cleanly.
pub const SETUP: &str = "set-up";

const LEFT: &str = "left behind: ";

/// What a worker says of one case.
pub struct Outcome {
    case: String,
    /// Whether it passed.
    pub ok: bool,
    message: String,
}

impl Outcome {
    /// It works.
    pub fn passed(case: &str) -> Outcome {
        Outcome { case: case.into(), ok: true, message: String::new() }
    }

    /// It does not.
    pub fn failed(case: &str, message: &str) -> Outcome {
        Outcome { case: case.into(), ok: false, message: message.into() }
    }

    /// It works, but this is left behind.
    pub fn leaked(case: &str, leaks: &[String]) -> Outcome {
        Outcome::failed(case, &format!("{LEFT}{}", leaks.join("; ")))
    }

    /// This one, of a repetition: why it was repeated is told with it.
    pub fn after(mut self, first: &Outcome) -> Outcome {
        if self.ok {
            self.message = format!("passed when repeated, after: {}", first.message);
        }
        self
    }

    /// Whether something was left behind.
    pub fn is_leak(&self) -> bool {
        self.message.starts_with(LEFT)
    }

    /// As one line.
    pub fn line(&self) -> String {
        json!({"case": self.case, "ok": self.ok, "message": self.message}).to_string()
    }

    fn read(line: &str) -> Option<Outcome> {
        let value: Value = serde_json::from_str(line).ok()?;
        let text = |key: &str| value[key].as_str().map(str::to_owned);
        Some(Outcome { case: text("case")?, ok: value["ok"].as_bool()?, message: text("message")? })
    }
}

#[derive(PartialEq, Eq)]
enum Verdict {
    Passed,
    Failed,
    NotRun,
}

/// All outcomes.
pub struct Table {
    cases: Vec<&'static str>,
    runtimes: Vec<String>,
    outcomes: BTreeMap<(String, String), Outcome>,
    /// What kept a whole column from being there.
    broken: Vec<String>,
}

impl Table {
    /// Without a column yet.
    pub fn new(cases: Vec<&'static str>) -> Table {
        Table { cases, runtimes: Vec::new(), outcomes: BTreeMap::new(), broken: Vec::new() }
    }

    /// Adds what the worker of one runtime wrote.
    pub fn column(&mut self, runtime: &str, output: &str, ended_well: bool) {
        self.runtimes.push(runtime.to_owned());
        for outcome in output.lines().filter_map(Outcome::read) {
            if outcome.case == SETUP {
                self.broken.push(format!("{runtime}: {}", outcome.message));
            } else {
                self.outcomes.insert((runtime.to_owned(), outcome.case.clone()), outcome);
            }
        }
        if !ended_well {
            self.broken.push(format!("{runtime}: its cases were not run to the end"));
        }
    }

    fn of(&self, runtime: &str, case: &str) -> Option<&Outcome> {
        self.outcomes.get(&(runtime.to_owned(), case.to_owned()))
    }

    fn verdict(&self, case: &str) -> Verdict {
        let ok = |runtime: &str| self.of(runtime, case).is_some_and(|outcome| outcome.ok);
        if ok("rrunc") {
            Verdict::Passed
        } else if self.runtimes.iter().any(|runtime| ok(runtime)) {
            Verdict::Failed
        } else {
            Verdict::NotRun
        }
    }

    fn count(&self, wanted: &Verdict) -> usize {
        self.cases.iter().filter(|case| self.verdict(case) == *wanted).count()
    }

    /// Whether rrunc fails where a peer passes, or a column is missing.
    pub fn failed(&self) -> bool {
        self.count(&Verdict::Failed) > 0 || !self.broken.is_empty()
    }

    /// The table, the reasons, and one line in the words of Rust's own test programs.
    pub fn print(&self) {
        let width = self.cases.iter().map(|case| case.chars().count()).max().unwrap_or_default();
        println!("{:width$}  {}", "", self.runtimes.iter().map(|name| format!("{name:7}")).collect::<String>());
        for case in &self.cases {
            let cell = |runtime: &String| match self.of(runtime, case) {
                Some(outcome) if outcome.ok && outcome.message.is_empty() => "ok     ",
                Some(outcome) if outcome.ok => "ok (2) ",
                Some(_) => "-      ",
                None => "?      ",
            };
            let cells: String = self.runtimes.iter().map(cell).collect();
            let verdict = match self.verdict(case) {
                Verdict::Passed => "",
                Verdict::Failed => "FAILED",
                Verdict::NotRun => "not run",
            };
            println!("{}", format!("{case:width$}  {cells}{verdict}").trim_end());
        }
        for case in &self.cases {
            for runtime in &self.runtimes {
                if let Some(outcome) = self.of(runtime, case).filter(|outcome| !outcome.message.is_empty()) {
                    println!("\n{case}, {runtime}: {}", outcome.message.trim_end().replace('\n', "\n    "));
                }
            }
        }
        for broken in &self.broken {
            println!("\nbroken: {broken}");
        }
        let (passed, failed) = (self.count(&Verdict::Passed), self.count(&Verdict::Failed) + self.broken.len());
        let word = if failed == 0 { "ok" } else { "FAILED" };
        println!("\ntest result: {word}. {passed} passed; {failed} failed; {} ignored;", self.count(&Verdict::NotRun));
    }
}
