//! The report: a table for people, JSON for programs.
use super::{Finding, Status};
use crate::printable::printable;
use serde::Serialize;

/// Version of the JSON documents.
pub const VERSION: u32 = 1;

/// One line of a table, with what stands below it.
pub struct Row<'a> {
    /// First column.
    pub name: &'a str,
    /// Second column.
    pub status: &'a str,
    /// Its colour, as the number of a terminal's escape sequence.
    pub colour: u8,
    /// Last column.
    pub detail: &'a str,
    /// Lines below, each with a word before it.
    pub below: Vec<(&'static str, &'a str)>,
}

/// Lays the rows out in columns. Paths and messages may hold anything, the terminal's own commands too.
pub fn table(rows: &[Row], colour: bool) -> String {
    let longest = |f: fn(&Row) -> usize| rows.iter().map(f).max().unwrap_or(0);
    let (names, statuses) = (longest(|row| row.name.len()), longest(|row| row.status.len()));
    let mut text = String::new();
    for row in rows {
        let padded = format!("{:statuses$}", row.status);
        let status = if colour { format!("\x1b[{}m{padded}\x1b[0m", row.colour) } else { padded };
        text += format!("{:names$}  {status}  {}", row.name, printable(row.detail)).trim_end();
        text.push('\n');
        for (word, line) in &row.below {
            text += &format!("{:names$}  {:statuses$}  {word:7} {}\n", "", "", printable(line));
        }
    }
    text
}

/// The checks for people: the table and a line that sums up.
pub fn text(findings: &[(&'static str, Finding)], colour: bool) -> String {
    let rows: Vec<Row> = findings
        .iter()
        .map(|(name, finding)| {
            let (status, colour) = word(finding.status);
            let effect = finding.effect.as_deref().map(|effect| ("effect:", effect));
            let fix = finding.fix.as_deref().map(marked);
            Row { name, status, colour, detail: &finding.detail, below: effect.into_iter().chain(fix).collect() }
        })
        .collect();
    format!("{}\n{}\n", table(&rows, colour), summary(findings))
}

/// A fix, and the word that says whether it takes the administrator.
fn marked(fix: &str) -> (&'static str, &str) {
    match fix.strip_prefix(super::ADMINISTRATOR) {
        Some(rest) => ("admin:", rest),
        None if fix.contains("sudo ") => ("admin:", fix),
        None => ("fix:", fix),
    }
}

fn word(status: Status) -> (&'static str, u8) {
    match status {
        Status::Ok => ("ok", 32),
        Status::Weaker => ("weaker", 33),
        Status::Missing => ("missing", 31),
    }
}

/// What nothing works without.
const ESSENTIAL: [&str; 4] = ["kernel-version", "user-namespaces", "other-namespaces", "proc-mount"];

fn summary(findings: &[(&'static str, Finding)]) -> String {
    let count = |status| findings.iter().filter(|(_, finding)| finding.status == status).count();
    let lacking = findings.iter().filter(|(name, f)| f.status == Status::Missing && ESSENTIAL.contains(name));
    let lacking: Vec<&str> = lacking.map(|(name, _)| *name).collect();
    let verdict = if lacking.is_empty() {
        "containers and sandboxes run here".to_owned()
    } else {
        format!("containers and sandboxes do not run here for want of {}", lacking.join(", "))
    };
    let (ok, weaker, missing) = (count(Status::Ok), count(Status::Weaker), count(Status::Missing));
    format!("{} checks: {ok} ok, {weaker} weaker, {missing} missing; {verdict}.", findings.len())
}

/// The checks for programs.
pub fn json(findings: &[(&'static str, Finding)]) -> String {
    #[derive(Serialize)]
    struct Entry<'a> {
        name: &'a str,
        status: Status,
        detail: &'a str,
        effect: Option<&'a str>,
        fix: Option<&'a str>,
    }
    #[derive(Serialize)]
    struct Document<'a> {
        version: u32,
        checks: Vec<Entry<'a>>,
    }
    let checks = findings.iter().map(|(name, f)| {
        let (effect, fix) = (f.effect.as_deref(), f.fix.as_deref());
        Entry { name, status: f.status, detail: &f.detail, effect, fix }
    });
    document(&Document { version: VERSION, checks: checks.collect() })
}

/// Any report as a JSON document.
pub fn document(report: &impl Serialize) -> String {
    // Strings and numbers only: it cannot fail.
    serde_json::to_string_pretty(report).unwrap_or_default() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Vec<(&'static str, Finding)> {
        vec![
            ("kernel-version", Finding::ok("Linux 6.18")),
            ("user-namespaces", Finding::missing("clone: \x1b[2J", "nothing starts", "sudo sysctl")),
            ("pasta", Finding::weaker("old", "slow", "chmod 700 x")),
        ]
    }

    #[test]
    fn columns_are_aligned_and_fixes_of_the_administrator_marked() {
        let text = text(&some(), false);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "kernel-version   ok       Linux 6.18");
        assert_eq!(lines[1], "user-namespaces  missing  clone: \\u{1b}[2J");
        assert_eq!(lines[2], "                          effect: nothing starts");
        assert_eq!(lines[3], "                          admin:  sudo sysctl");
        assert_eq!(lines[6], "                          fix:    chmod 700 x");
        assert!(lines[8].starts_with("3 checks: 1 ok, 1 weaker, 1 missing; "), "{}", lines[8]);
        assert!(lines[8].ends_with("do not run here for want of user-namespaces."), "{}", lines[8]);
    }

    #[test]
    fn colour_is_only_where_it_is_asked_for() {
        assert!(!text(&some(), false).contains('\x1b'));
        assert!(text(&some(), true).contains("\x1b[31mmissing\x1b[0m"));
    }

    #[test]
    fn the_document_has_a_version_and_null_for_what_is_not_needed() {
        let value: serde_json::Value = serde_json::from_str(&json(&some())).unwrap();
        assert_eq!(value["version"], 1);
        let first = &value["checks"][0];
        assert_eq!((&first["name"], &first["status"]), (&"kernel-version".into(), &"ok".into()));
        assert!(first["effect"].is_null() && first["fix"].is_null());
        assert_eq!(value["checks"][1]["fix"], "sudo sysctl");
    }
}
