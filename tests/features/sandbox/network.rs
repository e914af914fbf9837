//! `--network pasta`: out, but not to the host.
use crate::support::{Lacks, Place, find_program, skip, wait_for};
use std::fs::File;
use std::io::Write;
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::time::Duration;

/// A name of the public network, which the registries of CI machines answer to.
const OUTSIDE: &str = "index.crates.io:443";

/// pasta can run here, or the test is skipped.
fn pasta() -> bool {
    if find_program("pasta").is_none() {
        skip(Lacks::Machine("pasta"));
        return false;
    }
    if File::options().read(true).write(true).open("/dev/net/tun").is_err() {
        skip(Lacks::Machine("a /dev/net/tun that users may open"));
        return false;
    }
    true
}

/// Python that says whether it can connect to `address`, a pair of host and port.
fn connect(address: &str) -> String {
    format!(
        "import socket\ntry:\n  socket.create_connection(({address}), 5).recv(1)\n  print('connected')\nexcept OSError as e:\n  print('refused')\n"
    )
}

#[test]
fn the_hosts_loopback_is_out_of_reach_of_pasta() {
    if !pasta() {
        return;
    }
    let place = Place::new();
    let server = TcpListener::bind("127.0.0.1:0").expect("listen");
    let port = server.local_addr().expect("address").port();
    // Whoever is let in gets a byte.
    let served = std::thread::spawn(move || server.accept().and_then(|(mut peer, _)| peer.write_all(b"x")));
    let script = connect(&format!("'127.0.0.1', {port}"));
    for network in ["pasta", "none"] {
        place.sandbox(&["--network", network, "--", "python3", "-c", &script]).run().success().prints("refused\n");
    }
    // The control.
    place.sandbox(&["--network", "host", "--", "python3", "-c", &script]).run().success().prints("connected\n");
    served.join().expect("the server").expect("one connection");
}

#[test]
fn names_are_found_and_the_network_is_reached_through_pasta() {
    if !pasta() {
        return;
    }
    let reachable = OUTSIDE.to_socket_addrs().ok().and_then(|mut all| all.next());
    if reachable.is_none_or(|address| TcpStream::connect_timeout(&address, Duration::from_secs(5)).is_err()) {
        return skip(Lacks::Machine("a way to the outside"));
    }
    let place = Place::new();
    let (host, port) = OUTSIDE.split_once(':').expect("a port");
    let script = format!("import socket\nsocket.create_connection(('{host}', {port}), 10)\nprint('connected')\n");
    place.sandbox(&["--network", "pasta", "--", "python3", "-c", &script]).run().success().prints("connected\n");
    place.sandbox(&["--", "python3", "-c", &script]).run().exits(1);
}

#[test]
fn pasta_ends_with_the_sandbox_however_that_ends() {
    if !pasta() {
        return;
    }
    let place = Place::new();
    let script = "ls /sys/class/net | sort | tail -1; echo ready; exec sleep 3733";
    let mut run = place.sandbox(&["--network", "pasta", "--", "sh", "-c", script]).spawn();
    run.wait_stdout("ready");
    let own = run.pid().to_string();
    let minder = children(&own).into_iter().find(|pid| name(pid) == "rrunc:[pasta]").expect("a minder");
    let stack = children(&minder);
    // It goes by its other name, passt, once it has chosen the code for this processor.
    let is_stack = |pid: &str| ["pasta", "passt"].contains(&name(pid).as_str());
    assert!(stack.len() == 1 && is_stack(&stack[0]), "{stack:?}");
    run.signal(nix::sys::signal::Signal::SIGKILL);
    run.wait();
    wait_for("pasta to end", || (!is_stack(&stack[0])).then_some(()));
    wait_for("its minder to end", || (name(&minder) != "rrunc:[pasta]").then_some(()));
    // Sweeps up what the killed one has left.
    place.sandbox(&["--network", "pasta", "--", "true"]).run().success();
}

fn children(pid: &str) -> Vec<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

/// Empty for a process that has gone, or has ended.
fn name(pid: &str) -> String {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    if is_zombie(pid) { String::new() } else { name.trim_end().split('.').next().unwrap_or_default().to_owned() }
}

fn is_zombie(pid: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.contains("State:\tZ")
}

#[test]
fn without_pasta_it_says_what_to_do() {
    let place = Place::new();
    let bundle = place.home().join("bundle");
    let args = ["--network", "pasta", "--write-bundle", bundle.to_str().expect("text"), "--", "true"];
    let warned = place.sandbox(&args).run().success().stderr;
    assert!(warned.contains("no network but its own"), "{warned}");
    if find_program("pasta").is_none() {
        place.sandbox(&["--network", "pasta", "--", "true"]).run().fails(125, &["pasta is not installed", "passt"]);
    }
}

/// A host of the test's own, with addresses beside that of its interface: an ordinary user has them in namespaces of his own.
/// The last line runs `$@` there as the user that he was.
const HOST: &str = "ip link set lo up; ip link add v type veth peer name w; ip addr add 10.9.0.1/24 dev v; \
    ip addr add fd09::1/64 dev v nodad; ip link set v up; ip link set w up; ip route add default via 10.9.0.2; \
    ip -6 route add default via fd09::2; for a in 10.77.0.1/32 169.254.169.254/32 fd77::1/128; do ip addr add $a dev lo; done; \
    python3 serve.py & exec unshare -U --map-user=$U --map-group=$G \"$@\"";

/// Whoever is let in gets a byte, as long as there is the file `serving`.
const SERVE: &str = "import os, socket\ns = socket.socket(socket.AF_INET6)\ns.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)\n\
    s.bind(('::', 7788))\ns.listen(9)\ns.settimeout(0.1)\nopen('serving', 'w')\nwhile os.path.exists('serving'):\n  \
    try: s.accept()[0].send(b'x')\n  except OSError: pass\n";

const TRY: &str = "import os, socket, time\nwhile not os.path.exists('serving'): time.sleep(0.01)\n\
    for a in ['10.77.0.1', '169.254.169.254', 'fd77::1', 'fe80::7%v']:\n  \
    i = socket.getaddrinfo(a, 7788, type=socket.SOCK_STREAM)[0]\n  s = socket.socket(i[0]); s.settimeout(2)\n  \
    try: s.connect(i[4]); print(a, s.recv(1).decode())\n  except OSError as e: print(a, e.errno or 'late')\n\
    n = [l.split()[1] for l in open('/etc/resolv.conf') if l.startswith('nameserver')]\n\
    for a in n[:1]: i = socket.getaddrinfo(a, 53, type=socket.SOCK_DGRAM)[0]; socket.socket(i[0], i[1]).connect(i[4])\n\
    print('done')\n";

#[test]
fn row_m9_no_address_of_the_hosts_is_reached_by_way_of_pasta() {
    if !pasta() {
        return;
    }
    if find_program("ip").is_none() {
        return skip(Lacks::Machine("ip"));
    }
    let place = Place::new();
    let project = place.project();
    for (name, text) in [("serve.py", SERVE), ("try.py", TRY)] {
        std::fs::write(project.join(name), text).expect("write");
    }
    let ids = format!("export U={} G={}; {HOST}", crate::support::uid(), crate::support::gid());
    let run = |command: &[&str]| {
        let all = [&["-Urn", "--kill-child", "sh", "-c", &ids, "sh"], command].concat();
        let out = place.call_program(&find_program("unshare").expect("unshare"), &all).cwd(&project).run();
        std::fs::remove_file(project.join("serving")).ok();
        out
    };
    let rrunc = crate::support::runtime().display().to_string();
    let control = run(&[
        &["pasta", "--config-net", "--no-map-gw"][..],
        &["-t", "none", "-u", "none"],
        &["--", "python3", "try.py"],
    ]
    .concat());
    if control.stderr.contains("RTNETLINK") || control.stderr.contains("unshare") {
        return skip(Lacks::Machine("network namespaces of an ordinary user's own"));
    }
    assert!(control.stdout.contains("10.77.0.1 x\n169.254.169.254 x\nfd77::1 x\n"), "control: {control:?}");
    // ENETUNREACH, at once.
    let closed = "10.77.0.1 101\n169.254.169.254 101\nfd77::1 101\nfe80::7%v 101\ndone\n";
    run(&[&rrunc, "sandbox", "--network", "pasta", "python3", "try.py"]).success().prints(closed);
}
