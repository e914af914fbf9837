//! What rrunc cannot honour yet or ever, refused with the reason: nothing in a configuration is silently ignored.
use super::Findings;
use oci_spec::runtime::{LinuxResources, Spec};

pub(super) fn refuse_unsupported(spec: &Spec, findings: &mut Findings) {
    let Some(linux) = spec.linux() else { return };
    if linux.net_devices().as_ref().is_some_and(|devices| !devices.is_empty()) {
        findings.problem("linux.netDevices", "network devices are not supported for rootless containers");
    }
    if linux.intel_rdt().is_some() {
        findings.problem("linux.intelRdt", "intelRdt is specified in config, but resctrl can only be used by root");
    }
    if let Some(path) = linux.cgroups_path().as_ref().filter(|path| !path.as_os_str().is_empty()) {
        let problem = format!(
            "unable to apply cgroup configuration: {} is not in a cgroup tree delegated to you: permission denied",
            path.display()
        );
        findings.problem("linux.cgroupsPath", problem);
    }
    if let Some(resources) = linux.resources() {
        refuse_limits(resources, findings);
    }
}

/// Device rules are moot: inside a user namespace nothing but the default nodes can be opened. Everything else
/// needs a cgroup.
fn refuse_limits(resources: &LinuxResources, findings: &mut Findings) {
    let mut asked = Vec::new();
    let mut note = |name: &'static str, set: bool| {
        if set {
            asked.push(name);
        }
    };
    note("memory", resources.memory().as_ref().is_some_and(|m| *m != Default::default()));
    note("cpu", resources.cpu().as_ref().is_some_and(|c| *c != Default::default()));
    note("pids", resources.pids().as_ref().is_some_and(|p| p.limit() >= 0));
    note("blockIO", resources.block_io().as_ref().is_some_and(|b| *b != Default::default()));
    note("hugepageLimits", resources.hugepage_limits().as_ref().is_some_and(|h| !h.is_empty()));
    note("network", resources.network().as_ref().is_some_and(|n| *n != Default::default()));
    note("rdma", resources.rdma().as_ref().is_some_and(|r| !r.is_empty()));
    note("unified", resources.unified().as_ref().is_some_and(|u| !u.is_empty()));
    for name in asked {
        let problem = "rootless needs no limits + no cgrouppath when no permission is granted for cgroups: delegate a \
                       cgroup v2 tree to your user (`Delegate=yes` in user@.service) or remove the limit";
        findings.problem(&format!("linux.resources.{name}"), problem);
    }
}
