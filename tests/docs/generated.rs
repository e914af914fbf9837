//! man/ and man/completions/: what the command line's definitions say, as pages and as completions of three shells.
use super::{completions, repository};
use crate::support::{Lacks, find_program, skip};
use clap::{Command, CommandFactory, Parser};
use clap_complete::Shell;
use clap_mangen::Man;
use rrunc::cli::Cli;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Pages that are written by hand, and those generated ones that lead to them.
const WRITTEN: [(&str, &[&str]); 3] = [
    (
        "man/rrunc-json.7",
        &[
            "rrunc",
            "rrunc-state",
            "rrunc-list",
            "rrunc-ps",
            "rrunc-events",
            "rrunc-features",
            "rrunc-doctor",
            "rrunc-sandbox",
        ],
    ),
    ("man/rrunc-profile.5", &["rrunc-sandbox", "rrunc-profile", "rrunc-trust"]),
    ("man/rrunc-sandbox.7", &["rrunc-sandbox", "rrunc-doctor"]),
];

/// The definitions, with names such as `rrunc-run` for the verbs.
fn command() -> Command {
    let mut command = Cli::command().disable_help_subcommand(true).subcommand_value_name("verb");
    command.build();
    command
}

/// Every generated file and its text.
fn generated() -> BTreeMap<PathBuf, String> {
    let mut all = BTreeMap::new();
    let root = command();
    let verbs: Vec<&Command> = root.get_subcommands().filter(|verb| !verb.is_hide_set()).collect();
    all.insert(PathBuf::from("man/rrunc.1"), page(&root, "rrunc", &verbs));
    for verb in &verbs {
        let name = format!("rrunc-{}", verb.get_name());
        all.insert(PathBuf::from(format!("man/{name}.1")), page(verb, &name, &[]));
    }
    for (shell, name) in [(Shell::Bash, "rrunc.bash"), (Shell::Zsh, "_rrunc"), (Shell::Fish, "rrunc.fish")] {
        all.insert(PathBuf::from("man/completions").join(name), completions::of(shell, &mut Cli::command()));
    }
    all
}

fn page(command: &Command, name: &str, verbs: &[&Command]) -> String {
    let source = concat!("rrunc ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone()).title(name.to_uppercase()).date("").source(source).manual("rrunc");
    let mut text = Vec::new();
    man.render_title(&mut text).expect("memory");
    man.render_name_section(&mut text).expect("memory");
    man.render_synopsis_section(&mut text).expect("memory");
    man.render_options_section(&mut text).expect("memory");
    let mut text = String::from_utf8(text).expect("text");
    if !verbs.is_empty() {
        text.push_str(".SH VERBS\n");
        for verb in verbs {
            let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
            text += &format!(".TP\n\\fBrrunc\\-{}\\fR(1)\n{}\n", verb.get_name(), escaped(&about));
        }
    }
    if let Some(after) = command.get_after_help() {
        text += &examples(&after.to_string());
    }
    text.push_str(".SH \"SEE ALSO\"\n");
    text.push_str(if verbs.is_empty() { ".BR rrunc (1)" } else { ".BR runc (8),\n.BR user_namespaces (7)" });
    for (file, _) in WRITTEN.iter().filter(|(_, from)| from.contains(&name)) {
        let (page, section) = file.trim_start_matches("man/").rsplit_once('.').expect("a section");
        text += &format!(",\n.BR {} ({section})", escaped(page));
    }
    text.push('\n');
    text
}

/// The text after the help: examples as they stand, the rest as prose.
fn examples(after: &str) -> String {
    let mut text = String::new();
    for paragraph in after.split("\n\n") {
        match paragraph.strip_prefix("Examples:\n").or_else(|| paragraph.strip_prefix("Example:\n")) {
            Some(lines) => text += &format!(".SH EXAMPLES\n.nf\n{}\n.fi\n", escaped(lines)),
            None => text += &format!(".SH NOTES\n{}\n", escaped(paragraph)),
        }
    }
    text
}

/// For roff: backslashes, dashes that are to be typed, and lines that would be taken for requests.
fn escaped(text: &str) -> String {
    let line = |line: &str| {
        let line = line.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq").replace('`', "\\(ga");
        if line.starts_with('.') { format!("\\&{line}") } else { line }
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// What should be in the repository; with `UPDATE` written there first, before any test looks.
fn expected() -> &'static BTreeMap<PathBuf, String> {
    static EXPECTED: OnceLock<BTreeMap<PathBuf, String>> = OnceLock::new();
    EXPECTED.get_or_init(|| {
        let all = generated();
        if std::env::var_os("UPDATE").is_some() {
            for (path, text) in &all {
                let place = repository().join(path);
                fs::create_dir_all(place.parent().expect("a directory")).expect("mkdir");
                fs::write(&place, text).expect("write");
            }
        }
        all
    })
}

#[test]
fn pages_and_completions_are_those_of_the_command_line() {
    let all = expected();
    for (path, text) in all {
        let now = fs::read_to_string(repository().join(path)).unwrap_or_default();
        assert!(now == *text, "{} is stale: UPDATE=1 cargo test --test docs", path.display());
    }
    for file in super::files("man", "") {
        let written = WRITTEN.iter().any(|(known, _)| Path::new(known) == file);
        // tests/readme draws that one.
        let written = written || file == Path::new("man/session.svg");
        assert!(written || all.contains_key(&file), "{} is not generated any more: remove it", file.display());
    }
}

#[test]
fn man_has_no_complaint_about_the_pages() {
    let Some(man) = find_program("man") else {
        skip(Lacks::Machine("man"));
        return;
    };
    let generated = expected().keys().filter(|file| file.extension().is_some_and(|end| end == "1")).cloned();
    for file in generated.chain(WRITTEN.iter().map(|(file, _)| PathBuf::from(file))) {
        let out = std::process::Command::new(&man)
            .args(["--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z"])
            .arg(repository().join(&file))
            .env("LC_ALL", "C.UTF-8")
            .env("MANWIDTH", "80")
            .output()
            .expect("run man");
        let complaint = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success() && complaint.is_empty(), "{}: {complaint}", file.display());
    }
}

#[test]
fn every_verb_has_a_page_and_is_completed() {
    let bash = &expected()[Path::new("man/completions/rrunc.bash")];
    for verb in command().get_subcommands().filter(|verb| !verb.is_hide_set()) {
        let name = verb.get_name();
        assert!(expected().contains_key(Path::new(&format!("man/rrunc-{name}.1"))), "{name}");
        assert!(bash.contains(&format!("rrunc,{name})")), "{name}");
    }
}

/// The calls of rrunc in the text after a verb's help: whole lines, or parts between `|`, `&&` and the like.
fn calls(after: &str) -> Vec<Vec<String>> {
    let lines = after.lines().map(str::trim).map(|line| line.split("   ").next().unwrap_or_default());
    let parts = lines.flat_map(|line| line.split(['|', ';', '>'])).flat_map(|part| part.split("&&")).map(str::trim);
    let calls = parts.filter(|part| part.starts_with("rrunc ") && !part.contains("VERB"));
    calls.map(|call| call.split_whitespace().map(str::to_owned).collect()).collect()
}

#[test]
fn the_help_of_every_verb_has_examples_that_rrunc_takes() {
    for verb in command().get_subcommands().filter(|verb| !verb.is_hide_set()) {
        let after = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(after.starts_with("Example"), "{}: no examples: {after}", verb.get_name());
        let examples = after.split("\n\n").next().unwrap_or_default();
        let calls = calls(examples);
        assert!(calls.iter().any(|call| call[1] == verb.get_name()), "{}: {examples}", verb.get_name());
        for call in calls {
            if let Err(e) = Cli::try_parse_from(&call) {
                panic!("{}: {call:?}: {e}", verb.get_name());
            }
        }
    }
}
