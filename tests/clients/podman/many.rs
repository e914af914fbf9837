//! One after another, and many at once. What tells is a file that each makes: podman may lose output.
use crate::lab::Lab;
use crate::{Case, Tier::Quick, Tier::Whole};
use std::fs;

pub const CASES: &[Case] = &[
    Case { name: "podman: 5 containers in a row", tier: Quick, act: |lab| row(lab, 5) },
    Case { name: "podman: 4 containers at once", tier: Quick, act: |lab| at_once(lab, 4) },
    Case { name: "podman: 100 containers in a row", tier: Whole, act: |lab| row(lab, 100) },
    Case { name: "podman: 20 containers at once", tier: Whole, act: |lab| at_once(lab, 20) },
];

/// The directory that they make their files in, and the arguments of one that does.
fn place(lab: &Lab) -> (std::path::PathBuf, String) {
    let dir = lab.dir().join("many");
    drop(fs::remove_dir_all(&dir));
    fs::create_dir(&dir).expect("mkdir");
    let args = format!("run --rm --network none -v {}:/data bb touch /data/", dir.display());
    (dir, args)
}

fn row(lab: &Lab, count: usize) {
    let (dir, args) = place(lab);
    for number in 0..count {
        lab.podman(&format!("{args}{number}")).success();
    }
    assert_eq!(fs::read_dir(dir).expect("the directory").count(), count);
}

fn at_once(lab: &Lab, count: usize) {
    let (dir, args) = place(lab);
    let running: Vec<_> = (0..count).map(|number| lab.podman_call(&format!("{args}{number}")).spawn()).collect();
    for container in running {
        container.wait().success();
    }
    assert_eq!(fs::read_dir(dir).expect("the directory").count(), count);
}
