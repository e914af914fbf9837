//! An OCI bundle with a busybox root file system and a config that a rootless runtime can run as it is.
use super::{find_program, gid, uid};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// A bundle directory. Edits go straight to its `config.json`.
pub struct Bundle {
    path: PathBuf,
}

impl Bundle {
    /// `dir/rootfs` filled with busybox, `dir/config.json` running `true` with ids 0 mapped to the caller.
    pub fn busybox(dir: &Path) -> Bundle {
        fill_rootfs(&dir.join("rootfs"));
        let bundle = Bundle { path: dir.to_owned() };
        bundle.write(&config());
        bundle
    }

    /// The config that every bundle starts with.
    pub fn plain_config() -> Value {
        config()
    }

    /// The bundle's directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The root file system.
    pub fn rootfs(&self) -> PathBuf {
        self.path.join("rootfs")
    }

    /// The path as text.
    pub fn str(&self) -> &str {
        self.path.to_str().expect("a plain path")
    }

    /// config.json.
    pub fn config(&self) -> Value {
        let bytes = fs::read(self.path.join("config.json")).expect("read config.json");
        serde_json::from_slice(&bytes).expect("config.json is JSON")
    }

    /// Replaces config.json.
    pub fn write(&self, config: &Value) -> &Bundle {
        self.write_bytes(&serde_json::to_vec_pretty(config).expect("JSON"))
    }

    /// Replaces config.json with anything at all.
    pub fn write_bytes(&self, bytes: &[u8]) -> &Bundle {
        fs::write(self.path.join("config.json"), bytes).expect("write config.json");
        self
    }

    /// Changes config.json in place.
    pub fn edit(&self, change: impl FnOnce(&mut Value)) -> &Bundle {
        let mut config = self.config();
        change(&mut config);
        self.write(&config)
    }

    /// Sets the value at a JSON pointer; missing objects on the way are made, `-` appends to an array.
    pub fn set(&self, pointer: &str, value: Value) -> &Bundle {
        self.edit(|config| {
            let mut place = config;
            for key in pointer.split('/').skip(1) {
                place = step(place, key);
            }
            *place = value;
        })
    }

    /// Removes the key at a JSON pointer.
    pub fn unset(&self, pointer: &str) -> &Bundle {
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
        self.edit(|config| {
            let parent = config.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object");
            parent.remove(key);
        })
    }

    /// What the container runs.
    pub fn args(&self, args: &[&str]) -> &Bundle {
        self.set("/process/args", json!(args))
    }

    /// `sh -c SCRIPT` as what the container runs.
    pub fn script(&self, script: &str) -> &Bundle {
        self.args(&["sh", "-c", script])
    }

    /// Adds a mount at the end of the list.
    pub fn mount(&self, destination: &str, kind: &str, source: &str, options: &[&str]) -> &Bundle {
        let mount = json!({"destination": destination, "type": kind, "source": source, "options": options});
        self.set("/mounts/-", mount)
    }

    /// A cgroup namespace, and the container's own cgroup writable in it.
    pub fn with_cgroups(&self) -> &Bundle {
        self.set("/linux/namespaces/-", json!({"type": "cgroup"}));
        self.mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev"])
    }

    /// Drops the namespace of this type from the config.
    pub fn without_namespace(&self, kind: &str) -> &Bundle {
        self.edit(|config| {
            let list = config["linux"]["namespaces"].as_array_mut().expect("namespaces");
            list.retain(|namespace| namespace["type"] != kind);
        })
    }

    /// Leaves the pid namespace out: the container is in the caller's, and sees the host's /proc.
    pub fn in_callers_pid_namespace(&self) -> &Bundle {
        self.without_namespace("pid").edit(|config| {
            let mounts = config["mounts"].as_array_mut().expect("mounts");
            mounts.retain(|mount| mount["destination"] != "/proc");
            mounts.insert(0, json!({"destination": "/proc", "type": "none", "source": "/proc", "options": ["rbind"]}));
        })
    }

    /// Makes the config one that says nothing of users, as plain `runc spec` output does.
    pub fn without_user_namespace(&self) -> &Bundle {
        self.without_namespace("user").unset("/linux/uidMappings").unset("/linux/gidMappings")
    }
}

fn step<'a>(place: &'a mut Value, key: &str) -> &'a mut Value {
    if let Value::Array(list) = place {
        if key == "-" {
            list.push(Value::Null);
        }
        let index = key.parse().unwrap_or(list.len() - 1);
        return &mut list[index];
    }
    &mut place[key]
}

/// The static busybox of this machine.
pub fn busybox() -> PathBuf {
    find_program("busybox").expect("busybox is missing: apt-get install busybox-static")
}

fn applets() -> &'static [String] {
    static APPLETS: OnceLock<Vec<String>> = OnceLock::new();
    APPLETS.get_or_init(|| {
        let out = Command::new(busybox()).arg("--list").output().expect("busybox --list");
        String::from_utf8(out.stdout).expect("names").lines().map(str::to_owned).collect()
    })
}

/// Makes a busybox root file system: the program copied, since a test may overwrite it, its applets as links.
pub fn fill_rootfs(root: &Path) {
    for name in ["bin", "dev", "etc", "proc", "root", "sys", "tmp", "var", "usr/bin"] {
        fs::create_dir_all(root.join(name)).expect("make the rootfs");
    }
    fs::copy(busybox(), root.join("bin/busybox")).expect("copy busybox");
    for applet in applets().iter().filter(|name| *name != "busybox") {
        symlink("busybox", root.join("bin").join(applet)).expect("link an applet");
    }
    let passwd = "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home/user:/bin/sh\n";
    fs::write(root.join("etc/passwd"), passwd).expect("write passwd");
    fs::write(root.join("etc/group"), "root:x:0:\nuser:x:1000:\n").expect("write group");
}

/// The config of `spec --rootless` in substance, with own network namespace and no terminal.
pub fn config() -> Value {
    let capabilities = json!(["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    let namespaces = ["pid", "network", "ipc", "uts", "mount", "user"].map(|kind| json!({"type": kind}));
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": {"uid": 0, "gid": 0},
            "args": ["true"],
            "env": ["PATH=/usr/bin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": true
        },
        "root": {"path": "rootfs", "readonly": true},
        "hostname": "stage",
        "mounts": mounts(),
        "linux": {
            "uidMappings": [{"containerID": 0, "hostID": uid(), "size": 1}],
            "gidMappings": [{"containerID": 0, "hostID": gid(), "size": 1}],
            "namespaces": namespaces,
            "maskedPaths": ["/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
        }
    })
}

fn mounts() -> Value {
    let mount = |destination: &str, kind: &str, options: &[&str]| json!({"destination": destination, "type": kind, "source": kind, "options": options});
    json!([
        {"destination": "/proc", "type": "proc", "source": "proc"},
        mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount("/dev/pts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]),
        mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
        mount("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
    ])
}
