//! Bytes as text, and back. The kernel takes any bytes but NUL in arguments, variables and paths; JSON holds text only. So each byte
//! that is no part of UTF-8 is written as one character of the last private plane, U+10FF00 and the byte; what has such characters
//! of its own has their bytes written that way. What is UTF-8 otherwise, as nearly all is, stays as it is.
//!
//! A `Bundle` holds arguments and variables written so, whatever its config.json says; the annotation `BYTES` tells that they are
//! written so there already.
use std::borrow::Cow;

/// The annotation for a config.json whose arguments and variables are written as here: `true`.
pub const BYTES: &str = "org.rrunc.bytes";

const FIRST: u32 = 0x10_ff00;

fn written(byte: u8) -> char {
    char::from_u32(FIRST + u32::from(byte)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// The byte that a character stands for. Those of ASCII are never written.
fn byte_of(character: char) -> Option<u8> {
    u32::from(character).checked_sub(FIRST).and_then(|byte| u8::try_from(byte).ok()).filter(|byte| !byte.is_ascii())
}

/// Bytes as text.
pub fn text(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match byte_of(character) {
                None => out.push(character),
                Some(_) => out.extend(character.encode_utf8(&mut [0; 4]).bytes().map(written)),
            }
        }
        out.extend(chunk.invalid().iter().copied().map(written));
    }
    out
}

/// The bytes of such a text.
pub fn of(text: &str) -> Cow<'_, [u8]> {
    if !has_bytes(text) {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut out = Vec::with_capacity(text.len());
    for character in text.chars() {
        match byte_of(character) {
            Some(byte) => out.push(byte),
            None => out.extend(character.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
    Cow::Owned(out)
}

/// Whether bytes are written in a text.
pub fn has_bytes(text: &str) -> bool {
    // The first byte of every character of that plane.
    text.as_bytes().contains(&0xf4) && text.chars().any(|character| byte_of(character).is_some())
}

/// Paths in files of our own, for serde.
pub mod path {
    use super::{of, text};
    use serde::{Deserialize, Deserializer, Serializer};
    use std::ffi::OsString;
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    use std::path::{Path, PathBuf};

    /// As text.
    pub fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&text(path.as_os_str().as_bytes()))
    }

    /// And back.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(if super::has_bytes(&text) { OsString::from_vec(of(&text).into_owned()).into() } else { text.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bytes_come_back_and_no_other_text_stands_for_them() {
        let own = "\u{10ff80}\u{10ffff}";
        for bytes in [&b""[..], b"plain", "grün".as_bytes(), b"a\xffb", b"\xc3", b"\x80\xf4\x8f", own.as_bytes()] {
            assert_eq!(*of(&text(bytes)), *bytes, "{bytes:?}");
        }
        let all: Vec<u8> = (1..=255).collect();
        assert_eq!(*of(&text(&all)), *all);
        assert_eq!(text("grün".as_bytes()), "grün");
        assert_eq!(text(b"a\xffb"), "a\u{10ffff}b");
        assert_ne!(text(own.as_bytes()), own);
        assert!(has_bytes(&text(b"\xff")) && !has_bytes("grün \u{10ff7f}"));
    }
}
