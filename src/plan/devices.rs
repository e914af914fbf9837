//! Device nodes. A user namespace cannot make any, so each is a bind of the host's node (config-linux.md, "Devices").
use super::Findings;
use super::ids::View;
use super::mounts::{Mount, binds_dev};
use oci_spec::runtime::{LinuxDevice, LinuxDeviceType, Spec};
use std::fmt;
use std::path::{Component, Path, PathBuf};

/// A node that has to be at `path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Absolute path inside.
    pub path: PathBuf,
    /// What it is.
    pub kind: Kind,
    /// One of the nodes every container has, which goes over whatever the image has there.
    pub default: bool,
    /// Permission bits, user and group that the configuration wants for it.
    pub wanted: Wanted,
}

/// What the configuration says of a node's permission bits and owner, where it says anything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Permission bits.
    pub mode: Option<u32>,
    /// User id inside.
    pub uid: Option<u32>,
    /// Group id inside.
    pub gid: Option<u32>,
}

/// Kind of node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Character device with major and minor.
    Character(u32, u32),
    /// Block device with major and minor.
    Block(u32, u32),
    /// A fifo, the one kind we can make.
    Fifo,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Character(major, minor) => write!(f, "character device {major}:{minor}"),
            Kind::Block(major, minor) => write!(f, "block device {major}:{minor}"),
            Kind::Fifo => f.write_str("fifo"),
        }
    }
}

/// The nodes every container has (config-linux.md, "Default Devices"); ptmx and console come with the terminals.
const DEFAULT: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

/// What opens a new pseudoterminal: a link to that of the container's devpts.
const PTMX: (&str, Kind) = ("/dev/ptmx", Kind::Character(5, 2));

/// The default nodes, unless the configuration brings its own /dev or mounts something in their place, and those it lists.
pub(super) fn plan(spec: &Spec, mounts: &[Mount], view: &View, findings: &mut Findings) -> Vec<Device> {
    let own_dev = binds_dev(mounts);
    let is_mounted = |path: &str| mounts.iter().any(|mount| without_parents(&mount.destination) == Path::new(path));
    let default = |(path, major, minor): &(&str, u32, u32)| Device {
        path: PathBuf::from(path),
        kind: Kind::Character(*major, *minor),
        default: true,
        wanted: Wanted::default(),
    };
    let wanted = DEFAULT.iter().filter(|(path, ..)| !own_dev && !is_mounted(path));
    let mut found: Vec<Device> = wanted.map(default).collect();
    let listed = spec.linux().as_ref().and_then(|l| l.devices().as_ref()).map_or(&[][..], Vec::as_slice);
    for (i, device) in listed.iter().enumerate() {
        let at = format!("linux.devices[{i}]");
        match listed_device(device, view) {
            Err(problem) => findings.problem(&at, problem),
            // Of the container's own devpts, whoever lists it: lists of all devices of a host do.
            Ok(device) if !own_dev && device.path == Path::new(PTMX.0) => {
                if device.kind != PTMX.1 {
                    let problem = format!("{} is the container's own, {}, and not {}", PTMX.0, PTMX.1, device.kind);
                    findings.mendable(&at, problem, "leave it out, or give it another path");
                }
            }
            Ok(device) => match found.iter_mut().find(|other| other.path == device.path) {
                // Its bits are told if it has others. Its owner is nobody's there, whatever lists of all devices say.
                Some(other) if other.kind == device.kind => {
                    other.wanted.mode = other.wanted.mode.or(device.wanted.mode)
                }
                Some(_) => findings.problem(&at, format!("{} is already another device", device.path.display())),
                None => found.push(device),
            },
        }
    }
    found
}

/// The same without `..`, which in a /dev of our own leads over no link.
fn without_parents(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut plain, part| {
        match part {
            Component::ParentDir => drop(plain.pop()),
            other => plain.push(other),
        }
        plain
    })
}

fn listed_device(device: &LinuxDevice, view: &View) -> Result<Device, String> {
    let path = device.path().clone();
    if !path.is_absolute() {
        return Err(format!("path {} is not absolute: it has to begin with a slash", path.display()));
    }
    if path.file_name().is_none() {
        return Err(format!("path {} names no file", path.display()));
    }
    let number =
        |name: &str, value: i64| u32::try_from(value).map_err(|_| format!("{name} {value} is not a device number"));
    let numbers = || Ok::<_, String>((number("major", device.major())?, number("minor", device.minor())?));
    let mode = device.file_mode().map(|mode| mode & 0o7777);
    let wanted = Wanted { mode, uid: device.uid(), gid: device.gid() };
    let kind = match device.typ() {
        LinuxDeviceType::C | LinuxDeviceType::U => numbers().map(|(major, minor)| Kind::Character(major, minor))?,
        LinuxDeviceType::B => numbers().map(|(major, minor)| Kind::Block(major, minor))?,
        LinuxDeviceType::P => {
            if let Some(uid) = wanted.uid.filter(|uid| !view.has_uid(*uid)) {
                return Err(format!("uid {uid} is not mapped: {}", view.uids_to_name()));
            }
            if let Some(gid) = wanted.gid.filter(|gid| !view.has_gid(*gid)) {
                return Err(format!("gid {gid} is not mapped: {}", view.gids_to_name()));
            }
            Kind::Fifo
        }
        LinuxDeviceType::A => return Err("type \"a\" is for device cgroups, not for nodes".to_owned()),
    };
    Ok(Device { path, kind, default: false, wanted })
}
