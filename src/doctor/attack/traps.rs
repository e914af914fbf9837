//! Attacks that take more than one call: what a sandbox leaves in the project for the next one, and a report that the
//! program puts in the place of rrunc's.
use super::attempt::Attempt;
use super::judge;
use super::payload::Bait;
use super::rounds::{Stage, said};
use super::scene::Call;
use anyhow::{Context, Result};
use std::fs;

impl Stage<'_> {
    /// Rows 24b to 24d.
    pub(super) fn traps(&self) -> Result<Vec<Attempt>> {
        let project = self.scene.dir.join("project");
        self.payload(Call { payload: "leave", ..Call::default() })?;
        let left = Bait::LEFT.iter().all(|name| project.join(name).is_symlink());

        let what = "read a key through a grant that was made a link";
        let ran = self.call(Call { payload: "linked", options: &["--bind", Bait::LEFT[0]], ..Call::default() })?;
        let refused = || vec![judge::refused("24b", what, ran.status, &ran.stderr, "link")];
        let mut all = said(&ran).unwrap_or_else(refused);

        let ran = self.call(Call { payload: "written", options: &["--report", Bait::LEFT[1]], ..Call::default() })?;
        let text = fs::read_to_string(&self.scene.bait.secret).context("the bait")?;
        all.push(judge::written_through(left, ran.status, &text));

        let report = Bait::OWN_REPORT;
        let ran = self.call(Call { payload: "forge", options: &["--report", report], ..Call::default() })?;
        all.push(judge::forged(ran.status, &fs::read_to_string(project.join(report)).unwrap_or_default()));
        Ok(all)
    }
}
