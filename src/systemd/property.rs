//! Properties of a unit (org.freedesktop.systemd1(5)): a name, and a value of exactly the type that systemd has for it.
use super::message::Writer;
use crate::cpulist;

/// A property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    /// Its name on the bus, such as `MemoryMax`.
    pub name: String,
    /// Its value.
    pub value: Value,
}

impl Property {
    /// `name` with `value`.
    pub fn new(name: impl Into<String>, value: impl Into<Value>) -> Property {
        Property { name: name.into(), value: value.into() }
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.structure();
        writer.string(&self.name);
        self.value.write(writer);
    }
}

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `b`
    Bool(bool),
    /// `y`
    Byte(u8),
    /// `n`
    I16(i16),
    /// `q`
    U16(u16),
    /// `i`, such as a signal.
    I32(i32),
    /// `u`
    U32(u32),
    /// `x`
    I64(i64),
    /// `t`, what limits are; the largest is no limit.
    U64(u64),
    /// `s`
    Text(String),
    /// `as`
    Texts(Vec<String>),
    /// `ay`, a set of processors or nodes, see [`Value::set`].
    Bytes(Vec<u8>),
    /// `au`, processes.
    Numbers(Vec<u32>),
}

impl Value {
    /// The set as AllowedCPUs and AllowedMemoryNodes take it: number N is bit N % 8 of byte N / 8.
    pub fn set(set: &cpulist::Set) -> Value {
        let mut bytes: Vec<u8> = set.0.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
        Value::Bytes(bytes)
    }

    fn signature(&self) -> &'static str {
        match self {
            Value::Bool(_) => "b",
            Value::Byte(_) => "y",
            Value::I16(_) => "n",
            Value::U16(_) => "q",
            Value::I32(_) => "i",
            Value::U32(_) => "u",
            Value::I64(_) => "x",
            Value::U64(_) => "t",
            Value::Text(_) => "s",
            Value::Texts(_) => "as",
            Value::Bytes(_) => "ay",
            Value::Numbers(_) => "au",
        }
    }

    /// As a variant.
    fn write(&self, writer: &mut Writer) {
        writer.signature(self.signature());
        match self {
            Value::Bool(value) => writer.bool(*value),
            Value::Byte(value) => writer.number(value.to_le_bytes()),
            Value::I16(value) => writer.number(value.to_le_bytes()),
            Value::U16(value) => writer.number(value.to_le_bytes()),
            Value::I32(value) => writer.number(value.to_le_bytes()),
            Value::U32(value) => writer.number(value.to_le_bytes()),
            Value::I64(value) => writer.number(value.to_le_bytes()),
            Value::U64(value) => writer.number(value.to_le_bytes()),
            Value::Text(text) => writer.string(text),
            Value::Texts(texts) => writer.array(4, |all| texts.iter().for_each(|text| all.string(text))),
            Value::Bytes(bytes) => writer.array(1, |all| bytes.iter().for_each(|byte| all.number([*byte]))),
            Value::Numbers(numbers) => {
                writer.array(4, |all| numbers.iter().for_each(|number| all.number(number.to_le_bytes())));
            }
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Value {
        Value::Bool(value)
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Value {
        Value::U64(value)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: Value) -> Vec<u8> {
        let mut writer = Writer::default();
        value.write(&mut writer);
        writer.0
    }

    #[test]
    fn each_value_is_written_with_its_type() {
        assert_eq!(written(Value::Bool(true)), b"\x01b\0\0\x01\0\0\0");
        assert_eq!(written(Value::Byte(7)), b"\x01y\0\x07");
        assert_eq!(written(Value::I16(-2)), b"\x01n\0\0\xfe\xff");
        assert_eq!(written(Value::U16(2)), b"\x01q\0\0\x02\0");
        assert_eq!(written(Value::I32(-2)), b"\x01i\0\0\xfe\xff\xff\xff");
        assert_eq!(written(Value::U32(2)), b"\x01u\0\0\x02\0\0\0");
        assert_eq!(written(Value::I64(-1)), b"\x01x\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff");
        assert_eq!(written(Value::U64(0x0102)), b"\x01t\0\0\0\0\0\0\x02\x01\0\0\0\0\0\0");
        assert_eq!(written("ab".into()), b"\x01s\0\0\x02\0\0\0ab\0");
        let texts = Value::Texts(vec!["a".into(), "b".into()]);
        assert_eq!(written(texts), b"\x02as\0\x0e\0\0\0\x01\0\0\0a\0\0\0\x01\0\0\0b\0");
        assert_eq!(written(Value::Bytes(vec![1, 2])), b"\x02ay\0\x02\0\0\0\x01\x02");
        assert_eq!(written(Value::Numbers(vec![1])), b"\x02au\0\x04\0\0\0\x01\0\0\0");
    }

    #[test]
    fn a_set_of_processors_is_as_long_as_its_highest() {
        let set = |list: &str| Value::set(&cpulist::Set::parse(list).unwrap());
        assert_eq!(set("0-3,7"), Value::Bytes(vec![0b1000_1111]));
        assert_eq!(set("1,8"), Value::Bytes(vec![2, 1]));
        assert_eq!(set("64"), Value::Bytes(vec![0, 0, 0, 0, 0, 0, 0, 0, 1]));
    }
}
