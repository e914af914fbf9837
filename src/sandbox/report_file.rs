//! The file of `--report`: opened before anything runs, since it is not to fail when all is over, and kept from the program,
//! which could put another in its place.
use super::Choice;
use super::status::own_descriptor;
use crate::error::WithHint;
use crate::{links, on_request};
use anyhow::{Context, Result, bail};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use serde_json::Value;
use std::fs::{File, Metadata};
use std::io::{Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where the report goes.
#[derive(Debug)]
pub struct ReportFile {
    file: File,
    /// The value of the flag.
    name: String,
    /// The path without links of a file that has one.
    path: Option<PathBuf>,
}

impl ReportFile {
    /// Opens `text`, the path of a file or `fd:N`.
    pub fn open(text: &str, choice: &Choice) -> Result<ReportFile> {
        let open = || -> Result<(File, Option<PathBuf>)> {
            if let Some(number) = text.strip_prefix("fd:") {
                return Ok((File::from(own_descriptor(number.parse().context("write fd:3")?)?), None));
            }
            let planted = |link: &links::Link| choice.written.may_have_made(link);
            let file = on_request::file(Path::new(text), OFlag::empty(), 0o666, planted)?;
            if !file.metadata()?.is_file() {
                return Ok((file, None));
            }
            file.set_len(0)?;
            let way = links::follow(Path::new(text))?;
            Ok((file, Some(way.real).filter(|_| !way.is_descriptor)))
        };
        let (file, path) = open().with_context(|| format!("--report {text}"))?;
        let report = ReportFile { file, name: text.to_owned(), path };
        report.check().map(|()| report)
    }

    /// Its path without links, if it has one.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Makes sure that it still has its name: whoever reads it by that would read another's.
    pub fn check(&self) -> Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let in_place = || -> Result<()> {
            let there =
                links::open(path, OFlag::O_PATH | OFlag::O_NOFOLLOW, Mode::empty()).context("it has been removed")?;
            let same = |meta: &Metadata| (meta.dev(), meta.ino());
            if same(&there.metadata()?) != same(&self.file.metadata()?) {
                bail!("another file has been put in its place");
            }
            Ok(())
        };
        let checked = in_place().with_context(|| format!("--report {}", self.name));
        checked.hint(|| "what is there now is not rrunc's; name a file outside of what sandboxes may write, or fd:N")
    }

    /// Writes the report.
    pub fn write(mut self, report: &Value) -> Result<()> {
        if self.file.metadata()?.is_file() && self.file.stream_position()? == 0 {
            // Where somebody may write it could have put something there.
            self.file.set_len(0)?;
        }
        Ok(writeln!(self.file, "{report:#}")?)
    }
}
