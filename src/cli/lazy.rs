//! The arguments of a verb, which clap is told of only once that verb is named.
//!
//! There are some 150 options in all, and most calls are of one verb with five. What is derived defines them all on
//! every call, which took a third of all instructions of `state`.
use clap::{ArgMatches, Args, Command, Error, FromArgMatches};
use std::ops::Deref;

/// `T`, defined when it is needed.
#[derive(Debug)]
pub struct Lazy<T>(T);

impl<T> Deref for Lazy<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Args> Args for Lazy<T> {
    fn augment_args(command: Command) -> Command {
        command.defer(define::<T>)
    }

    fn augment_args_for_update(command: Command) -> Command {
        command.defer(define::<T>)
    }
}

/// The verb keeps its own description: that of `T` comes later than it otherwise would. And it gets a `--version`.
fn define<T: Args>(command: Command) -> Command {
    let about = command.get_about().cloned().unwrap_or_default();
    let long_about = command.get_long_about().cloned();
    let command = T::augment_args(command).about(about).long_about(None::<&str>);
    let command = long_about.into_iter().fold(command, Command::long_about);
    let has_version = command.get_arguments().any(|argument| argument.get_id() == "version");
    if has_version { command } else { command.arg(super::version()) }
}

impl<T: FromArgMatches> FromArgMatches for Lazy<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        T::from_arg_matches(matches).map(Lazy)
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, Error> {
        T::from_arg_matches_mut(matches).map(Lazy)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.0.update_from_arg_matches(matches)
    }
}
