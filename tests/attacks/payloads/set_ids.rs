//! Every call that takes a mode, asked for a file with the set-user-id or set-group-id bit, in the working directory.
use super::say;
use nix::errno::Errno;
use std::ffi::{CString, c_long};
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;

/// Adds something to the mode that the kernel does not look at: 64-bit arguments, of which it takes sixteen bits.
const BEHIND: usize = 1 << 32 | 1 << 16;

struct Way {
    name: &'static str,
    number: c_long,
    /// The file exists already, and the call only changes it.
    exists: bool,
    /// From a path, a descriptor of that file and the mode to the call's arguments.
    arguments: fn(usize, usize, usize) -> [usize; 5],
}

const AT: usize = libc::AT_FDCWD as usize;
const CREATE: usize = (libc::O_CREAT | libc::O_WRONLY) as usize;
const REGULAR: usize = libc::S_IFREG as usize;

/// fchmodat2 has the same number everywhere.
const FCHMODAT2: c_long = 452;

const WAYS: &[Way] = &[
    #[cfg(target_arch = "x86_64")]
    Way { name: "chmod", number: libc::SYS_chmod, exists: true, arguments: |path, _, mode| [path, mode, 0, 0, 0] },
    Way { name: "fchmod", number: libc::SYS_fchmod, exists: true, arguments: |_, file, mode| [file, mode, 0, 0, 0] },
    Way {
        name: "fchmodat",
        number: libc::SYS_fchmodat,
        exists: true,
        arguments: |path, _, mode| [AT, path, mode, 0, 0],
    },
    Way { name: "fchmodat2", number: FCHMODAT2, exists: true, arguments: |path, _, mode| [AT, path, mode, 0, 0] },
    #[cfg(target_arch = "x86_64")]
    Way { name: "open", number: libc::SYS_open, exists: false, arguments: |path, _, mode| [path, CREATE, mode, 0, 0] },
    Way {
        name: "openat",
        number: libc::SYS_openat,
        exists: false,
        arguments: |path, _, mode| [AT, path, CREATE, mode, 0],
    },
    #[cfg(target_arch = "x86_64")]
    Way { name: "creat", number: libc::SYS_creat, exists: false, arguments: |path, _, mode| [path, mode, 0, 0, 0] },
    #[cfg(target_arch = "x86_64")]
    Way {
        name: "mknod",
        number: libc::SYS_mknod,
        exists: false,
        arguments: |path, _, mode| [path, REGULAR | mode, 0, 0, 0],
    },
    Way {
        name: "mknodat",
        number: libc::SYS_mknodat,
        exists: false,
        arguments: |path, _, mode| [AT, path, REGULAR | mode, 0, 0],
    },
];

/// The errno of a call, or `set` where the file then has the bit.
fn outcome(result: c_long, path: &str) -> String {
    if result == -1 {
        return format!("{:?}", Errno::last());
    }
    let mode = fs::metadata(path).expect("the file").permissions().mode();
    if mode & 0o6000 == 0 { "plain".to_owned() } else { "set".to_owned() }
}

#[test]
#[ignore = "runs inside a sandbox"]
fn every_way() {
    for (bits, mode) in [("u", 0o4755), ("g", 0o2755), ("both", 0o6755), ("behind", BEHIND | 0o4755)] {
        for way in WAYS {
            let path = format!("made-{}-{bits}", way.name);
            let file = way.exists.then(|| File::create(&path).expect("make it"));
            let name = CString::new(path.as_str()).expect("a name");
            let file = file.as_ref().map_or(usize::MAX, |file| file.as_raw_fd() as usize);
            let [a, b, c, d, e] = (way.arguments)(name.as_ptr() as usize, file, mode);
            // SAFETY: the only pointer is to the name, which outlives the call.
            let result = unsafe { libc::syscall(way.number, a, b, c, d, e) };
            say(format_args!("{} {bits}: {}", way.name, outcome(result, &path)));
        }
        unnamed(bits, mode);
        in_memory(bits, mode);
    }
}

/// Made without a name, which it gets later.
fn unnamed(bits: &str, mode: usize) {
    let path = format!("made-unnamed-{bits}");
    let flags = (libc::O_TMPFILE | libc::O_WRONLY) as usize;
    // SAFETY: the pointer is to a literal.
    let made = unsafe { libc::syscall(libc::SYS_openat, AT, c".".as_ptr(), flags, mode) };
    let mut result = made;
    if made >= 0 {
        let from = CString::new(format!("/proc/self/fd/{made}")).expect("a path");
        let to = CString::new(path.as_str()).expect("a name");
        let follow = libc::AT_SYMLINK_FOLLOW;
        // SAFETY: the pointers are to strings that outlive the call.
        result = unsafe { libc::syscall(libc::SYS_linkat, AT, from.as_ptr(), AT, to.as_ptr(), follow) };
    }
    say(format_args!("unnamed {bits}: {}", outcome(result, &path)));
}

/// openat2, whose mode lies in memory.
fn in_memory(bits: &str, mode: usize) {
    let path = format!("made-openat2-{bits}");
    let name = CString::new(path.as_str()).expect("a name");
    // open_how; it takes no bit that means nothing.
    let how = [CREATE as u64, (mode & 0o7777) as u64, 0];
    // SAFETY: both pointers are to memory that outlives the call, and the size is its own.
    let result = unsafe { libc::syscall(libc::SYS_openat2, AT, name.as_ptr(), how.as_ptr(), size_of_val(&how)) };
    say(format_args!("openat2 {bits}: {}", outcome(result, &path)));
}

/// What only opens, or makes what has no such bits, goes on as ever, whatever stands where a mode would.
#[test]
#[ignore = "runs inside a sandbox"]
fn harmless() {
    File::create("there").expect("make it");
    // SAFETY: the pointer is to a literal.
    let opened = unsafe { libc::syscall(libc::SYS_openat, AT, c"there".as_ptr(), libc::O_RDONLY, 0o6777) };
    say(format_args!("open: {}", opened >= 0));
    // SAFETY: as above.
    let made = unsafe { libc::syscall(libc::SYS_mkdirat, AT, c"directory".as_ptr(), 0o6755) };
    say(format_args!("mkdir: {}", made == 0));
    let sticky = fs::set_permissions("directory", fs::Permissions::from_mode(0o1777));
    say(format_args!("sticky: {}", sticky.is_ok()));
}
