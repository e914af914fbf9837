//! Numbers that are the same in every run, so that a failure can be repeated from its seed.
#![allow(dead_code, reason = "each test crate uses its own part")]

/// xorshift64*.
pub struct Random(u64);

impl Random {
    /// Any seed will do, 0 too: it is mixed first (splitmix64), so that neighbouring seeds have nothing in common.
    pub fn new(seed: u64) -> Random {
        let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Random((mixed ^ (mixed >> 31)) | 1)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit.max(1)
    }

    /// Whether something happens that happens in `percent` of all cases.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of them.
    pub fn one<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }

    /// One of them, each as often as its weight says.
    pub fn weighted<'a>(&mut self, of: &[(usize, &'a str)]) -> &'a str {
        let mut left = self.below(of.iter().map(|(weight, _)| weight).sum());
        for (weight, text) in of {
            if left < *weight {
                return text;
            }
            left -= weight;
        }
        unreachable!("below the sum of all weights")
    }
}
