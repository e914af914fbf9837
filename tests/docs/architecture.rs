//! ARCHITECTURE.md: the steps of init in their order, and the map of the source files.
use super::{files, read};

/// The labels of `step.begin("…")` in the code, in order; those of one name in a row count once.
fn labels_in_code() -> Vec<String> {
    let code = read("src/init/mod.rs");
    let labels = code.split("step.begin(\"").skip(1).map(|rest| rest.split('"').next().unwrap_or_default().to_owned());
    labels.filter(|label| !label.is_empty()).collect()
}

/// The labels of the numbered list under "Start-up, step by step": `1. **label**: …`.
fn labels_in_document() -> Vec<String> {
    let document = read("ARCHITECTURE.md");
    let (_, section) = document.split_once("## Start-up, step by step").expect("the section");
    let section = section.split("\n## ").next().expect("a section has text");
    let item = |line: &str| {
        let (number, rest) = line.split_once(". **")?;
        number.parse::<u32>().ok()?;
        Some(rest.split("**").next()?.to_owned())
    };
    section.lines().filter_map(item).collect()
}

#[test]
fn the_steps_of_init_are_those_of_the_code_in_order() {
    let code = labels_in_code();
    assert!(code.len() > 15, "the labels are no longer found in the code: {code:?}");
    assert_eq!(labels_in_document(), code);
}

#[test]
fn the_map_names_every_source_file_and_no_other() {
    let document = read("ARCHITECTURE.md");
    let mut missing = Vec::new();
    for file in files("src", ".rs") {
        let name = file.strip_prefix("src").expect("in src").to_string_lossy().into_owned();
        if !name.ends_with("tests.rs") && !document.contains(&format!("`{name}`")) {
            missing.push(name);
        }
    }
    assert!(missing.is_empty(), "not in the map: {missing:?}");
    for name in document.split('`').filter(|text| text.ends_with(".rs") && !text.contains(char::is_whitespace)) {
        let place = if name.starts_with("tests/") {
            name.to_owned()
        } else {
            format!("src/{}", name.trim_start_matches("src/"))
        };
        assert!(super::repository().join(&place).is_file(), "{name} does not exist");
    }
}

#[test]
fn the_attack_tests_that_security_names_exist() {
    let code: String = files("tests", ".rs").iter().map(|file| read(&file.to_string_lossy())).collect();
    let document = read("SECURITY.md");
    let named: Vec<&str> =
        document.split('`').filter(|text| text.starts_with("row_") || text.starts_with("rows_")).collect();
    assert!(named.len() > 15, "no tests are named: {named:?}");
    for name in named {
        assert!(code.contains(&format!("fn {name}(")), "there is no test {name}");
    }
}
