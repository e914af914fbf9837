//! Who it is that forbids user namespaces, or gives them without rights: the errno alone does not tell.
use crate::error::{errno_of, hint_of, with_hint};
use anyhow::{Error, anyhow};
use nix::errno::Errno;

const USERNS_CLONE: &str = "/proc/sys/kernel/unprivileged_userns_clone";
const MAX_USER_NAMESPACES: &str = "/proc/sys/user/max_user_namespaces";
const APPARMOR_RESTRICTS: &str = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns";

const APPARMOR_PROFILE: &str = "/proc/self/attr/apparmor/current";

/// Knob, the value that forbids, and the way out.
const KNOBS: [(&str, &str, &str); 3] = [
    (USERNS_CLONE, "0", "this host forbids user namespaces: `sudo sysctl -w kernel.unprivileged_userns_clone=1`"),
    (MAX_USER_NAMESPACES, "0", "this host forbids user namespaces: `sudo sysctl -w user.max_user_namespaces=15000`"),
    (
        APPARMOR_RESTRICTS,
        "1",
        "AppArmor gives programs it does not know user namespaces without rights on this host: `rrunc profile show \
         apparmor` prints the profile that makes rrunc known, and how it is installed; or `sudo sysctl -w \
         kernel.apparmor_restrict_unprivileged_userns=0`",
    ),
];

/// clone fails for want of a user namespace more than for anything else.
pub fn clone(errno: Errno) -> Error {
    explain_clone(errno, read)
}

/// Where AppArmor restricts user namespaces, clone may succeed, and what takes rights in the namespace fails after it:
/// the id maps, or the first mount. A profile that confines rrunc may deny any step.
pub fn set_up(error: Error) -> Error {
    explain_set_up(error, read)
}

fn explain_clone(errno: Errno, knob: impl Fn(&str) -> Option<String>) -> Error {
    let error = anyhow!(errno).context("make the namespaces");
    if let Some(name) = profile(&knob).filter(|_| matches!(errno, Errno::EPERM | Errno::EACCES)) {
        let hint = format!("rrunc runs under the AppArmor profile {name}: give that the rule `userns,`");
        return with_hint(error, hint);
    }
    let forbids = || KNOBS.iter().find(|(path, value, _)| is_set(&knob, path, value)).map(|(_, _, hint)| *hint);
    let hint = match errno {
        Errno::EPERM | Errno::EACCES => forbids().unwrap_or(
            "a security module, a seccomp filter or a chroot around us forbids user namespaces: in a container, run it \
             with seccomp unconfined; in a chroot, use pivot_root instead",
        ),
        Errno::ENOSPC | Errno::EUSERS => forbids().unwrap_or(
            "the limit of namespaces is reached: see user.max_user_namespaces and its like in /proc/sys/user, or 32 user \
             namespaces are nested already",
        ),
        Errno::EAGAIN => "the limit of processes is reached: see `ulimit -u`",
        Errno::EINVAL => "the kernel was built without one of these namespaces (CONFIG_USER_NS and its like)",
        _ => return error,
    };
    with_hint(error, hint)
}

fn explain_set_up(error: Error, knob: impl Fn(&str) -> Option<String>) -> Error {
    let (path, value, hint) = KNOBS[2];
    let denied = matches!(errno_of(&error), Some(Errno::EPERM | Errno::EACCES));
    // What has a hint of its own is understood already.
    if !denied || hint_of(&error).is_some() {
        return error;
    }
    if let Some(name) = profile(&knob) {
        let hint =
            format!("rrunc runs under the AppArmor profile {name}: where that denies this, `dmesg` shows the rule");
        return with_hint(error, hint);
    }
    if is_set(&knob, path, value) { with_hint(error, hint) } else { error }
}

/// The profile that confines us: `NAME (enforce)`, not `unconfined`.
fn profile(knob: impl Fn(&str) -> Option<String>) -> Option<String> {
    knob(APPARMOR_PROFILE).and_then(|text| text.trim().strip_suffix(" (enforce)").map(str::to_owned))
}

fn is_set(knob: impl Fn(&str) -> Option<String>, path: &str, value: &str) -> bool {
    knob(path).is_some_and(|text| text.trim() == value)
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(knob: &'static str, value: &'static str) -> impl Fn(&str) -> Option<String> {
        move |path| (path == knob).then(|| format!("{value}\n"))
    }

    #[test]
    fn the_knob_that_forbids_is_named() {
        for (errno, knob, value, text) in [
            (Errno::EPERM, USERNS_CLONE, "0", "kernel.unprivileged_userns_clone=1"),
            (Errno::ENOSPC, MAX_USER_NAMESPACES, "0", "user.max_user_namespaces=15000"),
            (Errno::EACCES, APPARMOR_RESTRICTS, "1", "rrunc profile show apparmor"),
            (
                Errno::EACCES,
                APPARMOR_PROFILE,
                "shy (enforce)",
                "the AppArmor profile shy: give that the rule `userns,`",
            ),
            (Errno::EPERM, APPARMOR_PROFILE, "unconfined", "a security module"),
            (Errno::EPERM, APPARMOR_RESTRICTS, "0", "a security module, a seccomp filter or a chroot"),
            (Errno::ENOSPC, MAX_USER_NAMESPACES, "9", "the limit of namespaces is reached"),
        ] {
            let error = explain_clone(errno, host(knob, value));
            assert!(hint_of(&error).is_some_and(|hint| hint.contains(text)), "{errno} {knob}: {error:?}");
        }
    }

    #[test]
    fn a_namespace_without_rights_is_explained_and_nothing_else() {
        let failed = |errno: Errno| anyhow!(errno).context("mount /proc (proc)");
        let restricted = || host(APPARMOR_RESTRICTS, "1");
        let hint = |error: &Error| hint_of(error).map(str::to_owned);
        for errno in [Errno::EPERM, Errno::EACCES] {
            let explained = explain_set_up(failed(errno), restricted());
            assert!(hint(&explained).is_some_and(|hint| hint.contains("AppArmor")), "{errno}");
            assert_eq!(hint(&explain_set_up(failed(errno), host(APPARMOR_RESTRICTS, "0"))), None);
        }
        assert_eq!(hint(&explain_set_up(failed(Errno::ENOENT), restricted())), None);
        let confined = explain_set_up(failed(Errno::EACCES), host(APPARMOR_PROFILE, "shy (enforce)"));
        assert!(hint(&confined).is_some_and(|hint| hint.contains("profile shy")), "{confined:?}");
        assert_eq!(hint(&explain_set_up(failed(Errno::EACCES), host(APPARMOR_PROFILE, "unconfined"))), None);
        let known = with_hint(failed(Errno::EPERM), "its own");
        assert_eq!(hint(&explain_set_up(known, restricted())), Some("its own".into()));
    }
}
