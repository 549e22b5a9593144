//! Late saves: what somebody wrote into a file that was swapped out while they had it open, or that a kill caught between
//! a swap and the look back. It is brought back, and what was put in its place is in conflict with it.
//!
//! Decides when; what is done in the directory is `aside`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::time::Instant;

use crate::mirror::actor::{Finished, Worker};
use crate::mirror::aside::{Aside, Back, Left};
use crate::mirror::base::{self, BY_HAND, Fact, Noted, Written};
use crate::mirror::disk::Error;
use crate::mirror::hand::{Hand, LATE, REMOTE, beside, copy_of, mark};
use crate::mirror::ignore::is_conflict_copy;
use crate::mirror::plan::same;
use crate::mirror::status::{Direction, FileReport, Outcome};
use crate::mirror::worker::Report;
use crate::protocol::file::{ChangeKind, FileState};
use crate::protocol::ids::Seq;
use crate::protocol::path::RelPath;

/// A file that was written to late, and what is known of its path.
#[derive(Debug)]
struct Late {
    aside: Aside,
    /// What the other side has there; `None`: that is not for us to say.
    theirs: Option<Option<FileState>>,
}

/// What became of it.
#[derive(Debug)]
pub(super) struct Brought {
    aside: Aside,
    theirs: Option<FileState>,
    seq: Seq,
    back: Result<Back, Error>,
}

impl Worker {
    /// Asks for the next look at what lies aside.
    pub(super) fn mind_asides(&mut self) {
        if self.aside_at.is_none() && !self.looking_aside {
            let next = self.hand.disk.next_aside();
            self.aside_at = next.map(|wait| Instant::now() + wait);
        }
    }

    pub(super) fn look_aside(&mut self) {
        self.aside_at = None;
        self.looking_aside = true;
        let due = self.hand.disk.due();
        let hand = Arc::clone(&self.hand);
        self.jobs.spawn(async move {
            let written = hand.blocking(move |hand| hand.disk.look_aside(due)).await;
            Finished::LookedAside(written)
        });
    }

    /// Brings back what was written to; a path that is being written, or a mirror that is halted, waits.
    pub(super) fn looked_aside(&mut self, written: Vec<Aside>) {
        self.looking_aside = false;
        self.untidy = true;
        for aside in written {
            let path = aside.path.clone();
            if self.busy.contains_key(&path) || self.halted.is_some() {
                self.hand.disk.put_off(aside);
                continue;
            }
            let noted = self.known.conflicts.get(&path);
            let told = noted.is_some_and(|noted| !noted.resolved) || is_conflict_copy(path.name());
            let theirs = (!told).then(|| self.known.base.get(&path).copied());
            self.touched.insert(path.clone());
            self.busy.insert(path, Seq::ZERO);
            let hand = Arc::clone(&self.hand);
            let late = Late { aside, theirs };
            self.jobs
                .spawn(async move { Finished::Brought(Box::new(hand.bring(late).await)) });
        }
    }

    pub(super) async fn brought(&mut self, brought: Brought) {
        let Brought {
            aside,
            theirs,
            seq,
            back,
        } = brought;
        let path = aside.path.clone();
        self.is_free(&path);
        let before = Fact::Conflict(path.clone(), self.known.conflicts.get(&path).cloned());
        match back {
            Ok(Back::InPlace(copy)) => {
                let facts = conflict(&path, theirs, copy.clone(), seq);
                self.save(&facts).await;
                let beside = copy.map_or(String::new(), |copy| format!(", theirs is {copy}"));
                self.outbox.push_back(Report::File(FileReport {
                    path: path.to_string(),
                    change: theirs.map_or(ChangeKind::Deleted, |_| ChangeKind::Modified),
                    direction: Direction::Down,
                    result: Outcome::Conflict,
                    hash: theirs.map(|theirs| theirs.hash),
                    reason: Some(format!(
                        "saved here while theirs was put in its place: yours stands there again{beside}"
                    )),
                }));
            }
            Ok(Back::Beside(copy)) => {
                self.save(&[before]).await;
                self.note(format!(
                    "{path}: a program that had it open saved it after it was replaced; what it saved is {copy}"
                ));
            }
            Ok(Back::Same) => self.save(&[before]).await,
            Err(Error::Stranded(at)) => {
                self.save(&[before]).await;
                let at = at.display();
                self.note(format!(
                    "{path}: a program that had it open saved it after it was replaced; what it saved lies in {at}"
                ));
            }
            Err(error) => {
                tracing::debug!(%error, %path, "cannot be brought back now");
                self.save(&[before]).await;
                self.hand.disk.put_off(aside);
            }
        }
        self.untidy = true;
        self.start_look(BTreeSet::from([path]));
    }

    /// What a kill left in the stage: ours goes; a file of the user's is watched on, or brought back.
    pub(super) async fn take_up_left(&mut self) -> Result<(), base::Error> {
        let left = self.hand.disk.left();
        if left.is_empty() {
            return Ok(());
        }
        let all = self.hand.base.notes(None).await?;
        let undecided = self.hand.base.unfinished().await?;
        let undecided: BTreeMap<RelPath, Option<FileState>> = undecided.into_iter().collect();
        for left in left {
            let of = all.iter().find(|(path, _)| left.is_of(path));
            let Some((path, notes)) = of else {
                self.hand
                    .blocking(move |hand| hand.disk.forget_left(&left))
                    .await;
                continue;
            };
            let is_undecided = undecided.contains_key(path);
            let base = self.known.base.get(path).copied();
            let (path, notes) = (path.clone(), notes.clone());
            let hand = Arc::clone(&self.hand);
            let told = self
                .hand
                .blocking(move |_| hand.take_up_left(left, &path, &notes, base, is_undecided))
                .await;
            told.into_iter().for_each(|line| self.note(line));
        }
        self.untidy = true;
        Ok(())
    }
}

/// The conflict that a late save makes, and that an edit made here waits.
fn conflict(
    path: &RelPath,
    theirs: Option<FileState>,
    copy: Option<RelPath>,
    seq: Seq,
) -> Vec<Fact> {
    let noted = Noted {
        seq,
        theirs,
        copy,
        storage_path: None,
        resolved: false,
        refused: false,
    };
    vec![
        Fact::Conflict(path.clone(), Some(noted)),
        Fact::Edited(path.clone(), true),
    ]
}

impl Hand {
    /// First it is written down as a conflict: what a kill leaves of it must not go up over theirs.
    async fn bring(self: &Arc<Self>, late: Late) -> Brought {
        let Late { aside, theirs } = late;
        let path = aside.path.clone();
        let notes = self.base.notes(Some(&path)).await.unwrap_or_default();
        let mut seqs = notes.values().flatten().map(|note| note.origin.seq);
        let seq = seqs.rfind(|seq| *seq != BY_HAND).unwrap_or(Seq::ZERO);
        if let Some(theirs) = theirs {
            let copy = theirs.and(copy_of(&path, &self.run, seq));
            let facts = conflict(&path, theirs, copy, seq);
            if let Err(error) = self.base.save(&facts).await {
                tracing::debug!(%error, "a late save waits");
            }
        }
        let (at, mark) = (aside.clone(), mark(&self.run));
        let back = self
            .blocking(move |hand| {
                let beside = |theirs: bool, number: usize| {
                    let what = if theirs { REMOTE } else { LATE };
                    beside(&at.path, what, &mark, seq, number)
                };
                hand.disk.bring_back(&at, theirs, &beside, &hand.kept)
            })
            .await;
        Brought {
            aside,
            theirs: theirs.flatten(),
            seq,
            back,
        }
    }

    /// What is to be told of it.
    fn take_up_left(
        &self,
        left: Left,
        path: &RelPath,
        notes: &[Written],
        base: Option<FileState>,
        is_undecided: bool,
    ) -> Option<String> {
        let disk = &self.disk;
        let last = notes.last()?;
        let (state, stands) = (left.state(), disk.stands(path));
        let is = |noted: &Option<FileState>| left.found.is_some() && same(state, *noted);
        // A file system that cannot swap two names was about to write, and its name was away.
        let is_away = is_undecided && stands == Some(None) && last.after.is_some();
        if is_away && is(&last.before) && disk.return_left(&left, path) {
            return None;
        }
        // The swap was not done, or was undone; or it is what a swap brought back in its place.
        let not_done = stands.is_some_and(|stands| same(stands, last.before));
        let is_ours = is(&last.after) || (left.found.is_some() && not_done && !is(&last.before));
        if is_ours {
            disk.forget_left(&left);
            return None;
        }
        // Two writes may follow upon one another within the while, and a power cut takes the newest notes.
        if is(&base) || notes.iter().any(|note| is(&note.before)) {
            disk.put_aside(left.aside(path.clone(), false));
            return None;
        }
        let aside = left.aside(path.clone(), true);
        if !is_undecided {
            disk.put_aside(aside);
            return None;
        }
        // It is decided anew, with what the user has there.
        let mark = mark(&self.run);
        let beside = |theirs: bool, number: usize| {
            let free = beside(path, LATE, &mark, last.origin.seq, number);
            free.filter(|_| !theirs)
        };
        match disk.bring_back(&aside, Some(last.after), &beside, &self.kept) {
            Ok(Back::Beside(copy)) => Some(format!(
                "{path}: an edit of yours that was about to be replaced when this was killed is {copy}"
            )),
            Ok(Back::InPlace(_) | Back::Same) => None,
            Err(Error::Stranded(at)) => Some(format!(
                "{path}: an edit of yours that was about to be replaced when this was killed lies in {}",
                at.display()
            )),
            Err(error) => {
                tracing::debug!(%error, %path, "cannot be brought back now");
                disk.put_off(aside);
                None
            }
        }
    }
}
