//! What the agent changed on disk: scanned, stored by hash, then told as `file_sync`, one path per entry.
//!
//! A change is told only after its blob is stored. The bytes that are stored are a copy whose hash was taken while
//! copying, so a file that goes on changing is told again instead of wrongly. Only `edits` writes in the workspace.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::ops::Bound;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::agent::wishes::{Look, Places, Wish, Wishes};
use crate::mirror::apply::Applier;
use crate::mirror::blobs::{self, Blobs};
use crate::mirror::disk;
use crate::mirror::ground;
use crate::mirror::ignore::{BadPattern, Rules};
use crate::mirror::life::Life;
use crate::mirror::scan::{self, Cache, Limits, Local, Problem, Tree};
use crate::protocol::file::{ChangeKind, FileChange, FileState, Mode};
use crate::protocol::hash::{ContentHash, Hasher};
use crate::protocol::ids::Seq;
use crate::protocol::line;
use crate::protocol::path::RelPath;

/// At most this many blobs on their way at once.
const UPLOADS: usize = 4;
/// Of one question which hashes are missing; the endpoint takes 10,000.
const ASKED: usize = 5_000;
const FIRST_RETRY: Duration = Duration::from_millis(250);
const LAST_RETRY: Duration = Duration::from_secs(10);

/// What comes back.
#[derive(Debug, PartialEq)]
pub(crate) enum Told {
    /// A message for the journal.
    Line(Value),
    Scanned(u64),
    /// Each change of the command at this line has its answer.
    Answered(Seq),
}

/// One difference between what is told and what is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) path: RelPath,
    pub(super) now: Option<FileState>,
    pub(super) before: Option<FileState>,
}

/// The owner of everything known about the workspace's files.
pub(crate) struct Files {
    pub(super) root: PathBuf,
    /// Copies of changed files until they are stored.
    stage: PathBuf,
    rules: Arc<Rules>,
    cache: Arc<Cache>,
    limits: Limits,
    pub(super) known: BTreeMap<RelPath, FileState>,
    /// Told as failed, and why, so that it is told once.
    failed: BTreeMap<String, String>,
    pub(super) blobs: Arc<dyn Blobs>,
    copies: u64,
    /// What people change elsewhere comes in through it; nothing does where the agent works in their own directory.
    pub(super) applier: Option<Arc<Applier>>,
    /// Where it is written down in which life of the machine nothing was torn.
    pub(super) life: Option<Life>,
    /// What a power cut left, as far as it could not be put back: never told.
    pub(super) torn: BTreeMap<RelPath, FileState>,
}

impl Files {
    /// `known` is what both sides have: the seed, and every change told since.
    pub(crate) fn new(
        root: &Path,
        stage: PathBuf,
        known: BTreeMap<RelPath, FileState>,
        blobs: Arc<dyn Blobs>,
    ) -> Result<Self, BadPattern> {
        let rules = Rules::new(root, &[], &[])?;
        // What came with the seed although it is ignored was included on purpose, or is tracked.
        rules.keep(known.keys());
        Ok(Self {
            root: root.to_owned(),
            stage,
            rules: Arc::new(rules),
            cache: Arc::default(),
            limits: Limits::default(),
            known,
            failed: BTreeMap::new(),
            blobs,
            copies: 0,
            applier: None,
            life: None,
            torn: BTreeMap::new(),
        })
    }

    /// What is too much here; whoever takes changes from outside is told first.
    pub(crate) fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Takes changes from outside; what they replace is kept below `kept`, and in `folder` what is known of the machine.
    pub(crate) fn with_applier(mut self, folder: &Path, kept: &Path) -> Result<Self, disk::Error> {
        let (rules, cache) = (Arc::clone(&self.rules), Arc::clone(&self.cache));
        let applier = Applier::open(&self.root, kept, rules, cache, self.limits)?;
        applier.take_up_left(&self.known);
        applier.own_folders(self.known.keys());
        self.applier = Some(Arc::new(applier));
        self.life = Some(Life::of(folder));
        Ok(self)
    }

    /// What is never told, for whoever watches the same tree.
    pub(crate) fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules)
    }

    /// Grants wishes in order, until nobody wishes or listens any more.
    pub(crate) async fn run(mut self, mut wishes: Wishes, told: mpsc::Sender<Told>) {
        loop {
            let wish = tokio::select! {
                biased;
                wish = wishes.next() => wish,
                () = self.untidy() => {
                    self.tidy().await;
                    continue;
                }
            };
            let Some(wish) = wish else { return };
            let done = match wish {
                Wish::Look(look) => self.grant(look, &told).await,
                Wish::Take(edits) => self.take(edits, &told).await,
            };
            if done.is_none() {
                return;
            }
        }
    }

    /// `None`: nobody listens any more.
    async fn grant(&mut self, look: Look, told: &mpsc::Sender<Told>) -> Option<()> {
        let tool = look.tool_call().map(str::to_owned);
        let lines = self.look(look.places, look.turn, tool.as_deref()).await;
        let marks = look.marks.into_iter().map(Told::Scanned);
        for one in lines.into_iter().map(Told::Line).chain(marks) {
            told.send(one).await.ok()?;
        }
        Some(())
    }

    /// One look: what is different, stored and ready to be told.
    pub(crate) async fn look(
        &mut self,
        places: Places,
        turn: Option<u64>,
        tool: Option<&str>,
    ) -> Vec<Value> {
        let eyes = self.eyes();
        let known = std::mem::take(&mut self.known);
        let scanned = ground::blocking(move || {
            let found = match places {
                Places::All => eyes.all(&known),
                Places::Named(paths) => Ok(eyes.named(&known, paths)),
            };
            (known, found)
        })
        .await;
        let Ok((known, found)) = scanned else {
            return vec![line::note("the files could not be scanned: the scan broke")];
        };
        self.known = known;
        match found {
            Ok((differences, tree)) => {
                let mut lines = self.problems(&tree);
                lines.extend(self.tell(differences, turn, tool).await);
                lines
            }
            Err(error) => self.fail("", error.to_string()).into_iter().collect(),
        }
    }

    fn problems(&mut self, tree: &Tree) -> Vec<Value> {
        let problems = tree.problems.iter();
        problems
            .filter_map(|problem| self.fail(&problem.path, problem.why.to_string()))
            .collect()
    }

    /// The line for a file that cannot be stored, the first time it cannot for this reason.
    pub(super) fn fail(&mut self, path: &str, why: String) -> Option<Value> {
        let told = self.failed.insert(path.to_owned(), why.clone());
        (told.as_ref() != Some(&why)).then(|| line::file_failed(path, &why, None))
    }

    async fn tell(
        &mut self,
        mut differences: Vec<Difference>,
        turn: Option<u64>,
        tool: Option<&str>,
    ) -> Vec<Value> {
        let mut lines = Vec::new();
        differences.retain(|difference| !self.is_torn(&difference.path, difference.now));
        // In pieces, so that a thousand copies do not stand on the disk at once.
        for piece in differences.chunks(256) {
            let staged = self.stage(piece).await;
            let (refused, settled) = tokio::join!(self.store(&staged), self.settle(piece));
            if let Err(why) = settled {
                let paths = piece.iter().map(|difference| difference.path.as_str());
                lines.extend(paths.filter_map(|path| self.fail(path, why.clone())));
                continue;
            }
            for (difference, copy) in staged {
                let told = match (copy, &difference.now) {
                    (Err(why), _) => self.fail(difference.path.as_str(), why),
                    (Ok(None), Some(_)) => None,
                    (Ok(Some(copy)), _) if refused.contains_key(&copy.state.hash) => {
                        let why = refused[&copy.state.hash].clone();
                        self.fail(difference.path.as_str(), why)
                    }
                    (Ok(copy), _) => self.change(&difference, copy.map(|c| c.state), turn, tool),
                };
                lines.extend(told);
            }
        }
        lines
    }

    /// What is told is on the disk here: with the power nothing goes that others stand upon.
    async fn settle(&self, piece: &[Difference]) -> Result<(), String> {
        let Some(applier) = self.applier.clone() else {
            // The user's own directory: nothing stands upon it but itself.
            return Ok(());
        };
        let paths: Vec<RelPath> = piece.iter().map(|one| one.path.clone()).collect();
        let settled = ground::blocking(move || applier.settle(&paths)).await;
        let settled = settled.map_err(|error| error.to_string())?;
        settled.map_err(|error| error.to_string())
    }

    /// Takes the change as known and makes its line.
    fn change(
        &mut self,
        difference: &Difference,
        now: Option<FileState>,
        turn: Option<u64>,
        tool: Option<&str>,
    ) -> Option<Value> {
        let path = &difference.path;
        let before = self.know(path, now);
        if before == now {
            return None;
        }
        let kind = match (before, now) {
            (_, None) => ChangeKind::Deleted,
            (None, Some(_)) => ChangeKind::Created,
            (Some(_), Some(_)) => ChangeKind::Modified,
        };
        Some(line::file_sync(&FileChange {
            kind,
            path: path.clone(),
            now,
            before: before.map(|state| state.hash),
            storage_path: None,
            turn,
            tool_call: tool.map(str::to_owned),
        }))
    }

    /// From here on this is what both sides have; comes back with what it was. Folders are never told.
    pub(super) fn know(&mut self, path: &RelPath, now: Option<FileState>) -> Option<FileState> {
        self.failed.remove(path.as_str());
        match now.filter(|now| now.mode != Mode::Directory) {
            Some(state) => self.known.insert(path.clone(), state),
            None => self.known.remove(path),
        }
    }

    /// What both sides have at this path.
    pub(super) fn known(&self, path: &RelPath) -> Option<FileState> {
        self.known.get(path).copied()
    }

    /// What stands there now.
    pub(super) async fn look_at(&self, path: RelPath) -> Local {
        let eyes = self.eyes();
        ground::blocking(move || eyes.at(&path))
            .await
            .expect("a look does not panic")
    }

    pub(super) fn eyes(&self) -> Eyes {
        Eyes {
            root: self.root.clone(),
            rules: Arc::clone(&self.rules),
            cache: Arc::clone(&self.cache),
            limits: self.limits,
        }
    }

    /// Copies what has changed, hashing what is copied. `Ok(None)`: a delete, or gone since the scan.
    async fn stage(
        &mut self,
        piece: &[Difference],
    ) -> Vec<(Difference, Result<Option<Copy>, String>)> {
        let first = self.copies;
        self.copies += piece.len() as u64;
        let (root, stage, piece) = (self.root.clone(), self.stage.clone(), piece.to_vec());
        let copied = ground::blocking(move || {
            let copied = piece.into_iter().zip(first..).map(|(difference, number)| {
                let copy = difference.now.map(|state| {
                    let into = stage.join(format!("file-{number}"));
                    copy(&difference.path.below(&root), state.mode, into)
                });
                let copy = match copy {
                    None => Ok(None),
                    Some(Ok(copy)) => Ok(Some(copy)),
                    Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                    Some(Err(error)) => Err(format!("cannot be read: {error}")),
                };
                (difference, copy)
            });
            copied.collect()
        });
        copied.await.unwrap_or_default()
    }

    /// Stores what the endpoint lacks, for as long as it takes. Comes back with what it will never take.
    async fn store(
        &self,
        staged: &[(Difference, Result<Option<Copy>, String>)],
    ) -> BTreeMap<ContentHash, String> {
        let copies: BTreeMap<ContentHash, &Copy> = staged
            .iter()
            .filter_map(|(_, copy)| copy.as_ref().ok()?.as_ref())
            .map(|copy| (copy.state.hash, copy))
            .collect();
        let hashes: Vec<ContentHash> = copies.keys().copied().collect();
        let mut missing = Vec::new();
        for asked in hashes.chunks(ASKED) {
            let answer = persist(|| self.blobs.missing(asked)).await;
            // An endpoint that cannot say gets everything.
            missing.extend(answer.unwrap_or_else(|_| asked.to_vec()));
        }
        let mut puts = Vec::new();
        for copy in missing.iter().filter_map(|hash| copies.get(hash)) {
            puts.push(put(Arc::clone(&self.blobs), copy.state, copy.at.clone()));
        }
        let mut puts = futures::stream::iter(puts).buffer_unordered(UPLOADS);
        let mut refused = BTreeMap::new();
        while let Some(put) = puts.next().await {
            refused.extend(put);
        }
        refused
    }
}

/// Why it cannot be stored, if it never can.
async fn put(
    blobs: Arc<dyn Blobs>,
    state: FileState,
    at: PathBuf,
) -> Option<(ContentHash, String)> {
    let put = persist(|| blobs.put(state.hash, state.size, &at)).await;
    put.err()
        .map(|error| (state.hash, format!("cannot be stored: {error}")))
}

/// Tries until the answer is final.
async fn persist<T, F: Future<Output = Result<T, blobs::Error>>>(
    attempt: impl Fn() -> F,
) -> Result<T, blobs::Error> {
    let mut wait = FIRST_RETRY;
    loop {
        match attempt().await {
            Err(blobs::Error::Unreachable(_)) => {
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(LAST_RETRY);
            }
            answer => return answer,
        }
    }
}

/// A staged content; its file goes with it.
#[derive(Debug)]
struct Copy {
    at: PathBuf,
    state: FileState,
}

impl Drop for Copy {
    fn drop(&mut self) {
        drop(ground::remove_file(&self.at));
    }
}

fn copy(from: &Path, mode: Mode, into: PathBuf) -> io::Result<Copy> {
    let mut to = ground::create(&into)?;
    let mut copy = Copy {
        at: into,
        state: FileState {
            hash: ContentHash::of(b""),
            size: 0,
            mode,
        },
    };
    let mut hasher = Hasher::default();
    let mut keep = |bytes: &[u8]| {
        hasher.update(bytes);
        copy.state.size += bytes.len() as u64;
        to.write_all(bytes)
    };
    if mode == Mode::Symlink {
        keep(ground::target(from)?.as_os_str().as_bytes())?;
    } else {
        let mut file = ground::open(from)?;
        let mut piece = vec![0; 64 * 1024];
        loop {
            match file.read(&mut piece)? {
                0 => break,
                read => keep(&piece[..read])?,
            }
        }
    }
    copy.state.hash = hasher.finish();
    Ok(copy)
}

/// Looks at the workspace. Blocking.
pub(super) struct Eyes {
    root: PathBuf,
    rules: Arc<Rules>,
    cache: Arc<Cache>,
    limits: Limits,
}

impl Eyes {
    fn at(&self, path: &RelPath) -> Local {
        scan::look(&self.root, path, &self.rules, self.limits, &self.cache)
    }

    fn is_gone(&self, path: &RelPath) -> bool {
        matches!(self.at(path), Local::Absent | Local::Directory)
    }

    fn all(
        &self,
        known: &BTreeMap<RelPath, FileState>,
    ) -> Result<(Vec<Difference>, Tree), scan::Error> {
        let tree = scan::scan(&self.root, &self.rules, self.limits, &self.cache)?;
        Ok((differences(known, &tree, |path| self.is_gone(path)), tree))
    }

    /// Only there, and at what is known below.
    pub(super) fn named(
        &self,
        known: &BTreeMap<RelPath, FileState>,
        paths: BTreeSet<RelPath>,
    ) -> (Vec<Difference>, Tree) {
        let mut concerned = BTreeMap::new();
        for path in &paths {
            concerned.extend(known.get_key_value(path));
            concerned.extend(below(known, path));
        }
        let concerned: BTreeMap<RelPath, FileState> = concerned
            .into_iter()
            .map(|(path, state)| (path.clone(), *state))
            .collect();
        let mut tree = Tree::default();
        for path in paths.iter().chain(concerned.keys()) {
            match self.at(path) {
                Local::File(state) => {
                    tree.files.insert(path.clone(), state);
                }
                Local::Obstacle(why) => tree.problems.push(Problem {
                    path: path.to_string(),
                    why,
                }),
                Local::Absent | Local::Directory | Local::Ignored(_) => (),
            }
        }
        let differences = differences(&concerned, &tree, |path| self.is_gone(path));
        (differences, tree)
    }
}

/// What is told against what is there. A delete stands first when a file takes the place of its folder or the other
/// way round, else last, so that a rename never leaves a moment with neither.
fn differences(
    known: &BTreeMap<RelPath, FileState>,
    tree: &Tree,
    is_gone: impl Fn(&RelPath) -> bool,
) -> Vec<Difference> {
    let mut first = Vec::new();
    let mut last = Vec::new();
    for (path, before) in known {
        if !tree.files.contains_key(path) && is_gone(path) {
            let in_the_way =
                below(&tree.files, path).next().is_some() || is_below_one(path, &tree.files);
            let difference = Difference {
                path: path.clone(),
                now: None,
                before: Some(*before),
            };
            if in_the_way {
                first.push(difference);
            } else {
                last.push(difference);
            }
        }
    }
    let changed = tree.files.iter().filter_map(|(path, now)| {
        let before = known.get(path).copied();
        (before != Some(*now)).then(|| Difference {
            path: path.clone(),
            now: Some(*now),
            before,
        })
    });
    first.extend(changed);
    first.extend(last);
    first
}

/// Everything inside this folder.
fn below<'f>(
    files: &'f BTreeMap<RelPath, FileState>,
    folder: &RelPath,
) -> impl Iterator<Item = (&'f RelPath, &'f FileState)> {
    let (start, folder) = (folder.clone(), folder.as_str().to_owned());
    let rest = move |path: &RelPath| path.as_str().strip_prefix(&folder).map(str::to_owned);
    let after = (Bound::Excluded(start), Bound::Unbounded);
    files
        .range(after)
        .map_while(move |(path, state)| Some((rest(path)?, path, state)))
        .filter(|(rest, ..)| rest.starts_with('/'))
        .map(|(_, path, state)| (path, state))
}

fn is_below_one(path: &RelPath, files: &BTreeMap<RelPath, FileState>) -> bool {
    let mut above = path.parent();
    while let Some(folder) = above {
        if files.contains_key(&folder) {
            return true;
        }
        above = folder.parent();
    }
    false
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "tests make their files in a folder of their own"
)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::sync::Mutex;

    use super::*;
    use crate::agent::wishes::queue;
    use crate::mirror::blobs::Wanted;

    /// Blobs in memory; refuses one hash, is unreachable a few times.
    #[derive(Default)]
    struct Memory {
        held: Mutex<BTreeMap<ContentHash, Vec<u8>>>,
        refuses: Option<ContentHash>,
        cuts: Mutex<u32>,
    }

    #[async_trait::async_trait]
    impl Blobs for Memory {
        async fn get(&self, want: &Wanted, _: &Path) -> Result<(), blobs::Error> {
            Err(blobs::Error::Gone(want.hash))
        }

        async fn put(&self, hash: ContentHash, size: u64, from: &Path) -> Result<(), blobs::Error> {
            let left = {
                let mut cuts = self.cuts.lock().unwrap();
                *cuts = cuts.saturating_sub(1);
                *cuts
            };
            if left > 0 {
                return Err(blobs::Error::Unreachable("cut".into()));
            }
            if self.refuses == Some(hash) {
                return Err(blobs::Error::Refused("too large".into()));
            }
            let bytes = std::fs::read(from).unwrap();
            assert_eq!((ContentHash::of(&bytes), bytes.len() as u64), (hash, size));
            self.held.lock().unwrap().insert(hash, bytes);
            Ok(())
        }

        async fn missing(&self, hashes: &[ContentHash]) -> Result<Vec<ContentHash>, blobs::Error> {
            let held = self.held.lock().unwrap();
            Ok(hashes
                .iter()
                .filter(|hash| !held.contains_key(hash))
                .copied()
                .collect())
        }
    }

    struct Place {
        folder: tempfile::TempDir,
        blobs: Arc<Memory>,
        files: Files,
    }

    fn place(blobs: Memory) -> Place {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("work")).unwrap();
        std::fs::create_dir(folder.path().join("stage")).unwrap();
        let blobs = Arc::new(blobs);
        let files = Files::new(
            &folder.path().join("work"),
            folder.path().join("stage"),
            BTreeMap::new(),
            blobs.clone(),
        );
        Place {
            files: files.unwrap(),
            blobs,
            folder,
        }
    }

    impl Place {
        fn at(&self, path: &str) -> PathBuf {
            let at = self.folder.path().join("work").join(path);
            std::fs::create_dir_all(at.parent().unwrap()).unwrap();
            at
        }

        fn write(&self, path: &str, text: &str) {
            std::fs::write(self.at(path), text).unwrap();
        }

        /// `kind path mode` of each line, `!` for a failure.
        async fn told(&mut self) -> Vec<String> {
            self.told_at(Places::All).await
        }

        async fn told_of(&mut self, paths: &[&str]) -> Vec<String> {
            let paths = paths.iter().map(|path| path.parse().unwrap());
            self.told_at(Places::Named(paths.collect())).await
        }

        async fn told_at(&mut self, places: Places) -> Vec<String> {
            let lines = self.files.look(places, Some(3), Some("t1")).await;
            let word = |line: &Value| {
                let params = &line["params"];
                let text = |key: &str| params[key].as_str().unwrap_or("-").to_owned();
                match line["method"].as_str() {
                    Some("_posthog/file_sync") => {
                        assert_eq!(
                            (&params["turn"], &params["toolCallId"]),
                            (&3.into(), &"t1".into())
                        );
                        format!(
                            "{} {} {}",
                            text("type").replace("file_", ""),
                            text("relativePath"),
                            text("mode")
                        )
                    }
                    _ => format!("! {}", text("relativePath")),
                }
            };
            lines.iter().map(word).collect()
        }
    }

    #[tokio::test]
    async fn every_kind_of_change_is_told_once_and_its_bytes_are_stored() {
        let mut place = place(Memory::default());
        place.write("a.txt", "one");
        place.write("sub/run.sh", "#!/bin/sh\n");
        std::fs::set_permissions(
            place.at("sub/run.sh"),
            std::fs::Permissions::from_mode(0o755),
        )
        .unwrap();
        symlink("a.txt", place.at("link")).unwrap();
        place.write("bin", "\0\u{1}");
        place.write("empty", "");
        let expected = [
            "created a.txt 100644",
            "created bin 100644",
            "created empty 100644",
            "created link 120000",
            "created sub/run.sh 100755",
        ];
        assert_eq!(place.told().await, expected);
        assert_eq!(
            place.blobs.held.lock().unwrap()[&ContentHash::of(b"a.txt")],
            b"a.txt"
        );
        assert_eq!(place.told().await, Vec::<String>::new());

        place.write("a.txt", "two");
        std::fs::rename(place.at("bin"), place.at("moved")).unwrap();
        std::fs::set_permissions(
            place.at("sub/run.sh"),
            std::fs::Permissions::from_mode(0o644),
        )
        .unwrap();
        let expected = [
            "modified a.txt 100644",
            "created moved 100644",
            "modified sub/run.sh 100644",
            "deleted bin -",
        ];
        assert_eq!(place.told().await, expected);
        let staged = std::fs::read_dir(place.folder.path().join("stage"))
            .unwrap()
            .count();
        assert_eq!(staged, 0, "copies are gone once stored");
    }

    #[tokio::test]
    async fn a_folder_in_the_place_of_a_file_is_told_after_the_delete() {
        let mut place = place(Memory::default());
        place.write("x", "file");
        place.write("y/deep", "file");
        place.told().await;
        std::fs::remove_file(place.at("x")).unwrap();
        std::fs::remove_dir_all(place.folder.path().join("work/y")).unwrap();
        place.write("x/inner", "now a folder");
        place.write("y", "now a file");
        let expected = [
            "deleted x -",
            "deleted y/deep -",
            "created x/inner 100644",
            "created y 100644",
        ];
        assert_eq!(place.told().await, expected);
    }

    #[tokio::test]
    async fn what_is_too_large_is_named_until_the_limit_is_raised() {
        let mut place = place(Memory::default());
        let small = Limits {
            file: 4,
            ..Limits::default()
        };
        place.write("large", "12345");
        let (root, stage) = (
            place.folder.path().join("work"),
            place.folder.path().join("stage"),
        );
        let files = |limits| {
            let files = Files::new(&root, stage.clone(), BTreeMap::new(), place.blobs.clone());
            files.unwrap().with_limits(limits)
        };
        let (before, after) = (files(small), files(Limits { file: 5, ..small }));
        place.files = before;
        assert_eq!(place.told().await, ["! large"]);
        place.files = after;
        assert_eq!(place.told().await, ["created large 100644"]);
    }

    #[tokio::test]
    async fn what_is_ignored_is_never_told_but_what_came_with_the_seed_is() {
        let mut place = place(Memory::default());
        place.write(".gitignore", "*.log\n.env\ntarget/\n");
        place.write("a.log", "x");
        place.write(".git/config", "x");
        place.write("target/x", "x");
        assert_eq!(place.told().await, ["created .gitignore 100644"]);

        let known = BTreeMap::from([(
            ".env".parse().unwrap(),
            FileState {
                hash: ContentHash::of(b"old"),
                size: 3,
                mode: Mode::File,
            },
        )]);
        place.write(".env", "new");
        let root = place.folder.path().join("work");
        let stage = place.folder.path().join("stage");
        place.files = Files::new(&root, stage, known, place.blobs.clone()).unwrap();
        assert_eq!(
            place.told().await,
            ["modified .env 100644", "created .gitignore 100644"]
        );
        // Ignored later: it is still there, so it is not told as deleted.
        place.write(".gitignore", "*\n");
        assert_eq!(place.told().await, Vec::<String>::new());
    }

    #[tokio::test(start_paused = true)]
    async fn a_cut_link_only_delays_and_a_refused_blob_is_told_as_failed_once() {
        let refused = ContentHash::of(b"bad");
        let mut place = place(Memory {
            refuses: Some(refused),
            cuts: Mutex::new(4),
            ..Memory::default()
        });
        place.write("bad", "bad");
        place.write("good", "good");
        let told = place.told().await;
        assert_eq!(told, ["! bad", "created good 100644"]);
        assert_eq!(place.told().await, Vec::<String>::new());
    }

    #[tokio::test]
    async fn only_what_is_named_is_looked_at_and_what_is_known_below_it() {
        let mut place = place(Memory::default());
        place.write("a", "x");
        place.write("d/one", "x");
        place.write("d/two", "x");
        place.told().await;
        place.write("a", "unnamed");
        place.write("d/two", "changed");
        std::fs::remove_file(place.at("d/one")).unwrap();
        let told = place.told_of(&["d"]).await;
        assert_eq!(told, ["modified d/two 100644", "deleted d/one -"]);
        std::fs::remove_dir_all(place.folder.path().join("work/d")).unwrap();
        place.write("d", "now a file");
        let told = place.told_of(&["d", "never"]).await;
        assert_eq!(told, ["deleted d/two -", "created d 100644"]);
        assert_eq!(place.told().await, ["modified a 100644"]);
    }

    #[tokio::test]
    async fn every_mark_is_answered_after_the_lines() {
        let place = place(Memory::default());
        place.write("a", "x");
        let (wisher, wishes) = queue();
        let (tell, mut told) = mpsc::channel(8);
        wisher.look(Look {
            places: Places::All,
            turn: Some(1),
            tool_calls: BTreeSet::new(),
            marks: vec![7],
        });
        drop(wisher);
        place.files.run(wishes, tell).await;
        let Some(Told::Line(line)) = told.recv().await else {
            panic!("the change comes first");
        };
        assert_eq!(line["params"]["turn"], 1);
        assert_eq!(told.recv().await, Some(Told::Scanned(7)));
    }
}
