//! A small assembler for classic BPF that works backwards: what is jumped to is emitted before what jumps.
//!
//! All of BPF's jumps go forward, so by then the distance is known. A conditional jump reaches 255 instructions; for
//! anything farther a fresh copy of the return, or an unconditional jump (32 bits), is put within reach first. Returns
//! are shared as long as their last copy is near enough.
use libc::sock_filter;
use std::collections::HashMap;

/// The longest program the kernel takes (`BPF_MAXINSNS`, linux/bpf_common.h).
pub const MAX_INSTRUCTIONS: usize = 4096;

/// How far a conditional jump reaches: its two offsets are bytes.
const REACH: usize = 255;

const LOAD_WORD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const JUMP: u16 = (libc::BPF_JMP | libc::BPF_JA) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// What a conditional jump asks of the loaded word, unsigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Test {
    /// word == operand
    Equal = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
    /// word >= operand
    AtLeast = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16,
    /// word & operand != 0
    AnyBit = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16,
}

/// Where control goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// To a return of this SECCOMP_RET_* value, wherever a copy of it is.
    Return(u32),
    /// To an instruction that was emitted: its index counted from the program's end.
    At(usize),
}

/// A program in the making, last instruction first.
#[derive(Default)]
pub struct Assembler {
    backwards: Vec<sock_filter>,
    /// The copy of each return that was emitted last, thus nearest to the program's start.
    returns: HashMap<u32, usize>,
}

impl Assembler {
    /// Whether the program is longer than the kernel takes. Callers stop then: `finish` fails in any case.
    pub fn is_too_long(&self) -> bool {
        self.backwards.len() > MAX_INSTRUCTIONS
    }

    /// A conditional jump, or nothing at all when both ways lead to the same place.
    pub fn branch(&mut self, test: Test, operand: u32, yes: Target, no: Target) -> Target {
        if yes == no {
            return yes;
        }
        // Bringing `no` into reach may add one instruction, which pushes `yes` one farther away.
        let yes = self.within_reach(yes, 1);
        let no = self.within_reach(no, 0);
        let (jt, jf) = (self.distance(yes) as u8, self.distance(no) as u8);
        self.emit(sock_filter { code: test as u16, jt, jf, k: operand })
    }

    /// Loads the 32-bit word at `offset` of `struct seccomp_data`, then goes on to `next`.
    pub fn load(&mut self, offset: u32, next: Target) -> Target {
        self.continue_at(next);
        self.emit(sock_filter { code: LOAD_WORD, jt: 0, jf: 0, k: offset })
    }

    /// A block of code whose last instruction falls through to `then`, and that skips exactly one instruction more to
    /// get to `otherwise`: the shape of seccompiler's rules.
    pub fn rule(&mut self, block: &[seccompiler::sock_filter], then: u32, otherwise: Target) -> Target {
        self.continue_at(otherwise);
        self.emit_return(then);
        for i in block.iter().rev() {
            self.emit(sock_filter { code: i.code, jt: i.jt, jf: i.jf, k: i.k });
        }
        Target::At(self.backwards.len() - 1)
    }

    /// Makes the instruction at the front of the program so far lead to `target`.
    fn continue_at(&mut self, target: Target) {
        match target {
            Target::Return(value) => drop(self.emit_return(value)),
            Target::At(index) if index + 1 == self.backwards.len() => {}
            Target::At(index) => drop(self.emit_jump(index)),
        }
    }

    /// The whole program, first instruction first; none when it is too long for the kernel.
    pub fn finish(mut self) -> Option<Vec<sock_filter>> {
        if self.is_too_long() {
            return None;
        }
        self.backwards.reverse();
        Some(self.backwards)
    }

    /// The index of an instruction that leads to `target` and that the instruction after `spare` others can jump to.
    fn within_reach(&mut self, target: Target, spare: usize) -> usize {
        match target {
            Target::At(index) if self.distance(index) + spare <= REACH => index,
            Target::At(index) => self.emit_jump(index),
            Target::Return(value) => match self.returns.get(&value) {
                Some(&index) if self.distance(index) + spare <= REACH => index,
                _ => self.emit_return(value),
            },
        }
    }

    /// How many instructions lie between the next one to be emitted and `index`.
    fn distance(&self, index: usize) -> usize {
        self.backwards.len() - index - 1
    }

    fn emit_return(&mut self, value: u32) -> usize {
        self.returns.insert(value, self.backwards.len());
        self.emit(sock_filter { code: RETURN, jt: 0, jf: 0, k: value });
        self.backwards.len() - 1
    }

    fn emit_jump(&mut self, index: usize) -> usize {
        let k = self.distance(index) as u32;
        self.emit(sock_filter { code: JUMP, jt: 0, jf: 0, k });
        self.backwards.len() - 1
    }

    fn emit(&mut self, instruction: sock_filter) -> Target {
        self.backwards.push(instruction);
        Target::At(self.backwards.len() - 1)
    }
}
