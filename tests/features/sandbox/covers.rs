//! What is hidden or protected stays so when the host replaces it while the sandbox runs: it is covered again, or all ends, and it
//! is told either way.
use crate::support::place::write;
use crate::support::{Lacks, Place, Running, find_program, skip, wait_for};
use serde_json::Value;
use std::fs;
use std::time::{Duration, Instant};

/// Waits for the host, then tries to read what is hidden and to write what is protected.
const INSIDE: &str = "touch ready; while [ ! -e go ]; do sleep 0.02; done; sleep 0.3; cat .env; for f in .envrc .git/config \
                      .vscode/settings.json; do echo '# x' >> $f && echo wrote $f; done; true";

fn project() -> Place {
    let place = Place::new();
    for (file, text) in
        [(".env", "SECRET=old\n"), (".envrc", "old\n"), (".git/config", "[core]\n"), (".git/HEAD", "x\n")]
    {
        write(&place.project().join(file), text);
    }
    write(&place.project().join(".vscode/settings.json"), "{}\n");
    place
}

/// A sandbox that has come to where it waits.
fn waiting(place: &Place, options: &[&str], script: &str) -> Running {
    for file in ["ready", "go"] {
        fs::remove_file(place.project().join(file)).ok();
    }
    let running = place.sandbox(&[options, &["--", "sh", "-c", script]].concat()).spawn();
    wait_for("the sandbox", || place.project().join("ready").exists().then_some(()));
    running
}

/// What saving does: an editor, `git config`, `git checkout`.
const REPLACE: &str = "echo SECRET=new > t; mv t .env; echo new > t; mv t .envrc; cp .git/config .git/config.lock; \
                       echo '# new' >> .git/config.lock; mv .git/config.lock .git/config; rm -r .vscode; mkdir .vscode; \
                       echo new > .vscode/settings.json; touch go";

#[test]
fn row_h2_what_the_host_replaces_is_covered_again_and_told() {
    let place = project();
    let file = place.dir().join("report.json");
    let running = waiting(&place, &["--report", file.to_str().expect("text")], INSIDE);
    place.outside(REPLACE).success();
    let out = running.wait().success();
    assert_eq!(out.stdout, "", "{out:?}");
    let report: Value = serde_json::from_str(&fs::read_to_string(&file).expect("a report")).expect("JSON");
    for (name, hidden) in [(".env", true), (".envrc", false), (".git/config", false), (".vscode", false)] {
        let path = place.project().join(name).display().to_string();
        let told = report["uncovered"].as_array().expect("a list").iter().find(|one| one["path"] == path.as_str());
        let told = told.unwrap_or_else(|| panic!("{name}: {report}"));
        assert_eq!((&told["hidden"], &told["ended"]), (&Value::Bool(hidden), &Value::Null));
        assert!(out.stderr.contains(&format!("{path} was replaced on the host and covered again")), "{out:?}");
    }
    // The control: without the watch all of it is read and written.
    let control = project();
    let dir = control.dir().join("written");
    let bundle = dir.to_str().expect("text");
    control.sandbox(&["--write-bundle", bundle, "--", "sh", "-c", INSIDE]).run().success();
    let config = dir.join("config.json");
    let text = fs::read_to_string(&config).expect("read");
    for (annotation, reads) in [("org.rrunc.covers", false), ("org.rrunc.other", true)] {
        fs::write(&config, text.replace("org.rrunc.covers", annotation)).expect("write");
        for file in ["ready", "go"] {
            fs::remove_file(control.project().join(file)).ok();
        }
        let running = control.call(&["run", "-b", bundle, "c"]).spawn();
        wait_for("the container", || control.project().join("ready").exists().then_some(()));
        control.outside(REPLACE).success();
        let out = running.wait().success();
        let all = "SECRET=new\nwrote .envrc\nwrote .git/config\nwrote .vscode/settings.json\n";
        assert_eq!(out.stdout, if reads { all } else { "" }, "{annotation}: {out:?}");
        assert_eq!(out.stderr.contains(".env was replaced on the host"), !reads, "{out:?}");
    }
}

#[test]
fn row_h2_a_name_that_is_moved_away_or_gone_for_a_while_is_covered_when_it_is_back() {
    let place = project();
    let look = "touch ready; while [ ! -e go ]; do sleep 0.02; done; sleep 2.5; cat .env; echo x >> .envrc; true";
    for deed in [
        // As an editor that keeps the old one: the mount goes with it, and the kernel tells nobody.
        "mv .env .env~; echo SECRET=new > .env; mv .envrc e~; echo new > .envrc; touch go",
        "rm .env .envrc; sleep 1.2; echo SECRET=new > .env; echo new > .envrc; touch go",
    ] {
        let running = waiting(&place, &[], look);
        place.outside(deed).success();
        let out = running.wait();
        assert_eq!(out.stdout, "", "{deed}: {out:?}");
        assert_eq!(fs::read_to_string(place.project().join(".envrc")).expect("read"), "new\n", "{deed}");
        assert!(out.stderr.contains("project/.env was replaced on the host and covered again"), "{deed}: {out:?}");
        place.outside("rm -f .env~ e~").success();
    }
}

#[test]
fn row_h2_a_directory_above_is_followed_and_covered_where_it_was() {
    let place = Place::new();
    write(&place.project().join("a/b/.env"), "SECRET=old\n");
    let look = "touch ready; while [ ! -e go ]; do sleep 0.02; done; sleep 1.5; cat a/b/.env c/b/.env; true";
    let running = waiting(&place, &[], look);
    place.outside("mv a c; mkdir -p a/b; echo SECRET=new > a/b/.env; touch go").success();
    let out = running.wait();
    assert_eq!(out.stdout, "", "{out:?}");
    assert!(out.stderr.contains("a/b/.env was replaced on the host and covered again"), "{out:?}");
}

#[test]
fn row_h2_what_cannot_be_covered_again_ends_the_sandbox() {
    let place = project();
    write(&place.project().join("plain"), "SECRET=plain\n");
    let look = "touch ready; sleep 60; cat .env";
    let running = waiting(&place, &[], look);
    place.outside("rm .env; ln -s plain .env").success();
    let out = running.wait().exits(137);
    assert!(
        out.stdout.is_empty() && out.stderr.contains("ended, since") && out.stderr.contains("it is a link now"),
        "{out:?}"
    );
    place.outside("rm .env; echo SECRET=old > .env").success();
    // Where the program may have mounts of its own.
    let running = waiting(&place, &["--userns"], look);
    place.outside("echo SECRET=new > t; mv t .env").success();
    let out = running.wait().exits(137);
    assert!(out.stderr.contains("ended, since") && out.stderr.contains("project/.env"), "{out:?}");
    // The control: nothing is replaced.
    place.sh(&["--userns"], "sleep 1.5; echo there").success().prints("there\n");
}

#[test]
fn row_h2_a_host_that_replaces_without_end_keeps_nobody_from_the_clock() {
    let place = project();
    let replace = "while [ ! -e stop ]; do echo SECRET=new > t; mv t .env; done";
    let busy = place.call_program("/bin/sh".as_ref(), &["-c", replace]).cwd(&place.project()).spawn();
    let began = Instant::now();
    let out = place.sh(&["--timeout", "2s"], "while :; do cat .env 2>/dev/null; done").exits(124);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert!(out.stderr.contains("was replaced on the host and covered again"), "{}", out.stderr);
    place.outside("touch stop").success();
    busy.wait().success();
}

#[test]
fn row_m1_names_moved_away_in_mounts_of_its_own_are_found_and_end_the_sandbox() {
    let programs = (find_program("unshare"), find_program("pivot_root"), find_program("busybox"));
    let (Some(unshare), Some(pivot), Some(busybox)) = programs else {
        return skip(Lacks::Machine("unshare, pivot_root and busybox"));
    };
    let place = project();
    fs::create_dir(place.project().join("sub")).expect("mkdir");
    fs::copy(&busybox, place.project().join("busybox")).expect("copy");
    // It leaves the old root behind, with all mounts, but for the directory that it is in.
    let inside = format!(
        "mount --make-rprivate / && mount -t tmpfs t /tmp && mkdir /tmp/old /tmp/m && mount --bind sub /tmp/m && cp busybox /tmp/busybox && {} /tmp /tmp/old && \
         /busybox umount -l /old && /busybox mv .env sub/moved && /busybox cat /m/moved",
        pivot.display()
    );
    let script = format!("{} -Urm sh -c '{inside}'; sleep 30", unshare.display());
    let out = place.sh(&["--userns"], &script);
    assert_eq!(out.stdout, "SECRET=old\n", "the attack works, as the warning says: {out:?}");
    assert!(out.stderr.contains("can be renamed"), "{out:?}");
    assert!(out.code == 137 && out.stderr.contains("ended, since"), "{out:?}");
    // The control: without user namespaces it does not.
    let out = place.sh(&[], &script.replace("; sleep 30", ""));
    assert!(!out.stdout.contains("SECRET"), "{out:?}");
}
