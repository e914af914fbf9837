//! A daemon under rootlesskit, as its users start it: in a user and mount namespace, with /etc and /run of its own.
use crate::lab::Lab;
use crate::support::{Running, find_program, wait_for};
use nix::sys::signal::Signal;
use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;

/// Ends it when dropped.
pub struct Daemon {
    /// Where clients reach it.
    pub socket: PathBuf,
    /// Where the runtime keeps the state of its containers, seen from here.
    pub state: PathBuf,
    /// Pid of the first process inside.
    pub child: String,
    running: RefCell<Option<Running>>,
}

impl Daemon {
    /// `rootlesskit OPTIONS sh -c COMMAND` in a cgroup of its own. `state` begins with /proc/CHILD/root if it is /run inside.
    pub fn start(lab: &Lab, name: &str, options: &str, command: &str, socket: PathBuf, state: &str) -> Daemon {
        let program = command.split(' ').find(|word| word.ends_with("erd")).expect("a daemon");
        assert!(find_program(program).is_some(), "{program} is not installed");
        let mut enter = String::new();
        if let Some(own) = &lab.cgroup {
            let group = own.join(name);
            fs::create_dir_all(&group).expect("make a cgroup");
            enter = format!("echo $$ > {}/cgroup.procs && ", group.display());
        }
        let dir = lab.dir().join(name);
        let kit = format!("rootlesskit --state-dir={}/kit --net=host --copy-up=/etc --copy-up=/run", dir.display());
        let mut running = lab.call(&format!("sh -c '{enter}exec {kit} {options} sh -c \"{command}\"'")).spawn();
        wait_for(&format!("{name}'s socket"), || {
            assert!(!running.ended(), "{name} does not run: {}", last_lines(&running.stderr()));
            fs::exists(&socket).is_ok_and(|there| there).then_some(())
        });
        let child = fs::read_to_string(dir.join("kit/child_pid")).expect("rootlesskit says who its child is");
        let state = match state.strip_prefix("/run") {
            Some(rest) => PathBuf::from(format!("/proc/{child}/root/run{rest}")),
            None => PathBuf::from(state),
        };
        Daemon { socket, state, child, running: RefCell::new(Some(running)) }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.signal(Signal::SIGTERM);
            running.wait();
        }
    }
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(4)..].join("\n")
}
