//! The command line, verb by verb, as runc's users and clients know it.
#![allow(clippy::disallowed_methods, reason = "the rule against threads is for the product")]

#[path = "../support/mod.rs"]
mod support;

mod agent;
mod bytes;
mod callers;
mod cgroup_trouble;
mod cgroups;
mod completion;
mod concurrency;
mod create;
mod delete;
mod devices;
mod errors;
mod exec;
mod features;
mod fields;
mod filters;
mod hints;
mod hooks;
mod ids;
mod kernel;
mod kill;
mod kill9;
mod landlock;
mod lifecycle;
mod limits;
mod list;
mod mount_options;
mod mount_places;
mod mounts;
mod namespaces;
mod options;
mod peers;
mod process;
mod profile;
mod run;
mod seccomp;
mod start;
mod state;
mod terminal;
mod walkthrough;
