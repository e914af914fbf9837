//! man/completions/: what clap generates for a shell, and the names beside that only a running rrunc knows: of
//! containers and of profiles.
use clap::{Arg, Command};
use clap_complete::Shell;
use std::fmt::Write as _;

/// What an argument names that can be looked up.
#[derive(Clone, Copy, PartialEq)]
enum Names {
    Containers,
    Profiles,
}

impl Names {
    /// By the help text, as that is what people see too.
    fn of(arg: &Arg) -> Option<Names> {
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        match arg.get_id().as_str() {
            "id" | "target" if help.starts_with("Name of the container") => Some(Names::Containers),
            "profile" => Some(Names::Profiles),
            "name" if help.starts_with("A name that `ls` lists") => Some(Names::Profiles),
            _ => None,
        }
    }

    fn function(self) -> &'static str {
        match self {
            Names::Containers => "_rrunc_containers",
            Names::Profiles => "_rrunc_profiles",
        }
    }
}

/// The words before an argument that names something, such as `state` or `profile show`, with its option if it has one.
fn places(root: &Command) -> Vec<(Vec<String>, Option<String>, Names)> {
    let mut all = Vec::new();
    let mut look = |words: Vec<String>, command: &Command| {
        for arg in command.get_arguments() {
            if let Some(names) = Names::of(arg) {
                all.push((words.clone(), arg.get_long().map(str::to_owned), names));
            }
        }
    };
    for verb in root.get_subcommands() {
        look(vec![verb.get_name().to_owned()], verb);
        for action in verb.get_subcommands() {
            look(vec![verb.get_name().to_owned(), action.get_name().to_owned()], action);
        }
    }
    all
}

/// The completions for `shell`.
pub fn of(shell: Shell, root: &mut Command) -> String {
    let mut text = Vec::new();
    clap_complete::generate(shell, root, "rrunc", &mut text);
    let text = String::from_utf8(text).expect("text");
    let places = places(root);
    assert!(places.len() > 10, "{}", places.len());
    match shell {
        Shell::Bash => text + &bash(&places),
        Shell::Zsh => zsh(&text),
        Shell::Fish => text + &fish(&places),
        other => panic!("no completions for {other}"),
    }
}

const BASH: &str = r#"
# Names that a running rrunc knows, beside the words that it always knows.
_rrunc_containers() { rrunc list --quiet 2>/dev/null; }
_rrunc_profiles() { rrunc profile ls 2>/dev/null | tail -n +2 | cut -d' ' -f1; }
_rrunc_names() {
    _rrunc "$@"
    local cur="$2" prev="$3" i names=""
    local -a words=()
    for i in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        [[ $i == -* ]] || words+=("$i")
    done
    case "${words[*]}|$prev" in
CASES    esac
    [[ -z $names || $cur == -* ]] || COMPREPLY+=($(compgen -W "$($names)" -- "$cur"))
}
complete -F _rrunc_names -o nosort -o bashdefault -o default rrunc 2>/dev/null ||
    complete -F _rrunc_names -o bashdefault -o default rrunc
"#;

fn bash(places: &[(Vec<String>, Option<String>, Names)]) -> String {
    let mut cases = String::new();
    for (words, option, names) in places {
        let words = words.join(" ");
        let pattern = match option {
            Some(option) => format!("\"{words}\"*\"|--{option}\""),
            // The words before the verb may be the value of an option.
            None => format!("\"{words}|\"*|*\" {words}|\"*"),
        };
        writeln!(cases, "        {pattern}) names={} ;;", names.function()).expect("a String");
    }
    BASH.replace("CASES", &cases)
}

const ZSH: &str = r#"
# Names that a running rrunc knows.
_rrunc_containers() {
    local -a names; names=(${(f)"$(rrunc list --quiet 2>/dev/null)"})
    _describe -t containers container names
}
_rrunc_first_container() {
    if (( CURRENT == 1 )); then _rrunc_containers; else _default; fi
}
_rrunc_profiles() {
    local -a names; names=(${${(f)"$(rrunc profile ls 2>/dev/null)"}[2,-1]%% *})
    _alternative 'profiles:profile:compadd -a names' 'files:file:_files -g "*.toml"'
}
"#;

/// How the definitions of the arguments begin there, which end in the function that completes.
const ZSH_ARGUMENTS: [(&str, &str); 4] = [
    ("':id -- Name of the container:", "_rrunc_containers"),
    ("'*::target -- Name of the container, ", "_rrunc_first_container"),
    ("'*--profile=[", "_rrunc_profiles"),
    ("':name -- A name that `ls` lists", "_rrunc_profiles"),
];

fn zsh(text: &str) -> String {
    let (head, rest) = text.split_once("\n\n").expect("the line for compinit stands alone");
    let mut text = format!("{head}\n{ZSH}\n");
    for line in rest.lines() {
        let function = ZSH_ARGUMENTS.iter().find(|(start, _)| line.starts_with(start)).map(|(_, function)| function);
        let line = function.map_or(line.to_owned(), |function| line.replace(":_default'", &format!(":{function}'")));
        text = text + &line + "\n";
    }
    for (start, _) in ZSH_ARGUMENTS {
        assert!(text.lines().any(|line| line.starts_with(start)), "{start}");
    }
    text
}

fn fish(places: &[(Vec<String>, Option<String>, Names)]) -> String {
    let mut text = String::from("\n# Names that a running rrunc knows.\n");
    for (words, option, names) in places {
        let names = match names {
            Names::Containers => "(rrunc list --quiet 2>/dev/null)",
            Names::Profiles => "(rrunc profile ls 2>/dev/null | tail -n +2 | string split -f1 ' ')",
        };
        let what = match option {
            Some(option) => format!("-l {option} -r -f"),
            // As the first word that is no option.
            None => {
                format!("-f -n \"test (count (string match -v -- '-*' (commandline -opc))) -eq {}\"", words.len() + 1)
            }
        };
        let seen: Vec<String> =
            words[1..].iter().map(|word| format!("; and __fish_seen_subcommand_from {word}")).collect();
        let (verb, seen) = (&words[0], seen.concat());
        writeln!(text, "complete -c rrunc -n \"__fish_rrunc_using_subcommand {verb}{seen}\" {what} -a \"{names}\"")
            .expect("a String");
    }
    text
}
