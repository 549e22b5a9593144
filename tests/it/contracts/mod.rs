//! One suite per trait, run by every implementation of it.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod log;
