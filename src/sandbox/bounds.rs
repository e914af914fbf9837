//! The limits of a sandbox, as profiles and flags come to: one lowers what another allows, and each knows whose it is.
use super::policy::{Decided, decided};
use super::profile::Limits;
use crate::quantity;
use anyhow::{Context, Result};

/// What may be used up; numbers of bytes, things and milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of each private file system.
    pub tmpfs: Option<Decided<u64>>,
    /// Bytes of all processes together.
    pub memory: Option<Decided<u64>>,
    /// Thousandths of a processor.
    pub cpus: Option<Decided<u64>>,
    /// Processes and threads.
    pub processes: Option<Decided<u64>>,
    /// Milliseconds from start to end.
    pub time: Option<Decided<u64>>,
    /// Bytes of a file that is written.
    pub file_size: Option<Decided<u64>>,
    /// Open files of a process.
    pub open_files: Option<Decided<u64>>,
}

/// A bound, and what a profile wants it to be.
type Wanted<'a> = (&'a mut Option<Decided<u64>>, Option<u64>);

impl Bounds {
    fn each(&mut self, limits: &Limits) -> Result<[Wanted<'_>; 7]> {
        let size = |text: &Option<String>, what: &str| {
            text.as_deref().map(quantity::size).transpose().with_context(|| format!("limits: {what}"))
        };
        let memory = limits.memory.as_deref().map(quantity::memory).transpose().context("limits: memory")?;
        let cpus = limits.cpus.as_deref().map(quantity::thousandths).transpose().context("limits: cpus")?;
        let time = limits.time.as_deref().map(quantity::milliseconds).transpose().context("limits: time")?;
        Ok([
            (&mut self.tmpfs, size(&limits.tmpfs, "tmpfs")?),
            (&mut self.memory, memory),
            (&mut self.cpus, cpus),
            (&mut self.processes, limits.processes),
            (&mut self.time, time),
            (&mut self.file_size, size(&limits.file_size, "file-size")?),
            (&mut self.open_files, limits.open_files),
        ])
    }

    /// What the profile `name` takes away: a bound is only ever lowered.
    pub(super) fn narrow(&mut self, name: &str, limits: &Limits) -> Result<()> {
        for (bound, value) in self.each(limits)? {
            if let Some(value) = value
                && bound.as_ref().is_none_or(|now| value < now.value)
            {
                *bound = decided(value, name);
            }
        }
        Ok(())
    }

    /// What the profile `name` allows: its word is the last.
    pub(super) fn set(&mut self, name: &str, limits: &Limits) -> Result<()> {
        for (bound, value) in self.each(limits)? {
            if let Some(value) = value {
                *bound = decided(value, name);
            }
        }
        Ok(())
    }

    /// Each bound with the profile that made it, for people.
    pub(super) fn lines(&self) -> impl Iterator<Item = (String, &str)> {
        let shown = |name: &str, bound: &'_ Option<Decided<u64>>, show: fn(u64) -> String| {
            bound.as_ref().map(|bound| format!("{name}: {}", show(bound.value)))
        };
        let size = quantity::show_size as fn(u64) -> String;
        let count = |n: u64| n.to_string();
        [
            (shown("tmpfs", &self.tmpfs, size), &self.tmpfs),
            (shown("memory", &self.memory, size), &self.memory),
            (shown("file-size", &self.file_size, size), &self.file_size),
            (shown("cpus", &self.cpus, |n| format!("{}", n as f64 / 1000.0)), &self.cpus),
            (shown("processes", &self.processes, count), &self.processes),
            (shown("open-files", &self.open_files, count), &self.open_files),
            (shown("time", &self.time, |ms| format!("{} s", ms as f64 / 1000.0)), &self.time),
        ]
        .into_iter()
        .filter_map(|(text, bound)| Some((text?, bound.as_ref()?.from.as_str())))
    }
}
