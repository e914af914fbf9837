//! Which files a configuration of git's names that git would run or take programs from: hooks, filters, editors, aliases.
//! Better one too many than one too few: what is named here is protected and its changes are told.
use super::config::Entry;
use super::include::Source;
use super::tree::Place;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Settings whose value git gives to a shell, or runs, whatever section they are in. One text, not one of each word: a start has
/// to relocate every pointer of a table.
const COMMANDS: &str = "alternaterefscommand askpass cccmd clean cmd command defaultkeycommand difffilter driver editor \
    external fsmonitor gitproxy headercmd helper httpd packobjectshook pager process program receivepack \
    recentobjectshook sendmailcmd smtpserver smudge sshcommand textconv tocmd tunnel update uploadpack \
    url";

/// Settings whose value is a file or directory that programs or their names are taken from.
const PATHS: [&str; 3] = ["attributesfile", "hookspath", "templatedir"];

/// Sections whose `path` is a program.
const TOOLS: [&str; 5] = ["browser", "difftool", "guitool", "man", "mergetool"];

/// More words than this are in no command.
const WORDS: usize = 200;

/// What the setting names of the tree that `source` is of, for a worktree whose top is `top`: a whole path, outside of the
/// tree too if it is one that git takes as a path.
pub fn named(source: &Source, entry: &Entry, top: &Path) -> Vec<Place> {
    let Some(value) = entry.value.as_deref() else { return Vec::new() };
    let tool = entry.key == "path" && TOOLS.contains(&entry.section.as_str());
    if tool || PATHS.contains(&entry.key.as_str()) {
        return source.path(value, top).into_iter().collect();
    }
    let command = match (entry.section.as_str(), entry.key.as_str()) {
        ("alias", _) | ("submodule", "update") => value.starts_with(b"!"),
        ("remote" | "submodule", "url") => value.starts_with(b"ext::"),
        ("url", _) => false,
        ("pager", _) => true,
        (_, key) => COMMANDS.split(' ').any(|command| command == key),
    };
    if command { words(source, value, top) } else { Vec::new() }
}

/// The files in the tree that words of a command name. A directory is none: `build` in `!make build` is a word.
fn words(source: &Source, value: &[u8], top: &Path) -> Vec<Place> {
    let parts = value.split(|byte| byte.is_ascii_whitespace() || b"\"'`;|&()<>{}!$=:,".contains(byte));
    let mut all = Vec::new();
    for word in parts.filter(|word| !word.is_empty()).take(WORDS) {
        // `$PWD/tools/x` and `$(git rev-parse --show-toplevel)/tools/x` mean the top as a rule.
        let behind = word.iter().position(|byte| *byte == b'/').map(|at| &word[at + 1..]).unwrap_or_default();
        let found = [word, behind].into_iter().find_map(|word| {
            let place = source.path(word, top)?;
            source.meta(&place).is_some_and(|meta| meta.is_file()).then_some(place)
        });
        match found {
            Some(place) => all.push(place),
            // It is not there yet: a path with directories means a file.
            None if word.contains(&b'/') => {
                let place = source.path(word, top);
                all.extend(place.filter(|place| matches!(place, Place::Inside(_)) && source.meta(place).is_none()));
            }
            None => {}
        }
    }
    all
}

/// Whether it is a hook that git would run by this name, and no example.
pub fn is_hook(name: &OsStr) -> bool {
    !name.as_bytes().ends_with(b".sample")
}
