//! The container's root file system by descriptor. Every name of the configuration is resolved here, inside the root
//! (openat2 RESOLVE_IN_ROOT) and once: what is opened is what gets used, so that a link or a swapped directory in a
//! hostile rootfs leads nowhere else (CVE-2021-30465, CVE-2024-45310).
use crate::error::{errno_of, with_hint};
use crate::sys::descriptor::Brief;
use anyhow::{Result, anyhow, bail};
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, mkdirat, mknodat};
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

/// As many links as the kernel itself would follow.
const MAX_LINKS: u32 = 40;

/// What to do about a link where the configuration knows of none.
pub const LINK_HINT: &str = "see that nobody else changes it right now, such as another sandbox of the same project";

/// The root directory of the container.
pub struct Root {
    dir: Brief,
    /// How names are resolved in it.
    resolve: ResolveFlag,
}

/// What a missing last component becomes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// A directory with this mode.
    Directory(u32),
    /// An empty file, to mount a file on.
    File,
}

impl Root {
    /// Takes the mounted root, in which `no_links` are followed at all.
    pub fn new(dir: Brief, no_links: bool) -> Root {
        let followed = if no_links { ResolveFlag::RESOLVE_NO_SYMLINKS } else { ResolveFlag::RESOLVE_NO_MAGICLINKS };
        Root { dir, resolve: ResolveFlag::RESOLVE_IN_ROOT | followed }
    }

    /// The directory itself.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// Opens `path` inside the root with `flags`.
    pub fn open(&self, path: &Path, flags: OFlag) -> nix::Result<Brief> {
        let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(self.resolve);
        retry(|| openat2(&self.dir, path, how))
    }

    /// Opens `path` to refer to it, not to read or write; a last link is followed inside the root.
    pub fn at(&self, path: &Path) -> nix::Result<Brief> {
        self.open(path, OFlag::O_PATH)
    }

    /// Opens `path` to refer to it without following a single link on the way.
    fn without_links(&self, path: &Path, flags: OFlag) -> nix::Result<Brief> {
        let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_SYMLINKS;
        let how = OpenHow::new().flags(OFlag::O_PATH | flags | OFlag::O_CLOEXEC).resolve(resolve);
        retry(|| openat2(&self.dir, path, how))
    }

    /// Opens `path` to refer to it, if it is there and as `flags` wants it (O_DIRECTORY), and tells whether a link was on the way: without one it is where its name says.
    pub fn find(&self, path: &Path, flags: OFlag) -> nix::Result<(Option<Brief>, bool)> {
        let (found, by_link) = match self.without_links(path, flags) {
            Err(Errno::ELOOP) if self.follows() => (self.open(path, OFlag::O_PATH | flags), true),
            found => (found, false),
        };
        match found {
            Ok(fd) => Ok((Some(fd), by_link)),
            Err(Errno::ENOENT) => Ok((None, by_link)),
            Err(e) => Err(e),
        }
    }

    fn follows(&self) -> bool {
        !self.resolve.contains(ResolveFlag::RESOLVE_NO_SYMLINKS)
    }

    /// Opens `path`, making what is missing of it, see `make`. The second value tells whether anything was made.
    pub fn ensure(&self, path: &Path, missing: Missing) -> Result<(Brief, bool)> {
        match self.at(path) {
            Ok(fd) => Ok((fd, false)),
            Err(Errno::ENOENT) => self.make(path, missing).map(|fd| (fd, true)),
            Err(e) => Err(not_opened(e, path)),
        }
    }

    /// Makes what is missing of `path`: directories with mode 0755, the last component as `missing` says. Dangling links
    /// are followed inside the root.
    pub fn make(&self, path: &Path, missing: Missing) -> Result<Brief> {
        self.make_missing(path, missing).map_err(|e| not_made(e, path))
    }

    fn make_missing(&self, path: &Path, missing: Missing) -> Result<Brief> {
        // As a rule only the last directory is missing.
        if let (Some(parent), Some(name)) = (path.parent(), path.file_name())
            && let Ok(parent) = self.at(parent)
            && let Ok((fd, stat)) = make_child(parent.as_fd(), name, missing)
            && !is(&stat, SFlag::S_IFLNK)
        {
            return Ok(fd);
        }
        let mut rest: Vec<OsString> = names(path);
        rest.reverse();
        // The resolved way so far, without links: what openat2 takes again after each step.
        let mut done = PathBuf::from("/");
        let mut here = self.at(Path::new("/"))?;
        let mut links = 0;
        while let Some(name) = rest.pop() {
            if name == ".." {
                done.pop();
                here = self.without_links(&done, OFlag::empty())?;
                continue;
            }
            let last = rest.is_empty();
            let (fd, stat) = match open_child(here.as_fd(), &name) {
                Err(Errno::ENOENT) => {
                    make_child(here.as_fd(), &name, if last { missing } else { Missing::Directory(0o755) })?
                }
                other => other?,
            };
            if is(&stat, SFlag::S_IFLNK) {
                links += 1;
                if links > MAX_LINKS || !self.follows() {
                    bail!(Errno::ELOOP);
                }
                let target = PathBuf::from(readlinkat(here.as_fd(), name.as_os_str())?);
                if target.is_absolute() {
                    done = PathBuf::from("/");
                    here = self.at(Path::new("/"))?;
                }
                rest.extend(names(&target).into_iter().rev());
                continue;
            }
            done.push(&name);
            here = fd;
        }
        Ok(here)
    }
}

fn not_made(error: anyhow::Error, path: &Path) -> anyhow::Error {
    let denied = matches!(errno_of(&error), Some(Errno::EACCES | Errno::EPERM | Errno::EROFS));
    let error = error.context(format!("make {} in the rootfs", path.display()));
    let hint = "the root file system belongs to another user, or is read-only: make it there beforehand, or use a copy that \
                is yours";
    if denied { with_hint(error, hint) } else { error }
}

/// Where the kernel's file systems and the devices go. No image chooses another place for them by a link: what else is put in
/// its place would be masked in another (CVE-2019-19921, CVE-2023-27561).
const FIXED: [&str; 7] = ["/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys", "/sys/fs/cgroup"];

/// Whether `path` is a place that no link leads to.
pub fn is_fixed(path: &Path) -> bool {
    FIXED.iter().any(|fixed| path == Path::new(fixed))
}

/// Refuses what is in the place of one.
pub fn not_ordinary(what: &str) -> anyhow::Error {
    let error = anyhow!("{what} must be mounted on ordinary directory");
    with_hint(error, "in the root file system there is a link or a file in its place: remove it")
}

/// Why `path` cannot be opened inside the root.
pub fn not_opened(errno: Errno, path: &Path) -> anyhow::Error {
    let error = anyhow::Error::new(errno).context(format!("open {} in the rootfs", path.display()));
    match errno {
        Errno::ELOOP => with_hint(error.context("a link is in its way, or leads nowhere"), LINK_HINT),
        Errno::EACCES => {
            with_hint(error, "each directory on the way, the root file system's own too, has to be open to you")
        }
        _ => error,
    }
}

/// RESOLVE_IN_ROOT answers EAGAIN when something was renamed meanwhile on the way of a `..` (openat2(2)).
fn retry(open: impl Fn() -> nix::Result<OwnedFd>) -> nix::Result<Brief> {
    for _ in 0..128 {
        match open() {
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            other => return other.map(Brief::from),
        }
    }
    Err(Errno::EAGAIN)
}

fn names(path: &Path) -> Vec<OsString> {
    let part = |c: Component| match c {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    };
    path.components().filter_map(part).collect()
}

/// Opens the child `name` of `dir` itself, a link as a link.
fn open_child(dir: BorrowedFd, name: &OsStr) -> nix::Result<(Brief, FileStat)> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let fd = Brief::from(nix::fcntl::openat(dir, name, flags, Mode::empty())?);
    let stat = fstat(&fd)?;
    Ok((fd, stat))
}

fn make_child(dir: BorrowedFd, name: &OsStr, what: Missing) -> nix::Result<(Brief, FileStat)> {
    let made = match what {
        Missing::Directory(mode) => mkdirat(dir, name, Mode::from_bits_truncate(mode)),
        Missing::File => mknodat(dir, name, SFlag::S_IFREG, Mode::from_bits_truncate(0o644), 0),
    };
    match made {
        // Somebody else who shares the rootfs was faster: what is there now decides.
        Ok(()) | Err(Errno::EEXIST) => open_child(dir, name),
        Err(e) => Err(e),
    }
}

/// Whether the file is of type `kind`.
pub fn is(stat: &FileStat, kind: SFlag) -> bool {
    stat.st_mode & SFlag::S_IFMT.bits() == kind.bits()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};

    fn scratch(name: &str) -> (PathBuf, Root) {
        let dir = std::env::temp_dir().join(format!("rrunc-root-{name}-{}", std::process::id()));
        fs::remove_dir_all(&dir).ok();
        fs::create_dir_all(dir.join("rootfs")).unwrap();
        let fd = nix::fcntl::open(&dir.join("rootfs"), OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).unwrap();
        (dir, Root::new(fd.into(), false))
    }

    #[test]
    fn links_out_of_the_root_stay_in_it() {
        let (dir, root) = scratch("links");
        let inside = dir.join("rootfs");
        fs::create_dir(inside.join("etc")).unwrap();
        symlink("/etc", inside.join("absolute")).unwrap();
        symlink("../../../../etc", inside.join("climbing")).unwrap();
        symlink("/new/deep/place", inside.join("dangling")).unwrap();
        symlink("loop2", inside.join("loop1")).unwrap();
        symlink("loop1", inside.join("loop2")).unwrap();
        let ino = |path: &Path| fs::metadata(path).unwrap().ino();
        for way in ["absolute", "/climbing", "x/../etc"] {
            let (fd, _) = root.ensure(Path::new(way), Missing::Directory(0o755)).unwrap();
            assert_eq!(fstat(&fd).unwrap().st_ino, ino(&inside.join("etc")), "{way}");
        }
        let (_, made) = root.ensure(Path::new("/dangling/file"), Missing::File).unwrap();
        assert!(made && inside.join("new/deep/place/file").is_file());
        let (_, made) = root.ensure(Path::new("/absolute/../../../a"), Missing::Directory(0o711)).unwrap();
        assert!(made && inside.join("a").is_dir());
        assert!(!dir.join("a").exists() && !dir.join("new").exists());
        assert!(root.ensure(Path::new("/loop1/x"), Missing::File).is_err());
        assert_eq!(root.without_links(Path::new("/absolute"), OFlag::empty()).unwrap_err(), Errno::ELOOP);
        fs::remove_dir_all(dir).unwrap();
    }
}
