//! The part of a filter for one AUDIT_ARCH_* value: ranges of call numbers with equal treatment, searched by halves.
//!
//! A profile of hundreds of names is mostly runs of neighbours, so the tree is short. That pays twice: each call that
//! depends on arguments walks it, and the kernel runs a new filter over every number to learn which ones are constant.
use super::abi::{ARM_PRIVATE, Abi, X32_BIT};
use super::assemble::{Assembler, Target, Test};
use super::multiplex;
use super::names::{self, Call};
use super::rules::{Clause, Rules};
use seccompiler::{BpfProgram, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompRule};
use std::collections::HashMap;

use oci_spec::runtime::{LinuxSeccompArg, LinuxSeccompOperator as Operator};

/// Offset of `nr` in `struct seccomp_data`.
const NUMBER: u32 = 0;

/// Offset of the first argument there; each has its lower half first.
const ARGUMENTS: u32 = 16;

/// How many values are compared in a row: what they lead to stays within reach of all of them.
const VALUES: usize = 100;

/// What a number gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Treatment {
    /// A constant value.
    Return(u32),
    /// Clauses to be tried: an index into [`Section::chains`].
    Try(usize),
}

/// Numbers from `start` up to the next leaf, but for one of them.
struct Leaf {
    start: u32,
    treatment: Treatment,
    except: Option<(u32, Treatment)>,
}

struct Chain {
    clauses: Vec<Clause>,
    narrow: bool,
    /// Where its code is, once something needed it.
    emitted: Option<Target>,
}

struct Section<'a> {
    rules: &'a Rules,
    /// (first number, treatment), ascending, neighbours always different.
    ranges: Vec<(u32, Treatment)>,
    chains: Vec<Chain>,
    /// Chains by the clauses they consist of and their width, so that equal calls share one.
    known: HashMap<(&'a [u32], bool), usize>,
}

/// Emits the section of the given ABIs, which share an AUDIT_ARCH_* value, and returns its entry.
pub fn emit(rules: &Rules, abis: &[Abi], assembler: &mut Assembler) -> Target {
    let mut section = Section { rules, ranges: Vec::new(), chains: Vec::new(), known: HashMap::new() };
    for abi in abis {
        section.add(*abi);
    }
    if abis[0] == Abi::X86_64 {
        if !abis.contains(&Abi::X32) {
            // A foreign ABI. With a default that lets calls through it would otherwise be a way around every rule.
            section.range(X32_BIT, Treatment::Return(libc::SECCOMP_RET_KILL_PROCESS));
        }
        // -1 is no x32 call: it is how a tracer makes the kernel skip a call.
        section.range(u32::MAX, Treatment::Return(rules.newer));
    }
    let leaves = section.leaves();
    let search = section.tree(&leaves, assembler);
    match search {
        Target::Return(_) => search,
        Target::At(_) => assembler.load(NUMBER, search),
    }
}

impl<'a> Section<'a> {
    /// Adds the ranges of one ABI, ordinary numbers first, then ARM's private ones.
    fn add(&mut self, abi: Abi) {
        let numbers = names::numbers(abi);
        let ordinary = numbers.partition_point(|(number, _)| abi != Abi::Arm || *number < ARM_PRIVATE);
        self.add_numbers(abi, if abi == Abi::X32 { X32_BIT } else { 0 }, &numbers[..ordinary]);
        if numbers[ordinary..].iter().any(|(_, call)| self.rules.of(*call).seen) {
            self.add_numbers(abi, ARM_PRIVATE, &numbers[ordinary..]);
        }
    }

    fn add_numbers(&mut self, abi: Abi, first: u32, numbers: &[(u32, Call)]) {
        let default = Treatment::Return(self.rules.default);
        let Some(last) = numbers.iter().rposition(|(_, call)| self.rules.of(*call).seen) else {
            return self.range(first, default);
        };
        let mut next = first;
        for (number, call) in &numbers[..=last] {
            if *number != next {
                self.range(next, default);
            }
            let treatment = self.treatment(abi, *call);
            self.range(*number, treatment);
            next = number + 1;
        }
        self.range(next, Treatment::Return(self.rules.newer));
    }

    fn range(&mut self, start: u32, treatment: Treatment) {
        if self.ranges.last().is_none_or(|(_, last)| *last != treatment) {
            self.ranges.push((start, treatment));
        }
    }

    fn treatment(&mut self, abi: Abi, call: Call) -> Treatment {
        let rules = self.rules;
        let named = rules.of(call);
        if let Some(action) = named.always {
            return Treatment::Return(action);
        }
        if abi == Abi::X86
            && let Some(more) = multiplex::clauses(rules, call)
        {
            let mut clauses = self.clauses(&named.clauses);
            clauses.extend(more);
            return self.chain(clauses, true);
        }
        if named.clauses.is_empty() {
            return Treatment::Return(rules.default);
        }
        let key = (named.clauses.as_slice(), abi.narrow());
        if let Some(chain) = self.known.get(&key) {
            return Treatment::Try(*chain);
        }
        self.known.insert(key, self.chains.len());
        self.chain(self.clauses(&named.clauses), abi.narrow())
    }

    fn clauses(&self, indices: &[u32]) -> Vec<Clause> {
        indices.iter().map(|i| self.rules.clauses[*i as usize].clone()).collect()
    }

    fn chain(&mut self, clauses: Vec<Clause>, narrow: bool) -> Treatment {
        if clauses.is_empty() {
            return Treatment::Return(self.rules.default);
        }
        self.chains.push(Chain { clauses, narrow, emitted: None });
        Treatment::Try(self.chains.len() - 1)
    }

    /// The ranges, with a single number between two equal ranges folded into one leaf: one test instead of two.
    fn leaves(&self) -> Vec<Leaf> {
        let mut leaves: Vec<Leaf> = Vec::with_capacity(self.ranges.len());
        let mut rest = self.ranges.as_slice();
        while let [(start, treatment), tail @ ..] = rest {
            rest = tail;
            let mut leaf = Leaf { start: *start, treatment: *treatment, except: None };
            if let [(number, other), (after, same), ..] = tail
                && same == treatment
                && number + 1 == *after
            {
                leaf.except = Some((*number, *other));
                rest = &tail[2..];
            }
            leaves.push(leaf);
        }
        leaves
    }

    fn tree(&mut self, leaves: &[Leaf], assembler: &mut Assembler) -> Target {
        if let [leaf] = leaves {
            let most = self.target(leaf.treatment, assembler);
            return match leaf.except {
                None => most,
                Some((number, treatment)) => {
                    let one = self.target(treatment, assembler);
                    assembler.branch(Test::Equal, number, one, most)
                }
            };
        }
        let (low, high) = leaves.split_at(leaves.len() / 2);
        let pivot = high[0].start;
        let high = self.tree(high, assembler);
        let low = self.tree(low, assembler);
        assembler.branch(Test::AtLeast, pivot, high, low)
    }

    fn target(&mut self, treatment: Treatment, assembler: &mut Assembler) -> Target {
        let index = match treatment {
            Treatment::Return(value) => return Target::Return(value),
            Treatment::Try(index) => index,
        };
        let chain = &mut self.chains[index];
        *chain.emitted.get_or_insert_with(|| {
            let mut next = Target::Return(self.rules.default);
            for clauses in chain.clauses.chunk_by(|a, b| alternatives(a, b, chain.narrow)).rev() {
                for clauses in clauses.rchunks(VALUES) {
                    if assembler.is_too_long() {
                        return next;
                    }
                    next = match &clauses[0].conditions[..] {
                        [only] if only.op() == Operator::ScmpCmpEq => one_of(clauses, chain.narrow, next, assembler),
                        [only] if bits(only).is_some() => one_of_bits(clauses, next, assembler),
                        all => assembler.rule(&comparisons(all, chain.narrow), clauses[0].action, next),
                    };
                }
            }
            next
        })
    }
}

/// Whether two clauses ask for the same argument, to the same end: for equality with values that have the same upper half, or
/// for bits.
fn alternatives(a: &Clause, b: &Clause, narrow: bool) -> bool {
    let ([x], [y]) = (&a.conditions[..], &b.conditions[..]) else { return false };
    let equal = Operator::ScmpCmpEq;
    let upper = |c: &LinuxSeccompArg| if narrow { 0 } else { c.value() >> 32 };
    let values = (x.op(), y.op()) == (equal, equal) && upper(x) == upper(y);
    a.action == b.action && x.index() == y.index() && (values || bits(x).is_some() && bits(y).is_some())
}

/// A comparison under a mask that one instruction makes: whether the argument has any of some bits, and which answer is
/// asked for.
fn bits(condition: &LinuxSeccompArg) -> Option<(u32, bool)> {
    if condition.op() != Operator::ScmpCmpMaskedEq {
        return None;
    }
    let mask = u32::try_from(condition.value()).ok()?;
    match condition.value_two().unwrap_or_default() {
        0 => Some((mask, false)),
        wanted => (mask.is_power_of_two() && wanted == u64::from(mask)).then_some((mask, true)),
    }
}

/// One load, and one test for each: an ioctl's number, say, is allowed for any of 30 bits.
fn one_of_bits(clauses: &[Clause], otherwise: Target, assembler: &mut Assembler) -> Target {
    let found = Target::Return(clauses[0].action);
    let test = |next, clause: &Clause| {
        let (mask, any) = bits(&clause.conditions[0]).expect("each of them is such a one");
        let (yes, no) = if any { (found, next) } else { (next, found) };
        assembler.branch(Test::AnyBit, mask, yes, no)
    };
    let next = clauses.iter().rev().fold(otherwise, test);
    assembler.load(ARGUMENTS + 8 * clauses[0].conditions[0].index() as u32, next)
}

/// One load and one comparison for each value, and the upper half once, behind them: personality, say, is allowed for a
/// handful of values, and what seccompiler makes of each is as long as all of this.
fn one_of(clauses: &[Clause], narrow: bool, otherwise: Target, assembler: &mut Assembler) -> Target {
    let first = &clauses[0].conditions[0];
    let low = ARGUMENTS + 8 * first.index() as u32;
    let mut found = Target::Return(clauses[0].action);
    if !narrow {
        found = assembler.branch(Test::Equal, (first.value() >> 32) as u32, found, otherwise);
        found = assembler.load(low + 4, found);
    }
    let compare =
        |next, clause: &Clause| assembler.branch(Test::Equal, clause.conditions[0].value() as u32, found, next);
    let next = clauses.iter().rev().fold(otherwise, compare);
    assembler.load(low, next)
}

/// seccompiler's code for "all of these hold", without its first two instructions: they only jump over each other.
fn comparisons(conditions: &[LinuxSeccompArg], narrow: bool) -> BpfProgram {
    let conditions = conditions.iter().map(|c| comparison(c, narrow)).collect();
    let rule = SeccompRule::new(conditions).expect("a clause has conditions");
    BpfProgram::from(rule).split_off(2)
}

fn comparison(condition: &LinuxSeccompArg, narrow: bool) -> SeccompCondition {
    let (mut value, mut wanted) = (condition.value(), condition.value_two().unwrap_or_default());
    if narrow {
        value &= u64::from(u32::MAX);
        wanted &= u64::from(u32::MAX);
    }
    let operator = match condition.op() {
        Operator::ScmpCmpNe => SeccompCmpOp::Ne,
        Operator::ScmpCmpLt => SeccompCmpOp::Lt,
        Operator::ScmpCmpLe => SeccompCmpOp::Le,
        Operator::ScmpCmpEq => SeccompCmpOp::Eq,
        Operator::ScmpCmpGe => SeccompCmpOp::Ge,
        Operator::ScmpCmpGt => SeccompCmpOp::Gt,
        // OCI's names mislead: `value` is the mask and `valueTwo` what must be left of the argument under it.
        Operator::ScmpCmpMaskedEq => {
            let mask = std::mem::replace(&mut value, wanted);
            SeccompCmpOp::MaskedEq(mask)
        }
    };
    let low_half_decides = matches!(operator, SeccompCmpOp::MaskedEq(mask) if mask <= u64::from(u32::MAX));
    let length = if narrow || low_half_decides { SeccompCmpArgLen::Dword } else { SeccompCmpArgLen::Qword };
    SeccompCondition::new(condition.index() as u8, length, operator, value).expect("the index was checked")
}
