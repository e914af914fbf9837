//! tests/spec/: every requirement of the OCI runtime specification with the tests that show it. Each number is there
//! once, and each test that is named exists.
use super::{files, read};
use std::collections::BTreeMap;
use std::path::Path;

/// What the tables hold: the items of the specification, numbered from 1.
const ITEMS: u32 = 191;

struct Row {
    level: String,
    tests: Vec<String>,
}

/// The rows `| number | requirement | level and limit | tests |` of all tables.
fn rows() -> BTreeMap<u32, Vec<Row>> {
    let mut rows: BTreeMap<u32, Vec<Row>> = BTreeMap::new();
    for file in files("tests/spec", ".md") {
        for line in read(&file.to_string_lossy()).lines() {
            let cells: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
            let Some(number) = cells.first().and_then(|cell| cell.parse().ok()) else { continue };
            assert_eq!(cells.len(), 4, "item {number}: {line}");
            let tests = cells[3].split('`').skip(1).step_by(2).map(str::to_owned).collect();
            rows.entry(number).or_default().push(Row { level: cells[2].to_owned(), tests });
        }
    }
    rows
}

/// Whether `test` (`target::module::name`, `unit::` for those in src) is a test function of that module.
fn exists(test: &str) -> bool {
    let parts: Vec<&str> = test.split("::").collect();
    let [target, modules @ .., name] = parts.as_slice() else { return false };
    let mut candidates = match *target {
        "unit" => files("src", ".rs"),
        target => files("tests", ".rs")
            .into_iter()
            .filter(|file| {
                file.starts_with(Path::new("tests").join(target)) || file == Path::new(&format!("tests/{target}.rs"))
            })
            .collect(),
    };
    for module in modules.iter().filter(|module| **module != "tests") {
        candidates.retain(|file| {
            file.components().any(|part| part.as_os_str() == *module)
                || file.file_stem().is_some_and(|stem| stem == *module)
        });
    }
    candidates.iter().any(|file| {
        let code = read(&file.to_string_lossy());
        code.contains(&format!("fn {name}(")) || code.contains(&format!("(\"{name}\""))
    })
}

#[test]
fn every_item_has_a_row_and_its_tests_exist() {
    let rows = rows();
    let mut wrong = Vec::new();
    for number in 1..=ITEMS {
        match rows.get(&number).map(Vec::as_slice) {
            Some([row]) => {
                let level = row.level.split([':', ' ']).next().unwrap_or_default();
                if !["full", "part", "no"].contains(&level) {
                    wrong.push(format!("item {number} is neither full, part nor no: {}", row.level));
                }
                if level == "part" && row.level.trim_start_matches("part").trim_matches([':', ' ']).is_empty() {
                    wrong.push(format!("item {number} does not say its limit"));
                }
                if row.tests.is_empty() {
                    wrong.push(format!("item {number} names no test"));
                }
                let missing = row.tests.iter().filter(|test| !exists(test));
                wrong.extend(missing.map(|test| format!("item {number}: there is no test {test}")));
            }
            Some(several) => wrong.push(format!("item {number} stands in {} rows", several.len())),
            None => wrong.push(format!("item {number} is missing")),
        }
    }
    wrong.extend(rows.keys().filter(|number| !(1..=ITEMS).contains(*number)).map(|n| format!("there is no item {n}")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn made_up_tests_are_not_taken_for_real_ones() {
    assert!(exists("docs::spec::made_up_tests_are_not_taken_for_real_ones"));
    assert!(!exists("docs::links::made_up_tests_are_not_taken_for_real_ones"));
    assert!(!exists("docs::spec::no_such_test"));
    assert!(!exists("verbs::spec::made_up_tests_are_not_taken_for_real_ones"));
}
