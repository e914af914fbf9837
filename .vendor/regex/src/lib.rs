//! regex-lite in the place of regex: same authors, same interface, no tables of Unicode.
//!
//! oci-spec checks `process.execCPUAffinity` with one regular expression of digits and commas. For that, regex brings half
//! of all the pointers that a position-independent program has to relocate at each start, and a sixth of its size.
pub use regex_lite::*;
