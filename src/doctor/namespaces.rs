//! Namespaces: whether an ordinary user gets them, and who it is that forbids it if not.
use super::Finding;
use super::files::attach_tmpfs;
use super::probe::{Failure, Probed, Step, probe};
use super::settings::{Settings, sysctl};
use crate::plan::namespaces::CLONE_NEWTIME;
use crate::sys::process::setns;
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use std::fs;
use std::fs::File;
use std::os::fd::AsFd;

/// What an outer container has to be started with.
const OUTER: &str = "start the container around with `--security-opt seccomp=unconfined`";
const WITHOUT: &str = "no container and no sandbox can start: each of them has a user namespace";
const OTHERS: [(&str, CloneFlags); 5] = [
    ("pid", CloneFlags::CLONE_NEWPID),
    ("ipc", CloneFlags::CLONE_NEWIPC),
    ("uts", CloneFlags::CLONE_NEWUTS),
    ("network", CloneFlags::CLONE_NEWNET),
    ("cgroup", CloneFlags::CLONE_NEWCGROUP),
];

/// A user namespace with a mount namespace: cloned, its map written, a mount made in it.
pub fn user(settings: &Settings) -> Finding {
    let flags = CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS;
    let made = probe(flags, || {
        settings.ids.become_root()?;
        attach_tmpfs().map(|()| "cloned, mapped, and a mount made in it".to_owned())
    });
    match made {
        Ok(detail) => Finding::ok(detail),
        Err(failure) => {
            let (reason, fix) = who_forbids(&failure, settings);
            Finding::missing(format!("{} ({reason})", failure.line()), WITHOUT, fix)
        }
    }
}

/// Who forbids it, and the fix.
fn who_forbids(failure: &Failure, settings: &Settings) -> (String, String) {
    let denied = matches!(failure.errno, Some(Errno::EPERM | Errno::EACCES));
    let cloning = failure.step == "clone";
    let apparmor = || {
        let reason = if cloning {
            "AppArmor: kernel.apparmor_restrict_unprivileged_userns is set"
        } else {
            "AppArmor: kernel.apparmor_restrict_unprivileged_userns is set, which gives a user namespace without rights"
        };
        (reason.to_owned(), settings.apparmor_profile())
    };
    let outer = |reason: &str| (reason.to_owned(), OUTER.to_owned());
    match failure.errno {
        _ if cloning && denied && settings.userns_clone == Some(0) => {
            ("kernel.unprivileged_userns_clone is 0".to_owned(), sysctl("kernel.unprivileged_userns_clone", "1"))
        }
        Some(Errno::ENOSPC | Errno::EUSERS) if settings.max_user_namespaces == Some(0) => {
            ("user.max_user_namespaces is 0".to_owned(), sysctl("user.max_user_namespaces", "15000"))
        }
        Some(Errno::ENOSPC | Errno::EUSERS) => (
            "the limit of namespaces is reached, or 32 of them are nested".to_owned(),
            sysctl("user.max_user_namespaces", "15000"),
        ),
        // The oldest kernel that rrunc runs on has the call.
        Some(Errno::ENOSYS) if cloning => outer("the seccomp filter of a container around forbids clone3"),
        _ if denied && settings.apparmor_restricts == Some(1) => apparmor(),
        _ if denied && settings.filtered => outer("the seccomp filter of a container around forbids it"),
        Some(Errno::EINVAL) if cloning => (
            "the kernel has no user namespaces".to_owned(),
            "administrator: boot a kernel with CONFIG_USER_NS".to_owned(),
        ),
        Some(Errno::EAGAIN) => {
            ("the limit of processes is reached".to_owned(), "end some processes, or raise `ulimit -u`".to_owned())
        }
        _ if denied => (
            "a security module or a chroot around forbids it".to_owned(),
            "sudo journalctl -k --grep='apparmor|avc' names the module's rule; leave a chroot by pivot_root".to_owned(),
        ),
        _ => ("for an unknown reason".to_owned(), "sudo dmesg may tell more".to_owned()),
    }
}

/// The finding of what was tried in a user namespace; `missing` makes it from the failure's one line.
pub fn found(tried: Probed, missing: impl FnOnce(String) -> Finding) -> Finding {
    match tried {
        Ok(detail) => Finding::ok(detail),
        Err(failure) => unless_cloned(&failure, missing),
    }
}

/// A finding for what needs a user namespace and got none, or failed otherwise.
pub fn unless_cloned(failure: &Failure, otherwise: impl FnOnce(String) -> Finding) -> Finding {
    if failure.step == "clone" {
        let detail = format!("not tried: {}", failure.line());
        return Finding { fix: None, ..Finding::missing(detail, "see user-namespaces", "") };
    }
    otherwise(failure.line())
}

/// The other namespaces that every container may ask for, each by itself.
pub fn others(_: &Settings) -> Finding {
    let make = |flags| probe(CloneFlags::CLONE_NEWUSER | flags, || Ok(String::new()));
    let names = OTHERS.map(|(name, _)| name).join(", ");
    let all = OTHERS.iter().fold(CloneFlags::empty(), |all, (_, flag)| all | *flag);
    let Err(failure) = make(all) else { return Finding::ok(names) };
    if make(CloneFlags::empty()).is_err() {
        return unless_cloned(&failure, |_| Finding::ok(names));
    }
    let refused: Vec<_> = OTHERS.iter().filter_map(|(name, flag)| Some((*name, make(*flag).err()?.text))).collect();
    let list = refused.iter().map(|(name, text)| format!("{name}: {text}")).collect::<Vec<_>>().join("; ");
    let first = refused.first().map_or("pid", |(name, _)| *name);
    let knob = match first {
        "network" => "net",
        other => other,
    };
    Finding::missing(
        list,
        "configurations with these namespaces, and the sandbox, do not start",
        sysctl(&format!("user.max_{knob}_namespaces"), "15000"),
    )
}

/// A time namespace whose clock is put forward and which is then entered.
pub fn time(settings: &Settings) -> Finding {
    let made = probe(CloneFlags::CLONE_NEWUSER, || {
        settings.ids.become_root()?;
        unshare(CloneFlags::from_bits_retain(CLONE_NEWTIME)).step("unshare")?;
        fs::write("/proc/self/timens_offsets", "monotonic 86400 0").step("write timens_offsets")?;
        let namespace = File::open("/proc/self/ns/time_for_children").step("open the namespace")?;
        setns(namespace.as_fd(), CLONE_NEWTIME).step("enter it")?;
        Ok("made, its clock put forward, and entered".to_owned())
    });
    found(made, |line| {
        let effect = "configurations with a time namespace do not start; others do";
        Finding::missing(line, effect, "administrator: boot a kernel with CONFIG_TIME_NS")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(step: &str, errno: Errno, settings: &Settings) -> (String, String) {
        who_forbids(&Err::<(), _>(errno).step(step).unwrap_err(), settings)
    }

    #[test]
    fn each_setting_is_named_with_its_fix() {
        let knob = Settings { userns_clone: Some(0), ..Settings::default() };
        let (reason, fix) = at("clone", Errno::EPERM, &knob);
        assert!(reason.contains("unprivileged_userns_clone") && fix.contains("unprivileged_userns_clone = 1"), "{fix}");
        let none = Settings { max_user_namespaces: Some(0), ..Settings::default() };
        let (reason, fix) = at("clone", Errno::ENOSPC, &none);
        assert!(reason.contains("is 0") && fix.contains("max_user_namespaces = 15000"), "{reason} {fix}");
        let some = Settings { max_user_namespaces: Some(9), ..Settings::default() };
        assert!(at("clone", Errno::ENOSPC, &some).0.contains("nested"));
    }

    #[test]
    fn apparmor_is_named_wherever_it_strikes() {
        let ubuntu = Settings { apparmor_restricts: Some(1), exe: "/opt/rrunc".into(), ..Settings::default() };
        for (step, errno) in
            [("clone", Errno::EACCES), ("write uid_map", Errno::EPERM), ("attach a tmpfs", Errno::EACCES)]
        {
            let (reason, fix) = at(step, errno, &ubuntu);
            assert!(reason.starts_with("AppArmor"), "{step}: {reason}");
            assert!(fix.contains("install -m 755 /opt/rrunc") && fix.contains("apparmor_parser -r"), "{fix}");
        }
        assert!(!at("clone", Errno::ENOSPC, &ubuntu).0.contains("AppArmor"));
    }

    #[test]
    fn the_filter_of_a_container_around_is_told_from_the_rest() {
        let inside = Settings { filtered: true, ..Settings::default() };
        assert!(at("clone", Errno::EPERM, &inside).0.contains("seccomp"));
        assert!(at("clone", Errno::ENOSYS, &Settings::default()).0.contains("seccomp"));
        assert!(!at("clone", Errno::EPERM, &Settings::default()).0.contains("seccomp"));
    }
}
