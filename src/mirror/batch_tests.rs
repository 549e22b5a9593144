//! Many changes in one go: under every error at every call nothing that stood there is gone, nothing is half there, and
//! what is called settled stands. And what the worker makes of a batch.
#![expect(
    clippy::disallowed_methods,
    reason = "tests make their files in a folder of their own"
)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;

use crate::mirror::base::{Fact, Waiting};
use crate::mirror::batch::Batch;
use crate::mirror::disk::state_of;
use crate::mirror::fault_tests::{Place, THEIRS, hand, place};
use crate::mirror::ground::faults::{Fault, Faults, How, inject};
use crate::mirror::hand::{End, Job};
use crate::mirror::inbox::Taken;
use crate::mirror::plan::same;
use crate::mirror::status::{MirrorState, Outcome};
use crate::mirror::worker::{Order, Resume};
use crate::mirror::worker_tests::{Memory, World, undo_order};
use crate::protocol::file::{ChangeKind, FileState, Mode};
use crate::protocol::ids::Seq;
use crate::protocol::path::RelPath;

/// So many files in a folder of their own; every third stands there before.
struct Life {
    number: usize,
    count: usize,
    edit: bool,
    /// It was made.
    edited: Arc<AtomicBool>,
    said: String,
}

impl Life {
    fn path(&self, file: usize) -> RelPath {
        let below = if file.is_multiple_of(2) { "" } else { "below/" };
        format!("d{}/{below}f{file}", self.number).parse().unwrap()
    }

    fn old(&self, file: usize) -> Option<String> {
        (file % 3 == 1).then(|| format!("what stood there {} {file}", self.number))
    }

    fn base(&self, file: usize) -> Option<FileState> {
        let old = self.old(file)?;
        Some(state_of(old.as_bytes(), Mode::File))
    }

    fn edit(&self) -> String {
        format!("what the user wrote meanwhile {}", self.number)
    }

    fn job(&self, file: usize, base: Option<FileState>) -> Job {
        let want = Some(state_of(THEIRS, Mode::File));
        let change = Waiting::of_nobody(ChangeKind::Modified, self.path(file), want);
        Job {
            taken: Taken::of(Seq(7), change),
            base,
            noted: None,
            folders: BTreeSet::new(),
        }
    }

    async fn live(&self, place: &Place, faults: &Arc<Faults>) -> Batch {
        for file in 0..self.count {
            if let Some(old) = self.old(file) {
                let at = place.at(&self.path(file));
                std::fs::create_dir_all(at.parent().unwrap()).unwrap();
                std::fs::write(at, old).unwrap();
            }
        }
        let jobs = (0..self.count).map(|file| self.job(file, self.base(file)));
        let jobs = jobs.collect();
        if self.edit {
            let (at, edit) = (place.at(&self.path(1)), self.edit());
            let edited = Arc::clone(&self.edited);
            *place.hand.disk.between.lock().unwrap() = Some(Box::new(move || {
                if !edited.swap(true, Ordering::SeqCst) {
                    std::fs::write(&at, &edit).unwrap();
                }
            }));
        }
        inject(Some(Arc::clone(faults)));
        let batch = Arc::clone(&place.hand).settle_batch(jobs).await;
        inject(None);
        *place.hand.disk.between.lock().unwrap() = None;
        batch
    }

    async fn check(&self, place: &Place, batch: &Batch) {
        let said = &self.said;
        assert_eq!(batch.done.len() + batch.alone.len(), self.count, "{said}");
        for file in 0..self.count {
            let path = self.path(file);
            let stands = std::fs::read(place.at(&path)).ok();
            let is = |text: &[u8]| stands.as_deref() == Some(text);
            let theirs = is(THEIRS);
            let mut whole = theirs;
            match self.old(file) {
                Some(old) => {
                    // Over one that was left out the user has written, and nobody else.
                    let by_user = file == 1 && self.edited.load(Ordering::SeqCst);
                    let is_kept = by_user || place.exists(&old);
                    assert!(is_kept, "{said}: what stood at {path} is gone");
                    whole |= is(old.as_bytes());
                }
                None => whole |= stands.is_none(),
            }
            whole |= self.edit && is(self.edit().as_bytes());
            assert!(whole, "{said}: {path} is {stands:?}");
            let done = batch
                .done
                .iter()
                .find(|done| done.taken.change.path == path);
            let settled = done.is_some_and(|done| done.end == End::Settled);
            assert!(
                theirs || !settled,
                "{said}: {path} is settled and not there"
            );
            let bases = done.map_or(&[][..], |done| &done.facts).iter();
            let bases = bases.filter(|fact| matches!(fact, Fact::Base(..))).count();
            assert_eq!(bases, usize::from(settled), "{said}: {path}");
            let notes = place.base.notes(Some(&path)).await.unwrap();
            let mut notes = notes.values().flatten();
            let noted = notes.any(|note| same(note.before, self.base(file)));
            assert!(noted || !theirs, "{said}: an undo knows nothing of {path}");
        }
    }

    /// What is left goes alone, and comes to what it should.
    async fn again(&self, place: &Place, batch: &Batch) {
        for file in 0..self.count {
            let path = self.path(file);
            let settled = |done: &&crate::mirror::hand::Done| {
                done.taken.change.path == path && done.end == End::Settled
            };
            if batch.done.iter().any(|done| settled(&done)) {
                continue;
            }
            let job = self.job(file, self.base(file));
            let done = Arc::clone(&place.hand).settle(job).await;
            let stands = std::fs::read(place.at(&path)).ok();
            if self.edit && stands.as_deref() == Some(self.edit().as_bytes()) {
                continue;
            }
            assert_eq!(done.end, End::Settled, "{}: {path}", self.said);
            assert_eq!(stands.as_deref(), Some(THEIRS), "{}: {path}", self.said);
        }
        if self.edited.load(Ordering::SeqCst) {
            assert!(
                place.exists(&self.edit()),
                "{}: the edit is gone",
                self.said
            );
        }
        std::fs::remove_dir_all(place.hand.root.join(format!("d{}", self.number))).unwrap();
    }
}

/// Every call of a batch fails once in every way; then the mirror starts anew, and what is left goes alone.
async fn every_fault(count: usize, edit: bool) {
    let mut place = place().await;
    let life = |number: usize, said: String| Life {
        number,
        count,
        edit,
        edited: Arc::default(),
        said,
    };
    let none = Faults::lacking(&[], None);
    let first = life(0, "without a fault".to_owned());
    let batch = first.live(&place, &none).await;
    first.check(&place, &batch).await;
    assert_eq!(batch.alone.len(), usize::from(edit), "all go together");
    first.again(&place, &batch).await;
    let calls = none.calls();
    let syncs = |name: &str| calls.iter().filter(|call| **call == name).count();
    if count > 8 {
        assert_eq!(syncs("sync_all"), 1, "one wait for all of them");
        assert_eq!(syncs("sync of a file"), 0);
    }
    let mut number = 0;
    for (call, name) in calls.iter().enumerate() {
        for (error, how) in [
            (Errno::IO, How::Instead),
            (Errno::NOSPC, How::Instead),
            (Errno::IO, How::After),
            (Errno::IO, How::FromThen),
        ] {
            let fault = Fault { call, error, how };
            number += 1;
            let life = life(number, format!("{count}, call {call} ({name}), {fault:?}"));
            let faults = Faults::lacking(&[], Some(fault));
            let batch = life.live(&place, &faults).await;
            life.check(&place, &batch).await;
            place.hand = hand(place.dir.path(), &place.base, None);
            life.check(&place, &batch).await;
            life.again(&place, &batch).await;
        }
    }
}

#[tokio::test]
async fn a_few_together_survive_every_error_at_every_call() {
    every_fault(3, false).await;
}

#[tokio::test]
async fn many_together_survive_every_error_at_every_call() {
    every_fault(9, false).await;
}

#[tokio::test]
async fn an_edit_in_the_middle_of_a_batch_survives_every_error_at_every_call() {
    every_fault(3, true).await;
}

fn packing() -> Memory {
    Memory {
        packs: true,
        ..Memory::default()
    }
}

const STOOD: &[(&str, &str)] = &[
    ("old", "old"),
    ("edited", "old"),
    ("gone", "old"),
    ("x", "x"),
];
/// What comes, and what stands there then.
const ODD: &[(&str, Option<&str>, Option<&str>)] = &[
    ("old", Some("new"), Some("new")),
    ("edited", Some("theirs"), Some("mine")),
    ("x", Some("x2"), Some("x2")),
    ("f2", Some("f2"), Some("f2")),
    ("gone", None, None),
];

#[tokio::test]
async fn what_waits_comes_in_packs_and_what_is_not_smooth_goes_alone() {
    let world = World::with(STOOD, packing());
    let mut live = world.seeded(STOOD).await;
    live.order(Order::Pause).await;
    live.state(MirrorState::Paused).await;
    world.edit("edited", "mine");
    let names = (0..30).map(|n| format!("d{}/f{n}", n % 3));
    let names: Vec<String> = names.collect();
    let plain = names
        .iter()
        .map(|name| (name.as_str(), Some(name.as_str())));
    let odd = ODD.iter().map(|(path, comes, _)| (*path, *comes));
    for ((path, text), seq) in plain.chain(odd).zip(1..) {
        live.order(world.change(seq, path, text)).await;
    }
    live.order(Order::Resume(Resume::Plain)).await;
    live.settled(35).await;
    for name in &names {
        assert_eq!(world.read(name).as_ref(), Some(name));
    }
    for (path, _, stands) in ODD {
        assert_eq!(world.read(path).as_deref(), *stands, "{path}");
    }
    assert_eq!(live.status.conflicts.len(), 1, "{:?}", live.status);
    assert_eq!(
        world.blobs.gets.load(Ordering::SeqCst),
        1,
        "only what is beside the edit was asked for alone"
    );
    assert!(!live.files.iter().any(|file| file.result == Outcome::Failed));
    // A write of a batch is undone like any other.
    let notes = live.notes.len();
    live.order(undo_order("old")).await;
    live.until(|live| live.notes.len() > notes).await;
    assert_eq!(world.read("old").as_deref(), Some("old"));
}
