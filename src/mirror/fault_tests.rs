//! The hand under every error at every call it makes: nothing that stood there is gone, nothing is half there, and what is
//! written down is what stands.
#![expect(
    clippy::disallowed_methods,
    reason = "tests make their files in a folder of their own"
)]

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;

use crate::mirror::base::{Base, Fact, Waiting};
use crate::mirror::blobs::{Blobs, Error, Wanted};
use crate::mirror::disk::{Disk, state_of};
use crate::mirror::ground;
use crate::mirror::ground::faults::{Fault, Faults, How, inject};
use crate::mirror::hand::{Done, End, Hand, Job};
use crate::mirror::ignore::Rules;
use crate::mirror::inbox::Taken;
use crate::mirror::plan::same;
use crate::mirror::preimage::Preimages;
use crate::mirror::scan::Limits;
use crate::mirror::up::Edit;
use crate::protocol::file::{ChangeKind, FileState, Mode};
use crate::protocol::hash::ContentHash;
use crate::protocol::ids::Seq;
use crate::protocol::path::RelPath;

const ERRORS: [Errno; 4] = [Errno::IO, Errno::NOSPC, Errno::MFILE, Errno::ACCESS];

/// What the change is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Write,
    Overwrite,
    Delete,
}

/// The other side has one content.
struct One;

pub(super) const THEIRS: &[u8] = b"what the agent wrote";

#[async_trait::async_trait]
impl Blobs for One {
    async fn get(&self, _: &Wanted, into: &Path) -> Result<(), Error> {
        let at = into.to_owned();
        let fetched = ground::blocking(move || ground::create(&at)?.write_all(THEIRS)).await;
        fetched.unwrap().map_err(|source| Error::Disk {
            what: "cannot keep it".to_owned(),
            source,
        })
    }

    async fn put(&self, _: ContentHash, _: u64, _: &Path) -> Result<(), Error> {
        Ok(())
    }

    async fn missing(&self, _: &[ContentHash]) -> Result<Vec<ContentHash>, Error> {
        Ok(Vec::new())
    }

    async fn pack(&self, _: &[ContentHash]) -> Result<Vec<(ContentHash, Vec<u8>)>, Error> {
        Ok(vec![(ContentHash::of(THEIRS), THEIRS.to_vec())])
    }
}

pub(super) struct Place {
    pub(super) dir: tempfile::TempDir,
    pub(super) base: Base,
    pub(super) hand: Arc<Hand>,
}

pub(super) async fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("root")).unwrap();
    std::fs::create_dir(dir.path().join("up")).unwrap();
    let base = Base::open(&dir.path().join("run"), &dir.path().join("root")).await;
    let base = base.unwrap();
    let hand = hand(dir.path(), &base, None);
    Place { dir, base, hand }
}

/// A start; what stood at this path may be away.
pub(super) fn hand(dir: &Path, base: &Base, away: Option<&RelPath>) -> Arc<Hand> {
    let root = dir.join("root");
    let kept = Preimages::open(&dir.join("pre-images")).unwrap();
    let disk = Disk::open(&root, &kept).unwrap();
    for left in disk.left() {
        let is_away = |path: &&RelPath| left.is_of(path) && disk.stands(path) == Some(None);
        let away = away.filter(is_away);
        if !away.is_some_and(|path| disk.return_left(&left, path)) {
            // It is among the pre-images.
            disk.forget_left(&left);
        }
    }
    Arc::new(Hand {
        disk,
        rules: Arc::new(Rules::new(&root, &[], &[]).unwrap()),
        root,
        run: "7d0c2f9e-3b1a-4c58-9f6e-5a2b8c1d4e70".parse().unwrap(),
        kept,
        lift: dir.join("up"),
        cache: Arc::default(),
        limits: Limits::default(),
        blobs: Some(Arc::new(One)),
        remote: None,
        base: base.clone(),
        hurry: Arc::default(),
        lock: None,
    })
}

/// One change of one path, under one fault.
struct Life {
    kind: Kind,
    path: RelPath,
    old: String,
    edit: Option<String>,
    /// Its name may be away for a moment.
    plain: bool,
    said: String,
}

impl Life {
    fn want(&self) -> Option<FileState> {
        (self.kind != Kind::Delete).then(|| state_of(THEIRS, Mode::File))
    }

    fn before(&self) -> Option<FileState> {
        (self.kind != Kind::Write).then(|| state_of(self.old.as_bytes(), Mode::File))
    }

    fn job(&self) -> Job {
        let change = Waiting::of_nobody(ChangeKind::Modified, self.path.clone(), self.want());
        Job {
            taken: Taken::of(Seq(7), change),
            base: self.before(),
            noted: None,
            folders: BTreeSet::new(),
        }
    }
}

impl Place {
    pub(super) fn at(&self, path: &RelPath) -> PathBuf {
        path.below(&self.hand.root)
    }

    /// Whether these bytes lie anywhere a person finds them, or the next start does.
    pub(super) fn exists(&self, text: &str) -> bool {
        if self
            .hand
            .kept
            .path(ContentHash::of(text.as_bytes()))
            .exists()
        {
            return true;
        }
        let mut folders = vec![self.hand.root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let at = entry.unwrap().path();
                if at.is_dir() {
                    folders.push(at);
                } else if std::fs::read(&at).unwrap() == text.as_bytes() {
                    return true;
                }
            }
        }
        false
    }

    async fn settle(&self, life: &Life) -> Done {
        let done = Arc::clone(&self.hand).settle(life.job()).await;
        self.base.save(&done.facts).await.unwrap();
        done
    }

    /// Lives it up to the end of the change; whether the user's edit was made.
    async fn live(&self, life: &Life, faults: &Arc<Faults>) -> (Done, bool) {
        let at = self.at(&life.path);
        std::fs::create_dir(at.parent().unwrap()).unwrap();
        if life.kind != Kind::Write {
            std::fs::write(&at, &life.old).unwrap();
        }
        let before = Fact::Base(life.path.clone(), life.before());
        self.base.save(&[before]).await.unwrap();
        let edited = Arc::new(AtomicBool::new(false));
        if let Some(edit) = life.edit.clone() {
            let edited = Arc::clone(&edited);
            *self.hand.disk.between.lock().unwrap() = Some(Box::new(move || {
                if !edited.swap(true, Ordering::SeqCst) {
                    std::fs::write(&at, &edit).unwrap();
                }
            }));
        }
        inject(Some(Arc::clone(faults)));
        let done = self.settle(life).await;
        inject(None);
        if life.edit.is_some() {
            *self.hand.disk.between.lock().unwrap() = None;
        }
        (done, edited.load(Ordering::SeqCst))
    }

    async fn check(&self, life: &Life, end: &End, edited: bool) {
        let Life { said, path, .. } = life;
        let stands = std::fs::read(self.at(path)).ok();
        let is = |text: &[u8]| stands.as_deref() == Some(text);
        let theirs = life.want().map_or(stands.is_none(), |_| is(THEIRS));
        if life.kind != Kind::Write {
            assert!(self.exists(&life.old), "{said}: what stood there is gone");
        }
        let mut whole = theirs || (life.kind == Kind::Write && stands.is_none());
        whole |= life.kind != Kind::Write && is(life.old.as_bytes());
        whole |= life.plain && stands.is_none() && *end != End::Settled;
        if let Some(edit) = life.edit.as_ref().filter(|_| edited) {
            assert!(self.exists(edit), "{said}: the edit is gone");
            whole |= is(edit.as_bytes());
        }
        assert!(whole, "{said}: {stands:?}");
        let known = self.base.load().await.unwrap();
        let base = known.base.get(path).copied();
        if same(base, life.want()) {
            assert!(theirs, "{said}: the base claims what does not stand there");
        } else {
            assert!(same(base, life.before()), "{said}: {base:?}");
        }
        let notes = self.base.notes(Some(path)).await.unwrap();
        let notes = notes.values().flatten();
        let noted = notes.filter(|note| same(note.after, life.want())).count();
        // A new file that is not there was not deleted by anybody.
        let done = theirs && !(edited && life.kind == Kind::Delete);
        assert!(noted > 0 || !done, "{said}: an undo knows nothing of it");
        assert!(
            *end != End::Settled || theirs,
            "{said}: settled and not done"
        );
    }
}

/// Every call of a change fails once in every way; then the mirror starts anew, and tries again.
async fn every_fault(kind: Kind, edits: bool, lacks: &'static [&'static str]) {
    let mut place = place().await;
    let life = |number: usize, said: String| Life {
        kind,
        path: format!("d{number}/f").parse().unwrap(),
        old: format!("what stood there {number}"),
        edit: edits.then(|| format!("what the user wrote meanwhile {number}")),
        plain: !lacks.is_empty(),
        said,
    };
    let none = Faults::lacking(lacks, None);
    let first = life(0, "without a fault".to_owned());
    let (done, edited) = place.live(&first, &none).await;
    place.check(&first, &done.end, edited).await;
    let calls = none.calls();
    assert!(calls.len() > 20, "{calls:?}");
    let mut number = 0;
    for (call, name) in calls.iter().enumerate() {
        let once = ERRORS.map(|error| (error, How::Instead));
        let rest = [(Errno::IO, How::After), (Errno::IO, How::FromThen)];
        for (error, how) in once.into_iter().chain(rest) {
            let fault = Fault { call, error, how };
            number += 1;
            let said = format!("{kind:?}, call {call} ({name}), {fault:?}");
            let life = life(number, said);
            let faults = Faults::lacking(lacks, Some(fault));
            let (done, edited) = place.live(&life, &faults).await;
            place.check(&life, &done.end, edited).await;
            place.hand = hand(
                place.dir.path(),
                &place.base,
                life.plain.then_some(&life.path),
            );
            place.check(&life, &done.end, edited).await;
            again(&place, &life, edited).await;
        }
    }
}

/// Without a fault it comes to what it should.
async fn again(place: &Place, life: &Life, edited: bool) {
    let done = place.settle(life).await;
    place.check(life, &done.end, edited).await;
    let said = &life.said;
    if !edited {
        assert_eq!(done.end, End::Settled, "{said}");
    }
    std::fs::remove_dir_all(place.at(&life.path).parent().unwrap()).unwrap();
    let over = Fact::Base(life.path.clone(), None);
    place.base.save(&[over]).await.unwrap();
}

#[tokio::test]
async fn a_new_file_survives_every_error_at_every_call() {
    every_fault(Kind::Write, false, &[]).await;
}

#[tokio::test]
async fn an_overwrite_survives_every_error_at_every_call() {
    every_fault(Kind::Overwrite, false, &[]).await;
}

#[tokio::test]
async fn a_delete_survives_every_error_at_every_call() {
    every_fault(Kind::Delete, false, &[]).await;
}

#[tokio::test]
async fn a_file_made_meanwhile_survives_every_error_at_every_call() {
    every_fault(Kind::Write, true, &[]).await;
}

#[tokio::test]
async fn an_edit_during_an_overwrite_survives_every_error_at_every_call() {
    every_fault(Kind::Overwrite, true, &[]).await;
}

#[tokio::test]
async fn an_edit_during_a_delete_survives_every_error_at_every_call() {
    every_fault(Kind::Delete, true, &[]).await;
}

/// What NFS and many a file system of a user's program lack.
const PLAIN: &[&str] = &["swap", "place"];

#[tokio::test]
async fn an_overwrite_without_a_swap_survives_every_error_at_every_call() {
    every_fault(Kind::Overwrite, false, PLAIN).await;
}

#[tokio::test]
async fn an_edit_during_an_overwrite_without_a_swap_survives_every_error_at_every_call() {
    every_fault(Kind::Overwrite, true, PLAIN).await;
}

#[tokio::test]
async fn a_file_made_while_the_name_is_away_survives() {
    let place = place().await;
    let life = Life {
        kind: Kind::Overwrite,
        path: "d/f".parse().unwrap(),
        old: "what stood there".to_owned(),
        edit: None,
        plain: true,
        said: "made while the name is away".to_owned(),
    };
    let at = place.at(&life.path);
    let mut moments = 0;
    *place.hand.disk.between.lock().unwrap() = Some(Box::new(move || {
        moments += 1;
        if moments == 2 {
            assert!(!at.exists(), "it is away");
            std::fs::write(&at, "made in that moment").unwrap();
        }
    }));
    let (done, _) = place.live(&life, &Faults::lacking(PLAIN, None)).await;
    assert!(matches!(done.end, End::Conflict(_)), "{:?}", done.end);
    let stands = std::fs::read(place.at(&life.path)).unwrap();
    assert_eq!(stands, b"made in that moment");
    assert!(place.exists(&life.old) && place.exists("what the agent wrote"));
}

/// A look may be old by the time its edits go up, and the other side may have had their contents long ago.
#[tokio::test]
async fn of_what_need_not_be_sent_only_what_still_stands_is_told() {
    let place = place().await;
    let root = place.dir.path().join("root");
    let edit = |path: &str, now: Option<&str>| Edit {
        path: path.parse().unwrap(),
        now: now.map(|text| state_of(text.as_bytes(), Mode::File)),
        base: Some(state_of(b"base", Mode::File)),
    };
    for (path, text) in [("same", "old"), ("newer", "new"), ("back", "base")] {
        std::fs::write(root.join(path), text).unwrap();
    }
    let stale = vec![
        edit("same", Some("old")),
        edit("newer", Some("old")),
        edit("away", Some("old")),
        edit("back", None),
        edit("gone", None),
    ];
    let lifted = Arc::clone(&place.hand).lift(stale, BTreeSet::new()).await;
    let paths = |edits: &[Edit]| {
        let paths: BTreeSet<String> = edits.iter().map(|edit| edit.path.to_string()).collect();
        paths.into_iter().collect::<Vec<_>>()
    };
    assert_eq!(paths(&lifted.ready), ["gone", "same"]);
    assert_eq!(paths(&lifted.changed), ["away", "back", "newer"]);
    assert_eq!(lifted.failed, []);
}
