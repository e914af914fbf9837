//! i386 reaches the socket and System V IPC calls in two ways: by their own numbers, and through `socketcall` and `ipc`
//! with the call's index in the first argument. A rule for `socket` must hold for both, or it is no rule.
use super::names::{self, Call};
use super::rules::{Clause, Rules};
use oci_spec::runtime::{LinuxSeccompArg, LinuxSeccompArgBuilder, LinuxSeccompOperator};

/// linux/net.h: SYS_SOCKET…
const SOCKETCALL: [(&str, u64); 20] = [
    ("socket", 1),
    ("bind", 2),
    ("connect", 3),
    ("listen", 4),
    ("accept", 5),
    ("getsockname", 6),
    ("getpeername", 7),
    ("socketpair", 8),
    ("send", 9),
    ("recv", 10),
    ("sendto", 11),
    ("recvfrom", 12),
    ("shutdown", 13),
    ("setsockopt", 14),
    ("getsockopt", 15),
    ("sendmsg", 16),
    ("recvmsg", 17),
    ("accept4", 18),
    ("recvmmsg", 19),
    ("sendmmsg", 20),
];

/// linux/ipc.h: SEMOP…
const IPC: [(&str, u64); 12] = [
    ("semop", 1),
    ("semget", 2),
    ("semctl", 3),
    ("semtimedop", 4),
    ("msgsnd", 11),
    ("msgrcv", 12),
    ("msgget", 13),
    ("msgctl", 14),
    ("shmat", 21),
    ("shmdt", 22),
    ("shmget", 23),
    ("shmctl", 24),
];

/// The clauses that the rules of its members put on a multiplexer; none for any other call.
pub fn clauses(rules: &Rules, call: Call) -> Option<Vec<Clause>> {
    // ipc's upper half is an ABI version, which the kernel cuts off before it looks at the index.
    let (members, mask): (&[(&str, u64)], u64) = match names::name(call) {
        "socketcall" => (&SOCKETCALL, 0xffff_ffff),
        "ipc" => (&IPC, 0xffff),
        _ => return None,
    };
    let clause = |&(name, index): &(&str, u64)| {
        let action = through_multiplexer(rules, names::find(name)?)?;
        Some(Clause { conditions: vec![first_argument(mask, index)], action })
    };
    Some(members.iter().filter_map(clause).collect())
}

/// What a member gets through the multiplexer. Its own arguments lie in memory there, where no filter can look, so a
/// rule that depends on them counts if it is stricter than the default and is left out if it is more lenient.
fn through_multiplexer(rules: &Rules, member: Call) -> Option<u32> {
    let named = rules.of(member);
    let strictest = || named.clauses.iter().map(|i| rules.clauses[*i as usize].action).min_by_key(|a| severity(*a));
    named.always.or_else(|| strictest().filter(|action| severity(*action) < severity(rules.default)))
}

/// The kernel's order of actions, strictest first: signed comparison of the upper half (seccomp(2), KILL_PROCESS = -1).
fn severity(action: u32) -> i32 {
    (action & libc::SECCOMP_RET_ACTION_FULL) as i32
}

fn first_argument(mask: u64, wanted: u64) -> LinuxSeccompArg {
    LinuxSeccompArgBuilder::default()
        .index(0_usize)
        .value(mask)
        .value_two(wanted)
        .op(LinuxSeccompOperator::ScmpCmpMaskedEq)
        .build()
        .expect("every member is given")
}
