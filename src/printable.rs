//! Texts for a terminal that somebody else had a hand in: names of files, programs, containers.

/// The text with everything escaped that a terminal would obey: control characters, and those that change the direction
/// of writing.
pub fn printable(text: &str) -> String {
    let obeyed = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars()
        .flat_map(|c| {
            let escaped = obeyed(c).then(|| c.escape_default());
            let plain = (!obeyed(c)).then_some(c);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_escaped() {
        assert_eq!(printable("a\u{1b}[31m\nb\u{202e}ä \u{7f}"), "a\\u{1b}[31m\\nb\\u{202e}ä \\u{7f}");
    }
}
