//! What a mirror would do now, without doing it: the same base, the same rules and the same decisions, and no hand.
//!
//! Reads the directory and the state; writes neither, and holds no lock, so it may be asked beside a live mirror.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::mirror::base::{Base, Known, Waiting};
use crate::mirror::disk::id_of;
use crate::mirror::guard;
use crate::mirror::ignore::Rules;
use crate::mirror::inbox::{Inbox, Taken};
use crate::mirror::lock;
use crate::mirror::opened;
use crate::mirror::plan::{Move, decide, folder, same};
use crate::mirror::scan::{self, Cache, Limits, Local, Tree, look};
use crate::mirror::status::{Direction, FileReport, Outcome, Way};
use crate::mirror::worker::{Error, Setup};
use crate::protocol::file::{ChangeKind, FileChange, FileManifest, FileState, Mode};
use crate::protocol::ids::Seq;
use crate::protocol::path::RelPath;

/// What is known here of a run and a directory, before the newest of the journal is added.
pub struct Outlook {
    root: PathBuf,
    known: Known,
    inbox: Inbox,
    rules: Rules,
    limits: Limits,
    seeded_here: bool,
    /// This run was never mirrored into this directory: the first look is still to come.
    pub first: bool,
}

/// What would happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forecast {
    pub root: PathBuf,
    /// One entry per path that is not the same here and there, by path.
    pub files: Vec<FileReport>,
    /// The mirror is paused, or would halt: why, and what to do. Then nothing of the list happens by itself.
    pub held: Option<String>,
    /// What cannot be mirrored as it stands, one line each.
    pub problems: Vec<String>,
}

/// What a change of theirs leads to.
enum Coming {
    /// Both sides have the same, whatever they had before.
    Same,
    /// Nothing by itself; what is only edited here is told of the directory.
    Nothing,
    Told(FileReport),
}

/// How many of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub down: usize,
    pub up: usize,
    pub conflicts: usize,
    pub skipped: usize,
}

impl Forecast {
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for file in &self.files {
            match (file.result, file.direction) {
                (Outcome::Conflict, _) => counts.conflicts += 1,
                (Outcome::Skipped | Outcome::Failed, _) => counts.skipped += 1,
                (Outcome::Settled, Direction::Down) => counts.down += 1,
                (Outcome::Settled, Direction::Up) => counts.up += 1,
            }
        }
        counts
    }
}

impl Outlook {
    /// Reads what is written down of this run and root. Makes nothing.
    pub async fn open(setup: &Setup) -> Result<Self, Error> {
        let missing = || Error::Lock(lock::Error::NoDirectory(setup.root.clone()));
        let root = setup.root.canonicalize().map_err(|_| missing())?;
        if !root.is_dir() {
            return Err(missing());
        }
        let known = Base::peek(&setup.run_folder, &root).await?;
        let known = known.unwrap_or_default();
        let rules = Rules::new(&root, &setup.ignore, &setup.include)?;
        rules.keep(&known.seed);
        opened::restore(&rules, &known);
        Ok(Self {
            inbox: Inbox::restore(&known),
            first: !known.seeded,
            root,
            known,
            rules,
            limits: setup.limits,
            seeded_here: setup.seeded_here,
        })
    }

    /// Which way changes travel, or would.
    pub fn way(&self) -> Way {
        self.known.way
    }

    /// The last line of the journal that is known here; what stands behind it is to be added.
    pub fn seen(&self) -> Seq {
        self.known.seen
    }

    /// The manifest the run was seeded with; of no use after the first look.
    pub fn seed(&mut self, manifest: FileManifest) {
        if !self.first {
            return;
        }
        for (path, file) in manifest.files {
            let (Ok(path), state) = (path.parse::<RelPath>(), FileState::from(file)) else {
                continue;
            };
            self.rules.keep([&path]);
            if !self.seeded_here {
                let change = FileChange {
                    kind: ChangeKind::Created,
                    path,
                    now: Some(state),
                    before: None,
                    storage_path: None,
                    turn: None,
                    tool_call: None,
                };
                self.inbox.put(Seq::ZERO, Waiting::from(change));
            } else {
                self.known.base.insert(path, state);
            }
        }
    }

    pub fn arrive(&mut self, seq: Seq, change: FileChange) {
        self.inbox.arrive(seq, Waiting::from(change));
    }

    /// Reads the directory, on a thread that may block.
    pub async fn forecast(self) -> Result<Forecast, Error> {
        let root = self.root.clone();
        let looked = tokio::task::spawn_blocking(move || self.look_and_decide()).await;
        let looked = looked.unwrap_or_else(|error| Err(error.to_string()));
        looked.map_err(|why| Error::Root { root, why })
    }

    fn look_and_decide(self) -> Result<Forecast, String> {
        let cache = Cache::default();
        let tree = scan::scan(&self.root, &self.rules, self.limits, &cache)
            .map_err(|error| error.to_string())?;
        let mut files = Vec::new();
        let mut coming = BTreeSet::new();
        let mut deletes = 0;
        for taken in self.inbox.newest() {
            let path = &taken.change.path;
            let local = look(&self.root, path, &self.rules, self.limits, &cache);
            let file = self.coming(taken, &local);
            let is_delete = |file: &FileReport| {
                file.change == ChangeKind::Deleted && file.result == Outcome::Settled
            };
            match file {
                Coming::Nothing => (),
                Coming::Same => drop(coming.insert(path.clone())),
                Coming::Told(file) => {
                    coming.insert(path.clone());
                    deletes += usize::from(is_delete(&file));
                    files.push(file);
                }
            }
        }
        files.extend(self.standing(&tree, &coming));
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Forecast {
            held: self.held(deletes, deletes_here(&files), &tree),
            problems: tree.problems.iter().map(ToString::to_string).collect(),
            root: self.root,
            files,
        })
    }

    /// One change of theirs against what stands here.
    fn coming(&self, taken: &Taken, local: &Local) -> Coming {
        let change = &taken.change;
        let here = match local {
            Local::File(state) => Some(*state),
            Local::Directory => Some(folder()),
            Local::Absent | Local::Ignored(_) | Local::Obstacle(_) => None,
        };
        let base = if change.forced {
            here
        } else {
            self.known.base.get(&change.path).copied()
        };
        let report = |result, reason: Option<String>| FileReport {
            path: change.path.to_string(),
            change: kind(here, change.now),
            direction: Direction::Down,
            result,
            hash: change.now.map(|now| now.hash),
            reason,
        };
        Coming::Told(match decide(base, local, change.now, self.limits.file) {
            Move::Agree => return Coming::Same,
            Move::Push(_) => return Coming::Nothing,
            Move::Fetch(_) | Move::FetchOverFolder(_) | Move::MakeFolder => {
                report(Outcome::Settled, None)
            }
            Move::Chmod(_) => report(Outcome::Settled, Some("only the exec bit".to_owned())),
            Move::Remove => report(
                Outcome::Settled,
                Some("its bytes are kept as a pre-image".to_owned()),
            ),
            Move::Conflict(theirs) => {
                let noted = self.known.conflicts.get(&change.path);
                let settled =
                    noted.is_some_and(|noted| noted.resolved && same(noted.theirs, theirs));
                let reason = match theirs {
                    Some(_) => "changed here and there: yours stays, theirs goes beside it",
                    None => "changed here, deleted there: yours stays",
                };
                if settled {
                    return Coming::Nothing;
                }
                report(Outcome::Conflict, Some(reason.to_owned()))
            }
            Move::Refuse(why) => report(Outcome::Skipped, Some(why.to_string())),
        })
    }

    /// What differs here from what both sides had, where nothing comes down.
    fn standing(&self, tree: &Tree, coming: &BTreeSet<RelPath>) -> Vec<FileReport> {
        let unclear: BTreeSet<&str> = tree
            .problems
            .iter()
            .map(|problem| problem.path.as_str())
            .collect();
        let paths: BTreeSet<&RelPath> = self.known.base.keys().chain(tree.files.keys()).collect();
        let mut files = Vec::new();
        for path in paths {
            let (base, here) = (self.known.base.get(path), tree.files.get(path));
            let skip = coming.contains(path)
                || unclear.contains(path.as_str())
                || base.is_some_and(|base| base.mode == Mode::Directory)
                || same(base.copied(), here.copied());
            if skip {
                continue;
            }
            let open = self.known.conflicts.get(path);
            let (result, reason) = match open.filter(|noted| !noted.resolved) {
                Some(noted) => (
                    Outcome::Conflict,
                    match &noted.copy {
                        Some(copy) => format!("open: theirs is {copy}"),
                        None => "open: deleted there".to_owned(),
                    },
                ),
                None => (Outcome::Settled, "edited here".to_owned()),
            };
            files.push(FileReport {
                path: path.to_string(),
                change: kind(base.copied(), here.copied()),
                direction: Direction::Up,
                result,
                hash: here.map(|here| here.hash),
                reason: Some(reason),
            });
        }
        files
    }

    fn held(&self, deletes: usize, gone: usize, tree: &Tree) -> Option<String> {
        let standing = tree.files.len() + tree.problems.len();
        let base = self.known.base.len();
        let swapped = self
            .known
            .root
            .and_then(|recorded| guard::root(recorded, id_of(&self.root), base, standing));
        let halt = swapped.or_else(|| {
            let accepted = self.inbox.deletes_waiting().all(|one| one.change.accepted);
            let (_, done) = self.known.deletes;
            guard::deletes(done, deletes, base).filter(|_| !accepted)
        });
        let halt = halt.or_else(|| guard::deletes_here(gone, base));
        let paused = || "paused: nothing is written until `ashore mirror resume RUN`".to_owned();
        halt.map(|halt| format!("would halt: {halt}"))
            .or_else(|| self.known.paused.then(paused))
    }
}

/// Files that were deleted here, and whose delete would go up.
fn deletes_here(files: &[FileReport]) -> usize {
    let gone = |file: &&FileReport| {
        file.direction == Direction::Up
            && file.change == ChangeKind::Deleted
            && file.result == Outcome::Settled
    };
    files.iter().filter(gone).count()
}

fn kind(before: Option<FileState>, after: Option<FileState>) -> ChangeKind {
    match (before, after) {
        (_, None) => ChangeKind::Deleted,
        (None, Some(_)) => ChangeKind::Created,
        (Some(_), Some(_)) => ChangeKind::Modified,
    }
}
