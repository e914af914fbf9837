//! The sink behind the `log` crate: runc's text and JSON line formats, to stderr or to the file of `--log`.
//!
//! A line is one write(2), so that lines of several processes do not mix. A forked child, whose stderr is the
//! container's, calls `redirect` before it logs.
use crate::clock;
use crate::error::WithHint;
use crate::links::Link;
use crate::on_request;
use crate::printable::{self, printable};
use anyhow::{Context, Result, anyhow};
use log::{Level, LevelFilter, Log, Metadata, Record};
use nix::fcntl::OFlag;
use std::fs::File;
use std::io::{IsTerminal, Write};
use std::os::fd::IntoRawFd;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::SystemTime;

/// Line format of `--log-format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `time="…" level=… msg="…"`.
    Text,
    /// One object a line: `{"level":…,"msg":…,"time":…}`.
    Json,
}

impl Format {
    /// Reads the value of `--log-format`; an empty one is text.
    pub fn parse(name: &str) -> Result<Format> {
        match name {
            "text" | "" => Ok(Format::Text),
            "json" => Ok(Format::Json),
            _ => Err(anyhow!("invalid log-format: {name}")).hint(|| "--log-format text or --log-format json"),
        }
    }
}

/// What a forked child does with its log lines.
pub type Closure = Box<dyn Fn(Level, &str) + Send>;

enum Sink {
    /// Stderr. Who reads there is asked when there is a line: a person on a terminal, `rrunc: warning: …`, or a program.
    Stderr(Format),
    File(File, Format),
    Closure(Closure),
}

struct Logger {
    sink: Mutex<Sink>,
}

static LOGGER: Logger = Logger { sink: Mutex::new(Sink::Stderr(Format::Text)) };

/// When this process set its logging up. The clock of the day, since a container can have another monotonic one.
static BEGUN: OnceLock<SystemTime> = OnceLock::new();

/// Tells the debug log that the step `label` begins in `part`, and when: milliseconds after rrunc itself.
pub fn step(part: &str, label: &str) {
    if log::log_enabled!(Level::Debug) {
        let since = BEGUN.get().and_then(|begun| begun.elapsed().ok()).unwrap_or_default();
        log::debug!("{part}: {label}, at {:.3} ms", since.as_secs_f64() * 1000.0);
    }
}

/// Sets logging up for this process; call once. `quiet` (for `create`) keeps warnings off a stderr that a program
/// reads, since clients take any output there for a failure; the file of `--log` gets them all the same.
pub fn open(file: Option<&Path>, format: Format, debug: bool, quiet: bool) -> Result<()> {
    // First of all for the failure to open the file.
    *LOGGER.sink() = Sink::Stderr(format);
    let sink = match file {
        Some(path) => Sink::File(append(path)?, format),
        None => Sink::Stderr(format),
    };
    let level = match (&sink, debug) {
        (_, true) => LevelFilter::Debug,
        (Sink::Stderr(_), false) if quiet && !on_terminal(format) => LevelFilter::Error,
        // What is said at all is a warning at least; a file would get the rest.
        (Sink::Stderr(_), false) => LevelFilter::Warn,
        _ => LevelFilter::Info,
    };
    *LOGGER.sink() = sink;
    if debug {
        BEGUN.get_or_init(SystemTime::now);
    }
    log::set_max_level(level);
    log::set_logger(&LOGGER).context("set up logging twice")
}

/// Hands every later line of this process to `sink`, without a time stamp or a format. For forked children, to call first of
/// all: the file of `--log` is let go of, and not closed. Who is about to close all descriptors at once
/// (`sys::descriptor::close_except`), or to take over the number of one, must find no owner that would close that number again.
pub fn redirect(sink: Closure) {
    if let Sink::File(file, _) = std::mem::replace(&mut *LOGGER.sink(), Sink::Closure(sink)) {
        _ = file.into_raw_fd();
    }
}

/// Calls `act` with every line of it handed to `sink`, and then goes on as before.
pub fn redirected<T>(sink: Closure, act: impl FnOnce() -> T) -> T {
    let before = std::mem::replace(&mut *LOGGER.sink(), Sink::Closure(sink));
    let result = act();
    *LOGGER.sink() = before;
    result
}

/// Reports the failure that ends the process: in runc's line format with the hint as a field of its own, or on a
/// terminal as a sentence with the hint below it. With `--log` the bare text goes to stderr as well: clients read the
/// last line of the file, people read stderr.
pub fn fatal(message: &str, hint: Option<&str>) {
    match &*LOGGER.sink() {
        Sink::Stderr(format) if on_terminal(*format) => {
            let hint = hint.map(|hint| format!("\n  hint: {}", printable(hint))).unwrap_or_default();
            // runc's texts begin with the program's name here and there; once is enough for a person.
            let message = message.strip_prefix("rrunc: ").or(message.strip_prefix("rrunc ")).unwrap_or(message);
            write_line(&mut std::io::stderr(), format!("rrunc: {}{hint}\n", printable(message)));
        }
        Sink::Stderr(format) => write_line(&mut std::io::stderr(), line(*format, Level::Error, message, hint)),
        Sink::File(file, format) => {
            write_line(&mut &*file, line(*format, Level::Error, message, hint));
            let hint = hint.filter(|_| std::io::stderr().is_terminal());
            let hint = hint.map(|hint| format!("  hint: {}\n", printable(hint))).unwrap_or_default();
            write_line(&mut std::io::stderr(), format!("{}\n{hint}", printable(message)));
        }
        Sink::Closure(sink) => sink(Level::Error, message),
    }
}

/// Whether a person reads what goes to stderr in this format.
fn on_terminal(format: Format) -> bool {
    format == Format::Text && std::io::stderr().is_terminal()
}

fn append(path: &Path) -> Result<File> {
    let file = on_request::file(path, OFlag::O_APPEND | OFlag::O_SYNC, 0o644, Link::is_in_checkout);
    file.with_context(|| format!("open log file {}", path.display()))
}

impl Logger {
    fn sink(&self) -> MutexGuard<'_, Sink> {
        self.sink.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log for Logger {
    fn enabled(&self, _: &Metadata) -> bool {
        true
    }

    fn log(&self, record: &Record) {
        let message = record.args().to_string();
        match &*self.sink() {
            Sink::Stderr(format) if on_terminal(*format) => {
                let text = format!("rrunc: {}: {}\n", level_name(record.level()), printable(&message));
                write_line(&mut std::io::stderr(), text);
            }
            Sink::Stderr(format) => write_line(&mut std::io::stderr(), line(*format, record.level(), &message, None)),
            Sink::File(file, format) => write_line(&mut &*file, line(*format, record.level(), &message, None)),
            Sink::Closure(sink) => sink(record.level(), &message),
        }
    }

    fn flush(&self) {}
}

/// Nobody is left to hear of a log that cannot be written, and it must not fail the container.
fn write_line(to: &mut dyn Write, text: String) {
    drop(to.write_all(text.as_bytes()));
}

fn line(format: Format, level: Level, message: &str, hint: Option<&str>) -> String {
    let time = clock::rfc3339(SystemTime::now());
    match format {
        Format::Text => {
            let hint = hint.map(|hint| format!(" hint={}", quoted(hint))).unwrap_or_default();
            format!("time=\"{time}\" level={} msg={}{hint}\n", level_name(level), quoted(message))
        }
        Format::Json => {
            // serde_json's own map keeps the keys sorted, as runc's lines are.
            let mut object = serde_json::json!({"level": level_name(level), "msg": message, "time": time});
            if let Some(hint) = hint {
                object["hint"] = hint.into();
            }
            format!("{}\n", printable::json(object.to_string()))
        }
    }
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warning",
        Level::Info => "info",
        Level::Debug | Level::Trace => "debug",
    }
}

/// A value of a text line: bare when it holds only harmless characters, else quoted as logrus does.
fn quoted(text: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || "-._/@^+".contains(c);
    if !text.is_empty() && text.chars().all(bare) {
        return text.to_owned();
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() && c.is_ascii() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if printable::is_obeyed(c) => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_lines_quote_only_what_needs_it() {
        assert_eq!(quoted("plain-word_1"), "plain-word_1");
        assert_eq!(quoted(""), "\"\"");
        assert_eq!(quoted("exec: \"x\": not\n\u{1b}[1m"), r#""exec: \"x\": not\n\x1b[1m""#);
        let text = line(Format::Text, Level::Warn, "a b", Some("c d"));
        assert!(text.starts_with("time=\"2") && text.ends_with("level=warning msg=\"a b\" hint=\"c d\"\n"), "{text}");
    }

    #[test]
    fn json_lines_have_sorted_keys() {
        let text = line(Format::Json, Level::Error, "say \"x\"", Some("do"));
        assert!(text.starts_with(r#"{"hint":"do","level":"error","msg":"say \"x\"","time":""#), "{text}");
        assert!(text.ends_with("Z\"}\n"), "{text}");
    }

    fn say(logger: &Logger, text: &str) {
        logger.log(&Record::builder().level(Level::Warn).args(format_args!("{text}")).build());
    }

    #[test]
    fn a_closure_gets_the_bare_message() {
        let (sender, receiver) = std::sync::mpsc::channel();
        let sink: Closure = Box::new(move |level, text| sender.send((level, text.to_owned())).unwrap());
        say(&Logger { sink: Mutex::new(Sink::Closure(sink)) }, "from \"inside\"");
        assert_eq!(receiver.recv().unwrap(), (Level::Warn, "from \"inside\"".to_owned()));
    }

    #[test]
    fn a_file_is_appended_to_line_by_line() {
        let path = std::env::temp_dir().join(format!("rrunc-log-{}", std::process::id()));
        for text in ["one", "two"] {
            say(&Logger { sink: Mutex::new(Sink::File(append(&path).unwrap(), Format::Text)) }, text);
        }
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        let ends: Vec<_> = text.lines().map(|line| line.rsplit(' ').next().unwrap()).collect();
        assert_eq!(ends, ["msg=one", "msg=two"]);
    }

    #[test]
    fn formats() {
        assert_eq!(Format::parse("").unwrap(), Format::Text);
        assert_eq!(Format::parse("json").unwrap(), Format::Json);
        assert_eq!(Format::parse("xml").unwrap_err().to_string(), "invalid log-format: xml");
    }
}
