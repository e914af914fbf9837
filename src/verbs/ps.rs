//! `ps`: a container's processes, through ps(1) or as bare pids.
use super::Outcome;
use crate::cli::{Global, PsArgs};
use crate::error::WithHint;
use crate::host::find_program;
use crate::state::members::Bond;
use crate::state::{Root, process};
use anyhow::{Context, Result, anyhow, bail};
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

/// Runs the verb. A container that has stopped has no processes, which is no error.
pub fn run(global: &Global, args: &PsArgs) -> Result<Outcome> {
    let container = Root::open(global.root.as_deref())?.find(&args.id())?;
    let state = container.load()?;
    let pids = match process::live(state.pid, state.start_time)? {
        Some(_) => Bond::of(&container, &state)?.pids()?,
        None => Vec::new(),
    };
    match args.output.format.as_str() {
        "json" => Ok(format!("{}\n", serde_json::to_string(&pids).context("write the pids")?).into()),
        "table" => Ok(rows_of(&output_of_ps(args.options())?, &pids)?.into()),
        _ => Err(anyhow!("invalid format option")).hint(|| "--format table or --format json"),
    }
}

fn output_of_ps(options: &[OsString]) -> Result<String> {
    let usual = [OsString::from("-ef")];
    let options = if options.is_empty() { &usual } else { options };
    let program =
        find_program("ps").context("ps: no such program").hint(|| "install procps, or ask for `--format json`")?;
    let output = Command::new(program).args(options).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.context("run ps").hint(|| "install procps, or ask for `--format json`")?;
    if !output.status.success() {
        let how = output.status.code().map_or_else(
            || format!("signal {}", output.status.signal().unwrap_or_default()),
            |code| format!("exit status {code}"),
        );
        bail!("ps: {how}");
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The header, and the lines whose PID column is one of `pids`.
fn rows_of(output: &str, pids: &[i32]) -> Result<String> {
    let mut lines = output.lines();
    let header = lines.next().unwrap_or_default();
    let column = header.split_whitespace().position(|title| title == "PID");
    let column = column.context("couldn't find PID field in ps output").hint(|| "have ps print it: -o pid,args")?;
    let mut kept = format!("{header}\n");
    for line in lines.filter(|line| !line.trim().is_empty()) {
        let field = line.split_whitespace().nth(column).unwrap_or_default();
        // Lines of threads have a dash there.
        if field == "-" {
            continue;
        }
        let pid: i32 = field.parse().with_context(|| format!("unexpected pid '{field}'"))?;
        if pids.contains(&pid) {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PS: &str = "UID   PID PPID CMD\nann    12    1 sh -c x\nann   120   12 sleep 12\n";

    #[test]
    fn only_the_containers_lines_stay() {
        assert_eq!(rows_of(PS, &[12]).unwrap(), "UID   PID PPID CMD\nann    12    1 sh -c x\n");
        assert_eq!(rows_of(PS, &[]).unwrap(), "UID   PID PPID CMD\n");
    }

    #[test]
    fn a_table_without_pids_is_refused() {
        assert_eq!(rows_of("UID CMD\n", &[1]).unwrap_err().to_string(), "couldn't find PID field in ps output");
        assert_eq!(rows_of("", &[1]).unwrap_err().to_string(), "couldn't find PID field in ps output");
    }
}
