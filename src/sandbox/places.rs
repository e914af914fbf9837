//! The paths that a profile names. Each list has one kind of them; any other would not mean what it says, so it is
//! refused: a secret written as `~/x` would hide nothing.
use super::hidden::Glob;
use super::profile::{Allow, Deny, Profile};
use crate::error::with_hint;
use anyhow::{Context, Result, anyhow};
use std::path::{Component, Path};

/// A kind of paths: what it is called, how it is written, and whether a path is of it.
struct Kind {
    name: &'static str,
    hint: &'static str,
    holds: fn(&str) -> bool,
}

const ABSOLUTE: Kind =
    Kind { name: "an absolute path", hint: "begin it with / and write no .. in it", holds: is_absolute };
const OF_ETC: Kind = Kind {
    name: "a path below /etc",
    hint: "here stand parts of /etc; allow.read shows other files",
    holds: |path| is_absolute(path) && Path::new(path).strip_prefix("/etc").is_ok_and(|rest| rest != Path::new("")),
};
const OF_HOME: Kind = Kind {
    name: "a path below HOME",
    hint: "write it as .ssh or .config/gh: without ~/, / or .. at the beginning",
    holds: |path| !path.starts_with('~') && !["", "*"].contains(&path) && all_plain(path),
};
const GRANT: Kind = Kind {
    name: "the path of a grant",
    hint: "begin it with / or ~/",
    holds: |path| path.starts_with('/') || path == "~" || path.starts_with("~/"),
};

/// Checks every path and pattern of a profile.
///
/// # Errors
/// The first that is of another kind than its list, with the list.
pub fn check(profile: &Profile) -> Result<()> {
    let Profile { allow: Allow { programs, etc, toolchains, read, write, .. }, deny, .. } = profile;
    let Deny { secrets, hide, protect, tell, .. } = deny;
    for (key, paths, kind) in [
        ("allow.programs", programs, &ABSOLUTE),
        ("allow.etc", etc, &OF_ETC),
        ("allow.toolchains", toolchains, &OF_HOME),
        ("allow.read", read, &GRANT),
        ("allow.write", write, &GRANT),
        ("deny.programs", &deny.programs, &ABSOLUTE),
        ("deny.etc", &deny.etc, &OF_ETC),
        ("deny.toolchains", &deny.toolchains, &OF_HOME),
        ("deny.secrets", secrets, &OF_HOME),
    ] {
        let all = |path: &str| path == "*" && key.starts_with("deny.") && key != "deny.secrets";
        if let Some(path) = paths.iter().find(|path| !all(path) && !(kind.holds)(path)) {
            return Err(with_hint(anyhow!("{key}: {path:?} is not {}", kind.name), kind.hint));
        }
    }
    for pattern in hide.iter().chain(protect).chain(tell) {
        Glob::parse(pattern).context("pattern")?;
    }
    Ok(())
}

fn is_absolute(path: &str) -> bool {
    path.strip_prefix('/').is_some_and(|rest| all_plain(rest) && !rest.trim_matches('/').is_empty())
}

/// Nothing but names: no root, and no way up.
fn all_plain(path: &str) -> bool {
    Path::new(path.trim_start_matches("./")).components().all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::profile::BUILT_IN;

    #[test]
    fn each_list_takes_its_kind_of_paths_only() {
        for (_, text) in BUILT_IN {
            check(&Profile::parse(text).unwrap()).unwrap();
        }
        for (section, key, good, bad) in [
            ("allow", "programs", &["/usr", "/opt/x/"][..], &["usr", "/", "//", "~/bin", "/usr/../home", "", "*"][..]),
            ("allow", "etc", &["/etc/ssl"], &["/etc", "/srv/x", "/etc/../srv", "etc/ssl", "/etcetera/x", "*"]),
            ("allow", "toolchains", &[".cargo/bin"], &["~/.cargo", "/opt", "../x", "a/../../x", "", "*"]),
            ("allow", "read", &["/srv/x:/y", "~", "~/x"], &["x", "./x", "~other/x", ""]),
            ("deny", "programs", &["/opt", "*"], &["opt"]),
            ("deny", "etc", &["/etc/ssl", "*"], &["ssl"]),
            ("deny", "toolchains", &[".cargo", "*"], &["~/.cargo"]),
            ("deny", "secrets", &[".ssh", "x/y"], &["~/.ssh", "/srv/secret", "..", "*"]),
            ("deny", "hide", &["**/x", "~x"], &["/x", "~/x", "../x"]),
            ("deny", "protect", &["x"], &["~/x"]),
        ] {
            let read = |path: &str| Profile::parse(&format!("[{section}]\n{key} = [{path:?}]\n")).unwrap();
            for path in good {
                check(&read(path)).unwrap_or_else(|e| panic!("{section}.{key} {path}: {e:#}"));
            }
            for path in bad {
                assert!(check(&read(path)).is_err(), "{section}.{key} {path:?}");
            }
        }
    }
}
