//! Package managers as people use them: from what is there, from the network, and without one.
use crate::support::place::{git, write};
use crate::support::{Lacks, Output, Place, Terminal, find_program, skip};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Runs on this machine, whoever's home it is in.
fn runs(program: &str) -> bool {
    find_program(program)
        .is_some_and(|path| Command::new(path).arg("--version").output().is_ok_and(|out| out.status.success()))
}

/// `script` in the sandbox on a terminal: it fails, and the last lines say what it was.
fn fails_for_want_of_a_network(place: &Place, script: &str) {
    let (code, shown) = Terminal::start(place.sandbox(&["--", "sh", "-c", script]), 24, 200).wait();
    assert_ne!(code, 0, "{shown}");
    assert!(shown.contains("names cannot be looked up without a network: --network host"), "{shown}");
}

/// The networks there are. `outside` is the control, the same without a sandbox: without it there is nothing to test.
fn networks(outside: &Output) -> Vec<&'static str> {
    if outside.code != 0 {
        skip(Lacks::Machine("a package registry within reach"));
        return Vec::new();
    }
    let pasta =
        find_program("pasta").is_some() && fs::File::options().read(true).write(true).open("/dev/net/tun").is_ok();
    if pasta { vec!["host", "pasta"] } else { vec!["host"] }
}

#[test]
fn npm_installs_with_a_network_and_says_so_without_one() {
    if !runs("npm") {
        return skip(Lacks::Machine("npm"));
    }
    let place = Place::new();
    fs::remove_file(place.home().join(".npmrc")).expect("the secret that is no configuration");
    write(&place.project().join("package.json"), "{\"name\": \"x\", \"version\": \"1.0.0\"}\n");
    let install = "npm install --no-audit --no-fund left-pad";
    fails_for_want_of_a_network(&place, install);
    for network in networks(&place.outside("npm view left-pad version --fetch-retries=0")) {
        fs::remove_dir_all(place.project().join("node_modules")).ok();
        place.sh(&["--profile", "node", "--network", network], install).success();
        assert!(place.project().join("node_modules/left-pad/package.json").exists(), "{network}");
        place.sh(&[], "node -e 'console.log(require(\"left-pad\")(\"x\", 3))'").success().prints("  x\n");
    }
}

#[test]
fn pip_installs_into_a_venv_with_a_network_and_says_so_without_one() {
    if !Command::new("/usr/bin/python3")
        .args(["-c", "import ensurepip, venv"])
        .output()
        .is_ok_and(|o| o.status.success())
    {
        return skip(Lacks::Machine("python3 with venv"));
    }
    let place = Place::new();
    place.sh(&[], "python3 -m venv .venv").success();
    let install = ".venv/bin/pip --disable-pip-version-check install -q six";
    fails_for_want_of_a_network(&place, install);
    let outside = place.outside(".venv/bin/pip download -q --retries 0 -d \"$HOME/downloads\" six");
    for network in networks(&outside) {
        place.sh(&["--profile", "python", "--network", network], &format!("{install} --force-reinstall")).success();
        place.sh(&[], ".venv/bin/python -c 'import six; print(six.__name__)'").success().prints("six\n");
    }
}

/// Where rustc and cargo are, behind whatever stands for them in PATH.
fn toolchain() -> Option<PathBuf> {
    let out = Command::new(find_program("rustc")?).args(["--print", "sysroot"]).output().ok()?;
    let root = PathBuf::from(String::from_utf8(out.stdout).ok()?.trim_end());
    root.join("bin/cargo").is_file().then_some(root)
}

#[test]
fn cargo_builds_and_tests_a_crate_with_a_vendored_dependency() {
    // A toolchain in somebody's home that this account may not enter is none.
    let Some(toolchain) = toolchain() else { return skip(Lacks::Machine("no cargo that this account can run")) };
    let place = Place::new();
    let dir = place.project();
    write(
        &dir.join("Cargo.toml"),
        "[package]\nname = \"tiny\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[dependencies]\ndep = \"1\"\n",
    );
    write(
        &dir.join("src/main.rs"),
        "fn main() { println!(\"{}\", dep::seven()); }\n#[test]\nfn works() { assert_eq!(dep::seven(), 7); }\n",
    );
    write(&dir.join("vendor/dep/Cargo.toml"), "[package]\nname = \"dep\"\nversion = \"1.0.0\"\nedition = \"2021\"\n");
    write(&dir.join("vendor/dep/src/lib.rs"), "pub fn seven() -> i32 { 7 }\n");
    write(&dir.join("vendor/dep/.cargo-checksum.json"), "{\"files\":{},\"package\":null}\n");
    write(
        &dir.join(".cargo/config.toml"),
        "[source.crates-io]\nreplace-with = \"here\"\n[source.here]\ndirectory = \"vendor\"\n",
    );
    let path = format!("{}/bin:/usr/bin:/bin", toolchain.display());
    let toolchain = toolchain.display().to_string();
    let call = |args: &[&str]| {
        let all = [&["--ro-bind", &toolchain, "--", "cargo"], args].concat();
        place.sandbox(&all).env("PATH", &path).run().success()
    };
    call(&["run", "--offline", "--quiet"]).prints("7\n");
    assert!(call(&["test", "--offline"]).stdout.contains("test works ... ok"));
}

#[test]
fn git_clones_what_is_granted_and_says_so_without_a_network() {
    if find_program("git").is_none() {
        return skip(Lacks::Package("git"));
    }
    let place = Place::new();
    let source = place.home().join("source");
    fs::create_dir(&source).expect("mkdir");
    git(&source, &["init", "-q"]);
    git(&source, &["commit", "-q", "--allow-empty", "-m", "first"]);
    let (source, clone) = (
        source.display().to_string(),
        format!("git clone -q {} copy && git -C copy log --format=%s", source.display()),
    );
    place.sh(&[], &clone).exits(128);
    place.sh(&["--ro-bind", &source], &clone).success().prints("first\n");
    fails_for_want_of_a_network(&place, "git clone https://git.example.org/x.git");
}
