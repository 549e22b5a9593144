//! The door to one mirrored directory: orders in, reports out; what it needs to live, and how a command reaches it.
//!
//! Both directions, unless told otherwise. The task itself is `actor`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::mirror::actor::Worker;
use crate::mirror::base::{self, Base, Known};
use crate::mirror::blobs::Blobs;
use crate::mirror::control::{self, Answer, Keep, Request};
use crate::mirror::disk::Disk;
use crate::mirror::hand::Hand;
use crate::mirror::ignore::{BadPattern, Rules};
use crate::mirror::lift;
use crate::mirror::lock::{self, Stay};
use crate::mirror::opened;
use crate::mirror::preimage::Preimages;
use crate::mirror::preview::{Preview, Scope};
use crate::mirror::scan::{Cache, Limits};
use crate::mirror::show::{Shown, Weight};
use crate::mirror::status::{FileReport, MirrorStatus, Way};
use crate::mirror::versions::{Put, Versions};
use crate::mirror::watch::watch;
use crate::protocol::command::Command;
use crate::protocol::file::{Applied, FileChange, FileManifest, FileState, Mode, Stale};
use crate::protocol::hash::ContentHash;
use crate::protocol::ids::{CommandId, RunId, Seq};
use crate::protocol::path::RelPath;

/// Orders that may wait, and that are taken at once.
pub(super) const ORDERS: usize = 256;

/// What the worker is told.
#[derive(Debug, Clone, PartialEq)]
pub enum Order {
    /// The tree both sides had when the run was seeded: the first base.
    Baseline(FileManifest),
    /// A file entry of the journal.
    Remote {
        seq: Seq,
        change: FileChange,
    },
    /// The agent side took a client's change: a change of the tree like any other, and the echo of ours.
    Applied {
        seq: Seq,
        applied: Applied,
    },
    /// It did not: something else stands there.
    Refused {
        seq: Seq,
        stale: Stale,
    },
    /// It never can.
    Never {
        seq: Seq,
        path: String,
        reason: String,
        command: CommandId,
    },
    /// The endpoint accepted a command of edits.
    Posted(CommandId),
    /// It never will.
    NotPosted {
        command: CommandId,
        why: String,
    },
    /// Send what differs here now; `Report::Flushed` says this number when all of it was told.
    Flush(u64),
    Direct(Way),
    /// The journal ends at `last` and is read on behind `from`. Where more of it had been read, or it does not say the
    /// same as before, it is another one now.
    Rewound {
        last: Seq,
        from: Seq,
        same: bool,
    },
    /// What `Report::SeedWanted` has asked for: what the run began with, if with anything.
    Seed(Option<FileManifest>),
    /// The journal has been read up to here; with nothing pending, `settled` moves to it.
    Reached(Seq),
    Pause,
    Resume(Resume),
    /// Say what an undo of this much would do.
    Preview(Scope),
    /// Put back what stood there before the agent wrote; only if that comes to what the preview of this name said.
    Undo {
        scope: Scope,
        seen: Option<ContentHash>,
    },
    /// Say what stood in a file when the run began, and what stands there now.
    Show(RelPath),
    /// Say how many lines came and went in each.
    Weigh(Vec<RelPath>),
    /// Write a file that was put together on a page, over exactly what the page was made from; `None`: nothing.
    Rewrite {
        path: RelPath,
        over: Option<FileState>,
        text: Option<String>,
        /// Where nothing stands there now.
        mode: Mode,
    },
    /// Say what stands in a conflict.
    Versions(RelPath),
    /// End a conflict with what somebody made of both.
    Merge {
        path: RelPath,
        put: Put,
    },
    /// End a conflict.
    Resolve {
        path: RelPath,
        keep: Keep,
    },
    /// Compare the directory with the base now.
    Check,
}

/// How to go on after a halt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resume {
    #[default]
    Plain,
    /// The wave of deletes is meant, on whichever side it came up.
    AcceptDeletes,
    /// What is gone here comes back as both sides had it.
    BringBack,
    /// What the agent's gitignore files let through goes up.
    AcceptRules,
}

/// What it says.
#[derive(Debug, Clone, PartialEq)]
pub enum Report {
    File(FileReport),
    Status(MirrorStatus),
    /// Edits made here, to be posted; their bytes are there.
    Edits(Command),
    /// What differed when this flush was ordered has been told, or is held here.
    Flushed(u64),
    Preview(Box<Preview>),
    /// The journal is another one: what the run began with is wanted once more.
    SeedWanted,
    Shown(Box<Shown>),
    Versions(Box<Versions>),
    /// `None`: nothing is known of how it was.
    Weighed(Vec<(RelPath, Option<Weight>)>),
    /// One line for the user.
    Note(String),
}

/// What a mirror needs to live.
#[derive(Clone)]
pub struct Setup {
    pub root: PathBuf,
    pub run: RunId,
    /// What this client keeps of the run; the base and the pre-images go below it.
    pub run_folder: PathBuf,
    /// Where all live mirrors of this user are locked.
    pub mirrors: PathBuf,
    pub ignore: Vec<String>,
    pub include: Vec<String>,
    pub limits: Limits,
    /// Without it nothing goes up or comes down: changes wait.
    pub blobs: Option<Arc<dyn Blobs>>,
    /// The run was seeded from this very directory, so that a file of the first manifest that is missing here was
    /// deleted here. Otherwise it has yet to come.
    pub seeded_here: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Lock(#[from] lock::Error),
    #[error(transparent)]
    Base(#[from] base::Error),
    #[error(transparent)]
    Pattern(#[from] BadPattern),
    #[error("cannot mirror into {root}: {why}")]
    Root { root: PathBuf, why: String },
}

/// Locks the directory, reads what is known of it and starts the actor in `tasks`. It ends when the orders' sender or
/// the set is dropped.
pub async fn start(
    setup: Setup,
    tasks: &mut JoinSet<()>,
) -> Result<(mpsc::Sender<Order>, mpsc::Receiver<Report>), Error> {
    start_for(setup, Stay::Live, tasks).await
}

async fn start_for(
    setup: Setup,
    stay: Stay,
    tasks: &mut JoinSet<()>,
) -> Result<(mpsc::Sender<Order>, mpsc::Receiver<Report>), Error> {
    let held = lock::take(&setup.mirrors, &setup.root, &setup.run, stay).await?;
    let root = held.holder.root.clone();
    let why = |why: String| Error::Root {
        root: held.holder.root.clone(),
        why,
    };
    let base = Base::open(&setup.run_folder, &root).await?;
    base::record(&setup.run_folder, &root).map_err(|error| why(error.to_string()))?;
    let known = base.load().await?;
    let lift = lift::folder(&setup.run_folder).map_err(|error| why(error.to_string()))?;
    let kept = Preimages::open(&setup.run_folder.join("pre-images"))
        .map_err(|error| why(error.to_string()))?;
    let disk = Disk::open(&root, &kept).map_err(|error| why(error.to_string()))?;
    let rules = Arc::new(Rules::new(&root, &setup.ignore, &setup.include)?);
    rules.keep(&known.seed);
    opened::restore(&rules, &known);
    let mut own = JoinSet::new();
    let asks = control::serve(&held.holder, &mut own).map_err(|error| why(error.to_string()))?;
    let batches = watch(&root, Arc::clone(&rules), &mut own);
    let hand = Hand {
        root,
        run: setup.run,
        disk,
        kept,
        lift,
        rules,
        cache: Arc::new(Cache::default()),
        limits: setup.limits,
        blobs: setup.blobs.clone().filter(|_| stay == Stay::Live),
        remote: setup.blobs,
        base,
        hurry: Arc::default(),
        lock: Some(Arc::new(held)),
    };
    let (orders, inbox) = mpsc::channel(ORDERS);
    let (outbox, reports) = mpsc::channel(ORDERS);
    let worker = take_up(hand, known, setup.seeded_here).await?;
    tasks.spawn(async move {
        // The watch and the socket live and die with the actor.
        let _own = own;
        worker.run(inbox, outbox, asks, batches).await;
    });
    Ok((orders, reports))
}

/// The actor where it was left: what was written before a kill is known, what was on its way is told again.
pub(crate) async fn take_up(
    hand: Hand,
    known: Known,
    seeded_here: bool,
) -> Result<Worker, base::Error> {
    for part in hand.base.stamps().await? {
        hand.cache.restore(&part);
    }
    let mut worker = Worker::new(hand, known, seeded_here);
    worker.check_identity().await;
    worker.take_up_left().await?;
    worker.take_up().await?;
    worker.tell_again();
    Ok(worker)
}

/// So long a mirror of this run is waited for that has the lock and does not answer yet.
const BEGINNING: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(20);

/// Asks the holder of this run's mirror, or, where none lives, acts itself: then nothing goes up or comes down, and only
/// an undo may fetch.
pub async fn ask_or_act(setup: Setup, request: &Request) -> Result<Answer, Error> {
    let end = Instant::now() + BEGINNING;
    loop {
        if let Some(answer) = control::ask(&setup.mirrors, &setup.run, request).await {
            return Ok(answer);
        }
        match act(&setup, request).await {
            Err(Error::Lock(lock::Error::Held(holder)))
                if holder.run == setup.run && Instant::now() < end =>
            {
                tokio::time::sleep(LOOK).await;
            }
            result => return result,
        }
    }
}

async fn act(setup: &Setup, request: &Request) -> Result<Answer, Error> {
    let mut tasks = JoinSet::new();
    let (_orders, _reports) = start_for(setup.clone(), Stay::Passing, &mut tasks).await?;
    let answer = control::ask(&setup.mirrors, &setup.run, request).await;
    answer.ok_or_else(|| Error::Root {
        root: setup.root.clone(),
        why: "the mirror's own socket does not answer".to_owned(),
    })
}
