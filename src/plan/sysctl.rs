//! Kernel parameters: only those that belong to a namespace of the container (sysctl in config-linux.md).
use super::Findings;
use super::namespaces::{Kind, Namespaces};
use oci_spec::runtime::Spec;

const IPC: [&str; 11] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.msg_next_id",
    "kernel.sem",
    "kernel.sem_next_id",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_next_id",
    "kernel.shm_rmid_forced",
];

/// Written by a call of its own: inside a user namespace the file refuses it.
const DOMAIN_NAME: &str = "kernel.domainname";

/// The domain name, where it is set as a kernel parameter.
pub(super) fn domain_name(spec: &Spec) -> Option<&String> {
    let listed = spec.linux().as_ref()?.sysctl().as_ref()?;
    listed.get(DOMAIN_NAME).or_else(|| listed.get("kernel/domainname"))
}

fn not_separate(key: &str, at: &str, hint: String, findings: &mut Findings) {
    findings.mendable(at, format!("sysctl {key:?} is not in a separate kernel namespace"), hint);
}

/// The namespace that `key` (with dots) belongs to.
fn namespace_of(key: &str) -> Option<Kind> {
    match key {
        _ if IPC.contains(&key) || key.starts_with("fs.mqueue.") => Some(Kind::Ipc),
        _ if key.starts_with("net.") => Some(Kind::Network),
        _ if key.starts_with("user.") => Some(Kind::User),
        _ => None,
    }
}

pub(super) fn plan(spec: &Spec, namespaces: &Namespaces, findings: &mut Findings) -> Vec<(String, String)> {
    let Some(listed) = spec.linux().as_ref().and_then(|l| l.sysctl().as_ref()) else { return Vec::new() };
    let mut found = Vec::new();
    for (name, value) in listed {
        // Names with slashes may hold dots in their parts (net/ipv4/conf/eth0.1/…), and the other way round.
        let dots_first = name.find('.').unwrap_or(usize::MAX) < name.find('/').unwrap_or(usize::MAX);
        let swap = |c: char| match c {
            '.' => '/',
            '/' => '.',
            other => other,
        };
        let file: String = if dots_first { name.chars().map(swap).collect() } else { name.clone() };
        let key: String = file.chars().map(swap).collect();
        let at = format!("linux.sysctl.{name}");
        if file.split('/').any(|part| part.is_empty() || part == ".." || part == ".") {
            findings.problem(&at, "not a name of a kernel parameter");
        } else if key == "kernel.hostname" {
            let problem = format!("sysctl {key:?} is not allowed as it conflicts with the OCI \"hostname\" field");
            findings.mendable(&at, problem, "set it by that field");
        } else if key == DOMAIN_NAME {
            if spec.domainname().as_ref().is_some_and(|own| !own.is_empty() && own != value) {
                findings.mendable(&at, "is another name than the field \"domainname\" has", "leave one of them out");
            } else if !namespaces.has(Kind::Uts) {
                not_separate(&key, &at, Kind::Uts.hint(), findings);
            }
        } else if !namespace_of(&key).is_some_and(|kind| namespaces.has(kind)) {
            let hint = namespace_of(&key).map_or_else(
                || "a parameter of the whole host is set there, by root: `sudo sysctl -w`".to_owned(),
                Kind::hint,
            );
            not_separate(&key, &at, hint, findings);
        } else {
            found.push((file, value.clone()));
        }
    }
    found.sort();
    found
}
