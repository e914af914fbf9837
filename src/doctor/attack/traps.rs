//! Attacks that take more than one deed: what a sandbox leaves in the project for the next one, a report that the program
//! puts in the place of rrunc's, and what the host replaces meanwhile.
use super::attempt::Attempt;
use super::judge;
use super::payload::Bait;
use super::rounds::{Stage, said};
use super::scene::{Call, Ran};
use anyhow::{Context, Result};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;

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

    /// Row 25e: as an editor does that saves, the host replaces a hidden file while the program runs.
    pub(super) fn replaced(&self) -> Result<Attempt> {
        let project = self.scene.dir.join("project");
        let mut command = self.scene.command(self.launcher, &Call { payload: "replaced", ..Call::default() })?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut rrunc = command.spawn().context("/bin/sh")?;
        let (input, output) = (rrunc.stdin.take(), rrunc.stdout.take().context("no output")?);
        let (mut output, mut stdout) = (BufReader::new(output), String::new());
        output.read_line(&mut stdout).context("the attack")?;
        fs::write(project.join("saved"), Bait::SAVED).context("the bait")?;
        fs::rename(project.join("saved"), project.join(Bait::HIDDEN)).context("the bait")?;
        // A sandbox that has been ended by then reads no more.
        input.map(|mut input| input.write_all(b"!"));
        output.read_to_string(&mut stdout).context("the attack")?;
        let status = rrunc.wait().context("wait for rrunc")?.code();
        let ran = Ran { status, stdout, stderr: String::new() };
        Ok(said(&ran).and_then(|mut said| said.pop()).unwrap_or_else(|| judge::replaced(ran.status)))
    }

    /// Row 25c: the repository of a directory that is granted like the project.
    pub(super) fn bound(&self) -> Result<Attempt> {
        let (dir, file) = (self.scene.dir.join("bound"), self.scene.dir.join(Bait::BOUND));
        self.payload(Call { payload: "bound", options: &["--bind", &dir.to_string_lossy()], ..Call::default() })?;
        let changed = fs::read(file).ok().is_none_or(|text| text != b"bait\n");
        Ok(Attempt::new("change what git runs in what --bind grants", changed, "looked at from outside").of("25c"))
    }
}
