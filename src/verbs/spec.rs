//! `spec`: a config.json to start from. It needs no root: a user namespace in which the caller is uid 0, and nothing
//! that such a namespace may not do.
use super::Outcome;
use crate::cli::SpecArgs;
use crate::error::WithHint;
use anyhow::{Context, Result, anyhow};
use nix::unistd::{getegid, geteuid};
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};

/// The file, with `UID` and `GID` in the place of the caller's ids.
const TEMPLATE: &str = include_str!("../../profiles/config.json.in");

/// Runs the verb. The file is made anew (0666 less the umask); one that exists is not touched.
pub fn run(args: &SpecArgs) -> Result<Outcome> {
    let path = args.bundle.join("config.json");
    let mut file = match OpenOptions::new().write(true).create_new(true).open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            return Err(anyhow!("File config.json exists. Remove it first"))
                .hint(|| format!("it is {}; or name another directory with --bundle", path.display()));
        }
        Err(e) => return Err(e).with_context(|| format!("write {}", path.display())),
    };
    let text = config(geteuid().as_raw(), getegid().as_raw());
    file.write_all(text.as_bytes()).with_context(|| format!("write {}", path.display()))?;
    Ok(Outcome::default())
}

/// The text of the file for a caller with these ids: indented with tabs, without a newline at its end, as runc's.
pub fn config(uid: u32, gid: u32) -> String {
    TEMPLATE
        .trim_end()
        .replace("\"hostID\": UID", &format!("\"hostID\": {uid}"))
        .replace("\"hostID\": GID", &format!("\"hostID\": {gid}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::{LinuxNamespaceType, Spec};

    #[test]
    fn the_file_is_a_config_that_maps_the_caller_to_root() {
        let spec: Spec = serde_json::from_str(&config(1000, 100)).unwrap();
        assert_eq!(spec.version(), "1.0.2", "nothing in it is newer, and older runtimes refuse later versions");
        let linux = spec.linux().as_ref().unwrap();
        let ids = |maps: &Option<Vec<oci_spec::runtime::LinuxIdMapping>>| {
            maps.as_ref().unwrap().iter().map(|m| (m.container_id(), m.host_id(), m.size())).collect::<Vec<_>>()
        };
        assert_eq!(ids(linux.uid_mappings()), [(0, 1000, 1)]);
        assert_eq!(ids(linux.gid_mappings()), [(0, 100, 1)]);
        let namespaces = linux.namespaces().as_ref().unwrap();
        assert!(namespaces.iter().any(|ns| ns.typ() == LinuxNamespaceType::User));
        assert!(linux.resources().is_none(), "limits need a delegated cgroup");
        assert!(!config(1000, 100).contains("gid=5"), "the group is not mapped");
        assert!(!config(1, 2).ends_with('\n') && config(1, 2).contains("\n\t\"process\": {\n\t\t\"terminal\": true"));
    }
}
