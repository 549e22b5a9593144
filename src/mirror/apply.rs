//! One change of the other end, put where exactly that stands which it was made from. What else stands there is never
//! touched.
//!
//! Keeps no base of its own: each change brings it. Decides with `plan`, writes through `disk`, which keeps a pre-image of
//! whatever it replaces. Blocking; the caller fetches contents in between.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::mirror::blobs::Wanted;
use crate::mirror::disk::{self, Disk, Staged};
use crate::mirror::ground;
use crate::mirror::hand::{LATE, beside, standing};
use crate::mirror::ignore::Rules;
use crate::mirror::plan::{Move, decide, same};
use crate::mirror::preimage::Preimages;
use crate::mirror::scan::{Cache, Limits, Local, look};
use crate::plant::planted;
use crate::protocol::command::LocalChange;
use crate::protocol::file::{FileState, Mode};
use crate::protocol::ids::Seq;
use crate::protocol::path::RelPath;

/// A root that changes are put into.
pub(crate) struct Applier {
    root: PathBuf,
    disk: Disk,
    kept: Preimages,
    rules: Arc<Rules>,
    cache: Arc<Cache>,
    limits: Limits,
    /// Folders that go when they become empty: those that came with files of the other end.
    folders: Mutex<BTreeSet<RelPath>>,
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It stands there now, or stood there already; `before` is what was found.
    Applied { before: Option<FileState> },
    /// Something else stands there than it was made from; why, when more than that is in the way.
    Stale(Option<String>),
    /// It can never stand there.
    Failed(String),
}

/// How far a change has come.
#[derive(Debug)]
pub(crate) enum Step {
    Done(Outcome),
    /// Its content is to be brought first.
    Fetch(Fetch),
    /// It changed in this very moment: begin again.
    Again,
}

/// A content that is wanted, and the place in the stage for it.
#[derive(Debug)]
pub(crate) struct Fetch {
    want: FileState,
    staged: Staged,
    here: Option<FileState>,
}

impl Fetch {
    pub(crate) fn wanted(&self) -> Wanted {
        Wanted {
            hash: self.want.hash,
            size: self.want.size,
            storage_path: None,
        }
    }

    pub(crate) fn at(&self) -> &Path {
        &self.staged.path
    }
}

impl Applier {
    /// Opens the root; pre-images go below `kept`.
    pub(crate) fn open(
        root: &Path,
        kept: &Path,
        rules: Arc<Rules>,
        cache: Arc<Cache>,
        limits: Limits,
    ) -> Result<Self, disk::Error> {
        let kept = Preimages::open(kept).map_err(disk::fail("make the folder of pre-images"))?;
        let disk = Disk::open(root, &kept)?;
        Ok(Self {
            root: root.to_owned(),
            disk,
            kept,
            rules,
            cache,
            limits,
            folders: Mutex::default(),
        })
    }

    /// What a kill left in the stage, where these files were known to stand: a file system that cannot swap two names has
    /// one of them away while it writes. All of it is among the pre-images.
    pub(crate) fn take_up_left(&self, known: &BTreeMap<RelPath, FileState>) {
        for left in self.disk.left() {
            let stood = known.iter().find(|(path, _)| left.is_of(path));
            let is_back = stood.is_some_and(|(path, state)| {
                same(left.state(), Some(*state)) && self.disk.return_left(&left, path)
            });
            if !is_back {
                self.disk.forget_left(&left);
            }
        }
    }

    /// The folders of these files came with them, and go with the last of them.
    pub(crate) fn own_folders<'p>(&self, files: impl IntoIterator<Item = &'p RelPath>) {
        let mut folders = self.folders();
        for file in files {
            let mut at = file.parent();
            while let Some(folder) = at.filter(|folder| !folders.contains(folder)) {
                at = folder.parent();
                folders.insert(folder);
            }
        }
    }

    fn folders(&self) -> MutexGuard<'_, BTreeSet<RelPath>> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What stands at these paths survives the power, whoever wrote it.
    pub(crate) fn settle(&self, paths: &[RelPath]) -> Result<(), disk::Error> {
        self.disk.settle(paths)
    }

    /// Between two changes nothing of ours stands in the root, but what may be written to yet.
    pub(crate) fn tidy(&self) {
        for aside in self.disk.look_aside(self.disk.due()) {
            let beside =
                |_: bool, number: usize| beside(&aside.path, LATE, "sandbox", Seq::ZERO, number);
            match self.disk.bring_back(&aside, None, &beside, &self.kept) {
                Err(error) if !error.may_be_done() => self.disk.put_off(aside.clone()),
                done => {
                    tracing::warn!(path = %aside.path, ?done, "was saved after it was replaced");
                }
            }
        }
        self.disk.tidy();
    }

    /// How long until it is to be tidied again.
    pub(crate) fn next_tidy(&self) -> Option<Duration> {
        self.disk.next_aside()
    }

    /// Looks, decides, and does what needs no content.
    pub(crate) fn begin(&self, change: &LocalChange) -> Step {
        let (path, now) = (&change.path, change.now());
        let local = look(&self.root, path, &self.rules, self.limits, &self.cache);
        let here = standing(&local);
        let known = matches!(local, Local::Absent | Local::File(_) | Local::Directory);
        let stale = !same(here, now) && !is_base(here, change);
        if known && stale && !planted!(StaleEditApplied) {
            return Step::Done(Outcome::Stale(None));
        }
        // Without a base nothing stands there but, at most, a folder that may turn out to be empty.
        let base = change.base.and(here);
        let done = match decide(base, &local, now, self.limits.file) {
            // Whoever wrote it may not have cared for the power; we answer that it stands.
            Move::Agree => self.settle(std::slice::from_ref(path)),
            Move::Push(_) | Move::Conflict(_) => {
                return Step::Done(Outcome::Stale(None));
            }
            Move::Refuse(refusal) => return Step::Done(Outcome::Failed(refusal.to_string())),
            Move::Fetch(want) | Move::FetchOverFolder(want) => {
                return match self.disk.staged() {
                    Ok(staged) => Step::Fetch(Fetch { want, staged, here }),
                    Err(error) => after(error),
                };
            }
            Move::Chmod(want) => self.chmod(path, want, here),
            Move::MakeFolder => self.make_folder(path, here),
            Move::Remove => self.remove(path, here),
        };
        match done {
            Ok(()) => Step::Done(Outcome::Applied { before: here }),
            Err(error) => after(error),
        }
    }

    /// The content lies in the stage: verifies it, looks again, swaps.
    pub(crate) fn finish(&self, change: &LocalChange, fetch: Fetch) -> Step {
        let Fetch { want, staged, here } = fetch;
        let put = self
            .disk
            .prepare(&change.path, want, staged, here, &self.kept)
            .and_then(|prepared| self.disk.commit(prepared));
        match put {
            Ok(()) => Step::Done(Outcome::Applied { before: here }),
            Err(error) => after(error),
        }
    }

    fn chmod(
        &self,
        path: &RelPath,
        want: FileState,
        here: Option<FileState>,
    ) -> Result<(), disk::Error> {
        let staged = self.disk.staged()?;
        self.copy(path, &staged).map_err(disk::fail("read it"))?;
        let prepared = self.disk.prepare(path, want, staged, here, &self.kept)?;
        self.disk.commit(prepared)
    }

    fn copy(&self, path: &RelPath, staged: &Staged) -> std::io::Result<()> {
        let mut from = ground::open(&path.below(&self.root))?;
        std::io::copy(&mut from, &mut ground::create(&staged.path)?).map(drop)
    }

    fn make_folder(&self, path: &RelPath, here: Option<FileState>) -> Result<(), disk::Error> {
        if let Some(ours) = here {
            let removal = self.disk.prepare_removal(path, ours, &self.kept)?;
            self.disk.commit(removal)?;
        }
        let prepared = self.disk.prepare_folder(path, None, &self.kept)?;
        self.disk.commit(prepared)
    }

    fn remove(&self, path: &RelPath, here: Option<FileState>) -> Result<(), disk::Error> {
        if let Some(ours) = here {
            let removal = self.disk.prepare_removal(path, ours, &self.kept)?;
            self.disk.commit(removal)?;
        }
        let ours = self.folders();
        self.disk.remove_empty(path, |folder| ours.contains(folder));
        Ok(())
    }
}

/// Whether what stands there is what the change was made from. A folder counts as nothing to who expects nothing: only
/// an empty one gives way.
fn is_base(here: Option<FileState>, change: &LocalChange) -> bool {
    match (here, change.base) {
        (None, None) => true,
        (None, Some(_)) => false,
        (Some(here), None) => here.mode == Mode::Directory && change.hash.is_some(),
        (Some(here), Some(base)) => {
            let mode = change.base_mode;
            here.hash == base && mode.map_or(here.mode != Mode::Directory, |mode| mode == here.mode)
        }
    }
}

fn after(error: disk::Error) -> Step {
    match error {
        disk::Error::Changed => Step::Again,
        error @ (disk::Error::FolderNotEmpty | disk::Error::FolderIsFile) => {
            Step::Done(Outcome::Stale(Some(error.to_string())))
        }
        error => Step::Done(Outcome::Failed(error.to_string())),
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "tests make their files in a folder of their own"
)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::protocol::hash::ContentHash;

    /// The limit of these tests.
    const SMALL: u64 = 100;

    struct Place {
        folder: tempfile::TempDir,
        applier: Applier,
    }

    fn place() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("work");
        std::fs::create_dir(&root).unwrap();
        let rules = Arc::new(Rules::new(&root, &[], &[]).unwrap());
        let kept = folder.path().join("kept");
        let small = Limits {
            file: SMALL,
            ..Limits::default()
        };
        let applier = Applier::open(&root, &kept, rules, Arc::default(), small).unwrap();
        Place { folder, applier }
    }

    impl Place {
        fn at(&self, path: &str) -> PathBuf {
            self.folder.path().join("work").join(path)
        }

        fn write(&self, path: &str, text: &str) {
            std::fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
            std::fs::write(self.at(path), text).unwrap();
        }

        /// Does it whole, with these bytes as its content.
        fn apply(&self, change: &LocalChange, content: &str) -> Outcome {
            let step = match self.applier.begin(change) {
                Step::Fetch(fetch) => {
                    std::fs::write(fetch.at(), content).unwrap();
                    self.applier.finish(change, fetch)
                }
                step => step,
            };
            self.applier.tidy();
            match step {
                Step::Done(outcome) => outcome,
                other => panic!("{other:?}"),
            }
        }
    }

    fn hash(text: &str) -> ContentHash {
        ContentHash::of(text.as_bytes())
    }

    fn change(path: &str, now: Option<(&str, Mode)>, base: Option<(&str, Mode)>) -> LocalChange {
        LocalChange {
            path: path.parse().unwrap(),
            hash: now.map(|(text, _)| hash(text)),
            size: now.map_or(0, |(text, _)| text.len() as u64),
            mode: now.map_or(Mode::File, |(_, mode)| mode),
            base: base.map(|(text, _)| hash(text)),
            base_mode: base.map(|(_, mode)| mode),
        }
    }

    fn is_applied(outcome: &Outcome) -> bool {
        matches!(outcome, Outcome::Applied { .. })
    }

    #[test]
    fn only_what_it_was_made_from_is_replaced_and_that_is_kept() {
        let place = place();
        place.write("a", "old");
        let mine = change("a", Some(("mine", Mode::File)), Some(("old", Mode::File)));
        assert!(is_applied(&place.apply(&mine, "mine")));
        assert_eq!(std::fs::read_to_string(place.at("a")).unwrap(), "mine");
        let kept = place
            .folder
            .path()
            .join("kept")
            .join(hash("old").to_string());
        assert_eq!(std::fs::read_to_string(kept).unwrap(), "old");
        // A second time it stands there already.
        assert!(is_applied(&place.apply(&mine, "never asked for")));
        place.write("a", "theirs");
        assert_eq!(place.apply(&mine, "mine"), Outcome::Stale(None));
        let gone = change("a", None, Some(("mine", Mode::File)));
        assert_eq!(place.apply(&gone, ""), Outcome::Stale(None));
        assert_eq!(std::fs::read_to_string(place.at("a")).unwrap(), "theirs");
        let ours = place.at(".ashore");
        drop(place.applier);
        assert!(!ours.exists());
    }

    #[test]
    fn another_mode_than_the_base_is_another_file_and_the_exec_bit_needs_no_content() {
        let place = place();
        place.write("run", "x");
        let on = change(
            "run",
            Some(("x", Mode::Executable)),
            Some(("x", Mode::File)),
        );
        assert!(is_applied(&place.apply(&on, "never asked for")));
        let mode = std::fs::metadata(place.at("run")).unwrap().permissions();
        assert_eq!(mode.mode() & 0o100, 0o100);
        let wrong = change("run", Some(("y", Mode::File)), Some(("x", Mode::File)));
        assert_eq!(place.apply(&wrong, "y"), Outcome::Stale(None));
        let unsaid = LocalChange {
            base_mode: None,
            ..wrong
        };
        assert!(is_applied(&place.apply(&unsaid, "y")));
    }

    #[test]
    fn files_folders_and_links_take_each_others_place() {
        let place = place();
        place.write("d/only", "x");
        let path = "d/only".parse().unwrap();
        place.applier.own_folders([&path]);
        let gone = change("d/only", None, Some(("x", Mode::File)));
        assert!(is_applied(&place.apply(&gone, "")));
        assert!(!place.at("d").exists(), "it came with the file");
        let made = change("d", Some(("", Mode::Directory)), None);
        assert!(is_applied(&place.apply(&made, "")));
        let file = change("d", Some(("now a file", Mode::File)), None);
        assert!(is_applied(&place.apply(&file, "now a file")));
        let link = change(
            "d",
            Some(("run", Mode::Symlink)),
            Some(("now a file", Mode::File)),
        );
        assert!(is_applied(&place.apply(&link, "run")));
        assert_eq!(std::fs::read_link(place.at("d")).unwrap(), Path::new("run"));
        let folder = change(
            "d",
            Some(("", Mode::Directory)),
            Some(("run", Mode::Symlink)),
        );
        assert!(is_applied(&place.apply(&folder, "")));
        place.write("d/theirs", "x");
        let back = change("d", Some(("f", Mode::File)), Some(("", Mode::Directory)));
        assert!(matches!(place.apply(&back, "f"), Outcome::Stale(Some(_))));
        let below = change("d/theirs/mine", Some(("m", Mode::File)), None);
        assert!(matches!(place.apply(&below, "m"), Outcome::Stale(Some(_))));
        assert_eq!(std::fs::read_to_string(place.at("d/theirs")).unwrap(), "x");
    }

    #[test]
    fn what_would_leave_the_root_or_is_ignored_or_is_not_the_content_is_never_written() {
        let place = place();
        place.write(".gitignore", "*.log\n");
        std::fs::create_dir(place.folder.path().join("outside")).unwrap();
        symlink("../outside", place.at("out")).unwrap();
        let failed = |path: &str, mode: Mode, text: &str| {
            let outcome = place.apply(&change(path, Some((text, mode)), None), text);
            assert!(matches!(outcome, Outcome::Failed(_)), "{path}: {outcome:?}");
        };
        failed("x.log", Mode::File, "x");
        failed("out/x", Mode::File, "x");
        failed("link", Mode::Symlink, "/etc/passwd");
        failed("link", Mode::Symlink, "../outside/x");
        failed("link", Mode::Symlink, ".git/config");
        failed("large", Mode::File, &"x".repeat(101));
        let lie = change("lie", Some(("said", Mode::File)), None);
        assert!(matches!(place.apply(&lie, "other"), Outcome::Failed(_)));
        let outside = std::fs::read_dir(place.folder.path().join("outside"));
        assert_eq!(outside.unwrap().count(), 0);
        for path in ["x.log", "link", "lie", "large"] {
            assert!(std::fs::symlink_metadata(place.at(path)).is_err());
        }
    }
}
