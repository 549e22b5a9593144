//! Many changes in one go: looked at, fetched in packs, staged and verified, written down, and swapped with one wait for
//! the disk.
//!
//! Keeps the order of one: the content is on the disk before it takes its place, the note of the write comes before it,
//! and the new base behind the sync of the name. What does not go smoothly is left out and decided alone, as if it had
//! never been here.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::mirror::actor::{Finished, Worker};
use crate::mirror::base::{Fact, Written};
use crate::mirror::disk;
use crate::mirror::ground;
use crate::mirror::hand::{Done, End, Hand, Job, Trouble, standing};
use crate::mirror::inbox::Taken;
use crate::mirror::pile::{Changed, Laid, Pile};
use crate::mirror::plan::{Move, decide};
use crate::mirror::several::together;
use crate::protocol::file::{FileState, Mode};
use crate::protocol::hash::ContentHash;
use crate::protocol::path::RelPath;

/// How those ended that went together.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(super) done: Vec<Done>,
    /// Not decided here.
    pub(super) alone: Vec<Taken>,
}

/// A file that is to be fetched over what stands there.
struct Member {
    job: Job,
    want: FileState,
    here: Option<FileState>,
}

/// Its content lies in the stage.
struct Lying {
    job: Job,
    want: FileState,
    laid: Laid,
}

impl Hand {
    /// Decides many changes, no two of related paths, and does those that only need their contents.
    pub(crate) async fn settle_batch(self: Arc<Self>, jobs: Vec<Job>) -> Batch {
        let mut batch = Batch::default();
        let looked = self.blocking(move |hand| hand.look_at_all(jobs)).await;
        let members = batch.without(looked);
        let mut contents = self.contents(&members).await;
        let members = members.into_iter().map(|member| {
            let content = contents.get(&member.want.hash).cloned();
            match content {
                Some(bytes) => Ok((member, bytes)),
                None => Err(Box::new(member.job.taken)),
            }
        });
        let members = batch.without(members.collect());
        contents.clear();
        if members.is_empty() {
            return batch;
        }
        let (pile, laid) = self.blocking(move |hand| hand.lay_all(members)).await;
        let lying = batch.without(laid);
        let Some(pile) = pile.filter(|_| !lying.is_empty()) else {
            batch
                .alone
                .extend(lying.into_iter().map(|one| one.job.taken));
            return batch;
        };
        self.put_all(pile, lying, &mut batch).await;
        batch
    }

    fn look_at_all(&self, jobs: Vec<Job>) -> Vec<Result<Member, Box<Taken>>> {
        let look = |job: Job| {
            let change = &job.taken.change;
            let local = self.look(&change.path);
            let here = standing(&local);
            match decide(job.base, &local, change.now, self.limits.file) {
                Move::Fetch(want) if matches!(want.mode, Mode::File | Mode::Executable) => {
                    Ok(Member { job, want, here })
                }
                _ => Err(Box::new(job.taken)),
            }
        };
        jobs.into_iter().map(look).collect()
    }

    /// What the other side gives of them in a pack; nothing when it cannot.
    async fn contents(&self, members: &[Member]) -> HashMap<ContentHash, Arc<[u8]>> {
        let Some(blobs) = self.blobs.as_ref().filter(|_| !members.is_empty()) else {
            return HashMap::new();
        };
        let mut hashes: Vec<ContentHash> = members.iter().map(|member| member.want.hash).collect();
        hashes.sort_unstable();
        hashes.dedup();
        // Out of reach, or unable: who goes alone has the patience.
        match blobs.pack(&hashes).await {
            Ok(contents) => contents
                .into_iter()
                .map(|(hash, bytes)| (hash, bytes.into()))
                .collect(),
            Err(error) => {
                tracing::debug!(%error, "no pack came: each is asked for alone");
                HashMap::new()
            }
        }
    }

    fn lay_all(
        &self,
        members: Vec<(Member, Arc<[u8]>)>,
    ) -> (Option<Pile>, Vec<Result<Lying, Box<Taken>>>) {
        let alone = |members: Vec<(Member, Arc<[u8]>)>| {
            let taken = members.into_iter().map(|(member, _)| member.job.taken);
            taken.map(|taken| Err(Box::new(taken))).collect()
        };
        let pile = match self.disk.pile(members.len()) {
            Ok(pile) => pile,
            Err(error) => {
                tracing::debug!(%error, "no batch");
                return (None, alone(members));
            }
        };
        let lay = |(member, bytes): (Member, Arc<[u8]>)| {
            let Member { job, want, here } = member;
            let path = &job.taken.change.path;
            let content = (want, &*bytes);
            match self.disk.lay(&pile, path, content, here, &self.kept) {
                Ok(laid) => Ok(Lying { job, want, laid }),
                Err(error) => {
                    tracing::debug!(%error, %path, "goes alone");
                    Err(Box::new(job.taken))
                }
            }
        };
        let laid: Vec<_> = members.into_iter().map(lay).collect();
        if let Err(error) = self.disk.sync_pile(&pile) {
            tracing::debug!(%error, "no batch");
            let taken = laid.into_iter().map(|laid| match laid {
                Ok(lying) => Err(Box::new(lying.job.taken)),
                Err(taken) => Err(taken),
            });
            return (None, taken.collect());
        }
        (Some(pile), laid)
    }

    /// First the notes, then the deeds: a kill between the two leaves notes that no files answer to.
    async fn put_all(self: &Arc<Self>, pile: Pile, lying: Vec<Lying>, batch: &mut Batch) {
        let at = ground::timestamp();
        let note = |one: &Lying| {
            let taken = &one.job.taken;
            let written = Written {
                before: one.laid.before(),
                after: Some(one.want),
                origin: taken.origin(),
                at,
                storage_path: taken.change.storage_path.clone(),
            };
            (taken.change.path.clone(), written)
        };
        let notes: Vec<(RelPath, Written)> = lying.iter().map(note).collect();
        let ids = match self.base.about_to_write_all(&notes).await {
            Ok(ids) if ids.len() == lying.len() => ids,
            Ok(_) | Err(_) => {
                batch
                    .alone
                    .extend(lying.into_iter().map(|one| one.job.taken));
                return;
            }
        };
        let put = self.blocking(move |hand| hand.put_each(&pile, lying)).await;
        let mut undone = Vec::new();
        for (id, (taken, result)) in ids.into_iter().zip(put) {
            match result {
                Ok(created) => {
                    let path = taken.change.path.clone();
                    let mut facts: Vec<Fact> = created
                        .into_iter()
                        .map(|path| Fact::Folder(path, true))
                        .collect();
                    facts.push(Fact::Base(path.clone(), taken.change.now));
                    facts.push(Fact::Edited(path, false));
                    let end = End::Settled;
                    batch.done.push(Done { taken, end, facts });
                }
                Err(error) if error.may_be_done() => batch.done.push(Done {
                    taken,
                    end: Trouble::Disk(error).end(),
                    facts: Vec::new(),
                }),
                Err(error) => {
                    tracing::debug!(%error, path = %taken.change.path, "goes alone");
                    undone.push(id);
                    batch.alone.push(taken);
                }
            }
        }
        // One that is not forgotten is a note that no file answers to.
        if let Err(error) = self.base.forget_all(&undone).await {
            tracing::debug!(%error, "notes of what was not written stay");
        }
    }

    fn put_each(
        &self,
        pile: &Pile,
        lying: Vec<Lying>,
    ) -> Vec<(Taken, Result<Vec<RelPath>, disk::Error>)> {
        let mut changed = Changed::default();
        let mut put: Vec<_> = lying
            .into_iter()
            .map(|Lying { job, laid, .. }| {
                let path = &job.taken.change.path;
                let result = self.disk.put_laid(pile, path, laid, &mut changed);
                (job.taken, result)
            })
            .collect();
        if let Err(error) = self.disk.sync_names(&changed) {
            let why = error.to_string();
            for (_, result) in put.iter_mut().filter(|(_, result)| result.is_ok()) {
                *result = Err(disk::Error::Unsure(std::io::Error::other(why.clone())));
            }
        }
        put
    }
}

impl Batch {
    /// Those that go on; the others go alone.
    fn without<T>(&mut self, all: Vec<Result<T, Box<Taken>>>) -> Vec<T> {
        let on = all.into_iter().filter_map(|one| match one {
            Ok(one) => Some(one),
            Err(taken) => {
                self.alone.push(*taken);
                None
            }
        });
        on.collect()
    }
}

impl Worker {
    /// Begins the oldest changes together where many wait that may go so; `false`: the oldest goes alone.
    pub(super) fn spawn_batch(&mut self) -> bool {
        let known = &self.known;
        let may = |taken: &Taken| {
            let path = &taken.change.path;
            !(self.alone.contains(path)
                || known.held.contains_key(path)
                || known.sent.contains_key(path)
                || known.conflicts.contains_key(path))
        };
        let count = together(self.inbox.newest(), self.busy.keys(), may);
        let jobs: Vec<Job> = (0..count)
            .filter_map(|_| self.inbox.take())
            .map(|taken| Job {
                base: self.known.base.get(&taken.change.path).copied(),
                noted: None,
                // Only a removal asks for them.
                folders: BTreeSet::new(),
                taken,
            })
            .collect();
        if jobs.is_empty() {
            return false;
        }
        for job in &jobs {
            let path = &job.taken.change.path;
            self.touched.insert(path.clone());
            self.busy.insert(path.clone(), job.taken.seq);
        }
        let hand = Arc::clone(&self.hand);
        self.jobs
            .spawn(async move { Finished::Batch(hand.settle_batch(jobs).await) });
        true
    }

    /// Writes down all of them at once; those that were left out wait again, to go alone.
    pub(super) async fn batch_settled(&mut self, batch: Batch) {
        let Batch { done, alone } = batch;
        for taken in alone {
            let path = taken.change.path.clone();
            self.is_free(&path);
            self.inbox.put_back(taken);
            self.alone.insert(path);
        }
        let (smooth, rest): (Vec<Done>, Vec<Done>) =
            done.into_iter().partition(|done| done.end == End::Settled);
        let mut facts = Vec::new();
        for Done {
            taken, facts: own, ..
        } in &smooth
        {
            let path = &taken.change.path;
            tracing::debug!(seq = %taken.seq, %path, "a change is decided, with others");
            self.is_free(path);
            self.inbox.decided(taken);
            facts.extend(own.iter().cloned());
            facts.extend(taken.are_decided());
        }
        self.save(&facts).await;
        for Done { taken, end, .. } in smooth {
            let path = &taken.change.path;
            self.ups.unpark_around(path);
            self.tell(&taken, &end, false);
            self.look_again(path, taken.change.now, &end);
            if self.ups.is_owed(path) {
                self.ups.gave_way(path, taken.change.now);
            }
        }
        for done in rest {
            self.settled(done, None).await;
        }
    }
}
