//! The words of `mounts[].options` (config.md, "Linux mount options"; mount(8)): what each changes, the later ones winning.
use crate::nearest::nearest;
use crate::sys::mount::*;

/// Propagation type by name: MS_*, and whether for the whole tree.
pub fn propagation(name: &str) -> Option<(u64, bool)> {
    let flag = match name.strip_prefix('r').filter(|rest| propagation_flag(rest).is_some()) {
        Some(rest) => return propagation_flag(rest).map(|flag| (flag, true)),
        None => propagation_flag(name)?,
    };
    Some((flag, false))
}

/// The option that somebody may have meant by the first of `words` that is like one.
pub fn meant(words: &[String]) -> Option<&'static str> {
    let binds = ["bind", "rbind", "remount", "private", "rprivate", "shared", "rshared", "slave", "rslave"];
    let known = || ATTRIBUTES.iter().map(|(word, ..)| *word).chain(SUPERBLOCK).chain(binds);
    words.iter().filter(|word| !word.contains('=')).find_map(|word| nearest(word, known()))
}

fn propagation_flag(name: &str) -> Option<u64> {
    Some(match name {
        "shared" => libc::MS_SHARED,
        "slave" => libc::MS_SLAVE,
        "private" => libc::MS_PRIVATE,
        "unbindable" => libc::MS_UNBINDABLE,
        _ => return None,
    })
}

/// The attribute that an option names, and whether it sets it. Access times are one field with three modes.
const ATTRIBUTES: [(&str, u64, bool); 18] = [
    ("ro", MOUNT_ATTR_RDONLY, true),
    ("rw", MOUNT_ATTR_RDONLY, false),
    ("nosuid", MOUNT_ATTR_NOSUID, true),
    ("suid", MOUNT_ATTR_NOSUID, false),
    ("nodev", MOUNT_ATTR_NODEV, true),
    ("dev", MOUNT_ATTR_NODEV, false),
    ("noexec", MOUNT_ATTR_NOEXEC, true),
    ("exec", MOUNT_ATTR_NOEXEC, false),
    ("nosymfollow", MOUNT_ATTR_NOSYMFOLLOW, true),
    ("symfollow", MOUNT_ATTR_NOSYMFOLLOW, false),
    ("nodiratime", MOUNT_ATTR_NODIRATIME, true),
    ("diratime", MOUNT_ATTR_NODIRATIME, false),
    ("noatime", MOUNT_ATTR_NOATIME, true),
    ("atime", MOUNT_ATTR_NOATIME, false),
    ("strictatime", MOUNT_ATTR_STRICTATIME, true),
    ("nostrictatime", MOUNT_ATTR_STRICTATIME, false),
    // MOUNT_ATTR_RELATIME is 0, the field's default.
    ("relatime", MOUNT_ATTR_RELATIME, true),
    ("norelatime", MOUNT_ATTR_RELATIME, false),
];

fn attribute(name: &str) -> Option<(u64, bool)> {
    ATTRIBUTES.iter().find(|(word, ..)| *word == name).map(|(_, bit, set)| (*bit, *set))
}

fn apply(attr: &mut Attr, bit: u64, set: bool) {
    if bit & MOUNT_ATTR_ATIME != 0 || bit == MOUNT_ATTR_RELATIME {
        // "Not this one" leaves another that was asked for, and else the kernel's default.
        let asked = attr.clear & MOUNT_ATTR_ATIME != 0;
        if !set && asked && attr.set & MOUNT_ATTR_ATIME != bit {
            return;
        }
        attr.set &= !MOUNT_ATTR_ATIME;
        attr.clear |= MOUNT_ATTR_ATIME;
        attr.set |= if set { bit } else { 0 };
    } else if set {
        attr.set |= bit;
        attr.clear &= !bit;
    } else {
        attr.clear |= bit;
        attr.set &= !bit;
    }
}

/// Superblock flags that fsconfig(2) takes as they are.
const SUPERBLOCK: [&str; 6] = ["sync", "async", "dirsync", "lazytime", "nolazytime", "mand"];
/// What mount(8) heeds only when it mounts from fstab, and flags that no file system of ours has a use for.
const WITHOUT_EFFECT: [&str; 15] = [
    "defaults",
    "nomand",
    "iversion",
    "noiversion",
    "silent",
    "loud",
    "auto",
    "noauto",
    "nouser",
    "nousers",
    "noowner",
    "nogroup",
    "_netdev",
    "nofail",
    // Mount points are made anyhow.
    "X-mount.mkdir",
];
/// Who may mount it is fstab's matter; what they bring along is not.
const IMPLYING: [(&str, &[&str]); 4] = [
    ("user", &["nosuid", "nodev", "noexec"]),
    ("users", &["nosuid", "nodev", "noexec"]),
    ("owner", &["nosuid", "nodev"]),
    ("group", &["nosuid", "nodev"]),
];

/// A word of our own: the source of a bind is what its path names without following any link. For paths in a directory
/// that somebody may change meanwhile; other runtimes take it, as all that begins with `x-`, for a comment (mount(8)).
pub const NO_LINKS: &str = "x-rrunc.no-links";

/// What the options of one mount say.
#[derive(Default)]
pub(super) struct Options {
    /// Attributes of the mount itself.
    pub attr: Attr,
    /// Attributes of the whole tree.
    pub tree_attr: Attr,
    /// Propagation changes in order, and whether for the whole tree.
    pub propagation: Vec<(u64, bool)>,
    /// A bind, and whether with all that is mounted below.
    pub bind: Option<bool>,
    /// Of what is mounted there already.
    pub remount: bool,
    /// Begins with a copy of what it covers.
    pub copy_up: bool,
    /// Id-mapped, and whether with all that is mounted below.
    pub id_mapped: Option<bool>,
    /// No component of the source may be a link ([`NO_LINKS`]).
    pub no_links: bool,
    /// Flags of the file system.
    pub superblock: Vec<String>,
    /// For the file system itself.
    pub data: Vec<String>,
}

/// Reads the options of one mount.
pub(super) fn parse(options: &[String]) -> Options {
    let mut found = Options::default();
    for option in options {
        let name = option.as_str();
        let key = name.split_once('=').map_or(name, |(key, _)| key);
        match name {
            "bind" => found.bind = Some(found.bind.unwrap_or(false)),
            "rbind" => found.bind = Some(true),
            "remount" => found.remount = true,
            "tmpcopyup" => found.copy_up = true,
            "idmap" | "ridmap" => found.id_mapped = Some(name == "ridmap"),
            NO_LINKS => found.no_links = true,
            "" => {}
            _ if WITHOUT_EFFECT.contains(&name) || key == "comment" || name.starts_with("x-") => {}
            _ if SUPERBLOCK.contains(&name) => found.superblock.push(option.clone()),
            _ if IMPLYING.iter().any(|(word, _)| *word == name) => {
                let implied = IMPLYING.iter().filter(|(word, _)| *word == name).flat_map(|(_, implied)| *implied);
                implied.filter_map(|word| attribute(word)).for_each(|(bit, set)| apply(&mut found.attr, bit, set));
            }
            _ => {
                let tree = name.strip_prefix('r').and_then(attribute);
                if let Some((bit, set)) = attribute(name) {
                    apply(&mut found.attr, bit, set);
                } else if let Some((bit, set)) = tree {
                    apply(&mut found.tree_attr, bit, set);
                } else if let Some(change) = propagation(name) {
                    found.propagation.push(change);
                } else {
                    found.data.push(option.clone());
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(list: &[&str]) -> Options {
        parse(&list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn later_options_win_and_access_times_are_one_field() {
        let o = options(&["ro", "nosuid", "rw", "noatime", "relatime"]);
        assert_eq!(o.attr.set, MOUNT_ATTR_NOSUID);
        assert_eq!(o.attr.clear, MOUNT_ATTR_RDONLY | MOUNT_ATTR_ATIME);
        let o = options(&["strictatime"]);
        assert_eq!((o.attr.set, o.attr.clear), (MOUNT_ATTR_STRICTATIME, MOUNT_ATTR_ATIME));
        assert_eq!(options(&["nodiratime"]).attr, Attr { set: MOUNT_ATTR_NODIRATIME, ..Attr::default() });
    }

    #[test]
    fn the_r_forms_are_told_from_words_that_begin_with_r() {
        let o = options(&["rro", "rbind", "rslave", "relatime", "ro", "rprivate", "rnoatime"]);
        assert_eq!(o.tree_attr.set, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOATIME);
        assert_eq!(o.attr.set, MOUNT_ATTR_RDONLY);
        assert_eq!(o.bind, Some(true));
        assert_eq!(o.propagation, [(libc::MS_SLAVE, true), (libc::MS_PRIVATE, true)]);
        assert!(o.data.is_empty());
    }

    #[test]
    fn what_is_no_option_is_data() {
        let o = options(&["mode=755", "size=64k", "newinstance", "defaults", "x-foo", "lazytime"]);
        assert_eq!(o.data, ["mode=755", "size=64k", "newinstance"]);
        assert_eq!(o.superblock, ["lazytime"]);
    }

    #[test]
    fn a_misspelt_option_is_seen_through_and_one_of_a_file_system_is_not() {
        let meant = |words: &[&str]| meant(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_eq!(meant(&["nodevv"]), Some("nodev"));
        assert_eq!(meant(&["mode=755", "no-exec"]), Some("noexec"));
        assert_eq!((meant(&["size=4k", "newinstance"]), meant(&[])), (None, None));
    }

    #[test]
    fn a_mode_of_access_time_is_taken_back_only_if_it_was_asked_for() {
        for (list, set) in [
            (&["noatime", "nostrictatime"][..], MOUNT_ATTR_NOATIME),
            (&["noatime", "norelatime"], MOUNT_ATTR_NOATIME),
            (&["noatime", "atime"], MOUNT_ATTR_RELATIME),
            (&["strictatime", "atime"], MOUNT_ATTR_STRICTATIME),
            (&["strictatime", "nostrictatime"], MOUNT_ATTR_RELATIME),
            (&["strictatime", "relatime", "noatime"], MOUNT_ATTR_NOATIME),
            (&["nostrictatime"], MOUNT_ATTR_RELATIME),
        ] {
            let attr = options(list).attr;
            assert_eq!((attr.set, attr.clear), (set, MOUNT_ATTR_ATIME), "{list:?}");
        }
    }

    #[test]
    fn words_of_fstab_bring_what_mount_makes_of_them() {
        let owner = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
        for (list, set) in [
            (&["user"][..], owner | MOUNT_ATTR_NOEXEC),
            (&["users", "exec"], owner),
            (&["owner"], owner),
            (&["group", "suid", "dev"], 0),
            (
                &[
                    "auto",
                    "noauto",
                    "nouser",
                    "nousers",
                    "nofail",
                    "_netdev",
                    "comment=x",
                    "x-systemd.automount",
                    "X-mount.mkdir",
                ],
                0,
            ),
        ] {
            let found = options(list);
            assert_eq!(found.attr.set, set, "{list:?}");
            assert!(found.data.is_empty() && found.superblock.is_empty(), "{list:?}");
        }
    }
}
