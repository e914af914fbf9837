//! podman as it comes on such a machine: systemd makes the containers' cgroups. On a host without systemd its other ways
//! are tested by `tests/clients`.
use crate::machine::stage;
use crate::support::{Lacks, Output, Stage, runtime, skip, uid, wait_for};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// podman with rrunc, and nothing else of the user's.
struct Podman<'a> {
    stage: &'a Stage,
}

impl Podman<'_> {
    fn new(stage: &Stage) -> Podman<'_> {
        let containers = stage.dir().join(".config/containers");
        fs::create_dir_all(&containers).expect("mkdir");
        let conf = format!(
            "[engine]\nevents_logger = \"file\"\nruntime = \"rrunc\"\nruntime_supports_nocgroup = [\"rrunc\"]\n\
             [engine.runtimes]\nrrunc = [{:?}]\n",
            runtime().to_str().expect("plain")
        );
        fs::write(containers.join("containers.conf"), conf).expect("write");
        fs::write(containers.join("storage.conf"), "[storage]\ndriver = \"vfs\"\n").expect("write");
        let root = stage.bundle_named("image").rootfs();
        let tar = stage.dir().join("image.tar");
        let packed = Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&tar).arg(".").status().expect("tar");
        assert!(packed.success());
        let podman = Podman { stage };
        podman.call(&["import", "-q", tar.to_str().expect("plain"), "bb"]).success();
        podman
    }

    fn call(&self, args: &[&str]) -> Output {
        let call = self.stage.call_program(Path::new("/usr/bin/podman"), args).within(Duration::from_secs(120));
        call.env("HOME", self.stage.dir()).env("XDG_RUNTIME_DIR", format!("/run/user/{}", uid())).run()
    }
}

impl Drop for Podman<'_> {
    fn drop(&mut self) {
        // Its own storage has files of other ids, and a process that keeps the namespaces.
        self.call(&["system", "reset", "--force"]);
        self.call(&["system", "migrate"]);
    }
}

#[test]
fn podman_has_systemd_make_the_cgroup_and_all_its_limits_hold() {
    let Some(stage) = stage() else { return };
    let podman = Podman::new(&stage);
    let manager = podman.call(&["info", "--format", "{{.Host.CgroupManager}} {{.Host.OCIRuntime.Name}}"]);
    manager.success().prints("systemd rrunc\n");
    let run = |args: &[&str]| podman.call(&[&["run", "--rm", "--network", "none"], args].concat());
    let limits = ["--memory", "100m", "--cpus", "0.5", "--pids-limit", "30"];
    let show = ["bb", "sh", "-c", "cd /sys/fs/cgroup; cat memory.max cpu.max pids.max /proc/self/cgroup"];
    run(&[&limits[..], &show].concat()).success().prints("104857600\n50000 100000\n30\n0::/\n");
    run(&["--memory", "32m", "bb", "dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"]).exits(137);
    run(&["--cgroups=disabled", "bb", "true"]).success();
    // Its other manager of cgroups names a place in the tree of the user's systemd, slices included.
    let other =
        ["--cgroup-manager", "cgroupfs", "run", "--rm", "--network", "none", "--memory", "50m", "--cpus", "0.5"];
    let show = ["bb", "sh", "-c", "cd /sys/fs/cgroup; cat memory.max cpu.max"];
    podman.call(&[&other[..], &show].concat()).success().prints("52428800\n50000 100000\n");
    // Two that podman 4 or the other tests' machine cannot do.
    let version = podman.call(&["--version"]).success().stdout;
    if version
        .split(' ')
        .nth(2)
        .and_then(|number| number.split('.').next()?.parse().ok())
        .is_some_and(|major: u32| major > 4)
    {
        podman.call(&["run", "--rm", "--network", "pasta", "bb", "ip", "route"]).success();
    } else {
        skip(Lacks::Machine("podman 5, which knows pasta"));
    }
    run(&["--ipc=host", "bb", "true"]).success();

    podman.call(&["run", "-d", "--name", "c", "--network", "none", "--memory", "64m", "bb", "sleep", "1000"]).success();
    let pid = podman.call(&["inspect", "--format", "{{.State.Pid}}", "c"]).success().stdout.trim().to_owned();
    let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("its cgroup");
    assert!(cgroup.contains("/user.slice/libpod-") && cgroup.trim().ends_with(".scope"), "{cgroup}");
    let dir = Path::new("/sys/fs/cgroup").join(cgroup.trim().trim_start_matches("0::/"));
    podman.call(&["exec", "c", "cat", "/proc/self/cgroup"]).success().prints("0::/\n");
    podman.call(&["update", "--memory", "80m", "c"]).success();
    assert_eq!(fs::read_to_string(dir.join("memory.max")).expect("the limit").trim(), "83886080");
    podman.call(&["pause", "c"]).success();
    podman.call(&["inspect", "--format", "{{.State.Status}}", "c"]).success().prints("paused\n");
    podman.call(&["unpause", "c"]).success();
    podman.call(&["rm", "--force", "-t", "0", "c"]).success();
    wait_for("systemd to let the scope go", || (!dir.exists()).then_some(()));
}
