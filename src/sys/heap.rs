//! The heap of a process that has one thread: dlmalloc without a lock, on pages that are there before they are touched.
//!
//! Both count for a program that lives for two milliseconds: of `run`'s instructions outside the kernel a fifth locked and
//! unlocked a mutex, and each page of the heap cost a fault.
use dlmalloc::{Allocator, Dlmalloc};
use std::alloc::{GlobalAlloc, Layout};
use std::cell::{Cell, UnsafeCell};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// What dlmalloc asks for as a rule; whoever wants more at once may not touch all of it.
const USUAL: usize = 64 << 10;

/// rrunc's allocator. Using it from two threads at once ends the process.
pub struct Heap {
    heap: UnsafeCell<Dlmalloc<Pages>>,
    busy: AtomicBool,
}

// SAFETY: there is only one thread (ARCHITECTURE.md, "What there is not"; clippy.toml forbids to start another), and `with`
// ends the process rather than let a second one in.
unsafe impl Sync for Heap {}

impl Heap {
    /// An empty heap.
    #[allow(clippy::new_without_default, reason = "a static needs a const fn")]
    pub const fn new() -> Heap {
        Heap {
            heap: UnsafeCell::new(Dlmalloc::new_with_allocator(Pages { blocks: Cell::new(0) })),
            busy: AtomicBool::new(false),
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Dlmalloc<Pages>) -> T) -> T {
        if self.busy.load(Relaxed) {
            torn();
        }
        self.busy.store(true, Relaxed);
        // SAFETY: `busy` says that nobody else has it.
        let result = act(unsafe { &mut *self.heap.get() });
        self.busy.store(false, Relaxed);
        result
    }
}

/// A process of ours that was on this memory (`vfork`) was killed while it had the heap, by its container or since `exec` was
/// asked to end. There is nothing left to go on with, or to write a message with.
#[cold]
#[inline(never)]
fn torn() -> ! {
    let said = b"rrunc: ended, as its process was killed amid setting up\n";
    // SAFETY: the bytes are there for the call; nobody is left who could be told that it failed.
    unsafe { libc::write(libc::STDERR_FILENO, said.as_ptr().cast(), said.len()) };
    super::process::exit_now(255)
}

// Not inlined: it would be a tenth of the binary.
// SAFETY: dlmalloc keeps GlobalAlloc's promises; each call hands its arguments on as they are, under the same contract.
unsafe impl GlobalAlloc for Heap {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: see above.
        self.with(|heap| unsafe { heap.malloc(layout.size(), layout.align()) })
    }

    #[inline(never)]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: see above.
        self.with(|heap| unsafe { heap.calloc(layout.size(), layout.align()) })
    }

    #[inline(never)]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: see above.
        self.with(|heap| unsafe { heap.free(pointer, layout.size(), layout.align()) });
    }

    #[inline(never)]
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: see above.
        self.with(|heap| unsafe { heap.realloc(pointer, layout.size(), layout.align(), size) })
    }
}

/// Anonymous memory of the kernel's.
struct Pages {
    /// Of the usual size, so far.
    blocks: Cell<u32>,
}

// SAFETY: each region is a mapping of its own, private, readable and writable, of whole pages.
unsafe impl Allocator for Pages {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        let block = self.blocks.get();
        if size <= USUAL {
            self.blocks.set(block + 1);
        }
        // The first is what the short verbs take, and who wants a third wants it all. Of the second most take little, and a page that
        // nobody touches costs as much as the faults of three that are touched.
        let populate = if size <= USUAL && block != 1 { libc::MAP_POPULATE } else { 0 };
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping, at an address that the kernel chooses.
        let start = unsafe { libc::mmap(null_mut(), size, protection, flags | populate, -1, 0) };
        if start == libc::MAP_FAILED { (null_mut(), 0, 0) } else { (start.cast(), size, 0) }
    }

    fn remap(&self, start: *mut u8, old: usize, new: usize, can_move: bool) -> *mut u8 {
        let flags = if can_move { libc::MREMAP_MAYMOVE } else { 0 };
        // SAFETY: dlmalloc names a mapping that it has from `alloc`, and takes the new address for it.
        let start = unsafe { libc::mremap(start.cast(), old, new, flags) };
        if start == libc::MAP_FAILED { null_mut() } else { start.cast() }
    }

    fn free_part(&self, start: *mut u8, old: usize, new: usize) -> bool {
        // SAFETY: dlmalloc has nothing in the end of the mapping that goes.
        unsafe { libc::munmap(start.add(new).cast(), old - new) == 0 }
    }

    fn free(&self, start: *mut u8, size: usize) -> bool {
        // SAFETY: dlmalloc has nothing in it any more.
        unsafe { libc::munmap(start.cast(), size) == 0 }
    }

    fn can_release_part(&self, _flags: u32) -> bool {
        true
    }

    fn allocates_zeros(&self) -> bool {
        true
    }

    fn page_size(&self) -> usize {
        4096
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_keep_what_is_written_to_them_while_others_come_and_go() {
        let heap = Heap::new();
        let layout = |size: usize| Layout::from_size_align(size, 8).expect("a layout");
        let mut blocks = Vec::new();
        for round in 0..4000_usize {
            let size = 1 + round * 37 % 5000;
            // SAFETY: each block is used within its size, and given back once with the layout it was made with.
            unsafe {
                let start = if round % 3 == 0 { heap.alloc_zeroed(layout(size)) } else { heap.alloc(layout(size)) };
                assert!(round % 3 != 0 || (0..size).all(|at| *start.add(at) == 0), "zeros");
                start.write_bytes(round as u8, size);
                blocks.push((start, size, round as u8));
                if round % 2 == 0 {
                    let (start, size, mark) = blocks.swap_remove(round * 7 % blocks.len());
                    let grown = heap.realloc(start, layout(size), size * 3);
                    assert!((0..size).all(|at| *grown.add(at) == mark), "moved whole");
                    heap.dealloc(grown, layout(size * 3));
                }
            }
        }
        for (start, size, mark) in blocks {
            // SAFETY: as above.
            unsafe {
                assert!((0..size).all(|at| *start.add(at) == mark), "nobody else's");
                heap.dealloc(start, layout(size));
            }
        }
    }
}
