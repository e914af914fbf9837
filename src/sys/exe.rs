//! Parting a forked child from the rrunc binary, so that /proc/PID/exe can never lead a container to it.
//!
//! In a rootless container root *is* the owner of the binary on the host, which makes CVE-2019-5736 worse than under
//! root: whoever opens /proc/1/exe may write to it once we have gone, and `#!/proc/self/exe` runs it inside. So the
//! child exchanges its exe for a sealed, empty memfd (`PR_SET_MM_MAP`, CAP_CHECKPOINT_RESTORE in its own user
//! namespace). The kernel allows that only when nothing of the old file is mapped any more, "the old file" being one
//! path on one mount: the read-only segments are mapped again through the child's own mount namespace, whose mounts
//! are others, and the few writable pages are copied. No re-exec, no stub: some 60 µs instead of 2 ms.
use super::{check, owned, prctl};
use nix::errno::Errno;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

const F_SEAL_ALL: libc::c_int = libc::F_SEAL_SEAL | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE;

/// `struct prctl_mm_map` of linux/prctl.h.
#[repr(C)]
struct MmMap {
    start_code: u64,
    end_code: u64,
    start_data: u64,
    end_data: u64,
    start_brk: u64,
    brk: u64,
    start_stack: u64,
    arg_start: u64,
    arg_end: u64,
    env_start: u64,
    env_end: u64,
    auxv: u64,
    auxv_size: u32,
    exe_fd: u32,
}

/// A part of the file in our memory.
struct Segment {
    start: usize,
    len: usize,
    offset: i64,
    protection: i32,
}

/// Whether read-only segments are copies, which have no file to come back from.
static COPIED: AtomicBool = AtomicBool::new(false);

/// Where the read-only-after-relocation part starts, and its length.
type Relro = Option<(usize, usize)>;

/// Makes /proc/self/exe name a sealed empty file. `file` is our binary opened through a mount other than the one it
/// was started from (a new mount namespace has only such), or none: then all of it is copied (about 1 ms).
///
/// EPERM without CAP_CHECKPOINT_RESTORE in the current user namespace, EINVAL on a kernel without
/// CONFIG_CHECKPOINT_RESTORE, EACCES where `vm.memfd_noexec` forbids executable memory files.
pub fn replace(file: Option<BorrowedFd>) -> nix::Result<()> {
    let sealed = sealed_empty_file()?;
    let (segments, relro) = segments()?;
    if file.is_none() {
        COPIED.store(true, Relaxed);
    }
    for segment in &segments {
        match file {
            Some(file) if segment.protection & libc::PROT_WRITE == 0 => map_again(segment, file)?,
            _ => copy(segment)?,
        }
    }
    make_readonly(relro)?;
    let first = segments.first().ok_or(Errno::ENOEXEC)?;
    let last = segments.last().ok_or(Errno::ENOEXEC)?;
    // SAFETY: brk(0) only asks.
    let brk = check(unsafe { libc::syscall(libc::SYS_brk, 0) })? as u64;
    let (args, len) = argument_memory();
    let (args, end) = (args as u64, (args as usize + len) as u64);
    // Everybody may read what counts as arguments (/proc/PID/cmdline), and the environment only who may look into the process.
    let environment = environment_start().unwrap_or(end);
    prctl::set_mm_map(&MmMap {
        start_code: first.start as u64,
        end_code: (last.start) as u64,
        start_data: last.start as u64,
        end_data: (last.start + last.len) as u64,
        // The heap cannot shrink below the break of now, which costs nothing.
        start_brk: brk,
        brk,
        start_stack: args,
        arg_start: args,
        arg_end: environment,
        env_start: environment,
        env_end: end,
        auxv: 0,
        auxv_size: 0,
        exe_fd: sealed.as_raw_fd() as u32,
    })
}

/// Makes read-only what the relocation of this program wrote to. glibc has done it before main, musl does not.
pub fn finish_relocation() -> nix::Result<()> {
    make_readonly(segments()?.1)
}

fn make_readonly(relro: Relro) -> nix::Result<()> {
    let Some((start, len)) = relro else { return Ok(()) };
    // SAFETY: after relocation nothing writes there: that is what this part of a program is.
    check(unsafe { libc::mprotect(start as *mut _, len, libc::PROT_READ) }.into()).map(drop)
}

/// Lets go of the pages of this program, for a long wait: what is needed again comes back from the file.
pub fn release_pages() -> nix::Result<()> {
    if COPIED.load(Relaxed) {
        return Ok(());
    }
    let (segments, _) = segments()?;
    let read_only: Vec<_> = segments.iter().filter(|segment| segment.protection & libc::PROT_WRITE == 0).collect();
    // Those that lie side by side, as a rule all, in one call.
    for side_by_side in read_only.chunk_by(|a, b| a.start + a.len == b.start) {
        let (start, len) = (side_by_side[0].start, side_by_side.iter().map(|segment| segment.len).sum());
        // SAFETY: nothing has ever been written to a segment that is only read.
        check(unsafe { libc::madvise(start as *mut _, len, libc::MADV_DONTNEED) }.into())?;
    }
    Ok(())
}

/// Overwrites the caller's arguments and environment, which a fork shows in /proc/PID/cmdline and environ, with
/// `title`. Afterwards this process must not read its environment or arguments any more.
pub fn forget_arguments(title: &str) {
    let (start, len) = argument_memory();
    if len == 0 {
        return;
    }
    let n = title.len().min(len - 1);
    // SAFETY: the strings' memory is ours and writable; nothing reads it any more, by this function's contract.
    unsafe {
        std::ptr::write_bytes(start, 0, len);
        std::ptr::copy_nonoverlapping(title.as_ptr(), start, n);
    }
}

/// The arguments that `without_arguments` has forgotten.
static FORGOTTEN: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Calls `act` with the arguments and the environment forgotten, which it must not read. They are remembered here only if it fails:
/// else a process has shared our memory meanwhile, and who has begun to read its arguments may be at it still.
pub fn without_arguments<T, E>(title: &str, act: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    let (start, len) = argument_memory();
    // SAFETY: the strings' memory is ours, and nobody writes to it now.
    let kept = unsafe { std::slice::from_raw_parts(start, len) }.to_vec();
    *FORGOTTEN.lock().unwrap_or_else(PoisonError::into_inner) = kept;
    forget_arguments(title);
    let result = act();
    if result.is_err() {
        remember_arguments();
    }
    result
}

/// Puts back what `without_arguments` has forgotten, for those outside who look at our arguments.
pub fn remember_arguments() {
    let kept = std::mem::take(&mut *FORGOTTEN.lock().unwrap_or_else(PoisonError::into_inner));
    let (start, _) = argument_memory();
    // SAFETY: the strings' memory is ours, nobody writes to it now, and as much was there as was taken from it.
    unsafe { std::ptr::copy_nonoverlapping(kept.as_ptr(), start, kept.len()) };
}

/// Where the kernel put the strings of argv and envp: one block, from `argv[0]` to the name the program was started by.
fn argument_memory() -> (*mut u8, usize) {
    unsafe extern "C" {
        /// glibc: argv[0], as main got it.
        static program_invocation_name: *mut libc::c_char;
    }
    // SAFETY: set before main and never changed; getauxval only reads.
    let (start, end) = unsafe { (program_invocation_name.cast::<u8>(), libc::getauxval(libc::AT_EXECFN) as usize) };
    (start, end.saturating_sub(start as usize))
}

/// Where the strings of envp begin in that block; none if there is no variable.
fn environment_start() -> Option<u64> {
    unsafe extern "C" {
        /// environ(7): what the kernel has made, since nobody sets a variable here.
        static environ: *const *const libc::c_char;
    }
    // SAFETY: set before main and never changed; it ends with a null pointer.
    let first = unsafe { *environ };
    (!first.is_null()).then_some(first as u64)
}

fn sealed_empty_file() -> nix::Result<OwnedFd> {
    const MFD_EXEC: u32 = 0x10; // Linux 6.3: without it vm.memfd_noexec=1 takes the x bits away
    let create = |flags: u32| {
        let flags = flags | libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
        // SAFETY: a constant name.
        owned(unsafe { libc::syscall(libc::SYS_memfd_create, c"rrunc".as_ptr(), flags) })
    };
    let file = match create(MFD_EXEC) {
        Err(Errno::EINVAL) => create(0)?,
        other => other?,
    };
    nix::sys::stat::fchmod(file.as_fd(), nix::sys::stat::Mode::from_bits_truncate(0o555))?;
    // SAFETY: plain numbers.
    check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, F_SEAL_ALL) }.into())?;
    Ok(file)
}

/// The file-backed segments of this program, from its own program headers, and its read-only-after-relocation part.
fn segments() -> nix::Result<(Vec<Segment>, Relro)> {
    // SAFETY: the kernel passes the address and number of the mapped program headers.
    let headers = unsafe {
        let address = libc::getauxval(libc::AT_PHDR) as *const libc::Elf64_Phdr;
        std::slice::from_raw_parts(address, libc::getauxval(libc::AT_PHNUM) as usize)
    };
    // They follow the ELF header, which is the beginning of the file and so of the segment that has offset 0.
    let file = headers.as_ptr() as usize - size_of::<libc::Elf64_Ehdr>();
    // SAFETY: the kernel has mapped the program headers with the page that they are in, from its start.
    let magic = unsafe { std::slice::from_raw_parts(file as *const u8, libc::SELFMAG) };
    let first = headers.iter().find(|h| h.p_type == libc::PT_LOAD && h.p_offset == 0);
    let first = first.filter(|_| magic == b"\x7fELF").ok_or(Errno::ENOEXEC)?;
    let base = file - first.p_vaddr as usize;
    // SAFETY: plain numbers. 64 KiB on some aarch64 kernels.
    let page = unsafe { libc::getauxval(libc::AT_PAGESZ) } as usize;
    let down = |address: usize| address & !(page - 1);
    let up = |address: usize| down(address + page - 1);
    let mut found = Vec::new();
    for h in headers.iter().filter(|h| h.p_type == libc::PT_LOAD && h.p_filesz > 0) {
        let start = down(base + h.p_vaddr as usize);
        let len = up(base + (h.p_vaddr + h.p_filesz) as usize) - start;
        let bit = |flag: u32, protection: i32| if h.p_flags & flag != 0 { protection } else { 0 };
        let protection =
            bit(libc::PF_R, libc::PROT_READ) | bit(libc::PF_W, libc::PROT_WRITE) | bit(libc::PF_X, libc::PROT_EXEC);
        found.push(Segment { start, len, offset: down(h.p_offset as usize) as i64, protection });
    }
    let relro = headers.iter().find(|h| h.p_type == libc::PT_GNU_RELRO).map(|h| {
        let start = down(base + h.p_vaddr as usize);
        (start, down(base + (h.p_vaddr + h.p_memsz) as usize) - start)
    });
    Ok((found, relro.filter(|(_, len)| *len > 0)))
}

fn map_again(segment: &Segment, file: BorrowedFd) -> nix::Result<()> {
    let flags = libc::MAP_PRIVATE | libc::MAP_FIXED;
    // SAFETY: the same bytes of the same inode come back at the same place with the same protection, atomically for
    // this single-threaded process; it never wrote there.
    let mapped = unsafe {
        let at = segment.start as *mut _;
        libc::mmap(at, segment.len, segment.protection, flags, file.as_raw_fd(), segment.offset)
    };
    if mapped == libc::MAP_FAILED { Err(Errno::last()) } else { Ok(()) }
}

fn copy(segment: &Segment) -> nix::Result<()> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE;
    // SAFETY: a fresh mapping takes a copy of the segment and then its place, with its protection. Nothing writes to
    // the segment in between: there is one thread, and none of these calls has state in it.
    unsafe {
        let fresh = libc::mmap(std::ptr::null_mut(), segment.len, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
        if fresh == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        std::ptr::copy_nonoverlapping(segment.start as *const u8, fresh.cast(), segment.len);
        check(libc::mprotect(fresh, segment.len, segment.protection).into())?;
        let how = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
        if libc::mremap(fresh, segment.len, segment.len, how, segment.start as *mut libc::c_void) == libc::MAP_FAILED {
            return Err(Errno::last());
        }
    }
    Ok(())
}
