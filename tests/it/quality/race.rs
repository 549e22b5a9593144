//! R7: somebody swaps folders for links while the mirror writes; nothing is ever written behind a link.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ashore::mirror::blobs::{Blobs, Error, Wanted};
use ashore::mirror::scan::Limits;
use ashore::mirror::status::{MirrorState, Outcome};
use ashore::mirror::worker::{Order, Report, Setup, start};
use ashore::protocol::file::{ChangeKind, FileChange, FileManifest, FileState, Mode};
use ashore::protocol::hash::ContentHash;
use ashore::protocol::ids::Seq;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use tokio::task::JoinSet;

use crate::quality::count;
use crate::quality::paths::tree;
use crate::support::home::DEADLINE;

/// What is swapped with a link, and where the link leads, seen from above the root.
const LAYOUTS: [(&str, &str); 6] = [
    ("root/d", "outside"),
    ("root/d/e", "outside"),
    ("root/d", "root/.git"),
    ("root/.ashore", "outside"),
    ("root/.ashore/stage", "outside/stage"),
    ("root", "outside"),
];

/// Contents in memory, brought as the client brings them: into a file by its path.
#[derive(Default)]
struct Memory(Mutex<HashMap<ContentHash, Vec<u8>>>);

#[async_trait::async_trait]
impl Blobs for Memory {
    async fn get(&self, want: &Wanted, into: &Path) -> Result<(), Error> {
        use tokio::io::AsyncWriteExt;
        let bytes = self.0.lock().expect("no panic").get(&want.hash).cloned();
        let bytes = bytes.ok_or(Error::Gone(want.hash))?;
        let disk = |source| Error::Disk {
            what: "cannot write".to_owned(),
            source,
        };
        let mut file = tokio::fs::File::create(into).await.map_err(disk)?;
        file.write_all(&bytes).await.map_err(disk)?;
        file.flush().await.map_err(disk)
    }

    async fn put(&self, _: ContentHash, _: u64, _: &Path) -> Result<(), Error> {
        Ok(())
    }

    async fn missing(&self, _: &[ContentHash]) -> Result<Vec<ContentHash>, Error> {
        Ok(Vec::new())
    }
}

#[expect(clippy::disallowed_methods, reason = "the canaries of a test")]
fn ground() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temp folder");
    for folder in [
        "root/d/e",
        "root/.git",
        "root/.ashore/stage",
        "outside/e",
        "outside/d/e",
        "outside/stage",
        "outside/.ashore/stage",
    ] {
        std::fs::create_dir_all(dir.path().join(folder)).expect("can be made");
    }
    for canary in [
        "outside/canary",
        "outside/stage/canary",
        "root/.git/config",
        "root/.ashore/stage/not-ours",
    ] {
        std::fs::write(dir.path().join(canary), "canary").expect("can be written");
    }
    dir
}

/// Who swaps, in a thread of its own.
#[derive(Default)]
struct Attack {
    stop: AtomicBool,
    /// Wanted, and done: as it began, and no swap for now.
    rest: AtomicBool,
    rests: AtomicBool,
    swaps: AtomicU64,
}

impl Attack {
    /// Swaps the two as fast as it can until told to stop.
    fn run(&self, at: &Path, link: &Path) {
        let swap = || renameat_with(CWD, at, CWD, link, RenameFlags::EXCHANGE);
        while !self.stop.load(Ordering::SeqCst) {
            if self.rest.load(Ordering::SeqCst) {
                if at.is_symlink() {
                    swap().expect("both stand");
                }
                self.rests.store(true, Ordering::SeqCst);
                std::thread::yield_now();
                continue;
            }
            self.rests.store(false, Ordering::SeqCst);
            // It may not stand there at this moment: the stage comes and goes.
            if swap().is_ok() {
                self.swaps.fetch_add(1, Ordering::SeqCst);
            }
        }
        if at.is_symlink() {
            swap().expect("both stand");
        }
    }

    /// Returns when all is as it began, and stays so.
    fn rest(&self) {
        self.rest.store(true, Ordering::SeqCst);
        while !self.rests.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
    }

    fn go_on(&self) {
        self.rest.store(false, Ordering::SeqCst);
    }
}

fn setup(dir: &Path, number: u64, blobs: Arc<dyn Blobs>) -> Setup {
    Setup {
        root: dir.join("root"),
        run: "7d0c2f9e-3b1a-4c58-9f6e-5a2b8c1d4e70"
            .parse()
            .expect("an id"),
        run_folder: dir.join(format!("state/{number}")),
        mirrors: dir.join("state/mirrors"),
        ignore: Vec::new(),
        include: Vec::new(),
        limits: Limits::default(),
        blobs: Some(blobs),
        seeded_here: true,
    }
}

/// One life of the mirror: so many changes while the attack goes on. Gives how many files it has written.
async fn life(dir: &Path, number: u64, changes: u64, attack: &Attack, begins: bool) -> usize {
    let blobs = Arc::new(Memory::default());
    let mut tasks = JoinSet::new();
    // A root that is a link when it begins is lawful: the user named it so. Everything else may change meanwhile.
    if begins {
        attack.rest();
    }
    let known = Arc::clone(&blobs) as Arc<dyn Blobs>;
    let started = start(setup(dir, number, known), &mut tasks).await;
    attack.go_on();
    let Ok((orders, mut reports)) = started else {
        return 0;
    };
    let order = async |order| orders.send(order).await.expect("it lives");
    order(Order::Baseline(empty())).await;
    for seq in 1..=changes {
        let bytes = format!("evil {number} {seq}").into_bytes();
        let path = ["d/f", "d/e/f", "d/new/f", "f"][usize::try_from(seq % 4).expect("small")];
        let change = changed(&format!("{path}{number}-{seq}"), &bytes);
        let hash = ContentHash::of(&bytes);
        blobs.0.lock().expect("no panic").insert(hash, bytes);
        let seq = Seq(seq);
        order(Order::Remote { seq, change }).await;
    }
    let (mut told, mut settled) = (0, 0);
    let done = async {
        while told < changes {
            match reports.recv().await.expect("it lives") {
                Report::File(file) => {
                    told += 1;
                    settled += usize::from(file.result == Outcome::Settled);
                }
                Report::Status(status) if status.state == MirrorState::Halted => break,
                Report::Status(_)
                | Report::Note(_)
                | Report::Edits(_)
                | Report::Flushed(_)
                | Report::Preview(_)
                | Report::Shown(_)
                | Report::Weighed(_)
                | Report::Versions(_)
                | Report::SeedWanted => (),
            }
        }
    };
    tokio::time::timeout(DEADLINE, done)
        .await
        .expect("every change comes to an end");
    tasks.shutdown().await;
    settled
}

fn empty() -> FileManifest {
    FileManifest {
        version: 1,
        base_commit: None,
        updated_at: String::new(),
        files: BTreeMap::new(),
        deleted_files: Vec::new(),
        bundle: None,
        head: None,
        branch: None,
        remotes: BTreeMap::new(),
    }
}

fn changed(path: &str, bytes: &[u8]) -> FileChange {
    FileChange {
        kind: ChangeKind::Created,
        path: path.parse().expect("a good path"),
        now: Some(FileState {
            hash: ContentHash::of(bytes),
            size: bytes.len() as u64,
            mode: Mode::File,
        }),
        before: None,
        storage_path: None,
        turn: Some(1),
        tool_call: None,
    }
}

/// Everything the mirror has no business with, whatever the attack calls it at the moment.
fn canaries(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = tree(dir);
    let own = ["root/.git", "outside"].map(|name| dir.join(name));
    all.retain(|path, _| own.iter().any(|own| path.starts_with(own)));
    all
}

async fn races(layout: (&str, &str), lives: u64, until: Option<Instant>) -> (u64, usize) {
    let dir = ground();
    let (at, link) = (dir.path().join(layout.0), dir.path().join("link"));
    symlink(dir.path().join(layout.1), &link).expect("can link");
    let before = canaries(dir.path());
    let attack = Arc::new(Attack::default());
    let attacker = {
        let attack = Arc::clone(&attack);
        std::thread::spawn(move || attack.run(&at, &link))
    };
    let (mut number, mut settled) = (0, 0);
    loop {
        number += 1;
        settled += life(dir.path(), number, 40, &attack, layout.0 == "root").await;
        if until.map_or(number >= lives, |until| now() >= until) {
            break;
        }
    }
    attack.stop.store(true, Ordering::SeqCst);
    attacker.join().expect("no panic");
    let after = canaries(dir.path());
    let new: Vec<_> = after
        .keys()
        .filter(|path| !before.contains_key(*path))
        .collect();
    assert_eq!(
        new,
        Vec::<&PathBuf>::new(),
        "{layout:?}: written behind the link"
    );
    assert_eq!(after, before, "{layout:?}");
    (attack.swaps.load(Ordering::SeqCst), settled)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the attack is counted in real seconds"
)]
fn now() -> Instant {
    Instant::now()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_written_behind_a_link_that_was_a_folder_a_moment_ago() {
    let seconds = count("ASHORE_RACE_SECONDS", 0) as u64;
    for (number, layout) in LAYOUTS.iter().enumerate() {
        let share = Duration::from_secs(seconds) / LAYOUTS.len() as u32;
        let until = (seconds > 0).then(|| now() + share);
        let (swaps, settled) = races(*layout, 3, until).await;
        println!("{layout:?}: {swaps} swaps, {settled} files written");
        // The root is never written to while it is away, and the stage may be away all the time.
        assert!(swaps > 0, "{layout:?}: nobody attacked");
        assert!(settled > 0 || number > 2, "{layout:?}: nothing was written");
    }
}
