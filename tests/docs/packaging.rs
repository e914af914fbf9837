//! What `cargo deb` packs: all that there is to install, and of this version.
use super::repository;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Source and destination of each asset of the Debian package.
fn assets() -> Vec<(String, String)> {
    let text = fs::read_to_string(repository().join("Cargo.toml")).expect("Cargo.toml");
    let cargo: toml::Table = text.parse().expect("TOML");
    let assets = cargo["package"]["metadata"]["deb"]["assets"].as_array().expect("a list").iter();
    let word = |value: &toml::Value, i: usize| value[i].as_str().expect("a path").to_owned();
    assets.map(|asset| (word(asset, 0), word(asset, 1))).collect()
}

fn packed(file: &str) -> bool {
    assets().iter().any(|(source, _)| glob::Pattern::new(source).expect("a pattern").matches(file))
}

#[test]
fn pages_completions_and_documents_are_packed_and_nothing_that_is_not_there() {
    for dir in ["man", "man/completions"] {
        for entry in fs::read_dir(repository().join(dir)).expect("the directory") {
            let name = entry.expect("an entry").file_name().into_string().expect("text");
            let is_page = name.ends_with(|c: char| c.is_ascii_digit());
            if is_page || dir.ends_with("completions") {
                assert!(packed(&format!("{dir}/{name}")), "{name} is not in the package");
            }
        }
    }
    for (source, _) in assets().iter().filter(|(source, _)| !source.starts_with("target/")) {
        let found = glob::glob(repository().join(source).to_str().expect("plain")).expect("a pattern").count();
        assert!(found > 0, "{source} is not there");
    }
}

#[test]
fn the_packages_changelog_is_of_this_version_and_its_scripts_are_sound() {
    let deb = repository().join(".packaging/deb");
    let changelog = fs::read_to_string(deb.join("changelog")).expect("the changelog");
    let version = concat!("rrunc (", env!("CARGO_PKG_VERSION"), "-1) ");
    assert!(changelog.starts_with(version), "{changelog}");
    for script in ["postinst", "postrm"] {
        let checked = Command::new("sh").arg("-n").arg(deb.join(script)).status().expect("sh");
        assert!(checked.success(), "{script}");
    }
    assert!(Path::new(&deb).join("copyright").is_file());
}
