//! Puts limits on a cgroup: controllers given from the top down, values written, and taken back when one is refused.
use super::place::{SCOPE, is_in, lacking, others, undelegated};
use super::stats::page_sizes;
use super::write;
use crate::error::{WithHint, errno_of, one_line};
use crate::plan::resources::Setting;
use anyhow::{Context, Result, anyhow, bail};
use nix::errno::Errno;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// Where rrunc itself goes when it is in the way: a cgroup with processes gives its children no controllers.
const ASIDE: &str = "rrunc-itself";

/// The file of the controllers that a cgroup has.
const CONTROLLERS: &str = "cgroup.controllers";

/// The controllers that `settings` need, each once.
pub fn controllers(settings: &[Setting]) -> Vec<&str> {
    let mut all = Vec::new();
    for name in settings.iter().filter(|setting| !setting.lifts()).filter_map(Setting::controller) {
        if !all.contains(&name) {
            all.push(name);
        }
    }
    all
}

/// Sets the limits of a container that has no process yet: all but those that forbid it one.
pub fn prepare(top: &Path, dir: &Path, settings: &[Setting]) -> Result<()> {
    enable(top, dir, &controllers(settings)).context("linux.resources")?;
    apply(dir, settings.iter().filter(|setting| !setting.forbids_clone()))
}

/// Has `dir` controlled by the controllers that `settings` need, from the children of `top` on, and writes the values.
///
/// # Errors
/// A controller that is not to be had, or a value that the kernel refuses; then all files have their old values again.
pub fn set(top: &Path, dir: &Path, settings: &[Setting]) -> Result<()> {
    enable(top, dir, &controllers(settings)).context("linux.resources")?;
    apply(dir, settings)
}

fn enable(top: &Path, dir: &Path, controllers: &[&str]) -> Result<()> {
    let above: Vec<&Path> = dir.ancestors().skip(1).take_while(|dir| dir.starts_with(top)).collect();
    for dir in above.into_iter().rev() {
        let words: Vec<String> =
            lacking(dir, "cgroup.subtree_control", controllers).into_iter().map(|name| format!("+{name}")).collect();
        if words.is_empty() {
            continue;
        }
        let give = || write(dir, "cgroup.subtree_control", &words.join(" "));
        match give() {
            Err(e) if errno_of(&e) == Some(Errno::EBUSY) => step_aside(dir).and_then(|()| give())?,
            Err(e) if errno_of(&e) == Some(Errno::ENOENT) => {
                let names = lacking(dir, CONTROLLERS, controllers);
                return Err(anyhow!("{} has no controller for {}", dir.display(), names.join(" ")))
                    .hint(|| undelegated(dir, &names));
            }
            given => given?,
        }
    }
    Ok(())
}

/// Leaves `dir` for a cgroup below it, if no other process is there: those are not ours to move. Nor are we to be moved
/// from anywhere else, when the others have ended meanwhile.
fn step_aside(dir: &Path) -> Result<()> {
    if !others(dir).is_empty() {
        return Err(anyhow!("{} has processes, so that its children can have no limits", dir.display())).hint(|| SCOPE);
    }
    if !is_in(dir) {
        return Ok(());
    }
    let aside = dir.join(ASIDE);
    super::make(&aside)?;
    write(&aside, "cgroup.procs", "0")
}

/// Writes the values, or, when one is refused, those of before.
pub fn apply<'a>(dir: &Path, settings: impl IntoIterator<Item = &'a Setting>) -> Result<()> {
    let mut done: Vec<(&Setting, String)> = Vec::new();
    for setting in settings {
        let before = match fs::read_to_string(dir.join(&setting.file)) {
            Ok(before) => before,
            Err(e) if e.kind() == ErrorKind::NotFound && (setting.optional || setting.lifts()) => continue,
            // One that can only be written has nothing to be put back.
            Err(_) => String::new(),
        };
        let set = write_one(dir, setting).with_context(|| format!("linux.resources.{}", setting.member));
        if let Err(error) = set {
            for (setting, before) in done.into_iter().rev() {
                if let Err(e) = write(dir, &setting.file, &setting.undo(&before)) {
                    log::warn!("{} could not be put back to what it was: {}", setting.file, one_line(&e));
                }
            }
            return Err(error);
        }
        done.push((setting, before));
    }
    Ok(())
}

fn is_read_only(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|meta| meta.permissions().readonly())
}

fn write_one(dir: &Path, setting: &Setting) -> Result<()> {
    let written = write(dir, &setting.file, &setting.value);
    match written.as_ref().err().and_then(errno_of) {
        // BFQ, the scheduler, has weights of its own, with the range of cgroup v1.
        Some(Errno::ENOENT) if setting.file == "io.weight" && dir.join("io.bfq.weight").exists() => {
            let (device, weight) = setting.value.rsplit_once(' ').context("no weight")?;
            let weight = 10 + (weight.parse::<u64>()?.saturating_sub(1)) * 990 / 9999;
            write(dir, "io.bfq.weight", &format!("{device} {weight}"))
        }
        Some(Errno::ENOENT) => {
            written.hint(|| match setting.controller().map(|name| lacking(dir, CONTROLLERS, &[name])) {
                Some(names) if !names.is_empty() => undelegated(dir, &names),
                _ => no_such_limit(dir, setting),
            })
        }
        Some(Errno::EACCES) if is_read_only(&dir.join(&setting.file)) => {
            written.hint(|| "what this file tells nobody can set: leave it out")
        }
        Some(Errno::ENODEV) => written.hint(|| "there is no such device, or it cannot be limited"),
        Some(Errno::EINVAL | Errno::ERANGE) => written.hint(|| refused_value(dir, setting)),
        _ => written,
    }
}

fn no_such_limit(dir: &Path, setting: &Setting) -> String {
    let sizes = page_sizes(dir).collect::<Vec<_>>().join(", ");
    match setting.controller() {
        Some("hugetlb") if !sizes.is_empty() => format!("this kernel has no such limit: its huge pages are {sizes}"),
        _ => "this kernel has no such limit".to_owned(),
    }
}

fn refused_value(dir: &Path, setting: &Setting) -> String {
    let refused = format!("the kernel refuses the value {:?}", setting.value);
    let there = fs::read_to_string(dir.join(format!("{}.effective", setting.file))).unwrap_or_default();
    if there.trim().is_empty() { refused } else { format!("{refused}: of this container may be {}", there.trim()) }
}

/// Refuses a limit of memory that is below what is used now, which would end processes (config-linux.md, "Memory",
/// `checkBeforeUpdate`).
pub fn check_memory(dir: &Path, settings: &[Setting]) -> Result<()> {
    let limit = settings.iter().rev().find(|setting| setting.file == "memory.max");
    let Some(limit) = limit.and_then(|setting| setting.value.parse::<u64>().ok()) else { return Ok(()) };
    let used = fs::read_to_string(dir.join("memory.current")).ok().and_then(|text| text.trim().parse::<u64>().ok());
    if let Some(used) = used.filter(|used| *used > limit) {
        bail!("rejecting memory limit {limit}, because it is lower than current usage {used}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::path::PathBuf;

    struct Fake(PathBuf);

    impl Fake {
        fn new(name: &str, files: &[(&str, &str)]) -> Fake {
            let dir = std::env::temp_dir().join(format!("rrunc-limits-{name}-{}", std::process::id()));
            fs::create_dir_all(dir.join("child")).unwrap();
            for (file, text) in files {
                fs::write(dir.join(file), text).unwrap();
            }
            Fake(dir)
        }

        fn read(&self, file: &str) -> String {
            fs::read_to_string(self.0.join(file)).unwrap_or_default()
        }
    }

    impl Drop for Fake {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn settings(resources: Value) -> Vec<Setting> {
        crate::plan::resources::settings(&serde_json::from_value(resources).unwrap())
    }

    #[test]
    fn controllers_are_named_once_and_only_for_limits() {
        let all = settings(json!({"memory": {"limit": 5, "swap": 6}, "pids": {"limit": -1}, "cpu": {"cpus": "0"},
            "unified": {"cgroup.max.depth": "3"}, "hugepageLimits": [{"pageSize": "2MB", "limit": 0}]}));
        assert_eq!(controllers(&all), ["memory", "cpuset", "hugetlb"]);
    }

    #[test]
    fn controllers_are_given_to_the_parent_and_the_values_written() {
        let files = [("cgroup.subtree_control", "pids"), ("child/memory.max", "max"), ("child/pids.max", "max")];
        let fake = Fake::new("give", &files);
        let dir = fake.0.join("child");
        let all = settings(json!({"memory": {"limit": 4096}, "pids": {"limit": 7}}));
        set(&fake.0, &dir, &all).unwrap();
        assert_eq!(fake.read("cgroup.subtree_control"), "+memory");
        assert_eq!((fake.read("child/memory.max"), fake.read("child/pids.max")), ("4096".into(), "7".into()));
        fs::write(dir.join("memory.current"), "5000\n").unwrap();
        assert!(check_memory(&dir, &all).unwrap_err().to_string().contains("lower than current usage 5000"));
        check_memory(&dir, &settings(json!({"memory": {"limit": 5000}}))).unwrap();
    }

    #[test]
    fn rdma_and_huge_pages_are_limited_where_the_kernel_has_them() {
        let files = [
            ("cgroup.subtree_control", ""),
            ("child/hugetlb.2MB.max", "max"),
            ("child/hugetlb.2MB.rsvd.max", "max"),
            ("child/hugetlb.1GB.max", "max"),
            ("child/rdma.max", "mlx5_0 hca_handle=max hca_object=max"),
        ];
        let fake = Fake::new("rdma", &files);
        let dir = fake.0.join("child");
        let limits = json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 4096}, {"pageSize": "1GB", "limit": 1}],
            "rdma": {"mlx5_0": {"hcaHandles": 3}}});
        set(&fake.0, &dir, &settings(limits)).unwrap();
        assert_eq!(fake.read("cgroup.subtree_control"), "+hugetlb +rdma");
        assert_eq!(
            (fake.read("child/hugetlb.2MB.max"), fake.read("child/hugetlb.2MB.rsvd.max")),
            ("4096".into(), "4096".into())
        );
        assert_eq!(fake.read("child/hugetlb.1GB.rsvd.max"), "", "an older kernel's is not made up");
        assert_eq!(fake.read("child/rdma.max"), "mlx5_0 hca_handle=3 hca_object=max");
    }

    #[test]
    fn a_refused_value_leaves_all_as_it_was() {
        let fake = Fake::new("back", &[("child/memory.max", "max\n"), ("child/pids.max", "9\n")]);
        let dir = fake.0.join("child");
        let all = settings(json!({"memory": {"limit": 4096}, "pids": {"limit": 7}, "cpu": {"cpus": "0"}}));
        let error = apply(&dir, &all).unwrap_err();
        assert!(one_line(&error).starts_with("linux.resources.cpu.cpus: write "), "{}", one_line(&error));
        assert_eq!((fake.read("child/memory.max"), fake.read("child/pids.max")), ("max\n".into(), "9\n".into()));
    }

    #[test]
    fn what_lifts_a_limit_needs_no_file_and_bfqs_weight_is_of_the_old_range() {
        let fake = Fake::new("bfq", &[("child/io.bfq.weight", "default 100\n")]);
        let dir = fake.0.join("child");
        apply(&dir, &settings(json!({"memory": {"limit": -1}, "pids": {"limit": -1}}))).unwrap();
        apply(&dir, &settings(json!({"blockIO": {"weight": 500}}))).unwrap();
        assert_eq!(fake.read("child/io.bfq.weight"), "default 500");
    }

    #[test]
    fn a_limit_that_cannot_be_set_says_whether_its_controller_is_missing() {
        let hint = |fake: &Fake, file: &str| {
            let error = apply(&fake.0.join("child"), &settings(json!({"unified": {file: "1"}}))).unwrap_err();
            crate::error::hint_of(&error).unwrap_or_default().to_owned()
        };
        let files = [
            ("cgroup.controllers", "cpuset memory hugetlb\n"),
            ("child/cgroup.controllers", "memory hugetlb\n"),
            ("child/hugetlb.2MB.current", "0\n"),
        ];
        let fake = Fake::new("hint", &files);
        assert!(hint(&fake, "cpuset.cpus").contains("Delegate=yes"), "{}", hint(&fake, "cpuset.cpus"));
        assert!(hint(&fake, "pids.max").contains("in cgroup v1, or not at all"), "{}", hint(&fake, "pids.max"));
        assert_eq!(hint(&fake, "memory.new"), "this kernel has no such limit");
        assert_eq!(hint(&fake, "hugetlb.3MB.max"), "this kernel has no such limit: its huge pages are 2MB");
    }

    #[test]
    fn a_process_that_is_elsewhere_is_not_moved() {
        let own = format!("{}\n", std::process::id());
        let fake = Fake::new("aside", &[("cgroup.procs", ""), ("child/cgroup.procs", &own)]);
        step_aside(&fake.0).unwrap();
        assert!(!fake.0.join(ASIDE).exists());
        step_aside(&fake.0.join("child")).unwrap_err();
        assert!(fake.0.join("child").join(ASIDE).is_dir(), "the control stays");
        fs::remove_dir(fake.0.join("child").join(ASIDE)).unwrap();
    }
}
