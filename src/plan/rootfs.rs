//! The root file system, and the paths in it that are masked or read-only (config.md, "Root"; config-linux.md, "Masked
//! Paths", "Readonly Paths").
use super::findings::Findings;
use super::mount_options;
use super::namespaces::{Kind, Namespaces};
use crate::bundle::Bundle;
use oci_spec::runtime::Spec;
use std::collections::HashSet;
use std::path::PathBuf;

/// The root file system.
#[derive(Debug, Clone)]
pub struct Rootfs {
    /// Absolute path on the host.
    pub path: PathBuf,
    /// Read-only in the end.
    pub readonly: bool,
    /// Propagation of the root mount inside (MS_* without MS_REC), and whether for the whole tree.
    pub propagation: Option<(u64, bool)>,
}

pub(super) fn plan(bundle: &Bundle, findings: &mut Findings) -> Rootfs {
    let path = match bundle.spec.root() {
        Some(root) => bundle.path.join(root.path()),
        None => {
            findings.mendable("root", "root must be specified", "name the directory: \"root\": {\"path\": \"rootfs\"}");
            PathBuf::new()
        }
    };
    let readonly = bundle.spec.root().as_ref().and_then(|root| root.readonly()).unwrap_or(false);
    let named = bundle.spec.linux().as_ref().and_then(|l| l.rootfs_propagation().as_deref());
    let propagation = named.filter(|name| !name.is_empty()).and_then(|name| {
        let found = mount_options::propagation(name);
        if found.is_none() {
            let hint = "write shared, slave, private or unbindable, with an r before it for all mounts below as well";
            findings.mendable("linux.rootfsPropagation", format!("{name:?} is no propagation type"), hint);
        }
        found
    });
    Rootfs { path, readonly, propagation }
}

/// Without a mount namespace of its own a container is a chroot: nothing can be mounted, bound or made read-only.
pub(super) fn refuse_without_mounts(spec: &Spec, rootfs: &Rootfs, findings: &mut Findings) {
    let devices = spec.linux().as_ref().and_then(|l| l.devices().as_ref());
    for (path, wanted) in [
        ("root.readonly", rootfs.readonly),
        ("linux.rootfsPropagation", rootfs.propagation.is_some()),
        ("linux.devices", devices.is_some_and(|devices| !devices.is_empty())),
    ] {
        if wanted {
            findings.mendable(path, "cannot be had without a private mount namespace", Kind::Mount.hint());
        }
    }
    findings.warn("no private mount namespace: the container is confined by chroot alone, which its root can leave");
}

/// The paths that are masked, and those that are read-only.
pub(super) fn covered_paths(spec: &Spec, namespaces: &Namespaces, findings: &mut Findings) -> [Vec<PathBuf>; 2] {
    let linux = spec.linux().as_ref();
    let masked = linux.and_then(|l| l.masked_paths().clone()).unwrap_or_default();
    let readonly = linux.and_then(|l| l.readonly_paths().clone()).unwrap_or_default();
    let any = !masked.is_empty() || !readonly.is_empty();
    if any && !namespaces.has(Kind::Mount) {
        let problem = "unable to restrict sys entries without a private MNT namespace";
        findings.mendable("linux.maskedPaths", problem, Kind::Mount.hint());
    }
    [("linux.maskedPaths", masked), ("linux.readonlyPaths", readonly)].map(|(key, paths)| {
        let (mut seen, mut all) = (HashSet::new(), Vec::new());
        for path in paths {
            let path = PathBuf::from(path);
            if !path.is_absolute() {
                findings.not_absolute(key, &path);
            } else if seen.insert(path.clone()) {
                all.push(path);
            }
        }
        all
    })
}
