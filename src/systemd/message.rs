//! Messages of D-Bus as bytes (D-Bus specification, "Type System" and "Message Protocol"). Pure, and no more of it than
//! the talk with systemd takes: calls are written, in little endian; replies and signals are read, in either. Nothing
//! that comes in is believed: each length, padding and text is checked against what is there.
use crate::error::one_line;
use anyhow::{Context, Result, bail, ensure};

/// The longest message that is read or written. The specification allows 128 MiB, systemd's answers take some hundred
/// bytes.
pub const LONGEST: usize = 1 << 20;
/// What says how long the rest is.
pub const HEAD: usize = 16;

/// Values one after the other, each aligned by its type.
#[derive(Debug, Default)]
pub struct Writer(pub(super) Vec<u8>);

impl Writer {
    fn align(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    /// A number, of which these are the `to_le_bytes`.
    pub fn number<const N: usize>(&mut self, bytes: [u8; N]) {
        self.align(N);
        self.0.extend(bytes);
    }

    /// A boolean, which takes four bytes.
    pub fn bool(&mut self, value: bool) {
        self.number(u32::from(value).to_le_bytes());
    }

    /// A string, or the path of an object.
    pub fn string(&mut self, text: &str) {
        self.number(length(text.len()));
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    /// The signature that comes before a variant's value.
    pub fn signature(&mut self, text: &str) {
        // None of ours is longer than eight.
        self.0.push(text.len() as u8);
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    /// The beginning of a structure.
    pub fn structure(&mut self) {
        self.align(8);
    }

    /// An array, whose elements are aligned to `to` and written by `elements`.
    pub fn array(&mut self, to: usize, elements: impl FnOnce(&mut Writer)) {
        self.number([0; 4]);
        let at = self.0.len() - 4;
        // The padding before the first one does not count.
        self.align(to);
        let start = self.0.len();
        elements(self);
        let length = length(self.0.len() - start);
        self.0[at..at + 4].copy_from_slice(&length);
    }
}

/// Never more than a u32 holds in a message that is sent: [`Call::encode`] refuses far shorter ones.
fn length(bytes: usize) -> [u8; 4] {
    (bytes as u32).to_le_bytes()
}

/// A call of a method.
#[derive(Debug)]
pub struct Call<'a> {
    /// Whom it is for; nobody is named where only one listens.
    pub destination: Option<&'a str>,
    /// The object.
    pub path: &'a str,
    /// The interface.
    pub interface: &'a str,
    /// The method.
    pub member: &'a str,
    /// The types of its arguments; empty for none.
    pub signature: &'a str,
    /// The arguments.
    pub arguments: Writer,
}

impl Call<'_> {
    /// The message with this number.
    ///
    /// # Errors
    /// It is too long.
    pub fn encode(&self, serial: u32) -> Result<Vec<u8>> {
        let mut message = Writer(vec![b'l', 1, 0, 1]);
        message.number(length(self.arguments.0.len()));
        message.number(serial.to_le_bytes());
        message.array(8, |fields| {
            let mut field = |code: u8, kind: &str, text: &str| {
                fields.structure();
                fields.0.push(code);
                fields.signature(kind);
                if kind == "g" { fields.signature(text) } else { fields.string(text) }
            };
            field(1, "o", self.path);
            field(2, "s", self.interface);
            field(3, "s", self.member);
            if let Some(destination) = self.destination {
                field(6, "s", destination);
            }
            if !self.signature.is_empty() {
                field(8, "g", self.signature);
            }
        });
        message.align(8);
        message.0.extend(&self.arguments.0);
        ensure!(message.0.len() <= LONGEST, "a call of {} bytes is too long", message.0.len());
        Ok(message.0)
    }
}

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The answer to a call.
    Reply,
    /// The refusal of one.
    Error,
    /// News.
    Signal,
    /// Something else, which is to be ignored.
    Other,
}

/// A message that has come in.
#[derive(Debug)]
pub struct Message {
    /// What it is.
    pub kind: Kind,
    /// The number of the call that it answers.
    pub reply_to: Option<u32>,
    /// The interface of a signal.
    pub interface: Option<String>,
    /// The name of a signal.
    pub member: Option<String>,
    /// The name of an error.
    pub error: Option<String>,
    /// Who has sent it, by the bus.
    pub sender: Option<String>,
    signature: String,
    is_big_endian: bool,
    pub(super) body: Vec<u8>,
}

impl Message {
    /// How long the message is that begins with `head`.
    ///
    /// # Errors
    /// It is no message, or too long.
    pub fn length(head: &[u8; HEAD]) -> Result<usize> {
        let is_big_endian = match head[0] {
            b'l' => false,
            b'B' => true,
            other => bail!("a message begins with byte {other}"),
        };
        ensure!(head[3] == 1, "a message of protocol version {}", head[3]);
        let mut reader = Reader { bytes: head, at: 4, is_big_endian };
        let (body, _, fields) = (reader.u32()? as usize, reader.u32()?, reader.u32()? as usize);
        // Each is below 2^32, so the sum is sound.
        let length = HEAD + fields.next_multiple_of(8) + body;
        ensure!(length <= LONGEST, "a message of {length} bytes is too long");
        Ok(length)
    }

    /// Reads one that is as long as [`Message::length`] says.
    ///
    /// # Errors
    /// It breaks the rules.
    pub fn decode(bytes: &[u8]) -> Result<Message> {
        let head = bytes.first_chunk().context("a message is too short")?;
        ensure!(Message::length(head)? == bytes.len(), "a message is as long as it does not say");
        let mut message = Message {
            kind: match head[1] {
                2 => Kind::Reply,
                3 => Kind::Error,
                4 => Kind::Signal,
                _ => Kind::Other,
            },
            reply_to: None,
            interface: None,
            member: None,
            error: None,
            sender: None,
            signature: String::new(),
            is_big_endian: head[0] == b'B',
            body: Vec::new(),
        };
        let mut reader = Reader { bytes, at: HEAD - 4, is_big_endian: message.is_big_endian };
        let fields = reader.u32()? as usize;
        let end = HEAD + fields;
        let mut reader = Reader { bytes: bytes.get(..end).context("the fields are cut off")?, at: HEAD, ..reader };
        while reader.at < end {
            message.read_field(&mut reader).context("a field of a message")?;
        }
        let mut reader = Reader { bytes, ..reader };
        reader.align(8)?;
        message.body = bytes[reader.at..].to_vec();
        Ok(message)
    }

    fn read_field(&mut self, reader: &mut Reader) -> Result<()> {
        reader.align(8)?;
        let code = reader.take(1)?[0];
        let text = match reader.signature()?.as_str() {
            "s" | "o" => reader.string()?,
            "g" => reader.signature()?,
            "u" => {
                let number = reader.u32()?;
                if code == 5 {
                    self.reply_to = Some(number);
                }
                return Ok(());
            }
            // Those that are not known are to be ignored; but none has ever been of another type.
            other => bail!("field {code} is of the unknown type {other:?}"),
        };
        match code {
            2 => self.interface = Some(text),
            3 => self.member = Some(text),
            4 => self.error = Some(text),
            7 => self.sender = Some(text),
            8 => self.signature = text,
            _ => {}
        }
        Ok(())
    }

    /// The arguments, which have to be of these types.
    ///
    /// # Errors
    /// They are of others.
    pub fn arguments(&self, signature: &str) -> Result<Reader<'_>> {
        ensure!(self.signature == signature, "arguments of type {:?} instead of {signature:?}", self.signature);
        Ok(Reader { bytes: &self.body, at: 0, is_big_endian: self.is_big_endian })
    }

    /// The text of an error: its first argument, if that is one.
    pub fn text(&self) -> String {
        let first = Reader { bytes: &self.body, at: 0, is_big_endian: self.is_big_endian }.string();
        let first = if self.signature.starts_with('s') { first } else { Ok(String::new()) };
        first.unwrap_or_else(|e| one_line(&e))
    }
}

/// Reads values one after the other.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    is_big_endian: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(length);
        let taken = end.and_then(|end| self.bytes.get(self.at..end)).context("a value is cut off")?;
        self.at += length;
        Ok(taken)
    }

    pub(super) fn align(&mut self, to: usize) -> Result<()> {
        let padding = self.take(self.at.next_multiple_of(to) - self.at)?;
        ensure!(padding.iter().all(|byte| *byte == 0), "padding that is not empty");
        Ok(())
    }

    /// A 32-bit number.
    pub fn u32(&mut self) -> Result<u32> {
        self.align(4)?;
        let bytes = self.take(4)?.try_into()?;
        Ok(if self.is_big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    /// A boolean.
    pub fn bool(&mut self) -> Result<bool> {
        match self.u32()? {
            0 => Ok(false),
            1 => Ok(true),
            other => bail!("a boolean of {other}"),
        }
    }

    /// A string, or the path of an object.
    pub fn string(&mut self) -> Result<String> {
        let length = self.u32()? as usize;
        self.text(length)
    }

    pub(super) fn signature(&mut self) -> Result<String> {
        let length = self.take(1)?[0];
        self.text(length.into())
    }

    fn text(&mut self, length: usize) -> Result<String> {
        let text = std::str::from_utf8(self.take(length)?).context("a string that is not UTF-8")?;
        ensure!(self.take(1)? == [0] && !text.contains('\0'), "a string that does not end where it says");
        Ok(text.to_owned())
    }
}

#[cfg(test)]
mod tests;
