//! What a person asks of single files: to see what an undo would do, to have it done, to end a conflict.
//!
//! Starts the jobs and writes down what became of them; what is to be done is decided in `preview`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::mirror::actor::{Finished, Worker};
use crate::mirror::base::{Fact, Noted, Waiting, Written};
use crate::mirror::control::{Answer, Keep};
use crate::mirror::guard::Halt;
use crate::mirror::inbox::Taken;
use crate::mirror::preview::{Preview, Scope};
use crate::mirror::undo::{Asked, Standing, Undone};
use crate::mirror::worker::Report;
use crate::protocol::file::ChangeKind;
use crate::protocol::hash::ContentHash;
use crate::protocol::ids::Seq;
use crate::protocol::path::RelPath;

impl Worker {
    /// Says what an undo would do.
    pub(super) async fn preview(&mut self, scope: Scope, reply: Option<oneshot::Sender<Answer>>) {
        let asked = match self.asked(scope, None).await {
            Ok(asked) => asked,
            Err(why) => return self.reply(reply, Err(why)),
        };
        let hand = Arc::clone(&self.hand);
        self.jobs.spawn(async move {
            let (preview, _) = hand.preview(&asked).await;
            Finished::Previewed { preview, reply }
        });
    }

    pub(super) fn previewed(&mut self, preview: Preview, reply: Option<oneshot::Sender<Answer>>) {
        let Some(reply) = reply else {
            return self.outbox.push_back(Report::Preview(Box::new(preview)));
        };
        let answer = Answer {
            preview: Some(preview),
            ..self.answer_of_status(None)
        };
        // Who asked may have left.
        drop(reply.send(answer));
    }

    /// Does what a preview said; without one, whatever there is to do.
    pub(super) async fn undo(
        &mut self,
        scope: Scope,
        seen: Option<ContentHash>,
        reply: Option<oneshot::Sender<Answer>>,
    ) {
        let asked = match self.asked(scope, seen).await {
            Ok(asked) => asked,
            Err(why) => return self.reply(reply, Err(why)),
        };
        let free = asked.paths.iter().filter(|(_, known)| !known.is_busy);
        let paths: Vec<RelPath> = free.map(|(path, _)| path.clone()).collect();
        for path in &paths {
            self.touched.insert(path.clone());
            self.busy.insert(path.clone(), Seq::ZERO);
        }
        let hand = Arc::clone(&self.hand);
        self.jobs.spawn(async move {
            let result = hand.undo(asked).await;
            Finished::Undone {
                paths,
                result,
                reply,
            }
        });
    }

    /// What is known of the paths that this is about.
    async fn asked(&self, scope: Scope, seen: Option<ContentHash>) -> Result<Asked, String> {
        if let Some(halt @ (Halt::Gone | Halt::Replaced)) = &self.halted {
            return Err(halt.to_string());
        }
        let of = match &scope {
            Scope::File { path } => Some(path),
            Scope::Turn { .. } | Scope::Run => None,
        };
        let notes = self.hand.base.notes(of).await;
        let mut notes = notes.map_err(|error| error.to_string())?;
        if let Some(path) = of {
            notes.entry(path.clone()).or_default();
        }
        // Those of the others are none of its business.
        let is_about = |note: &Written| match &scope {
            Scope::Turn { turn } => {
                let mut deeds = note.deeds().into_iter();
                deeds.any(|deed| deed.turn == Some(*turn))
                    || note.origin.undid.as_ref() == Some(&scope)
            }
            Scope::File { .. } | Scope::Run => true,
        };
        notes.retain(|_, notes| notes.is_empty() || notes.iter().any(is_about));
        let paths = notes.into_iter().map(|(path, notes)| {
            let noted = self.known.conflicts.get(&path);
            let standing = Standing {
                notes,
                base: self.known.base.get(&path).copied(),
                in_conflict: noted.is_some_and(|noted| !noted.resolved),
                is_busy: self.busy.contains_key(&path),
            };
            (path, standing)
        });
        let paths: BTreeMap<_, _> = paths.collect();
        Ok(Asked { scope, seen, paths })
    }

    pub(super) async fn undone(
        &mut self,
        paths: &[RelPath],
        result: Result<Undone, String>,
        reply: Option<oneshot::Sender<Answer>>,
    ) {
        for path in paths {
            self.is_free(path);
        }
        // Who asked may be gone, and its process with it, as soon as it has its answer.
        self.tidy().await;
        match result {
            Ok(Undone { text, done, facts }) => {
                self.save(&facts).await;
                // Somebody has seen that these go.
                let gone = done.iter().filter(|(_, back)| back.is_none());
                self.ups.mean(gone.map(|(path, _)| path.clone()));
                self.reply(reply, Ok(text));
            }
            Err(why) => self.reply(reply, Err(why)),
        }
        // An undo is an edit of ours; what came meanwhile of the others waited for it.
        self.start_look(paths.iter().cloned().collect());
    }

    pub(super) async fn resolve(
        &mut self,
        path: RelPath,
        keep: Keep,
        reply: Option<oneshot::Sender<Answer>>,
    ) {
        let noted = match self.open_conflict(&path) {
            Ok(noted) => noted,
            Err(why) => return self.reply(reply, Err(why)),
        };
        if let Some(why) = self.hindrance(&path) {
            return self.reply(reply, Err(why));
        }
        match keep {
            Keep::Theirs => self.force(path, noted, reply),
            Keep::Merge => self.merge(path, None, reply),
            Keep::Mine | Keep::Both => {
                if keep == Keep::Mine {
                    let ours = self.ups.here(&path);
                    let ours = ours.unwrap_or_else(|| self.known.base.get(&path).copied());
                    if let Err(why) = self.hand.note_refused(&path, &noted, ours).await {
                        return self.reply(reply, Err(why));
                    }
                    self.drop_copy(noted.clone());
                }
                let copy = noted.copy.clone().filter(|_| keep == Keep::Both);
                let resolved = Noted {
                    resolved: true,
                    copy,
                    ..noted
                };
                self.save(&[Fact::Conflict(path.clone(), Some(resolved))])
                    .await;
                self.start_look(BTreeSet::from([path.clone()]));
                self.reply(reply, Ok(format!("{path}: yours stays")));
            }
        }
    }

    /// Puts theirs in the place of ours; ours becomes a pre-image.
    fn force(&mut self, path: RelPath, noted: Noted, reply: Option<oneshot::Sender<Answer>>) {
        let change = Waiting {
            storage_path: noted.storage_path.clone(),
            accepted: true,
            forced: true,
            ..Waiting::of_nobody(
                if noted.theirs.is_some() {
                    ChangeKind::Modified
                } else {
                    ChangeKind::Deleted
                },
                path,
                noted.theirs,
            )
        };
        self.spawn(Taken::of(noted.seq, change), reply);
    }

    /// Why nothing can be done to this path by hand now.
    pub(super) fn hindrance(&self, path: &RelPath) -> Option<String> {
        match &self.halted {
            Some(halt @ (Halt::Gone | Halt::Replaced)) => Some(halt.to_string()),
            Some(
                Halt::MassDelete { .. } | Halt::DeletesHere { .. } | Halt::Emptied | Halt::Disk(_),
            )
            | None => self
                .busy
                .contains_key(path)
                .then(|| format!("{path} is being written just now: try again")),
        }
    }
}
