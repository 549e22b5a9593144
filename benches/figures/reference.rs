//! The same work in JavaScript, when there is a node to run it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

pub(crate) struct Measured {
    pub(crate) time: Duration,
    /// At most, in MB.
    pub(crate) memory: f64,
}

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/figures/reference.js");

/// `None` without node.
pub(crate) fn run(what: &str, file: &Path) -> Option<Measured> {
    let output = Command::new("node")
        .args(["--max-old-space-size=8192", SCRIPT, what])
        .arg(file)
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
    Some(Measured {
        time: Duration::from_secs_f64(told["ms"].as_f64()? / 1e3),
        memory: told["rss"].as_f64()? / 1e6,
    })
}
