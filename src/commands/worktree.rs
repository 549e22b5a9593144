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
pub async fn must_be_possible(directory: &Path) -> Result<(), Failure> {
    repository(directory).await.map(drop)
}

/// Makes one, with what is not committed here too.
pub async fn make(context: &Context) -> Result<Worktree, Failure> {
    let repository = repository(&context.directory).await?;
    let worktree = add(repository, "HEAD").await?;
    let from = context.directory.clone();
    filled(context, worktree, move |to, rules| {
        carry(&from, to, &rules(&from)?, &rules(to)?)
    })
    .await
}

/// Makes one for a run that was made elsewhere, from the commit it began with where this repository has that, else from
/// the one that is checked out in `directory`. `whole`: the mirror brings every file of the run, so none of the commit's
/// is left to stand in its way.
pub async fn of_run(
    context: &Context,
    directory: &Path,
    commit: Option<&str>,
    whole: bool,
) -> Result<Worktree, Failure> {
    let repository = repository(directory).await?;
    let base = match commit {
        Some(commit) if has(directory, commit).await => commit,
        _ => "HEAD",
    };
    let worktree = add(repository, base).await?;
    filled(context, worktree, move |to, rules| match whole {
        true => clear(to, &rules(to)?),
        false => Ok(()),
    })
    .await
}

/// This repository has the commit.
pub async fn has(directory: &Path, commit: &str) -> bool {
    let is_name = !commit.is_empty() && commit.chars().all(|char| char.is_ascii_hexdigit());
    let object = format!("{commit}^{{commit}}");
    is_name && git(directory, &["cat-file", "-e", &object]).await.is_ok()
}

async fn add(repository: Repository, base: &str) -> Result<Worktree, Failure> {
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
        &["worktree", "add", "--quiet", "-b", &branch, &shown, base],
    )
    .await
    .map_err(|why| {
        Failure::usage(format!("git cannot make a worktree at {shown}: {why}"))
            .hint("git worktree add DIR, then ashore -C DIR run …")
    })?;
    Ok(Worktree {
        directory: path.join(&repository.below),
        path,
        branch,
        repository: repository.top,
    })
}

/// Lets somebody put into it what it is to hold; when that fails nothing of it stays.
async fn filled(
    context: &Context,
    worktree: Worktree,
    fill: impl FnOnce(&Path, &dyn Fn(&Path) -> Result<Rules, String>) -> Result<(), String>
    + Send
    + 'static,
) -> Result<Worktree, Failure> {
    let to = worktree.directory.clone();
    let (ignore, include) = (
        context.ignore(&context.directory),
        context.settings.include.clone(),
    );
    let done = tokio::task::spawn_blocking(move || {
        let rules =
            |root: &Path| Rules::new(root, &ignore, &include).map_err(|error| error.to_string());
        std::fs::create_dir_all(&to).map_err(|error| error.to_string())?;
        fill(&to, &rules)
    })
    .await;
    let done = done.unwrap_or_else(|error| Err(error.to_string()));
    if let Err(why) = done {
        worktree.undo().await;
        let shown = worktree.path.display();
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
                "a worktree needs a git repository, and {place} is in none"
            ))
            .hint("without --worktree the run mirrors into this directory; --no-mirror leaves it alone")
        })?;
    let commit = ["rev-parse", "--verify", "--quiet", "HEAD^{commit}"];
    if git(directory, &commit).await.is_err() {
        return Err(Failure::usage(format!(
            "a worktree needs a commit, and the repository of {place} has none yet"
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
pub(crate) async fn git(directory: &Path, arguments: &[&str]) -> Result<String, String> {
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
fn carry(from: &Path, to: &Path, of_from: &Rules, of_to: &Rules) -> Result<(), String> {
    let (here, there) = (tree(from, of_from)?, tree(to, of_to)?);
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

/// The same, to hold nothing.
fn clear(to: &Path, rules: &Rules) -> Result<(), String> {
    for path in tree(to, rules)?.files.keys() {
        std::fs::remove_file(path.below(to)).map_err(named(path))?;
    }
    Ok(())
}

fn tree(root: &Path, rules: &Rules) -> Result<Tree, String> {
    let cache = Cache::default();
    scan::scan(root, rules, Limits::default(), &cache).map_err(|error| error.to_string())
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
