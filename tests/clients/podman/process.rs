//! What the program is: ids, capabilities, filter, limits.
use crate::Case;

pub const CASES: &[Case] = &[];
