//! From argv to `Cli`, and from clap's refusals to runc's texts and exit codes.
//!
//! clap says 2 for every mistake; clients of an OCI runtime expect 1, or 3 for a verb that does not exist.
use crate::cli::{Cli, Global};
use crate::state::OCI_VERSION;
use clap::error::{ContextKind, ErrorKind};
use clap::{Command, CommandFactory, FromArgMatches};
use std::ffi::OsString;

/// Why there is nothing to run, or nothing left to do.
#[derive(Debug)]
pub struct Refusal {
    /// For stdout: help, version, or the help that goes with a mistake.
    pub output: String,
    /// The mistake; `None` when help or the version was asked for.
    pub message: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
    /// The exit code.
    pub status: u8,
    /// The options before the verb, as far as they could be read: the message belongs in the log.
    pub global: Global,
}

/// Reads the command line, the program's name first.
///
/// # Errors
/// Help or version, or a mistake in runc's words.
pub fn parse(args: Vec<OsString>) -> Result<Cli, Box<Refusal>> {
    let mut command = Cli::command();
    let parsed =
        command.try_get_matches_from_mut(&args).and_then(|mut matches| Cli::from_arg_matches_mut(&mut matches));
    // Taken apart piece by piece the definitions cost as much as reading the arguments.
    std::mem::forget(command);
    let error = match parsed {
        Ok(cli) if cli.verb.is_some() => return Ok(cli),
        Ok(cli) => {
            let output = Cli::command().render_help().to_string();
            return Err(Box::new(Refusal { output, message: None, hint: None, status: 0, global: cli.global }));
        }
        Err(error) => error,
    };
    let asked =
        |output| Err(Box::new(Refusal { output, message: None, hint: None, status: 0, global: Global::default() }));
    match error.kind() {
        ErrorKind::DisplayHelp => asked(error.render().to_string()),
        ErrorKind::DisplayVersion => asked(version()),
        _ => Err(Box::new(mistake(&error, args))),
    }
}

/// In runc's form. The commit is that which the package was built with.
fn version() -> String {
    let commit = option_env!("RRUNC_COMMIT").unwrap_or("unknown");
    format!("rrunc version {}\ncommit: {commit}\nspec: {OCI_VERSION}\n", env!("CARGO_PKG_VERSION"))
}

fn mistake(error: &clap::Error, args: Vec<OsString>) -> Refusal {
    let lenient = Cli::command().ignore_errors(true).try_get_matches_from(args).ok();
    let verb = lenient.as_ref().and_then(|matches| matches.subcommand_name()).map(str::to_owned);
    let global = lenient.as_ref().and_then(|matches| Global::from_arg_matches(matches).ok()).unwrap_or_default();
    let of_profile = verb.as_deref() == Some("profile");
    if error.kind() == ErrorKind::InvalidSubcommand && !of_profile {
        let message = format!("No help topic for '{}'", context(error, ContextKind::InvalidSubcommand));
        let hint = meant(error, ContextKind::SuggestedSubcommand).unwrap_or("`rrunc --help` lists the verbs".into());
        return Refusal { output: String::new(), message: Some(message), hint: Some(hint), status: 3, global };
    }
    let meant = meant(error, ContextKind::SuggestedArg).or(meant(error, ContextKind::SuggestedValue));
    if verb.as_deref() == Some("sandbox") {
        let hint = meant.or(Some("`rrunc sandbox --help` shows the options".into()));
        return Refusal { output: String::new(), message: Some(first_paragraph(error)), hint, status: 125, global };
    }
    let hint = match verb.as_deref() {
        Some("profile") => "`rrunc profile ls`, `show NAME` or `check NAME`",
        Some("doctor") => "`rrunc doctor --help` shows the options and the checks",
        Some("trust") => "`rrunc trust --help` shows the options",
        _ => "",
    };
    if !hint.is_empty() {
        let (message, hint) = (Some(first_paragraph(error)), meant.or(Some(hint.into())));
        return Refusal { output: String::new(), message, hint, status: 2, global };
    }
    let (heading, message) = in_runcs_words(error, verb.as_deref());
    let output = format!("{heading}\n\n{}", help(verb.as_deref()));
    Refusal { output, message: Some(message), hint: meant, status: 1, global }
}

/// The word that clap takes for what was meant; several for a verb.
fn meant(error: &clap::Error, kind: ContextKind) -> Option<String> {
    let word = context(error, kind);
    (!word.is_empty()).then(|| format!("did you mean {word}?"))
}

/// What clap says, in one line and without its usage and tips.
fn first_paragraph(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let paragraph = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
    paragraph.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

/// The line above the help on stdout, and the error.
fn in_runcs_words(error: &clap::Error, verb: Option<&str>) -> (String, String) {
    let argument = context(error, ContextKind::InvalidArg);
    let flag = format!("-{}", argument.split([' ', '=']).next().unwrap_or_default().trim_start_matches('-'));
    let value = context(error, ContextKind::InvalidValue);
    let message = match error.kind() {
        ErrorKind::UnknownArgument if argument.starts_with('-') => format!("flag provided but not defined: {flag}"),
        ErrorKind::UnknownArgument | ErrorKind::MissingRequiredArgument | ErrorKind::TooManyValues => {
            return ("Incorrect Usage.".into(), wrong_count(verb.unwrap_or_default()));
        }
        ErrorKind::InvalidValue if value.is_empty() && argument.starts_with('-') => {
            format!("flag needs an argument: {flag}")
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            format!("invalid value \"{value}\" for flag {flag}: parse error")
        }
        ErrorKind::InvalidUtf8 => "an argument that must be text is not UTF-8".into(),
        _ => first_paragraph(error),
    };
    (format!("Incorrect Usage: {message}"), message)
}

/// runc's text for a wrong number of arguments of `verb`.
fn wrong_count(verb: &str) -> String {
    let takes = match verb {
        "exec" | "ps" | "kill" => "a minimum of 1",
        "list" | "spec" | "features" => "exactly 0",
        _ => "exactly 1",
    };
    format!("rrunc: \"{verb}\" requires {takes} argument(s)")
}

/// runc's text for more than `maximum` arguments of `verb`.
pub fn too_many(verb: &str, maximum: usize) -> String {
    format!("rrunc: \"{verb}\" requires a maximum of {maximum} argument(s)")
}

fn help(verb: Option<&str>) -> String {
    let mut root = Cli::command();
    root.build();
    let command: Option<&mut Command> = verb.and_then(|verb| root.find_subcommand_mut(verb));
    match command {
        Some(command) => command.render_help().to_string(),
        None => root.render_help().to_string(),
    }
}

/// What clap says about the mistake under `kind`; empty when it says nothing.
fn context(error: &clap::Error, kind: ContextKind) -> String {
    error.get(kind).map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn refusal(args: &[&str]) -> Refusal {
        *parse(["rrunc"].iter().chain(args).map(OsString::from).collect()).expect_err("must be refused")
    }

    #[test]
    fn mistakes_in_runcs_words() {
        for (args, message, status) in [
            (&["bogus", "-x"][..], "No help topic for 'bogus'", 3),
            (&["help", "bogus"], "No help topic for 'bogus'", 3),
            (&["state"], "rrunc: \"state\" requires exactly 1 argument(s)", 1),
            (&["state", "a", "b"], "rrunc: \"state\" requires exactly 1 argument(s)", 1),
            (&["list", "a"], "rrunc: \"list\" requires exactly 0 argument(s)", 1),
            (&["kill"], "rrunc: \"kill\" requires a minimum of 1 argument(s)", 1),
            (&["exec"], "rrunc: \"exec\" requires a minimum of 1 argument(s)", 1),
            (&["list", "--bogus=1"], "flag provided but not defined: -bogus", 1),
            (&["--bogus", "list"], "flag provided but not defined: -bogus", 1),
            (&["exec", "-y", "a", "b"], "flag provided but not defined: -y", 1),
            (&["run", "a", "--bundle"], "flag needs an argument: -bundle", 1),
            (&["run", "a", "--preserve-fds", "x"], "invalid value \"x\" for flag -preserve-fds: parse error", 1),
        ] {
            let refusal = refusal(args);
            assert_eq!(refusal.message.as_deref(), Some(message), "{args:?}");
            assert_eq!(refusal.status, status, "{args:?}");
        }
    }

    #[test]
    fn a_mistake_shows_the_help_of_its_verb_and_keeps_the_log_options() {
        let refusal = refusal(&["--log", "/l", "--log-format", "json", "kill"]);
        assert!(refusal.output.starts_with("Incorrect Usage.\n\nSend a signal to a container\n"), "{}", refusal.output);
        assert_eq!(refusal.global.log, Some(PathBuf::from("/l")));
        assert_eq!(refusal.global.log_format, "json");
    }

    #[test]
    fn help_and_version_are_no_mistakes_anywhere() {
        for args in [&[][..], &["-h"], &["run", "--help"], &["help", "run"], &["exec", "-h"]] {
            let refusal = refusal(args);
            assert_eq!((refusal.message, refusal.status), (None, 0), "{args:?}");
            assert!(refusal.output.contains("Usage: rrunc"), "{args:?}");
        }
        let after_verbs =
            [&["list", "-v"][..], &["features", "-V"], &["profile", "-v"], &["profile", "ls", "--version"]];
        let alone = [&["-v"][..], &["--version"], &["-V"], &["sandbox", "--version"]];
        for args in alone.into_iter().chain(after_verbs) {
            let output = refusal(args).output;
            let mut lines = output.lines();
            assert!(lines.next().unwrap().starts_with("rrunc version "), "{args:?}");
            assert!(lines.next().unwrap().starts_with("commit: "));
            assert!(lines.next().unwrap().starts_with("spec: 1."));
        }
    }

    #[test]
    fn a_sandbox_mistake_exits_with_125_in_claps_words() {
        let refusal = refusal(&["sandbox", "--network", "moon", "--", "true"]);
        assert_eq!(refusal.status, 125);
        assert!(refusal.message.unwrap().starts_with("invalid value 'moon'"));
        let refusal = self::refusal(&["sandbox"]);
        assert_eq!(refusal.status, 125);
        assert_eq!(refusal.message.unwrap(), "the following required arguments were not provided: <CMD>...");
    }

    #[test]
    fn a_mistake_in_doctors_options_exits_with_2_and_lists_the_checks() {
        let refusal = refusal(&["doctor", "--require", "pasta,moon"]);
        assert_eq!(refusal.status, 2);
        let message = refusal.message.unwrap();
        assert!(message.starts_with("invalid value 'moon'") && message.contains("user-namespaces, "), "{message}");
    }

    #[test]
    fn a_verb_nearly_right_is_suggested() {
        assert_eq!(refusal(&["lsit"]).hint.unwrap(), "did you mean list?");
        assert_eq!(refusal(&["zzz"]).hint.unwrap(), "`rrunc --help` lists the verbs");
    }

    #[test]
    fn an_option_or_a_value_nearly_right_is_suggested() {
        for (args, meant) in [
            (&["run", "--bunlde", "b", "c"][..], Some("did you mean --bundle?")),
            (&["list", "--zzz"], None),
            (&["sandbox", "--netwrok", "host", "true"], Some("did you mean --network?")),
            (&["sandbox", "--network", "hots", "true"], Some("did you mean host?")),
            (&["sandbox", "--zzz", "true"], Some("`rrunc sandbox --help` shows the options")),
            (&["doctor", "--atack"], Some("did you mean --attack?")),
        ] {
            assert_eq!(refusal(args).hint.as_deref(), meant, "{args:?}");
        }
    }
}
