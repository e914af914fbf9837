//! Sandbox profiles as data: what a TOML file says, where it is found, and what it extends (rrunc-profile(5)).
use super::foreign;
use crate::error::with_hint;
use crate::nearest::nearest;
use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The profile that every sandbox starts from.
pub const BASE: &str = "base";

/// Name and text of the profiles that come with rrunc (profiles/*.toml).
pub const BUILT_IN: [(&str, &str); 9] = [
    (BASE, include_str!("../../profiles/base.toml")),
    ("dev", include_str!("../../profiles/dev.toml")),
    ("go", include_str!("../../profiles/go.toml")),
    ("judge", include_str!("../../profiles/judge.toml")),
    ("node", include_str!("../../profiles/node.toml")),
    ("offline-build", include_str!("../../profiles/offline-build.toml")),
    ("python", include_str!("../../profiles/python.toml")),
    ("rust", include_str!("../../profiles/rust.toml")),
    ("untrusted", include_str!("../../profiles/untrusted.toml")),
];

/// Profiles extend one another no further than this.
const MAX_CHAIN: usize = 8;

/// One profile: the keys of `allow` widen what it extends, all others narrow it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Profile {
    /// One line for `profile ls`.
    pub description: Option<String>,
    /// The profile it starts from; `base` where it is not said.
    pub extends: Option<String>,
    /// A seccomp profile that is stricter than the present one.
    pub seccomp: Option<Seccomp>,
    /// What is added.
    #[serde(default)]
    pub allow: Allow,
    /// What is taken away.
    #[serde(default)]
    pub deny: Deny,
    /// The smaller of two limits holds.
    #[serde(default)]
    pub limits: Limits,
}

/// `[allow]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Allow {
    /// Directories of programs, read-only.
    pub programs: Vec<String>,
    /// Parts of the host's /etc, read-only.
    pub etc: Vec<String>,
    /// Below HOME: toolchains, read-only.
    pub toolchains: Vec<String>,
    /// `SRC[:DST]` of the host, readable.
    pub read: Vec<String>,
    /// `SRC[:DST]` of the host, writable.
    pub write: Vec<String>,
    /// The project's directory.
    pub project: Option<Access>,
    /// Sections of the caller's git configuration.
    pub gitconfig: Vec<String>,
    /// Variables of the caller, a final `*` standing for any rest.
    pub pass: Vec<String>,
    /// Variables with their values.
    pub set: BTreeMap<String, String>,
    /// A network.
    pub network: Option<Network>,
    /// Package caches of the sandbox's own.
    pub caches: Vec<Cache>,
    /// User namespaces inside.
    pub user_namespaces: bool,
    /// A seccomp profile, whichever it is.
    pub seccomp: Option<Seccomp>,
    /// Capabilities in the sandbox's own user namespace.
    pub capabilities: Vec<String>,
    /// Limits, be they larger than before.
    pub limits: Limits,
}

/// `[deny]`. Of lists, `*` takes all away.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Deny {
    /// Directories of programs.
    pub programs: Vec<String>,
    /// Parts of /etc.
    pub etc: Vec<String>,
    /// Toolchains below HOME.
    pub toolchains: Vec<String>,
    /// Grants to read, as they were written.
    pub read: Vec<String>,
    /// Grants to write, as they were written.
    pub write: Vec<String>,
    /// Sections of the git configuration.
    pub gitconfig: Vec<String>,
    /// `write`: the project is only readable; `read`: there is none.
    pub project: Option<Access>,
    /// Variables that do not pass, and are not set.
    pub pass: Vec<String>,
    /// Any network.
    pub network: bool,
    /// All caches.
    pub caches: bool,
    /// User namespaces inside.
    pub user_namespaces: bool,
    /// Capabilities.
    pub capabilities: Vec<String>,
    /// Below HOME: hidden even inside a granted directory.
    pub secrets: Vec<String>,
    /// Glob patterns: hidden below any granted directory.
    pub hide: Vec<String>,
    /// Glob patterns below what may be written: read-only, and changes of it are told.
    pub protect: Vec<String>,
    /// Glob patterns below what may be written: changes of it are told.
    pub tell: Vec<String>,
}

/// What may be done with the project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// It is read.
    Read,
    /// It is changed.
    Write,
}

/// Where the sandbox's network leads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// Nowhere: an own namespace, loopback only.
    #[default]
    None,
    /// Out, through pasta(1), but not to the host's loopback.
    Pasta,
    /// The host's network.
    Host,
}

/// The seccomp profiles, the stricter the larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seccomp {
    /// For containers.
    Default,
    /// For developers' tools.
    Sandbox,
    /// For programs that only compute.
    Strict,
}

impl Seccomp {
    /// Its name below `seccomp/`.
    pub fn name(self) -> &'static str {
        match self {
            Seccomp::Default => "default",
            Seccomp::Sandbox => "sandbox",
            Seccomp::Strict => "strict",
        }
    }
}

/// A package manager whose downloads are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Cache {
    /// cargo's registry and git checkouts.
    Cargo,
    /// npm's cache.
    Npm,
    /// pip's cache.
    Pip,
    /// Go's modules and build cache.
    Go,
}

/// `[limits]`; sizes take k, m, g, t, and for memory a share of the machine's in `%`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Limits {
    /// Size of each private file system.
    pub tmpfs: Option<String>,
    /// Memory of all processes.
    pub memory: Option<String>,
    /// Processors' time, in processors: `0.5`, `2`.
    pub cpus: Option<String>,
    /// Processes and threads.
    pub processes: Option<u64>,
    /// From start to end: `90`, `90s`, `10m`, `1h`.
    pub time: Option<String>,
    /// Size of a file that is written.
    pub file_size: Option<String>,
    /// Open files of a process.
    pub open_files: Option<u64>,
}

impl Profile {
    /// Reads a profile.
    ///
    /// # Errors
    /// Not TOML, or not these members: with line and column.
    pub fn parse(text: &str) -> Result<Profile> {
        toml::from_str(text).map_err(|error| anyhow!(located(text, &error)))
    }
}

/// `line 3, column 7: unknown field …`: one line, where toml's own is a picture.
fn located(text: &str, error: &toml::de::Error) -> String {
    let message = error.message().trim_end().replace('\n', ", ");
    let Some(span) = error.span() else { return message };
    let before = text.get(..span.start).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    format!("line {line}, column {column}: {message}")
}

/// Where profiles of the user's own are.
pub fn own_directory() -> Option<PathBuf> {
    directories::BaseDirs::new().map(|dirs| dirs.config_dir().join("rrunc/profiles"))
}

/// A profile that was found, and how messages call it.
#[derive(Debug, Clone)]
pub struct Named {
    /// `base`, or the path of a file.
    pub name: String,
    /// What it says.
    pub profile: Profile,
}

/// Finds the profile `name`: a path if it holds a slash, else a file of the user's own, else one that comes with rrunc.
pub fn find(name: &str) -> Result<Named> {
    if name.contains('/') {
        return read(Path::new(name));
    }
    let own = own_directory().map(|dir| dir.join(format!("{name}.toml"))).filter(|path| path.exists());
    if let Some(path) = own {
        return read(&path);
    }
    match BUILT_IN.iter().find(|(known, _)| *known == name) {
        Some((known, text)) => {
            let profile = Profile::parse(text).with_context(|| format!("profiles/{known}.toml"))?;
            Ok(Named { name: (*known).to_owned(), profile })
        }
        None => Err(missing(name)),
    }
}

/// The error for a profile that there is not, with the nearest that there is.
pub fn missing(name: &str) -> anyhow::Error {
    let own: Vec<String> =
        own_files().iter().filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned())).collect();
    let known = BUILT_IN.iter().map(|(known, _)| *known).chain(own.iter().map(String::as_str));
    let hint = match nearest(name, known) {
        Some(near) => format!("did you mean {near}?"),
        None => "`rrunc profile ls` lists them; a file is named with a slash in it: ./mine.toml".to_owned(),
    };
    with_hint(anyhow!("there is no profile {name}"), hint)
}

/// The files of the user's own profiles, sorted.
pub fn own_files() -> Vec<PathBuf> {
    let entries = own_directory().and_then(|dir| fs::read_dir(dir).ok()).into_iter().flatten();
    let mut files: Vec<_> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "toml"));
    files.sort();
    files
}

/// Reads the profile in a file of the user's.
pub fn read(path: &Path) -> Result<Named> {
    let profile = foreign::text(path).and_then(|text| Profile::parse(&text));
    let profile = profile.with_context(|| format!("profile {}", path.display()))?;
    Ok(Named { name: path.display().to_string(), profile })
}

/// The profile and all that it extends, the outermost first; `base` stands at the front of every chain.
pub fn chain(first: Named) -> Result<Vec<Named>> {
    let mut chain = vec![first];
    loop {
        let last = chain.last().expect("one at least");
        if last.name == BASE {
            chain.reverse();
            return Ok(chain);
        }
        let next = match last.profile.extends.as_deref() {
            // A file of the user's own with this name adds to the one it hides.
            None | Some(BASE) => built_in_base()?,
            Some(name) => find(name).with_context(|| format!("profile {}: extends", last.name))?,
        };
        if chain.len() == MAX_CHAIN || chain.iter().any(|one| one.name == next.name) {
            bail!("profile {}: it extends itself, or more than {MAX_CHAIN} others", chain[0].name);
        }
        chain.push(next);
    }
}

fn built_in_base() -> Result<Named> {
    let profile = Profile::parse(BUILT_IN[0].1).context("profiles/base.toml")?;
    Ok(Named { name: BASE.to_owned(), profile })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_with_rrunc_is_sound() {
        for (name, text) in BUILT_IN {
            let profile = Profile::parse(text).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert!(profile.description.is_some_and(|text| !text.contains('\n')), "{name}");
            let chain = chain(find(name).unwrap()).unwrap();
            assert_eq!((chain[0].name.as_str(), chain.last().unwrap().name.as_str()), (BASE, name));
        }
        let base = Profile::parse(BUILT_IN[0].1).unwrap();
        assert!(base.allow.programs.iter().chain(&base.allow.etc).all(|path| path.starts_with('/')));
        let relative = base.allow.toolchains.iter().chain(&base.deny.secrets).chain(&base.deny.protect);
        assert!(relative.clone().all(|path| !path.starts_with('/') && !path.contains("..")));
        // A toolchain directory that held a secret would show it.
        for secret in &base.deny.secrets {
            let shown = |dir: &String| secret.starts_with(&format!("{dir}/"));
            assert!(!base.allow.toolchains.iter().any(shown), "{secret}");
        }
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        for (text, expected) in [
            ("[allow]\nprogramms = []\n", "line 2, column 1: unknown field `programms`"),
            ("[deny]\n  network = 3\n", "line 2, column 13: invalid type"),
            ("x", "line 1, column 2: "),
            ("[limits]\nprocesses = -1\n", "line 2, column 13: "),
            ("[allow]\ncaches = [\"cargo\", \"conan\"]\n", "line 2, column "),
        ] {
            let error = Profile::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains('\n'), "{text:?}: {error}");
        }
    }
}
