//! What is only read and not tried: the settings by which a host forbids things, and what the exact fixes need to know.
use super::probe::Ids;
use crate::host::user_name;
use std::fs;
use std::path::{Path, PathBuf};

/// Where the fixes put kernel parameters, so that they outlive a restart.
const SYSCTL_FILE: &str = "/etc/sysctl.d/90-rrunc.conf";

/// The settings of this host. A plain value: what is made of it is tested without the host.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Ids of the caller.
    pub ids: Ids,
    /// The caller's uid.
    pub uid: u32,
    /// The caller's login name, or its number.
    pub user: String,
    /// Path of the rrunc binary.
    pub exe: PathBuf,
    /// `kernel.unprivileged_userns_clone` (Debian, Arch).
    pub userns_clone: Option<u64>,
    /// `user.max_user_namespaces`.
    pub max_user_namespaces: Option<u64>,
    /// `kernel.apparmor_restrict_unprivileged_userns` (Ubuntu).
    pub apparmor_restricts: Option<u64>,
    /// We are under somebody's seccomp filter already.
    pub filtered: bool,
    /// no_new_privs is set on us.
    pub no_new_privs: bool,
    /// The host is run by systemd.
    pub systemd: bool,
    /// `ID` and `ID_LIKE` of /etc/os-release.
    pub distribution: String,
}

impl Settings {
    /// Reads them.
    pub fn read() -> Settings {
        let number = |path: &str| fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok());
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map_or("", str::trim);
        let uid = nix::unistd::geteuid().as_raw();
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        Settings {
            ids: Ids::own(),
            uid,
            user: user_name(&passwd, uid).map_or_else(|| uid.to_string(), str::to_owned),
            exe: fs::read_link("/proc/self/exe").unwrap_or_else(|_| PathBuf::from("/usr/bin/rrunc")),
            userns_clone: number("/proc/sys/kernel/unprivileged_userns_clone"),
            max_user_namespaces: number("/proc/sys/user/max_user_namespaces"),
            apparmor_restricts: number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
            filtered: field("Seccomp:") == "2",
            no_new_privs: field("NoNewPrivs:") == "1",
            systemd: Path::new("/run/systemd/system").is_dir(),
            distribution: distribution(&fs::read_to_string("/etc/os-release").unwrap_or_default()),
        }
    }

    /// The command that adds `argument` to the kernel's command line, where the boot loader is known.
    pub fn boot_with(&self, argument: &str) -> String {
        let own = self.distribution.split_whitespace().next().unwrap_or_default();
        match own {
            "fedora" | "rhel" | "centos" | "almalinux" | "rocky" => {
                format!("sudo grubby --update-kernel=ALL --args={argument}, then restart")
            }
            "debian" | "ubuntu" => format!(
                "echo 'GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT {argument}\"' | sudo tee -a \
                 /etc/default/grub.d/90-rrunc.cfg && sudo update-grub, then restart"
            ),
            _ => format!("administrator: add {argument} to the kernel's command line and restart"),
        }
    }

    /// The command that installs a package, whose names are those of Debian, Fedora, Arch, Alpine and openSUSE.
    pub fn install(&self, [debian, fedora, arch, alpine, suse]: [&str; 5]) -> String {
        let like = |names: &[&str]| self.distribution.split_whitespace().any(|word| names.contains(&word));
        let (command, package) = match () {
            () if like(&["fedora", "rhel", "centos"]) => ("dnf install", fedora),
            () if like(&["arch"]) => ("pacman -S", arch),
            () if like(&["alpine"]) => ("apk add", alpine),
            () if like(&["suse", "opensuse"]) => ("zypper install", suse),
            () => ("apt-get install", debian),
        };
        format!("sudo {command} {package}")
    }

    /// What gives the user a session of systemd's, with a runtime directory, a bus and a cgroup.
    pub fn session(&self) -> String {
        match self.systemd {
            true => format!("sudo loginctl enable-linger {}, then log in again", self.user),
            false => format!(
                "sudo install -d -m 700 -o {0} /run/user/{1} && export XDG_RUNTIME_DIR=/run/user/{1}",
                self.user, self.uid
            ),
        }
    }

    /// The commands that let AppArmor give this binary its user namespaces, and no other program.
    pub fn apparmor_profile(&self) -> String {
        let install = "rrunc profile show apparmor | sudo tee /etc/apparmor.d/rrunc && sudo apparmor_parser -r \
                       /etc/apparmor.d/rrunc";
        // The profile goes by the path: one that the user may write to would let any program in.
        if ["/usr/bin/rrunc", "/usr/local/bin/rrunc"].iter().any(|path| self.exe == Path::new(path)) {
            return install.to_owned();
        }
        format!("sudo install -m 755 {} /usr/local/bin/rrunc && {install}", self.exe.display())
    }
}

/// Sets a kernel parameter, now and at every start.
pub fn sysctl(name: &str, value: &str) -> String {
    format!("echo '{name} = {value}' | sudo tee -a {SYSCTL_FILE} && sudo sysctl -p {SYSCTL_FILE}")
}

fn distribution(os_release: &str) -> String {
    let value = |line: &str| {
        let (name, value) = line.split_once('=')?;
        (name == "ID" || name == "ID_LIKE").then(|| value.trim_matches('"').to_owned())
    };
    os_release.lines().filter_map(value).collect::<Vec<_>>().join(" ")
}

/// The text of a short file; empty when there is none.
pub fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_manager_is_that_of_the_distribution() {
        let on = |text: &str| Settings { distribution: distribution(text), ..Settings::default() };
        let names = ["uidmap", "shadow-utils", "shadow", "shadow-uidmap", "shadow"];
        assert_eq!(on("ID=ubuntu\nID_LIKE=debian\n").install(names), "sudo apt-get install uidmap");
        let rhel = on("NAME=\"x\"\nID=\"almalinux\"\nID_LIKE=\"rhel centos fedora\"\n");
        assert_eq!(rhel.install(names), "sudo dnf install shadow-utils");
        assert!(on("ID=fedora\n").boot_with("a=b").contains("grubby"));
        assert!(on("ID=debian\n").boot_with("a=b").contains("_DEFAULT a=b"));
        assert!(on("ID=arch\n").boot_with("a=b").starts_with("administrator: add a=b"));
        assert_eq!(on("ID=alpine\n").install(names), "sudo apk add shadow-uidmap");
    }
}
