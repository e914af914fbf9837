//! What is mounted or masked on names of the host's own directories. The kernel takes such a mount away when somebody outside
//! replaces the name (an editor's save, `git checkout`), so each is to be watched, and how it is put back is decided here.
use super::COVERS;
use crate::sys::mount::{MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY};
use oci_spec::runtime::{Mount, Spec};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// How one is put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// With an empty, unreadable cover.
    Hidden,
    /// With what is there itself, with these attributes (MOUNT_ATTR_*).
    Itself(u64),
    /// Not at all: what was there is not to be had from inside.
    Never,
}

/// A place inside that is covered, on a name of the host's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cover {
    /// The place.
    pub place: PathBuf,
    /// How it is covered again.
    pub how: How,
}

/// What is watched while the container runs in the foreground.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Covers {
    /// All of them, what is around before what is in it.
    pub all: Vec<Cover>,
    /// What has come off is put back. Otherwise the container ends: its programs may have mounts of their own, of which
    /// nothing is seen from outside.
    pub again: bool,
}

/// What `spec` asks to be watched.
pub fn plan(spec: &Spec) -> Option<Covers> {
    let wanted = spec.annotations().as_ref()?.get(COVERS)?;
    let again = match wanted.as_str() {
        "again" => true,
        "end" => false,
        _ => return None,
    };
    let mounts = spec.mounts().as_deref().unwrap_or_default();
    // Of two at one place the last one is seen.
    let by_place: BTreeMap<&Path, &Mount> = mounts.iter().map(|mount| (mount.destination().as_path(), mount)).collect();
    let on_host = |place: &Path| {
        let around = place.ancestors().skip(1).find_map(|dir| by_place.get(dir))?;
        let source = bound(around)?;
        Some(source.join(place.strip_prefix(around.destination()).ok()?))
    };
    let mut all: BTreeMap<&Path, How> = BTreeMap::new();
    for (place, mount) in &by_place {
        let Some(seen) = on_host(place) else { continue };
        let itself = bound(mount).is_some_and(|source| *source == seen);
        all.insert(place, if itself { How::Itself(attributes(mount)) } else { How::Never });
    }
    let linux = spec.linux().as_ref();
    for place in linux.and_then(|linux| linux.masked_paths().as_deref()).unwrap_or_default() {
        let place = Path::new(place);
        if by_place.contains_key(place) || on_host(place).is_some() {
            all.insert(place, How::Hidden);
        }
    }
    let all: Vec<Cover> = all.into_iter().map(|(place, how)| Cover { place: place.to_owned(), how }).collect();
    (!all.is_empty()).then_some(Covers { all, again })
}

/// What a bind shows of the host.
fn bound(mount: &Mount) -> Option<&PathBuf> {
    let options = mount.options().as_deref().unwrap_or_default();
    let binds = options.iter().any(|option| option == "bind" || option == "rbind");
    mount.source().as_ref().filter(|source| binds && source.is_absolute())
}

fn attributes(mount: &Mount) -> u64 {
    let bit = |option: &String| match option.as_str() {
        "ro" | "rro" => MOUNT_ATTR_RDONLY,
        "nosuid" | "rnosuid" => MOUNT_ATTR_NOSUID,
        "nodev" | "rnodev" => MOUNT_ATTR_NODEV,
        "noexec" | "rnoexec" => MOUNT_ATTR_NOEXEC,
        _ => 0,
    };
    mount.options().iter().flatten().map(bit).fold(0, |all, bit| all | bit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_lies_on_the_hosts_names_is_watched_and_nothing_else() {
        let bind = |place: &str, source: &str, mode: &str| json!({"destination": place, "type": "none", "source": source, "options": ["rbind", mode, "rnosuid"]});
        let spec = |wanted: &str| -> Spec {
            serde_json::from_value(json!({
                "ociVersion": "1.0.2",
                "annotations": {COVERS: wanted},
                "mounts": [
                    bind("/usr", "/usr", "rro"),
                    {"destination": "/etc", "type": "none", "source": "etc", "options": ["bind"]},
                    bind("/etc/ssl", "/etc/ssl", "rro"),
                    {"destination": "/home/u", "type": "tmpfs", "source": "tmpfs"},
                    bind("/home/u/p", "/home/u/p", "rw"),
                    bind("/home/u/p/.git", "/home/u/p/.git", "rw"),
                    bind("/home/u/p/.git/config", "/home/u/p/.git/config", "rro"),
                    bind("/home/u/p/data", "/srv/data", "rw"),
                    bind("/srv/it", "/home/u/q", "rw"),
                    bind("/srv/it/.envrc", "/home/u/q/.envrc", "rro"),
                    {"destination": "/home/u/p/tmp", "type": "tmpfs", "source": "tmpfs"},
                ],
                "linux": {"maskedPaths": ["/proc/kcore", "/home/u/p/.env", "/home/u/none", "/usr/secret"]}
            }))
            .unwrap()
        };
        let covers = plan(&spec("again")).unwrap();
        let found: Vec<_> = covers.all.iter().map(|cover| (cover.place.to_str().unwrap(), cover.how)).collect();
        let (rw, ro) = (How::Itself(MOUNT_ATTR_NOSUID), How::Itself(MOUNT_ATTR_NOSUID | MOUNT_ATTR_RDONLY));
        let expected = [
            ("/home/u/p/.env", How::Hidden),
            ("/home/u/p/.git", rw),
            ("/home/u/p/.git/config", ro),
            ("/home/u/p/data", How::Never),
            ("/home/u/p/tmp", How::Never),
            ("/srv/it/.envrc", ro),
            ("/usr/secret", How::Hidden),
        ];
        assert_eq!((found.as_slice(), covers.again), (&expected[..], true));
        assert!(!plan(&spec("end")).unwrap().again);
        assert_eq!(plan(&spec("perhaps")), None);
    }
}
