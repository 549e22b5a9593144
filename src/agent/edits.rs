//! What people change on their side: brought into the workspace, or refused, and answered once each (contract 10.2).
//!
//! A change is applied only where what stands there is what it was made from. What is refused had been told before, so
//! that who hears of the refusal knows what stands here. What was applied is known: no later look tells it again.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::agent::files::{Files, Told};
use crate::agent::wishes::{Edits, Places};
use crate::mirror::apply::{Applier, Fetch, Outcome, Step};
use crate::mirror::blobs::{self, Blobs};
use crate::mirror::ground;
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

/// At most this many changes at once; they must have nothing to do with one another.
const AT_ONCE: usize = 8;
/// And as many are answered together.
const TOGETHER: usize = 64;

/// Until when to try for the contents of one command.
#[derive(Default)]
pub(super) struct Patience(OnceLock<Instant>);

impl Patience {
    /// Counts from the first time that something was out of reach.
    fn is_over(&self) -> bool {
        let now = Instant::now();
        *self.0.get_or_init(|| now + REACH) <= now
    }
}

impl Files {
    /// Answers each change of a command, then says that it did. `None`: nobody listens any more.
    pub(super) async fn take(&mut self, edits: Edits, told: &mpsc::Sender<Told>) -> Option<()> {
        let patience = Patience::default();
        for changes in apart(&edits.changes) {
            let outcomes = self.apply_all(changes, &patience).await;
            for (change, outcome) in changes.iter().zip(outcomes) {
                for line in self.answer(&edits, change, outcome).await {
                    told.send(Told::Line(line)).await.ok()?;
                }
            }
        }
        self.tidy().await;
        told.send(Told::Answered(edits.seq)).await.ok()
    }

    pub(super) async fn tidy(&self) {
        if let Some(applier) = self.applier.clone() {
            let tidied = ground::blocking(move || applier.tidy()).await;
            tracing::trace!(?tidied, "the stage is cleared");
        }
    }

    /// Until what was replaced is to be looked at once more.
    pub(super) async fn untidy(&self) {
        let applier = self.applier.as_ref();
        match applier.and_then(|applier| applier.next_tidy()) {
            Some(wait) => tokio::time::sleep(wait).await,
            None => std::future::pending().await,
        }
    }

    /// Several at once, since most of the time is spent in waiting for the endpoint and the disk.
    async fn apply_all(&self, changes: &[LocalChange], patience: &Patience) -> Vec<Outcome> {
        let Some(applier) = &self.applier else {
            return vec![Outcome::Stale(Some(IN_PLACE.to_owned())); changes.len()];
        };
        let mut all = Vec::new();
        for change in changes {
            all.push(apply(applier, &*self.blobs, change, patience).boxed());
        }
        futures::stream::iter(all).buffered(AT_ONCE).collect().await
    }

    /// The answer, behind whatever must be known before it.
    async fn answer(
        &mut self,
        edits: &Edits,
        change: &LocalChange,
        outcome: Outcome,
    ) -> Vec<Value> {
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

/// The changes in their order, cut wherever one could have to do with another: a folder goes with its last file, a file
/// takes the place of a folder, and some file systems take two names for one.
fn apart(changes: &[LocalChange]) -> Vec<&[LocalChange]> {
    let mut groups = Vec::new();
    let (mut begin, mut names) = (0, Vec::<String>::new());
    for (at, change) in changes.iter().enumerate() {
        let name = change.path.as_str().to_lowercase();
        let first = &changes[begin];
        let is_near = names.iter().any(|other| are_near(&name, other));
        let is_other = first.hash.is_some() != change.hash.is_some();
        if at > begin && (is_near || is_other || at - begin >= TOGETHER) {
            groups.push(&changes[begin..at]);
            begin = at;
            names.clear();
        }
        names.push(name);
    }
    groups.push(&changes[begin..]);
    groups
}

/// The same place, or one inside the other.
fn are_near(one: &str, other: &str) -> bool {
    let inside = |inner: &str, outer: &str| {
        let rest = inner.strip_prefix(outer);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    inside(one, other) || inside(other, one)
}

/// Begins anew whenever the workspace changes in between.
pub(super) async fn apply(
    applier: &Arc<Applier>,
    blobs: &dyn Blobs,
    change: &LocalChange,
    patience: &Patience,
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
    ground::blocking(work).await.unwrap_or(Step::Again)
}

async fn bring(blobs: &dyn Blobs, fetch: &Fetch, patience: &Patience) -> Result<(), blobs::Error> {
    loop {
        match blobs.get(&fetch.wanted(), fetch.at()).await {
            Err(blobs::Error::Unreachable(_)) if !patience.is_over() => {
                tokio::time::sleep(RETRY).await;
            }
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::file::Mode;
    use crate::protocol::hash::ContentHash;

    #[test]
    fn only_changes_that_cannot_meet_go_in_together() {
        let change = |told: &str| {
            let (path, gone) = match told.strip_prefix('-') {
                Some(path) => (path, true),
                None => (told, false),
            };
            LocalChange {
                path: path.parse().unwrap(),
                hash: (!gone).then(|| ContentHash::of(b"x")),
                size: 1,
                mode: Mode::File,
                base: None,
                base_mode: None,
            }
        };
        let table: [(&[&str], &[usize]); 6] = [
            (&["a", "b", "d/a", "da"], &[4]),
            (&["-x", "x/inner"], &[1, 1]),
            (&["-y/deep", "-y/other", "y"], &[2, 1]),
            (&["a", "A"], &[1, 1]),
            (&["d", "e", "d/x"], &[2, 1]),
            (&[], &[0]),
        ];
        for (told, sizes) in table {
            let changes: Vec<LocalChange> = told.iter().map(|told| change(told)).collect();
            let cut: Vec<usize> = apart(&changes).iter().map(|group| group.len()).collect();
            assert_eq!(cut, sizes, "{told:?}");
        }
    }
}
