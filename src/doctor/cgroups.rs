//! cgroup v2: whether a group below our own may be made *and entered*, which file permissions alone do not tell.
use super::Finding;
use super::probe::{Step, probe};
use super::settings::{Settings, read};
use nix::errno::Errno;
use nix::sched::CloneFlags;
use std::fs;
use std::path::{Path, PathBuf};

const WITHOUT: &str = "no limit of memory, processes and processor time for all of a container, and no pause";
/// What limits of a container are made of.
const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];

/// A group made in our own one, entered by a child, and removed again.
pub fn delegation(settings: &Settings) -> Finding {
    let unified = settings.boot_with("systemd.unified_cgroup_hierarchy=1");
    let cgroup = read("/proc/self/cgroup");
    let Some(own) = own_group(&read("/proc/self/mountinfo"), &cgroup) else {
        return Finding::missing("no cgroup2 file system is mounted", WITHOUT, unified);
    };
    let controllers = read(own.join("cgroup.controllers"));
    let controllers = controllers.split_ascii_whitespace().collect::<Vec<_>>();
    let lacking = CONTROLLERS.iter().filter(|name| !controllers.contains(name)).copied().collect::<Vec<_>>().join(", ");
    // Beside hierarchies of version 1, which have the controllers, there are none for this one.
    if cgroup.lines().any(|line| line.split(':').nth(1).is_some_and(|held| CONTROLLERS.contains(&held))) {
        let detail = format!("{}: cgroups of version 1 hold the controllers", own.display());
        return Finding::missing(detail, WITHOUT, unified);
    }
    match enter_child_of(&own) {
        Err((step, errno)) => {
            let detail = format!("{}: {step}: {}", own.display(), errno.desc());
            Finding::missing(detail, WITHOUT, scope(settings))
        }
        Ok(()) if lacking.is_empty() => Finding::ok(format!("{}: {}", own.display(), controllers.join(" "))),
        Ok(()) => Finding::weaker(
            format!("{}: {}", own.display(), controllers.join(" ")),
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
        return "start it as `systemd-run --user --scope -p Delegate=yes rrunc …`".to_owned();
    }
    format!(
        "sudo loginctl enable-linger {}, log in again, and start it as `systemd-run --user --scope -p Delegate=yes rrunc …`",
        settings.user
    )
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

/// The directory of our own group, if cgroup2 is mounted so that it can be seen.
fn own_group(mountinfo: &str, cgroup: &str) -> Option<PathBuf> {
    let own = cgroup.lines().find_map(|line| line.strip_prefix("0::"))?;
    mountinfo.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        if kind.split(' ').next() != Some("cgroup2") {
            return None;
        }
        let below = Path::new(own).strip_prefix(root).ok()?;
        (!own.contains("/..")).then(|| Path::new(point).join(below).components().collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

    #[test]
    fn the_own_group_is_found_below_the_mount_point() {
        let own = own_group(MOUNTS, "0::/user.slice/a.scope\n");
        assert_eq!(own, Some(PathBuf::from("/sys/fs/cgroup/user.slice/a.scope")));
        let part = MOUNTS.replace("0:26 /", "0:26 /user.slice");
        assert_eq!(own_group(&part, "0::/user.slice/a.scope\n"), Some(PathBuf::from("/sys/fs/cgroup/a.scope")));
    }

    #[test]
    fn a_group_that_cannot_be_seen_is_none() {
        assert_eq!(own_group("", "0::/\n"), None);
        assert_eq!(own_group(MOUNTS, "4:memory:/x\n"), None);
        assert_eq!(own_group(MOUNTS, "0::/../outside\n"), None);
    }
}
