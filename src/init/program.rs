//! The program: its place, its home and its working directory, all found inside the container with the credentials
//! it will have, so that "not found" is known at `create`.
use super::root::LINK_HINT;
use crate::error::{NotExecuted, WithHint, errno_of};
use crate::plan::Process;
use crate::sys::process::getcwd;
use anyhow::{Context, Result, anyhow, bail};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, open};
use nix::sys::stat::{Mode, SFlag, fstat, stat};
use nix::unistd::{AccessFlags, access, chdir, faccessat};
use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// No real /etc/passwd comes near it; the file is the image's.
const MAX_PASSWD: u64 = 4 << 20;

/// Where programs are looked for without PATH: execvp(3) in the C library has these two.
const DEFAULT_PATH: &[u8] = b"/bin:/usr/bin";

/// Enters the working directory and makes sure that it is one of the container: a descriptor of the host that has
/// leaked would otherwise give a way out (CVE-2024-21626). `real`: no link may have been on the way, so it is where its name
/// says.
pub fn enter_cwd(cwd: &CStr, real: bool) -> Result<()> {
    let entered =
        chdir(cwd).with_context(|| format!("chdir to cwd ({:?}) set in config.json failed", cwd.to_string_lossy()));
    match entered.as_ref().err().and_then(errno_of) {
        Some(Errno::EACCES) => entered.hint(|| {
            "the container's user may not enter it: open it and each directory above to him, the root file system's own too \
             (chmod o+x)"
        })?,
        Some(Errno::ENOTDIR) => entered.hint(|| "process.cwd of config.json, or --cwd of exec, names a file")?,
        _ => entered?,
    }
    if cwd == c"/" {
        return Ok(());
    }
    match getcwd() {
        Ok(path) if path.first() == Some(&b'/') => match Path::new(OsStr::from_bytes(&path)) {
            path if real && path != Path::new(OsStr::from_bytes(cwd.to_bytes())) => {
                Err(anyhow!("a link has led from cwd ({:?}) to {}", cwd.to_string_lossy(), path.display()))
                    .hint(|| LINK_HINT)
            }
            _ => Ok(()),
        },
        Ok(_) | Err(Errno::ENOENT) => bail!(
            "current working directory is outside of container mount namespace root -- possible container breakout \
             detected"
        ),
        Err(e) => Err(e).context("getcwd"),
    }
}

/// Finds what to execute, as execvp(3) would with the container's PATH. The messages are those that podman and Docker
/// read exit codes from.
pub fn find(plan: &Process) -> Result<CString> {
    let name = plan.args.first().context("args must not be empty")?;
    let text = name.to_string_lossy();
    if name.as_bytes().contains(&b'/') {
        return match executable(name) {
            Ok(()) => Ok(name.clone()),
            Err(Errno::ENOENT | Errno::ENOTDIR) => {
                not_executed(Errno::ENOENT, format!("exec: {text:?}: stat {text}: no such file or directory"))
            }
            Err(Errno::EACCES | Errno::EPERM) => denied(&text),
            Err(e) => not_executed(e, format!("exec: {text:?}: {}", e.desc())),
        };
    }
    let path = variable(&plan.env, "PATH").unwrap_or(DEFAULT_PATH);
    let mut found = false;
    for dir in path.split(|b| *b == b':').filter(|_| !text.is_empty()) {
        let dir = if dir.is_empty() { Path::new(".") } else { Path::new(OsStr::from_bytes(dir)) };
        let candidate = CString::new(dir.join(OsStr::from_bytes(name.as_bytes())).as_os_str().as_bytes())?;
        match executable(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(Errno::EACCES | Errno::EPERM) => found = true,
            Err(_) => {}
        }
    }
    if found {
        return denied(&text);
    }
    let missing = not_executed(Errno::ENOENT, format!("exec: {text:?}: executable file not found in $PATH"));
    let path = String::from_utf8_lossy(path);
    missing.hint(|| format!("PATH in the container is {path}; is the program in its root file system?"))
}

fn denied(text: &str) -> Result<CString> {
    not_executed(Errno::EACCES, format!("exec: {text:?}: permission denied")).hint(
        || "the container's user needs a file there that he may execute (chmod +x), and its directories open to him",
    )
}

fn not_executed<T>(errno: Errno, text: String) -> Result<T> {
    Err(NotExecuted { errno, text }.into())
}

fn executable(file: &CStr) -> nix::Result<()> {
    if stat(file)?.st_mode & SFlag::S_IFMT.bits() != SFlag::S_IFREG.bits() {
        return Err(Errno::EACCES);
    }
    match faccessat(AT_FDCWD, file, AccessFlags::X_OK, AtFlags::AT_EACCESS) {
        // A filter around rrunc that does not know faccessat2(2) of Linux 5.8. Our real ids are the effective ones, so the older
        // call says nearly the same, and execve will know.
        Err(Errno::EPERM) => access(file, AccessFlags::X_OK),
        known => known,
    }
}

fn variable<'e>(env: &'e [CString], name: &str) -> Option<&'e [u8]> {
    env.iter().find_map(|entry| entry.as_bytes().strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

/// The environment with HOME completed from the container's /etc/passwd, or `/` for a user it does not know.
pub fn environment(plan: &Process) -> Vec<CString> {
    let mut env = plan.env.clone();
    if variable(&env, "HOME").is_some_and(|home| !home.is_empty()) {
        return env;
    }
    let home = home_of(plan.uid).unwrap_or_else(|| PathBuf::from("/"));
    env.retain(|entry| !entry.as_bytes().starts_with(b"HOME="));
    if let Ok(entry) = CString::new([b"HOME=", home.as_os_str().as_bytes()].concat()) {
        env.push(entry);
    }
    env
}

fn home_of(uid: u32) -> Option<PathBuf> {
    // The image chooses what is at this path: a fifo must not hold us up, a device not feed us.
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let fd = open("/etc/passwd", flags, Mode::empty()).ok()?;
    if fstat(&fd).ok()?.st_mode & SFlag::S_IFMT.bits() != SFlag::S_IFREG.bits() {
        return None;
    }
    let mut text = Vec::new();
    File::from(fd).take(MAX_PASSWD).read_to_end(&mut text).ok()?;
    text.split(|byte| *byte == b'\n').find_map(|line| {
        // Names and comments are of any bytes.
        let mut fields = line.strip_suffix(b"\r").unwrap_or(line).split(|byte| *byte == b':');
        let own = str::from_utf8(fields.nth(2)?).ok()?.parse() == Ok(uid);
        fields.nth(2).filter(|home| own && home.starts_with(b"/")).map(|home| PathBuf::from(OsStr::from_bytes(home)))
    })
}
