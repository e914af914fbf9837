//! The made-up /etc of a sandbox: who the user is and how names are looked up, and nothing else of the host's.
use super::policy::{Policy, Rule};
use anyhow::{Context, Result};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};

/// Name of the host inside, if nobody gives another.
pub const HOSTNAME: &str = "sandbox";

/// The one user there is.
pub struct User<'a> {
    /// Its login name.
    pub name: &'a str,
    /// Its id inside.
    pub uid: u32,
    /// Its group inside.
    pub gid: u32,
    /// Its home directory.
    pub home: &'a Path,
}

/// A part of the host's /etc that is there to be shown.
pub struct Part<'a> {
    /// Its path.
    pub path: &'a str,
    /// What it is.
    pub kind: Kind,
}

/// What a part is.
#[derive(Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory, or a link to one.
    Directory,
    /// Anything else.
    File,
    /// A link with this text, into programs or /proc: it is made anew and needs no mount.
    Link(PathBuf),
}

/// The parts that `policy` lets be shown and that are there.
pub fn parts(policy: &Policy) -> Vec<Part<'_>> {
    let all = policy.etc.iter();
    all.filter_map(|Rule { value: path, .. }| Some(Part { path, kind: kind(Path::new(path))? })).collect()
}

fn kind(path: &Path) -> Option<Kind> {
    let meta = fs::symlink_metadata(path).ok()?;
    let meta = match meta.is_symlink() {
        true => match fs::read_link(path).ok()? {
            target if leads_to_programs(path, &target) => return Some(Kind::Link(target)),
            _ => fs::metadata(path).ok()?,
        },
        false => meta,
    };
    Some(if meta.is_dir() { Kind::Directory } else { Kind::File })
}

/// Whether a link at `path` leads to /usr or /proc by its text alone.
fn leads_to_programs(path: &Path, target: &Path) -> bool {
    let mut place = path.parent().unwrap_or(path).to_owned();
    for part in target.components() {
        match part {
            Component::ParentDir => drop(place.pop()),
            part => place.push(part),
        }
    }
    place.starts_with("/usr") || place.starts_with("/proc")
}

/// What is in the files that are made up.
pub struct Texts<'a> {
    /// The one user there is.
    pub user: User<'a>,
    /// The sandbox's name.
    pub hostname: &'a str,
    /// The host's file of names where its network is shared, else nothing.
    pub hosts: String,
    /// The file of name servers.
    pub resolv_conf: String,
}

/// Writes the files into the new directory `dir`, links, and empty places for those of `parts` that are mounted there.
pub fn write(dir: &Path, texts: &Texts, parts: &[Part]) -> Result<()> {
    let Texts { user, hostname, hosts, resolv_conf } = texts;
    fs::create_dir(dir).with_context(|| dir.display().to_string())?;
    let put = |name: &str, text: String| fs::write(dir.join(name), text).with_context(|| format!("write {name}"));
    let User { name, uid, gid, home } = user;
    // A colon or a line's end in the path would make other fields and users of it.
    let odd = home.as_os_str().as_encoded_bytes().iter().any(|byte| *byte == b':' || byte.is_ascii_control());
    let home = if odd { Path::new("/") } else { home };
    let (root, own) =
        ("root:x:0:0:root:/root:/bin/sh\n", format!("{name}:x:{uid}:{gid}::{}:/bin/sh\n", home.display()));
    put("passwd", format!("{}{own}nobody:x:65534:65534:nobody:/:/bin/false\n", if *uid == 0 { "" } else { root }))?;
    let root = if *gid == 0 { "" } else { "root:x:0:\n" };
    put("group", format!("{root}{name}:x:{gid}:\nnogroup:x:65534:\n"))?;
    put("hosts", format!("127.0.0.1 localhost {hostname}\n::1 localhost {hostname}\n{hosts}"))?;
    put("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n".to_owned())?;
    put("hostname", format!("{hostname}\n"))?;
    put("resolv.conf", resolv_conf.clone())?;
    for Part { path, kind } in parts {
        // Nothing is written but in `dir`, whatever a list says.
        let place = dir.join(Path::new(path).strip_prefix("/etc").context("not below /etc")?);
        let made = make_place(&place, kind).or_else(|error| match (error.kind(), place.parent()) {
            (ErrorKind::NotFound, Some(parent)) => {
                fs::create_dir_all(parent)?;
                make_place(&place, kind)
            }
            _ => Err(error),
        });
        made.with_context(|| format!("make a place for {path}"))?;
    }
    Ok(())
}

fn make_place(place: &Path, kind: &Kind) -> std::io::Result<()> {
    match kind {
        Kind::Link(target) => symlink(target, place),
        Kind::File => fs::write(place, ""),
        Kind::Directory => fs::create_dir(place).or_else(|error| if place.is_dir() { Ok(()) } else { Err(error) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_into_programs_are_known_by_their_text() {
        let leads = |path: &str, target: &str| leads_to_programs(Path::new(path), Path::new(target));
        for target in ["../usr/lib/os-release", "/usr/share/zoneinfo/UTC", "/proc/mounts", "../../usr/x"] {
            assert!(leads("/etc/x", target), "{target}");
        }
        assert!(leads("/etc/ssl/x", "../../usr/x") && !leads("/etc/ssl/x", "../usr/x"));
        for target in ["x", "../usrx", "/home/u/x", "/usr/../home/u", "../usr/../etc/x", "/etc/ssl"] {
            assert!(!leads("/etc/x", target), "{target}");
        }
    }
}
