//! The git history of a directory as one bundle, where there is one that can travel.
//!
//! Reads only, and only through git itself, so that worktrees and `.git` as a file need no thought of ours. Whatever stands
//! in the way costs the history, never the run: the sandbox then starts with one root commit.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

/// Longest that one git call may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// What travels of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct History {
    /// The bundle's file, holding everything that HEAD can reach.
    pub(crate) bundle: Option<PathBuf>,
    pub(crate) head: Option<String>,
    pub(crate) branch: Option<String>,
    pub(crate) remotes: BTreeMap<String, String>,
    /// Why the history stays here, in one sentence.
    pub(crate) note: Option<String>,
}

/// Looks at `directory` and writes a bundle below `folder`, if it stays within `limit` bytes.
pub(crate) async fn take(directory: &Path, folder: &Path, limit: u64) -> History {
    let Some(top) = git(directory, &["rev-parse", "--show-toplevel"]).await else {
        return History::default();
    };
    let mut history = History {
        branch: git(directory, &["symbolic-ref", "--quiet", "--short", "HEAD"]).await,
        remotes: remotes(directory).await,
        ..History::default()
    };
    let (top, here) = (
        Path::new(&top).canonicalize().ok(),
        directory.canonicalize().ok(),
    );
    if top != here {
        // The sandbox's root is this directory; the repository's paths would not fit it.
        history.branch = None;
        history.remotes.clear();
        history.note =
            Some("started below the top of a git repository, so its history stays here".to_owned());
        return history;
    }
    let Some(head) = git(
        directory,
        &["rev-parse", "--verify", "--quiet", "HEAD^{commit}"],
    )
    .await
    else {
        history.note = Some("the git repository has no commit yet".to_owned());
        return history;
    };
    if git(directory, &["rev-parse", "--is-shallow-repository"])
        .await
        .as_deref()
        == Some("true")
    {
        history.note =
            Some("the git repository is a shallow clone, so its history stays here".to_owned());
        return history;
    }
    let bundle = folder.join("history.bundle");
    match write(directory, &bundle, limit).await {
        Ok(()) => (history.bundle, history.head) = (Some(bundle), Some(head)),
        Err(why) => history.note = Some(why),
    }
    history
}

async fn write(directory: &Path, bundle: &Path, limit: u64) -> Result<(), String> {
    let target = bundle.display().to_string();
    let made = git(directory, &["bundle", "create", "--quiet", &target, "HEAD"]).await;
    if made.is_none() {
        return Err("git cannot bundle the history, so it stays here".to_owned());
    }
    let size = tokio::fs::metadata(bundle)
        .await
        .map_err(|error| format!("the bundled history cannot be read: {error}"))?
        .len();
    if size > limit {
        return Err(format!(
            "the git history has {} MiB, above the limit of {} MiB, so it stays here",
            size >> 20,
            limit >> 20
        ));
    }
    Ok(())
}

/// The addresses of a repository's remotes by their names, without credentials.
pub(crate) async fn remotes(directory: &Path) -> BTreeMap<String, String> {
    let listed = git(directory, &["config", "--get-regexp", r"^remote\..*\.url$"])
        .await
        .unwrap_or_default();
    listed
        .lines()
        .filter_map(|line| {
            let (key, url) = line.split_once(' ')?;
            let name = key.strip_prefix("remote.")?.strip_suffix(".url")?;
            Some((name.to_owned(), without_credentials(url.trim())))
        })
        .collect()
}

/// Takes user and password out of a URL (design decision 8). `git@host:path` names an account, not a secret, and stays.
pub(crate) fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(user, host)| {
            // `ssh://git@host` needs its account; a password after it goes.
            if scheme.contains("ssh") && !user.contains(':') {
                authority
            } else {
                host
            }
        });
    // A token may hide in the query as well.
    let path = path.split(['?', '#']).next().unwrap_or(path);
    format!("{scheme}://{host}{path}")
}

/// One git call; its trimmed output, or `None` when it failed, is missing, or took too long.
async fn git(directory: &Path, arguments: &[&str]) -> Option<String> {
    let run = Command::new("git")
        .arg("-C")
        .arg(directory)
        .args(arguments)
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_OPTIONAL_LOCKS", "0")
        // A partial clone must not fetch the rest of itself from somewhere.
        .env("GIT_NO_LAZY_FETCH", "1")
        // A hook of git may run us with these set, and they would name another repository.
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_INDEX_FILE")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(PATIENCE, run).await.ok()?.ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn repository(folder: &Path, steps: &[&[&str]]) {
        for step in steps {
            let done = git(folder, step).await;
            assert!(done.is_some(), "git {step:?}");
        }
    }

    const COMMIT: &[&str] = &[
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@example.com",
        "commit",
        "-q",
        "--allow-empty",
        "-m",
        "first",
    ];

    #[test]
    fn credentials_never_travel_with_a_remote() {
        for (given, kept) in [
            (
                "https://ana:s3cret@example.com/a/b.git",
                "https://example.com/a/b.git",
            ),
            (
                "https://ghp_token@example.com/a/b.git",
                "https://example.com/a/b.git",
            ),
            (
                "https://example.com/a/b@c.git",
                "https://example.com/a/b@c.git",
            ),
            (
                "https://example.com/a.git?token=x",
                "https://example.com/a.git",
            ),
            ("ssh://git@example.com:22/a", "ssh://git@example.com:22/a"),
            ("ssh://git:pw@example.com/a", "ssh://example.com/a"),
            ("git@example.com:a/b.git", "git@example.com:a/b.git"),
            ("../other", "../other"),
        ] {
            assert_eq!(without_credentials(given), kept);
        }
    }

    #[tokio::test]
    async fn a_plain_folder_has_no_history_and_nothing_to_say() {
        let folder = tempfile::tempdir().unwrap();
        let history = take(folder.path(), folder.path(), 1 << 20).await;
        assert_eq!(history, History::default());
    }

    #[tokio::test]
    async fn a_repository_without_a_commit_sends_no_bundle() {
        let folder = tempfile::tempdir().unwrap();
        repository(folder.path(), &[&["init", "-q", "-b", "main"]]).await;
        let out = tempfile::tempdir().unwrap();
        let history = take(folder.path(), out.path(), 1 << 20).await;
        assert_eq!(history.bundle, None);
        assert_eq!(history.branch.as_deref(), Some("main"));
        assert!(history.note.unwrap().contains("no commit yet"));
    }

    #[tokio::test]
    async fn a_commit_travels_with_its_branch_and_a_clean_remote() {
        let folder = tempfile::tempdir().unwrap();
        let remote: &[&str] = &["remote", "add", "origin", "https://u:p@example.com/r.git"];
        repository(
            folder.path(),
            &[&["init", "-q", "-b", "main"], COMMIT, remote],
        )
        .await;
        let out = tempfile::tempdir().unwrap();
        let history = take(folder.path(), out.path(), 1 << 20).await;
        assert_eq!(history.note, None);
        assert_eq!(history.head.as_ref().map(String::len), Some(40));
        assert_eq!(history.remotes["origin"], "https://example.com/r.git");
        let bundle = history.bundle.unwrap().display().to_string();
        assert!(
            git(folder.path(), &["bundle", "verify", &bundle])
                .await
                .is_some()
        );
        let too_small = take(folder.path(), out.path(), 1).await;
        assert_eq!((too_small.bundle, too_small.head), (None, None));
        assert!(too_small.note.unwrap().contains("above the limit"));
    }

    #[tokio::test]
    async fn a_worktree_whose_git_is_a_file_travels_and_a_subdirectory_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let main = folder.path().join("main");
        std::fs::create_dir(&main).unwrap();
        let tree: &[&str] = &["worktree", "add", "-q", "../side"];
        repository(&main, &[&["init", "-q", "-b", "main"], COMMIT, tree]).await;
        let side = folder.path().join("side");
        assert!(side.join(".git").is_file());
        let out = tempfile::tempdir().unwrap();
        assert!(take(&side, out.path(), 1 << 20).await.bundle.is_some());
        let below = main.join("below");
        std::fs::create_dir(&below).unwrap();
        let history = take(&below, out.path(), 1 << 20).await;
        assert_eq!(history.bundle, None);
        assert!(history.note.unwrap().contains("below the top"));
    }
}
