//! Id-mapped mounts (config.md, `uidMappings` of a mount): which ids its files are seen with.
use super::ids::{self, View};
use super::mounts::{MAX_VALUE, What};
use crate::host::IdMap;
use oci_spec::runtime;

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

/// The mapping in terms of the container's ids: that is where the namespace for it is made.
pub(super) fn plan(
    mount: &runtime::Mount,
    option: Option<bool>,
    what: &What,
    view: &View,
) -> Result<Option<IdMapping>, String> {
    let given = |list: &Option<Vec<_>>| ids::given(list.as_ref());
    let (uid, gid) = (given(mount.uid_mappings()), given(mount.gid_mappings()));
    if uid.is_empty() != gid.is_empty() {
        return Err("id-mapped mounts must have both uid and gid mappings specified".to_owned());
    }
    for (field, map) in [("uidMappings", &uid), ("gidMappings", &gid)] {
        if let Some((at, problem)) = ids::impossible(map) {
            return Err(format!("{field}[{at}]: {problem}"));
        }
    }
    let recursive = match option {
        None if uid.is_empty() => return Ok(None),
        other => other.unwrap_or(false),
    };
    refuse_what_cannot_be(what)?;
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
fn refuse_what_cannot_be(what: &What) -> Result<(), String> {
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
