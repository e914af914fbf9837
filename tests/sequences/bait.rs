//! What must stay as it is and unread: the caller's files, his variables and processes, the rrunc binary, and what of a
//! project is hidden or protected.
use crate::finding::{Finding, Kind};
use crate::plan::REPLACED;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Every secret begins with it.
pub const SECRET: &str = "hunter2-the-secret";
/// That of what the host mounts below a project while sandboxes run. One that is called afterwards may see it.
pub const LATE_SECRET: &str = "hunter2-the-secret of a late mount";
/// What the attacker writes.
pub const OVERWRITTEN: &[u8] = b"OVERWRITTEN";
/// A hidden or protected file that the host replaces is covered again within this many milliseconds.
pub const GRACE: u64 = 1500;

/// The time in milliseconds that all processes of a machine agree on.
pub fn now() -> u64 {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).expect("the time");
    u64::try_from(time.tv_sec() * 1000 + time.tv_nsec() / 1_000_000).expect("after boot")
}

/// A file as it was: where it lies on its file system, who may do what with it, and what is in it.
#[derive(PartialEq, Eq, Debug)]
struct Seen {
    inode: (u64, u64),
    owner: (u32, u32, u32),
    content: Vec<u8>,
}

/// A file of the project that the host has replaced.
struct Replaced {
    name: String,
    when: u64,
}

/// All of it.
pub struct Bait {
    dir: PathBuf,
    before: BTreeMap<PathBuf, Seen>,
    replaced: Vec<Replaced>,
    bystander: Child,
}

impl Bait {
    /// Lays it out below `dir`, in which rrunc has been copied already.
    pub fn new(dir: &Path, project: bool) -> Bait {
        let secret = |name: &str| put(&dir.join(name), &format!("{SECRET} of {name}\n"));
        for name in ["outside/secret", "outside/sub/secret", "outside/pts/0", "outside/null", "home/.ssh/id_ed25519"] {
            secret(name);
        }
        if project {
            for name in REPLACED {
                put(&dir.join("project").join(name), &first_text(name));
            }
            put(&dir.join("project/.git/HEAD"), "ref: refs/heads/main\n");
            for name in [".git/objects", ".git/refs", "vault"] {
                private(&dir.join("project").join(name));
            }
        }
        let mut sleep = Command::new("sleep");
        let sleep = sleep.arg("1000").current_dir(dir.join("outside")).stdin(Stdio::null()).stdout(Stdio::null());
        let bystander = sleep.spawn().expect("sleep");
        let mut bait = Bait { dir: dir.to_owned(), before: BTreeMap::new(), replaced: Vec::new(), bystander };
        bait.before = bait.look();
        bait
    }

    /// The host's deed: a new file under an old name, by rename.
    pub fn replace(&mut self, name: &str) {
        let path = self.dir.join("project").join(name);
        let text = format!("{}-fresh-{}\n", first_text(name).trim_end(), self.replaced.len());
        let new = self.dir.join("replacement");
        if fs::write(&new, &text).and_then(|()| fs::rename(&new, &path)).is_ok() {
            self.replaced.push(Replaced { name: name.to_owned(), when: now() });
            if let Some(seen) = see(&path).filter(|_| REPLACED[2..].contains(&name)) {
                self.before.insert(path, seen);
            }
        }
    }

    /// What is watched: `outside` and everything in it, keys, the binary, the bundle's configuration, protected files.
    fn look(&self) -> BTreeMap<PathBuf, Seen> {
        let mut found = BTreeMap::new();
        let mut left: Vec<PathBuf> = ["outside", "home/.ssh", "rrunc", "bundle/config.json"]
            .iter()
            .map(|name| self.dir.join(name))
            .chain(REPLACED[2..].iter().map(|name| self.dir.join("project").join(name)))
            .collect();
        while let Some(path) = left.pop() {
            let Some(seen) = see(&path) else { continue };
            if path.is_dir() {
                left.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
            }
            found.insert(path, seen);
        }
        found
    }

    /// Everything that is not as it was. `weak` is a sandbox that says itself that hidden and protected files are not
    /// safe. `late_is_shown`: one was called after the host had mounted something.
    pub fn check(&mut self, outputs: &str, weak: bool, late_is_shown: bool) -> Vec<Finding> {
        let mut findings = Vec::new();
        let after = self.look();
        let project = self.dir.join("project");
        for (path, seen) in &self.before {
            let now = after.get(path);
            if now == Some(seen) || path.starts_with(&project) && (weak || self.excused(path, now)) {
                continue;
            }
            let what = match now {
                None => "is gone".to_owned(),
                Some(now) if now.content != seen.content => {
                    format!(
                        "is changed: {}",
                        String::from_utf8_lossy(&now.content[..now.content.len().min(200)]).escape_debug()
                    )
                }
                Some(now) => format!("was {:?} {:?} and is {:?} {:?}", seen.inode, seen.owner, now.inode, now.owner),
            };
            findings.push(Finding::new(Kind::Changed, format!("{} {what}", path.display())));
        }
        for path in after.keys().filter(|path| !self.before.contains_key(*path)) {
            findings.push(Finding::new(Kind::Changed, format!("{} is new", path.display())));
        }
        let lines: BTreeSet<&str> = outputs.lines().filter(|line| line.contains(SECRET)).collect();
        for line in lines {
            if late_is_shown && line.contains(LATE_SECRET) {
                continue;
            }
            if !(self.is_of_project(line) && (weak || self.was_in_time(line))) {
                findings.push(Finding::new(Kind::Read, line.chars().take(300).collect::<String>()));
            }
        }
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.bystander.id())).unwrap_or_default();
        if !stat.contains(") S ") {
            findings.push(Finding::new(Kind::Process, format!("a process of the host is no longer asleep: {stat}")));
        }
        findings
    }

    /// Whether the program can have changed it in the moment in which the host's new file was not yet covered.
    fn excused(&self, path: &Path, now: Option<&Seen>) -> bool {
        let last = self.replaced.iter().rfind(|replaced| path.ends_with(&replaced.name));
        let meta = fs::symlink_metadata(path).ok();
        let changed = meta.map(|meta| u64::try_from(meta.ctime()).unwrap_or(0) * 1000);
        let real = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        let offset = u64::try_from(real.as_millis()).expect("small") - self::now();
        now.is_some() && last.zip(changed).is_some_and(|(last, changed)| changed <= last.when + offset + GRACE)
    }

    fn is_of_project(&self, line: &str) -> bool {
        REPLACED.iter().any(|name| line.contains(first_text(name).trim_end()))
    }

    /// Whether what a line tells was read while such a file was replaced: `LOOT TIME PATH TEXT`. The old one, too, is
    /// there uncovered for a moment.
    fn was_in_time(&self, line: &str) -> bool {
        let time =
            line.split_once(crate::inside::LOOT).and_then(|(_, rest)| rest.split(' ').next()?.parse::<u64>().ok());
        let in_time = |replaced: &Replaced| {
            line.contains(first_text(&replaced.name).trim_end())
                && time.is_some_and(|time| time + 100 >= replaced.when && time <= replaced.when + GRACE)
        };
        self.replaced.iter().any(in_time)
    }

    /// Files below the project by which others would get the caller's id.
    pub fn set_id(&self) -> Vec<Finding> {
        let entries = fs::read_dir(self.dir.join("project")).into_iter().flatten().flatten();
        let is_set =
            |path: &Path| fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file() && meta.mode() & 0o6000 != 0);
        let all = entries.map(|entry| entry.path()).filter(|path| is_set(path));
        all.map(|path| Finding::new(Kind::Changed, format!("{} is set-id", path.display()))).collect()
    }

    /// Pid of the process that nobody may touch.
    pub fn bystander(&self) -> u32 {
        self.bystander.id()
    }
}

impl Drop for Bait {
    fn drop(&mut self) {
        self.bystander.kill().and_then(|()| self.bystander.wait()).expect("end the bystander");
    }
}

/// The first two are secrets; the others must not be changed, and may be read.
fn first_text(name: &str) -> String {
    let secret = REPLACED[..2].contains(&name);
    format!("{} of the project: {}\n", if secret { SECRET } else { "# text" }, name.replace('/', "-"))
}

fn see(path: &Path) -> Option<Seen> {
    let meta = fs::symlink_metadata(path).ok()?;
    let content = match meta.file_type() {
        kind if kind.is_file() => fs::read(path).unwrap_or_default(),
        kind if kind.is_symlink() => fs::read_link(path).ok()?.into_os_string().into_encoded_bytes(),
        _ => Vec::new(),
    };
    Some(Seen { inode: (meta.dev(), meta.ino()), owner: (meta.mode(), meta.uid(), meta.gid()), content })
}

fn private(dir: &Path) {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).expect("make a directory");
}

fn put(path: &Path, text: &str) {
    private(path.parent().expect("a directory"));
    fs::write(path, text).expect("write");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("chmod");
}
