//! An interpreter for the classic BPF that seccomp takes, strict as the kernel's verifier: what it refuses, panics here.
use libc::sock_filter;

/// `struct seccomp_data` without the instruction pointer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Data {
    pub number: u32,
    pub architecture: u32,
    pub arguments: [u64; 6],
}

impl Data {
    fn word(&self, offset: u32) -> u32 {
        assert!(offset.is_multiple_of(4) && offset < 64, "load of unaligned or foreign offset {offset}");
        match offset {
            0 => self.number,
            4 => self.architecture,
            8 | 12 => panic!("the instruction pointer is of no interest"),
            _ => {
                let argument = self.arguments[(offset as usize - 16) / 8];
                if offset.is_multiple_of(8) { argument as u32 } else { (argument >> 32) as u32 }
            }
        }
    }
}

/// The value the program returns, and how many instructions that took.
pub fn run(program: &[sock_filter], data: &Data) -> (u32, usize) {
    assert!(!program.is_empty() && program.len() <= 4096, "{} instructions", program.len());
    let (mut at, mut steps, mut accumulator) = (0, 0, 0_u32);
    loop {
        let sock_filter { code, jt, jf, k } = *program.get(at).expect("a jump past the end");
        at += 1;
        steps += 1;
        let code = u32::from(code);
        let branch = |holds: bool| usize::from(if holds { jt } else { jf });
        match code {
            c if c == libc::BPF_LD | libc::BPF_W | libc::BPF_ABS => accumulator = data.word(k),
            c if c == libc::BPF_ALU | libc::BPF_AND | libc::BPF_K => accumulator &= k,
            c if c == libc::BPF_JMP | libc::BPF_JA => at += k as usize,
            c if c == libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K => at += branch(accumulator == k),
            c if c == libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K => at += branch(accumulator > k),
            c if c == libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K => at += branch(accumulator >= k),
            c if c == libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K => at += branch(accumulator & k != 0),
            c if c == libc::BPF_RET | libc::BPF_K => return (k, steps),
            _ => panic!("instruction {at} has code {code:#x}, which no filter of ours should have"),
        }
    }
}

/// What the kernel checks of the whole program before it runs: every jump stays inside, every path ends in a return.
pub fn verify(program: &[sock_filter]) {
    assert!(!program.is_empty() && program.len() <= 4096, "{} instructions", program.len());
    for (at, i) in program.iter().enumerate() {
        let code = u32::from(i.code);
        let farthest = match code & 0x07 {
            libc::BPF_JMP if code & 0xf0 == libc::BPF_JA => i.k as usize,
            libc::BPF_JMP => usize::from(i.jt.max(i.jf)),
            _ => 0,
        };
        assert!(
            at + 1 + farthest < program.len() || code & 0x07 == libc::BPF_RET,
            "instruction {at} leaves the program"
        );
    }
}
