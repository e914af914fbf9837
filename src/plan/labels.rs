//! AppArmor profiles and SELinux labels: carried out where the kernel has the module, refused where it has not.
use super::Findings;
use super::mounts::{Mount, What};
use crate::host::Modules;
use oci_spec::runtime::{Linux, Process};
use std::ffi::{CStr, CString};

/// What the program is labelled with at execve.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels {
    /// An AppArmor profile that is loaded.
    pub apparmor: Option<String>,
    /// An SELinux context.
    pub selinux: Option<String>,
}

const NO_SELINUX: &str = "selinux label is specified in config, but selinux is disabled or not supported";

pub(super) fn plan(process: &Process, modules: Modules, findings: &mut Findings) -> Labels {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let labels = Labels { apparmor: given(process.apparmor_profile()), selinux: given(process.selinux_label()) };
    if let Some(profile) = labels.apparmor.as_ref().filter(|_| !modules.apparmor) {
        let problem = format!("apparmor failed to apply profile: {profile}: AppArmor is not enabled on this host");
        findings.mendable("process.apparmorProfile", problem, "leave the profile out on this host");
    }
    if labels.selinux.is_some() && !modules.selinux {
        findings.mendable("process.selinuxLabel", NO_SELINUX, "leave the label out on this host");
    }
    labels
}

pub(super) fn mount_label(linux: Option<&Linux>, modules: Modules, findings: &mut Findings) -> Option<CString> {
    let label = linux.and_then(|l| l.mount_label().as_deref()).filter(|label| !label.is_empty())?;
    if !modules.selinux {
        findings.mendable("linux.mountLabel", NO_SELINUX, "leave the label out on this host");
    }
    let text = CString::new(label);
    if text.is_err() {
        findings.problem("linux.mountLabel", format!("{label:?} holds a NUL byte"));
    }
    text.ok()
}

/// Labels the new file systems among `mounts`. SELinux takes a context from a user namespace for these types only
/// (selinux_set_mnt_opts() in security/selinux/hooks.c); an own one of the configuration stands.
pub(super) fn put_on(mounts: &mut [Mount], label: &CStr) {
    for mount in mounts {
        let What::FileSystem { fstype, options, .. } = &mut mount.what else { continue };
        let takes = [c"tmpfs", c"ramfs", c"devpts", c"overlay"].contains(&fstype.as_c_str());
        if takes && !options.iter().any(|(key, _)| key.as_c_str() == c"context") {
            options.push((c"context".to_owned(), Some(label.to_owned())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::mount::Attr;

    const BOTH: Modules = Modules { apparmor: true, selinux: true };

    fn labelled() -> Process {
        let mut process = Process::default();
        process.set_apparmor_profile(Some("web".to_owned())).set_selinux_label(Some("u:r:t:s0".to_owned()));
        process
    }

    #[test]
    fn labels_are_refused_where_the_kernel_has_no_use_for_them() {
        let mut findings = Findings::default();
        let labels = plan(&labelled(), BOTH, &mut findings);
        assert_eq!((labels.apparmor.as_deref(), labels.selinux.as_deref()), (Some("web"), Some("u:r:t:s0")));
        assert!(findings.problems.is_empty());
        plan(&labelled(), Modules::default(), &mut findings);
        let all = findings.problems.join("; ");
        assert!(all.contains("apparmor failed to apply profile: web: ") && all.contains(NO_SELINUX), "{all}");
        let mut empty = Process::default();
        empty.set_apparmor_profile(Some(String::new()));
        let mut findings = Findings::default();
        assert_eq!(plan(&empty, Modules::default(), &mut findings), Labels::default());
        assert!(findings.problems.is_empty());
    }

    #[test]
    fn a_mount_label_goes_on_file_systems_that_take_one() {
        let of = |fstype: &CStr| Mount {
            destination: "/x".into(),
            what: What::FileSystem {
                fstype: fstype.to_owned(),
                source: c"none".to_owned(),
                options: Vec::new(),
                fallback: None,
            },
            attr: Attr::default(),
            tree_attr: Attr::default(),
            propagation: Vec::new(),
            copy_up: false,
            id_mapping: None,
        };
        let mut mounts = [of(c"proc"), of(c"tmpfs")];
        put_on(&mut mounts, c"u:r:t:s0");
        put_on(&mut mounts, c"another");
        let options = mounts.map(|mount| match mount.what {
            What::FileSystem { options, .. } => options,
            other => panic!("{other:?}"),
        });
        assert_eq!(options, [vec![], vec![(c"context".to_owned(), Some(c"u:r:t:s0".to_owned()))]]);
    }
}
