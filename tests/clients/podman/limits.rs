//! cgroups, limits, health, checkpoint.
use crate::lab::Lab;
use crate::{Case, Tier::Quick, Tier::Whole};

pub const CASES: &[Case] = &[
    Case { name: "podman --cgroups=disabled", tier: Quick, act: no_cgroups },
    Case { name: "podman --cgroupns=host, private", tier: Whole, act: cgroup_namespace },
    Case { name: "podman --memory", tier: Quick, act: memory },
    Case { name: "podman --cpus", tier: Whole, act: cpus },
    Case { name: "podman --pids-limit", tier: Whole, act: pids },
    Case { name: "podman stats", tier: Whole, act: stats },
    Case { name: "podman healthcheck run", tier: Quick, act: health },
    Case { name: "podman container checkpoint, refused cleanly", tier: Quick, act: checkpoint },
    Case { name: "podman info names the runtime", tier: Quick, act: info },
];

fn no_cgroups(lab: &Lab) {
    lab.podman("run --rm --cgroups=disabled --network none bb echo without").success().prints("without\n");
    lab.podman("run -d --name c --cgroups=disabled --network none bb sleep 3600").success();
    lab.podman("exec c echo inside").success().prints("inside\n");
    lab.podman("rm -f -t 0 c").success();
}

fn cgroup_namespace(lab: &Lab) {
    let shown = |option: &str| {
        lab.podman(&format!("run --rm --network none --cgroupns={option} bb grep ^0: /proc/self/cgroup"))
            .success()
            .stdout
    };
    assert_eq!(shown("private"), "0::/\n");
    assert_ne!(shown("host"), "0::/\n");
}

fn memory(lab: &Lab) {
    lab.podman("run --rm --network none --memory 100m bb cat /sys/fs/cgroup/memory.max")
        .success()
        .prints("104857600\n");
}

fn cpus(lab: &Lab) {
    lab.podman("run --rm --network none --cpus 0.5 bb cat /sys/fs/cgroup/cpu.max").success().prints("50000 100000\n");
}

fn pids(lab: &Lab) {
    lab.podman("run --rm --network none --pids-limit 33 bb cat /sys/fs/cgroup/pids.max").success().prints("33\n");
}

fn stats(lab: &Lab) {
    super::life::running(lab, "");
    lab.podman("stats --no-stream c").success();
    lab.podman("rm -f -t 0 c").success();
}

fn health(lab: &Lab) {
    // Without systemd nobody runs it at intervals: it is asked for.
    super::life::running(lab, "--health-cmd 'test -e /healthy' --health-interval disable --health-retries 1");
    lab.podman("healthcheck run c").exits(1);
    lab.podman("exec c touch /healthy").success();
    lab.podman("healthcheck run c").success();
    lab.podman("rm -f -t 0 c").success();
}

fn checkpoint(lab: &Lab) {
    super::life::running(lab, "");
    let out = lab.podman("container checkpoint c").exits(125);
    assert!(out.stderr.contains("heckpoint"), "{out:?}");
    lab.podman("exec c echo unharmed").success().prints("unharmed\n");
    lab.podman("rm -f -t 0 c").success();
}

fn info(lab: &Lab) {
    let shown = lab.podman("info --format '{{.Host.OCIRuntime.Name}} {{.Host.OCIRuntime.Version}}'").success();
    assert!(shown.line().starts_with(&lab.runtime) && shown.line().contains("version"), "{shown:?}");
}
