//! Where a user's bus listens (D-Bus specification, "Server Addresses"), and where his systemd does without one. Pure.
use anyhow::{Context, Result, bail, ensure};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// One place to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// The socket of a bus.
    Bus(PathBuf),
    /// The same in the abstract name space, without the leading NUL.
    Abstract(Vec<u8>),
    /// The socket at which systemd itself listens.
    Manager(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Bus(path) | Address::Manager(path) => path.display().fmt(f),
            Address::Abstract(name) => write!(f, "@{}", name.escape_ascii()),
        }
    }
}

/// The places in the order to try them: what DBUS_SESSION_BUS_ADDRESS names, then what is in the runtime directory. Those
/// that cannot be used are `Err` and say why.
pub fn candidates(session: Option<&OsStr>, runtime: &Path) -> Vec<Result<Address>> {
    let named = session.map(OsStr::as_bytes).unwrap_or_default();
    let named = named.split(|byte| *byte == b';').filter(|address| !address.is_empty());
    let named = named
        .map(|address| parse(address).with_context(|| format!("DBUS_SESSION_BUS_ADDRESS: {}", address.escape_ascii())));
    let mut all: Vec<_> = named.collect();
    let usual = Address::Bus(runtime.join("bus"));
    if !all.iter().flatten().any(|address| *address == usual) {
        all.push(Ok(usual));
    }
    all.push(Ok(Address::Manager(runtime.join("systemd/private"))));
    all
}

/// `unix:path=…` or `unix:abstract=…`, with other pairs around.
fn parse(address: &[u8]) -> Result<Address> {
    let Some(pairs) = address.strip_prefix(b"unix:") else { bail!("only unix: is supported") };
    for pair in pairs.split(|byte| *byte == b',') {
        let (key, value) = match pair.iter().position(|byte| *byte == b'=') {
            Some(at) => (&pair[..at], unescape(&pair[at + 1..])?),
            None => bail!("{} has no value", pair.escape_ascii()),
        };
        match key {
            b"path" => {
                let path = PathBuf::from(OsString::from_vec(value));
                ensure!(path.is_absolute(), "the path is not absolute");
                return Ok(Address::Bus(path));
            }
            b"abstract" => return Ok(Address::Abstract(value)),
            _ => {}
        }
    }
    bail!("it has neither path= nor abstract=")
}

/// %XX is a byte.
fn unescape(text: &[u8]) -> Result<Vec<u8>> {
    let mut value = Vec::new();
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'%' => {
                let mut digit = || bytes.next().and_then(|byte| char::from(*byte).to_digit(16));
                let (high, low) = digit().zip(digit()).context("% without two hexadecimal digits")?;
                (high << 4 | low) as u8
            }
            byte => *byte,
        };
        ensure!(byte != 0, "a NUL in it");
        value.push(byte);
    }
    ensure!(!value.is_empty(), "an empty value");
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::one_line;

    fn listed(session: Option<&str>) -> Vec<String> {
        candidates(session.map(OsStr::new), Path::new("/run/user/7"))
            .into_iter()
            .map(|address| match address {
                Ok(address) => format!("{address:?}"),
                Err(error) => one_line(&error),
            })
            .collect()
    }

    const USUAL: [&str; 2] = ["Bus(\"/run/user/7/bus\")", "Manager(\"/run/user/7/systemd/private\")"];

    #[test]
    fn what_the_session_names_comes_first() {
        assert_eq!(listed(None), USUAL);
        assert_eq!(listed(Some("")), USUAL);
        assert_eq!(listed(Some("unix:path=/run/user/7/bus,guid=0123")), USUAL);
        let two = listed(Some("unix:abstract=/tmp/dbus-A%2cb,guid=1;unix:guid=2,path=/a%20b%FF"));
        assert_eq!(two[2..], USUAL);
        assert_eq!(two[0], format!("{:?}", Address::Abstract(b"/tmp/dbus-A,b".to_vec())));
        let path = OsString::from_vec(b"/a b\xff".to_vec());
        assert_eq!(two[1], format!("{:?}", Address::Bus(path.into())));
        assert_eq!(Address::Abstract(b"a\x1b".to_vec()).to_string(), "@a\\x1b");
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        for (address, why) in [
            ("tcp:host=a,port=1", "only unix: is supported"),
            ("unix:tmpdir=/tmp", "it has neither path= nor abstract="),
            ("unix:", " has no value"),
            ("unix:path=bus", "the path is not absolute"),
            ("unix:path=", "an empty value"),
            ("unix:path=/a%0", "% without two hexadecimal digits"),
            ("unix:path=/a%zz", "% without two hexadecimal digits"),
            ("unix:path=/a%00", "a NUL in it"),
        ] {
            let all = listed(Some(address));
            assert_eq!(all[0], format!("DBUS_SESSION_BUS_ADDRESS: {address}: {why}"));
            assert_eq!(all[1..], USUAL);
        }
    }
}
