//! `rrunc sandbox -- true` beside bubblewrap with an equivalent view: the mounts of the configuration that rrunc itself
//! writes for an empty project, put into bubblewrap's words. Once with these mounts alone, once with the masked paths and
//! the seccomp filter as well. Limits, Landlock, the keyring, the hidden files and the report are what rrunc does beyond.
//!
//! XDG_RUNTIME_DIR is on a tmpfs, as where somebody has logged in; one row has it on this disk, since making and removing
//! the private bundle costs what the file system makes of it.
use crate::cases::{Case, Place, find, prepare};
use crate::filter;
use crate::measure;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use rrunc::seccomp::abi::Machine;
use rrunc::seccomp::compile_for;
use serde_json::Value;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The row that the ratios are to.
const YARDSTICK: &str = "bubblewrap, masks and filter";
/// Directories of the large project, and files in each.
const LARGE: (usize, usize) = (200, 100);

/// The whole of it.
pub fn run(dir: &Path, rounds: usize) -> io::Result<()> {
    let cases = cases(dir)?;
    for case in &cases {
        // A peer that does not work is an error, not a blank: its figure would be that of a failure.
        measure::once(case, 0).map_err(|error| io::Error::other(format!("{case} does not run here: {error}")))?;
    }
    let samples = measure::round_robin(&cases, rounds)?;
    let yardstick = cases.iter().position(|case| case.name == YARDSTICK).map(|at| samples[at].median());
    let yardstick = yardstick.ok_or_else(|| io::Error::other("no row of bubblewrap"))?;
    println!("{rounds} rounds, medians of start to exit of /bin/true; system calls with the payload's own\n");
    println!("{:<34} {:>8} {:>9} {:>8} {:>9} {:>9}", "", "project", "ms", "ratio", "peak KiB", "syscalls");
    for (case, sample) in cases.iter().zip(&samples) {
        let calls = measure::system_calls(case)?.map_or_else(|| "-".to_owned(), |calls| calls.to_string());
        let (name, project, ms, rss) = (case.name, case.bundle, sample.median(), sample.rss);
        println!("{name:<34} {project:>8} {ms:>9.2} {:>8.2} {rss:>9} {calls:>9}", ms / yardstick);
    }
    println!("\nThe ratio is to `{YARDSTICK}`.");
    println!("A peak no higher than that of `spawn alone` is this program's own, from before the exec.");
    Ok(())
}

fn cases(dir: &Path) -> io::Result<Vec<Case>> {
    let Place { runtime_dir: memory, owned, .. } = prepare(dir)?;
    let disk = dir.join("disk");
    fs::DirBuilder::new().mode(0o700).create(&disk)?;
    let home = dir.join("home");
    let (empty, large) = (home.join("empty"), home.join("large"));
    fs::create_dir_all(&empty)?;
    fill(&large)?;
    let written = dir.join("written");
    let case = |name, bundle, program: &Path, arguments: Vec<OsString>, takes_id, cwd: &Path| Case {
        name,
        bundle,
        program: program.to_owned(),
        arguments,
        takes_id,
        cwd: cwd.to_owned(),
        runtime_dir: memory.clone(),
        home: Some(home.clone()),
        forgotten: None,
        filter: None,
    };
    let sandbox = || words(&["sandbox", "--", "true"]);
    let write = [words(&["sandbox", "--write-bundle"]), vec![written.clone().into()], words(&["--", "true"])].concat();
    measure::once(&case("rrunc sandbox --write-bundle", "empty", &owned, write, false, &empty), 0)?;
    let config: Value = serde_json::from_slice(&fs::read(written.join("config.json"))?)?;
    let bwrap = find("bwrap")?;

    let mut cases = vec![case("spawn alone", "none", &find("true")?, Vec::new(), false, &empty)];
    let mounts = bubblewrap(&config, &written, &empty);
    let command = || [OsString::from("--"), "true".into()];
    let arguments = mounts.iter().cloned().chain(command()).collect();
    cases.push(case("bubblewrap, mounts alone", "empty", &bwrap, arguments, false, &empty));
    let filter = filter_of(&config, &dir.join("filter"))?;
    let number: OsString = filter.as_raw_fd().to_string().into();
    let arguments = [mounts, masks(&config), vec!["--seccomp".into(), number], command().to_vec()].concat();
    cases.push(Case { filter: Some(filter), ..case(YARDSTICK, "empty", &bwrap, arguments, false, &empty) });
    // Another build, for one run of both.
    if let Some(before) = std::env::var_os("RRUNC_BENCH_BEFORE") {
        let before = PathBuf::from(before);
        cases.push(case("rrunc sandbox (before)", "empty", &before, sandbox(), false, &empty));
        cases.push(case("rrunc sandbox (before)", "20000", &before, sandbox(), false, &large));
        let on_disk = case("rrunc sandbox (before), on disk", "empty", &before, sandbox(), false, &empty);
        cases.push(Case { runtime_dir: disk.clone(), ..on_disk });
    }
    if let Some(program) = std::env::var_os("RRUNC_BENCH_ROOT_OWNED") {
        cases.push(case("rrunc sandbox (root's binary)", "empty", Path::new(&program), sandbox(), false, &empty));
    }
    cases.push(case("rrunc sandbox (caller's binary)", "empty", &owned, sandbox(), false, &empty));
    cases.push(case("rrunc sandbox (caller's binary)", "20000", &owned, sandbox(), false, &large));
    let on_disk = case("rrunc sandbox, state on disk", "empty", &owned, sandbox(), false, &empty);
    cases.push(Case { runtime_dir: disk, ..on_disk });
    let run = vec!["run".into(), "--bundle".into(), written.clone().into()];
    cases.push(case("rrunc run of the written bundle", "empty", &owned, run, true, &empty));
    Ok(cases)
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// A project with as many files as one has, none of which is hidden.
fn fill(project: &Path) -> io::Result<()> {
    for number in 0..LARGE.0 {
        let dir = project.join(format!("part-{number}"));
        fs::create_dir_all(&dir)?;
        for number in 0..LARGE.1 {
            File::create(dir.join(format!("file-{number}.rs")))?;
        }
    }
    Ok(())
}

/// The namespaces, variables and mounts of `config` in bubblewrap's words.
fn bubblewrap(config: &Value, bundle: &Path, cwd: &Path) -> Vec<OsString> {
    let mut all = words(&["--unshare-all", "--new-session", "--die-with-parent", "--clearenv"]);
    for variable in texts(&config["process"]["env"]) {
        let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
        all.extend(words(&["--setenv", name, value]));
    }
    all.extend(words(&["--hostname", config["hostname"].as_str().unwrap_or_default()]));
    for mount in config["mounts"].as_array().into_iter().flatten() {
        let [destination, kind, source] =
            ["destination", "type", "source"].map(|key| mount[key].as_str().unwrap_or_default());
        let options: Vec<&str> = texts(&mount["options"]).collect();
        let value = |name: &str| options.iter().find_map(|option| option.strip_prefix(name)?.strip_prefix('='));
        match (destination, kind) {
            // It comes with devpts and the nodes, and it is made up as a whole.
            ("/dev", _) => all.extend(words(&["--dev", destination])),
            ("/dev/pts", _) => {}
            (_, "proc") => all.extend(words(&["--proc", destination])),
            (_, "mqueue") => all.extend(words(&["--mqueue", destination])),
            // It has no new sysfs.
            (_, "sysfs") => all.extend(words(&["--ro-bind", "/sys", destination])),
            (_, "tmpfs") => {
                let (mode, size) = (value("mode").unwrap_or("0755"), value("size").unwrap_or("1073741824"));
                all.extend(words(&["--perms", mode, "--size", size, "--tmpfs", destination]));
            }
            _ => {
                let writable = !options.iter().any(|option| ["ro", "rro"].contains(option));
                all.push(if writable { "--bind" } else { "--ro-bind" }.into());
                all.extend([bundle.join(source).into(), destination.into()]);
            }
        }
    }
    all.extend(["--chdir".into(), cwd.into()]);
    all
}

/// The masked paths of `config` that this host has.
fn masks(config: &Value) -> Vec<OsString> {
    let there = texts(&config["linux"]["maskedPaths"]).filter_map(|path| Some((path, fs::metadata(path).ok()?)));
    there
        .flat_map(|(path, meta)| match meta.is_dir() {
            true => words(&["--tmpfs", path, "--remount-ro", path]),
            false => words(&["--ro-bind", "/dev/null", path]),
        })
        .collect()
}

/// The program of `config`'s seccomp profile as an open file that children inherit.
fn filter_of(config: &Value, path: &Path) -> io::Result<File> {
    let profile = serde_json::from_value(config["linux"]["seccomp"].clone())?;
    let compiled = compile_for(&profile, Machine::HERE).map_err(io::Error::other)?.program;
    fs::write(path, filter::bytes(&compiled))?;
    Ok(File::from(open(path, OFlag::O_RDONLY, Mode::empty())?))
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}
