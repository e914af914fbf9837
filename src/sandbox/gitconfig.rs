//! The caller's git configuration without what would give credentials away or run the host's programs (git-config(1)).
use super::policy::Rule;
use crate::git::Host;
use crate::git::config::{self, Entry};
use crate::git::include::{Source, is_for};
use crate::git::tree::Place;
use std::path::Path;

/// Variables left out of the sections that are taken over: they name programs, files that are not there, or keys.
const LEFT_OUT: [&str; 16] = [
    "askpass",
    "attributesfile",
    "editor",
    "excludesfile",
    "fsmonitor",
    "gitproxy",
    "gpgsign",
    "hookspath",
    "pager",
    "recursesubmodules",
    "signingkey",
    "sshcommand",
    "template",
    "templatedir",
    "worktree",
    "gpgprogram",
];

/// What HOME/.gitconfig says inside: the listed `sections` of the caller's two files and of what they include, also for the
/// repository whose git directory is `git_dir`, if there is anything.
pub fn taken_over(home: &Path, xdg: Option<&Path>, sections: &[Rule], git_dir: Option<&Path>) -> Option<Vec<u8>> {
    // The machine's is shown, or not, as a part of /etc.
    let host = Host::of(home, xdg);
    let source = Source { tree: None, home, holds: &|condition| is_for(condition, git_dir, home) };
    let mut all = Vec::new();
    for path in [host.xdg, host.own] {
        let loaded = source.load(&Place::Outside(path));
        loaded.unseen.iter().for_each(|why| log::warn!("your git configuration is not taken over: {why}"));
        all.extend(loaded.entries);
    }
    let text = config::write(all.iter().filter(|entry| passes(entry, sections)));
    (!text.is_empty()).then_some(text)
}

fn passes(entry: &Entry, sections: &[Rule]) -> bool {
    sections.iter().any(|section| section.value == entry.section) && !LEFT_OUT.contains(&entry.key.as_str())
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
        let taken = |git_dir: &str| taken_over(&home, None, &sections, Some(&home.join(git_dir)));
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
        assert_eq!(taken_over(&home, None, &[], None), None);
        fs::remove_dir_all(&home).unwrap();
    }
}
