//! landlock(7): rights that a process gives up for itself and all it starts. Neither nix nor libc wraps it.
use super::{check, owned};
use nix::errno::Errno;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// Open a file for writing.
pub const WRITE_FILE: u64 = 1 << 1;
/// Remove or rename a directory.
pub const REMOVE_DIR: u64 = 1 << 4;
/// Remove or rename anything else.
pub const REMOVE_FILE: u64 = 1 << 5;
/// Make a character device.
pub const MAKE_CHAR: u64 = 1 << 6;
/// Make a directory.
pub const MAKE_DIR: u64 = 1 << 7;
/// Make a regular file.
pub const MAKE_REG: u64 = 1 << 8;
/// Make a socket.
pub const MAKE_SOCK: u64 = 1 << 9;
/// Make a named pipe.
pub const MAKE_FIFO: u64 = 1 << 10;
/// Make a block device.
pub const MAKE_BLOCK: u64 = 1 << 11;
/// Make a symbolic link.
pub const MAKE_SYM: u64 = 1 << 12;
/// Link or rename from one directory to another. Before ABI 2 the kernel refuses it wherever files are restricted at
/// all.
pub const REFER: u64 = 1 << 13;
/// Shorten a file, by truncate(2) or O_TRUNC. From ABI 3 on.
pub const TRUNCATE: u64 = 1 << 14;

/// Connect to an abstract unix socket of a process outside. From ABI 6 on.
pub const ABSTRACT_UNIX_SOCKET: u64 = 1;
/// Send a signal to a process outside. From ABI 6 on.
pub const SIGNAL: u64 = 1 << 1;

/// Of the rights above those that a rule for anything but a directory may name.
const OF_FILES: u64 = WRITE_FILE | TRUNCATE;

const CREATE_RULESET_VERSION: u32 = 1;
const RULE_PATH_BENEATH: u32 = 1;

#[repr(C)]
struct RulesetAttr {
    handled_access_fs: u64,
    handled_access_net: u64,
    scoped: u64,
}

#[repr(C, packed)]
struct PathBeneathAttr {
    allowed_access: u64,
    parent_fd: i32,
}

/// Which Landlock the kernel has. 0: none, or it was not turned on at boot, or a seccomp filter around us forbids it.
pub fn abi() -> u32 {
    let nothing = std::ptr::null::<RulesetAttr>();
    // SAFETY: with this flag the kernel takes no structure and answers with a number.
    let version = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, nothing, 0usize, CREATE_RULESET_VERSION) };
    u32::try_from(version).unwrap_or(0)
}

/// What is given up, and where it is kept all the same.
#[derive(Debug)]
pub struct Ruleset {
    fd: OwnedFd,
    handled: u64,
}

impl Ruleset {
    /// Gives up the rights `handled` over files and the scopes `scoped`, of which there must be at least one.
    ///
    /// EINVAL: one that this kernel does not know, see [`abi`].
    pub fn new(handled: u64, scoped: u64) -> nix::Result<Ruleset> {
        let attr = RulesetAttr { handled_access_fs: handled, handled_access_net: 0, scoped };
        let size = size_of::<RulesetAttr>();
        // SAFETY: `attr` is `size` bytes and outlives the call. A kernel that knows a shorter one wants zeroes behind it.
        let fd = owned(unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, &raw const attr, size, 0u32) })?;
        Ok(Ruleset { fd, handled })
    }

    /// Keeps all rights over what `place` is open on, with O_PATH or otherwise, and over what is beneath it.
    pub fn keep(&self, place: RawFd) -> nix::Result<()> {
        match self.allow(place, self.handled) {
            // To ask first would be a system call for each of the many directories.
            Err(Errno::EINVAL) => self.allow(place, self.handled & OF_FILES),
            other => other,
        }
    }

    /// The same for what is known to be no directory.
    ///
    /// EBADFD: it has no place among files, as pipes and sockets, which no rule is about.
    pub fn keep_file(&self, file: RawFd) -> nix::Result<()> {
        self.allow(file, self.handled & OF_FILES)
    }

    fn allow(&self, place: RawFd, rights: u64) -> nix::Result<()> {
        let attr = PathBeneathAttr { allowed_access: rights, parent_fd: place };
        let ruleset = self.fd.as_raw_fd();
        // SAFETY: `attr` outlives the call; the kernel only reads it, and a wrong descriptor is an error.
        check(unsafe { libc::syscall(libc::SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &raw const attr, 0u32) })
            .map(drop)
    }

    /// Puts the calling thread under it, for good. Takes no_new_privs, or CAP_SYS_ADMIN in the own user namespace.
    ///
    /// E2BIG: sixteen rulesets hold already.
    pub fn restrict_self(&self) -> nix::Result<()> {
        // SAFETY: takes plain numbers.
        check(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, self.fd.as_raw_fd(), 0u32) }).map(drop)
    }
}
