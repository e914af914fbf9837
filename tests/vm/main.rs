//! What needs a machine of its own, with systemd, cgroup v2 and a root who is asked for help: `tests/vm/run` boots one and
//! runs these in it as the ordinary user `dev`. Anywhere else each of them is skipped, since each begins with
//! [`machine::stage`]. A further subject is one file and one line here.
#![allow(clippy::disallowed_methods, reason = "the rule against threads is for the product")]

#[path = "../support/mod.rs"]
mod support;

mod apparmor;
mod cgroups;
mod core;
mod limits;
mod machine;
mod podman;
mod scopes;
