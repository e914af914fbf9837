//! What the session and the installed programs give: runtime directory, systemd's bus, pasta.
use super::Finding;
use super::probe::{Failure, Step, probe};
use super::settings::Settings;
use crate::host::find_program;
use crate::state::Root;
use crate::systemd;
use nix::sched::CloneFlags;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where the state is kept, by the rules that every verb follows.
pub fn runtime_directory(settings: &Settings) -> Finding {
    let session = settings.session();
    let root = match Root::open(None) {
        Ok(root) => root.path().to_owned(),
        Err(error) => {
            let effect = "no verb works that keeps or reads state, unless it is given --root";
            let fix = crate::error::hint_of(&error).map_or(session, str::to_owned);
            return Finding::missing(crate::error::one_line(&error), effect, fix);
        }
    };
    let parent = root.parent().unwrap_or(Path::new("/"));
    let detail = root.display().to_string();
    let given = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|dir| dir.is_absolute());
    match given.map(|dir| (dir.symlink_metadata(), dir)) {
        None if parent.starts_with("/run") => Finding::ok(format!("{detail} (XDG_RUNTIME_DIR is not set)")),
        None => Finding::weaker(
            format!("{detail} (XDG_RUNTIME_DIR is not set)"),
            "the state is kept in a temporary directory, which other programs may clear",
            session,
        ),
        Some((Err(error), dir)) => Finding::weaker(
            format!("{}: {error}", dir.display()),
            "rrunc makes the directory, where nobody clears it when you log out",
            session,
        ),
        Some((Ok(meta), dir)) if meta.uid() != settings.uid || meta.mode() & 0o077 != 0 => Finding::weaker(
            format!("{} belongs to uid {}, mode {:o}", dir.display(), meta.uid(), meta.mode() & 0o7777),
            "others see which containers you have",
            format!("chmod 700 '{}'", dir.display()),
        ),
        Some(_) => Finding::ok(detail),
    }
}

/// The user's systemd, which gives a scope with limits: talked to.
pub fn user_bus(settings: &Settings) -> Finding {
    let done = probe(CloneFlags::empty(), || systemd::look().step("talk to it").map(|()| String::new()));
    match done {
        Ok(_) => Finding::ok("your systemd answers"),
        Err(failure) => Finding::missing(
            failure.text,
            "no systemd scope for a container's limits",
            if settings.systemd { settings.session() } else { "administrator: none without systemd".to_owned() },
        ),
    }
}

/// The program that connects a network namespace for an ordinary user: started.
pub fn pasta(settings: &Settings) -> Finding {
    let missing = |detail: String| {
        let effect = "`sandbox --network pasta` does not start: the network is none or the host's";
        Finding::missing(detail, effect, settings.install(["passt"; 5]))
    };
    let Some(program) = find_program("pasta") else { return missing("not installed".to_owned()) };
    let done = probe(CloneFlags::empty(), || {
        let mut command = Command::new(&program);
        command.arg("--version").stdin(Stdio::null());
        crate::sys::signal::start_clean(&mut command);
        let output = command.output().step("start")?;
        if !output.status.success() {
            return Err(Failure::plain("start", output.status.to_string()));
        }
        // Some write it to one, some to the other.
        let texts = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
        let line = texts.iter().find_map(|text| text.lines().find(|line| !line.is_empty()));
        Ok(line.map_or_else(|| program.display().to_string(), |line| format!("{} ({line})", program.display())))
    });
    done.map_or_else(|failure| missing(format!("{}: {}", program.display(), failure.line())), Finding::ok)
}
