//! What is noticed in the directory: batches of the watch, whole scans, what they mean for edits and conflicts.
//!
//! Compares with the base and counts; writes no file.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use crate::mirror::actor::{Finished, Worker};
use crate::mirror::base::{Fact, Noted};
use crate::mirror::disk::id_of;
use crate::mirror::guard::{self, Halt};
use crate::mirror::plan::{folder, same};
use crate::mirror::scan::{self, Local, Tree};
use crate::mirror::watch::Batch;
use crate::protocol::file::{FileState, Mode};
use crate::protocol::path::RelPath;

/// Problems of a scan that are named one by one.
const NAMED: usize = 20;
/// Looks at once: beyond that one scan is cheaper.
const LOOKS: usize = 32;

impl Worker {
    pub(super) fn batch(&mut self, batch: Batch) {
        if let Some(note) = batch.note {
            self.note(note);
        }
        if batch.rescan || self.jobs.len() > LOOKS {
            self.scan_wanted = true;
        } else if self.scanned_once {
            self.start_look(batch.paths);
        }
    }

    pub(super) fn start_scan(&mut self) {
        self.scan_wanted = false;
        self.scanning = true;
        self.touched = self.busy.keys().cloned().collect();
        let hand = Arc::clone(&self.hand);
        let work = move || {
            scan::scan(&hand.root, &hand.rules, hand.limits, &hand.cache)
                .map_err(|error| error.to_string())
        };
        self.jobs.spawn(async move {
            let scanned = tokio::task::spawn_blocking(work).await;
            Finished::Scanned(scanned.unwrap_or_else(|error| Err(error.to_string())))
        });
    }

    pub(super) fn start_look(&mut self, paths: BTreeSet<RelPath>) {
        let hand = Arc::clone(&self.hand);
        let work = move || {
            paths
                .into_iter()
                .map(|path| (path.clone(), hand.look(&path)))
                .collect()
        };
        self.jobs.spawn(async move {
            Finished::Looked(tokio::task::spawn_blocking(work).await.unwrap_or_default())
        });
    }

    /// The whole directory against the base.
    pub(super) async fn compare(&mut self, tree: &Tree) {
        self.scanning = false;
        let standing = tree.files.len() + tree.problems.len();
        self.empty_is_meant &= standing == 0;
        let recorded = self.known.root.or_else(|| id_of(&self.hand.root));
        let halt = recorded.and_then(|id| {
            guard::root(id, id_of(&self.hand.root), self.known.base.len(), standing)
        });
        match halt {
            Some(Halt::Emptied) if self.empty_is_meant => (),
            Some(halt) => self.halt(halt),
            None => (),
        }
        self.name_problems(tree);
        let unclear: BTreeSet<&str> = tree
            .problems
            .iter()
            .map(|problem| problem.path.as_str())
            .collect();
        let paths: BTreeSet<RelPath> = self
            .known
            .base
            .keys()
            .chain(tree.files.keys())
            .chain(&self.known.edited)
            .chain(self.known.conflicts.keys())
            .filter(|path| !unclear.contains(path.as_str()))
            .cloned()
            .collect();
        let mut facts = vec![Fact::Checked(Timestamp::now())];
        let mut again = BTreeSet::new();
        for path in paths {
            if self.touched.contains(&path) || self.busy.contains_key(&path) {
                again.insert(path);
            } else if self
                .known
                .base
                .get(&path)
                .is_none_or(|base| base.mode != Mode::Directory)
            {
                self.judge(&path, tree.files.get(&path).copied(), &mut facts);
            }
        }
        self.touched.clear();
        self.save(&facts).await;
        self.scanned_once = true;
        if !again.is_empty() {
            self.start_look(again);
        }
        for ask in std::mem::take(&mut self.early) {
            self.answer(ask).await;
        }
    }

    fn name_problems(&mut self, tree: &Tree) {
        let lines: BTreeSet<String> = tree.problems.iter().map(ToString::to_string).collect();
        let new: Vec<String> = lines.difference(&self.problems).cloned().collect();
        for line in new.iter().take(NAMED) {
            self.note(format!("not mirrored: {line}"));
        }
        if new.len() > NAMED {
            self.note(format!("not mirrored: {} more paths", new.len() - NAMED));
        }
        self.problems = lines;
    }

    pub(super) async fn looked(&mut self, seen: Vec<(RelPath, Local)>) {
        let mut facts = Vec::new();
        for (path, local) in seen {
            // A job that runs will say itself what stands there; so will the echo of its write.
            if self.busy.contains_key(&path) {
                continue;
            }
            match local {
                Local::Absent => self.judge(&path, None, &mut facts),
                Local::File(state) => self.judge(&path, Some(state), &mut facts),
                Local::Directory => self.judge(&path, Some(folder()), &mut facts),
                Local::Ignored(_) | Local::Obstacle(_) => (),
            }
        }
        self.judge_copies(&mut facts);
        self.save(&facts).await;
        // Everything gone at once is a matter for the guard.
        self.scan_wanted |=
            self.known.base.len() > 1 && self.known.edited.len() >= self.known.base.len();
    }

    /// Whether a path is edited here, and whether that ends a conflict.
    fn judge(&mut self, path: &RelPath, here: Option<FileState>, facts: &mut Vec<Fact>) {
        let base = self.known.base.get(path).copied();
        let noted = self.known.conflicts.get(path).cloned();
        if let Some(noted) = noted.filter(|noted| same(noted.theirs, here)) {
            facts.extend([
                Fact::Base(path.clone(), noted.theirs),
                Fact::Conflict(path.clone(), None),
                Fact::Edited(path.clone(), false),
            ]);
            self.note(format!(
                "the conflict on {path} is over: both sides are the same"
            ));
            self.drop_copy(noted);
            return;
        }
        let bare_folder = here.is_some_and(|state| state.mode == Mode::Directory) && base.is_none();
        let edited = !same(base, here) && !bare_folder;
        if edited != self.known.edited.contains(path) {
            facts.push(Fact::Edited(path.clone(), edited));
        }
    }

    /// Who removes the copy of theirs has decided for ours.
    fn judge_copies(&mut self, facts: &mut Vec<Fact>) {
        let mut over = Vec::new();
        for (path, noted) in &self.known.conflicts {
            let gone = |copy: &RelPath| copy.below(&self.hand.root).symlink_metadata().is_err();
            if !noted.resolved
                && !self.busy.contains_key(path)
                && noted.copy.as_ref().is_some_and(gone)
            {
                over.push((path.clone(), noted.clone()));
            }
        }
        for (path, noted) in over {
            self.note(format!("the conflict on {path} is over: yours stays"));
            let resolved = Noted {
                resolved: true,
                copy: None,
                ..noted
            };
            facts.push(Fact::Conflict(path, Some(resolved)));
        }
    }
}
