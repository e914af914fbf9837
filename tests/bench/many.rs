//! Many containers: 50 at once, 200 in a row, `create` and `list` with up to 1,000 running beside, and what a foreground run
//! holds in memory while it waits.
use crate::cases::{self, Case, Place};
use crate::measure;
use crate::verbs::quietly;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How often what takes long is repeated.
const REPEATED: usize = 9;

/// Measures all of it.
pub fn run(dir: &Path, _: usize) -> io::Result<()> {
    // Not runc: minutes of it would tell nothing more.
    let (place, cases) = cases::usual(dir)?;
    let cases: Vec<Case> = cases.into_iter().filter(|case| case.bundle == "plain" && case.name != "runc").collect();
    println!("medians of {REPEATED} in ms, and as multiples of the floor\n");
    println!("{:<28} {:>10} {:>8} {:>12} {:>8}", "", "50 at once", "x floor", "200 in a row", "x floor");
    // In turns, so that noise hits all alike.
    let mut figures = vec![(Vec::new(), Vec::new()); cases.len()];
    for _ in 0..REPEATED {
        for (case, (together, one_by_one)) in cases.iter().zip(&mut figures) {
            together.push(at_once(case, 50)?);
            one_by_one.push(in_a_row(case, 200)?);
        }
    }
    let mut floor = None;
    for (case, (together, one_by_one)) in cases.iter().zip(figures) {
        let (at_once, in_a_row) = (measure::median(together), measure::median(one_by_one));
        let (first, second) = *floor.get_or_insert((at_once, in_a_row));
        let name = case.name;
        let (x, y) = (at_once / first, in_a_row / second);
        println!("{name:<28} {at_once:>10.1} {x:>8.2} {in_a_row:>12.1} {y:>8.2}");
    }
    let bundle = dir.join("sleeping");
    cases::make_bundle_running(&bundle, &place.rootfs, &["/bin/busybox", "sleep", "100000"])?;
    waiting(&place, &bundle)?;
    let mut running = 0;
    let floor = cases.iter().find(|case| case.name == "floor").ok_or_else(|| io::Error::other("no floor"))?;
    let result = beside(floor, &place, &bundle, &mut running);
    for number in 0..running {
        quietly(call(&place, &bundle, &["delete", "--force", &format!("c{number}")]))?;
    }
    result
}

fn at_once(case: &Case, count: usize) -> io::Result<f64> {
    let begin = Instant::now();
    let start = |round| {
        let mut command = case.command(round);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
    };
    let mut children = (0..count).map(start).collect::<io::Result<Vec<Child>>>()?;
    for child in &mut children {
        let status = child.wait()?;
        if !status.success() {
            return Err(io::Error::other(format!("{case}: {status}")));
        }
    }
    Ok(begin.elapsed().as_secs_f64() * 1e3)
}

fn in_a_row(case: &Case, count: usize) -> io::Result<f64> {
    (0..count).map(|round| measure::once(case, round).map(|(milliseconds, _)| milliseconds)).sum()
}

/// The memory that is not shared, of `rrunc run` while its program sleeps.
fn waiting(place: &Place, bundle: &Path) -> io::Result<()> {
    let mut command = call(place, bundle, &["run", "waiting"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
    std::thread::sleep(Duration::from_millis(500));
    let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", child.id()))?;
    let pss = text.lines().find(|line| line.starts_with("Pss:")).unwrap_or("Pss: unknown");
    println!("\nrun in the foreground, while it waits: {}", pss.split_whitespace().collect::<Vec<_>>().join(" "));
    quietly(call(place, bundle, &["delete", "--force", "waiting"]))?;
    child.wait().map(drop)
}

/// What `create` and `list` take with more and more containers running.
fn beside(floor: &Case, place: &Place, bundle: &Path, running: &mut usize) -> io::Result<()> {
    let heads = ("running", "create, ms", "x none", "floor, ms", "x none", "list, ms", "x true");
    let (beside, create, more, own, floor_more, list, spawns) = heads;
    println!("\n{beside:<10} {create:>12} {more:>8} {own:>12} {floor_more:>8} {list:>12} {spawns:>8}");
    let mut none = None;
    for count in [0, 10, 100, 1000] {
        while *running < count {
            quietly(call(place, bundle, &["run", "-d", "--no-new-keyring", &format!("c{running}")]))?;
            *running += 1;
        }
        // In turns, too; the floor tells what of it is the kernel's.
        let (mut creates, mut floors) = (Vec::new(), Vec::new());
        for round in 0..4 * REPEATED {
            creates.push(measure::timed(call(place, bundle, &["create", "--no-new-keyring", "new"]))?.0);
            quietly(call(place, bundle, &["delete", "--force", "new"]))?;
            floors.push(measure::once(floor, round)?.0);
        }
        let (create, own) = (measure::median(creates), measure::median(floors));
        let (first, first_own) = *none.get_or_insert((create, own));
        let (mut lists, mut spawned) = (Vec::new(), Vec::new());
        for _ in 0..REPEATED {
            lists.push(measure::timed(call(place, bundle, &["list"]))?.0);
            let mut spawn = Command::new(&place.busybox);
            spawn.arg("true");
            spawned.push(measure::timed(spawn)?.0);
        }
        let (list, spawn) = (measure::median(lists), measure::median(spawned));
        let (more, floor_more, spawns) = (create / first, own / first_own, list / spawn);
        println!("{count:<10} {create:>12.2} {more:>8.2} {own:>12.2} {floor_more:>8.2} {list:>12.2} {spawns:>8.1}");
    }
    Ok(())
}

fn call(place: &Place, bundle: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(&place.owned);
    command.args(args).current_dir(bundle);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("XDG_RUNTIME_DIR", &place.runtime_dir);
    command
}
