//! An OCI bundle: the directory, its config.json as text and as a `Spec`.
//!
//! The load is tolerant where the spec says so (unknown members, unknown capability names) and strict where trust is
//! at stake (duplicate names, size, encoding). The original bytes are kept: the container's own copy of its
//! configuration, so that later edits of the bundle change nothing (runtime.md, "Lifecycle").
mod words;

use crate::bytes;
use crate::error::with_hint;
use anyhow::{Context, Result, anyhow, bail};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::Mode;
use oci_spec::runtime::{Capability, Process, Spec};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// No real configuration comes near it; reading more would let a hostile bundle choose our memory use.
const MAX_CONFIG: u64 = 32 << 20;

/// A loaded bundle.
pub struct Bundle {
    /// Absolute path of the bundle directory.
    pub path: PathBuf,
    /// config.json, byte for byte.
    pub bytes: Vec<u8>,
    /// What it says.
    pub spec: Spec,
    /// What was dropped or is odd but allowed; to be logged.
    pub warnings: Vec<String>,
}

impl Bundle {
    /// Loads `path`/config.json.
    pub fn load(path: &Path) -> Result<Bundle> {
        // The kernel's answer has neither links nor dots.
        let real = if path == Path::new(".") { std::env::current_dir() } else { path.canonicalize() };
        let path = real.with_context(|| format!("bundle {}", path.display()))?;
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let file = match openat(AT_FDCWD, &path.join("config.json"), flags, Mode::empty()).map(File::from) {
            Err(Errno::ENOENT) => {
                let missing = anyhow!("JSON specification file config.json not found in {}", path.display());
                return Err(with_hint(missing, "name the bundle with --bundle, or make a config with `rrunc spec`"));
            }
            other => other.with_context(|| path.join("config.json").display().to_string())?,
        };
        let bytes = contents(file).context("config.json")?;
        if bytes.len() as u64 > MAX_CONFIG {
            bail!("config.json: larger than {} MiB", MAX_CONFIG >> 20);
        }
        Bundle::parse(path, bytes)
    }

    /// Reads configuration `bytes` as those of the bundle at the absolute `path`.
    pub fn parse(path: PathBuf, bytes: Vec<u8>) -> Result<Bundle> {
        let Unique(value) = serde_json::from_slice(&bytes).context("config.json")?;
        Bundle::of(path, bytes, value)
    }

    /// The same for who has just written `value` as `bytes`, and need not read them again.
    pub fn of(path: PathBuf, bytes: Vec<u8>, value: Value) -> Result<Bundle> {
        let mut warnings = Vec::new();
        let spec = spec_of(value, &mut warnings).context("config.json")?;
        Ok(Bundle { path, bytes, spec, warnings })
    }
}

/// The whole file, as a rule in one read: a short one from a given place is the last of a file. What has no places, a pipe, is
/// read until nothing comes.
fn contents(file: File) -> io::Result<Vec<u8>> {
    let mut part = [0; 8 << 10];
    if let Ok(length) = file.read_at(&mut part, 0)
        && length < part.len()
    {
        return Ok(part[..length].to_vec());
    }
    let mut bytes = Vec::with_capacity(16 << 10);
    file.take(MAX_CONFIG + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn spec_of(mut value: Value, warnings: &mut Vec<String>) -> Result<Spec> {
    if !value.is_object() {
        bail!("config cannot be {}", if value.is_null() { "null" } else { "anything but an object" });
    }
    if let Some(process) = value.get_mut("process") {
        prepare_process(process, warnings).context("process")?;
    }
    if let Some(linux) = value.get("linux").filter(|linux| linux.is_object()) {
        words::linux(linux).context("linux")?;
    }
    if let Some(linux) = value.get_mut("linux").and_then(Value::as_object_mut) {
        // A section that says nothing is no filter; oci-spec would miss its defaultAction.
        let on = linux.get("seccomp").map(crate::seccomp::words::check).transpose().context("linux.seccomp")?;
        if on == Some(false) {
            linux.remove("seccomp");
        }
        // Without a number it leaves things alone (since 1.3); oci-spec would read 0, and that is a limit.
        if let Some(resources) = linux.get_mut("resources").and_then(Value::as_object_mut)
            && resources
                .get("pids")
                .is_some_and(|pids| pids.is_object() && pids.get("limit").is_none_or(Value::is_null))
        {
            resources.remove("pids");
        }
    }
    let mut spec: Spec = deserialize(value)?;
    let written =
        spec.annotations().as_ref().and_then(|all| all.get(bytes::BYTES)).is_some_and(|value| value == "true");
    if let Some(process) = spec.process_mut().as_mut().filter(|_| !written) {
        write_bytes(process);
    }
    Ok(spec)
}

/// Arguments and variables as a `Bundle` has them, see `bytes`.
fn write_bytes(process: &mut Process) {
    let texts = |texts: &Option<Vec<String>>| {
        let any = texts.iter().flatten().any(|text| bytes::has_bytes(text));
        any.then(|| texts.iter().flatten().map(|text| bytes::text(text.as_bytes())).collect::<Vec<_>>())
    };
    if let Some(args) = texts(process.args()) {
        process.set_args(Some(args));
    }
    if let Some(env) = texts(process.env()) {
        process.set_env(Some(env));
    }
}

/// Reads a `Process` document, as `exec --process` takes one.
pub fn parse_process(document: &[u8], warnings: &mut Vec<String>) -> Result<Process> {
    let Unique(mut value) = serde_json::from_slice(document)?;
    if !value.is_object() {
        bail!("no JSON object with the members of process");
    }
    prepare_process(&mut value, warnings)?;
    let mut process = deserialize(value)?;
    write_bytes(&mut process);
    Ok(process)
}

/// Deserializes with the path of the member that does not fit in the error.
fn deserialize<T: de::DeserializeOwned>(value: Value) -> Result<T> {
    // To keep the path costs as much as to deserialize, and is for errors only.
    if let Ok(fits) = T::deserialize(&value) {
        return Ok(fits);
    }
    serde_path_to_error::deserialize(value).map_err(|e| match e.path().to_string() {
        path if path == "." => anyhow!("{}", e.inner()),
        path => anyhow!("{path}: {}", e.inner()),
    })
}

/// Bridges what the spec tolerates and oci-spec does not: unknown capability names are a warning (config.md,
/// "capabilities"), a missing user is root, as in runc.
fn prepare_process(process: &mut Value, warnings: &mut Vec<String>) -> Result<()> {
    if process.is_object() {
        words::process(process)?;
    }
    let Some(process) = process.as_object_mut() else { return Ok(()) };
    // `null` says no more than a member that is missing, as in Go.
    process.retain(|_, member| !member.is_null());
    if let Some(user) = process.get_mut("user").and_then(Value::as_object_mut) {
        user.retain(|_, member| !member.is_null());
        for id in ["uid", "gid"] {
            user.entry(id).or_insert(0.into());
        }
    }
    if process.get("user").is_some_and(Value::is_array) {
        // A list of its members would do for serde.
        bail!("user: invalid type: sequence, expected an object");
    }
    process.entry("user").or_insert_with(|| serde_json::json!({"uid": 0, "gid": 0}));
    process.entry("cwd").or_insert_with(|| Value::String(String::new()));
    let Some(sets) = process.get_mut("capabilities").and_then(Value::as_object_mut) else { return Ok(()) };
    let mut unknown = Vec::new();
    for names in sets.values_mut().filter_map(Value::as_array_mut) {
        names.retain(|name| {
            let known = Capability::deserialize(name).is_ok();
            let text = name.as_str().map_or_else(|| name.to_string(), str::to_owned);
            if !known && !unknown.contains(&text) {
                unknown.push(text);
            }
            known
        });
    }
    if !unknown.is_empty() {
        warnings.push(format!("ignoring unknown or unavailable capabilities: [{}]", unknown.join(" ")));
    }
    Ok(())
}

/// A JSON value in which no object has two members of one name: glossary.md forbids them, and two readers that pick
/// different ones would see different policies.
struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor).map(Unique)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_f64<E>(self, v: f64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(Unique(value)) = seq.next_element()? {
            all.push(value);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut all = serde_json::Map::new();
        while let Some(name) = map.next_key::<String>()? {
            let Unique(value) = map.next_value()?;
            if all.contains_key(&name) {
                return Err(de::Error::custom(format_args!("duplicate member {name:?}")));
            }
            all.insert(name, value);
        }
        Ok(Value::Object(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Bundle> {
        Bundle::parse(PathBuf::from("/b"), text.as_bytes().to_vec())
    }

    fn error(text: &str) -> String {
        crate::error::one_line(&parse(text).err().expect("must be refused"))
    }

    #[test]
    fn duplicate_members_are_refused_at_any_depth() {
        assert!(error(r#"{"ociVersion":"1.0.0","ociVersion":"1.0.0"}"#).contains("duplicate member \"ociVersion\""));
        assert!(error(r#"{"ociVersion":"1.0.0","linux":{"a":[{"b":1,"b":2}]}}"#).contains("duplicate member \"b\""));
    }

    #[test]
    fn a_configuration_of_any_length_or_through_a_pipe_is_read_whole() {
        let dir = std::env::temp_dir().join(format!("rrunc-bundle-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        let config = dir.join("config.json");
        for length in [100, 8191, 8192, 8193, 100_000] {
            let blanks = " ".repeat(length - 22);
            let text = format!(r#"{{"ociVersion":"1.0.0"{blanks}}}"#);
            assert_eq!(text.len(), length);
            std::fs::write(&config, &text).unwrap();
            assert!(Bundle::load(&dir).unwrap().bytes == text.as_bytes(), "{length}");
        }
        std::fs::remove_file(&config).unwrap();
        nix::unistd::mkfifo(&config, Mode::S_IRWXU).unwrap();
        let slowly = r#"exec >"$0"; printf '{"ociVersion":'; sleep 0.1; printf '"1.0.0"}'"#;
        let mut writer = std::process::Command::new("sh").args(["-c", slowly]).arg(&config).spawn().unwrap();
        assert_eq!(Bundle::load(&dir).unwrap().bytes, br#"{"ociVersion":"1.0.0"}"#);
        assert!(writer.wait().unwrap().success());
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn unknown_members_are_ignored_and_unknown_capabilities_warned_of() {
        let b = parse(
            r#"{"ociVersion":"1.0.0","surprise":1,"process":{"cwd":"/","args":["a"],
                "capabilities":{"bounding":["CAP_KILL","CAP_NEW"],"effective":["CAP_NEW"]}}}"#,
        )
        .unwrap();
        assert_eq!(b.warnings, ["ignoring unknown or unavailable capabilities: [CAP_NEW]"]);
        let sets = b.spec.process().as_ref().unwrap().capabilities().as_ref().unwrap();
        assert_eq!(sets.bounding().as_ref().unwrap().len(), 1);
    }

    #[test]
    fn a_value_says_the_same_as_its_text() {
        let text = r#"{"ociVersion":"1.0.0","process":{"cwd":"/","args":["a"],"user":{"uid":7,"gid":7}},
            "linux":{"seccomp":{},"resources":{"memory":{"limit":-1}}},"annotations":{"a":"b"}}"#;
        let value: Value = serde_json::from_str(text).unwrap();
        let of = Bundle::of(PathBuf::from("/b"), text.as_bytes().to_vec(), value).unwrap();
        let parsed = parse(text).unwrap();
        assert_eq!((of.spec, of.warnings), (parsed.spec, parsed.warnings));
        assert!(Bundle::of(PathBuf::from("/b"), Vec::new(), Value::Null).is_err());
    }

    #[test]
    fn errors_name_the_member() {
        assert!(
            error(r#"{"ociVersion":"1.0.0","process":{"cwd":"/","args":7}}"#).starts_with("config.json: process.args:")
        );
        assert!(error("null").contains("config cannot be null"));
        assert!(error(&format!("{{\"a\":{}1{}}}", "[".repeat(300), "]".repeat(300))).contains("recursion limit"));
        assert!(Bundle::parse("/b".into(), b"{\"ociVersion\":\"\xff\"}".to_vec()).is_err());
    }

    #[test]
    fn a_limit_of_processes_without_a_number_is_none() {
        let limits = |pids: &str| {
            let text = format!(r#"{{"ociVersion": "1.3.0", "linux": {{"resources": {{"pids": {pids}}}}}}}"#);
            parse(&text).unwrap().spec.linux().as_ref().unwrap().resources().as_ref().unwrap().pids().map(|p| p.limit())
        };
        assert_eq!((limits("{}"), limits(r#"{"limit": null}"#), limits(r#"{"limit": 0}"#)), (None, None, Some(0)));
    }
}
