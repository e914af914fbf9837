//! cgroup v2: whether a group below our own may be made *and entered*, which file permissions alone do not tell.
use super::Finding;
use super::probe::{Step, probe};
use super::settings::{Settings, read};
use crate::cgroup::place::{SCOPE, Tree, lacking};
use crate::systemd;
use nix::errno::Errno;
use nix::sched::CloneFlags;
use std::fs;
use std::path::Path;

const WITHOUT: &str = "no limit of memory, processes and processor time for all of a container, and no pause";
/// What limits of a container are made of.
const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];

/// A group made in our own one, entered by a child, and removed again.
pub fn delegation(settings: &Settings) -> Finding {
    let unified = settings.boot_with("systemd.unified_cgroup_hierarchy=1");
    let Some(Tree { own, .. }) = Tree::find().filter(Tree::has_own) else {
        return Finding::missing("no cgroup2 file system is mounted", WITHOUT, unified);
    };
    let lacking = lacking(&own, "cgroup.controllers", &CONTROLLERS).join(", ");
    // Beside hierarchies of version 1, which have the controllers, there are none for this one.
    let cgroup = read("/proc/self/cgroup");
    if cgroup.lines().any(|line| line.split(':').nth(1).is_some_and(|held| CONTROLLERS.contains(&held))) {
        let detail = format!("{}: cgroups of version 1 hold the controllers", own.display());
        return Finding::missing(detail, WITHOUT, unified);
    }
    match enter_child_of(&own) {
        Err((step, errno)) => {
            let detail = format!("{}: {step}: {}", own.display(), errno.desc());
            if systemd::look().is_ok() {
                let detail = format!("{detail}; limits take a scope of your systemd");
                return Finding::weaker(
                    detail,
                    "a container without limits has no cgroup, so no pause",
                    scope(settings),
                );
            }
            Finding::missing(detail, WITHOUT, scope(settings))
        }
        Ok(()) if lacking.is_empty() => {
            let controllers = read(own.join("cgroup.controllers"));
            Finding::ok(format!("{}: {}", own.display(), controllers.trim()))
        }
        Ok(()) => Finding::weaker(
            own.display().to_string(),
            &format!("no limits by {lacking}"),
            "sudo mkdir -p /etc/systemd/system/user@.service.d && printf '[Service]\\nDelegate=cpu cpuset io memory \
             pids\\n' | sudo tee /etc/systemd/system/user@.service.d/delegate.conf && sudo systemctl daemon-reload, \
             then log in again",
        ),
    }
}

/// Below the user's systemd there is a delegated tree: a shell of a login is not in it, a scope is.
fn scope(settings: &Settings) -> String {
    let service = format!("/sys/fs/cgroup/user.slice/user-{0}.slice/user@{0}.service", settings.uid);
    if !settings.systemd {
        let group = format!("/sys/fs/cgroup/{}", settings.user);
        return format!(
            "sudo mkdir {group} && sudo chown -R {} {group} && echo $$ | sudo tee {group}/cgroup.procs, in the shell that \
             is to start rrunc",
            settings.user
        );
    }
    if Path::new(&service).is_dir() {
        return SCOPE.to_owned();
    }
    format!("sudo loginctl enable-linger {}, log in again, and {SCOPE}", settings.user)
}

fn enter_child_of(own: &Path) -> Result<(), (String, Errno)> {
    let child = own.join(format!("rrunc-doctor-{}", std::process::id()));
    let errno = |e: std::io::Error| e.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
    fs::create_dir(&child).map_err(|e| ("make a group".to_owned(), errno(e)))?;
    let entered = probe(CloneFlags::empty(), || {
        fs::write(child.join("cgroup.procs"), "0").step("enter it").map(|()| String::new())
    });
    let removed = fs::remove_dir(&child).map_err(|e| ("remove it".to_owned(), errno(e)));
    entered.map_err(|f| (f.step, f.errno.unwrap_or(Errno::EIO)))?;
    removed
}
