//! The whole plan from configurations: what is accepted, and what is refused with which reason.
use super::*;
use crate::host::{ExeOwner, IdMap, Modules, Range};
use serde_json::{Value, json};

/// An ordinary user with a subordinate range and the programs that map it.
pub(crate) fn host() -> Host {
    let all = vec![IdMap { inside: 0, outside: 0, size: u32::MAX }];
    let range = vec![Range { start: 100_000, size: 65_536 }];
    Host {
        uid: 1000,
        gid: 1000,
        rootless_namespace: false,
        privileged: false,
        uid_map: all.clone(),
        gid_map: all,
        subuids: range.clone(),
        subgids: range,
        map_helpers: Some(("/usr/bin/newuidmap".into(), "/usr/bin/newgidmap".into())),
        exe: ExeOwner { uid: 0, gid: 0, mode: 0o755 },
        modules: Modules::default(),
        landlock_abi: 7,
    }
}

/// A configuration with every type of namespace and nothing else of interest.
pub(crate) fn config() -> Value {
    let types = ["pid", "network", "ipc", "uts", "mount", "user", "cgroup", "time"];
    let namespaces = types.map(|kind| json!({"type": kind}));
    json!({"ociVersion": "1.0.2", "process": {"cwd": "/", "args": ["true"]}, "root": {"path": "rootfs"},
        "linux": {"namespaces": namespaces}})
}

/// The plan of `config`.
pub(crate) fn planned(config: &Value) -> Result<Plan> {
    let bundle = Bundle::parse("/bundle".into(), config.to_string().into_bytes())?;
    plan(&bundle, &host(), &Options { id: "c".to_owned(), ..Options::default() })
}

/// The plan of a configuration with `linux.MEMBER`.
fn with(member: &str, value: Value) -> Result<Plan> {
    let mut config = config();
    config["linux"][member] = value;
    planned(&config)
}

/// Why `linux.MEMBER` is refused.
fn refused(member: &str, value: Value) -> String {
    let text = value.to_string();
    crate::error::one_line(&with(member, value).expect_err(&format!("{member}: {text}")))
}

#[test]
fn a_namespace_type_listed_twice_is_refused() {
    let kinds = [
        ("pid", "pid"),
        ("network", "net"),
        ("ipc", "ipc"),
        ("uts", "uts"),
        ("mount", "mnt"),
        ("user", "user"),
        ("cgroup", "cgroup"),
        ("time", "time"),
    ];
    for (kind, name) in kinds {
        let (new, given) = (json!({"type": kind}), json!({"type": kind, "path": "/run/ns/x"}));
        for pair in [[&new, &new], [&new, &given], [&given, &new], [&given, &given]] {
            let text = refused("namespaces", json!(pair));
            assert!(
                text.contains(&format!("linux.namespaces[1]: malformed spec file: duplicated ns {name}")),
                "{text}"
            );
        }
    }
    assert!(refused("namespaces", json!([{"type": "quota"}])).contains("linux.namespaces[0].type"));
}

#[test]
fn a_namespace_path_is_absolute() {
    let text = refused("namespaces", json!([{"type": "mount"}, {"type": "ipc", "path": "run/ns/ipc"}]));
    assert!(text.contains("linux.namespaces[1].path: run/ns/ipc is not absolute"), "{text}");
    let plan = with("namespaces", json!([{"type": "mount"}, {"type": "ipc", "path": "/run/ns/ipc"}])).unwrap();
    assert_eq!(plan.namespaces.join, [(namespaces::Kind::Ipc, "/run/ns/ipc".into())]);
}

#[test]
fn clock_offsets_need_a_known_clock_and_a_new_time_namespace() {
    let both = json!({"monotonic": {"secs": -5, "nanosecs": 7}, "boottime": {"secs": 3}});
    let plan = with("timeOffsets", both.clone()).unwrap();
    let found: Vec<_> = plan.namespaces.clock_offsets.iter().map(|o| (o.clock.as_str(), o.secs, o.nanosecs)).collect();
    assert_eq!(found, [("boottime", 3, 0), ("monotonic", -5, 7)]);
    for (offsets, reason) in [
        (json!({"realtime": {"secs": 1}}), "\"realtime\" is no clock that has an offset"),
        (json!({"": {"secs": 1}}), "\"\" is no clock that has an offset"),
        (
            json!({"monotonic": {"nanosecs": 1_000_000_000}}),
            "linux.timeOffsets.monotonic.nanosecs: 1000000000 is a second or more",
        ),
    ] {
        let text = refused("timeOffsets", offsets);
        assert!(text.contains(reason), "{text}");
    }
    let mut config = config();
    config["linux"]["timeOffsets"] = both;
    for time in [json!(null), json!({"type": "time", "path": "/run/ns/time"})] {
        let mut namespaces = vec![json!({"type": "mount"}), time];
        namespaces.retain(|namespace| !namespace.is_null());
        config["linux"]["namespaces"] = json!(namespaces);
        let text = crate::error::one_line(&planned(&config).expect_err("no new time namespace"));
        assert!(text.contains("time namespace offsets specified, but time namespace isn't enabled"), "{text}");
    }
    config["linux"]["timeOffsets"] = json!({});
    planned(&config).unwrap();
}

#[test]
fn ids_that_are_mapped_are_the_callers_and_its_subordinate_ones() {
    let map = |inside: u32, outside: u32, size: u32| json!({"containerID": inside, "hostID": outside, "size": size});
    let granted = json!([map(0, 1000, 1), map(1, 100_000, 65_536)]);
    let with_maps = |uid: &Value, gid: &Value| {
        let mut config = config();
        config["linux"]["uidMappings"] = uid.clone();
        config["linux"]["gidMappings"] = gid.clone();
        planned(&config)
    };
    let ids = with_maps(&granted, &granted).unwrap().ids.unwrap();
    assert_eq!(ids.uid[1], IdMap { inside: 1, outside: 100_000, size: 65_536 });
    for foreign in [map(0, 0, 1), map(0, 1001, 1), map(0, 1000, 2), map(0, 99_999, 2), map(0, 100_000, 65_537)] {
        for (uid, gid, kind) in [(json!([foreign]), granted.clone(), "uid"), (granted.clone(), json!([foreign]), "gid")]
        {
            let text = crate::error::one_line(&with_maps(&uid, &gid).expect_err(&format!("{kind} {foreign}")));
            assert!(text.contains(&format!("linux.{kind}Mappings: host {kind}s ")), "{text}");
            assert!(text.contains("are not yours to map"), "{text}");
        }
    }
}

#[test]
fn devices_that_cannot_be_meant_are_refused() {
    let node = |path: &str, kind: &str, major: i64, minor: i64| json!([{"path": path, "type": kind, "major": major, "minor": minor}]);
    for (devices, reason) in [
        (node("dev/x", "c", 1, 3), "linux.devices[0]: path dev/x is not absolute"),
        (node("/dev/..", "c", 1, 3), "linux.devices[0]: path /dev/.. names no file"),
        (node("/", "c", 1, 3), "linux.devices[0]: path / names no file"),
        (node("/dev/x", "c", -1, 3), "linux.devices[0]: major -1 is not a device number"),
        (node("/dev/x", "b", 1, 1 << 32), "linux.devices[0]: minor 4294967296 is not a device number"),
        (node("/dev/x", "a", 1, 3), "type \"a\" is for device cgroups"),
        (node("/dev/x", "s", 1, 3), "linux.devices[0].type: unknown variant `s`"),
        (node("/dev/null", "c", 1, 5), "linux.devices[0]: /dev/null is already another device"),
        (json!([{"path": "/dev/p", "type": "p", "gid": 70_000}]), "linux.devices[0]: gid 70000 is not mapped"),
    ] {
        let text = refused("devices", devices);
        assert!(text.contains(reason), "{text}");
    }
    let plan = with("devices", node("/dev/null", "c", 1, 3)).unwrap();
    assert_eq!(plan.devices.len(), 6, "only the default ones");
}

#[test]
fn only_kernel_parameters_of_a_namespace_of_the_containers_are_set() {
    let own = [
        ("net.ipv4.ip_forward", "network", "net/ipv4/ip_forward"),
        ("net/ipv4/conf/eth0.1/forwarding", "network", "net/ipv4/conf/eth0.1/forwarding"),
        ("net.ipv4.conf.eth0/1.forwarding", "network", "net/ipv4/conf/eth0.1/forwarding"),
        ("kernel.shmmax", "ipc", "kernel/shmmax"),
        ("kernel/sem", "ipc", "kernel/sem"),
        ("kernel.msgmni", "ipc", "kernel/msgmni"),
        ("fs.mqueue.msg_max", "ipc", "fs/mqueue/msg_max"),
        ("user.max_mnt_namespaces", "user", "user/max_mnt_namespaces"),
    ];
    for (name, kind, file) in own {
        let plan = with("sysctl", json!({name: "1"})).unwrap();
        assert_eq!(plan.sysctl, [(file.to_owned(), "1".to_owned())]);
        if kind == "user" {
            continue; // It is there whether it is listed or not.
        }
        let mut config = config();
        config["linux"]["sysctl"] = json!({name: "1"});
        config["linux"]["namespaces"].as_array_mut().unwrap().retain(|namespace| namespace["type"] != kind);
        let text = crate::error::one_line(&planned(&config).expect_err(name));
        assert!(text.contains(&format!("linux.sysctl.{name}: sysctl ")), "{text}");
        assert!(text.contains("is not in a separate kernel namespace"), "{text}");
    }
    for name in
        ["kernel.panic", "vm.overcommit_memory", "kernel.shmmax_x", "fs.file-max", "kernel.core_pattern", "net", "x"]
    {
        let text = refused("sysctl", json!({name: "1"}));
        assert!(text.contains(&format!("sysctl {name:?} is not in a separate kernel namespace")), "{text}");
    }
    let text = refused("sysctl", json!({"kernel/hostname": "x"}));
    assert!(text.contains("not allowed as it conflicts with the OCI \"hostname\" field"), "{text}");
    for name in ["kernel.domainname", "kernel/domainname"] {
        let mut config = config();
        config["linux"]["sysctl"] = json!({name: "x"});
        let plan = planned(&config).expect(name);
        assert_eq!((plan.domainname.as_deref(), plan.sysctl), (Some("x"), Vec::new()));
        config["domainname"] = json!("y");
        let text = crate::error::one_line(&planned(&config).expect_err(name));
        assert!(text.contains("is another name than the field \"domainname\" has"), "{text}");
        config["domainname"] = json!("x");
        planned(&config).expect(name);
    }
    for name in ["", ".", "net..x", "net/../kernel/panic", "net.ipv4.//.//kernel", "/net/ipv4/ip_forward", "net/."] {
        let text = refused("sysctl", json!({name: "1"}));
        assert!(
            text.contains("not a name of a kernel parameter") || text.contains("separate kernel"),
            "{name}: {text}"
        );
    }
}

#[test]
fn paths_that_are_covered_are_absolute_and_a_propagation_is_a_known_one() {
    for member in ["maskedPaths", "readonlyPaths"] {
        let text = refused(member, json!(["/proc/kcore", "proc/keys"]));
        assert!(text.contains(&format!("linux.{member}: proc/keys is not absolute")), "{text}");
        with(member, json!(["/a", "/a", "/b/../c"])).unwrap();
    }
    for word in ["recursive", "rr", "rsharedx", "SHARED"] {
        let text = refused("rootfsPropagation", json!(word));
        assert!(text.contains(&format!("linux.rootfsPropagation: {word:?} is no propagation type")), "{text}");
    }
    assert_eq!(with("rootfsPropagation", json!("")).unwrap().rootfs.propagation, None);
}

#[test]
fn a_personality_is_one_of_two_without_flags() {
    for (domain, number) in [("LINUX", 0), ("LINUX32", 8)] {
        let plan = with("personality", json!({"domain": domain, "flags": []})).unwrap();
        assert_eq!(plan.process.unwrap().personality, Some(number), "{domain}");
    }
    assert!(refused("personality", json!({"domain": "BSD"})).contains("linux.personality.domain"));
    let text = refused("personality", json!({"domain": "LINUX", "flags": ["ADDR_NO_RANDOMIZE"]}));
    assert!(text.contains("linux.personality.flags: the specification has none that could be set"), "{text}");
}

#[test]
fn the_programs_user_gets_the_cgroup_exactly_where_he_may_write_to_it() {
    let owner = |options: Value, user: u32, privileged: bool| {
        let mut config = config();
        config["process"]["user"] = json!({"uid": user, "gid": 0});
        config["mounts"] =
            json!([{"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": options}]);
        config["linux"]["uidMappings"] = json!([{"containerID": 0, "hostID": 1000, "size": 1},
            {"containerID": 1, "hostID": 100_000, "size": 100}]);
        config["linux"]["gidMappings"] = config["linux"]["uidMappings"].clone();
        let bundle = Bundle::parse("/bundle".into(), config.to_string().into_bytes()).unwrap();
        let host = Host { privileged, ..host() };
        plan(&bundle, &host, &Options { id: "c".to_owned(), ..Options::default() }).unwrap().cgroup_owner
    };
    assert_eq!(owner(json!(["rw"]), 7, true), Some(7));
    assert_eq!(owner(json!([]), 7, true), Some(7));
    assert_eq!(owner(json!(["ro"]), 7, true), None);
    assert_eq!(owner(json!(["rro"]), 7, true), None);
    // The caller's already; and what another made could not be removed.
    assert_eq!(owner(json!([]), 0, true), None);
    assert_eq!(owner(json!([]), 7, false), None);
    // An id beyond all ids is for the check of the maps to refuse.
    let mut config = config();
    config["process"]["user"] = json!({"uid": 9, "gid": 0});
    config["linux"]["uidMappings"] = json!([{"containerID": 0, "hostID": u32::MAX, "size": 100}]);
    config["linux"]["gidMappings"] = config["linux"]["uidMappings"].clone();
    let bundle = Bundle::parse("/bundle".into(), config.to_string().into_bytes()).unwrap();
    plan(&bundle, &host(), &Options { id: "c".to_owned(), ..Options::default() }).unwrap_err();
}
