//! A sandbox is an OCI bundle: it is shown, written down, and behaves the same when run as such.
use crate::support::{Lacks, Place, find_program, skip};
use serde_json::{Value, json};
use std::fs;

#[test]
fn print_config_is_json_and_runs_nothing() {
    let place = Place::new();
    let out = place.sandbox(&["--print-config", "--", "touch", "ran"]).run().success();
    assert_eq!(out.stderr, "");
    let config: Value = serde_json::from_str(&out.stdout).expect("JSON");
    assert_eq!(config["process"]["args"], json!(["touch", "ran"]));
    assert_eq!(config["process"]["noNewPrivileges"], json!(true));
    assert!(config["ociVersion"].is_string());
    assert!(!place.project().join("ran").exists());
    let network = |config: &Value| {
        let list = config["linux"]["namespaces"].as_array().expect("namespaces");
        list.iter().any(|namespace| namespace["type"] == "network")
    };
    assert!(network(&config));
    let out = place.sandbox(&["--print-config", "--network", "host", "true"]).run().success();
    assert!(!network(&serde_json::from_str(&out.stdout).expect("JSON")));
}

/// Looks at all that a sandbox is made of.
const PROBE: &str = "id; pwd; env | sort; hostname; grep -E 'Cap|NoNewPrivs|Seccomp|Groups' /proc/self/status; \
    cat /proc/self/limits /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups; ls -lAR /etc | head -200; ls -A / ~ . /dev /tmp /run; \
    awk '{print $5, $4, $6, $9, $11}' /proc/self/mountinfo | sort | sed 's/pts[^ ]*//'; cat /proc/net/dev | cut -c1-7; \
    for f in /etc/passwd /etc/group /etc/hosts /etc/resolv.conf; do cat $f; done; unshare -U true 2>&1; \
    touch /usr/x 2>&1; touch ~/x && echo home; touch made && echo project && rm made; readlink /proc/self/fd/0; exit 23";

#[test]
fn a_written_bundle_behaves_as_the_sandbox_itself() {
    let place = Place::new();
    fs::create_dir(place.project().join(".vscode")).expect("mkdir");
    let home = place.home().display().to_string();
    let grant = format!("{home}:/mnt/home");
    let sets: [&[&str]; 4] =
        [&[], &["--network", "host", "-e", "A=1"], &["--as-root"], &["--bind", &grant, "--no-project"]];
    for (number, options) in sets.iter().enumerate() {
        let dir = place.dir().join(format!("bundle-{number}")).display().to_string();
        let command = ["--", "sh", "-c", PROBE];
        let write = [options, &["--write-bundle", &dir][..], &command].concat();
        place.sandbox(&write).run().success().prints("");
        assert_eq!(place.containers(), Vec::<String>::new(), "nothing ran");
        let direct = place.sandbox(&[options, &command[..]].concat()).run().exits(23);
        // A sandbox has no cgroup of its own.
        let run = ["--cgroup-manager", "disabled", "run", "-b", &dir, "written"];
        let written = place.call(&run).cwd(&place.project()).run().exits(23);
        // The one path that differs is the bundle's own.
        let own = |text: &str, bundle: &str| text.replace(bundle, "BUNDLE");
        let private = direct
            .stdout
            .split_whitespace()
            .find(|word| word.ends_with("/bundle/etc"))
            .map(|word| word.trim_end_matches("/etc").to_owned());
        let inner = written
            .stdout
            .split_whitespace()
            .find(|word| word.ends_with(&format!("bundle-{number}/etc")))
            .map(|word| word.trim_end_matches("/etc").to_owned());
        let (private, inner) = (private.expect("the mount of /etc"), inner.expect("the mount of /etc"));
        let (one, other) = (own(&direct.stdout, &private), own(&written.stdout, &inner));
        for (one, other) in one.lines().zip(other.lines()) {
            assert_eq!(without_time(one), without_time(other), "{options:?}");
        }
        assert_eq!(one.lines().count(), other.lines().count(), "{options:?}");
        assert_eq!(direct.stderr, written.stderr, "{options:?}");
    }
}

/// A line of `ls -l` without its date: the generated /etc is made anew each time.
fn without_time(line: &str) -> String {
    let words: Vec<_> = line.split_whitespace().collect();
    let listed = line.starts_with(['-', 'd', 'l']) && words.len() >= 9;
    if listed { format!("{:?}{:?}", &words[..5], &words[8..]) } else { line.to_owned() }
}

#[test]
fn write_bundle_makes_a_new_directory_only() {
    let place = Place::new();
    let taken = place.dir().join("taken");
    fs::create_dir(&taken).expect("mkdir");
    let taken = taken.display().to_string();
    place.sandbox(&["--write-bundle", &taken, "true"]).run().fails(125, &["--write-bundle", "exists"]);
    assert_eq!(fs::read_dir(&taken).expect("read").count(), 0);
    let fresh = place.dir().join("fresh");
    place.sandbox(&["--write-bundle", fresh.to_str().expect("plain"), "true"]).run().success();
    let config: Value = serde_json::from_slice(&fs::read(fresh.join("config.json")).expect("read")).expect("JSON");
    assert_eq!(config["root"]["path"], "rootfs");
    assert!(fresh.join("rootfs").is_dir() && fresh.join("etc/passwd").is_file());
}

#[test]
fn another_runtime_runs_the_bundle() {
    let Some(other) = find_program("crun").or_else(|| find_program("runc")) else {
        return skip(Lacks::Machine("neither crun nor runc (tests/run --all installs them)"));
    };
    let place = Place::new();
    let smoke = place.bundle();
    let root = place.dir().join("other-root").display().to_string();
    let run =
        |dir: &str| place.call_program(&other, &["--root", &root, "run", "-b", dir, "c"]).cwd(&place.project()).run();
    if run(smoke.str()).code != 0 {
        return skip(Lacks::Machine("the other runtime does not run here at all"));
    }
    let dir = place.dir().join("written").display().to_string();
    place.sandbox(&["--write-bundle", &dir, "--", "sh", "-c", "pwd; exit 23"]).run().success();
    run(&dir).exits(23).prints(&format!("{}\n", place.project().display()));
}

#[test]
fn row_m4_a_bundle_is_written_where_no_sandbox_changes_it_and_for_the_caller_alone() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let place = Place::new();
    let victim = place.other_project();
    fs::write(victim.join("config.json"), "mine").expect("write");
    symlink(&victim, place.project().join("link")).expect("link");
    fs::create_dir_all(place.home().join("checkout/.git")).expect("mkdir");
    let write = |dir: &str| place.sandbox(&["--write-bundle", dir, "-e", "TOKEN=secret", "--", "true"]).run();
    let checkout = place.home().join("checkout/bundle").display().to_string();
    for dir in ["bundle", "./bundle", "link/bundle", "link", &checkout] {
        let out = write(dir);
        assert!(out.code == 125 && out.stderr.contains(&format!("--write-bundle {dir}")), "{out:?}");
    }
    write("bundle").fails(125, &["is where sandboxes may write", "outside of any project"]);
    assert!(!place.project().join("bundle").exists() && !victim.join("bundle").exists());
    assert_eq!(fs::read_to_string(victim.join("config.json")).expect("read"), "mine");
    // The controls: whoever makes it by the name of the link makes it elsewhere; and outside of projects it is made.
    fs::create_dir(place.project().join("link/control")).expect("mkdir");
    assert!(victim.join("control").is_dir());
    let fresh = place.dir().join("fresh");
    write(fresh.to_str().expect("plain")).success();
    let mode = |path: &std::path::Path| fs::metadata(path).expect("stat").permissions().mode() & 0o777;
    assert_eq!((mode(&fresh), mode(&fresh.join("config.json"))), (0o700, 0o600));
    let run = place.call(&["run", "-b", fresh.to_str().expect("plain"), "c"]).run();
    run.success();
}
