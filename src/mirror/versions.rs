//! A conflict with all that stands in it: what both sides had last, yours, theirs, and what a merge of them comes to.
//!
//! Bounded: what is too large to be looked at is told by its size, and is not merged.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::oneshot;

use crate::mirror::actor::{Finished, Worker};
use crate::mirror::base::{Fact, Noted};
use crate::mirror::control::Answer;
use crate::mirror::ground;
use crate::mirror::hand::Hand;
use crate::mirror::merge::{Merged, merge};
use crate::mirror::plan::same;
use crate::mirror::show::Side;
use crate::mirror::worker::Report;
use crate::protocol::file::{FileState, Mode};
use crate::protocol::ids::Seq;
use crate::protocol::path::RelPath;

/// A conflict as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versions {
    pub path: RelPath,
    /// What both sides had last.
    pub base: Version,
    pub mine: Version,
    pub theirs: Version,
    /// Where theirs stands; `None` when it is a delete.
    pub copy: Option<RelPath>,
    /// What a merge line by line comes to; `None` where one of them is no text.
    pub merged: Option<Merged>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    pub side: Side,
    /// `None`: nothing stands there.
    pub state: Option<FileState>,
    /// When it was written here, where that is known.
    pub time: Option<Timestamp>,
}

/// What somebody has made of both versions, over exactly the one of this side that it was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    pub over: Option<FileState>,
    pub text: String,
}

impl Hand {
    async fn versions(
        self: &Arc<Self>,
        path: &RelPath,
        base: Option<FileState>,
        noted: &Noted,
    ) -> Result<Versions, String> {
        let refused = |why: String| format!("{path}: {why}");
        let here = self.here(path).await.map_err(refused)?;
        let at = path.below(&self.root);
        let beside = noted.copy.as_ref().map(|copy| copy.below(&self.root));
        let mine = Version {
            side: self.now(path, here).await,
            state: here,
            time: self.written(at.clone()).await,
        };
        let storage_path = noted.storage_path.clone();
        let places = beside.iter().cloned().collect();
        let theirs = Version {
            side: self.recall(noted.theirs, places, storage_path).await,
            state: noted.theirs,
            time: match beside {
                Some(beside) => self.written(beside).await,
                None => None,
            },
        };
        let base = Version {
            side: self.recall(base, vec![at], None).await,
            state: base,
            time: None,
        };
        let texts = (base.side.text(), mine.side.text(), theirs.side.text());
        let merged = match texts {
            (base, Some(mine), Some(theirs)) => {
                let base = base.unwrap_or_default().to_owned();
                let (mine, theirs) = (mine.to_owned(), theirs.to_owned());
                Some(self.blocking(move |_| merge(&base, &mine, &theirs)).await)
            }
            _ => None,
        };
        Ok(Versions {
            path: path.clone(),
            base,
            mine,
            theirs,
            copy: noted.copy.clone(),
            merged,
        })
    }

    async fn written(self: &Arc<Self>, at: PathBuf) -> Option<Timestamp> {
        self.blocking(move |_| {
            let modified = ground::stat(&at).ok()?.modified;
            Timestamp::from_nanosecond(modified).ok()
        })
        .await
    }

    /// What the merge put in the place of yours.
    async fn merge(
        self: &Arc<Self>,
        path: &RelPath,
        base: Option<FileState>,
        noted: &Noted,
        put: Option<Put>,
    ) -> Result<Option<FileState>, String> {
        let put = match put {
            Some(put) => put,
            None => {
                let versions = self.versions(path, base, noted).await?;
                let over = versions.mine.state;
                match versions.merged {
                    Some(Merged::Clean(text)) => Put { over, text },
                    Some(Merged::Overlaps { places, .. }) => {
                        return Err(format!(
                            "{path}: both sides changed the same lines in {places} {}: `ashore attach` shows them, and `e` there opens both in your editor",
                            if places == 1 { "place" } else { "places" }
                        ));
                    }
                    None => {
                        return Err(format!(
                            "{path} cannot be merged line by line: keep yours, theirs or both"
                        ));
                    }
                }
            }
        };
        self.rewrite(path, put.over, Some(put.text), Mode::File)
            .await
    }
}

/// A merge that is over.
pub(super) struct Combined {
    path: RelPath,
    noted: Noted,
    result: Result<Option<FileState>, String>,
    reply: Option<oneshot::Sender<Answer>>,
}

impl Worker {
    /// What is noted of it; a sentence when there is nothing to decide.
    pub(super) fn open_conflict(&self, path: &RelPath) -> Result<Noted, String> {
        let noted = self.known.conflicts.get(path);
        let open = noted.filter(|noted| !noted.resolved).cloned();
        open.ok_or_else(|| format!("{path} is not in conflict"))
    }

    /// All versions of a conflict, to be shown.
    pub(super) fn versions(&mut self, path: RelPath) {
        let noted = match self.open_conflict(&path) {
            Ok(noted) => noted,
            Err(why) => return self.note(why),
        };
        let base = self.known.base.get(&path).copied();
        let hand = Arc::clone(&self.hand);
        self.jobs.spawn(async move {
            Finished::Said(match hand.versions(&path, base, &noted).await {
                Ok(versions) => Report::Versions(Box::new(versions)),
                Err(why) => Report::Note(why),
            })
        });
    }

    /// Ends a conflict with what both come to; without a text, with a merge in which nothing overlaps.
    pub(super) fn merge(
        &mut self,
        path: RelPath,
        put: Option<Put>,
        reply: Option<oneshot::Sender<Answer>>,
    ) {
        let ready = self
            .open_conflict(&path)
            .and_then(|noted| self.hindrance(&path).map_or(Ok(noted), Err));
        let noted = match ready {
            Ok(noted) => noted,
            Err(why) => return self.reply(reply, Err(why)),
        };
        self.touched.insert(path.clone());
        self.busy.insert(path.clone(), Seq::ZERO);
        let hand = Arc::clone(&self.hand);
        let base = self.known.base.get(&path).copied();
        self.jobs.spawn(async move {
            let result = hand.merge(&path, base, &noted, put).await;
            Finished::Merged(Combined {
                path,
                noted,
                result,
                reply,
            })
        });
    }

    pub(super) async fn merged(&mut self, combined: Combined) {
        let Combined {
            path,
            noted,
            result,
            reply,
        } = combined;
        self.is_free(&path);
        // Who asked may be gone, and its process with it, as soon as it has its answer.
        self.tidy().await;
        match result {
            Ok(now) => {
                let base = self.known.base.get(&path).copied();
                self.drop_copy(noted.clone());
                let over = Noted {
                    resolved: true,
                    copy: None,
                    ..noted
                };
                self.save(&[
                    Fact::Edited(path.clone(), !same(base, now)),
                    Fact::Conflict(path.clone(), Some(over)),
                ])
                .await;
                self.reply(reply, Ok(format!("{path}: both versions are merged")));
            }
            Err(why) => self.reply(reply, Err(why)),
        }
        self.start_look([path].into());
    }
}
