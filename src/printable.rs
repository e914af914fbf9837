//! Texts for a terminal that somebody else had a hand in: names of files, programs, containers.

/// The text with everything escaped that a terminal would obey: control characters, and those that change the direction
/// of writing.
pub fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let escaped = is_obeyed(c).then(|| c.escape_default());
            let plain = (!is_obeyed(c)).then_some(c);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}

/// A JSON text, in which what a terminal would obey can only be part of a string; lines between members stay.
pub fn json(text: String) -> String {
    // As nearly every one is; of what is not ASCII, serde_json has only escaped what JSON forbids. The largest byte is found in
    // a tenth of the instructions that looking for one takes.
    if text.bytes().fold(0, u8::max) < 0x7f {
        return text;
    }
    let mut all = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => all.push(c),
            // All of them have four digits at the most.
            c if is_obeyed(c) => all.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => all.push(c),
        }
    }
    all
}

/// Whether a terminal does something else with it than to show it.
pub fn is_obeyed(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_escaped() {
        assert_eq!(printable("a\u{1b}[31m\nb\u{202e}ä \u{7f}"), "a\\u{1b}[31m\\nb\\u{202e}ä \\u{7f}");
        assert_eq!(json("{\n\"a\u{9b}\u{7f}\u{202e}ä\"}".to_owned()), "{\n\"a\\u009b\\u007f\\u202eä\"}");
    }
}
