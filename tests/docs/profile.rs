//! The pages written by hand: rrunc-profile(5) has the keys of src/sandbox/profile.rs, rrunc-sandbox(7) the promises.
use super::read;
use rrunc::sandbox::profile::BUILT_IN;
use rrunc::sandbox::promises::PROMISES;
use std::collections::BTreeSet;

/// The members of a struct in the code, as TOML has them.
fn members(name: &str) -> BTreeSet<String> {
    let code = read("src/sandbox/profile.rs");
    let (_, rest) = code.split_once(&format!("pub struct {name} {{")).expect("the struct");
    let body = rest.split("\n}").next().expect("a body");
    let names = body.lines().filter_map(|line| line.trim().strip_prefix("pub ")?.split_once(':'));
    names.map(|(name, _)| name.replace('_', "-")).collect()
}

/// The text of a section of a page.
fn section(page: &str, title: &str) -> String {
    let text = read(page);
    let (_, rest) = text.split_once(&format!("\n.SH {title}\n")).unwrap_or_else(|| panic!("{page}: no {title}"));
    rest.split("\n.SH ").next().expect("text").to_owned()
}

/// What stands in front of the `=` of a section's items; several keys may share an item.
fn documented(title: &str) -> BTreeSet<String> {
    let text = format!("\n{}", section("man/rrunc-profile.5", title));
    let heads = text.split("\n.TP\n").skip(1).filter_map(|item| item.lines().next());
    let keys = heads.flat_map(|head| {
        let head = head.split(" = ").next().unwrap_or_default();
        head.split(", ").map(|key| key.replace("\\fB", "").replace("\\fR", "").replace("\\-", "-")).collect::<Vec<_>>()
    });
    keys.collect()
}

#[test]
fn every_key_of_a_profile_is_in_the_page_and_no_other() {
    for (name, title) in [
        ("Profile", "\"KEYS OF THE TOP LEVEL\""),
        ("Allow", "\"KEYS OF [allow]\""),
        ("Deny", "\"KEYS OF [deny]\""),
        ("Limits", "\"KEYS OF [limits]\""),
    ] {
        let members = members(name);
        assert!(members.len() > 5, "{name} is no longer found in the code: {members:?}");
        assert_eq!(documented(title), members, "{name}");
    }
}

#[test]
fn every_built_in_profile_is_in_the_page() {
    let text = section("man/rrunc-profile.5", "\"BUILT\\-IN PROFILES\"").replace("\\-", "-");
    for (name, _) in BUILT_IN {
        assert!(text.split([' ', '\n', '"', ',']).any(|word| word == name), "{name}");
    }
}

#[test]
fn every_promise_is_in_the_page_in_order_with_its_meaning() {
    let text = section("man/rrunc-sandbox.7", "PROMISES");
    let named: Vec<&str> =
        text.split("\n.TP\n.B ").skip(1).map(|item| item.lines().next().unwrap_or_default()).collect();
    assert_eq!(named, PROMISES.map(|(name, _)| name));
    for (_, meaning) in PROMISES {
        assert!(text.to_lowercase().contains(meaning), "{meaning}");
    }
}

#[test]
fn the_examples_of_the_page_are_profiles() {
    let text = section("man/rrunc-profile.5", "EXAMPLES").replace("\\-", "-");
    let examples: Vec<&str> =
        text.split(".RS\n").skip(1).map(|rest| rest.split(".RE").next().unwrap_or_default()).collect();
    assert_eq!(examples.len(), 2);
    for example in examples {
        let profile = rrunc::sandbox::profile::Profile::parse(example).unwrap_or_else(|e| panic!("{e}: {example}"));
        rrunc::sandbox::places::check(&profile).unwrap_or_else(|e| panic!("{e:#}: {example}"));
    }
}
