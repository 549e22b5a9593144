//! What differs here from what both sides had, and which of it may go up now, in an order that can be applied.
//!
//! Pure. Knows what the last look saw; what is on its way stands in `base`, so that a restart knows it too.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use crate::mirror::base::Known;
use crate::mirror::plan::{Move, decide, same};
use crate::mirror::scan::Local;
use crate::protocol::command::LocalChange;
use crate::protocol::file::{FileState, Mode};
use crate::protocol::ids::CommandId;
use crate::protocol::path::RelPath;

/// Changes of one command.
const MOST: usize = 500;
/// Bytes of its JSON, about: a journal line holds twice that.
const LONGEST: usize = 96 << 10;
/// What a change has beside its path, in bytes of JSON.
const CHANGE: usize = 320;

/// One change that is to go up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Edit {
    pub(crate) path: RelPath,
    /// What stands here; `None`: it was deleted.
    pub(crate) now: Option<FileState>,
    /// What the other side has, as far as we know.
    pub(crate) base: Option<FileState>,
}

impl Edit {
    pub(crate) fn change(&self) -> LocalChange {
        let (now, base) = (self.now, self.base);
        LocalChange {
            path: self.path.clone(),
            hash: now.map(|now| now.hash),
            size: now.map_or(0, |now| now.size),
            // A delete names the mode of what went.
            mode: now.or(base).map(|state| state.mode).unwrap_or_default(),
            base: base.map(|base| base.hash),
            base_mode: base.map(|base| base.mode),
        }
    }
}

/// Deletes from the depth up, then everything else from the top down: so each change finds what it needs.
pub(crate) fn in_order(a: &Edit, b: &Edit) -> Ordering {
    match (a.now.is_none(), b.now.is_none()) {
        (true, true) => b.path.cmp(&a.path),
        (false, false) => a.path.cmp(&b.path),
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
    }
}

/// What is in the way of an edit, beyond what is written down.
pub(crate) struct Around<'a> {
    pub(crate) known: &'a Known,
    /// Being written here.
    pub(crate) busy: &'a dyn Fn(&RelPath) -> bool,
    /// A change of theirs waits: it is decided first.
    pub(crate) waiting: &'a dyn Fn(&RelPath) -> bool,
    /// The whole directory is about to be looked at: what seems gone waits for that.
    pub(crate) looking: bool,
}

/// What stood here when it was not taken, and why it was not.
#[derive(Debug)]
struct Parked {
    now: Option<FileState>,
    why: String,
}

#[derive(Debug, Default)]
pub(crate) struct Ups {
    differs: BTreeMap<RelPath, Option<FileState>>,
    /// To be told although both sides agree: theirs was taken, and the other side waits for that word.
    owed: BTreeSet<RelPath>,
    /// Being read and uploaded.
    loading: BTreeMap<RelPath, Option<FileState>>,
    /// Not taken by the other side as it stands here: it waits until something else does.
    parked: BTreeMap<RelPath, Parked>,
    /// Of these, what was refused although nothing stands in its way: perhaps only for that moment.
    refused: BTreeSet<RelPath>,
    /// Deletes that the user said are meant.
    meant: BTreeSet<RelPath>,
    /// Told, and not yet accepted by the endpoint.
    unposted: BTreeSet<CommandId>,
}

impl Ups {
    /// A look saw something else here than what both sides had.
    pub(crate) fn differs(&mut self, path: &RelPath, here: Option<FileState>) {
        if self
            .parked
            .get(path)
            .is_some_and(|then| !same(then.now, here))
        {
            self.parked.remove(path);
        }
        self.differs.insert(path.clone(), here);
    }

    /// What stands here is what both sides have, or cannot be sent.
    pub(crate) fn agrees(&mut self, path: &RelPath) {
        self.differs.remove(path);
        self.owed.remove(path);
        self.parked.remove(path);
        self.meant.remove(path);
    }

    /// Theirs stands here now: the other side is told that this ends its conflict.
    pub(crate) fn gave_way(&mut self, path: &RelPath, here: Option<FileState>) {
        self.owed.insert(path.clone());
        self.differs.insert(path.clone(), here);
    }

    /// Every path of which anything is known here.
    pub(crate) fn concerned(&self) -> impl Iterator<Item = &RelPath> {
        let standing = self.differs.keys().chain(self.parked.keys());
        standing.chain(&self.owed).chain(&self.meant)
    }

    pub(crate) fn is_owed(&self, path: &RelPath) -> bool {
        self.owed.contains(path)
    }

    pub(crate) fn here(&self, path: &RelPath) -> Option<Option<FileState>> {
        self.differs.get(path).copied()
    }

    /// It is not offered again as it stands now.
    pub(crate) fn park(&mut self, path: &RelPath, now: Option<FileState>, why: &str) {
        let why = why.to_owned();
        self.parked.insert(path.clone(), Parked { now, why });
    }

    /// Why it is not offered.
    pub(crate) fn parked(&self, path: &RelPath) -> Option<&str> {
        Some(self.parked.get(path)?.why.as_str())
    }

    /// As `park`, but it is offered once more after a while.
    pub(crate) fn park_for_now(&mut self, path: &RelPath, now: Option<FileState>, why: &str) {
        self.park(path, now, why);
        self.refused.insert(path.clone());
    }

    /// What was parked is tried once more.
    pub(crate) fn unpark(&mut self) {
        self.parked.clear();
        self.refused.clear();
    }

    /// The while is over.
    pub(crate) fn unpark_refused(&mut self) {
        for path in std::mem::take(&mut self.refused) {
            self.parked.remove(&path);
        }
    }

    /// Something else stands there by now on the other side: what that kept out above or below it is tried once more.
    pub(crate) fn unpark_around(&mut self, changed: &RelPath) {
        self.parked.retain(|path, _| {
            let mut above = std::iter::successors(path.parent(), RelPath::parent);
            let mut below = std::iter::successors(changed.parent(), RelPath::parent);
            !above.any(|at| at == *changed) && !below.any(|at| at == *path)
        });
    }

    pub(crate) fn loading(&self) -> usize {
        self.loading.len()
    }

    pub(crate) fn load(&mut self, edits: &[Edit]) {
        self.loading
            .extend(edits.iter().map(|edit| (edit.path.clone(), edit.now)));
    }

    pub(crate) fn loaded(&mut self, path: &RelPath) {
        self.loading.remove(path);
    }

    pub(crate) fn told(&mut self, command: CommandId) {
        self.unposted.insert(command);
    }

    pub(crate) fn posted(&mut self, command: &CommandId) {
        self.unposted.remove(command);
    }

    /// The endpoint has all that was told.
    pub(crate) fn all_posted(&self) -> bool {
        self.unposted.is_empty()
    }

    /// What goes up of this path and over what; `None`: nothing, or not now.
    fn edit(&self, path: &RelPath, here: Option<FileState>, around: &Around<'_>) -> Option<Edit> {
        let known = around.known;
        // Theirs could not be put here yet: against that it is decided, not against what both had before.
        if known.held.contains_key(path) {
            return None;
        }
        let theirs = match known.conflicts.get(path) {
            Some(noted) if !noted.resolved => return None,
            // Ours was kept: it goes over what they have.
            Some(noted) => noted.theirs,
            None => known.base.get(path).copied(),
        };
        if self
            .parked
            .get(path)
            .is_some_and(|then| same(then.now, here))
            || (around.waiting)(path)
        {
            return None;
        }
        // Where both sides had a file above it, that has to be seen gone first.
        let blocked = std::iter::successors(path.parent(), RelPath::parent).any(|above| {
            let base = known.base.get(&above);
            base.is_some_and(|base| base.mode != Mode::Directory)
                && !self.differs.contains_key(&above)
        });
        // And where both had files below it, those.
        let start = format!("{path}/");
        let full = known
            .base
            .range(path.clone()..)
            .take_while(|(at, _)| at.as_str().starts_with(path.as_str()))
            .any(|(at, _)| at.as_str().starts_with(&start) && self.differs.get(at) != Some(&None));
        let folder = here.is_some_and(|here| here.mode == Mode::Directory);
        if here.is_some() && (blocked || full && !folder) {
            return None;
        }
        let local = here.map_or(Local::Absent, |state| {
            if state.mode == Mode::Directory {
                Local::Directory
            } else {
                Local::File(state)
            }
        });
        // A size here was looked at before; it has no say in what goes up.
        match decide(theirs, &local, theirs, u64::MAX) {
            Move::Push(now) => Some(Edit {
                path: path.clone(),
                now,
                base: theirs,
            }),
            Move::Agree if self.owed.contains(path) => Some(Edit {
                path: path.clone(),
                now: here,
                base: theirs,
            }),
            _ => None,
        }
    }

    /// Everything that has still to be told, whether or not it can be now.
    pub(crate) fn is_untold(&self, around: &Around<'_>) -> bool {
        self.differs.iter().any(|(path, here)| {
            let told = around.known.sent.get(path);
            told.is_none_or(|sent| !same(sent.now, *here))
                && self.edit(path, *here, around).is_some()
        })
    }

    /// The next changes to send, in order.
    pub(crate) fn next(&self, around: &Around<'_>) -> Vec<Edit> {
        let sent = &around.known.sent;
        // What stands where something is gone waits with it.
        let gone = |(path, here): (&RelPath, &Option<FileState>)| {
            (around.looking && here.is_none()).then(|| (path.clone(), ()))
        };
        let held: BTreeMap<RelPath, ()> = self.differs.iter().filter_map(gone).collect();
        let mut edits: Vec<Edit> = self
            .differs
            .iter()
            .filter(|(path, _)| {
                !(around.busy)(path)
                    && !is_near(path, &self.loading)
                    && !is_near(path, sent)
                    && !is_near(path, &held)
            })
            .filter_map(|(path, here)| self.edit(path, *here, around))
            .collect();
        edits.sort_by(in_order);
        let mut bytes = 0;
        let fit = edits.iter().take(MOST).take_while(|edit| {
            bytes += 2 * edit.path.as_str().len() + CHANGE;
            bytes <= LONGEST
        });
        let fit = fit.count();
        edits.truncate(fit);
        edits
    }

    /// Deletes made here that nobody has said are meant.
    pub(crate) fn deletes(&self, around: &Around<'_>) -> usize {
        let gone = self.differs.iter().filter(|(path, here)| {
            here.is_none() && !self.meant.contains(*path) && !around.known.sent.contains_key(*path)
        });
        gone.filter_map(|(path, here)| self.edit(path, *here, around))
            .filter(|edit| edit.base.is_some_and(|base| base.mode != Mode::Directory))
            .count()
    }

    /// Whether the user said so of this path.
    pub(crate) fn is_meant(&self, path: &RelPath) -> bool {
        self.meant.contains(path)
    }

    /// The user has seen that these go.
    pub(crate) fn mean(&mut self, paths: impl IntoIterator<Item = RelPath>) {
        self.meant.extend(paths);
    }

    /// The deletes that stand here now are meant.
    pub(crate) fn accept_deletes(&mut self) {
        let gone = self.differs.iter().filter(|(_, here)| here.is_none());
        self.meant.extend(gone.map(|(path, _)| path.clone()));
    }

    /// What is gone here, to be brought back.
    pub(crate) fn gone(&self) -> Vec<RelPath> {
        let gone = self.differs.iter().filter(|(_, here)| here.is_none());
        gone.map(|(path, _)| path.clone()).collect()
    }
}

/// Whether this path, one above it or one below it is among these.
fn is_near<V>(path: &RelPath, all: &BTreeMap<RelPath, V>) -> bool {
    let start = format!("{path}/");
    let mut from = all.range(path.clone()..).map(|(at, _)| at.as_str());
    all.contains_key(path)
        || std::iter::successors(path.parent(), RelPath::parent)
            .any(|above| all.contains_key(&above))
        || from
            .by_ref()
            .take_while(|at| at.starts_with(path.as_str()))
            .any(|at| at.starts_with(&start))
}
