//! What is noticed in the directory: batches of the watch, whole scans, what they mean for edits and conflicts.
//!
//! Compares with the base and counts; writes no file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use crate::mirror::actor::{Finished, Seen, Worker};
use crate::mirror::base::{Fact, Noted};
use crate::mirror::disk::id_of;
use crate::mirror::fresh::{News, Tick};
use crate::mirror::ground;
use crate::mirror::guard::{self, Halt};
use crate::mirror::hand::is_empty_folder;
use crate::mirror::hold::now;
use crate::mirror::plan::{folder, same};
use crate::mirror::scan::{self, Local, Tree};
use crate::mirror::watch::Batch;
use crate::protocol::file::{FileState, Mode};
use crate::protocol::path::RelPath;

/// Problems of a scan that are named one by one.
const NAMED: usize = 20;
/// Looks at once: beyond that one scan is cheaper.
const LOOKS: usize = 32;

/// A folder with something in it is not listed by itself.
fn is_above_a_file(path: &RelPath, tree: &Tree) -> bool {
    let start = format!("{path}/");
    let from = tree.files.range(path.clone()..).map(|(at, _)| at.as_str());
    from.take_while(|at| at.starts_with(path.as_str()))
        .any(|at| at.starts_with(&start))
}

/// What a scan saw at a path: a file, a link, or a folder with nothing in it.
fn standing(tree: &Tree, path: &RelPath) -> Option<FileState> {
    let file = tree.files.get(path).copied();
    file.or_else(|| tree.empty.binary_search(path).ok().map(|_| folder()))
}

/// The paths of either that are not the same in both.
fn differing<'a>(
    base: &'a BTreeMap<RelPath, FileState>,
    files: &'a BTreeMap<RelPath, FileState>,
) -> impl Iterator<Item = &'a RelPath> {
    let (mut base, mut files) = (base.iter().peekable(), files.iter().peekable());
    let mut next = move || {
        Some(match (base.peek(), files.peek()) {
            (None, None) => return None,
            (Some((a, _)), Some((b, _))) if a == b => {
                let (path, was) = base.next()?;
                let is = files.next().map(|(_, is)| *is);
                (path, same(Some(*was), is))
            }
            (Some((a, _)), Some((b, _))) if a > b => (files.next()?.0, false),
            (Some(_), _) => (base.next()?.0, false),
            (None, Some(_)) => (files.next()?.0, false),
        })
    };
    std::iter::from_fn(move || {
        loop {
            if let (path, false) = next()? {
                return Some(path);
            }
        }
    })
}

impl Worker {
    pub(super) fn batch(&mut self, batch: Batch) {
        if let Some(note) = batch.note {
            self.note(note);
        }
        self.polls = batch.polls.or(self.polls.take());
        if batch.rescan {
            self.retries.near_all(now());
        } else {
            self.retries.near(&batch.paths, now());
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
        self.scans_begun += 1;
        self.scan_began = Some((self.fresh.begins(), ground::timestamp()));
        self.touched = self.busy.keys().cloned().collect();
        let hand = Arc::clone(&self.hand);
        let work = move || {
            scan::scan(&hand.root, &hand.rules, hand.limits, &hand.cache).map_err(|error| {
                match std::error::Error::source(&error) {
                    Some(cause) => format!("{error} ({cause})"),
                    None => error.to_string(),
                }
            })
        };
        self.jobs.spawn(async move {
            let scanned = ground::blocking(work).await;
            Finished::Scanned(scanned.unwrap_or_else(|error| Err(error.to_string())))
        });
    }

    pub(super) fn start_look(&mut self, paths: BTreeSet<RelPath>) {
        self.looks += 1;
        let begun = self.fresh.begins();
        let hand = Arc::clone(&self.hand);
        let work = move || {
            let look = |path: RelPath| {
                let local = hand.look(&path);
                let bare = local == Local::Directory && is_empty_folder(&path.below(&hand.root));
                Seen { path, local, bare }
            };
            paths.into_iter().map(look).collect()
        };
        self.jobs.spawn(async move {
            let seen = ground::blocking(work).await.unwrap_or_default();
            Finished::Looked(begun, seen)
        });
    }

    /// The scan is over; when it began.
    pub(super) fn scanned(&mut self) -> Option<(Tick, Timestamp)> {
        self.scanning = false;
        self.scans_done += 1;
        let began = self.scan_began.take();
        if let Some((begun, _)) = began {
            self.fresh.ends_whole(begun);
        }
        began
    }

    /// The whole directory against the base.
    pub(super) async fn compare(&mut self, tree: &Tree) {
        self.check_root(tree);
        self.name_problems(tree);
        let mut again = BTreeSet::new();
        let mut questions = self.in_question(tree);
        if let Some((begun, _)) = self.scan_began {
            // What a look saw that began later stands.
            questions.retain(|path| self.fresh.says(path, begun) != News::Overtaken);
        }
        // True of the moment in which it began.
        let checked = self.scanned().map(|(_, at)| Fact::Checked(at));
        let mut facts: Vec<Fact> = checked.into_iter().collect();
        for path in questions {
            match standing(tree, &path) {
                _ if self.touched.contains(&path) || self.busy.contains_key(&path) => {
                    again.insert(path);
                }
                Some(here) => self.judge(&path, Some(here), true, &mut facts),
                None if is_above_a_file(&path, tree) => {
                    self.judge(&path, Some(folder()), false, &mut facts);
                }
                // Not seen is not gone: a new rule may hide it.
                None => {
                    again.insert(path);
                }
            }
        }
        self.touched.clear();
        self.save(&facts).await;
        self.keep_stamps().await;
        self.scanned_once = true;
        if !again.is_empty() {
            self.start_look(again);
        }
        for ask in std::mem::take(&mut self.early) {
            self.answer(ask).await;
        }
    }

    /// The paths of which a scan says something new: what differs from the base, and what is not simply as it was. Of all
    /// others a judgement would change nothing.
    fn in_question(&self, tree: &Tree) -> BTreeSet<RelPath> {
        let known = &self.known;
        let mut found: BTreeSet<&RelPath> = differing(&known.base, &tree.files).collect();
        let is_new = |path: &&RelPath| !same(known.base.get(*path).copied(), Some(folder()));
        found.extend(tree.empty.iter().filter(is_new));
        found.extend(known.edited.iter().chain(known.conflicts.keys()));
        let stands =
            |path: &&RelPath| known.base.contains_key(*path) || standing(tree, path).is_some();
        let busy = self.touched.iter().chain(self.busy.keys());
        found.extend(busy.filter(stands));
        // Also what is on its way and stood here once: that it is gone shows nowhere else.
        found.extend(self.ups.concerned());
        for problem in &tree.problems {
            if let Ok(path) = problem.path.parse::<RelPath>() {
                found.remove(&path);
            }
        }
        found.into_iter().cloned().collect()
    }

    /// Writes down what is known of files, so that a later start need not read them. What is lost of it is read again.
    pub(super) async fn keep_stamps(&self) {
        let parts = self.hand.cache.changed();
        if parts.is_empty() {
            return;
        }
        if let Err(error) = self.hand.base.keep_stamps(parts).await {
            tracing::debug!(%error, "the stamps of files are not written down");
        }
    }

    /// The directory as a whole: whether it is the one we know, and whether anything is left in it.
    fn check_root(&mut self, tree: &Tree) {
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

    pub(super) async fn looked(&mut self, begun: Tick, seen: Vec<Seen>) {
        self.looks -= 1;
        let mut unsure = BTreeSet::new();
        let edited = self.known.edited.len();
        let mut facts = Vec::new();
        for Seen { path, local, bare } in seen {
            // A job that runs will say itself what stands there; so will the echo of its write.
            if self.busy.contains_key(&path) {
                self.again.insert(path);
                continue;
            }
            match self.fresh.says(&path, begun) {
                News::Newest => self.fresh.seen(&path, begun),
                News::Overtaken => continue,
                News::Unsure => {
                    unsure.insert(path);
                    continue;
                }
            }
            match local {
                Local::Absent => self.judge(&path, None, false, &mut facts),
                Local::File(state) => self.judge(&path, Some(state), false, &mut facts),
                Local::Directory => self.judge(&path, Some(folder()), bare, &mut facts),
                // What a new rule hides is none of ours any more; it counts again when the rule goes.
                Local::Ignored(_) => {
                    self.ups.agrees(&path);
                    if self.known.edited.contains(&path) {
                        facts.push(Fact::Edited(path, false));
                    }
                }
                Local::Obstacle(_) => self.ups.agrees(&path),
            }
        }
        self.fresh.ends(begun);
        let over = self.judge_copies(&mut facts);
        self.save(&facts).await;
        if !unsure.is_empty() {
            self.start_look(unsure);
        }
        // What stands there was held against the base so far, and from now on goes over theirs.
        if !over.is_empty() {
            self.start_look(over);
        }
        // Everything gone at once is a matter for the guard. Asked when it comes to that, not for as long as it is so:
        // the scan ends in a look like this one.
        let now = self.known.edited.len();
        self.scan_wanted |=
            now > edited && self.known.base.len() > 1 && now >= self.known.base.len();
    }

    /// Whether a path is edited here, and whether that ends a conflict. `bare`: a folder there has nothing in it.
    fn judge(
        &mut self,
        path: &RelPath,
        here: Option<FileState>,
        bare: bool,
        facts: &mut Vec<Fact>,
    ) {
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
            if noted.refused {
                self.ups.gave_way(path, here);
            } else {
                self.ups.agrees(path);
            }
            self.drop_copy(noted);
            return;
        }
        // A folder with something in it is told by what is in it.
        let start = format!("{path}/");
        let being_filled = self.busy.keys().any(|at| at.as_str().starts_with(&start));
        let told_by_its_files = here.is_some_and(|state| state.mode == Mode::Directory)
            && base.is_none()
            && (!bare || being_filled);
        if told_by_its_files && bare {
            self.again.insert(path.clone());
        }
        let noted = self.known.conflicts.get(path);
        let theirs = noted
            .filter(|noted| noted.resolved)
            .map(|noted| noted.theirs);
        let edited = !same(theirs.unwrap_or(base), here) && !told_by_its_files;
        if edited {
            if here.is_none() && self.ups.here(path) != Some(None) {
                self.is_going();
            }
            self.ups.differs(path, here);
            self.own_rules(path, facts);
        } else if told_by_its_files || !self.ups.is_owed(path) {
            // Also what is owed of a folder is said by what is in it: such a folder itself never goes up.
            self.ups.agrees(path);
        }
        if edited != self.known.edited.contains(path) {
            facts.push(Fact::Edited(path.clone(), edited));
        }
    }

    /// Who removes the copy of theirs has decided for ours.
    fn judge_copies(&mut self, facts: &mut Vec<Fact>) -> BTreeSet<RelPath> {
        let mut over = Vec::new();
        for (path, noted) in &self.known.conflicts {
            let gone = |copy: &RelPath| self.hand.disk.is_gone(copy);
            if !noted.resolved
                && !self.busy.contains_key(path)
                && noted.copy.as_ref().is_some_and(gone)
            {
                over.push((path.clone(), noted.clone()));
            }
        }
        let paths = over.iter().map(|(path, _)| path.clone()).collect();
        for (path, noted) in over {
            self.note(format!("the conflict on {path} is over: yours stays"));
            let resolved = Noted {
                resolved: true,
                copy: None,
                ..noted
            };
            facts.push(Fact::Conflict(path, Some(resolved)));
        }
        paths
    }
}
