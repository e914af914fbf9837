//! Controls: set-ups in which something is wrong on purpose, and what has to be found then.
use crate::finding::Kind;
use crate::plan::{Plan, Setting, Step, Variant};

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weakness {
    /// The caller's files are bound into the container.
    Shown,
    /// And into the sandbox.
    ShownToSandbox,
    /// The container is not ended.
    Left,
    /// What the host has mounted stays.
    Mounted,
    /// A runtime of which one verb does not come back.
    Slow,
    /// A runtime that crashes.
    Crashing,
}

use Weakness::{Crashing, Left, Mounted, Shown, ShownToSandbox, Slow};

/// All of them.
pub const ALL: [Weakness; 6] = [Shown, ShownToSandbox, Left, Mounted, Slow, Crashing];

impl Weakness {
    /// What has to be found.
    pub fn finds(self) -> &'static [Kind] {
        match self {
            Shown | ShownToSandbox => &[Kind::Read, Kind::Changed],
            Left => &[Kind::Process, Kind::State],
            Mounted => &[Kind::Mount],
            Slow => &[Kind::Hang],
            Crashing => &[Kind::Crash],
        }
    }

    /// A program that takes rrunc's place.
    pub fn instead(self) -> Option<&'static str> {
        match self {
            Slow => Some("#!/bin/sh\ncase $1 in ps) exec sleep 100 ;; esac\n"),
            Crashing => Some("#!/bin/sh\ncase $1 in ps) kill -SEGV $$ ;; esac\n"),
            _ => None,
        }
    }

    /// The steps that show it.
    pub fn plan(self) -> Plan {
        let setting = match self {
            ShownToSandbox => Setting::Sandbox,
            Mounted => Setting::Nested,
            _ => Setting::Single,
        };
        let call = |words: &str, background| Step::Call { words: words.to_owned(), background, killed: None };
        let first = match self {
            ShownToSandbox => call("sandbox -- PUPPET", true),
            Slow | Crashing => call("ps c", false),
            _ => call("run -d c", false),
        };
        let inside = |deed: &str| Step::Inside(deed.to_owned());
        let steps = match self {
            Mounted => vec![first, Step::Mount("vault".to_owned())],
            Shown | ShownToSandbox => {
                vec![first, Step::Pass(300), inside("look"), inside("overwrite"), Step::Pass(600)]
            }
            _ => vec![first],
        };
        let variant = Variant { capable: false, user: false, cgroup: false, joined: false };
        Plan { seed: 0, setting, variant, steps }
    }
}
