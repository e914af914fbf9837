//! The seccomp profiles that come with rrunc, in OCI syntax: allow-lists whose default is EPERM, and ENOSYS for calls
//! newer than the profile. JSON has no comments, so each entry has a `comment` member, which OCI runtimes ignore, and
//! what is *not* allowed is explained here:
//!
//! | denied | in | why |
//! |---|---|---|
//! | mount, umount2, pivot_root, fsopen, fsconfig, fsmount, fspick, open_tree, open_tree_attr, move_mount, mount_setattr | all | undo read-only and masked paths; the kernel's parsers of file systems |
//! | unshare, clone with namespace flags; setns | all | a nested user namespace gives back every capability against kernel code meant for root |
//! | clone3 (ENOSYS) | all | its flags lie in memory, out of the filter's sight; libc falls back to clone |
//! | io_uring_* | all | does I/O without system calls, so around any filter; a long row of kernel bugs |
//! | userfaultfd | all | stops the kernel at a chosen page access: the tool to win races with |
//! | bpf, perf_event_open | all | kernel programs and counters: side channels, verifier bugs |
//! | keyctl, add_key, request_key | all | keyrings are not namespaced by container; secrets of the host's session |
//! | open_by_handle_at | all | opens by inode number, past every mount (CVE-2014-3519 and "shocker") |
//! | kexec_*, *_module, reboot, swapon, swapoff, acct, quotactl*, iopl, ioperm, settimeofday, clock_settime, syslog, vhangup, sethostname, setdomainname | all | the machine's business |
//! | move_pages, migrate_pages | all | memory placement of other processes |
//! | lookup_dcookie, _sysctl, nfsservctl, uselib, sysfs, vm86 and others without a user today | all | dead or dying code in the kernel |
//! | sockets of AF_VSOCK | all | talks to the hypervisor, past the network namespace |
//! | sockets other than unix, inet, inet6, netlink | sandbox, strict | AF_ALG, AF_PACKET, CAN…: attack surface without use |
//! | modes with S_ISUID or S_ISGID, in every call that takes a mode | sandbox, strict | such a file of the project would be its owner's rights for every other account of the host; a directory gets S_ISGID from the one above, without a call |
//! | openat2 (ENOSYS) | sandbox, strict | its mode lies in memory, out of the filter's sight; who uses it falls back to openat, as on a kernel before 5.6 |
//! | vmsplice (ENOSYS) | sandbox, strict (EPERM) | leaves pages in pipes that count as nobody's memory, two megabytes for each slot where they are huge |
//! | ioctl TIOCSTI, TIOCLINUX | sandbox, strict | type into the terminal that started the sandbox (CVE-2017-5226); the kernel reads 32 bits of the number, so 64-bit comparisons miss (CVE-2019-10063) |
//! | chroot, modify_ldt, memfd_secret, adjtimex, fanotify_* | sandbox, strict | no developer tool needs them |
//! | setrlimit, prlimit64 of RLIMIT_CORE (0, as if it were done; EINVAL where the old one is to be filled in) | sandbox, strict | it is 1, which stops a core handler behind a pipe (core(5)); 0 would let it run, on the host, as root |
//! | 32-bit and x32 programs (killed) | sandbox, strict | a second, less tested entry to the kernel |
//! | ptrace and kin, System V IPC, message queues, AIO, inet and netlink sockets, changing ids, owners, attributes, scheduling | strict | a program that computes on files and pipes needs none |
use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction, LinuxSyscallBuilder};

/// Name and text of every profile.
pub const PROFILES: [(&str, &str); 3] = [
    ("default", include_str!("../../profiles/seccomp/default.json")),
    ("sandbox", include_str!("../../profiles/seccomp/sandbox.json")),
    ("strict", include_str!("../../profiles/seccomp/strict.json")),
];

/// The JSON text of a profile: `default` for containers, `sandbox` for developer tools, `strict` for programs that
/// only compute.
pub fn profile(name: &str) -> Option<&'static str> {
    PROFILES.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// A profile, parsed.
pub fn parsed(name: &str) -> Option<LinuxSeccomp> {
    profile(name).map(|text| serde_json::from_str(text).expect("an embedded profile is valid"))
}

/// What a container runtime or a browser's sandbox needs to make containers of its own.
const NAMESPACES: [&str; 16] = [
    "chroot",
    "clone",
    "clone3",
    "fsconfig",
    "fsmount",
    "fsopen",
    "fspick",
    "mount",
    "mount_setattr",
    "move_mount",
    "open_tree",
    "pivot_root",
    "sethostname",
    "setns",
    "umount2",
    "unshare",
];

/// Lets a profile's programs make user namespaces and mount inside them. A rule that allows these calls beside the
/// present ones would not do: the conditions of `clone` and the ENOSYS of `clone3` have to go.
pub fn allow_namespaces(profile: &mut LinuxSeccomp) {
    let mut entries = profile.syscalls().clone().unwrap_or_default();
    for entry in &mut entries {
        let others = entry.names().iter().filter(|name| !NAMESPACES.contains(&name.as_str())).cloned().collect();
        entry.set_names(others);
    }
    entries.retain(|entry| !entry.names().is_empty());
    let allowed = LinuxSyscallBuilder::default()
        .names(NAMESPACES.map(str::to_owned))
        .action(LinuxSeccompAction::ScmpActAllow)
        .build()
        .expect("names and action are all that is needed");
    entries.push(allowed);
    profile.set_syscalls(Some(entries));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seccomp::abi::Machine;
    use crate::seccomp::{Filter, compile_for};

    #[test]
    fn namespaces_are_allowed_without_conditions() {
        for (name, _) in PROFILES {
            let mut profile = parsed(name).unwrap();
            let before = profile.syscalls().iter().flatten().map(|e| e.names().len()).sum::<usize>();
            allow_namespaces(&mut profile);
            let entries = profile.syscalls().as_ref().unwrap();
            for call in NAMESPACES {
                let naming = entries.iter().filter(|e| e.names().iter().any(|n| n == call)).collect::<Vec<_>>();
                assert!(matches!(naming[..], [e] if e.args().is_none()), "{name}: {call}");
            }
            assert!(entries.iter().map(|e| e.names().len()).sum::<usize>() > before, "{name}: the other calls stay");
            compile_for(&profile, Machine::HERE).unwrap();
        }
    }

    #[test]
    fn every_profile_compiles_for_every_machine_without_a_warning() {
        for (name, _) in PROFILES {
            for machine in [Machine::X86_64, Machine::Aarch64, Machine::Riscv64] {
                let Filter { program, warnings, .. } = compile_for(&parsed(name).unwrap(), machine).unwrap();
                assert_eq!(warnings, [""; 0], "{name}");
                println!("{name} for {machine:?}: {} instructions", program.len());
            }
        }
        assert_eq!(profile("nonesuch"), None);
    }

    /// Each profile is a whole file of OCI's, to be taken as it is; so what two of them have in common is in both.
    #[test]
    fn what_sandbox_and_strict_have_in_common_is_the_same_in_both() {
        let rules = |name: &str, call: &str| -> Vec<serde_json::Value> {
            let profile: serde_json::Value = serde_json::from_str(self::profile(name).unwrap()).unwrap();
            let all = profile["syscalls"].as_array().unwrap().iter();
            // Rules of this call alone, but for what is said about them.
            let mine = all.filter(|rule| rule["names"].as_array().is_some_and(|names| *names == [call]));
            let plain = mine.cloned().map(|mut rule| {
                rule.as_object_mut().unwrap().remove("comment");
                rule
            });
            plain.collect()
        };
        for call in ["ioctl", "setrlimit", "prlimit64", "clone", "open", "openat"] {
            assert!(!rules("sandbox", call).is_empty(), "{call}");
            assert_eq!(rules("sandbox", call), rules("strict", call), "{call}");
        }
    }
}
