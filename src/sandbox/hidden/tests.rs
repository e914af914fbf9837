use super::*;
use std::os::unix::fs::symlink;

const STRICT: Aim = Aim { mounts: usize::MAX, kept: usize::MAX, known: None };

fn matching(root: &Path, globs: &[Glob]) -> Result<Vec<PathBuf>> {
    let found = super::matching(root, &globs.iter().collect::<Vec<_>>(), STRICT)?;
    Ok(found.all.into_keys().collect())
}

#[test]
fn patterns_find_what_they_mean_and_no_more() {
    let root = std::env::temp_dir().join(format!("rrunc-hidden-{}", std::process::id()));
    let files = [
        ".env",
        "a/.env",
        "a/b/.env.local",
        "a/b/x.pem",
        "a/node_modules/p/.env",
        "node_modules/.env",
        "a/.git/hooks/x",
        ".git/modules/m/hooks/x",
        ".git/modules/n/config",
        ".git/config",
        "key/[odd].pem",
        "a/target/.env",
    ];
    for file in files {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    std::os::unix::fs::symlink("/", root.join("a/out")).unwrap();
    let found = |patterns: &[&str]| {
        let globs: Vec<Glob> = patterns.iter().map(|text| Glob::parse(text).unwrap()).collect();
        let mut found: Vec<String> = matching(&root, &globs)
            .unwrap()
            .iter()
            .map(|path| path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned())
            .collect();
        found.sort();
        found
    };
    assert_eq!(found(&["**/.env"]), [".env", "a/.env"]);
    assert_eq!(
        found(&["**/.env", "**/.env.*", "**/*.pem"]),
        [".env", "a/.env", "a/b/.env.local", "a/b/x.pem", "key/[odd].pem"]
    );
    assert_eq!(found(&["**/.git/hooks"]), ["a/.git/hooks"]);
    assert_eq!(
        found(&[".git/modules/*/hooks", ".git/modules/**/config", ".git/none"]),
        [".git/modules/m/hooks", ".git/modules/n/config"]
    );
    assert_eq!(found(&["a/out", "a/out/etc", "**/out/etc", "a/?"]), ["a/b", "a/out"]);
    assert_eq!(found(&["a/**/.env"]), ["a/.env"]);
    fs::remove_dir_all(&root).unwrap();
}

#[test]
fn what_is_closed_only_for_the_moment_is_an_error() {
    use std::os::unix::fs::PermissionsExt;
    if nix::unistd::geteuid().is_root() {
        return;
    }
    let root = std::env::temp_dir().join(format!("rrunc-closed-{}", std::process::id()));
    let closed = root.join("closed");
    fs::create_dir_all(closed.join("in")).unwrap();
    fs::write(closed.join("in/.env"), "").unwrap();
    let found = |pattern: &str| matching(&root, &[Glob::parse(pattern).unwrap()]);
    for mode in [0o000, 0o100, 0o600] {
        for pattern in ["**/.env", "closed/in/.env"] {
            fs::set_permissions(&closed, fs::Permissions::from_mode(mode)).unwrap();
            let found = found(pattern);
            fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
            match found {
                // By its name it is found without reading the directory.
                Ok(found) => assert!(mode == 0o100 && pattern.starts_with("closed") && found.len() == 1),
                Err(error) => assert!(format!("{error:#}").contains("closed"), "{error:#}"),
            }
        }
    }
    assert_eq!(found("**/.env").unwrap().len(), 1, "control");
    // Where it is only told, the rest is found.
    fs::write(root.join(".env"), "").unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    let lenient = Aim { mounts: 0, kept: 0, known: Some(&Listings::default()) };
    let told = super::matching(&root, &[&Glob::parse("**/.env").unwrap()], lenient);
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    let told = told.unwrap();
    assert!(told.all.len() == 1 && told.not_seen.is_some_and(|why| why.to_string().contains("closed")));
    fs::remove_dir_all(&root).unwrap();
}

#[test]
fn what_lies_deeper_than_a_path_can_say_is_an_error() {
    let root = std::env::temp_dir().join(format!("rrunc-deep-{}", std::process::id()));
    let levels = |name: &str, count: usize| vec![name.repeat(250); count].join("/");
    let (one, other) = (root.join(levels("a", 8)), root.join(levels("b", 9)));
    fs::create_dir_all(&one).unwrap();
    fs::create_dir_all(&other).unwrap();
    fs::write(one.join(".env"), "").unwrap();
    let globs = [Glob::parse("**/.env").unwrap()];
    assert_eq!(matching(&root, &globs).unwrap().len(), 1, "control");
    fs::rename(root.join("a".repeat(250)), other.join("a".repeat(250))).unwrap();
    assert!(matching(&root, &globs).is_err());
    fs::remove_dir_all(&root).unwrap();
}

#[test]
fn what_is_no_pattern_is_refused() {
    for bad in ["", "/etc", "..", "a/../b", "~/a", "**", "a/**", "[", "a/[x"] {
        assert!(Glob::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn the_second_search_finds_what_is_new_and_reads_only_what_has_changed() {
    let root = std::env::temp_dir().join(format!("rrunc-hidden-again-{}", std::process::id()));
    fs::remove_dir_all(&root).ok();
    for dir in ["same/deep", "other", "packages/node_modules"] {
        fs::create_dir_all(root.join(dir)).unwrap();
        fs::write(root.join(dir).join("x.key"), "").unwrap();
        fs::write(root.join(dir).join("plain"), "").unwrap();
    }
    symlink("packages/node_modules", root.join("linked")).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    let globs = ["**/*.key", "**/.env", "other/x.*", "*/x.key"].map(|text| Glob::parse(text).unwrap());
    let globs: Vec<&Glob> = globs.iter().collect();
    let first = super::matching(&root, &globs, STRICT).unwrap();
    let known = Aim { mounts: 0, kept: usize::MAX, known: Some(&first.listings) };
    let again = || super::matching(&root, &globs, known).unwrap().all;
    assert_eq!(first.all.len(), 3);
    assert_eq!(again(), first.all);
    assert!(first.listings.unchanged(&root.join("same/deep")).is_some_and(|entries| entries.len() == 1));
    fs::write(root.join("same/deep/.env"), "").unwrap();
    fs::create_dir(root.join("other/new")).unwrap();
    fs::write(root.join("other/new/y.key"), "").unwrap();
    fs::remove_file(root.join("packages/node_modules/x.key")).unwrap();
    assert!(first.listings.unchanged(&root.join("same")).is_some());
    let expected = super::matching(&root, &globs, STRICT).unwrap().all;
    assert_eq!(expected.len(), 4);
    assert_eq!(again(), expected);
    fs::remove_dir_all(&root).unwrap();
}

#[test]
fn many_that_are_only_told_of_hide_none_of_the_others() {
    let root = std::env::temp_dir().join(format!("rrunc-hidden-many-{}", std::process::id()));
    fs::remove_dir_all(&root).ok();
    fs::create_dir_all(root.join("z")).unwrap();
    (0..=MOST_TOLD).for_each(|number| drop(fs::File::create(root.join(format!("{number}.mk"))).unwrap()));
    fs::write(root.join("z/HEAD"), "").unwrap();
    let globs = ["**/HEAD", "**/*.mk"].map(|text| Glob::parse(text).unwrap());
    let found = super::matching(&root, &globs.each_ref(), Aim { mounts: 0, kept: 1, known: None }).unwrap();
    assert!(found.all.contains_key(&root.join("z/HEAD")));
    assert_eq!((found.all.len(), found.more), (MOST_TOLD + 1, 1));
    fs::remove_dir_all(&root).unwrap();
}
