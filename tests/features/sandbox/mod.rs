//! `rrunc sandbox` without a profile: a command with the host's tools and none of its secrets.
mod bundle;
mod environment;
mod files;
mod flags;
mod hidden;
mod limits;
mod network;
mod process;
mod profiles;
mod programs;
mod project;
mod report;
mod repository;
mod status;
mod terminal;
mod traces;
