//! Processor and disk time of the program (config.md, "Linux Process").
use super::Findings;
use crate::cpulist::Set;
use crate::sys::ioprio::Class;
use crate::sys::sched::Attr;
use oci_spec::runtime::{
    ExecCPUAffinity, IOPriorityClass, LinuxIOPriority, LinuxSchedulerFlag, LinuxSchedulerPolicy, Scheduler,
};

/// On which processors a process runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Affinity {
    /// On all that its cpuset allows: where rrunc was told to run does not leak into the container.
    #[default]
    All,
    /// On those it was given before it joined.
    Kept,
    /// On these.
    Only(Set),
}

/// Scheduling policy and its parameters, checked as runc checks them: what is left to the kernel is whether the caller
/// may have it.
pub(super) fn scheduler(scheduler: &Scheduler, findings: &mut Findings) -> Attr {
    let policy = *scheduler.policy();
    let nice = scheduler.nice().unwrap_or(0);
    let priority = scheduler.priority().unwrap_or(0);
    let deadline = [*scheduler.runtime(), *scheduler.deadline(), *scheduler.period()].map(Option::unwrap_or_default);
    let mut refuse = |problem: String| findings.problem("process.scheduler", problem);
    let name = policy_name(policy);
    if matches!(policy, LinuxSchedulerPolicy::SchedOther | LinuxSchedulerPolicy::SchedBatch)
        && !(-20..=19).contains(&nice)
    {
        refuse(format!("invalid scheduler.nice: {nice} when scheduler.policy is {name}"));
    }
    if priority != 0 && !matches!(policy, LinuxSchedulerPolicy::SchedFifo | LinuxSchedulerPolicy::SchedRr) {
        refuse("scheduler.priority can only be specified for SchedFIFO or SchedRR policy".to_owned());
    }
    if policy != LinuxSchedulerPolicy::SchedDeadline && deadline != [0; 3] {
        refuse("scheduler runtime/deadline/period can only be specified for SchedDeadline policy".to_owned());
    }
    if policy == LinuxSchedulerPolicy::SchedIso {
        refuse("invalid scheduler policy: SCHED_ISO: Linux reserves the name and has no such policy".to_owned());
    }
    let [runtime, deadline, period] = deadline;
    let flags = scheduler.flags().iter().flatten().fold(0, |all, flag| all | flag_bit(*flag));
    Attr::new(
        policy_number(policy),
        flags,
        nice,
        u32::try_from(priority).unwrap_or(u32::MAX),
        runtime,
        deadline,
        period,
    )
}

/// Class and level of disk access; levels mean nothing to the idle class, but are checked as runc does.
pub(super) fn io_priority(priority: &LinuxIOPriority, findings: &mut Findings) -> Option<(Class, u8)> {
    let class = match priority.class() {
        IOPriorityClass::IoprioClassRt => Class::RealTime,
        IOPriorityClass::IoprioClassBe => Class::BestEffort,
        IOPriorityClass::IoprioClassIdle => Class::Idle,
    };
    match u8::try_from(priority.priority()) {
        Ok(level @ 0..=7) => Some((class, level)),
        _ => {
            let problem = format!("invalid ioPriority.Priority: {}: it goes from 0 to 7", priority.priority());
            findings.problem("process.ioPriority", problem);
            None
        }
    }
}

/// Where a process of `exec` runs before it joins the container, and after. Without a final set the kernel's answer to
/// the joining stands.
pub(super) fn exec_affinity(affinity: &ExecCPUAffinity, findings: &mut Findings) -> (Option<Set>, Affinity) {
    let mut read = |name: &str, list: &Option<String>| match list.as_deref().map(Set::parse)? {
        Ok(set) => Some(set),
        Err(problem) => {
            findings.problem("process.execCPUAffinity", format!("bad CPUAffinity.{name}: {problem}"));
            None
        }
    };
    let initial = read("Initial", affinity.initial());
    match (initial, read("Final", affinity.cpu_affinity_final())) {
        (initial, Some(last)) => (initial, Affinity::Only(last)),
        (Some(initial), None) => (Some(initial), Affinity::Kept),
        (None, None) => (None, Affinity::All),
    }
}

/// The name as config.json has it.
fn policy_name(policy: LinuxSchedulerPolicy) -> &'static str {
    match policy {
        LinuxSchedulerPolicy::SchedOther => "SCHED_OTHER",
        LinuxSchedulerPolicy::SchedFifo => "SCHED_FIFO",
        LinuxSchedulerPolicy::SchedRr => "SCHED_RR",
        LinuxSchedulerPolicy::SchedBatch => "SCHED_BATCH",
        LinuxSchedulerPolicy::SchedIso => "SCHED_ISO",
        LinuxSchedulerPolicy::SchedIdle => "SCHED_IDLE",
        LinuxSchedulerPolicy::SchedDeadline => "SCHED_DEADLINE",
    }
}

fn policy_number(policy: LinuxSchedulerPolicy) -> u32 {
    // linux/sched.h; libc has neither of these.
    const SCHED_ISO: i32 = 4;
    const SCHED_DEADLINE: i32 = 6;
    let number = match policy {
        LinuxSchedulerPolicy::SchedOther => libc::SCHED_OTHER,
        LinuxSchedulerPolicy::SchedFifo => libc::SCHED_FIFO,
        LinuxSchedulerPolicy::SchedRr => libc::SCHED_RR,
        LinuxSchedulerPolicy::SchedBatch => libc::SCHED_BATCH,
        LinuxSchedulerPolicy::SchedIso => SCHED_ISO,
        LinuxSchedulerPolicy::SchedIdle => libc::SCHED_IDLE,
        LinuxSchedulerPolicy::SchedDeadline => SCHED_DEADLINE,
    };
    number as u32
}

/// SCHED_FLAG_* of linux/sched.h.
fn flag_bit(flag: LinuxSchedulerFlag) -> u64 {
    match flag {
        LinuxSchedulerFlag::SchedResetOnFork => 0x01,
        LinuxSchedulerFlag::SchedFlagReclaim => 0x02,
        LinuxSchedulerFlag::SchedFlagDLOverrun => 0x04,
        LinuxSchedulerFlag::SchedFlagKeepPolicy => 0x08,
        LinuxSchedulerFlag::SchedFlagKeepParams => 0x10,
        LinuxSchedulerFlag::SchedFlagUtilClampMin => 0x20,
        LinuxSchedulerFlag::SchedFlagUtilClampMax => 0x40,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn problems(value: Value) -> Vec<String> {
        let mut findings = Findings::default();
        scheduler(&serde_json::from_value(value).unwrap(), &mut findings);
        findings.problems
    }

    #[test]
    fn what_does_not_go_together_is_refused_in_runcs_words() {
        assert!(problems(json!({"policy": "SCHED_BATCH", "nice": 19})).is_empty());
        assert!(problems(json!({"policy": "SCHED_FIFO", "priority": 1})).is_empty());
        assert!(problems(json!({"policy": "SCHED_DEADLINE", "runtime": 1, "deadline": 2, "period": 3})).is_empty());
        for (value, text) in [
            (
                json!({"policy": "SCHED_OTHER", "nice": 20}),
                "invalid scheduler.nice: 20 when scheduler.policy is SCHED_OTHER",
            ),
            (json!({"policy": "SCHED_IDLE", "priority": 1}), "can only be specified for SchedFIFO or SchedRR"),
            (json!({"policy": "SCHED_RR", "period": 1}), "can only be specified for SchedDeadline"),
            (json!({"policy": "SCHED_ISO"}), "invalid scheduler policy: SCHED_ISO"),
        ] {
            let found = problems(value);
            assert!(found.len() == 1 && found[0].contains(text), "{found:?}");
        }
    }

    #[test]
    fn processors_of_exec_are_kept_or_changed_only_if_asked() {
        let plan = |value: Value| exec_affinity(&serde_json::from_value(value).unwrap(), &mut Findings::default());
        let set = |list| Set::parse(list).unwrap();
        assert_eq!(plan(json!({})), (None, Affinity::All));
        assert_eq!(plan(json!({"initial": "0"})), (Some(set("0")), Affinity::Kept));
        assert_eq!(plan(json!({"final": "1-2"})), (None, Affinity::Only(set("1-2"))));
        assert_eq!(plan(json!({"initial": "0", "final": "1"})), (Some(set("0")), Affinity::Only(set("1"))));
        let mut findings = Findings::default();
        exec_affinity(&serde_json::from_value(json!({"final": "5-2"})).unwrap(), &mut findings);
        assert!(findings.problems[0].contains("bad CPUAffinity.Final: invalid range: 5-2"), "{:?}", findings.problems);
    }

    #[test]
    fn a_level_of_disk_access_is_0_to_7() {
        let plan =
            |value: Value, findings: &mut Findings| io_priority(&serde_json::from_value(value).unwrap(), findings);
        let mut findings = Findings::default();
        let idle = plan(json!({"class": "IOPRIO_CLASS_IDLE"}), &mut findings);
        assert_eq!((idle, findings.problems.len()), (Some((Class::Idle, 0)), 0));
        for level in [-1, 8, 300] {
            assert_eq!(plan(json!({"class": "IOPRIO_CLASS_BE", "priority": level}), &mut findings), None);
        }
        assert!(
            findings.problems.iter().all(|p| p.contains("invalid ioPriority.Priority: ")),
            "{:?}",
            findings.problems
        );
    }

    #[test]
    fn numbers_are_the_kernels() {
        let value = json!({"policy": "SCHED_BATCH", "nice": 5, "flags": ["SCHED_RESET_ON_FORK", "SCHED_FLAG_RECLAIM"]});
        let attr = scheduler(&serde_json::from_value(value).unwrap(), &mut Findings::default());
        assert_eq!(attr, Attr::new(3, 3, 5, 0, 0, 0, 0));
        // What is not given is 0.
        let attr = scheduler(&serde_json::from_value(json!({"policy": "SCHED_RR"})).unwrap(), &mut Findings::default());
        assert_eq!(attr, Attr::new(2, 0, 0, 0, 0, 0, 0));
    }
}
