//! Pods, play kube, build.
use crate::lab::Lab;
use crate::{Case, Tier::Quick, Tier::Whole};
use std::fs;

pub const CASES: &[Case] = &[
    Case { name: "podman pod: shared network, ipc and host name", tier: Quick, act: pod },
    Case { name: "podman pod: shared pids", tier: Whole, act: pod_pids },
    Case { name: "podman pod: stop, start, pause", tier: Whole, act: pod_life },
    Case { name: "podman play kube", tier: Whole, act: kube },
    Case { name: "podman build", tier: Quick, act: build },
];

fn pod(lab: &Lab) {
    lab.podman("pod create --name p --network none --infra-image bb --infra-command 'sleep 3600'").success();
    lab.podman("run -d --pod p --name c bb sleep 3600").success();
    let shown = |kind: &str| lab.podman(&format!("exec c readlink /proc/self/ns/{kind}")).success().stdout;
    for kind in ["net", "ipc", "uts"] {
        let other = lab.podman(&format!("run --rm --pod p bb readlink /proc/self/ns/{kind}")).success().stdout;
        assert_eq!(shown(kind), other, "{kind}");
    }
    lab.podman("pod rm -f -t 0 p").success();
}

fn pod_pids(lab: &Lab) {
    let share = "--share pid,ipc,net,uts";
    lab.podman(&format!("pod create --name p {share} --network none --infra-image bb --infra-command 'sleep 3600'"))
        .success();
    lab.podman("run -d --pod p --name c bb sleep 77").success();
    let shown = lab.podman("run --rm --pod p bb ps -o args").success().stdout;
    assert!(shown.contains("sleep 77"), "{shown}");
    lab.podman("pod rm -f -t 0 p").success();
}

fn pod_life(lab: &Lab) {
    lab.podman("pod create --name p --network none --infra-image bb --infra-command 'sleep 3600'").success();
    lab.podman("run -d --pod p --name c bb sleep 3600").success();
    lab.podman("pod stop -t 0 p").success();
    lab.podman("pod start p").success();
    lab.podman("exec c echo again").success().prints("again\n");
    lab.podman("pod kill p").success();
    lab.podman("pod rm -f -t 0 p").success();
}

fn kube(lab: &Lab) {
    let file = lab.dir().join("pod.yaml");
    let text = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: k\nspec:\n  hostNetwork: true\n  containers:\n  - name: main\n    \
        image: localhost/bb:latest\n    imagePullPolicy: Never\n    command: [sh, -c, 'echo $A; sleep 3600']\n    env:\n    \
        - {name: A, value: played}\n    securityContext: {runAsUser: 1000, readOnlyRootFilesystem: true}\n    \
        volumeMounts: [{name: v, mountPath: /v}]\n  volumes:\n  - {name: v, emptyDir: {}}\n";
    fs::write(&file, text).expect("write");
    lab.podman(&format!("play kube {}", file.display())).success();
    lab.podman_until("logs k-main", "played");
    lab.podman("exec k-main id -u").success().prints("1000\n");
    lab.podman(&format!("play kube --down {}", file.display())).success();
    lab.podman("volume prune -f").success();
}

fn build(lab: &Lab) {
    let dir = lab.dir().join("build");
    fs::create_dir_all(&dir).expect("mkdir");
    fs::write(
        dir.join("Containerfile"),
        "FROM bb\nRUN echo built > /made\nUSER 1000\nRUN id -u > /tmp/id\nCMD cat /made /tmp/id\n",
    )
    .expect("write");
    lab.podman(&format!("build -q --network none -t made {}", dir.display())).success();
    lab.podman("run --rm --network none made").success().prints("built\n1000\n");
    lab.podman("rmi made").success();
}
