//! Creates a run: looks at the directory first, then task, run, contents, manifest, in that order.
//!
//! Nothing is created before the directory has been read and found small enough. The prompt is posted by the caller.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use serde_json::{Map, json};
use tokio::sync::mpsc;

use crate::attach::history::{self, History};
use crate::client::api::Api;
use crate::client::error::Error as Road;
use crate::client::retry::{Next, Retry};
use crate::client::runs::{self, DirectoryId, Known};
use crate::config::places::Places;
use crate::mirror::blobs::{self, Blobs};
use crate::mirror::ignore::{BadPattern, Rules};
use crate::mirror::scan::{self, Cache, Limits, Local, Tree};
use crate::mirror::tracked::tracked;
use crate::protocol::file::{FileManifest, FileState, ManifestFile, Mode};
use crate::protocol::hash::{ContentHash, Hasher};
use crate::protocol::ids::{ProjectId, RunRef};
use crate::protocol::path::RelPath;
use crate::protocol::run::{Environment, NewRun, Policy, Run};
use crate::protocol::task::{NewTask, Task};

/// Contents on their way at once.
const AT_ONCE: usize = 4;
/// How often a call that creates something is tried; its idempotency key makes that one creation.
const TRIES: u32 = 5;
/// How often a file that changes while it is sent is looked at again.
const LOOKS: u32 = 3;
/// In characters, of the prompt in its task's description.
const DESCRIPTION: usize = 4096;

/// What to create.
#[derive(Clone)]
pub struct Plan {
    /// The task's description; empty only towards an endpoint of ours.
    pub prompt: String,
    /// Absolute.
    pub directory: PathBuf,
    pub agent: Option<String>,
    pub agent_command: Option<String>,
    /// The user named the agent, so that no other is put in its place.
    pub agent_named: bool,
    pub permissions: Policy,
    pub environment: Environment,
    pub repo: Option<String>,
    pub branch: Option<String>,
    /// Environment of the agent child.
    pub secrets: BTreeMap<String, String>,
    /// Bytes of files above which nothing is created.
    pub size_limit: u64,
    /// Bytes of git history above which only the files travel.
    pub history_limit: u64,
    /// Bytes of the largest file that is mirrored.
    pub max_file: u64,
    /// gitignore patterns of the config.
    pub ignore: Vec<String>,
    pub include: Vec<String>,
    pub project: ProjectId,
    /// The run's files will be mirrored into `directory`; remembered, done by the caller.
    pub mirrored: bool,
}

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// The directory is being read.
    Scanning,
    /// Task and run are being created.
    Creating,
    /// From here on the run exists.
    Created(RunRef),
    /// Contents the endpoint lacked: so many of so many bytes are there.
    Uploading { done: u64, total: u64 },
    /// The manifest is there: the sandbox has all it needs.
    Seeded,
    /// One line for the user.
    Note(String),
}

/// What was created.
#[derive(Debug, Clone, PartialEq)]
pub struct Launched {
    pub at: RunRef,
    pub task: Task,
    pub run: Run,
    /// What the sandbox was seeded with: the mirror's first base. `None` when nothing was sent.
    pub manifest: Option<FileManifest>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "{files} files with {size} bytes are above the limit of {limit} bytes; ignore some, start in a smaller directory, or raise the limit"
    )]
    TooLarge { size: u64, limit: u64, files: usize },
    #[error(transparent)]
    Scan(#[from] scan::Error),
    #[error(transparent)]
    Pattern(#[from] BadPattern),
    #[error("cannot work in {0}: it is no directory")]
    NoDirectory(PathBuf),
    #[error("`--environment local` works on the local endpoint only: `{0}` is elsewhere")]
    NotLocal(String),
    #[error(transparent)]
    Road(#[from] Road),
    #[error("cannot send {path}: {source}")]
    Send {
        path: String,
        #[source]
        source: blobs::Error,
    },
    #[error("cannot prepare the files to be sent: {0}")]
    Disk(#[from] std::io::Error),
}

/// Does it all. `progress` is told on the way and never waited for longer than its reader takes.
pub async fn launch(
    api: &Api,
    places: &Places,
    plan: Plan,
    progress: mpsc::Sender<Progress>,
) -> Result<Launched, Error> {
    let hello = again(|| api.me()).await?;
    if !plan.directory.is_dir() {
        return Err(Error::NoDirectory(plan.directory));
    }
    let here = plan.environment == Environment::Local;
    if here && !api.endpoint().local {
        return Err(Error::NotLocal(api.endpoint().name.clone()));
    }
    let seeds = !here && hello.ours.is_some();
    let seed = if seeds {
        tell(&progress, Progress::Scanning).await;
        Some(look(&plan, &progress).await?)
    } else {
        if !here {
            tell(&progress, Progress::Note(format!(
                "`{}` does not take files from here: the agent works on its own copy of the repository",
                api.endpoint().name
            ))).await;
        }
        None
    };
    tell(&progress, Progress::Creating).await;
    let (task, run) = create(api, &plan, seeds).await?;
    let at = RunRef {
        project: plan.project,
        task: task.id.clone(),
        run: run.id.clone(),
    };
    remember(api, places, &plan, &at, &task);
    tell(&progress, Progress::Created(at.clone())).await;
    let manifest = match seed {
        Some(seed) => Some(send(api, &at, &plan, seed, &progress).await?),
        None => None,
    };
    Ok(Launched {
        at,
        task,
        run,
        manifest,
    })
}

/// A directory as it stood, ready to be sent.
struct Seed {
    tree: Tree,
    history: History,
    /// Holds the bundle and the contents that are no files; gone with it.
    folder: tempfile::TempDir,
}

async fn look(plan: &Plan, progress: &mpsc::Sender<Progress>) -> Result<Seed, Error> {
    let rules = rules(plan).await?;
    let root = plan.directory.clone();
    let tree = tokio::task::spawn_blocking(move || {
        scan::scan(&root, &rules, Limits::default(), &Cache::default())
    })
    .await
    .map_err(|_| std::io::Error::other("the directory could not be read to its end"))??;
    check_size(&tree, plan.size_limit)?;
    for problem in &tree.problems {
        tell(progress, Progress::Note(format!("not sent: {problem}"))).await;
    }
    let folder = tempfile::tempdir()?;
    let history = history::take(&plan.directory, folder.path(), plan.history_limit).await;
    if let Some(note) = &history.note {
        tell(progress, Progress::Note(note.clone())).await;
    }
    Ok(Seed {
        tree,
        history,
        folder,
    })
}

/// What git tracks travels, whatever a gitignore file says of it.
async fn rules(plan: &Plan) -> Result<Rules, BadPattern> {
    let rules = Rules::new(&plan.directory, &plan.ignore, &plan.include)?;
    rules.keep(&tracked(&plan.directory).await);
    Ok(rules)
}

fn check_size(tree: &Tree, limit: u64) -> Result<(), Error> {
    let size = tree.files.values().map(|file| file.size).sum();
    if size > limit {
        return Err(Error::TooLarge {
            size,
            limit,
            files: tree.files.len(),
        });
    }
    Ok(())
}

async fn create(api: &Api, plan: &Plan, seeds: bool) -> Result<(Task, Run), Error> {
    let new = NewTask {
        // The prompt itself is posted; this names the task in lists.
        description: plan.prompt.chars().take(DESCRIPTION).collect(),
        origin_product: Some("user_created".to_owned()),
        repository: plan.repo.clone(),
        ..NewTask::default()
    };
    let key = uuid::Uuid::new_v4().to_string();
    let task = again(|| api.create_task(plan.project, &new, &key)).await?;
    let new = new_run(plan, seeds);
    let key = uuid::Uuid::new_v4().to_string();
    let run = again(|| api.create_run(plan.project, &task.id, &new, &key)).await?;
    Ok((task, run))
}

fn new_run(plan: &Plan, seeds: bool) -> NewRun {
    let mut state = Map::new();
    let mut set = |key: &str, value| state.insert(key.to_owned(), value);
    if seeds {
        set("seed", json!("manifest"));
    }
    match (&plan.agent_command, &plan.agent) {
        (Some(command), _) => {
            set("agent_command", json!(command));
        }
        (None, Some(agent)) => {
            set("agent", json!(agent));
        }
        (None, None) => (),
    }
    // Said in any case: without it a named preset counts as the user's own wish.
    set("agent_named", json!(plan.agent_named));
    set("permissions", json!(plan.permissions));
    // The far side has a limit of its own: a larger one has to be said.
    if plan.max_file > Limits::default().file {
        set("max_file", json!(plan.max_file));
    }
    if plan.environment == Environment::Local {
        set("directory", json!(plan.directory.display().to_string()));
    }
    NewRun {
        environment: plan.environment.clone(),
        branch: plan.branch.clone(),
        state,
        secrets: plan.secrets.clone(),
    }
}

/// Before the upload, so that a run whose seeding was cut off can be found.
fn remember(api: &Api, places: &Places, plan: &Plan, at: &RunRef, task: &Task) {
    let seeds = plan.environment != Environment::Local;
    let known = Known {
        at: at.clone(),
        endpoint: api.endpoint().name.clone(),
        url: api.endpoint().url.to_string(),
        local: api.endpoint().local,
        directory: Some(plan.directory.clone()),
        seeded_from: seeds.then(|| plan.directory.clone()),
        seeded_id: DirectoryId::of(&plan.directory).filter(|_| seeds),
        mirrored: plan.mirrored,
        title: task.title.clone(),
        agent: plan.agent.clone().or_else(|| plan.agent_command.clone()),
        created: jiff::Timestamp::now().to_string(),
    };
    if let Err(error) = runs::remember(&places.runs(), &known) {
        tracing::warn!(%error, "the run is not remembered here");
    }
}

async fn send(
    api: &Api,
    at: &RunRef,
    plan: &Plan,
    seed: Seed,
    progress: &mpsc::Sender<Progress>,
) -> Result<FileManifest, Error> {
    let blobs = api.blobs(at);
    let mut files = seed.tree.files.clone();
    let folder = FileState {
        hash: ContentHash::of(b""),
        size: 0,
        mode: Mode::Directory,
    };
    files.extend(seed.tree.empty.iter().map(|path| (path.clone(), folder)));
    let bundle = match &seed.history.bundle {
        Some(bundle) => Some((hash_file(bundle).await?, bundle.clone())),
        None => None,
    };
    for look in 1..=LOOKS {
        let contents = contents(plan, &files, bundle.as_ref(), seed.folder.path())?;
        let changed = upload(&blobs, contents, progress).await?;
        let manifest = manifest(&files, &seed.history, bundle.as_ref());
        if changed.is_empty() {
            match again(|| api.put_manifest(at, &manifest)).await {
                Ok(()) => {
                    tell(progress, Progress::Seeded).await;
                    return Ok(manifest);
                }
                // 409: a content is missing after all; it is sent in the next round.
                Err(Road::Rejected { status: 409, .. }) if look < LOOKS => continue,
                Err(error) => return Err(error.into()),
            }
        }
        look_again(plan, &mut files, changed).await?;
    }
    Err(Error::Send {
        path: plan.directory.display().to_string(),
        source: blobs::Error::Refused(
            "files change faster than they can be sent; wait for what writes them".to_owned(),
        ),
    })
}

/// Where the bytes of each content are.
struct Content {
    state: FileState,
    from: PathBuf,
    /// `None` for the bundle.
    path: Option<RelPath>,
}

fn contents(
    plan: &Plan,
    files: &BTreeMap<RelPath, FileState>,
    bundle: Option<&(FileState, PathBuf)>,
    folder: &Path,
) -> Result<HashMap<ContentHash, Content>, Error> {
    let mut contents = HashMap::new();
    for (path, state) in files {
        let mut from = path.below(&plan.directory);
        let bytes = match state.mode {
            // The target's name is the content; the link is not followed.
            Mode::Symlink => Some(std::fs::read_link(&from)?.into_os_string()),
            Mode::Directory => Some(std::ffi::OsString::new()),
            Mode::File | Mode::Executable => None,
        };
        if let Some(bytes) = bytes {
            from = folder.join(state.hash.to_string());
            let mut file = std::fs::File::create(&from)?;
            file.write_all(std::os::unix::ffi::OsStrExt::as_bytes(bytes.as_os_str()))?;
        }
        let content = Content {
            state: *state,
            from,
            path: Some(path.clone()),
        };
        contents.insert(state.hash, content);
    }
    if let Some((state, from)) = bundle {
        let content = Content {
            state: *state,
            from: from.clone(),
            path: None,
        };
        contents.insert(state.hash, content);
    }
    Ok(contents)
}

/// Sends what the endpoint lacks; the paths that could not be sent because they had changed.
async fn upload(
    blobs: &Arc<dyn Blobs>,
    contents: HashMap<ContentHash, Content>,
    progress: &mpsc::Sender<Progress>,
) -> Result<Vec<RelPath>, Error> {
    let hashes: Vec<ContentHash> = contents.keys().copied().collect();
    let lacks = |source| Error::Send {
        path: "the list of contents".to_owned(),
        source,
    };
    let missing = again_blob(|| blobs.missing(&hashes)).await.map_err(lacks)?;
    let missing: Vec<&Content> = missing
        .iter()
        .filter_map(|hash| contents.get(hash))
        .collect();
    let total = missing.iter().map(|content| content.state.size).sum();
    let mut done = 0;
    let mut changed = Vec::new();
    // Futures are made by a plain loop: a closure over borrowed contents is too general for the compiler.
    let mut waiting = Vec::new();
    for content in missing {
        waiting.push(put(blobs, content));
    }
    let mut running = futures::stream::iter(waiting).buffer_unordered(AT_ONCE);
    while let Some((size, moved)) = running.try_next().await? {
        changed.extend(moved);
        done += size;
        tell(progress, Progress::Uploading { done, total }).await;
    }
    Ok(changed)
}

/// One content: its size, and its path when its bytes are others now.
async fn put(blobs: &Arc<dyn Blobs>, content: &Content) -> Result<(u64, Option<RelPath>), Error> {
    let FileState { hash, size, .. } = content.state;
    let failed = match again_blob(|| blobs.put(hash, size, &content.from)).await {
        Ok(()) => return Ok((size, None)),
        Err(error) => error,
    };
    // RACE: the file may have been saved since it was hashed; the endpoint then refuses the bytes, and they are looked at
    // again. Worst case: a file that stays as it was is refused for good, and that is told.
    match &content.path {
        Some(path) if is_changed(content).await => Ok((size, Some(path.clone()))),
        Some(_) | None => Err(Error::Send {
            path: content
                .path
                .as_ref()
                .map_or_else(|| "the git history".to_owned(), ToString::to_string),
            source: failed,
        }),
    }
}

async fn is_changed(content: &Content) -> bool {
    match hash_file(&content.from).await {
        Ok(now) => now.hash != content.state.hash,
        Err(_) => true,
    }
}

async fn look_again(
    plan: &Plan,
    files: &mut BTreeMap<RelPath, FileState>,
    changed: Vec<RelPath>,
) -> Result<(), Error> {
    let rules = rules(plan).await?;
    for path in changed {
        let (limits, cache) = (Limits::default(), Cache::default());
        match scan::look(&plan.directory, &path, &rules, limits, &cache) {
            Local::File(state) => {
                files.insert(path, state);
            }
            Local::Absent | Local::Directory | Local::Ignored(_) | Local::Obstacle(_) => {
                files.remove(&path);
            }
        }
    }
    Ok(())
}

fn manifest(
    files: &BTreeMap<RelPath, FileState>,
    history: &History,
    bundle: Option<&(FileState, PathBuf)>,
) -> FileManifest {
    FileManifest {
        version: 1,
        base_commit: history.head.clone(),
        updated_at: jiff::Timestamp::now().to_string(),
        files: files
            .iter()
            .map(|(path, state)| (path.to_string(), ManifestFile::from(*state)))
            .collect(),
        deleted_files: Vec::new(),
        bundle: bundle.map(|(state, _)| state.hash),
        head: history.head.clone(),
        branch: history.branch.clone(),
        remotes: history.remotes.clone(),
    }
}

async fn hash_file(file: &Path) -> Result<FileState, Error> {
    use tokio::io::AsyncReadExt;
    let mut reader = tokio::fs::File::open(file).await?;
    let mut hasher = Hasher::default();
    let mut size = 0;
    let mut piece = vec![0; 64 << 10];
    loop {
        let read = reader.read(&mut piece).await?;
        if read == 0 {
            break;
        }
        hasher.update(&piece[..read]);
        size += read as u64;
    }
    Ok(FileState {
        hash: hasher.finish(),
        size,
        mode: Mode::File,
    })
}

/// Tries a call again a few times while its failure may pass.
async fn again<T, F: Future<Output = Result<T, Road>>>(call: impl Fn() -> F) -> Result<T, Road> {
    let mut retry = Retry::default();
    loop {
        let error = match call().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        if retry.failures() + 1 >= TRIES {
            return Err(error);
        }
        let now = tokio::time::Instant::now().into_std();
        match retry.next(&error, now, rand::random()) {
            Next::Wait(wait) => tokio::time::sleep(wait).await,
            Next::GiveUp => return Err(error),
        }
    }
}

/// The same for contents.
async fn again_blob<T, F: Future<Output = Result<T, blobs::Error>>>(
    call: impl Fn() -> F,
) -> Result<T, blobs::Error> {
    let mut tries = 1;
    loop {
        match call().await {
            Err(blobs::Error::Unreachable(_)) if tries < TRIES => {
                tokio::time::sleep(Duration::from_millis(250) * tries).await;
                tries += 1;
            }
            other => return other,
        }
    }
}

/// A caller that does not look at the progress does not stop it.
async fn tell(progress: &mpsc::Sender<Progress>, what: Progress) {
    if progress.send(what).await.is_err() {
        tracing::trace!("nobody looks at the progress");
    }
}
