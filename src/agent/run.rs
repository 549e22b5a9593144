//! Serves one run from inside its sandbox: wires endpoint, child and workspace, and selects.
//!
//! Outlives the endpoint: a cut link only delays. Ends with the run, when its token is revoked, or when it was cut off
//! without work for too long.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::agent::child;
use crate::agent::files::{Files, Told};
use crate::agent::journal::{self, Closed, Fatal, Journal};
use crate::agent::limits::Limits;
use crate::agent::link::{self, Link};
use crate::agent::perform::{Ending, Server};
use crate::agent::reading;
use crate::agent::recall::Recall;
use crate::agent::road::Road;
use crate::agent::turns::Event;
use crate::agent::wishes::{self, Places};
use crate::agent::workspace::{self, Workspace};
use crate::client::stream::Heard;
use crate::mirror::{scan, watch};
use crate::protocol::amend::Amend;
use crate::protocol::command::{Command, What};
use crate::protocol::entry::{Decoded, Entry, Said, Step, StepStatus};
use crate::protocol::file::Mode;
use crate::protocol::ids::Seq;
use crate::protocol::launch::Launch;
use crate::protocol::line;

/// How long the last lines may take to reach the endpoint.
const LAST_LINES: Duration = Duration::from_secs(5);
/// How long a turn may take to close after the agent server was told to end.
const FAREWELL: Duration = Duration::from_secs(5);

/// What the agent server finds around it.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// Our own environment; little of it reaches the agent.
    pub environment: BTreeMap<String, String>,
    /// This very program, for the demo agent.
    pub executable: PathBuf,
    /// The folder of this user's directory locks, shared with the mirrors.
    pub locks: PathBuf,
    pub limits: Limits,
}

/// How it ended, when it ended as it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The run was closed, or we were told to end.
    Closed,
    /// The token is revoked or the run is gone: another agent server has it now, or nobody.
    Replaced,
    /// No endpoint and no work for the idle limit.
    CutOff,
}

/// Serves the run until it ends. An error is a run that could not be served; the journal has it as well.
pub async fn run(launch: Launch, around: Surroundings) -> anyhow::Result<Exit> {
    let road = Road::new(&launch).context("cannot reach the endpoint")?;
    tokio::fs::create_dir_all(launch.folder.join("stage"))
        .await
        .with_context(|| format!("cannot make {}", launch.folder.display()))?;
    let source = uuid::Uuid::new_v4().to_string();
    let (journal, writer) = journal::open(Arc::new(road.clone()), &launch.folder, source);
    let mut writing = JoinSet::new();
    writing.spawn(writer);
    let served = serve(launch, around, road, journal).await;
    // The journal's sender is gone: the writer ends when everything is accepted, or said before why it did.
    match timeout(LAST_LINES, writing.join_next()).await {
        Ok(fatal @ Some(Ok(Err(_)) | Err(_))) => fatal_end(fatal),
        Ok(_) | Err(_) => served,
    }
}

fn fatal_end(
    fatal: Option<Result<Result<(), Fatal>, tokio::task::JoinError>>,
) -> anyhow::Result<Exit> {
    match fatal {
        Some(Ok(Err(Fatal::Refused(error)))) => {
            tracing::info!(%error, "the endpoint takes no more lines of this agent server");
            Ok(Exit::Replaced)
        }
        Some(Ok(Err(error))) => Err(error.into()),
        Some(Err(error)) => Err(error).context("the journal broke"),
        Some(Ok(Ok(()))) | None => Ok(Exit::Closed),
    }
}

/// The child, if there is one, is gone with its whole group when this returns.
async fn serve(
    launch: Launch,
    around: Surroundings,
    road: Road,
    mut journal: Journal,
) -> anyhow::Result<Exit> {
    let mut told_to_end = signal(SignalKind::terminate()).context("cannot watch for signals")?;
    let closed = journal.closed();
    let begun = tokio::select! {
        begun = begin(&launch, &road, &around.locks, &mut journal) => begun?,
        // Before the agent is started there is nothing to close.
        _ = told_to_end.recv() => return Ok(Exit::Closed),
        () = closed => return Ok(Exit::Replaced),
    };
    let Some((workspace, recall)) = begun else {
        return Ok(Exit::Replaced);
    };
    let mut tasks = JoinSet::new();
    let (commands, link) = mpsc::channel(64);
    tasks.spawn(link::follow(road.clone(), recall.last(), commands));
    let (wisher, wishes) = wishes::queue();
    let (tell, told) = mpsc::channel(64);
    let mut files = files(&launch, &road, &workspace, &recall)?;
    for line in files.mend().await {
        journal.write(&line).await?;
    }
    let stirs = watch::watch(&workspace.root, files.rules(), &mut tasks);
    tasks.spawn(files.run(wishes, tell));
    let idle = Duration::from_secs(launch.idle_seconds.max(1));
    let mut server = Server::new(
        launch,
        around,
        workspace.root.clone(),
        road,
        journal,
        wisher,
        &recall,
    );
    let exit = live(&mut server, recall, link, told, stirs, told_to_end, idle).await;
    server.end_child().await;
    match exit {
        // Why the journal closed is known to its task alone.
        Err(error) if error.is::<Closed>() => Ok(Exit::Replaced),
        exit => exit,
    }
}

/// Makes the workspace and reads what was; `None` when the run is not ours any more.
async fn begin(
    launch: &Launch,
    road: &Road,
    locks: &Path,
    journal: &mut Journal,
) -> anyhow::Result<Option<(Workspace, Recall)>> {
    child::end_left(&launch.folder).await;
    // The endpoint, which may have waited for the files, has said so already.
    if launch.resume || !launch.seeded {
        step(journal, StepStatus::Started, None, None).await?;
    }
    let workspace = match workspace::prepare(launch, road, locks).await {
        Ok(workspace) => workspace,
        Err(error) => {
            let hint = error.hint().to_owned();
            let what = format!("{:#}", anyhow::Error::new(error));
            step(journal, StepStatus::Failed, Some(what.clone()), Some(hint)).await?;
            anyhow::bail!("the workspace could not be made: {what}");
        }
    };
    step(journal, StepStatus::Done, None, None).await?;
    for note in &workspace.notes {
        journal.write(&line::note(note)).await?;
    }
    // Behind this line stands everything a former start had not yet sent.
    let mark = journal.mark().await?;
    journal.durable(mark).await?;
    Ok(reading::recall(road)
        .await
        .map(|recall| (workspace, recall)))
}

async fn live(
    server: &mut Server,
    recall: Recall,
    mut link: mpsc::Receiver<Link>,
    mut told: mpsc::Receiver<Told>,
    mut stirs: mpsc::Receiver<watch::Batch>,
    mut told_to_end: Signal,
    idle: Duration,
) -> anyhow::Result<Exit> {
    let effects = server.turns.resume(recall.left());
    server.perform(effects).await?;
    for event in recall.waiting() {
        server.apply(event).await?;
    }
    if server.ending.is_none() {
        server.begin().await?;
    }
    let mut closed = pin!(server.journal.closed());
    let mut cut: Option<Instant> = None;
    let mut farewell: Option<Instant> = None;
    loop {
        match server.ending.take() {
            Some(Ending::Closed) => return Ok(Exit::Closed),
            Some(Ending::Failed(why)) => anyhow::bail!(why),
            None => (),
        }
        let room = server.journal.has_room();
        let idle_end = cut
            .filter(|_| !server.turns.is_working())
            .map(|since| since + idle);
        let wait_for_room = server.journal.room();
        tokio::select! {
            came = link.recv() => match came {
                Some(Link::Heard(heard)) => {
                    cut = None;
                    hear(server, heard).await?;
                }
                Some(Link::Cut) => cut = cut.or(Some(Instant::now())),
                Some(Link::Final(error)) => {
                    tracing::info!(%error, "the endpoint has no more commands for this agent server");
                    return Ok(Exit::Replaced);
                }
                None => return Ok(Exit::Replaced),
            },
            noticed = server.notice(room) => server.noticed(noticed).await?,
            Some(batch) = stirs.recv() => stirred(server, batch).await?,
            Some(one) = told.recv(), if room => {
                hear_of_files(server, one).await?;
                // Somebody waits for them: no more lines are waited for than are there.
                if told.is_empty() {
                    server.journal.hurry().await?;
                }
            }
            () = wait_for_room, if !room => (),
            () = &mut closed => return Err(Closed.into()),
            () = until(idle_end), if idle_end.is_some() => return Ok(Exit::CutOff),
            () = until(farewell), if farewell.is_some() => return Ok(Exit::Closed),
            _ = told_to_end.recv(), if farewell.is_none() => {
                farewell = Some(Instant::now() + FAREWELL);
                close(server).await?;
            }
        }
    }
}

async fn hear_of_files(server: &mut Server, told: Told) -> Result<(), Closed> {
    match told {
        Told::Line(message) => server.journal.write(&message).await,
        Told::Scanned(_) => server.apply(Event::Scanned).await,
        Told::Answered(seq) => server.apply(Event::EditsAnswered(seq)).await,
    }
}

async fn stirred(server: &mut Server, batch: watch::Batch) -> Result<(), Closed> {
    if let Some(note) = &batch.note {
        server.journal.write(&line::note(note)).await?;
    }
    server.stirred(Places::of(batch));
    Ok(())
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

async fn close(server: &mut Server) -> Result<(), Closed> {
    let command = Command {
        id: None,
        what: What::Close,
    };
    let seq = Seq::ZERO;
    server.apply(Event::Heard { seq, command }).await
}

async fn hear(server: &mut Server, heard: Heard) -> Result<(), Closed> {
    match heard {
        Heard::Lines(lines) => {
            for (seq, decoded) in lines {
                if let Decoded::Entry(entry) = decoded {
                    command(server, seq, entry).await?;
                }
            }
            Ok(())
        }
        Heard::Ended(_) => close(server).await,
        Heard::Opened { .. } | Heard::Live | Heard::Presence(_) => Ok(()),
    }
}

async fn command(server: &mut Server, seq: Seq, entry: Entry) -> Result<(), Closed> {
    let Said::Command(mut command) = entry.said else {
        return Ok(());
    };
    command.id = command.id.or(entry.command);
    let event = match &command.what {
        What::Cancel => Event::Cancel { ends: entry.ends },
        What::Amend(amendment) if amendment.how == Amend::Steer => Event::Steer {
            ends: entry.ends,
            amendment: amendment.clone(),
        },
        _ => Event::Heard { seq, command },
    };
    server.apply(event).await
}

async fn step(
    journal: &mut Journal,
    status: StepStatus,
    detail: Option<String>,
    hint: Option<String>,
) -> Result<(), Closed> {
    let step = Step {
        name: "workspace".to_owned(),
        status,
        detail,
        hint,
    };
    journal.write(&line::step(&step)).await
}

fn files(
    launch: &Launch,
    road: &Road,
    workspace: &Workspace,
    recall: &Recall,
) -> anyhow::Result<Files> {
    let mut known = workspace.baseline.clone();
    for (path, state) in recall.files() {
        match state.filter(|state| state.mode != Mode::Directory) {
            Some(state) => known.insert(path.clone(), state),
            None => known.remove(path),
        };
    }
    let stage = launch.folder.join("stage");
    let files = Files::new(&workspace.root, stage, known, workspace::blobs(road));
    let files = files.context("cannot watch the workspace")?;
    let files = files.with_limits(scan::Limits::at_least(launch.max_file));
    if launch.directory.is_some() {
        return Ok(files);
    }
    let kept = launch.folder.join("pre-images");
    files
        .with_applier(&launch.folder, &kept)
        .context("cannot write in the workspace")
}
