//! The roles that this binary plays for its tests: rrunc, the program inside, a session, an interactive shell.
use super::look::modes;
use nix::pty::{OpenptyResult, PtyMaster, posix_openpt};
use nix::sys::signal::{SigSet, Signal, killpg};
use nix::sys::termios::LocalFlags;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, tcsetpgrp};
use rrunc::supervise::{Supervised, supervise};
use rrunc::sys::{pidfd, signal, terminal};
use rrunc::watchdog::{Kernel, Limits};
use rrunc::{console, relay};
use std::fs::File;
use std::io::{Read, stdin};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

pub fn role(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env("ROLE", name);
    command
}

pub fn pty() -> OpenptyResult {
    let master: PtyMaster = posix_openpt(nix::fcntl::OFlag::O_RDWR | nix::fcntl::OFlag::O_NOCTTY).unwrap();
    let master = OwnedFd::from(master);
    let master = master.try_clone().unwrap();
    terminal::unlock(master.as_fd()).unwrap();
    let slave = terminal::peer(master.as_fd()).unwrap();
    OpenptyResult { master, slave }
}

pub fn supervised() -> u8 {
    let subreaper = std::env::var_os("SUBREAPER").is_some();
    nix::sys::prctl::set_child_subreaper(subreaper).unwrap();
    signal::block_all().unwrap();
    let (master, child) = if std::env::var_os("NO_PTY").is_some() {
        (None, role("payload").spawn().unwrap())
    } else {
        let OpenptyResult { master, slave } = pty();
        // Before the payload can ask for it, as `run` does.
        relay::copy_window_size(master.as_fd()).unwrap();
        let mut command = role("payload");
        let (out, err) = (slave.try_clone().unwrap(), slave.try_clone().unwrap());
        (Some(master), command.stdin(slave).stdout(out).stderr(err).spawn().unwrap())
    };
    let pid = Pid::from_raw(child.id().cast_signed());
    let pidfd = pidfd::open(pid).unwrap();
    let limits = Limits::default();
    let pidfd = pidfd.as_fd();
    let ended = supervise(Supervised {
        pid,
        pidfd,
        master,
        only_terminals: false,
        subreaper,
        reaper: false,
        notify: None,
        names: None,
        kernel: Kernel::default(),
        limits,
        covers: None,
    });
    u8::try_from(ended.unwrap().status).unwrap()
}

pub fn payload() -> u8 {
    if std::env::var_os("NO_PTY").is_none() {
        console::become_controlling().unwrap();
    }
    SigSet::empty().thread_set_mask().unwrap();
    panic!("{}", Command::new("sh").arg("-c").arg(std::env::var("SCRIPT").unwrap()).exec());
}

pub fn session() -> u8 {
    nix::unistd::setsid().unwrap();
    terminal::set_controlling(stdin().as_fd()).unwrap();
    panic!("{}", role(&std::env::var("THEN").unwrap()).exec());
}

/// An interactive shell's part: the job in its own process group, told of on stderr when it stops and ends.
pub fn jobs() -> u8 {
    let mut ttou = SigSet::empty();
    ttou.add(Signal::SIGTTOU);
    ttou.thread_block().unwrap();
    let foreground = |group| tcsetpgrp(stdin(), group).unwrap();
    let mut command = role("supervised");
    #[expect(clippy::zombie_processes, reason = "waitpid below tells of stops too")]
    let job = command.process_group(0).spawn().unwrap();
    let job = Pid::from_raw(job.id().cast_signed());
    let background = std::env::var_os("BACKGROUND").is_some();
    if background {
        eprintln!("background");
        // The test says on a pipe of its own, not on the terminal, when to go on.
        let mut go = File::open(std::env::var("GO").unwrap()).unwrap();
        go.read_exact(&mut [0]).unwrap();
    }
    foreground(job);
    loop {
        match waitpid(job, Some(WaitPidFlag::WUNTRACED)).unwrap() {
            WaitStatus::Stopped(..) => {
                foreground(nix::unistd::getpgrp());
                eprintln!("stopped");
                foreground(job);
                killpg(job, Signal::SIGCONT).unwrap();
            }
            WaitStatus::Exited(_, code) => return u8::try_from(code).unwrap(),
            other => panic!("{other:?}"),
        }
    }
}

pub fn panicking() -> u8 {
    let OpenptyResult { master, .. } = pty();
    // As in a release build, where a panic runs no destructor: only the hook is left.
    std::mem::forget(relay::Relay::start(master, false).unwrap());
    assert!(!modes(stdin().as_fd()).local_flags.contains(LocalFlags::ICANON));
    panic!("on purpose");
}

pub fn masked() -> u8 {
    let mut usr1 = SigSet::empty();
    usr1.add(Signal::SIGUSR1);
    usr1.thread_set_mask().unwrap();
    signal::block_all().unwrap();
    assert!(SigSet::thread_get_mask().unwrap().contains(Signal::SIGTERM));
    signal::stop_ignoring(&std::fs::read_to_string("/proc/self/status").unwrap()).unwrap();
    signal::start_program().unwrap();
    panic!("{}", Command::new("grep").args(["Sig", "/proc/self/status"]).exec());
}
