//! A container's cgroup that systemd makes.
use crate::plan::resources::Setting;
use crate::state::State;
use crate::systemd::{self, Property, Unit};
use anyhow::Result;
use std::path::PathBuf;

/// Puts the container's first process into the scope `unit`, with the limits that systemd knows; returns its directory.
pub fn start(unit: &Unit, state: &State, settings: &[Setting]) -> Result<PathBuf> {
    systemd::start_scope(unit, &[state.pid], &properties(settings))
}

/// Tells systemd of other limits.
pub fn update(unit: &str, settings: &[Setting]) -> Result<()> {
    systemd::set_properties(unit, &properties(settings))
}

fn properties(_: &[Setting]) -> Vec<Property> {
    Vec::new()
}
