//! Who calls `rrunc sandbox`, and from where.
use crate::error::WithHint;
use crate::host::{home_of, user_name};
use anyhow::{Context, Result, anyhow};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use nix::sys::stat::{Mode, umask};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// What is known of the caller, taken once.
pub struct Caller {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Login name.
    pub name: String,
    /// Home directory, without links.
    pub home: PathBuf,
    /// The one of the account, whatever HOME says: secrets are there as well.
    pub account_home: Option<PathBuf>,
    /// Working directory, without links.
    pub cwd: PathBuf,
    /// Environment.
    pub env: Vec<(OsString, OsString)>,
    /// Some standard stream is a terminal: the program gets one of its own.
    pub terminal: bool,
    /// File mode creation mask.
    pub umask: u32,
}

impl Caller {
    /// The caller of this process.
    pub fn probe() -> Result<Caller> {
        refuse_directories()?;
        let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let name = user_name(&passwd, uid).map_or_else(|| format!("user{uid}"), str::to_owned);
        let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
        let home = home.and_then(|home| home.canonicalize().ok()).filter(|home| home != Path::new("/"));
        let account_home = home_of(&passwd, uid).and_then(|home| Path::new(home).canonicalize().ok());
        let account_home = account_home.filter(|home| home != Path::new("/"));
        let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
        let streams = [stderr.as_fd(), stdout.as_fd(), stdin.as_fd()];
        let terminal = streams.iter().any(|stream| stream.is_terminal());
        Ok(Caller {
            uid,
            gid,
            home: home.or_else(|| account_home.clone()).unwrap_or_else(|| PathBuf::from("/home").join(&name)),
            account_home,
            name,
            cwd: std::env::current_dir()
                .context("current directory")
                .hint(|| "it has been removed: change into another")?,
            env: std::env::vars_os().collect(),
            terminal,
            umask: own_umask().bits(),
        })
    }

    /// The value of an environment variable.
    pub fn variable(&self, name: impl AsRef<OsStr>) -> Option<&OsStr> {
        self.env.iter().find(|(known, _)| known == name.as_ref()).map(|(_, value)| value.as_os_str())
    }

    /// The file that the caller's PATH has by this name.
    pub fn program(&self, name: &Path) -> Option<PathBuf> {
        let dirs = std::env::split_paths(self.variable("PATH")?).filter(|dir| dir.is_absolute());
        dirs.map(|dir| dir.join(name)).find(|path| path.is_file())
    }

    /// The absolute path that an environment variable holds.
    pub fn path_in(&self, name: &str) -> Option<&Path> {
        self.variable(name).map(Path::new).filter(|path| path.is_absolute())
    }
}

/// The hard limit of a resource, which nobody here can raise; None when there is none.
pub fn hard_limit(resource: Resource) -> Result<Option<u64>> {
    let (_, hard) = getrlimit(resource).with_context(|| format!("{resource:?}"))?;
    Ok(Some(hard).filter(|hard| *hard != RLIM_INFINITY))
}

/// There is no way to only ask for it.
fn own_umask() -> Mode {
    let mask = umask(Mode::empty());
    umask(mask);
    mask
}

/// A directory on a standard stream would be a way out of the sandbox, through /proc/self/fd.
fn refuse_directories() -> Result<()> {
    for (fd, name) in ["stdin", "stdout", "stderr"].iter().enumerate() {
        let mode = crate::sys::descriptor::stat(fd as i32).with_context(|| (*name).to_owned())?.st_mode;
        if mode & libc::S_IFMT == libc::S_IFDIR {
            return Err(anyhow!("{name} is a directory of the host")).hint(|| "redirect it from /dev/null or a file");
        }
    }
    Ok(())
}
