//! `features`: what this binary supports, as the OCI features document (features.md). Fixed at compile time: what the
//! host lacks does not show.
use super::Outcome;
use crate::state::OCI_VERSION;

const DOCUMENT: &str = include_str!("../../profiles/features.json.in");

/// Runs the verb.
pub fn run() -> Outcome {
    DOCUMENT.replace("OCI_VERSION", OCI_VERSION).into()
}

#[cfg(test)]
mod tests {
    //! What the document lists is fed back: each word has to be one that the plan knows.
    use super::*;
    use crate::bundle::Bundle;
    use crate::cgroup::place::{Wanted, choose};
    use crate::plan::mounts::{Mount, What};
    use crate::plan::resources::settings;
    use crate::plan::tests::{config, host, planned};
    use crate::plan::{
        self, KEEP_STREAMS, MEMORY, NO_LINKS, NO_NAMES, Options, Plan, REAPER, SURE_MASKS, TIMEOUT, namespaces,
    };
    use anyhow::bail;
    use oci_spec::runtime::{Features, LinuxResources};
    use serde_json::{Value, json};
    use std::path::Path;

    fn document() -> Value {
        serde_json::from_str(&run().output).unwrap()
    }

    /// The words of the list at this JSON pointer; there are some.
    fn list(pointer: &str) -> Vec<String> {
        let words = document().pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default();
        assert!(!words.is_empty(), "{pointer}");
        words.iter().map(|word| word.as_str().expect("a word").to_owned()).collect()
    }

    /// The plan of a configuration with `value` at `pointer`; nothing about it may need a warning.
    #[track_caller]
    fn accepted(pointer: &str, value: Value) -> Plan {
        let plan = with(pointer, value.clone()).unwrap_or_else(|e| panic!("{pointer} {value}: {e:#}"));
        assert_eq!(plan.warnings, Vec::<String>::new(), "{pointer} {value}");
        plan
    }

    fn with(pointer: &str, value: Value) -> anyhow::Result<Plan> {
        let mut config = config();
        let mut place = &mut config;
        for key in pointer.split('/').skip(1) {
            place = &mut place[key];
        }
        *place = value;
        planned(&config)
    }

    fn seccomp(value: Value) -> Value {
        let mut profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/agent"});
        for (key, value) in value.as_object().unwrap() {
            profile[key] = value.clone();
        }
        profile
    }

    fn rule(action: &str, operator: &str) -> Value {
        json!([{"names": ["mkdir"], "action": action, "args": [{"index": 1, "value": 1, "valueTwo": 1, "op": operator}]}])
    }

    #[test]
    fn the_document_holds_what_its_version_defines_and_no_null() {
        let document = document();
        let known: Features = serde_json::from_value(document.clone()).unwrap();
        let known = serde_json::to_value(known).unwrap();
        fn compare(path: &str, ours: &Value, known: &Value) {
            assert!(!ours.is_null(), "{path} is null");
            match ours.as_object() {
                Some(members) => {
                    members.iter().for_each(|(name, ours)| compare(&format!("{path}.{name}"), ours, &known[name]))
                }
                None => assert_eq!(ours, known, "{path} is not what the version defines"),
            }
        }
        compare("", &document, &known);
        assert_eq!(document["ociVersionMax"], OCI_VERSION);
        let number = |name: &str| {
            let version = document[name].as_str().unwrap().split('.');
            version.map(|part| part.parse::<u32>().unwrap()).collect::<Vec<_>>()
        };
        assert!(number("ociVersionMin") <= number("ociVersionMax"));
        for name in ["ociVersionMin", "ociVersionMax"] {
            accepted("/ociVersion", document[name].clone());
        }
    }

    #[test]
    fn listed_hooks_are_run_and_listed_namespaces_made() {
        for name in list("/hooks") {
            let hooks = accepted("/hooks", json!({&name: [{"path": "/bin/true"}]})).hooks;
            let of = [
                ("prestart", &hooks.prestart),
                ("createRuntime", &hooks.create_runtime),
                ("createContainer", &hooks.create_container),
                ("startContainer", &hooks.start_container),
                ("poststart", &hooks.poststart),
                ("poststop", &hooks.poststop),
            ];
            for (kind, hooks) in of {
                assert_eq!(hooks.len(), usize::from(kind == name), "{name} as {kind}");
            }
        }
        let listed = list("/linux/namespaces");
        assert_eq!(listed.len(), namespaces::KINDS.len());
        for name in listed {
            // A container without mounts of its own cannot do without a warning.
            let kinds = if name == "mount" { vec!["mount"] } else { vec!["mount", &name] };
            let value = kinds.iter().map(|kind| json!({"type": kind})).collect();
            let own = accepted("/linux/namespaces", value).namespaces.new;
            let wanted = if name == "user" { kinds.len() } else { kinds.len() + 1 };
            assert_eq!(own.len(), wanted, "{name} and the user namespace that is always there: {own:?}");
        }
    }

    #[test]
    fn listed_mount_options_are_known_and_none_is_data_of_a_file_system() {
        // mount(8)'s own words, and what no file system of ours has a use for.
        const WITHOUT_EFFECT: [&str; 6] = ["defaults", "iversion", "loud", "noiversion", "nomand", "silent"];
        const SUPERBLOCK: [&str; 6] = ["async", "dirsync", "lazytime", "mand", "nolazytime", "sync"];
        let mount = |option: &str| -> Mount {
            let value = json!([{"destination": "/m", "type": "tmpfs", "source": "/usr", "options": [option]}]);
            accepted("/mounts", value).mounts.remove(0)
        };
        let data = |mount: &Mount| match &mount.what {
            What::FileSystem { options, .. } => options.len(),
            _ => 0,
        };
        let plain = mount("defaults");
        let listed = list("/mountOptions");
        assert!(listed.is_sorted() && listed.len() > 60);
        for option in listed {
            let mount = mount(&option);
            assert_eq!(mount == plain, WITHOUT_EFFECT.contains(&option.as_str()), "{option}");
            assert_eq!(data(&mount), usize::from(SUPERBLOCK.contains(&option.as_str())), "{option}");
        }
        // The control: a word that no list has is data.
        assert_eq!((data(&mount("size=4k")), data(&mount("rnosuch"))), (1, 1));
    }

    #[test]
    fn listed_capabilities_are_those_of_the_kernel_in_its_order() {
        let names = list("/linux/capabilities");
        assert_eq!(names.len(), 41, "CAP_CHOWN to CAP_CHECKPOINT_RESTORE");
        for (number, name) in names.iter().enumerate() {
            let plan = accepted("/process/capabilities", json!({"bounding": [name]}));
            assert_eq!(plan.process.unwrap().capabilities.bounding, 1 << number, "{name}");
        }
        let unknown = with("/process/capabilities", json!({"bounding": ["CAP_NONE"]})).unwrap();
        assert_eq!(unknown.warnings.len(), 1);
    }

    #[test]
    fn listed_words_of_seccomp_are_compiled() {
        let compiled = |profile: Value| accepted("/linux/seccomp", seccomp(profile)).process.unwrap().seccomp.unwrap();
        let plain = compiled(json!({})).program.len();
        for action in list("/linux/seccomp/actions") {
            let notify = action == "SCMP_ACT_NOTIFY";
            let filter = compiled(json!({"syscalls": rule(&action, "SCMP_CMP_EQ")}));
            // A rule that says what the default says is none.
            assert_eq!(filter.program.len() > plain, action != "SCMP_ACT_ALLOW", "{action}");
            assert_eq!(filter.listener.is_some(), notify);
            if !notify {
                compiled(json!({"defaultAction": action}));
            }
        }
        let mut programs = Vec::new();
        for operator in list("/linux/seccomp/operators") {
            let program = compiled(json!({"syscalls": rule("SCMP_ACT_ERRNO", &operator)})).program;
            let program: Vec<_> = program.iter().map(|i| (i.code, i.jt, i.jf, i.k)).collect();
            assert!(!programs.contains(&program), "{operator} means what another does");
            programs.push(program);
        }
        for arch in list("/linux/seccomp/archs") {
            compiled(json!({"architectures": [arch]}));
        }
        for other in ["SCMP_ARCH_MIPS", "SCMP_ARCH_PPC64LE", "SCMP_ARCH_S390X", "SCMP_ARCH_LOONGARCH64"] {
            let plan = with("/linux/seccomp", seccomp(json!({"architectures": [other]}))).unwrap();
            assert!(plan.warnings.len() == 1 && plan.warnings[0].contains(other), "{:?}", plan.warnings);
        }
        assert_eq!(list("/linux/seccomp/knownFlags"), list("/linux/seccomp/supportedFlags"));
        for flag in list("/linux/seccomp/supportedFlags") {
            let filter = compiled(json!({"flags": [flag], "syscalls": rule("SCMP_ACT_NOTIFY", "SCMP_CMP_EQ")}));
            // One thread has nobody to synchronize.
            assert_eq!(filter.flags == 0, flag == "SECCOMP_FILTER_FLAG_TSYNC", "{flag}");
        }
        for wrong in [
            json!({"syscalls": rule("SCMP_ACT_NONE", "SCMP_CMP_EQ")}),
            json!({"syscalls": rule("SCMP_ACT_ERRNO", "SCMP_CMP_NONE")}),
            json!({"architectures": ["SCMP_ARCH_NONE"]}),
            json!({"flags": ["SECCOMP_FILTER_FLAG_NONE"]}),
        ] {
            assert!(with("/linux/seccomp", seccomp(wrong.clone())).is_err(), "{wrong}");
        }
    }

    #[test]
    fn listed_memory_policies_are_planned() {
        for mode in list("/linux/memoryPolicy/modes") {
            let nodes = if ["MPOL_DEFAULT", "MPOL_LOCAL"].contains(&mode.as_str()) { "" } else { "0" };
            accepted("/linux/memoryPolicy", json!({"mode": mode, "nodes": nodes}));
        }
        for flag in list("/linux/memoryPolicy/flags") {
            let plain = accepted("/linux/memoryPolicy", json!({"mode": "MPOL_BIND", "nodes": "0"}));
            let plan = accepted("/linux/memoryPolicy", json!({"mode": "MPOL_BIND", "nodes": "0", "flags": [flag]}));
            assert_ne!(plan.process.unwrap().memory_policy, plain.process.unwrap().memory_policy, "{flag}");
        }
        assert!(with("/linux/memoryPolicy", json!({"mode": "MPOL_NONE"})).is_err());
    }

    #[test]
    fn what_is_said_to_be_there_is_and_what_is_not_is_refused() {
        let linux = &document()["linux"];
        assert_eq!(linux["mountExtensions"]["idmap"]["enabled"], true, "for tmpfs");
        let ids = json!([{"containerID": 0, "hostID": 1000, "size": 1}]);
        let mapped = json!([{"destination": "/m", "type": "tmpfs", "uidMappings": ids, "gidMappings": ids}]);
        assert!(accepted("/mounts", mapped).mounts[0].id_mapping.is_some());
        for (switch, pointer, value) in [
            ("/netDevices/enabled", "/linux/netDevices", json!({"eth0": {}})),
            ("/intelRdt/enabled", "/linux/intelRdt", json!({"closID": "c"})),
            ("/cgroup/v1", "/linux/resources/network", json!({"classID": 1})),
        ] {
            assert_eq!(linux.pointer(switch), Some(&json!(false)), "{switch}");
            assert!(with(pointer, value).is_err(), "{pointer}");
        }
        // The system's own systemd is not asked, which would be root's to do.
        let place = |systemd: bool, bus: bool| {
            let wanted = Wanted { id: "c", path: Some(Path::new("user.slice:r:c")), controllers: Vec::new(), systemd };
            choose(None, &wanted, || if bus { Ok(()) } else { bail!("no systemd") })
        };
        assert_eq!((&linux["cgroup"]["systemd"], &linux["cgroup"]["systemdUser"]), (&json!(false), &json!(true)));
        assert!(place(true, true).is_ok() && place(true, false).is_err() && place(false, true).is_err());
        assert_eq!((&linux["cgroup"]["v2"], &linux["cgroup"]["rdma"]), (&json!(true), &json!(true)));
        let limits = json!({"unified": {"memory.high": "1"}, "rdma": {"mlx5_0": {"hcaHandles": 1}}});
        let limits: LinuxResources = serde_json::from_value(limits).unwrap();
        let files: Vec<_> = settings(&limits).into_iter().map(|setting| setting.file).collect();
        assert_eq!(files, ["rdma.max", "memory.high"]);
    }

    #[test]
    fn listed_annotations_are_those_that_change_what_is_done() {
        let listed = list("/potentiallyUnsafeConfigAnnotations");
        let of_systemd = "org.systemd.property.CollectMode";
        assert!(crate::systemd::annotation(of_systemd, "'inactive'").unwrap().is_some());
        let recognized = [REAPER, KEEP_STREAMS, SURE_MASKS, NO_LINKS, NO_NAMES, MEMORY, TIMEOUT, of_systemd];
        let matches = |form: &str, name: &str| name == form || (form.ends_with('.') && name.starts_with(form));
        for form in &listed {
            assert!(recognized.iter().any(|name| matches(form, name)), "nothing recognizes {form}");
        }
        for name in recognized {
            assert!(listed.iter().any(|form| matches(form, name)), "{name} is not listed");
        }
        for name in [MEMORY, TIMEOUT] {
            assert!(with("/annotations", json!({name: "no number"})).is_err(), "{name}");
        }
        for name in [REAPER, KEEP_STREAMS, SURE_MASKS, NO_LINKS] {
            let plan = accepted("/annotations", json!({name: "true"}));
            let plain = accepted("/annotations", json!({"org.example.other": "true"}));
            let set = |plan: &Plan| (plan.reaper, plan.keep_streams, plan.sure_masks, plan.no_links);
            assert_ne!(set(&plan), set(&plain), "{name}");
        }
        for (foreground, network) in [(true, true), (false, true), (true, false)] {
            let mut config = config();
            config["annotations"] = json!({NO_NAMES: "true"});
            config["linux"]["namespaces"]
                .as_array_mut()
                .unwrap()
                .retain(|namespace| network || namespace["type"] != "network");
            let bundle = Bundle::parse("/bundle".into(), config.to_string().into_bytes()).unwrap();
            let options = Options { id: "c".to_owned(), die_with_parent: foreground, ..Options::default() };
            let plan = plan::plan(&bundle, &host(), &options).unwrap();
            assert_eq!(plan.no_names, foreground && network, "{NO_NAMES}");
        }
    }
}
