//! One after another, and many at once.
use crate::lab::Lab;
use crate::{Case, Tier::Quick, Tier::Whole};

pub const CASES: &[Case] = &[
    Case { name: "podman: 5 containers in a row", tier: Quick, act: |lab| row(lab, 5) },
    Case { name: "podman: 4 containers at once", tier: Quick, act: |lab| at_once(lab, 4) },
    Case { name: "podman: 100 containers in a row", tier: Whole, act: |lab| row(lab, 100) },
    Case { name: "podman: 20 containers at once", tier: Whole, act: |lab| at_once(lab, 20) },
];

fn row(lab: &Lab, count: usize) {
    for number in 0..count {
        let text = format!("{number}\n");
        lab.podman(&format!("run --rm --network none bb echo {number}")).success().prints(&text);
    }
}

fn at_once(lab: &Lab, count: usize) {
    let start = |number| lab.podman_call(&format!("run --rm --network none bb sh -c 'sleep 1; echo {number}'")).spawn();
    let running: Vec<_> = (0..count).map(start).collect();
    for (number, container) in running.into_iter().enumerate() {
        container.wait().success().prints(&format!("{number}\n"));
    }
}
