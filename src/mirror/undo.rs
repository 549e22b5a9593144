//! Undo: a file goes back to what stood there before the last write of ours, or, where it was edited since, to that write.
//!
//! What gives way is kept, so that an undo is undone by another. What does not lie here is fetched, once.

use std::sync::Arc;

use crate::mirror::base::{BY_HAND, Fact, Noted, Written};
use crate::mirror::blobs::{self, Wanted};
use crate::mirror::ground;
use crate::mirror::hand::{Hand, Source, Trouble, standing};
use crate::mirror::plan::same;
use crate::mirror::scan::Local;
use crate::protocol::file::FileState;
use crate::protocol::path::RelPath;

/// What an undo did: one sentence for the user, and the facts to write down.
#[derive(Debug)]
pub(super) struct Undone {
    pub(super) text: String,
    pub(super) facts: Vec<Fact>,
}

impl Hand {
    /// Puts back what stood there before our last write; where that was edited since, what we wrote. Of a path in
    /// conflict only the former.
    pub(super) async fn undo(
        self: &Arc<Self>,
        path: &RelPath,
        base: Option<FileState>,
        in_conflict: bool,
    ) -> Result<Undone, String> {
        let last = self.base.last_written(path).await;
        let Some(last) = last.map_err(|error| error.to_string())? else {
            return Err(format!(
                "{path}: this run wrote nothing there, so there is nothing to undo"
            ));
        };
        let at = path.clone();
        let here = match self.blocking(move |hand| hand.look(&at)).await {
            Local::Ignored(why) => return Err(format!("{path}: {why}")),
            Local::Obstacle(why) => return Err(format!("{path}: what stands here: {why}")),
            local @ (Local::Absent | Local::File(_) | Local::Directory) => standing(&local),
        };
        let edited = !same(here, last.after);
        if edited && in_conflict {
            return Err(format!(
                "{path} is in conflict: `ashore mirror resolve` says which of the two stays"
            ));
        }
        let back = if edited { last.after } else { last.before };
        let done = match (back, here) {
            (Some(back), _) => {
                let source = self.source_of(back, &last);
                let written = self.write(path, back, source, here, BY_HAND, true);
                written.await.map(drop)
            }
            (None, Some(ours)) => self.remove(path, ours, BY_HAND).await,
            (None, None) => Ok(()),
        };
        done.map_err(|trouble| format!("{path}: {trouble}"))?;
        Ok(Undone {
            text: self.sentence(path, &last, edited),
            facts: vec![Fact::Edited(path.clone(), !same(base, back))],
        })
    }

    fn source_of(&self, back: FileState, last: &Written) -> Source {
        if ground::stat(&self.kept.path(back.hash)).is_ok() {
            return Source::PreImage(back.hash);
        }
        let theirs = last.after.filter(|after| after.hash == back.hash);
        Source::BlobNow(Wanted {
            hash: back.hash,
            size: back.size,
            storage_path: theirs.and_then(|_| last.storage_path.clone()),
        })
    }

    fn sentence(&self, path: &RelPath, last: &Written, edited: bool) -> String {
        if !edited {
            return format!("{path}: what stood there before is back");
        }
        let older = last.before.map(|before| self.kept.path(before.hash));
        let older = older.filter(|at| ground::stat(at).is_ok());
        let older = older.map_or(String::new(), |at| {
            format!(" (the version before both is {})", at.display())
        });
        format!(
            "{path}: what was edited here since is taken back, and another undo returns it{older}"
        )
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
            seq: noted.seq,
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
