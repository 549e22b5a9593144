//! `--worktree`: a git worktree of this repository for one run, holding exactly what stands here now.
//!
//! It is made beside the repository, with a branch of its own, and is the user's from then on: nothing of ours removes it
//! but a run that could not be created.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use crate::commands::context::Context;
use crate::commands::failure::{Exit, Failure};
use crate::mirror::ignore::Rules;
use crate::mirror::scan::{self, Cache, Limits, Tree};
use crate::protocol::file::{FileState, Mode};
use crate::protocol::path::RelPath;

/// One that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worktree {
    /// Its top.
    path: PathBuf,
    /// Where the run works: below the top when it was started below that of the repository.
    pub directory: PathBuf,
    branch: String,
    repository: PathBuf,
}

/// A repository that can have one.
#[derive(Debug)]
struct Repository {
    top: PathBuf,
    /// From there to where we stand.
    below: PathBuf,
}

impl Worktree {
    /// What the user has to know of it.
    pub fn sentence(&self) -> String {
        format!(
            "This run works in a worktree of its own: {} (branch {}). It stays when the run ends; `git worktree remove {}` and `git branch -D {}` take it away.",
            self.path.display(),
            self.branch,
            self.path.display(),
            self.branch,
        )
    }

    /// The run could not be created: nothing of it stays.
    pub async fn undo(&self) {
        let path = self.path.display().to_string();
        drop(git(&self.repository, &["worktree", "remove", "--force", &path]).await);
        drop(git(&self.repository, &["branch", "-D", &self.branch]).await);
    }
}

/// Whether one can be made here, before anything is.
pub async fn must_be_possible(context: &Context) -> Result<(), Failure> {
    repository(&context.directory).await.map(drop)
}

/// Makes one, with what is not committed here too.
pub async fn make(context: &Context) -> Result<Worktree, Failure> {
    let repository = repository(&context.directory).await?;
    let id = uuid::Uuid::new_v4().simple().to_string();
    let id = &id[..8];
    let name = repository
        .top
        .file_name()
        .map_or_else(|| "repository".into(), |name| name.to_string_lossy());
    let path = repository.top.with_file_name(format!("{name}-ashore-{id}"));
    let branch = format!("ashore/{id}");
    let shown = path.display().to_string();
    git(
        &repository.top,
        &["worktree", "add", "--quiet", "-b", &branch, &shown, "HEAD"],
    )
    .await
    .map_err(|why| {
        Failure::usage(format!("git cannot make a worktree at {shown}: {why}"))
            .hint("git worktree add DIR, then ashore -C DIR run …")
    })?;
    let worktree = Worktree {
        directory: path.join(&repository.below),
        path,
        branch,
        repository: repository.top,
    };
    let (from, to) = (context.directory.clone(), worktree.directory.clone());
    let (ignore, include) = (
        context.settings.ignore.clone(),
        context.settings.include.clone(),
    );
    let carried = tokio::task::spawn_blocking(move || carry(&from, &to, &ignore, &include)).await;
    let carried = carried.unwrap_or_else(|error| Err(error.to_string()));
    if let Err(why) = carried {
        worktree.undo().await;
        let text = format!("what stands here could not be brought to {shown}: {why}");
        return Err(Failure::new(Exit::Other, text));
    }
    Ok(worktree)
}

async fn repository(directory: &Path) -> Result<Repository, Failure> {
    let place = directory.display();
    let top = git(directory, &["rev-parse", "--show-toplevel"])
        .await
        .map_err(|_| {
            Failure::usage(format!(
                "--worktree needs a git repository, and {place} is in none"
            ))
            .hint("without --worktree the run mirrors into this directory; --no-mirror leaves it alone")
        })?;
    let commit = ["rev-parse", "--verify", "--quiet", "HEAD^{commit}"];
    if git(directory, &commit).await.is_err() {
        return Err(Failure::usage(format!(
            "--worktree needs a commit, and the repository of {place} has none yet"
        ))
        .hint("git commit once, or leave --worktree out"));
    }
    let top = PathBuf::from(top);
    let top = top.canonicalize().unwrap_or(top);
    let below = directory
        .strip_prefix(&top)
        .unwrap_or(Path::new(""))
        .to_owned();
    Ok(Repository { top, below })
}

/// Its trimmed output, or what it complained of.
async fn git(directory: &Path, arguments: &[&str]) -> Result<String, String> {
    let run = Command::new("git")
        .arg("-C")
        .arg(directory)
        .args(arguments)
        .env("GIT_TERMINAL_PROMPT", "0")
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(|error| format!("git cannot be started: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if run.status.success() {
        Ok(text(&run.stdout))
    } else {
        Err(text(&run.stderr))
    }
}

/// Makes `to`, which holds the last commit, hold what stands in `from`. Only in a worktree that was made this moment:
/// nothing there is anybody's yet.
fn carry(from: &Path, to: &Path, ignore: &[String], include: &[String]) -> Result<(), String> {
    std::fs::create_dir_all(to).map_err(|error| error.to_string())?;
    let tree = |root: &Path| -> Result<Tree, String> {
        let rules = Rules::new(root, ignore, include).map_err(|error| error.to_string())?;
        let cache = Cache::default();
        scan::scan(root, &rules, Limits::default(), &cache).map_err(|error| error.to_string())
    };
    let (here, there) = (tree(from)?, tree(to)?);
    for path in there.files.keys() {
        if !here.files.contains_key(path) {
            std::fs::remove_file(path.below(to)).map_err(named(path))?;
        }
    }
    for (path, state) in &here.files {
        if there.files.get(path) != Some(state) {
            put(from, to, path, state).map_err(named(path))?;
        }
    }
    Ok(())
}

fn named(path: &RelPath) -> impl Fn(io::Error) -> String {
    move |error| format!("{path}: {error}")
}

fn put(from: &Path, to: &Path, path: &RelPath, state: &FileState) -> io::Result<()> {
    let (source, target) = (path.below(from), path.below(to));
    if let Some(folder) = target.parent() {
        std::fs::create_dir_all(folder)?;
    }
    match std::fs::remove_file(&target) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => (),
    }
    if state.mode == Mode::Symlink {
        return std::os::unix::fs::symlink(std::fs::read_link(&source)?, &target);
    }
    std::fs::copy(&source, &target)?;
    let mode = if state.mode == Mode::Executable {
        0o755
    } else {
        0o644
    };
    std::fs::set_permissions(&target, std::fs::Permissions::from_mode(mode))
}
