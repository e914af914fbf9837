//! What somebody may have meant who misspelt a name.

/// How much of a name may be wrong: a swap in a word of three letters is two thirds right.
const ALIKE: f64 = 0.6;

/// The one of `known` that is most like `word`, or the only one that begins with it; none when nothing is much like it.
pub fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let known: Vec<&str> = known.filter(|name| *name != word).collect();
    let mut begun = known.iter().filter(|name| name.starts_with(word));
    if let (true, Some(only), None) = (word.len() > 1, begun.next(), begun.next()) {
        return Some(only);
    }
    let alike = known.into_iter().map(|name| (strsim::normalized_damerau_levenshtein(word, name), name));
    alike.filter(|(share, _)| *share >= ALIKE).max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_seen_through_and_another_name_is_not() {
        let near = |word, known: &[&'static str]| nearest(word, known.iter().copied());
        assert_eq!(near("wbe", &["web", "db"]), Some("web"));
        assert_eq!(near("web-1", &["web-2", "web", "mail"]), Some("web-2"));
        assert_eq!(near("4f3a", &["4f3a99c1d2", "77aa", "4f3b"]), Some("4f3a99c1d2"));
        assert_eq!(near("4f", &["4f3a99c1d2", "4f00000000"]), None);
        for (word, known) in [("c", &["d"][..]), ("shell", &["web"]), ("web", &["web"]), ("", &["a"])] {
            assert_eq!(near(word, known), None, "{word}");
        }
    }
}
