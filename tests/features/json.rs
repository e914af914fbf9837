//! rrunc-json(7) against the program: every key that is printed is in the page with its type, and every key of the page is
//! printed.
use crate::support::{Place, Stage, wait_for};
use rrunc::cgroup::stats;
use serde_json::Value;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// Compiled in: the account that runs this need not be able to read the repository.
const MANUAL: &str = include_str!("../../man/rrunc-json.7");

/// What the page says of one key.
struct Item {
    types: Vec<String>,
    optional: bool,
}

/// The sections of the page, and which of their keys have been seen.
struct Page {
    sections: BTreeMap<String, BTreeMap<String, Item>>,
    seen: RefCell<BTreeSet<(String, String)>>,
}

impl Page {
    fn read() -> Page {
        let text = MANUAL.replace("\\-", "-");
        let (_, documents) = text.split_once("\n.SH DOCUMENTS\n").expect("the documents");
        let documents = documents.split("\n.SH ").next().expect("text");
        let sections = documents.split(".SS \"").skip(1).map(|section| {
            let (title, body) = section.split_once("\"\n").expect("a title");
            (title.to_owned(), body.split(".TP\n\\fB").skip(1).map(item).collect())
        });
        Page { sections: sections.collect(), seen: RefCell::default() }
    }

    /// `key` of the section, or the placeholder in capitals that stands for it.
    fn find(&self, section: &str, parent: &str, key: &str) -> Option<(String, &Item)> {
        let items = &self.sections[section];
        let path = |key: &str| if parent.is_empty() { key.to_owned() } else { format!("{parent}.{key}") };
        let any = items.keys().find(|path| {
            let last = path.strip_prefix(parent).map(|rest| rest.trim_start_matches('.')).unwrap_or_default();
            !last.is_empty() && last.chars().all(|sign| sign.is_ascii_uppercase())
        });
        let path = if items.contains_key(&path(key)) { path(key) } else { any?.clone() };
        self.seen.borrow_mut().insert((section.to_owned(), path.clone()));
        items.get_key_value(&path).map(|(path, item)| (path.clone(), item))
    }

    /// Compares the object at `path` of a document with the page.
    fn check(&self, section: &str, path: &str, value: &Value) {
        let object = value.as_object().unwrap_or_else(|| panic!("{section}: {path} is no object: {value}"));
        for (key, value) in object {
            let Some((path, item)) = self.find(section, path, key) else {
                panic!("{section}: {path} {key} is not in the page: {value}");
            };
            let fits = item.types.iter().any(|name| self.fits(section, &path, name, value));
            assert!(fits, "{section}: {path} is {:?} in the page: {value}", item.types);
        }
        for (wanted, item) in &self.sections[section] {
            let (parent, key) = wanted.rsplit_once('.').unwrap_or(("", wanted));
            let always = parent == path && !item.optional && !key.chars().all(|sign| sign.is_ascii_uppercase());
            assert!(!always || object.contains_key(key), "{section}: {wanted} is not there: {value}");
        }
    }

    fn fits(&self, section: &str, path: &str, name: &str, value: &Value) -> bool {
        if let Some(name) = name.strip_prefix("array of ") {
            let name = if self.sections.contains_key(name) { name } else { name.trim_end_matches('s') };
            let all =
                |values: &Vec<Value>| values.iter().all(|value| self.fits(section, &format!("{path}[]"), name, value));
            return value.as_array().is_some_and(all);
        }
        match name {
            "string" => value.is_string(),
            "integer" => value.is_u64() || value.is_i64(),
            "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            "null" => value.is_null(),
            "object" => {
                self.check(section, path, value);
                true
            }
            named => {
                assert!(self.sections.contains_key(named), "{section}: {path}: there is no type {named}");
                self.check(named, "", value);
                true
            }
        }
    }

    /// Each key of the section has been printed.
    fn is_complete(&self, sections: &[&str]) {
        for section in sections {
            let items = &self.sections[*section];
            assert!(items.len() > 1, "{section}: no keys are found in the page");
            for path in items.keys() {
                let seen = self.seen.borrow().contains(&((*section).to_owned(), path.clone()));
                assert!(seen, "{section}: {path} is never printed");
            }
        }
    }
}

/// `KEY\fR (TYPE or TYPE, optional)`, and text below.
fn item(text: &str) -> (String, Item) {
    let head = text.lines().next().expect("a head");
    let (key, types) = head.split_once("\\fR (").unwrap_or_else(|| panic!("no type: {head}"));
    let types = types.strip_suffix(')').expect("an end of the type");
    let optional = types.ends_with(", optional");
    let types = types.trim_end_matches(", optional").split(" or ").map(str::to_owned).collect();
    (key.to_owned(), Item { types, optional })
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[test]
fn containers() {
    let (page, stage) = (Page::read(), Stage::new());
    let bundle = stage.bundle();
    stage.in_bundle(&bundle, &["create", "plain"]).success();
    bundle.set("/annotations", serde_json::json!({"org.example.x": "y"}));
    stage.running(&bundle, "c");
    for id in ["plain", "c"] {
        page.check("rrunc state", "", &parsed(&stage.rrunc(&["state", id]).success().stdout));
    }
    let list = parsed(&stage.rrunc(&["list", "--format", "json"]).success().stdout);
    let list = list.as_array().expect("a list");
    assert_eq!(list.len(), 2);
    list.iter().for_each(|one| page.check("rrunc state", "", one));
    page.is_complete(&["rrunc state"]);
    let processes = parsed(&stage.rrunc(&["ps", "--format", "json", "c"]).success().stdout);
    assert!(processes.as_array().is_some_and(|all| !all.is_empty() && all.iter().all(Value::is_i64)), "{processes}");
    page.check("rrunc events", "", &parsed(&stage.rrunc(&["events", "--stats", "c"]).success().stdout));
    stage.remove("plain");
    stage.remove("c");
}

#[test]
fn events_of_a_cgroup_with_every_controller() {
    let (page, stage) = (Page::read(), Stage::new());
    let pressure = "some avg10=1.50 avg60=0.00 avg300=0.00 total=7\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";
    let stat = "usage_usec 30\nuser_usec 10\nsystem_usec 20\nnr_periods 4\nnr_throttled 2\nthrottled_usec 5\n";
    for (file, text) in [
        ("cpu.stat", stat),
        ("cpu.pressure", pressure),
        ("cpuset.cpus.effective", "0-2,5\n"),
        ("cpuset.mems.effective", "0\n"),
        ("memory.current", "4096\n"),
        ("memory.max", "8192\n"),
        ("memory.peak", "5000\n"),
        ("memory.swap.current", "10\n"),
        ("memory.stat", "anon 100\nfile 200\n"),
        ("memory.pressure", pressure),
        ("pids.current", "2\n"),
        ("pids.max", "9\n"),
        ("io.stat", "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n"),
        ("io.pressure", pressure),
        ("hugetlb.2MB.current", "4\n"),
        ("hugetlb.2MB.events", "max 6\n"),
    ] {
        fs::write(stage.dir().join(file), text).expect("write");
    }
    let data = serde_json::to_value(stats::read(stage.dir())).expect("JSON");
    page.check("rrunc events", "", &serde_json::json!({"type": "stats", "id": "c", "data": data}));
    page.is_complete(&["rrunc events", "Counter", "Pressure", "Stall", "Transfers"]);
}

#[test]
fn features_and_doctor() {
    let (page, stage) = (Page::read(), Stage::new());
    for (section, args) in [
        ("rrunc features", &["features"][..]),
        ("rrunc doctor --json", &["doctor", "--json"]),
        ("rrunc doctor --attack --json", &["doctor", "--attack", "--json"]),
    ] {
        page.check(section, "", &parsed(&stage.rrunc(args).success().stdout));
        page.is_complete(&[section]);
    }
}

#[test]
fn sandbox_report_and_descriptors() {
    let (page, place) = (Page::read(), Place::new());
    let file = |name: &str| place.dir().join(name);
    let call = |options: &[&str]| {
        let prelude = format!("exec 7>{} 8>{}", file("info").display(), file("status").display());
        let descriptors = ["sandbox", "--info-fd", "7", "--json-status-fd", "8"];
        place.call_after(&prelude, &[&descriptors, options].concat()).cwd(&place.project())
    };
    let report = file("report");
    let report = report.to_str().expect("a plain path");
    let read = |name: &str| fs::read_to_string(file(name)).expect("a file");
    // One that is kept in full and one that is not, and a limit that is reached.
    call(&["--report", report, "--", "sh", "-c", "echo > .envrc"]).run().success();
    page.check("rrunc sandbox --report", "", &parsed(&read("report")));
    call(&["--report", report, "--network", "host", "--timeout", "200ms", "--", "sleep", "9"]).run().exits(124);
    page.check("rrunc sandbox --report", "", &parsed(&read("report")));
    page.check("rrunc sandbox --report", "", &uncovered(&place));
    page.check("rrunc sandbox --info-fd", "", &parsed(&read("info")));
    let status = read("status");
    assert_eq!(status.lines().count(), 2, "{status}");
    status.lines().for_each(|line| page.check("rrunc sandbox --json-status-fd", "", &parsed(line)));
    page.is_complete(&["rrunc sandbox --report", "rrunc sandbox --info-fd", "rrunc sandbox --json-status-fd"]);
}

/// The report of a sandbox in which something hidden is replaced on the host.
fn uncovered(place: &Place) -> Value {
    let (project, report) = (place.project(), place.dir().join("uncovered"));
    fs::write(project.join(".env"), "A=1").expect("write");
    let script = "touch ready; until [ -e go ]; do sleep 0.05; done; rm ready go";
    let args = ["--report", report.to_str().expect("plain"), "--", "sh", "-c", script];
    let running = place.sandbox(&args).spawn();
    wait_for("the program", || project.join("ready").exists().then_some(()));
    fs::write(project.join("new"), "A=2").expect("write");
    fs::rename(project.join("new"), project.join(".env")).expect("rename");
    std::thread::sleep(std::time::Duration::from_millis(300));
    fs::write(project.join("go"), "").expect("write");
    running.wait().success();
    parsed(&fs::read_to_string(report).expect("a report"))
}

#[test]
fn log_lines() {
    let (page, stage) = (Page::read(), Stage::new());
    let bundle = stage.bundle();
    let out = stage.in_bundle(&bundle, &["--debug", "--log-format", "json", "run", "c"]).success();
    assert!(out.stderr.lines().count() > 10, "{out:?}");
    // A failure with a hint.
    let failed = stage.rrunc(&["--log-format", "json", "sandbox", "--bind", "/", "true"]).exits(125);
    for line in out.stderr.lines().chain(failed.stderr.lines()) {
        page.check("rrunc --log-format json", "", &parsed(line));
    }
    page.is_complete(&["rrunc --log-format json"]);
}
