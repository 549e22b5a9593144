//! P11: from bytes that are known to a file that is seen, by the mirror's worker.
//!
//! In memory (`/dev/shm`), where a sync costs nothing: the sync is the disk's figure and not ours.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ashore::mirror::blobs::{Blobs, Error, Wanted};
use ashore::mirror::worker::{Order, Report, Setup, start};
use ashore::protocol::file::{ChangeKind, FileChange, FileManifest, FileState, Mode};
use ashore::protocol::hash::ContentHash;
use ashore::protocol::ids::Seq;
use tokio::task::JoinSet;

use crate::data::Chance;
use crate::measure::{Figure, Goal, Unit, median, millis, now};

const FILES: usize = 300;

/// The bytes are here already; notes when they are handed over.
#[derive(Default)]
struct Known {
    bytes: Mutex<Vec<u8>>,
    handed: Mutex<Option<Instant>>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait::async_trait]
impl Blobs for Known {
    async fn get(&self, _: &Wanted, into: &Path) -> Result<(), Error> {
        *lock(&self.handed) = Some(now());
        crate::write(into, &lock(&self.bytes));
        Ok(())
    }

    async fn put(&self, _: ContentHash, _: u64, _: &Path) -> Result<(), Error> {
        Ok(())
    }

    async fn missing(&self, _: &[ContentHash]) -> Result<Vec<ContentHash>, Error> {
        Ok(Vec::new())
    }
}

pub(crate) fn figures(scale: usize) -> Vec<Figure> {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    let folder = folder.expect("a temp folder");
    let (ours, plain) = runtime.block_on(files(folder.path(), FILES / scale));
    let sides = format!("{:.3} ms, {:.3} ms", millis(ours), millis(plain));
    vec![
        Figure {
            name: "P11",
            what: "bytes known to file visible, without the sync, median",
            value: millis(ours),
            unit: Unit::Millis,
            goal: Goal::AtMost(0.5),
            sides: String::new(),
        },
        Figure {
            name: "P11",
            what: "the same / a plain temp file and a rename",
            value: ours.as_secs_f64() / plain.as_secs_f64(),
            unit: Unit::Ratio,
            goal: Goal::None,
            sides,
        },
    ]
}

async fn files(folder: &Path, count: usize) -> (Duration, Duration) {
    let (root, beside) = (folder.join("work"), folder.join("beside"));
    for made in [&root, &beside] {
        std::fs::create_dir(made).expect("a folder below it");
    }
    let known = Arc::new(Known::default());
    let mut tasks = JoinSet::new();
    let (orders, mut reports) = start(setup(folder, &root, known.clone()), &mut tasks)
        .await
        .expect("a mirror");
    let manifest = FileManifest {
        version: 1,
        base_commit: None,
        updated_at: "2026-01-19T14:02:00Z".to_owned(),
        files: std::collections::BTreeMap::new(),
        deleted_files: Vec::new(),
        bundle: None,
        head: None,
        branch: None,
        remotes: std::collections::BTreeMap::new(),
    };
    orders
        .send(Order::Baseline(manifest))
        .await
        .expect("it lives");
    let mut chance = Chance(3);
    let (mut ours, mut plain) = (Vec::new(), Vec::new());
    for number in 1..=count {
        let size = 200 + chance.below(8_000) as usize;
        let bytes = chance.words(size).into_bytes();
        let name = format!("file{number}.txt");
        let seen = seen(root.join(&name));
        *lock(&known.bytes) = bytes.clone();
        let order = Order::Remote {
            seq: Seq(number as u64),
            change: change(&name, &bytes),
        };
        orders.send(order).await.expect("it lives");
        let seen = seen.await.expect("it looks");
        let handed = lock(&known.handed).take().expect("it asked for the bytes");
        ours.push(seen.saturating_duration_since(handed));
        while !settles(&mut reports, number).await {}
        plain.push(by_hand(&beside, &name, &bytes));
    }
    (median(ours), median(plain))
}

/// When a file is there: another thread looks as fast as it can.
fn seen(path: PathBuf) -> tokio::task::JoinHandle<Instant> {
    tokio::task::spawn_blocking(move || {
        while !path.exists() {
            std::hint::spin_loop();
        }
        now()
    })
}

async fn settles(reports: &mut tokio::sync::mpsc::Receiver<Report>, number: usize) -> bool {
    match reports.recv().await.expect("it lives") {
        Report::Status(status) => status.settled >= Seq(number as u64),
        Report::Note(note) => panic!("the mirror says: {note}"),
        _ => false,
    }
}

fn by_hand(folder: &Path, name: &str, bytes: &[u8]) -> Duration {
    let began = now();
    let file = tempfile::NamedTempFile::new_in(folder).expect("a temp file");
    std::io::Write::write_all(&mut &file, bytes).expect("it can be written");
    file.persist(folder.join(name)).expect("it can be renamed");
    began.elapsed()
}

pub(crate) fn change(name: &str, bytes: &[u8]) -> FileChange {
    FileChange {
        kind: ChangeKind::Created,
        path: name.parse().expect("a name"),
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

pub(crate) fn setup(folder: &Path, root: &Path, blobs: Arc<dyn Blobs>) -> Setup {
    Setup {
        root: root.to_owned(),
        run: crate::at().run,
        run_folder: folder.join("run"),
        mirrors: folder.join("mirrors"),
        ignore: Vec::new(),
        include: Vec::new(),
        limits: ashore::mirror::scan::Limits::default(),
        blobs: Some(blobs),
        seeded_here: true,
    }
}
