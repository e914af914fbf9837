//! Git's configuration files, in git's own grammar (git-config(1), "SYNTAX"; `git_parse_source` in git's config.c): what
//! git takes to be a setting is one here, and what makes git refuse the file is an error.
use anyhow::{Result, bail};

/// More settings than this are in no file that people wrote.
const MOST: usize = 20_000;

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The section, in small letters: `filter`.
    pub section: String,
    /// What stands behind it in quotes, as it is; or after a dot, in small letters.
    pub subsection: Option<Vec<u8>>,
    /// The name, in small letters: `hookspath`.
    pub key: String,
    /// What is behind `=`. A name without one is true.
    pub value: Option<Vec<u8>>,
}

impl Entry {
    /// Whether it is `section.key`, or `section.*.key`.
    pub fn is(&self, section: &str, key: &str) -> bool {
        self.section == section && self.key == key
    }
}

/// The settings in `bytes`, in order.
///
/// # Errors
/// With the number of the line where git would refuse the file.
pub fn parse(bytes: &[u8]) -> Result<Vec<Entry>> {
    let mut text = Text { rest: bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes), line: 1, ended: false };
    let mut all = Vec::new();
    match settings(&mut text, &mut all) {
        Some(()) if all.len() <= MOST => Ok(all),
        Some(()) => bail!("more than {MOST} settings"),
        None => bail!("line {}: no configuration of git's", text.line),
    }
}

/// What is left to read.
struct Text<'a> {
    rest: &'a [u8],
    line: usize,
    ended: bool,
}

impl Text<'_> {
    /// The next byte. A carriage return before a line feed is none; the end is a line feed, and then `ended`.
    fn next(&mut self) -> u8 {
        if let [b'\r', b'\n', ..] = self.rest {
            self.rest = &self.rest[1..];
        }
        let Some((byte, rest)) = self.rest.split_first() else {
            self.ended = true;
            return b'\n';
        };
        self.rest = rest;
        self.line += usize::from(*byte == b'\n');
        *byte
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

fn is_of_key(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}

/// None where git gives up.
fn settings(text: &mut Text, all: &mut Vec<Entry>) -> Option<()> {
    let mut header: (String, Option<Vec<u8>>) = (String::new(), None);
    let mut in_comment = false;
    loop {
        let byte = text.next();
        match byte {
            b'\n' if text.ended => return Some(()),
            b'\n' => in_comment = false,
            _ if in_comment || is_space(byte) => {}
            b'#' | b';' => in_comment = true,
            b'[' => header = self::header(text)?,
            _ if byte.is_ascii_alphabetic() => {
                let (key, value) = setting(text, byte)?;
                // Who calls does not want more, either.
                if all.len() > MOST {
                    return Some(());
                }
                all.push(Entry { section: header.0.clone(), subsection: header.1.clone(), key, value });
            }
            _ => return None,
        }
    }
}

/// The rest of `[section]`, `[section.sub]` or `[section "sub"]`; what follows in the line is git's, too.
fn header(text: &mut Text) -> Option<(String, Option<Vec<u8>>)> {
    let mut name = String::new();
    let quoted = loop {
        match text.next() {
            b']' => break None,
            byte if text.ended || byte == b'\n' => return None,
            byte if is_space(byte) => break Some(quoted(text)?),
            byte if is_of_key(byte) || byte == b'.' => name.push(byte.to_ascii_lowercase().into()),
            _ => return None,
        }
    };
    // The name of a setting is one text to git, whose middle may have dots of its own.
    Some(match (name.split_once('.'), quoted) {
        (None, quoted) => (name, quoted),
        (Some((section, sub)), None) => (section.to_owned(), Some(sub.into())),
        (Some((section, sub)), Some(quoted)) => {
            (section.to_owned(), Some([sub.as_bytes(), b".", quoted.as_slice()].concat()))
        }
    })
}

/// `"sub"]`, after the first space.
fn quoted(text: &mut Text) -> Option<Vec<u8>> {
    let mut byte = text.next();
    while byte != b'\n' && is_space(byte) {
        byte = text.next();
    }
    if byte != b'"' {
        return None;
    }
    let mut name = Vec::new();
    loop {
        match text.next() {
            b'\n' => return None,
            b'"' => break,
            b'\\' => match text.next() {
                b'\n' => return None,
                byte => name.push(byte),
            },
            byte => name.push(byte),
        }
    }
    (text.next() == b']').then_some(name)
}

/// A name that begins with `first`, and its value.
fn setting(text: &mut Text, first: u8) -> Option<(String, Option<Vec<u8>>)> {
    let mut key = String::from(char::from(first.to_ascii_lowercase()));
    let mut byte = text.next();
    while is_of_key(byte) {
        key.push(byte.to_ascii_lowercase().into());
        byte = text.next();
    }
    while matches!(byte, b' ' | b'\t') {
        byte = text.next();
    }
    match byte {
        b'\n' => Some((key, None)),
        b'=' => Some((key, Some(value(text)?))),
        _ => None,
    }
}

fn value(text: &mut Text) -> Option<Vec<u8>> {
    let (mut value, mut in_quotes, mut in_comment) = (Vec::new(), false, false);
    // How long it is without the space at its end, once there is such.
    let mut trimmed = None;
    loop {
        let byte = text.next();
        match byte {
            b'\n' if in_quotes => return None,
            b'\n' => break,
            _ if in_comment => {}
            _ if is_space(byte) && !in_quotes => {
                if !value.is_empty() {
                    trimmed.get_or_insert(value.len());
                    value.push(byte);
                }
            }
            b';' | b'#' if !in_quotes => in_comment = true,
            b'"' => {
                (in_quotes, trimmed) = (!in_quotes, None);
            }
            b'\\' => {
                trimmed = None;
                match text.next() {
                    b'\n' if text.ended => return None,
                    b'\n' => {}
                    b't' => value.push(b'\t'),
                    b'b' => value.push(b'\x08'),
                    b'n' => value.push(b'\n'),
                    byte @ (b'\\' | b'"') => value.push(byte),
                    _ => return None,
                }
            }
            byte => {
                trimmed = None;
                value.push(byte);
            }
        }
    }
    value.truncate(trimmed.unwrap_or(value.len()));
    // To git it is a text of C's.
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    value.truncate(end);
    Some(value)
}

/// The text of settings, each below a header of its own where that is another than the last one's. None of what does not
/// come out of `parse` (a line feed in the name of a subsection).
pub fn write<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Vec<u8> {
    let mut text = Vec::new();
    let mut last: Option<(&str, Option<&[u8]>)> = None;
    for entry in entries {
        let header = (entry.section.as_str(), entry.subsection.as_deref());
        if last != Some(header) {
            text.extend(format!("[{}", entry.section).bytes());
            if let Some(subsection) = &entry.subsection {
                text.extend(b" \"");
                for byte in subsection {
                    if matches!(byte, b'"' | b'\\') {
                        text.push(b'\\');
                    }
                    text.push(*byte);
                }
                text.push(b'"');
            }
            text.extend(b"]\n");
            last = Some(header);
        }
        text.extend(format!("\t{}", entry.key).bytes());
        if let Some(value) = &entry.value {
            text.extend(b" = ");
            write_value(&mut text, value);
        }
        text.push(b'\n');
    }
    text
}

fn write_value(text: &mut Vec<u8>, value: &[u8]) {
    let at_ends = [value.first(), value.last()].into_iter().flatten().any(|byte| is_space(*byte));
    let quoted = at_ends || value.iter().any(|byte| matches!(byte, b'#' | b';' | b'\r'));
    if quoted {
        text.push(b'"');
    }
    for byte in value {
        match byte {
            b'\n' => text.extend(b"\\n"),
            b'\t' => text.extend(b"\\t"),
            b'\x08' => text.extend(b"\\b"),
            b'"' | b'\\' => text.extend([b'\\', *byte]),
            byte => text.push(*byte),
        }
    }
    if quoted {
        text.push(b'"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `section.subsection.key=value`, or without `=`.
    fn read(text: &str) -> Result<Vec<String>, String> {
        let shown = |entry: &Entry| {
            let middle = entry.subsection.iter().map(|sub| format!("{}.", String::from_utf8_lossy(sub)));
            let value = entry.value.iter().map(|value| format!("={}", String::from_utf8_lossy(value)));
            [&entry.section, "."]
                .into_iter()
                .map(str::to_owned)
                .chain(middle)
                .chain([entry.key.clone()])
                .chain(value)
                .collect()
        };
        parse(text.as_bytes()).map(|all| all.iter().map(shown).collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn what_git_takes_is_taken() {
        for (text, expected) in [
            ("[user] # comment\n\tname = A Person\n", &["user.name=A Person"][..]),
            ("[user] name = x ; y\n[USER]Email=a@b", &["user.name=x", "user.email=a@b"]),
            ("\u{feff}[a]b", &["a.b"]),
            ("[a]\r\nb = c\r\n", &["a.b=c"]),
            ("[a \"B \\\"c\\\\ \\d\"]\nk=1", &["a.B \"c\\ d.k=1"]),
            ("[a.B]\nk=1\n[a.B \"C.d\"]k", &["a.b.k=1", "a.b.C.d.k"]),
            ("[a]k = \"x # y\" z # c", &["a.k=x # y z"]),
            ("[a]k =   x  y  \n", &["a.k=x  y"]),
            ("[a]k = x \\\n  y\nl=\\t\\\\\\\"", &["a.k=x   y", "a.l=\t\\\""]),
            ("[a]k = \"  \" \n", &["a.k=  "]),
            ("[a]k=\n", &["a.k="]),
            ("[a]k \t\n", &["a.k"]),
            ("# [a]\n; [b]\\\n[c]d=e", &["c.d=e"]),
            ("[a]k=v\0w\n", &["a.k=v"]),
            ("", &[]),
            ("k=v", &[".k=v"]),
        ] {
            assert_eq!(read(text).unwrap(), expected, "{text:?}");
        }
    }

    #[test]
    fn what_git_refuses_is_an_error_with_its_line() {
        for (text, line) in [
            ("[a]\nb = \"c\n", 3),
            ("[a", 1),
            ("[a \"b\n\"]", 2),
            ("[a \"b\" ]", 1),
            ("[a b]", 1),
            ("[a]\n\n1=2", 3),
            ("[a]\nb c", 2),
            ("[a]b=\\x", 1),
            ("[a]b=\\", 1),
            ("[ä]", 1),
        ] {
            assert_eq!(read(text).unwrap_err(), format!("line {line}: no configuration of git's"), "{text:?}");
        }
        assert!(read(&format!("[a]{}", "b\n".repeat(MOST + 1))).unwrap_err().contains("more than"));
    }

    #[test]
    fn what_is_written_says_the_same() {
        let text = b"[A \"b]\\\"\\\\\"]k=\" x;#\"\nl\nm=\\b\\n\\t\n[a.b]c=\"d\" \"\r \"\n[]z=\"\\\"\"\n";
        let entries = parse(text).unwrap();
        assert_eq!((entries.len(), &parse(&write(&entries)).unwrap()), (5, &entries));
    }
}
