use super::*;
use std::path::Path;

fn parse(args: &[&str]) -> Verb {
    Cli::try_parse_from(["rrunc"].iter().chain(args)).unwrap().verb.unwrap()
}

#[test]
fn the_definitions_hold_together() {
    use clap::CommandFactory;
    Cli::command().debug_assert();
}

#[test]
fn options_may_stand_after_the_id() {
    let Verb::Run(run) = parse(&["run", "web", "-d", "--bundle", "/srv"]) else { panic!() };
    assert!(run.detach);
    assert_eq!((run.create.id.as_str(), run.create.bundle.as_path()), ("web", Path::new("/srv")));
    let Verb::Delete(delete) = parse(&["delete", "web", "--force"]) else { panic!() };
    assert!(delete.force);
}

#[test]
fn exec_ps_and_kill_leave_everything_after_the_id_alone() {
    let Verb::Exec(exec) = parse(&["exec", "-t", "web", "ls", "-e", "--user=3", "--", "-t"]) else { panic!() };
    assert!(exec.tty && exec.env.is_empty() && exec.user.is_none());
    assert_eq!(
        (exec.id().as_str(), exec.command()),
        ("web", &["ls", "-e", "--user=3", "--", "-t"].map(OsString::from)[..])
    );
    let Verb::Exec(exec) = parse(&["exec", "web", "-e", "x"]) else { panic!() };
    assert_eq!(exec.command(), ["-e", "x"]);
    let Verb::Ps(ps) = parse(&["ps", "web", "-ef"]) else { panic!() };
    assert_eq!((ps.id().as_str(), ps.options()), ("web", &[OsString::from("-ef")][..]));
    let Verb::Kill(kill) = parse(&["kill", "--all", "web", "9"]) else { panic!() };
    assert!(kill.all);
    assert_eq!((kill.id(), kill.signal()), ("web".into(), "9".into()));
}

#[test]
fn an_unknown_option_before_the_id_is_an_error() {
    assert!(Cli::try_parse_from(["rrunc", "exec", "--bogus", "web"]).is_err());
}

#[test]
fn a_leading_double_dash_is_not_the_program() {
    let Verb::Exec(exec) = parse(&["exec", "web", "--", "ls", "-l"]) else { panic!() };
    assert_eq!(exec.command(), ["ls", "-l"]);
    let Verb::Sandbox(sandbox) = parse(&["sandbox", "--", "make", "-j2"]) else { panic!() };
    assert_eq!(sandbox.command, ["make", "-j2"]);
}
