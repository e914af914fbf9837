//! Networks that a rootless podman can have.
use crate::lab::Lab;
use crate::{Case, Tier::Quick, Tier::Whole};

pub const CASES: &[Case] = &[
    Case { name: "podman --network none", tier: Quick, act: none },
    Case { name: "podman --network host", tier: Quick, act: host },
    Case { name: "podman --network slirp4netns", tier: Whole, act: slirp4netns },
    Case { name: "podman --network slirp4netns, a published port", tier: Whole, act: port },
    Case { name: "podman --network pasta", tier: Whole, act: pasta },
    Case { name: "podman --network container:NAME", tier: Whole, act: container },
    Case { name: "podman --add-host, --dns", tier: Whole, act: names },
];

fn none(lab: &Lab) {
    let shown = lab.podman("run --rm --network none bb ip -o link").success().stdout;
    assert!(shown.contains("lo:") && shown.lines().count() == 1, "{shown}");
}

fn host(lab: &Lab) {
    let here = std::fs::read_link("/proc/self/ns/net").expect("a link").display().to_string();
    lab.podman("run --rm --network host bb readlink /proc/self/ns/net").success().prints(&format!("{here}\n"));
}

fn slirp4netns(lab: &Lab) {
    let shown = lab.podman("run --rm --network slirp4netns bb ip -o addr show tap0").success().stdout;
    assert!(shown.contains("10.0.2.100"), "{shown}");
}

fn port(lab: &Lab) {
    let options = "--network slirp4netns -p 127.0.0.1:18080:80";
    lab.podman(&format!("run -d --name c {options} bb sh -c 'while :; do echo served | nc -l -p 80; done'")).success();
    let end = std::time::Instant::now() + crate::support::PATIENCE;
    loop {
        let out = lab.call("busybox nc -w 2 127.0.0.1 18080").run();
        if out.stdout == "served\n" {
            break;
        }
        assert!(std::time::Instant::now() < end, "nothing is served: {out:?}");
    }
    lab.podman("rm -f -t 0 c").success();
}

fn pasta(lab: &Lab) {
    lab.podman("run --rm --network pasta bb ip -o link").success();
}

fn container(lab: &Lab) {
    super::life::running(lab, "");
    let options = "--rm --network container:c --ipc container:c --pid container:c";
    let shown = lab.podman(&format!("run {options} bb ps -o comm")).success().stdout;
    assert!(shown.contains("sleep"), "{shown}");
    lab.podman("rm -f -t 0 c").success();
}

fn names(lab: &Lab) {
    let shown = lab.podman(
        "run --rm --network slirp4netns --add-host box:10.1.2.3 --dns 10.9.8.7 bb cat /etc/hosts /etc/resolv.conf",
    );
    let shown = shown.success().stdout;
    assert!(shown.contains("10.1.2.3") && shown.contains("nameserver 10.9.8.7"), "{shown}");
}
