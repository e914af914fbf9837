//! The clients that people put a runtime under, each driving rrunc as it drives crun and runc: the same cases with all three,
//! so that what the client itself or this machine refuses is seen as such. One command, `tests/run clients`, prints the
//! table. It fails where rrunc fails and a peer passes, and where a case leaves something behind; what no runtime passes is
//! "not run".
//!
//! Each runtime's cases are run by a process of their own, this program again, in a cgroup and a HOME of its own. Without
//! RRUNC_TEST_ALL only the quick cases; words on the command line choose cases by name.
#![allow(clippy::disallowed_methods, reason = "the rule against threads is for the product")]

#[path = "../support/mod.rs"]
mod support;

mod buildah;
mod containerd;
mod daemon;
mod docker;
mod lab;
mod podman;
mod table;

use lab::Lab;
use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Child, Command, ExitCode, Stdio};
use table::{Outcome, Table};

/// Ours first.
const RUNTIMES: [&str; 3] = ["rrunc", "crun", "runc"];

/// When a case is run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// Always.
    Quick,
    /// With `tests/run --all`.
    Whole,
}

/// One thing that a client can do.
#[derive(Clone, Copy)]
pub struct Case {
    /// Begins with the client's name.
    pub name: &'static str,
    /// When it is run.
    pub tier: Tier,
    /// Panics if it does not work.
    pub act: fn(&Lab),
}

fn chosen() -> Vec<Case> {
    let words: Vec<String> = env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let all = env::var_os("RRUNC_TEST_ALL").is_some();
    let wanted = |case: &Case| match words.is_empty() {
        true => all || case.tier == Tier::Quick,
        false => words.iter().any(|word| case.name.contains(word.as_str())),
    };
    [podman::cases(), buildah::cases(), containerd::cases(), docker::cases()]
        .into_iter()
        .flatten()
        .filter(wanted)
        .collect()
}

fn main() -> ExitCode {
    if let Ok(runtime) = env::var("RRUNC_CLIENTS_RUNTIME") {
        run_cases(&runtime);
        return ExitCode::SUCCESS;
    }
    if support::find_program("podman").is_none() {
        // It unpacks the image for all of them.
        support::skip(support::Lacks::Package("podman"));
        return ExitCode::SUCCESS;
    }
    let cases = chosen();
    let workers: Vec<(&str, Child)> = RUNTIMES.iter().filter_map(|name| Some((*name, worker(name)?))).collect();
    let mut table = Table::new(cases.iter().map(|case| case.name).collect());
    for (runtime, child) in workers {
        let out = child.wait_with_output().expect("wait for the worker");
        table.column(runtime, &String::from_utf8_lossy(&out.stdout), out.status.success());
    }
    table.print();
    ExitCode::from(u8::from(table.failed()))
}

/// Starts this program again for one runtime; none if it is not installed.
fn worker(runtime: &'static str) -> Option<Child> {
    if runtime != "rrunc" && support::find_program(runtime).is_none() {
        support::skip(support::Lacks::Package(runtime));
        return None;
    }
    let mut command = Command::new(env::current_exe().expect("this program"));
    command.args(env::args_os().skip(1)).env("RRUNC_CLIENTS_RUNTIME", runtime).stdout(Stdio::piped());
    Some(command.spawn().expect("start the worker"))
}

/// The worker: one line of JSON for each case.
fn run_cases(runtime: &str) {
    // What a case says in its panic goes into the table, not to the terminal three times over.
    std::panic::set_hook(Box::new(|_| {}));
    let lab = match catch_unwind(|| Lab::new(runtime)) {
        Ok(lab) => lab,
        Err(panic) => return println!("{}", Outcome::failed(table::SETUP, &message(panic)).line()),
    };
    for case in chosen() {
        // Now and then podman 4.3 shows nothing of what a container wrote, whatever the runtime. Leaks are never forgiven;
        // and of several failures the first is told.
        let mut outcome = run_case(&lab, &case);
        for _ in 0..2 {
            if outcome.ok || outcome.is_leak() {
                break;
            }
            lab.clear();
            let again = run_case(&lab, &case);
            if again.ok || again.is_leak() {
                outcome = again.after(&outcome);
            }
        }
        if !outcome.ok {
            lab.clear();
        }
        println!("{}", outcome.line());
    }
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(lab))) {
        println!("{}", Outcome::failed(table::SETUP, &message(panic)).line());
    }
}

fn run_case(lab: &Lab, case: &Case) -> Outcome {
    match catch_unwind(AssertUnwindSafe(|| (case.act)(lab))) {
        Err(panic) => Outcome::failed(case.name, &message(panic)),
        Ok(()) => match lab.leaks() {
            leaks if leaks.is_empty() => Outcome::passed(case.name),
            leaks => Outcome::leaked(case.name, &leaks),
        },
    }
}

fn message(panic: Box<dyn std::any::Any + Send>) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_else(|| "panicked".into())
}
