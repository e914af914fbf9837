//! Relative links of the documents lead to something.
use super::{files, read, repository};
use std::collections::HashSet;

/// `[text](target)` outside of code blocks; not those with a scheme.
fn targets(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (number, prose) in text.split("```").enumerate() {
        if number % 2 == 0 {
            found
                .extend(prose.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(to, _)| to.to_owned())));
        }
    }
    found.retain(|target| !target.contains("://") && !target.starts_with("mailto:"));
    found
}

/// The anchors that headings get: lower case, spaces to dashes, no other signs.
fn anchors(text: &str) -> HashSet<String> {
    let slug = |heading: &str| {
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.collect::<String>().trim().to_lowercase().replace(' ', "-")
    };
    text.lines().filter(|line| line.starts_with('#')).map(|line| slug(line.trim_start_matches('#'))).collect()
}

#[test]
fn every_relative_link_leads_somewhere() {
    let documents = files("", ".md");
    assert!(documents.len() >= 5, "{documents:?}");
    let mut links = 0;
    for document in documents {
        let name = document.to_string_lossy().into_owned();
        for target in targets(&read(&name)) {
            links += 1;
            let (file, anchor) = target.split_once('#').map_or((target.as_str(), None), |(f, a)| (f, Some(a)));
            let path = if file.is_empty() { document.clone() } else { document.with_file_name("").join(file) };
            assert!(repository().join(&path).exists(), "{name}: {target} leads nowhere");
            if let Some(anchor) = anchor {
                assert!(anchors(&read(&path.to_string_lossy())).contains(anchor), "{name}: no heading for {target}");
            }
        }
    }
    assert!(links > 5, "no links found");
}
