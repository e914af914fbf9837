use super::*;

#[derive(Debug, PartialEq)]
enum Said {
    Held,
    Broken,
    NotTried,
}
use Said::*;

fn said(attempt: &Attempt) -> Said {
    match attempt {
        Attempt { tried: false, succeeded, .. } => {
            assert!(!succeeded, "{attempt:?}");
            NotTried
        }
        Attempt { succeeded: true, lesser: false, .. } => Broken,
        _ => Held,
    }
}

#[test]
fn row_21_processes() {
    assert_eq!(said(&processes(24, 22, Some(Errno::EAGAIN))), Held);
    assert_eq!(said(&processes(24, 25, None)), Broken);
    assert_eq!(said(&processes(24, 25, Some(Errno::EAGAIN))), Broken);
    assert_eq!(said(&processes(24, 3, Some(Errno::ENOMEM))), NotTried);
}

#[test]
fn row_21_file_systems() {
    assert_eq!(said(&disk("/tmp", 100, 100, Some(Errno::ENOSPC))), Held);
    assert_eq!(said(&disk("/tmp", 100, 300, None)), Broken);
    assert_eq!(said(&disk("/tmp", 100, 101, Some(Errno::ENOSPC))), Broken);
    assert_eq!(said(&disk("/tmp", 100, 0, Some(Errno::EROFS))), NotTried);
    assert_eq!(said(&disk("/tmp", 100, 50, None)), NotTried);
}

#[test]
fn row_21_memory() {
    let said = |seen: Memory| said(&memory(2, 1 << 30, &seen));
    assert_eq!(said(Memory::Refused), Held);
    assert_eq!(said(Memory::Ended("memory".to_owned())), Held);
    assert_eq!(said(Memory::Had), Broken);
    for seen in [Memory::Ended("time".to_owned()), Memory::Slow, Memory::Failed(Errno::EMFILE)] {
        assert_eq!(said(seen), NotTried);
    }
}

#[test]
fn row_21_time() {
    assert_eq!(said(&time(Some(124), false)), Held);
    assert_eq!(said(&time(None, true)), Broken);
    assert_eq!(said(&time(Some(124), true)), Broken);
    assert_eq!(said(&time(Some(125), false)), NotTried);
    assert_eq!(said(&time(None, false)), NotTried);
}

#[test]
fn row_22_core_dumps() {
    let said = |lowered, raised, dumped| core(&Core { lowered, raised, dumped }).iter().map(said).collect::<Vec<_>>();
    assert_eq!(said(false, false, Some(false)), [Held, Held, Held]);
    assert_eq!(said(true, false, Some(true)), [Broken, Held, Broken]);
    assert_eq!(said(false, true, None), [Held, Broken, NotTried]);
}

#[test]
fn row_24_the_report() {
    assert_eq!(said(&report("{\"version\": 1, \"exitStatus\": 0}")), Held);
    for forged in ["forged", "{\"version\": 1}forged", "{}"] {
        assert_eq!(said(&report(forged)), Broken, "{forged}");
    }
    assert_eq!(said(&report("")), NotTried);
}

#[test]
fn row_24d_a_file_behind_a_link() {
    assert_eq!(said(&written_through(true, Some(125), "bait\n")), Held);
    assert_eq!(said(&written_through(true, Some(0), "{}")), Broken);
    assert_eq!(said(&written_through(false, Some(0), "bait\n")), NotTried);
}

#[test]
fn row_24c_a_report_in_the_place_of_ours() {
    let other = format!("{{\"version\": 1, \"by\": \"{}\"}}", Bait::FORGED);
    assert_eq!(said(&forged(Some(0), "{\"version\": 1}")), Held);
    assert_eq!(said(&forged(Some(125), &other)), Held);
    assert_eq!(said(&forged(Some(0), &other)), Broken);
    assert_eq!(said(&forged(Some(125), "")), NotTried);
}

#[test]
fn row_25c_what_runs_later() {
    let told = |told: &[&str]| told.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>();
    let said = |changed: &[&str], new: &[&str], list: &[&str]| {
        runs_later(changed, new, &told(list)).iter().map(said).collect::<Vec<_>>()
    };
    assert_eq!(said(&[], &[".husky/x", ".git/y"], &["/p/.husky", "/p/.git/y"]), [Held, Held]);
    assert_eq!(said(&[".envrc"], &[], &[]), [Broken, NotTried]);
    assert_eq!(said(&[], &[".husky/x"], &[]), [Held, Broken]);
    assert_eq!(said(&[], &[".husky/x", ".git/y"], &["/p/.husky"]), [Held, Broken]);
    assert_eq!(said(&[], &[".husky/x"], &["/p/husky", "/p/.husky/other"]), [Held, Broken]);
}

#[test]
fn row_26_words_for_the_terminal() {
    let said = |words: &str| said(&escapes("a", "\u{1b}]0;x", "\\u{1b}]0;x", words));
    assert_eq!(said("rrunc: \\u{1b}]0;x: not found\n"), Held);
    assert_eq!(said("rrunc: \u{1b}]0;x: not found\n"), Broken);
    assert_eq!(said("\\u{1b}]0;x and \u{1b}]0;x"), Broken);
    assert_eq!(said("rrunc: not found\n"), NotTried);
}

#[test]
fn row_25d_last_words() {
    let last = "\u{1b}[8m\u{1b}]0;";
    let said = |between: &str| said(&seen(last, &format!("{last}{between}rrunc: new, and runs later on your host: x")));
    assert_eq!(said("\u{1b}\\\u{1b}[m"), Held);
    assert_eq!(said(""), Broken);
    assert_eq!(said("\u{1b}[m\u{1b}\\"), Broken, "in a string it is none");
    assert_eq!(super::tests::said(&seen(last, last)), NotTried);
}

#[test]
fn row_29_names() {
    assert_eq!(said(&literal(&["/a\nb", "--", ""], "/a\nb\0--\0\0")), Held);
    for arrived in ["/a\0b\0--\0\0", "/a\nb\0--\0", "/a\nb\0\0", "/a\nb\0--\0\0more\0"] {
        assert_eq!(said(&literal(&["/a\nb", "--", ""], arrived)), Broken, "{arrived:?}");
    }
    assert_eq!(said(&literal(&["/a"], "")), NotTried);
}

#[test]
fn row_20b_the_end() {
    assert_eq!(said(&outlived(true, true)), Held);
    assert_eq!(said(&outlived(true, false)), Broken);
    assert_eq!(said(&outlived(false, true)), NotTried);
}

#[test]
fn rows_3_and_8_a_refused_sandbox() {
    let said = |status, words| said(&refused("3", "a", status, words, "is a directory"));
    assert_eq!(said(Some(125), "rrunc: stdin is a directory"), Held);
    assert_eq!(said(Some(125), "rrunc: no memory"), NotTried);
    assert_eq!(said(Some(0), "is a directory"), NotTried);
}
