//! What a sequence begins with: a copy of rrunc that belongs to the caller, and two bundles with one root, or a project.
use crate::plan::{Plan, Setting};
use crate::support::{Bundle, runtime};
use crate::weakness::Weakness;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Where the program inside is found by name.
const IN_CONTAINER: &str = "/bin/puppet";
/// The same in a sandbox, whose /bin is the host's.
const IN_SANDBOX: &str = "/mnt/puppet";

/// Where the program inside has its files.
pub fn shared(setting: Setting, dir: &Path) -> PathBuf {
    dir.join(if setting.is_sandbox() { "project" } else { "bundle/rootfs" })
}

/// Whether this is a place of the program inside.
pub fn is_inside() -> bool {
    [IN_CONTAINER, IN_SANDBOX].iter().any(|path| Path::new(path).exists())
}

/// The words that run it.
pub fn puppet(setting: Setting, dir: &Path) -> Vec<String> {
    let own = fs::read_link("/proc/self/ns/pid").expect("our pid namespace").display().to_string();
    let path = if setting.is_sandbox() { IN_SANDBOX } else { IN_CONTAINER };
    [path, "inside", &own, dir.to_str().expect("plain")].map(str::to_owned).to_vec()
}

/// What every sandbox is given, so that the program is found inside.
pub fn sandbox_options(dir: &Path, weakness: Option<Weakness>) -> Vec<String> {
    let own = std::env::current_exe().expect("our own path");
    let mut options = vec!["--ro-bind".to_owned(), format!("{}:{IN_SANDBOX}", own.display())];
    if weakness == Some(Weakness::ShownToSandbox) {
        options.extend(["--bind".to_owned(), dir.join("outside").display().to_string()]);
    }
    options
}

/// Makes it all in `dir`.
pub fn prepare(plan: &Plan, dir: &Path, weakness: Option<Weakness>) {
    let rrunc = dir.join("rrunc");
    match weakness.and_then(Weakness::instead) {
        Some(script) => fs::write(&rrunc, script).expect("write"),
        None => drop(fs::copy(runtime(), &rrunc).expect("copy the runtime")),
    }
    fs::set_permissions(&rrunc, fs::Permissions::from_mode(0o755)).expect("chmod");
    if plan.setting.is_sandbox() {
        fs::create_dir(dir.join("project")).expect("mkdir");
        return;
    }
    let bundle = Bundle::busybox(&dir.join("bundle"));
    let rootfs = bundle.rootfs();
    for name in ["vol", "vault", "conf"] {
        fs::create_dir(rootfs.join(name)).expect("mkdir");
    }
    let all = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("chmod");
    // Its interpreter is whatever executes it.
    fs::write(rootfs.join("x"), "#!/proc/self/exe\n").expect("write");
    [&rootfs, &rootfs.join("x"), &rootfs.join("vol"), &rootfs.join("tmp")].into_iter().for_each(|path| all(path));
    configure(plan, &bundle, dir);
    if weakness == Some(Weakness::Shown) {
        let outside = dir.join("outside");
        let outside = outside.to_str().expect("plain");
        bundle.mount(outside, "bind", outside, &["bind", "rw"]);
    }
    let second = dir.join("second");
    fs::create_dir(&second).expect("mkdir");
    let mut config = bundle.config();
    config["root"]["path"] = json!(rootfs);
    fs::write(second.join("config.json"), config.to_string()).expect("write");
}

fn configure(plan: &Plan, bundle: &Bundle, dir: &Path) {
    let own = std::env::current_exe().expect("our own path");
    bundle.mount(IN_CONTAINER, "bind", own.to_str().expect("plain"), &["bind", "ro"]);
    bundle.mount("/vol/sub", "tmpfs", "tmpfs", &["mode=1777"]);
    let puppet = puppet(plan.setting, dir);
    bundle.args(&puppet.iter().map(String::as_str).collect::<Vec<_>>());
    bundle.set("/root/readonly", json!(false));
    let mut capabilities = vec!["CAP_KILL"];
    if plan.setting != Setting::Single {
        capabilities.extend(["CAP_SETUID", "CAP_SETGID"]);
    }
    if plan.variant.capable {
        capabilities.extend(["CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE", "CAP_SYS_CHROOT", "CAP_FOWNER"]);
    }
    for set in ["bounding", "effective", "permitted"] {
        bundle.set(&format!("/process/capabilities/{set}"), json!(capabilities));
    }
    if plan.variant.cgroup {
        bundle.with_cgroups();
    }
    match plan.setting {
        Setting::Range => {
            let map = |own: u32, first: u32| json!([{"containerID": 0, "hostID": own, "size": 1}, {"containerID": 1, "hostID": first, "size": 2000}]);
            let (uids, gids) = subordinate().expect("looked at before");
            bundle.set("/linux/uidMappings", map(crate::support::uid(), uids));
            bundle.set("/linux/gidMappings", map(crate::support::gid(), gids));
        }
        Setting::Nested => {
            bundle.without_user_namespace();
        }
        _ => return,
    }
    if plan.variant.user {
        bundle.set("/process/user", json!({"uid": 5, "gid": 5}));
    }
}

/// Has the second container join the first one's namespaces.
pub fn join(setting: Setting, dir: &Path, pid: &str) {
    let file = dir.join("second/config.json");
    let bytes = fs::read(&file).expect("read config.json");
    let mut config: Value = serde_json::from_slice(&bytes).expect("JSON");
    for namespace in config["linux"]["namespaces"].as_array_mut().expect("namespaces") {
        let kind = namespace["type"].as_str().expect("a type").to_owned();
        if ["pid", "user"].contains(&kind.as_str()) {
            namespace["path"] = json!(format!("/proc/{pid}/ns/{kind}"));
        }
    }
    if setting != Setting::Nested {
        for map in ["uidMappings", "gidMappings"] {
            config["linux"].as_object_mut().expect("linux").remove(map);
        }
    }
    fs::write(file, config.to_string()).expect("write");
}

/// Our first subordinate uid and gid, where the tools to use them are there.
pub fn subordinate() -> Option<(u32, u32)> {
    let user = nix::unistd::User::from_uid(nix::unistd::getuid()).ok().flatten()?.name;
    let first = |file: &str| -> Option<u32> {
        let text = fs::read_to_string(file).ok()?;
        text.lines().find(|line| line.split(':').next() == Some(&user))?.split(':').nth(1)?.parse().ok()
    };
    crate::support::find_program("newuidmap")?;
    first("/etc/subuid").zip(first("/etc/subgid"))
}
