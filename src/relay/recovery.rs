//! Gives the terminal back as it can be written to. A program's last bytes may be an unfinished string, concealed letters or the
//! other screen: what rrunc says after it would not be seen.

/// What ends a sequence or string that is under way, and then undoes what would keep a text from being seen. Nothing that
/// has scrolled by is touched, nor what is above the cursor. In order: CAN and ST (tmux ends a DCS by ST alone); out of
/// VT52 mode; printer mode, held drawing.
const FIRST: &str = "\x18\x1b\\\x1b<\x1b[4i\x1b[?2026l";

/// Back from the other screen, for a program that has gone there and saved the cursor: the cursor of before, too.
const SCREEN_AND_CURSOR: &str = "\x1b[?1049l";

/// The other screen left, wherever the cursor is; margins, with the cursor where it was; letters of G0, ASCII; plain
/// attributes; a cursor; lines that wrap; no inversion, no inserting. What lies below is gone, or the text would be among it.
const REST: &str = "\x1b[?1047l\x1b7\x1b[?6l\x1b[r\x1b8\x0f\x1b(B\x1b[m\x1b[?25h\x1b[?7h\x1b[?5l\x1b[4l\x1b[J";

/// The palette, the colours of text and ground: those of the terminal itself. `]R` is the Linux console's word, and for all
/// others an unknown string that ends.
const COLOURS: &str = "\x1b]R\x1b\\\x1b]104\x1b\\\x1b]110\x1b\\\x1b]111\x1b\\";

/// What of the output matters here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Within {
    #[default]
    Text,
    /// After ESC.
    Escape,
    /// In the number of a string that may set colours (OSC).
    Number(u32),
    /// In `ESC [ ? NUMBER`.
    Mode(u32),
    /// After `ESC [`.
    Sequence,
}

/// What was seen of a program's output.
#[derive(Debug, Default)]
pub(super) struct Seen {
    within: Within,
    /// Anything that commands a terminal.
    commands: bool,
    /// A string that may have set colours.
    colours: bool,
    /// It is on the other screen, and has saved the cursor.
    away: bool,
}

impl Seen {
    /// Looks at what comes next. The choice is between resets, not whether there is one: what is overlooked here costs a
    /// colour of the user's own or a cursor's place.
    pub fn look(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            // ESC, SO; C1 as single bytes, which the letters of many languages hold too.
            self.commands |= matches!(byte, 0x1b | 0x0e | 0x80..=0x9f);
            self.within = match (self.within, byte) {
                (_, 0x1b) => Within::Escape,
                (_, 0x9d) | (Within::Escape, b']') => Within::Number(0),
                (Within::Number(0), b'P' | b'R') => self.coloured(),
                (Within::Number(n), b'0'..=b'9') => Within::Number(next(n, byte)),
                // Not 7, 8 and 9: a directory, a link, a notice.
                (Within::Number(4..=6 | 10..=19 | 104..=119), _) => self.coloured(),
                (Within::Escape, b'[') => Within::Sequence,
                (Within::Sequence, b'?') => Within::Mode(0),
                (Within::Mode(n), b'0'..=b'9') => Within::Mode(next(n, byte)),
                (Within::Mode(1049), b'h' | b'l') => {
                    self.away = byte == b'h';
                    Within::Text
                }
                _ => Within::Text,
            };
        }
    }

    fn coloured(&mut self) -> Within {
        self.colours = true;
        Within::Text
    }

    /// What has to be written before anything of ours; nothing after a program that has written plain text.
    pub fn recovery(&self) -> String {
        if !self.commands {
            return String::new();
        }
        let screen = if self.away { SCREEN_AND_CURSOR } else { "" };
        let colours = if self.colours { COLOURS } else { "" };
        [FIRST, screen, REST, colours].concat()
    }
}

fn next(number: u32, digit: u8) -> u32 {
    number.saturating_mul(10).saturating_add(u32::from(digit - b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(parts: &[&[u8]]) -> String {
        let mut seen = Seen::default();
        parts.iter().for_each(|part| seen.look(part));
        seen.recovery()
    }

    #[test]
    fn plain_text_leaves_the_terminal_alone() {
        assert_eq!(after(&[b"a line\r\n\tand another\x07"]), "");
        assert!(after(&[b"\x1b[31mred\x1b[m"]).starts_with("\x18\x1b\\"));
        assert_ne!(after(&[b"\x0e"]), "", "other letters");
        assert_ne!(after(&[b"\x9b8m"]), "", "C1");
    }

    #[test]
    fn colours_are_given_back_only_after_a_string_that_may_set_them() {
        let coloured = |parts: &[&[u8]]| after(parts).ends_with(COLOURS);
        for set in [&b"\x1b]11;#000\x07"[..], b"\x1b]010;#000\x1b\\", b"\x1b]4;1;red", b"\x9d12;x", b"\x1b]P0000000"] {
            assert!(coloured(&[set]), "{set:?}");
            let (one, other) = set.split_at(set.len() / 2);
            assert!(coloured(&[one, other]) && coloured(&[b"\x1bPtmux;\x1b", set]), "{set:?}");
        }
        for other in
            [&b"\x1b]0;title\x07"[..], b"\x1b]8;;http://x\x07", b"\x1b]133;A\x07", b"\x1b[4m", b"\x1b[38;5;11m"]
        {
            assert!(!coloured(&[other]), "{other:?}");
        }
    }

    #[test]
    fn the_cursor_is_given_back_only_to_who_has_saved_it() {
        let back = |part: &[u8]| after(&[part]).contains(SCREEN_AND_CURSOR);
        assert!(back(b"\x1b[?1049hx") && back(b"\x1b[?1049l\x1b[?01049h"));
        assert!(!back(b"\x1b[?1049hx\x1b[?1049l") && !back(b"\x1b[?1047h") && !back(b"\x1b[m"));
    }
}
