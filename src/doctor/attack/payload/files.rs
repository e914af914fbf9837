//! Attacks on files: the caller's secrets, what rrunc trusts, and what of the project runs later on the host.
use super::super::attempt::Attempt;
use super::{Bait, tried};
use anyhow::{Context, Result};
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

/// Reads what is not shown. What it writes may go to file systems of the sandbox's own: the host looks whether it has
/// arrived.
pub fn view(bait: &Bait) -> Vec<Attempt> {
    // Before the payload makes one of that name.
    let state = tried("read the state of sandboxes", fs::read_dir(bait.run.join("rrunc"))).of("24");
    for (_, _, path) in bait.planted() {
        note(&path, put(&path));
    }
    note(&bait.report, fs::write(&bait.report, "forged"));
    for name in Bait::RUNS_LATER {
        note(Path::new(name), change(Path::new(name)));
    }
    for name in Bait::PLANTED {
        note(Path::new(name), put(Path::new(name)));
    }
    vec![
        tried("read a key below HOME", fs::read(bait.home.join(".ssh/id_ed25519"))),
        tried("read a file beside the project", fs::read(&bait.secret)),
        state,
        tried("read what the project's own profile would show", fs::read(&bait.granted)).of("25"),
    ]
}

/// In a project whose `.git` is a file that names what is none of its own.
pub fn forged(bait: &Bait) -> Vec<Attempt> {
    vec![
        tried("read another repository", fs::read(bait.home.join("victim/.git/config"))).of("25b"),
        tried("read keys as a repository", fs::read(bait.home.join(".ssh/id_ed25519"))).of("25b"),
    ]
}

/// Leaves links where the user will name a directory and a file.
pub fn leave(bait: &Bait) -> Vec<Attempt> {
    for (name, target) in Bait::LEFT.into_iter().zip([&bait.home.join(".ssh"), &bait.secret]) {
        note(Path::new(name), symlink(target, name));
    }
    Vec::new()
}

/// By the first of them.
pub fn linked() -> Vec<Attempt> {
    let key = Path::new(Bait::LEFT[0]).join("id_ed25519");
    vec![tried("read a key through a grant that was made a link", fs::read(key)).of("24b")]
}

/// By the second, as who writes a report does without a look.
pub fn written() -> Vec<Attempt> {
    let file = Path::new(Bait::LEFT[1]);
    note(file, OpenOptions::new().write(true).truncate(true).open(file).and_then(|mut file| file.write_all(b"{}")));
    Vec::new()
}

/// Moves the report away and puts one of its own down.
pub fn forge() -> Vec<Attempt> {
    let report = Path::new(Bait::OWN_REPORT);
    note(report, fs::rename(report, "aside"));
    note(report, fs::write(report, format!("{{\"version\": 1, \"by\": \"{}\"}}", Bait::FORGED)));
    Vec::new()
}

/// Reads the hidden file once the host has replaced it, and once more a moment later: it is allowed that, not longer.
pub fn replaced() -> Result<Attempt> {
    let (mut asked, mut answer) = (std::io::stdin(), std::io::stdout());
    writeln!(answer, "ready").and_then(|()| answer.flush()).context("answer")?;
    asked.read_exact(&mut [0]).context("wait for the host")?;
    std::thread::sleep(Duration::from_millis(500));
    let read = fs::read_to_string(Bait::HIDDEN).and_then(|text| match text.as_str() {
        Bait::SAVED => Ok(()),
        _ => Err(std::io::Error::other("it is hidden still")),
    });
    Ok(tried("read a hidden file that the host has replaced", read).of("25e"))
}

/// Changes what git runs in the directory that is granted beside the project.
pub fn bound(bait: &Bait) -> Vec<Attempt> {
    let config = bait.secret.with_file_name(Bait::BOUND);
    note(&config, change(&config));
    Vec::new()
}

fn put(path: &Path) -> std::io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    fs::write(path, "planted")
}

/// In whatever way it can be done: written to, replaced, or its directory put out of the way.
fn change(path: &Path) -> std::io::Result<()> {
    let written = || OpenOptions::new().append(true).open(path).and_then(|mut file| file.write_all(b"planted"));
    let replaced = || {
        fs::write("planted", "planted")?;
        fs::rename("planted", path)
    };
    let moved = || match path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        Some(dir) => fs::rename(dir, "moved").and_then(|()| put(path)),
        None => fs::remove_file(path).and_then(|()| put(path)),
    };
    written().or_else(|_| replaced()).or_else(|_| moved())
}

fn note(path: &Path, result: std::io::Result<()>) {
    log::debug!("{}: {result:?}", path.display());
}
