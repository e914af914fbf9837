//! Attacks on containers, numbered as in the table of SECURITY.md. Each test shows with a positive control that the attack
//! works where the defence is not, and then that it does not work in rrunc.
#![allow(clippy::disallowed_methods, reason = "the rule against threads is for the product")]

#[path = "../support/mod.rs"]
mod support;

mod attack;
mod binary;
mod config;
mod described;
#[cfg(target_arch = "x86_64")]
mod entries;
mod floods;
mod gate;
mod host;
mod identity;
mod inherited;
mod kernel;
mod nested;
mod payloads;
mod places;
mod quotas;
mod races;
mod sandbox;
mod set_ids;
mod state;
