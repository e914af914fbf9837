//! Mounts: from `mounts[]` with its options to what init does by descriptor (config.md, "Mounts").
use super::Findings;
use super::ids::View;
use super::namespaces::{Kind, Namespaces};
use crate::bundle::Bundle;
use crate::host::IdMap;
use crate::sys::mount::*;
use oci_spec::runtime;
use std::ffi::CString;
use std::fmt;
use std::path::{Path, PathBuf};

/// fsconfig(2) copies at most this much of a value.
pub const MAX_VALUE: usize = 255;

/// One mount, decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Mount {
    /// Where, as the configuration says; resolved inside the root only by init.
    pub destination: PathBuf,
    /// What.
    pub what: What,
    /// Attributes of the mount itself.
    pub attr: Attr,
    /// Attributes of the whole tree below it (rro, rnosuid…).
    pub tree_attr: Attr,
    /// Propagation changes in order: MS_* and whether for the whole tree.
    pub propagation: Vec<(u64, bool)>,
    /// The new tmpfs starts with a copy of what it covers.
    pub copy_up: bool,
    /// Other ids than the file system's own are seen through it.
    pub id_mapping: Option<IdMapping>,
}

/// The mapping of an id-mapped mount. `inside` of a run is an id in the file system, `outside` the id in the container's
/// user namespace that it is seen as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdMapping {
    /// User ids.
    pub uid: Vec<IdMap>,
    /// Group ids.
    pub gid: Vec<IdMap>,
    /// Also for what is mounted below.
    pub recursive: bool,
}

/// What a mount puts there.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// A file or directory of the host.
    Bind {
        /// Absolute path on the host.
        source: PathBuf,
        /// With everything mounted below it.
        recursive: bool,
        /// A `bind` without data of its own may also be a remount of what is there.
        optional: bool,
    },
    /// A new instance of a file system.
    FileSystem {
        /// Its type.
        fstype: CString,
        /// The source as shown in mountinfo.
        source: CString,
        /// Options for fsconfig(2).
        options: Vec<(CString, Option<CString>)>,
        /// Bound from the host where the kernel refuses a new one (sysfs below a masked /sys).
        fallback: Option<PathBuf>,
    },
    /// New attributes for what is mounted there already.
    Remount,
}

impl fmt::Display for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let read_only = (self.attr.set | self.tree_attr.set) & MOUNT_ATTR_RDONLY != 0;
        let mode = if read_only { "ro" } else { "rw" };
        let destination = self.destination.display();
        match &self.what {
            What::Bind { source, .. } => write!(f, "mount {destination} (bind {}, {mode})", source.display()),
            What::FileSystem { fstype, .. } => write!(f, "mount {destination} ({}, {mode})", fstype.to_string_lossy()),
            What::Remount => write!(f, "remount {destination} ({mode})"),
        }
    }
}

/// Whether the configuration brings its own /dev by a bind, which we then leave alone.
pub fn binds_dev(mounts: &[Mount]) -> bool {
    mounts.iter().any(|m| m.destination == Path::new("/dev") && matches!(m.what, What::Bind { .. }))
}

/// The directory of the NOTIFY_SOCKET protocol, bound where the container expects it.
pub fn notify_socket(directory: &Path) -> Mount {
    let set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    Mount {
        destination: PathBuf::from(crate::notify::DIRECTORY),
        what: What::Bind { source: directory.to_owned(), recursive: false, optional: false },
        attr: Attr { set, ..Attr::default() },
        tree_attr: Attr::default(),
        propagation: Vec::new(),
        copy_up: false,
        id_mapping: None,
    }
}

/// Propagation type by name: MS_*, and whether for the whole tree.
pub fn propagation(name: &str) -> Option<(u64, bool)> {
    let flag = match name.strip_prefix('r').filter(|rest| propagation_flag(rest).is_some()) {
        Some(rest) => return propagation_flag(rest).map(|flag| (flag, true)),
        None => propagation_flag(name)?,
    };
    Some((flag, false))
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

/// The attribute an option names, and whether it sets it. Access times are one field with three modes.
fn attribute(name: &str) -> Option<(u64, bool)> {
    Some(match name {
        "ro" => (MOUNT_ATTR_RDONLY, true),
        "rw" => (MOUNT_ATTR_RDONLY, false),
        "nosuid" => (MOUNT_ATTR_NOSUID, true),
        "suid" => (MOUNT_ATTR_NOSUID, false),
        "nodev" => (MOUNT_ATTR_NODEV, true),
        "dev" => (MOUNT_ATTR_NODEV, false),
        "noexec" => (MOUNT_ATTR_NOEXEC, true),
        "exec" => (MOUNT_ATTR_NOEXEC, false),
        "nosymfollow" => (MOUNT_ATTR_NOSYMFOLLOW, true),
        "symfollow" => (MOUNT_ATTR_NOSYMFOLLOW, false),
        "nodiratime" => (MOUNT_ATTR_NODIRATIME, true),
        "diratime" => (MOUNT_ATTR_NODIRATIME, false),
        "noatime" => (MOUNT_ATTR_NOATIME, true),
        "strictatime" => (MOUNT_ATTR_STRICTATIME, true),
        // MOUNT_ATTR_RELATIME is 0, the field's default: to ask for it is to clear the others.
        "atime" | "relatime" | "norelatime" | "nostrictatime" => (MOUNT_ATTR_ATIME, false),
        _ => return None,
    })
}

fn apply(attr: &mut Attr, bit: u64, set: bool) {
    if bit & MOUNT_ATTR_ATIME != 0 {
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
/// mount(8)'s own words, and flags that no file system of ours has a use for.
const WITHOUT_EFFECT: [&str; 14] = [
    "defaults",
    "nomand",
    "iversion",
    "noiversion",
    "silent",
    "loud",
    "auto",
    "noauto",
    "user",
    "nouser",
    "_netdev",
    "nofail",
    "owner",
    "group",
];

#[derive(Default)]
struct Options {
    attr: Attr,
    tree_attr: Attr,
    propagation: Vec<(u64, bool)>,
    bind: Option<bool>,
    remount: bool,
    copy_up: bool,
    id_mapped: Option<bool>,
    superblock: Vec<String>,
    data: Vec<String>,
}

fn parse_options(options: &[String]) -> Options {
    let mut found = Options::default();
    for option in options {
        let name = option.as_str();
        match name {
            "bind" => found.bind = Some(found.bind.unwrap_or(false)),
            "rbind" => found.bind = Some(true),
            "remount" => found.remount = true,
            "tmpcopyup" => found.copy_up = true,
            "idmap" | "ridmap" => found.id_mapped = Some(name == "ridmap"),
            "" => {}
            _ if WITHOUT_EFFECT.contains(&name) || name.starts_with("x-") => {}
            _ if SUPERBLOCK.contains(&name) => found.superblock.push(option.clone()),
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

pub(super) fn plan(bundle: &Bundle, namespaces: &Namespaces, view: &View, findings: &mut Findings) -> Vec<Mount> {
    let listed = bundle.spec.mounts().as_ref().map_or(&[][..], Vec::as_slice);
    if !namespaces.has(Kind::Mount) && !listed.is_empty() {
        findings.problem("mounts", "cannot mount anything without a private mount namespace");
        return Vec::new();
    }
    let mut planned = Vec::with_capacity(listed.len());
    for (i, mount) in listed.iter().enumerate() {
        let path = format!("mounts[{i}]");
        match plan_mount(mount, bundle, namespaces, view, findings) {
            Ok(mount) => planned.push(mount),
            Err(problem) => findings.problem(&path, problem),
        }
    }
    planned
}

fn plan_mount(
    mount: &runtime::Mount,
    bundle: &Bundle,
    namespaces: &Namespaces,
    view: &View,
    findings: &mut Findings,
) -> Result<Mount, String> {
    let mut destination = mount.destination().clone();
    if !destination.is_absolute() {
        findings.warn(format!("mount destination {} is not absolute, taken from /", destination.display()));
        destination = Path::new("/").join(destination);
    }
    if !destination.components().any(|c| matches!(c, std::path::Component::Normal(_))) {
        return Err(format!("mountpoint {} is on the top of rootfs", destination.display()));
    }
    refuse_below_proc(&destination)?;
    let options = parse_options(mount.options().as_ref().map_or(&[][..], Vec::as_slice));
    let what = plan_what(mount, &options, &destination, bundle, namespaces, view, findings)?;
    let copy_up = options.copy_up;
    if copy_up && !matches!(&what, What::FileSystem { fstype, .. } if fstype.as_c_str() == c"tmpfs") {
        return Err("tmpcopyup is for tmpfs only".to_owned());
    }
    let id_mapping = id_mapping(mount, options.id_mapped, view)?;
    if id_mapping.is_some() {
        refuse_id_mapping(&what)?;
    }
    let (attr, tree_attr, propagation) = (options.attr, options.tree_attr, options.propagation);
    Ok(Mount { destination, what, attr, tree_attr, propagation, copy_up, id_mapping })
}

/// The mapping in terms of the container's ids: that is where the namespace for it is made.
fn id_mapping(mount: &runtime::Mount, option: Option<bool>, view: &View) -> Result<Option<IdMapping>, String> {
    let given = |list: &Option<Vec<_>>| super::ids::given(list.as_ref());
    let (uid, gid) = (given(mount.uid_mappings()), given(mount.gid_mappings()));
    if uid.is_empty() != gid.is_empty() {
        return Err("id-mapped mounts must have both uid and gid mappings specified".to_owned());
    }
    if let Some(problem) = super::ids::impossible(&uid).or_else(|| super::ids::impossible(&gid)) {
        return Err(problem);
    }
    let recursive = match option {
        None if uid.is_empty() => return Ok(None),
        other => other.unwrap_or(false),
    };
    // As in runc and crun: without mappings of its own, those of the container.
    let none = "id-mapped mounts need mappings of their own where the container's are not in its configuration";
    let own = || view.own_mappings().ok_or(none);
    let (uid, gid) = if uid.is_empty() { own()? } else { (uid, gid) };
    let (uid, gid) = (view.uids_inside(&uid), view.gids_inside(&gid));
    let unmapped = "id-mapped mounts can only show ids that are mapped in the container's user namespace";
    let (uid, gid) = uid.zip(gid).ok_or(unmapped)?;
    Ok(Some(IdMapping { uid, gid, recursive }))
}

/// It takes rights over the user namespace that the file system was mounted in, so it has to be one of ours; and of
/// those only tmpfs can be mapped.
fn refuse_id_mapping(what: &What) -> Result<(), String> {
    match what {
        What::FileSystem { fstype, options, .. } if fstype.as_c_str() == c"tmpfs" => {
            let long = options.iter().any(|(_, value)| value.as_ref().is_some_and(|v| v.count_bytes() > MAX_VALUE));
            if long { Err(format!("an id-mapped mount takes no option above {MAX_VALUE} bytes")) } else { Ok(()) }
        }
        _ => {
            let why = "the kernel lets a user namespace map the ids of a tmpfs of its own, and of no file system of the \
                       host";
            Err(format!("id-mapped mounts are not supported for rootless containers: {why}"))
        }
    }
}

fn plan_what(
    mount: &runtime::Mount,
    options: &Options,
    destination: &Path,
    bundle: &Bundle,
    namespaces: &Namespaces,
    view: &View,
    findings: &mut Findings,
) -> Result<What, String> {
    let source = mount.source().clone().unwrap_or_default();
    if options.remount {
        return Ok(What::Remount);
    }
    if let Some(recursive) = options.bind {
        if !options.data.is_empty() {
            let data = options.data.join(",");
            return Err(format!("bind mounts cannot have any filesystem-specific options applied: {data}"));
        }
        if source.as_os_str().is_empty() {
            return Err("a bind needs a source".to_owned());
        }
        // An absolute source replaces the bundle's path in the join.
        return Ok(What::Bind { source: bundle.path.join(source), recursive, optional: false });
    }
    let fstype = mount.typ().as_deref().unwrap_or_default();
    let bind = |from: &str| What::Bind { source: PathBuf::from(from), recursive: true, optional: true };
    match fstype {
        "" | "none" => return Err(format!("{} has neither a type nor bind", destination.display())),
        // These belong to a namespace: the kernel mounts a new one only for whoever owns that.
        "proc" if !namespaces.has(Kind::Pid) => return Ok(bind("/proc")),
        "sysfs" if !namespaces.has(Kind::Network) => return Ok(bind("/sys")),
        "mqueue" if !namespaces.has(Kind::Ipc) => return Ok(bind("/dev/mqueue")),
        "cgroup" | "cgroup2" if !namespaces.has(Kind::Cgroup) => return Ok(bind("/sys/fs/cgroup")),
        _ => {}
    }
    let fallback = match fstype {
        "sysfs" => Some(PathBuf::from("/sys")),
        "cgroup" | "cgroup2" => Some(PathBuf::from("/sys/fs/cgroup")),
        _ => None,
    };
    let fstype = if fstype == "cgroup" { "cgroup2" } else { fstype };
    let mut settings = Vec::new();
    for option in options.superblock.iter().chain(&options.data) {
        let (key, value) = option.split_once('=').map_or((option.as_str(), None), |(k, v)| (k, Some(v)));
        if let (true, Some(id)) = (matches!(key, "uid" | "gid"), value.and_then(|v| v.parse::<u32>().ok()))
            && !(if key == "uid" { view.has_uid(id) } else { view.has_gid(id) })
        {
            // devpts says EINVAL for an id that does not exist inside; the default spec has gid=5.
            findings.note(format!("{}: {option} dropped: the id is not mapped", destination.display()));
            continue;
        }
        settings.push((c_string(key)?, value.map(c_string).transpose()?));
    }
    let source = if source.as_os_str().is_empty() { "none".into() } else { source.to_string_lossy() };
    Ok(What::FileSystem { fstype: c_string(fstype)?, source: c_string(&source)?, options: settings, fallback })
}

fn c_string(text: &str) -> Result<CString, String> {
    CString::new(text).map_err(|_| format!("{text:?} holds a NUL byte"))
}

/// A file put over a part of /proc would deceive those who read it; and the runtime itself reads it. Some few are
/// what LXCFS covers.
fn refuse_below_proc(destination: &Path) -> Result<(), String> {
    const ALLOWED: [&str; 10] = [
        "cpuinfo",
        "diskstats",
        "meminfo",
        "stat",
        "swaps",
        "uptime",
        "loadavg",
        "slabinfo",
        "sys/kernel/ns_last_pid",
        "sys/crypto/fips_enabled",
    ];
    match destination.strip_prefix("/proc") {
        Ok(below) if below.as_os_str().is_empty() || ALLOWED.iter().any(|allowed| below == Path::new(allowed)) => {
            Ok(())
        }
        Ok(_) => Err(format!("{} cannot be mounted because it is inside /proc", destination.display())),
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(list: &[&str]) -> Options {
        parse_options(&list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>())
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
    fn only_harmless_files_may_be_mounted_inside_proc() {
        assert!(refuse_below_proc(Path::new("/proc/cpuinfo")).is_ok());
        assert!(refuse_below_proc(Path::new("/proc")).is_ok());
        assert!(refuse_below_proc(Path::new("/procs/x")).is_ok());
        assert!(refuse_below_proc(Path::new("/proc/sys/kernel/core_pattern")).is_err());
    }
}
