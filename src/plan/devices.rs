//! Device nodes. A user namespace cannot make any, so each is a bind of the host's node (config-linux.md, "Devices").
use super::Findings;
use oci_spec::runtime::{LinuxDeviceType, Spec};
use std::path::PathBuf;

/// A node that has to be at `path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Absolute path inside.
    pub path: PathBuf,
    /// What it is.
    pub kind: Kind,
    /// One of the nodes every container has; kept out of the way of a file that is there already.
    pub default: bool,
}

/// Kind of node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Character device with major and minor.
    Character(u32, u32),
    /// Block device with major and minor.
    Block(u32, u32),
    /// A fifo, the one kind we can make: permission bits and owner.
    Fifo(u32, u32, u32),
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

pub(super) fn plan(spec: &Spec, findings: &mut Findings) -> Vec<Device> {
    let mut found: Vec<Device> = DEFAULT
        .iter()
        .map(|(path, major, minor)| Device {
            path: PathBuf::from(path),
            kind: Kind::Character(*major, *minor),
            default: true,
        })
        .collect();
    let listed = spec.linux().as_ref().and_then(|l| l.devices().as_ref()).map_or(&[][..], Vec::as_slice);
    for (i, device) in listed.iter().enumerate() {
        let at = format!("linux.devices[{i}]");
        let path = device.path().clone();
        if !path.is_absolute() {
            findings.problem(&at, format!("path {} is not absolute", path.display()));
            continue;
        }
        let number = |value: i64| u32::try_from(value).unwrap_or(u32::MAX);
        let (major, minor) = (number(device.major()), number(device.minor()));
        let kind = match device.typ() {
            LinuxDeviceType::C | LinuxDeviceType::U => Kind::Character(major, minor),
            LinuxDeviceType::B => Kind::Block(major, minor),
            LinuxDeviceType::P => {
                let mode = device.file_mode().unwrap_or(0o666);
                Kind::Fifo(mode & 0o7777, device.uid().unwrap_or(0), device.gid().unwrap_or(0))
            }
            LinuxDeviceType::A => {
                findings.problem(&at, "type \"a\" is for device cgroups, not for nodes");
                continue;
            }
        };
        match found.iter().find(|other| other.path == path) {
            Some(other) if other.kind == kind => {}
            Some(_) => findings.problem(&at, format!("{} is already another device", path.display())),
            None => found.push(Device { path, kind, default: false }),
        }
    }
    found
}
