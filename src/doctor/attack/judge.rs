//! The judges: from what an attack has seen to whether the promise held, was broken, or was not put to the test. Pure, so
//! that each is known to say all three.
use super::attempt::Attempt;
use super::payload::Bait;
use nix::errno::Errno;
use serde_json::Value;

/// Row 21: `made` processes beside the attacker, of which no more than `most` may be.
pub fn processes(most: usize, made: usize, refusal: Option<Errno>) -> Attempt {
    let what = format!("start more than {most} processes");
    let attempt = match refusal {
        _ if made > most => Attempt::new(what, true, "nothing stopped it"),
        Some(Errno::EAGAIN) => Attempt::new(what, false, format!("{} after {made}", Errno::EAGAIN.desc())),
        other => Attempt::not_tried(what, format!("ended after {made}: {}", other.map_or("no error", |e| e.desc()))),
    };
    attempt.of("21")
}

/// Row 21: `written` bytes below `place`, of which no more than `most` may be.
pub fn disk(place: &str, most: usize, written: usize, error: Option<Errno>) -> Attempt {
    let what = format!("fill {place}");
    let attempt = match error {
        _ if written > most => Attempt::new(what, true, format!("{written} bytes of at most {most}")),
        Some(error @ (Errno::ENOSPC | Errno::EDQUOT)) => Attempt::new(what, false, error.desc()),
        other => Attempt::not_tried(what, other.map_or("no error", |error| error.desc())),
    };
    attempt.of("21")
}

/// What came of processes that took more memory than is allowed.
#[derive(Debug, PartialEq, Eq)]
pub enum Memory {
    /// All had it, and kept it.
    Had,
    /// One did not get it, or was ended.
    Refused,
    /// The sandbox was ended, and its report says why.
    Ended(String),
    /// It took too long to be had.
    Slow,
    /// The attack itself failed.
    Failed(Errno),
}

/// Row 21: `count` processes that took `bytes` together.
pub fn memory(count: usize, bytes: usize, seen: &Memory) -> Attempt {
    let processes = if count == 1 { "one process".to_owned() } else { format!("{count} processes") };
    let what = format!("have {} MiB in {processes}", bytes >> 20);
    let attempt = match seen {
        Memory::Had => Attempt::new(what, true, "nothing stopped it"),
        Memory::Refused => Attempt::new(what, false, "one was refused it, or ended"),
        Memory::Ended(by) if by == "memory" => Attempt::new(what, false, "all were ended, and the report says so"),
        Memory::Ended(by) => Attempt::not_tried(what, format!("it was ended by {by}")),
        Memory::Slow => Attempt::not_tried(what, "this host is too slow"),
        Memory::Failed(error) => Attempt::not_tried(what, error.desc()),
    };
    attempt.of("21")
}

/// Row 21: a program that stays beyond its time: whether it was `still_there`, else the exit status.
pub fn time(status: Option<i32>, still_there: bool) -> Attempt {
    let what = "run on when the time is up";
    let attempt = match status {
        _ if still_there => Attempt::new(what, true, "nothing stopped it"),
        Some(124) => Attempt::new(what, false, "it was ended, with 124"),
        other => Attempt::not_tried(what, format!("exit status {other:?}")),
    };
    attempt.of("21")
}

/// What was possible about core dumps.
#[derive(Debug)]
pub struct Core {
    /// A soft limit of 0, which a handler behind a pipe does not look at (core(5)).
    pub lowered: bool,
    /// No limit.
    pub raised: bool,
    /// A crash left a core dump; none where it was not tried.
    pub dumped: Option<bool>,
}

/// Row 22.
pub fn core(seen: &Core) -> Vec<Attempt> {
    let refused = |worked: bool| if worked { "it worked" } else { "refused" };
    let leave = "leave a core dump";
    let crash = match seen.dumped {
        Some(dumped) => Attempt::new(leave, dumped, if dumped { "there is one" } else { "there is none" }),
        None => Attempt::not_tried(leave, "it would stay on the host"),
    };
    let all = vec![
        Attempt::new("let the host's core handler in (limit 0)", seen.lowered, refused(seen.lowered)),
        Attempt::new("take the limit of core dumps away", seen.raised, refused(seen.raised)),
        crash,
    ];
    all.into_iter().map(|attempt| attempt.of("22")).collect()
}

/// Row 24: the text of the report, which is rrunc's own.
pub fn report(text: &str) -> Attempt {
    let what = "write the report";
    let own = serde_json::from_str::<Value>(text).is_ok_and(|report| report["version"] == 1);
    let attempt = match own {
        true => Attempt::new(what, false, "it is rrunc's"),
        false if text.is_empty() => Attempt::not_tried(what, "there is none"),
        false => Attempt::new(what, true, "it is another's"),
    };
    attempt.of("24")
}

/// Row 24d: `text` of a file of the caller's, to which a link was `left` where the report was to be.
pub fn written_through(left: bool, status: Option<i32>, text: &str) -> Attempt {
    let what = "have the report written to a file of the caller's";
    let attempt = match (left, text == "bait\n") {
        (_, false) => Attempt::new(what, true, "it is changed"),
        (true, true) => Attempt::new(what, false, format!("it is as it was; exit status {status:?}")),
        (false, true) => Attempt::not_tried(what, "there was no link"),
    };
    attempt.of("24d")
}

/// Row 24c: what stands in the place of the report when the program has moved it away and put down its own.
pub fn forged(status: Option<i32>, text: &str) -> Attempt {
    let what = "put a report in the place of rrunc's";
    let attempt = match (text.contains(Bait::FORGED), status) {
        (true, Some(125)) => Attempt::new(what, false, "the sandbox ends with 125"),
        (true, _) => Attempt::new(what, true, "it is another's, and nothing tells"),
        (false, _) if text.is_empty() => Attempt::not_tried(what, format!("there is none: exit status {status:?}")),
        (false, _) => Attempt::new(what, false, "it is rrunc's"),
    };
    attempt.of("24c")
}

/// Row 25e: the sandbox has ended with `status` when the host replaced a hidden file.
pub fn replaced(status: Option<i32>) -> Attempt {
    let what = "read a hidden file that the host has replaced";
    let attempt = match status {
        Some(137) => Attempt::new(what, false, "the sandbox is ended"),
        _ => Attempt::not_tried(what, format!("exit status {status:?}")),
    };
    attempt.of("25e")
}

/// Row 25c: what of the project that runs later has `changed`, and what is `new` and not in the report that lists `told`.
pub fn runs_later(changed: &[&str], new: &[&str], told: &[String]) -> Vec<Attempt> {
    let untold: Vec<&str> = new
        .iter()
        .filter(|name| !told.iter().any(|path| path.ends_with(*name) || is_above(path, name)))
        .copied()
        .collect();
    let (change, plant) = ("change what runs later on the host", "plant such a file unnoticed");
    let planted = match (new.is_empty(), untold.is_empty()) {
        (true, _) => Attempt::not_tried(plant, "none could be planted"),
        (_, true) => Attempt::new(plant, false, "the report tells of it"),
        _ => Attempt::new(plant, true, untold.join(", ")),
    };
    let detail = if changed.is_empty() { "looked at from outside".to_owned() } else { changed.join(", ") };
    vec![Attempt::new(change, !changed.is_empty(), detail).of("25c"), planted.of("25c")]
}

/// Whether `path` is the first directory of `name`, in whatever directory.
fn is_above(path: &str, name: &str) -> bool {
    name.split_once('/').is_some_and(|(dir, _)| path.ends_with(&format!("/{dir}")))
}

/// Row 26: rrunc's own words about something called `name`, whose escaped form is `escaped`.
pub fn escapes(what: &str, name: &str, escaped: &str, words: &str) -> Attempt {
    let attempt = if words.contains(name) {
        Attempt::new(what, true, "it is shown as it is")
    } else if words.contains(escaped) {
        Attempt::new(what, false, "it is shown escaped")
    } else {
        Attempt::not_tried(what, format!("it was not mentioned: {}", words.trim()))
    };
    attempt.of("26")
}

/// Row 25d: what the terminal was given, the program's `last` words among it, which conceal and do not end.
pub fn seen(last: &str, text: &str) -> Attempt {
    let what = "conceal the report by what was printed last";
    let between = text.split_once(last).and_then(|(_, rest)| Some(rest.split_once("runs later on your host")?.0));
    let given_back = |text: &str| {
        let ended = text.split_once("\u{1b}\\");
        ended.is_some_and(|(_, rest)| rest.contains("\u{1b}[m") || rest.contains("\u{1b}[0m"))
    };
    let attempt = match between {
        None => Attempt::not_tried(what, "there is no report"),
        Some(text) if given_back(text) => Attempt::new(what, false, "the terminal is given back before it"),
        Some(_) => Attempt::new(what, true, "nothing ends it"),
    };
    attempt.of("25d")
}

/// Row 29: working directory and arguments as `given`, and as they have `arrived`.
pub fn literal(given: &[&str], arrived: &str) -> Attempt {
    let what = "have names taken for something else";
    let parts: Vec<&str> = arrived.split_terminator('\0').collect();
    let attempt = if arrived.is_empty() {
        Attempt::not_tried(what, "nothing was said")
    } else if parts == given {
        Attempt::new(what, false, "they are literal")
    } else {
        Attempt::new(what, true, format!("{parts:?}"))
    };
    attempt.of("29")
}

/// Row 20b: a program that had `settled` when its rrunc was killed, and whether all of it has `ended`.
pub fn outlived(settled: bool, ended: bool) -> Attempt {
    let what = "outlive a killed rrunc";
    let attempt = match (settled, ended) {
        (false, _) => Attempt::not_tried(what, "it did not begin"),
        (true, ended) => Attempt::new(what, !ended, if ended { "it was ended" } else { "it is still there" }),
    };
    attempt.of("20b")
}

/// A sandbox that is refused with `reason`: nothing ran in it.
pub fn refused(row: &str, what: &str, status: Option<i32>, words: &str, reason: &str) -> Attempt {
    let attempt = match status {
        Some(125) if words.contains(reason) => Attempt::new(what, false, "such a sandbox is refused"),
        other => Attempt::not_tried(what, format!("exit status {other:?}: {}", words.trim())),
    };
    attempt.of(row)
}

#[cfg(test)]
mod tests;
