//! Landlock, for which OCI has no word: the annotation `org.rrunc.landlock`, a list of what the program gives up.
//!
//! It only ever narrows what mounts, ids and namespaces leave, so any bundle may ask for it. What the kernel lacks is
//! left out and said in the debug log; who depends on it asks [`abi`] first.
use super::{Findings, Process, mounts};
use crate::sys::landlock::*;
use oci_spec::runtime::Spec;
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

/// The annotation: `files`, `abstract-sockets`, `signals`, separated by commas.
pub const LANDLOCK: &str = "org.rrunc.landlock";

/// The first ABI with scopes for abstract unix sockets and signals.
pub const SCOPES: u32 = 6;

/// All that changes the tree of files. Reading and executing are left alone, and so are the controls of devices, which
/// no mount option forbids either.
const CHANGES: u64 = WRITE_FILE
    | REMOVE_DIR
    | REMOVE_FILE
    | MAKE_CHAR
    | MAKE_DIR
    | MAKE_REG
    | MAKE_SOCK
    | MAKE_FIFO
    | MAKE_BLOCK
    | MAKE_SYM
    | REFER;

/// What the program gives up, as this kernel can enforce it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Landlock {
    /// Rights over files: kept beneath `writable` and given up elsewhere.
    pub handled: u64,
    /// What of the world outside is out of reach.
    pub scoped: u64,
    /// The places beneath which files may be changed.
    pub writable: Vec<PathBuf>,
}

/// What the annotation asks for and a kernel with `abi` has.
pub(super) fn plan(spec: &Spec, process: &Process, abi: u32, findings: &mut Findings) -> Option<Landlock> {
    let annotations = spec.annotations().as_ref()?;
    let (handled, scoped) = rights(annotations.get(LANDLOCK)?, abi, findings);
    if !process.no_new_privs {
        findings.problem("process.noNewPrivileges", format!("has to be true for the annotation {LANDLOCK}"));
    }
    let writable = if handled == 0 { Vec::new() } else { writable(spec) };
    (handled | scoped != 0).then_some(Landlock { handled, scoped, writable })
}

fn rights(list: &str, abi: u32, findings: &mut Findings) -> (u64, u64) {
    let (mut handled, mut scoped) = (0, 0);
    let (mut enforced, mut missing) = (Vec::new(), Vec::new());
    for word in list.split(',') {
        let there = match word {
            // ABI 1 would refuse every rename and link between directories, which programs do not expect.
            "files" => abi >= 2,
            "abstract-sockets" | "signals" => abi >= SCOPES,
            _ => {
                let known = "files, abstract-sockets and signals are known, separated by commas without blanks";
                findings.problem(&format!("annotations[{LANDLOCK:?}]"), format!("{word:?} is unknown: {known}"));
                continue;
            }
        };
        match word {
            _ if !there => {}
            "files" => handled = if abi >= 3 { CHANGES | TRUNCATE } else { CHANGES },
            "signals" => scoped |= SIGNAL,
            _ => scoped |= ABSTRACT_UNIX_SOCKET,
        }
        if there { enforced.push(word) } else { missing.push(word) }
    }
    let words = |list: &[&str]| if list.is_empty() { "none".to_owned() } else { list.join(", ") };
    findings.note(format!("landlock ABI {abi}: enforced: {}; not enforced: {}", words(&enforced), words(&missing)));
    (handled, scoped)
}

/// The places that the configuration mounts writable, the root among them, and /dev, where the nodes are. Few: one that
/// is surely beneath another needs no rule of its own.
fn writable(spec: &Spec) -> Vec<PathBuf> {
    let read_only = spec.root().as_ref().and_then(|root| root.readonly()).unwrap_or(false);
    if !read_only {
        return vec![PathBuf::from("/")];
    }
    let mut places: BTreeMap<PathBuf, Place> = BTreeMap::new();
    let mounts = spec.mounts().iter().flatten().enumerate();
    for (at, mount) in mounts {
        let path = Path::new("/").join(mount.destination());
        let Some(writable) = mounts::writable(mount) else { continue };
        // The last one at a place is the one that is seen.
        places.insert(path, Place { at, writable, ours: mounts::starts_empty(mount) });
    }
    let dev = Path::new("/dev");
    if !places.get(dev).is_some_and(|place| place.writable) {
        places.insert(dev.to_owned(), Place { at: usize::MAX, writable: true, ours: false });
    }
    let needed = places.iter().filter(|(path, place)| place.writable && !is_covered(path, &places));
    let mut needed: Vec<_> = needed.map(|(path, place)| (place.at, path.clone())).collect();
    needed.sort();
    needed.into_iter().map(|(_, path)| path).collect()
}

struct Place {
    /// Its number among the mounts.
    at: usize,
    writable: bool,
    /// All directories in it on the way to further mounts are made by us.
    ours: bool,
}

/// Whether the mount right around `path` is writable and leads to it for sure. In a directory of an image or of the
/// host some name on the way may be a link to elsewhere.
fn is_covered(path: &Path, places: &BTreeMap<PathBuf, Place>) -> bool {
    if path.components().any(|part| part == Component::ParentDir) {
        return false;
    }
    // Looked up by each directory above: there may be thousands of places.
    let around = path.ancestors().skip(1).find_map(|dir| places.get(dir));
    around.is_some_and(|nearest| nearest.writable && nearest.ours)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec(readonly: bool, mounts: &[(&str, &str, &[&str])]) -> Spec {
        let mounts: Vec<_> = mounts
            .iter()
            .map(|(destination, kind, options)| {
                json!({"destination": destination, "type": kind, "source": "x", "options": options})
            })
            .collect();
        let root = json!({"path": "rootfs", "readonly": readonly});
        serde_json::from_value(json!({"ociVersion": "1.0.2", "root": root, "mounts": mounts})).unwrap()
    }

    #[test]
    fn each_abi_gives_what_it_has_and_the_rest_is_noted() {
        let all = "files,abstract-sockets,signals";
        for (abi, handled, scoped) in [
            (0, 0, 0),
            (1, 0, 0),
            (2, CHANGES, 0),
            (3, CHANGES | TRUNCATE, 0),
            (5, CHANGES | TRUNCATE, 0),
            (6, CHANGES | TRUNCATE, ABSTRACT_UNIX_SOCKET | SIGNAL),
            (99, CHANGES | TRUNCATE, ABSTRACT_UNIX_SOCKET | SIGNAL),
        ] {
            let mut findings = Findings::default();
            assert_eq!(rights(all, abi, &mut findings), (handled, scoped), "ABI {abi}");
            assert!(findings.problems.is_empty());
        }
        let mut findings = Findings::default();
        rights(all, 2, &mut findings);
        assert_eq!(findings.notes, ["landlock ABI 2: enforced: files; not enforced: abstract-sockets, signals"]);
        assert_eq!(rights("signals", 7, &mut findings), (0, SIGNAL));
    }

    #[test]
    fn unknown_words_are_problems() {
        for list in ["", "files,", "file", "files, signals", "signals;files", "true"] {
            let mut findings = Findings::default();
            rights(list, 7, &mut findings);
            assert_eq!(findings.problems.len(), 1, "{list:?}: {:?}", findings.problems);
            assert!(findings.problems[0].starts_with("annotations[\"org.rrunc.landlock\"]: "));
        }
    }

    #[test]
    fn places_are_the_writable_mounts_and_dev() {
        let paths = |readonly, mounts: &[_]| writable(&spec(readonly, mounts));
        assert_eq!(paths(false, &[("/data", "tmpfs", &[])]), [Path::new("/")]);
        assert_eq!(paths(true, &[]), [Path::new("/dev")]);
        let listed = paths(
            true,
            &[
                ("/proc", "proc", &["nosuid"]),
                ("/dev", "tmpfs", &["nosuid"]),
                ("/dev/shm", "tmpfs", &["mode=1777"]),
                ("/sys", "sysfs", &["ro"]),
                ("/usr", "none", &["rbind", "rro"]),
                ("data", "none", &["bind", "ro", "rw"]),
                ("/later", "tmpfs", &[]),
                ("/later", "none", &["remount", "bind", "ro"]),
                ("/never", "tmpfs", &["ro"]),
                ("/never", "none", &["remount", "bind", "nosuid"]),
                ("/again", "none", &["bind", "ro"]),
                ("/again", "none", &["bind"]),
            ],
        );
        assert_eq!(listed, ["/proc", "/dev", "/data", "/again"].map(PathBuf::from));
    }

    #[test]
    fn a_place_in_a_directory_not_made_by_us_has_a_rule_of_its_own() {
        let tmpfs: (&str, &str, &[&str]) = ("/home/u", "tmpfs", &[]);
        let project: (&str, &str, &[&str]) = ("/home/u/p", "none", &["rbind"]);
        let git: (&str, &str, &[&str]) = ("/home/u/p/.git", "none", &["rbind"]);
        let places = |mounts: &[_]| writable(&spec(true, mounts));
        assert_eq!(places(&[tmpfs, project]), ["/home/u", "/dev"].map(PathBuf::from));
        assert_eq!(places(&[tmpfs, project, git]), ["/home/u", "/home/u/p/.git", "/dev"].map(PathBuf::from));
        let copied: (&str, &str, &[&str]) = ("/home/u", "tmpfs", &["tmpcopyup"]);
        assert_eq!(places(&[copied, project]), ["/home/u", "/home/u/p", "/dev"].map(PathBuf::from));
        let read_only: (&str, &str, &[&str]) = ("/home/u", "tmpfs", &["ro"]);
        assert_eq!(places(&[read_only, project]), ["/home/u/p", "/dev"].map(PathBuf::from));
        let odd: (&str, &str, &[&str]) = ("/home/u/../v", "tmpfs", &[]);
        assert_eq!(places(&[tmpfs, odd]), ["/home/u", "/home/u/../v", "/dev"].map(PathBuf::from));
    }

    #[test]
    fn the_mount_around_is_the_nearest_of_many() {
        // A private file system with as many places in it as may be hidden, each in a directory that is mounted itself.
        let names: Vec<[String; 2]> =
            (0..20_000).map(|number| [format!("/t/{number}"), format!("/t/{number}/in/git")]).collect();
        let tmpfs: (&str, &str, &[&str]) = ("/t", "tmpfs", &[]);
        let inner = names
            .iter()
            .flat_map(|[dir, git]| [(dir.as_str(), "none", &["rbind"][..]), (git.as_str(), "none", &["rbind"][..])]);
        let places = writable(&spec(true, &std::iter::once(tmpfs).chain(inner).collect::<Vec<_>>()));
        // Those in the file system of ours need no rule, those in directories of the host do.
        assert_eq!(places.len(), 2 + names.len());
        assert!(names.iter().zip(&places[1..]).all(|([_, git], place)| Path::new(git) == place));
    }
}
