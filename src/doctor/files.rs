//! File systems: /proc, overlayfs and id-mapped tmpfs in a user namespace, each mounted for real.
use super::Finding;
use super::namespaces::found;
use super::probe::{Failure, Probed, Step, probe};
use super::settings::{Settings, read};
use crate::host::IdMap;
use crate::init::idmap;
use crate::init::procfs::Procfs;
use crate::plan::idmap::IdMapping;
use crate::sys::descriptor::Brief;
use crate::sys::mount::{FsContext, move_mount};
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sched::CloneFlags;
use nix::sys::stat::Mode;
use std::fs;
use std::os::fd::AsFd;

/// Any directory will do in a mount namespace of one's own.
const PLACE: &str = "/tmp";

fn own_mounts() -> CloneFlags {
    CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS
}

fn tmpfs() -> Result<Brief, Failure> {
    FsContext::open(c"tmpfs").and_then(|context| context.mount(0)).step("mount a tmpfs")
}

/// Mounts a new tmpfs over /tmp, in the way containers get their mounts.
pub fn attach_tmpfs() -> Result<(), Failure> {
    let place = openat(AT_FDCWD, PLACE, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).step("open /tmp")?;
    move_mount(tmpfs()?.as_fd(), place.as_fd()).step("attach a tmpfs")
}

/// A new procfs, which the kernel allows only where nothing covers a part of the caller's own.
pub fn proc_mount(settings: &Settings) -> Finding {
    let made = probe(own_mounts() | CloneFlags::CLONE_NEWPID, || {
        settings.ids.become_root()?;
        FsContext::open(c"proc").and_then(|context| context.mount(0)).step("mount")?;
        Ok("mounted in a pid namespace of its own".to_owned())
    });
    found(made, |line| {
        let mountinfo = read("/proc/self/mountinfo");
        let covers = covers(&mountinfo);
        let detail = match covers.len() {
            0 => line,
            n => format!("{line} (/proc is masked: {n} mounts cover parts of it, such as {})", covers[0]),
        };
        Finding::missing(
            detail,
            "containers with a pid namespace of their own do not start; sandboxes do with `--allow-weaker proc`",
            "start the container around with docker's `--security-opt systempaths=unconfined`, or podman's \
             `--security-opt unmask=/proc/*`",
        )
    })
}

/// The mount points below /proc.
fn covers(mountinfo: &str) -> Vec<&str> {
    mountinfo.lines().filter_map(|line| line.split(' ').nth(4)).filter(|path| path.starts_with("/proc/")).collect()
}

/// An overlay of two directories, in which a file of the lower one is changed.
pub fn overlayfs(settings: &Settings) -> Finding {
    let made = probe(own_mounts(), || {
        settings.ids.become_root()?;
        attach_tmpfs()?;
        overlay_in_place()
    });
    found(made, |line| {
        let effect = "configurations with a mount of type overlay do not start; rrunc itself needs none";
        Finding::missing(
            line,
            effect,
            "sudo modprobe overlay && echo overlay | sudo tee /etc/modules-load.d/overlay.conf",
        )
    })
}

fn overlay_in_place() -> Probed {
    for dir in ["lower", "upper", "work", "merged"] {
        fs::create_dir(format!("{PLACE}/{dir}")).step("mkdir")?;
    }
    fs::write(format!("{PLACE}/lower/file"), "lower").step("write")?;
    let context = FsContext::open(c"overlay").step("open overlay")?;
    let options = [(c"lowerdir", c"/tmp/lower"), (c"upperdir", c"/tmp/upper"), (c"workdir", c"/tmp/work")];
    for (key, value) in options {
        context.set(key, Some(value)).step("configure")?;
    }
    context.set(c"userxattr", None).step("configure")?;
    let mount = context.mount(0).step("mount")?;
    let place = openat(AT_FDCWD, "/tmp/merged", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).step("open")?;
    move_mount(mount.as_fd(), place.as_fd()).step("attach")?;
    fs::write(format!("{PLACE}/merged/file"), "upper").step("change a file")?;
    match fs::read_to_string(format!("{PLACE}/lower/file")).step("read")?.as_str() {
        "lower" => Ok("mounted, and a file changed in its upper layer".to_owned()),
        _ => Err(Failure::plain("change a file", "the lower layer was changed")),
    }
}

/// A tmpfs whose ids are mapped.
pub fn idmapped_tmpfs(settings: &Settings) -> Finding {
    let made = probe(own_mounts(), || {
        settings.ids.become_root()?;
        let map = || vec![IdMap { inside: 0, outside: 0, size: 1 }];
        let mapping = IdMapping { uid: map(), gid: map(), recursive: false };
        let proc = Procfs::open().step("open /proc")?;
        idmap::map(tmpfs()?.as_fd(), &mapping, &proc).step("map it")?;
        Ok("made".to_owned())
    });
    found(made, |line| {
        let effect = "configurations with an id-mapped tmpfs do not start; others do";
        Finding::missing(line, effect, "administrator: boot Linux 6.3 or newer")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_covers_proc_is_found() {
        let text = "22 1 0:5 / /proc rw - proc proc rw\n23 22 0:6 / /proc/kcore rw - tmpfs tmpfs rw\n\
                    24 1 0:7 / /process rw - x x rw\n";
        assert_eq!(covers(text), ["/proc/kcore"]);
    }
}
