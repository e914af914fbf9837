//! Bytes as the D-Bus specification shows them, and what is not as it should be.
use super::*;

fn reader(bytes: &[u8], is_big_endian: bool) -> Reader<'_> {
    Reader { bytes, at: 0, is_big_endian }
}

/// Hello in the specification's layout: the fixed part, the fields each from a multiple of 8 on, no body.
const HELLO: &[u8] = b"l\x01\0\x01\0\0\0\0\x07\0\0\0\x6d\0\0\0\
    \x01\x01o\0\x15\0\0\0/org/freedesktop/DBus\0\0\0\
    \x02\x01s\0\x14\0\0\0org.freedesktop.DBus\0\0\0\0\
    \x03\x01s\0\x05\0\0\0Hello\0\0\0\
    \x06\x01s\0\x14\0\0\0org.freedesktop.DBus\0\0\0\0";

fn hello() -> Call<'static> {
    Call {
        destination: Some("org.freedesktop.DBus"),
        path: "/org/freedesktop/DBus",
        interface: "org.freedesktop.DBus",
        member: "Hello",
        signature: "",
        arguments: Writer::default(),
    }
}

/// A message with these fields, each with its type, and a body of a string.
fn incoming(kind: u8, fields: &[(u8, &str, &[u8])], body: &str) -> Vec<u8> {
    let mut arguments = Writer::default();
    arguments.string(body);
    let mut message = Writer(vec![b'l', kind, 1, 1]);
    message.number(length(arguments.0.len()));
    message.number(9u32.to_le_bytes());
    message.array(8, |all| {
        for (code, kind, value) in fields {
            all.structure();
            all.0.push(*code);
            all.signature(kind);
            all.0.extend(*value);
        }
    });
    message.align(8);
    message.0.extend(arguments.0);
    message.0
}

#[test]
fn strings_are_as_in_the_specifications_example() {
    let big = b"\0\0\0\x03foo\0\0\0\0\x01+\0\0\0\0\0\0\x03bar\0";
    let mut all = reader(big, true);
    assert_eq!([all.string().unwrap(), all.string().unwrap(), all.string().unwrap()], ["foo", "+", "bar"]);
    let mut writer = Writer::default();
    ["foo", "+", "bar"].iter().for_each(|text| writer.string(text));
    assert_eq!(writer.0, b"\x03\0\0\0foo\0\x01\0\0\0+\0\0\0\x03\0\0\0bar\0");
}

#[test]
fn an_arrays_length_leaves_out_the_padding_as_in_the_specifications_example() {
    let mut writer = Writer::default();
    writer.array(8, |all| all.number(5u64.to_le_bytes()));
    assert_eq!(writer.0, b"\x08\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0");
    let mut writer = Writer::default();
    writer.array(8, |_| {});
    // Padded though there is nothing to pad for.
    assert_eq!(writer.0, [0; 8]);
}

#[test]
fn a_call_is_written_as_the_specification_lays_it_out() {
    // Without the padding that the last field does not need.
    assert_eq!(hello().encode(7).unwrap(), HELLO);
    let mut call = hello();
    call.destination = None;
    call.signature = "s";
    call.arguments.string("ab");
    let bytes = call.encode(0x0102).unwrap();
    assert_eq!(bytes[4..12], *b"\x07\0\0\0\x02\x01\0\0");
    assert!(bytes.ends_with(b"\x08\x01g\0\x01s\0\0\x02\0\0\0ab\0"), "{}", bytes.escape_ascii());
    call.arguments.0.resize(LONGEST, 0);
    assert!(call.encode(1).unwrap_err().to_string().contains("is too long"));
}

#[test]
fn a_message_is_read_in_either_endianness() {
    let message = Message::decode(HELLO).unwrap();
    assert_eq!((message.kind, message.member.as_deref()), (Kind::Other, Some("Hello")));
    assert_eq!(message.interface.as_deref(), Some("org.freedesktop.DBus"));
    // A string of three takes eight bytes with its length and end; the number after it is cut off.
    let reply = b"B\x02\x01\x01\0\0\0\x0b\0\0\0\x01\0\0\0\x20\
        \x05\x01u\0\0\0\0\x02\
        \x07\x01s\0\0\0\0\x03:1.\0\0\0\0\0\
        \x08\x01g\0\x02su\0\
        \0\0\0\x03abc\0\0\0\x09";
    let reply = Message::decode(reply).unwrap();
    assert_eq!((reply.kind, reply.reply_to, reply.sender.as_deref()), (Kind::Reply, Some(2), Some(":1.")));
    let mut arguments = reply.arguments("su").unwrap();
    assert_eq!(arguments.string().unwrap(), "abc");
    assert_eq!(arguments.u32().unwrap_err().to_string(), "a value is cut off");
    let other = reply.arguments("o").unwrap_err().to_string();
    assert_eq!(other, "arguments of type \"su\" instead of \"o\"");
}

#[test]
fn an_error_has_a_name_and_a_text() {
    let name = b"\x03\0\0\0a.B\0";
    let to = 3u32.to_le_bytes();
    let error = Message::decode(&incoming(3, &[(4, "s", name), (5, "u", &to), (8, "g", b"\x01s\0")], "why")).unwrap();
    assert_eq!((error.kind, error.error.as_deref(), error.reply_to), (Kind::Error, Some("a.B"), Some(3)));
    assert_eq!(error.text(), "why");
    // Fields that are not known are passed over.
    let without = Message::decode(&incoming(3, &[(99, "s", name), (98, "u", &to)], "why")).unwrap();
    assert_eq!((without.error.as_deref(), without.text().as_str()), (None, ""));
}

#[test]
fn what_breaks_the_rules_is_refused() {
    let head = |at: usize, byte: u8| {
        let mut head: [u8; HEAD] = HELLO[..HEAD].try_into().unwrap();
        head[at] = byte;
        Message::length(&head).map_err(|e| e.to_string())
    };
    assert_eq!(head(8, 7), Ok(HELLO.len()));
    assert_eq!(head(0, b'x'), Err("a message begins with byte 120".to_owned()));
    assert_eq!(head(3, 2), Err("a message of protocol version 2".to_owned()));
    assert_eq!(head(7, 255), Err("a message of 4278190208 bytes is too long".to_owned()));
    assert_eq!(head(15, 255), Err("a message of 4278190208 bytes is too long".to_owned()));
    let bad = |fields: &[(u8, &str, &[u8])]| one_line(&Message::decode(&incoming(4, fields, "")).unwrap_err());
    for (kind, value, why) in [
        ("s", &b"\x05\0\0\0ab\0"[..], "a value is cut off"),
        ("s", b"\x02\0\0\0abc", "a string that does not end where it says"),
        ("s", b"\x02\0\0\0a\0\0", "a string that does not end where it says"),
        ("s", b"\x02\0\0\0a\xff\0", "a string that is not UTF-8"),
        ("s", b"\xff\xff\xff\xffab\0", "a value is cut off"),
        ("av", b"", "field 3 is of the unknown type \"av\""),
        ("u", b"\x01", "a value is cut off"),
    ] {
        let error = bad(&[(3, kind, value)]);
        assert!(error.starts_with("a field of a message: ") && error.contains(why), "{error}");
    }
    assert_eq!(reader(b"\x02\0\0\0", false).bool().unwrap_err().to_string(), "a boolean of 2");
    let mut padded = reader(b"\0\x01\0\0\x01\0\0\0", false);
    padded.take(1).unwrap();
    assert_eq!(padded.u32().unwrap_err().to_string(), "padding that is not empty");
}

#[test]
fn no_bytes_whatever_make_it_panic() {
    let name = b"\x03\0\0\0a.B\0";
    let whole = incoming(4, &[(3, "s", name), (8, "g", b"\x01s\0"), (5, "u", &[3, 0, 0, 0])], "some text");
    assert_eq!(Message::decode(&whole).unwrap().member.as_deref(), Some("a.B"));
    let mut refused = 0;
    for at in 0..whole.len() {
        assert!(Message::decode(&whole[..at]).is_err());
        for byte in 0..=255 {
            let mut changed = whole.clone();
            changed[at] = byte;
            match Message::decode(&changed) {
                Ok(message) => assert!(message.text().len() < 100),
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > 1000, "{refused}");
}
