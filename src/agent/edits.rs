//! What people change on their side: brought into the workspace, or refused, and answered once each (contract 10.2).
//!
//! A change is applied only where what stands there is what it was made from. What is refused had been told before, so
//! that who hears of the refusal knows what stands here. What was applied is known: no later look tells it again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::agent::files::{Files, Told};
use crate::agent::wishes::{Edits, Places};
use crate::mirror::apply::{Applier, Fetch, Outcome, Step};
use crate::mirror::blobs::{self, Blobs};
use crate::mirror::plan::{folder, same};
use crate::mirror::scan::Local;
use crate::protocol::command::LocalChange;
use crate::protocol::file::{Applied, ChangeKind, FileChange, FileState, Stale};
use crate::protocol::ids::CommandId;
use crate::protocol::line;
use crate::protocol::path::RelPath;

/// How often a path that changes under our hands is looked at anew.
const TRIES: usize = 5;
/// How long the contents of one command may be out of reach: the next prompt waits behind it.
const REACH: Duration = Duration::from_secs(60);
const RETRY: Duration = Duration::from_millis(250);
/// Design decision 9: one directory, so nothing has to travel.
const IN_PLACE: &str = "the agent works in this very directory: there is no mirror";

/// The contents of one command, and until when to try for them.
struct Patience(Option<Instant>);

impl Patience {
    /// Counts from the first time that something was out of reach.
    fn is_over(&mut self) -> bool {
        let now = Instant::now();
        *self.0.get_or_insert(now + REACH) <= now
    }
}

impl Files {
    /// Answers each change of a command, then says that it did. `None`: nobody listens any more.
    pub(super) async fn take(&mut self, edits: Edits, told: &mpsc::Sender<Told>) -> Option<()> {
        let mut patience = Patience(None);
        for change in &edits.changes {
            for line in self.take_one(&edits, change, &mut patience).await {
                told.send(Told::Line(line)).await.ok()?;
            }
        }
        if let Some(applier) = self.applier.clone() {
            let tidied = tokio::task::spawn_blocking(move || applier.tidy()).await;
            tracing::trace!(?tidied, "the stage is cleared");
        }
        told.send(Told::Answered(edits.seq)).await.ok()
    }

    /// The answer, behind whatever must be known before it.
    async fn take_one(
        &mut self,
        edits: &Edits,
        change: &LocalChange,
        patience: &mut Patience,
    ) -> Vec<Value> {
        let outcome = match &self.applier {
            Some(applier) => apply(applier, &*self.blobs, change, patience).await,
            None => Outcome::Stale(Some(IN_PLACE.to_owned())),
        };
        match outcome {
            Outcome::Applied { before } => vec![self.applied(&edits.command, change, before)],
            Outcome::Failed(why) => {
                let path = change.path.as_str();
                vec![line::file_failed(path, &why, Some(&edits.command))]
            }
            Outcome::Stale(reason) => {
                let mut places: BTreeSet<RelPath> = [change.path.clone()].into();
                let mut above = change.path.parent();
                while let Some(at) = above {
                    above = at.parent();
                    places.insert(at);
                }
                let mut lines = self.look(Places::Named(places), edits.turn, None).await;
                lines.push(line::file_refused(&Stale {
                    path: change.path.clone(),
                    current: self.current(change).await,
                    reason,
                    command: Some(edits.command.clone()),
                }));
                lines
            }
        }
    }

    /// Takes the change as known and makes its line.
    fn applied(
        &mut self,
        command: &CommandId,
        change: &LocalChange,
        before: Option<FileState>,
    ) -> Value {
        let path = &change.path;
        let now = change.now();
        let told = self.know(path, now);
        // It stood there already: then what was told last is what it follows upon.
        let before = if same(before, now) { told } else { before };
        if path.name() == ".gitignore" {
            self.rules().forget();
        }
        if let Some(applier) = self.applier.as_ref().filter(|_| now.is_some()) {
            applier.own_folders([path]);
        }
        let kind = match (before, now) {
            (_, None) => ChangeKind::Deleted,
            (None, Some(_)) => ChangeKind::Created,
            (Some(_), Some(_)) => ChangeKind::Modified,
        };
        line::file_applied(&Applied {
            change: FileChange {
                kind,
                path: path.clone(),
                now,
                before: before.map(|state| state.hash),
                storage_path: None,
                turn: None,
                tool_call: None,
            },
            before_mode: before.map(|state| state.mode),
            command: Some(command.clone()),
        })
    }

    /// What stands there as far as it has been told, or could ever be.
    async fn current(&self, change: &LocalChange) -> Option<FileState> {
        if let Some(known) = self.known(&change.path) {
            return Some(known);
        }
        let look = self.look_at(change.path.clone()).await;
        matches!(look, Local::Directory).then(folder)
    }
}

/// Begins anew whenever the workspace changes in between.
async fn apply(
    applier: &Arc<Applier>,
    blobs: &dyn Blobs,
    change: &LocalChange,
    patience: &mut Patience,
) -> Outcome {
    for _ in 0..TRIES {
        let (hand, wanted) = (Arc::clone(applier), change.clone());
        let mut step = blocking(move || hand.begin(&wanted)).await;
        if let Step::Fetch(fetch) = step {
            if let Err(why) = bring(blobs, &fetch, patience).await {
                return Outcome::Failed(format!("its content did not come: {why}"));
            }
            let (hand, wanted) = (Arc::clone(applier), change.clone());
            step = blocking(move || hand.finish(&wanted, fetch)).await;
        }
        match step {
            Step::Done(outcome) => return outcome,
            Step::Again | Step::Fetch(_) => (),
        }
    }
    Outcome::Failed("it changes there faster than it can be written".to_owned())
}

/// A disk that broke in the middle of its work is one that changed.
async fn blocking(work: impl FnOnce() -> Step + Send + 'static) -> Step {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or(Step::Again)
}

async fn bring(
    blobs: &dyn Blobs,
    fetch: &Fetch,
    patience: &mut Patience,
) -> Result<(), blobs::Error> {
    loop {
        match blobs.get(&fetch.wanted(), fetch.at()).await {
            Err(blobs::Error::Unreachable(_)) if !patience.is_over() => {
                tokio::time::sleep(RETRY).await;
            }
            done => return done,
        }
    }
}
