//! What of the caller's environment passes, and `-e`.
use crate::support::place::SECRET;
use crate::support::{Call, Place};
use std::collections::BTreeMap;

fn variables(call: Call) -> BTreeMap<String, String> {
    let out = call.run().success();
    out.stdout.lines().filter_map(|line| line.split_once('=')).map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
}

const SECRETS: [&str; 9] = [
    "AWS_SECRET_ACCESS_KEY",
    "GITHUB_TOKEN",
    "SSH_AUTH_SOCK",
    "DBUS_SESSION_BUS_ADDRESS",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XDG_RUNTIME_DIR",
    "LD_PRELOAD_NOT",
    "PATHS",
];

#[test]
fn only_an_allow_list_passes() {
    let place = Place::new();
    let with = |mut call: Call| {
        for name in SECRETS {
            call = call.env(name, SECRET);
        }
        call.env("LANG", "C.UTF-8").env("LC_ALL", "C").env("TERM", "dumb").env("TZ", "UTC").env("NO_COLOR", "1")
    };
    // The control: the call itself has them all.
    let outside = variables(with(place.call_program("/usr/bin/env".as_ref(), &[])));
    assert!(SECRETS.iter().all(|name| outside.contains_key(*name)), "{outside:?}");
    let inside = variables(with(place.sandbox(&["--network", "host", "--", "env"])));
    for (name, value) in [("LANG", "C.UTF-8"), ("LC_ALL", "C"), ("TERM", "dumb"), ("TZ", "UTC"), ("NO_COLOR", "1")] {
        assert_eq!(inside.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert_eq!(inside.get("HOME").map(String::as_str), place.home().to_str());
    assert!(inside.contains_key("PATH"));
    let name = nix::unistd::User::from_uid(nix::unistd::getuid()).expect("passwd").expect("an account").name;
    assert_eq!((inside.get("USER"), inside.get("LOGNAME")), (Some(&name), Some(&name)));
    let allowed = ["LANG", "LC_ALL", "TERM", "TZ", "NO_COLOR", "HOME", "PATH", "PWD", "USER", "LOGNAME"];
    // rrunc's own words to git.
    let is_known = |name: &str| allowed.contains(&name) || name.starts_with("GIT_CONFIG_");
    let more: Vec<_> = inside.keys().filter(|name| !is_known(name)).collect();
    assert!(more.is_empty(), "{more:?}");
    assert!(!inside.values().any(|value| value.contains(SECRET)), "{inside:?}");
}

#[test]
fn dash_e_sets_and_passes() {
    let place = Place::new();
    let options = ["-e", "A=1", "-e", "B=", "--env", "C=x=y z", "-e", "TOKEN", "-e", "A=2", "-e", "PATH=/usr/bin:/bin"];
    let call = place.sandbox(&[&options[..], &["--", "env"]].concat()).env("TOKEN", "given").env("OTHER", "not");
    let inside = variables(call);
    let expected = [("A", "2"), ("B", ""), ("C", "x=y z"), ("TOKEN", "given"), ("PATH", "/usr/bin:/bin")];
    for (name, value) in expected {
        assert_eq!(inside.get(name).map(String::as_str), Some(value), "{name}: {inside:?}");
    }
    assert!(!inside.contains_key("OTHER"));
    place.sandbox(&["-e", "UNSET_ONE", "true"]).run().fails(125, &["UNSET_ONE", "not set"]);
}

#[test]
fn a_path_is_there_without_the_callers() {
    let place = Place::new();
    let inside = variables(place.sandbox(&["--", "/usr/bin/env"]).no_env("PATH"));
    assert!(inside.get("PATH").is_some_and(|path| path.contains("/usr/bin")), "{inside:?}");
    // Without HOME there still is one, private and writable.
    place.sandbox(&["--", "sh", "-c", "touch ~/x && ls -A ~/x"]).no_env("HOME").run().success();
}

#[test]
fn the_first_process_shows_nothing_of_the_caller() {
    let place = Place::new();
    let call = place.sandbox(&["--", "sh", "-c", "cat /proc/*/environ /proc/*/cmdline | tr '\\0' '\\n'"]);
    let out = call.env("TOKEN", SECRET).run().success();
    assert!(out.stdout.contains("PATH="), "the control: environments can be read");
    assert!(!out.stdout.contains(SECRET), "{}", out.stdout);
    assert!(!out.stdout.contains("sandbox\n"), "arguments of rrunc itself: {}", out.stdout);
}
