//! `doctor`: the checks, and the reports about them.
use super::Outcome;
use crate::cli::DoctorArgs;
use crate::doctor::settings::Settings;
use crate::doctor::{Finding, Status, attack, examine, report};
use crate::error::WithHint;
use anyhow::{Context, Result};
use std::io::IsTerminal;

/// Runs the verb.
pub fn run(args: &DoctorArgs) -> Result<Outcome> {
    if let (Some(name), Some(bait)) = (&args.payload, &args.bait) {
        return attack::payload::run(name, bait).map(Outcome::from);
    }
    if args.attack {
        return attack(args);
    }
    let findings = examine(&Settings::read());
    let output = if args.json { report::json(&findings) } else { report::text(&findings, in_colour()) };
    Ok(Outcome { output, status: u8::from(!lacking(&findings, &args.require).is_empty()) })
}

fn attack(args: &DoctorArgs) -> Result<Outcome> {
    let exe = std::env::current_exe().context("/proc/self/exe")?;
    let tried = attack::run(&exe).hint(|| "`rrunc doctor` tells what this host lacks")?;
    let output = if args.json { attack::json(&tried) } else { attack::text(&tried, in_colour()) };
    Ok(Outcome { output, status: u8::from(attack::broken(&tried)) })
}

/// Whether stdout may be given colours (<https://no-color.org>).
fn in_colour() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// The required checks that are not ok.
fn lacking<'a>(findings: &'a [(&'static str, Finding)], required: &[String]) -> Vec<&'a str> {
    let lacks = |(name, finding): &&(&'static str, Finding)| {
        finding.status != Status::Ok && required.iter().any(|wanted| wanted == name)
    };
    findings.iter().filter(lacks).map(|(name, _)| *name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_required_must_be_ok_and_not_merely_there() {
        let findings = [
            ("pasta", Finding::ok("")),
            ("landlock", Finding::weaker("", "", "")),
            ("overlayfs", Finding::missing("", "", "")),
        ];
        let lacking = |names: &[&str]| lacking(&findings, &names.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert!(lacking(&[]).is_empty());
        assert!(lacking(&["pasta"]).is_empty());
        assert_eq!(lacking(&["overlayfs", "pasta", "landlock"]), ["landlock", "overlayfs"]);
    }
}
