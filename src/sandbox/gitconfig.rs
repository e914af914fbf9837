//! The caller's git configuration without what would give credentials away or run the host's programs (git-config(1)).
use super::foreign;
use super::policy::Rule;
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

/// What HOME/.gitconfig says inside: the listed `sections` of the caller's two files, if there is anything.
pub fn taken_over(home: &Path, xdg: Option<&Path>, sections: &[Rule]) -> Option<String> {
    let xdg = xdg.map_or_else(|| home.join(".config"), Path::to_owned).join("git/config");
    let text: String = [xdg, home.join(".gitconfig")]
        .iter()
        .filter_map(|path| foreign::text(path).ok())
        .map(|text| filtered(&text, sections))
        .collect();
    (!text.is_empty()).then_some(text)
}

/// The lines of the sections, whole entries only.
fn filtered(text: &str, sections: &[Rule]) -> String {
    let mut out = String::new();
    let mut header: Option<&str> = None;
    let mut keeps_lines = false;
    let mut continued = false;
    for line in text.lines() {
        if continued {
            continued = goes_on(line);
            if keeps_lines {
                push(&mut out, line);
            }
            continue;
        }
        let trimmed = line.trim();
        if let Some(rest) = trimmed.strip_prefix('[') {
            // More than a header in the line (`[user] name = x`) is rare, and not taken over.
            let name = rest.split([']', ' ', '"', '.', '\t']).next().unwrap_or_default().to_ascii_lowercase();
            let whole = trimmed.ends_with(']') && !trimmed.contains('\\');
            header = Some(trimmed).filter(|_| whole && sections.iter().any(|section| section.value == name));
            continue;
        }
        let key = trimmed.split(['=', ' ', '\t']).next().unwrap_or_default().to_ascii_lowercase();
        let is_key = key.starts_with(|c: char| c.is_ascii_alphabetic());
        continued = is_key && goes_on(line);
        keeps_lines = is_key && header.is_some() && !LEFT_OUT.contains(&key.as_str());
        if keeps_lines {
            if let Some(header) = header.filter(|header| last_header(&out) != Some(header)) {
                push(&mut out, header);
            }
            push(&mut out, line);
        }
    }
    out
}

fn goes_on(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

fn last_header(text: &str) -> Option<&str> {
    text.lines().rev().find(|line| line.starts_with('['))
}

fn push(out: &mut String, line: &str) {
    out.push_str(line);
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_habits_pass_and_credentials_do_not() {
        let sections = ["user", "alias", "core"].map(|name| Rule { value: name.into(), from: "test".into() });
        let text = "\
[user]
\tname = A Person
\temail = a@example.org
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
\tpath = ~/.secrets.inc
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
";
        let expected = "\
[user]
\tname = A Person
\temail = a@example.org
[Core]
\tautocrlf = input
[alias]
\tlong = log \\
  --oneline
";
        assert_eq!(filtered(text, &sections), expected);
        assert_eq!(filtered(text, &[]), "");
    }
}
