//! What the program is: its user, its privileges, its network.
use crate::support::{Lacks, Place, find_program, gid, skip, uid};
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;

fn status_field(status: &str, name: &str) -> String {
    let line = status.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
    line.unwrap_or_else(|| panic!("no {name} in {status}")).trim().to_owned()
}

#[test]
fn the_user_is_the_caller() {
    let place = Place::new();
    let out = place.sh(&[], "id -u; id -g; id -un; echo ~; stat -c %u .; cat /proc/self/setgroups").success();
    let name = nix::unistd::User::from_uid(nix::unistd::getuid()).expect("passwd").expect("an account").name;
    let home = place.home();
    assert_eq!(out.stdout, format!("{0}\n{1}\n{name}\n{2}\n{0}\ndeny\n", uid(), gid(), home.display()));
    // What it makes belongs to the caller outside, too.
    place.sh(&[], "touch made").success();
    use std::os::unix::fs::MetadataExt;
    let made = std::fs::metadata(place.project().join("made")).expect("made");
    assert_eq!((made.uid(), made.gid()), (uid(), gid()));
}

#[test]
fn as_root_is_uid_0_with_no_more_rights() {
    let place = Place::new();
    let out = place.sh(&["--as-root"], "id -u; id -g; stat -c %u .; touch made; cat /proc/self/status").success();
    assert!(out.stdout.starts_with("0\n0\n0\n"), "{}", out.stdout);
    assert_no_privilege(&out.stdout);
    use std::os::unix::fs::MetadataExt;
    assert_eq!(std::fs::metadata(place.project().join("made")).expect("made").uid(), uid());
}

fn assert_no_capability(status: &str) {
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(u64::from_str_radix(&status_field(status, set), 16), Ok(0), "{set}");
    }
    assert_eq!(status_field(status, "NoNewPrivs"), "1");
}

fn assert_no_privilege(status: &str) {
    assert_no_capability(status);
    assert_eq!(status_field(status, "Seccomp"), "2");
}

#[test]
fn no_capability_no_new_privileges_and_a_filter() {
    // The control: the bounding set of the tests is full, and they have neither flag nor filter.
    let own = std::fs::read_to_string("/proc/self/status").expect("read");
    assert_ne!(u64::from_str_radix(&status_field(&own, "CapBnd"), 16), Ok(0));
    let place = Place::new();
    for options in [&[][..], &["--network", "host"], &["--no-project"]] {
        assert_no_privilege(&place.sh(options, "cat /proc/self/status").success().stdout);
        // Pid 1 is rrunc's own, and runs nothing of the program's.
        assert_no_capability(&place.sh(options, "cat /proc/1/status").success().stdout);
    }
}

#[test]
fn core_files_are_off_even_for_piped_handlers() {
    let place = Place::new();
    let (_, hard) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_CORE).expect("getrlimit");
    // A limit of zero cannot be raised to the one that piped handlers respect.
    let expected = if hard > 0 { ["1", "1"] } else { ["0", "0"] };
    let limits = |script: &str| {
        let out = place.sh(&[], script).success();
        out.stdout.split_whitespace().skip(4).take(2).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(limits("grep 'Max core' /proc/self/limits"), expected);
    assert_eq!(limits("ulimit -c unlimited 2>/dev/null; grep 'Max core' /proc/self/limits"), expected);
    place.sh(&[], "sh -c 'kill -SEGV $$'; ls -A").success().prints("");
}

#[test]
fn other_processes_are_not_there() {
    let place = Place::new();
    let out =
        place.sh(&[], "ls -d /proc/[0-9]* | wc -l; hostname 2>/dev/null || cat /proc/sys/kernel/hostname").success();
    let lines: Vec<_> = out.stdout.lines().collect();
    // The shell, ls and wc; one more for what may stand at pid 1.
    assert!(lines[0].parse::<u32>().expect("a number") <= 4, "{lines:?}");
    assert_eq!(lines[1], "sandbox");
}

#[test]
fn every_namespace_is_its_own() {
    let place = Place::new();
    let names = ["user", "pid", "mnt", "net", "ipc", "uts", "cgroup"];
    let read = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let list = format!("for n in {}; do readlink /proc/self/ns/$n; done", names.join(" "));
    let inside = read(&place.sh(&[], &list).success().stdout);
    let shared = read(&place.sh(&["--network", "host"], &list).success().stdout);
    for ((name, inside), shared) in names.iter().zip(&inside).zip(&shared) {
        let own = std::fs::read_link(format!("/proc/self/ns/{name}")).expect("readlink");
        assert_ne!(Path::new(inside), own, "{name}");
        assert_eq!(Path::new(shared) == own, *name == "net", "{name} with --network host");
    }
}

/// Connects to a port of the loopback and prints what it is told there.
const CONNECT: &str =
    "import socket,sys\ns=socket.create_connection(('127.0.0.1',int(sys.argv[1])),5)\nprint(s.recv(9).decode())";

#[test]
fn the_hosts_loopback_is_reached_only_with_the_hosts_network() {
    if find_program("python3").is_none() {
        return skip(Lacks::Package("python3"));
    }
    let place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
    let port = listener.local_addr().expect("an address").port().to_string();
    let serve = std::thread::spawn(move || {
        let (mut peer, _) = listener.accept().expect("accept");
        peer.write_all(b"welcome").expect("write");
    });
    let connect = ["python3", "-c", CONNECT, &port];
    let out = place.sandbox(&[&["--"][..], &connect].concat()).run().exits(1);
    assert!(out.stderr.contains("Connection refused"), "{}", out.stderr);
    let host = [&["--network", "host", "--"][..], &connect].concat();
    place.sandbox(&host).run().success().prints("welcome\n");
    serve.join().expect("the listener");
}

#[test]
fn an_own_loopback_is_up_and_alone() {
    if find_program("python3").is_none() {
        return skip(Lacks::Package("python3"));
    }
    let place = Place::new();
    let own = "import socket\nl=socket.create_server(('127.0.0.1',0))\nc=socket.create_connection(l.getsockname(),5)\n\
               l.accept()[0].sendall(b'x')\nprint(c.recv(1).decode())\nprint(sorted(n for _,n in socket.if_nameindex()))";
    place.sandbox(&["--", "python3", "-c", own]).run().success().prints("x\n['lo']\n");
    let out = place
        .sandbox(&["--", "python3", "-c", "import socket\nsocket.create_connection(('192.0.2.1',80),2)"])
        .run()
        .exits(1);
    assert!(out.stderr.contains("Network is unreachable"), "{}", out.stderr);
}

#[test]
fn names_resolve_with_the_hosts_network_as_on_the_host() {
    let place = Place::new();
    place.sh(&[], "cat /etc/resolv.conf").success().prints("nameserver 127.0.0.1\n");
    let own = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    place.sh(&["--network", "host"], "cat /etc/resolv.conf").success().prints(&own);
    place.sh(&[], "getent hosts localhost | grep -c localhost").success().prints("1\n");
}

#[test]
fn sockets_of_the_host_are_absent() {
    let place = Place::new();
    let socket = place.xdg().join("bus");
    let _listener = UnixListener::bind(&socket).expect("bind");
    let probe = format!("test -S {} && echo found; ls -A /run | wc -l", socket.display());
    let outside = std::process::Command::new("sh").args(["-c", &probe]).output().expect("sh");
    assert!(outside.stdout.starts_with(b"found"), "the control");
    place.sh(&[], &probe).success().prints("0\n");
    place.sh(&["--network", "host"], &probe).success().prints("0\n");
}
