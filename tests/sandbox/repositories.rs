//! What git finds in a project that a program has changed, and what `git status` on the host then runs.
use crate::scene::Scene;
use crate::support::{Lacks, find_program, skip};
use std::fs;
use std::path::{Path, PathBuf};

/// A repository, whose configuration has `git status` make the file HOME/pwned, in the directory $1; without a checkout
/// if $2 is `bare`.
const TRAP: &str = r#"trap_in() {
    mkdir -p "$1"; dir=$(cd "$1" && pwd)
    if [ "$2" = bare ]; then git=$dir; (cd "$dir" && $GIT init -q --bare .)
    else git=$dir/.git; (cd "$dir" && $GIT init -q . && echo y > y && $GIT add y && $GIT commit -qm y); fi
    printf '#!/bin/sh\n: > "%s/pwned"\n' "$PWNED" > "$git/fs"; chmod +x "$git/fs"
    printf '[core]\n\tfsmonitor = "%s/fs"\n\tbare = false\n' "$git" >> "$git/config"
    if [ "$2" = bare ]; then printf '\tworktree = "%s"\n' "${3:-$dir}" >> "$git/config"; fi
}
"#;

/// The project of a scene with real repositories.
struct Checkout {
    scene: Scene,
    git: String,
}

impl Checkout {
    /// With a repository that has a commit, unless git is not there.
    fn new() -> Option<Checkout> {
        let Some(git) = find_program("git") else {
            skip(Lacks::Machine("git"));
            return None;
        };
        let options = "-c user.name=n -c user.email=e@example.org -c protocol.file.allow=always";
        Some(Checkout { scene: Scene::new(), git: format!("{} {options}", git.display()) })
    }

    fn with_commit(self) -> Checkout {
        self.outside("$GIT init -q . && echo a > a && $GIT add a && $GIT commit -qm one");
        self
    }

    fn script(&self, script: &str) -> String {
        let pwned = self.scene.home();
        format!("GIT='{}'; PWNED='{}'; set -e; {TRAP}{script}", self.git, pwned.display())
    }

    fn outside(&self, script: &str) {
        self.scene.outside(&self.script(script)).success();
    }

    /// Runs the script in a sandbox; what its report says, as JSON.
    fn report(&self, script: &str) -> String {
        let report = self.scene.stage().dir().join("report.json");
        let args = ["--", "sh", "-c", &self.script(script)];
        self.scene.call(&["--report"]).arg(&report).args(&args).run();
        fs::read_to_string(report).expect("a report")
    }

    /// Whether `git status` on the host, in the directory of the project, runs the trap.
    fn is_caught(&self, dir: &str) -> bool {
        let pwned = self.scene.home().join("pwned");
        fs::remove_file(&pwned).ok();
        self.scene.outside(&format!("cd ./{dir} && {} status", self.git));
        pwned.exists()
    }

    fn project(&self) -> PathBuf {
        self.scene.project()
    }
}

/// The attack works on the host, and where the program makes it the report names the place.
fn told(make: impl Fn() -> Option<Checkout>, attack: &str, status_in: &str, place: &str) {
    let Some(control) = make() else { return };
    assert!(!control.is_caught(status_in), "the control: nothing runs before");
    control.outside(attack);
    assert!(control.is_caught(status_in), "the control: {attack:?} does not make `git status` run anything");
    let Some(inside) = make() else { return };
    let report = inside.report(attack);
    if inside.is_caught(status_in) {
        let path = inside.project().join(place).display().to_string();
        assert!(report.contains(&format!("{path}\"")), "`git status` runs it, and {path} is not told: {report}");
    } else {
        panic!("{attack:?} is not what the program could do: {report}");
    }
}

/// What is there cannot be changed from inside.
fn kept(make: impl Fn() -> Option<Checkout>, attack: &str, status_in: &str) {
    let Some(control) = make() else { return };
    assert!(!control.is_caught(status_in), "the control: nothing runs before");
    control.outside(attack);
    assert!(control.is_caught(status_in), "the control: {attack:?} does not make `git status` run anything");
    let Some(inside) = make() else { return };
    let report = inside.report(attack);
    assert!(!inside.is_caught(status_in), "{attack:?} has worked: {report}");
}

#[test]
fn row_h1_a_repository_that_the_index_names_is_told() {
    let attack = "trap_in lib/x; $GIT update-index --add --cacheinfo 160000,$($GIT -C lib/x rev-parse HEAD),lib/x";
    told(|| Some(Checkout::new()?.with_commit()), attack, ".", "lib/x/.git");
    // Also in a directory that nobody looks into before.
    let attack = attack.replace("lib/x", "node_modules/x");
    told(|| Some(Checkout::new()?.with_commit()), &attack, ".", "node_modules/x/.git");
}

#[test]
fn row_h1_a_git_file_where_there_was_none_is_told() {
    let attack = "trap_in build/cache bare \"$PWD\"; echo 'gitdir: build/cache' > .git";
    told(Checkout::new, attack, ".", ".git");
    told(Checkout::new, "trap_in docs", "docs", "docs/.git");
}

#[test]
fn row_h1_a_repository_that_lies_bare_in_the_project_is_told() {
    told(Checkout::new, "trap_in deep/docs bare", "deep/docs", "deep/docs");
    // Git finds that at the top once the one there is no more one.
    let attack = "trap_in . bare; rm .git/HEAD";
    told(|| Some(Checkout::new()?.with_commit()), attack, ".", ".git");
}

#[test]
fn row_h1_the_git_file_of_a_submodule_cannot_be_replaced() {
    let make = || {
        let checkout = Checkout::new()?.with_commit();
        let add = "$GIT init -q ../library && $GIT -C ../library commit -q --allow-empty -m l && \
                   $GIT submodule --quiet add ../library lib/x && $GIT commit -qm two";
        checkout.outside(add);
        Some(checkout)
    };
    let attack = "trap_in build/cache bare \"$PWD/lib/x\"; rm -f lib/x/.git || true; echo 'gitdir: ../../build/cache' > lib/x/.git";
    kept(make, attack, ".");
    let attack = "trap_in build/cache bare \"$PWD/lib/x\"; mv lib old || true; mkdir -p lib/x; echo 'gitdir: ../../build/cache' > lib/x/.git";
    kept(make, attack, ".");
}

#[test]
fn row_h1_repositories_further_down_are_protected_like_the_one_at_the_top() {
    let make = || {
        let checkout = Checkout::new()?.with_commit();
        checkout.outside("mkdir -p vendor/deep/y && cd vendor/deep/y && $GIT init -q . && mkdir -p .git/hooks");
        Some(checkout)
    };
    let evil = |file: &str| format!("printf '#!/bin/sh\\n: > \"%s/pwned\"\\n' \"$PWNED\" > {file}; chmod +x {file}; ");
    kept(make, &format!("{}cd vendor/deep/y; $GIT config core.fsmonitor ../../../fs", evil("fs")), "vendor/deep/y");
    let moved = "mv vendor/deep/y vendor/z && trap_in vendor/deep/y";
    kept(make, moved, "vendor/deep/y");
    // A hook of it runs at the next commit or checkout.
    let Some(inside) = make() else { return };
    let hook = inside.project().join("vendor/deep/y/.git/hooks/post-checkout");
    inside.report(&evil("vendor/deep/y/.git/hooks/post-checkout"));
    assert!(!hook.exists());
    inside.outside(&evil("vendor/deep/y/.git/hooks/post-checkout"));
    assert!(hook.exists(), "control");
}

#[test]
fn row_h1_what_the_configuration_names_cannot_be_changed() {
    let made = "mkdir -p tools ci/hooks; for f in tools/fs tools/clean ci/hooks/post-commit; do echo '#!/bin/sh' > $f; done; \
                chmod +x tools/* ci/hooks/*; printf '[core]\\n\\thooksPath = ci/hooks\\n' > extra.inc; \
                $GIT config core.fsmonitor '\"$PWD\"/tools/fs'; $GIT config filter.f.clean './tools/clean %f'; \
                $GIT config include.path ../extra.inc";
    let make = || {
        let checkout = Checkout::new()?.with_commit();
        checkout.outside(made);
        Some(checkout)
    };
    let files = ["tools/fs", "tools/clean", "ci/hooks/post-commit", "ci/hooks/new", "extra.inc"];
    let write = files.map(|file| format!("(echo evil >> {file}) 2>/dev/null || true")).join("; ");
    let Some(inside) = make() else { return };
    inside.report(&format!("{write}; echo fine > tools/other"));
    let evil = |checkout: &Checkout, file: &str| {
        fs::read_to_string(checkout.project().join(file)).is_ok_and(|text| text.contains("evil"))
    };
    for file in files {
        assert!(!evil(&inside, file), "{file}");
    }
    assert!(inside.project().join("tools/other").exists(), "the rest is writable");
    let Some(control) = make() else { return };
    control.outside(&write);
    assert!(files.iter().all(|file| evil(&control, file)), "control");
}

#[test]
fn git_goes_on_working_and_ordinary_work_is_not_told() {
    let Some(checkout) = Checkout::new() else { return };
    let checkout = checkout.with_commit();
    checkout.outside("mkdir -p vendor/y && cd vendor/y && $GIT init -q . && $GIT commit -q --allow-empty -m v");
    let work = "echo b > b; $GIT add b; $GIT commit -qm two; $GIT checkout -q -b other; $GIT tag t; \
                $GIT gc -q; cd vendor/y; echo c > c; $GIT add c; $GIT commit -qm three";
    let report = checkout.report(work);
    assert!(report.contains("\"exitStatus\": 0"), "{report}");
    assert!(!report.contains("/.git"), "{report}");
    checkout
        .outside("[ $($GIT -C vendor/y log --oneline | wc -l) = 2 ] && [ $($GIT log --oneline other | wc -l) = 2 ]");
}

/// A project with a profile that the user trusts and that narrows, and keys in a directory below.
fn narrowed() -> Scene {
    let scene = Scene::new();
    fs::create_dir_all(scene.project().join("app/keys")).expect("mkdir");
    fs::write(scene.project().join("app/keys/a.pem"), "PRIVATE").expect("write");
    let profile = "[deny]\nhide = [\"app/keys/*.pem\"]\nprotect = [\"app/keys\"]\n";
    fs::write(scene.project().join(".rrunc.toml"), profile).expect("write");
    scene.stage().call(&["trust", "--yes"]).arg(scene.project()).run().success();
    scene
}

/// What a sandbox reads of the keys that starts in `app`, and whether it writes there.
fn seen_from_app(scene: &Scene) -> (String, bool) {
    let app = scene.project().join("app");
    let new = app.join("keys/new");
    fs::remove_file(&new).ok();
    let out = scene.call(&["--", "sh", "-c", "cat keys/a.pem; touch keys/new"]).cwd(&app).run();
    (out.stdout, new.exists())
}

#[test]
fn row_h7_a_planted_repository_does_not_free_from_a_profile_above() {
    let unread = (String::new(), false);
    for plant in [
        "mkdir app/.git",
        "mkdir app/.git; echo 'ref: refs/heads/main' > app/.git/HEAD",
        REAL,
        "echo 'gitdir: x' > app/.git",
    ] {
        let scene = narrowed();
        scene.outside("mkdir .git .git/objects .git/refs; echo 'ref: refs/heads/main' > .git/HEAD").success();
        assert_eq!(seen_from_app(&scene), unread);
        scene.script(&[], plant).success();
        assert!(scene.project().join("app/.git").exists(), "{plant}");
        assert_eq!(seen_from_app(&scene), unread, "{plant}");
        // The control: it is the profile that hides it.
        scene.stage().call(&["trust", "--forget"]).arg(scene.project()).run().success();
        assert_eq!(seen_from_app(&scene), ("PRIVATE".to_owned(), true), "{plant}");
    }
}

const REAL: &str = "mkdir -p app/.git/objects app/.git/refs; echo 'ref: refs/heads/main' > app/.git/HEAD";

#[test]
fn row_h7_a_repository_taken_away_does_not_free_from_a_profile_above() {
    let scene = narrowed();
    scene.outside("mkdir .git .git/objects .git/refs; echo 'ref: refs/heads/main' > .git/HEAD").success();
    scene.script(&[], "rm .git/HEAD").success();
    assert_eq!(seen_from_app(&scene), (String::new(), false));
}

#[test]
fn row_h7_only_what_git_takes_for_a_repository_makes_a_project() {
    let scene = Scene::new();
    let below = scene.project().join("src");
    fs::create_dir_all(&below).expect("mkdir");
    let writes_above = || {
        scene.call(&["--", "touch", "../above"]).cwd(&below).run();
        fs::remove_file(scene.project().join("above")).is_ok()
    };
    for fake in
        ["mkdir .git", "mkdir .git/objects .git/refs; echo x > .git/HEAD", "rm -r .git; echo 'gitdir: /none' > .git"]
    {
        scene.outside(fake).success();
        assert!(!writes_above(), "{fake}");
    }
    scene.outside("rm .git; mkdir .git .git/objects .git/refs; echo 'ref: refs/heads/main' > .git/HEAD").success();
    assert!(writes_above(), "control");
}

/// Two projects, one with a repository of which the other claims to be a worktree; each half is written by a sandbox of the
/// project that it is in. What a sandbox of the claimant can write of the repository.
fn conspired(also: impl Fn(&Scene, &Path)) -> bool {
    let scene = Scene::new();
    let victim = scene.stage().dir().join("victim");
    fs::create_dir_all(victim.join(".git/objects")).expect("mkdir");
    fs::create_dir(victim.join(".git/refs")).expect("mkdir");
    fs::write(victim.join(".git/HEAD"), "ref: refs/heads/main\n").expect("write");
    let claimant = scene.project();
    let half = format!(
        "mkdir -p .git/worktrees/x; echo ../.. > .git/worktrees/x/commondir; echo {}/.git > .git/worktrees/x/gitdir",
        claimant.display()
    );
    scene.call(&["--", "sh", "-c", &half]).cwd(&victim).run().success();
    let other_half = format!("echo 'gitdir: {}/.git/worktrees/x' > .git", victim.display());
    scene.script(&[], &other_half).success();
    also(&scene, &victim);
    let git = victim.join(".git");
    let write = format!("echo evil > {0}/index; echo evil > {0}/refs/x; echo evil > {0}/worktrees/x/y", git.display());
    let out = scene.script(&[], &write);
    let written = ["index", "refs/x", "worktrees/x/y"].iter().any(|file| git.join(file).exists());
    assert!(written || out.stderr.contains("read-only: `rrunc trust`"), "no warning: {}", out.stderr);
    written
}

#[test]
fn row_m0_two_sandboxes_that_write_both_halves_of_the_proof_get_no_repository_to_write() {
    assert!(!conspired(|_, _| ()));
    let trust = |scene: &Scene| scene.stage().call(&["trust", "--yes"]).arg(scene.project()).run().success();
    // The control: that the user has said so is what makes it writable.
    assert!(conspired(|scene, _| drop(trust(scene))));
    // Only that one, and not another in its place; and no longer than he says so.
    let replaced = |scene: &Scene, victim: &Path| {
        trust(scene);
        fs::rename(victim, victim.with_extension("old")).expect("rename");
        scene.outside(&format!("cp -r {0}.old {0}", victim.display())).success();
    };
    assert!(!conspired(replaced));
    let forgotten = |scene: &Scene, _: &Path| {
        trust(scene);
        scene.stage().call(&["trust", "--forget"]).arg(scene.project()).run().success();
    };
    assert!(!conspired(forgotten));
}
