//! The descriptors handed through rrunc: a service manager's sockets and the caller's own `--preserve-fds`.
use crate::error::WithHint;
use crate::sys::descriptor;
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::FdFlag;
use nix::unistd::Pid;
use std::ffi::OsString;
use std::ops::Range;
use std::os::fd::RawFd;

/// The descriptors above 2 that the container's process gets, with their numbers as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedFds {
    /// Socket-activation descriptors first, then those of `--preserve-fds`; all others from 3 on are to be closed.
    pub kept: Range<RawFd>,
    /// `NAME=value`, to be added to the process's environment.
    pub env: Vec<String>,
}

/// Works out what to pass on: `listen` descriptors (0 for `exec`, else `listen_fds`), then `preserve` more, which must
/// be there. `inherited` says so of one number; outside of tests it is the function of that name.
pub fn passed_fds(listen: RawFd, preserve: RawFd, inherited: impl Fn(RawFd) -> nix::Result<()>) -> Result<PassedFds> {
    let first = 3 + listen;
    let end = first.checked_add(preserve).filter(|_| preserve >= 0).context("--preserve-fds: out of range")?;
    for fd in 3..first {
        inherited(fd).with_context(|| format!("unable to stat LISTEN_FDS descriptor {} (of {listen})", fd - 3))?;
    }
    for fd in first..end {
        inherited(fd)
            .with_context(|| {
                format!("unable to stat preserved-fd {} (of {preserve}): stat /proc/self/fd/{fd}", fd - first)
            })
            .hint(|| format!("--preserve-fds {preserve} takes the open descriptors {first} to {}", end - 1))?;
    }
    let env = if listen > 0 { vec![format!("LISTEN_FDS={listen}"), "LISTEN_PID=1".to_owned()] } else { Vec::new() };
    Ok(PassedFds { kept: 3..end, env })
}

/// What this process was asked to pass on: `--preserve-fds`, and socket-activation descriptors where `listen` is set.
pub fn passed(preserve: u32, listen: bool) -> Result<PassedFds> {
    let listen = if listen { listen_fds(|name| std::env::var_os(name), Pid::this) } else { 0 };
    passed_fds(listen, RawFd::try_from(preserve).context("--preserve-fds")?, inherited)
}

/// How many socket-activation descriptors the environment announces for process `own`; 0 when they are for another
/// process or the values make no sense (sd_listen_fds(3)).
fn listen_fds(variable: impl Fn(&str) -> Option<OsString>, own: impl Fn() -> Pid) -> RawFd {
    let number = |name| variable(name)?.to_str()?.parse::<RawFd>().ok();
    if number("LISTEN_PID").is_none_or(|pid| pid != own().as_raw()) {
        return 0;
    }
    // Beyond this no descriptor can be (fs.nr_open's highest value), and 3 + n must not overflow.
    number("LISTEN_FDS").filter(|n| (0..1 << 30).contains(n)).unwrap_or(0)
}

/// Whether rrunc was started with descriptor `fd` open; ENOENT if not.
///
/// What came through execve cannot be close-on-exec, and all of rrunc's own are: so none of those is ever passed on
/// because its number happens to fit.
pub fn inherited(fd: RawFd) -> nix::Result<()> {
    match descriptor::flags(fd) {
        Ok(flags) if !flags.contains(FdFlag::FD_CLOEXEC) => Ok(()),
        Ok(_) | Err(Errno::EBADF) => Err(Errno::ENOENT),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::one_line;
    use nix::fcntl::{FcntlArg, fcntl};
    use std::fs::File;
    use std::os::fd::AsRawFd;

    fn open_up_to(last: RawFd) -> impl Fn(RawFd) -> nix::Result<()> {
        move |fd| if fd <= last { Ok(()) } else { Err(Errno::ENOENT) }
    }

    #[test]
    fn sockets_come_first_and_preserved_descriptors_after_them() {
        let passed = passed_fds(2, 3, open_up_to(7)).unwrap();
        assert_eq!(passed, PassedFds { kept: 3..8, env: vec!["LISTEN_FDS=2".into(), "LISTEN_PID=1".into()] });
        assert_eq!(passed_fds(0, 0, open_up_to(2)).unwrap(), PassedFds { kept: 3..3, env: Vec::new() });
        let error = passed_fds(2, 3, open_up_to(6)).unwrap_err();
        let text = "unable to stat preserved-fd 2 (of 3): stat /proc/self/fd/7: No such file or directory";
        assert_eq!(one_line(&error), text);
        assert!(one_line(&passed_fds(1, 0, open_up_to(2)).unwrap_err()).starts_with("unable to stat LISTEN_FDS"));
        assert!(passed_fds(2, RawFd::MAX, |_| Ok(())).is_err());
        assert!(passed_fds(0, -1, |_| Ok(())).is_err());
    }

    #[test]
    fn sockets_for_another_process_are_not_ours() {
        let announced = |pid: &'static str, fds: &'static str| {
            let variable = move |name: &str| Some(OsString::from(if name == "LISTEN_PID" { pid } else { fds }));
            listen_fds(variable, || Pid::from_raw(42))
        };
        assert_eq!(announced("42", "2"), 2);
        assert_eq!(announced("43", "2"), 0);
        assert_eq!(announced("42", "-2"), 0);
        assert_eq!(announced("42", "two"), 0);
        assert_eq!(announced("42", "2147483647"), 0);
        assert_eq!(listen_fds(|_| None, || Pid::from_raw(42)), 0);
    }

    #[test]
    fn a_descriptor_of_our_own_was_not_inherited() {
        let own = File::open("/dev/null").unwrap();
        assert_eq!(inherited(own.as_raw_fd()), Err(Errno::ENOENT));
        fcntl(&own, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
        assert_eq!(inherited(own.as_raw_fd()), Ok(()));
        assert_eq!(inherited(1 << 29), Err(Errno::ENOENT));
    }
}
