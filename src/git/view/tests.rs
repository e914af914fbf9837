use super::*;
use crate::git::spots::{ASIDE, NAMES};
use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

struct Scene(PathBuf);

impl Scene {
    /// A tree with a repository.
    fn new(name: &str) -> Scene {
        let dir = std::env::temp_dir().join(format!("rrunc-git-{name}-{}", std::process::id()));
        fs::remove_dir_all(&dir).ok();
        fs::create_dir(&dir).unwrap();
        let scene = Scene(dir.canonicalize().unwrap());
        scene.repository(".git");
        scene
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn repository(&self, name: &str) {
        self.write(&format!("{name}/HEAD"), "ref: refs/heads/main\n");
        self.write(&format!("{name}/config"), "[core]\n\tbare = false\n");
        for dir in ["objects", "refs", "hooks"] {
            fs::create_dir_all(self.0.join(name).join(dir)).unwrap();
        }
    }

    /// What a walk finds that passes over what lies aside, and what that is.
    fn walk(&self) -> [Vec<PathBuf>; 2] {
        let (mut found, mut aside, mut left) = (Vec::new(), Vec::new(), vec![self.0.clone()]);
        while let Some(dir) = left.pop() {
            for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
                let is = |names: &[&str]| names.iter().any(|name| *name == entry.file_name());
                if is(&NAMES) {
                    found.push(entry.path());
                }
                if is(&ASIDE) {
                    aside.push(entry.path());
                } else if entry.file_type().unwrap().is_dir() && entry.file_name() != ".git" {
                    left.push(entry.path());
                }
            }
        }
        [found, aside]
    }

    fn view(&self, spots: &Spots) -> View {
        View::of(&self.0, spots, &Host::of(&self.0.join("nobody"), None)).unwrap()
    }

    fn before(&self) -> View {
        let [found, _] = self.walk();
        self.view(&Spots::found(&self.0, found.iter().map(PathBuf::as_path)))
    }

    fn after(&self, began: SystemTime) -> View {
        let paths = self.walk();
        let [found, aside] = paths.each_ref().map(|paths| paths.iter().map(PathBuf::as_path));
        self.view(&Spots::found(&self.0, found).and_aside(&self.0, aside, began))
    }

    /// What the deed changes, as `+path what`.
    fn told(&self, deed: impl FnOnce()) -> Vec<String> {
        let (before, began) = (self.before(), SystemTime::now() + Duration::from_secs(3));
        deed();
        let after = self.after(began);
        assert!(after.unseen.is_empty(), "{:?}", after.unseen);
        let sign = |how| match how {
            How::New => '+',
            How::Changed => '~',
            How::Gone => '-',
        };
        let shown = |path: &Path| path.strip_prefix(&self.0).unwrap_or(path).display().to_string();
        let changes = View::changes(&before, &after);
        changes.iter().map(|c| format!("{}{} {}", sign(c.how), shown(&c.path), c.what.name())).collect()
    }

    fn protected(&self) -> Vec<String> {
        let view = self.before();
        view.protect().map(|path| path.strip_prefix(&self.0).unwrap().display().to_string()).collect()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

#[test]
fn nothing_is_told_of_ordinary_work() {
    let scene = Scene::new("quiet");
    scene.repository("vendor/y/.git");
    let told = scene.told(|| {
        scene.write(".git/HEAD", "ref: refs/heads/other\n");
        scene.write(".git/objects/ab/cdef", "x");
        scene.write(".git/refs/heads/other", "x");
        scene.write("src/HEAD", "no repository");
        scene.write(".git/hooks/pre-commit.sample", "x");
        scene.write("vendor/y/.git/index", "x");
    });
    assert_eq!(told, [] as [&str; 0]);
}

#[test]
fn what_git_would_find_is_told_at_every_depth() {
    let scene = Scene::new("found");
    assert_eq!(scene.told(|| scene.repository("a/b/c/.git"))[0], "+a/b/c/.git git repository");
    assert_eq!(scene.told(|| scene.repository("docs"))[0], "+docs bare git repository");
    let told = scene.told(|| {
        scene.write("lib/.git", "gitdir: ../a/b/c/.git\n");
        scene.write("none/.git", "gitdir: nowhere\n");
        symlink("../docs", scene.0.join("src-link")).unwrap();
        fs::create_dir(scene.0.join("link")).unwrap();
        symlink("../docs", scene.0.join("link/.git")).unwrap();
    });
    assert_eq!(
        told,
        ["+lib/.git git repository", "+link/.git git repository", "+none/.git `.git` that is no repository"]
    );
    assert_eq!(scene.told(|| scene.write("lib/.git", "gitdir: ../docs"))[0], "~lib/.git git repository");
    // The repository at the top makes way for one that lies in the top itself.
    let told = scene.told(|| {
        fs::remove_file(scene.0.join(".git/HEAD")).unwrap();
        scene.repository(".");
    });
    assert!(told.contains(&"~.git `.git` that is no repository".to_owned()), "{told:?}");
    assert!(told.contains(&"+ bare git repository".to_owned()), "{told:?}");
}

#[test]
fn another_git_directory_in_the_place_of_one_is_told() {
    let scene = Scene::new("replaced");
    let told = scene.told(|| {
        fs::rename(scene.0.join(".git"), scene.0.join("old")).unwrap();
        scene.repository(".git");
    });
    assert!(told.contains(&"~.git git repository".to_owned()), "{told:?}");
}

#[test]
fn what_decides_what_runs_is_told_and_protected() {
    let scene = Scene::new("decides");
    scene.repository("vendor/y/.git");
    scene.repository(".git/modules/lib/x");
    scene.repository(".git/modules/lib/x/modules/deep");
    scene.write("lib/x/.git", "gitdir: ../../.git/modules/lib/x\n");
    scene.write(".git/config", "[core]\n\thooksPath = .githooks\n[include]\n\tpath = ../git.inc\n");
    scene.write("git.inc", "[filter \"f\"]\n\tclean = \"$PWD/tools/clean.sh %f\"\n[alias]\n\tx = !sh y.sh build\n");
    for file in ["tools/clean.sh", "y.sh", "build/file", ".githooks/pre-commit"] {
        scene.write(file, "x");
    }
    let expected = [
        ".git/config",
        ".git/hooks",
        ".git/modules/lib/x/config",
        ".git/modules/lib/x/hooks",
        ".git/modules/lib/x/modules/deep/config",
        ".git/modules/lib/x/modules/deep/hooks",
        ".githooks",
        "git.inc",
        "lib/x/.git",
        "tools/clean.sh",
        "vendor/y/.git/config",
        "vendor/y/.git/hooks",
        "y.sh",
    ];
    assert_eq!(scene.protected(), expected);
    for (file, told) in [
        ("vendor/y/.git/config", "~vendor/y/.git/config git configuration"),
        ("vendor/y/.git/config.worktree", "+vendor/y/.git/config.worktree git configuration"),
        ("vendor/y/.git/hooks/post-checkout", "+vendor/y/.git/hooks/post-checkout git hook"),
        (".git/modules/lib/x/modules/deep/hooks/x", "+.git/modules/lib/x/modules/deep/hooks/x git hook"),
        (".githooks/pre-commit", "~.githooks/pre-commit git hook"),
        ("git.inc", "~git.inc git configuration"),
        ("lib/x/.git", "~lib/x/.git `.git` that is no repository"),
        (".git/info/attributes", "+.git/info/attributes git attributes"),
        (".git/objects/info/alternates", "+.git/objects/info/alternates git alternates"),
        (".gitmodules", "+.gitmodules list of submodules"),
    ] {
        let found = scene.told(|| scene.write(file, "# other\n"));
        assert!(found.contains(&told.to_owned()), "{file}: {found:?}");
    }
}

#[test]
fn where_nobody_looked_before_only_what_is_new_is_told() {
    let scene = Scene::new("aside");
    scene.repository("node_modules/old/.git");
    let (before, began) = (scene.before(), SystemTime::now() + Duration::from_secs(3));
    assert!(View::changes(&before, &scene.after(began)).is_empty());
    let changes = View::changes(&before, &scene.after(SystemTime::now()));
    assert!(changes.iter().any(|change| change.path.ends_with("node_modules/old/.git")), "{changes:?}");
}

#[test]
fn a_link_or_fifo_in_the_place_of_a_file_is_neither_followed_nor_waited_for() {
    let scene = Scene::new("odd");
    symlink("/etc/passwd", scene.0.join(".git/info")).unwrap();
    let deed = || {
        fs::remove_file(scene.0.join(".git/config")).unwrap();
        symlink("/etc/passwd", scene.0.join(".git/config")).unwrap();
        nix::unistd::mkfifo(&scene.0.join(".git/commondir"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        nix::unistd::mkfifo(&scene.0.join(".gitmodules"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    };
    let before = scene.before();
    deed();
    let changes = View::changes(&before, &scene.after(SystemTime::now()));
    for name in [".git/config", ".git/commondir", ".gitmodules"] {
        assert!(changes.iter().any(|change| change.path == scene.0.join(name)), "{name}: {changes:?}");
    }
}
