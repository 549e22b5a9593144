//! Undo: what the agent wrote to a file, in a turn or in the whole run is taken back, as a preview has said.
//!
//! What gives way is kept, so that an undo is undone by another. What does not lie here is fetched, once.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::mirror::base::{Fact, Noted, Origin, Written};
use crate::mirror::blobs::{self, Wanted};
use crate::mirror::ground;
use crate::mirror::hand::{Hand, Source, Trouble, standing};
use crate::mirror::plan::same;
use crate::mirror::preview::{self, Item, Preview, Scope, Seen, Step};
use crate::mirror::scan::Local;
use crate::protocol::file::FileState;
use crate::protocol::hash::ContentHash;
use crate::protocol::path::RelPath;

/// What of the paths is known to the one who asks.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) scope: Scope,
    /// Nothing is done unless it comes to exactly this.
    pub(super) seen: Option<ContentHash>,
    pub(super) paths: BTreeMap<RelPath, Standing>,
}

/// One path as the mirror's state has it.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) notes: Vec<Written>,
    pub(super) base: Option<FileState>,
    pub(super) in_conflict: bool,
    /// It is being written just now.
    pub(super) is_busy: bool,
}

/// What an undo did: one sentence for the user, what was done to which path, and the facts to write down.
#[derive(Debug, Default)]
pub(super) struct Undone {
    pub(super) text: String,
    pub(super) done: Vec<(RelPath, Option<FileState>)>,
    pub(super) facts: Vec<Fact>,
}

impl Hand {
    /// What it would do now.
    pub(super) async fn preview(self: &Arc<Self>, asked: &Asked) -> (Preview, Vec<Item>) {
        let mut steps = Vec::new();
        for (path, standing) in &asked.paths {
            steps.push(self.step(&asked.scope, path, standing).await);
        }
        preview::preview(asked.scope.clone(), steps)
    }

    async fn step(self: &Arc<Self>, scope: &Scope, path: &RelPath, known: &Standing) -> Step {
        let at = path.clone();
        let here = match self.blocking(move |hand| hand.look(&at)).await {
            _ if known.is_busy => Err("it is being written just now: try again".to_owned()),
            Local::Ignored(why) => Err(why.to_string()),
            Local::Obstacle(why) => Err(format!("what stands here: {why}")),
            local @ (Local::Absent | Local::File(_) | Local::Directory) => Ok(standing(&local)),
        };
        let seen = Seen {
            here,
            in_conflict: known.in_conflict,
        };
        preview::step(scope, path, &known.notes, &seen, |hash| {
            self.is_kept(hash) || known.notes.iter().any(|note| named(note, hash).is_some())
        })
    }

    pub(super) fn is_kept(&self, hash: ContentHash) -> bool {
        ground::stat(&self.kept.path(hash)).is_ok()
    }

    /// Does what the preview says, as far as it goes.
    pub(super) async fn undo(self: &Arc<Self>, asked: Asked) -> Result<Undone, String> {
        let (preview, items) = self.preview(&asked).await;
        if asked.seen.is_some_and(|seen| seen != preview.seen) {
            return Err(
                "something has changed since that was looked at: nothing was done, look again"
                    .to_owned(),
            );
        }
        if let Some(why) = nothing(&preview, items.is_empty()) {
            return Err(why);
        }
        let mut undone = Undone::default();
        let mut failed = Vec::new();
        for item in items {
            let Some(known) = asked.paths.get(&item.path) else {
                continue;
            };
            match self.put_back(&item, &known.notes, &asked.scope).await {
                Ok(()) => {
                    let edited = !same(known.base, item.back);
                    undone.facts.push(Fact::Edited(item.path.clone(), edited));
                    undone.done.push((item.path, item.back));
                }
                Err(trouble) => failed.push(format!("{}: {trouble}", item.path)),
            }
        }
        if let (true, Some(why)) = (undone.done.is_empty(), failed.first()) {
            return Err(why.clone());
        }
        undone.text = self.sentence(&preview, &asked, &undone, &failed);
        Ok(undone)
    }

    async fn put_back(
        self: &Arc<Self>,
        item: &Item,
        notes: &[Written],
        scope: &Scope,
    ) -> Result<(), Trouble> {
        let origin = Origin::by_hand(Some(scope.clone()));
        match (item.back, item.here) {
            (Some(back), here) => {
                let source = self.source_of(back, notes);
                let written = self.write(&item.path, back, source, here, Some(origin));
                written.await.map(drop)
            }
            (None, Some(here)) => self.remove(&item.path, here, origin).await,
            (None, None) => Ok(()),
        }
    }

    fn source_of(&self, back: FileState, notes: &[Written]) -> Source {
        if self.is_kept(back.hash) {
            return Source::PreImage(back.hash);
        }
        let named = notes.iter().rev().find_map(|note| named(note, back.hash));
        Source::BlobNow(Wanted {
            hash: back.hash,
            size: back.size,
            storage_path: named.flatten(),
        })
    }

    fn sentence(
        &self,
        preview: &Preview,
        asked: &Asked,
        undone: &Undone,
        failed: &[String],
    ) -> String {
        if let Scope::File { path } = &preview.scope {
            let notes = asked.paths.get(path).map_or(&[][..], |known| &known.notes);
            let edited = preview.items.iter().find_map(|item| item.note.clone());
            let Some(edited) = edited else {
                return format!("{path}: what stood there before is back");
            };
            let older = notes.last().and_then(|last| last.before);
            let older = older.filter(|older| self.is_kept(older.hash));
            let older = older.map_or(String::new(), |older| {
                let at = self.kept.path(older.hash);
                format!(" (the version before both is {})", at.display())
            });
            return format!("{path}: {edited}{older}");
        }
        let name = preview.scope.name();
        let how = if preview.again {
            "is back"
        } else {
            "is undone, and another undo returns it"
        };
        let mut text = format!("{name} {how}: {}", files(undone.done.len()));
        let stay = preview.refused + failed.len();
        if stay > 0 {
            text.push_str(&format!("; {stay} stay as they are"));
        }
        failed.iter().take(3).for_each(|why| {
            text.push_str("; ");
            text.push_str(why);
        });
        text
    }

    /// The user kept ours over theirs: from now on an undo brings theirs back, as if it had been written here.
    pub(super) async fn note_refused(
        &self,
        path: &RelPath,
        noted: &Noted,
        ours: Option<FileState>,
    ) -> Result<(), String> {
        let written = Written {
            before: ours,
            after: noted.theirs,
            origin: Origin {
                seq: noted.seq,
                person: true,
                ..Origin::default()
            },
            at: ground::timestamp(),
            storage_path: noted.storage_path.clone(),
        };
        let noted = self.base.about_to_write(path, &written).await;
        noted.map(drop).map_err(|error| error.to_string())
    }

    /// Fetches without patience.
    pub(super) async fn get_now(
        &self,
        wanted: &Wanted,
        into: &std::path::Path,
    ) -> Result<(), Trouble> {
        let Some(remote) = &self.remote else {
            return Err(Trouble::Content(
                "what is to come back does not lie here: attach to the run first".to_owned(),
            ));
        };
        remote.get(wanted, into).await.map_err(|error| match error {
            blobs::Error::Unreachable(why) => Trouble::Content(format!(
                "what is to come back does not lie here, and the endpoint cannot be reached now ({why}): nothing was changed"
            )),
            error => Trouble::Content(format!("{error}: nothing was changed")),
        })
    }
}

/// Whether the endpoint has been given these bytes with this write, and a foreign one's name for them.
fn named(note: &Written, hash: ContentHash) -> Option<Option<String>> {
    let is_it = |state: Option<FileState>| state.is_some_and(|state| state.hash == hash);
    let mut passed = note.origin.passed.iter();
    let last = is_it(note.after).then(|| note.storage_path.clone());
    last.or_else(|| Some(passed.find(|one| is_it(one.now))?.storage_path.clone()))
}

/// `1 file`.
pub(super) fn files(count: usize) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} file{s}")
}

/// Why nothing is to be done.
fn nothing(preview: &Preview, is_empty: bool) -> Option<String> {
    if !is_empty {
        return None;
    }
    let Some(item) = preview.items.first() else {
        return Some(format!(
            "{}: nothing of it stands here, so there is nothing to undo",
            preview.scope.name()
        ));
    };
    let why = item.refused.clone().unwrap_or_default();
    let more = match preview.items.len() {
        1 => String::new(),
        many => format!(", and {} more", many - 1),
    };
    Some(format!("{}: {why}{more}", item.path))
}
