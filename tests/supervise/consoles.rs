//! The container's own terminal: opened in a devpts only, sent over a socket.
use super::look::modes;
use super::roles::{pty, role};
use nix::sys::termios::OutputFlags;
use rrunc::console;
use rrunc::sys::terminal::{self, Size};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd};

pub fn console_open() {
    let out = role("console").output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

/// In its own user and mount namespaces, where a devpts can be mounted.
pub fn in_own_devpts() -> u8 {
    use nix::mount::{MsFlags, mount, umount};
    use nix::sched::{CloneFlags, unshare};
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS).unwrap();
    std::fs::write("/proc/self/setgroups", "deny").unwrap();
    std::fs::write("/proc/self/uid_map", format!("0 {uid} 1")).unwrap();
    std::fs::write("/proc/self/gid_map", format!("0 {gid} 1")).unwrap();
    let none = None::<&str>;
    let root = std::env::temp_dir();
    mount(Some("tmpfs"), &root, Some("tmpfs"), MsFlags::empty(), none).unwrap();
    let pts = root.join("dev/pts");
    std::fs::create_dir_all(&pts).unwrap();
    let directory = File::open(&root).unwrap();
    let open = |size| console::open(directory.as_fd(), size);
    // A directory that is no devpts, with a file of that name.
    File::create(pts.join("ptmx")).unwrap();
    assert!(format!("{:#}", open(None).unwrap_err()).contains("/dev/pts is not a devpts"));
    mount(Some("devpts"), &pts, Some("devpts"), MsFlags::empty(), Some("newinstance,ptmxmode=0666")).unwrap();
    let made = open(Some((25, 90))).unwrap();
    assert_eq!(terminal::size(made.slave.as_fd()).unwrap(), Size { rows: 25, columns: 90 });
    let output = modes(made.slave.as_fd()).output_flags;
    assert!(output.contains(OutputFlags::OPOST) && !output.contains(OutputFlags::ONLCR));
    nix::unistd::write(&made.slave, b"a\n").unwrap();
    let mut seen = [0; 8];
    assert_eq!(nix::unistd::read(&made.master, &mut seen).unwrap(), 2);
    // One dimension alone is none.
    assert_eq!(terminal::size(open(Some((25, 0))).unwrap().slave.as_fd()).unwrap(), Size { rows: 0, columns: 0 });
    // Something mounted on top of the real ptmx.
    let other = root.join("other");
    File::create(&other).unwrap();
    mount(Some(&other), &pts.join("ptmx"), none, MsFlags::MS_BIND, none).unwrap();
    assert!(open(None).is_err());
    umount(&pts.join("ptmx")).unwrap();
    // A link is followed inside the root only; outside it leads to the devpts that has just served.
    let second = root.join("second");
    std::fs::create_dir_all(second.join("dev")).unwrap();
    std::os::unix::fs::symlink(&pts, second.join("dev/pts")).unwrap();
    assert!(console::open(File::open(&second).unwrap().as_fd(), None).is_err());
    0
}

pub fn console_send() {
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
    let directory = std::env::temp_dir().join(format!("rrunc-{}-{}", std::process::id(), "long".repeat(30)));
    std::fs::create_dir(&directory).unwrap();
    let handle = File::open(&directory).unwrap();
    let listener = std::os::unix::net::UnixListener::bind(format!("/proc/self/fd/{}/s", handle.as_raw_fd())).unwrap();
    let made = pty();
    console::send(&directory.join("s"), made.master.as_fd(), console::MASTER_NAME).unwrap();
    let (socket, _) = listener.accept().unwrap();
    let mut space = nix::cmsg_space!([i32; 4]);
    let mut text = [0; 64];
    let mut parts = [std::io::IoSliceMut::new(&mut text)];
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::empty()).unwrap();
    let fds = match message.cmsgs().unwrap().next().unwrap() {
        ControlMessageOwned::ScmRights(fds) => fds,
        other => panic!("{other:?}"),
    };
    let length = message.bytes;
    assert_eq!(fds.len(), 1);
    assert_eq!(&text[..length], b"/dev/ptmx");
    // One message and then the end.
    assert_eq!((&socket).read(&mut [0]).unwrap(), 0);
    std::fs::remove_dir_all(directory).unwrap();
}
