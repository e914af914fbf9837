//! A container's life: run, detached, exec, stop, kill, pause, rm.
use crate::lab::Lab;
use crate::{Case, Tier::Quick};

pub const CASES: &[Case] = &[
    Case { name: "podman run: output and exit code 0", tier: Quick, act: run },
    Case { name: "podman run: exit code 7", tier: Quick, act: exit_code },
    Case { name: "podman run: exit code 125 for its own failure", tier: Quick, act: exit_125 },
    Case { name: "podman run: exit code 126 for a directory", tier: Quick, act: exit_126 },
    Case { name: "podman run: exit code 127 for a missing program", tier: Quick, act: exit_127 },
    Case { name: "podman run -it: a terminal", tier: Quick, act: terminal },
    Case { name: "podman run -i: standard input", tier: Quick, act: input },
    Case { name: "podman run -d, logs, wait, rm", tier: Quick, act: detached },
    Case { name: "podman exec: output, environment, exit codes", tier: Quick, act: exec },
    Case { name: "podman exec -it: a terminal", tier: Quick, act: exec_terminal },
    Case { name: "podman stop", tier: Quick, act: stop },
    Case { name: "podman kill, with a signal", tier: Quick, act: kill },
    Case { name: "podman rm -f of a running container", tier: Quick, act: remove },
    Case { name: "podman pause, unpause", tier: Quick, act: pause },
    Case { name: "podman top", tier: Quick, act: top },
];

/// `run -d` of something that stays, named `c`.
pub fn running(lab: &Lab, options: &str) {
    lab.podman(&format!("run -d --name c --network none {options} bb sleep 3600")).success();
}

fn run(lab: &Lab) {
    lab.podman("run --rm --network none bb echo hello").success().prints("hello\n");
}

fn exit_code(lab: &Lab) {
    lab.podman("run --rm --network none bb sh -c 'exit 7'").exits(7);
}

fn exit_125(lab: &Lab) {
    lab.podman("run --rm --network none --mount type=bind,src=/nosuch,dst=/x bb true").exits(125);
}

fn exit_126(lab: &Lab) {
    lab.podman("run --rm --network none bb /etc").fails(126, &["permission denied"]);
}

fn exit_127(lab: &Lab) {
    lab.podman("run --rm --network none bb nosuch").fails(127, &["nosuch", "not found"]);
}

fn terminal(lab: &Lab) {
    let mut terminal = lab.podman_at_terminal("run --rm -it --network none bb sh");
    terminal.expect("# ");
    terminal.send("stty size; tty\r");
    let shown = terminal.expect("/dev/");
    assert!(shown.contains("24 80"), "{shown}");
    terminal.send("exit 3\r");
    assert_eq!(terminal.wait().0, 3);
}

fn input(lab: &Lab) {
    let out = lab.podman_call("run --rm -i --network none bb cat").stdin("some text\n").run();
    out.success().prints("some text\n");
}

fn detached(lab: &Lab) {
    lab.podman("run -d --name c --network none bb sh -c 'echo out; echo err >&2; exit 5'").success();
    lab.podman("wait c").success().prints("5\n");
    let logs = lab.podman("logs c").success();
    assert_eq!((logs.stdout.as_str(), logs.stderr.as_str()), ("out\n", "err\n"));
    lab.podman("rm c").success();
    lab.podman("rm c").exits(1);
}

fn exec(lab: &Lab) {
    running(lab, "");
    lab.podman("exec c echo hello").success().prints("hello\n");
    lab.podman("exec -e A=b c sh -c 'echo $A'").success().prints("b\n");
    lab.podman("exec --user 1000 --workdir /tmp c sh -c 'id -u; pwd'").success().prints("1000\n/tmp\n");
    lab.podman("exec c sh -c 'exit 5'").exits(5);
    lab.podman("exec c nosuch").exits(127);
    lab.podman("exec c /etc").exits(126);
    lab.podman("rm -f -t 0 c").success();
}

fn exec_terminal(lab: &Lab) {
    running(lab, "");
    let mut terminal = lab.podman_at_terminal("exec -it c sh");
    terminal.expect("# ");
    terminal.send("tty\r");
    terminal.expect("/dev/pts/");
    terminal.send("exit 4\r");
    assert_eq!(terminal.wait().0, 4);
    lab.podman("rm -f -t 0 c").success();
}

fn stop(lab: &Lab) {
    lab.podman(
        "run -d --name c --network none bb sh -c 'trap \"exit 9\" TERM; echo ready; while :; do sleep 0.1; done'",
    )
    .success();
    lab.podman_until("logs c", "ready");
    lab.podman("stop -t 60 c").success();
    lab.podman("inspect --format '{{.State.Status}} {{.State.ExitCode}}' c").success().prints("exited 9\n");
    lab.podman("rm c").success();
}

fn kill(lab: &Lab) {
    lab.podman(
        "run -d --name c --network none bb sh -c 'trap \"exit 8\" USR1; echo ready; while :; do sleep 0.1; done'",
    )
    .success();
    lab.podman_until("logs c", "ready");
    lab.podman("kill --signal USR1 c").success();
    lab.podman("wait c").success().prints("8\n");
    lab.podman("start c").success();
    lab.podman("kill c").success();
    lab.podman("wait c").success().prints("137\n");
    lab.podman("rm c").success();
}

fn remove(lab: &Lab) {
    running(lab, "");
    lab.podman("rm c").fails(2, &["running"]);
    lab.podman("rm -f -t 0 c").success();
    assert_eq!(lab.podman("ps -aq").success().stdout, "");
}

fn pause(lab: &Lab) {
    running(lab, "");
    lab.podman("pause c").success();
    lab.podman("inspect --format '{{.State.Status}}' c").success().prints("paused\n");
    lab.podman("unpause c").success();
    lab.podman("exec c echo awake").success().prints("awake\n");
    lab.podman("rm -f -t 0 c").success();
}

fn top(lab: &Lab) {
    running(lab, "");
    let shown = lab.podman("top c pid comm").success().stdout;
    assert!(shown.contains("sleep"), "{shown}");
    lab.podman("rm -f -t 0 c").success();
}
