//! What `cargo deb` packs: all that there is to install, and of this version.
use super::repository;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Source and destination of each asset of the Debian package.
fn assets() -> Vec<(String, String)> {
    let text = fs::read_to_string(repository().join("Cargo.toml")).expect("Cargo.toml");
    let cargo: toml::Table = text.parse().expect("TOML");
    let assets = cargo["package"]["metadata"]["deb"]["assets"].as_array().expect("a list").iter();
    let word = |value: &toml::Value, i: usize| value[i].as_str().expect("a path").to_owned();
    assets.map(|asset| (word(asset, 0), word(asset, 1))).collect()
}

fn packed(file: &str) -> bool {
    assets().iter().any(|(source, _)| glob::Pattern::new(source).expect("a pattern").matches(file))
}

#[test]
fn pages_completions_and_documents_are_packed_and_nothing_that_is_not_there() {
    for dir in ["man", "man/completions"] {
        for entry in fs::read_dir(repository().join(dir)).expect("the directory") {
            let name = entry.expect("an entry").file_name().into_string().expect("text");
            let is_page = name.ends_with(|c: char| c.is_ascii_digit());
            if is_page || dir.ends_with("completions") {
                assert!(packed(&format!("{dir}/{name}")), "{name} is not in the package");
            }
        }
    }
    for (source, _) in assets().iter().filter(|(source, _)| !source.starts_with("target/")) {
        let found = glob::glob(repository().join(source).to_str().expect("plain")).expect("a pattern").count();
        assert!(found > 0, "{source} is not there");
    }
}

#[test]
fn the_packages_changelog_is_of_this_version_and_its_scripts_are_sound() {
    let deb = repository().join(".packaging/deb");
    let changelog = fs::read_to_string(deb.join("changelog")).expect("the changelog");
    let version = concat!("rrunc (", env!("CARGO_PKG_VERSION"), "-1) ");
    assert!(changelog.starts_with(version), "{changelog}");
    for script in ["postinst", "postrm"] {
        let checked = Command::new("sh").arg("-n").arg(deb.join(script)).status().expect("sh");
        assert!(checked.success(), "{script}");
    }
    assert!(Path::new(&deb).join("copyright").is_file());
}

/// A file system in which the package's scripts run, as under `dpkg --root`.
struct Installed(PathBuf);

const PROFILE: &str = "etc/apparmor.d/rrunc";
const FROM_PACKAGE: &str = "usr/share/rrunc/apparmor";

impl Installed {
    fn new(name: &str) -> Installed {
        let root = std::env::temp_dir().join(format!("rrunc-deb-{name}-{}", std::process::id()));
        let installed = Installed(root);
        installed.write("etc/apparmor.d/abi/4.0", "");
        installed
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.0.join(file);
        fs::create_dir_all(path.parent().expect("a directory")).expect("mkdir");
        fs::write(path, text).expect("write");
    }

    /// A file's text; none if there is none.
    fn read(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.0.join(file)).ok()
    }

    /// What a script says to the administrator.
    fn script(&self, name: &str, argument: &str) -> String {
        let script = repository().join(".packaging/deb").join(name);
        let mut command = Command::new("sh");
        let out = command.arg(script).arg(argument).env("DPKG_ROOT", &self.0).output().expect("sh");
        assert!(out.status.success() && out.stdout.is_empty(), "{name} {argument}: {out:?}");
        String::from_utf8(out.stderr).expect("text")
    }

    /// Unpacks a version with this profile and configures it.
    fn upgrade(&self, profile: &str) -> String {
        self.write(FROM_PACKAGE, profile);
        self.script("postinst", "configure")
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).expect("remove the root");
    }
}

#[test]
fn an_unchanged_apparmor_profile_is_replaced_and_a_changed_one_kept() {
    let dist = format!("{PROFILE}.dpkg-dist");
    let system = Installed::new("profile");
    let profile = || system.read(PROFILE);
    assert_eq!((system.upgrade("one"), profile()), (String::new(), Some("one".into())));
    assert_eq!((system.upgrade("two"), profile()), (String::new(), Some("two".into())));
    // Changed by the administrator: nothing is said as long as the package has nothing else to offer.
    system.write(PROFILE, "mine");
    assert_eq!((system.upgrade("two"), profile()), (String::new(), Some("mine".into())));
    let said = system.upgrade("three");
    assert!(
        said.contains("/etc/apparmor.d/rrunc has been changed and is KEPT") && said.contains(".dpkg-dist"),
        "{said}"
    );
    assert_eq!((profile(), system.read(&dist)), (Some("mine".into()), Some("three".into())));
    // Taken over by hand it is the package's again.
    system.write(PROFILE, "three");
    assert_eq!((system.upgrade("four"), profile(), system.read(&dist)), (String::new(), Some("four".into()), None));
    // Removed is removed.
    fs::remove_file(system.0.join(PROFILE)).expect("remove");
    assert!(system.upgrade("five").contains("not put back"));
    assert_eq!((system.upgrade("five"), profile()), (String::new(), None));
}

#[test]
fn an_apparmor_profile_of_the_administrators_own_is_there_before_and_after_the_package() {
    let system = Installed::new("own");
    system.write(PROFILE, "mine");
    assert!(system.upgrade("one").contains("KEPT"));
    assert_eq!((system.script("postrm", "remove"), system.read(PROFILE)), (String::new(), Some("mine".into())));
    assert_eq!((system.upgrade("one"), system.read(PROFILE)), (String::new(), Some("mine".into())));
    system.script("postrm", "remove");
    system.script("postrm", "purge");
    assert_eq!((system.read(PROFILE), system.0.join("var/lib/rrunc").exists()), (None, false));
}

#[test]
fn an_apparmor_that_cannot_read_the_profile_does_not_get_it() {
    let system = Installed::new("old");
    fs::remove_file(system.0.join("etc/apparmor.d/abi/4.0")).expect("remove");
    assert_eq!((system.upgrade("one"), system.read(PROFILE)), (String::new(), None));
    // Nor is it taken for removed when there is a newer one.
    system.write("etc/apparmor.d/abi/4.0", "");
    assert_eq!((system.upgrade("one"), system.read(PROFILE)), (String::new(), Some("one".into())));
}
