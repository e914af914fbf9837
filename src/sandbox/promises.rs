//! What a sandbox promises, by name: a closed list that `--require` and `--allow-weaker` take and the report tells of.
use super::Choice;
use super::policy::Rule;
use super::profile::{Network, Seccomp};
use super::trees::Trees;
use crate::error::{WithHint, with_hint};
use crate::plan::landlock::SCOPES;
use anyhow::{Result, anyhow};
use std::fs;

/// The names, and what each of them means.
pub const PROMISES: [(&str, &str); 14] = [
    ("view", "nothing of the host's files but what is allowed"),
    ("capabilities", "no capability, not even in its own user namespace"),
    ("seccomp", "no system call that tools do not need"),
    ("network", "no network but its own loopback"),
    ("terminal", "no way to the caller's terminal but through a pty"),
    ("environment", "no variable that is not listed"),
    ("fds", "no open file but the standard streams"),
    ("keyring", "no key of the caller's"),
    ("proc", "no process but its own"),
    ("privileges", "no program that gains rights when it is executed"),
    ("mounts", "no mount changed"),
    ("namespaces", "no user namespace to get capabilities in"),
    ("limits", "no more memory, processes and time than allowed"),
    ("landlock", "files, abstract sockets and signals shut off once more"),
];

/// A promise that is not kept in full, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weakened {
    /// Its name.
    pub name: &'static str,
    /// By whose word, or for want of what.
    pub why: String,
}

/// What is asked of the promises.
pub struct Demands<'a> {
    /// Kept in full, or there is no sandbox.
    pub require: &'a [String],
    /// What the host cannot give may be missing.
    pub allow_weaker: &'a [String],
}

impl Demands<'_> {
    /// Checks the names.
    pub fn check(&self) -> Result<()> {
        for (flag, list) in [("--require", self.require), ("--allow-weaker", self.allow_weaker)] {
            if let Some(unknown) = list.iter().find(|name| !PROMISES.iter().any(|(known, _)| known == name)) {
                let names: Vec<&str> = PROMISES.iter().map(|(name, _)| *name).collect();
                let error = anyhow!("{flag} {unknown}: there is no such promise");
                return Err(with_hint(error, format!("the promises are {}", names.join(", "))));
            }
        }
        Ok(())
    }

    /// Whether the host may keep the promise less than in full.
    pub fn allows_weaker(&self, name: &str) -> bool {
        self.allow_weaker.iter().any(|allowed| allowed == name)
    }

    /// Refuses what is required and not kept.
    pub fn judge(&self, weakened: &[Weakened]) -> Result<()> {
        match weakened.iter().find(|weak| self.require.iter().any(|name| name == weak.name)) {
            Some(Weakened { name, why }) => Err(anyhow!("--require {name}: it is not kept in full: {why}")),
            None => Ok(()),
        }
    }
}

/// What the choice, which grants `trees`, and this host, of Landlock ABI `landlock`, make weaker.
pub fn weakened(choice: &Choice, trees: &Trees, landlock: u32) -> Vec<Weakened> {
    let policy = &choice.policy;
    let mut all = Vec::new();
    let mut weak = |name, why: String| all.push(Weakened { name, why });
    if let Some(rule) = policy.capabilities.first() {
        weak("capabilities", format!("{} is given ({})", rule.value, rule.from));
    }
    if policy.seccomp() == Seccomp::Default {
        let from = policy.seccomp.as_ref().map_or("", |seccomp| &seccomp.from);
        weak("seccomp", format!("the profile for containers is used ({from})"));
    }
    if let Some(network) = policy.network.as_ref().filter(|network| network.value != Network::None) {
        let admin = |rule: &&Rule| rule.value.to_ascii_uppercase().trim_start_matches("CAP_") == "NET_ADMIN";
        let opens = match policy.capabilities.iter().find(admin).filter(|_| network.value == Network::Pasta) {
            Some(rule) => format!(", and with {} the program can open the host's own addresses", rule.value),
            None => String::new(),
        };
        weak("network", format!("it is {} ({}){opens}", format!("{:?}", network.value).to_lowercase(), network.from));
    }
    if let Some(spaces) = &policy.user_namespaces {
        // In a mount namespace of its own it may leave all mounts behind (pivot_root), and what is no mount point there can
        // be renamed: the kernel then takes the mounts away here, or moves them along.
        if let Some(path) = trees.covered_in_written(&choice.guarded) {
            let what = "what is hidden or protected in what is written can be renamed, and then read and changed";
            weak("view", format!("{what}, {} for one: user namespaces are allowed ({})", path.display(), spaces.from));
        }
        weak("namespaces", format!("they are allowed ({})", spaces.from));
        weak("landlock", format!("it leaves files alone where user namespaces are allowed ({})", spaces.from));
    } else if landlock == 0 {
        weak("landlock", "this kernel has none".to_owned());
    } else if landlock < SCOPES {
        weak("landlock", format!("this kernel has ABI {landlock}, and abstract sockets and signals take {SCOPES}"));
    }
    if choice.host_proc {
        weak("proc", "/proc cannot be mounted here, so the outer one is seen (--allow-weaker)".to_owned());
    }
    if let Some(memory) = policy.bounds.memory.as_ref().filter(|_| !choice.tier.is_cgroup()) {
        // Said in a report of its own, and known to whoever asks with --require.
        weak("limits", format!("no cgroup: rrunc itself watches the memory ({})", memory.from));
    }
    all
}

/// In the host's network namespace only Landlock keeps the abstract unix sockets of the user's session (D-Bus, X11) out
/// of reach. Where the kernel, of Landlock `abi`, cannot, there is no sandbox, unless it may be `weaker`.
pub fn shut_abstract_sockets(choice: &Choice, abi: u32, weaker: bool) -> Result<()> {
    match &choice.policy.network {
        Some(network) if network.value == Network::Host => shut_in_host_network(abi, weaker),
        _ => Ok(()),
    }
}

fn shut_in_host_network(abi: u32, weaker: bool) -> Result<()> {
    if abi >= SCOPES {
        return Ok(());
    }
    let has = if abi == 0 { "has no Landlock".to_owned() } else { format!("has Landlock ABI {abi}") };
    let what = format!("abstract unix sockets of your session could be reached: this kernel {has}, not {SCOPES}");
    if weaker {
        log::warn!("--network host: {what}");
        return Ok(());
    }
    Err(anyhow!("--network host: {what}")).hint(
        || "leave out --network host, use Linux 6.12 or later with Landlock, or accept it by --allow-weaker network",
    )
}

/// Whether part of /proc is covered, as in a container: then the kernel lets nobody mount another one (user_namespaces(7),
/// "mount_too_revealing").
pub fn proc_is_covered() -> bool {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    mounts.lines().filter_map(|line| line.split(' ').nth(4)).any(|place| place.starts_with("/proc/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_network_takes_a_kernel_that_can_shut_abstract_sockets() {
        for abi in [0, 1, 5] {
            let error = shut_in_host_network(abi, false).unwrap_err();
            assert!(crate::error::hint_of(&error).is_some_and(|hint| hint.contains("--network host")), "{error}");
            assert!(shut_in_host_network(abi, true).is_ok());
        }
        assert!(shut_in_host_network(6, false).is_ok());
    }
}
