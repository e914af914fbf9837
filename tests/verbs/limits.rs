//! Limits of a container: set, changed while it runs, refused whole. Here with huge pages, the one controller that a
//! machine with cgroups of version 1 leaves free; memory, processes and processors are limited in the virtual machine.
use crate::cgroups::{below, delegated, directory};
use crate::support::{Bundle, Lacks, Stage, skip};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

/// The cgroup in which a container with limits gets its own, if it can give it the controller of huge pages.
fn limited() -> Option<PathBuf> {
    let own = delegated()?;
    let has = |dir: &&Path| {
        let controllers = fs::read_to_string(dir.join("cgroup.controllers")).unwrap_or_default();
        controllers.split_ascii_whitespace().any(|name| name == "hugetlb")
    };
    let found = own.parent().filter(has).map(Path::to_owned);
    if found.is_none() {
        skip(Lacks::Machine("a delegated cgroup with the controller of huge pages"));
    }
    found
}

/// What helps who lacks this controller: a delegation, unless the kernel has it in version 1.
fn remedy(controller: &str) -> &'static str {
    let all = ["/sys/fs/cgroup/cgroup.controllers", "/sys/fs/cgroup/unified/cgroup.controllers"];
    let all = all.iter().find_map(|file| fs::read_to_string(file).ok()).expect("a tree of version 2");
    if all.contains(controller) { "Delegate=yes" } else { "systemd.unified_cgroup_hierarchy=1" }
}

/// A page size of this machine as the kernel's files have it in their names.
fn page_size(dir: &Path) -> String {
    let files = fs::read_dir(dir).expect("a cgroup").map(|entry| entry.expect("an entry").file_name());
    let sizes =
        files.filter_map(|name| Some(name.to_str()?.strip_prefix("hugetlb.")?.strip_suffix(".max")?.to_owned()));
    // By name the last is a small one: limits are rounded down to whole pages.
    sizes.filter(|size| !size.contains('.')).max().expect("a size of huge pages")
}

fn sleeping(stage: &Stage) -> Bundle {
    let bundle = stage.bundle();
    bundle.args(&["sleep", "3600"]);
    bundle
}

#[test]
fn a_limit_is_set_before_the_program_runs_and_gone_with_the_container() {
    let Some(parent) = limited() else { return };
    let stage = Stage::new();
    let bundle = sleeping(&stage);
    let size = page_size(&parent);
    // The last one: a limit of the kernel's own name wins.
    let unified = json!({format!("hugetlb.{size}.rsvd.max"): "4194304"});
    bundle.set(
        "/linux/resources",
        json!({"hugepageLimits": [{"pageSize": size, "limit": 8_388_608}], "unified": unified}),
    );
    stage.running(&bundle, "c");
    let dir = directory(&stage, &parent, "c");
    let read = |file: &str| fs::read_to_string(dir.join(file)).expect(file).trim().to_owned();
    assert_eq!(read(&format!("hugetlb.{size}.max")), "8388608");
    assert_eq!(read(&format!("hugetlb.{size}.rsvd.max")), "4194304");
    let stats = stage.rrunc(&["events", "--stats", "c"]).success().stdout;
    assert!(stats.starts_with("{\"type\":\"stats\",\"id\":\"c\",\"data\":{\"cpu\":"), "{stats}");
    assert!(stats.contains(&format!("\"{size}\":{{\"failcnt\":0}}")), "{stats}");
    stage.remove("c");
    assert!(!dir.exists());
}

#[test]
fn update_changes_a_limit_and_a_refused_one_leaves_all_as_they_were() {
    let Some(parent) = limited() else { return };
    let stage = Stage::new();
    let size = page_size(&parent);
    let bundle = sleeping(&stage);
    bundle.set("/linux/resources", json!({"hugepageLimits": [{"pageSize": size, "limit": 8_388_608}]}));
    stage.running(&bundle, "c");
    let dir = directory(&stage, &parent, "c");
    let limit = || fs::read_to_string(dir.join(format!("hugetlb.{size}.max"))).expect("the limit").trim().to_owned();
    let update =
        |resources: serde_json::Value| stage.call(&["update", "-r", "-", "c"]).stdin(resources.to_string()).run();
    update(json!({"hugepageLimits": [{"pageSize": size, "limit": 2_097_152}]})).success();
    assert_eq!(limit(), "2097152");
    // The second is of a size that no machine has: the first is put back.
    let wrong = json!([{"pageSize": size, "limit": 0}, {"pageSize": "3MB", "limit": 0}]);
    update(json!({"hugepageLimits": wrong})).fails(1, &["linux.resources.hugepageLimits[1]", "has no such limit"]);
    assert_eq!(limit(), "2097152");
    // Controllers that are not there are named, with what to do.
    let first = stage.rrunc(&["update", "--memory", "64m", "c"]);
    if !fs::read_to_string(parent.join("cgroup.controllers")).expect("the controllers").contains("memory") {
        first.fails(1, &["set the limits of c: linux.resources: ", "has no controller for memory", remedy("memory")]);
    }
    update(json!({"hugepageLimits": [{"pageSize": size, "limit": -1}]})).success();
    assert_eq!(limit(), "max");
    update(json!([1])).fails(1, &["--resources -", "no JSON object"]);
    update(json!({"memory": {"limit": "x"}})).fails(1, &["--resources -: memory.limit: invalid type"]);
    stage.rrunc(&["update", "--memory", "1x", "c"]).fails(1, &["invalid value for memory"]);
    stage.rrunc(&["update", "--cpu-rt-period", "9", "c"]).fails(1, &["realtimePeriod: cgroup v2 has no such limit"]);
    stage.rrunc(&["update", "--l3-cache-schema", "L3:0=f", "c"]).fails(1, &["resctrl can only be used by root"]);
    // Nothing asked for is nothing done, as under runc.
    stage.rrunc(&["update", "c"]).success();
    stage.rrunc(&["kill", "c", "KILL"]).success();
    stage.wait_status("c", "stopped");
    stage.rrunc(&["update", "--pids-limit", "9", "c"]).fails(1, &["container not running"]);
    stage.remove("c");
}

#[test]
fn without_a_cgroup_there_is_nothing_to_change_and_little_to_tell() {
    let stage = Stage::new();
    let bundle = sleeping(&stage);
    stage.in_bundle(&bundle, &["--cgroup-manager", "disabled", "create", "c"]).success();
    let hint = "systemd-run --user --scope -p Delegate=yes";
    stage.rrunc(&["update", "--pids-limit", "9", "c"]).fails(1, &["container has no cgroup of its own", hint]);
    stage.rrunc(&["events", "c"]).fails(1, &["memory controller missing", "--stats"]);
    let stats = stage.rrunc(&["events", "--stats", "c"]).success().stdout;
    assert!(
        stats.contains("\"pids\":{},\"blkio\":{},\"hugetlb\":{},\"intel_rdt\":{},\"network_interfaces\":null"),
        "{stats}"
    );
    stage.rrunc(&["events", "--interval", "0s", "c"]).fails(1, &["duration interval must be greater than 0"]);
    stage.rrunc(&["events", "--interval", "x", "c"]).fails(1, &["invalid value for --interval"]);
    stage.remove("c");
    stage.rrunc(&["events", "c"]).fails(1, &["does not exist"]);
    bundle.args(&["true"]);
    stage.in_bundle(&bundle, &["run", "--keep", "c"]).success();
    stage.rrunc(&["events", "--stats", "c"]).fails(1, &["container with id c is not running"]);
    stage.remove("c");
}

#[test]
fn where_a_limit_cannot_be_had_the_error_names_what_is_missing_and_nothing_is_left() {
    let Some(own) = delegated() else { return };
    let stage = Stage::new();
    let bundle = sleeping(&stage);
    let parent = own.parent().expect("a parent");
    if fs::read_to_string(parent.join("cgroup.controllers")).expect("the controllers").contains("memory") {
        return skip(Lacks::Machine("a delegated cgroup without the controller of memory"));
    }
    // Other tests have cgroups there too.
    let name = format!("named-limits-{}", std::process::id());
    let left =
        || below(parent).into_iter().chain(below(&own)).any(|dir| dir.starts_with("rrunc-nolimits-") || dir == name);
    bundle.set("/linux/resources", json!({"memory": {"limit": 1 << 30}}));
    for verb in ["run", "create"] {
        let texts =
            ["linux.resources.memory: rootless needs no limits", "has no controller for memory", remedy("memory")];
        stage.in_bundle(&bundle, &[verb, "nolimits"]).fails(1, &texts);
    }
    let disabled = ["--cgroup-manager", "disabled", "run", "nolimits"];
    stage.in_bundle(&bundle, &disabled).fails(1, &["rootless needs no limits", "--cgroup-manager disabled"]);
    stage.in_bundle(&bundle, &["--systemd-cgroup", "run", "nolimits"]).fails(1, &["systemd not running on this host"]);
    bundle.set("/linux/cgroupsPath", json!(name));
    stage.in_bundle(&bundle, &["run", "nolimits"]).fails(1, &["has no controller for memory"]);
    assert!(!left());
    assert!(stage.containers().is_empty());
}
