//! Attacks by system calls: capabilities, the filter, privileges, mounts, namespaces, Landlock.
use super::super::attempt::Attempt;
use super::{of_row, status, tried};
use crate::sys::clone::{Cloned, clone};
use crate::sys::mount::{FsContext, clone_tree};
use crate::sys::{attempt, capability, landlock, pidfd, prctl, process};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::Mode;
use nix::sys::statvfs::{FsFlags, statvfs};
use std::fs::{self, OpenOptions, Permissions};
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};

pub fn capabilities() -> Vec<Attempt> {
    let set = |name: &str| {
        let value = status(name);
        Attempt::new(format!("hold capabilities in {name}"), value.bytes().any(|digit| digit != b'0'), value)
    };
    // None from which a program could get one back; nor the right to use one.
    let bounding = Attempt { lesser: true, ..set("CapBnd") };
    let name = nix::unistd::gethostname().unwrap_or_default();
    let none = capability::raise_ambient(0);
    vec![
        set("CapPrm"),
        set("CapEff"),
        set("CapAmb"),
        bounding,
        tried("raise an ambient capability", none),
        tried("set the host name", nix::unistd::sethostname(name)),
        tried("change the root directory", nix::unistd::chroot("/")),
    ]
}

pub fn seccomp() -> Vec<Attempt> {
    let mode = status("Seccomp");
    let filtered = Attempt::new("run without a filter", mode != "2", format!("mode {mode}"));
    let calls = attempt::forbidden_calls().into_iter().map(|(name, result)| tried(format!("call {name}"), result));
    let mut all = of_row("14", std::iter::once(filtered).chain(calls).collect());
    all.push(tried("leave a set-user-id file", set_id("set-id")).of("10b"));
    all
}

/// Makes such a file by each of two calls, and takes it away again.
fn set_id(path: &str) -> std::io::Result<()> {
    const MODE: u32 = 0o4755;
    let born = OpenOptions::new().write(true).create(true).mode(MODE).open(path).map(drop);
    let changed = fs::File::create(path).and_then(|_| fs::set_permissions(path, Permissions::from_mode(MODE)));
    let mode = fs::metadata(path)?.permissions().mode();
    fs::remove_file(path)?;
    if mode & MODE == MODE { Ok(()) } else { born.and(changed).and(Err(ErrorKind::PermissionDenied.into())) }
}

pub fn privileges() -> Vec<Attempt> {
    let flag = status("NoNewPrivs");
    let nosuid = |path: &str| statvfs(path).is_ok_and(|fs| fs.flags().contains(FsFlags::ST_NOSUID));
    let setgroups = fs::read_to_string("/proc/self/setgroups").unwrap_or_default();
    let setgroups = setgroups.trim_end();
    vec![
        Attempt::new("run without no_new_privs", flag != "1", format!("it is {flag}")).of("10"),
        Attempt::lesser("use the setuid bits in /usr", !nosuid("/usr"), "by how it is mounted").of("10"),
        tried("drop the groups that something is closed to", process::setgroups(&[])).of("27"),
        Attempt::lesser("be where groups may be dropped", setgroups != "deny", format!("it is {setgroups:?}")).of("27"),
    ]
}

pub fn mounts() -> Vec<Attempt> {
    let none = None::<&str>;
    let read_only = MsFlags::MS_REMOUNT | MsFlags::MS_BIND;
    let follows = following();
    let root = openat(AT_FDCWD, "/", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty());
    let all = vec![
        tried("mount a tmpfs", mount(Some("none"), "/tmp", Some("tmpfs"), MsFlags::empty(), none)),
        tried("make /usr writable", mount(none, "/usr", none, read_only, none)),
        tried("take a mount away", umount2("/tmp", MntFlags::MNT_DETACH)),
        tried("open a file system (fsopen)", FsContext::open(c"tmpfs")),
        tried("clone a mount tree (open_tree)", root.and_then(|root| clone_tree(root.as_fd(), true))),
        Attempt::new(
            "be where the host's later mounts appear",
            follows.is_some(),
            follows.unwrap_or_else(|| "all are private".to_owned()),
        ),
    ];
    of_row("15", all)
}

/// The first mount that follows others (mount_namespaces(7)).
fn following() -> Option<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let follows =
        |line: &&str| line.split(' ').skip(6).any(|word| word.starts_with("master:") || word.starts_with("shared:"));
    table.lines().find(follows).and_then(|line| Some(line.split(' ').nth(4)?.to_owned()))
}

pub fn namespaces() -> Vec<Attempt> {
    let cloned = match clone(CloneFlags::CLONE_NEWUSER) {
        Ok(Cloned::Child) => process::exit_now(0),
        Ok(Cloned::Parent(_, child)) => pidfd::wait_ended(child.as_fd(), 10_000).map(drop),
        Err(e) => Err(e),
    };
    let all = vec![
        tried("make a user namespace (clone3)", cloned),
        tried("make a user namespace (unshare)", unshare(CloneFlags::CLONE_NEWUSER)),
        tried("make a mount namespace (unshare)", unshare(CloneFlags::CLONE_NEWNS)),
    ];
    of_row("16", all)
}

/// A process can be under sixteen Landlock domains. Who can add sixteen of its own is under none.
pub fn landlock_domain() -> Attempt {
    const MOST: usize = 16;
    let what = "be under no Landlock domain";
    if landlock::abi() == 0 {
        return Attempt::new(what, true, "the kernel has no Landlock");
    }
    if let Err(e) = prctl::set_no_new_privs() {
        return Attempt::new(what, true, e.desc());
    }
    let mut added = 0;
    let last = loop {
        match attempt::landlock_layer() {
            Ok(()) if added == MOST => break Errno::E2BIG,
            Ok(()) => added += 1,
            Err(e) => break e,
        }
    };
    match last {
        Errno::E2BIG if added < MOST => Attempt::new(what, false, format!("there are {}", MOST - added)),
        Errno::E2BIG => Attempt::new(what, true, "none is in force"),
        other => Attempt::new(what, true, format!("not to be found out: {}", other.desc())),
    }
}
