//! What rrunc offers beyond runc's verbs, as a user meets it.
#![allow(clippy::disallowed_methods, reason = "the rule against threads is for the product")]

#[path = "../support/mod.rs"]
mod support;

mod doctor;
mod json;
mod sandbox;
