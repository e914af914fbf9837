//! The documents against the code they speak of: generated pages are fresh, links lead somewhere, the map is complete.
//!
//! `UPDATE=1 cargo test --test docs` writes the generated pages anew.

#[path = "../support/mod.rs"]
mod support;

mod architecture;
mod completions;
mod generated;
mod links;
mod packaging;
mod profile;
mod spec;

use std::path::{Path, PathBuf};

/// The repository.
fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A text of the repository.
fn read(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// All files below `dir` (relative to the repository) whose names end with `suffix`, sorted.
fn files(dir: &str, suffix: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![repository().join(dir)];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())) {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with('.') && name != "target" {
                dirs.push(path);
            } else if name.ends_with(suffix) {
                found.push(path.strip_prefix(repository()).expect("below the repository").to_owned());
            }
        }
    }
    found.sort();
    found
}
