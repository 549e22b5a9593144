//! How long an agent may take before it is given up on.
//!
//! Plain values, handed in by whoever starts an agent server.

use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// From its start to its session. A slow machine starts a heavy agent in seconds; one that needs longer than this
    /// waits for something else.
    pub opening: Duration,
    /// Without a word while it opens the session of before.
    pub reopening: Duration,
    /// From a cancel to the end of its turn.
    pub cancel: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            opening: Duration::from_secs(120),
            reopening: Duration::from_secs(30),
            cancel: Duration::from_secs(10),
        }
    }
}
