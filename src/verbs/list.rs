//! `list`: all containers of this user, as a table, as JSON, or only the ids.
use super::Outcome;
use super::state::Summary;
use crate::cli::{Global, ListArgs};
use crate::error::WithHint;
use crate::printable::{self, printable};
use crate::state::{Root, is_missing};
use anyhow::{Context, Result, anyhow};
use std::collections::BTreeMap;

/// Runs the verb. A container that cannot be read is an error line, and the others are shown all the same.
pub fn run(global: &Global, args: &ListArgs) -> Result<Outcome> {
    let root = Root::open(global.root.as_deref())?;
    let as_table = match args.output.format.as_str() {
        "table" => true,
        "json" => false,
        _ => return Err(anyhow!("invalid format option")).hint(|| "--format table or --format json"),
    };
    let containers = summaries(&root)?;
    if args.quiet {
        return Ok(containers.iter().map(|c| format!("{}\n", c.id)).collect::<String>().into());
    }
    if as_table {
        return Ok(table(&containers).into());
    }
    // Go's empty slice: clients of runc know no other form.
    let json = if containers.is_empty() {
        "null".to_owned()
    } else {
        serde_json::to_string(&containers).context("write the list")?
    };
    Ok(format!("{}\n", printable::json(json)).into())
}

fn summaries(root: &Root) -> Result<Vec<Summary>> {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut owners = BTreeMap::new();
    let mut all = Vec::new();
    for id in root.list()? {
        match root.look(&id) {
            Ok((state, status)) => {
                let owner = owners.entry(state.owner).or_insert_with_key(|uid| owner(&passwd, *uid)).clone();
                all.push(Summary::new(state, status, owner));
            }
            // Half made or half removed, so that it has no state to show; or removed since the directory was read.
            Err(e) if is_missing(&e) => {}
            Err(e) => log::error!("load container {id}: {}", crate::error::one_line(&e)),
        }
    }
    Ok(all)
}

/// A user's name, `#UID` when it has none.
fn owner(passwd: &str, uid: u32) -> String {
    crate::host::user_name(passwd, uid).map_or_else(|| format!("#{uid}"), str::to_owned)
}

/// Columns at least 12 wide and 3 apart.
fn table(containers: &[Summary]) -> String {
    let mut rows = vec![["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(String::from)];
    rows.extend(
        containers.iter().map(|c| {
            [&c.id, &c.pid.to_string(), &c.status, &c.bundle, &c.created, &c.owner].map(|cell| printable(cell))
        }),
    );
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count() + 3).max().unwrap_or(0).max(12);
    let widths: Vec<usize> = (0..5).map(width).collect();
    let line = |row: &[String; 6]| {
        let padded: String = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("{padded}{}\n", row[5])
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_table_is_its_header() {
        assert_eq!(table(&[]), "ID          PID         STATUS      BUNDLE      CREATED     OWNER\n");
    }

    #[test]
    fn a_column_is_as_wide_as_its_longest_cell_and_three_more() {
        let json = r#"{"ociVersion":"1","id":"a-long-name","pid":7,"status":"created","bundle":"/b","rootfs":"/r","created":"now","owner":"ann"}"#;
        let line = table(&[serde_json::from_str(json).unwrap()]);
        let lines: Vec<&str> = line.lines().collect();
        assert_eq!(lines[0], "ID            PID         STATUS      BUNDLE      CREATED     OWNER");
        assert_eq!(lines[1], "a-long-name   7           created     /b          now         ann");
    }

    #[test]
    fn who_has_no_name_is_a_number() {
        let passwd = "root:x:0:0::/root:/bin/sh\nbroken\nann:x:1000:1000::/home/ann:/bin/sh\n";
        assert_eq!(owner(passwd, 1000), "ann");
        assert_eq!(owner(passwd, 7), "#7");
    }
}
