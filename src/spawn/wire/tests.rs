//! What both ends of the wire make of each other's packets, and of each other's end.
use super::*;
use crate::error::{errno_of, hint_of, one_line, with_hint};
use anyhow::anyhow;

#[test]
fn a_failure_arrives_whole_and_a_closed_end_is_the_end() {
    let (mut parent, child) = pair().unwrap();
    let error = with_hint(anyhow!(Errno::EACCES).context("mount /data"), "look at /srv");
    child.failed(&Failure::new("mounts", &error)).unwrap();
    child.log(log::Level::Warn, &"x".repeat(PACKET)).unwrap();
    drop(child);
    let Report::Failed(failure) = parent.receive().unwrap() else { panic!() };
    assert_eq!(failure.errno, libc::EACCES);
    let back = failure.into_error();
    assert_eq!(one_line(&back), "mount /data: Permission denied");
    assert_eq!((hint_of(&back), errno_of(&back)), (Some("look at /srv"), Some(Errno::EACCES)));
    let Report::Log(log::Level::Warn, text) = parent.receive().unwrap() else { panic!() };
    assert!(text.len() < PACKET / 2 && text.ends_with('…'));
    assert!(matches!(parent.receive().unwrap(), Report::End));
}

#[test]
fn an_answer_may_be_there_before_the_question_and_stay_unread() {
    let (mut parent, child) = pair().unwrap();
    parent.go().unwrap();
    child.ready().unwrap();
    assert!(matches!(parent.receive().unwrap(), Report::Ready));
    parent.go().unwrap();
    child.failed(&Failure::new("mounts", &anyhow!("no"))).unwrap();
    drop(child);
    assert!(matches!(parent.receive().unwrap(), Report::Failed(_)));
    assert!(matches!(parent.receive().unwrap(), Report::End));
}

#[test]
fn a_child_without_a_parent_gives_up() {
    let (parent, child) = pair().unwrap();
    drop(parent);
    assert!(child.ready().is_err());
}

#[test]
fn reports_that_overtake_the_process_wait() {
    let (mut parent, child) = pair().unwrap();
    let (own, _) = pair().unwrap();
    child.log(log::Level::Info, "first").unwrap();
    child.send(b"R", None).unwrap();
    child.process(42, own.socket.as_fd()).unwrap();
    drop(child);
    assert_eq!(parent.receive_process().unwrap().0, 42);
    assert!(matches!(parent.receive().unwrap(), Report::Log(_, text) if text == "first"));
    assert!(matches!(parent.receive().unwrap(), Report::Ready));
    assert!(matches!(parent.receive().unwrap(), Report::End));
}

#[test]
fn a_descriptor_comes_through() {
    let (mut parent, child) = pair().unwrap();
    let (own, _) = pair().unwrap();
    child.process(42, own.socket.as_fd()).unwrap();
    let Report::Process(42, _fd) = parent.receive().unwrap() else { panic!() };
}
