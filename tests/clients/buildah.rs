//! buildah, with both isolations.
use crate::Case;

/// All of them.
pub fn cases() -> Vec<Case> {
    Vec::new()
}
