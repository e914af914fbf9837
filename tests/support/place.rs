//! A person's home with secrets and a project in it, for tests of `rrunc sandbox`.
use super::{Call, Output, Stage};
use std::fs;
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What every secret file holds.
pub const SECRET: &str = "hunter2-the-secret";

/// Secret files below HOME.
pub const SECRETS: [&str; 8] = [
    ".ssh/id_ed25519",
    ".aws/credentials",
    ".netrc",
    ".npmrc",
    ".config/gh/hosts.yml",
    ".cargo/credentials.toml",
    ".docker/config.json",
    ".bash_history",
];

/// A stage whose HOME is lived in.
pub struct Place {
    stage: Stage,
}

impl Deref for Place {
    type Target = Stage;

    fn deref(&self) -> &Stage {
        &self.stage
    }
}

impl Place {
    /// HOME with secrets, a file of no secrecy, and an empty project below it; another project beside it.
    pub fn new() -> Place {
        let place = Place { stage: Stage::new() };
        for file in SECRETS {
            write(&place.home().join(file), SECRET);
        }
        write(&place.home().join("notes"), "notes");
        fs::create_dir_all(place.home().join(".local/state")).expect("mkdir");
        for dir in [place.project(), place.other_project()] {
            fs::create_dir(dir).expect("mkdir");
        }
        place
    }

    /// HOME of every call.
    pub fn home(&self) -> PathBuf {
        self.dir().join("home")
    }

    /// The project below HOME, where calls are made.
    pub fn project(&self) -> PathBuf {
        self.home().join("project")
    }

    /// The project outside HOME.
    pub fn other_project(&self) -> PathBuf {
        self.dir().join("project")
    }

    /// `rrunc sandbox ARGS`, in the project.
    pub fn sandbox(&self, args: &[&str]) -> Call {
        self.call(&[&["sandbox"], args].concat()).cwd(&self.project())
    }

    /// `rrunc sandbox OPTIONS -- sh -c SCRIPT`, in the project.
    pub fn sh(&self, options: &[&str], script: &str) -> Output {
        self.sandbox(&[options, &["--", "sh", "-c", script]].concat()).run()
    }

    /// The control: `sh -c SCRIPT` in the project, without a sandbox.
    pub fn outside(&self, script: &str) -> Output {
        self.call_program("/bin/sh".as_ref(), &["-c", script]).cwd(&self.project()).run()
    }

    /// Every file below HOME and the other project, with its mode and content; but rrunc's own state.
    pub fn tree(&self) -> Vec<String> {
        let mut all = Vec::new();
        for dir in [self.home(), self.other_project()] {
            list(&dir, &mut all);
        }
        all.sort();
        all
    }
}

/// Writes a file, and makes the directories on the way.
pub fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a parent")).expect("mkdir");
    fs::write(path, text).expect("write");
}

/// Makes an executable script.
pub fn script(path: &Path, text: &str) {
    write(path, text);
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("chmod");
}

fn list(dir: &Path, all: &mut Vec<String>) {
    for entry in fs::read_dir(dir).expect("read a directory") {
        let path = entry.expect("an entry").path();
        if path.ends_with(".local/state/rrunc") {
            continue;
        }
        let meta = fs::symlink_metadata(&path).expect("lstat");
        let text = if meta.is_file() { fs::read_to_string(&path).unwrap_or_default() } else { String::new() };
        all.push(format!("{} {:o} {text}", path.display(), meta.permissions().mode()));
        if meta.is_dir() {
            list(&path, all);
        }
    }
}

/// Real git, as the person and never with the settings of the machine.
pub fn git(dir: &Path, args: &[&str]) {
    let mut git = Command::new("git");
    git.args(["-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "init.defaultBranch=main"]);
    git.args(args).current_dir(dir).env("HOME", dir).env("GIT_CONFIG_NOSYSTEM", "1");
    let out = git.output().expect("git");
    assert!(out.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&out.stderr));
}
