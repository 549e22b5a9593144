//! The directory the agent works in: seeded with exactly the listed bytes, or the user's own (design decisions 8 and 9).
//!
//! The history comes as a git bundle and is never checked out: the index is set from HEAD, and then the listed files
//! are written. No hooks, no filters, no user's git configuration, no shell.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt, TryStreamExt};
use tokio::process::Command;
use tokio::task::JoinError;

use crate::agent::road::Road;
use crate::client::error::Error as ClientError;
use crate::mirror::blobs::{self, Blobs, Wanted};
use crate::mirror::ground;
use crate::mirror::ignore::Rules;
use crate::mirror::life::{self, Life};
use crate::mirror::link;
use crate::mirror::lock::{self, Held, Stay};
use crate::mirror::scan::{self, Cache, Limits};
use crate::mirror::seedbed::{Seedbed, Spot};
use crate::mirror::tracked::tracked;
use crate::protocol::file::{FileManifest, FileState, ManifestFile, Mode};
use crate::protocol::hash::{ContentHash, Hasher};
use crate::protocol::launch::Launch;
use crate::protocol::path::RelPath;

/// Between two looks whether the manifest is there. The endpoint ends the wait.
const LOOK: Duration = Duration::from_secs(1);
const DOWNLOADS: usize = 8;
/// How often a blob is asked for before the step fails.
const TRIES: u32 = 60;

/// A directory that is ready for an agent.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    /// What stood there before the agent's first turn.
    pub(crate) baseline: BTreeMap<RelPath, FileState>,
    /// For the user, one line each.
    pub(crate) notes: Vec<String>,
    /// Held while this lives.
    _lock: Option<Held>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot make {path}")]
    Make {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{0} is no directory that can be worked in")]
    NoDirectory(PathBuf),
    #[error(transparent)]
    Busy(#[from] lock::Error),
    #[error("cannot read what the sandbox is to begin with")]
    Manifest(#[source] ClientError),
    #[error("cannot fetch {path}")]
    Fetch {
        path: String,
        #[source]
        source: blobs::Error,
    },
    #[error("cannot write {path}")]
    Write {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("git {what} failed: {words}")]
    Git { what: String, words: String },
    #[error("cannot scan the directory")]
    Scan(#[from] scan::Error),
    #[error(transparent)]
    Rules(#[from] crate::mirror::ignore::BadPattern),
}

impl Error {
    /// What the user can do.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::Make { .. } | Self::Write { .. } => {
                "check the disk of the endpoint: space and permissions"
            }
            Self::NoDirectory(_) => "start in a directory that exists",
            Self::Busy(_) => "stop the other run, or use --worktree or --environment cloud",
            Self::Manifest(_) | Self::Fetch { .. } => "check the endpoint, then start a new run",
            Self::Git { .. } => {
                "start a new run; the files come without the history if it fails again"
            }
            Self::Scan(_) | Self::Rules(_) => {
                "start in a smaller directory, or ignore what is large"
            }
        }
    }
}

/// Makes the directory ready; a second time finds it as it was left.
pub(crate) async fn prepare(
    launch: &Launch,
    road: &Road,
    locks: &Path,
) -> Result<Workspace, Error> {
    for part in ["", "home", "tmp", "stage"] {
        make(&launch.folder.join(part)).await?;
    }
    sweep(&launch.folder.join("stage")).await;
    match &launch.directory {
        Some(directory) => in_place(launch, directory, locks).await,
        None => sandbox(launch, road).await,
    }
}

/// The user's own directory, as it is.
async fn in_place(launch: &Launch, directory: &Path, locks: &Path) -> Result<Workspace, Error> {
    if !directory.is_absolute() || !directory.is_dir() {
        return Err(Error::NoDirectory(directory.to_owned()));
    }
    let lock = lock::take(locks, directory, &launch.at.run, Stay::Live).await?;
    Ok(Workspace {
        baseline: first_look(launch, directory).await?,
        // As the system calls it: what is watched is told by that name.
        root: lock.holder.root.clone(),
        notes: Vec::new(),
        _lock: Some(lock),
    })
}

async fn sandbox(launch: &Launch, road: &Road) -> Result<Workspace, Error> {
    let folder = launch.folder.canonicalize();
    let folder = folder.map_err(|source| Error::Make {
        path: launch.folder.clone(),
        source,
    })?;
    let root = folder.join("work");
    let done = launch.folder.join("seeded");
    let mut notes = Vec::new();
    let manifest = if launch.seeded {
        Some(manifest(road).await?)
    } else {
        None
    };
    if !done.exists() {
        let life = Life::of(&folder);
        // What a start before us left half done is ours alone: nothing has worked in it.
        drop(tokio::fs::remove_dir_all(&root).await);
        make(&root).await?;
        seed(launch, road, &root, manifest.as_ref(), &mut notes).await?;
        let marked = ground::blocking(move || life.begin().and_then(|()| life::mark(&done, "")));
        written("seeded", marked.await)?;
    }
    let baseline = match manifest {
        Some(manifest) => listed(&manifest, &mut Vec::new())
            .into_iter()
            // An empty folder is made, and no change of it is told.
            .filter(|(_, file)| file.mode != Mode::Directory)
            .map(|(path, file)| (path, file.into()))
            .collect(),
        None => first_look(launch, &root).await?,
    };
    Ok(Workspace {
        root,
        baseline,
        notes,
        _lock: None,
    })
}

async fn seed(
    launch: &Launch,
    road: &Road,
    root: &Path,
    manifest: Option<&FileManifest>,
    notes: &mut Vec<String>,
) -> Result<(), Error> {
    let git = Git::new(launch, root);
    let has_git = git.run(&["--version"]).await.is_ok();
    let bundled = manifest.and_then(|manifest| Some((manifest, manifest.bundle?)));
    if let Some((manifest, bundle)) = bundled.filter(|_| has_git) {
        let at = launch.folder.join("bundle");
        fetch(road, bundle, 0, "the git history", &at).await?;
        git.history(&at, manifest, notes).await?;
        drop(tokio::fs::remove_file(&at).await);
    } else if has_git {
        git.run(&["init", "--quiet", "--initial-branch=main"])
            .await?;
    }
    if let Some(manifest) = manifest {
        write_all(road, root, manifest, notes).await?;
    }
    if !has_git {
        notes.push(
            "git is not installed in the sandbox: the files are there, the history is not"
                .to_owned(),
        );
    } else if bundled.is_none() {
        git.root_commit().await?;
    }
    // The mark that it is done must not outlive what it says.
    let bed = bed(root).await?;
    written("the files", ground::blocking(move || bed.settle()).await)
}

async fn bed(root: &Path) -> Result<Arc<Seedbed>, Error> {
    let at = root.to_owned();
    let opened = ground::blocking(move || Seedbed::open(&at).map(Arc::new)).await;
    written("the files", opened)
}

/// An error names what could not be written.
fn written<T>(path: &str, done: Result<io::Result<T>, JoinError>) -> Result<T, Error> {
    let done = done.map_err(io::Error::other).flatten();
    done.map_err(|source| Error::Write {
        path: path.to_owned(),
        source,
    })
}

/// Waits for the manifest: the client may still be sending blobs.
async fn manifest(road: &Road) -> Result<FileManifest, Error> {
    loop {
        let api = road.api();
        let manifest = api.seed_manifest(&road.at).await;
        match road.believe(&api, manifest).await {
            Ok(Some(manifest)) => return Ok(manifest),
            Ok(None) => (),
            Err(error) if error.is_passing() => road.look_again().await,
            Err(error) => return Err(Error::Manifest(error)),
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The files whose paths can be trusted; a note for every other one.
fn listed(manifest: &FileManifest, notes: &mut Vec<String>) -> Vec<(RelPath, ManifestFile)> {
    let parse = |(path, file): (&String, &ManifestFile)| match path.parse::<RelPath>() {
        Ok(parsed) => Some((parsed, *file)),
        Err(why) => {
            notes.push(format!("{} was left out: {why}", path.escape_debug()));
            None
        }
    };
    manifest.files.iter().filter_map(parse).collect()
}

async fn write_all(
    road: &Road,
    root: &Path,
    manifest: &FileManifest,
    notes: &mut Vec<String>,
) -> Result<(), Error> {
    let listed = listed(manifest, notes);
    let (links, files): (Vec<_>, Vec<_>) = listed
        .into_iter()
        .partition(|(_, file)| file.mode == Mode::Symlink);
    let bed = &bed(root).await?;
    let mut writes = Vec::new();
    for (path, file) in &files {
        writes.push(write(road, bed, path, file).boxed());
    }
    let written = futures::stream::iter(writes).buffer_unordered(DOWNLOADS);
    written.try_collect::<Vec<()>>().await?;
    // Links come last: while files are written there is none in the tree that could lead anywhere.
    for (path, file) in &links {
        if let Some(note) = write_link(road, bed, path, file).await? {
            notes.push(note);
        }
    }
    Ok(())
}

async fn write(
    road: &Road,
    bed: &Arc<Seedbed>,
    path: &RelPath,
    file: &ManifestFile,
) -> Result<(), Error> {
    if file.mode == Mode::Directory {
        let (bed, at) = (Arc::clone(bed), path.clone());
        let made = ground::blocking(move || bed.make_folder(&at)).await;
        return written(path.as_str(), made);
    }
    let spot = land(road, bed, path, file).await?;
    if file.mode == Mode::Executable {
        let changed = ground::blocking(move || spot.make_executable()).await;
        written(path.as_str(), changed)?;
    }
    Ok(())
}

/// The content in its place.
async fn land(
    road: &Road,
    bed: &Arc<Seedbed>,
    path: &RelPath,
    file: &ManifestFile,
) -> Result<Spot, Error> {
    let (bed, at) = (Arc::clone(bed), path.clone());
    let spot = ground::blocking(move || bed.spot(&at)).await;
    let spot = written(path.as_str(), spot)?;
    fetch(road, file.hash, file.size, path.as_str(), &spot.at).await?;
    Ok(spot)
}

async fn write_link(
    road: &Road,
    bed: &Arc<Seedbed>,
    path: &RelPath,
    file: &ManifestFile,
) -> Result<Option<String>, Error> {
    let spot = land(road, bed, path, file).await?;
    let at = path.clone();
    let made = ground::blocking(move || {
        let target = spot.target()?;
        match link::check(&at, &target) {
            Ok(_) => spot.become_link(&target).map(|()| None),
            Err(why) => {
                spot.remove()?;
                Ok(Some(format!("{at} was left out: {why}")))
            }
        }
    });
    written(path.as_str(), made.await)
}

/// Fetches a content into a new file and looks whether it is the right one.
async fn fetch(
    road: &Road,
    hash: ContentHash,
    size: u64,
    path: &str,
    into: &Path,
) -> Result<(), Error> {
    let want = Wanted {
        hash,
        size,
        storage_path: None,
    };
    let failed = |source| Error::Fetch {
        path: path.to_owned(),
        source,
    };
    let mut tries = 0;
    loop {
        match road.get(&want, into).await {
            Ok(()) => break,
            Err(blobs::Error::Unreachable(_)) if tries < TRIES => {
                tries += 1;
                road.look_again().await;
                tokio::time::sleep(LOOK).await;
            }
            Err(source) => return Err(failed(source)),
        }
    }
    let got = hash_of(into.to_owned())
        .await
        .map_err(|source| Error::Write {
            path: path.to_owned(),
            source,
        })?;
    if got == hash {
        Ok(())
    } else {
        Err(failed(blobs::Error::Wrong { want: hash, got }))
    }
}

async fn hash_of(path: PathBuf) -> io::Result<ContentHash> {
    let hashed = tokio::task::spawn_blocking(move || {
        let mut file = File::open(path)?;
        let mut hasher = Hasher::default();
        let mut piece = vec![0; 64 * 1024];
        loop {
            match io::Read::read(&mut file, &mut piece)? {
                0 => return Ok(hasher.finish()),
                read => hasher.update(&piece[..read]),
            }
        }
    });
    hashed.await.map_err(io::Error::other)?
}

/// What stood there at the very first start; kept, since later starts find the agent's work in it.
async fn first_look(launch: &Launch, root: &Path) -> Result<BTreeMap<RelPath, FileState>, Error> {
    let kept = launch.folder.join("baseline.json");
    if let Ok(text) = tokio::fs::read(&kept).await
        && let Ok(baseline) = serde_json::from_slice(&text)
    {
        return Ok(baseline);
    }
    let rules = Rules::new(root, &[], &[])?;
    rules.keep(&tracked(root).await);
    let directory = root.to_owned();
    let limits = Limits::at_least(launch.max_file);
    let scanned = tokio::task::spawn_blocking(move || {
        scan::scan(&directory, &rules, limits, &Cache::default())
    });
    let tree = scanned.await.map_err(|error| Error::Write {
        path: "baseline.json".to_owned(),
        source: io::Error::other(error),
    })??;
    let text = serde_json::to_string(&tree.files).unwrap_or_default();
    // Later starts stand upon it.
    let marked = ground::blocking(move || life::mark(&kept, &text)).await;
    written("baseline.json", marked)?;
    Ok(tree.files)
}

async fn make(path: &Path) -> Result<(), Error> {
    let made = tokio::fs::create_dir_all(path).await;
    made.map_err(|source| Error::Make {
        path: path.to_owned(),
        source,
    })
}

/// Copies that a killed start left behind.
async fn sweep(stage: &Path) {
    if let Ok(mut entries) = tokio::fs::read_dir(stage).await {
        while let Ok(Some(entry)) = entries.next_entry().await {
            drop(tokio::fs::remove_file(entry.path()).await);
        }
    }
}

/// git in the workspace, deaf to the user's configuration.
struct Git {
    root: PathBuf,
    environment: BTreeMap<String, String>,
}

impl Git {
    fn new(launch: &Launch, root: &Path) -> Self {
        let given = |key: &str| launch.secrets.get(key).cloned();
        let home = launch.folder.join("home").display().to_string();
        let pairs = [
            (
                "PATH",
                given("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".to_owned()),
            ),
            ("HOME", home),
            ("GIT_CONFIG_NOSYSTEM", "1".to_owned()),
            ("GIT_CONFIG_GLOBAL", "/dev/null".to_owned()),
            ("GIT_TERMINAL_PROMPT", "0".to_owned()),
            ("GIT_OPTIONAL_LOCKS", "0".to_owned()),
            ("LC_ALL", "C".to_owned()),
        ];
        Self {
            root: root.to_owned(),
            environment: pairs.map(|(key, value)| (key.to_owned(), value)).into(),
        }
    }

    async fn run(&self, arguments: &[&str]) -> Result<(), Error> {
        let failed = |words: String| Error::Git {
            what: arguments.first().copied().unwrap_or_default().to_owned(),
            words,
        };
        let done = Command::new("git")
            .args([
                "-c",
                "core.hooksPath=/dev/null",
                "-c",
                "core.fsmonitor=false",
            ])
            .args([
                "-c",
                "protocol.ext.allow=never",
                "-c",
                "commit.gpgSign=false",
            ])
            .args(arguments)
            .current_dir(&self.root)
            .env_clear()
            .envs(&self.environment)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|error| failed(error.to_string()))?;
        if done.status.success() {
            Ok(())
        } else {
            let words = String::from_utf8_lossy(&done.stderr);
            Err(failed(words.trim().chars().take(500).collect()))
        }
    }

    /// The bundle's history, HEAD where it was, the index from HEAD; no file is written but in `.git`.
    async fn history(
        &self,
        bundle: &Path,
        manifest: &FileManifest,
        notes: &mut Vec<String>,
    ) -> Result<(), Error> {
        self.run(&["init", "--quiet", "--initial-branch=main"])
            .await?;
        let bundle = bundle.display().to_string();
        let refs = ["heads", "tags", "remotes"].map(|kind| format!("+refs/{kind}/*:refs/{kind}/*"));
        let mut fetch = vec!["fetch", "--quiet", "--no-tags", "--update-head-ok", &bundle];
        fetch.extend(refs.iter().map(String::as_str));
        self.run(&fetch).await?;
        let head = manifest.head.as_deref().or(manifest.base_commit.as_deref());
        let Some(head) = head.filter(|head| is_commit(head)) else {
            notes.push("the history came without a commit to stand on".to_owned());
            return Ok(());
        };
        // A detached HEAD is no branch of the bundle, but is named in it.
        if self.run(&["cat-file", "-e", head]).await.is_err() {
            self.run(&["fetch", "--quiet", "--no-tags", &bundle, "HEAD"])
                .await?;
        }
        match manifest.branch.as_deref().filter(|branch| is_name(branch)) {
            Some(branch) => {
                let full = format!("refs/heads/{branch}");
                self.run(&["symbolic-ref", "HEAD", &full]).await?;
                self.run(&["update-ref", &full, head]).await?;
            }
            None => {
                self.run(&["update-ref", "--no-deref", "HEAD", head])
                    .await?
            }
        }
        self.run(&["read-tree", "HEAD"]).await?;
        for (name, url) in &manifest.remotes {
            let fits = is_name(name) && !url.starts_with('-') && !url.contains("::");
            if !fits || self.run(&["remote", "add", name, url]).await.is_err() {
                notes.push(format!("the remote {} was left out", name.escape_debug()));
            }
        }
        Ok(())
    }

    async fn root_commit(&self) -> Result<(), Error> {
        self.run(&[
            "-c",
            "core.autocrlf=false",
            "-c",
            "core.safecrlf=false",
            "add",
            "--all",
        ])
        .await?;
        let who = [
            "-c",
            "user.name=Ashore",
            "-c",
            "user.email=ashore@localhost",
        ];
        let commit = [
            "commit",
            "--quiet",
            "--allow-empty",
            "-m",
            "The files as they came",
        ];
        self.run(&[&who[..], &commit[..]].concat()).await
    }
}

/// The hash of a commit and nothing that could be an option or an expression.
fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// A branch or remote name that is no option and leaves no folder; git itself refuses the rest.
fn is_name(text: &str) -> bool {
    let odd = |c: char| c.is_control() || " ~^:?*[\\".contains(c);
    !text.is_empty()
        && !text.starts_with(['-', '/', '.'])
        && !text.contains("..")
        && !text.contains(odd)
}

/// The same port, for the scanner.
pub(crate) fn blobs(road: &Road) -> Arc<dyn Blobs> {
    Arc::new(road.clone())
}
