//! What this machine and this user offer. A plain value that the plan is computed from, so that "no newuidmap here" is
//! a unit test and nothing below the plan asks the machine again.
use crate::error::{WithHint, with_hint};
use crate::short_file;
use crate::sys::process::{gid_at_start, uid_at_start};
use crate::sys::{capability, landlock};
use anyhow::{Context, Result, anyhow};
use nix::errno::Errno;
use nix::unistd::{AccessFlags, access};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Below this the mount API by descriptor is not whole; 6.1 and the newest kernels are the ones tested.
pub const OLDEST_KERNEL: (u32, u32) = (5, 14);
const CAP_SYS_ADMIN: u64 = 1 << 21;

/// The binary that we run from.
const EXE: &str = "/proc/self/exe";
/// The id of files whose owner has none in this user namespace (kernel.overflowuid, user_namespaces(7)).
const OVERFLOW: u32 = 65534;
/// The id that nobody has: to the kernel it means none.
const NO_ID: u32 = u32::MAX;

/// A run of ids: `size` of them from `outside` on appear as `inside` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdMap {
    /// First id in the user namespace.
    pub inside: u32,
    /// First id outside of it.
    pub outside: u32,
    /// How many.
    pub size: u32,
}

impl IdMap {
    /// The text that /proc/PID/uid_map takes (user_namespaces(7)).
    pub fn lines(map: &[IdMap]) -> String {
        map.iter().map(|m| format!("{} {} {}\n", m.inside, m.outside, m.size)).collect()
    }
}

/// Consecutive ids that /etc/subuid or /etc/subgid grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first id.
    pub start: u32,
    /// How many.
    pub size: u32,
}

impl Range {
    /// Whether there are such ids at all.
    fn exists(&self) -> bool {
        self.size > 0 && self.start.checked_add(self.size).is_some()
    }
}

/// Owner and mode of the running binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExeOwner {
    /// User id of the file.
    pub uid: u32,
    /// Group id of the file.
    pub gid: u32,
    /// Its permission bits.
    pub mode: u32,
}

impl ExeOwner {
    /// Looks at the running binary; `in_namespace`: as root of a user namespace that is not the initial one.
    fn probe(in_namespace: bool) -> Result<ExeOwner> {
        let exe = fs::metadata(EXE).context(EXE)?;
        let (uid, gid) = (exe.uid(), exe.gid());
        // There the kernel shows OVERFLOW for who has no id, and it is one that somebody may have, to whose file root could write.
        let nobodys =
            in_namespace && (uid, gid) == (OVERFLOW, OVERFLOW) && access(EXE, AccessFlags::W_OK) == Err(Errno::EACCES);
        let (uid, gid) = if nobodys { (NO_ID, NO_ID) } else { (uid, gid) };
        Ok(ExeOwner { uid, gid, mode: exe.mode() & 0o7777 })
    }
}

/// Security modules that label processes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Modules {
    /// AppArmor is on.
    pub apparmor: bool,
    /// SELinux is on.
    pub selinux: bool,
}

impl Modules {
    /// Asks the kernel.
    pub fn probe() -> Modules {
        let on = fs::read("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with(b"Y"));
        Modules { apparmor: on, selinux: Path::new("/sys/fs/selinux/enforce").exists() }
    }
}

/// The host as the plan sees it.
#[derive(Debug, Clone)]
pub struct Host {
    /// The caller's effective user id.
    pub uid: u32,
    /// The caller's effective group id.
    pub gid: u32,
    /// The caller already is root of a user namespace that is not the initial one (podman's and buildah's case).
    pub rootless_namespace: bool,
    /// The caller has CAP_SYS_ADMIN where it stands, so it may write any map of ids that it sees.
    pub privileged: bool,
    /// Ids of the caller's own user namespace, in which the container stays where the caller is privileged; none else: who
    /// is not gets a new one.
    pub uid_map: Vec<IdMap>,
    /// Group ids, the same.
    pub gid_map: Vec<IdMap>,
    /// Ranges of /etc/subuid for the caller.
    pub subuids: Vec<Range>,
    /// Ranges of /etc/subgid for the caller.
    pub subgids: Vec<Range>,
    /// newuidmap and newgidmap, when both are installed.
    pub map_helpers: Option<(PathBuf, PathBuf)>,
    /// Who could write to the file we run from.
    pub exe: ExeOwner,
    /// Which security modules are on; none when no label is wanted.
    pub modules: Modules,
    /// Which Landlock the kernel has; 0 for none, and when it is not wanted.
    pub landlock_abi: u32,
}

/// What only some plans ask of a host, and others need not wait for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wants {
    /// Subordinate ids.
    pub subids: bool,
    /// Security modules.
    pub labels: bool,
    /// Landlock.
    pub landlock: bool,
}

impl Host {
    /// Looks at the machine, as far as the plan `wants` it.
    pub fn probe(wants: Wants) -> Result<Host> {
        let privileged = capability::get().context("capget")?.effective & CAP_SYS_ADMIN != 0;
        let map = |file| if privileged { parse_id_map(&read(file)?) } else { Ok(Vec::new()) };
        let (uid_map, gid_map) = (map("/proc/self/uid_map")?, map("/proc/self/gid_map")?);
        let rootless_namespace = privileged && !is_identity(&uid_map);
        let mut host = Host {
            uid: uid_at_start(),
            gid: gid_at_start(),
            rootless_namespace,
            privileged,
            uid_map,
            gid_map,
            subuids: Vec::new(),
            subgids: Vec::new(),
            map_helpers: None,
            exe: ExeOwner::probe(rootless_namespace)?,
            modules: if wants.labels { Modules::probe() } else { Modules::default() },
            landlock_abi: if wants.landlock { landlock::abi() } else { 0 },
        };
        if wants.subids && !privileged {
            host.probe_subids()?;
        }
        Ok(host)
    }

    fn probe_subids(&mut self) -> Result<()> {
        self.map_helpers = find_program("newuidmap").zip(find_program("newgidmap"));
        if self.map_helpers.is_none() {
            return Ok(());
        }
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let name = user_name(&passwd, self.uid);
        if subids_come_from_nss() {
            self.subuids = getsubids(&[], name, self.uid)?;
            self.subgids = getsubids(&["-g"], name, self.uid)?;
            return Ok(());
        }
        self.subuids = parse_subids(&fs::read_to_string("/etc/subuid").unwrap_or_default(), name, self.uid);
        self.subgids = parse_subids(&fs::read_to_string("/etc/subgid").unwrap_or_default(), name, self.uid);
        Ok(())
    }
}

fn read(path: &str) -> Result<String> {
    short_file::read(path).with_context(|| path.to_owned())
}

/// `error`, with the kernel's age as its reason where that is one. Asked only now: what an old kernel lacks fails by itself.
pub fn blame_old_kernel(error: anyhow::Error) -> anyhow::Error {
    let names = nix::sys::utsname::uname();
    match names.map(|names| too_old(&names.release().to_string_lossy())) {
        Ok(Some(reason)) => with_hint(error, reason),
        _ => error,
    }
}

fn too_old(release: &str) -> Option<String> {
    let (major, minor) = OLDEST_KERNEL;
    let old = kernel_version(release) < OLDEST_KERNEL;
    old.then(|| format!("Linux {release} is too old: rrunc needs {major}.{minor} or newer"))
}

/// The first two numbers of a kernel's release; zero for what is none.
pub fn kernel_version(release: &str) -> (u32, u32) {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// Reads /proc/PID/uid_map or gid_map (user_namespaces(7)).
pub fn parse_id_map(text: &str) -> Result<Vec<IdMap>> {
    text.lines()
        .map(|line| {
            let mut fields = line.split_ascii_whitespace().map(str::parse);
            match (fields.next(), fields.next(), fields.next(), fields.next()) {
                (Some(Ok(inside)), Some(Ok(outside)), Some(Ok(size)), None) => Ok(IdMap { inside, outside, size }),
                _ => Err(anyhow!("id map: unexpected line {line:?}")),
            }
        })
        .collect()
}

fn is_identity(map: &[IdMap]) -> bool {
    map == [IdMap { inside: 0, outside: 0, size: u32::MAX }]
}

/// The name of `uid` in the text of an /etc/passwd. By hand: static glibc has no name service.
pub fn user_name(passwd: &str, uid: u32) -> Option<&str> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    })
}

/// The home directory of `uid` in the text of an /etc/passwd.
pub fn home_of(passwd: &str, uid: u32) -> Option<&str> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':').skip(2);
        let own = fields.next()?.parse() == Ok(uid);
        fields.nth(2).filter(|home| own && home.starts_with('/'))
    })
}

/// The ranges that the text of an /etc/subuid or /etc/subgid (subuid(5)) grants the user, by name or number.
pub fn parse_subids(text: &str, name: Option<&str>, uid: u32) -> Vec<Range> {
    let number = uid.to_string();
    text.lines()
        .filter_map(|line| {
            let mut fields = line.trim().split(':');
            let owner = fields.next()?;
            let (start, size) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
            (owner == number || Some(owner) == name).then_some(Range { start, size })
        })
        .filter(Range::exists)
        .collect()
}

fn subids_come_from_nss() -> bool {
    let text = fs::read_to_string("/etc/nsswitch.conf").unwrap_or_default();
    let entry = text.lines().find_map(|line| line.trim().strip_prefix("subid:"));
    entry.is_some_and(|sources| sources.split_ascii_whitespace().any(|source| source != "files"))
}

/// Asks getsubids(1), which knows sssd and the like. Its lines read `0: NAME START COUNT`.
fn getsubids(kind: &[&str], name: Option<&str>, uid: u32) -> Result<Vec<Range>> {
    let user = name.map_or_else(|| uid.to_string(), str::to_owned);
    let program = find_program("getsubids").context("it is not installed");
    let output = program.and_then(|program| Ok(std::process::Command::new(program).args(kind).arg(&user).output()?));
    let output = output
        .context("getsubids (nsswitch.conf names a source of subids that is not a file)")
        .hint(|| "install getsubids (package uidmap or shadow-utils)")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let range = |line: &str| {
        let mut fields = line.split_ascii_whitespace().skip(2);
        Some(Range { start: fields.next()?.parse().ok()?, size: fields.next()?.parse().ok()? })
    };
    Ok(text.lines().filter_map(range).filter(Range::exists).collect())
}

/// Where distributions put programs.
const SYSTEM: [&str; 6] = ["/usr/bin", "/usr/sbin", "/bin", "/sbin", "/usr/local/bin", "/usr/local/sbin"];

/// Finds a program of the system's: where distributions put them, since clients call with an almost empty environment, else
/// in a directory of PATH. There directory and file have to be root's and writable to nobody else, for rrunc runs it outside of
/// any sandbox: the first directory of PATH may be one that a sandbox has filled (`.venv/bin`).
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let of_system = SYSTEM.iter().map(|dir| Path::new(dir).join(name)).find(|file| is_executable(file));
    let of_path = || {
        let dirs = std::env::split_paths(&path).filter(|dir| dir.is_absolute() && is_roots(dir));
        dirs.map(|dir| dir.join(name)).find(|file| is_executable(file) && is_roots(file))
    };
    of_system.or_else(of_path)
}

/// Whether only root may change it; in a user namespace root is shown by another id.
fn is_roots(path: &Path) -> bool {
    let roots = fs::metadata("/").map_or(0, |meta| meta.uid());
    fs::metadata(path).is_ok_and(|meta| [0, roots].contains(&meta.uid()) && meta.mode() & 0o022 == 0)
}

fn is_executable(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_compared_by_number() {
        assert_eq!((too_old("6.1.0-13-amd64"), too_old("5.14")), (None, None));
        assert!(too_old("5.4.0").is_some_and(|reason| reason.contains("5.14 or newer")));
        assert!(too_old("garbage").is_some());
    }

    #[test]
    fn subids_go_by_name_and_by_number_and_skip_nonsense() {
        let text = "ann:100000:65536\n1000:300000:10\nbob:1:2\nann:4294967295:2\nann:x:1\nann:5:0\n:::\n";
        let ranges = parse_subids(text, Some("ann"), 1000);
        assert_eq!(ranges, [Range { start: 100000, size: 65536 }, Range { start: 300000, size: 10 }]);
        assert!(parse_subids(text, None, 7).is_empty());
    }

    #[test]
    fn id_maps_are_read_as_the_kernel_prints_them() {
        let map = parse_id_map("         0       1000          1\n         1     100000      65536\n").unwrap();
        assert_eq!(map[1], IdMap { inside: 1, outside: 100000, size: 65536 });
        assert!(!is_identity(&map));
        assert!(is_identity(&parse_id_map("         0          0 4294967295\n").unwrap()));
        assert!(parse_id_map("1 2").is_err());
    }

    #[test]
    fn names_come_from_passwd_lines() {
        assert_eq!(user_name("root:x:0:0::/:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n", 1000), Some("ann"));
        assert_eq!(user_name("broken\n::\n", 1000), None);
        assert_eq!(home_of("root:x:0:0::/:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n", 1000), Some("/home/ann"));
        assert_eq!(home_of("broken\n::\nann:x:1000:1000::home:\n", 1000), None);
    }
}
