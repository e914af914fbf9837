//! AppArmor that denies user namespaces, and the profile of ours that gives them.
use crate::machine::{root, stage};
use crate::support::{Lacks, Stage, runtime, skip};
use std::fs;
use std::path::{Path, PathBuf};

/// A copy of rrunc, which a profile can be about alone.
fn copy(stage: &Stage) -> PathBuf {
    let path = stage.dir().join("rrunc");
    fs::copy(runtime(), &path).expect("copy rrunc");
    path
}

/// Loads a profile, in place of an earlier one of its name.
fn load(stage: &Stage, text: &str) {
    let file = stage.dir().join("profile");
    fs::write(&file, text).expect("write the profile");
    root(stage, &format!("apparmor_parser --replace --skip-cache {}", file.display()));
}

/// Whether this kernel's AppArmor decides about user namespaces.
fn mediates() -> bool {
    Path::new("/sys/kernel/security/apparmor/features/namespaces/mask").exists()
}

#[test]
fn a_profile_without_user_namespaces_is_named_and_ours_gives_them() {
    let Some(stage) = stage() else { return };
    if !mediates() {
        return skip(Lacks::Machine("an AppArmor that knows user namespaces"));
    }
    let program = copy(&stage);
    let path = program.to_str().expect("plain");
    let bundle = stage.bundle();
    bundle.args(&["echo", "hello"]);
    let call = || stage.call_program(&program, &["run", "c"]).cwd(bundle.path()).run();
    // The control: without a profile it works.
    call().success().prints("hello\n");

    let rules =
        "capability,\n  file,\n  mount,\n  umount,\n  pivot_root,\n  network,\n  signal,\n  ptrace,\n  unix,\n  dbus,";
    load(&stage, &format!("abi <abi/4.0>,\nprofile shy {path} flags=(attach_disconnected) {{\n  {rules}\n}}\n"));
    call().fails(
        1,
        &["make the namespaces", "Permission denied", "the AppArmor profile shy: give that the rule `userns,`"],
    );
    assert!(stage.containers().is_empty());

    // With the rule that the hint names.
    load(
        &stage,
        &format!("abi <abi/4.0>,\nprofile shy {path} flags=(attach_disconnected) {{\n  userns,\n  {rules}\n}}\n"),
    );
    call().success().prints("hello\n");
    // One that gives user namespaces and denies what is done in them.
    load(&stage, &format!("abi <abi/4.0>,\nprofile shy {path} {{\n  userns,\n  {rules}\n}}\n"));
    call().fails(1, &["Permission denied", "AppArmor profile shy: where that denies this, `dmesg` shows"]);
    root(&stage, "echo -n shy >/sys/kernel/security/apparmor/.remove");

    // Ours, for this path.
    let ours = stage.call_program(&program, &["profile", "show", "apparmor"]).run().success().stdout;
    let ours = ours.replace("profile rrunc /usr/{,local/}bin/rrunc", &format!("profile rrunc {path}"));
    assert!(ours.contains(path), "{ours}");
    load(&stage, &ours);
    let shown = root(&stage, "cat /sys/kernel/security/apparmor/profiles").stdout;
    assert!(shown.contains("rrunc ("), "{shown}");
    call().success().prints("hello\n");
    root(&stage, "echo -n rrunc >/sys/kernel/security/apparmor/.remove");
}
