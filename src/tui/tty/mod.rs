//! The language of terminals: what they send, what they are asked, what they are told beside the picture.
//!
//! Everything but `reader` and `out` is pure: bytes in, values out, or the other way round.

pub mod clip;
pub mod keys;
pub mod notify;
pub mod out;
pub mod reader;
pub mod report;
pub mod sieve;
pub mod title;
