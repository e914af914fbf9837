//! buildah: `run` and `bud`, where the runtime builds, and with the isolation that needs none.
use crate::lab::Lab;
use crate::support::Output;
use crate::{Case, Tier::Quick, Tier::Whole};
use std::fs;

const CASES: &[Case] = &[
    Case { name: "buildah run, isolation oci", tier: Quick, act: |lab| run(lab, "oci") },
    Case { name: "buildah run, isolation rootless", tier: Whole, act: |lab| run(lab, "rootless") },
    Case { name: "buildah run, isolation chroot (without a runtime)", tier: Whole, act: |lab| run(lab, "chroot") },
    Case { name: "buildah run, a terminal", tier: Whole, act: terminal },
    Case { name: "buildah run, volumes and a user", tier: Whole, act: volumes },
    Case { name: "buildah run, a flag of the runtime's", tier: Whole, act: runtime_flag },
    Case { name: "buildah bud, isolation oci", tier: Quick, act: |lab| bud(lab, "oci") },
    Case { name: "buildah bud, isolation rootless", tier: Whole, act: |lab| bud(lab, "rootless") },
    Case { name: "buildah bud, isolation chroot (without a runtime)", tier: Whole, act: |lab| bud(lab, "chroot") },
];

/// All of them.
pub fn cases() -> Vec<Case> {
    CASES.to_vec()
}

fn buildah(lab: &Lab, args: &str) -> Output {
    lab.call(&format!("buildah {args}")).run()
}

/// `buildah run OPTIONS`, whose runtime is this one: buildah does not read `engine.runtimes`.
fn with_runtime(lab: &Lab, options: &str) -> String {
    format!("run --runtime {} {options}", lab.program.display())
}

fn run(lab: &Lab, isolation: &str) {
    // chroot has no network of its own to offer.
    let network = if isolation == "chroot" { "--network host" } else { "--network none" };
    buildah(lab, "from --name w localhost/bb").success();
    let line = with_runtime(lab, &format!("{network} --isolation {isolation} w --"));
    buildah(lab, &format!("{line} sh -c 'echo made > /root/file; echo done'")).success().prints("done\n");
    buildah(lab, &format!("{line} cat /root/file")).success().prints("made\n");
    assert_ne!(buildah(lab, &format!("{line} sh -c 'exit 6'")).code, 0);
    buildah(lab, &format!("{line} nosuch")).fails(1, &["nosuch"]);
    buildah(lab, "rm w").success();
}

fn terminal(lab: &Lab) {
    buildah(lab, "from --name w localhost/bb").success();
    let line = with_runtime(lab, "--isolation oci --network none --terminal w -- tty");
    let mut terminal = crate::support::Terminal::start(lab.call(&format!("buildah {line}")), 24, 80);
    terminal.expect("/dev/");
    assert_eq!(terminal.wait().0, 0);
    buildah(lab, "rm w").success();
}

fn volumes(lab: &Lab) {
    buildah(lab, "from --name w localhost/bb").success();
    let dir = lab.dir().join("shown");
    fs::create_dir_all(&dir).expect("mkdir");
    fs::write(dir.join("file"), "shown\n").expect("write");
    let line = with_runtime(
        lab,
        &format!("--isolation oci --network none --user 1000 --cap-add CAP_CHOWN -v {}:/data:ro w --", dir.display()),
    );
    buildah(lab, &format!("{line} sh -c 'cat /data/file; id -u'")).success().prints("shown\n1000\n");
    buildah(lab, "rm w").success();
}

fn runtime_flag(lab: &Lab) {
    buildah(lab, "from --name w localhost/bb").success();
    let log = lab.dir().join("flag.log");
    let line = with_runtime(
        lab,
        &format!("--isolation oci --network none --runtime-flag log={} --runtime-flag debug w -- true", log.display()),
    );
    buildah(lab, &line).success();
    assert!(fs::metadata(log).is_ok_and(|file| file.len() > 0), "nothing was logged");
    buildah(lab, "rm w").success();
}

fn bud(lab: &Lab, isolation: &str) {
    let network = if isolation == "chroot" { "host" } else { "none" };
    let dir = lab.dir().join(format!("bud-{isolation}"));
    fs::create_dir_all(&dir).expect("mkdir");
    let file = "FROM localhost/bb\nRUN echo built > /made\nUSER 1000\nRUN id -u > /tmp/id\nCMD cat /made /tmp/id\n";
    fs::write(dir.join("Containerfile"), file).expect("write");
    let options = format!("--runtime {} --isolation {isolation} --network {network}", lab.program.display());
    buildah(lab, &format!("bud -q {options} -t bud {}", dir.display())).success();
    lab.podman("run --rm --network none bud").success().prints("built\n1000\n");
    lab.podman("rmi bud").success();
}
