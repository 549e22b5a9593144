//! Which files git tracks below a directory, asked of git itself: those count whatever a gitignore file says.
//!
//! Runs one git call that reads the index and nothing else. Without git, without a repository, or when git takes too long
//! the answer is: none.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::protocol::path::RelPath;

/// Longest that git may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Everything tracked below `directory`, relative to it, the files of its submodules among them.
pub async fn tracked(directory: &Path) -> Vec<RelPath> {
    match list(directory, &["--recurse-submodules"]).await {
        Some(paths) => paths,
        // A submodule that is broken must not cost the rest.
        None => list(directory, &[]).await.unwrap_or_default(),
    }
}

async fn list(directory: &Path, more: &[&str]) -> Option<Vec<RelPath>> {
    let run = Command::new("git")
        .arg("-C")
        .arg(directory)
        .args(["-c", "core.fsmonitor=false", "ls-files", "-z", "--cached"])
        .args(more)
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("GIT_NO_LAZY_FETCH", "1")
        // A hook of git may run us with these set, and they would name another repository.
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_INDEX_FILE")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(PATIENCE, run).await.ok()?.ok()?;
    let names = output.stdout.split(|byte| *byte == 0);
    output.status.success().then(|| {
        names
            .filter_map(|name| std::str::from_utf8(name).ok()?.parse().ok())
            .collect()
    })
}
