//! One path at a time: look, decide, fetch, write. What `plan` decides is done here, on blocking threads.
//!
//! Keeps no state of its own; what became of a path goes back as facts to write down. Never decides twice on the same
//! look: when the disk says that something changed in between, it starts over.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::mirror::base::{self, Base, Fact, Noted, Origin, Waiting, Written};
use crate::mirror::blobs::{self, Blobs, Wanted};
use crate::mirror::disk::{self, Disk, Prepared};
use crate::mirror::ground;
use crate::mirror::guard::Halt;
use crate::mirror::held::Hindrance;
use crate::mirror::ignore::{Rules, is_mark};
use crate::mirror::inbox::Taken;
use crate::mirror::lock::Held;
use crate::mirror::plan::{Move, Refusal, decide, folder, same};
use crate::mirror::preimage::Preimages;
use crate::mirror::scan::{Cache, Limits, Local, Obstacle, look};
use crate::plant::planted;
use crate::protocol::file::{FileState, Mode};
use crate::protocol::hash::ContentHash;
use crate::protocol::ids::{RunId, Seq};
use crate::protocol::path::RelPath;

/// How often a path that changes under our hands is decided anew.
const TRIES: usize = 5;
/// How many names beside a file are tried for a copy.
const COPIES: usize = 100;
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Everything a job needs. The lock lives as long as any of them.
pub(crate) struct Hand {
    pub(crate) root: PathBuf,
    pub(crate) run: RunId,
    pub(crate) disk: Disk,
    pub(crate) kept: Preimages,
    /// Where copies lie while they go up.
    pub(crate) lift: PathBuf,
    pub(crate) rules: Arc<Rules>,
    pub(crate) cache: Arc<Cache>,
    pub(crate) limits: Limits,
    /// Without it nothing goes up or comes down.
    pub(crate) blobs: Option<Arc<dyn Blobs>>,
    /// Where an undo finds what does not lie here; a command that acts for a moment has it as well.
    pub(crate) remote: Option<Arc<dyn Blobs>>,
    pub(crate) base: Base,
    /// Somebody waits: what was out of reach is tried at once.
    pub(crate) hurry: Arc<Notify>,
    /// `None` where nobody else could hold the directory.
    pub(crate) lock: Option<Arc<Held>>,
}

/// One change and what is known of its path.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) taken: Taken,
    /// What both sides last had; an echo of ours among what was taken says so of what we sent.
    pub(crate) base: Option<FileState>,
    pub(crate) noted: Option<Noted>,
    /// The folders above it that we made.
    pub(crate) folders: BTreeSet<RelPath>,
}

impl Job {
    /// What it is decided against, where this stands here.
    fn base_with(&self, here: Option<FileState>) -> Option<FileState> {
        // Whoever took theirs saw what stood here then; what came since, while it was held, is not meant.
        let meant = self.taken.change.forced && !(self.taken.again && here.is_some());
        if meant { here } else { self.base }
    }
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    Settled,
    /// Theirs is the base: ours stays, and goes up.
    Kept,
    Conflict(String),
    /// It is none of the mirror's.
    Skipped(String),
    /// Not done, and tried again.
    Held(Hindrance),
    /// Not decided: the mirror must stop.
    Halted(Halt),
}

#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) taken: Taken,
    pub(crate) end: End,
    pub(crate) facts: Vec<Fact>,
}

/// Why a step was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    Disk(#[from] disk::Error),
    #[error("{0}")]
    Content(String),
    #[error(transparent)]
    Base(#[from] base::Error),
}

/// Where the bytes come from.
pub(super) enum Source {
    Blob(Wanted),
    /// As `Blob`, but asked for only once: somebody waits for the answer.
    BlobNow(Wanted),
    PreImage(ContentHash),
    Here(PathBuf),
    Bytes(Vec<u8>),
}

impl Trouble {
    pub(super) fn end(self) -> End {
        let text = self.to_string();
        match self {
            Self::Disk(disk::Error::Full | disk::Error::ReadOnly | disk::Error::Unsure(_))
            | Self::Base(_) => End::Halted(Halt::Disk(text)),
            Self::Disk(
                disk::Error::Link(_) | disk::Error::BehindLink | disk::Error::FolderNotEmpty,
            ) => End::Held(Hindrance::lasting(text)),
            Self::Disk(disk::Error::Changed) => {
                let text = "it changes here faster than it can be written";
                End::Held(Hindrance::passing(text.to_owned()))
            }
            Self::Disk(_) | Self::Content(_) => End::Held(Hindrance::passing(text)),
        }
    }
}

/// A change that is refused is held for as long as what speaks against it.
fn refused(refusal: &Refusal, change: &Waiting, base: Option<FileState>) -> End {
    let why = refusal.to_string();
    match refusal {
        Refusal::NotInBase | Refusal::Ignored(_) => End::Skipped(why),
        // What is gone there never stood here on their behalf.
        Refusal::Obstacle(_) if change.now.is_none() && base.is_none() => End::Skipped(why),
        Refusal::Obstacle(Obstacle::Unreadable(_) | Obstacle::Restless) => {
            End::Held(Hindrance::passing(why))
        }
        Refusal::TooLarge { size, .. } | Refusal::Obstacle(Obstacle::TooLarge { size, .. }) => {
            End::Held(Hindrance {
                size: Some(*size),
                ..Hindrance::lasting(why)
            })
        }
        Refusal::Obstacle(
            Obstacle::Name(_) | Obstacle::Link(_) | Obstacle::Special | Obstacle::BehindLink,
        ) => End::Held(Hindrance::lasting(why)),
    }
}

pub(super) fn standing(local: &Local) -> Option<FileState> {
    match local {
        Local::File(state) => Some(*state),
        Local::Directory => Some(folder()),
        Local::Absent | Local::Ignored(_) | Local::Obstacle(_) => None,
    }
}

pub(super) fn is_empty_folder(at: &std::path::Path) -> bool {
    ground::is_empty_folder(at)
}

/// `NAME.remote-<mark>-<seq>` beside it; a name too long for that is cut.
pub(crate) fn copy_of(path: &RelPath, run: &RunId, seq: Seq) -> Option<RelPath> {
    beside(path, REMOTE, &mark(run), seq, 0)
}

/// What stands for a run in the name of a copy: what people see of it, where that is the beginning of a UUID.
pub(crate) fn mark(run: &RunId) -> String {
    let short = run.short();
    if is_mark(short) {
        short.to_owned()
    } else {
        ContentHash::of(run.as_str().as_bytes()).short()
    }
}

/// What stands there on the other side, and what was saved here too late.
pub(crate) const REMOTE: &str = "remote";
pub(crate) const LATE: &str = "late";

/// A name beside it for one of these; with a number, where the one without is taken.
pub(crate) fn beside(
    path: &RelPath,
    what: &str,
    of: &str,
    seq: Seq,
    number: usize,
) -> Option<RelPath> {
    let mut tail = format!(".{what}-{of}-{seq}");
    if number > 0 {
        tail = format!(".{}{tail}", number + 1);
    }
    let name = path.name();
    let mut end = name.len().min(255 - tail.len());
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    path.with_name(&format!("{}{tail}", &name[..end])).ok()
}

impl Hand {
    pub(super) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> T {
        let hand = Arc::clone(self);
        ground::blocking(move || work(&hand))
            .await
            .expect("the disk's work does not panic")
    }

    pub(crate) fn look(&self, path: &RelPath) -> Local {
        self.look_within(path, self.limits)
    }

    /// What somebody asked for may be as large as it is.
    fn limits_of(&self, change: &Waiting) -> Limits {
        let file = if change.lifted {
            u64::MAX
        } else {
            self.limits.file
        };
        Limits {
            file,
            ..self.limits
        }
    }

    fn look_within(&self, path: &RelPath, limits: Limits) -> Local {
        look(&self.root, path, &self.rules, limits, &self.cache)
    }

    /// Decides one change and does it.
    pub(crate) async fn settle(self: Arc<Self>, job: Job) -> Done {
        let mut last = Trouble::Disk(disk::Error::Changed);
        for _ in 0..TRIES {
            let mut facts = Vec::new();
            match self.attempt(&job, &mut facts).await {
                Ok(end) => {
                    let taken = job.taken;
                    return Done { taken, end, facts };
                }
                Err(trouble) => {
                    let again = matches!(
                        trouble,
                        Trouble::Disk(disk::Error::Changed | disk::Error::LookBack(_))
                    );
                    last = trouble;
                    if !again {
                        break;
                    }
                }
            }
        }
        Done {
            taken: job.taken,
            end: last.end(),
            facts: Vec::new(),
        }
    }

    async fn attempt(self: &Arc<Self>, job: &Job, facts: &mut Vec<Fact>) -> Result<End, Trouble> {
        let change = &job.taken.change;
        let path = change.path.clone();
        let limits = self.limits_of(change);
        let look = move |hand: &Self| hand.look_within(&path, limits);
        let local = self.blocking(look).await;
        let here = standing(&local);
        let base = job.base_with(here);
        match decide(base, &local, change.now, limits.file) {
            // It may be a write of ours that a kill cut short, or one of an editor's that no disk has yet.
            Move::Agree => {
                let path = change.path.clone();
                self.blocking(move |hand| hand.disk.sync(&path)).await?;
            }
            // A delete that ends a conflict is one of theirs that was here.
            Move::Push(_) if base.is_none() && change.refused.is_none() && job.noted.is_none() => {
                return Ok(End::Skipped(Refusal::NotInBase.to_string()));
            }
            Move::Push(_) => {
                self.end_conflict(job, facts).await;
                return Ok(End::Kept);
            }
            Move::Refuse(refusal) => return Ok(refused(&refusal, change, base)),
            Move::Conflict(theirs) => return self.keep_both(job, theirs, facts).await,
            Move::Fetch(want) => match self.fetch(job, want, here, facts).await {
                // Ours is a file where theirs is a folder.
                Err(Trouble::Disk(disk::Error::FolderIsFile)) => {
                    return self.keep_both(job, Some(want), facts).await;
                }
                result => result?,
            },
            Move::FetchOverFolder(want) => match self.fetch(job, want, here, facts).await {
                Err(Trouble::Disk(disk::Error::FolderNotEmpty)) => {
                    return self.keep_both(job, Some(want), facts).await;
                }
                result => result?,
            },
            Move::Chmod(want) => {
                let source = Source::Here(change.path.below(&self.root));
                self.write(&change.path, want, source, here, Some(job.taken.origin()))
                    .await?;
            }
            Move::MakeFolder => {
                if let Some(ours) = here {
                    self.remove(&change.path, ours, job.taken.origin()).await?;
                }
                let created = self.make_folder(&change.path).await?;
                facts.extend(created.into_iter().map(|path| Fact::Folder(path, true)));
            }
            Move::Remove => {
                if let Some(ours) = here {
                    self.remove(&change.path, ours, job.taken.origin()).await?;
                }
                self.remove_empty(job, facts).await;
                self.keep_folder(&change.path, facts).await;
            }
        }
        facts.push(Fact::Base(change.path.clone(), change.now));
        facts.push(Fact::Edited(change.path.clone(), false));
        self.end_conflict(job, facts).await;
        Ok(End::Settled)
    }

    async fn fetch(
        self: &Arc<Self>,
        job: &Job,
        want: FileState,
        here: Option<FileState>,
        facts: &mut Vec<Fact>,
    ) -> Result<(), Trouble> {
        let change = &job.taken.change;
        let source = self.source(change, want, job.noted.as_ref()).await;
        let created = self
            .write(&change.path, want, source, here, Some(job.taken.origin()))
            .await?;
        facts.extend(created.into_iter().map(|path| Fact::Folder(path, true)));
        Ok(())
    }

    /// A copy of theirs that lies here need not travel again.
    async fn source(
        self: &Arc<Self>,
        change: &Waiting,
        want: FileState,
        noted: Option<&Noted>,
    ) -> Source {
        let copy = noted
            .filter(|noted| same(noted.theirs, Some(want)))
            .and_then(|noted| noted.copy.clone());
        if let Some(copy) = copy.filter(|_| want.mode != Mode::Symlink) {
            // Somebody may have written into it.
            let stands = self.standing_at(&copy).await.flatten();
            if stands.is_some_and(|state| state.hash == want.hash) {
                return Source::Here(copy.below(&self.root));
            }
        }
        Source::Blob(Wanted {
            hash: want.hash,
            size: want.size,
            storage_path: change.storage_path.clone(),
        })
    }

    /// Brings the bytes, verifies them, keeps what stood there, swaps. With an origin undo shall find it.
    pub(super) async fn write(
        self: &Arc<Self>,
        path: &RelPath,
        want: FileState,
        source: Source,
        expect: Option<FileState>,
        origin: Option<Origin>,
    ) -> Result<Vec<RelPath>, Trouble> {
        let staged = self.blocking(|hand| hand.disk.staged()).await?;
        let into = staged.path.clone();
        let storage_path = match &source {
            Source::Blob(wanted) | Source::BlobNow(wanted) => wanted.storage_path.clone(),
            Source::PreImage(_) | Source::Here(_) | Source::Bytes(_) => None,
        };
        match source {
            Source::Blob(wanted) => self.get(&wanted, &into).await?,
            Source::BlobNow(wanted) => self.get_now(&wanted, &into).await?,
            Source::PreImage(hash) => {
                self.copied(move |hand| hand.kept.copy_to(hash, &into))
                    .await?
            }
            Source::Here(from) => {
                self.copied(move |_| {
                    let mut from = ground::open(&from)?;
                    std::io::copy(&mut from, &mut ground::create(&into)?).map(drop)
                })
                .await?
            }
            Source::Bytes(bytes) => {
                self.copied(move |_| ground::create(&into)?.write_all(&bytes))
                    .await?
            }
        }
        let at = path.clone();
        let prepared = self
            .blocking(move |hand| hand.disk.prepare(&at, want, staged, expect, &hand.kept))
            .await?;
        self.commit(path, prepared, Some(want), origin, storage_path)
            .await
    }

    async fn copied(
        self: &Arc<Self>,
        copy: impl FnOnce(&Self) -> std::io::Result<()> + Send + 'static,
    ) -> Result<(), Trouble> {
        self.blocking(copy)
            .await
            .map_err(|error| Trouble::Content(format!("cannot read the bytes: {error}")))
    }

    async fn commit(
        self: &Arc<Self>,
        path: &RelPath,
        mut prepared: Prepared,
        after: Option<FileState>,
        origin: Option<Origin>,
        storage_path: Option<String>,
    ) -> Result<Vec<RelPath>, Trouble> {
        let created = std::mem::take(&mut prepared.created);
        // First the note, then the deed: a kill between the two leaves a note that no file answers to.
        let id = match origin {
            Some(origin) => {
                let written = Written {
                    before: prepared.before,
                    after,
                    origin,
                    at: ground::timestamp(),
                    storage_path,
                };
                Some(self.base.about_to_write(path, &written).await?)
            }
            None => None,
        };
        if planted!(BaseBeforeRename) {
            let base = Fact::Base(path.clone(), after);
            self.base.save(&[base]).await?;
        }
        let result = self.blocking(move |hand| hand.disk.commit(prepared)).await;
        if let (Err(error), Some(id)) = (&result, id)
            && !error.may_be_done()
        {
            self.base.forget(id).await?;
        }
        result?;
        Ok(created)
    }

    pub(super) async fn remove(
        self: &Arc<Self>,
        path: &RelPath,
        expect: FileState,
        origin: Origin,
    ) -> Result<(), Trouble> {
        let at = path.clone();
        let prepared = self
            .blocking(move |hand| hand.disk.prepare_removal(&at, expect, &hand.kept))
            .await?;
        let origin = (expect.mode != Mode::Directory).then_some(origin);
        self.commit(path, prepared, None, origin, None)
            .await
            .map(drop)
    }

    async fn make_folder(self: &Arc<Self>, path: &RelPath) -> Result<Vec<RelPath>, Trouble> {
        let at = path.clone();
        let prepared = self
            .blocking(move |hand| hand.disk.prepare_folder(&at, None, &hand.kept))
            .await?;
        let noted = self.commit(path, prepared, None, None, None);
        let mut created = noted.await?;
        created.push(path.clone());
        Ok(created)
    }

    async fn remove_empty(self: &Arc<Self>, job: &Job, facts: &mut Vec<Fact>) {
        let (path, ours) = (job.taken.change.path.clone(), job.folders.clone());
        let gone = self
            .blocking(move |hand| {
                hand.disk
                    .remove_empty(&path, |folder| ours.contains(folder))
            })
            .await;
        facts.extend(gone.into_iter().map(|path| Fact::Folder(path, false)));
    }

    /// The folder that a removal left empty is not news: it has stood on both sides.
    async fn keep_folder(self: &Arc<Self>, path: &RelPath, facts: &mut Vec<Fact>) {
        let Some(above) = path.parent() else { return };
        let at = above.below(&self.root);
        let empty = self.blocking(move |_| is_empty_folder(&at)).await;
        if empty {
            facts.push(Fact::Base(above, Some(folder())));
        }
    }

    /// Ours stays in place, theirs goes beside it; an older copy of theirs becomes a pre-image.
    async fn keep_both(
        self: &Arc<Self>,
        job: &Job,
        theirs: Option<FileState>,
        facts: &mut Vec<Fact>,
    ) -> Result<End, Trouble> {
        let Taken { seq, change, .. } = &job.taken;
        let told = |theirs: Option<FileState>, copy: &Option<RelPath>| {
            End::Conflict(match (theirs, copy) {
                (None, _) => "changed here, deleted there: yours stays".to_owned(),
                (Some(_), Some(copy)) => {
                    format!("changed here and there: yours stays, theirs is {copy}")
                }
                (Some(_), None) => {
                    "changed here and there: yours stays, theirs has no copy here".to_owned()
                }
            })
        };
        if let Some(noted) = job
            .noted
            .as_ref()
            .filter(|noted| same(noted.theirs, theirs))
        {
            return Ok(if noted.resolved {
                End::Settled
            } else {
                told(theirs, &noted.copy)
            });
        }
        let mut copy = None;
        if let Some(want) = theirs.filter(|want| want.mode != Mode::Directory) {
            copy = match self.put_copy(*seq, change, want).await {
                // Ours stands in the way of its folder as well.
                Err(Trouble::Disk(disk::Error::FolderIsFile | disk::Error::BehindLink)) => None,
                put => put?,
            };
        }
        if let Some(older) = &job.noted {
            self.drop_copy(older).await;
        }
        let end = told(theirs, &copy);
        let noted = Noted {
            seq: *seq,
            theirs,
            copy,
            storage_path: change.storage_path.clone(),
            resolved: false,
            refused: job.noted.as_ref().is_some_and(|older| older.refused),
        };
        facts.push(Fact::Conflict(change.path.clone(), Some(noted)));
        facts.push(Fact::Edited(change.path.clone(), true));
        Ok(end)
    }

    /// Puts theirs under the first name that is free, or has it already.
    async fn put_copy(
        self: &Arc<Self>,
        seq: Seq,
        change: &Waiting,
        want: FileState,
    ) -> Result<Option<RelPath>, Trouble> {
        let mark = mark(&self.run);
        for number in 0..COPIES {
            let Some(at) = beside(&change.path, REMOTE, &mark, seq, number) else {
                break;
            };
            let place = at.clone();
            let look = move |hand: &Self| {
                hand.disk.hide_copies(&place);
                hand.disk.stands(&place)
            };
            match self.blocking(look).await {
                // It was put there before a kill.
                Some(Some(state)) if state.hash == want.hash => return Ok(Some(at)),
                Some(Some(_)) => continue,
                Some(None) | None => (),
            }
            let source = Source::Blob(Wanted {
                hash: want.hash,
                size: want.size,
                storage_path: change.storage_path.clone(),
            });
            match self.write(&at, want, source, None, None).await {
                // Somebody has just taken that name.
                Err(Trouble::Disk(disk::Error::Changed)) => (),
                result => return result.map(|_| Some(at)),
            }
        }
        Err(Trouble::Disk(disk::Error::Changed))
    }

    /// What stands there now; `None`: it cannot be said.
    async fn standing_at(self: &Arc<Self>, path: &RelPath) -> Option<Option<FileState>> {
        let at = path.clone();
        self.blocking(move |hand| hand.disk.stands(&at)).await
    }

    /// Removes the copy of theirs, unless somebody has edited it; its bytes are among the pre-images.
    pub(crate) async fn drop_copy(self: &Arc<Self>, noted: &Noted) {
        let (Some(copy), Some(theirs)) = (noted.copy.clone(), noted.theirs) else {
            return;
        };
        let removed = self
            .blocking(move |hand| {
                let prepared = hand.disk.prepare_removal(&copy, theirs, &hand.kept)?;
                hand.disk.commit(prepared)
            })
            .await;
        if let Err(error) = removed {
            tracing::debug!(%error, "a conflict copy stays");
        }
    }

    async fn end_conflict(self: &Arc<Self>, job: &Job, facts: &mut Vec<Fact>) {
        if let Some(noted) = &job.noted {
            // Who kept both keeps both.
            if !noted.resolved {
                self.drop_copy(noted).await;
            }
            facts.push(Fact::Conflict(job.taken.change.path.clone(), None));
        }
    }

    /// Fetches, for as long as it takes while the other side is only out of reach.
    async fn get(&self, wanted: &Wanted, into: &std::path::Path) -> Result<(), Trouble> {
        let Some(blobs) = &self.blobs else {
            return Err(Trouble::Content(
                "the content is not here: attach to the run first".to_owned(),
            ));
        };
        match self.until_reached(|| blobs.get(wanted, into)).await {
            Ok(()) => Ok(()),
            Err(blobs::Error::Disk { source, .. })
                if matches!(
                    source.kind(),
                    ErrorKind::StorageFull | ErrorKind::QuotaExceeded
                ) =>
            {
                Err(Trouble::Disk(disk::Error::Full))
            }
            Err(
                error @ (blobs::Error::Gone(_)
                | blobs::Error::Wrong { .. }
                | blobs::Error::Refused(_)
                | blobs::Error::Unreachable(_)
                | blobs::Error::Disk { .. }),
            ) => Err(Trouble::Content(format!("{error}: nothing was written"))),
        }
    }

    /// Asks for as long as the other side is only out of reach.
    pub(super) async fn until_reached<T, F>(
        &self,
        mut ask: impl FnMut() -> F,
    ) -> Result<T, blobs::Error>
    where
        F: Future<Output = Result<T, blobs::Error>>,
    {
        let mut wait = FIRST_WAIT;
        loop {
            match ask().await {
                Err(blobs::Error::Unreachable(why)) => {
                    tracing::debug!(%why, "the contents are out of reach; trying again");
                    tokio::select! {
                        biased;
                        () = self.hurry.notified() => wait = FIRST_WAIT,
                        () = tokio::time::sleep(wait) => wait = (wait * 2).min(LONGEST_WAIT),
                    }
                }
                result => return result,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_stands_beside_its_file_and_a_long_name_is_cut_whole_characters() {
        let run: RunId = "7d0c2f9e-3b1a-4c58-9f6e-5a2b8c1d4e70".parse().unwrap();
        let at = |path: &str| copy_of(&path.parse().unwrap(), &run, Seq(12)).unwrap();
        assert_eq!(at("a/b.rs").as_str(), "a/b.rs.remote-7d0c2f9e-12");
        let long = at(&format!("d/{}", "ü".repeat(127)));
        assert!(long.name().len() <= 255 && long.name().ends_with(".remote-7d0c2f9e-12"));
        assert!(crate::mirror::ignore::is_conflict_copy(long.name()));
    }
}
