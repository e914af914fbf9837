//! rrunc: parse the command line, run the verb, print the error chain, return the exit code.
#![no_main]
use anyhow::{Context, Result};
use rrunc::cli::{Cli, Global, Verb};
use rrunc::error::{hint_of, one_line};
use rrunc::log;
use rrunc::sys::exe;
use rrunc::sys::heap::Heap;
use rrunc::usage::{self, Refusal};
use rrunc::verbs::{self, Outcome};
use std::ffi::OsString;
use std::io::{ErrorKind, Write};

#[global_allocator]
static HEAP: Heap = Heap::new();

rrunc::entry!(run);

fn run(arguments: Vec<OsString>) -> u8 {
    if cfg!(target_env = "musl")
        && let Err(error) = exe::finish_relocation()
    {
        return fail(&anyhow::Error::new(error).context("protect rrunc's own memory"), "", 1);
    }
    let cli = match usage::parse(arguments) {
        Ok(cli) => cli,
        Err(refusal) => return refuse(*refusal),
    };
    // `usage::parse` answers a command line without a verb by itself.
    let Cli { global, verb: Some(verb) } = cli else { return 0 };
    let quiet = matches!(verb, Verb::Create(_));
    if let Err(error) = open_log(&global, quiet) {
        return fail(&error, "", if matches!(verb, Verb::Sandbox(_)) { 125 } else { 1 });
    }
    let (prefix, status): (_, fn(&anyhow::Error) -> u8) = match verb {
        Verb::Create(_) => ("rrunc create failed: ", |_| 1),
        Verb::Run(_) => ("rrunc run failed: ", |_| 1),
        Verb::Exec(_) => ("exec failed: ", |_| 255),
        Verb::Sandbox(_) => ("", verbs::sandbox::status),
        _ => ("", |_| 1),
    };
    match act(&global, verb).and_then(|outcome| print(&outcome.output).map(|()| outcome.status)) {
        Ok(status) => status,
        Err(error) => fail(&error, prefix, status(&error)),
    }
}

fn act(global: &Global, verb: Verb) -> Result<Outcome> {
    match verb {
        Verb::Create(args) => verbs::create::run(global, &args),
        Verb::Run(args) => verbs::run::run(global, &args),
        Verb::Exec(args) => verbs::exec::run(global, &args),
        Verb::Pause(args) => verbs::pause::run(global, &args, true),
        Verb::Resume(args) => verbs::pause::run(global, &args, false),
        Verb::Update(args) => verbs::update::run(global, &args),
        Verb::Events(args) => verbs::events::run(global, &args),
        Verb::Start(args) => verbs::start::run(global, &args),
        Verb::State(args) => verbs::state::run(global, &args),
        Verb::List(args) => verbs::list::run(global, &args),
        Verb::Ps(args) => verbs::ps::run(global, &args),
        Verb::Kill(args) => verbs::kill::run(global, &args),
        Verb::Delete(args) => verbs::delete::run(global, &args),
        Verb::Spec(args) => verbs::spec::run(&args),
        Verb::Features(_) => Ok(verbs::features::run()),
        Verb::Sandbox(args) => verbs::sandbox::run(global, &args),
        Verb::Profile(args) => verbs::profile::run(&args),
        Verb::Trust(args) => verbs::trust::run(&args),
        Verb::Doctor(args) => verbs::doctor::run(&args),
    }
}

fn open_log(global: &Global, quiet: bool) -> Result<()> {
    let format = log::Format::parse(&global.log_format.to_string_lossy())?;
    log::open(global.log.as_deref(), format, global.debug, quiet)
}

/// Help and version go to stdout and are no failure; a mistake in the command line is logged like any other error.
fn refuse(refusal: Refusal) -> u8 {
    if let Err(error) = print(&refusal.output) {
        return fail(&error, "", 1);
    }
    let Some(message) = refusal.message else { return refusal.status };
    match open_log(&refusal.global, false) {
        Ok(()) => log::fatal(&message, refusal.hint.as_deref()),
        Err(error) => log::fatal(&one_line(&error), None),
    }
    refusal.status
}

fn fail(error: &anyhow::Error, prefix: &str, status: u8) -> u8 {
    log::fatal(&format!("{prefix}{}", one_line(error)), hint_of(error));
    status
}

/// Writes to stdout. A reader that has gone (`rrunc list | head -1`) is no failure: SIGPIPE is ignored (`sys::entry`).
fn print(output: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(output.as_bytes()).and_then(|()| stdout.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(e).context("write to stdout"),
        _ => Ok(()),
    }
}
