//! The commands that are measured, and the bundles they run.
use crate::{filter, libseccomp};
use rrunc::seccomp::abi::Machine;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Seek};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// rrunc's default profile for the architectures of this machine only: older peers refuse names they do not know.
pub fn seccomp() -> io::Result<Value> {
    let mut profile: Value = serde_json::from_str(include_str!("../../profiles/seccomp/default.json"))?;
    profile["architectures"] = match std::env::consts::ARCH {
        "x86_64" => json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]),
        "aarch64" => json!(["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]),
        _ => json!([]),
    };
    Ok(profile)
}

/// One command on one bundle.
pub struct Case {
    /// Who runs it.
    pub name: &'static str,
    /// `plain`, `net` (and cgroup namespaces), `full` (and a seccomp profile), `overlay` (plain, its rootfs on one), `mounts`
    /// (plain and 1,000 binds), the profile's name, or a project.
    pub bundle: &'static str,
    /// What is called.
    pub program: PathBuf,
    /// And how.
    pub arguments: Vec<OsString>,
    /// OCI runtimes want a fresh id for every call, at the end of the arguments.
    pub takes_id: bool,
    /// Where.
    pub cwd: PathBuf,
    /// XDG_RUNTIME_DIR.
    pub runtime_dir: PathBuf,
    /// HOME, if it has one.
    pub home: Option<PathBuf>,
    /// What the call before has kept, and this one must not find.
    pub forgotten: Option<PathBuf>,
    /// A file that the command inherits and reads from the beginning.
    pub filter: Option<File>,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {})", self.name, self.bundle, self.program.display())
    }
}

impl Case {
    /// The command of this round.
    pub fn command(&self, round: usize) -> Command {
        if let Some(kept) = &self.forgotten
            && kept.exists()
        {
            fs::remove_dir_all(kept).expect("a directory of ours");
        }
        if let Some(mut filter) = self.filter.as_ref() {
            filter.rewind().expect("a file of ours");
        }
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).current_dir(&self.cwd);
        command.env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin").env("XDG_RUNTIME_DIR", &self.runtime_dir);
        command.envs(self.home.iter().map(|home| ("HOME", home)));
        if self.takes_id {
            command.arg(format!("bench-{round}"));
        }
        command
    }
}

/// Where all commands find what they need.
pub struct Place {
    /// XDG_RUNTIME_DIR, on a tmpfs.
    pub runtime_dir: PathBuf,
    /// busybox alone.
    pub rootfs: PathBuf,
    /// It, on the host.
    pub busybox: PathBuf,
    /// rrunc, as a file of the caller's own.
    pub owned: PathBuf,
}

/// Makes the place in `dir`.
pub fn prepare(dir: &Path) -> io::Result<Place> {
    let runtime_dir = fs::canonicalize(dir.join("run"))?;
    let rootfs = dir.join("rootfs");
    let busybox = find("busybox")?;
    fill(&rootfs, &busybox)?;
    let owned = dir.join("rrunc");
    // The account that measures need not be able to read the build directory.
    let built = std::env::var_os("RRUNC_BENCH_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_rrunc").into());
    fs::copy(built, &owned)?;
    fs::set_permissions(&owned, fs::Permissions::from_mode(0o755))?;
    Ok(Place { runtime_dir, rootfs, busybox, owned })
}

impl Place {
    /// A program that runs no bundle.
    fn case(&self, name: &'static str, bundle: &'static str, arguments: Vec<OsString>, cwd: &Path) -> io::Result<Case> {
        let program = match name {
            "spawn alone" => self.busybox.clone(),
            "bubblewrap" => find("bwrap")?,
            _ => std::env::current_exe()?,
        };
        let (cwd, runtime_dir) = (cwd.to_owned(), self.runtime_dir.clone());
        let (home, forgotten, filter) = (None, None, None);
        Ok(Case { name, bundle, program, arguments, takes_id: false, cwd, runtime_dir, home, forgotten, filter })
    }

    /// A runtime on the bundle in `cwd`.
    fn runtime(&self, name: &'static str, bundle: &'static str, program: PathBuf, cwd: &Path) -> io::Result<Case> {
        Ok(Case { program, takes_id: true, ..self.case(name, bundle, vec!["run".into()], cwd)? })
    }
}

/// Makes the bundles under `dir` and lists every case; runtimes that are not installed are an error.
pub fn all(dir: &Path) -> io::Result<Vec<Case>> {
    let (place, mut cases) = usual(dir)?;
    special(&place, dir, &mut cases)?;
    Ok(cases)
}

/// The bundles `plain`, `net` and `full`.
pub fn usual(dir: &Path) -> io::Result<(Place, Vec<Case>)> {
    let place = prepare(dir)?;
    let ours = dir.join("ours");
    fs::write(&ours, crate::floor::filter(seccomp()?)?)?;
    let mut cases = vec![place.case("spawn alone", "none", vec!["true".into()], dir)?];
    for bundle in ["plain", "net", "full"] {
        let path = dir.join(bundle);
        let profile = if bundle == "full" { Some(seccomp()?) } else { None };
        make_bundle(&path, &place.rootfs, bundle != "plain", profile)?;
        let mut floor: Vec<OsString> = vec!["floor".into(), bundle.into(), place.rootfs.clone().into()];
        if bundle == "full" {
            floor.push(ours.clone().into());
        }
        cases.push(place.case("floor", bundle, floor, dir)?);
        cases.push(place.runtime("rrunc (caller's binary)", bundle, place.owned.clone(), &path)?);
        if let Some(program) = std::env::var_os("RRUNC_BENCH_ROOT_OWNED") {
            cases.push(place.runtime("rrunc (root's binary)", bundle, program.into(), &path)?);
        }
        if bundle != "full" {
            cases.push(place.case("bubblewrap", bundle, bubblewrap(bundle, &place.rootfs), dir)?);
        }
        cases.push(place.runtime("crun", bundle, find("crun")?, &path)?);
        cases.push(place.runtime("runc", bundle, find("runc")?, &path)?);
    }
    Ok((place, cases))
}

/// What is compared once: libseccomp's filter, a rootfs on an overlay, a thousand mounts.
fn special(place: &Place, dir: &Path, cases: &mut Vec<Case>) -> io::Result<()> {
    match libseccomp::lacks() {
        Some(what) => println!("no floor with libseccomp's filter: {what} is missing"),
        None => {
            // What the runtimes that use it cannot be below.
            let theirs = dir.join("theirs");
            fs::write(&theirs, libseccomps_filter(dir)?)?;
            let arguments = ["floor".into(), "full".into(), place.rootfs.clone().into(), theirs.into()];
            cases.push(place.case("floor, libseccomp's filter", "full", arguments.into(), dir)?);
        }
    }
    match std::env::var_os("RRUNC_BENCH_OVERLAY").map(PathBuf::from) {
        None => println!("no rootfs on an overlay: only root can mount one for the account that measures"),
        Some(rootfs) => {
            let path = dir.join("overlay");
            make_bundle(&path, &rootfs, false, None)?;
            let floor = ["floor".into(), "plain".into(), rootfs.clone().into()];
            cases.push(place.case("floor", "overlay", floor.into(), dir)?);
            cases.push(place.runtime("rrunc (caller's binary)", "overlay", place.owned.clone(), &path)?);
            cases.push(place.case("bubblewrap", "overlay", bubblewrap("overlay", &rootfs), dir)?);
            cases.push(place.runtime("crun", "overlay", find("crun")?, &path)?);
        }
    }
    let path = dir.join("mounts");
    make_bundle_with_mounts(&path, &place.rootfs, 1000)?;
    cases.push(place.runtime("rrunc (caller's binary)", "mounts", place.owned.clone(), &path)?);
    cases.push(place.runtime("crun", "mounts", find("crun")?, &path)?);
    cases.push(place.runtime("runc", "mounts", find("runc")?, &path)?);
    Ok(())
}

/// The program that libseccomp makes of the profile of `full`.
fn libseccomps_filter(dir: &Path) -> io::Result<Vec<u8>> {
    let asks = dir.join("ask");
    libseccomp::build(&asks)?;
    let profile = serde_json::from_value(seccomp()?)?;
    let lines = libseccomp::lines(&profile, &libseccomp::covered(&profile, Machine::HERE));
    Ok(filter::bytes(&libseccomp::ask(&asks, &lines)?.program))
}

/// With `count` directories of the host bound into it.
fn make_bundle_with_mounts(path: &Path, rootfs: &Path, count: usize) -> io::Result<()> {
    make_bundle(path, rootfs, false, None)?;
    let mut config = config(rootfs, false);
    // Mount points are made below a tmpfs, anew in each round.
    let mut mounts = vec![json!({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"})];
    for number in 0..count {
        let source = path.join("sources").join(number.to_string());
        fs::create_dir_all(&source)?;
        let options = ["rbind", "ro"];
        mounts.push(
            json!({"destination": format!("/tmp/{number}"), "type": "bind", "source": source, "options": options}),
        );
    }
    config["mounts"].as_array_mut().expect("a list").extend(mounts);
    fs::write(path.join("config.json"), config.to_string())
}

/// crun with the compiled filters that it may keep.
pub const CRUN_KEEPING: &str = "crun with its cache";

/// Whether this crun has kept a filter: some builds never do.
pub fn keeps_filters(dir: &Path) -> bool {
    dir.join("run").join(CRUN_KEEPING).join(".cache").exists()
}

/// rrunc, and crun if it is there, on the same bundle without a profile (`plain`) and with each of these. crun keeps
/// compiled filters; it comes twice, once finding none.
pub fn with_profiles(dir: &Path, profiles: &[(&'static str, Value)]) -> io::Result<Vec<Case>> {
    let Place { runtime_dir, rootfs, owned, .. } = prepare(dir)?;
    let crun = find("crun").ok();
    let mut cases = Vec::new();
    let bundles =
        std::iter::once(("plain", None)).chain(profiles.iter().map(|(name, json)| (*name, Some(json.clone()))));
    for (bundle, profile) in bundles {
        let cwd = dir.join(bundle);
        make_bundle(&cwd, &rootfs, false, profile)?;
        let case = |name, program: &Path, arguments: Vec<OsString>, forgotten| Case {
            name,
            bundle,
            program: program.to_owned(),
            arguments,
            takes_id: true,
            cwd: cwd.clone(),
            runtime_dir: runtime_dir.clone(),
            home: None,
            forgotten,
            filter: None,
        };
        cases.push(case("rrunc", &owned, vec!["run".into()], None));
        let Some(crun) = &crun else { continue };
        for name in ["crun", CRUN_KEEPING] {
            let root = runtime_dir.join(name);
            let forgotten = (name == "crun").then(|| root.join(".cache"));
            cases.push(case(name, crun, vec!["--root".into(), root.into(), "run".into()], forgotten));
        }
    }
    Ok(cases)
}

/// Makes a bundle on which the program is `args`.
pub fn make_bundle_running(path: &Path, rootfs: &Path, args: &[&str]) -> io::Result<()> {
    make_bundle(path, rootfs, false, None)?;
    let mut config = config(rootfs, false);
    config["process"]["args"] = json!(args);
    fs::write(path.join("config.json"), config.to_string())
}

fn make_bundle(path: &Path, rootfs: &Path, own_network: bool, profile: Option<Value>) -> io::Result<()> {
    fs::create_dir(path)?;
    symlink(rootfs, path.join("rootfs"))?;
    let mut config = config(rootfs, own_network);
    if let Some(profile) = profile {
        config["linux"]["seccomp"] = profile;
    }
    fs::write(path.join("config.json"), config.to_string())
}

/// A program of the host.
pub fn find(name: &str) -> io::Result<PathBuf> {
    let given = std::env::var_os("RRUNC_BENCH_PEERS").map(PathBuf::from);
    let places = ["/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/local/bin"].map(PathBuf::from);
    let places = given.into_iter().chain(places).map(|dir| dir.join(name));
    let missing = || io::Error::other(format!("{name} is missing: tests/bench/run installs it"));
    places.into_iter().find(|file| file.is_file()).ok_or_else(missing)
}

fn fill(rootfs: &Path, busybox: &Path) -> io::Result<()> {
    for name in ["bin", "dev", "etc", "proc", "sys", "tmp"] {
        fs::create_dir_all(rootfs.join(name))?;
    }
    fs::copy(busybox, rootfs.join("bin/busybox"))?;
    symlink("busybox", rootfs.join("bin/true"))
}

/// The same in bubblewrap's words, as near as they come.
fn bubblewrap(bundle: &str, rootfs: &Path) -> Vec<OsString> {
    let mut words: Vec<OsString> = vec!["--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts"]
        .into_iter()
        .map(OsString::from)
        .collect();
    if bundle == "net" {
        words.extend(["--unshare-net", "--unshare-cgroup"].map(OsString::from));
    }
    words.extend(["--uid", "0", "--gid", "0", "--hostname", "runc", "--ro-bind"].map(OsString::from));
    words.extend([rootfs.into(), "/".into()]);
    let mounts = ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/dev/shm", "--mqueue", "/dev/mqueue"];
    words.extend(mounts.map(OsString::from));
    words.extend(["--ro-bind", "/sys", "/sys", "--chdir", "/", "--clearenv", "/bin/true"].map(OsString::from));
    words
}

fn config(rootfs: &Path, own_network: bool) -> Value {
    let uid = nix::unistd::geteuid().as_raw();
    let gid = nix::unistd::getegid().as_raw();
    let mut namespaces = vec!["pid", "ipc", "uts", "mount", "user"];
    if own_network {
        namespaces.extend(["network", "cgroup"]);
    }
    let namespaces: Vec<Value> = namespaces.into_iter().map(|kind| json!({"type": kind})).collect();
    let capabilities = json!(["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0}, "args": ["/bin/true"], "cwd": "/", "env": ["PATH=/bin"],
            "capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": true
        },
        "root": {"path": rootfs, "readonly": true},
        "hostname": "runc",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
                "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
                "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
                "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
            {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/sys", "type": "none", "source": "/sys",
                "options": ["rbind", "nosuid", "noexec", "nodev", "ro"]}
        ],
        "linux": {
            "uidMappings": [{"containerID": 0, "hostID": uid, "size": 1}],
            "gidMappings": [{"containerID": 0, "hostID": gid, "size": 1}],
            "namespaces": namespaces,
            "maskedPaths": crate::floor::MASKED,
            "readonlyPaths": crate::floor::READ_ONLY
        }
    })
}
