//! The lines of bubblewrap's `--info-fd` and `--json-status-fd`, for programs that drive either.
use crate::cli::RunningArgs;
use crate::sys::descriptor;
use anyhow::{Context, Result};
use serde_json::{Map, Value, json};
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::OwnedFd;

/// Its names of the namespaces, and the kernel's in /proc/PID/ns.
const NAMESPACES: [(&str, &str); 6] = [
    ("cgroup-namespace", "cgroup"),
    ("ipc-namespace", "ipc"),
    ("mnt-namespace", "mnt"),
    ("net-namespace", "net"),
    ("pid-namespace", "pid"),
    ("uts-namespace", "uts"),
];

/// Where the lines go.
#[derive(Debug)]
pub struct Status {
    info: Option<File>,
    status: Option<File>,
}

impl Status {
    /// Takes the descriptors that the flags name.
    pub fn open(args: &RunningArgs) -> Result<Status> {
        let open = |flag: &str, number: Option<i32>| -> Result<Option<File>> {
            let file = number.map(|number| own_descriptor(number).with_context(|| format!("{flag} {number}")));
            Ok(file.transpose()?.map(File::from))
        };
        Ok(Status { info: open("--info-fd", args.info_fd)?, status: open("--json-status-fd", args.json_status_fd)? })
    }

    /// Whether anybody wants to know anything.
    pub fn is_wanted(&self) -> bool {
        self.info.is_some() || self.status.is_some()
    }

    /// The first process, as the host counts, and its namespaces; while they can still be looked at.
    pub fn created(&mut self, pid: i32) -> Result<()> {
        if !self.is_wanted() {
            return Ok(());
        }
        let mut line = Map::new();
        line.insert("child-pid".to_owned(), json!(pid));
        for (name, file) in NAMESPACES {
            // `net:[4026531840]`
            let link = fs::read_link(format!("/proc/{pid}/ns/{file}")).unwrap_or_default();
            let inode = link.to_string_lossy().split(['[', ']']).nth(1).and_then(|inode| inode.parse::<u64>().ok());
            if let Some(inode) = inode {
                line.insert(name.to_owned(), json!(inode));
            }
        }
        let line = Value::Object(line);
        if let Some(mut info) = self.info.take() {
            writeln!(info, "{line:#}").context("--info-fd")?;
        }
        match &mut self.status {
            Some(status) => writeln!(status, "{line}").context("--json-status-fd"),
            None => Ok(()),
        }
    }

    /// The exit status.
    pub fn ended(&mut self, status: u8) -> Result<()> {
        match &mut self.status {
            Some(file) => writeln!(file, "{}", json!({"exit-code": status})).context("--json-status-fd"),
            None => Ok(()),
        }
    }
}

/// A copy of a descriptor that the caller passes; the program gets neither.
pub fn own_descriptor(number: i32) -> Result<OwnedFd> {
    descriptor::duplicate(number).with_context(|| format!("descriptor {number} is not open"))
}
