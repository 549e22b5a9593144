//! What the run wants of the workspace's files, in order, until [`crate::agent::files`] gets to it.
//!
//! Nobody who wishes ever waits: looks that follow one another become one, and edits have a limit.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use crate::mirror::watch::Batch;
use crate::protocol::command::LocalChange;
use crate::protocol::ids::{CommandId, Seq};
use crate::protocol::path::RelPath;

/// More paths than this are quicker found by a scan of everything.
const MOST_PATHS: usize = 2_000;
/// Changes of clients that wait; this bounds our memory.
const MOST_CHANGES: usize = 100_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wish {
    Look(Look),
    Take(Edits),
}

/// Where to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Places {
    All,
    Named(BTreeSet<RelPath>),
}

/// What has changed there is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) places: Places,
    pub(crate) turn: Option<u64>,
    /// The tool calls that may have changed it.
    pub(crate) tool_calls: BTreeSet<String>,
    /// Say `Scanned` with these when every change is told.
    pub(crate) marks: Vec<u64>,
}

/// A command of a client with its changes, to be applied and answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Edits {
    pub(crate) seq: Seq,
    pub(crate) command: CommandId,
    pub(crate) changes: Vec<LocalChange>,
    /// The turn that is going on.
    pub(crate) turn: Option<u64>,
}

impl Places {
    /// What a watch has noticed.
    pub(crate) fn of(batch: Batch) -> Self {
        if batch.rescan {
            Self::All
        } else {
            Self::Named(batch.paths)
        }
    }

    fn join(&mut self, other: Self) {
        match (&mut *self, other) {
            (Self::All, _) => (),
            (_, Self::All) => *self = Self::All,
            (Self::Named(paths), Self::Named(more)) => {
                paths.extend(more);
                if paths.len() > MOST_PATHS {
                    *self = Self::All;
                }
            }
        }
    }
}

impl Look {
    fn join(&mut self, other: Self) {
        self.places.join(other.places);
        self.turn = other.turn.or(self.turn);
        self.tool_calls.extend(other.tool_calls);
        self.marks.extend(other.marks);
    }

    /// The one call that can have changed it; of several nobody knows which one did.
    pub(crate) fn tool_call(&self) -> Option<&str> {
        let only = self.tool_calls.len() == 1;
        self.tool_calls.first().filter(|_| only).map(String::as_str)
    }
}

#[derive(Debug, Default)]
struct Queue {
    wishes: VecDeque<Wish>,
    changes: usize,
}

fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Who wishes.
#[derive(Debug, Clone)]
pub(crate) struct Wisher {
    queue: Arc<Mutex<Queue>>,
    bell: mpsc::Sender<()>,
}

/// Who grants; everything ends when either side is gone.
#[derive(Debug)]
pub(crate) struct Wishes {
    queue: Arc<Mutex<Queue>>,
    bell: mpsc::Receiver<()>,
}

/// A queue and its two ends.
pub(crate) fn queue() -> (Wisher, Wishes) {
    let queue = Arc::new(Mutex::default());
    let (ring, bell) = mpsc::channel(1);
    let wisher = Wisher {
        queue: Arc::clone(&queue),
        bell: ring,
    };
    (wisher, Wishes { queue, bell })
}

impl Wisher {
    pub(crate) fn look(&self, look: Look) {
        let mut queue = lock(&self.queue);
        match queue.wishes.back_mut() {
            Some(Wish::Look(last)) => last.join(look),
            _ => queue.wishes.push_back(Wish::Look(look)),
        }
        drop(queue);
        self.ring();
    }

    /// Gives them back when too many wait already.
    pub(crate) fn take(&self, edits: Edits) -> Result<(), Edits> {
        let mut queue = lock(&self.queue);
        if queue.changes + edits.changes.len() > MOST_CHANGES {
            return Err(edits);
        }
        queue.changes += edits.changes.len();
        queue.wishes.push_back(Wish::Take(edits));
        drop(queue);
        self.ring();
        Ok(())
    }

    /// Nobody grants wishes any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.bell.is_closed()
    }

    fn ring(&self) {
        if let Err(error) = self.bell.try_send(()) {
            tracing::trace!(%error, "it rings already, or nobody is left to hear it");
        }
    }
}

impl Wishes {
    /// The next one, in order; `None` when nobody wishes any more.
    pub(crate) async fn next(&mut self) -> Option<Wish> {
        loop {
            let next = {
                let mut queue = lock(&self.queue);
                let next = queue.wishes.pop_front();
                if let Some(Wish::Take(edits)) = &next {
                    queue.changes -= edits.changes.len();
                }
                next
            };
            match next {
                Some(wish) => return Some(wish),
                None => self.bell.recv().await?,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(path: &str, tool: &str, mark: Option<u64>) -> Look {
        Look {
            places: Places::Named([path.parse().unwrap()].into()),
            turn: Some(1),
            tool_calls: [tool.to_owned()].into(),
            marks: mark.into_iter().collect(),
        }
    }

    fn edits(seq: u64, changes: usize) -> Edits {
        let change = LocalChange {
            path: "a".parse().unwrap(),
            hash: None,
            size: 0,
            mode: Default::default(),
            base: None,
            base_mode: None,
        };
        Edits {
            seq: Seq(seq),
            command: CommandId::random(),
            changes: vec![change; changes],
            turn: None,
        }
    }

    #[tokio::test]
    async fn looks_become_one_and_never_pass_an_edit() {
        let (wisher, mut wishes) = queue();
        wisher.look(look("a", "t1", None));
        wisher.look(look("b", "t2", Some(7)));
        wisher.take(edits(3, 1)).unwrap();
        wisher.look(look("c", "t3", None));
        drop(wisher);
        let Some(Wish::Look(first)) = wishes.next().await else {
            panic!("a look");
        };
        assert_eq!(
            (first.tool_call(), first.marks.as_slice()),
            (None, &[7][..])
        );
        let both = ["a", "b"].map(|path| path.parse().unwrap());
        assert_eq!(first.places, Places::Named(both.into()));
        assert!(matches!(wishes.next().await, Some(Wish::Take(edits)) if edits.seq == Seq(3)));
        let Some(Wish::Look(last)) = wishes.next().await else {
            panic!("a look");
        };
        assert_eq!(last.tool_call(), Some("t3"));
        assert_eq!(wishes.next().await, None);
    }

    #[tokio::test]
    async fn too_many_edits_come_back_until_some_are_done() {
        let (wisher, mut wishes) = queue();
        wisher.take(edits(1, MOST_CHANGES)).unwrap();
        assert_eq!(wisher.take(edits(2, 1)).unwrap_err().seq, Seq(2));
        wishes.next().await;
        wisher.take(edits(2, 1)).unwrap();
    }

    #[test]
    fn many_paths_are_all_of_them() {
        let mut places = Places::Named(BTreeSet::new());
        for n in 0..=MOST_PATHS {
            let path = format!("f{n}").parse().unwrap();
            places.join(Places::Named([path].into()));
        }
        assert_eq!(places, Places::All);
    }
}
