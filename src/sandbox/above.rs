//! Trusted profiles of the directories around the project. They narrow what a sandbox in there may do, whatever a program
//! has made of a directory in between: a repository of its own makes it the project, and nothing else.
use super::profile::{Access, Allow, Deny, Named};
use super::trust::{self, FILE};
use crate::error::with_hint;
use anyhow::{Result, anyhow};
use glob::Pattern;
use std::collections::BTreeSet;
use std::path::Path;

/// The trusted profiles of all directories around `root`, the outermost first, each without what it allows, and with its
/// patterns as they are seen from `root`.
pub fn profiles(root: &Path) -> Result<Vec<Named>> {
    let mut all = Vec::new();
    for dir in root.ancestors().skip(1) {
        if dir.join(FILE).symlink_metadata().is_ok()
            && let Some(named) = trust::known(dir)?
        {
            all.push(narrowing(named, dir, root)?);
        }
    }
    all.reverse();
    Ok(all)
}

fn narrowing(mut named: Named, dir: &Path, root: &Path) -> Result<Named> {
    let between: Vec<_> = root.strip_prefix(dir)?.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    named.profile.allow = Allow::default();
    let Deny { hide, protect, tell, project, .. } = &mut named.profile.deny;
    if seen_from(hide, &between) {
        let error = anyhow!("{} cannot be the project: {} hides it", root.display(), named.name);
        return Err(with_hint(error, "start it from the directory of that profile"));
    }
    if seen_from(protect, &between) && project.is_none() {
        *project = Some(Access::Write);
    }
    seen_from(tell, &between);
    Ok(named)
}

/// Makes patterns of a directory those of the one that is `between` below it; whether one of them means that one itself.
fn seen_from(patterns: &mut Vec<String>, between: &[String]) -> bool {
    let mut all = BTreeSet::new();
    let mut whole = false;
    for pattern in patterns.iter() {
        let parts: Vec<&str> = pattern.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        let mut left = BTreeSet::from([parts.as_slice()]);
        for name in between {
            left = left.into_iter().flat_map(|pattern| behind(pattern, name)).collect();
            whole |= left.contains(&[][..]);
        }
        all.extend(left.into_iter().filter(|rest| !rest.is_empty()).map(|rest| rest.join("/")));
    }
    *patterns = all.into_iter().collect();
    whole
}

/// What is left of a pattern in the directory `name`.
fn behind<'a, 'b>(pattern: &'a [&'b str], name: &str) -> Vec<&'a [&'b str]> {
    match pattern {
        ["**", rest @ ..] => std::iter::once(pattern).chain(behind(rest, name)).collect(),
        [first, rest @ ..] => match Pattern::new(first) {
            Ok(first) if first.matches(name) => vec![rest],
            _ => Vec::new(),
        },
        [] => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_the_same_files_from_further_down() {
        let seen = |pattern: &str, between: &[&str]| {
            let mut patterns = vec![pattern.to_owned()];
            let between: Vec<String> = between.iter().map(|name| (*name).to_owned()).collect();
            let whole = seen_from(&mut patterns, &between);
            (patterns.join(" "), whole)
        };
        for (pattern, between, expected, whole) in [
            ("**/*.pem", &["app"][..], "**/*.pem", false),
            ("app/keys", &["app"], "keys", false),
            ("app/keys", &["other"], "", false),
            ("a*/**/x/y", &["app"], "**/x/y", false),
            ("a*/**/x/y", &["app", "x"], "**/x/y y", false),
            ("app", &["app"], "", true),
            ("app", &["app", "deep"], "", true),
            ("**/app/x", &["app"], "**/app/x x", false),
            ("**/app", &["lib", "app"], "**/app", true),
            ("./app//keys/[ab]", &["app", "keys"], "[ab]", false),
        ] {
            assert_eq!(seen(pattern, between), (expected.to_owned(), whole), "{pattern} in {between:?}");
        }
    }
}
