//! Mounts: from `mounts[]` with its options to what init does by descriptor (config.md, "Mounts").
use super::Findings;
use super::idmap::{self, IdMapping};
use super::ids::View;
use super::mount_options::{self, Options};
use super::namespaces::{Kind, Namespaces};
use crate::bundle::Bundle;
use crate::sys::mount::*;
use oci_spec::runtime;
use std::ffi::CString;
use std::fmt;
use std::path::{Path, PathBuf};

/// fsconfig(2) copies at most this much of a value.
pub const MAX_VALUE: usize = 255;

/// An option of a file system, and its value.
pub type Setting = (CString, Option<CString>);

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

/// What a mount puts there.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// A file or directory of the host.
    Bind {
        /// Absolute path on the host.
        source: PathBuf,
        /// With everything mounted below it.
        recursive: bool,
        /// No component of it may be a link.
        no_links: bool,
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
        options: Vec<Setting>,
        /// Bound from the host where the kernel refuses a new one (sysfs below a masked /sys).
        fallback: Option<PathBuf>,
    },
    /// New attributes for what is mounted there already.
    Remount {
        /// Options for fsconfig(2) that its file system takes anew.
        options: Vec<Setting>,
    },
}

impl Mount {
    /// Shows the container's cgroup so that it can be changed.
    pub fn is_writable_cgroup(&self) -> bool {
        let read_only = (self.attr.set | self.tree_attr.set) & MOUNT_ATTR_RDONLY != 0;
        matches!(&self.what, What::FileSystem { fstype, .. } if fstype.as_c_str() == c"cgroup2") && !read_only
    }
}

impl fmt::Display for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let read_only = (self.attr.set | self.tree_attr.set) & MOUNT_ATTR_RDONLY != 0;
        let mode = if read_only { "ro" } else { "rw" };
        let destination = self.destination.display();
        match &self.what {
            What::Bind { source, .. } => write!(f, "mount {destination} (bind {}, {mode})", source.display()),
            What::FileSystem { fstype, .. } => write!(f, "mount {destination} ({}, {mode})", fstype.to_string_lossy()),
            What::Remount { .. } => write!(f, "remount {destination} ({mode})"),
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
        what: What::Bind { source: directory.to_owned(), recursive: false, optional: false, no_links: false },
        attr: Attr { set, ..Attr::default() },
        tree_attr: Attr::default(),
        propagation: Vec::new(),
        copy_up: false,
        id_mapping: None,
    }
}

/// Whether a mount's options leave it writable; none for a remount that does not touch that.
pub(super) fn writable(mount: &runtime::Mount) -> Option<bool> {
    let options = mount_options::parse(mount.options().as_ref().map_or(&[][..], Vec::as_slice));
    if (options.attr.set | options.tree_attr.set) & MOUNT_ATTR_RDONLY != 0 {
        return Some(false);
    }
    let asked = options.attr.clear & MOUNT_ATTR_RDONLY != 0;
    (asked || !options.remount).then_some(true)
}

/// Whether it is a new file system with nothing in it.
pub(super) fn starts_empty(mount: &runtime::Mount) -> bool {
    let options = mount_options::parse(mount.options().as_ref().map_or(&[][..], Vec::as_slice));
    mount.typ().as_deref() == Some("tmpfs") && options.bind.is_none() && !options.remount && !options.copy_up
}

pub(super) fn plan(bundle: &Bundle, namespaces: &Namespaces, view: &View, findings: &mut Findings) -> Vec<Mount> {
    let listed = bundle.spec.mounts().as_ref().map_or(&[][..], Vec::as_slice);
    if !namespaces.has(Kind::Mount) && !listed.is_empty() {
        let problem = "cannot mount anything without a private mount namespace";
        findings.mendable("mounts", problem, Kind::Mount.hint());
        return Vec::new();
    }
    let mut planned = Vec::with_capacity(listed.len());
    for (i, mount) in listed.iter().enumerate() {
        let at = format!("mounts[{i}]");
        if mount.destination().as_os_str().is_empty() {
            findings.problem(&format!("{at}.destination"), "must not be empty");
            continue;
        }
        match plan_mount(mount, bundle, namespaces, view, findings) {
            Ok(mount) => planned.push(mount),
            // Nobody likes to count to seventeen in a list.
            Err(problem) => findings.problem(&at, format!("{}: {problem}", mount.destination().display())),
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
        let root = "root.path names what is there";
        return Err(format!("mountpoint is on the top of rootfs: {root}"));
    }
    refuse_below_proc(&destination)?;
    let options = mount_options::parse(mount.options().as_ref().map_or(&[][..], Vec::as_slice));
    let what = plan_what(mount, &options, &destination, bundle, namespaces, view, findings)?;
    let copy_up = options.copy_up;
    if copy_up && !matches!(&what, What::FileSystem { fstype, .. } if fstype.as_c_str() == c"tmpfs") {
        return Err("tmpcopyup is for mounts of the type tmpfs only".to_owned());
    }
    let id_mapping = idmap::plan(mount, options.id_mapped, &what, view)?;
    let (attr, tree_attr, propagation) = (options.attr, options.tree_attr, options.propagation);
    Ok(Mount { destination, what, attr, tree_attr, propagation, copy_up, id_mapping })
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
    if options.bind.is_some() {
        if !options.data.is_empty() {
            let data = options.data.join(",");
            let meant = mount_options::meant(&options.data).map(|word| format!(" (did you mean {word}?)"));
            let meant = meant.unwrap_or_default();
            return Err(format!("bind mounts cannot have any filesystem-specific options applied: {data}{meant}"));
        }
        if !options.superblock.is_empty() {
            // As with mount(8), which the specification points to; but said.
            let (words, destination) = (options.superblock.join(","), destination.display());
            findings.warn(format!("{destination}: a bind does not change its file system: {words} has no effect"));
        }
    }
    if options.remount {
        let settings =
            if options.bind.is_some() { Vec::new() } else { settings(options, destination, view, findings)? };
        return Ok(What::Remount { options: settings });
    }
    if let Some(recursive) = options.bind {
        if source.as_os_str().is_empty() {
            return Err("a bind needs a source, the path of a file or directory of the host".to_owned());
        }
        // An absolute source replaces the bundle's path in the join.
        let source = bundle.path.join(source);
        return Ok(What::Bind { source, recursive, optional: false, no_links: options.no_links });
    }
    let fstype = mount.typ().as_deref().unwrap_or_default();
    let mut bind = |from: &str| {
        let dropped: Vec<_> = options.superblock.iter().chain(&options.data).map(String::as_str).collect();
        if !dropped.is_empty() {
            let (destination, dropped) = (destination.display(), dropped.join(","));
            findings.warn(format!("{destination}: the host's {from} is bound, {dropped} has no effect on it"));
        }
        What::Bind { source: PathBuf::from(from), recursive: true, optional: true, no_links: false }
    };
    match fstype {
        "bind" => {
            return Err(
                "what makes a bind is the option bind or rbind, not the type: add one to its options".to_owned()
            );
        }
        "" | "none" => {
            let why = "has neither a type nor bind: name a file system as its type, or add bind to its options";
            return Err(why.to_owned());
        }
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
    let settings = settings(options, destination, view, findings)?;
    let source = if source.as_os_str().is_empty() { "none".into() } else { source.to_string_lossy() };
    Ok(What::FileSystem { fstype: c_string(fstype)?, source: c_string(&source)?, options: settings, fallback })
}

/// The options that go to the file system.
fn settings(
    options: &Options,
    destination: &Path,
    view: &View,
    findings: &mut Findings,
) -> Result<Vec<Setting>, String> {
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
    Ok(settings)
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
        Ok(_) => {
            let others = "of what is in there only what LXCFS covers, such as /proc/cpuinfo";
            Err(format!("cannot be mounted because it is inside /proc: {others}"))
        }
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_harmless_files_may_be_mounted_inside_proc() {
        assert!(refuse_below_proc(Path::new("/proc/cpuinfo")).is_ok());
        assert!(refuse_below_proc(Path::new("/proc")).is_ok());
        assert!(refuse_below_proc(Path::new("/procs/x")).is_ok());
        assert!(refuse_below_proc(Path::new("/proc/sys/kernel/core_pattern")).is_err());
    }
}
