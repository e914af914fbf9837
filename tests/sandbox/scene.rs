//! A stage with a project directory in it, and calls of `rrunc sandbox` from there.
use crate::support::{Call, Output, Stage, find_program};
use std::fs;
use std::path::{Path, PathBuf};

/// The stage and its project.
pub struct Scene {
    stage: Stage,
}

impl Scene {
    /// With an empty project.
    pub fn new() -> Scene {
        let stage = Stage::new();
        fs::create_dir(stage.dir().join("project")).expect("make the project");
        Scene { stage }
    }

    /// With a project that has a repository, some of what runs later on the host, and nothing of git's own magic.
    pub fn with_checkout() -> Scene {
        let scene = Scene::new();
        let git = scene.project().join(".git");
        for dir in ["hooks", "objects", "refs"] {
            fs::create_dir_all(git.join(dir)).expect("make the repository");
        }
        fs::write(git.join("HEAD"), "ref: refs/heads/main\n").expect("write HEAD");
        fs::write(git.join("config"), "[core]\n\tbare = false\n").expect("write config");
        fs::write(scene.project().join(".envrc"), "export A=1\n").expect("write .envrc");
        scene
    }

    /// The stage.
    pub fn stage(&self) -> &Stage {
        &self.stage
    }

    /// The project's directory.
    pub fn project(&self) -> PathBuf {
        self.stage.dir().join("project")
    }

    /// The caller's HOME.
    pub fn home(&self) -> PathBuf {
        self.stage.dir().join("home")
    }

    /// Makes a file of the caller's below HOME.
    pub fn home_file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.home().join(name);
        fs::create_dir_all(path.parent().expect("below HOME")).expect("make the directory");
        fs::write(&path, text).expect("write the file");
        path
    }

    /// `rrunc sandbox ARGS…` in the project, not yet started.
    pub fn call(&self, args: &[&str]) -> Call {
        self.stage.call(&["sandbox"]).args(args).cwd(&self.project())
    }

    /// The same, run to its end.
    pub fn run(&self, args: &[&str]) -> Output {
        self.call(args).run()
    }

    /// `rrunc sandbox FLAGS -- sh -c SCRIPT`.
    pub fn script(&self, flags: &[&str], script: &str) -> Output {
        self.run(&[flags, &["--", "sh", "-c", script]].concat())
    }

    /// The control: `sh -c SCRIPT` in the project, by the same user without a sandbox.
    pub fn outside(&self, script: &str) -> Output {
        self.outside_in(&self.project(), script)
    }

    /// The control in another directory.
    pub fn outside_in(&self, dir: &Path, script: &str) -> Output {
        self.stage.call_program(&find_program("sh").expect("sh"), &["-c", script]).cwd(dir).run()
    }
}
