//! Attacks on processes: those of the host, and the end that a sandbox has with its rrunc.
use super::super::attempt::Attempt;
use super::{Bait, of_row, pids, tried};
use crate::sys::clone::{Cloned, fork};
use crate::sys::{process, signal};
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::{Read, Write};

pub fn seen(bait: &Bait) -> Vec<Attempt> {
    let named =
        |pid: &i32| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim_end() == bait.process);
    let found = pids().into_iter().find(named);
    let killed = match found {
        // The host sees what comes of it.
        Some(pid) => kill(Pid::from_raw(pid), Signal::SIGTERM),
        None => Err(Errno::ESRCH),
    };
    let detail = found.map_or("not in /proc".to_owned(), |pid| format!("pid {pid}"));
    let all =
        vec![Attempt::new("see a process of the host", found.is_some(), detail), tried("send a signal to it", killed)];
    of_row("7", all)
}

/// Does what a program can to be there when its rrunc has been killed, says so, and stays until its input ends.
pub fn outlive() -> Result<String> {
    prctl::set_pdeathsig(None).context("PR_SET_PDEATHSIG")?;
    signal::block_all().context("block signals")?;
    if let Cloned::Child = fork().context("fork")? {
        let settled =
            nix::unistd::setsid().map_err(std::io::Error::from).and_then(|_| std::io::stdout().write_all(b"+\n"));
        process::exit_now(i32::from(settled.and_then(|()| wait_for_end()).is_err()))
    }
    wait_for_end().context("wait")?;
    Ok(String::new())
}

fn wait_for_end() -> std::io::Result<()> {
    std::io::stdin().read(&mut [0]).map(drop)
}
