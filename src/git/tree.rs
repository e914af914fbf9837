//! What lies below a directory that sandboxes may write, looked at and read: no link leads out of it, nobody waits for a
//! fifo, and nothing is larger than expected.
use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat2, readlinkat};
use nix::sys::stat::{FileStat, fstatat};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

/// A name that changes while it is resolved is tried this often.
const TRIES: usize = 8;

/// The directory, which stays the same whatever its name leads to by then.
pub struct Tree {
    path: PathBuf,
    dir: OwnedFd,
}

/// What there is at a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// Device and inode.
    pub identity: (u64, u64),
    /// When anything of it was changed last, in nanoseconds: the kernel's own word, which nobody can set.
    pub changed: i128,
    /// Its kind (S_IFMT) and who may do what.
    pub mode: u32,
    /// Whose it is.
    pub uid: u32,
    /// Its size.
    pub size: u64,
}

impl Meta {
    /// A directory.
    pub fn is_dir(&self) -> bool {
        self.is(libc::S_IFDIR)
    }

    /// A regular file.
    pub fn is_file(&self) -> bool {
        self.is(libc::S_IFREG)
    }

    /// A symbolic link.
    pub fn is_link(&self) -> bool {
        self.is(libc::S_IFLNK)
    }

    fn is(&self, kind: u32) -> bool {
        self.mode & libc::S_IFMT == kind
    }
}

impl From<FileStat> for Meta {
    fn from(stat: FileStat) -> Meta {
        Meta {
            identity: (stat.st_dev, stat.st_ino),
            changed: i128::from(stat.st_ctime) * 1_000_000_000 + i128::from(stat.st_ctime_nsec),
            mode: stat.st_mode,
            uid: stat.st_uid,
            size: stat.st_size.unsigned_abs(),
        }
    }
}

/// Where a path of a configuration or pointer leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Below the tree, as a path from its root.
    Inside(PathBuf),
    /// Elsewhere, where no program in the tree can change anything.
    Outside(PathBuf),
}

impl Place {
    /// What is called `name` in it.
    pub fn join(&self, name: &str) -> Place {
        match self {
            Place::Inside(dir) => Place::Inside(dir.join(name)),
            Place::Outside(dir) => Place::Outside(dir.join(name)),
        }
    }
}

impl Tree {
    /// The tree at `path`, an absolute path without links.
    pub fn open(path: &Path) -> Result<Tree> {
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        let dir = File::options().read(true).custom_flags(flags).open(path);
        let dir = dir.with_context(|| path.display().to_string())?.into();
        Ok(Tree { path: path.to_owned(), dir })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The whole path of what is at `at` in it.
    pub fn whole(&self, at: &Path) -> PathBuf {
        if at.as_os_str().is_empty() { self.path.clone() } else { self.path.join(at) }
    }

    /// What is at `at`, be it a link. To look at something costs nobody anything, wherever it is.
    pub fn meta(&self, at: &Path) -> Option<Meta> {
        fstatat(&self.dir, named(at), AtFlags::AT_SYMLINK_NOFOLLOW).ok().map(Meta::from)
    }

    /// What a link at `at` leads to, or what is there.
    pub fn target(&self, at: &Path) -> Option<Meta> {
        fstatat(&self.dir, named(at), AtFlags::empty()).ok().map(Meta::from)
    }

    /// What the link at `at` says.
    pub fn link(&self, at: &Path) -> Option<PathBuf> {
        readlinkat(&self.dir, at).ok().map(PathBuf::from)
    }

    /// The bytes of the regular file at `at`, at the most `most`. Links are followed as long as they stay in the tree.
    pub fn read(&self, at: &Path, most: usize) -> Result<Vec<u8>> {
        let file = self.enter(at, OFlag::O_RDONLY).with_context(|| self.whole(at).display().to_string())?;
        bytes(file, most).with_context(|| self.whole(at).display().to_string())
    }

    /// The first bytes of it, whatever its size.
    pub fn begin(&self, at: &Path, most: usize) -> Result<Vec<u8>> {
        let file = self.enter(at, OFlag::O_RDONLY)?;
        if !file.metadata()?.is_file() {
            bail!("it is no regular file");
        }
        let mut all = Vec::new();
        file.take(most as u64).read_to_end(&mut all)?;
        Ok(all)
    }

    /// The names in the directory at `at`, in order, at the most `most`.
    pub fn list(&self, at: &Path, most: usize) -> Result<Vec<OsString>> {
        let dir = self.enter(at, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
        let all = crate::sys::directory::entries(dir.as_fd())?;
        if all.len() > most {
            bail!("{} holds more than {most} files", self.whole(at).display());
        }
        let names = all.into_iter().map(|(name, _)| name).filter(|name| name != b"." && name != b"..");
        let mut names: Vec<_> = names.map(OsString::from_vec).collect();
        names.sort();
        Ok(names)
    }

    fn enter(&self, at: &Path, flags: OFlag) -> nix::Result<File> {
        let flags = flags | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let how =
            OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        let open = |at: &Path| {
            let mut tries = (0..TRIES).map(|_| openat2(&self.dir, named(at), how));
            tries.find(|found| !matches!(found, Err(Errno::EAGAIN))).unwrap_or(Err(Errno::EAGAIN))
        };
        match open(at) {
            // An absolute link is one to the kernel that leads out, and may lead in again.
            Err(Errno::EXDEV) => match self.place(&self.whole(at)) {
                Place::Inside(real) if real != at => open(&real),
                _ => Err(Errno::EXDEV),
            },
            found => found,
        }
        .map(File::from)
    }

    /// Where the absolute path leads, with the links that are on the way now; by its words, what is not there.
    pub fn place(&self, path: &Path) -> Place {
        let real = path.canonicalize().unwrap_or_else(|_| {
            let path = without_dots(path);
            let there = path.ancestors().find_map(|dir| Some((dir, dir.canonicalize().ok()?)));
            let missing = there.and_then(|(dir, real)| Some(real.join(path.strip_prefix(dir).ok()?)));
            missing.unwrap_or(path)
        });
        match real.strip_prefix(&self.path) {
            Ok(inside) => Place::Inside(inside.to_owned()),
            Err(_) => Place::Outside(real),
        }
    }
}

/// Names the root of a tree, too.
fn named(at: &Path) -> &Path {
    if at.as_os_str().is_empty() { Path::new(".") } else { at }
}

/// A path without `.` and `..`, by its words.
pub fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}

/// The bytes of a regular file of the user's own, which links may lead to.
pub fn read_own(path: &Path, most: usize) -> Result<Vec<u8>> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = fs::File::options().read(true).custom_flags(flags).open(path);
    file.map_err(anyhow::Error::from).and_then(|file| bytes(file, most)).with_context(|| path.display().to_string())
}

fn bytes(file: File, most: usize) -> Result<Vec<u8>> {
    if !file.metadata()?.is_file() {
        bail!("it is no regular file");
    }
    let mut all = Vec::new();
    file.take(most as u64 + 1).read_to_end(&mut all)?;
    if all.len() > most {
        bail!("it is larger than {most} bytes");
    }
    Ok(all)
}
