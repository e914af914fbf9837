//! Annotations `org.systemd.property.NAME` of a configuration: properties of the scope, their values in GVariant's text
//! format, as runc takes them. What units have as properties is read: booleans, numbers, strings and arrays of strings.
use super::property::{Property, Value};
use crate::error::WithHint;
use crate::printable::printable;
use anyhow::{Context, Result, anyhow, bail, ensure};

const PREFIX: &str = "org.systemd.property.";
/// They decide which processes are in the scope, and who owns its cgroup: that is rrunc's own part.
const OURS: [&str; 5] = ["PIDs", "PIDFDs", "Delegate", "Slice", "DelegateSubgroup"];
/// Those that concern the scope alone: its resources, and how it ends. Annotations may come from an image, and others
/// of systemd's properties start and stop units of the user's.
const ALONE: [&str; 12] = [
    "CPU",
    "Memory",
    "Tasks",
    "IO",
    "Allowed",
    "Startup",
    "ManagedOOM",
    "Kill",
    "FinalKill",
    "Send",
    "RuntimeMax",
    "TimeoutStop",
];
const OWN: [&str; 6] = ["After", "Before", "CollectMode", "DefaultDependencies", "Description", "OOMPolicy"];
const MICROSECONDS: i128 = 1_000_000;

/// The property that the annotation `key` with the value `text` asks for; none if it is another kind of annotation.
///
/// # Errors
/// Its name, or its value, is none.
pub fn annotation(key: &str, text: &str) -> Result<Option<Property>> {
    let Some(name) = key.strip_prefix(PREFIX) else { return Ok(None) };
    let shown = printable(key);
    check_name(name).map_err(|why| anyhow!("annotation {shown} name incorrect: {why}")).hint(|| {
        let begin: Vec<String> = ALONE.iter().map(|prefix| format!("{prefix}*")).collect();
        format!("a container may have {}, {}", OWN.join(", "), begin.join(", "))
    })?;
    property(name, text)
        .with_context(|| format!("annotation {shown}={} value parse error", printable(text)))
        .hint(|| "write it as GVariant text: true, uint64 10, 'text' or ['a', 'b']")
        .map(Some)
}

fn check_name(name: &str) -> Result<()> {
    ensure!(name.len() >= 3, "too short");
    ensure!(name.bytes().all(|byte| byte.is_ascii_alphabetic()), "contains non-alphabetic character");
    ensure!(!OURS.contains(&name), "rrunc sets it itself");
    let concerns_it_alone = OWN.contains(&name) || ALONE.iter().any(|prefix| name.starts_with(prefix));
    ensure!(concerns_it_alone, "it concerns more than the container's own scope");
    Ok(())
}

fn property(name: &str, text: &str) -> Result<Property> {
    let parsed = parse(text)?;
    // The files of units give seconds where the bus has microseconds.
    let lower = |stem: &&str| stem.ends_with(|c: char| c.is_ascii_lowercase());
    if let Some(stem) = name.strip_suffix("Sec").filter(lower) {
        let micros = match parsed {
            Parsed::Integer(_, seconds) => seconds.checked_mul(MICROSECONDS).and_then(|all| u64::try_from(all).ok()),
            Parsed::Double(seconds) => (seconds >= 0.0).then_some((seconds * MICROSECONDS as f64) as u64),
            Parsed::Value(_) => bail!("not a number"),
        };
        return Ok(Property::new(format!("{stem}USec"), micros.context("no such time")?));
    }
    let value = match parsed {
        Parsed::Value(value) => value,
        Parsed::Integer(kind, number) => kind.value(number)?,
        Parsed::Double(_) => bail!("a fraction, which no property is but a time in seconds"),
    };
    Ok(Property { name: name.to_owned(), value })
}

/// A value as it is written.
enum Parsed {
    Value(Value),
    Integer(Kind, i128),
    Double(f64),
}

/// The types of whole numbers.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Byte,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
}

impl Kind {
    fn value(self, number: i128) -> Result<Value> {
        fn fit<T: TryFrom<i128>>(number: i128, value: impl Fn(T) -> Value) -> Option<Value> {
            T::try_from(number).ok().map(value)
        }
        let value = match self {
            Kind::Byte => fit(number, Value::Byte),
            Kind::I16 => fit(number, Value::I16),
            Kind::U16 => fit(number, Value::U16),
            Kind::I32 => fit(number, Value::I32),
            Kind::U32 => fit(number, Value::U32),
            Kind::I64 => fit(number, Value::I64),
            Kind::U64 => fit(number, Value::U64),
        };
        value.with_context(|| format!("{number} is out of the range of its type ({self:?})"))
    }
}

fn parse(text: &str) -> Result<Parsed> {
    let text = text.trim();
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let rest = rest.trim_start();
    let kind = match word {
        "true" | "false" if rest.is_empty() => return Ok(Parsed::Value(Value::Bool(word == "true"))),
        "boolean" | "@b" if matches!(rest, "true" | "false") => return parse(rest),
        "string" | "@s" => return string(rest),
        "@as" => return strings(rest),
        "double" | "@d" => return fraction(rest),
        "byte" | "@y" => Some(Kind::Byte),
        "int16" | "@n" => Some(Kind::I16),
        "uint16" | "@q" => Some(Kind::U16),
        "int32" | "@i" => Some(Kind::I32),
        "uint32" | "@u" => Some(Kind::U32),
        "int64" | "@x" => Some(Kind::I64),
        "uint64" | "@t" => Some(Kind::U64),
        _ => None,
    };
    if let Some(kind) = kind {
        return Ok(Parsed::Integer(kind, integer(rest).with_context(|| format!("{rest:?} is no whole number"))?));
    }
    let unsupported = match text.chars().next() {
        None => bail!("there is no value"),
        Some('\'' | '"') => return string(text),
        Some('[') => return strings(text),
        Some('0'..='9' | '-' | '+' | '.') => {
            // Without a type a whole number is an int32.
            return integer(text).map_or_else(|| fraction(text), |number| Ok(Parsed::Integer(Kind::I32, number)));
        }
        Some('<') => "variants",
        Some('(') => "tuples",
        Some('{') => "dictionaries",
        Some('b') if text[1..].starts_with(['\'', '"']) => "strings of bytes",
        _ if matches!(word, "just" | "nothing") => "values that may be missing",
        _ if matches!(word, "objectpath" | "signature" | "handle") || word.starts_with('@') => "values of this type",
        _ => bail!("{word:?} is no value; a string has quotes"),
    };
    bail!("{unsupported} are not supported")
}

fn integer(text: &str) -> Option<i128> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (digits, radix) = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if digits.len() > 1 && digits.starts_with('0') => (digits, 8),
        None => (digits, 10),
    };
    // from_str_radix would take a second sign.
    let number = i128::from_str_radix(digits, radix).ok().filter(|_| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
    Some(if text.starts_with('-') { -number } else { number })
}

fn fraction(text: &str) -> Result<Parsed> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
    number.map(Parsed::Double).with_context(|| format!("{text:?} is no number"))
}

fn string(text: &str) -> Result<Parsed> {
    let (string, rest) = quoted(text)?;
    ensure!(rest.is_empty(), "{rest:?} after the string");
    Ok(Parsed::Value(Value::Text(string)))
}

fn strings(text: &str) -> Result<Parsed> {
    let mut rest = text.strip_prefix('[').context("an array begins with [")?.trim_start();
    let mut all = Vec::new();
    while !rest.starts_with(']') {
        if !all.is_empty() {
            rest = rest.strip_prefix(',').context("a comma is missing in the array")?.trim_start();
        }
        ensure!(rest.starts_with(['\'', '"']), "only arrays of strings are supported");
        let (string, after) = quoted(rest)?;
        all.push(string);
        rest = after;
    }
    let after = rest[1..].trim_start();
    ensure!(after.is_empty(), "{after:?} after the array");
    Ok(Parsed::Value(Value::Texts(all)))
}

/// A string in either kind of quotes, and what comes after it and the space behind.
fn quoted(text: &str) -> Result<(String, &str)> {
    let mut chars = text.chars();
    let quote = chars.next().filter(|c| matches!(c, '\'' | '"')).context("a string has quotes")?;
    let mut string = String::new();
    loop {
        let c = match chars.next().context("a quote is missing at the end of the string")? {
            c if c == quote => return Ok((string, chars.as_str().trim_start())),
            '\\' => match chars.next().context("nothing after the backslash")? {
                'a' => '\x07',
                'b' => '\x08',
                'f' => '\x0c',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'v' => '\x0b',
                'u' => unicode(&mut chars, 4)?,
                'U' => unicode(&mut chars, 8)?,
                c => c,
            },
            c => c,
        };
        ensure!(c != '\0', "a NUL in the string");
        string.push(c);
    }
}

fn unicode(chars: &mut std::str::Chars, digits: usize) -> Result<char> {
    let code = chars
        .take(digits)
        .map(|c| c.to_digit(16))
        .try_fold((0, 0), |(code, read), digit| digit.map(|digit| (code << 4 | digit, read + 1)));
    let code = code.filter(|(_, read)| *read == digits).map(|(code, _): (u32, _)| code);
    code.and_then(char::from_u32).context("no character after \\u")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{hint_of, one_line};

    fn of(name: &str, text: &str) -> Property {
        annotation(&format!("{PREFIX}{name}"), text).unwrap().unwrap()
    }

    fn value(text: &str) -> Value {
        of("IOSome", text).value
    }

    fn refused(name: &str, text: &str) -> String {
        let error = annotation(&format!("{PREFIX}{name}"), text).unwrap_err();
        one_line(&error).replace(PREFIX, "…")
    }

    #[test]
    fn values_have_the_type_that_is_written() {
        assert_eq!(annotation("org.other", "x").unwrap(), None);
        assert_eq!(of("CollectMode", "'inactive'"), Property::new("CollectMode", "inactive"));
        assert_eq!(value(" true "), Value::Bool(true));
        assert_eq!(value("boolean false"), Value::Bool(false));
        assert_eq!(value("37"), Value::I32(37));
        assert_eq!(value("-0x10"), Value::I32(-16));
        assert_eq!(value("int32 010"), Value::I32(8));
        assert_eq!(value("byte 255"), Value::Byte(255));
        assert_eq!(value("int16 -1"), Value::I16(-1));
        assert_eq!(value("uint16 1"), Value::U16(1));
        assert_eq!(value("uint32  7"), Value::U32(7));
        assert_eq!(value("int64 -9"), Value::I64(-9));
        assert_eq!(value("uint64 18446744073709551615"), Value::U64(u64::MAX));
        assert_eq!(value("@t 5"), Value::U64(5));
    }

    #[test]
    fn strings_are_read_with_their_escapes() {
        assert_eq!(value(r#"'a"b\'c\\'"#), Value::Text("a\"b'c\\".into()));
        assert_eq!(value(r#""it's\n\tä\u00e4\U0001f600\q""#), Value::Text("it's\n\tää😀q".into()));
        assert_eq!(value("string 'x'"), Value::Text("x".into()));
        assert_eq!(value("''"), Value::Text(String::new()));
        let texts = |texts: &[&str]| Value::Texts(texts.iter().map(|text| (*text).to_owned()).collect());
        assert_eq!(value("['a.service', \"b\" ]"), texts(&["a.service", "b"]));
        assert_eq!(value("[ 'a]' ]"), texts(&["a]"]));
        assert_eq!(value("@as []"), texts(&[]));
    }

    #[test]
    fn seconds_become_microseconds_as_in_runc() {
        let usec = |value: u64| Property::new("TimeoutStopUSec", value);
        assert_eq!(of("TimeoutStopSec", "10"), usec(10_000_000));
        assert_eq!(of("TimeoutStopSec", "uint64 10"), usec(10_000_000));
        assert_eq!(of("TimeoutStopSec", "1.5"), usec(1_500_000));
        assert_eq!(of("TimeoutStopUSec", "uint64 10"), usec(10));
        assert!(refused("TimeoutStopSec", "'10'").ends_with("value parse error: not a number"));
        assert!(refused("TimeoutStopSec", "-1").ends_with("no such time"));
        assert!(refused("TimeoutStopSec", "uint64 18446744073709551615").ends_with("no such time"));
    }

    #[test]
    fn what_is_not_read_is_refused_by_name() {
        for (text, why) in [
            ("", "there is no value"),
            ("max", "\"max\" is no value; a string has quotes"),
            ("<1>", "variants are not supported"),
            ("(1, 2)", "tuples are not supported"),
            ("{'a': 1}", "dictionaries are not supported"),
            ("b'abc'", "strings of bytes are not supported"),
            ("just 1", "values that may be missing are not supported"),
            ("objectpath '/a'", "values of this type are not supported"),
            ("@au [1]", "values of this type are not supported"),
            ("[1, 2]", "only arrays of strings are supported"),
            ("['a' 'b']", "a comma is missing in the array"),
            ("['a',]", "only arrays of strings are supported"),
            ("['a'] x", "\"x\" after the array"),
            ("['a'", "a comma is missing in the array"),
            ("'a' b", "\"b\" after the string"),
            ("'a", "a quote is missing at the end of the string"),
            ("'a\\", "nothing after the backslash"),
            ("'\\u12'", "no character after \\u"),
            ("'\\ud800'", "no character after \\u"),
            ("'\\u0000'", "a NUL in the string"),
            ("uint64 -1", "-1 is out of the range of its type (U64)"),
            ("byte 256", "256 is out of the range of its type (Byte)"),
            ("3000000000", "3000000000 is out of the range of its type (I32)"),
            ("uint64 ten", "\"ten\" is no whole number"),
            ("uint64 +-1", "\"+-1\" is no whole number"),
            ("uint64", "\"\" is no whole number"),
            ("1.5", "a fraction, which no property is but a time in seconds"),
            ("-", "\"-\" is no number"),
            ("true false", "\"true\" is no value; a string has quotes"),
        ] {
            let expected = format!("annotation …IOSome={} value parse error: {why}", printable(text));
            assert_eq!(refused("IOSome", text), expected);
        }
        let error = annotation("org.systemd.property.IOSome", "max").unwrap_err();
        assert!(hint_of(&error).unwrap().contains("uint64 10"));
    }

    #[test]
    fn names_are_letters_and_not_those_that_rrunc_sets() {
        assert_eq!(refused("Ab", "1"), "annotation …Ab name incorrect: too short");
        assert_eq!(refused("A.b", "1"), "annotation …A.b name incorrect: contains non-alphabetic character");
        assert_eq!(refused("PIDs", "1"), "annotation …PIDs name incorrect: rrunc sets it itself");
        // What podman asks for.
        assert_eq!(of("KillSignal", "15").value, Value::I32(15));
        for name in ["OnFailure", "Conflicts", "PartOf", "BindsTo", "Wants", "JobTimeoutAction"] {
            let why = "it concerns more than the container's own scope";
            assert_eq!(refused(name, "['x.service']"), format!("annotation …{name} name incorrect: {why}"));
        }
    }
}
