//! The kernel itself: its age, seccomp, Landlock, security modules, and what hiding our own binary needs.
use super::Finding;
use super::namespaces::unless_cloned;
use super::probe::{Failure, Step, probe};
use super::settings::{Settings, read, sysctl};
use crate::host::{Host, Modules, OLDEST_KERNEL as OLDEST, Wants, kernel_version};
use crate::init::namespaces::part_from_binary;
use crate::seccomp::compile;
use crate::sys::{landlock as sys_landlock, prctl, seccomp};
use nix::errno::Errno;
use nix::sched::CloneFlags;
use serde_json::{Value, json};

/// Lowest version that rrunc is tested on.
const TESTED: (u32, u32) = (6, 1);
/// The newest version of Landlock's interface that is of use: scopes for signals and abstract sockets.
const LANDLOCK_SCOPES: u32 = 6;
/// What a probe's own filter answers: nothing else would.
const SIGN: Errno = Errno::EXFULL;

/// The version: the one thing that is not tried.
pub fn version(_: &Settings) -> Finding {
    let release = nix::sys::utsname::uname();
    let release = release.map(|name| name.release().to_string_lossy().into_owned()).unwrap_or_default();
    judge_version(&release)
}

fn judge_version(release: &str) -> Finding {
    let upgrade = "administrator: install a newer kernel and boot it";
    match kernel_version(release) {
        version if version < OLDEST => {
            let detail = format!("Linux {release}, older than {}.{}", OLDEST.0, OLDEST.1);
            Finding::missing(detail, "rrunc refuses to start containers", upgrade)
        }
        version if version < TESTED => {
            let detail = format!("Linux {release}, older than {}.{}", TESTED.0, TESTED.1);
            Finding::weaker(detail, "rrunc runs, but is not tested on it", upgrade)
        }
        _ => Finding::ok(format!("Linux {release}")),
    }
}

/// The exchange of /proc/self/exe, as a container's first process does it.
pub fn binary_protection(settings: &Settings) -> Finding {
    let done = probe(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS, || {
        settings.ids.become_root()?;
        part_from_binary(Some(&settings.exe)).step("part from the binary")?;
        Ok("a container cannot reach the rrunc binary".to_owned())
    });
    let failure = match done {
        Ok(detail) => return Finding::ok(detail),
        Err(failure) => failure,
    };
    let owner = Host::probe(Wants::default()).map(|host| host.exe);
    if owner.is_ok_and(|exe| exe.uid != settings.uid && exe.mode & 0o022 == 0) {
        return Finding::ok(format!("not needed, since you cannot write to it ({})", failure.line()));
    }
    unless_cloned(&failure, |line| {
        let fix = match failure.errno {
            Some(Errno::EACCES) => sysctl("vm.memfd_noexec", "1"),
            _ => format!("sudo install -o root -m 0755 '{}' /usr/local/bin/rrunc", settings.exe.display()),
        };
        Finding::missing(line, "containers do not start from a binary that belongs to you", fix)
    })
}

/// A filter that answers one harmless call, loaded and asked.
pub fn seccomp_filter(_: &Settings) -> Finding {
    let done = probe(CloneFlags::empty(), || {
        load(&json!({"names": ["getpgid"], "action": "SCMP_ACT_ERRNO", "errnoRet": SIGN as i32}))?;
        match nix::unistd::getpgid(None) {
            Err(SIGN) => Ok("loaded, and it acts".to_owned()),
            other => Err(Failure::plain("ask", format!("the filter does not act: {other:?}"))),
        }
    });
    done.map_or_else(
        |failure| {
            let effect = "the sandbox, and configurations with linux.seccomp, do not start";
            Finding::missing(failure.line(), effect, "administrator: boot a kernel with CONFIG_SECCOMP_FILTER")
        },
        Finding::ok,
    )
}

/// A filter with a listener.
pub fn seccomp_notify(_: &Settings) -> Finding {
    let done =
        probe(CloneFlags::empty(), || match load(&json!({"names": ["getpgid"], "action": "SCMP_ACT_NOTIFY"}))? {
            true => Ok("loaded, and its listener is there".to_owned()),
            false => Err(Failure::plain("load", "there is no listener")),
        });
    done.map_or_else(
        |failure| {
            let fix = match failure.errno {
                Some(Errno::EBUSY) => "start the container around without a filter that has a listener of its own",
                _ => "administrator: boot a kernel with CONFIG_SECCOMP_FILTER",
            };
            Finding::missing(failure.line(), "configurations with SCMP_ACT_NOTIFY do not start; others do", fix)
        },
        Finding::ok,
    )
}

/// Loads a filter with this one rule; whether it has a listener.
fn load(rule: &Value) -> Result<bool, Failure> {
    let mut profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]});
    if rule["action"] == "SCMP_ACT_NOTIFY" {
        // Nobody is connected to: the listener ends with the process.
        profile["listenerPath"] = json!("/nowhere");
    }
    let profile = serde_json::from_value(profile).step("read the profile")?;
    let filter = compile(&profile).step("compile")?;
    prctl::set_no_new_privs().step("no_new_privs")?;
    seccomp::load(&filter).step("load").map(|listener| listener.is_some())
}

/// The version of the interface is what the kernel answers, not what its release says.
pub fn landlock(settings: &Settings) -> Finding {
    let modules = read("/sys/kernel/security/lsm");
    let fix = match modules.trim() {
        "" => "administrator: add landlock to lsm= on the kernel's command line and restart".to_owned(),
        others => settings.boot_with(&format!("lsm=landlock,{others}")),
    };
    judge_landlock(sys_landlock::abi(), settings.filtered, fix)
}

fn judge_landlock(abi: u32, filtered: bool, fix: String) -> Finding {
    match abi {
        0 if filtered => Finding::missing(
            "not there, or the seccomp filter around hides it",
            "the mounts alone decide which files a sandbox reaches",
            "start the container around with `--security-opt seccomp=unconfined`",
        ),
        0 => Finding::missing(
            "not there, or not switched on",
            "the mounts alone decide which files a sandbox reaches",
            fix,
        ),
        _ if abi < LANDLOCK_SCOPES => Finding::weaker(
            format!("version {abi}"),
            "no scope for signals and abstract sockets, which come with version 6 (Linux 6.12)",
            "administrator: install a newer kernel and boot it",
        ),
        _ => Finding::ok(format!("version {abi}")),
    }
}

/// AppArmor and SELinux: whether they are on, and what they make of us.
pub fn security_modules(_: &Settings) -> Finding {
    let label = read("/proc/self/attr/current");
    let modules = Modules::probe();
    let label = label.trim_end_matches(['\0', '\n']);
    match (modules.apparmor, modules.selinux) {
        (true, _) => Finding::ok(format!("AppArmor, for us {label}")),
        (_, true) => {
            let mode = if read("/sys/fs/selinux/enforce").trim() == "1" { "enforcing" } else { "permissive" };
            Finding::ok(format!("SELinux, {mode}, for us {label}"))
        }
        _ => Finding::weaker(
            "neither AppArmor nor SELinux is on",
            "process.apparmorProfile, process.selinuxLabel and linux.mountLabel are refused",
            "administrator: add apparmor=1 security=apparmor, or security=selinux, to the kernel's command line",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    #[test]
    fn kernels_are_judged_by_their_number() {
        for (release, status) in [
            ("5.4.0", Status::Missing),
            ("5.14.0-70.el9", Status::Weaker),
            ("6.1.0-13-amd64", Status::Ok),
            ("7.0", Status::Ok),
        ] {
            assert_eq!(judge_version(release).status, status, "{release}");
        }
    }

    #[test]
    fn landlock_is_judged_by_its_interface() {
        assert_eq!(judge_landlock(0, false, String::new()).status, Status::Missing);
        assert!(judge_landlock(0, true, String::new()).fix.unwrap().contains("seccomp"));
        assert_eq!(judge_landlock(1, false, String::new()).status, Status::Weaker);
        assert_eq!(judge_landlock(7, false, String::new()).status, Status::Ok);
    }
}
