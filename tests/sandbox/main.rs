//! `rrunc sandbox` as its user meets it. A promise of safety comes with a positive control: the same deed where the
//! defence is not.
#![allow(clippy::disallowed_methods, reason = "the rule against threads is for the product")]

#[path = "../support/mod.rs"]
mod support;

mod commands;
mod earlier;
mod git;
mod grants;
mod hygiene;
mod kernel;
mod landlock;
mod paths;
mod project;
mod repositories;
mod scene;
mod tools;
mod view;
