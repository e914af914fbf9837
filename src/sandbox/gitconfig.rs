//! The caller's git configuration without what would give credentials away or run the host's programs (git-config(1)).
use super::foreign;
use super::policy::Rule;
use crate::git::Host;
use crate::git::config::{self, Entry};
use crate::git::include::{Source, is_for};
use crate::git::tree::Place;
use std::path::{Path, PathBuf};

/// Variables left out of the sections that are taken over: they name programs, files that are not there, or keys. One text
/// needs no pointers, which a start would have to relocate.
const LEFT_OUT: &str = "askpass attributesfile editor excludesfile fsmonitor gitproxy gpgsign hookspath pager \
    recursesubmodules signingkey sshcommand template templatedir worktree gpgprogram";

/// What is made of the caller's.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct MadeUp {
    /// HOME/.gitconfig, if it says anything.
    pub text: Option<Vec<u8>>,
    /// The caller has commits or tags signed, and here they are not.
    pub unsigned: bool,
}

/// What there is to know besides.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Where git keeps what is its own of the project.
    pub git_dir: Option<&'a Path>,
    /// It reaches the caller's ssh-agent.
    pub signs: bool,
}

/// HOME/.gitconfig inside: the listed `sections` of the caller's two files and of what they include, also for the project's
/// repository.
pub fn made_up(home: &Path, xdg: Option<&Path>, sections: &[Rule], facts: Facts) -> MadeUp {
    // The machine's is shown, or not, as a part of /etc.
    let host = Host::of(home, xdg);
    let source = Source { tree: None, home, holds: &|condition| is_for(condition, facts.git_dir, home) };
    let mut all = Vec::new();
    for path in [host.xdg, host.own] {
        let loaded = source.load(&Place::Outside(path));
        loaded.unseen.iter().for_each(|why| log::warn!("your git configuration is not taken over: {why}"));
        all.extend(loaded.entries);
    }
    let signature = if facts.signs { signature(&all, home) } else { Vec::new() };
    let last = |section| all.iter().rfind(|entry: &&Entry| entry.is(section, "gpgsign")).is_some_and(is_true);
    let is_listed = |section| sections.iter().any(|rule| rule.value == section);
    let unsigned =
        signature.is_empty() && ["commit", "tag"].into_iter().any(|section| is_listed(section) && last(section));
    all.retain(|entry| passes(entry, sections));
    all.extend(signature);
    let text = config::write(&all);
    MadeUp { text: (!text.is_empty()).then_some(text), unsigned }
}

fn passes(entry: &Entry, sections: &[Rule]) -> bool {
    sections.iter().any(|section| section.value == entry.section) && !LEFT_OUT.split(' ').any(|left| left == entry.key)
}

/// What signs by the agent, if that is how the caller signs: the key is given as such, since its file is not there.
fn signature(all: &[Entry], home: &Path) -> Vec<Entry> {
    let value = |section, key| {
        let entry = all.iter().rfind(|entry| entry.is(section, key) && entry.subsection.is_none())?;
        Some(String::from_utf8_lossy(entry.value.as_deref()?).into_owned())
    };
    let Some(key) = value("user", "signingkey").filter(|_| value("gpg", "format").as_deref() == Some("ssh")) else {
        return Vec::new();
    };
    let Some(key) = public_key(&key, home) else { return Vec::new() };
    let mut own = vec![setting("user", "signingkey", &format!("key::{key}")), setting("gpg", "format", "ssh")];
    own.extend(all.iter().filter(|entry| entry.key == "gpgsign" && entry.subsection.is_none()).cloned());
    own
}

/// The key that `user.signingKey` means: itself, or what its file says, or the one beside a private key.
fn public_key(text: &str, home: &Path) -> Option<String> {
    let is_key = |text: &str| ["ssh-", "ecdsa-", "sk-"].iter().any(|kind| text.starts_with(kind));
    let literal = text.strip_prefix("key::").unwrap_or(text);
    if is_key(literal) {
        return Some(literal.to_owned());
    }
    let text = if text.ends_with(".pub") { text.to_owned() } else { format!("{text}.pub") };
    let path = text.strip_prefix("~/").map_or_else(|| PathBuf::from(&text), |rest| home.join(rest));
    let text = foreign::text_at(&path).ok()?;
    text.lines().next().filter(|line| is_key(line)).map(str::to_owned)
}

fn setting(section: &str, key: &str, value: &str) -> Entry {
    Entry { section: section.into(), subsection: None, key: key.into(), value: Some(value.into()) }
}

/// As git reads a truth value (git-config(1), "Values").
fn is_true(entry: &Entry) -> bool {
    let Some(value) = &entry.value else { return true };
    !["", "false", "no", "off", "0"].iter().any(|word| value.eq_ignore_ascii_case(word.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn names_and_habits_pass_and_credentials_do_not() {
        let sections = ["user", "alias", "core"].map(|name| Rule { value: name.into(), from: "test".into() });
        let text = "\
[user] # who
\tname = A Person
\temail = a@example.org ; mine
\tsigningkey = ABCDEF
[credential]
\thelper = store
[credential \"https://example.org\"]
\tusername = me
[url \"https://user:token@example.org/\"]
\tinsteadOf = https://example.org/
[http]
\textraheader = Authorization: secret
; a comment \\
[include]
\tpath = included
[includeIf \"gitdir:~/work/\"]
\tpath = of-work
[Core]
\tsshCommand = ssh -i ~/.ssh/key
\tautocrlf = input
\thooksPath = \\
   /home/me/hooks
[alias]
\tlong = log \\
  --oneline
[evil] name = x
\tname = y
[user] name = \"Another # Person\"
";
        let home = std::env::temp_dir().join(format!("rrunc-gitconfig-{}", std::process::id()));
        fs::create_dir_all(&home).unwrap();
        fs::write(home.join(".gitconfig"), text).unwrap();
        fs::write(home.join("included"), "[core]\n\teditor = vi\n\tabbrev = 12\n[http]\n\tproxy = x\n").unwrap();
        fs::write(home.join("of-work"), "[user]\n\temail = a@work.example\n").unwrap();
        let facts = Facts { git_dir: None, signs: false };
        let taken =
            |git_dir: &str| made_up(&home, None, &sections, Facts { git_dir: Some(&home.join(git_dir)), ..facts }).text;
        let expected = "\
[user]
\tname = A Person
\temail = a@example.org
[core]
\tabbrev = 12
\tautocrlf = input
[alias]
\tlong = log   --oneline
[user]
\tname = \"Another # Person\"
";
        assert_eq!(String::from_utf8(taken("p/.git").unwrap()).unwrap(), expected);
        assert!(String::from_utf8(taken("work/p/.git").unwrap()).unwrap().contains("email = a@work.example"));
        assert_eq!(made_up(&home, None, &[], facts), MadeUp::default());
        fs::remove_dir_all(&home).unwrap();
    }

    #[test]
    fn commits_are_signed_by_the_agent_or_it_is_known_that_they_are_not() {
        let sections = ["user", "commit"].map(|name| Rule { value: name.into(), from: "test".into() });
        let home = std::env::temp_dir().join(format!("rrunc-gitconfig-signs-{}", std::process::id()));
        fs::create_dir_all(home.join(".ssh")).unwrap();
        fs::write(home.join(".ssh/id.pub"), "ssh-ed25519 AAAA me\n").unwrap();
        let made = |text: &str, signs| {
            fs::write(home.join(".gitconfig"), text).unwrap();
            let MadeUp { text, unsigned } = made_up(&home, None, &sections, Facts { git_dir: None, signs });
            (text.map(|text| String::from_utf8(text).unwrap()), unsigned)
        };
        let signing =
            |key: &str| format!("[user]\nsigningKey = {key}\n[gpg]\nformat = ssh\n[commit]\ngpgSign = true\n");
        let signed =
            "[user]\n\tsigningkey = key::ssh-ed25519 AAAA me\n[gpg]\n\tformat = ssh\n[commit]\n\tgpgsign = true\n";
        for key in ["~/.ssh/id.pub", "~/.ssh/id", "key::ssh-ed25519 AAAA me", "ssh-ed25519 AAAA me"] {
            assert_eq!(made(&signing(key), true), (Some(signed.to_owned()), false), "{key}");
            assert_eq!(made(&signing(key), false), (None, true), "{key}");
        }
        assert_eq!(made(&signing("~/.ssh/other"), true), (None, true), "no such key");
        assert_eq!(made("[commit]\ngpgSign\n[user]\nsigningKey = ABCD\n", true), (None, true), "it is gpg's");
        assert_eq!(made("[commit]\ngpgSign = true\n[commit]\ngpgSign = off\n", false), (None, false));
        fs::remove_dir_all(&home).unwrap();
    }
}
