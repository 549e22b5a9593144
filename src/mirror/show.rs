//! Single files shown and changed by hand: what stood there when the run began beside what stands there now, how many
//! lines came and went, and a file written anew without a part of it.
//!
//! Bounded: what is too large to be looked at is told by its size. What is written goes the way of every other write.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use similar::{ChangeTag, TextDiff};

use crate::mirror::actor::{Finished, Worker};
use crate::mirror::base::{Fact, Origin};
use crate::mirror::blobs::Wanted;
use crate::mirror::ground;
use crate::mirror::guard::Halt;
use crate::mirror::hand::{Hand, Source, standing};
use crate::mirror::plan::same;
use crate::mirror::scan::Local;
use crate::mirror::undo::Undone;
use crate::mirror::worker::Report;
use crate::protocol::file::{FileState, Mode};
use crate::protocol::hash::ContentHash;
use crate::protocol::path::RelPath;

/// Larger files are not shown, in bytes.
const SHOWN: u64 = 256 * 1024;
/// Larger files are not counted.
const COUNTED: u64 = 1024 * 1024;
/// So long two texts are compared; what is found by then is told.
const PATIENCE: Duration = Duration::from_millis(200);
/// Counts that are remembered.
const REMEMBERED: usize = 20_000;

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Side {
    Text(String),
    /// Nothing stands there.
    Gone,
    /// What it is, when that is no text to be looked at.
    Other(String),
}

impl Side {
    /// `None` where no text stands.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Gone | Self::Other(_) => None,
        }
    }
}

/// A file as it was when the run began and as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub path: RelPath,
    pub start: Side,
    pub now: Side,
    /// What was read as `now`; a write over anything else is refused.
    pub here: Option<FileState>,
    /// How it stood there when the run began.
    pub mode: Mode,
}

/// How much of a file is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    Lines {
        added: usize,
        removed: usize,
    },
    /// One of both is no text.
    Binary,
    /// One of both is too large to be compared.
    Large,
}

/// By what stood there and what stands there.
pub(super) type Weights = Arc<Mutex<HashMap<(Option<ContentHash>, Option<ContentHash>), Weight>>>;

/// Lines that came and went. Bounded in time.
fn weight(old: &[u8], new: &[u8]) -> Weight {
    let (Ok(old), Ok(new)) = (std::str::from_utf8(old), std::str::from_utf8(new)) else {
        return Weight::Binary;
    };
    if old.contains('\0') || new.contains('\0') {
        return Weight::Binary;
    }
    let compared = TextDiff::configure().timeout(PATIENCE).diff_lines(old, new);
    let (mut added, mut removed) = (0, 0);
    for change in compared.iter_all_changes() {
        match change.tag() {
            ChangeTag::Insert => added += 1,
            ChangeTag::Delete => removed += 1,
            ChangeTag::Equal => (),
        }
    }
    Weight::Lines { added, removed }
}

/// What of a file can be read, up to a bound.
fn bytes(at: &Path, most: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = ground::open(at).and_then(|file| file.take(most + 1).read_to_end(&mut bytes));
    read.is_ok().then_some(bytes)
}

fn side(state: FileState, bytes: Option<Vec<u8>>) -> Side {
    match state.mode {
        Mode::Directory => return Side::Other("a folder".to_owned()),
        Mode::Symlink => return Side::Other("a link".to_owned()),
        Mode::File | Mode::Executable => (),
    }
    let size = state.size;
    if size > SHOWN {
        return Side::Other(format!("{size} bytes, too many to show"));
    }
    match bytes.map(String::from_utf8) {
        None => Side::Other("no longer kept".to_owned()),
        Some(Ok(text)) if !text.contains('\0') => Side::Text(text),
        Some(_) => Side::Other(format!("{size} bytes that are no text")),
    }
}

impl Hand {
    pub(super) async fn here(
        self: &Arc<Self>,
        path: &RelPath,
    ) -> Result<Option<FileState>, String> {
        let at = path.clone();
        match self.blocking(move |hand| hand.look(&at)).await {
            Local::Ignored(why) => Err(why.to_string()),
            Local::Obstacle(why) => Err(why.to_string()),
            local @ (Local::Absent | Local::File(_) | Local::Directory) => Ok(standing(&local)),
        }
    }

    /// What stands there, unless it has changed since it was looked at.
    pub(super) async fn now(self: &Arc<Self>, path: &RelPath, here: Option<FileState>) -> Side {
        let Some(here) = here else {
            return Side::Gone;
        };
        let at = path.below(&self.root);
        let read = self.blocking(move |_| bytes(&at, SHOWN)).await;
        side(here, read.filter(|read| ContentHash::of(read) == here.hash))
    }

    /// What once stood somewhere: kept here, or in one of these places, or else at the endpoint.
    pub(super) async fn recall(
        self: &Arc<Self>,
        state: Option<FileState>,
        places: Vec<PathBuf>,
        storage_path: Option<String>,
    ) -> Side {
        let Some(state) = state else {
            return Side::Gone;
        };
        let found = self
            .blocking(move |hand| {
                let kept = bytes(&hand.kept.path(state.hash), SHOWN);
                let is_it = |bytes: &Vec<u8>| ContentHash::of(bytes) == state.hash;
                let there = |at: &PathBuf| bytes(at, SHOWN).filter(is_it);
                kept.or_else(|| places.iter().find_map(there))
            })
            .await;
        if found.is_some() || state.size > SHOWN || state.mode == Mode::Directory {
            return side(state, found);
        }
        let wanted = Wanted {
            hash: state.hash,
            size: state.size,
            storage_path,
        };
        let Ok(staged) = self.blocking(|hand| hand.disk.staged()).await else {
            return side(state, None);
        };
        let fetched = self.get_now(&wanted, &staged.path).await.is_ok();
        let found = self.blocking(move |_| bytes(&staged.path, SHOWN)).await;
        side(state, found.filter(|_| fetched))
    }

    async fn show(
        self: &Arc<Self>,
        path: RelPath,
        base: Option<FileState>,
    ) -> Result<Shown, String> {
        let refused = |why: String| format!("{path}: {why}");
        let here = self.here(&path).await.map_err(refused)?;
        let notes = self.base.notes(Some(&path)).await;
        let notes = notes.map_err(|error| error.to_string())?;
        let first = notes.get(&path).and_then(|notes| notes.first());
        let start = first.map_or(base, |first| first.before);
        let places = || vec![path.below(&self.root)];
        Ok(Shown {
            start: self.recall(start, places(), None).await,
            now: self.now(&path, here).await,
            here,
            mode: start.map_or(Mode::File, |start| start.mode),
            path,
        })
    }

    async fn weigh(self: &Arc<Self>, path: &RelPath, weights: &Weights) -> Option<Weight> {
        let here = self.here(path).await.ok()?;
        let notes = self.base.notes(Some(path)).await.ok()?;
        let start = notes.get(path)?.first()?.before;
        let key = (start.map(|one| one.hash), here.map(|one| one.hash));
        let known = |of: &Weights| {
            of.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get(&key)
                .copied()
        };
        if let Some(known) = known(weights) {
            return Some(known);
        }
        let at = path.below(&self.root);
        let of = |state: Option<FileState>| state.map_or(0, |state| state.size);
        let found = if of(start).max(of(here)) > COUNTED {
            Weight::Large
        } else {
            self.blocking(move |hand| {
                let old = match start {
                    Some(start) => bytes(&hand.kept.path(start.hash), COUNTED)?,
                    None => Vec::new(),
                };
                let new = match here {
                    Some(_) => bytes(&at, COUNTED)?,
                    None => Vec::new(),
                };
                Some(weight(&old, &new))
            })
            .await?
        };
        let mut weights = weights.lock().unwrap_or_else(PoisonError::into_inner);
        if weights.len() >= REMEMBERED {
            weights.clear();
        }
        weights.insert(key, found);
        Some(found)
    }

    /// Over exactly what was looked at; `None` takes the file away.
    pub(super) async fn rewrite(
        self: &Arc<Self>,
        path: &RelPath,
        over: Option<FileState>,
        text: Option<String>,
        mode: Mode,
    ) -> Result<Option<FileState>, String> {
        let origin = Origin::by_hand(None);
        let now = text.as_ref().map(|text| FileState {
            hash: ContentHash::of(text.as_bytes()),
            size: text.len() as u64,
            mode: over.map_or(mode, |over| over.mode),
        });
        let done = match (text, now, over) {
            (Some(text), Some(now), _) => {
                let source = Source::Bytes(text.into_bytes());
                let written = self.write(path, now, source, over, Some(origin));
                written.await.map(drop)
            }
            (_, _, Some(over)) => self.remove(path, over, origin).await,
            (_, _, None) => Ok(()),
        };
        done.map_err(|trouble| format!("{path}: {trouble}"))?;
        Ok(now)
    }
}

impl Worker {
    pub(super) fn show(&mut self, path: RelPath) {
        let base = self.known.base.get(&path).copied();
        let hand = Arc::clone(&self.hand);
        self.jobs.spawn(async move {
            let shown = hand.show(path, base).await;
            Finished::Said(match shown {
                Ok(shown) => Report::Shown(Box::new(shown)),
                Err(why) => Report::Note(why),
            })
        });
    }

    pub(super) fn weigh(&mut self, paths: Vec<RelPath>) {
        let (hand, weights) = (Arc::clone(&self.hand), Arc::clone(&self.weights));
        self.jobs.spawn(async move {
            let mut weighed = Vec::with_capacity(paths.len());
            for path in paths {
                let found = hand.weigh(&path, &weights).await;
                weighed.push((path, found));
            }
            Finished::Said(Report::Weighed(weighed))
        });
    }

    /// A file as somebody has put it together on a page, over what the page was made from.
    pub(super) fn rewrite(
        &mut self,
        path: RelPath,
        over: Option<FileState>,
        text: Option<String>,
        mode: Mode,
    ) {
        let noted = self.known.conflicts.get(&path);
        let why = match &self.halted {
            Some(halt @ (Halt::Gone | Halt::Replaced)) => Some(halt.to_string()),
            _ if self.busy.contains_key(&path) => {
                Some(format!("{path} is being written just now: try again"))
            }
            _ if noted.is_some_and(|noted| !noted.resolved) => Some(format!(
                "{path} is in conflict: `ashore mirror resolve` says which of the two stays"
            )),
            _ => None,
        };
        if let Some(why) = why {
            return self.note(why);
        }
        self.touched.insert(path.clone());
        self.busy
            .insert(path.clone(), crate::protocol::ids::Seq::ZERO);
        let hand = Arc::clone(&self.hand);
        let base = self.known.base.get(&path).copied();
        self.jobs.spawn(async move {
            let written = hand.rewrite(&path, over, text, mode).await;
            let result = written.map(|now| Undone {
                text: format!("{path}: written without that part; an undo of the file returns it"),
                done: vec![(path.clone(), now)],
                facts: vec![Fact::Edited(path.clone(), !same(base, now))],
            });
            Finished::Rewritten { path, result }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_and_what_is_no_text_is_told() {
        let lines = |added, removed| Weight::Lines { added, removed };
        let table: [(&[u8], &[u8], Weight); 5] = [
            (b"", b"a\nb\n", lines(2, 0)),
            (b"a\nb\n", b"a\nc\n", lines(1, 1)),
            (b"a\n", b"", lines(0, 1)),
            (b"a\n", b"a\n\0", Weight::Binary),
            (&[0xff, 0xfe], b"a", Weight::Binary),
        ];
        for (old, new, want) in table {
            assert_eq!(weight(old, new), want, "{old:?} {new:?}");
        }
    }
}
