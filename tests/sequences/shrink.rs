//! From a sequence with a finding to the steps that it takes.
use crate::finding::{Finding, Kind};
use crate::sequence::Sequence;
use crate::weakness::Weakness;
use std::time::{Duration, Instant};

/// How long steps are left out to see whether the finding stays.
const TIME: Duration = Duration::from_secs(60);

/// The set-up and its steps, with their numbers.
pub fn print(sequence: &Sequence) {
    let plan = sequence.plan();
    println!("seed {}: {:?}, {:?}", sequence.seed, plan.setting, plan.variant);
    for (number, step) in numbers(sequence).iter().zip(&plan.steps) {
        println!("  {number:>2}. {step}");
    }
}

/// Tells what was found, with the shortest list of steps that was found for it.
pub fn tell(sequence: &Sequence, found: &[Finding]) {
    let (short, found) = shortened(sequence, found.to_vec());
    print(&short);
    print_found(&found);
    let steps = numbers(&short).iter().map(usize::to_string).collect::<Vec<_>>().join(",");
    println!("  again: RRUNC_SEED={} RRUNC_STEPS={steps} tests/run sequences -- sequences", short.seed);
}

/// The first of them: the same thing is often found by many ways.
pub fn print_found(found: &[Finding]) {
    found.iter().take(8).for_each(|finding| println!("  {finding}"));
    if found.len() > 8 {
        println!("  and {} more", found.len() - 8);
    }
}

fn numbers(sequence: &Sequence) -> Vec<usize> {
    let all = || (0..sequence.plan().steps.len()).collect();
    sequence.only.clone().unwrap_or_else(all)
}

/// Leaves out one step after the other, from the end, as long as what is found is of the same kind.
fn shortened(sequence: &Sequence, mut found: Vec<Finding>) -> (Sequence, Vec<Finding>) {
    let (begin, kind) = (Instant::now(), found[0].kind);
    let mut short = Sequence { only: Some(numbers(sequence)), ..sequence.clone() };
    for number in numbers(sequence).into_iter().rev() {
        if begin.elapsed() > TIME {
            break;
        }
        let kept = numbers(&short).into_iter().filter(|kept| *kept != number).collect();
        let attempt = Sequence { only: Some(kept), ..short.clone() };
        let again = attempt.run();
        if again.iter().any(|finding| finding.kind == kind) {
            (short, found) = (attempt, again);
        }
    }
    (short, found)
}

/// Of the control's steps only those stay without which nothing is found.
pub fn control() {
    let whole = Sequence { seed: 0, weakness: Some(Weakness::Shown), only: None };
    let found = whole.run();
    let read = found.into_iter().find(|finding| finding.kind == Kind::Read).expect("a secret that is read");
    let (short, _) = shortened(&whole, vec![read]);
    assert_eq!(short.only.as_deref(), Some(&[0, 2][..]), "the start and the looking");
}
