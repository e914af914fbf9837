//! The memory policy (config-linux.md, "Memory policy"): modes, flags and nodes, checked as runc checks them.
use super::Findings;
use crate::cpulist::Set;
use oci_spec::runtime::{LinuxMemoryPolicy, MemoryPolicyFlagType, MemoryPolicyModeType};

/// A memory policy as set_mempolicy(2) takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryPolicy {
    /// MPOL_* with MPOL_F_*.
    pub mode: u32,
    /// The nodes, if any.
    pub nodes: Option<Set>,
}

const PATH: &str = "linux.memoryPolicy";

pub(super) fn plan(policy: &LinuxMemoryPolicy, findings: &mut Findings) -> Option<MemoryPolicy> {
    // As in runc, an empty list is no list.
    let list = policy.nodes().as_deref().filter(|list| !list.trim().is_empty());
    let nodes = match list.map(Set::parse).transpose() {
        Ok(nodes) => nodes,
        Err(problem) => {
            let problem = format!("invalid memory policy nodes {:?}: {problem}", list.unwrap_or_default());
            findings.mendable(
                PATH,
                problem,
                "write linux.memoryPolicy.nodes as a list of numbers and ranges: \"0-1,3\"",
            );
            return None;
        }
    };
    let count = nodes.map_or(0, |nodes| nodes.count());
    match policy.mode() {
        MemoryPolicyModeType::MpolDefault | MemoryPolicyModeType::MpolLocal if count > 0 => {
            let problem = format!("memory policy mode requires 0 nodes but got {count}");
            findings.mendable(PATH, problem, "leave out linux.memoryPolicy.nodes, or choose a mode that has nodes");
        }
        MemoryPolicyModeType::MpolBind
        | MemoryPolicyModeType::MpolInterleave
        | MemoryPolicyModeType::MpolWeightedInterleave
        | MemoryPolicyModeType::MpolPreferredMany
            if count == 0 =>
        {
            let problem = "memory policy mode requires at least one node but got 0";
            findings.mendable(PATH, problem, "name them in linux.memoryPolicy.nodes: \"0\"");
        }
        // MPOL_PREFERRED without a node means the local one.
        _ => {}
    }
    let flags = policy.flags().iter().flatten().fold(0, |all, flag| all | flag_bit(*flag));
    Some(MemoryPolicy { mode: mode_number(policy.mode()) | flags, nodes })
}

/// MPOL_* of linux/mempolicy.h.
fn mode_number(mode: MemoryPolicyModeType) -> u32 {
    match mode {
        MemoryPolicyModeType::MpolDefault => 0,
        MemoryPolicyModeType::MpolPreferred => 1,
        MemoryPolicyModeType::MpolBind => 2,
        MemoryPolicyModeType::MpolInterleave => 3,
        MemoryPolicyModeType::MpolLocal => 4,
        MemoryPolicyModeType::MpolPreferredMany => 5,
        MemoryPolicyModeType::MpolWeightedInterleave => 6,
    }
}

/// MPOL_F_* of the same.
fn flag_bit(flag: MemoryPolicyFlagType) -> u32 {
    match flag {
        MemoryPolicyFlagType::MpolFStaticNodes => 1 << 15,
        MemoryPolicyFlagType::MpolFRelativeNodes => 1 << 14,
        MemoryPolicyFlagType::MpolFNumaBalancing => 1 << 13,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn with(value: Value) -> (Option<MemoryPolicy>, String) {
        let mut findings = Findings::default();
        let planned = plan(&serde_json::from_value(value).unwrap(), &mut findings);
        (planned, findings.problems.join("; "))
    }

    #[test]
    fn modes_flags_and_nodes_become_the_kernels_numbers() {
        let value =
            json!({"mode": "MPOL_BIND", "nodes": "0,2", "flags": ["MPOL_F_STATIC_NODES", "MPOL_F_NUMA_BALANCING"]});
        let expected = MemoryPolicy { mode: 2 | 1 << 15 | 1 << 13, nodes: Some(Set::parse("0,2").unwrap()) };
        assert_eq!(with(value), (Some(expected), String::new()));
        let local = with(json!({"mode": "MPOL_PREFERRED", "nodes": ""}));
        assert_eq!(local, (Some(MemoryPolicy { mode: 1, nodes: None }), String::new()));
    }

    #[test]
    fn nodes_that_do_not_go_with_the_mode_are_refused_in_runcs_words() {
        let text = |value| with(value).1;
        let needed = "memory policy mode requires at least one node but got 0";
        for mode in ["MPOL_BIND", "MPOL_INTERLEAVE", "MPOL_WEIGHTED_INTERLEAVE", "MPOL_PREFERRED_MANY"] {
            assert!(text(json!({"mode": mode})).contains(needed), "{mode}");
        }
        for mode in ["MPOL_DEFAULT", "MPOL_LOCAL"] {
            let text = text(json!({"mode": mode, "nodes": "0-1"}));
            assert!(text.contains("memory policy mode requires 0 nodes but got 2"), "{text}");
        }
        let text = text(json!({"mode": "MPOL_BIND", "nodes": "x"}));
        assert!(text.contains("invalid memory policy nodes \"x\": "), "{text}");
    }
}
