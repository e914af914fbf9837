//! The completions of man/completions/ as a shell uses them: names of containers and of profiles among them.
use crate::support::{Lacks, Output, Stage, find_program, runtime, skip};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Completes `line` in bash; the cursor stands at its end, after a space for the next word.
const BASH: &str = r#"
source "$1"
read -ra COMP_WORDS <<<"$2"
[[ $2 != *' ' ]] || COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_rrunc_names rrunc "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
printf '%s\n' "${COMPREPLY[@]}"
"#;

/// The file in a directory of the account's: the repository may be where it cannot read.
fn written(stage: &Stage, name: &str, text: &str) -> PathBuf {
    let file = stage.dir().join(name);
    std::fs::write(&file, text).expect("write");
    file
}

/// A call of `shell` that finds the runtime as `rrunc`.
fn call(stage: &Stage, shell: &Path, args: &[&str]) -> Output {
    let bin = stage.dir().join("bin");
    if !bin.exists() {
        std::fs::create_dir(&bin).expect("mkdir");
        symlink(runtime(), bin.join("rrunc")).expect("symlink");
    }
    stage.call_program(shell, args).env("PATH", format!("{}:/usr/bin:/bin", bin.display())).run().success()
}

/// The same for all shells: what is typed, and what is offered and what is not.
const CASES: [(&str, &[&str], &[&str]); 8] = [
    ("rrunc state ", &["web", "mail"], &["untrusted"]),
    ("rrunc kill w", &["web"], &["mail"]),
    ("rrunc exec --tty ", &["web", "mail"], &[]),
    ("rrunc exec web ", &[], &["mail"]),
    ("rrunc --debug delete ", &["web", "mail"], &[]),
    ("rrunc sandbox --profile ", &["untrusted", "dev"], &["web"]),
    ("rrunc profile show u", &["untrusted"], &["dev", "web"]),
    ("rrunc s", &["state", "sandbox", "start"], &["web"]),
];

/// `complete` is given the line and a word that will come, if any will.
fn check(complete: impl Fn(&str, &str) -> String) {
    for (line, offered, not) in CASES {
        let out = complete(line, offered.first().unwrap_or(&""));
        let words: Vec<&str> =
            out.lines().filter(|shown| !shown.starts_with("rrunc ")).flat_map(str::split_whitespace).collect();
        assert!(offered.iter().all(|name| words.contains(name)), "{line:?}: {words:?}");
        assert!(!not.iter().any(|name| words.contains(name)), "{line:?}: {words:?}");
    }
}

fn stage() -> Stage {
    let stage = Stage::new();
    let bundle = stage.bundle();
    for id in ["web", "mail"] {
        stage.in_bundle(&bundle, &["create", id]).success();
    }
    stage
}

fn remove(stage: &Stage) {
    for id in ["web", "mail"] {
        stage.remove(id);
    }
}

#[test]
fn bash_completes_containers_and_profiles() {
    let Some(bash) = find_program("bash") else { return skip(Lacks::Package("bash")) };
    let stage = stage();
    let script = written(&stage, "rrunc.bash", include_str!("../../man/completions/rrunc.bash"));
    check(|line, _| call(&stage, &bash, &["--norc", "-c", BASH, "bash", script.to_str().expect("plain"), line]).stdout);
    remove(&stage);
}

#[test]
fn fish_completes_containers_and_profiles() {
    let Some(fish) = find_program("fish") else { return skip(Lacks::Package("fish")) };
    let stage = stage();
    let script = written(&stage, "rrunc.fish", include_str!("../../man/completions/rrunc.fish"));
    let source = format!("source {}; complete -C $argv[1]", script.display());
    check(|line, _| call(&stage, &fish, &["--no-config", "-c", &source, line]).stdout);
    remove(&stage);
}

/// zsh completes only in its editor, so one runs in a terminal that zsh makes, with a tab typed.
const ZSH: &str = r#"
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z "fpath=($1:h \$fpath); autoload -U compinit; compinit -u -D; PS1=; zstyle ':completion:*' list-separator ' '; setopt no_list_ambiguous; LISTMAX=0; bindkey '^I' list-choices; echo re''ady"
zpty -r -m z REPLY '*ready*'
zpty -w -n z "$2"$'\t'
OUT= QUIET=0
# Until it has been still for half a second, once the word has come.
while (( SECONDS < 10 && QUIET < 10 )); do
    if zpty -r -t z MORE; then OUT+=$MORE QUIET=0; else sleep 0.05; fi
    [[ $OUT != *$3* ]] || (( ++QUIET ))
done
zpty -d z
print -r -- "$OUT" | tr -d '\r'
"#;

#[test]
fn zsh_completes_containers_and_profiles() {
    let Some(zsh) = find_program("zsh") else { return skip(Lacks::Package("zsh")) };
    let stage = stage();
    let script = written(&stage, "_rrunc", include_str!("../../man/completions/_rrunc"));
    let script = script.to_str().expect("plain");
    check(|line, wanted| call(&stage, &zsh, &["-f", "-c", ZSH, "zsh", script, line, wanted]).stdout);
    remove(&stage);
}
