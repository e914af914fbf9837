//! The links in a path that somebody has typed. What he typed is what he meant; a link in it may be another's word.
use crate::error::with_hint;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::Mode;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// As many as the kernel follows.
const MOST: usize = 40;

/// A link that was followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Where it is; its directory is named without links.
    pub place: PathBuf,
    /// Whose it is.
    pub owner: u32,
    /// It is the path's last name, or what that leads to.
    pub is_last: bool,
}

/// Where a path leads.
#[derive(Debug, PartialEq, Eq)]
pub struct Way {
    /// The absolute path without links. What comes after a name that is not there stands as it was typed.
    pub real: PathBuf,
    /// The links on the way, in order.
    pub links: Vec<Link>,
    /// It ends at an open file that the kernel names (`/dev/stderr`, `/proc/self/fd/3`), which no path leads to.
    pub is_descriptor: bool,
}

impl Link {
    /// Whether the system has made it, and nobody for whom a sandbox could have: as root a sandbox is root's as well.
    pub fn is_the_systems(&self) -> bool {
        let kernels = ["/dev", "/proc"].iter().any(|dir| self.place.starts_with(dir));
        kernels || (self.owner == 0 && !nix::unistd::geteuid().is_root())
    }

    /// Whether a sandbox may have made it, of which nothing is known here: it lies in a git checkout, which is the project of
    /// whoever starts one there. None is at HOME or above.
    pub fn is_in_checkout(&self) -> bool {
        !self.is_the_systems() && is_in_checkout(&self.place)
    }
}

/// Whether `place`, without links, is in a git checkout below HOME or elsewhere.
pub fn is_in_checkout(place: &Path) -> bool {
    let home = std::env::var_os("HOME").and_then(|home| PathBuf::from(home).canonicalize().ok()).unwrap_or_default();
    let mut dirs = place.ancestors().skip(1).take_while(|dir| !home.starts_with(dir));
    dirs.any(|dir| dir.join(".git").symlink_metadata().is_ok())
}

impl Way {
    /// Refuses it for a link that is `bad`.
    pub fn refuse(&self, bad: impl Fn(&Link) -> bool, why: &str) -> anyhow::Result<()> {
        match self.links.iter().find(|link| bad(link)) {
            None => Ok(()),
            Some(link) => {
                let error = anyhow::anyhow!("{} is a link: {why}", link.place.display());
                Err(with_hint(error, format!("if it is yours, name what it leads to: {}", self.real.display())))
            }
        }
    }
}

/// Follows `path`, whose end need not be there.
pub fn follow(path: &Path) -> io::Result<Way> {
    let path = std::path::absolute(path)?;
    let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    match openat2(AT_FDCWD, &path, how) {
        // Without a link a `..` goes back to where one has come from.
        Ok(_) => Ok(Way { real: plain(&path), links: Vec::new(), is_descriptor: false }),
        Err(Errno::ELOOP | Errno::ENOENT) => by_links(&path),
        Err(e) => Err(e.into()),
    }
}

fn by_links(path: &Path) -> io::Result<Way> {
    let mut way = Way { real: PathBuf::from("/"), links: Vec::new(), is_descriptor: false };
    let mut rest = names(path);
    while let Some(name) = rest.pop() {
        if name == ".." {
            way.real.pop();
            continue;
        }
        let place = way.real.join(name);
        let meta = match fs::symlink_metadata(&place) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                rest.reverse();
                way.real = plain(&rest.iter().fold(place, |path, name| path.join(name)));
                return Ok(way);
            }
            meta => meta?,
        };
        if !meta.is_symlink() {
            way.real = place;
            continue;
        }
        way.links.push(Link { place: place.clone(), owner: meta.uid(), is_last: rest.is_empty() });
        if way.links.len() > MOST {
            return Err(Errno::ELOOP.into());
        }
        if is_of_descriptor(&place) {
            way.is_descriptor = rest.is_empty();
            let target = if rest.is_empty() { place } else { place.canonicalize()? };
            way.real = target;
            continue;
        }
        let target = fs::read_link(&place)?;
        if target.is_absolute() {
            way.real = PathBuf::from("/");
        }
        rest.extend(names(&target));
    }
    Ok(way)
}

/// `/proc/PID/fd/N`: the kernel goes to the file itself, whatever the link's text says.
fn is_of_descriptor(place: &Path) -> bool {
    let mut above = place.ancestors().skip(1);
    above.next().is_some_and(|dir| dir.ends_with("fd")) && place.starts_with("/proc")
}

/// The names in it, the first one last.
fn names(path: &Path) -> Vec<OsString> {
    let name = |part: Component<'_>| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    };
    path.components().rev().filter_map(name).collect()
}

/// The absolute path without `..`, taken by the word.
pub fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => plain.push(name),
            Component::ParentDir => {
                plain.pop();
            }
            _ => {}
        }
    }
    plain
}

/// Opens `path` if there is no link in it. Nothing is waited for.
pub fn open(path: &Path, flags: OFlag, mode: Mode) -> nix::Result<File> {
    // openat2(2) takes no word that means nothing.
    let patient = if flags.contains(OFlag::O_PATH) { OFlag::empty() } else { OFlag::O_NONBLOCK | OFlag::O_NOCTTY };
    let flags = flags | patient | OFlag::O_CLOEXEC;
    let how = OpenHow::new().flags(flags).mode(mode).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    openat2(AT_FDCWD, path, how).map(File::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_told_with_where_they_lead() {
        let dir = std::env::temp_dir().canonicalize().unwrap().join(format!("rrunc-links-{}", std::process::id()));
        fs::remove_dir_all(&dir).ok();
        fs::create_dir_all(dir.join("a/b")).unwrap();
        symlink("a", dir.join("relative")).unwrap();
        symlink(dir.join("relative/b"), dir.join("absolute")).unwrap();
        symlink("loop", dir.join("loop")).unwrap();
        let follow = |path: &str| follow(&dir.join(path));
        let links = |way: &Way| way.links.iter().map(|link| link.place.clone()).collect::<Vec<_>>();
        for (path, real, over) in [
            ("a/b", "a/b", &[][..]),
            ("a/./b/../b", "a/b", &[]),
            ("a/new/file", "a/new/file", &[]),
            ("relative", "a", &["relative"]),
            ("relative/b/..", "a", &["relative"]),
            ("absolute/new", "a/b/new", &["absolute", "relative"]),
            ("absolute/../..", "", &["absolute", "relative"]),
        ] {
            let way = follow(path).unwrap();
            assert_eq!(way.real, plain(&dir.join(real)), "{path}");
            assert_eq!(links(&way), over.iter().map(|name| dir.join(name)).collect::<Vec<_>>(), "{path}");
        }
        assert!(follow("loop").is_err());
        fs::write(dir.join("file"), "").unwrap();
        let file = File::open(dir.join("file")).unwrap();
        let name = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
        assert!(super::follow(Path::new(&name)).unwrap().is_descriptor);
        fs::remove_dir_all(dir).unwrap();
    }
}
