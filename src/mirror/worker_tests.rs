//! The worker against a real directory and contents in memory: what stands there afterwards, and what it said.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::mirror::base::{Base, Fact, Origin, Written};
use crate::mirror::blobs::{Blobs, Error, Wanted};
use crate::mirror::control::{self, Answer, Keep, Request};
use crate::mirror::disk::state_of;
use crate::mirror::lock::{self, Stay};
use crate::mirror::preview::{Preview, Scope};
use crate::mirror::scan::Limits;
use crate::mirror::show::{Shown, Weight};
use crate::mirror::status::{FileReport, MirrorState, MirrorStatus, Outcome, Way};
use crate::mirror::versions::Versions;
use crate::mirror::worker::{self, Order, Report, Resume, Setup, ask_or_act, start};
use crate::protocol::command::Command;
use crate::protocol::file::{ChangeKind, FileChange, FileManifest, Mode};
use crate::protocol::hash::ContentHash;
use crate::protocol::ids::{RunId, Seq};
use crate::protocol::path::RelPath;

fn undo_of(path: RelPath) -> Request {
    let scope = Scope::File { path };
    Request::Undo { scope, seen: None }
}

pub(super) fn undo_order(path: &str) -> Order {
    let path = path.parse().unwrap();
    let scope = Scope::File { path };
    Order::Undo { scope, seen: None }
}

const LONG: Duration = Duration::from_secs(60);

/// Contents in memory, with faults to order.
#[derive(Default)]
pub(super) struct Memory {
    pub(super) contents: Mutex<HashMap<ContentHash, Vec<u8>>>,
    pub(super) gets: AtomicUsize,
    pub(super) puts: AtomicUsize,
    /// Nothing goes up.
    pub(super) away: AtomicBool,
    pub(super) out_of_reach: AtomicUsize,
    pub(super) gate: Option<Semaphore>,
    /// It knows packs.
    pub(super) packs: bool,
}

#[async_trait::async_trait]
impl Blobs for Memory {
    #[expect(clippy::disallowed_methods, reason = "the stand-in for a download")]
    async fn get(&self, want: &Wanted, into: &Path) -> Result<(), Error> {
        if let Some(gate) = &self.gate {
            gate.acquire().await.unwrap().forget();
        }
        self.gets.fetch_add(1, Ordering::SeqCst);
        let down = |left: usize| left.checked_sub(1);
        if self
            .out_of_reach
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, down)
            .is_ok()
        {
            return Err(Error::Unreachable("cut".to_owned()));
        }
        let contents = self.contents.lock().unwrap();
        let bytes = contents.get(&want.hash).ok_or(Error::Gone(want.hash))?;
        std::fs::write(into, bytes).unwrap();
        Ok(())
    }

    async fn put(&self, hash: ContentHash, size: u64, from: &Path) -> Result<(), Error> {
        if self.away.load(Ordering::SeqCst) {
            return Err(Error::Unreachable("cut".to_owned()));
        }
        let bytes = std::fs::read(from).unwrap();
        assert_eq!((ContentHash::of(&bytes), bytes.len() as u64), (hash, size));
        self.puts.fetch_add(1, Ordering::SeqCst);
        self.contents.lock().unwrap().insert(hash, bytes);
        Ok(())
    }

    async fn missing(&self, hashes: &[ContentHash]) -> Result<Vec<ContentHash>, Error> {
        if self.away.load(Ordering::SeqCst) {
            return Err(Error::Unreachable("cut".to_owned()));
        }
        let contents = self.contents.lock().unwrap();
        let lacks = |hash: &&ContentHash| !contents.contains_key(hash);
        Ok(hashes.iter().filter(lacks).copied().collect())
    }

    async fn pack(&self, hashes: &[ContentHash]) -> Result<Vec<(ContentHash, Vec<u8>)>, Error> {
        let contents = self.contents.lock().unwrap();
        let there = |hash: &ContentHash| Some((*hash, contents.get(hash)?.clone()));
        let packed = hashes.iter().filter(|_| self.packs).filter_map(there);
        Ok(packed.collect())
    }
}

/// A directory, a run, and everything kept of it.
pub(super) struct World {
    dir: tempfile::TempDir,
    pub(super) run: RunId,
    pub(super) blobs: Arc<Memory>,
}

#[expect(clippy::disallowed_methods, reason = "the user's own edits")]
impl World {
    pub(super) fn new(files: &[(&str, &str)]) -> Self {
        Self::with(files, Memory::default())
    }

    pub(super) fn with(files: &[(&str, &str)], blobs: Memory) -> Self {
        let world = Self {
            dir: tempfile::tempdir().unwrap(),
            run: "7d0c2f9e-3b1a-4c58-9f6e-5a2b8c1d4e70".parse().unwrap(),
            blobs: Arc::new(blobs),
        };
        std::fs::create_dir(world.root()).unwrap();
        files.iter().for_each(|(name, text)| world.edit(name, text));
        world
    }

    pub(super) fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    pub(super) fn mirrors(&self) -> PathBuf {
        self.dir.path().join("state/mirrors")
    }

    pub(super) fn edit(&self, name: &str, text: &str) {
        let at = self.root().join(name);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        std::fs::write(at, text).unwrap();
    }

    pub(super) fn read(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.root().join(name)).ok()
    }

    pub(super) fn setup(&self) -> Setup {
        Setup {
            root: self.root(),
            run: self.run.clone(),
            run_folder: self.dir.path().join("state/run"),
            mirrors: self.mirrors(),
            ignore: Vec::new(),
            include: Vec::new(),
            limits: Limits {
                file: 1000,
                ..Limits::default()
            },
            blobs: Some(Arc::clone(&self.blobs) as Arc<dyn Blobs>),
            seeded_here: true,
        }
    }

    pub(super) fn content(&self, text: &str) -> ContentHash {
        let hash = ContentHash::of(text.as_bytes());
        self.blobs
            .contents
            .lock()
            .unwrap()
            .insert(hash, text.as_bytes().to_vec());
        hash
    }

    /// A `file_sync` of theirs, its content stored.
    pub(super) fn change(&self, seq: u64, path: &str, text: Option<&str>) -> Order {
        Order::Remote {
            seq: Seq(seq),
            change: FileChange {
                kind: if text.is_some() {
                    ChangeKind::Modified
                } else {
                    ChangeKind::Deleted
                },
                path: path.parse().unwrap(),
                now: text.map(|text| {
                    self.content(text);
                    state_of(text.as_bytes(), Mode::File)
                }),
                before: None,
                storage_path: None,
                turn: Some(1),
                tool_call: None,
            },
        }
    }

    /// What a command of another process does.
    pub(super) async fn ask(&self, request: Request) -> Answer {
        control::ask(&self.mirrors(), &self.run, &request)
            .await
            .expect("the holder answers")
    }

    /// Until nothing of ours stands in the directory: the last who has it clears it away.
    pub(super) async fn is_tidied(&self) {
        let ours = self.root().join(".ashore");
        let gone = async {
            while ours.exists() {
                tokio::task::yield_now().await;
            }
        };
        let gone = tokio::time::timeout(LONG, gone).await;
        assert!(gone.is_ok(), "our folder is still there");
    }

    pub(super) async fn live(&self) -> Live {
        self.live_as(self.setup()).await
    }

    pub(super) async fn live_as(&self, setup: Setup) -> Live {
        let mut tasks = JoinSet::new();
        let (orders, reports) = start(setup, &mut tasks).await.unwrap();
        Live {
            orders,
            reports,
            tasks,
            files: Vec::new(),
            notes: Vec::new(),
            edits: Vec::new(),
            flushed: 0,
            previews: Vec::new(),
            shown: None,
            versions: None,
            weighed: Vec::new(),
            status: MirrorStatus::default(),
        }
    }

    /// Lives on the seed: the first base is what stands here now.
    pub(super) async fn seeded(&self, files: &[(&str, &str)]) -> Live {
        let live = self.live().await;
        live.order(Order::Baseline(manifest(files))).await;
        live
    }
}

pub(super) fn manifest(files: &[(&str, &str)]) -> FileManifest {
    let files: BTreeMap<_, _> = files
        .iter()
        .map(|(path, text)| {
            (
                (*path).to_owned(),
                state_of(text.as_bytes(), Mode::File).into(),
            )
        })
        .collect();
    FileManifest {
        version: 1,
        base_commit: None,
        updated_at: String::new(),
        files,
        deleted_files: Vec::new(),
        bundle: None,
        head: None,
        branch: None,
        remotes: BTreeMap::new(),
    }
}

/// Names of so many files in one folder.
fn many(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("d/f{n}")).collect()
}

fn alike(names: &[String]) -> Vec<(&str, &str)> {
    names.iter().map(|name| (name.as_str(), "x")).collect()
}

pub(super) struct Live {
    orders: mpsc::Sender<Order>,
    reports: mpsc::Receiver<Report>,
    tasks: JoinSet<()>,
    pub(super) files: Vec<FileReport>,
    pub(super) notes: Vec<String>,
    pub(super) edits: Vec<Command>,
    pub(super) flushed: u64,
    pub(super) previews: Vec<Preview>,
    pub(super) shown: Option<Shown>,
    pub(super) versions: Option<Versions>,
    pub(super) weighed: Vec<(RelPath, Option<Weight>)>,
    pub(super) status: MirrorStatus,
}

impl Live {
    pub(super) async fn order(&self, order: Order) {
        self.orders.send(order).await.unwrap();
    }

    pub(super) async fn until(&mut self, what: impl Fn(&Self) -> bool) {
        let wait = async {
            while !what(self) {
                match self.reports.recv().await.expect("the worker lives") {
                    Report::File(file) => self.files.push(file),
                    Report::Note(note) => self.notes.push(note),
                    Report::Status(status) => self.status = status,
                    Report::Edits(command) => self.edits.push(command),
                    Report::Flushed(token) => self.flushed = token,
                    Report::Preview(preview) => self.previews.push(*preview),
                    Report::Shown(shown) => self.shown = Some(*shown),
                    Report::Versions(versions) => self.versions = Some(*versions),
                    Report::Weighed(weighed) => self.weighed.extend(weighed),
                    Report::SeedWanted => self.notes.push("the seed is wanted".to_owned()),
                }
            }
        };
        let result = tokio::time::timeout(LONG, wait).await;
        assert!(
            result.is_ok(),
            "never came: {:?} {:?} {:?}",
            self.files,
            self.notes,
            self.status
        );
    }

    pub(super) async fn settled(&mut self, seq: u64) {
        self.until(|live| live.status.settled >= Seq(seq)).await;
    }

    pub(super) async fn state(&mut self, state: MirrorState) {
        self.until(|live| live.status.state == state).await;
    }

    /// Halted, and that many changes wait and are written down.
    async fn halted_before(&mut self, down: u64) {
        self.until(|live| live.status.state == MirrorState::Halted && live.status.down == down)
            .await;
    }

    pub(super) fn results(&self) -> Vec<(&str, Outcome)> {
        self.files
            .iter()
            .map(|file| (file.path.as_str(), file.result))
            .collect()
    }

    pub(super) fn has_settled_all(&self) {
        let settled = |file: &FileReport| file.result == Outcome::Settled;
        assert!(self.files.iter().all(settled), "{:?}", self.files);
    }

    /// As a kill would: nothing is finished, nothing is said.
    pub(super) async fn killed(mut self) {
        self.tasks.shutdown().await;
    }
}

#[tokio::test]
async fn remote_changes_land_and_everything_settles() {
    let world = World::new(&[("a", "a"), ("gone", "x")]);
    let mut live = world.seeded(&[("a", "a"), ("gone", "x")]).await;
    for order in [
        world.change(3, "a", Some("a2")),
        world.change(4, "d/new", Some("new")),
        world.change(5, "gone", None),
        world.change(6, "d/empty", Some("")),
        Order::Reached(Seq(9)),
    ] {
        live.order(order).await;
    }
    live.settled(9).await;
    live.state(MirrorState::Live).await;
    assert_eq!(world.read("a").as_deref(), Some("a2"));
    assert_eq!(world.read("d/new").as_deref(), Some("new"));
    assert_eq!(world.read("d/empty").as_deref(), Some(""));
    assert_eq!(world.read("gone"), None);
    assert_eq!(live.files.len(), 4);
    live.has_settled_all();
    assert_eq!((live.status.up, live.status.down), (0, 0));
    assert!(live.status.checked_at.is_some());
}

#[tokio::test]
async fn a_thousand_edits_of_one_file_are_one_download_and_a_report_each() {
    let world = World::new(&[]);
    let mut live = world.seeded(&[]).await;
    live.order(Order::Pause).await;
    for n in 1..=1000 {
        live.order(world.change(n, "a", Some(&n.to_string()))).await;
    }
    live.order(Order::Resume(Resume::Plain)).await;
    live.settled(1000).await;
    assert_eq!(world.read("a").as_deref(), Some("1000"));
    assert_eq!(world.blobs.gets.load(Ordering::SeqCst), 1);
    assert_eq!(live.files.len(), 1000);
}

#[tokio::test]
async fn a_file_edited_here_is_a_conflict_that_keeps_both_and_holds_only_the_newest_of_theirs() {
    let world = World::new(&[("a.rs", "base")]);
    let mut live = world.seeded(&[("a.rs", "base")]).await;
    live.state(MirrorState::Live).await;
    world.edit("a.rs", "mine");
    live.order(world.change(7, "a.rs", Some("theirs"))).await;
    live.state(MirrorState::Conflict).await;
    assert_eq!(world.read("a.rs").as_deref(), Some("mine"));
    assert_eq!(
        world.read("a.rs.remote-7d0c2f9e-7").as_deref(),
        Some("theirs")
    );
    assert_eq!(
        live.status.conflicts[0].theirs.as_deref(),
        Some("a.rs.remote-7d0c2f9e-7")
    );
    assert_eq!(live.results(), [("a.rs", Outcome::Conflict)]);

    live.order(world.change(8, "a.rs", Some("theirs, newer")))
        .await;
    live.settled(8).await;
    assert_eq!(world.read("a.rs.remote-7d0c2f9e-7"), None);
    assert_eq!(
        world.read("a.rs.remote-7d0c2f9e-8").as_deref(),
        Some("theirs, newer")
    );
    let older = world
        .dir
        .path()
        .join("state/run/pre-images")
        .join(ContentHash::of(b"theirs").to_string());
    assert!(older.exists(), "the older copy became a pre-image");

    world.edit("a.rs", "theirs, newer");
    live.state(MirrorState::Live).await;
    live.order(world.change(9, "a.rs", Some("and on"))).await;
    live.settled(9).await;
    assert_eq!(world.read("a.rs").as_deref(), Some("and on"));
    live.until(|live| live.status.conflicts.is_empty()).await;
}

#[tokio::test]
async fn a_file_deleted_here_and_changed_there_is_a_conflict_and_the_other_way_round() {
    let world = World::new(&[("a", "base"), ("b", "base"), ("c", "c")]);
    let mut live = world
        .seeded(&[("a", "base"), ("b", "base"), ("c", "c")])
        .await;
    live.state(MirrorState::Live).await;
    std::fs::remove_file(world.root().join("a")).unwrap();
    world.edit("b", "mine");
    live.order(world.change(2, "a", Some("theirs"))).await;
    live.order(world.change(3, "b", None)).await;
    live.settled(3).await;
    live.until(|live| live.status.conflicts.len() == 2).await;
    assert_eq!(world.read("a"), None);
    assert_eq!(world.read("a.remote-7d0c2f9e-2").as_deref(), Some("theirs"));
    assert_eq!(world.read("b").as_deref(), Some("mine"));
    assert_eq!(live.status.conflicts[1].theirs, None);
}

#[tokio::test]
async fn a_file_made_on_both_sides_and_deleted_there_is_ours_again() {
    let world = World::new(&[]);
    let mut live = world.seeded(&[]).await;
    live.order(Order::Direct(Way::Down)).await;
    world.edit("a", "mine");
    live.order(world.change(2, "a", Some("theirs"))).await;
    live.until(|live| live.status.conflicts.len() == 1).await;
    live.order(world.change(3, "a", None)).await;
    live.settled(3).await;
    live.until(|live| live.status.conflicts.is_empty()).await;
    assert_eq!(world.read("a").as_deref(), Some("mine"));
    assert_eq!(world.read("a.remote-7d0c2f9e-2"), None);
}

#[tokio::test]
async fn a_file_changed_there_below_what_is_a_file_here_is_a_conflict_without_a_copy() {
    let world = World::new(&[("d/x", "base")]);
    let mut live = world.seeded(&[("d/x", "base")]).await;
    live.order(Order::Direct(Way::Down)).await;
    live.state(MirrorState::Live).await;
    std::fs::remove_dir_all(world.root().join("d")).unwrap();
    world.edit("d", "mine");
    live.order(world.change(2, "d/x", Some("theirs"))).await;
    live.settled(2).await;
    live.until(|live| live.status.conflicts.len() == 1).await;
    assert_eq!(live.status.conflicts[0].path, "d/x");
    assert_eq!(live.status.conflicts[0].theirs, None);
    // One that is new there as well.
    live.order(world.change(3, "d/y", Some("theirs"))).await;
    live.until(|live| live.status.conflicts.len() == 2).await;
    assert_eq!(world.read("d").as_deref(), Some("mine"));
}

#[tokio::test]
async fn an_edit_here_that_theirs_does_not_touch_stays_and_is_counted() {
    let world = World::new(&[("a", "base")]);
    let mut live = world.seeded(&[("a", "base")]).await;
    live.order(Order::Direct(Way::Down)).await;
    live.state(MirrorState::Live).await;
    world.edit("a", "mine");
    world.edit("new", "mine too");
    live.until(|live| live.status.up == 2).await;
    live.order(world.change(2, "a", Some("base"))).await;
    live.settled(2).await;
    assert_eq!(world.read("a").as_deref(), Some("mine"));
    assert!(live.status.conflicts.is_empty());
    world.edit("a", "base");
    live.until(|live| live.status.up == 1).await;
}

#[tokio::test]
async fn hostile_changes_write_nothing_and_each_yields_one_line() {
    let world = World::new(&[("mine", "mine"), (".gitignore", "secret\n")]);
    let outside = world.dir.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::os::unix::fs::symlink(&outside, world.root().join("link")).unwrap();
    let mut live = world.seeded(&[]).await;
    let evil = ContentHash::of(b"evil");
    world
        .blobs
        .contents
        .lock()
        .unwrap()
        .insert(evil, b"not what was said".to_vec());
    let mut forged = world.change(4, "forged", Some("evil"));
    world
        .blobs
        .contents
        .lock()
        .unwrap()
        .insert(evil, b"not what was said".to_vec());
    if let Order::Remote { change, .. } = &mut forged {
        change.now = Some(state_of(b"evil", Mode::File));
    }
    let mut far = world.change(5, "far", Some("/etc/passwd"));
    if let Order::Remote { change, .. } = &mut far {
        change.now = Some(state_of(b"/etc/passwd", Mode::Symlink));
    }
    for order in [
        world.change(1, "mine", None),
        world.change(2, "link/evil", Some("evil 2")),
        world.change(3, "secret", Some("ignored")),
        forged,
        far,
        world.change(6, "big", Some(&"x".repeat(1001))),
    ] {
        live.order(order).await;
    }
    live.settled(6).await;
    let mut results = live.results();
    results.sort_unstable_by_key(|(path, _)| path.to_owned());
    assert_eq!(
        results,
        [
            ("big", Outcome::Skipped),
            ("far", Outcome::Skipped),
            ("forged", Outcome::Failed),
            ("link/evil", Outcome::Skipped),
            ("mine", Outcome::Skipped),
            ("secret", Outcome::Skipped),
        ]
    );
    assert!(live.files.iter().all(|file| file.reason.is_some()));
    assert_eq!(world.read("mine").as_deref(), Some("mine"));
    assert_eq!(std::fs::read_dir(outside).unwrap().count(), 0);
    for path in ["forged", "far", "big", "secret"] {
        assert!(
            world.root().join(path).symlink_metadata().is_err(),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_content_out_of_reach_is_asked_for_again_and_one_that_is_gone_is_not() {
    let world = World::with(
        &[],
        Memory {
            out_of_reach: AtomicUsize::new(3),
            ..Memory::default()
        },
    );
    let mut live = world.seeded(&[]).await;
    live.order(world.change(1, "a", Some("a"))).await;
    live.settled(1).await;
    assert_eq!(world.read("a").as_deref(), Some("a"));
    assert_eq!(world.blobs.gets.load(Ordering::SeqCst), 4);

    let order = world.change(2, "b", Some("b"));
    world.blobs.contents.lock().unwrap().clear();
    live.order(order).await;
    live.settled(2).await;
    assert_eq!(live.results().last(), Some(&("b", Outcome::Failed)));
    assert_eq!(world.blobs.gets.load(Ordering::SeqCst), 5);
}

#[tokio::test]
async fn a_wave_of_deletes_halts_and_goes_on_only_when_it_is_meant() {
    let names = many(80);
    let files = alike(&names);
    let world = World::new(&files);
    let mut live = world.seeded(&files).await;
    live.state(MirrorState::Live).await;
    for (n, name) in names.iter().take(60).enumerate() {
        live.order(world.change(n as u64 + 1, name, None)).await;
    }
    live.state(MirrorState::Halted).await;
    let standing = |world: &World| {
        names
            .iter()
            .filter(|name| world.read(name).is_some())
            .count()
    };
    assert!(standing(&world) >= 30, "{}", standing(&world));
    assert!(
        live.status
            .reason
            .as_deref()
            .unwrap()
            .contains("--accept-deletes")
    );

    live.order(Order::Resume(Resume::Plain)).await;
    live.until(|live| live.notes.len() > 1).await;
    assert_eq!(live.status.state, MirrorState::Halted);
    live.order(Order::Resume(Resume::AcceptDeletes)).await;
    live.settled(60).await;
    live.state(MirrorState::Live).await;
    assert_eq!(standing(&world), 20);
}

#[tokio::test]
async fn a_wave_that_was_accepted_before_all_of_it_had_come_is_accepted_whole() {
    let names = many(200);
    let files = alike(&names);
    let world = World::new(&files);
    let mut live = world.seeded(&files).await;
    live.order(Order::Pause).await;
    let change = |n: usize| world.change(n as u64 + 1, &names[n], None);
    for n in 0..60 {
        live.order(change(n)).await;
    }
    live.until(|live| live.status.down == 60).await;
    live.order(Order::Resume(Resume::Plain)).await;
    live.halted_before(60).await;
    live.order(Order::Resume(Resume::AcceptDeletes)).await;
    live.settled(60).await;
    live.killed().await;
    let mut live = world.live().await;
    live.order(Order::Pause).await;
    for n in 60..199 {
        live.order(change(n)).await;
    }
    live.until(|live| live.status.down == 139).await;
    live.order(Order::Resume(Resume::Plain)).await;
    live.settled(199).await;
    live.state(MirrorState::Live).await;
    assert!(world.read(&names[199]).is_some());
}

#[tokio::test]
async fn a_wave_of_deletes_that_was_cut_in_two_by_a_kill_is_still_one_wave() {
    let names = many(80);
    let files = alike(&names);
    let world = World::new(&files);
    let mut live = world.seeded(&files).await;
    for n in 0..60 {
        live.order(world.change(n + 1, &names[n as usize], None))
            .await;
        if n == 29 {
            live.settled(30).await;
        }
    }
    live.halted_before(30).await;
    live.killed().await;
    let mut live = world.live().await;
    live.state(MirrorState::Halted).await;
    let reason = live.status.reason.clone().unwrap();
    assert!(reason.starts_with("60 of 80 files"), "{reason}");
    assert!(names[30..].iter().all(|name| world.read(name).is_some()));
}

#[tokio::test]
async fn an_emptied_directory_halts_and_nothing_is_written_into_it() {
    let world = World::new(&[("a", "a"), ("b", "b")]);
    let mut live = world.seeded(&[("a", "a"), ("b", "b")]).await;
    live.state(MirrorState::Live).await;
    std::fs::remove_file(world.root().join("a")).unwrap();
    std::fs::remove_file(world.root().join("b")).unwrap();
    live.state(MirrorState::Halted).await;
    live.order(world.change(1, "c", Some("c"))).await;
    live.until(|live| live.status.down == 1).await;
    assert_eq!(world.read("c"), None);
    live.order(Order::Resume(Resume::Plain)).await;
    live.settled(1).await;
    assert_eq!(world.read("c").as_deref(), Some("c"));
}

#[tokio::test]
async fn another_directory_in_the_place_of_the_mirrored_one_halts() {
    let world = World::new(&[("a", "a")]);
    let mut live = world.seeded(&[("a", "a")]).await;
    live.state(MirrorState::Live).await;
    let moved = world.dir.path().join("moved");
    rustix::fs::rename(world.root(), &moved).unwrap();
    std::fs::create_dir(world.root()).unwrap();
    live.order(world.change(1, "b", Some("b"))).await;
    live.halted_before(1).await;
    assert_eq!(world.read("b"), None);
    assert!(!moved.join("b").exists());
    live.killed().await;

    let mut live = world.live().await;
    live.state(MirrorState::Halted).await;
    live.order(Order::Resume(Resume::Plain)).await;
    live.settled(1).await;
    assert_eq!(world.read("b").as_deref(), Some("b"));
}

#[tokio::test]
async fn a_kill_at_any_step_leaves_the_rest_to_do_and_nothing_twice() {
    for step in 0..6 {
        let world = World::with(
            &[("e", "e")],
            Memory {
                gate: Some(Semaphore::new(step)),
                ..Memory::default()
            },
        );
        let orders = |world: &World| {
            let mut orders: Vec<Order> = (1..=5)
                .map(|n| world.change(n, &format!("f{n}"), Some(&format!("text {n}"))))
                .collect();
            orders.push(world.change(6, "e", None));
            orders
        };
        let mut live = world.seeded(&[("e", "e")]).await;
        for order in orders(&world) {
            live.order(order).await;
        }
        let first = step.min(5);
        live.until(|live| live.files.iter().filter(|file| file.hash.is_some()).count() >= first)
            .await;
        live.killed().await;

        world.blobs.gate.as_ref().unwrap().add_permits(100);
        let before = world.blobs.gets.load(Ordering::SeqCst);
        let mut live = world.seeded(&[("e", "e")]).await;
        // The journal is read again from the start: what was decided stays decided.
        for order in orders(&world) {
            live.order(order).await;
        }
        live.order(Order::Reached(Seq(7))).await;
        live.settled(7).await;
        for n in 1..=5 {
            assert_eq!(
                world.read(&format!("f{n}")),
                Some(format!("text {n}")),
                "killed after {step}"
            );
        }
        assert_eq!(world.read("e"), None);
        assert!(live.status.conflicts.is_empty());
        assert!(
            world.blobs.gets.load(Ordering::SeqCst) - before <= 5 - first,
            "killed after {step}"
        );
        live.killed().await;
        world.is_tidied().await;
    }
}

#[tokio::test]
async fn an_undo_puts_back_what_stood_there_and_can_be_undone() {
    let world = World::new(&[("a", "old")]);
    let mut live = world.seeded(&[("a", "old")]).await;
    live.order(Order::Direct(Way::Down)).await;
    live.order(world.change(1, "a", Some("new"))).await;
    live.order(world.change(2, "b", Some("created"))).await;
    live.settled(2).await;
    for (path, undone, redone) in [
        ("a", Some("old"), Some("new")),
        ("b", None, Some("created")),
    ] {
        for want in [undone, redone, undone] {
            let notes = live.notes.len();
            live.order(undo_order(path)).await;
            live.until(|live| live.notes.len() > notes).await;
            assert_eq!(world.read(path).as_deref(), want, "{:?}", live.notes);
        }
    }
    // An undo is an edit of ours: theirs does not run over it.
    live.until(|live| live.status.up == 2).await;
    live.order(world.change(3, "a", Some("newer"))).await;
    live.state(MirrorState::Conflict).await;
    assert_eq!(world.read("a").as_deref(), Some("old"));
}

#[tokio::test]
async fn an_undo_where_somebody_edited_since_brings_the_agents_version_and_the_next_the_edit() {
    let world = World::new(&[("a", "old"), ("gone", "old"), ("x", "x")]);
    let mut live = world
        .seeded(&[("a", "old"), ("gone", "old"), ("x", "x")])
        .await;
    live.order(Order::Direct(Way::Down)).await;
    live.order(world.change(1, "a", Some("theirs"))).await;
    live.order(world.change(2, "gone", None)).await;
    live.settled(2).await;
    world.edit("a", "mine");
    world.edit("a", "mine, and more");
    world.edit("gone", "mine");
    for (path, mine, theirs) in [
        ("a", "mine, and more", Some("theirs")),
        ("gone", "mine", None),
    ] {
        for (want, said) in [
            (theirs, "another undo returns it"),
            (Some(mine), "before is back"),
            (theirs, "before is back"),
        ] {
            let notes = live.notes.len();
            live.order(undo_order(path)).await;
            live.until(|live| live.notes.len() > notes).await;
            assert_eq!(world.read(path).as_deref(), want, "{:?}", live.notes);
            let note = live.notes.last().unwrap();
            assert!(note.contains(said), "{note}");
        }
    }
    let notes = live.notes.len();
    live.order(undo_order("x")).await;
    live.until(|live| live.notes.len() > notes).await;
    assert!(live.notes.last().unwrap().contains("nothing to undo"));
    live.until(|live| live.status.up == 0).await;
}

#[tokio::test]
async fn an_undo_of_a_write_that_was_not_written_down_before_a_kill_stands() {
    let world = World::new(&[("a", "base")]);
    let mut live = world.seeded(&[("a", "base")]).await;
    live.order(Order::Direct(Way::Down)).await;
    live.until(|live| live.status.direction == Way::Down).await;
    live.killed().await;
    let root = world.root().canonicalize().unwrap();
    let base = Base::open(&world.setup().run_folder, &root).await.unwrap();
    let Order::Remote { change, .. } = world.change(4, "a", Some("done")) else {
        unreachable!("a remote change");
    };
    let written = Written {
        before: Some(state_of(b"base", Mode::File)),
        after: change.now,
        origin: Origin {
            seq: Seq(4),
            ..Origin::default()
        },
        at: jiff::Timestamp::UNIX_EPOCH,
        storage_path: None,
    };
    let waiting = Fact::Waiting(Seq(4), change.into());
    base.save(&[waiting, Fact::Seen(Seq(4))]).await.unwrap();
    let path = "a".parse().unwrap();
    base.about_to_write(&path, &written).await.unwrap();
    base.close().await;
    world.content("base");
    world.edit("a", "done");
    let answer = ask_or_act(world.setup(), &undo_of(path)).await;
    assert!(answer.unwrap().ok);
    let mut live = world.live().await;
    live.order(Order::Reached(Seq(4))).await;
    live.settled(4).await;
    assert_eq!(world.read("a").as_deref(), Some("base"));
}

#[tokio::test]
async fn what_does_not_lie_here_is_fetched_for_an_undo_or_nothing_is_touched() {
    let world = World::new(&[("a", "old")]);
    let mut live = world.seeded(&[("a", "old")]).await;
    live.order(Order::Direct(Way::Down)).await;
    live.order(world.change(1, "a", Some("theirs"))).await;
    live.settled(1).await;
    world.edit("a", "mine");
    let undo = || undo_of("a".parse().unwrap());
    world.blobs.out_of_reach.store(1, Ordering::SeqCst);
    let refused = world.ask(undo()).await;
    let why = refused.text.unwrap();
    assert!(!refused.ok && why.contains("cannot be reached"), "{why}");
    assert_eq!(world.read("a").as_deref(), Some("mine"));
    live.killed().await;

    let nothing = Setup {
        blobs: None,
        ..world.setup()
    };
    let refused = ask_or_act(nothing, &undo()).await.unwrap();
    let why = refused.text.unwrap();
    assert!(!refused.ok && why.contains("attach to the run"), "{why}");
    for want in ["theirs", "mine"] {
        let gets = world.blobs.gets.load(Ordering::SeqCst);
        assert!(ask_or_act(world.setup(), &undo()).await.unwrap().ok);
        assert_eq!(world.read("a").as_deref(), Some(want));
        let fetched = world.blobs.gets.load(Ordering::SeqCst) - gets;
        assert_eq!(fetched, usize::from(want == "theirs"));
    }
}

#[tokio::test]
async fn who_kept_his_own_in_a_conflict_gets_theirs_by_an_undo_and_in_a_conflict_there_is_none() {
    let world = World::new(&[("a", "base"), ("b", "base")]);
    let mut live = world.seeded(&[("a", "base"), ("b", "base")]).await;
    live.order(Order::Direct(Way::Down)).await;
    live.order(world.change(1, "a", Some("earlier"))).await;
    live.settled(1).await;
    world.edit("a", "mine");
    world.edit("b", "mine");
    live.order(world.change(2, "a", Some("theirs"))).await;
    live.order(world.change(3, "b", None)).await;
    live.until(|live| live.status.conflicts.len() == 2).await;
    let undo = |name: &str| undo_of(name.parse().unwrap());
    let refused = world.ask(undo("a")).await;
    let why = refused.text.unwrap();
    assert!(!refused.ok && why.contains("mirror resolve"), "{why}");
    for (name, theirs) in [("a", Some("theirs")), ("b", None)] {
        let resolve = Request::Resolve {
            path: name.parse().unwrap(),
            keep: Keep::Mine,
        };
        assert!(world.ask(resolve).await.ok);
        world.edit(name, "mine, and more");
        for want in [theirs, Some("mine, and more"), theirs] {
            let answer = world.ask(undo(name)).await;
            assert!(answer.ok, "{answer:?}");
            assert_eq!(world.read(name).as_deref(), want, "{answer:?}");
        }
    }
}

#[tokio::test]
async fn a_command_reaches_the_holder_through_its_socket() {
    let world = World::new(&[("a", "base")]);
    let mut live = world.seeded(&[("a", "base")]).await;
    live.order(world.change(1, "a", Some("new"))).await;
    live.settled(1).await;
    // Its own write is looked at once more.
    let goes_on = |state| matches!(state, MirrorState::Live | MirrorState::CatchingUp);
    assert!(goes_on(world.ask(Request::Status).await.status.state));
    assert_eq!(
        world.ask(Request::Pause).await.status.state,
        MirrorState::Paused
    );
    let how = Resume::Plain;
    let answer = world.ask(Request::Resume { how }).await;
    assert!(answer.ok && goes_on(answer.status.state), "{answer:?}");
    let path = || "a".parse().unwrap();
    assert!(world.ask(undo_of(path())).await.ok);
    assert_eq!(world.read("a").as_deref(), Some("base"));
    let keep = Keep::Mine;
    let answer = world.ask(Request::Resolve { path: path(), keep }).await;
    assert!(!answer.ok && answer.text.unwrap().contains("not in conflict"));
}

#[tokio::test]
async fn a_conflict_is_resolved_with_mine_theirs_or_both() {
    let files = [("a", "base"), ("b", "base"), ("c", "base")];
    let world = World::new(&files);
    let mut live = world.seeded(&files).await;
    live.state(MirrorState::Live).await;
    for (seq, name) in [(1, "a"), (2, "b"), (3, "c")] {
        world.edit(name, "mine");
        live.order(world.change(seq, name, Some("theirs"))).await;
    }
    live.settled(3).await;
    for (name, keep, stands) in [
        ("a", Keep::Mine, "mine"),
        ("b", Keep::Theirs, "theirs"),
        ("c", Keep::Both, "mine"),
    ] {
        let path = name.parse().unwrap();
        let answer = world.ask(Request::Resolve { path, keep }).await;
        assert!(answer.ok, "{answer:?}");
        assert!(
            answer
                .status
                .conflicts
                .iter()
                .all(|conflict| conflict.path != name)
        );
        assert_eq!(world.read(name).as_deref(), Some(stands));
    }
    assert_eq!(world.read("c.remote-7d0c2f9e-3").as_deref(), Some("theirs"));
    let undo = undo_of("b".parse().unwrap());
    assert!(world.ask(undo).await.ok, "taking theirs can be undone");
    assert_eq!(world.read("b").as_deref(), Some("mine"));
    live.until(|live| live.status.conflicts.is_empty()).await;
}

#[tokio::test]
async fn a_command_without_a_holder_sees_the_halt_and_lets_the_deletes_go_for_the_next_mirror() {
    let names = many(60);
    let files = alike(&names);
    let world = World::new(&files);
    let mut live = world.seeded(&files).await;
    live.order(Order::Pause).await;
    for (n, name) in names.iter().enumerate() {
        live.order(world.change(n as u64 + 1, name, None)).await;
    }
    live.until(|live| live.status.down == 60).await;
    live.order(Order::Resume(Resume::Plain)).await;
    live.state(MirrorState::Halted).await;
    assert!(names.iter().all(|name| world.read(name).is_some()));
    live.killed().await;

    let status = ask_or_act(world.setup(), &Request::Status)
        .await
        .unwrap()
        .status;
    assert_eq!(status.state, MirrorState::Halted, "{status:?}");
    let resume = Request::Resume {
        how: Resume::AcceptDeletes,
    };
    assert!(ask_or_act(world.setup(), &resume).await.unwrap().ok);
    let mut live = world.live().await;
    live.settled(60).await;
    assert!(names.iter().all(|name| world.read(name).is_none()));
}

#[tokio::test]
async fn without_a_holder_the_command_acts_itself_and_a_second_mirror_is_refused() {
    let world = World::new(&[("a", "old")]);
    let mut live = world.seeded(&[("a", "old")]).await;
    live.order(world.change(1, "a", Some("new"))).await;
    live.settled(1).await;
    let mut tasks = JoinSet::new();
    let refused = start(world.setup(), &mut tasks)
        .await
        .map(drop)
        .unwrap_err();
    assert!(matches!(refused, worker::Error::Lock(_)), "{refused}");
    live.killed().await;

    let undo = undo_of("a".parse().unwrap());
    let answer = ask_or_act(world.setup(), &undo).await.unwrap();
    assert!(answer.ok, "{answer:?}");
    assert_eq!(world.read("a").as_deref(), Some("old"));
    assert_eq!(
        control::ask(&world.mirrors(), &world.run, &Request::Status).await,
        None
    );
}

#[tokio::test]
async fn a_command_waits_for_a_mirror_of_its_run_that_has_only_begun() {
    let world = World::new(&[("a", "base")]);
    let begun = lock::take(&world.mirrors(), &world.root(), &world.run, Stay::Live).await;
    let begun = begun.unwrap();
    let asked = ask_or_act(world.setup(), &Request::Status);
    tokio::pin!(asked);
    let early = tokio::time::timeout(Duration::from_millis(100), &mut asked).await;
    assert!(early.is_err(), "{early:?}");
    drop(begun);
    assert!(asked.await.unwrap().ok);
}

#[tokio::test]
async fn removing_the_copy_of_theirs_ends_the_conflict() {
    let world = World::new(&[("a", "base")]);
    let mut live = world.seeded(&[("a", "base")]).await;
    live.order(Order::Direct(Way::Down)).await;
    live.state(MirrorState::Live).await;
    world.edit("a", "mine");
    live.order(world.change(1, "a", Some("theirs"))).await;
    live.state(MirrorState::Conflict).await;
    std::fs::remove_file(world.root().join("a.remote-7d0c2f9e-1")).unwrap();
    live.state(MirrorState::Live).await;
    assert_eq!(world.read("a").as_deref(), Some("mine"));
    live.order(Order::Check).await;
    live.order(world.change(2, "a", Some("newer"))).await;
    live.state(MirrorState::Conflict).await;
}

#[tokio::test]
async fn a_run_from_elsewhere_comes_down_whole_into_an_empty_directory() {
    let world = World::new(&[("b", "mine")]);
    let setup = Setup {
        seeded_here: false,
        ..world.setup()
    };
    let mut live = world.live_as(setup).await;
    world.content("a");
    world.content("theirs");
    live.order(Order::Baseline(manifest(&[("d/a", "a"), ("b", "theirs")])))
        .await;
    live.order(Order::Reached(Seq(4))).await;
    live.settled(4).await;
    live.state(MirrorState::Conflict).await;
    assert_eq!(world.read("d/a").as_deref(), Some("a"));
    assert_eq!(world.read("b").as_deref(), Some("mine"));
    assert_eq!(world.read("b.remote-7d0c2f9e-0").as_deref(), Some("theirs"));
}

#[tokio::test]
async fn a_file_becomes_a_folder_and_back() {
    let world = World::new(&[("d", "file")]);
    let mut live = world.seeded(&[("d", "file")]).await;
    for order in [
        world.change(1, "d", None),
        world.change(2, "d/x", Some("x")),
    ] {
        live.order(order).await;
    }
    live.settled(2).await;
    assert_eq!(world.read("d/x").as_deref(), Some("x"));
    for order in [
        world.change(3, "d/x", None),
        world.change(4, "d", Some("again")),
    ] {
        live.order(order).await;
    }
    live.settled(4).await;
    assert_eq!(world.read("d").as_deref(), Some("again"));
    live.has_settled_all();
}

#[tokio::test]
async fn a_write_that_was_done_before_a_kill_is_no_edit_to_a_newer_change() {
    for (stands, conflicts) in [("done", 0), ("base", 0), ("mine", 1)] {
        let world = World::new(&[("a", "base")]);
        let mut live = world.seeded(&[("a", "base")]).await;
        live.state(MirrorState::Live).await;
        live.killed().await;
        // A kill between the note of the first change and the new base: the deed was done, or not, or somebody edited.
        let root = world.root().canonicalize().unwrap();
        let base = Base::open(&world.setup().run_folder, &root).await.unwrap();
        let Order::Remote { change, .. } = world.change(4, "a", Some("done")) else {
            unreachable!("a remote change");
        };
        let written = Written {
            before: Some(state_of(b"base", Mode::File)),
            after: change.now,
            origin: Origin {
                seq: Seq(4),
                ..Origin::default()
            },
            at: jiff::Timestamp::UNIX_EPOCH,
            storage_path: None,
        };
        let waiting = Fact::Waiting(Seq(4), change.into());
        base.save(&[waiting, Fact::Seen(Seq(4))]).await.unwrap();
        let path = "a".parse().unwrap();
        base.about_to_write(&path, &written).await.unwrap();
        base.close().await;
        world.edit("a", stands);
        let mut live = world.live().await;
        live.order(world.change(5, "a", Some("newer"))).await;
        live.settled(5).await;
        assert_eq!(live.status.conflicts.len(), conflicts, "{stands}");
        let want = if conflicts == 0 { "newer" } else { stands };
        assert_eq!(world.read("a").as_deref(), Some(want));
    }
}

/// An endpoint once said that its journal ends earlier than it does: what it then says again was decided long ago.
#[tokio::test]
async fn what_was_only_asked_is_not_taken_for_an_edit_while_old_lines_come_again() {
    let world = World::new(&[("f", "zero")]);
    let mut live = world.seeded(&[("f", "zero")]).await;
    for (seq, text) in [(1, "one"), (2, "two"), (3, "three")] {
        live.order(world.change(seq, "f", Some(text))).await;
        live.settled(seq).await;
    }
    let last = Seq(1);
    live.order(Order::Rewound {
        last,
        from: Seq::ZERO,
        same: true,
    })
    .await;
    live.order(world.change(1, "f", Some("one"))).await;
    live.order(Order::Reached(last)).await;
    live.order(Order::Seed(Some(manifest(&[("f", "zero")]))))
        .await;
    live.until(|live| live.edits.len() == 1).await;
    for (seq, text) in [(2, "two"), (3, "three"), (4, "four")] {
        live.order(world.change(seq, "f", Some(text))).await;
        live.settled(seq).await;
    }
    live.until(|live| live.files.len() == 6).await;
    live.has_settled_all();
    assert_eq!(world.read("f").as_deref(), Some("four"));
}

/// A line that is written down as seen says the same of every line before it.
#[tokio::test]
async fn what_could_not_be_written_down_is_not_forgotten_for_what_comes_next() {
    let world = World::new(&[("a", "base")]);
    let mut live = world.seeded(&[("a", "base")]).await;
    live.state(MirrorState::Live).await;
    let root = world.root().canonicalize().unwrap();
    let base = Base::open(&world.setup().run_folder, &root).await.unwrap();
    base.refuse(true).await;
    live.order(world.change(5, "a", Some("five"))).await;
    live.halted_before(1).await;
    base.refuse(false).await;
    live.order(world.change(6, "b", Some("six"))).await;
    live.halted_before(2).await;
    // Nobody resumes it: another life does not know that it was halted.
    live.killed().await;
    base.close().await;
    let mut live = world.live().await;
    live.settled(6).await;
    assert_eq!(world.read("a").as_deref(), Some("five"));
    assert_eq!(world.read("b").as_deref(), Some("six"));
}

#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "somebody moves the directory away"
)]
async fn a_directory_that_is_gone_is_said_to_be_gone_and_nothing_is_deleted_there() {
    let files = [("a", "a"), ("b", "b"), ("d/c", "c")];
    let world = World::new(&files);
    let mut live = world.seeded(&files).await;
    live.state(MirrorState::Live).await;
    std::fs::rename(world.root(), world.dir.path().join("moved")).unwrap();
    live.order(Order::Check).await;
    let says = |live: &Live| {
        live.status
            .reason
            .as_ref()
            .is_some_and(|why| why.contains("directory is gone"))
    };
    live.until(says).await;
    assert_eq!(live.status.state, MirrorState::Halted);
    assert!(live.edits.is_empty(), "{:?}", live.edits);
}
